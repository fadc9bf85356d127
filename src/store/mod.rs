//! The root on disk: mirrors, lock, records. Blocking; no network, no clock.
//!
//! What a newcomer would get wrong: nothing here ever removes the only mirror of a repository. Folders are made, moved and
//! set aside; only what is half-built is removed, or what the next repair makes again.

mod contents;
mod fold;
mod index;
pub mod layout;
mod ledger;
mod lock;
mod marks;
mod mirror;
mod missing;
mod moves;
mod rebuild;
mod records;
mod recovery;
mod scan;
mod statement;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::config::StoreConfig;
use crate::disk::DiskError;
use crate::git::GitError;

pub use contents::Look;
pub use fold::{Folded, fold, is_due};
pub use index::{Index, IndexedMirror};
pub(crate) use layout::OWN_FOLDER;
pub use ledger::{Forgotten, Ledger, Record, Verified};
pub use lock::{Lock, LockHolder, Presence, has_daemon, is_locked};
pub use marks::{Mark, Marks};
pub use mirror::{History, Mirror};
pub use missing::missing_mirrors;
pub use records::{
    Latest, RunRecord, all_runs, first_run_start, latest, recorded_names, repositories_once_called, run_ids, run_record,
};
pub use recovery::{Broom, Swept};
pub use scan::{Scan, Scanned, Unreadable};
pub use statement::{Statement, host_of};

/// Says why the store cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The root does not exist.
    #[error("the store {0} does not exist")]
    Missing(PathBuf),
    /// The root is not a folder.
    #[error("the store {0} is not a folder")]
    NotAFolder(PathBuf),
    /// The root must be a mount point and is not one.
    #[error("the store {0} is not a mount point, so its file system is probably not mounted")]
    NotMounted(PathBuf),
    /// Another run is under way.
    #[error("a run is already under way{}", .holder.as_ref().map(|h| format!(": {h}")).unwrap_or_default())]
    Locked {
        /// Who holds the lock, if it says.
        holder: Option<LockHolder>,
    },
    /// A file or folder cannot be read or written.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The file of the lock is not the one that the run has locked.
    #[error("the lock {0} was removed, replaced or taken over while the run held it")]
    LockLost(PathBuf),
    /// The store holds mirrors of another GitHub.
    #[error("the store holds mirrors of {stored}, and github.api_url is of {wanted}")]
    OtherHost {
        /// The file that says what the store is.
        path: PathBuf,
        /// The host of the store's GitHub.
        stored: String,
        /// The host that is configured.
        wanted: String,
    },
    /// A later version of ghbk made the store.
    #[error(
        "{path} says that the store has format {format}, and this version of ghbk knows formats up to {}",
        statement::FORMAT
    )]
    Newer {
        /// The file that says so.
        path: PathBuf,
        /// The store's format.
        format: u32,
    },
    /// The file that says what the store is cannot be understood.
    #[error("{path} cannot be understood: {reason}")]
    NotUnderstood {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A mirror lacks something.
    #[error("the mirror in {path} is damaged: {what}")]
    Damaged {
        /// Where it lies.
        path: PathBuf,
        /// What is wrong with it.
        what: &'static str,
    },
    /// A folder that ghbk did not make is where a mirror should be.
    #[error("{path} is in the way: {reason}")]
    Occupied {
        /// The folder.
        path: PathBuf,
        /// Why it cannot be used.
        reason: String,
    },
}

impl StoreError {
    pub(crate) fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let of_disk = DiskError::io(doing, path);
        move |source| of_disk(source).into()
    }

    /// Says what a person can do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::Missing(path) => format!(
                "name the store with --root DIR or store.root; to start a new one there: mkdir -p {}",
                crate::text::quoted(path)
            ),
            Self::NotAFolder(_) => "set store.root or --root to a folder".to_owned(),
            Self::NotMounted(path) => format!(
                "mount it: mount {}; for a store on a plain folder set store.require_mount = false",
                path.display()
            ),
            Self::Locked { .. } => "wait for it; `ghbk status` shows how far it is".to_owned(),
            Self::Disk(error) => error.hint().to_owned(),
            Self::LockLost(_) => crate::git::LOCK_LOST_HINT.to_owned(),
            Self::OtherHost { path, stored, wanted } => format!(
                "give each GitHub a store.root of its own; if {wanted} is a new name of {stored}, write into {}: \
                 format = 1, host = \"{wanted}\", formerly = [\"{stored}\"], a line each",
                path.display()
            ),
            Self::Newer { .. } => {
                "install the version of ghbk that wrote it, or a later one; `git clone` reads the mirrors \
                                   without ghbk"
                    .to_owned()
            }
            Self::NotUnderstood { .. } => {
                "correct it: two lines, format = 1 and host = \"api.github.com\", or the host of github.api_url"
                    .to_owned()
            }
            Self::Damaged { .. } => "`ghbk verify` shows more, and how to repair it".to_owned(),
            Self::Occupied { .. } => "move it away, then run again".to_owned(),
        }
    }
}

/// Turns a failure of the store into one of a mirror.
impl From<StoreError> for GitError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Disk(error) => Self::Disk(error),
            StoreError::LockLost(path) => Self::LockLost(path),
            // Like another tool's clone, it belongs to no repository of this GitHub.
            StoreError::OtherHost { path, .. } => Self::InTheWay(path),
            error => Self::Task(error.to_string()),
        }
    }
}

