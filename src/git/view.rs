//! A view of a mirror's packs, and of nothing else in it, through which libgit2 reads.
//!
//! A folder on local disk with a symbolic link to each pack. What lies in a mirror beside its packs (configuration,
//! alternates, a commit graph, loose objects) is neither trusted nor obeyed. What a newcomer would get wrong: libgit2
//! does not check the offsets in an index, and one wrong bit there ends the process; so they are checked first, and a
//! wrong index is made anew for the view.

use std::fs::{self, File};
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};

use super::pack::{self, Pack};
use super::{GitError, transport};
use crate::scratch::Scratch;
use git2::Repository;

/// Holds the folder as long as somebody reads through it.
pub struct View {
    repository: Repository,
    folder: Scratch,
    damage: Vec<String>,
}

impl View {
    /// Opens a mirror; `scratch` is a folder on local disk.
    ///
    /// # Errors
    /// [`GitError::Io`]; damage is no error.
    pub fn open(mirror: &Path, scratch: &Path) -> Result<Self, GitError> {
        transport::set_up_libgit2();
        let folder = Scratch::create(scratch).map_err(GitError::io("create a folder in", scratch))?;
        let repository = Repository::init_bare(folder.path())?;
        let packs = folder.path().join("objects/pack");
        let mut damage = Vec::new();
        for (pack, problem) in link(mirror, &packs)? {
            damage.push(problem);
            // What is wrong with the pack itself shows when it is read.
            if let Err(error) = index_anew(&pack, &packs) {
                tracing::debug!(pack = %pack.pack.display(), %error, "cannot be indexed anew");
            }
        }
        Ok(Self { repository, folder, damage })
    }

    /// Returns the repository; it has objects and no refs.
    pub fn repository(&self) -> &Repository {
        &self.repository
    }

    /// Returns the folder of the packs.
    pub fn packs(&self) -> PathBuf {
        self.folder.path().join("objects/pack")
    }

    /// Says what is wrong with the indexes of the mirror.
    pub fn damage(&self) -> &[String] {
        &self.damage
    }
}

/// Links the packs of a mirror into a folder; returns those whose index libgit2 must not see, and why.
pub(super) fn link(mirror: &Path, folder: &Path) -> Result<Vec<(Pack, String)>, GitError> {
    let mut refused = Vec::new();
    for pack in pack::packs_in(&mirror.join("objects/pack"))? {
        match pack::check_offsets(&pack) {
            Ok(_) => {
                let link = pack.within(folder);
                for (file, link) in [(&pack.pack, &link.pack), (&pack.idx, &link.idx)] {
                    std::os::unix::fs::symlink(file, link).map_err(GitError::io("link to", file))?;
                }
            }
            Err(GitError::Damaged(problem)) => refused.push((pack, problem)),
            Err(error) => return Err(error),
        }
    }
    Ok(refused)
}

/// Makes a copy of a pack with an index of its own.
fn index_anew(pack: &Pack, folder: &Path) -> Result<(), GitError> {
    let file = File::open(&pack.pack).map_err(GitError::io("open", &pack.pack))?;
    let mut indexer = git2::Indexer::new(None, folder, 0o600, false)?;
    io::copy(&mut BufReader::with_capacity(1 << 20, file), &mut indexer).map_err(GitError::io("index", &pack.pack))?;
    indexer.commit()?;
    Ok(())
}

/// Says whether a file of a folder is only linked there.
pub(super) fn is_link(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_symlink())
}
