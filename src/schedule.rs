//! When runs are due, from a cron expression and a time zone. Pure: the time is passed in.
//!
//! What a newcomer would get wrong: tokio-cron-scheduler keeps a time zone as the offset of the day, so its job only wakes the
//! daemon, and whether a run is due is decided here; the expression is read by the same parser (croner) in both places.

use chrono::{DateTime, SubsecRound as _, TimeDelta, Utc};
use chrono_tz::Tz;
use croner::Cron;
use croner::errors::CronError;
use croner::parser::{CronParser, Seconds, Year};

/// Finds past and coming due times of a schedule.
#[derive(Clone, Debug)]
pub struct Schedule {
    cron: Cron,
    timezone: Tz,
}

/// Says why a cron expression cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{expression:?} is not a schedule: {reason}")]
pub struct InvalidSchedule {
    expression: String,
    reason: String,
}

impl Schedule {
    /// Reads six fields, seconds first; or the five of crontab(5); or `@weekly` and the like. `Sun` is 0 or 7.
    ///
    /// # Errors
    /// [`InvalidSchedule`] if the expression does not parse or never comes due.
    pub fn new(expression: &str, timezone: Tz) -> Result<Self, InvalidSchedule> {
        let invalid = |reason: String| InvalidSchedule { expression: expression.to_owned(), reason };
        let cron = CronParser::builder()
            .seconds(Seconds::Required)
            .year(Year::Disallowed)
            .dom_and_dow(false)
            .build()
            .parse(&with_seconds(expression))
            .map_err(|error| invalid(worded(&error).to_owned()))?;
        let schedule = Self { cron, timezone };
        if schedule.next_after(DateTime::UNIX_EPOCH).is_none() {
            return Err(invalid("it never comes due".to_owned()));
        }
        Ok(schedule)
    }

    /// Returns the first due time after the given one.
    pub fn next_after(&self, time: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let local = whole_seconds(time).with_timezone(&self.timezone);
        self.cron.find_next_occurrence(&local, false).ok().map(|due| due.with_timezone(&Utc))
    }

    /// Returns the last due time at or before the given one.
    pub fn last_before(&self, time: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let local = whole_seconds(time).with_timezone(&self.timezone);
        self.cron.find_previous_occurrence(&local, true).ok().map(|due| due.with_timezone(&Utc))
    }

    /// Says whether a run was missed: the last complete one began before the last due time.
    ///
    /// With no complete run at all, one is due: a backup that waits a week to begin is no backup for a week.
    pub fn missed(&self, last_complete_start: Option<DateTime<Utc>>, now: DateTime<Utc>) -> bool {
        // The job fires a moment before or after the second; its run still belongs to that due time.
        let tolerance = TimeDelta::seconds(2);
        match (last_complete_start, self.last_before(now)) {
            (None, _) => true,
            (Some(start), Some(due)) => start + tolerance < due,
            (Some(_), None) => false,
        }
    }

    /// Returns the zone the expression is read in.
    pub fn timezone(&self) -> Tz {
        self.timezone
    }

    /// Returns the expression.
    pub fn expression(&self) -> &str {
        self.cron.pattern.as_str()
    }
}

/// Puts seconds before the five fields of crontab(5).
fn with_seconds(expression: &str) -> String {
    match expression.split_whitespace().count() {
        5 => format!("0 {}", expression.trim()),
        _ => expression.to_owned(),
    }
}

/// Says what is wrong in the words of people who write crontabs.
fn worded(error: &CronError) -> &'static str {
    match error {
        CronError::EmptyPattern | CronError::InvalidPattern(_) => {
            "a schedule has five fields, as in a crontab, or six with seconds first"
        }
        CronError::ComponentError(_) => "a number is out of range, or a range ends before it begins",
        CronError::IllegalCharacters(_) => {
            "a field has something that belongs to no schedule; days are written Sun or 0"
        }
        _ => "it cannot be read; write it as in a crontab",
    }
}

/// croner carries a fraction of a second over into what it finds.
fn whole_seconds(time: DateTime<Utc>) -> DateTime<Utc> {
    time.trunc_subsecs(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().expect("a time in RFC 3339")
    }

    fn weekly() -> Schedule {
        Schedule::new("0 0 5 * * Sun", chrono_tz::Asia::Tokyo).expect("the default schedule is valid")
    }

    #[test]
    fn sunday_five_in_tokyo_is_saturday_twenty_in_utc() {
        assert_eq!(weekly().next_after(at("2026-11-24T09:00:00Z")), Some(at("2026-11-28T20:00:00Z")));
        assert_eq!(weekly().last_before(at("2026-11-24T09:00:00Z")), Some(at("2026-11-21T20:00:00Z")));
    }

    #[test]
    fn what_people_paste_from_a_crontab_is_a_schedule() {
        let next = |text: &str| {
            let schedule = Schedule::new(text, chrono_tz::UTC).unwrap_or_else(|error| panic!("{error}"));
            // The scheduler that wakes the daemon must read what is written back in the same way.
            let again = Schedule::new(schedule.expression(), chrono_tz::UTC).expect("its own expression");
            let next = schedule.next_after(at("2026-11-24T09:00:00Z"));
            assert_eq!(again.next_after(at("2026-11-24T09:00:00Z")), next, "{text}");
            next
        };
        assert_eq!(next("0 5 * * Sun"), Some(at("2026-11-29T05:00:00Z")));
        assert_eq!(next("*/15 * * * *"), Some(at("2026-11-24T09:15:00Z")));
        assert_eq!(next("@weekly"), Some(at("2026-11-29T00:00:00Z")));
        assert_eq!(next("@daily"), Some(at("2026-11-25T00:00:00Z")));
        assert_eq!(next("0 0 5 * * Sun"), next("0 5 * * 0"));
    }

    #[test]
    fn a_time_zone_with_summer_time_keeps_its_wall_clock() {
        let schedule = Schedule::new("0 0 5 * * *", chrono_tz::Europe::Berlin).expect("valid");
        assert_eq!(schedule.next_after(at("2026-10-24T04:00:00Z")), Some(at("2026-10-25T04:00:00Z")));
        assert_eq!(schedule.next_after(at("2026-10-23T04:00:00Z")), Some(at("2026-10-24T03:00:00Z")));
    }

    #[test]
    fn a_run_is_missed_when_none_began_since_the_last_due_time() {
        let now = at("2026-11-24T09:00:00Z");
        assert!(weekly().missed(None, now));
        assert!(weekly().missed(Some(at("2026-11-20T09:00:00Z")), now));
        assert!(!weekly().missed(Some(at("2026-11-21T20:00:00Z")), now));
        assert!(!weekly().missed(Some(at("2026-11-23T09:00:00Z")), now));
    }

    #[test]
    fn what_is_no_schedule_is_refused() {
        for expression in ["", "5 * * Sun", "every sunday", "@sometimes", "0 0 25 * * *", "0 0 5 31 2 *"] {
            assert!(Schedule::new(expression, chrono_tz::UTC).is_err(), "{expression:?}");
        }
    }
}
