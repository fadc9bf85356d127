//! Compose: a repository whose files ghbk itself writes, as a commit on `refs/heads/main` after each run that changed something.
//!
//! Blocking; writes only to scratch. What is made is published, verified, restored and repaired like what a git server sent.

use std::collections::HashSet;
use std::path::Path;

use git2::{ObjectType, Oid};
use tokio_util::sync::CancellationToken;

use crate::git::GitError;
use crate::git::mirror::reach::{Objects, StoredPacks};
use crate::git::mirror::salvage::{Salvaged, salvage};
use crate::git::mirror::snapshot::{FILE_MODE, FOLDER_MODE, Occasion, SIGNATURE, push_entry, trailers};
use crate::git::mirror::stage::{Observed, Staged, finish, finish_repair, previous};
use crate::git::pack::examine::{self, Depth};
use crate::git::pack::growing::Growing;
use crate::git::pack::links::{self, bytes_of};
use crate::git::pack::reader::ObjectReader;
use crate::git::pack::{NewObject, Pack};
use crate::git::refs::{Refs, Target};

/// The branch that ghbk writes.
pub const BRANCH: &str = "refs/heads/main";
/// The content of HEAD.
pub const HEAD: &str = "ref: refs/heads/main";

/// Something in a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// The file or folder.
    pub oid: Oid,
    /// Whether it is a folder.
    pub is_folder: bool,
}

/// Reads what a folder holds.
///
/// # Errors
/// [`GitError::Damaged`].
pub fn entries(objects: &ObjectReader, folder: Oid) -> Result<Vec<Entry>, GitError> {
    let damaged = |what: &dyn std::fmt::Display| GitError::Damaged(format!("{folder} {what}"));
    let tree = objects.read(folder).map_err(|error| damaged(&error))?;
    let mut found = Vec::new();
    links::each_entry(&tree.data, |name, oid, mode| {
        let name = String::from_utf8_lossy(name).into_owned();
        let is_folder = mode & links::TYPE_MASK == links::FOLDER;
        found.extend(Oid::from_bytes(&oid).map(|oid| Entry { name, oid, is_folder }));
    })
    .map_err(|_| damaged(&"is no folder"))?;
    Ok(found)
}

/// Returns the folder that a commit stands for.
///
/// # Errors
/// [`GitError::Damaged`].
pub fn root(objects: &ObjectReader, commit: Oid) -> Result<Oid, GitError> {
    links::tree_of(objects, commit)
        .ok_or_else(|| GitError::Damaged(format!("{commit} cannot be read, or is no commit")))
}

/// Writes files, folders and the commit.
pub struct Composer<'a> {
    /// What need not be written again.
    stored: Option<&'a ObjectReader>,
    growing: Growing,
}

impl<'a> Composer<'a> {
    /// Begins in a folder of scratch, beside what is `stored`.
    ///
    /// # Errors
    /// [`GitError::Disk`].
    pub fn begin(scratch: &Path, stored: Option<&'a ObjectReader>) -> Result<Self, GitError> {
        let folder = scratch.join("objects/pack");
        std::fs::create_dir_all(&folder).map_err(GitError::io("create", &folder))?;
        Ok(Self { stored, growing: Growing::begin(&folder)? })
    }

    fn add(&mut self, kind: ObjectType, content: Vec<u8>) -> Result<Oid, GitError> {
        let object = NewObject::new(kind, content)?;
        if !self.stored.is_some_and(|stored| stored.contains(object.oid)) {
            self.growing.add(&object)?;
        }
        Ok(object.oid)
    }

    /// Says whether an object is stored, and need not be written.
    pub fn has(&self, oid: Oid) -> bool {
        self.stored.is_some_and(|stored| stored.contains(oid))
    }

    /// Adds a file.
    ///
    /// # Errors
    /// [`GitError::Disk`].
    pub fn file(&mut self, content: Vec<u8>) -> Result<Oid, GitError> {
        self.add(ObjectType::Blob, content)
    }

    /// Adds a folder.
    ///
    /// # Errors
    /// [`GitError::Disk`].
    pub fn folder(&mut self, mut entries: Vec<Entry>) -> Result<Oid, GitError> {
        // Git sorts a folder as if its name ended in a slash.
        entries.sort_by_key(|entry| entry.name.clone() + if entry.is_folder { "/" } else { "" });
        let mut tree = Vec::new();
        for Entry { name, oid, is_folder } in entries {
            push_entry(&mut tree, if is_folder { FOLDER_MODE } else { FILE_MODE }, &name, oid);
        }
        self.add(ObjectType::Tree, tree)
    }

