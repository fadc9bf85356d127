//! What was restored, for people and for scripts.

use std::fmt::Write;
use std::path::PathBuf;

use chrono::TimeDelta;
use serde::Serialize;

use super::{count, duration};
use crate::git::restore::LostRef;
use crate::names::{RepositoryId, RunId};

/// What `ghbk restore --json` prints; a contract with scripts.
#[derive(Debug, Serialize)]
pub struct Report {
    /// `OWNER/NAME` or `OWNER/NAME.wiki`.
    pub repository: String,
    /// Its identity.
    pub id: RepositoryId,
    /// Whether it came from the attic.
    pub set_aside: bool,
    /// When GitHub was asked what is restored here, in RFC 3339.
    pub time: String,
    /// The run that asked.
    pub run_id: RunId,
    /// The snapshot's commit.
    pub snapshot: String,
    /// The new folder.
    pub destination: Option<PathBuf>,
    /// What HEAD says.
    pub head: String,
    /// How many refs.
    pub refs: u64,
    /// How many objects were hashed after they were written.
    pub objects: u64,
    /// Whether damage on the store had to be worked around.
    pub around_damage: bool,
    /// Refs that are not restored, because the store has lost something that they need.
    pub lost: Vec<LostRef>,
    /// Why no files are checked out, if they were asked for.
    pub not_checked_out: Option<String>,
    /// Where it was sent.
    pub pushed: Option<Pushed>,
    /// How long it took.
    pub duration_milliseconds: u64,
}

/// Describes a push of which the server says that it has everything.
#[derive(Debug, Serialize)]
pub struct Pushed {
    /// The new repository.
    pub url: String,
    /// The refs that it has now.
    pub refs: u64,
}

/// How many refs that are not restored are named one by one.
const LOST_SHOWN_MAX: usize = 20;

/// Words a restore for a terminal.
pub fn text(report: &Report) -> String {
    let mut out = String::new();
    let attic = if report.set_aside { format!(" (id {}, from the attic)", report.id) } else { String::new() };
    let _ = writeln!(out, "restored {}{attic} as of {} (run {})", report.repository, report.time, report.run_id);
    if let Some(destination) = &report.destination {
        let _ = writeln!(out, "to {}", destination.display());
    }
    let took = TimeDelta::milliseconds(i64::try_from(report.duration_milliseconds).unwrap_or(i64::MAX));
    let (refs, objects) = (count(report.refs, "ref", "refs"), count(report.objects, "object", "objects"));
    if report.lost.is_empty() {
        let _ = writeln!(out, "complete: {refs} there, {objects} hashed, nothing missing; {}", duration(took));
    } else {
        let missing = count(report.lost.len() as u64, "ref", "refs");
        let _ = writeln!(out, "incomplete: {refs} there, {objects} hashed, {missing} not restored; {}", duration(took));
        for lost in report.lost.iter().take(LOST_SHOWN_MAX) {
            let _ = writeln!(out, "  not restored: {} ({}): {}", lost.name, lost.object, lost.problem);
        }
        let more = report.lost.len().saturating_sub(LOST_SHOWN_MAX);
        if more > 0 {
            let _ = writeln!(out, "  and {more} more; --json lists all");
        }
    }
    if let Some(reason) = &report.not_checked_out {
        let _ = writeln!(out, "warning: no files are checked out: {reason}");
    }
    if let Some(pushed) = &report.pushed {
        let _ = writeln!(out, "pushed {} to {}", count(pushed.refs, "ref", "refs"), pushed.url);
        if let Some(branch) = report.head.strip_prefix("ref: refs/heads/") {
            let _ = writeln!(out, "  its default branch was {branch}: set it in the new repository's settings");
        }
    }
    if report.around_damage {
        let repository = report.repository.trim_end_matches(".wiki");
        let read = if report.lost.is_empty() { "what was needed" } else { "everything else" };
        let _ = writeln!(out, "warning: the mirror is damaged, {read} could still be read");
        let _ = writeln!(out, "  hint: `ghbk verify {repository}`, then `ghbk run --repair {repository}`");
    }
    out
}
