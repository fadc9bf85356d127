//! Folders for work under way: on local disk, or beside what is being restored.
//!
//! Each is removed when its owner is done, or by the next run if the process was killed. A lock on the folder itself
//! distinguishes the two, because several processes may share a disk. systemd-tmpfiles leaves locked folders alone too
//! (tmpfiles.d(5), "Aging").

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use tempfile::TempDir;

use crate::disk::open_folder;

const PREFIX: &str = "ghbk-scratch-";
/// Beside what is being restored, where it should not catch the eye.
const HIDDEN_PREFIX: &str = ".ghbk-restore-";

/// Owns the folder; dropping it removes it.
#[derive(Debug)]
pub(crate) struct Scratch {
    folder: TempDir,
    _lock: File,
}

impl Scratch {
    pub(crate) fn create(parent: &Path) -> io::Result<Self> {
        Self::with_prefix(PREFIX, parent)
    }

    /// Makes a hidden folder where something is to be restored, on whatever file system that is.
    pub(crate) fn create_hidden(parent: &Path) -> io::Result<Self> {
        Self::with_prefix(HIDDEN_PREFIX, parent)
    }

    fn with_prefix(prefix: &str, parent: &Path) -> io::Result<Self> {
        loop {
            let folder = tempfile::Builder::new().prefix(prefix).tempdir_in(parent)?;
            // A sweep that comes between the two lines takes the folder for abandoned and removes it.
            let lock = match open_folder(folder.path()) {
                Ok(lock) => lock,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            match lock.lock() {
                // NFS locks no folders; a folder that cannot be locked is never swept.
                Err(error) if prefix == HIDDEN_PREFIX && cannot_be_locked(&error) => {
                    return Ok(Self { folder, _lock: lock });
                }
                locked => locked?,
            }
            if is_at(&lock, folder.path())? {
                return Ok(Self { folder, _lock: lock });
            }
        }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// Says whether a file system locks no folders: flock(2) on NFS needs a descriptor that is open for writing.
fn cannot_be_locked(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let errno = error.raw_os_error().map(Errno::from_raw_os_error);
    matches!(errno, Some(Errno::BADF | Errno::OPNOTSUPP | Errno::NOLCK | Errno::INVAL))
}

fn is_at(folder: &File, path: &Path) -> io::Result<bool> {
    let ours = folder.metadata()?;
    match fs::metadata(path) {
        Ok(there) => Ok((there.dev(), there.ino()) == (ours.dev(), ours.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Removes the folders of processes that were killed. A failure costs only disk space, so it is just logged.
pub(crate) fn sweep(parent: &Path) {
    let Ok(entries) = fs::read_dir(parent) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        let name = entry.file_name();
        if ![PREFIX, HIDDEN_PREFIX].iter().any(|prefix| name.to_string_lossy().starts_with(prefix)) {
            continue;
        }
        // What cannot be opened is another user's, or not a folder: anybody may put a FIFO or a link into `/var/tmp`.
        let Ok(lock) = open_folder(&path) else { continue };
        if lock.try_lock().is_err() {
            continue;
        }
        match fs::remove_dir_all(&path) {
            Ok(()) => tracing::info!(folder = %path.display(), "removed the scratch folder of a killed process"),
            Err(error) => tracing::warn!(folder = %path.display(), %error, "cannot remove a scratch folder"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_nobody_holds_is_swept() {
        let parent = tempfile::tempdir().unwrap();
        let held = Scratch::create(parent.path()).unwrap();
        // One process was killed before it could lock, the other at work.
        fs::create_dir(parent.path().join("ghbk-scratch-early")).unwrap();
        fs::create_dir(parent.path().join("ghbk-scratch-late")).unwrap();
        fs::write(parent.path().join("ghbk-scratch-late/pack"), "PACK").unwrap();
        fs::create_dir(parent.path().join("another")).unwrap();
        sweep(parent.path());
        assert!(held.path().exists());
        assert!(parent.path().join("another").exists());
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 2);
    }
}
