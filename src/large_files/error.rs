//! What can go wrong between a server of large files and the store, and what to do about it.

use reqwest::StatusCode;
use secrecy::SecretString;

use super::contents::ContentError;
use crate::disk::DiskError;
use crate::github::GitHubError;
use crate::limits::{LimitExhausted, Refusal, Resource, Retry, Retryable, refusal_words};
use crate::network::{Failure, Trouble, Unread};
use crate::text::redact;

/// Why large files cannot be fetched or sent.
#[derive(Debug, thiserror::Error)]
pub enum LfsError {
    /// The server does not accept the token.
    #[error("the LFS server does not accept the token (401)")]
    Unauthorized,
    /// The token may not read, or write, large files there.
    #[error("the LFS server denies access ({}){}", status.as_u16(), words(said))]
    Forbidden {
        /// 403, or 401 from an address that got no token.
        status: StatusCode,
        /// What the server said.
        said: String,
    },
    /// There is no LFS at this address, or none of what was asked for.
    #[error("the LFS server does not have it ({}){}", status.as_u16(), words(said))]
    NotFound {
        /// 404 or 410.
        status: StatusCode,
        /// Whether it answers as an LFS server, and not as whatever else may be at this address.
        is_lfs: bool,
        /// What the server said.
        said: String,
    },
    /// The owner's quota is used up.
    #[error("the owner's LFS quota is used up{}", words(.0))]
    OverQuota(String),
    /// The request was too large.
    #[error("the LFS server refuses a request of this size (413)")]
    TooMany,
    /// The server refused because it was asked too fast.
    #[error("the LFS server{} ({status})", refusal_words(*status))]
    RateLimited {
        /// 403 or 429, or an error of the server that names a time to wait.
        status: StatusCode,
        /// What the server said about waiting.
        refusal: Refusal,
    },
    /// There is no token to ask with.
    #[error("{0}")]
    Credentials(#[from] GitHubError),
    /// Nothing more is asked in this run, because GitHub refuses for longer than the run may wait.
    #[error(transparent)]
    LimitExhausted(#[from] LimitExhausted),
    /// A status other than 200.
    #[error("the LFS server answered {status}{}", words(said))]
    Status {
        /// The status.
        status: StatusCode,
        /// What the server said.
        said: String,
    },
    /// A redirect to another host, which must not see the token.
    #[error("the LFS server redirects to another host ({0}), which must not receive the token")]
    RedirectedElsewhere(String),
    /// An address that ghbk refuses.
    #[error("the LFS server gave an address that ghbk refuses: {0}")]
    Address(String),
    /// The connection failed, stalled or ended early.
    #[error("the connection to the LFS server failed: {0}")]
    Connection(String),
    /// The server cannot be reached, for a reason that will not pass by itself or that lies with a proxy.
    #[error("the connection to the LFS server failed: {0}")]
    Unreachable(Failure),
    /// The server did not speak LFS.
    #[error("unexpected answer from the LFS server: {0}")]
    Protocol(String),
    /// What arrived is not what the pointer says, or cannot be stored.
    #[error(transparent)]
    Content(#[from] ContentError),
    /// Cancelled.
    #[error("cancelled")]
    Cancelled,
    /// A task of ghbk's own ended unexpectedly.
    #[error("internal error: {0}")]
    Task(String),
}

/// Formats what a server said, if it said anything.
fn words(said: &str) -> String {
    if said.is_empty() { String::new() } else { format!(": {said}") }
}

impl From<DiskError> for LfsError {
    fn from(error: DiskError) -> Self {
        Self::Content(ContentError::Disk(error))
    }
}

impl From<Trouble> for LfsError {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Unreachable(failure) => Self::Unreachable(failure),
            Trouble::Connection(text) => Self::Connection(text),
        }
    }
}

impl From<Unread> for LfsError {
    fn from(unread: Unread) -> Self {
        match unread {
            Unread::Trouble(trouble) => trouble.into(),
            Unread::TooLong(text) => Self::Protocol(text),
        }
    }
}

impl Retryable for LfsError {
    fn retry(&self) -> Retry {
        match self {
            Self::RateLimited { refusal, .. } => Retry::Limited(Resource::Lfs, *refusal),
            Self::Connection(_) | Self::Status { status: StatusCode::REQUEST_TIMEOUT, .. } => Retry::Transient,
            Self::Unreachable(failure) if failure.may_pass() => Retry::Transient,
            // 501, 507 and 509 do not pass within minutes.
            Self::Status { status, .. } if status.is_server_error() && !matches!(status.as_u16(), 501 | 507 | 509) => {
                Retry::Transient
            }
            Self::Credentials(error) => error.retry(),
            Self::Protocol(_) | Self::Content(ContentError::WrongHash | ContentError::TooLong(_)) => Retry::Once,
            _ => Retry::Never,
        }
    }
}

impl LfsError {
    /// Returns what a person can do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Unauthorized => "renew the token; it needs read access to contents",
            Self::Forbidden { status, .. } if *status == StatusCode::UNAUTHORIZED => {
                "this server wants a login, and ghbk sends the token to GitHub only: remove it from large_files.servers, or accept the files"
            }
            Self::Forbidden { .. } => {
                "give the token access to the repository's contents, or exclude it in large_files.exclude"
            }
            Self::NotFound { .. } => {
                "check that Git LFS is enabled for the repository; anyone who still has the file can push it with `git lfs push --all`"
            }
            Self::OverQuota(_) => {
                "the quota is monthly: raise the owner's budget for Git LFS, or wait; the next run tries again"
            }
            Self::RateLimited { .. } | Self::LimitExhausted(_) => {
                "the next run continues; other programs that use the same token share its limit"
            }
            Self::Unreachable(failure) => failure.hint(),
            Self::Content(ContentError::Disk(error)) if error.is_full() => "free space on the store",
            Self::Content(ContentError::Disk(_)) => "check the store; the next run tries again",
            Self::Content(_) | Self::Protocol(_) | Self::Address(_) | Self::RedirectedElsewhere(_) => {
                "if it persists, contact the operator of the LFS server"
            }
            Self::TooMany | Self::Status { .. } | Self::Connection(_) => "the next run tries again",
            Self::Credentials(error) => error.hint(),
            Self::Cancelled => "the next run continues",
            Self::Task(_) => "please report this",
        }
    }

    /// Takes secrets out of what the server said.
    pub(super) fn without(mut self, secrets: &[SecretString]) -> Self {
        if let Self::Forbidden { said, .. }
        | Self::NotFound { said, .. }
        | Self::Status { said, .. }
        | Self::OverQuota(said) = &mut self
        {
            *said = secrets.iter().fold(said.clone(), |said, secret| redact(&said, secret));
        }
        self
    }

    /// Returns whether the store is full.
    pub(crate) fn is_store_full(&self) -> bool {
        matches!(self, Self::Content(ContentError::Disk(error)) if error.is_full())
    }
}
