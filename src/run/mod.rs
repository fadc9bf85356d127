//! The engine: plan in, outcomes out, concurrently and within limits.
//!
//! Knows neither Slack nor the command line. A run begins with [`Session::begin`], which takes the lock and opens
//! the record, and ends with a summary that is written before it is returned. What a newcomer would get wrong: one
//! repository's failure is an outcome, never an error of the run; only a bad token or a store that takes no more
//! writes ends it early.

mod acceptance;
mod adoption;
mod attempt;
mod checked_files;
mod engine;
mod forgetting;
mod kinds;
mod large_files;
mod metadata;
mod metadata_due;
mod metadata_report;
mod mirror_step;
mod moves;
mod proof;
mod publication;
mod remarks;
mod repository;
mod session;
mod shares;
mod standing;
mod tally;
mod turns;
mod unlisted;
mod words;

use std::path::Path;
use std::sync::Arc;

use crate::git::GitError;
use crate::git::wire::transfer::Transfer;
use crate::names::FullName;
use crate::outcome::{Failure, Kind, Outcome, PartOutcome, Stage, Trigger};

pub use acceptance::{Acceptance, Accepted};
pub use adoption::Adoption;
pub use forgetting::Forgetting;
pub use session::{FoundDamage, Session};
pub use standing::standing_failures;

/// At least this many mirrors are read ahead: a store that answers in milliseconds answers many questions at once. Their refs
/// are in memory until their turn comes.
const READ_AHEAD_MIN: usize = 16;

/// Says what to back up and who asked.
#[derive(Clone, Debug)]
pub struct Request {
    /// What started the run.
    pub trigger: Trigger,
    /// The repositories asked for by name; empty: all.
    pub selection: Vec<FullName>,
    /// Whether their mirrors are made anew from GitHub and from what can be read of the old ones.
    pub repair: bool,
    /// Whether mirrors that were made before ghbk fetched large files are searched for pointers at once.
    pub large_files: bool,
}

/// Follows a run, to show its progress.
pub trait Progress: Send + Sync {
    /// The run will go through this many repositories.
    fn planned(&self, repositories: usize);
    /// Work on a repository began; the transfer counts what it receives.
    fn started(&self, name: &FullName, transfer: &Arc<Transfer>);
    /// A repository's refs are done.
    fn finished(&self, outcome: &Outcome);
    /// Work began on another kind of data in a mirror, which is named as in reports.
    fn started_part(&self, kind: Kind, name: &str, transfer: &Arc<Transfer>);
    /// Another kind of data is done.
    fn finished_part(&self, outcome: &PartOutcome);
}

/// Says why there is no folder in scratch.
fn no_scratch(parent: &Path, stage: Stage, error: &std::io::Error) -> Failure {
    Failure {
        repository: "scratch".to_owned(),
        stage,
        error: format!("cannot create a folder in {}: {error}", parent.display()),
        hint: "set store.scratch to a folder on local disk that ghbk may write to".to_owned(),
    }
}

/// Runs work that may wait for the store on a thread of its own.
async fn apart<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    // Like every other panic, it ends the run.
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
}

/// Says whether an error in one mirror means that no other can be written either.
fn is_fatal(error: &GitError, root: &Path) -> bool {
    match error {
        GitError::LockLost(_) => true,
        GitError::Wire(error) => error.ends_the_run(),
        GitError::Disk(error) => error.is_below(root) && error.ends_all_writing(),
        _ => false,
    }
}
