//! Why a file cannot be read or written, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};

/// Why a file cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// The system refuses.
    #[error("cannot {doing} {path}: {source}")]
    Io {
        /// What was tried.
        doing: &'static str,
        /// On which path.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A symbolic link is where ghbk would write: it may lead anywhere.
    #[error("{} is a symbolic link, and nothing is written through one", .0.display())]
    Linked(PathBuf),
    /// A file does not read back as it was written.
    #[error("{} does not read back as it was written", .0.display())]
    ReadBackDiffers(PathBuf),
    /// A thread that read or wrote files ended unexpectedly.
    #[error("a thread that handled files panicked")]
    Panicked,
}

impl DiskError {
    /// Returns a function that wraps an error of the system with what was tried on which path.
    pub(crate) fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::Io { doing, path, source }
    }

    /// Returns what a person can do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Io { source, .. } => io_hint(source.kind()),
            Self::Linked(_) => "find out who put it there, and replace it with what it leads to",
            Self::ReadBackDiffers(_) => "run again; if it persists, its disk or file system returns wrong bytes",
            Self::Panicked => "please report this",
        }
    }

    /// Returns whether this is a failure to read or write a path below a folder.
    pub(crate) fn is_below(&self, folder: &Path) -> bool {
        matches!(self, Self::Io { path, .. } if path.starts_with(folder))
    }

    /// Returns whether the file system is full.
    pub(crate) fn is_full(&self) -> bool {
        matches!(self, Self::Io { source, .. } if is_full(source.kind()))
    }

    /// Returns whether nothing more can be written to a file system.
    pub(crate) fn ends_all_writing(&self) -> bool {
        matches!(self, Self::Io { source, .. } if ends_all_writing(source.kind()))
    }
}

/// Returns what a person can do about a failed file operation.
fn io_hint(kind: io::ErrorKind) -> &'static str {
    match kind {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "free space on its file system",
        io::ErrorKind::ReadOnlyFilesystem => "mount its file system for writing",
        io::ErrorKind::NotADirectory | io::ErrorKind::IsADirectory | io::ErrorKind::InvalidInput => {
            "something else is in its place: see what it is, and move it away"
        }
        io::ErrorKind::PermissionDenied => "let the user that ghbk runs as read and write it",
        _ => "check its file system and the mount",
    }
}

fn is_full(kind: io::ErrorKind) -> bool {
    matches!(kind, io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Returns whether the file system accepts no more writes after this error.
pub fn ends_all_writing(kind: io::ErrorKind) -> bool {
    is_full(kind) || matches!(kind, io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::StaleNetworkFileHandle)
}
