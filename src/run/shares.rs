//! Which mirrors are due to be read, so that the whole store is read within `verify.full_every`. Pure.

use chrono::{DateTime, Utc};

use crate::names::{FullName, RepositoryId};
use crate::store::Index;

/// A mirror that was read less than this part of the time ago is not read again: a run soon after another, such as one
/// before a migration, would otherwise read the same mirror.
const REREAD_PART: i32 = 16;

/// Chooses the mirrors to read in a run: enough to read all of them in the given time, those read longest ago first, and
/// whatever is overdue or was damaged.
pub(super) fn due(
    index: &Index,
    since_last_run: chrono::TimeDelta,
    full_every: std::time::Duration,
    now: DateTime<Utc>,
) -> Vec<RepositoryId> {
    let full_every = chrono::TimeDelta::from_std(full_every).unwrap_or(chrono::TimeDelta::MAX);
    let mut by_age: Vec<(Option<DateTime<Utc>>, RepositoryId, &FullName)> =
        index.mirrors.iter().map(|(id, mirror)| (mirror.verified_at, *id, &mirror.full_name)).collect();
    by_age.sort_unstable();
    #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share")]
    let share = {
        let part = since_last_run.num_milliseconds().max(0) as f64 / (full_every.num_milliseconds().max(1) as f64);
        (by_age.len() as f64 * part.min(1.0)).ceil() as usize
    };
    let was_just_read =
        |at: &Option<DateTime<Utc>>| at.is_some_and(|at| at <= now && now - at < full_every / REREAD_PART);
    let is_urgent = |at: &Option<DateTime<Utc>>, id: &RepositoryId| {
        // A time in the future, from a clock that was ahead, says nothing.
        at.is_some_and(|at| at > now || now - at >= full_every)
            || index.mirrors.get(id).is_some_and(|m| m.damage.is_some())
    };
    let has_turn = |turn: usize, at: &Option<DateTime<Utc>>| turn < share && !was_just_read(at);
    let chosen = by_age.iter().enumerate();
    chosen.filter(|(turn, (at, id, _))| has_turn(*turn, at) || is_urgent(at, id)).map(|(_, (_, id, _))| *id).collect()
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::store::{IndexedMirror, Verified};

    const WEEK: TimeDelta = TimeDelta::weeks(1);

    fn twelve_weeks() -> std::time::Duration {
        std::time::Duration::from_hours(12 * 7 * 24)
    }

    #[test]
    fn twelve_weekly_runs_read_everything_in_equal_shares() {
        let mut index = Index::default();
        let mut now: DateTime<Utc> = "2026-11-29T05:00:00Z".parse().unwrap();
        for id in 1..=100 {
            let name: FullName = format!("acme/r{id}").parse().unwrap();
            let mut mirror = IndexedMirror::new(name, "acme/r".into());
            mirror.verified_at = Some(now);
            index.mirrors.insert(RepositoryId(id), mirror);
        }
        let mut read = std::collections::BTreeSet::new();
        for _ in 0..12 {
            now += WEEK;
            let due = due(&index, WEEK, twelve_weeks(), now);
            assert!((1..=13).contains(&due.len()), "{}", due.len());
            for id in due {
                read.insert(id);
                index.verified(&Verified { id, at: now, damage: None });
            }
        }
        assert_eq!(read.len(), 100);
    }

    #[test]
    fn what_was_just_read_is_not_read_again() {
        let now: DateTime<Utc> = "2026-11-29T05:00:00Z".parse().unwrap();
        let mut index = Index::default();
        index.mirrors.insert(RepositoryId(1), IndexedMirror::new("acme/r".parse().unwrap(), "acme/r".into()));
        let minute = TimeDelta::minutes(1);
        assert_eq!(due(&index, minute, twelve_weeks(), now), [RepositoryId(1)], "it was never read");
        index.verified(&Verified { id: RepositoryId(1), at: now, damage: None });
        assert!(due(&index, minute, twelve_weeks(), now + minute).is_empty());
        assert_eq!(due(&index, WEEK, twelve_weeks(), now + WEEK), [RepositoryId(1)]);
    }

    #[test]
    fn what_is_damaged_is_read_in_every_run() {
        let now = "2026-11-29T05:00:00Z".parse().unwrap();
        let mut index = Index::default();
        for id in 1..=3 {
            let mut mirror = IndexedMirror::new(format!("acme/r{id}").parse().unwrap(), "acme/r".into());
            mirror.verified_at = Some(now);
            index.mirrors.insert(RepositoryId(id), mirror);
        }
        assert!(due(&index, TimeDelta::zero(), twelve_weeks(), now).is_empty());
        index.verified(&Verified { id: RepositoryId(2), at: now, damage: Some("a bit".to_owned()) });
        assert_eq!(due(&index, TimeDelta::zero(), twelve_weeks(), now), [RepositoryId(2)]);
    }
}
