//! When a run is due by the wall clock, whatever that clock does. Pure: both clocks are passed in.
//!
//! After a step forward, or after the machine slept, the due times that were skipped make one run due at once; a step back
//! does not make the same run due again. What a newcomer would get wrong: the timers of tokio and of the scheduler notice
//! neither, so they only make the daemon ask here, which it does at least every minute.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use crate::schedule::Schedule;

/// How long a step of the clock may go unnoticed.
const LOOK_EVERY: Duration = Duration::from_mins(1);

/// Remembers what has come due.
#[derive(Debug)]
pub(super) struct Timetable {
    schedule: Schedule,
    /// The wall clock when it was last read; everything due until then is settled.
    settled: DateTime<Utc>,
    /// The last due time that was reported, and when, by a clock that never jumps.
    told: Option<(DateTime<Utc>, Duration)>,
}

impl Timetable {
    pub(super) fn new(schedule: Schedule, now: DateTime<Utc>) -> Self {
        Self { schedule, settled: now, told: None }
    }

    /// Switches to another schedule; what was due by the old one is settled.
    pub(super) fn change(&mut self, schedule: Schedule, now: DateTime<Utc>) {
        *self = Self { told: self.told, ..Self::new(schedule, now) };
    }

    /// Returns whether a run is due, once per due time; `steady` is a clock that never jumps.
    pub(super) fn is_due(&mut self, now: DateTime<Utc>, steady: Duration) -> bool {
        let settled = std::mem::replace(&mut self.settled, now);
        let Some(due) = self.schedule.last_before(now).filter(|due| *due > settled) else { return false };
        // After a step back the same hour comes twice.
        if self.told.is_some_and(|(told, at)| told == due && steady.saturating_sub(at) < self.half_until_next(due)) {
            return false;
        }
        self.told = Some((due, steady));
        true
    }

    fn half_until_next(&self, due: DateTime<Utc>) -> Duration {
        let next = self.schedule.next_after(due).map_or(TimeDelta::zero(), |next| next - due);
        next.to_std().unwrap_or_default() / 2
    }

    /// Returns how long to wait before the clock is looked at again.
    pub(super) fn pause(&self, now: DateTime<Utc>) -> Duration {
        let next = self.schedule.next_after(now).and_then(|next| (next - now).to_std().ok());
        // A millisecond more: the due time has then passed.
        next.map_or(LOOK_EVERY, |next| (next + Duration::from_millis(1)).min(LOOK_EVERY))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn daily(now: &str) -> Timetable {
        Timetable::new(Schedule::new("0 0 5 * * *", chrono_tz::UTC).unwrap(), at(now))
    }

    const HOUR: Duration = Duration::from_hours(1);

    #[test]
    fn each_due_time_is_told_once() {
        let mut timetable = daily("2026-11-24T04:00:00Z");
        assert!(!timetable.is_due(at("2026-11-24T04:59:59Z"), HOUR));
        assert!(timetable.is_due(at("2026-11-24T05:00:00Z"), HOUR));
        assert!(!timetable.is_due(at("2026-11-24T05:00:00.5Z"), HOUR));
        assert!(timetable.is_due(at("2026-11-25T05:00:01Z"), 25 * HOUR));
    }

    #[test]
    fn a_step_over_due_times_makes_one_run_due_at_once() {
        let mut timetable = daily("2026-11-24T04:00:00Z");
        assert!(timetable.is_due(at("2026-11-27T17:00:00Z"), Duration::from_secs(1)));
        assert!(!timetable.is_due(at("2026-11-27T17:01:00Z"), Duration::from_mins(1)));
        assert!(timetable.is_due(at("2026-11-28T05:00:00Z"), 12 * HOUR));
    }

    #[test]
    fn a_step_back_over_a_due_time_does_not_make_it_due_again() {
        let mut timetable = daily("2026-11-24T04:00:00Z");
        assert!(timetable.is_due(at("2026-11-24T05:00:00Z"), HOUR));
        assert!(!timetable.is_due(at("2026-11-24T03:30:00Z"), 2 * HOUR));
        assert!(!timetable.is_due(at("2026-11-24T05:00:00Z"), 4 * HOUR));
        assert!(timetable.is_due(at("2026-11-25T05:00:00Z"), 28 * HOUR));
    }

    /// A machine whose clock battery is empty starts years ahead or behind, and gets the right time later.
    #[test]
    fn a_clock_that_was_years_off_costs_no_run() {
        for wrong in ["2036-11-24T04:59:59Z", "2000-11-24T04:59:59Z"] {
            let mut timetable = daily(wrong);
            timetable.is_due(at(wrong) + TimeDelta::seconds(1), Duration::from_secs(1));
            timetable.is_due(at("2026-11-24T04:00:00Z"), Duration::from_secs(2));
            assert!(timetable.is_due(at("2026-11-24T05:00:00Z"), HOUR), "{wrong}");
        }
        // Even if a due time that was reported too early comes again, days later.
        let mut timetable = daily("2026-11-27T04:00:00Z");
        assert!(timetable.is_due(at("2026-11-27T05:00:00Z"), HOUR));
        assert!(!timetable.is_due(at("2026-11-24T12:00:00Z"), HOUR));
        for (day, hours) in [(25, 18), (26, 42), (27, 66)] {
            assert!(timetable.is_due(at(&format!("2026-11-{day}T05:00:00Z")), hours * HOUR), "{day}");
        }
    }

    #[test]
    fn the_clock_is_looked_at_every_minute_and_at_the_due_time() {
        let timetable = daily("2026-11-24T04:00:00Z");
        assert_eq!(timetable.pause(at("2026-11-24T04:00:00Z")), LOOK_EVERY);
        assert_eq!(timetable.pause(at("2026-11-24T04:59:59.500Z")), Duration::from_millis(501));
    }
}
