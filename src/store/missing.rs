//! Which mirrors of the index are not on the store: one look at the folder of each owner, not at each mirror.
//!
//! What a newcomer would get wrong: 50,000 looks at mirrors take minutes behind EFS, the same names in a folder's listing a second.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ffi::OsStr;
use std::path::PathBuf;

use super::scan::names_in;
use super::{Index, Store, StoreError};

/// Names the mirrors whose folder is not in its place: `OWNER/NAME`, `OWNER/NAME.wiki`. A run that is moving mirrors makes this
/// wrong.
///
/// # Errors
/// [`StoreError::Disk`] if a folder cannot be listed.
pub fn missing_mirrors(store: &Store, index: &Index) -> Result<Vec<String>, StoreError> {
    let mut folders: BTreeMap<PathBuf, Vec<String>> = BTreeMap::new();
    let mut missing = Vec::new();
    for mirror in index.mirrors.values() {
        for kind in mirror.kinds().iter() {
            let folder = store.mirror_at(&mirror.place, kind).path().to_owned();
            let (Some(parent), Some(name)) = (folder.parent(), folder.file_name().and_then(OsStr::to_str)) else {
                continue;
            };
            let names = match folders.entry(parent.to_owned()) {
                Entry::Occupied(listed) => listed.into_mut(),
                Entry::Vacant(unlisted) => unlisted.insert(names_in(parent)?),
            };
            if names.binary_search_by(|listed| listed.as_str().cmp(name)).is_err() {
                missing.push(kind.name_of(&mirror.full_name));
            }
        }
    }
    missing.sort_unstable();
    Ok(missing)
}
