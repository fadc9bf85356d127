//! How one issue or pull request changed from stored state to stored state, for people and for scripts.

use std::fmt::Write;

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::show::line;
use crate::metadata::read::State;
use crate::metadata::read::changes::Change;
use crate::names::RunId;
use crate::zone::shown_to_the_second;

/// The words of a comment that is told are cut to this many characters.
const DETAIL_CHARS: usize = 700;
const NAME_CHARS: usize = 200;

/// A state in which the number changed; what `ghbk log --json` prints for each is a contract with scripts.
#[derive(Clone, Debug, Serialize)]
pub struct Step {
    /// When GitHub was asked.
    pub time: DateTime<Utc>,
    /// The run that stored it.
    pub run_id: Option<RunId>,
    /// What changed since the state before.
    pub changes: Vec<Change>,
}

impl Step {
    /// Describes what a state changed.
    pub fn new(state: &State, changes: Vec<Change>) -> Self {
        Self { time: state.time, run_id: state.run_id.clone(), changes }
    }
}

/// Formats the states of a number for a terminal, newest first.
pub fn text(name: &str, number: u64, steps: &[Step]) -> String {
    let mut out = String::new();
    let states = super::count(steps.len() as u64, "stored state", "stored states");
    let _ = writeln!(out, "{name} #{number}: {states}");
    for step in steps {
        let has_lost = step.changes.iter().any(|change| matches!(change.how, "gone" | "removed") && is_writing(change));
        let mark = if has_lost { '!' } else { ' ' };
        let run = step.run_id.as_ref().map(|run_id| format!("  run {run_id}")).unwrap_or_default();
        let _ = writeln!(out, "{mark} {}{run}", shown_to_the_second(step.time));
        for change in &step.changes {
            let _ = writeln!(out, "      {}", told(change));
        }
    }
    if let [newest, older, ..] = steps {
        let at = older.time.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true);
        // What people look for is what it said before it changed.
        let before = shown_to_the_second(newest.time);
        let _ = writeln!(out, "as it was before {before}: `ghbk show {name} {number} --at {at}`");
    }
    out
}

/// Says whether somebody wrote it: a label that is removed is no loss.
fn is_writing(change: &Change) -> bool {
    matches!(change.what, "number" | "comment" | "review" | "review comment")
}

fn told(change: &Change) -> String {
    let (which, detail) = (line(&change.which, NAME_CHARS), line(&change.detail, DETAIL_CHARS));
    let behind = if detail.is_empty() { String::new() } else { format!(": {detail}") };
    match (change.what, change.how) {
        ("number", "added") => format!("first stored: {which}, {detail}"),
        ("number", "gone") => format!("{detail} on GitHub; ghbk keeps it"),
        ("number", "removed") => "no longer stored".to_owned(),
        ("other", _) => "something else changed".to_owned(),
        ("title" | "body", _) => format!("{} edited{behind}", change.what),
        ("number" | "state", _) => detail,
        ("milestone", _) => format!("milestone {detail}"),
        ("label" | "assignee", how) => format!("{} {which} {how}", change.what),
        ("thread", _) => format!("thread on {which} {detail}"),
        ("event", _) => format!("{which} {detail}"),
        (what, "gone") => format!("{what} by {which} {detail} on GitHub; ghbk keeps it"),
        (what, how) => format!("{what} by {which} {how}{behind}"),
    }
}