/// The root folder, checked.
#[derive(Clone, Debug)]
pub struct Store {
    root: PathBuf,
    /// What the store says it is.
    statement: Option<Statement>,
    /// The host of the GitHub that a run speaks to.
    host: Option<Arc<str>>,
}

impl Store {
    /// Checks the root. Writes nothing.
    ///
    /// # Errors
    /// [`StoreError`] if it is missing, not a folder, or not mounted though it must be.
    pub fn open(config: &StoreConfig) -> Result<Self, StoreError> {
        let root = &config.root;
        let mount = config.mount_point();
        let mounted = |path: &Path| is_mount_point(path).map_err(StoreError::io("examine", path));
        let is_there = || mount.try_exists().map_err(StoreError::io("examine", mount));
        if mount != root && config.requires_mount() && is_there()? && !mounted(mount)? {
            return Err(StoreError::NotMounted(mount.to_owned()));
        }
        match std::fs::metadata(root) {
            Ok(metadata) if metadata.is_dir() => {}
            Ok(_) => return Err(StoreError::NotAFolder(root.clone())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(StoreError::Missing(root.clone())),
            Err(error) => return Err(StoreError::io("open", root)(error)),
        }
        if config.requires_mount() && !mounted(mount)? {
            return Err(StoreError::NotMounted(root.clone()));
        }
        let mut store = Self { root: root.clone(), statement: None, host: None };
        store.statement = store.read_statement()?;
        Ok(store)
    }

    /// Returns the root folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    fn own(&self, name: &str) -> PathBuf {
        self.root.join(layout::OWN_FOLDER).join(name)
    }

    /// Makes ghbk's own folders.
    ///
    /// # Errors
    /// [`StoreError::Disk`], which is how a read-only or full store shows.
    pub fn prepare(&self) -> Result<(), StoreError> {
        let (own, runs) = (self.root.join(layout::OWN_FOLDER), self.own("runs"));
        self.refuse_link(Path::new(layout::OWN_FOLDER))?;
        let has_runs = refuse_links_in(&own)?.contains(&runs);
        refuse_links_in(&self.own(layout::INCOMING))?;
        if has_runs {
            return Ok(());
        }
        std::fs::create_dir_all(&runs).map_err(StoreError::io("create", &runs))
    }

    /// Refuses a path below the root with a symbolic link on it: what is written there would end up elsewhere.
    ///
    /// # Errors
    /// [`DiskError::Linked`] or [`DiskError::Io`]; a missing path is fine.
    pub fn refuse_links_on_the_way(&self, path: &Path) -> Result<(), StoreError> {
        use rustix::fs::{Mode, OFlags, ResolveFlags};
        let examined = || StoreError::io("examine", path);
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let root = rustix::fs::open(&self.root, flags | OFlags::DIRECTORY, Mode::empty());
        let root = root.map_err(|errno| examined()(errno.into()))?;
        let below = path.strip_prefix(&self.root).unwrap_or(path);
        match rustix::fs::openat2(root, below, flags, Mode::empty(), ResolveFlags::NO_SYMLINKS) {
            Ok(_) => Ok(()),
            // Find out which part is the link. Linux before 5.6, and the filters of some containers, do not have that call.
            Err(rustix::io::Errno::LOOP | rustix::io::Errno::NOSYS | rustix::io::Errno::PERM) => {
                let mut place = PathBuf::new();
                below.components().try_for_each(|component| {
                    place.push(component);
                    self.refuse_link(&place)
                })
            }
            Err(errno) if crate::disk::is_missing(&errno.into()) => Ok(()),
            Err(errno) => Err(examined()(errno.into())),
        }
    }

    /// Refuses a place, relative to the root, that is a symbolic link: what is written there would end up elsewhere.
    ///
    /// # Errors
    /// [`DiskError::Linked`] or [`DiskError::Io`]; a missing path is fine.
    pub fn refuse_link(&self, place: &Path) -> Result<(), StoreError> {
        let path = self.root.join(place);
        match std::fs::symlink_metadata(&path) {
            Ok(metadata) if metadata.is_symlink() => Err(DiskError::Linked(path).into()),
            Ok(_) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(StoreError::io("examine", &path)(error)),
        }
    }
}

/// Lists a folder, or nothing if it is missing; no entry may be a symbolic link. One operation shows all of them.
fn refuse_links_in(folder: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let failed = |error| StoreError::io("read", folder)(error);
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut paths = Vec::new();
    for entry in entries {
        let entry = entry.map_err(failed)?;
        if entry.file_type().map_err(StoreError::io("examine", &entry.path()))?.is_symlink() {
            return Err(DiskError::Linked(entry.path()).into());
        }
        paths.push(entry.path());
    }
    Ok(paths)
}

/// Says whether another file system begins at a folder.
///
/// Whether something is mounted there is not enough: systemd's `ReadWritePaths=` mounts the folder on itself
/// (systemd.exec(5)), and a lost file system would then look mounted to the service, which would fill the root disk.
fn is_mount_point(path: &Path) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt;
    let device = |path: &Path| std::fs::metadata(path).map(|metadata| metadata.dev());
    Ok(device(path)? != device(&path.join(".."))?)
}
