//! One run at a time: flock(2) on `.ghbk/lock`.
//!
//! The kernel gives the lock back when its holder dies, however it dies, so there are no stale locks. The text in the file
//! only says who holds it; nothing depends on it. What a newcomer would get wrong: a lock is on a file, not on its name. If
//! somebody removes the file, its holder holds a file that nobody else will ever open, and the next run locks another.

use std::fmt;
use std::fs::{File, Metadata, OpenOptions, TryLockError};
use std::io::Read;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{Store, StoreError};
use crate::disk::{check_regular, open_regular};

/// Holds the right to run; dropping it gives it back.
#[derive(Debug)]
pub struct Lock {
    file: File,
    path: PathBuf,
    /// The identity of the file since it was locked, and signed.
    identity: Mutex<Identity>,
}

/// Distinguishes a file from another of its name, and from the same file after somebody else has signed it: if a network
/// file system gives the lock to another machine, the file stays where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
    modified: (i64, i64),
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
        write!(f, "process {} on {} since {}", self.pid, self.host, crate::zone::shown_to_the_second(self.since))
    }
}

/// `ghbk status` holds a shared lock for an instant; a run waits that long.
const ATTEMPTS: u32 = 10;
const PAUSE: Duration = Duration::from_millis(100);

impl Lock {
    /// Takes the lock.
    ///
    /// # Errors
    /// [`StoreError::Locked`] if another run has it; [`StoreError::LockLost`] if its file is replaced again and again;
    /// [`StoreError::Disk`].
    pub fn take(store: &Store) -> Result<Self, StoreError> {
        let path = store.own("lock");
        for _ in 0..ATTEMPTS {
            let lock = Self::take_file(path.clone())?;
            match lock.confirm() {
                // The file was replaced between opening and locking.
                Err(StoreError::LockLost(_)) => std::thread::sleep(PAUSE),
                confirmed => return confirmed.map(|()| lock),
            }
        }
        Err(StoreError::LockLost(path))
    }

    /// Opens the file and locks it, whether it still has its name or not.
    fn take_file(path: PathBuf) -> Result<Self, StoreError> {
        let mut file = open_for_locking(&path)?;
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
                    // This only informs the person; the lock itself has decided.
                    let _ = file.read_to_string(&mut text);
                    return Err(StoreError::Locked { holder: serde_json::from_str(&text).ok() });
                }
                Err(TryLockError::Error(source)) => return Err(StoreError::io("lock", &path)(source)),
            }
        }
        let identity = file.metadata().map(|it| identity_of(&it)).map_err(StoreError::io("examine", &path))?;
        Ok(Self { file, path, identity: Mutex::new(identity) })
    }

    /// Checks that the locked file still has its name, and that nobody else has signed it: otherwise another run may hold the
    /// lock, too.
    ///
    /// # Errors
    /// [`StoreError::LockLost`] if it was removed, replaced or signed; [`StoreError::Disk`].
    pub fn confirm(&self) -> Result<(), StoreError> {
        // Open the file: an NFS client remembers attributes for a minute, but asks the server when a file is opened.
        let opened = OpenOptions::new().read(true).custom_flags(without_waiting()).open(&self.path);
        match opened.and_then(|file| file.metadata()) {
            Ok(there) if identity_of(&there) == *self.identity() => Ok(()),
            Ok(_) => Err(StoreError::LockLost(self.path.clone())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(StoreError::LockLost(self.path.clone())),
            Err(error) => Err(StoreError::io("examine", &self.path)(error)),
        }
    }

    fn identity(&self) -> MutexGuard<'_, Identity> {
        self.identity.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes down who holds it.
    ///
    /// # Errors
    /// [`StoreError::Disk`], which is how a read-only or full store shows.
    pub fn sign(&self, since: DateTime<Utc>) -> Result<(), StoreError> {
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let holder = LockHolder { pid: std::process::id(), host, since };
        let text = serde_json::to_string(&holder).unwrap_or_default();
        // The text is mostly as long as what is there, which spares the store an operation.
        let length = text.len() as u64;
        let is_longer = self.file.metadata().map_err(StoreError::io("examine", &self.path))?.len() > length;
        let shortened = if is_longer { self.file.set_len(length) } else { Ok(()) };
        let signed = shortened.and_then(|()| self.file.write_all_at(text.as_bytes(), 0));
        // Send it to the server, which says when that was.
        let signed = signed.and_then(|()| self.file.sync_all()).and_then(|()| self.file.metadata());
        *self.identity() = identity_of(&signed.map_err(StoreError::io("write", &self.path))?);
        Ok(())
    }
}

