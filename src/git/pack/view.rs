//! A view of a mirror's objects, and of nothing else in it.
//!
//! A folder on local disk with copies of the mirror's indexes, and of its packs where most of them is read. Whatever else is in a
//! mirror (configuration, alternates, a commit graph) is neither trusted nor obeyed. What a newcomer would get wrong: most
//! readers follow an index without a check, and one wrong bit there ends the process. So its offsets are checked first, and a
//! wrong index is made anew for the view.

use std::fs;
use std::path::{Path, PathBuf};

use git2::Repository;
use tokio_util::sync::CancellationToken;

use crate::disk::read_at_once;
use crate::git::GitError;
use crate::git::pack::copies::{self, Copied, copy_all, copy_loose};
use crate::git::pack::reader::{ObjectReader, ReadPack};
use crate::git::pack::{self, Pack};
use crate::git::wire::transport;
use crate::scratch::Scratch;

/// Keeps the folder for as long as somebody reads through it.
pub struct View {
    mirror: PathBuf,
    folder: Scratch,
    reader: ObjectReader,
    damage: Vec<String>,
}

impl View {
    /// Opens a mirror, whose packs are read where they are; `scratch` is a folder on local disk.
    ///
    /// # Errors
    /// [`GitError::Disk`] if scratch cannot be written or the packs cannot be listed; damage is not an error.
    pub fn open(mirror: &Path, scratch: &Path) -> Result<Self, GitError> {
        transport::set_up_libgit2();
        let folder = Scratch::create(scratch).map_err(GitError::io("create a folder in", scratch))?;
        let Indexed { packs: usable, indexes, mut refused } = copy_indexes(mirror, folder.path())?;
        let mut packs = Vec::with_capacity(usable.len());
        for (pack, index) in usable.into_iter().zip(indexes) {
            match ReadPack::open(&pack, index) {
                Ok(read) => packs.push(read),
                Err(error) => refused.push((pack.within(&mirror.join("objects/pack")), error.damage())),
            }
        }
        let mut damage = Vec::new();
        let cancel = CancellationToken::new();
        for (pack, problem) in refused {
            damage.push(problem);
            let Copied { pack, problem } = copies::copy(&pack, folder.path(), &cancel)?;
            damage.extend(problem.filter(|problem| !damage.contains(problem)));
            if let Some(pack) = pack {
                packs.push(ReadPack::open(&pack, pack.index()?)?);
            }
        }
        let reader = ObjectReader::over(packs).with_loose(mirror.join("objects"));
        Ok(Self { mirror: mirror.to_owned(), folder, reader, damage })
    }

    /// As [`Self::open`], but with the packs whose index is lost: for bringing something back they are as good as others.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_with_unindexed(mirror: &Path, scratch: &Path) -> Result<Self, GitError> {
        let view = Self::open(mirror, scratch)?;
        let packs = copies::copy_unindexed(mirror, view.folder.path(), &CancellationToken::new())?;
        let reader = view.reader.and(ObjectReader::open(&packs)?);
        Ok(Self { reader, ..view })
    }

    /// Copies everything into a repository that libgit2 may open.
    ///
    /// # Errors
    /// As [`Self::open`], and [`GitError::Cancelled`].
    pub(crate) fn copy(mirror: &Path, scratch: &Path, cancel: &CancellationToken) -> Result<Self, GitError> {
        transport::set_up_libgit2();
        let folder = Scratch::create(scratch).map_err(GitError::io("create a folder in", scratch))?;
        Repository::init_bare(folder.path())?;
        let objects = folder.path().join("objects");
        let copied = copy_all(mirror, &objects.join("pack"), cancel)?;
        copy_loose(mirror, &objects)?;
        let mut packs: Vec<Pack> = copied.iter().filter_map(|copied| copied.pack.clone()).collect();
        packs.extend(copies::copy_unindexed(mirror, &objects.join("pack"), cancel)?);
        let damage = copied.into_iter().filter_map(|copied| copied.problem).collect();
        let reader = ObjectReader::open(&packs)?.with_loose(objects);
        Ok(Self { mirror: mirror.to_owned(), folder, reader, damage })
    }

    /// Returns the reader of its objects.
    pub fn objects(&self) -> &ObjectReader {
        &self.reader
    }

    /// Returns the folder of the mirror.
    pub fn mirror(&self) -> &Path {
        &self.mirror
    }

    /// Opens the copy, if this is one; it has objects and no refs.
    pub(crate) fn repository(&self) -> Result<Repository, GitError> {
        Ok(Repository::open_bare(self.folder.path())?)
    }

    /// Returns what is wrong with the mirror's packs, as far as opening them showed it.
    pub fn damage(&self) -> &[String] {
        &self.damage
    }
}

/// The packs of a repository, with their indexes on local disk.
#[derive(Default)]
pub(crate) struct Indexed {
    /// Those that can be read: packs where they are, indexes on local disk.
    pub(crate) packs: Vec<Pack>,
    /// Their indexes, in the same order.
    pub(crate) indexes: Vec<gix_pack::index::File>,
    /// Those whose index must not be followed, and why.
    pub(crate) refused: Vec<(Pack, String)>,
}

/// Copies the indexes of a repository's packs into a folder on local disk.
///
/// Looking up objects reads them again and again, and the check reads all of each anyway.
pub(crate) fn copy_indexes(git_dir: &Path, folder: &Path) -> Result<Indexed, GitError> {
    let mut indexed = Indexed::default();
    for pack in pack::packs_in(&git_dir.join("objects/pack"))? {
        let idx = match read_at_once(&pack.idx) {
            Ok(idx) => idx,
            Err(error) => {
                let problem = format!("{} cannot be read: {error}", pack::name_of(&pack.idx));
                indexed.refused.push((pack, problem));
                continue;
            }
        };
        let local = pack.within(folder).idx;
        fs::write(&local, idx).map_err(GitError::io("write", &local))?;
        let there = Pack { pack: pack.pack.clone(), idx: local };
        match pack::check_offsets(&there) {
            Ok(index) => {
                indexed.packs.push(there);
                indexed.indexes.push(index);
            }
            Err(GitError::Damaged(problem)) => {
                fs::remove_file(&there.idx).map_err(GitError::io("remove", &there.idx))?;
                indexed.refused.push((pack, problem));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(indexed)
}
