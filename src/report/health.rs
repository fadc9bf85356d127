//! Whether the backup is healthy, in one line: for people, for cron, for Nagios. Pure.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;

use super::{count, duration};
use crate::mirrors::MirrorKind;
use crate::outcome::{RunStatus, RunSummary};
use crate::store::Index;
use crate::text::some_of;

/// How old the last complete backup may be unless told otherwise: a week, and a day for it to be noticed.
pub const DEFAULT_AGE_MAX: Duration = Duration::from_hours(8 * 24);

/// How many are named; the rest are counted.
const NAMED_MAX: usize = 3;

/// What `ghbk status --check` says; part of `ghbk status --json`, a contract with scripts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Health {
    /// Whether nothing is wrong.
    pub healthy: bool,
    /// What is wrong, the worst first.
    pub problems: Vec<String>,
    /// The same in one line.
    pub line: String,
    /// The line without reasons, where those follow.
    #[serde(skip)]
    pub headline: String,
}

impl Health {
    /// Judges what the index and the newest run over everything say; `not_there` names the mirrors whose folder is
    /// missing, `standing` what failed in it and in all runs since.
    ///
    /// `age_max` is how long ago the last complete backup may be.
    pub fn of(
        (index, not_there): (&Index, &[String]),
        (last_full_run, standing): (Option<&RunSummary>, &[String]),
        age_max: Duration,
        now: DateTime<Utc>,
    ) -> Self {
        let mut problems = Vec::new();
        let names = |is: &dyn Fn(&crate::store::IndexedMirror) -> bool| -> Vec<String> {
            let mut names: Vec<String> =
                index.mirrors.values().filter(|mirror| is(mirror)).map(|mirror| mirror.full_name.to_string()).collect();
            names.sort_unstable();
            names
        };
        let damaged = names(&|mirror| mirror.damage.is_some());
        if !damaged.is_empty() {
            let mirrors = count(damaged.len() as u64, "mirror is damaged", "mirrors are damaged");
            problems.push(format!("{mirrors} ({})", some_of(&damaged, NAMED_MAX)));
        }
        if !not_there.is_empty() {
            let mirrors = count(not_there.len() as u64, "mirror is", "mirrors are");
            problems.push(format!("{mirrors} missing from the store ({})", some_of(not_there, NAMED_MAX)));
        }
        let lost = index.lost.len() as u64;
        if lost > 0 {
            problems.push(format!("{} missing from the store", count(lost, "mirror is", "mirrors are")));
        }
        // A status that only a later version knows may mean anything.
        let is_bad = |run: &RunSummary| !matches!(run.status, RunStatus::Ok | RunStatus::Cancelled);
        // Runs of the failed repositories alone may have fixed what failed.
        let mended = last_full_run.filter(|run| run.status == RunStatus::Partial && standing.is_empty());
        let last_success = index.last_success.max(mended.map(|run| run.finished_at));
        // A time in the future, from a clock that was ahead, says nothing.
        let last_success = last_success.filter(|at| *at <= now);
        match last_success {
            None => problems.push("no run over everything has completed yet".to_owned()),
            Some(at) if now - at > TimeDelta::from_std(age_max).unwrap_or(TimeDelta::MAX) => {
                let allowed = duration(TimeDelta::from_std(age_max).unwrap_or(TimeDelta::MAX));
                problems
                    .push(format!("the last complete backup is {} old; the limit is {allowed}", duration(now - at)));
            }
            Some(_) => {}
        }
        let line = |problems: &[String]| match problems {
            [] => {
                let ago = last_success.map_or_else(String::new, |at| format!(" {} ago", duration(now - at)));
                format!("healthy: everything was backed up{ago}")
            }
            problems => format!("not healthy: {}", problems.join("; ")),
        };
        let mut in_short = problems.clone();
        if let Some(run) = last_full_run.filter(|run| is_bad(run) && mended.is_none()) {
            problems.push(problem_of(run, standing, true));
            in_short.push(problem_of(run, standing, false));
        }
        let (line, headline) = (line(&problems), line(&in_short));
        Self { healthy: problems.is_empty(), problems, line, headline }
    }
}

/// Says what was wrong with a run and still is, with the reason if there is only one failure and `has_reason` asks for it.
fn problem_of(run: &RunSummary, standing: &[String], has_reason: bool) -> String {
    let what = if run.status == RunStatus::Failed { "failed" } else { "was incomplete" };
    let of = match standing {
        [] => String::new(),
        // There is room for the reason.
        [one] if has_reason => {
            let why = run.failures.iter().find(|failure| MirrorKind::split_name(&failure.repository).0 == one);
            format!(": {one}{}", why.map_or_else(String::new, |why| format!(": {}", why.error)))
        }
        several => format!(": {}", some_of(several, NAMED_MAX)),
    };
    format!("the last run over everything {what}{of}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::samples::eventful;
    use crate::store::IndexedMirror;

    const EIGHT_DAYS: Duration = Duration::from_hours(8 * 24);

    fn index(last_success: Option<&str>) -> Index {
        Index { last_success: last_success.map(|at| at.parse().unwrap()), ..Index::default() }
    }

    fn line(index: &Index, run: Option<&RunSummary>) -> String {
        standing(index, run, &[])
    }

    fn standing(index: &Index, run: Option<&RunSummary>, standing: &[&str]) -> String {
        let standing: Vec<String> = standing.iter().map(|name| (*name).to_owned()).collect();
        let health = Health::of((index, &[]), (run, &standing), EIGHT_DAYS, "2026-11-29T07:30:00Z".parse().unwrap());
        assert_eq!(health.healthy, health.problems.is_empty());
        health.line
    }

    #[test]
    fn health_is_one_line() {
        let good = index(Some("2026-11-29T05:30:00Z"));
        assert_eq!(line(&good, None), "healthy: everything was backed up 2 h 0 min ago");
        assert_eq!(line(&index(None), None), "not healthy: no run over everything has completed yet");
        let future = index(Some("2027-01-01T00:00:00Z"));
        assert_eq!(line(&future, None), "not healthy: no run over everything has completed yet");
        let old = index(Some("2026-11-20T05:30:00Z"));
        assert_eq!(line(&old, None), "not healthy: the last complete backup is 9 d 2 h old; the limit is 8 d");
        let mut damaged = good.clone();
        let mut mirror = IndexedMirror::new("acme/site".parse().unwrap(), "acme/site".into());
        mirror.damage = Some("HEAD is missing".to_owned());
        damaged.mirrors.insert(crate::names::RepositoryId(7), mirror);
        damaged.lost.insert(crate::names::RepositoryId(8), crate::mirrors::MirrorSet::all());
        insta::assert_snapshot!(standing(&damaged, Some(&eventful()), &["acme/a", "acme/b", "acme/c", "acme/d"]));
        // Everything that failed in it was fixed since.
        assert_eq!(line(&old, Some(&eventful())), "healthy: everything was backed up 11 h 26 min ago");
    }
}
