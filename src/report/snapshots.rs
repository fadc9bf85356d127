//! The points in time of a repository, for people and for scripts.

use std::collections::HashSet;
use std::fmt::Write;

use chrono::{DateTime, Utc};
use git2::Oid;
use serde::Serialize;

use super::count;
use crate::git::mirror::changes::{ChangeKind, RefChange};
use crate::git::mirror::snapshot::Snapshot;
use crate::mirrors::MirrorKind;
use crate::names::RepositoryId;
use crate::zone::{shown, shown_to_the_second};

/// What `ghbk snapshots --json` prints for each repository that had the name; a contract with scripts.
#[derive(Debug, Serialize)]
pub struct Repository {
    /// `OWNER/NAME` or `OWNER/NAME.wiki`.
    pub repository: String,
    /// Its identity.
    pub id: RepositoryId,
    /// Whether it lies in the attic.
    pub set_aside: bool,
    /// Whether GitHub no longer lists it.
    pub gone: bool,
    /// When a mirror that was missing was last replaced: the history before was lost with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub history_lost_at: Option<DateTime<Utc>>,
    /// Newest first.
    pub snapshots: Vec<Snapshot>,
    /// The tips that only the store has, because GitHub has dropped them; none if they could not be read.
    #[serde(skip)]
    pub kept: Option<HashSet<Oid>>,
}

/// More losses than this in one snapshot are one event.
const LOSSES_SHOWN: usize = 10;

/// Formats the points in time for a terminal.
pub fn text(repositories: &[Repository]) -> String {
    let mut out = String::new();
    for one in repositories {
        let state = match (one.set_aside, one.gone) {
            (true, _) => ", in the attic: another repository has its name now",
            (_, true) => ", gone from GitHub",
            _ => "",
        };
        let snapshots = count(one.snapshots.len() as u64, "snapshot", "snapshots");
        let _ = writeln!(out, "{} (id {}{state}): {snapshots}", one.repository, one.id);
        let (name, kind) = MirrorKind::split_name(&one.repository);
        let option = kind.option();
        // If two had the name, it leads to the first.
        let called = if one.set_aside { one.id.0.to_string() } else { name.to_owned() };
        for (number, snapshot) in one.snapshots.iter().enumerate() {
            let is_lost = |change: &RefChange| change.is_loss_but_for(one.kept.as_ref());
            let losses: Vec<&RefChange> = snapshot.changes.iter().filter(|change| change.is_loss()).collect();
            let has_lost = losses.iter().any(|change| is_lost(change));
            let mark = if has_lost { '!' } else { ' ' };
            let title = snapshot.title.split_once(": ").map_or(snapshot.title.as_str(), |(_, rest)| rest);
            let time = shown_to_the_second(snapshot.time);
            let _ = writeln!(out, "{mark} {time}  run {}  {title}", snapshot.run_id);
            for change in losses.iter().take(LOSSES_SHOWN) {
                let still = if is_lost(change) { "" } else { "; its commits are on another ref" };
                let _ = writeln!(out, "      {}{still}", worded(change));
            }
            if losses.len() > LOSSES_SHOWN {
                let _ = writeln!(out, "      and {} more", losses.len() - LOSSES_SHOWN);
            }
            // What people look for is the state before something was lost.
            if let Some(before) = one.snapshots.get(number + 1).filter(|_| has_lost) {
                let run_id = &before.run_id;
                let _ = writeln!(out, "      as it was before: `ghbk restore {called} DEST{option} --run {run_id}`");
            }
        }
        if let Some(at) = one.history_lost_at {
            let _ = writeln!(out, "{}", lost_history(at));
        }
        if let Some(newest) = one.snapshots.first() {
            let run_id = &newest.run_id;
            let _ = writeln!(out, "as it was last seen: `ghbk restore {called} DEST{option} --run {run_id}`");
        }
    }
    out
}

/// Says that a mirror was replaced when it was missing.
pub(super) fn lost_history(at: DateTime<Utc>) -> String {
    format!("warning: some history was lost by {}: the mirror was missing, or damaged beyond repair", shown(at))
}

fn worded(change: &RefChange) -> String {
    let short = |oid: Option<git2::Oid>| oid.map_or_else(|| "?".to_owned(), |oid| oid.to_string()[..10].to_owned());
    match change.kind {
        ChangeKind::Deleted => format!("deleted {} (was {})", change.name, short(change.old)),
        ChangeKind::Moved => format!("moved {} from {} to {}", change.name, short(change.old), short(change.new)),
        _ => format!("force-pushed {} from {} to {}", change.name, short(change.old), short(change.new)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_are_marked_and_the_state_before_them_is_one_command_away() {
        let oid = |digit: &str| git2::Oid::from_str(&digit.repeat(40)).unwrap();
        let change = |name: &str, kind, old: Option<&str>, new: Option<&str>| RefChange {
            name: name.to_owned(),
            kind,
            old: old.map(oid),
            new: new.map(oid),
        };
        let snapshot = |time: &str, title: &str, changes| {
            let time: chrono::DateTime<chrono::Utc> = time.parse().unwrap();
            Snapshot {
                oid: oid("9"),
                run_id: crate::names::RunId::at(time),
                time,
                full_name: "acme/site".parse().unwrap(),
                title: format!("Snapshot of acme/site: {title}"),
                changes,
                more_changes: 0,
            }
        };
        let losses = vec![
            change("refs/heads/main", ChangeKind::ForcePushed, Some("1"), Some("2")),
            change("refs/heads/old", ChangeKind::Deleted, Some("3"), None),
            change("refs/heads/merged", ChangeKind::Deleted, Some("6"), None),
            change("refs/tags/v1", ChangeKind::Moved, Some("4"), Some("5")),
        ];
        let snapshots = vec![
            snapshot(
                "2026-12-06T05:00:01Z",
                "1 branch updated, 1 branch deleted",
                vec![change("refs/heads/feature", ChangeKind::Deleted, Some("7"), None)],
            ),
            snapshot("2026-11-29T05:00:01Z", "1 branch force-pushed, 2 branches deleted, 1 tag moved", losses),
            snapshot("2026-11-22T05:00:01Z", "2 branches, 1 tag", vec![]),
        ];
        let repository = |id, set_aside, snapshots| Repository {
            repository: "acme/site".to_owned(),
            id: RepositoryId(id),
            set_aside,
            gone: set_aside,
            history_lost_at: None,
            snapshots,
            // The second branch was merged before it was deleted.
            kept: Some(["1", "3", "4"].map(oid).into()),
        };
        let last = snapshots[2..].to_vec();
        insta::assert_snapshot!(text(&[repository(7, false, snapshots), repository(5, true, last)]));
    }
}
