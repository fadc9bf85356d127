//! The record of a run, `.ghbk/runs/ID.jsonl`, written line by line as things happen.
//!
//! Header, plan, a line for each repository that is being fetched, an outcome for each, a summary. No summary means
//! that the run is under way or was interrupted; the lock tells which. What a newcomer would get wrong: a record may
//! end in half a line, because a machine may stop at any moment; readers skip it.

use std::fs::{self, File, OpenOptions};
use std::io::Write;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{Store, StoreError};
use crate::names::{FullName, RepositoryId, RunId};
use crate::outcome::{Outcome, RunSummary, Trigger};

/// One line of a record.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Record {
    /// The first line.
    Run {
        /// The run.
        run_id: RunId,
        /// When it began.
        started_at: DateTime<Utc>,
        /// What started it.
        trigger: Trigger,
        /// The repositories asked for by name; empty: all.
        selection: Vec<FullName>,
        /// Whether configured owners were left out by `--owner`.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        is_narrowed: bool,
        /// The version of ghbk.
        version: String,
    },
    /// How many repositories the run is about to go through.
    Plan {
        /// Repositories to go through.
        repositories: u64,
    },
    /// A repository whose refs differ: its pack is being fetched.
    Fetching {
        /// Its identity.
        id: RepositoryId,
        /// Its name.
        full_name: FullName,
    },
    /// A repository that is done.
    Outcome(Outcome),
    /// A mirror, with its wiki's, of which every object was read.
    Verified(Verified),
    /// A repository that was restored into scratch and came out right.
    Restored {
        /// Its identity.
        id: RepositoryId,
        /// When.
        at: DateTime<Utc>,
    },
    /// The last line.
    Summary(RunSummary),
}

/// What was found in a mirror of which every object was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verified {
    /// Its repository.
    pub id: RepositoryId,
    /// When.
    pub at: DateTime<Utc>,
    /// What is wrong, first of all; none if nothing is.
    pub damage: Option<String>,
}

/// Writes the record of the run that holds the lock.
#[derive(Debug)]
pub struct Ledger {
    file: File,
    path: std::path::PathBuf,
}

impl Ledger {
    /// Begins a record and proves that the store takes writes.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn begin(store: &Store, header: &Record, run_id: &RunId) -> Result<Self, StoreError> {
        let path = store.own("runs").join(format!("{run_id}.jsonl"));
        let file =
            OpenOptions::new().append(true).create_new(true).open(&path).map_err(StoreError::io("create", &path))?;
        let mut ledger = Self { file, path };
        let written = ledger.write(header).and_then(|()| ledger.sync());
        if written.is_err() {
            // A record without a header says nothing; the error does.
            drop(fs::remove_file(&ledger.path));
        }
        written.map(|()| ledger)
    }

    /// Adds a line with a single write.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn write(&mut self, record: &Record) -> Result<(), StoreError> {
        let error = StoreError::io("write", &self.path);
        let mut line = match serde_json::to_vec(record) {
            Ok(line) => line,
            Err(source) => return Err(error(source.into())),
        };
        line.push(b'\n');
        self.file.write_all(&line).map_err(error)
    }

    /// Makes everything written so far durable.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn sync(&self) -> Result<(), StoreError> {
        self.file.sync_all().map_err(StoreError::io("sync", &self.path))
    }
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
    /// Repositories being fetched, without an outcome yet.
    pub fetching: Vec<FullName>,
    /// What happened so far.
    pub outcomes: Vec<Outcome>,
    /// Mirrors of which every object was read.
    pub verified: Vec<Verified>,
    /// Repositories restored into scratch, and when.
    pub restored: Vec<(RepositoryId, DateTime<Utc>)>,
    /// The last line, if the run ended in order.
    pub summary: Option<RunSummary>,
}

impl RunRecord {
    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines().filter_map(|line| serde_json::from_str::<Record>(line).ok());
        let Some(Record::Run { run_id, started_at, selection, is_narrowed, .. }) = lines.next() else { return None };
        let mut record = Self {
            run_id,
            started_at,
            is_full: selection.is_empty() && !is_narrowed,
            planned: None,
            fetching: vec![],
            outcomes: vec![],
            verified: vec![],
            restored: vec![],
            summary: None,
        };
        for line in lines {
            match line {
                Record::Run { .. } => {}
                Record::Plan { repositories } => record.planned = Some(repositories),
                Record::Fetching { full_name, .. } => record.fetching.push(full_name),
                Record::Outcome(outcome) => {
                    record.fetching.retain(|name| *name != outcome.full_name);
                    record.outcomes.push(outcome);
                }
                Record::Verified(verified) => record.verified.push(verified),
                Record::Restored { id, at } => record.restored.push((id, at)),
                Record::Summary(summary) => record.summary = Some(summary),
            }
        }
        Some(record)
    }
}

fn names_of_records(store: &Store) -> Result<Vec<String>, StoreError> {
    let folder = store.own("runs");
    let entries = match fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
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

fn read(store: &Store, name: &str) -> Result<Option<RunRecord>, StoreError> {
    let path = store.own("runs").join(name);
    let bytes = fs::read(&path).map_err(StoreError::io("read", &path))?;
    Ok(RunRecord::parse(&String::from_utf8_lossy(&bytes)))
}

/// Reads the record of one run; none if there is none.
///
/// # Errors
/// [`StoreError::Io`].
pub fn run_record(store: &Store, run_id: &RunId) -> Result<Option<RunRecord>, StoreError> {
    let name = format!("{run_id}.jsonl");
    if names_of_records(store)?.contains(&name) { read(store, &name) } else { Ok(None) }
}

/// Reads the newest record.
///
/// # Errors
/// [`StoreError::Io`].
pub fn latest_run(store: &Store) -> Result<Option<RunRecord>, StoreError> {
    for name in names_of_records(store)?.iter().rev() {
        if let Some(record) = read(store, name)? {
            return Ok(Some(record));
        }
    }
    Ok(None)
}

/// Says when the first run began whose record is there.
///
/// # Errors
/// [`StoreError::Io`].
pub fn first_run_start(store: &Store) -> Result<Option<DateTime<Utc>>, StoreError> {
    for name in names_of_records(store)? {
        if let Some(record) = read(store, &name)? {
            return Ok(Some(record.started_at));
        }
    }
    Ok(None)
}

/// Reads records, newest first, as they are asked for.
///
/// # Errors
/// [`StoreError::Io`] if the folder cannot be read.
pub fn all_runs(store: &Store) -> Result<impl Iterator<Item = Result<RunRecord, StoreError>>, StoreError> {
    let names = names_of_records(store)?;
    Ok(names.into_iter().rev().filter_map(move |name| read(store, &name).transpose()))
}

#[cfg(test)]
mod tests {
    use super::*;

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
