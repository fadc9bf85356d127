//! What people wrote on GitHub beside git: fetched, put into one form, and stored in a repository of its own.
//!
//! `fetch` asks GitHub, `spool` keeps on local disk what came, `assemble` puts it together with what is stored, file by file, and
//! [`read`] reads it for people. The format is described in `docs/metadata.md`. What a newcomer would get wrong: nothing is ever
//! removed. What GitHub no longer has stays in its file and is marked.

pub mod about;
mod access;
mod assemble;
pub mod canonical;
mod details;
mod error;
mod fetch;
mod item;
mod layout;
mod lists;
pub mod probe;
mod queries;
pub mod read;
mod spool;
mod stored;

pub use access::{Barrier, barriers};
pub use assemble::{Assembled, History, assemble};
pub use error::MetadataError;
pub use fetch::{Concern, Fetched, Fetcher, Scope};
pub use spool::Spool;
pub use stored::{Known, Stored};
