//! The requests that were answered, for tests that count or order them.

use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

/// Describes one request and the status it was answered with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedRequest {
    /// The HTTP method.
    pub method: String,
    /// The path as it was sent, with `/api/v3` if the client used it.
    pub path: String,
    /// The query without its question mark; empty if there was none.
    pub query: String,
    /// The `Authorization` header, secret and all: the tokens of a sandbox are worth nothing.
    pub authorization: Option<String>,
    /// The `User-Agent` header.
    pub user_agent: Option<String>,
    /// The version of the REST API that was asked for.
    #[serde(default)]
    pub api_version: Option<String>,
    /// The status of the answer, or 0 when a fault closed the connection without one.
    pub status: u16,
    /// Whether it was git's own protocol.
    pub git: bool,
}

/// Keeps the requests in the order in which they were answered.
#[derive(Debug, Default)]
pub(crate) struct Records(Mutex<Vec<RecordedRequest>>);

impl Records {
    /// Adds a request.
    pub(crate) fn add(&self, request: RecordedRequest) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(request);
    }

    /// Returns a copy of all requests.
    pub(crate) fn all(&self) -> Vec<RecordedRequest> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Forgets all requests.
    pub(crate) fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}
