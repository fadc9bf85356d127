//! `.ghbk/index.json`: what the mirrors and the records say, in one file, so that planning a thousand repositories
//! does not open a thousand files.
//!
//! Derived, never the truth: it counts only if it was written at the end of the newest run. After an interrupted
//! run, or when it is missing, it is rebuilt from the mirrors and the records.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::ledger::{Forgotten, Verified};
use super::marks::Marks;
use super::records::{RunRecord, all_runs, latest};
use super::scan::Unreadable;
use super::{Store, StoreError};
use crate::disk::{read_at_once, replace};
use crate::git::pack::list::PackList;
use crate::mirrors::{MirrorKind, MirrorSet, PerMirror, known_per_mirror};
use crate::names::{FullName, RepositoryId, RunId, Wanted};
use crate::outcome::{Held, Holdings, Kind, Outcome, PartOutcome, RunStatus, RunSummary, STORED_BYTES, State};

/// Holds what planning and status need to know.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Index {
    /// The newest run when it was written; none if it was rebuilt.
    pub run_id: Option<RunId>,
    /// The start of the last run over everything that ran to its end.
    pub last_complete_start: Option<DateTime<Utc>>,
    /// The end of the last run over everything that found all well.
    pub last_success: Option<DateTime<Utc>>,
    /// How many repositories each owner's listing held in the last complete run.
    pub listed_by_owner: BTreeMap<String, u64>,
    /// Repositories that were being fetched when a run died, and whether each was alone then.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub suspects: BTreeMap<RepositoryId, bool>,
    /// Every mirror.
    pub mirrors: BTreeMap<RepositoryId, IndexedMirror>,
    /// Mirrors that were here once, according to the records, and are missing now.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub lost: BTreeMap<RepositoryId, MirrorSet>,
    /// What could not be read when it was rebuilt, or was not as the previous index knew it.
    #[serde(skip)]
    pub unreadable: Vec<Unreadable>,
}

/// Describes one mirror.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexedMirror {
    /// The repository's name at the last run.
    pub full_name: FullName,
    /// Where it lies, relative to the root and without suffix.
    pub place: PathBuf,
    /// Its mirrors. If the code's could not be made yet, there may be others all the same.
    #[serde(flatten, with = "crate::outcome::held::in_index")]
    pub held: PerMirror<Held>,
    /// When it was last known to equal GitHub.
    pub last_success: Option<DateTime<Utc>>,
    /// How its last run ended.
    pub last_state: Option<State>,
    /// Whether GitHub no longer lists it.
    #[serde(default)]
    pub gone: bool,
    /// When all its objects were last read and hashed.
    #[serde(default)]
    pub verified_at: Option<DateTime<Utc>>,
    /// When it was last restored into scratch.
    #[serde(default)]
    pub restored_at: Option<DateTime<Utc>>,
    /// When a mirror that was missing was last replaced: the history before was lost with it.
    #[serde(default, skip_serializing_if = "PerMirror::is_empty", deserialize_with = "known_per_mirror")]
    pub history_lost_at: PerMirror<DateTime<Utc>>,
    /// What was wrong with it when it was last read.
    #[serde(default)]
    pub damage: Option<String>,
    /// How the kinds of data beside refs stand in its mirrors; what is not here was never looked at.
    #[serde(default, skip_serializing_if = "Marks::is_empty")]
    pub parts: Marks,
    /// Whether it must stay where it is in this run: only the previous index says which repository it belongs to, or it could
    /// not be put into its place.
    #[serde(skip)]
    pub is_unconfirmed: bool,
}

impl IndexedMirror {
    /// Describes a repository of which nothing is known except that its code has a mirror.
    pub fn new(full_name: FullName, place: PathBuf) -> Self {
        Self {
            full_name,
            place,
            held: PerMirror::from([(MirrorKind::Code, Held::default())]),
            last_success: None,
            history_lost_at: PerMirror::new(),
            last_state: None,
            gone: false,
            verified_at: None,
            restored_at: None,
            damage: None,
            parts: Marks::default(),
            is_unconfirmed: false,
        }
    }

    /// Returns which mirrors of it there are on the store.
    pub fn kinds(&self) -> MirrorSet {
        MirrorSet::keys(&self.held)
    }

    /// Returns the mirror that says which repository they all belong to.
    pub fn main_kind(&self) -> MirrorKind {
        self.held.keys().next().copied().unwrap_or(MirrorKind::Code)
    }

    /// Says whether all of its pointers to large files are known; those of mirrors that an older ghbk made are not.
    pub fn has_known_pointers(&self) -> bool {
        self.held.keys().all(|kind| self.has_known_pointers_in(*kind))
    }

    /// Says the same for one of its mirrors.
    pub fn has_known_pointers_in(&self, mirror: MirrorKind) -> bool {
        self.parts.get(mirror, Kind::LargeFiles).is_some_and(|mark| mark.is_whole)
    }

    /// Adds up what its packs and large files take, in bytes; none if its packs are not known.
    pub fn size_bytes(&self) -> Option<u64> {
        let packs = self.held.values().map(|held| held.packs.as_ref().map(PackList::bytes)).sum::<Option<u64>>()?;
        let large_files = self.parts.iter().filter_map(|(_, _, mark)| mark.totals.get(STORED_BYTES));
        Some(packs + large_files.sum::<u64>())
    }

