//! Everything about one repository: `ghbk status OWNER/REPO`.

use std::collections::HashSet;
use std::fmt::Write;

use chrono::{DateTime, Utc};
use git2::Oid;
use serde::Serialize;

use super::status::state_of;
use super::{count, duration, size};
use crate::git::mirror::snapshot::Snapshot;
use crate::git::pack::list::PackList;
use crate::mirrors::MirrorKind;
use crate::names::{FullName, RepositoryId};
use crate::outcome::Failure;
use crate::store::{IndexedMirror, Marks};
use crate::zone::{day, shown};

/// What `ghbk status OWNER/REPO --json` prints for each repository that has or had the name; a contract with scripts.
#[derive(Debug, Serialize)]
pub struct RepositoryStatus {
    /// Its identity.
    id: RepositoryId,
    /// Its name at the last run.
    full_name: FullName,
    /// `ok`, `failed`, `damaged`, `missing`, `gone`, `attic` or `unknown`.
    state: &'static str,
    /// Where its mirrors lie, below the root.
    mirrors: Vec<MirrorStatus>,
    /// What all of it takes, in bytes; none if its packs are not known.
    size_bytes: Option<u64>,
    last_success: Option<DateTime<Utc>>,
    verified_at: Option<DateTime<Utc>>,
    restored_at: Option<DateTime<Utc>>,
    /// What is wrong with it, if it is damaged.
    damage: Option<String>,
    /// What failed when a run last looked at it.
    failures: Vec<Failure>,
    /// How the kinds of data beside refs stand.
    parts: Marks,
}

#[derive(Debug, Serialize)]
struct MirrorStatus {
    kind: MirrorKind,
    path: String,
    /// What its packs take, in bytes; none if they are not known.
    size_bytes: Option<u64>,
    packs: Option<u64>,
    /// How many points in time can be restored; none if they cannot be read.
    snapshots: Option<u64>,
    first_snapshot: Option<DateTime<Utc>>,
    last_snapshot: Option<DateTime<Utc>>,
    /// In how many of them something was lost on GitHub.
    losses: u64,
    /// Why its points in time cannot be read.
    problem: Option<String>,
    /// Whether there is no mirror in its place.
    is_missing: bool,
    /// When it was missing and was replaced: the history before was lost with the old one.
    #[serde(skip_serializing_if = "Option::is_none")]
    history_lost_at: Option<DateTime<Utc>>,
}

/// Why the points in time of a mirror cannot be read.
pub enum Unread {
    /// There is no mirror.
    Missing,
    /// For another reason, in words.
    Because(String),
}

/// The points in time of a mirror.
pub struct Points {
    /// Newest first.
    pub snapshots: Vec<Snapshot>,
    /// The tips that only the store has; none if they cannot be read.
    pub kept: Option<HashSet<Oid>>,
}

impl Points {
    /// Counts those in which something was lost on GitHub.
    fn losses(&self) -> u64 {
        let is_loss = |it: &&Snapshot| it.changes.iter().any(|change| change.is_loss_but_for(self.kept.as_ref()));
        self.snapshots.iter().filter(is_loss).count() as u64
    }
}

impl RepositoryStatus {
    /// Puts together what the index and its mirrors say.
    pub fn new(
        id: RepositoryId,
        mirror: &IndexedMirror,
        failures: Vec<Failure>,
        points: Vec<(MirrorKind, Result<Points, Unread>)>,
    ) -> Self {
        let of_mirror = |(kind, points): (MirrorKind, Result<Points, Unread>)| {
            let packs = mirror.held.get(&kind).and_then(|held| held.packs.as_ref());
            let snapshots = points.as_ref().ok().map(|points| &points.snapshots);
            MirrorStatus {
                kind,
                path: format!("{}{}", mirror.place.display(), kind.suffix()),
                size_bytes: packs.map(PackList::bytes),
                packs: packs.map(|packs| packs.len() as u64),
                snapshots: snapshots.map(|points| points.len() as u64),
                first_snapshot: snapshots.and_then(|points| points.last()).map(|point| point.time),
                last_snapshot: snapshots.and_then(|points| points.first()).map(|point| point.time),
                losses: points.as_ref().map_or(0, Points::losses),
                is_missing: matches!(points, Err(Unread::Missing)),
                history_lost_at: mirror.history_lost_at.get(&kind).copied(),
                problem: points.err().map(|unread| match unread {
                    Unread::Missing => "the mirror is not in its place".to_owned(),
                    Unread::Because(why) => why,
                }),
            }
        };
        let mirrors: Vec<MirrorStatus> = points.into_iter().map(of_mirror).collect();
        let is_missing = mirrors.iter().any(|mirror| mirror.is_missing);
        Self {
            id,
            full_name: mirror.full_name.clone(),
            state: if is_missing { "missing" } else { state_of(mirror) },
            mirrors,
            size_bytes: mirror.size_bytes(),
            last_success: mirror.last_success,
            verified_at: mirror.verified_at,
            restored_at: mirror.restored_at,
            damage: mirror.damage.clone(),
            failures,
            parts: mirror.parts.clone(),
        }
    }

