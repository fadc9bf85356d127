//! ghbk backs up every GitHub repository of an organisation onto a file system.
//!
//! Data flows one way:
//!
//! ```text
//! config → secrets → inventory → plan → [ stage → publish → merge ] per repository → prove → record → report
//!                                       └── concurrently, largest first, rate limited ──┘
//! ```
//!
//! [`config`] says what a person wants, [`secrets`] reads the token, [`github`] lists what exists, [`plan`] compares
//! it with the [`store`], [`run`] goes through it, [`git`] fetches packs and publishes them, the store's ledger
//! records what happened ([`outcome`]), [`report`] puts it into words. [`backup`] goes this whole way; [`commands`] and
//! [`daemon`] call it, and it knows nothing of them.

pub mod config;
pub mod secrets;

pub mod github;
pub mod limits;
pub mod outside;

pub mod plan;

pub mod git;
pub mod large_files;
pub mod metadata;
pub mod run;
pub mod store;

pub mod outcome;
pub mod report;
pub mod slack;

pub mod backup;
mod blocking;
pub mod disk;
pub mod export;
pub mod memory;
mod scratch;
mod threads;

pub mod cli;
pub mod commands;
pub mod daemon;
pub mod error;
pub mod logging;
pub mod signals;

#[cfg(any(test, fuzzing))]
pub mod fuzzing;

pub mod clock;
pub mod mirrors;
pub mod moment;
pub mod names;
pub mod network;
pub mod schedule;
pub mod terminal;
pub mod text;
pub mod typed;
pub mod zone;
