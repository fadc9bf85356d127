//! The state of the backup for people and for scripts.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;

use super::health::Health;
use super::{count, duration, hours_between, size};
use crate::mirrors::MirrorKind;
use crate::names::{FullName, RepositoryId, RunId};
use crate::outcome::{Counts, Failure, Kind, PartCounts, PartSums, RunStatus, RunSummary, State, Trigger};
use crate::store::{Index, IndexedMirror, Marks, RunRecord};
use crate::text::some_of;
use crate::zone::shown;

/// What `ghbk status --json` prints; a contract with scripts.
#[derive(Debug, Serialize)]
pub struct Status {
    /// Whether the backup is healthy.
    health: Health,
    /// What failed in the last run over everything and in all runs since.
    standing: Vec<String>,
    /// Whether a daemon keeps the schedule.
    daemon: bool,
    /// The newest run that ended in order.
    last_run: Option<RunSummary>,
    /// The newest run over everything that ended in order.
    last_full_run: Option<RunSummary>,
    /// The run under way.
    running: Option<Running>,
    /// When the next run is due; none if no daemon keeps the schedule.
    next_run: Option<DateTime<Utc>>,
    /// Hours since a run over everything found all well.
    hours_since_success: Option<f64>,
    /// Every mirror.
    repositories: Vec<MirrorStatus>,
    /// The newest runs, newest first.
    runs: Vec<PastRun>,
    /// How each kind of data beside refs stands, in all mirrors.
    parts: BTreeMap<Kind, PartSums>,
    /// Repositories of which history was lost with a missing or damaged mirror, in the last 90 days.
    history_lost: Vec<FullName>,
    /// Mirrors that were made before ghbk fetched large files and have not been searched for pointers yet.
    not_looked_through: u64,
}

#[derive(Debug, Serialize)]
struct Running {
    run_id: RunId,
    started_at: DateTime<Utc>,
    planned: Option<u64>,
    done: u64,
    failed: u64,
    fetching: Vec<FullName>,
}

#[derive(Debug, Serialize)]
struct MirrorStatus {
    id: RepositoryId,
    full_name: FullName,
    /// `ok`, `failed`, `damaged`, `missing`, `gone`, `attic` or `unknown`.
    state: &'static str,
    last_success: Option<DateTime<Utc>>,
    verified_at: Option<DateTime<Utc>>,
    /// What is wrong with it, if it is damaged.
    #[serde(skip_serializing_if = "Option::is_none")]
    damage: Option<String>,
    /// What its packs and large files take, in bytes; none if the packs are not known.
    size_bytes: Option<u64>,
    /// How the kinds of data beside refs stand.
    #[serde(skip_serializing_if = "Marks::is_empty")]
    parts: Marks,
}

#[derive(Debug, Serialize)]
struct PastRun {
    run_id: RunId,
    started_at: DateTime<Utc>,
    finished_at: Option<DateTime<Utc>>,
    trigger: Option<Trigger>,
    /// None for a run that was interrupted.
    status: Option<RunStatus>,
    counts: Option<Counts>,
    /// Repositories that failed.
    failed: u64,
    /// Failures of any kind.
    failures: u64,
    full: bool,
}

/// How long the loss of history is shown, in days; the page of the repository shows it for good.
const HISTORY_LOST_DAYS: i64 = 90;

/// Chooses the mirrors that are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listed {
    /// Those with something wrong.
    Problems,
    /// All, by name.
    All,
    /// All, the largest first.
    BySize,
}

/// Lists what a run found wrong; for one over everything, what nothing has fixed since.
fn tell(out: &mut String, run: &RunSummary, standing: &[String]) {
    let stands = |failure: &&Failure| {
        !run.is_full() || standing.iter().any(|name| name == MirrorKind::split_name(&failure.repository).0)
    };
    for failure in run.failures.iter().filter(stands) {
        let _ = writeln!(out, "  failed: {}: {}", failure.repository, failure.error);
        let _ = writeln!(out, "    hint: {}", failure.hint);
    }
    let mended = run.failures.iter().filter(|failure| !stands(failure)).count() as u64;
    if mended > 0 {
        let _ = writeln!(out, "  {} fixed since", count(mended, "failure was", "failures were"));
    }
    for warning in &run.warnings {
        let _ = writeln!(out, "  warning: {warning}");
    }
}

