//! `.ghbk/folded.json`: what the oldest records say, in one file, so that a store stays quick over the years.
//!
//! A run that holds the lock writes the file first and then removes the records, so a crash in between leaves both. What a
//! newcomer would get wrong: a record that is both here and in `runs/` is not folded twice, only removed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use super::marks::Marks;
use super::records::{RunRecord, names_of_records, read};
use super::{Store, StoreError, layout};
use crate::disk::{read_at_once, replace};
use crate::git::pack::list::PackList;
use crate::mirrors::{MirrorKind, MirrorSet, PerMirror, known_per_mirror};
use crate::names::{FullName, RepositoryId, RunId};
use crate::outcome::{Held, Kind, Outcome, RunStatus, RunSummary, State};

/// Records that are kept as they are: four years of a weekly schedule, a week of an hourly one.
const KEPT: usize = 200;
/// Further records that wait until there is a batch, because the whole file is written each time.
const BATCH: usize = 50;
/// The most records that one run folds.
const FOLDED_MAX: usize = 100;

const FILE: &str = "folded.json";

/// Holds what the folded records said.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Folded {
    /// The runs, oldest first.
    runs: Vec<FoldedRun>,
    /// What the records say of each repository.
    pub(super) repositories: BTreeMap<RepositoryId, FoldedRepository>,
    /// The newest run over everything that ran to its end.
    pub last_complete: Option<RunSummary>,
    /// The newest run over everything that ended in order, even if it was stopped.
    pub last_full_run: Option<RunSummary>,
    /// The end of the newest run over everything that found all well.
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
    /// Repositories that it looked at and the previous run of its kind (over everything or not) did not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    more: Vec<RepositoryId>,
    /// Repositories that the previous run of its kind looked at and it did not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    fewer: Vec<RepositoryId>,
    /// Repositories that were not complete.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    incomplete: Vec<Incomplete>,
}

/// Which mirrors of an incomplete repository equalled GitHub all the same.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Incomplete {
    id: RepositoryId,
    #[serde(flatten)]
    complete: MirrorSet,
}

/// What is kept of one repository.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct FoldedRepository {
    pub(super) full_name: FullName,
    /// The mirrors that were made, and not forgotten since.
    #[serde(flatten, with = "made")]
    pub(super) made: MirrorSet,
    pub(super) last_state: Option<State>,
    pub(super) last_success: Option<DateTime<Utc>>,
    #[serde(default, skip_serializing_if = "PerMirror::is_empty", deserialize_with = "known_per_mirror")]
    pub(super) history_lost_at: PerMirror<DateTime<Utc>>,
    pub(super) verified_at: Option<DateTime<Utc>>,
    pub(super) damage: Option<String>,
    pub(super) restored_at: Option<DateTime<Utc>>,
    /// The packs of its mirrors when they last changed.
    #[serde(flatten, with = "packs")]
    pub(super) packs: PerMirror<PackList>,
    /// How the kinds of data beside refs stood.
    #[serde(default, skip_serializing_if = "Marks::is_empty")]
    pub(super) parts: Marks,
}

/// `had_code`, `had_wiki`.
mod made {
    use super::{BTreeMap, Deserialize as _, Deserializer, MirrorKind, MirrorSet, Serializer, Value};

    fn field(kind: MirrorKind) -> String {
        format!("had_{}", kind.label())
    }

    pub(super) fn serialize<S: Serializer>(made: &MirrorSet, to: S) -> Result<S::Ok, S::Error> {
        to.collect_map(MirrorKind::ALL.map(|kind| (field(kind), made.contains(kind))))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<MirrorSet, D::Error> {
        let fields = BTreeMap::<String, Value>::deserialize(from)?;
        Ok(MirrorKind::ALL.into_iter().filter(|kind| fields.get(&field(*kind)) == Some(&Value::Bool(true))).collect())
    }
}

/// `packs`, `wiki_packs`.
mod packs {
    use super::{BTreeMap, Deserialize as _, Deserializer, MirrorKind, PackList, PerMirror, Serializer, Value};

    const PACKS: &str = "packs";

    pub(super) fn serialize<S: Serializer>(packs: &PerMirror<PackList>, to: S) -> Result<S::Ok, S::Error> {
        to.collect_map(packs.iter().map(|(kind, packs)| (kind.field(PACKS), packs)))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<PerMirror<PackList>, D::Error> {
        let mut fields = BTreeMap::<String, Value>::deserialize(from)?;
        let mut packs = PerMirror::new();
        for kind in MirrorKind::ALL {
            if let Some(told) = fields.remove(&kind.field(PACKS)).filter(|told| !told.is_null()) {
                packs.insert(kind, serde_json::from_value(told).map_err(serde::de::Error::custom)?);
            }
        }
        Ok(packs)
    }
}

impl Folded {
    /// Reads what is folded; nothing if there is no such file.
    ///
    /// # Errors
    /// [`StoreError::Disk`] if it cannot be read or understood.
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

