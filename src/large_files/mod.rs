//! Large files: contents that git does not hold, named by their SHA-256.
//!
//! A [`Pointer`](crate::git::pointer::Pointer) in a pack says what must be there; the packs are the only list of what is known.
//! [`missing`] is the list of what is not there yet, and why; [`contents`] is what is there, where git-lfs looks for it;
//! `batch` and [`server`] ask for it, [`fetch`] brings it. What a newcomer would get wrong: what is missing is noted before
//! the refs that need it are published, so that a run that is killed in between owes it to the next one; and a repository
//! whose refs are unchanged may still owe.

mod batch;
pub mod check;
pub mod check_out;
pub mod choice;
pub mod contents;
mod download;
mod error;
pub mod fetch;
pub mod missing;
pub mod restore;
pub mod retain;
pub(crate) mod send;
pub mod server;

pub use error::LfsError;
