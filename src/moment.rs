//! Points in time as people write them. Pure: the present and the time zone are passed in.

use std::str::FromStr;

use chrono::{DateTime, LocalResult, NaiveDate, NaiveDateTime, NaiveTime, SecondsFormat, TimeDelta, Utc};
use chrono_tz::Tz;

use crate::names::WantedRun;

/// A point in time that may depend on when and where it is said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Moment {
    /// RFC 3339, such as `2026-11-22T05:00:00+09:00`.
    Exact(DateTime<Utc>),
    /// A date and a time of day in the configured time zone, such as `2026-11-22 05:00:30`; the name of the zone may follow, as
    /// ghbk prints it.
    Local(NaiveDateTime, Option<String>),
    /// The same without seconds: the end of that minute.
    EndOfMinute(NaiveDateTime, Option<String>),
    /// A date: the end of that day in the configured time zone.
    EndOf(NaiveDate),
    /// A length of time ago, such as `3 days ago`.
    Ago(TimeDelta),
}

/// Names a point in time as a person does: by a time, or by the run that saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PointInTime {
    /// As a run left it.
    Run(WantedRun),
    /// As it was at a time.
    At(Moment),
}

impl FromStr for PointInTime {
    type Err = InvalidMoment;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.parse() {
            Ok(run) => Ok(Self::Run(run)),
            Err(_) => text.parse().map(Self::At),
        }
    }
}

/// Says that a text is not a point in time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a time; write 2026-11-22T05:00:00Z, \"2026-11-22 05:00\", 2026-11-22 or \"3 days ago\"")]
pub struct InvalidMoment(String);

impl FromStr for Moment {
    type Err = InvalidMoment;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        if let Ok(exact) = DateTime::parse_from_rfc3339(text) {
            return Ok(Self::Exact(exact.to_utc()));
        }
        let (local, zone) = match text.rsplit_once(' ') {
            Some((local, zone)) if is_abbreviation(zone) => (local, Some(zone.to_owned())),
            _ => (text, None),
        };
        for (with_seconds, format) in [
            (true, "%Y-%m-%d %H:%M:%S"),
            (false, "%Y-%m-%d %H:%M"),
            (true, "%Y-%m-%dT%H:%M:%S"),
            (false, "%Y-%m-%dT%H:%M"),
        ] {
            if let Ok(local) = NaiveDateTime::parse_from_str(local, format) {
                return Ok(if with_seconds { Self::Local(local, zone) } else { Self::EndOfMinute(local, zone) });
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
    ///
    /// # Errors
    /// [`UnclearMoment`] for a time of day that clocks in the zone skip or show twice.
    pub fn resolve(&self, now: DateTime<Utc>, zone: Tz) -> Result<DateTime<Utc>, UnclearMoment> {
        // A time without a fraction means the whole second, in which a run may have asked GitHub.
        let whole_second = |instant: DateTime<Utc>| match instant.timestamp_subsec_nanos() {
            0 => instant + TimeDelta::milliseconds(999),
            _ => instant,
        };
        Ok(match self {
            Self::Exact(instant) => whole_second(*instant),
            Self::Local(local, named) => whole_second(in_zone(*local, named.as_deref(), zone)?),
            Self::EndOfMinute(local, named) => {
                in_zone(*local, named.as_deref(), zone)? + TimeDelta::milliseconds(59_999)
            }
            Self::EndOf(date) => {
                let end = NaiveTime::from_hms_milli_opt(23, 59, 59, 999).unwrap_or_default();
                let end = date.and_time(end);
                // If the end of a day comes twice, the later one counts; if it is skipped, nothing happened in it.
                end.and_local_timezone(zone).latest().map_or_else(|| end.and_utc(), |end| end.to_utc())
            }
            Self::Ago(length) => now.checked_sub_signed(*length).unwrap_or(DateTime::<Utc>::MIN_UTC),
        })
    }
}

/// Says why a time of day does not name one moment.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnclearMoment {
    /// Clocks in the zone skip it, or show it twice.
    #[error(
        "{local} {what} in {zone}; write {} or {}",
        earlier.to_rfc3339_opts(SecondsFormat::Secs, true),
        later.to_rfc3339_opts(SecondsFormat::Secs, true)
    )]
    Clocks {
        /// The time of day.
        local: NaiveDateTime,
        /// What clocks do.
        what: &'static str,
        /// Where.
        zone: Tz,
        /// One reading.
        earlier: DateTime<Utc>,
        /// The other.
        later: DateTime<Utc>,
    },
    /// Clocks in the zone do not have that name then.
    #[error(
        "{named} is not the time in {zone} then; write it with an offset, such as 2026-11-22T05:00:00+09:00, or without {named}"
    )]
    OtherZone {
        /// The name that was written.
        named: String,
        /// The zone that is configured.
        zone: Tz,
    },
}

