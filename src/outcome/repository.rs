//! The outcome of one repository.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer, Serialize};

use super::DAMAGED;
use super::held::Held;
use crate::mirrors::{MirrorKind, MirrorSet, PerMirror};
use crate::names::{FullName, RepositoryId};

/// The state of a mirror after a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// A new mirror.
    Created,
    /// Refs moved, came or went.
    Updated,
    /// It equalled GitHub already.
    Unchanged,
    /// It could not be brought to equal GitHub.
    Failed,
    /// Something that a later version of ghbk wrote.
    #[serde(other)]
    Unknown,
}

/// Says where on its way a repository failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// Before any repository: configuration, store, secrets.
    Setup,
    /// Cleaning up after a run that ended badly.
    Recovery,
    /// Listing what exists.
    Inventory,
    /// Moving a mirror to its new name, or to the attic.
    Move,
    /// Asking, downloading, checking.
    Stage,
    /// Writing to the store.
    Publish,
    /// Proving what is stored.
    Verify,
    /// Writing the record of the run.
    Record,
    /// Something that a later version of ghbk wrote.
    #[serde(other)]
    Unknown,
}

/// Names what failed, why, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// `OWNER/NAME`, `OWNER/NAME.wiki`, or the owner whose listing failed.
    pub repository: String,
    /// Where it failed.
    pub stage: Stage,
    /// Why.
    pub error: String,
    /// What to do.
    pub hint: String,
}

impl Failure {
    /// Returns whether it tells of a damaged mirror.
    pub(crate) fn is_of_damage(&self) -> bool {
        self.error.starts_with(DAMAGED)
    }

    /// Returns whether both report the same damaged mirror.
    pub(crate) fn is_same_damage(&self, other: &Self) -> bool {
        let damage = |failure: &Self| failure.error.strip_prefix(DAMAGED).map(str::to_owned);
        let (Some(own), Some(others)) = (damage(self), damage(other)) else { return false };
        // One of them may name less: ", and 2 more".
        let first = others.split(", and ").next().unwrap_or(&others);
        self.repository == other.repository && own.contains(first)
    }
}

/// Reports what happened to one repository and its wiki.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "each is a field of the record")]
pub struct Outcome {
    /// The repository's identity.
    pub id: RepositoryId,
    /// Its name in this run.
    pub full_name: FullName,
    /// The state of its mirror.
    pub state: State,
    /// Its name before, if it was renamed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renamed_from: Option<FullName>,
    /// Branches and tags whose old tip is not an ancestor of the new one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub force_pushed: Vec<String>,
    /// Branches and tags that were deleted on GitHub.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deleted_refs: Vec<String>,
    /// Tips that GitHub has dropped and the mirror keeps since this run.
    #[serde(default)]
    pub tips_kept: u64,
    /// Packs that were merged into one.
    #[serde(default)]
    pub packs_merged: u64,
    /// Whether there are too many packs and they could not be merged; some may be left half-way.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unmerged: bool,
    /// What retention has dropped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dropped: Option<Dropped>,
    /// Whether the run was told to stop before it was done with the repository: this is what it had done by then.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_cut_off: bool,
    /// Whether it was left out, because a run died while it was fetching only this repository.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub left_out: bool,
    /// Whether its mirror was fetched anew because it was damaged.
    #[serde(default)]
    pub repaired: bool,
    /// Its mirrors of which history was lost: those that were missing and replaced, and those of which a repair could not read all.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "known_mirrors")]
    pub history_lost: Vec<MirrorKind>,
    /// The clone of another tool that its mirror was made from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adopted: Option<AdoptedClone>,
    /// Bytes received from the git server.
    pub bytes_received: u64,
    /// How long it took.
    pub duration_milliseconds: u64,
    /// What failed; the code and the wiki may each have failures.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failures: Vec<Failure>,
    /// Whether something failed that may pass by itself.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub transient: bool,
    /// What a person should know though nothing failed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// The mirrors that are there and equal GitHub, for the index.
    #[serde(flatten, with = "super::held::in_outcome")]
    pub held: PerMirror<Held>,
    /// The mirrors whose pointers to large files are all known, because all their objects were looked at.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "known_mirrors")]
    pub pointers_known: Vec<MirrorKind>,
    /// When it was over.
    pub finished_at: DateTime<Utc>,
}

impl Outcome {
    /// Describes a repository with nothing more to report.
    pub fn new(id: RepositoryId, full_name: FullName, state: State, finished_at: DateTime<Utc>) -> Self {
        Self {
            id,
            full_name,
            state,
            renamed_from: None,
            force_pushed: Vec::new(),
            deleted_refs: Vec::new(),
            tips_kept: 0,
            packs_merged: 0,
            unmerged: false,
            dropped: None,
            is_cut_off: false,
            left_out: false,
            repaired: false,
            history_lost: Vec::new(),
            adopted: None,
            bytes_received: 0,
            duration_milliseconds: 0,
            failures: Vec::new(),
            transient: false,
            warnings: Vec::new(),
            held: PerMirror::new(),
            pointers_known: Vec::new(),
            finished_at,
        }
    }

    /// Returns whether a mirror may hold packs that no record lists, because publishing to it failed
    /// part of the way.
    pub fn may_have_published(&self, mirror: MirrorKind) -> bool {
        let name = mirror.name_of(&self.full_name);
        self.failures.iter().any(|failure| failure.stage == Stage::Publish && failure.repository == name)
    }

    /// Adds the state of one of its mirrors: the code's decides; another's only adds that something is new.
    pub fn note_state(&mut self, mirror: MirrorKind, state: State) {
        if mirror == MirrorKind::Code {
            self.state = state;
        } else if self.state == State::Unchanged && state != State::Unchanged {
            self.state = State::Updated;
        }
    }

    /// Returns which mirrors of it are there and equal GitHub.
    pub fn mirrors(&self) -> MirrorSet {
        MirrorSet::keys(&self.held)
    }

    /// Returns whether everything of the repository equals GitHub now.
    pub fn is_complete(&self) -> bool {
        !matches!(self.state, State::Failed | State::Unknown) && !self.is_cut_off
    }
}

/// Leaves out mirrors that only a later version of ghbk knows.
fn known_mirrors<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<MirrorKind>, D::Error> {
    let names = Vec::<String>::deserialize(from)?;
    Ok(MirrorKind::ALL.into_iter().filter(|kind| names.iter().any(|name| name == kind.label())).collect())
}

/// Says where a clone that became a mirror was, and where it was set aside; both below the root.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdoptedClone {
    /// Before.
    pub from: String,
    /// Now.
    pub set_aside_in: String,
}

/// Counts what retention has dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dropped {
    /// Points in time that can no longer be restored.
    pub snapshots: u64,
    /// Tips that only they needed.
    pub tips: u64,
}
