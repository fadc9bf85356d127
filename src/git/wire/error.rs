//! What can go wrong on the way to a git server, and what to do about it.

use reqwest::StatusCode;

use crate::github::GitHubError;
use crate::limits::{LimitExhausted, Refusal, Resource, Retry, Retryable, refusal_words};
use crate::network::{Failure, Trouble, Unread};

/// Why a git server sends nothing, or accepts nothing.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// The server does not accept the token.
    #[error("the git server does not accept the token (401)")]
    Unauthorized,
    /// The token is valid but may not read this repository, or GitHub blocked it.
    #[error("the git server refuses access (403): {0}")]
    Forbidden(String),
    /// There is no such repository, or the token cannot see it.
    #[error("repository not found (404)")]
    NotFound,
    /// Blocked for legal reasons.
    #[error("blocked for legal reasons, such as a DMCA takedown (451)")]
    LegallyBlocked,
    /// The server refused because it was asked too fast.
    #[error("the git server{} ({status})", refusal_words(*status))]
    RateLimited {
        /// 403 or 429, or an error of the server that names a time to wait.
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
    /// A status other than 200.
    #[error("the git server answered {0}")]
    Status(StatusCode),
    /// A redirect to another host, which must not see the token.
    #[error("the git server redirects to another host ({0}), which does not get the token")]
    RedirectedElsewhere(String),
    /// The connection failed, stalled or ended early.
    #[error("the connection to the git server failed: {0}")]
    Connection(String),
    /// The server cannot be reached, for a reason that will not pass by itself or that lies with a proxy.
    #[error("the connection to the git server failed: {0}")]
    Unreachable(Failure),
    /// The server did not speak git's protocol.
    #[error("the git server's answer is not git's protocol: {0}")]
    Protocol(String),
    /// The server reports that it failed, in git's own words.
    #[error("the git server reports: {0}")]
    Remote(String),
    /// The server sends more than a repository may have.
    #[error("it is larger than limits.repository_size allows: {0}")]
    TooLarge(bytesize::ByteSize),
    /// After a push, the server does not have what was pushed.
    #[error("after the push, the server's refs differ from those pushed")]
    PushedDiffers,
    /// The repository to push to already has refs.
    #[error("the repository to push to is not empty: it has {0} refs")]
    NotEmpty(usize),
    /// The server did not accept what was pushed.
    #[error("the server refuses the push: {0}")]
    Refused(String),
}

impl WireError {
    /// Returns what a person can do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Unauthorized => "make a new token and store it under the same name: `ghbk man config`, [secrets]",
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
            Self::Protocol(_) => "run again; if it persists, try `git clone --mirror` and report it",
            Self::TooLarge(_) => "raise limits.repository_size if store and scratch have room, or exclude it",
            Self::PushedDiffers => "push again to a new, empty repository",
            Self::NotEmpty(_) => "make a new repository, without README, licence or .gitignore",
            Self::Refused(_) => {
                "look at the new repository's rules and the token's rights, then try with another new one"
            }
        }
    }

    /// Returns whether nothing else can succeed either.
    pub(crate) fn ends_the_run(&self) -> bool {
        match self {
            Self::Unauthorized => true,
            Self::Credentials(error) => error.ends_the_run(),
            _ => false,
        }
    }

    /// Returns whether the server allows no more for now.
    pub(crate) fn is_limit(&self) -> bool {
        matches!(self, Self::RateLimited { .. } | Self::LimitExhausted(_))
    }
}

impl From<GitHubError> for WireError {
    fn from(error: GitHubError) -> Self {
        match error {
            GitHubError::Unauthorized => Self::Unauthorized,
            GitHubError::Unreachable(failure) => Self::Unreachable(failure),
            GitHubError::LimitExhausted(exhausted) => Self::LimitExhausted(exhausted),
            other => Self::Credentials(other),
        }
    }
}

impl From<Trouble> for WireError {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Unreachable(failure) => Self::Unreachable(failure),
            Trouble::Connection(text) => Self::Connection(text),
        }
    }
}

impl From<Unread> for WireError {
    fn from(unread: Unread) -> Self {
        match unread {
            Unread::Trouble(trouble) => trouble.into(),
            Unread::TooLong(text) => Self::Protocol(text),
        }
    }
}

impl Retryable for WireError {
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
            _ => Retry::Never,
        }
    }
}
