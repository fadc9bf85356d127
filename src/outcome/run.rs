//! The outcome of a run: its summary, which is the contract of `--json` and of the records.

use std::collections::BTreeMap;
use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::part::{Kind, PartSums};
use super::repository::{AdoptedClone, Dropped, Failure, Stage};
use crate::names::{FullName, RunId};

/// Names a repository whose mirror was made from a clone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Adopted {
    /// The repository.
    pub repository: FullName,
    /// The clone.
    #[serde(flatten)]
    pub clone: AdoptedClone,
}

/// Names a repository from which retention has dropped something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DroppedFrom {
    /// The repository.
    pub repository: FullName,
    /// What.
    #[serde(flatten)]
    pub dropped: Dropped,
}

/// Says what a run proved of the store.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// Mirrors whose objects were all read and hashed.
    pub mirrors_verified: u64,
    /// Objects hashed.
    pub objects_verified: u64,
    /// Contents of large files hashed.
    #[serde(default)]
    pub large_files_verified: u64,
    /// Bytes read for it.
    pub bytes_verified: u64,
    /// Mirrors found damaged.
    pub damaged: Vec<String>,
    /// The repository that was restored into scratch.
    pub restored: Option<RestoreProof>,
}

/// Describes a restore that came out right.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoreProof {
    /// The repository.
    pub repository: FullName,
    /// When GitHub was asked what was restored.
    pub snapshot_time: DateTime<Utc>,
    /// Refs compared.
    pub refs: u64,
    /// Objects hashed.
    pub objects: u64,
    /// How long it took.
    pub duration_milliseconds: u64,
}

/// Says how a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RunStatus {
    /// Every repository that GitHub lists is stored as GitHub has it.
    Ok,
    /// The run finished, but something failed.
    Partial,
    /// The run could not take place or had to stop.
    Failed,
    /// It was told to stop.
    Cancelled,
    /// Something that a later version of ghbk wrote.
    #[serde(other)]
    Unknown,
}

impl fmt::Display for RunStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ok => "ok",
            Self::Partial => "partial",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Unknown => "unknown",
        })
    }
}

/// Counts repositories, each once: `created`, `updated`, `unchanged`, `failed` and `not_reached` add up to `listed`.
/// `renamed` and `gone` are counted beside them, and so are `failures`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Repositories that were to be backed up.
    pub listed: u64,
    /// New mirrors.
    pub created: u64,
    /// Mirrors that changed.
    pub updated: u64,
    /// Mirrors that equalled GitHub already.
    pub unchanged: u64,
    /// Mirrors moved to a new name.
    pub renamed: u64,
    /// Mirrors of repositories that GitHub no longer lists.
    pub gone: u64,
    /// Listed repositories that could not be brought to equal GitHub, for whatever reasons.
    pub failed: u64,
    /// Failures of any kind: as many as `failures` lists. A repository may have several, and some belong to none.
    #[serde(default)]
    pub failures: u64,
    /// Listed repositories that a stopped run did not reach, or did not finish.
    #[serde(default)]
    pub not_reached: u64,
}

/// Names a repository before and after.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Renamed {
    /// Before.
    pub from: FullName,
    /// After.
    pub to: FullName,
}

/// Names the refs of a repository that were pushed over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForcePushed {
    /// The repository.
    pub repository: FullName,
    /// Its branches and tags.
    pub refs: Vec<String>,
}

/// Says what started a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trigger {
    /// A person, or a unit that a person started.
    Manual,
    /// The schedule.
    Schedule,
    /// The daemon's start after a due time was missed.
    CatchUp,
    /// The daemon, after a run that could not take place or failed in part.
    Retry,
    /// A person who lets ghbk take over the clones of another tool.
    Adoption,
    /// A verification that found damage, and records it.
    Verification,
    /// A person who says that a mirror is missing on purpose.
    Forget,
    /// A person who accepts that large files are gone.
    Acceptance,
    /// Something that a later version of ghbk wrote.
    #[serde(other)]
    Unknown,
}