/// Opens the file of a lock, and makes it if it is missing.
fn open_for_locking(path: &Path) -> Result<File, StoreError> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .custom_flags(without_waiting())
        .open(path)
        .and_then(|file| check_regular(&file).map(|_| file))
        .map_err(StoreError::io("open", path))
}

fn identity_of(file: &Metadata) -> Identity {
    Identity { device: file.dev(), inode: file.ino(), modified: (file.mtime(), file.mtime_nsec()) }
}

/// Returns the flags of open(2) that keep a FIFO in the lock's place from blocking an open or a read.
fn without_waiting() -> i32 {
    i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or_default()
}

/// Held by a daemon as long as it lives, so that `ghbk status` knows whether anybody keeps the schedule.
#[derive(Debug)]
pub struct Presence {
    _file: File,
}

const PRESENCE: &str = "daemon";

impl Presence {
    /// Announces this daemon; none if another one is announced.
    ///
    /// # Errors
    /// [`StoreError::Disk`].
    pub fn announce(store: &Store) -> Result<Option<Self>, StoreError> {
        let path = store.own(PRESENCE);
        let file = open_for_locking(&path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self { _file: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(source)) => Err(StoreError::io("lock", &path)(source)),
        }
    }
}

/// Says whether a daemon keeps the schedule.
///
/// # Errors
/// [`StoreError::Disk`] if that cannot be determined.
pub fn has_daemon(store: &Store) -> Result<bool, StoreError> {
    is_held(&store.own(PRESENCE))
}

/// Says whether a run is under way, without getting in its way.
///
/// # Errors
/// [`StoreError::Disk`] if the lock cannot be examined.
pub fn is_locked(store: &Store) -> Result<bool, StoreError> {
    is_held(&store.own("lock"))
}

fn is_held(path: &Path) -> Result<bool, StoreError> {
    let file = match open_regular(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(StoreError::io("open", path)(error)),
    };
    match file.try_lock_shared() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(source)) => Err(StoreError::io("lock", path)(source)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::StoreConfig;

    fn store(root: &std::path::Path) -> Store {
        let config = StoreConfig { root: root.to_owned(), require_mount: Some(false), ..StoreConfig::default() };
        let store = Store::open(&config).unwrap();
        store.prepare().unwrap();
        store
    }

    #[test]
    fn a_lock_is_lost_with_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path());
        let path = store.own("lock");
        let first = Lock::take(&store).unwrap();
        first.confirm().unwrap();
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(first.confirm(), Err(StoreError::LockLost(_))));
        let second = Lock::take(&store).unwrap();
        assert!(matches!(first.confirm(), Err(StoreError::LockLost(_))), "another file has its name");
        second.confirm().unwrap();
    }

    /// When a client of a network file system loses its lease, the file stays, and another machine locks it.
    #[test]
    fn a_lock_is_lost_when_somebody_else_signs_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path());
        let first = Lock::take(&store).unwrap();
        first.sign(Utc::now()).unwrap();
        first.confirm().unwrap();
        std::fs::write(store.own("lock"), "{}").unwrap();
        assert!(matches!(first.confirm(), Err(StoreError::LockLost(_))));
    }

    /// A run that opened the file before it was replaced must not hold the lock of a file that nobody else opens.
    #[test]
    fn a_lock_is_taken_on_the_file_that_has_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path());
        let path = store.own("lock");
        let holder = Lock::take(&store).unwrap();
        let waiting = std::thread::spawn({
            let store = store.clone();
            move || Lock::take(&store)
        });
        std::thread::sleep(PAUSE * 2);
        std::fs::remove_file(&path).unwrap();
        drop(holder);
        let taken = waiting.join().unwrap().unwrap();
        taken.confirm().unwrap();
    }
}
