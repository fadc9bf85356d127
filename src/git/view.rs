//! A view of a mirror's packs, and of nothing else in it, through which libgit2 reads.
//!
//! A folder on local disk with a symbolic link to each pack and a copy of its index. What lies in a mirror beside its
//! packs (configuration, alternates, a commit graph, loose objects) is neither trusted nor obeyed. What a newcomer would
//! get wrong: libgit2 does not check the offsets in an index, and one wrong bit there ends the process; so they are
//! checked first, and a wrong index is made anew for the view.

use std::fs::{self, File};
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};

use super::files::read_at_once;
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
        for (pack, problem) in link(mirror, &packs)?.refused {
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

/// What came of the packs of a mirror.
#[derive(Default)]
pub(super) struct Linked {
    /// The copied indexes of those that libgit2 may read.
    pub(super) indexes: Vec<gix_pack::index::File>,
    /// Those whose index libgit2 must not see, and why.
    pub(super) refused: Vec<(Pack, String)>,
}

/// Links the packs of a mirror into a folder on local disk.
///
/// Their indexes are copied: whoever looks an object up reads them again and again, and all of each is read for the
/// check anyway.
pub(super) fn link(mirror: &Path, folder: &Path) -> Result<Linked, GitError> {
    let mut linked = Linked::default();
    for pack in pack::packs_in(&mirror.join("objects/pack"))? {
        let local = pack.within(folder);
        let idx = match read_at_once(&pack.idx) {
            Ok(idx) => idx,
            Err(error) => {
                let problem = format!("{} cannot be read: {error}", pack::name_of(&pack.idx));
                linked.refused.push((pack, problem));
                continue;
            }
        };
        fs::write(&local.idx, idx).map_err(GitError::io("write", &local.idx))?;
        match pack::check_offsets(&Pack { pack: pack.pack.clone(), idx: local.idx.clone() }) {
            Ok(index) => {
                std::os::unix::fs::symlink(&pack.pack, &local.pack).map_err(GitError::io("link to", &pack.pack))?;
                linked.indexes.push(index);
            }
            Err(GitError::Damaged(problem)) => {
                fs::remove_file(&local.idx).map_err(GitError::io("remove", &local.idx))?;
                linked.refused.push((pack, problem));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(linked)
}

/// Makes a copy of a pack with an index of its own.
fn index_anew(pack: &Pack, folder: &Path) -> Result<(), GitError> {
    let file = File::open(&pack.pack).map_err(GitError::io("open", &pack.pack))?;
    let mut indexer = git2::Indexer::new(None, folder, 0o600, false)?;
    io::copy(&mut BufReader::with_capacity(1 << 20, file), &mut indexer).map_err(GitError::io("index", &pack.pack))?;
    indexer.commit()?;
    Ok(())
}
