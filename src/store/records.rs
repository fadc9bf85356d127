//! The records of runs, read back as far as they go: a run may have been cut off in the middle of a line, and a later version of
//! ghbk may have written what this one does not know.

use std::collections::BTreeMap;
use std::{fs, io};

use chrono::{DateTime, Utc};

use super::fold::Folded;
use super::ledger::{Forgotten, Record, Verified};
use super::{Store, StoreError};
use crate::disk::read_at_once;
use crate::names::{FullName, RepositoryId, RunId};
use crate::outcome::{Happened, Outcome, PartOutcome, RunEnd, RunHeader, RunStatus, RunSummary};

/// Work on a repository that may kill the process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnderWay {
    /// Its name.
    pub full_name: FullName,
    /// Whether nothing else is under way beside it.
    pub is_alone: bool,
}

/// Holds what the record of one run says.
#[derive(Clone, Debug)]
pub struct RunRecord {
    /// The run.
    pub run_id: RunId,
    /// When it began.
    pub started_at: DateTime<Utc>,
    /// Whether the run is over everything.
    pub is_full: bool,
    /// Repositories to go through, once known.
    pub planned: Option<u64>,
    /// Repositories under way, without a result yet.
    pub in_flight: BTreeMap<RepositoryId, UnderWay>,
    /// What happened so far.
    pub outcomes: Vec<Outcome>,
    /// The outcomes of the kinds of data beside refs.
    pub parts: Vec<PartOutcome>,
    /// Mirrors whose objects were all read.
    pub verified: Vec<Verified>,
    /// Repositories restored into scratch, and when.
    pub restored: Vec<(RepositoryId, DateTime<Utc>)>,
    /// Mirrors that are missing on purpose.
    pub forgotten: Vec<Forgotten>,
    /// The last line, if the run ended in order.
    pub summary: Option<RunSummary>,
    /// How many lines this version of ghbk cannot read, though they are whole: a later version wrote them.
    pub unknown_lines: u64,
}

impl RunRecord {
    /// Reads a record as far as it goes; none if it does not begin with its header.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines().filter_map(Line::parse);
        let Some(Line::Known(first)) = lines.next() else { return None };
        let Record::Run { run_id, started_at, trigger, selection, is_narrowed, .. } = *first else { return None };
        let is_full = selection.is_empty() && !is_narrowed;
        let mut record = Self::empty(run_id.clone(), started_at, is_full);
        let header = RunHeader { run_id, trigger, selection, is_narrowed, started_at };
        for line in lines {
            match line {
                Line::Known(line) => record.take(*line),
                Line::UnknownSummary => {
                    record.unknown_lines += 1;
                    record.summary = Some(unknown_summary(header.clone()));
                }
                Line::Unknown => record.unknown_lines += 1,
            }
        }
        Some(record)
    }

    /// Describes a run of which nothing more is known.
    pub(super) fn empty(run_id: RunId, started_at: DateTime<Utc>, is_full: bool) -> Self {
        Self {
            run_id,
            started_at,
            is_full,
            planned: None,
            in_flight: BTreeMap::new(),
            outcomes: vec![],
            parts: vec![],
            verified: vec![],
            restored: vec![],
            forgotten: vec![],
            summary: None,
            unknown_lines: 0,
        }
    }

    fn take(&mut self, line: Record) {
        match line {
            Record::Run { .. } => {}
            Record::Plan { repositories } => self.planned = Some(repositories),
            Record::UnderWay { id, full_name, is_alone } => {
                self.in_flight.insert(id, UnderWay { full_name, is_alone });
            }
            Record::Outcome(outcome) => {
                self.in_flight.remove(&outcome.id);
                self.outcomes.push(*outcome);
            }
            Record::Part(part) => {
                // Its refs may still be under way.
                if self.outcomes.iter().any(|outcome| outcome.id == part.id) {
                    self.in_flight.remove(&part.id);
                }
                self.parts.push(part);
            }
            Record::Verified(verified) => {
                self.in_flight.remove(&verified.id);
                self.verified.push(verified);
            }
            Record::Restored { id, at } => {
                self.in_flight.remove(&id);
                self.restored.push((id, at));
            }
            Record::Forgotten(forgotten) => self.forgotten.push(forgotten),
            Record::Summary(summary) => self.summary = Some(*summary),
            Record::Unknown => self.unknown_lines += 1,
        }
    }
}

/// One line of a record, as far as this version of ghbk understands it.
pub(super) enum Line {
    Known(Box<Record>),
    /// The run has ended, in a way that only a later version knows.
    UnknownSummary,
    Unknown,
}