/// Says whether a text may be the name of a zone as clocks there show it: `UTC`, `JST`, `CEST`, `+03`.
fn is_abbreviation(text: &str) -> bool {
    let letters = (2..=5).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_uppercase());
    let digits = text.strip_prefix(['+', '-']).is_some_and(|hours| hours.bytes().all(|byte| byte.is_ascii_digit()));
    letters || digits
}

fn in_zone(local: NaiveDateTime, named: Option<&str>, zone: Tz) -> Result<DateTime<Utc>, UnclearMoment> {
    if named.is_some_and(|named| matches!(named, "UTC" | "GMT")) {
        return Ok(local.and_utc());
    }
    let found = local.and_local_timezone(zone);
    if let Some(named) = named {
        // The name distinguishes the two moments of a time that is shown twice.
        let has_name = |instant: &DateTime<Tz>| instant.format("%Z").to_string() == named;
        let mut instants = [found.earliest(), found.latest()].into_iter().flatten();
        return match instants.find(has_name) {
            Some(instant) => Ok(instant.to_utc()),
            None => Err(UnclearMoment::OtherZone { named: named.to_owned(), zone }),
        };
    }
    let unclear = |what, earlier: DateTime<Utc>, later: DateTime<Utc>| {
        Err(UnclearMoment::Clocks { local, what, zone, earlier: earlier.min(later), later: earlier.max(later) })
    };
    match found {
        LocalResult::Single(instant) => Ok(instant.to_utc()),
        LocalResult::Ambiguous(one, other) => unclear("comes twice", one.to_utc(), other.to_utc()),
        LocalResult::None => {
            // As clocks showed it before they were set forward, and as they did afterwards. No zone skips more than a day.
            let beside = |shift: TimeDelta| {
                let near = local.checked_add_signed(shift)?.and_local_timezone(zone).latest()?.to_utc();
                near.checked_sub_signed(shift)
            };
            let (before, after) = (beside(-TimeDelta::hours(25)), beside(TimeDelta::hours(25)));
            let as_utc = || local.and_utc();
            unclear("does not exist", before.unwrap_or_else(as_utc), after.unwrap_or_else(as_utc))
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
            ("2026-11-22 05:00", "2026-11-21T20:00:59.999Z"),
            ("2026-11-22 05:00:10 JST", "2026-11-21T20:00:10.999Z"),
            ("2026-11-22 05:00 UTC", "2026-11-22T05:00:59.999Z"),
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
            assert_eq!(moment.resolve(now, chrono_tz::Asia::Tokyo), Ok(expected), "{text}");
        }
        for text in ["", "soon", "2026-13-01", "3 days", "-1 day ago", "22.11.2026"] {
            assert!(text.parse::<Moment>().is_err(), "{text:?} was taken for a point in time");
        }
    }

    #[test]
    fn a_time_that_clocks_skip_or_show_twice_is_refused_with_both_readings() {
        for (text, expected) in [
            (
                "2026-03-29 02:30",
                "2026-03-29 02:30:00 does not exist in Europe/Berlin; write 2026-03-29T00:30:00Z or 2026-03-29T01:30:00Z",
            ),
            (
                "2026-10-25 02:30",
                "2026-10-25 02:30:00 comes twice in Europe/Berlin; write 2026-10-25T00:30:00Z or 2026-10-25T01:30:00Z",
            ),
        ] {
            let moment: Moment = text.parse().unwrap();
            let refused = moment.resolve(DateTime::<Utc>::UNIX_EPOCH, chrono_tz::Europe::Berlin).unwrap_err();
            assert_eq!(refused.to_string(), expected);
        }
    }

    #[test]
    fn the_name_of_the_zone_tells_which_is_meant() {
        let at = |text: &str| text.parse::<Moment>().unwrap().resolve(DateTime::UNIX_EPOCH, chrono_tz::Europe::Berlin);
        let expected = |text: &str| Ok(text.parse::<DateTime<Utc>>().unwrap());
        assert_eq!(at("2026-10-25 02:30:00 CEST"), expected("2026-10-25T00:30:00.999Z"));
        assert_eq!(at("2026-10-25 02:30:00 CET"), expected("2026-10-25T01:30:00.999Z"));
        assert!(
            at("2026-11-25 02:30:00 JST").unwrap_err().to_string().starts_with("JST is not the time in Europe/Berlin")
        );
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,30}") {
            if let Ok(moment) = text.parse::<Moment>() {
                let _ = moment.resolve(DateTime::<Utc>::UNIX_EPOCH, chrono_tz::Europe::Berlin);
            }
        }
    }
}
