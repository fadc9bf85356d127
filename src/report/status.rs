//! The state of the backup for people and for scripts.

use std::collections::BTreeMap;
use std::fmt::Write;

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::{count, duration, hours_between};
use crate::names::{FullName, RunId};
use crate::outcome::{Kind, PartCounts, PartSums, RunStatus, RunSummary, State};
use crate::store::{Index, Marks, RunRecord};
use crate::text::some_of;

/// What `ghbk status --json` prints; a contract with scripts.
#[derive(Debug, Serialize)]
pub struct Status {
    /// The newest run that ended in order.
    last_run: Option<RunSummary>,
    /// The newest run over everything that ended in order.
    last_full_run: Option<RunSummary>,
    /// The run under way.
    running: Option<Running>,
    /// When the schedule comes due.
    next_run: Option<DateTime<Utc>>,
    /// Hours since a run over everything found all well.
    hours_since_success: Option<f64>,
    /// Every mirror.
    repositories: Vec<MirrorStatus>,
    /// The newest runs, newest first.
    runs: Vec<PastRun>,
    /// How each kind of data beside refs stands, in all mirrors.
    parts: BTreeMap<Kind, PartSums>,
    /// Mirrors that were made before ghbk fetched large files and have not been looked through yet.
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
    full_name: FullName,
    /// `ok`, `failed`, `damaged`, `gone`, `attic` or `unknown`.
    state: &'static str,
    last_success: Option<DateTime<Utc>>,
    verified_at: Option<DateTime<Utc>>,
    /// How the kinds of data beside refs stand.
    #[serde(skip_serializing_if = "Marks::is_empty")]
    parts: Marks,
}

#[derive(Debug, Serialize)]
struct PastRun {
    run_id: RunId,
    started_at: DateTime<Utc>,
    /// None for a run that was interrupted.
    status: Option<RunStatus>,
    /// Repositories that failed.
    failed: u64,
    /// Failures of any kind.
    failures: u64,
    full: bool,
}

/// Lists what a run found wrong.
fn tell(out: &mut String, run: &RunSummary) {
    for failure in &run.failures {
        let _ = writeln!(out, "  failed: {}: {}", failure.repository, failure.error);
        let _ = writeln!(out, "    hint: {}", failure.hint);
    }
    for warning in &run.warnings {
        let _ = writeln!(out, "  warning: {warning}");
    }
}

