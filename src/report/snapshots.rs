//! The points in time of a repository, for people and for scripts.

use std::fmt::Write;

use chrono::SecondsFormat;
use serde::Serialize;

use super::count;
use crate::git::changes::{ChangeKind, RefChange};
use crate::git::snapshot::Snapshot;
use crate::names::RepositoryId;

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
    /// Newest first.
    pub snapshots: Vec<Snapshot>,
}

/// More losses than this in one snapshot are one event.
const LOSSES_SHOWN: usize = 10;

/// Words the points in time for a terminal.
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
        for snapshot in &one.snapshots {
            let mark = if snapshot.has_loss() { '!' } else { ' ' };
            let title = snapshot.title.split_once(": ").map_or(snapshot.title.as_str(), |(_, rest)| rest);
            let time = snapshot.time.to_rfc3339_opts(SecondsFormat::Secs, true);
            let _ = writeln!(out, "{mark} {time}  run {}  {title}", snapshot.run_id);
            let losses: Vec<&RefChange> = snapshot.changes.iter().filter(|change| change.is_loss()).collect();
            for change in losses.iter().take(LOSSES_SHOWN) {
                let _ = writeln!(out, "      {}", worded(change));
            }
            if losses.len() > LOSSES_SHOWN {
                let _ = writeln!(out, "      and {} more", losses.len() - LOSSES_SHOWN);
            }
        }
    }
    if let [one, ..] = repositories
        && let Some(snapshot) = one.snapshots.first()
    {
        let time = snapshot.time.to_rfc3339_opts(SecondsFormat::Secs, true);
        let _ =
            writeln!(out, "restore one: ghbk restore {} DEST --at {time}", one.repository.trim_end_matches(".wiki"));
    }
    out
}

fn worded(change: &RefChange) -> String {
    let short = |oid: Option<git2::Oid>| oid.map_or_else(|| "?".to_owned(), |oid| oid.to_string()[..10].to_owned());
    match change.kind {
        ChangeKind::Deleted => format!("deleted {} (was {})", change.name, short(change.old)),
        ChangeKind::Moved => format!("moved {} from {} to {}", change.name, short(change.old), short(change.new)),
        _ => format!("force-pushed {} from {} to {}", change.name, short(change.old), short(change.new)),
    }
}
