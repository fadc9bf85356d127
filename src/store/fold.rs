//! `.ghbk/folded.json`: what the records of long ago say, in one file, so that a store of years stays quick.
//!
//! Written by a run that holds the lock, first the file and then the records go, so that a crash in between leaves both. What
//! a newcomer would get wrong: a record that is here and in `runs/`, too, is not folded twice, only removed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::marks::Marks;
use super::records::{RunRecord, names_of_records, read};
use super::{Store, StoreError, layout};
use crate::disk::{read_at_once, replace};
use crate::git::pack::list::PackList;
use crate::names::{FullName, RepositoryId, RunId};
use crate::outcome::{Kind, Outcome, RunStatus, RunSummary, State};

/// Records that are kept as they are: of a weekly schedule those of four years, of an hourly one those of a week.
const KEPT: usize = 200;
/// Records beyond that which wait until there is a batch, because the file is written whole each time.
const BATCH: usize = 50;
/// Records that one run folds at most.
const FOLDED_MAX: usize = 100;

const FILE: &str = "folded.json";

/// Holds what the folded records said.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Folded {
    /// The runs, oldest first.
    runs: Vec<FoldedRun>,
    /// What is known of each repository from them.
    pub(super) repositories: BTreeMap<RepositoryId, FoldedRepository>,
    /// The newest run over everything that came to its end.
    pub last_complete: Option<RunSummary>,
    /// The newest run over everything that ended in order, if only by being stopped.
    pub last_full_run: Option<RunSummary>,
    /// When the newest run over everything that found all well ended.
    pub last_success: Option<DateTime<Utc>>,
    /// How many repositories each owner's listing held when it was last whole.
    pub(super) listed_by_owner: BTreeMap<String, u64>,
}

/// What is kept of one run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct FoldedRun {
    run_id: RunId,
    started_at: DateTime<Utc>,
    is_full: bool,
    /// None if it was interrupted.
    status: Option<RunStatus>,
    /// Repositories that it looked at and the run before of its kind (over everything or not) did not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    more: Vec<RepositoryId>,
    /// Repositories that the run before of its kind looked at and it did not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    fewer: Vec<RepositoryId>,
    /// Repositories that were not complete.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    incomplete: Vec<Incomplete>,
}

/// Which parts of a repository that was not complete equalled GitHub all the same.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Incomplete {
    id: RepositoryId,
    code: bool,
    wiki: bool,
}

/// What is kept of one repository.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct FoldedRepository {
    pub(super) full_name: FullName,
    /// Whether a mirror of its code was made, and not forgotten since.
    #[serde(default)]
    pub(super) had_code: bool,
    /// Whether a mirror of its wiki was made, and not forgotten since.
    #[serde(default)]
    pub(super) had_wiki: bool,
    pub(super) last_state: Option<State>,
    pub(super) last_success: Option<DateTime<Utc>>,
    pub(super) verified_at: Option<DateTime<Utc>>,
    pub(super) damage: Option<String>,
    pub(super) restored_at: Option<DateTime<Utc>>,
    /// The packs of its mirror when they were last others than before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) packs: Option<PackList>,
    /// The packs of the wiki's mirror, likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) wiki_packs: Option<PackList>,
    /// How the kinds of data beside refs stood.
    #[serde(default, skip_serializing_if = "Marks::is_empty")]
    pub(super) parts: Marks,
}

impl Folded {
    /// Reads what is folded; nothing if there is no such file.
    ///
    /// # Errors
    /// [`StoreError::Io`] if it cannot be read or understood.
    pub fn load(store: &Store) -> Result<Self, StoreError> {
        let path = store.own(FILE);
        match read_at_once(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| StoreError::io("read", &path)(error.into())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(StoreError::io("read", &path)(error)),
        }
    }

    /// Returns when the first of the runs began.
    pub fn first_start(&self) -> Option<DateTime<Utc>> {
        self.runs.iter().map(|run| run.started_at).min()
    }

    /// Returns the record of a run as far as it is kept: which repositories it looked at, and what of them equalled GitHub.
    pub fn record(&self, run_id: &RunId) -> Option<RunRecord> {
        let run = self.runs.iter().find(|run| run.run_id == *run_id)?;
        let looked_at = self.looked_at(run.is_full, Some(run_id));
        let outcomes = looked_at.into_iter().filter_map(|id| {
            let name = self.repositories.get(&id)?.full_name.clone();
            // Nothing of it changed later than this without a snapshot of its own.
            let mut outcome = Outcome::new(id, name, State::Unchanged, run.started_at);
            if let Some(parts) = run.incomplete.iter().find(|incomplete| incomplete.id == id) {
                outcome.state = State::Failed;
                outcome.head = parts.code.then(String::new);
                outcome.wiki_head = parts.wiki.then(String::new);
            }
            Some(outcome)
        });
        Some(RunRecord {
            outcomes: outcomes.collect(),
            ..RunRecord::empty(run.run_id.clone(), run.started_at, run.is_full)
        })
    }

    /// Returns the repositories that a run looked at, or the last one of its kind.
    fn looked_at(&self, is_full: bool, run_id: Option<&RunId>) -> BTreeSet<RepositoryId> {
        let mut looked_at = BTreeSet::new();
        for run in self.runs.iter().filter(|run| run.is_full == is_full) {
            looked_at.extend(&run.more);
            run.fewer.iter().for_each(|id| {
                looked_at.remove(id);
            });
            if Some(&run.run_id) == run_id {
                break;
            }
        }
        looked_at
    }