impl Line {
    /// Reads a line; none if it is not whole.
    fn parse(line: &str) -> Option<Self> {
        if let Ok(record) = serde_json::from_str(line) {
            return Some(Self::Known(Box::new(record)));
        }
        let value: serde_json::Value = serde_json::from_str(line).ok()?;
        let is_summary = value.get("kind").is_some_and(|kind| kind == "summary");
        Some(if is_summary { Self::UnknownSummary } else { Self::Unknown })
    }
}

/// Stands in for the summary of a later version, which says nothing to this one except that the run has ended. The store is
/// then searched as after a run that did not end well.
pub(super) fn unknown_summary(header: RunHeader) -> RunSummary {
    let ended_at = header.started_at;
    RunSummary {
        status: RunStatus::Unknown,
        warnings: vec!["its summary is of a later version of ghbk, and cannot be read by this one".to_owned()],
        ..RunSummary::new(header, RunEnd::Stopped, ended_at, Happened::default())
    }
}

pub(super) fn names_of_records(store: &Store) -> Result<Vec<String>, StoreError> {
    let folder = store.own("runs");
    let entries = match fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(StoreError::io("read", &folder)(error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let name = entry.map_err(StoreError::io("read", &folder))?.file_name().to_string_lossy().into_owned();
        if name.ends_with(".jsonl") {
            names.push(name);
        }
    }
    // Names begin with the time.
    names.sort_unstable();
    Ok(names)
}

pub(super) fn read(store: &Store, name: &str) -> Result<Option<RunRecord>, StoreError> {
    let path = store.own("runs").join(name);
    let bytes = read_at_once(&path).map_err(StoreError::io("read", &path))?;
    Ok(RunRecord::parse(&String::from_utf8_lossy(&bytes)))
}

/// Reads the record of one run; none if there is none.
///
/// # Errors
/// [`StoreError::Disk`].
pub fn run_record(store: &Store, run_id: &RunId) -> Result<Option<RunRecord>, StoreError> {
    let name = format!("{run_id}.jsonl");
    if names_of_records(store)?.contains(&name) {
        return read(store, &name);
    }
    Ok(Folded::load(store)?.record(run_id))
}

/// The newest record, as far as it can be read.
#[derive(Debug)]
pub struct Latest {
    /// The last id of all records, whether that record can be read or not.
    pub id: Option<RunId>,
    /// The newest record, if it can be read.
    pub record: Result<Option<RunRecord>, StoreError>,
    /// How many records there are.
    pub count: usize,
    /// Whether there is a newer one without a header: the run was cut off before it did anything, or somebody damaged it.
    pub is_cut_off: bool,
}

impl Latest {
    /// Returns the newest record if its run ended in order.
    pub fn ended(&self) -> Option<&RunRecord> {
        let record = self.record.as_ref().ok().and_then(Option::as_ref);
        record.filter(|record| record.summary.is_some() && !self.is_cut_off)
    }
}

/// Reads the newest record, and reports one that cannot be read.
///
/// # Errors
/// [`StoreError::Disk`] if the folder cannot be read.
pub fn latest(store: &Store) -> Result<Latest, StoreError> {
    let names = names_of_records(store)?;
    let id = names.iter().rev().find_map(|name| name.strip_suffix(".jsonl")?.parse().ok());
    let (count, mut is_cut_off) = (names.len(), false);
    for name in names.iter().rev() {
        match read(store, name) {
            Ok(None) => is_cut_off = true,
            record => return Ok(Latest { id, record, count, is_cut_off }),
        }
    }
    Ok(Latest { id, record: Ok(None), count, is_cut_off })
}

/// Returns the start of the first recorded run.
///
/// # Errors
/// [`StoreError::Disk`].
pub fn first_run_start(store: &Store) -> Result<Option<DateTime<Utc>>, StoreError> {
    if let Some(start) = Folded::load(store)?.first_start() {
        return Ok(Some(start));
    }
    for name in names_of_records(store)? {
        if let Some(record) = read(store, &name)? {
            return Ok(Some(record.started_at));
        }
    }
    Ok(None)
}

/// Returns the last name of each repository, according to the records.
///
/// # Errors
/// [`StoreError::Disk`] if the folder, or what is folded, cannot be read.
pub fn recorded_names(store: &Store) -> Result<BTreeMap<RepositoryId, FullName>, StoreError> {
    let mut names = BTreeMap::new();
    for record in all_runs(store)?.filter_map(Result::ok) {
        for outcome in record.outcomes {
            names.entry(outcome.id).or_insert(outcome.full_name);
        }
    }
    for (id, repository) in Folded::load(store)?.repositories {
        names.entry(id).or_insert(repository.full_name);
    }
    Ok(names)
}

/// Finds the repositories that once had a name, according to the records; the one that had it last comes first.
///
/// # Errors
/// [`StoreError::Disk`] if the folder cannot be read.
pub fn repositories_once_called(store: &Store, name: &FullName) -> Result<Vec<RepositoryId>, StoreError> {
    let mut found = Vec::new();
    for outcome in all_runs(store)?.filter_map(Result::ok).flat_map(|record| record.outcomes) {
        let had_it = outcome.full_name.same_as(name) || outcome.renamed_from.is_some_and(|from| from.same_as(name));
        if had_it && !found.contains(&outcome.id) {
            found.push(outcome.id);
        }
    }
    Ok(found)
}

/// Reads records one by one, as they are needed, newest first.
///
/// # Errors
/// [`StoreError::Disk`] if the folder cannot be read.
pub fn all_runs(store: &Store) -> Result<impl Iterator<Item = Result<RunRecord, StoreError>>, StoreError> {
    let names = names_of_records(store)?;
    Ok(names.into_iter().rev().filter_map(move |name| read(store, &name).transpose()))
}

/// Returns the ids of all recorded runs, oldest first.
///
/// # Errors
/// [`StoreError::Disk`] if the folder cannot be read.
pub fn run_ids(store: &Store) -> Result<Vec<RunId>, StoreError> {
    let names = names_of_records(store)?;
    Ok(names.iter().filter_map(|name| name.strip_suffix(".jsonl")?.parse().ok()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Regression: after a downgrade, a line with a word that this version does not know was skipped whole, and a run whose
    /// summary held one counted as interrupted.
    #[test]
    fn what_a_later_version_wrote_is_read_as_far_as_it_is_known() {
        let header = r#"{"kind":"run","run_id":"1","started_at":"2026-11-24T00:00:00Z","trigger":"moon","selection":[],"version":"9"}"#;
        let outcome = r#"{"kind":"outcome","id":1,"full_name":"acme/site","state":"frozen","bytes_received":0,"duration_milliseconds":0,"failures":[{"repository":"acme/site","stage":"lfs","error":"e","hint":"h"}],"finished_at":"2026-11-24T00:00:01Z","more":{}}"#;
        let part = r#"{"kind":"part","id":1,"of":"issues"}"#;
        let summary = |status: &str, counts: &str| {
            format!(
                r#"{{"kind":"summary","run_id":"1","trigger":"moon","started_at":"2026-11-24T00:00:00Z","finished_at":"2026-11-24T00:00:02Z","status":"{status}","counts":{counts},"bytes_received":0,"failures":[],"warnings":[]}}"#
            )
        };
        let counts = r#"{"listed":1,"created":0,"updated":0,"unchanged":0,"renamed":0,"gone":0,"failed":0,"frozen":1}"#;
        for (status, counts, unknown) in [("ok", counts, 1), ("thawing", counts, 1), ("ok", "\"many\"", 2)] {
            let text = format!("{header}\n{part}\n{outcome}\n{}\n", summary(status, counts));
            let record = RunRecord::parse(&text).unwrap();
            assert_eq!(record.outcomes[0].state, crate::outcome::State::Unknown);
            assert_eq!(record.outcomes[0].failures[0].stage, crate::outcome::Stage::Unknown);
            assert_eq!(record.unknown_lines, unknown, "{status} {counts}");
            let ended = record.summary.expect("the run has ended");
            let expected = if (status, unknown) == ("ok", 1) { RunStatus::Ok } else { RunStatus::Unknown };
            assert_eq!(ended.status, expected, "{status} {counts}");
        }
    }

    #[test]
    fn a_record_cut_anywhere_is_read_as_far_as_it_goes() {
        let header = r#"{"kind":"run","run_id":"1","started_at":"2026-11-24T00:00:00Z","trigger":"manual","selection":[],"version":"0"}"#;
        let text = format!("{header}\n{{\"kind\":\"plan\",\"repositories\":3}}\n");
        assert_eq!(RunRecord::parse(&text).unwrap().planned, Some(3));
        for end in 0..text.len() {
            let record = RunRecord::parse(&text[..end]);
            assert_eq!(record.is_some(), end >= header.len(), "cut at {end}");
        }
    }
}
