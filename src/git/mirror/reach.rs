//! Objects: tells those that have just arrived from those that a mirror has.
//!
//! Blocking. What a newcomer would get wrong: opening a pack of a mirror and looking into it costs dozens of milliseconds on EFS.
//! So questions are answered from what has arrived, or from copies of the indexes on local disk, whenever possible, and the packs
//! of the mirror are opened only for questions about the old history itself.

use std::cell::{OnceCell, RefCell};
use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use git2::{Oid, Repository};
use tokio_util::sync::CancellationToken;

use crate::git::GitError;
use crate::git::mirror::history;
use crate::git::pack;
use crate::git::pack::copies;
use crate::git::pack::links::{self, OidBytes, bytes_of};
use crate::git::pack::reader::ObjectReader;
use crate::git::pack::view;

/// The packs of a mirror, with copies of their indexes.
#[derive(Default)]
pub(crate) struct StoredPacks {
    /// The mirror and the folder with the copies, unless there is no mirror.
    place: Option<(PathBuf, PathBuf)>,
    indexes: Vec<gix_pack::index::File>,
}

impl StoredPacks {
    /// Copies the indexes into a folder on local disk.
    ///
    /// # Errors
    /// [`GitError::Damaged`] if a pack cannot be used.
    pub(crate) fn of_mirror(mirror: &Path, folder: PathBuf) -> Result<Self, GitError> {
        std::fs::create_dir_all(&folder).map_err(GitError::io("create", &folder))?;
        let indexed = view::copy_indexes(mirror, &folder)?;
        if let Some((_, problem)) = indexed.refused.into_iter().next() {
            return Err(GitError::Damaged(problem));
        }
        Ok(Self { place: Some((mirror.to_owned(), folder)), indexes: indexed.indexes })
    }

    /// Returns how many there are.
    pub(crate) fn len(&self) -> usize {
        self.indexes.len()
    }

    /// Returns whether one of them holds an object, by its index.
    pub(crate) fn hold(&self, oid: OidBytes) -> bool {
        self.indexes.iter().any(|index| pack::is_in(index, oid))
    }

    /// Opens the packs where they are, for the few objects that are asked about.
    fn reader(&self) -> Result<ObjectReader, GitError> {
        let Some((mirror, folder)) = &self.place else { return Ok(ObjectReader::over(Vec::new())) };
        let packs = pack::packs_in(folder)?.into_iter();
        let on_store = packs.map(|local| pack::Pack { pack: local.within(&mirror.join("objects/pack")).pack, ..local });
        ObjectReader::open(&on_store.collect::<Vec<_>>())
    }

    /// Opens a repository in scratch for libgit2, together with copies of these packs: libgit2 maps what it reads.
    ///
    /// # Errors
    /// [`GitError::Damaged`] if a pack cannot be copied whole.
    pub(crate) fn open_with(&self, scratch: &Path, cancel: &CancellationToken) -> Result<Repository, GitError> {
        let repository = Repository::open_bare(scratch)?;
        if let Some((mirror, _)) = &self.place {
            for copied in copies::copy_all(mirror, &scratch.join("copied/pack"), cancel)? {
                copied.whole()?;
            }
            let path = scratch.join("copied");
            let path = path.to_str().ok_or_else(|| GitError::Task("a scratch folder that is not UTF-8".to_owned()))?;
            repository.odb()?.add_disk_alternate(path)?;
        }
        Ok(repository)
    }
}

/// What has arrived, with what the mirror has.
pub(crate) struct Objects<'a> {
    stored: &'a StoredPacks,
    /// The folder of the packs that have arrived.
    folder: PathBuf,
    arrived: ObjectReader,
    /// The parents of commits that have arrived, as far as they were asked for; empty for all other objects.
    parents: RefCell<HashMap<Oid, Vec<OidBytes>>>,
    all: OnceCell<ObjectReader>,
}

impl<'a> Objects<'a> {
    /// Opens a repository in scratch that holds everything that has arrived.
    pub(crate) fn open(scratch: &Path, stored: &'a StoredPacks) -> Result<Self, GitError> {
        let folder = scratch.join("objects/pack");
        let arrived = ObjectReader::of_folder(&folder)?;
        Ok(Self { stored, folder, arrived, parents: RefCell::default(), all: OnceCell::new() })
    }

    /// Returns a reader of everything, for which the packs of the mirror are opened.
    pub(crate) fn all(&self) -> Result<&ObjectReader, GitError> {
        if let Some(all) = self.all.get() {
            return Ok(all);
        }
        let all = ObjectReader::of_folder(&self.folder)?.and(self.stored.reader()?);
        Ok(self.all.get_or_init(|| all))
    }

    /// Returns whether an object is there, without reading it.
    pub(crate) fn hold(&self, oid: Oid) -> bool {
        self.stored.hold(bytes_of(oid)) || self.arrived.contains(oid)
    }

    /// Returns whether a commit descends from another; `false` if that cannot be determined.
    pub(crate) fn descends(&self, commit: Oid, from: Oid) -> Result<bool, GitError> {
        Ok(self.descends_through_what_came(commit, from)
            || history::unreached(self.all()?, &[from], std::iter::once(commit)).is_empty())
    }

    /// Walks only through what has arrived, which is enough for most pushes.
    fn descends_through_what_came(&self, commit: Oid, from: Oid) -> bool {
        let from = bytes_of(from);
        let mut known = self.parents.borrow_mut();
        let mut waiting = vec![commit];
        let mut seen = HashSet::new();
        while let Some(oid) = waiting.pop() {
            if let Entry::Vacant(unknown) = known.entry(oid) {
                unknown.insert(self.parents_of_arrived(oid));
            }
            for parent in &known[&oid] {
                if *parent == from {
                    return true;
                }
                if seen.insert(*parent) {
                    waiting.extend(Oid::from_bytes(parent));
                }
            }
        }
        false
    }

    fn parents_of_arrived(&self, oid: Oid) -> Vec<OidBytes> {
        let commit = self.arrived.read(oid).ok().filter(|object| object.kind == git2::ObjectType::Commit);
        commit.map(|commit| links::tree_and_parents(&commit.data).1).unwrap_or_default()
    }
}
