//! What can go wrong with metadata.

use std::path::{Path, PathBuf};

use crate::git::GitError;
use crate::github::GitHubError;
use crate::limits::{Retry, Retryable};

/// Why something was not backed up.
#[derive(Debug, thiserror::Error)]
pub enum MetadataError {
    /// GitHub did not give it.
    #[error(transparent)]
    GitHub(#[from] GitHubError),
    /// The mirror cannot be read, or scratch cannot be written.
    #[error(transparent)]
    Git(#[from] GitError),
    /// A later version of ghbk has written the mirror.
    #[error("it has format {format}, which a later version of ghbk wrote")]
    TooNew {
        /// The format.
        format: u32,
    },
    /// What came cannot be kept on local disk.
    #[error("cannot keep what came in {}: {source}", path.display())]
    Spool {
        /// The file or folder.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
}

/// What a token needs.
const ISSUES_HINT: &str = "give the token read access to issues and pull requests";

impl MetadataError {
    pub(super) fn spool(path: &Path) -> impl FnOnce(std::io::Error) -> Self + use<'_> {
        move |source| Self::Spool { path: path.to_owned(), source }
    }

    /// Returns what a person can do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::GitHub(GitHubError::Forbidden { message, .. }) if message.contains("needs the permission") => {
                "give the token that permission, or take \"issues\" out of metadata.kinds"
            }
            Self::GitHub(error @ GitHubError::Forbidden { message, .. }) => {
                // What has nothing to do with permissions has a hint of its own.
                let of_permissions = crate::github::reason_hint("");
                if crate::github::reason_hint(message) == of_permissions { ISSUES_HINT } else { error.hint() }
            }
            Self::GitHub(error) => error.hint(),
            Self::Git(error) => error.hint(),
            Self::TooNew { .. } => "install that version, or a newer one",
            Self::Spool { .. } => "free space in store.scratch, or set it to a larger disk",
        }
    }

    /// Says whether nothing that is asked afterwards can succeed.
    pub fn ends_the_run(&self) -> bool {
        match self {
            Self::GitHub(error) => {
                let is_limit = matches!(error, GitHubError::LimitExhausted(_) | GitHubError::RateLimited { .. });
                is_limit || error.ends_the_run()
            }
            Self::Git(_) | Self::Spool { .. } | Self::TooNew { .. } => true,
        }
    }

    /// Says whether it may pass by itself.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::GitHub(error) => error.retry() != Retry::Never,
            Self::Git(error) => error.retry() != Retry::Never,
            Self::Spool { .. } | Self::TooNew { .. } => false,
        }
    }

    /// Says whether the token may not read it.
    pub fn is_forbidden(&self) -> bool {
        matches!(self, Self::GitHub(GitHubError::Forbidden { .. } | GitHubError::NotFound { .. }))
    }
}
