//! What can go wrong between a git server and the store, and what to do about it.

use reqwest::StatusCode;

use crate::disk::DiskError;
use crate::github::GitHubError;
use crate::limits::{LimitExhausted, Refusal, Resource, Retry, Retryable, refusal_words};
use crate::network::{Failure, Trouble, Unread};

/// What to do when the lock is lost.
pub(crate) const LOCK_LOST_HINT: &str = "never remove `.ghbk/lock`, a run that has ended does not keep it; another run may be under way \
                                         now: `ghbk status` shows it; run again when it has ended";

/// Says what went wrong between the git server and the store.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// The server does not accept the token.
    #[error("the git server does not accept the token (401)")]
    Unauthorized,
    /// The token is good but may not read this repository, or GitHub blocked it.
    #[error("the git server refuses access (403): {0}")]
    Forbidden(String),
    /// There is no such repository, or the token may not know of it.
    #[error("repository not found (404)")]
    NotFound,
    /// Blocked for legal reasons.
    #[error("blocked for legal reasons, such as a DMCA takedown (451)")]
    LegallyBlocked,
    /// The server refused for being asked too fast.
    #[error("the git server{} ({status})", refusal_words(*status))]
    RateLimited {
        /// 403 or 429; or one of the server's own trouble, with a time to wait.
        status: StatusCode,
        /// What the server said about waiting.
        refusal: Refusal,
    },
    /// There is no token to ask with.
    #[error("{0}")]
    Credentials(GitHubError),
    /// Nothing more is asked in this run, because GitHub refuses for longer than the run may wait.
    #[error(transparent)]
    LimitExhausted(#[from] LimitExhausted),
    /// Another status than 200.
    #[error("the git server answered {0}")]
    Status(StatusCode),
    /// A redirect to another host, which must not see the token.
    #[error("the git server redirects to another host ({0}), which does not get the token")]
    RedirectedElsewhere(String),
    /// The connection failed, stalled or ended early.
    #[error("the connection to the git server failed: {0}")]
    Connection(String),
    /// The server cannot be reached, for a reason that will not pass by itself or is a proxy's.
    #[error("the connection to the git server failed: {0}")]
    Unreachable(Failure),
    /// The server spoke something else than git's protocol.
    #[error("the git server's answer is not git's protocol: {0}")]
    Protocol(String),
    /// The server reports that it failed, in git's own words.
    #[error("the git server reports: {0}")]
    Remote(String),
    /// A pack was received, yet an object is missing.
    #[error("the pack received lacks {0}, which the server advertised or which what it sent refers to")]
    Incomplete(git2::Oid),
    /// What was received is not a valid pack, or contains an invalid object.
    #[error("the pack received is broken: {0}")]
    BrokenPack(String),
    /// What the server sends is more than a repository may be.
    #[error("it is larger than limits.repository_size allows: {0}")]
    TooLarge(bytesize::ByteSize),
    /// An object in the pack received is more than one may be.
    #[error("it holds an object of {bytes}, and limits.object_size allows {allowed}")]
    ObjectTooLarge {
        /// The size that the pack gives.
        bytes: bytesize::ByteSize,
        /// The largest allowed.
        allowed: bytesize::ByteSize,
    },
    /// Checking what was received or stored takes more memory than there is.
    #[error("to check it takes about {needed} of memory, and limits.memory allows {allowed}")]
    NeedsMemory {
        /// As foreseen.
        needed: bytesize::ByteSize,
        /// As configured, or half of what the machine has.
        allowed: bytesize::ByteSize,
    },
    /// The store no longer has what is to be restored.
    #[error("the store has lost {}", .0.iter().take(5).map(ToString::to_string).collect::<Vec<_>>().join(", "))]
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
    /// What lies where the mirror should be is no mirror of this repository.
    #[error("{} is in the way: it is no mirror of this repository", .0.display())]
    InTheWay(std::path::PathBuf),
    /// A symbolic link is where ghbk would write: it may lead anywhere.
    #[error("a symbolic link lies on the way to {}, and nothing is written through one", .0.display())]
    Linked(std::path::PathBuf),
    /// Reading or writing a file failed.
    #[error("{doing} {path}: {source}")]
    Io {
        /// What was tried.
        doing: &'static str,
        /// On which path.
        path: std::path::PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A file read back from where it was written is not what was written.
    #[error("{} is read back as something else than what was written", .0.display())]
    ReadBackDiffers(std::path::PathBuf),
    /// Another process changed the refs of a mirror after they were compared and before they were published.
    #[error(
        "the refs of the mirror are no longer those that were compared with GitHub's: another process has written them"
    )]
    Overtaken,
    /// What a server has after a push is not what was pushed.
    #[error("after the push, the server's refs differ from those pushed")]
    PushedDiffers,
    /// The server advertises nothing though the mirror has refs.
    #[error("the git server advertises no refs at all, and the mirror has {0}; the mirror is kept as it is")]
    Emptied(usize),
    /// The repository that is to be pushed to has refs already.
    #[error("the repository to push to is not empty: it has {0} refs")]
    NotEmpty(usize),
    /// The server did not take what was pushed.
    #[error("the server refuses the push: {0}")]
    Refused(String),
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
        let path = path.to_owned();
        move |source| Self::Io { doing, path, source }
    }

    /// Returns whether this is a failure to read or write a path below a folder.
    pub(crate) fn is_below(&self, folder: &std::path::Path) -> bool {
        matches!(self, Self::Io { path, .. } if path.starts_with(folder))
    }

    /// Returns the text of damage without saying that it is the mirror's.
    pub(crate) fn damage(&self) -> String {
        match self {
            Self::Damaged(what) => what.clone(),
            error => error.to_string(),
        }
    }

    /// Says what a person can do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Unauthorized => "make a new token and store it; see README, Secrets",
            Self::Forbidden(words) => crate::github::reason_hint(words),
            Self::NotFound => "check that the repository exists and that the token may read it",
            Self::LegallyBlocked => "GitHub blocks it; its mirror is kept as it was; exclude it to silence this",
            Self::RateLimited { status, .. } if status.is_server_error() => {
                "run again; if it persists, see githubstatus.com"
            }
            Self::RateLimited { .. } | Self::LimitExhausted(_) => {
                "run again later; if another program uses the same token, set limits.git_operations_per_minute"
            }
            Self::Status(_) | Self::Connection(_) | Self::Remote(_) => {
                "run again; if it persists, see githubstatus.com and `git ls-remote` of this repository"
            }
            Self::Credentials(error) => error.hint(),
            Self::Unreachable(failure) => failure.hint(),
            Self::RedirectedElsewhere(_) => "check github.api_url and any proxy between here and GitHub",
            Self::Protocol(_) | Self::Incomplete(_) | Self::BrokenPack(_) => {
                "run again; if it persists, try `git clone --mirror` and report it"
            }
            Self::TooLarge(_) => "raise limits.repository_size if store and scratch have room, or exclude it",
            Self::ObjectTooLarge { .. } => {
                "raise limits.object_size if there is memory for it, or exclude the repository"
            }
            Self::NeedsMemory { .. } => {
                "use a machine with more memory, raise limits.memory, or exclude the repository"
            }
            Self::Lost(_) => {
                "restore another point in time (`ghbk snapshots`), or the store's files from a backup of its file system"
            }
            Self::Libgit2(error) if error.message().contains("No space left on device") => {
                "free space on the disk of store.scratch, or set it to a folder on another one"
            }
            Self::Libgit2(_) => "run again; if it persists, the repository may be corrupt on GitHub's side",
            Self::Damaged(_) => {
                "`ghbk verify` shows all of it; `ghbk run --repair OWNER/REPO` fetches the repository afresh and keeps what only the store has"
            }
            Self::NotAdoptable(_) => {
                "nothing is lost: it stays where it is, and `ghbk run` fetches the repository afresh"
            }
            Self::InTheWay(_) => "if another tool cloned it, `ghbk adopt` takes it over; else move it away",
            Self::Linked(_) => "find out who put it there, then put what it leads to in its place",
            Self::Io { source, .. } if source.kind() == std::io::ErrorKind::StorageFull => "free space on that disk",
            Self::Io { source, .. }
                if matches!(source.kind(), std::io::ErrorKind::NotADirectory | std::io::ErrorKind::IsADirectory) =>
            {
                "something else lies in its place: look what it is, and move it away"
            }
            Self::Io { .. } => "check the disk, its permissions and the mount",
            Self::ReadBackDiffers(_) => "run again; if it persists, its disk or file system returns wrong bytes",
            Self::Overtaken => {
                "look for another ghbk that uses this store; never remove `.ghbk/lock`; the next run compares anew"
            }
            Self::LockLost(_) => LOCK_LOST_HINT,
            Self::PushedDiffers => "push again to a new, empty repository",
            Self::Emptied(_) => {
                "if it was emptied on purpose, exclude it, or move its mirror away and `ghbk forget` it"
            }
            Self::NotEmpty(_) => "make a new repository, without README, licence or .gitignore",
            Self::Refused(_) => {
                "look at the new repository's rules and the token's rights, then try with another new one"
            }
            Self::Cancelled => "run again",
            Self::Task(_) => "please report this",
        }
    }
}

