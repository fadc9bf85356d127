//! The time zone in which people read and write times: the schedule's, which is the machine's unless it is configured.
//!
//! There is one for all: a time that a person reads in `ghbk status` and types into `ghbk restore --at` must mean the same
//! moment. Scripts get RFC 3339 in UTC instead.

use std::sync::{PoisonError, RwLock};

use chrono::{DateTime, Utc};
use chrono_tz::Tz;

static ZONE: RwLock<Tz> = RwLock::new(Tz::UTC);

/// Sets the zone of everything that is printed from now on.
pub fn set(zone: Tz) {
    *ZONE.write().unwrap_or_else(PoisonError::into_inner) = zone;
}

/// Returns the machine's zone: that of `TZ`, else of `/etc/localtime`, else UTC.
pub fn of_machine() -> Tz {
    let named = |name: String| name.trim_start_matches(':').parse().ok();
    let from_env = std::env::var("TZ").ok().and_then(named);
    from_env.or_else(|| iana_time_zone::get_timezone().ok().and_then(named)).unwrap_or(Tz::UTC)
}

/// Formats a time to the minute, with its zone.
pub fn shown(time: DateTime<Utc>) -> String {
    format(time, "%Y-%m-%d %H:%M %Z")
}

/// Formats a time to the second, with its zone.
pub fn shown_to_the_second(time: DateTime<Utc>) -> String {
    format(time, "%Y-%m-%d %H:%M:%S %Z")
}

/// Formats the day of a time.
pub fn day(time: DateTime<Utc>) -> String {
    format(time, "%Y-%m-%d")
}

fn format(time: DateTime<Utc>, format: &str) -> String {
    let zone = *ZONE.read().unwrap_or_else(PoisonError::into_inner);
    time.with_timezone(&zone).format(format).to_string()
}