/// What a status is made from.
pub struct Facts<'a> {
    /// The newest runs, newest first.
    pub records: &'a [RunRecord],
    /// The newest run over everything that ended in order.
    pub last_full_run: Option<RunSummary>,
    /// What failed in it and in all runs since.
    pub standing: Vec<String>,
    /// What the store holds.
    pub index: &'a Index,
    /// Mirrors whose folder is not there; not looked for while a run is under way.
    pub not_there: Vec<String>,
    /// Whether a run is under way.
    pub is_locked: bool,
    /// Whether a daemon keeps the schedule.
    pub has_daemon: bool,
    /// When the next run is due.
    pub next_run: Option<DateTime<Utc>>,
    /// How old the last complete backup may be.
    pub age_max: Duration,
}

/// Returns the state of a repository in one word.
pub(super) fn state_of(mirror: &IndexedMirror) -> &'static str {
    match (mirror.is_set_aside(), mirror.gone, mirror.last_state) {
        (true, _, _) => "attic",
        _ if mirror.damage.is_some() => "damaged",
        (_, true, _) => "gone",
        (_, _, Some(State::Failed)) => "failed",
        (_, _, None | Some(State::Unknown)) => "unknown",
        (_, _, Some(_)) => "ok",
    }
}

impl Status {
    /// Puts together what records, index and schedule say.
    pub fn new(facts: Facts<'_>, now: DateTime<Utc>) -> Self {
        let Facts { records, last_full_run, standing, index, not_there, is_locked, has_daemon, next_run, age_max } =
            facts;
        let running = records.first().filter(|record| is_locked && record.summary.is_none()).map(|record| Running {
            run_id: record.run_id.clone(),
            started_at: record.started_at,
            planned: record.planned,
            done: record.outcomes.len() as u64,
            failed: record.outcomes.iter().filter(|outcome| outcome.state == State::Failed).count() as u64,
            fetching: record.in_flight.values().map(|it| it.full_name.clone()).collect(),
        });
        let runs = records
            .iter()
            .filter(|record| running.as_ref().is_none_or(|running| running.run_id != record.run_id))
            .map(PastRun::of)
            .collect();
        let named: HashSet<&str> = not_there.iter().map(|name| MirrorKind::split_name(name).0).collect();
        let is_missing = |mirror: &IndexedMirror| named.contains(mirror.full_name.to_string().as_str());
        let mut repositories: Vec<MirrorStatus> = index
            .mirrors
            .iter()
            .map(|(id, mirror)| MirrorStatus {
                id: *id,
                full_name: mirror.full_name.clone(),
                state: if is_missing(mirror) { "missing" } else { state_of(mirror) },
                last_success: mirror.last_success,
                verified_at: mirror.verified_at,
                damage: mirror.damage.clone(),
                size_bytes: mirror.size_bytes(),
                parts: mirror.parts.clone(),
            })
            .collect();
        repositories.sort_by(|a, b| a.full_name.cmp(&b.full_name));
        let mut parts: BTreeMap<Kind, PartSums> = BTreeMap::new();
        for (_, kind, mark) in index.mirrors.values().flat_map(|mirror| mirror.parts.iter()) {
            parts.entry(kind).or_default().add(mark.state, (&PartCounts::new(), &mark.totals));
        }
        let unknown = index.mirrors.values().filter(|mirror| !mirror.gone && !mirror.has_known_pointers());
        let since = now - TimeDelta::days(HISTORY_LOST_DAYS);
        let has_lost = |mirror: &&IndexedMirror| mirror.history_lost_at.values().any(|at| *at >= since);
        let mut history_lost: Vec<FullName> =
            index.mirrors.values().filter(has_lost).map(|mirror| mirror.full_name.clone()).collect();
        history_lost.sort_unstable();
        Self {
            history_lost,
            health: Health::of((index, &not_there), (last_full_run.as_ref(), &standing), age_max, now),
            standing,
            daemon: has_daemon,
            last_run: records.iter().find_map(|record| record.summary.clone()),
            last_full_run,
            running,
            next_run: next_run.filter(|_| has_daemon),
            hours_since_success: index.last_success.filter(|at| *at <= now).map(|at| hours_between(at, now)),
            repositories,
            runs,
            parts,
            not_looked_through: unknown.count() as u64,
        }
    }