    /// Returns what is kept of a run's record: which repositories it looked at, and which of their mirrors equalled GitHub.
    pub fn record(&self, run_id: &RunId) -> Option<RunRecord> {
        let run = self.runs.iter().find(|run| run.run_id == *run_id)?;
        let looked_at = self.looked_at(run.is_full, Some(run_id));
        let outcomes = looked_at.into_iter().filter_map(|id| {
            let name = self.repositories.get(&id)?.full_name.clone();
            // Nothing in it changed after this time without a snapshot of its own.
            let mut outcome = Outcome::new(id, name, State::Unchanged, run.started_at);
            if let Some(parts) = run.incomplete.iter().find(|incomplete| incomplete.id == id) {
                outcome.state = State::Failed;
                outcome.held = parts.complete.iter().map(|kind| (kind, Held::default())).collect();
            }
            Some(outcome)
        });
        Some(RunRecord {
            outcomes: outcomes.collect(),
            ..RunRecord::empty(run.run_id.clone(), run.started_at, run.is_full)
        })
    }

    /// Returns the repositories that a run looked at; without an id, the last run of its kind.
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

    /// Adds a record that is newer than all before.
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
            incomplete: incomplete.map(|it| Incomplete { id: it.id, complete: it.mirrors() }).collect(),
        });
        for outcome in &record.outcomes {
            self.take_outcome(outcome);
        }
        for part in &record.parts {
            if let Some(known) = self.repositories.get_mut(&part.id) {
                known.parts.note(part);
                if let Some(held) = &part.held {
                    known.made.add(&part.mirror.into());
                    known.packs.extend(held.packs.clone().map(|packs| (part.mirror, packs)));
                }
            }
        }
        for forgotten in &record.forgotten {
            if let Some(known) = self.repositories.get_mut(&forgotten.id) {
                known.made.remove(&forgotten.parts);
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
            made: MirrorSet::default(),
            last_state: None,
            last_success: None,
            history_lost_at: PerMirror::new(),
            verified_at: None,
            damage: None,
            restored_at: None,
            packs: PerMirror::new(),
            parts: Marks::default(),
        });
        let told = outcome.held.iter().filter_map(|(kind, held)| Some((*kind, held.packs.clone()?)));
        known.packs.extend(told);
        known.full_name.clone_from(&outcome.full_name);
        for kind in &outcome.pointers_known {
            known.parts.know(*kind, Kind::LargeFiles, outcome.finished_at);
        }
        known.made.add(&outcome.mirrors());
        if !outcome.is_cut_off {
            known.last_state = Some(outcome.state);
        }
        if outcome.is_complete() {
            known.last_success = Some(outcome.finished_at);
        }
        for kind in &outcome.history_lost {
            known.history_lost_at.insert(*kind, outcome.finished_at);
            if !outcome.repaired {
                (known.verified_at, known.damage) = (Some(outcome.finished_at), None);
            }
        }
        if outcome.state == State::Created {
            (known.verified_at, known.damage) = (Some(outcome.finished_at), None);
        }
    }

    /// Writes the file.
    fn save(&self, store: &Store) -> Result<(), StoreError> {
        let folder = store.root().join(layout::OWN_FOLDER);
        let path = folder.join(FILE);
        let bytes = serde_json::to_vec(self).map_err(|error| StoreError::io("write", &path)(error.into()))?;
        replace(&folder, FILE, &bytes).map_err(StoreError::from)
    }
}

/// Returns whether there are so many records that some are worth folding.
pub fn is_due(records: usize) -> bool {
    records > KEPT + BATCH
}

/// Folds the oldest records. Only a run that holds the lock may do this.
///
/// # Errors
/// [`StoreError::Disk`]; what could not be folded stays where it was.
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
            // A later version of ghbk can read more in a record with unknown lines.
            Ok(Some(record)) if record.unknown_lines == 0 => {
                folded.take(&record);
                gone.push(name);
                has_more = true;
            }
            // It stays, and the next rebuild of the index reports it.
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_was_folded_is_read_and_written_as_ever() {
        let packs = json!(["0123456789abcdef0123456789abcdef01234567 100 200"]);
        let repository = json!({
            "full_name": "acme/site", "had_code": true, "had_wiki": false, "had_metadata": false, "last_state": "updated", "last_success": null,
            "verified_at": null, "damage": null, "restored_at": null, "packs": packs
        });
        let run = json!({
            "run_id": "20261129T050000.000Z", "started_at": "2026-11-29T05:00:00Z", "is_full": true, "status": "partial",
            "more": [1], "incomplete": [{"id": 1, "code": false, "wiki": true, "metadata": false}]
        });
        let text = json!({
            "runs": [run], "repositories": {"1": repository}, "last_complete": null, "last_full_run": null,
            "last_success": null, "listed_by_owner": {}
        });
        let folded: Folded = serde_json::from_value(text.clone()).unwrap();
        let known = &folded.repositories[&RepositoryId(1)];
        assert_eq!((&known.made, known.packs.len()), (&MirrorKind::Code.into(), 1));
        let record = folded.record(&"20261129T050000.000Z".parse().unwrap()).unwrap();
        assert_eq!(record.outcomes[0].mirrors(), MirrorKind::Wiki.into());
        assert_eq!(serde_json::to_value(folded).unwrap(), text);
    }
}
