//! The scratch folder of one run, on local disk.
//!
//! It is removed at the end of the run; that of a killed run is removed by the next. A lock in it tells the two
//! apart, because two runs with different stores may share a disk.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use tempfile::TempDir;

const PREFIX: &str = "ghbk-scratch-";
const LOCK: &str = "lock";

/// Owns the folder; dropping it removes it.
#[derive(Debug)]
pub(super) struct Scratch {
    folder: TempDir,
    _lock: File,
}

impl Scratch {
    pub(super) fn create(parent: &Path) -> io::Result<Self> {
        let folder = tempfile::Builder::new().prefix(PREFIX).tempdir_in(parent)?;
        let lock = File::create(folder.path().join(LOCK))?;
        lock.lock()?;
        Ok(Self { folder, _lock: lock })
    }

    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// Removes the folders of runs that were killed. Failing to costs disk space only, so it is logged and no more.
pub(super) fn sweep(parent: &Path) {
    let Ok(entries) = fs::read_dir(parent) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        if !entry.file_name().to_string_lossy().starts_with(PREFIX) {
            continue;
        }
        // Without a lock file it is being made at this moment, or it is not ours to open.
        let abandoned = File::open(path.join(LOCK)).is_ok_and(|lock| lock.try_lock().is_ok());
        if abandoned {
            match fs::remove_dir_all(&path) {
                Ok(()) => tracing::info!(folder = %path.display(), "removed the scratch folder of a killed run"),
                Err(error) => tracing::warn!(folder = %path.display(), %error, "cannot remove a scratch folder"),
            }
        }
    }
}
