//! The record of a run, `.ghbk/runs/ID.jsonl`, written line by line as things happen.
//!
//! Header, plan, a line for each repository that is being fetched, an outcome for each, a summary. No summary means
//! that the run is under way or was interrupted; the lock tells which. What a newcomer would get wrong: a record may
//! end in half a line, because a machine may stop at any moment; readers skip it.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::fold::Folded;
use super::{Lost, Store, StoreError};
use crate::disk::read_at_once;
use crate::names::{FullName, RepositoryId, RunId};
use crate::outcome::{Happened, Outcome, RunEnd, RunHeader, RunStatus, RunSummary, Trigger};

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
    /// A repository with which something is done that may end the process: its pack is being fetched, or its mirror is
    /// verified, merged or restored.
    #[serde(rename = "fetching")]
    UnderWay {
        /// Its identity.
        id: RepositoryId,
        /// Its name.
        full_name: FullName,
        /// Whether nothing else is under way, because it may have ended the run before.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        is_alone: bool,
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
    /// A mirror that a person means to be gone.
    Forgotten(Forgotten),
    /// The last line.
    Summary(RunSummary),
    /// A line that a later version of ghbk wrote.
    #[serde(other)]
    Unknown,
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

/// Names a repository whose mirrors are meant to be gone, so that no run misses them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forgotten {
    /// Its identity.
    pub id: RepositoryId,
    /// The last name that is known of it.
    pub full_name: FullName,
    /// Which of its mirrors.
    #[serde(flatten)]
    pub parts: Lost,
}

/// Writes the record of the run that holds the lock; clones write the same one.
///
/// Lines are written on a thread of their own, all that wait in a single write: on EFS each write takes milliseconds, and
/// a run over a thousand repositories must not wait for a thousand of them.
#[derive(Clone, Debug)]
pub struct Ledger {
    orders: SyncSender<Order>,
    failure: Arc<Mutex<Option<io::Error>>>,
    path: PathBuf,
}

/// Lines that wait at most; a store that does not answer stops the run here instead of filling memory.
const WAITING_LINES_MAX: usize = 1024;

/// What the writing thread is asked to do.
#[derive(Debug)]
enum Order {
    Write(Vec<u8>),
    /// Makes everything before durable, then says so.
    Sync(SyncSender<()>),
}

impl Ledger {
    /// Begins a record; [`Self::prove`] must be asked before the run relies on it.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn begin(store: &Store, header: &Record, run_id: &RunId) -> Result<Self, StoreError> {
        let path = store.own("runs").join(format!("{run_id}.jsonl"));
        let file =
            OpenOptions::new().append(true).create_new(true).open(&path).map_err(StoreError::io("create", &path))?;
        let (orders, waiting) = sync_channel(WAITING_LINES_MAX);
        let failure = Arc::new(Mutex::new(None));
        let ledger = Self { orders, failure: Arc::clone(&failure), path };
        let writer = std::thread::Builder::new().name("ledger".to_owned());
        let begun = writer.spawn(move || write_all(&file, &waiting, &failure));
        let begun = begun.map(drop).map_err(StoreError::io("start a thread for", &ledger.path));
        let written = begun.and_then(|()| ledger.write(header));
        ledger.or_remove(written).map(|()| ledger)
    }

    /// Waits until the header is durable, which proves that the store takes writes; else removes the record.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn prove(&self) -> Result<(), StoreError> {
        self.or_remove(self.sync())
    }

    /// Removes the record of a run that did nothing.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn discard(self) -> Result<(), StoreError> {
        fs::remove_file(&self.path).map_err(StoreError::io("remove", &self.path))
    }

    fn or_remove(&self, begun: Result<(), StoreError>) -> Result<(), StoreError> {
        // A record without a header says nothing; the error does.
        begun.inspect_err(|_| drop(fs::remove_file(&self.path)))
    }

    /// Adds a line, which is written as soon as the store has taken those before.
    ///
    /// # Errors
    /// [`StoreError::Io`] if this line, or one before, cannot be written.
    pub fn write(&self, record: &Record) -> Result<(), StoreError> {
        let mut line = serde_json::to_vec(record).map_err(|error| self.error(error.into()))?;
        line.push(b'\n');
        self.order(Order::Write(line))
    }

    /// Adds a line, without holding up the caller's thread: one that finds [`WAITING_LINES_MAX`] before it waits for the store.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub async fn write_apart(&self, record: Record) -> Result<(), StoreError> {
        let ledger = self.clone();
        let written = tokio::task::spawn_blocking(move || ledger.write(&record)).await;
        written.unwrap_or_else(|error| Err(self.error(io::Error::other(error))))
    }

    /// Waits until everything written so far is durable.
    ///
    /// # Errors
    /// [`StoreError::Io`] if some of it is not.
    pub fn sync(&self) -> Result<(), StoreError> {
        let (done, synced) = sync_channel(1);
        self.order(Order::Sync(done))?;
        let answered = synced.recv();
        self.check()?;
        answered.map_err(|_| self.error(io::Error::other("its thread has ended")))
    }

    fn order(&self, order: Order) -> Result<(), StoreError> {
        self.check()?;
        if self.orders.send(order).is_err() {
            self.check()?;
            return Err(self.error(io::Error::other("its thread has ended")));
        }
        Ok(())
    }

    fn check(&self) -> Result<(), StoreError> {
        let failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        failure.as_ref().map_or(Ok(()), |error| Err(self.error(again(error))))
    }

    fn error(&self, source: io::Error) -> StoreError {
        StoreError::io("write", &self.path)(source)
    }
}

