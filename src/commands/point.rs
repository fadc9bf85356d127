//! Which mirror and which snapshot a person means by a name and a point in time.

use std::path::Path;

use chrono::{DateTime, Utc};

use super::find_mirrors;
use crate::error::{Error, Exit};
use crate::git::snapshot::Snapshot;
use crate::git::view::View;
use crate::names::{RepositoryId, RunId, Wanted};
use crate::outcome::Outcome;
use crate::store::{History, Index, IndexedMirror, MirrorKind, Store, run_record};

/// One of the repositories that had a name, with its points in time.
pub(super) struct Candidate {
    pub(super) id: RepositoryId,
    pub(super) mirror: IndexedMirror,
    pub(super) view: View,
    /// Newest first.
    pub(super) snapshots: Vec<Snapshot>,
    /// Whether these are all of them.
    is_whole: bool,
}

/// A point in time.
#[derive(Clone, Debug)]
pub(super) enum Point {
    Newest,
    At(DateTime<Utc>),
    Run(RunId),
}

/// Finds every mirror that is meant, with its snapshots. Blocking.
pub(super) fn candidates(
    store: &Store,
    scratch: &Path,
    wanted: &Wanted,
    kind: MirrorKind,
) -> Result<Vec<Candidate>, Error> {
    let index = Index::current(store)?;
    let mut candidates = Vec::new();
    let mut unreadable = None;
    for (id, mirror) in find_mirrors(&index, wanted)? {
        let folder = store.mirror_at(&mirror.place, kind);
        match folder.snapshots(scratch) {
            Ok(Some(History { view, snapshots, is_whole })) => {
                if !is_whole {
                    let name = kind.name_of(&mirror.full_name);
                    tracing::warn!("the mirror of {name} is damaged: these are the snapshots that can still be read");
                }
                candidates.push(Candidate { id, mirror, view, snapshots, is_whole });
            }
            Ok(None) => {}
            Err(error) => {
                let message = format!("{}: {error}", kind.name_of(&mirror.full_name));
                unreadable.get_or_insert(Error::new(Exit::Partial, message, error.hint()));
            }
        }
    }
    match unreadable {
        Some(error) if candidates.is_empty() => return Err(error),
        Some(error) => tracing::warn!("{}", error.message()),
        None => {}
    }
    if candidates.is_empty() {
        let what = if kind == MirrorKind::Wiki { "wiki" } else { "mirror" };
        return Err(Error::new(
            Exit::Usage,
            format!("the store has no {what} of {wanted}"),
            "`ghbk status` lists the mirrors",
        ));
    }
    Ok(candidates)
}

/// Chooses the repository and the snapshot of a point in time.
pub(super) fn choose(
    store: &Store,
    mut candidates: Vec<Candidate>,
    point: &Point,
    (wanted, kind): (&Wanted, MirrorKind),
) -> Result<(Candidate, Snapshot), Error> {
    let usage = |message: String, hint: String| Error::new(Exit::Usage, message, hint);
    // What can be found must not pass for the newest, or for what there was at some time.
    let damaged = candidates.iter().find(|candidate| !candidate.is_whole);
    if let Some((candidate, newest)) = damaged.and_then(|candidate| Some((candidate, candidate.snapshots.first()?)))
        && !matches!(point, Point::Run(run) if candidate.snapshots.iter().any(|snapshot| snapshot.run_id == *run))
    {
        let message = format!(
            "the newest snapshots of {wanted} cannot be read; the newest that can be is of {}",
            newest.time.to_rfc3339()
        );
        let hint = format!("`ghbk restore {wanted} DEST --run {}` restores it", newest.run_id);
        return Err(Error::new(Exit::Partial, message, hint));
    }
    let at = match point {
        Point::Newest => {
            let chosen = candidates.into_iter().find_map(|candidate| {
                let newest = candidate.snapshots.first().cloned()?;
                Some((candidate, newest))
            });
            return chosen.ok_or_else(|| usage(format!("{wanted} has no snapshot"), "run `ghbk run`".to_owned()));
        }
        Point::Run(run_id) => {
            let made = candidates.iter().enumerate().find_map(|(at, candidate)| {
                Some((at, candidate.snapshots.iter().find(|snapshot| snapshot.run_id == *run_id)?.clone()))
            });
            if let Some((at, snapshot)) = made {
                return Ok((candidates.swap_remove(at), snapshot));
            }
            unchanged_in(store, &candidates, (run_id, kind), wanted)?
        }
        Point::At(at) => *at,
    };
    let first = candidates.iter().filter_map(|candidate| candidate.snapshots.last()).map(|first| first.time).min();
    let newest_before = |candidate: &Candidate| candidate.snapshots.iter().find(|s| s.time <= at).cloned();
    let chosen = candidates
        .into_iter()
        .filter_map(|candidate| newest_before(&candidate).map(|snapshot| (candidate, snapshot)))
        .max_by_key(|(_, snapshot)| snapshot.time);
    chosen.ok_or_else(|| {
        let first =
            first.map_or_else(|| "there is none".to_owned(), |first| format!("the first is of {}", first.to_rfc3339()));
        let message = format!("{wanted} has no snapshot as early as {}; {first}", at.to_rfc3339());
        usage(message, format!("`ghbk snapshots {wanted}` lists them"))
    })
}

/// Says when a run found a repository unchanged: the snapshot before it holds.
fn unchanged_in(
    store: &Store,
    candidates: &[Candidate],
    (run_id, kind): (&RunId, MirrorKind),
    wanted: &Wanted,
) -> Result<DateTime<Utc>, Error> {
    let hint = format!("`ghbk snapshots {wanted}` lists the points in time");
    let refuse = |message: String| Error::new(Exit::Usage, message, hint.clone());
    let Some(record) = run_record(store, run_id)? else {
        return Err(refuse(format!("there is no record of a run {run_id}")));
    };
    let outcome = record.outcomes.iter().find(|outcome| candidates.iter().any(|candidate| candidate.id == outcome.id));
    match outcome {
        None => Err(refuse(format!("the run {run_id} did not look at {wanted}"))),
        Some(outcome) if !has_held(outcome, kind) => Err(refuse(format!("in the run {run_id} {wanted} failed"))),
        Some(outcome) => Ok(outcome.finished_at),
    }
}

/// Returns whether one part of a repository equalled GitHub when the run was done with it, whatever became of the other.
fn has_held(outcome: &Outcome, kind: MirrorKind) -> bool {
    let head = match kind {
        MirrorKind::Code => &outcome.head,
        MirrorKind::Wiki => &outcome.wiki_head,
    };
    outcome.is_complete() || head.is_some()
}
