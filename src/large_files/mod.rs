//! Large files: contents that git does not hold, named by their SHA-256.
//!
//! A [`Pointer`](crate::git::pointer::Pointer) in a pack says what must be there; the packs are the only list of what is known.
//! [`missing`] is the list of what is not there yet, and why; [`contents`] is what is there, where git-lfs looks for it; `batch`
//! and [`server`] ask for it, [`fetch`] brings it. What a newcomer would get wrong: missing files are noted before the refs that
//! need them are published, so if a run is killed in between, the next one still owes them; and a repository whose refs are
//! unchanged may still owe some.

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
