//! Snapshots: the chain of commits in `refs/ghbk/snapshots` that records a repository after each run.
//!
//! Made of plain git objects, so `git log refs/ghbk/snapshots` reads it without ghbk; `docs/snapshots.md` describes the format.
//! What a newcomer would get wrong: a snapshot only names tips. The refs make them stay; those below `refs/ghbk/kept/` keep the
//! tips that GitHub dropped.

mod read;
mod words;
mod write;

use chrono::{DateTime, Utc};
use git2::Oid;
use serde::Serialize;

use crate::git::mirror::changes::RefChange;
use crate::git::refs::Refs;
use crate::names::{FullName, RepositoryId, RunId};

pub use read::{content, history};
pub(crate) use read::{find, head, parent, targets, tree};
pub(crate) use words::trailers;
pub(crate) use write::{FILE_MODE, FOLDER_MODE, Previous, SIGNATURE, make, push_entry, rechain};

/// Which repository was observed, when, and in which run.
#[derive(Clone, Debug)]
pub struct Occasion {
    /// The run.
    pub run_id: RunId,
    /// When the server was asked.
    pub observed_at: DateTime<Utc>,
    /// The repository's name at that time; for a wiki, that of its repository.
    pub full_name: FullName,
    /// Its identity.
    pub id: RepositoryId,
}

/// Describes one point in time that can be restored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Snapshot {
    /// The commit.
    #[serde(serialize_with = "as_hex")]
    pub oid: Oid,
    /// The run that made it.
    pub run_id: RunId,
    /// When the server was asked.
    pub time: DateTime<Utc>,
    /// The repository's name at that time.
    pub full_name: FullName,
    /// What changed, in words.
    pub title: String,
    /// The refs that moved, those that lost something first; empty for the first snapshot.
    pub changes: Vec<RefChange>,
    /// How many more moved than `changes` holds.
    pub more_changes: u64,
}

fn as_hex<S: serde::Serializer>(oid: &Oid, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(oid)
}

const HEAD: &str = "HEAD";

const PACKED_REFS: &str = "packed-refs";

/// A repository's refs and HEAD.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// Every ref.
    pub refs: Refs,
    /// The content of HEAD.
    pub head: String,
}
