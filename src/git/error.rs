//! What can go wrong between a git server and a mirror, and what to do about it.

use super::wire::error::WireError;
use crate::disk::DiskError;
use crate::limits::{Retry, Retryable};

/// What to do when the lock is lost.
pub(crate) const LOCK_LOST_HINT: &str = "never remove `.ghbk/lock`, a run that has ended does not keep it; another run may be under way \
                                         now: `ghbk status` shows it; run again when it has ended";

/// What went wrong between the git server and the store.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// The git server failed, or the connection to it.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// A file could not be read or written.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// A pack was received, yet an object is missing.
    #[error("the pack received lacks {0}, which the server advertised or referred to")]
    Incomplete(git2::Oid),
    /// What was received is not a valid pack, or contains an invalid object.
    #[error("the pack received is broken: {0}")]
    BrokenPack(String),
    /// An object in the pack received is larger than allowed.
    #[error("it contains an object of {bytes}, and limits.object_size allows {allowed}")]
    ObjectTooLarge {
        /// The size that the pack gives.
        bytes: bytesize::ByteSize,
        /// The largest allowed.
        allowed: bytesize::ByteSize,
    },
    /// Checking what was received or stored takes more memory than there is.
    #[error("checking it takes about {needed} of memory, and limits.memory allows {allowed}")]
    NeedsMemory {
        /// The estimate.
        needed: bytesize::ByteSize,
        /// The limit: as configured, or half of the machine's memory.
        allowed: bytesize::ByteSize,
    },
    /// A repository would fill the file system before it is complete.
    #[error("there is no room for it: about {needed} by GitHub's count, and {free} are free in {}", .folder.display())]
    NoRoom {
        /// The repository's size, as GitHub gives it.
        needed: bytesize::ByteSize,
        /// What is free.
        free: bytesize::ByteSize,
        /// Where.
        folder: std::path::PathBuf,
    },
    /// The store no longer has what is to be restored.
    #[error("not all of it can be read: {}", .0.iter().take(5).map(ToString::to_string).collect::<Vec<_>>().join(", "))]
    Lost(Vec<crate::git::pack::links::LostObject>),
    /// libgit2 failed.
    #[error("libgit2: {}", crate::text::printable(.0.message(), 200))]
    Libgit2(git2::Error),
    /// What is stored cannot be read.
    #[error("the mirror is damaged: {0}")]
    Damaged(String),
    /// A clone of another tool cannot become a mirror.
    #[error("the clone cannot be adopted: {0}")]
    NotAdoptable(&'static str),
    /// Something else is where the mirror of this repository should be.
    #[error("{} is in the way: it is no mirror of this repository", .0.display())]
    InTheWay(std::path::PathBuf),
    /// Another process changed the refs of a mirror after they were compared and before they were published.
    #[error("the refs of the mirror changed while they were compared with GitHub's: another process wrote them")]
    Overtaken,
    /// The server advertises nothing though the mirror has refs.
    #[error("the git server advertises no refs at all, and the mirror has {0}; the mirror is kept as it is")]
    Emptied(usize),
    /// This run no longer holds the lock of the store.
    #[error("the lock {0} was removed, replaced or taken over while the run held it")]
    LockLost(std::path::PathBuf),
    /// The work was cancelled.
    #[error("cancelled")]
    Cancelled,
    /// A task of this process ended unexpectedly.
    #[error("a task failed: {0}")]
    Task(String),
}

impl GitError {
    /// Returns a function that wraps an I/O error with what was tried on which path.
    pub(crate) fn io(doing: &'static str, path: &std::path::Path) -> impl FnOnce(std::io::Error) -> Self + use<> {
        let of_disk = DiskError::io(doing, path);
        move |source| of_disk(source).into()
    }

    /// Returns whether this is a failure to read or write a path below a folder.
    pub(crate) fn is_below(&self, folder: &std::path::Path) -> bool {
        matches!(self, Self::Disk(error) if error.is_below(folder))
    }

    /// Returns the text of damage, without saying that the mirror is damaged.
    pub(crate) fn damage(&self) -> String {
        match self {
            Self::Damaged(what) => what.clone(),
            error => error.to_string(),
        }
    }

    /// Returns what a person can do about it, with this repository in the commands.
    pub fn hint_for(&self, repository: &str) -> String {
        self.hint().replace("OWNER/REPO", repository)
    }

    /// Returns what a person can do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Wire(error) => error.hint(),
            Self::Disk(error) => error.hint(),
            Self::Incomplete(_) | Self::BrokenPack(_) => {
                "run again; if it persists, try `git clone --mirror` and report it"
            }
            Self::ObjectTooLarge { .. } => {
                "raise limits.object_size if there is memory for it, or exclude the repository"
            }
            Self::NeedsMemory { .. } => {
                "use a machine with more memory, raise limits.memory, or exclude the repository"
            }
            Self::NoRoom { .. } => {
                "free space there, enlarge it, or exclude the repository; store.scratch may be a folder on another disk"
            }
            Self::Lost(_) => {
                "restore another point in time (`ghbk snapshots`), or the store's files from a backup of its file system"
            }
            Self::Libgit2(error) if error.message().contains("No space left on device") => {
                "free space on the disk of store.scratch, or set it to a folder on another one"
            }
            Self::Libgit2(_) => "run again; if it persists, the repository may be corrupt on GitHub's side",
            Self::Damaged(_) => {
                "`ghbk verify` shows all of it; `ghbk run --repair OWNER/REPO` fetches the repository anew, and keeps what only the store has"
            }
            Self::NotAdoptable(_) => {
                "nothing is lost: it stays where it is, and `ghbk run` fetches the repository anew"
            }
            Self::InTheWay(_) => "if another tool cloned it, `ghbk adopt` takes it over; otherwise move it away",
            Self::Overtaken => {
                "look for another ghbk that uses this store; never remove `.ghbk/lock`; the next run compares anew"
            }
            Self::LockLost(_) => LOCK_LOST_HINT,
            Self::Emptied(_) => {
                "if it was emptied on purpose, exclude it, or move its mirror away and `ghbk forget` it"
            }
            Self::Cancelled => "run again",
            Self::Task(_) => "please report this",
        }
    }
}

/// Makes a folder in scratch that is removed when it is dropped.
pub(crate) fn temporary_folder(prefix: &str, parent: &std::path::Path) -> Result<tempfile::TempDir, GitError> {
    let folder = tempfile::Builder::new().prefix(prefix).tempdir_in(parent);
    folder.map_err(GitError::io("create a folder in", parent))
}

impl From<git2::Error> for GitError {
    fn from(error: git2::Error) -> Self {
        if error.class() == git2::ErrorClass::Net && error.message().starts_with("remote error") {
            return WireError::Remote(crate::text::printable(error.message(), 200)).into();
        }
        Self::Libgit2(error)
    }
}

impl Retryable for GitError {
    fn retry(&self) -> Retry {
        match self {
            Self::Wire(error) => error.retry(),
            // Damage on the way is rare, and what is corrupt on the server stays corrupt: one more download is enough.
            Self::Incomplete(_) | Self::BrokenPack(_) => Retry::Once,
            Self::Libgit2(error) if error.class() == git2::ErrorClass::Net => Retry::Transient,
            Self::Libgit2(error) if error.class() == git2::ErrorClass::Indexer => Retry::Once,
            _ => Retry::Never,
        }
    }
}
