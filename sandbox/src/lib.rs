#![doc = include_str!("../README.md")]
//!
//! # Reading the source
//!
//! A request enters at `server`, is written down in `records`, meets the `faults`, and is then answered by one of
//! `rest`, `graphql`, `git`, `lfs`, `slack` and `control`. All of them read `repositories`, the folder that is the truth.
//! `tracker` has what people write in a repository, the source of both APIs. `fixtures` fills the folder, and changes it
//! between two runs.

#![recursion_limit = "256"]

mod control;
mod cursor;
mod faults;
mod fixtures;
mod git;
mod graphql;
mod lfs;
mod options;
mod records;
mod repositories;
mod rest;
mod sandbox;
mod server;
mod slack;
mod state;
mod tracker;

pub use faults::{Action, Fault};
pub use fixtures::{Generate, RepositoryEditor, generate, import_bundle};
pub use graphql::{GraphqlLimits, query_errors};
pub use options::{AppOptions, GitPace, Options};
pub use records::RecordedRequest;
pub use rest::TEMP_CLONE_TOKEN;
pub use sandbox::Sandbox;
pub use server::Traffic;
pub use slack::SlackMessage;
pub use tracker::{GenerateIssues, Tracker, generate_issues};