/// Makes a folder in scratch that goes away with what it is for.
pub(crate) fn temporary_folder(prefix: &str, parent: &std::path::Path) -> Result<tempfile::TempDir, GitError> {
    let folder = tempfile::Builder::new().prefix(prefix).tempdir_in(parent);
    folder.map_err(GitError::io("create a folder in", parent))
}

impl From<GitHubError> for GitError {
    fn from(error: GitHubError) -> Self {
        match error {
            GitHubError::Unauthorized => Self::Unauthorized,
            GitHubError::Unreachable(failure) => Self::Unreachable(failure),
            GitHubError::LimitExhausted(exhausted) => Self::LimitExhausted(exhausted),
            other => Self::Credentials(other),
        }
    }
}

impl From<DiskError> for GitError {
    fn from(error: DiskError) -> Self {
        match error {
            DiskError::Io { doing, path, source } => Self::Io { doing, path, source },
            DiskError::ReadBackDiffers(path) => Self::ReadBackDiffers(path),
            DiskError::Panicked => Self::Task(error.to_string()),
        }
    }
}

impl From<git2::Error> for GitError {
    fn from(error: git2::Error) -> Self {
        if error.class() == git2::ErrorClass::Net && error.message().starts_with("remote error") {
            return Self::Remote(crate::text::printable(error.message(), 200));
        }
        Self::Libgit2(error)
    }
}

