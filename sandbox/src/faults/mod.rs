//! How the sandbox misbehaves: which requests, how often, and in what way.

mod effect;
mod fault;
mod list;
mod listing;
mod pattern;

pub(crate) use effect::{Broken, after, before};
pub use fault::{Action, Fault};
pub(crate) use list::FaultList;
