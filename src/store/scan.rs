//! What lies on the store: its mirrors, clones of other tools, and what cannot be read.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use super::layout::{MOVING, REPLACING};
use super::mirror::Mirror;
use super::{Index, Store, StoreError};
use crate::disk::is_missing;
use crate::git::mirror::adopt::ForeignClone;
use crate::mirrors::{MirrorKind, MirrorSet, PerMirror};
use crate::names::{FullName, RepositoryId, check_owner};
use crate::outcome::Held;

/// Describes a mirror that a scan found.
#[derive(Clone, Debug)]
pub struct Scanned {
    /// Its repository.
    pub id: RepositoryId,
    /// The name it had at the last run.
    pub full_name: FullName,
    /// Where it lies, relative to the root and without suffix.
    pub place: PathBuf,
    /// Its mirrors in this place.
    pub held: PerMirror<Held>,
}

/// What a scan found.
#[derive(Clone, Debug, Default)]
pub struct Scan {
    /// The mirrors.
    pub mirrors: Vec<Scanned>,
    /// What may hold mirrors and cannot be read.
    pub unreadable: Vec<Unreadable>,
}

/// Describes a mirror that cannot be read, or is not as it was left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// Its repository, if known.
    pub id: Option<RepositoryId>,
    /// Where it lies, relative to the root and without suffix.
    pub place: PathBuf,
    /// Why.
    pub error: String,
    /// What a person can do.
    pub hint: String,
}

impl Unreadable {
    pub(super) fn new(id: Option<RepositoryId>, place: PathBuf, error: &StoreError) -> Self {
        Self { id, place, error: error.to_string(), hint: error.hint() }
    }
}

