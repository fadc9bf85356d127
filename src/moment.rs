//! Points in time as people write them. Pure: the present and the time zone are passed in.

use std::str::FromStr;

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Utc};
use chrono_tz::Tz;

/// A point in time that may depend on when and where it is said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Moment {
    /// RFC 3339, such as `2026-11-22T05:00:00+09:00`.
    Exact(DateTime<Utc>),
    /// A date and a time of day in the configured time zone, such as `2026-11-22 05:00`.
    Local(NaiveDateTime),
    /// A date: the end of that day in the configured time zone.
    EndOf(NaiveDate),
    /// So long ago, such as `3 days ago`.
    Ago(TimeDelta),
}

/// Says that a text is no point in time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no point in time; write 2026-11-22T05:00:00Z, \"2026-11-22 05:00\", 2026-11-22 or \"3 days ago\"")]
pub struct InvalidMoment(String);

impl FromStr for Moment {
    type Err = InvalidMoment;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        if let Ok(exact) = DateTime::parse_from_rfc3339(text) {
            return Ok(Self::Exact(exact.to_utc()));
        }
        for format in ["%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M"] {
            if let Ok(local) = NaiveDateTime::parse_from_str(text, format) {
                return Ok(Self::Local(local));
            }
        }
        if let Ok(date) = NaiveDate::parse_from_str(text, "%Y-%m-%d") {
            return Ok(Self::EndOf(date));
        }
        let ago = match text {
            "now" => Some(TimeDelta::zero()),
            "yesterday" => Some(TimeDelta::days(1)),
            _ => text
                .strip_suffix("ago")
                .and_then(|length| humantime::parse_duration(length.trim()).ok())
                .and_then(|length| TimeDelta::from_std(length).ok()),
        };
        ago.map(Self::Ago).ok_or_else(|| InvalidMoment(text.chars().take(80).collect()))
    }
}

impl Moment {
    /// Says which instant is meant.
    pub fn resolve(&self, now: DateTime<Utc>, zone: Tz) -> DateTime<Utc> {
        // Where clocks are set back a time of day comes twice, where they are set forward it never comes.
        let in_zone = |local: NaiveDateTime| {
            local.and_local_timezone(zone).latest().map_or_else(|| local.and_utc(), |local| local.to_utc())
        };
        // Who writes no fraction means the whole second, in which a run may have asked GitHub.
        let whole_second = |instant: DateTime<Utc>| match instant.timestamp_subsec_nanos() {
            0 => instant + TimeDelta::milliseconds(999),
            _ => instant,
        };
        match self {
            Self::Exact(instant) => whole_second(*instant),
            Self::Local(local) => whole_second(in_zone(*local)),
            Self::EndOf(date) => {
                let end = NaiveTime::from_hms_milli_opt(23, 59, 59, 999).unwrap_or_default();
                in_zone(date.and_time(end))
            }
            Self::Ago(length) => now.checked_sub_signed(*length).unwrap_or(DateTime::<Utc>::MIN_UTC),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn people_write_points_in_time_in_many_ways() {
        let now = "2026-11-24T12:00:00Z".parse().unwrap();
        for (text, expected) in [
            ("2026-11-22T05:00:00Z", "2026-11-22T05:00:00.999Z"),
            ("2026-11-22T05:00:00.250+09:00", "2026-11-21T20:00:00.250Z"),
            ("2026-11-22 05:00", "2026-11-21T20:00:00.999Z"),
            ("2026-11-22T05:00:30", "2026-11-21T20:00:30.999Z"),
            ("2026-11-22", "2026-11-22T14:59:59.999Z"),
            ("3 days ago", "2026-11-21T12:00:00Z"),
            ("1h 30m ago", "2026-11-24T10:30:00Z"),
            ("2 weeks ago", "2026-11-10T12:00:00Z"),
            ("yesterday", "2026-11-23T12:00:00Z"),
            ("now", "2026-11-24T12:00:00Z"),
        ] {
            let moment: Moment = text.parse().unwrap();
            let expected: DateTime<Utc> = expected.parse().unwrap();
            assert_eq!(moment.resolve(now, chrono_tz::Asia::Tokyo), expected, "{text}");
        }
        for text in ["", "soon", "2026-13-01", "3 days", "-1 day ago", "22.11.2026"] {
            assert!(text.parse::<Moment>().is_err(), "{text:?} was taken for a point in time");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,30}") {
            if let Ok(moment) = text.parse::<Moment>() {
                moment.resolve(DateTime::<Utc>::UNIX_EPOCH, chrono_tz::Europe::Berlin);
            }
        }
    }
}
