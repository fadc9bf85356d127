//! The result of restoring everything, for people and for scripts.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::PathBuf;
use std::time::Duration;

use chrono::TimeDelta;
use serde::Serialize;

use super::restore::Report;
use super::{count, duration};
use crate::names::RepositoryId;
use crate::text::{quoted, some_of};

/// What `ghbk restore --all --json` prints; a contract with scripts.
#[derive(Debug, Serialize)]
pub struct RestoredAll {
    /// The new folder.
    pub destination: PathBuf,
    /// What was restored; each is whole except for what it says is lost.
    pub restored: Vec<Report>,
    /// Repositories that did not exist yet at that time.
    pub not_yet: Vec<String>,
    /// What was not restored.
    pub failed: Vec<NotRestored>,
    /// What was not begun, because somebody stopped the restore.
    pub not_reached: Vec<String>,
    /// How long it took.
    pub duration_milliseconds: u64,
}

/// Says why a repository is not restored.
#[derive(Debug, Serialize)]
pub struct NotRestored {
    /// Its identity, if that is known.
    pub id: Option<RepositoryId>,
    /// `OWNER/NAME` or `OWNER/NAME.wiki`.
    pub repository: String,
    /// Why.
    pub error: String,
    /// What to do.
    pub hint: String,
}

/// How many names are listed in one line.
const NAMES_MAX: usize = 10;

impl RestoredAll {
    /// Begins with nothing.
    pub fn new(destination: PathBuf) -> Self {
        Self {
            destination,
            restored: Vec::new(),
            not_yet: Vec::new(),
            failed: Vec::new(),
            not_reached: Vec::new(),
            duration_milliseconds: 0,
        }
    }

    /// Notes how many there should be, and how long it took.
    pub fn finish(&mut self, planned: Vec<String>, took: Duration) {
        self.restored.sort_by(|a, b| a.repository.cmp(&b.repository));
        self.not_yet.sort_unstable();
        let done = self.restored.iter().map(|report| report.named.clone()).chain(self.not_yet.iter().cloned());
        let done: BTreeSet<String> = done.chain(self.failed.iter().map(|failed| failed.repository.clone())).collect();
        self.not_reached = planned.into_iter().filter(|name| !done.contains(name)).collect();
        self.failed.sort_by(|a, b| (&a.repository, a.id).cmp(&(&b.repository, b.id)));
        self.duration_milliseconds = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    }

    /// Returns whether everything is there.
    pub fn is_complete(&self) -> bool {
        self.failed.is_empty() && self.not_reached.is_empty() && self.restored.iter().all(Report::is_complete)
    }

    /// Formats it for a terminal.
    pub fn text(&self) -> String {
        let mut out = String::new();
        let incomplete: Vec<&Report> = self.restored.iter().filter(|report| !report.is_complete()).collect();
        let (refs, objects) =
            self.restored.iter().fold((0, 0), |(refs, objects), it| (refs + it.refs, objects + it.objects));
        let stored: u64 = self.restored.iter().filter_map(|it| it.large_files.as_ref()).map(|it| it.stored).sum();
        let what = count(self.restored.len() as u64, "mirror", "mirrors");
        let _ = writeln!(out, "restored {what} to {}", quoted(&self.destination));
        let stored = match stored {
            0 => String::new(),
            number => format!(", {}", count(number, "large file", "large files")),
        };
        let is_partly =
            |report: &&Report| report.large_files.as_ref().is_some_and(|it| it.is_left_out || !it.missing.is_empty());
        let state = match (self.is_complete(), self.restored.iter().any(|report| is_partly(&report))) {
            (false, _) => "incomplete",
            (true, true) => "complete but for large files",
            (true, false) => "complete",
        };
        let large_files = self.restored.iter().filter_map(|it| it.large_files.as_ref());
        let left_out = large_files.clone().filter(|files| files.is_left_out).count() as u64;
        let never: u64 = large_files.map(|files| files.missing.len() as u64).sum();
        let missing = match (self.failed.len() as u64, incomplete.len() as u64, self.not_reached.len() as u64) {
            (0, 0, 0) if never + left_out > 0 => {
                let never =
                    (never > 0).then(|| format!("{} never backed up", count(never, "large file", "large files")));
                let left_out = (left_out > 0).then(|| format!("large files of {left_out} left out"));
                never.into_iter().chain(left_out).collect::<Vec<_>>().join(", ")
            }
            (0, 0, 0) => "nothing missing".to_owned(),
            (failed, part, left) => {
                let words = [(failed, "not restored"), (part, "restored in part"), (left, "not reached")];
                let words = words.iter().filter(|(number, _)| *number > 0);
                words.map(|(number, word)| format!("{number} {word}")).collect::<Vec<_>>().join(", ")
            }
        };
        let took = TimeDelta::milliseconds(i64::try_from(self.duration_milliseconds).unwrap_or(i64::MAX));
        let _ = writeln!(
            out,
            "{state}: {}, {} hashed{stored}, {missing}; {}",
            count(refs, "ref", "refs"),
            count(objects, "object", "objects"),
            duration(took)
        );
        if !self.not_yet.is_empty() {
            let _ = writeln!(out, "not there yet at that time: {}", some_of(&self.not_yet, NAMES_MAX));
        }
        if !self.not_reached.is_empty() {
            let _ = writeln!(out, "stopped before: {}", some_of(&self.not_reached, NAMES_MAX));
            let _ = writeln!(out, "  hint: what is there is whole; start again with another DIR for all of it");
        }
        let around: Vec<String> =
            self.restored.iter().filter(|it| it.around_damage).map(|it| it.repository.clone()).collect();
        if !around.is_empty() {
            let _ = writeln!(
                out,
                "warning: damaged mirrors, of which what was needed could still be read: {}",
                some_of(&around, NAMES_MAX)
            );
        }
        for report in incomplete {
            let _ = writeln!(out, "restored in part: {}", report.repository);
            for line in super::restore::text(report).lines() {
                let _ = writeln!(out, "  {line}");
            }
        }
        for NotRestored { repository, error, hint, .. } in &self.failed {
            let _ = writeln!(out, "failed: {repository}: {error}\n  hint: {hint}");
        }
        out
    }
}
