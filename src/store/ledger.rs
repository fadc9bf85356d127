//! The record of a run, `.ghbk/runs/ID.jsonl`, written line by line as things happen.
//!
//! It has a header, the plan, a line for each repository that is being fetched, an outcome for each, and a summary. No
//! summary means that the run is under way or was interrupted; the lock shows which. What a newcomer would get wrong: a
//! record may end in half a line, because a machine may stop at any moment; readers skip it.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::{fs, io};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{Store, StoreError};
use crate::mirrors::MirrorSet;
use crate::names::{FullName, RepositoryId, RunId};
use crate::outcome::{Outcome, PartOutcome, RunSummary, Trigger};

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
    /// Work on a repository that may kill the process: its pack is being fetched, or its mirror is being verified, merged or
    /// restored.
    #[serde(rename = "fetching")]
    UnderWay {
        /// Its identity.
        id: RepositoryId,
        /// Its name.
        full_name: FullName,
        /// Whether nothing else is under way, because it may have killed the previous run.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        is_alone: bool,
    },
    /// A repository whose refs are done.
    Outcome(Box<Outcome>),
    /// Another kind of data that is done in one of its mirrors.
    Part(PartOutcome),
    /// A mirror, with its wiki's, whose objects were all read.
    Verified(Verified),
    /// A repository that was restored into scratch and came out right.
    Restored {
        /// Its identity.
        id: RepositoryId,
        /// When.
        at: DateTime<Utc>,
    },
    /// A mirror that is missing on purpose.
    Forgotten(Forgotten),
    /// The last line.
    Summary(Box<RunSummary>),
    /// A line that a later version of ghbk wrote.
    #[serde(other)]
    Unknown,
}

/// What was found in a mirror whose objects were all read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verified {
    /// Its repository.
    pub id: RepositoryId,
    /// When.
    pub at: DateTime<Utc>,
    /// The first thing that is wrong; none if nothing is.
    pub damage: Option<String>,
}

/// Names a repository whose mirrors are missing on purpose, so that no run misses them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forgotten {
    /// Its identity.
    pub id: RepositoryId,
    /// Its last known name.
    pub full_name: FullName,
    /// Which of its mirrors.
    #[serde(flatten)]
    pub parts: MirrorSet,
}

/// Writes the record of the run that holds the lock; clones write the same one.
///
/// A thread of its own writes all waiting lines in a single write: on EFS each write takes milliseconds, and a run over a
/// thousand repositories must not wait for a thousand of them.
#[derive(Clone, Debug)]
pub struct Ledger {
    orders: SyncSender<Order>,
    failure: Arc<Mutex<Option<io::Error>>>,
    path: PathBuf,
}

/// The most lines that wait; a store that does not answer stops the run here instead of filling memory.
const WAITING_LINES_MAX: usize = 1024;

/// What the writing thread is asked to do.
#[derive(Debug)]
enum Order {
    Write(Vec<u8>),
    /// Makes everything before durable, then says so.
    Sync(SyncSender<()>),
}

impl Ledger {
    /// Begins a record; [`Self::prove`] must be called before the run relies on it.
    ///
    /// # Errors
    /// [`StoreError::Disk`].
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
    /// [`StoreError::Disk`].
    pub fn prove(&self) -> Result<(), StoreError> {
        self.or_remove(self.sync())
    }

    /// Removes the record of a run that did nothing.
    ///
    /// # Errors
    /// [`StoreError::Disk`].
    pub fn discard(self) -> Result<(), StoreError> {
        fs::remove_file(&self.path).map_err(StoreError::io("remove", &self.path))
    }

    fn or_remove(&self, begun: Result<(), StoreError>) -> Result<(), StoreError> {
        // A record without a header says nothing; the error does.
        begun.inspect_err(|_| drop(fs::remove_file(&self.path)))
    }

    /// Adds a line, which is written as soon as the store has taken the earlier ones.
    ///
    /// # Errors
    /// [`StoreError::Disk`] if this line, or one before, cannot be written.
    pub fn write(&self, record: &Record) -> Result<(), StoreError> {
        let mut line = serde_json::to_vec(record).map_err(|error| self.error(error.into()))?;
        line.push(b'\n');
        self.order(Order::Write(line))
    }

    /// Adds a line without holding up the caller's thread: if [`WAITING_LINES_MAX`] lines are ahead, it waits for the store.
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
    /// [`StoreError::Disk`] if some of it is not.
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

/// Makes an error like another one, which cannot be cloned.
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
            // A caller that no longer waits needs no answer.
            let _ = done.send(());
        }
    }
}