impl Store {
    /// Says whether a folder holds repositories: mirrors, or clones of another tool.
    ///
    /// # Errors
    /// [`StoreError::Disk`] if it cannot be read.
    pub fn holds_repositories(&self, folder: &Path) -> Result<bool, StoreError> {
        let names = names_in(folder)?;
        for name in names.iter().filter(|name| *name != ".git") {
            if foreign_clone(&folder.join(name))?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Finds the clones of other tools, at `ROOT/NAME` and `ROOT/OWNER/NAME`, bare or plain, with or without `.git`.
    ///
    /// # Errors
    /// [`StoreError::Disk`] if a folder cannot be read.
    pub fn foreign_clones(&self, index: &Index) -> Result<Vec<ForeignClone>, StoreError> {
        let places = index.mirrors.values().map(|mirror| &mirror.place);
        let ours: HashSet<PathBuf> =
            places.flat_map(|place| MirrorKind::ALL.map(|kind| self.mirror_at(place, kind).path)).collect();
        let mut found = Vec::new();
        for name in names_in(&self.root)?.into_iter().filter(|name| name != super::layout::OWN_FOLDER) {
            let folder = self.root.join(name);
            let clone = foreign_clone(&folder)?;
            let is_bare = clone.as_ref().is_some_and(ForeignClone::is_bare);
            found.extend(clone);
            if is_bare {
                continue;
            }
            // A clone may lie where an owner's folder would be, and hold others.
            for name in names_in(&folder)?.into_iter().filter(|name| name != ".git") {
                let path = folder.join(name);
                // A mirror that the index does not know says itself that it is one.
                if !ours.contains(&path)
                    && let Some(clone) = foreign_clone(&path)?
                    && (Mirror { path }).identity()?.is_none()
                {
                    found.push(clone);
                }
            }
        }
        Ok(found)
    }

    /// Finds every mirror, wherever it lies. Reads two small files of each.
    ///
    /// # Errors
    /// [`StoreError::Disk`] if a folder of mirrors cannot be read: nobody could say what it holds, and a mirror in it would be
    /// made anew elsewhere. A single mirror that cannot be read is listed as unreadable.
    pub fn scan(&self) -> Result<Scan, StoreError> {
        let mut scan = Scan::default();
        let mut without_code = Vec::new();
        for folder in self.folders_of_mirrors()? {
            let names = names_in(&folder)?;
            let mut places = BTreeMap::<&str, MirrorSet>::new();
            for (stem, kind) in names.iter().filter_map(|name| MirrorKind::split_folder(name)) {
                places.entry(stem).or_default().add(&kind.into());
            }
            // The clone of another tool may lie where an owner's folder would be, with its `.git`.
            places.remove("");
            for (stem, kinds) in places {
                let place = self.below_root(&folder.join(stem));
                if kinds.contains(MirrorKind::Code) {
                    self.scan_one(&place, &kinds, &mut scan);
                } else {
                    without_code.push((place, kinds));
                }
            }
        }
        // A mirror on its way to its code's mirror does not count by itself.
        for (place, kinds) in without_code {
            let mut alone = Scan::default();
            self.scan_one(&place, &kinds, &mut alone);
            alone.mirrors.retain(|it| scan.mirrors.iter().all(|code| code.id != it.id));
            scan.mirrors.append(&mut alone.mirrors);
            let between = |it: &Unreadable| super::layout::id_of_place_between(&it.place).is_some();
            // A sweep reports those below `.ghbk`.
            scan.unreadable.extend(alone.unreadable.into_iter().filter(|it| !between(it)));
        }
        Ok(scan)
    }

    /// Asks the first mirror at a place which repository they belong to, and reads the rest.
    fn scan_one(&self, place: &Path, kinds: &MirrorSet, scan: &mut Scan) {
        match self.scanned(place, kinds) {
            Ok(found) => scan.mirrors.extend(found),
            Err(error) => {
                // A mirror between two places lies under its id.
                let id = super::layout::id_of_place_between(place);
                scan.unreadable.push(Unreadable::new(id, place.to_owned(), &error));
            }
        }
    }

    fn scanned(&self, place: &Path, kinds: &MirrorSet) -> Result<Option<Scanned>, StoreError> {
        let Some(main) = kinds.iter().next() else { return Ok(None) };
        let mirror = self.mirror_at(place, main);
        let Some((id, full_name)) = mirror.identity()? else {
            tracing::warn!(folder = %mirror.path.display(), "not a mirror of ghbk; left alone");
            return Ok(None);
        };
        if let Some(host) = mirror.host()?.filter(|host| !self.is_own_host(host)) {
            tracing::warn!(folder = %mirror.path.display(), host, "a mirror of another GitHub; left alone");
            return Ok(None);
        }
        let mut held = PerMirror::new();
        for kind in kinds.iter() {
            held.insert(kind, Held { head: self.mirror_at(place, kind).head()?, packs: None });
        }
        Ok(Some(Scanned { id, full_name, place: place.to_owned(), held }))
    }

    pub(super) fn below_root(&self, path: &Path) -> PathBuf {
        path.strip_prefix(&self.root).unwrap_or(path).to_owned()
    }

    /// Lists the folders that hold mirrors: each owner's, those of the attic, and those of mirrors between two places.
    ///
    /// # Errors
    /// [`StoreError::Disk`] if the root or the attic cannot be read.
    pub(super) fn folders_of_mirrors(&self) -> Result<Vec<PathBuf>, StoreError> {
        let mut folders = Vec::new();
        let attic = self.own("attic");
        for parent in [&self.root, &attic] {
            // A folder that cannot be an owner's, such as lost+found, is not ours to open.
            folders.extend(
                names_in(parent)?.iter().filter(|name| check_owner(name).is_ok()).map(|name| parent.join(name)),
            );
        }
        folders.extend([MOVING, REPLACING].map(|name| self.own(name)));
        Ok(folders)
    }
}

pub(super) fn foreign_clone(folder: &Path) -> Result<Option<ForeignClone>, StoreError> {
    ForeignClone::at(folder).map_err(StoreError::io("examine", folder))
}

/// Lists the names in a folder, sorted; nothing for a missing folder or a file.
pub(super) fn names_in(folder: &Path) -> Result<Vec<String>, StoreError> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if is_missing(&error) => return Ok(Vec::new()),
        Err(error) => return Err(StoreError::io("read", folder)(error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(StoreError::io("read", folder))?;
        // A name that is not UTF-8 was not made by ghbk.
        if let Ok(name) = entry.file_name().into_string() {
            names.push(name);
        }
    }
    names.sort_unstable();
    Ok(names)
}