    /// Returns whether the backup is healthy.
    pub fn health(&self) -> &Health {
        &self.health
    }

    /// Formats the state for a terminal. Times are shown relative to `now`.
    pub fn text(&self, now: DateTime<Utc>, listed: Listed) -> String {
        let mut out = format!("{}\n", self.health.headline);
        self.write_running(&mut out, now);
        self.write_last_runs(&mut out, now);
        if let Some(next) = self.next_run {
            let _ = writeln!(out, "next run: {} (in {})", shown(next), duration(next - now));
        }
        self.write_runs(&mut out);
        for line in super::parts::stored(&self.parts) {
            let _ = writeln!(out, "{line}");
        }
        if !self.history_lost.is_empty() {
            let names: Vec<String> = self.history_lost.iter().map(ToString::to_string).collect();
            let _ = writeln!(
                out,
                "warning: history was lost with missing or damaged mirrors: {}; `ghbk status OWNER/REPO` says when",
                some_of(&names, 8)
            );
        }
        if self.not_looked_through > 0 {
            let _ = writeln!(
                out,
                "not searched for large files yet: {}; the runs of the next weeks do it, `ghbk run --large-files` does it now",
                count(self.not_looked_through, "mirror", "mirrors")
            );
        }
        self.write_mirrors(&mut out, now, listed);
        out
    }

    fn write_running(&self, out: &mut String, now: DateTime<Utc>) {
        let Some(running) = &self.running else { return };
        let planned = running.planned.map_or_else(|| "?".to_owned(), |planned| planned.to_string());
        let _ = write!(
            out,
            "running for {}: {} of {planned} repositories done, {} failed",
            duration(now - running.started_at),
            running.done,
            running.failed
        );
        if !running.fetching.is_empty() {
            let names: Vec<String> = running.fetching.iter().map(ToString::to_string).collect();
            let _ = write!(out, ", under way: {}", some_of(&names, 8));
        }
        out.push('\n');
    }

    fn write_last_runs(&self, out: &mut String, now: DateTime<Utc>) {
        let ago = |time: DateTime<Utc>| format!("{} ago", duration(now - time));
        let interrupted = self.runs.first().filter(|newest| newest.status.is_none());
        if let Some(newest) = interrupted {
            let _ = writeln!(out, "last run: {}, interrupted; the next one continues", ago(newest.started_at));
        }
        match (&self.last_run, self.runs.is_empty()) {
            (Some(last), _) => {
                let is_run = !matches!(last.trigger, Trigger::Verification | Trigger::Forget | Trigger::Acceptance);
                let scope = if last.is_full() || !is_run { "" } else { " (named repositories)" };
                let headline = super::summary::headline(last);
                let which = if interrupted.is_some() { "the one before" } else { "last run" };
                let _ = writeln!(out, "{which}{scope}: {}, {headline}", ago(last.finished_at));
                tell(out, last, &self.standing);
                // A run of one repository must not hide what the one over everything found.
                if let Some(full) = self.last_full_run.as_ref().filter(|full| full.run_id != last.run_id) {
                    let headline = super::summary::headline(full);
                    let _ = writeln!(out, "last run over everything: {}, {headline}", ago(full.finished_at));
                    tell(out, full, &self.standing);
                }
            }
            (None, true) if self.running.is_none() => out.push_str("last run: none yet; start one with `ghbk run`\n"),
            (None, _) => {}
        }
    }

    fn write_runs(&self, out: &mut String) {
        if self.runs.len() < 2 {
            return;
        }
        out.push_str("runs:\n");
        for run in &self.runs {
            let _ = writeln!(out, "  {}", run.text());
        }
    }