    /// Formats it for a terminal.
    pub fn text(&self, now: DateTime<Utc>) -> String {
        let name = &self.full_name;
        let at = |time: DateTime<Utc>| format!("{} ({} ago)", shown(time), duration(now - time));
        let or_never = |time: Option<DateTime<Utc>>| time.map_or_else(|| "never".to_owned(), at);
        let mut out = format!("{name} (id {}): {}\n", self.id, self.words());
        if let Some(damage) = &self.damage {
            let _ = writeln!(out, "damage: {damage}\n  hint: {}", self.remedy());
        }
        for failure in &self.failures {
            let _ = writeln!(out, "failed: {}\n  hint: {}", failure.error, failure.hint);
        }
        let _ = writeln!(out, "backed up: {}", or_never(self.last_success));
        for mirror in &self.mirrors {
            let bytes = mirror.size_bytes.map_or_else(|| "size not known".to_owned(), size);
            let packs = mirror.packs.map_or_else(String::new, |packs| format!(" in {}", count(packs, "pack", "packs")));
            let _ = writeln!(out, "{}: {}, {bytes}{packs}", mirror.kind.label(), mirror.path);
            let option = mirror.kind.option();
            if let Some(at) = mirror.history_lost_at {
                let _ = writeln!(out, "  {}", super::snapshots::lost_history(at));
            }
            match (&mirror.problem, mirror.snapshots, mirror.first_snapshot, mirror.last_snapshot) {
                (Some(problem), ..) => {
                    let _ = writeln!(out, "  points in time: {problem}");
                }
                (None, Some(number), Some(first), Some(last)) => {
                    let losses = match mirror.losses {
                        0 => String::new(),
                        1 => "; 1 of them holds history that GitHub no longer has".to_owned(),
                        losses => format!("; {losses} of them hold history that GitHub no longer has"),
                    };
                    let span = format!("{} to {}", day(first), day(last));
                    let points = count(number, "point in time", "points in time");
                    let _ = writeln!(out, "  {points}, {span}: `ghbk snapshots {name}{option}`{losses}");
                }
                _ => {}
            }
        }
        for (mirror, kind, mark) in self.parts.iter() {
            let words = super::parts::stored_of(kind, &mark.totals);
            if mark.is_owed && words.is_empty() {
                let _ = writeln!(out, "{}: not fetched yet; the next run begins with them", super::parts::label(kind));
            }
            if !words.is_empty() {
                let of = if mirror == MirrorKind::Wiki { " of the wiki" } else { "" };
                let _ = writeln!(out, "{}{of}: {}", super::parts::label(kind), words.join(", "));
            }
        }
        let _ = writeln!(out, "verified: {}", or_never(self.verified_at));
        let _ = writeln!(out, "restore proven: {}", or_never(self.restored_at));
        out
    }

    fn words(&self) -> &'static str {
        match self.state {
            "ok" => "ok",
            "failed" => "the last run could not back it up completely",
            "damaged" => "damaged",
            "missing" => {
                "MISSING: look for its mirror in `.ghbk` and in the backups of the file system before the next run"
            }
            "gone" => "no longer on GitHub; the mirror is kept",
            "attic" => "in the attic, because another repository took its name",
            _ => "its last state is not known",
        }
    }

    fn remedy(&self) -> String {
        match self.state {
            "gone" | "attic" => {
                format!("GitHub no longer has it; `ghbk restore {} DEST` saves what can be read", self.id)
            }
            _ => crate::outcome::repair_hint(&self.full_name.to_string()),
        }
    }
}
