//! Restoring large files: puts their contents beside the packs of a restored repository, and into its working tree.
//!
//! Blocking; reads the store, writes only to the destination. Each content is hashed on its way and again where it was written.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use tokio_util::sync::CancellationToken;

use super::contents::{ContentError, Contents};
use super::missing::{Missing, Owed};
use crate::disk::{DiskError, on_threads};
use crate::git::pointer::{Pointer, each_file_once};

/// How many are copied at once: each waits for the store.
const AT_ONCE: usize = 8;

/// What was restored.
#[derive(Clone, Debug, Default)]
pub struct Restored {
    /// Contents that are there now.
    pub stored: u64,
    /// Their size in bytes.
    pub stored_bytes: u64,
    /// What the store never had, and why.
    pub missing: Vec<Owed>,
    /// What the store has lost, and how.
    pub lost: Vec<(Pointer, String)>,
}

/// Copies the contents that some pointers name from a mirror into another repository.
///
/// # Errors
/// [`DiskError`] if they cannot be written; what cannot be read is part of the result.
pub fn restore(
    mirror: &Path,
    git_dir: &Path,
    pointers: &[Pointer],
    cancel: &CancellationToken,
) -> Result<Restored, DiskError> {
    if pointers.is_empty() {
        return Ok(Restored::default());
    }
    let (from, to, missing) = (Contents::of(mirror), Contents::of(git_dir), Missing::read(mirror)?);
    let pointers = each_file_once(pointers);
    let next = Mutex::new(pointers.iter());
    let restored = Mutex::new(Restored::default());
    let work = || -> Result<(), DiskError> {
        loop {
            let pointer = next.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some(pointer) = pointer.copied().filter(|_| !cancel.is_cancelled()) else { return Ok(()) };
            if pointer.is_of_nothing() {
                continue;
            }
            let copied = to.copy_from(&from.path(&pointer.oid), pointer, cancel);
            let mut restored = restored.lock().unwrap_or_else(PoisonError::into_inner);
            match copied {
                Ok(true) => {
                    restored.stored += 1;
                    restored.stored_bytes += pointer.size_bytes;
                }
                Ok(false) => match missing.get(&pointer.oid) {
                    Some(owed) => restored.missing.push(owed.clone()),
                    None => restored.lost.push((pointer, "it is missing".to_owned())),
                },
                Err(ContentError::Disk(error)) if !error.is_below(mirror) => return Err(error),
                Err(error) => restored.lost.push((pointer, error.to_string())),
            }
        }
    };
    on_threads(AT_ONCE.min(pointers.len()), work)?;
    let mut restored = restored.into_inner().unwrap_or_else(PoisonError::into_inner);
    restored.missing.sort_unstable_by_key(|owed| owed.oid);
    restored.lost.sort_unstable();
    Ok(restored)
}
