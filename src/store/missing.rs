//! Which mirrors of the index are not on the store: one look at the folder of each owner, not at each mirror.
//!
//! What a newcomer would get wrong: 50,000 looks at mirrors take minutes behind EFS, the same names in a folder's listing a second.

use std::collections::{BTreeMap, HashSet};
use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::{Index, Store, StoreError};

/// Names the mirrors whose folder is not in its place: `OWNER/NAME`, `OWNER/NAME.wiki`. A run that is moving mirrors makes this
/// wrong.
///
/// # Errors
/// [`StoreError::Disk`] if a folder cannot be listed.
pub fn missing_mirrors(store: &Store, index: &Index) -> Result<Vec<String>, StoreError> {
    let mut folders: BTreeMap<PathBuf, HashSet<OsString>> = BTreeMap::new();
    let mut missing = Vec::new();
    for mirror in index.mirrors.values() {
        for kind in mirror.kinds().iter() {
            let folder = store.mirror_at(&mirror.place, kind).path().to_owned();
            let (Some(parent), Some(name)) = (folder.parent(), folder.file_name()) else { continue };
            if !folders.contains_key(parent) {
                folders.insert(parent.to_owned(), names_in(parent)?);
            }
            if !folders.get(parent).is_some_and(|names| names.contains(name)) {
                missing.push(kind.name_of(&mirror.full_name));
            }
        }
    }
    missing.sort_unstable();
    Ok(missing)
}

fn names_in(folder: &Path) -> Result<HashSet<OsString>, StoreError> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(HashSet::new()),
        Err(error) => return Err(StoreError::io("list", folder)(error)),
    };
    let names = entries.map(|entry| entry.map(|entry| entry.file_name()));
    names.collect::<std::io::Result<_>>().map_err(StoreError::io("list", folder))
}