impl From<Trouble> for GitError {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Unreachable(failure) => Self::Unreachable(failure),
            Trouble::Connection(text) => Self::Connection(text),
        }
    }
}

impl From<Unread> for GitError {
    fn from(unread: Unread) -> Self {
        match unread {
            Unread::Trouble(trouble) => trouble.into(),
            Unread::TooLong(text) => Self::Protocol(text),
        }
    }
}

impl Retryable for GitError {
    fn retry(&self) -> Retry {
        match self {
            Self::RateLimited { refusal, .. } => Retry::Limited(Resource::Git, *refusal),
            Self::Credentials(error) => error.retry(),
            Self::Status(status) if status.is_server_error() || *status == StatusCode::REQUEST_TIMEOUT => {
                Retry::Transient
            }
            // A tip that moved between the advertisement and the request is a remote error too ("not our ref").
            Self::Connection(_) | Self::Remote(_) => Retry::Transient,
            Self::Unreachable(failure) if failure.may_pass() => Retry::Transient,
            // Damage on the way is rare, and what is corrupt on the server stays so: no reason to download it again and again.
            Self::Incomplete(_) | Self::BrokenPack(_) => Retry::Once,
            Self::Libgit2(error) if error.class() == git2::ErrorClass::Net => Retry::Transient,
            Self::Libgit2(error) if error.class() == git2::ErrorClass::Indexer => Retry::Once,
            _ => Retry::Never,
        }
    }
}