    /// Says whether it lies in the attic, because another repository took its name.
    pub fn is_set_aside(&self) -> bool {
        self.place.starts_with(super::layout::attic_folder())
    }
}

const FILE: &str = "index.json";

impl Index {
    /// Reads the index if it is that of the newest run, else rebuilds it.
    ///
    /// # Errors
    /// [`StoreError::Disk`] if mirrors or records cannot be read.
    pub fn load(store: &Store, newest: Option<&RunRecord>) -> Result<Self, StoreError> {
        Self::confirm(Self::stored(store), store, newest)
    }

    /// Reads the index as it is stored; none if it cannot be read.
    pub(crate) fn stored(store: &Store) -> Option<Self> {
        read_at_once(&store.own(FILE)).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok())
    }

    /// Returns the stored index if it is that of the newest run, else rebuilds it.
    ///
    /// # Errors
    /// [`StoreError::Disk`] if mirrors or records cannot be read.
    pub(crate) fn confirm(stored: Option<Self>, store: &Store, newest: Option<&RunRecord>) -> Result<Self, StoreError> {
        match (stored, newest) {
            (Some(index), Some(newest))
                if newest.summary.is_some() && index.run_id.as_ref() == Some(&newest.run_id) =>
            {
                Ok(index)
            }
            (stored, _) => Self::rebuild(store, stored.unwrap_or_default()),
        }
    }

    /// Reads the index for a command that only looks, even while a run is under way.
    ///
    /// # Errors
    /// [`StoreError::Disk`] if mirrors or records cannot be read.
    pub fn current(store: &Store) -> Result<Self, StoreError> {
        let latest = latest(store)?;
        let newest = match &latest.record {
            Ok(Some(newest)) if newest.summary.is_none() && super::is_locked(store)? => newest,
            _ => return Self::load(store, latest.ended()),
        };
        // The index is that of the previous run; what has happened since is in the record. Scanning every mirror would
        // take the store's time from the run.
        let before = all_runs(store)?.filter_map(Result::ok).find(|record| record.run_id != newest.run_id);
        let mut index = Self::load(store, before.as_ref())?;
        for outcome in &newest.outcomes {
            index.record(outcome, &super::layout::place(&outcome.full_name));
        }
        for part in &newest.parts {
            index.record_part(part);
        }
        Ok(index)
    }

    /// Counts what the store holds.
    pub fn holdings(&self) -> Holdings {
        Holdings {
            repositories: self.mirrors.len() as u64,
            bytes: self.mirrors.values().filter_map(IndexedMirror::size_bytes).sum(),
        }
    }

    /// Finds the mirrors that a person may mean: the one in its place first, then those set aside, newest id first.
    pub fn find(&self, wanted: &Wanted) -> Vec<(RepositoryId, &IndexedMirror)> {
        let name = match wanted {
            Wanted::Id(id) => return self.mirrors.get(id).map(|mirror| (*id, mirror)).into_iter().collect(),
            Wanted::Name(name) => name,
        };
        let mirrors = self.mirrors.iter().filter(|(_, mirror)| mirror.full_name.same_as(name));
        let mut found: Vec<_> = mirrors.map(|(id, mirror)| (*id, mirror)).collect();
        found.sort_by_key(|(id, mirror)| (mirror.is_set_aside(), std::cmp::Reverse(*id)));
        found
    }

    /// Takes out a mirror that is no longer in its place, and remembers that it was there.
    pub fn lose(&mut self, id: RepositoryId) {
        if let Some(mirror) = self.mirrors.remove(&id) {
            self.lost.insert(id, mirror.kinds());
        }
    }

    /// Forgets mirrors that are missing on purpose.
    pub fn forget(&mut self, forgotten: &Forgotten) {
        let Forgotten { id, parts, .. } = forgotten;
        if let Some(mirror) = self.mirrors.get_mut(id) {
            for kind in parts.iter() {
                mirror.held.remove(&kind);
                mirror.parts.forget(kind);
            }
            if mirror.held.is_empty() {
                self.mirrors.remove(id);
            }
        }
        if let Some(lost) = self.lost.get_mut(id) {
            lost.remove(parts);
        }
        self.lost.retain(|_, lost| !lost.is_empty());
        self.unreadable.retain(|it| it.id != Some(*id));
    }

    /// Notes new mirrors that wait for their place: only a sweep puts them there, except for those that are homeless.
    pub fn leave_replacements(&mut self, homeless: &HashSet<RepositoryId>) {
        for (id, mirror) in &mut self.mirrors {
            mirror.is_unconfirmed |= super::layout::is_replacement(&mirror.place) && !homeless.contains(id);
        }
    }

    /// Finds what may be the mirror of a repository that the index does not know.
    pub fn may_be_of(&self, id: RepositoryId, name: &FullName) -> Option<&Unreadable> {
        self.unreadable.iter().find(|unreadable| match unreadable.id {
            // A missing mirror is made anew.
            Some(of) => of == id && super::layout::id_of_place_between(&unreadable.place).is_some(),
            None => unreadable.place.starts_with(name.owner()),
        })
    }

    /// Adds what happened to one repository.
    pub fn record(&mut self, outcome: &Outcome, place: &Path) {
        if outcome.left_out {
            self.suspects.insert(outcome.id, false);
        } else {
            self.suspects.remove(&outcome.id);
        }
        let has_mirror = !outcome.held.is_empty();
        if let Some(lost) = self.lost.get_mut(&outcome.id) {
            lost.remove(&outcome.mirrors());
        }
        self.lost.retain(|_, lost| !lost.is_empty());
        if !outcome.is_complete() && !self.mirrors.contains_key(&outcome.id) && !has_mirror {
            return; // it has no mirror yet
        }
        let mirror = self.mirrors.entry(outcome.id).or_insert_with(|| {
            let new = IndexedMirror::new(outcome.full_name.clone(), place.to_owned());
            if has_mirror { IndexedMirror { held: PerMirror::new(), ..new } } else { new }
        });
        let had_others = !mirror.held.is_empty() && !mirror.held.contains_key(&MirrorKind::Code);
        mirror.full_name.clone_from(&outcome.full_name);
        if !outcome.is_cut_off {
            mirror.last_state = Some(outcome.state);
        }
        mirror.gone = false;
        for (kind, told) in &outcome.held {
            mirror.held.entry(*kind).or_default().head.clone_from(&told.head);
        }
        for (kind, held) in &mut mirror.held {
            let told = outcome.held.get(kind).and_then(|told| told.packs.as_ref());
            if told.is_some() || outcome.may_have_published(*kind) {
                held.packs = told.cloned();
            }
        }
        for kind in &outcome.pointers_known {
            mirror.parts.know(*kind, Kind::LargeFiles, outcome.finished_at);
        }
        if outcome.is_complete() {
            mirror.last_success = Some(outcome.finished_at);
        }
        for kind in &outcome.history_lost {
            mirror.history_lost_at.insert(*kind, outcome.finished_at);
            if !outcome.repaired {
                // What was wrong with it went with the old one.
                mirror.damage = None;
                mirror.verified_at = Some(outcome.finished_at);
            }
        }
        if outcome.state == State::Created && !had_others {
            // Every object was hashed on its way here, and the packs were read back.
            mirror.verified_at = Some(outcome.finished_at);
            mirror.damage = None;
        }
    }

    /// Adds what happened to a kind of data beside refs.
    pub fn record_part(&mut self, outcome: &PartOutcome) {
        if let Some(held) = &outcome.held {
            // Its code may not have been fetched yet.
            let new = || IndexedMirror {
                held: PerMirror::new(),
                ..IndexedMirror::new(outcome.full_name.clone(), super::layout::place(&outcome.full_name))
            };
            let mirror = self.mirrors.entry(outcome.id).or_insert_with(new);
            mirror.held.insert(outcome.mirror, held.clone());
            if outcome.is_history_lost {
                mirror.history_lost_at.insert(outcome.mirror, outcome.finished_at);
            }
            if let Some(lost) = self.lost.get_mut(&outcome.id) {
                lost.remove(&outcome.mirror.into());
            }
            self.lost.retain(|_, lost| !lost.is_empty());
        }
        let Some(mirror) = self.mirrors.get_mut(&outcome.id) else { return };
        mirror.parts.note(outcome);
        if !outcome.is_complete() && !outcome.is_cut_off {
            mirror.last_state = Some(State::Failed);
        }
    }

    /// Adds what was found in a mirror.
    pub fn verified(&mut self, verified: &Verified) {
        self.suspects.remove(&verified.id);
        if let Some(mirror) = self.mirrors.get_mut(&verified.id) {
            mirror.verified_at = Some(verified.at);
            mirror.damage.clone_from(&verified.damage);
        }
    }

    /// Notes that a repository was restored.
    pub fn restored(&mut self, id: RepositoryId, at: DateTime<Utc>) {
        if let Some(mirror) = self.mirrors.get_mut(&id) {
            mirror.restored_at = Some(at);
        }
    }

    /// Notes how the run ended.
    pub fn close(&mut self, summary: &RunSummary) {
        self.run_id = Some(summary.run_id.clone());
        if summary.is_complete() {
            self.last_complete_start = Some(summary.started_at);
            self.listed_by_owner.extend(summary.listed_by_owner.clone());
            if summary.status == RunStatus::Ok {
                self.last_success = Some(summary.finished_at);
            }
        }
    }

    /// Writes the index.
    ///
    /// # Errors
    /// [`StoreError::Disk`]; the next run rebuilds it.
    pub fn save(&self, store: &Store) -> Result<(), StoreError> {
        let folder = store.root().join(super::layout::OWN_FOLDER);
        let error = StoreError::io("write", &folder.join(FILE));
        let bytes = match serde_json::to_vec_pretty(self) {
            Ok(bytes) => bytes,
            Err(source) => return Err(error(source.into())),
        };
        replace(&folder, FILE, &bytes).map_err(StoreError::from)
    }
}
