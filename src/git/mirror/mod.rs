//! What a mirror goes through, from a download to a restore.
//!
//! [`stage`] downloads into a scratch repository and makes the [`snapshot`]; `reach` tells what has arrived apart from what is
//! stored; [`changes`] finds what the refs lost; [`publish`] makes the result visible on the store. [`verify`] proves what is
//! stored, [`restore`] and [`extract`] bring it back, `salvage` takes what can be read of a damaged mirror, [`consolidate`] keeps
//! the packs few and drops what is too old, [`adopt`] makes mirrors of other tools' clones.

pub mod adopt;
pub mod changes;
pub mod compose;
pub mod consolidate;
pub(crate) mod dependents;
pub mod difference;
pub mod extract;
pub(crate) mod history;
pub(crate) mod lfs_config;
pub mod publish;
mod reach;
pub mod restore;
pub(crate) mod salvage;
pub mod snapshot;
pub mod stage;
pub mod verify;
