//! The outcome of one kind of data in one mirror.
//!
//! A mirror holds kinds of data, each with a state and counts of its own: refs, which [`Outcome`](super::Outcome) describes, and
//! what is kept beside them. Each is recorded as soon as it is done; one that fails stops no other. A new kind is a word in
//! [`Kind`]; records, index, sums and reports go through the kinds without naming any.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::held::Held;
use super::repository::{Failure, State};
use crate::mirrors::MirrorKind;
use crate::names::{FullName, RepositoryId};

/// A kind of data in a mirror.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Refs, and the git objects behind them.
    Refs,
    /// The contents of Git LFS.
    LargeFiles,
    /// Issues and pull requests.
    Issues,
    /// What a later version of ghbk keeps.
    #[serde(other)]
    Unknown,
}

/// The state of a kind of data after a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PartState {
    /// It is there for the first time.
    Created,
    /// Some of it is new.
    Updated,
    /// It has not changed.
    Unchanged,
    /// The configuration leaves it out, or GitHub has it switched off.
    Disabled,
    /// The token may not read it.
    Forbidden,
    /// GitHub does not have what it says that it has.
    Absent,
    /// It is left to a later run.
    Postponed,
    /// Some of it could not be fetched.
    Failed,
    /// A state that a later version of ghbk knows.
    #[serde(other)]
    Unknown,
}

impl From<State> for PartState {
    fn from(state: State) -> Self {
        match state {
            State::Created => Self::Created,
            State::Updated => Self::Updated,
            State::Unchanged => Self::Unchanged,
            State::Failed => Self::Failed,
            State::Unknown => Self::Unknown,
        }
    }
}

/// Counts of a kind of data, by names of its own.
pub type PartCounts = BTreeMap<String, u64>;

/// What GitHub showed of a kind of data, by names of its own.
pub type Seen = BTreeMap<String, String>;

/// The count of large files that are there.
pub const STORED: &str = "stored";
/// The count of their bytes.
pub const STORED_BYTES: &str = "stored_bytes";

/// Reports what happened to one kind of data in one mirror.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "each is a field of the record")]
pub struct PartOutcome {
    /// The repository's identity.
    pub id: RepositoryId,
    /// Its name in this run.
    pub full_name: FullName,
    /// Which of its mirrors it is in.
    pub mirror: MirrorKind,
    /// Which kind of data.
    pub part: Kind,
    /// Its state.
    pub state: PartState,
    /// Whether the next run has to look at it although nothing is new on GitHub.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_owed: bool,
    /// Whether the whole mirror was searched for it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_whole: bool,
    /// What GitHub showed, to tell next time whether something is new.
    #[serde(default, skip_serializing_if = "Seen::is_empty")]
    pub seen: Seen,
    /// Whether the mirror was missing, so that its history was lost.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_history_lost: bool,
    /// The mirror, if this kind of data is all that is in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<Held>,
    /// Counts of what there is now.
    #[serde(default)]
    pub totals: PartCounts,
    /// Counts of what came in this run.
    #[serde(default)]
    pub counts: PartCounts,
    /// What failed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failures: Vec<Failure>,
    /// Whether something failed that may pass by itself.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub transient: bool,
    /// Whether the run was told to stop before it was done.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_cut_off: bool,
    /// What a person should know though nothing failed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// Bytes received.
    #[serde(default)]
    pub bytes_received: u64,
    /// How long it took.
    #[serde(default)]
    pub duration_milliseconds: u64,
    /// When it was over.
    pub finished_at: DateTime<Utc>,
}

impl PartOutcome {
    /// Describes a kind of data with nothing more to report.
    pub fn new(
        (id, full_name): (RepositoryId, FullName),
        mirror: MirrorKind,
        part: Kind,
        finished_at: DateTime<Utc>,
    ) -> Self {
        Self {
            id,
            full_name,
            mirror,
            part,
            state: PartState::Unchanged,
            is_owed: false,
            is_whole: false,
            seen: Seen::new(),
            is_history_lost: false,
            held: None,
            totals: PartCounts::new(),
            counts: PartCounts::new(),
            failures: Vec::new(),
            transient: false,
            is_cut_off: false,
            warnings: Vec::new(),
            bytes_received: 0,
            duration_milliseconds: 0,
            finished_at,
        }
    }

    /// Says whether nothing that was wanted is missing, except what was reported before and cannot be had.
    pub fn is_complete(&self) -> bool {
        let is_good = !matches!(self.state, PartState::Failed | PartState::Postponed | PartState::Unknown);
        is_good && self.failures.is_empty() && !self.is_cut_off
    }
}

/// How one kind of data fared in all repositories of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartSums {
    /// How many mirrors are in each state.
    pub states: BTreeMap<PartState, u64>,
    /// Counts of what came.
    #[serde(default)]
    pub counts: PartCounts,
    /// Counts of what there is now, in the mirrors that were looked at.
    #[serde(default)]
    pub totals: PartCounts,
}

impl PartSums {
    /// Adds what happened in one mirror.
    pub fn add(&mut self, state: PartState, (counts, totals): (&PartCounts, &PartCounts)) {
        *self.states.entry(state).or_default() += 1;
        for (sums, more) in [(&mut self.counts, counts), (&mut self.totals, totals)] {
            for (name, count) in more {
                *sums.entry(name.clone()).or_default() += count;
            }
        }
    }
}
