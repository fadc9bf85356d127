//! What was restored, for people and for scripts.

use std::fmt::Write;
use std::path::PathBuf;

use chrono::TimeDelta;
use serde::Serialize;

use super::{count, duration};
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

/// Words a restore for a terminal.
pub fn text(report: &Report) -> String {
    let mut out = String::new();
    let attic = if report.set_aside { format!(" (id {}, from the attic)", report.id) } else { String::new() };
    let _ = writeln!(out, "restored {}{attic} as of {} (run {})", report.repository, report.time, report.run_id);
    if let Some(destination) = &report.destination {
        let _ = writeln!(out, "to {}", destination.display());
    }
    let took = TimeDelta::milliseconds(i64::try_from(report.duration_milliseconds).unwrap_or(i64::MAX));
    let _ = writeln!(
        out,
        "complete: {} there, {} hashed, nothing missing; {}",
        count(report.refs, "ref", "refs"),
        count(report.objects, "object", "objects"),
        duration(took),
    );
    if let Some(pushed) = &report.pushed {
        let _ = writeln!(out, "pushed {} to {}", count(pushed.refs, "ref", "refs"), pushed.url);
        if let Some(branch) = report.head.strip_prefix("ref: refs/heads/") {
            let _ = writeln!(out, "  its default branch was {branch}: set it in the new repository's settings");
        }
    }
    if report.around_damage {
        let repository = report.repository.trim_end_matches(".wiki");
        let _ = writeln!(out, "warning: the mirror is damaged, what was needed could still be read");
        let _ = writeln!(out, "  hint: `ghbk verify {repository}`, then `ghbk run --repair {repository}`");
    }
    out
}
