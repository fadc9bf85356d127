//! Which permissions the token has; a test takes them away one by one.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use hyper::StatusCode;
use hyper::header::HeaderName;

use super::answer::Answer;
use super::caller::Caller;

/// What reading an endpoint needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Permission {
    Issues,
    PullRequests,
    /// Labels, milestones and comments belong to both.
    Either,
}

/// Holds the permissions that were taken away.
#[derive(Debug, Default)]
pub(crate) struct Permissions(Mutex<HashSet<Permission>>);

impl Permissions {
    #[track_caller]
    pub(crate) fn forbid(&self, name: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(Permission::named(name));
    }

    #[track_caller]
    pub(crate) fn permit(&self, name: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&Permission::named(name));
    }

    /// Tells whether something may be read.
    pub(crate) fn allow(&self, needed: Permission) -> bool {
        let forbidden = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match needed {
            Permission::Either => {
                !forbidden.contains(&Permission::Issues) || !forbidden.contains(&Permission::PullRequests)
            }
            needed => !forbidden.contains(&needed),
        }
    }
}

impl Permission {
    #[track_caller]
    fn named(name: &str) -> Self {
        match name {
            "issues" => Self::Issues,
            "pull_requests" => Self::PullRequests,
            other => panic!("the sandbox knows the permissions issues and pull_requests, not {other:?}"),
        }
    }

    /// Adds the header by which GitHub names what an endpoint needs.
    pub(super) fn named_in(self, answer: Answer) -> Answer {
        let accepted = match self {
            Self::Issues => "issues=read",
            Self::PullRequests => "pull_requests=read",
            Self::Either => "issues=read; pull_requests=read",
        };
        answer.header(HeaderName::from_static("x-accepted-github-permissions"), accepted.to_owned())
    }
}

/// Returns what GitHub says of something that a caller may not read.
pub(crate) fn refusal(caller: Caller) -> &'static str {
    match caller {
        Caller::Installation => "Resource not accessible by integration",
        Caller::User | Caller::Anonymous => "Resource not accessible by personal access token",
    }
}

/// Returns the answer to a caller who lacks a permission.
pub(super) fn refused(caller: Caller) -> Answer {
    Answer::error(StatusCode::FORBIDDEN, refusal(caller))
}
