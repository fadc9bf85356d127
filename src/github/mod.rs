//! GitHub's REST API: who we are, what exists.
//!
//! Touches the network, never the store. Requests go through the one HTTP client and the gate ([`crate::limits`]); octocrab signs
//! an app's proof of identity. Answers are read leniently, entry by entry: GitHub adds fields, and one bad entry must not cost a
//! page.

mod api;
mod client;
mod credentials;
mod globs;
mod graphql;
mod inventory;
mod link;
mod listing;
mod notices;
mod presence;
mod reason;
#[cfg(test)]
mod recorded;
mod repository;
mod walk;

use reqwest::StatusCode;

use crate::limits::{LimitExhausted, Refusal, Resource, Retry, Retryable, refusal_words};
use crate::network::Failure;

pub use api::Api;
pub use client::{GitHub, Identity, http_client};
pub use credentials::{AppIdentity, Credentials};
pub use globs::Globs;
pub use graphql::{GraphQl, Node, NodesQuery};
pub use inventory::{Filter, Inventory, ListingFailure, list, look_up};
pub(crate) use notices::API_VERSION;
pub use notices::Notices;
pub use presence::Known;
pub(crate) use reason::hint as reason_hint;
pub use repository::Repository;
#[cfg(any(test, fuzzing))]
pub(crate) use repository::read_listing;
pub use walk::{Fresh, Known as KnownAnswer, Walked};

/// What went wrong between us and GitHub's REST API.
#[derive(Clone, Debug, thiserror::Error)]
pub enum GitHubError {
    /// The token is bad.
    #[error("GitHub does not accept the token (401 Bad credentials)")]
    Unauthorized,
    /// The token is valid but may not do this.
    #[error("GitHub refuses {what} (403): {message}")]
    Forbidden {
        /// What was asked for.
        what: String,
        /// GitHub's own words.
        message: String,
    },
    /// There is no such thing, or the token cannot see it.
    #[error("GitHub has no {} (404)", .what.trim_start_matches("the "))]
    NotFound {
        /// What was asked for.
        what: String,
    },
    /// GitHub no longer offers it: a version of the API, or an endpoint.
    #[error("GitHub no longer serves {what} (410): {message}")]
    Retired {
        /// What was asked for.
        what: String,
        /// GitHub's own words.
        message: String,
    },
    /// GitHub gives the app no token for its installation.
    #[error("GitHub gives the app no token for its installation ({status}): {message}")]
    AppRefused {
        /// 401, 403, 404 or 422.
        status: StatusCode,
        /// GitHub's own words.
        message: String,
    },
    /// Blocked for legal reasons.
    #[error("{what} is blocked for legal reasons, such as a DMCA takedown (451)")]
    LegallyBlocked {
        /// What was asked for.
        what: String,
    },
    /// GitHub refused because it was asked too fast, for longer than the run may wait.
    #[error("GitHub{} ({status})", refusal_words(*status))]
    RateLimited {
        /// Which of GitHub's limits it is.
        resource: Resource,
        /// 403 or 429, or an error of GitHub that names a time to wait.
        status: StatusCode,
        /// What GitHub said about waiting.
        refusal: Refusal,
    },
    /// Nothing more is asked in this run, because GitHub refuses for longer than the run may wait.
    #[error(transparent)]
    LimitExhausted(#[from] LimitExhausted),
    /// Any other status that is not a success.
    #[error("GitHub answered {status} for {what}: {message}")]
    Status {
        /// The status.
        status: StatusCode,
        /// What was asked for.
        what: String,
        /// GitHub's own words.
        message: String,
    },
    /// Nothing came within the time that a request may take.
    #[error("GitHub gave no answer in time for {what}")]
    NoAnswer {
        /// What was asked for.
        what: String,
    },
    /// The connection failed or stalled.
    #[error("the connection to GitHub failed: {0}")]
    Connection(String),
    /// GitHub cannot be reached, for a reason that will not pass by itself or that lies with a proxy.
    #[error("the connection to GitHub failed: {0}")]
    Unreachable(Failure),
    /// The answer is not what GitHub documents.
    #[error("GitHub's answer for {what} cannot be read: {reason}")]
    Unreadable {
        /// What was asked for.
        what: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A redirect or a next page on another host, which must not see the token.
    #[error("GitHub points to another host ({0}), which does not get the token")]
    Elsewhere(String),
    /// The client cannot be built.
    #[error("cannot speak to GitHub: {0}")]
    Setup(String),
}

impl GitHubError {
    /// Returns whether nothing that is asked afterwards can succeed.
    pub fn ends_the_run(&self) -> bool {
        matches!(self, Self::Unauthorized | Self::AppRefused { .. })
    }

    /// Returns what a person can do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Unauthorized => "make a new token and store it under the same name: `ghbk man config`, [secrets]",
            Self::Forbidden { message, .. } => reason::hint(message),
            Self::NotFound { .. } => "check the spelling, and that the token may see it",
            Self::Retired { .. } => "install a newer ghbk: GitHub has retired what this one asks for",
            Self::AppRefused { status, .. } => match *status {
                StatusCode::UNAUTHORIZED => {
                    "check github.app_id, the app's private key, and that this machine's clock is right"
                }
                StatusCode::FORBIDDEN => {
                    "unsuspend the app where it is installed: GitHub, the organisation's settings, GitHub Apps"
                }
                StatusCode::NOT_FOUND => {
                    "check github.app_id and github.installation_id, and that the app is still installed"
                }
                _ => "check the app's permissions and its installation on GitHub",
            },
            Self::LegallyBlocked { .. } => "its mirror is kept as it was; exclude it to silence this",
            Self::RateLimited { status, .. } if status.is_server_error() => {
                "run again; if it persists, see githubstatus.com"
            }
            Self::RateLimited { .. } | Self::LimitExhausted(_) => {
                "lower limits.api_requests_per_minute, or run at another time"
            }
            Self::Status { .. } => "run again; if it persists, see githubstatus.com",
            Self::Connection(_) | Self::NoAnswer { .. } => "check the network and github.api_url; see githubstatus.com",
            Self::Unreachable(failure) => failure.hint(),
            Self::Unreadable { .. } => "check github.api_url; if it is right, please report this",
            Self::Elsewhere(_) => "check github.api_url and any proxy between here and GitHub",
            Self::Setup(_) => {
                "check github.api_url, github.ca_file, the variables of proxies, and the app's id and key"
            }
        }
    }
}

impl Retryable for GitHubError {
    fn retry(&self) -> Retry {
        match self {
            Self::RateLimited { resource, refusal, .. } => Retry::Limited(*resource, *refusal),
            Self::Connection(_) | Self::NoAnswer { .. } => Retry::Transient,
            Self::Unreachable(failure) if failure.may_pass() => Retry::Transient,
            Self::Status { status, .. } if status.is_server_error() => Retry::Transient,
            _ => Retry::Never,
        }
    }
}
