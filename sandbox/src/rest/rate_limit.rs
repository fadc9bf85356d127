//! The primary rate limit: a number of requests an hour, counted down in headers.

use std::sync::atomic::{AtomicU32, Ordering};

use chrono::Utc;
use hyper::StatusCode;
use hyper::header::HeaderName;
use serde_json::{Value, json};

use super::answer::Answer;

/// Counts requests against the limit. The hour begins with the sandbox and does not end: no test lasts that long.
#[derive(Debug)]
pub(crate) struct RateLimit {
    /// What GitHub calls it: `core` for REST, `graphql`.
    resource: &'static str,
    limit: u32,
    used: AtomicU32,
    reset: i64,
}

impl RateLimit {
    /// Returns a limit of which nothing is used.
    pub(crate) fn new(resource: &'static str, limit: u32) -> Self {
        Self { resource, limit, used: AtomicU32::new(0), reset: Utc::now().timestamp() + 3600 }
    }

    /// Sets how many requests are left.
    pub(crate) fn set_remaining(&self, remaining: u32) {
        self.used.store(self.limit.saturating_sub(remaining), Ordering::Relaxed);
    }

    /// Counts a request; the error is the answer to one too many.
    pub(super) fn count(&self) -> Result<(), Answer> {
        if self.spend(1) {
            return Ok(());
        }
        Err(Answer::error(StatusCode::FORBIDDEN, "API rate limit exceeded for user ID 1."))
    }

    /// Spends points, unless that would exceed the limit; says whether they were spent.
    pub(crate) fn spend(&self, points: u32) -> bool {
        let spent = |used: u32| used.checked_add(points).filter(|used| *used <= self.limit);
        self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, spent).is_ok()
    }

    /// Returns how much was used.
    pub(crate) fn used(&self) -> u32 {
        self.used.load(Ordering::Relaxed)
    }

    /// Returns how much may be used.
    pub(crate) fn limit(&self) -> u32 {
        self.limit
    }

    /// Returns when the hour ends, in seconds since 1970.
    pub(crate) fn reset(&self) -> i64 {
        self.reset
    }

    /// Takes back that a request was counted.
    pub(super) fn uncount(&self) {
        let _never_below_zero =
            self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| used.checked_sub(1));
    }

    /// Returns the headers of every answer.
    pub(crate) fn headers(&self) -> [(HeaderName, String); 5] {
        let used = self.used.load(Ordering::Relaxed);
        [
            (HeaderName::from_static("x-ratelimit-limit"), self.limit.to_string()),
            (HeaderName::from_static("x-ratelimit-remaining"), self.limit.saturating_sub(used).to_string()),
            (HeaderName::from_static("x-ratelimit-used"), used.to_string()),
            (HeaderName::from_static("x-ratelimit-reset"), self.reset.to_string()),
            (HeaderName::from_static("x-ratelimit-resource"), self.resource.to_owned()),
        ]
    }

    /// Returns the body of `GET /rate_limit`, which itself costs nothing.
    pub(super) fn overview(&self, graphql: &Self) -> Value {
        let (core, graphql) = (self.summary(), graphql.summary());
        let search = json!({"limit": 30, "remaining": 30, "reset": self.reset, "used": 0});
        json!({"resources": {"core": core, "search": search, "graphql": graphql}, "rate": core})
    }

    fn summary(&self) -> Value {
        let used = self.used();
        json!({"limit": self.limit, "remaining": self.limit.saturating_sub(used), "reset": self.reset, "used": used})
    }
}
