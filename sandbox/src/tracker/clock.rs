//! The clock of the sandbox: real time, and what a test has added to it.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};

/// Tells the time that changes are dated with and that every answer's `Date` shows.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    /// In milliseconds, so that advances of less than a second add up.
    ahead: AtomicI64,
}

impl Clock {
    /// Lets time pass without waiting.
    pub(crate) fn advance(&self, by: Duration) {
        self.ahead.fetch_add(i64::try_from(by.as_millis()).unwrap_or(i64::MAX), Ordering::Relaxed);
    }

    /// Returns the time in seconds since 1970, the resolution of all dates at GitHub.
    pub(crate) fn now(&self) -> i64 {
        (Utc::now().timestamp_millis() + self.ahead.load(Ordering::Relaxed)).div_euclid(1000)
    }

    /// Returns the time as the header `Date` has it.
    pub(crate) fn header(&self) -> String {
        at(self.now()).format("%a, %d %b %Y %H:%M:%S GMT").to_string()
    }
}

/// Returns a time as GitHub writes it.
pub(crate) fn written(seconds: i64) -> String {
    at(seconds).to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// Reads a time as clients write it; a fraction of a second is dropped.
pub(crate) fn read(text: &str) -> Option<i64> {
    DateTime::parse_from_rfc3339(text).ok().map(|time| time.timestamp())
}

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(seconds, 0).unwrap_or_default()
}