/// Makes an error like another, which cannot be cloned.
fn again(error: &io::Error) -> io::Error {
    error.raw_os_error().map_or_else(|| io::Error::new(error.kind(), error.to_string()), io::Error::from_raw_os_error)
}

/// Carries out orders until nobody is left to give any, or one fails.
fn write_all(mut file: &File, orders: &Receiver<Order>, failure: &Mutex<Option<io::Error>>) {
    while let Ok(first) = orders.recv() {
        let mut lines = Vec::new();
        let mut to_tell = Vec::new();
        for order in std::iter::once(first).chain(orders.try_iter().take(WAITING_LINES_MAX)) {
            match order {
                Order::Write(line) => lines.extend_from_slice(&line),
                Order::Sync(done) => to_tell.push(done),
            }
        }
        let written = file.write_all(&lines).and_then(|()| if to_tell.is_empty() { Ok(()) } else { file.sync_all() });
        if let Err(error) = written {
            *failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
            return;
        }
        for done in to_tell {
            // Who no longer waits needs no answer.
            let _ = done.send(());
        }
    }
}

/// A repository with which something is done that may end the process.
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
    /// Repositories under way, of which nothing has come yet.
    pub in_flight: BTreeMap<RepositoryId, UnderWay>,
    /// What happened so far.
    pub outcomes: Vec<Outcome>,
    /// Mirrors of which every object was read.
    pub verified: Vec<Verified>,
    /// Repositories restored into scratch, and when.
    pub restored: Vec<(RepositoryId, DateTime<Utc>)>,
    /// Mirrors that a person means to be gone.
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
                self.outcomes.push(outcome);
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
            Record::Summary(summary) => self.summary = Some(summary),
            Record::Unknown => self.unknown_lines += 1,
        }
    }
}

/// One line of a record, as far as this version of ghbk understands it.
enum Line {
    Known(Box<Record>),
    /// The run has ended; how, a later version knows.
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

/// Stands for the summary of a later version, of which nothing is known but that the run has ended. The store is then looked
/// through as after a run that did not end well.
fn unknown_summary(header: RunHeader) -> RunSummary {
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
/// [`StoreError::Io`].
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
    /// The last id of all records, whether that one can be read or not.
    pub id: Option<RunId>,
    /// The newest record, if it can be read.
    pub record: Result<Option<RunRecord>, StoreError>,
    /// How many records there are.
    pub count: usize,
    /// Whether there is a newer one without a header: the run was cut off before it did anything, or somebody damaged it.
    pub is_cut_off: bool,
}

impl Latest {
    /// Returns the newest record if it is that of a run that came to its end.
    pub fn ended(&self) -> Option<&RunRecord> {
        let record = self.record.as_ref().ok().and_then(Option::as_ref);
        record.filter(|record| record.summary.is_some() && !self.is_cut_off)
    }
}

/// Reads the newest record, and tells of one that cannot be read.
///
/// # Errors
/// [`StoreError::Io`] if the folder cannot be read.
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

/// Says when the first run began whose record is there.
///
/// # Errors
/// [`StoreError::Io`].
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

/// Returns the last name that the records know of each repository.
///
/// # Errors
/// [`StoreError::Io`] if the folder, or what is folded, cannot be read.
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
