//! The primary rate limit: so many requests an hour, counted down in headers.

use std::sync::atomic::{AtomicU32, Ordering};

use chrono::Utc;
use hyper::StatusCode;
use hyper::header::HeaderName;
use serde_json::{Value, json};

use super::answer::Answer;

/// Counts requests against the limit. The hour begins with the sandbox and does not end: no test lasts that long.
#[derive(Debug)]
pub(crate) struct RateLimit {
    limit: u32,
    used: AtomicU32,
    reset: i64,
}

impl RateLimit {
    /// Returns a limit of which nothing is used.
    pub(crate) fn new(limit: u32) -> Self {
        Self { limit, used: AtomicU32::new(0), reset: Utc::now().timestamp() + 3600 }
    }

    /// Sets how many requests are left.
    pub(crate) fn set_remaining(&self, remaining: u32) {
        self.used.store(self.limit.saturating_sub(remaining), Ordering::Relaxed);
    }

    /// Counts a request; the error is the answer to one too many.
    pub(super) fn count(&self) -> Result<(), Answer> {
        let counted = self
            .used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| (used < self.limit).then_some(used + 1));
        match counted {
            Ok(_) => Ok(()),
            Err(_) => Err(Answer::error(StatusCode::FORBIDDEN, "API rate limit exceeded for user ID 1.")),
        }
    }

    /// Takes back that a request was counted.
    pub(super) fn uncount(&self) {
        let _never_below_zero =
            self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| used.checked_sub(1));
    }

    /// Returns the headers of every answer.
    pub(super) fn headers(&self) -> [(HeaderName, String); 5] {
        let used = self.used.load(Ordering::Relaxed);
        [
            (HeaderName::from_static("x-ratelimit-limit"), self.limit.to_string()),
            (HeaderName::from_static("x-ratelimit-remaining"), self.limit.saturating_sub(used).to_string()),
            (HeaderName::from_static("x-ratelimit-used"), used.to_string()),
            (HeaderName::from_static("x-ratelimit-reset"), self.reset.to_string()),
            (HeaderName::from_static("x-ratelimit-resource"), "core".to_owned()),
        ]
    }

    /// Returns the body of `GET /rate_limit`, which itself costs nothing.
    pub(super) fn overview(&self) -> Value {
        let used = self.used.load(Ordering::Relaxed);
        let core = json!({"limit": self.limit, "remaining": self.limit.saturating_sub(used), "reset": self.reset, "used": used});
        let search = json!({"limit": 30, "remaining": 30, "reset": self.reset, "used": 0});
        json!({"resources": {"core": core, "search": search, "graphql": core}, "rate": core})
    }
}