    /// Adds the commit. Its message is a title and whatever else is worth telling.
    ///
    /// # Errors
    /// [`GitError::Disk`].
    pub fn commit(
        &mut self,
        root: Oid,
        parent: Option<Oid>,
        message: &str,
        occasion: &Occasion,
    ) -> Result<Oid, GitError> {
        let parent = parent.map_or_else(String::new, |parent| format!("parent {parent}\n"));
        let seconds = occasion.observed_at.timestamp();
        let text = format!(
            "tree {root}\n{parent}author {SIGNATURE} {seconds} +0000\ncommitter {SIGNATURE} {seconds} +0000\n\n{message}\n{}",
            trailers(occasion)
        );
        self.add(ObjectType::Commit, text.into_bytes())
    }

    /// Completes the pack of what is new.
    ///
    /// # Errors
    /// [`GitError::Disk`].
    pub fn end(self) -> Result<Pack, GitError> {
        self.growing.end()
    }
}

/// What was composed, and what it is for.
pub struct Composed<'a> {
    /// The new commit.
    pub commit: Oid,
    /// The pack with it, in scratch.
    pub pack: &'a Pack,
    /// The run and the time.
    pub occasion: &'a Occasion,
    /// The folder on local disk.
    pub scratch: &'a Path,
}

impl Composed<'_> {
    /// Returns the refs that the mirror is to have, its kept history aside.
    fn refs(&self) -> Refs {
        let mut refs = Refs::default();
        refs.insert(BRANCH.to_owned(), Target { oid: self.commit, peeled: None });
        refs
    }

    fn observed<'a>(&'a self, refs: &'a Refs) -> Observed<'a> {
        Observed { refs, head: HEAD, occasion: self.occasion, scratch: self.scratch }
    }

    /// Makes it ready for a mirror that is there (its folder, refs and HEAD), or for a new one.
    ///
    /// # Errors
    /// [`GitError::Incomplete`] if something that the commit needs is neither new nor stored.
    pub fn stage(
        &self,
        mirror: Option<(&Path, &Refs, Option<&str>)>,
        cancel: &CancellationToken,
    ) -> Result<Staged, GitError> {
        let nothing = Refs::default();
        let (stored, refs, head) = match mirror {
            Some((folder, refs, head)) => (StoredPacks::of_mirror(folder, self.scratch.join("stored"))?, refs, head),
            None => (StoredPacks::default(), &nothing, None),
        };
        self.prove(&stored, cancel)?;
        let objects = Objects::open(self.scratch, &stored)?;
        let new = self.refs();
        let staged = finish(&self.observed(&new), &objects, Some(self.pack), refs, previous(refs, head).as_ref())?;
        Ok(Staged { stored_packs: stored.len(), ..staged })
    }

    /// Makes it ready to take the place of a damaged mirror.
    ///
    /// # Errors
    /// As [`Self::stage`].
    pub(crate) fn stage_repair(&self, salvaged: Salvaged, cancel: &CancellationToken) -> Result<Staged, GitError> {
        let refs = self.refs();
        finish_repair(&self.observed(&refs), &StoredPacks::default(), Some(self.pack), salvaged, cancel)
    }

    /// Proves that everything that is new can be read, and that nothing it needs is missing.
    fn prove(&self, stored: &StoredPacks, cancel: &CancellationToken) -> Result<(), GitError> {
        let examined = examine::stored(self.pack, Depth::Hash, None, cancel)?;
        let index = self.pack.index()?;
        let mut needs: HashSet<Oid> = examined.needs;
        needs.insert(self.commit);
        let is_there = |oid: &Oid| stored.hold(bytes_of(*oid)) || crate::git::pack::is_in(&index, bytes_of(*oid));
        needs.into_iter().find(|oid| !is_there(oid)).map_or(Ok(()), |missing| Err(GitError::Incomplete(missing)))
    }
}

/// Carries over what can be read of a damaged mirror, into the folder of what will be composed.
///
/// # Errors
/// As [`salvage`].
pub(crate) fn carry_over(damaged: &Path, scratch: &Path, cancel: &CancellationToken) -> Result<Salvaged, GitError> {
    let folder = scratch.join("objects/pack");
    std::fs::create_dir_all(&folder).map_err(GitError::io("create", &folder))?;
    salvage(damaged, &folder, &Refs::default(), scratch, cancel)
}