/// The present version of the contract of [`RunSummary`].
pub(super) const SCHEMA: u32 = 2;

fn first_schema() -> u32 {
    1
}

/// What a store holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holdings {
    /// Repositories that have a mirror, those that are gone from GitHub included.
    pub repositories: u64,
    /// Their packs and large files, as far as they are known, in bytes.
    pub bytes: u64,
}

/// Sums up one run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunSummary {
    /// The version of this contract. Version 1, which did not say so, has no `parts`.
    #[serde(default = "first_schema")]
    pub schema: u32,
    /// The run.
    pub run_id: RunId,
    /// What started it.
    pub trigger: Trigger,
    /// The repositories asked for by name; empty: all.
    #[serde(default)]
    pub selection: Vec<FullName>,
    /// Whether configured owners were left out by `--owner`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_narrowed: bool,
    /// When it began.
    pub started_at: DateTime<Utc>,
    /// When it ended.
    pub finished_at: DateTime<Utc>,
    /// How it ended.
    pub status: RunStatus,
    /// Its counts.
    pub counts: Counts,
    /// How each kind of data fared.
    #[serde(default)]
    pub parts: BTreeMap<Kind, PartSums>,
    /// Bytes received, of all kinds.
    pub bytes_received: u64,
    /// Everything that failed.
    pub failures: Vec<Failure>,
    /// Repositories that failed for a reason that may pass by itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub retryable: Vec<FullName>,
    /// Everything a person should look at.
    pub warnings: Vec<String>,
    /// New mirrors.
    #[serde(default)]
    pub created: Vec<FullName>,
    /// Mirrors moved to a new name.
    #[serde(default)]
    pub renamed: Vec<Renamed>,
    /// Mirrors of repositories that GitHub no longer has.
    #[serde(default)]
    pub gone: Vec<FullName>,
    /// Those among them that GitHub still had at the previous run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub newly_gone: Vec<FullName>,
    /// What the store holds after the run.
    #[serde(default)]
    pub stored: Holdings,
    /// Mirrors of repositories that were transferred to an owner who is not backed up.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub moved_away: Vec<Renamed>,
    /// Refs that were pushed over.
    #[serde(default)]
    pub force_pushed: Vec<ForcePushed>,
    /// Branches and tags that were deleted on GitHub.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deleted: Vec<ForcePushed>,
    /// Clones of another tool that became mirrors.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub adopted: Vec<Adopted>,
    /// What retention has dropped.
    #[serde(default)]
    pub dropped: Vec<DroppedFrom>,
    /// Mirrors with too many packs that could not be merged, or were not looked at; some may be left half-way.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unmerged: Vec<String>,
    /// What was proven.
    #[serde(default)]
    pub proof: Proof,
    /// How many repositories each owner's listing held.
    #[serde(default)]
    pub listed_by_owner: BTreeMap<String, u64>,
    /// How many repositories the configuration's filters left out.
    #[serde(default)]
    pub excluded: u64,
}

impl RunSummary {
    /// Says whether something may be on the store that no outcome mentions, or may lie half-way to its place: after a run that
    /// ended early, or when writing to a mirror or moving one failed.
    pub fn may_leave_work(&self) -> bool {
        let on_store = |failure: &Failure| matches!(failure.stage, Stage::Publish | Stage::Move | Stage::Recovery);
        let ended_early = !matches!(self.status, RunStatus::Ok | RunStatus::Partial);
        ended_early || self.failures.iter().any(on_store) || !self.unmerged.is_empty()
    }

    /// Says whether the run was over everything.
    pub fn is_full(&self) -> bool {
        self.selection.is_empty() && !self.is_narrowed
    }

    /// Says whether the run went over everything to its end, whatever failed on the way.
    pub fn is_complete(&self) -> bool {
        self.is_full() && matches!(self.status, RunStatus::Ok | RunStatus::Partial)
    }
}
