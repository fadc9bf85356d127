//! Where things lie below the root, as relative paths. Pure, so that the plan can use it.

use std::path::{Path, PathBuf};

use crate::names::{FullName, RepositoryId, RunId};

/// The folder of everything that is not a mirror.
pub const OWN_FOLDER: &str = ".ghbk";

/// Returns the place of a mirror: `OWNER/NAME`, to which the kind's suffix is added.
pub fn place(name: &FullName) -> PathBuf {
    PathBuf::from(name.owner()).join(name.name())
}

/// Returns the folder of mirrors that are set aside because another repository took their name.
pub fn attic_folder() -> PathBuf {
    PathBuf::from(OWN_FOLDER).join("attic")
}

/// Returns the place of a mirror set aside because another repository took its name.
pub fn attic(name: &FullName, id: RepositoryId) -> PathBuf {
    attic_folder().join(name.owner()).join(format!("{}-{id}", name.name()))
}

/// Returns the place of a damaged mirror that a repaired one has replaced.
pub fn damaged(name: &FullName, id: RepositoryId, run_id: &RunId) -> PathBuf {
    damaged_folder(name).join(format!("{}-{id}-{run_id}", name.name()))
}

/// Returns the folder of an owner's damaged mirrors.
pub(super) fn damaged_folder(name: &FullName) -> PathBuf {
    PathBuf::from(OWN_FOLDER).join("damaged").join(name.owner())
}

/// Returns where another tool's clone is set aside after it became a mirror: `clone` is its path below the root.
pub fn adopted(clone: &Path, run_id: &RunId) -> PathBuf {
    PathBuf::from(OWN_FOLDER).join("adopted").join(run_id.as_str()).join(clone)
}

/// The folder of mirrors on their way from one name to another, by id.
pub(super) const MOVING: &str = "moving";
/// The folder of new mirrors that wait until the old one, or another tool's clone, has left its place, by id.
pub(super) const REPLACING: &str = "replacing";

/// Returns the place of a mirror between two names.
pub fn moving(id: RepositoryId) -> PathBuf {
    PathBuf::from(OWN_FOLDER).join(MOVING).join(id.to_string())
}

/// Says whether this is where a new mirror waits.
pub(super) fn is_replacement(place: &Path) -> bool {
    place.starts_with(Path::new(OWN_FOLDER).join(REPLACING))
}

/// Returns the repository of a mirror that is between two places; none for any other place.
pub(super) fn id_of_place_between(place: &Path) -> Option<RepositoryId> {
    let own = place.strip_prefix(OWN_FOLDER).ok()?;
    let id = own.strip_prefix(MOVING).or_else(|_| own.strip_prefix(REPLACING)).ok()?;
    id.to_str()?.parse().ok().map(RepositoryId)
}

/// The folder of mirrors that are being built, in [`INCOMING_PARTS`] folders.
pub(super) const INCOMING: &str = "incoming";

/// Linux locks a folder while something is made in it, which takes milliseconds on a network: in a single folder, new
/// mirrors would wait for each other.
const INCOMING_PARTS: u64 = 32;

/// Returns the place where a new mirror is built.
pub fn incoming(id: RepositoryId) -> PathBuf {
    let part = id.0 % INCOMING_PARTS;
    PathBuf::from(OWN_FOLDER).join(INCOMING).join(part.to_string()).join(id.to_string())
}