impl Status {
    /// Puts together what records, index and schedule say.
    pub fn new(
        records: &[RunRecord],
        last_full_run: Option<RunSummary>,
        index: &Index,
        locked: bool,
        next_run: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
    ) -> Self {
        let running = records.first().filter(|record| locked && record.summary.is_none()).map(|record| Running {
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
            .map(|record| PastRun {
                run_id: record.run_id.clone(),
                started_at: record.started_at,
                status: record.summary.as_ref().map(|summary| summary.status),
                failed: record.summary.as_ref().map_or(0, |summary| summary.counts.failed),
                failures: record.summary.as_ref().map_or(0, |summary| summary.failures.len() as u64),
                full: record.is_full,
            })
            .collect();
        let mut repositories: Vec<MirrorStatus> = index
            .mirrors
            .values()
            .map(|mirror| MirrorStatus {
                full_name: mirror.full_name.clone(),
                state: match (mirror.is_set_aside(), mirror.gone, mirror.last_state) {
                    (true, _, _) => "attic",
                    _ if mirror.damage.is_some() => "damaged",
                    (_, true, _) => "gone",
                    (_, _, Some(State::Failed)) => "failed",
                    (_, _, None | Some(State::Unknown)) => "unknown",
                    (_, _, Some(_)) => "ok",
                },
                last_success: mirror.last_success,
                verified_at: mirror.verified_at,
                parts: mirror.parts.clone(),
            })
            .collect();
        repositories.sort_by(|a, b| a.full_name.cmp(&b.full_name));
        let hours_since_success = index.last_success.filter(|at| *at <= now).map(|at| hours_between(at, now));
        let last_run = records.iter().find_map(|record| record.summary.clone());
        let mut parts: BTreeMap<Kind, PartSums> = BTreeMap::new();
        for (_, kind, mark) in index.mirrors.values().flat_map(|mirror| mirror.parts.iter()) {
            parts.entry(kind).or_default().add(mark.state, (&PartCounts::new(), &mark.totals));
        }
        let unknown = index.mirrors.values().filter(|mirror| !mirror.gone && !mirror.has_known_pointers());
        Self {
            last_run,
            last_full_run,
            running,
            next_run,
            hours_since_success,
            repositories,
            runs,
            parts,
            not_looked_through: unknown.count() as u64,
        }
    }

    /// Words the state for a terminal. `times` are shown relative to `now`.
    pub fn text(&self, now: DateTime<Utc>) -> String {
        let ago = |time: DateTime<Utc>| format!("{} ago", duration(now - time));
        let mut out = String::new();
        if let Some(running) = &self.running {
            let planned = running.planned.map_or_else(|| "?".to_owned(), |planned| planned.to_string());
            let _ = write!(
                out,
                "running: since {}, {} of {planned} repositories done, {} failed",
                ago(running.started_at),
                running.done,
                running.failed
            );
            if !running.fetching.is_empty() {
                let names: Vec<String> = running.fetching.iter().map(ToString::to_string).collect();
                let _ = write!(out, ", under way: {}", some_of(&names, 8));
            }
            out.push('\n');
        }
        let interrupted = self.runs.first().filter(|newest| newest.status.is_none());
        if let Some(newest) = interrupted {
            let _ = writeln!(out, "last run: {}, interrupted; the next one goes on", ago(newest.started_at));
        }
        match (&self.last_run, self.runs.is_empty()) {
            (Some(last), _) => {
                let scope = if last.is_full() { "" } else { " (not over everything)" };
                let headline = super::summary::headline(last);
                let which = if interrupted.is_some() { "the one before" } else { "last run" };
                let _ = writeln!(out, "{which}{scope}: {}, {headline}", ago(last.finished_at));
                tell(&mut out, last);
                // A run of one repository must not hide what the one over everything found.
                if let Some(full) = self.last_full_run.as_ref().filter(|full| full.run_id != last.run_id) {
                    let headline = super::summary::headline(full);
                    let _ = writeln!(out, "last run over everything: {}, {headline}", ago(full.finished_at));
                    tell(&mut out, full);
                }
            }
            (None, true) if self.running.is_none() => out.push_str("last run: none yet; start one with `ghbk run`\n"),
            (None, _) => {}
        }
        let success = match self.hours_since_success {
            Some(hours) => format!("{hours} h ago"),
            None => "never".to_owned(),
        };
        let _ = writeln!(out, "last complete success: {success}");
        if let Some(next) = self.next_run {
            let _ = writeln!(out, "next run: {} (in {})", next.format("%Y-%m-%d %H:%M UTC"), duration(next - now));
        }
        if self.runs.len() > 1 {
            out.push_str("runs:\n");
            for run in &self.runs {
                let status = match run.status {
                    Some(RunStatus::Ok) => "ok".to_owned(),
                    Some(RunStatus::Partial) => format!("partial, {}", count(run.failures, "failure", "failures")),
                    Some(RunStatus::Failed) => "failed".to_owned(),
                    Some(RunStatus::Cancelled) => "cancelled".to_owned(),
                    Some(RunStatus::Unknown) => "unknown to this version of ghbk".to_owned(),
                    None => "interrupted".to_owned(),
                };
                let scope = if run.full { "" } else { " (not over everything)" };
                let _ = writeln!(out, "  {}  {status}{scope}", run.started_at.format("%Y-%m-%d %H:%M UTC"));
            }
        }
        for line in super::parts::stored(&self.parts) {
            let _ = writeln!(out, "{line}");
        }
        if self.not_looked_through > 0 {
            let _ = writeln!(
                out,
                "not looked through for large files yet: {}; the runs of the next weeks do, `ghbk run --large-files` at once",
                count(self.not_looked_through, "mirror", "mirrors")
            );
        }
        if !self.repositories.is_empty() {
            let _ = writeln!(out, "mirrors: {}", self.repositories.len());
            let width = self.repositories.iter().map(|r| r.full_name.to_string().len()).max().unwrap_or_default();
            for mirror in &self.repositories {
                let age = mirror.last_success.map_or_else(|| "never complete".to_owned(), ago);
                let missing: Vec<String> =
                    mirror.parts.iter().flat_map(|(_, _, mark)| super::parts::missing(&mark.totals)).collect();
                let missing =
                    if missing.is_empty() { String::new() } else { format!("; large files: {}", missing.join(", ")) };
                let _ = writeln!(out, "  {:<7} {:<width$}  {age}{missing}", mirror.state, mirror.full_name.to_string());
            }
        }
        out
    }
}
