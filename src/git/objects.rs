//! Objects: those that have just come, and those that a mirror has, told apart.
//!
//! Blocking. What a newcomer would get wrong: to open a pack of a mirror and to look into it costs dozens of milliseconds
//! on EFS. So whatever can be told from what has come, or from the indexes, of which there are copies on local disk, is
//! told from them, and libgit2 sees the packs of the mirror only where the old history itself is asked about.

use std::cell::{OnceCell, RefCell};
use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use git2::{OdbLookupFlags, Oid, Repository};

use super::references::{OidBytes, bytes_of};
use super::{GitError, pack, view};

/// The packs of a mirror: copies of their indexes, and links for whoever must read an object.
#[derive(Default)]
pub(super) struct StoredPacks {
    /// None if there is no mirror.
    objects_folder: Option<PathBuf>,
    indexes: Vec<gix_pack::index::File>,
}

impl StoredPacks {
    /// Copies and links into a folder on local disk.
    ///
    /// # Errors
    /// [`GitError::Damaged`] if a pack cannot be used.
    pub(super) fn link(mirror: &Path, objects_folder: PathBuf) -> Result<Self, GitError> {
        let folder = objects_folder.join("pack");
        fs::create_dir_all(&folder).map_err(GitError::io("create", &folder))?;
        let linked = view::link(mirror, &folder)?;
        if let Some((_, problem)) = linked.refused.into_iter().next() {
            return Err(GitError::Damaged(problem));
        }
        Ok(Self { objects_folder: Some(objects_folder), indexes: linked.indexes })
    }

    /// Returns how many there are.
    pub(super) fn len(&self) -> usize {
        self.indexes.len()
    }

    /// Says whether one of them holds an object, by its index.
    pub(super) fn hold(&self, oid: OidBytes) -> bool {
        self.indexes.iter().any(|index| pack::is_in(index, oid))
    }

    /// Opens a repository in scratch together with these packs.
    pub(super) fn open_with(&self, scratch: &Path) -> Result<Repository, GitError> {
        let repository = Repository::open_bare(scratch)?;
        if let Some(folder) = &self.objects_folder {
            let path =
                folder.to_str().ok_or_else(|| GitError::Task("a scratch folder that is not UTF-8".to_owned()))?;
            repository.odb()?.add_disk_alternate(path)?;
        }
        Ok(repository)
    }
}

/// What has come, with what the mirror has.
pub(super) struct Objects<'a> {
    scratch: &'a Path,
    stored: &'a StoredPacks,
    arrived: Repository,
    /// The parents of commits that have come, as far as they were asked for; none of what did not come.
    parents: RefCell<HashMap<Oid, Vec<Oid>>>,
    all: OnceCell<Repository>,
}

impl<'a> Objects<'a> {
    /// Looks at a repository in scratch, in which all that has come lies.
    pub(super) fn open(scratch: &'a Path, stored: &'a StoredPacks) -> Result<Self, GitError> {
        let arrived = Repository::open_bare(scratch)?;
        Ok(Self { scratch, stored, arrived, parents: RefCell::default(), all: OnceCell::new() })
    }

    /// Returns what has come.
    pub(super) fn arrived(&self) -> &Repository {
        &self.arrived
    }

    /// Returns everything, for which the packs of the mirror are opened.
    pub(super) fn all(&self) -> Result<&Repository, GitError> {
        if let Some(all) = self.all.get() {
            return Ok(all);
        }
        let all = self.stored.open_with(self.scratch)?;
        Ok(self.all.get_or_init(|| all))
    }

    /// Says whether an object is there; nothing is read of it.
    pub(super) fn hold(&self, oid: Oid) -> Result<bool, GitError> {
        Ok(self.stored.hold(bytes_of(oid)) || has(&self.arrived, oid)?)
    }

    /// Says whether a commit is among those that another goes back to; no if that cannot be found out.
    pub(super) fn descends(&self, commit: Oid, from: Oid) -> Result<bool, GitError> {
        Ok(self.descends_through_what_came(commit, from)?
            || self.all()?.graph_descendant_of(commit, from).unwrap_or(false))
    }

    /// Goes back no further than what has come goes, which is as far as most pushes need.
    fn descends_through_what_came(&self, commit: Oid, from: Oid) -> Result<bool, GitError> {
        let mut known = self.parents.borrow_mut();
        let mut waiting = vec![commit];
        let mut seen = HashSet::new();
        while let Some(oid) = waiting.pop() {
            if let Entry::Vacant(unknown) = known.entry(oid) {
                unknown.insert(self.parents_of_arrived(oid)?);
            }
            for parent in &known[&oid] {
                if *parent == from {
                    return Ok(true);
                }
                if seen.insert(*parent) {
                    waiting.push(*parent);
                }
            }
        }
        Ok(false)
    }

    fn parents_of_arrived(&self, oid: Oid) -> Result<Vec<Oid>, GitError> {
        let commit = has(&self.arrived, oid)?.then(|| self.arrived.find_commit(oid).ok()).flatten();
        Ok(commit.map(|commit| commit.parent_ids().collect()).unwrap_or_default())
    }
}

fn has(repository: &Repository, oid: Oid) -> Result<bool, GitError> {
    Ok(repository.odb()?.exists_ext(oid, OdbLookupFlags::NO_REFRESH))
}
