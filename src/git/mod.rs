//! Everything about git, in three parts: [`wire`] speaks to git servers, [`pack`] reads and writes packs and the objects in them,
//! [`mirror`] is what a mirror on the store goes through: staged, published, verified, merged, restored.
//!
//! Data flows from [`wire`] through [`pack`] to [`mirror`]. [`refs`] and [`mod@pointer`] are pure.

mod error;
pub mod mirror;
pub mod pack;
pub mod pointer;
pub mod refs;
pub mod wire;

pub use error::GitError;
pub(crate) use error::{LOCK_LOST_HINT, temporary_folder};
pub use wire::error::WireError;
