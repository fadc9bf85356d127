//! Where a restore goes: a new folder, outside the store.

use std::path::{Path, PathBuf};

use crate::config::from_home;
use crate::error::{Error, Exit};
use crate::store::Store;

/// Folders that were made for a restore, and are removed again if it fails.
pub(super) struct Parents(Vec<PathBuf>);

impl Parents {
    /// Makes a folder and those above it that are missing.
    pub(super) fn make(folder: &Path) -> std::io::Result<Self> {
        let missing = folder.ancestors().take_while(|folder| !folder.as_os_str().is_empty() && !folder.exists());
        let parents = Self(missing.map(Path::to_owned).collect());
        std::fs::create_dir_all(folder)?;
        Ok(parents)
    }

    /// Leaves them where they are.
    pub(super) fn keep(mut self) {
        self.0.clear();
    }
}

impl Drop for Parents {
    fn drop(&mut self) {
        for folder in &self.0 {
            // This fails if somebody has put a file there since, which then stays, or if the folder was never made.
            let _ = std::fs::remove_dir(folder);
        }
    }
}

/// Reads the destination that a person names.
///
/// # Errors
/// [`Exit::Usage`] if something is there, or if it lies in the store.
pub(super) fn check_destination(store: &Store, path: &Path) -> Result<PathBuf, Error> {
    let absolute = absolute(path)?;
    refuse_existing(&absolute)?;
    check_outside(store, &absolute)
}

fn check_outside(store: &Store, path: &Path) -> Result<PathBuf, Error> {
    let absolute = absolute(path)?;
    // What is restored into the store would be taken for a mirror, or be in the way of one.
    let existing = absolute.ancestors().find_map(|ancestor| ancestor.canonicalize().ok());
    let root = store.root().canonicalize().unwrap_or_else(|_| store.root().to_owned());
    if existing.is_some_and(|existing| existing.starts_with(&root)) {
        let message = format!("{} is in the store itself", absolute.display());
        return Err(Error::new(Exit::Usage, message, "choose a folder elsewhere"));
    }
    Ok(absolute)
}

/// Reads the folder into which everything is restored; an empty one will do.
///
/// # Errors
/// [`Exit::Usage`] if it holds something, or lies in the store.
pub(super) fn check_folder(store: &Store, path: &Path) -> Result<PathBuf, Error> {
    let path = absolute(path)?;
    let is_empty = path.read_dir().is_ok_and(|mut entries| entries.next().is_none());
    if is_empty { check_outside(store, &path) } else { check_destination(store, &path) }
}

fn absolute(path: &Path) -> Result<PathBuf, Error> {
    std::path::absolute(from_home(path))
        .map_err(|error| Error::new(Exit::Usage, format!("DEST {}: {error}", path.display()), "name a folder"))
}

/// Refuses a destination that is there.
///
/// # Errors
/// [`Exit::Usage`].
pub(super) fn refuse_existing(path: &Path) -> Result<(), Error> {
    if path.symlink_metadata().is_ok() {
        let message = format!("{} exists already", path.display());
        return Err(Error::new(Exit::Usage, message, "choose a new folder; nothing is ever overwritten"));
    }
    Ok(())
}