    fn write_mirrors(&self, out: &mut String, now: DateTime<Utc>, listed: Listed) {
        if self.repositories.is_empty() {
            return;
        }
        let mut states: BTreeMap<&str, u64> = BTreeMap::new();
        for mirror in &self.repositories {
            *states.entry(mirror.state).or_default() += 1;
        }
        // What is wrong comes first.
        let order = ["missing", "damaged", "failed", "unknown", "ok", "gone", "attic"];
        let words = |state: &&str| states.get(state).map(|number| format!("{number} {}", worded(state)));
        let words: Vec<String> = order.iter().filter_map(words).collect();
        let bytes: u64 = self.repositories.iter().filter_map(|mirror| mirror.size_bytes).sum();
        let _ = writeln!(
            out,
            "{}, {}: {}{}",
            count(self.repositories.len() as u64, "mirror", "mirrors"),
            size(bytes),
            words.join(", "),
            if listed == Listed::Problems { "; --all lists them" } else { "" }
        );
        let has_problem = |it: &&MirrorStatus| {
            matches!(it.state, "missing" | "damaged" | "failed" | "unknown") || !missing(it).is_empty()
        };
        let is_listed = |it: &&MirrorStatus| listed != Listed::Problems || has_problem(it);
        let mut shown: Vec<&MirrorStatus> = self.repositories.iter().filter(is_listed).collect();
        if listed == Listed::BySize {
            shown.sort_by_key(|mirror| std::cmp::Reverse(mirror.size_bytes));
        }
        let width = shown.iter().map(|it| it.full_name.to_string().len()).max().unwrap_or_default();
        for mirror in shown {
            let age = mirror
                .last_success
                .map_or_else(|| "never complete".to_owned(), |at| format!("{} ago", duration(now - at)));
            let bytes = mirror.size_bytes.map_or_else(|| "?".to_owned(), size);
            let missing = missing(mirror);
            let missing =
                if missing.is_empty() { String::new() } else { format!("; large files: {}", missing.join(", ")) };
            let damage = mirror.damage.as_ref().map_or_else(String::new, |damage| format!("; {damage}"));
            let name = mirror.full_name.to_string();
            let _ = writeln!(out, "  {:<7} {name:<width$}  {bytes:>10}  {age}{damage}{missing}", mirror.state);
        }
    }
}

/// Returns how a sum calls a state.
fn worded(state: &str) -> &str {
    match state {
        "gone" => "no longer on GitHub",
        "attic" => "in the attic",
        "unknown" => "of unknown state",
        state => state,
    }
}

/// Describes which large files a repository lacks.
fn missing(mirror: &MirrorStatus) -> Vec<String> {
    mirror.parts.iter().flat_map(|(_, _, mark)| super::parts::missing(&mark.totals)).collect()
}

impl PastRun {
    fn of(record: &RunRecord) -> Self {
        let summary = record.summary.as_ref();
        Self {
            run_id: record.run_id.clone(),
            started_at: record.started_at,
            finished_at: summary.map(|summary| summary.finished_at),
            trigger: summary.map(|summary| summary.trigger),
            status: summary.map(|summary| summary.status),
            counts: summary.map(|summary| summary.counts),
            failed: summary.map_or(0, |summary| summary.counts.failed),
            failures: summary.map_or(0, |summary| summary.failures.len() as u64),
            full: record.is_full,
        }
    }

    fn text(&self) -> String {
        let status = match self.status {
            Some(RunStatus::Ok) => "ok".to_owned(),
            Some(RunStatus::Partial) => format!("partial, {}", count(self.failures, "failure", "failures")),
            Some(RunStatus::Failed) => "failed".to_owned(),
            Some(RunStatus::Cancelled) => "cancelled".to_owned(),
            Some(RunStatus::Unknown) => "unknown to this version of ghbk".to_owned(),
            None => "interrupted".to_owned(),
        };
        let what = match self.trigger {
            Some(Trigger::Adoption) => "adopt: ",
            Some(Trigger::Forget) => "forget: ",
            Some(Trigger::Acceptance) => "accept: ",
            Some(Trigger::Verification) => "verify: ",
            _ => "",
        };
        let counts = self.counts.as_ref().filter(|_| what.is_empty()).map_or_else(String::new, |counts| {
            let changed = [(counts.created, "new"), (counts.updated, "updated"), (counts.failed, "failed")];
            let changed =
                changed.iter().filter(|(number, _)| *number > 0).map(|(number, word)| format!(", {number} {word}"));
            let (one, many) =
                if self.full { ("repository", "repositories") } else { ("named repository", "named repositories") };
            let listed = count(counts.listed, one, many);
            format!("; {listed}{}", changed.collect::<String>())
        });
        let took = self.finished_at.map_or_else(String::new, |at| format!("  {}", duration(at - self.started_at)));
        let started = shown(self.started_at);
        format!("{}  {started}{took}  {what}{status}{counts}", self.run_id)
    }
}