    /// Takes over a record that is newer than all before.
    fn take(&mut self, record: &RunRecord) {
        let before = self.looked_at(record.is_full, None);
        let looked_at: BTreeSet<RepositoryId> = record.outcomes.iter().map(|outcome| outcome.id).collect();
        let incomplete = record.outcomes.iter().filter(|outcome| !outcome.is_complete());
        self.runs.push(FoldedRun {
            run_id: record.run_id.clone(),
            started_at: record.started_at,
            is_full: record.is_full,
            status: record.summary.as_ref().map(|summary| summary.status),
            more: looked_at.difference(&before).copied().collect(),
            fewer: before.difference(&looked_at).copied().collect(),
            incomplete: incomplete
                .map(|it| Incomplete { id: it.id, code: it.head.is_some(), wiki: it.wiki_head.is_some() })
                .collect(),
        });
        for outcome in &record.outcomes {
            self.take_outcome(outcome);
        }
        for part in &record.parts {
            if let Some(known) = self.repositories.get_mut(&part.id) {
                known.parts.note(part);
            }
        }
        for forgotten in &record.forgotten {
            if let Some(known) = self.repositories.get_mut(&forgotten.id) {
                known.had_code &= !forgotten.parts.code;
                known.had_wiki &= !forgotten.parts.wiki;
            }
        }
        for verified in &record.verified {
            if let Some(known) = self.repositories.get_mut(&verified.id) {
                known.verified_at = Some(verified.at);
                known.damage.clone_from(&verified.damage);
            }
        }
        for (id, at) in &record.restored {
            if let Some(known) = self.repositories.get_mut(id) {
                known.restored_at = Some(*at);
            }
        }
        let Some(summary) = record.summary.as_ref().filter(|summary| summary.is_full()) else { return };
        self.last_full_run = Some(summary.clone());
        if summary.is_complete() {
            self.last_complete = Some(summary.clone());
            self.listed_by_owner.extend(summary.listed_by_owner.clone());
            if summary.status == RunStatus::Ok {
                self.last_success = Some(summary.finished_at);
            }
        }
    }

    fn take_outcome(&mut self, outcome: &Outcome) {
        let known = self.repositories.entry(outcome.id).or_insert_with(|| FoldedRepository {
            full_name: outcome.full_name.clone(),
            had_code: false,
            had_wiki: false,
            last_state: None,
            last_success: None,
            verified_at: None,
            damage: None,
            restored_at: None,
            packs: None,
            wiki_packs: None,
            parts: Marks::default(),
        });
        known.packs = outcome.packs.clone().or_else(|| known.packs.take());
        known.wiki_packs = outcome.wiki_packs.clone().or_else(|| known.wiki_packs.take());
        known.full_name.clone_from(&outcome.full_name);
        for kind in &outcome.pointers_known {
            known.parts.know(*kind, Kind::LargeFiles, outcome.finished_at);
        }
        known.had_code |= outcome.head.is_some();
        known.had_wiki |= outcome.wiki_head.is_some();
        if !outcome.is_cut_off {
            known.last_state = Some(outcome.state);
        }
        if outcome.is_complete() {
            known.last_success = Some(outcome.finished_at);
        }
        if outcome.state == State::Created {
            (known.verified_at, known.damage) = (Some(outcome.finished_at), None);
        }
    }

    /// Writes it down.
    fn save(&self, store: &Store) -> Result<(), StoreError> {
        let folder = store.root().join(layout::OWN_FOLDER);
        let path = folder.join(FILE);
        let bytes = serde_json::to_vec(self).map_err(|error| StoreError::io("write", &path)(error.into()))?;
        replace(&folder, FILE, &bytes).map_err(StoreError::from)
    }
}

/// Returns whether so many records are worth folding some of them.
pub fn is_due(records: usize) -> bool {
    records > KEPT + BATCH
}

/// Folds the oldest records. Only a run that holds the lock may do this.
///
/// # Errors
/// [`StoreError::Io`]; what could not be folded is where it was.
pub fn fold(store: &Store) -> Result<(), StoreError> {
    let names = names_of_records(store)?;
    let old = names.len().saturating_sub(KEPT);
    let mut folded = Folded::load(store)?;
    let known: BTreeSet<RunId> = folded.runs.iter().map(|run| run.run_id.clone()).collect();
    let mut gone = Vec::new();
    let mut has_more = false;
    for name in &names[..old] {
        if gone.len() == FOLDED_MAX {
            break;
        }
        match read(store, name) {
            Ok(Some(record)) if known.contains(&record.run_id) => gone.push(name),
            // A later version of ghbk reads more in it.
            Ok(Some(record)) if record.unknown_lines == 0 => {
                folded.take(&record);
                gone.push(name);
                has_more = true;
            }
            // It stays, and the next index that is rebuilt tells of it.
            Ok(_) | Err(_) => {}
        }
    }
    if has_more {
        folded.save(store)?;
    }
    for name in gone {
        let path = store.own("runs").join(name);
        fs::remove_file(&path).map_err(StoreError::io("remove", &path))?;
    }
    Ok(())
}
