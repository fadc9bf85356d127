//! One run at a time: flock(2) on `.ghbk/lock`.
//!
//! The kernel gives the lock back when its holder dies, however it dies, so a stale lock does not exist. The text in
//! the file only says who holds it; nobody decides by it.

use std::fmt;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::Read;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::PathBuf;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{Store, StoreError};
use crate::git::files::{check_regular, open_regular};

/// Holds the right to run; dropping it gives it back.
#[derive(Debug)]
pub struct Lock {
    file: File,
    path: PathBuf,
}

/// Says who holds the lock.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LockHolder {
    /// The process.
    pub pid: u32,
    /// The machine it runs on.
    pub host: String,
    /// Since when.
    pub since: DateTime<Utc>,
}

impl fmt::Display for LockHolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {} on {} since {}", self.pid, self.host, self.since.format("%Y-%m-%d %H:%M:%S UTC"))
    }
}

/// `ghbk status` holds the lock shared for an instant; a run outlasts that.
const ATTEMPTS: u32 = 10;
const PAUSE: Duration = Duration::from_millis(100);

impl Lock {
    /// Takes the lock.
    ///
    /// # Errors
    /// [`StoreError::Locked`] if another run has it; [`StoreError::Io`].
    pub fn take(store: &Store) -> Result<Self, StoreError> {
        let path = store.own("lock");
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .custom_flags(without_waiting())
            .open(&path)
            .and_then(|file| check_regular(&file).map(|_| file))
            .map_err(StoreError::io("open", &path))?;
        let mut attempt = 1;
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if attempt < ATTEMPTS => {
                    attempt += 1;
                    std::thread::sleep(PAUSE);
                }
                Err(TryLockError::WouldBlock) => {
                    let mut text = String::new();
                    // Only to tell the person; the lock itself has spoken.
                    let _ = file.read_to_string(&mut text);
                    return Err(StoreError::Locked { holder: serde_json::from_str(&text).ok() });
                }
                Err(TryLockError::Error(source)) => return Err(StoreError::io("lock", &path)(source)),
            }
        }
        Ok(Self { file, path })
    }

    /// Writes down who holds it.
    ///
    /// # Errors
    /// [`StoreError::Io`], which is how a read-only or full store shows.
    pub fn sign(&self, since: DateTime<Utc>) -> Result<(), StoreError> {
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let holder = LockHolder { pid: std::process::id(), host, since };
        let text = serde_json::to_string(&holder).unwrap_or_default();
        // Mostly as long as what is there, and then the store is spared an operation.
        let length = text.len() as u64;
        let is_longer = self.file.metadata().map_err(StoreError::io("examine", &self.path))?.len() > length;
        let shortened = if is_longer { self.file.set_len(length) } else { Ok(()) };
        shortened.and_then(|()| self.file.write_all_at(text.as_bytes(), 0)).map_err(StoreError::io("write", &self.path))
    }
}

/// Returns open's flags that keep a FIFO in the lock's place from holding up whoever opens or reads it.
fn without_waiting() -> i32 {
    i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or_default()
}

/// Says whether a run is under way, without getting in its way.
///
/// # Errors
/// [`StoreError::Io`] if the lock cannot be examined.
pub fn is_locked(store: &Store) -> Result<bool, StoreError> {
    let path = store.own("lock");
    let file = match open_regular(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(StoreError::io("open", &path)(error)),
    };
    match file.try_lock_shared() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(source)) => Err(StoreError::io("lock", &path)(source)),
    }
}
