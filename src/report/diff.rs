//! What changed between two points in time, for people and for scripts.

use std::collections::BTreeMap;
use std::fmt::Write;

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::count;
use crate::git::mirror::changes::ChangeKind;
use crate::git::mirror::difference::{Commits, Difference};
use crate::names::{RepositoryId, RunId};
use crate::text::printable;
use crate::zone::shown_to_the_second;

/// What `ghbk diff --json` prints; a contract with scripts.
#[derive(Debug, Serialize)]
pub struct Diff {
    /// `OWNER/NAME` or `OWNER/NAME.wiki`.
    pub repository: String,
    /// Its identity.
    pub id: RepositoryId,
    /// The earlier point; none before the first snapshot.
    pub from: Option<PointOf>,
    /// The later point.
    pub to: PointOf,
    /// Every ref that differs.
    pub refs: Vec<Difference>,
}

/// One of the two points.
#[derive(Debug, Serialize)]
pub struct PointOf {
    /// The run that made the last snapshot by then.
    pub run_id: RunId,
    /// When GitHub was asked.
    pub time: DateTime<Utc>,
    /// What HEAD said.
    pub head: String,
}

/// How many commits of each side of a ref are shown; `--json` has some more.
const COMMITS_SHOWN: usize = 5;
/// A subject is cut to this many characters.
const SUBJECT_CHARS: usize = 72;

/// Formats a difference for a terminal.
pub fn text(diff: &Diff) -> String {
    let mut out = String::new();
    let at = |point: &PointOf| format!("{} (run {})", shown_to_the_second(point.time), point.run_id);
    let from = diff.from.as_ref().map_or_else(|| "the beginning".to_owned(), at);
    let _ = writeln!(out, "{}: from {from} to {}", diff.repository, at(&diff.to));
    if let Some(from) = diff.from.as_ref().filter(|from| from.head != diff.to.head) {
        let _ = writeln!(out, "HEAD was {}, is {}", printable(&from.head, 200), printable(&diff.to.head, 200));
    }
    let (named, others): (Vec<&Difference>, Vec<&Difference>) =
        diff.refs.iter().partition(|one| one.change.is_branch_or_tag());
    for one in named {
        write_ref(&mut out, one);
    }
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for one in &others {
        *counts.entry(worded(one.change.kind)).or_default() += 1;
    }
    if !others.is_empty() {
        let words: Vec<String> = counts.iter().map(|(word, number)| format!("{number} {word}")).collect();
        let what = count(others.len() as u64, "other ref", "other refs");
        let _ = writeln!(out, "{what}, such as pull requests: {}; --json lists them", words.join(", "));
    }
    if diff.refs.is_empty() {
        out.push_str("no ref differs\n");
    }
    out
}

fn write_ref(out: &mut String, one: &Difference) {
    let short = |oid: git2::Oid| oid.to_string()[..10].to_owned();
    let name = one.change.name.strip_prefix("refs/").unwrap_or(&one.change.name);
    let mark = if one.change.is_loss() { '!' } else { ' ' };
    let moved = match (one.change.old, one.change.new) {
        (Some(old), Some(new)) => format!(": {} to {}", short(old), short(new)),
        (Some(old), None) => format!(" (was {})", short(old)),
        (None, Some(new)) => format!(" at {}", short(new)),
        (None, None) => String::new(),
    };
    let _ = writeln!(out, "{mark} {} {}{moved}", printable(name, 200), worded(one.change.kind));
    for (sign, commits) in [('+', &one.added), ('-', &one.removed)] {
        if let Some(commits) = commits {
            write_commits(out, sign, commits);
        }
    }
}

fn write_commits(out: &mut String, sign: char, commits: &Commits) {
    for commit in commits.newest.iter().take(COMMITS_SHOWN) {
        let (subject, author) = (printable(&commit.subject, SUBJECT_CHARS), printable(&commit.author, 40));
        let _ = writeln!(out, "    {sign} {} {subject} ({author})", &commit.oid.to_string()[..10]);
    }
    let more = commits.count.saturating_sub(COMMITS_SHOWN as u64);
    if more > 0 {
        let _ = writeln!(out, "    {sign} and {}", count(more, "more commit", "more commits"));
    }
}

fn worded(kind: ChangeKind) -> &'static str {
    match kind {
        ChangeKind::Created => "created",
        ChangeKind::Updated => "updated",
        ChangeKind::ForcePushed => "force-pushed",
        ChangeKind::Moved => "moved",
        ChangeKind::Deleted => "deleted",
    }
}
