#![doc = include_str!("../README.md")]
//!
//! # Reading the source
//!
//! A request enters at `server`, is written down in `records`, meets the `faults`, and is then answered by one of
//! `rest`, `git`, `lfs`, `slack` and `control`. All of them read `repositories`, the folder that is the truth. `fixtures` fills
//! that folder, and changes it between two runs.

#![recursion_limit = "256"]

mod control;
mod faults;
mod fixtures;
mod git;
mod lfs;
mod options;
mod records;
mod repositories;
mod rest;
mod sandbox;
mod server;
mod slack;
mod state;

pub use faults::{Action, Fault};
pub use fixtures::{Generate, RepositoryEditor, generate, import_bundle};
pub use options::{AppOptions, GitPace, Options};
pub use records::RecordedRequest;
pub use sandbox::Sandbox;
pub use server::Traffic;
pub use slack::SlackMessage;
