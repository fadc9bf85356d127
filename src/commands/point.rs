//! Which mirror and which snapshot a person means by a name and a point in time.

use std::collections::HashSet;
use std::path::Path;

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use git2::Oid;

use super::find_mirrors;
use crate::error::{Error, Exit};
use crate::git::GitError;
use crate::git::mirror::snapshot::{self, Snapshot};
use crate::git::pack::view::View;
use crate::mirrors::MirrorKind;
use crate::moment::{PointInTime, UnclearMoment};
use crate::names::{RepositoryId, RunId, Wanted, WantedRun};
use crate::outcome::{Outcome, State};
use crate::store::{History, Index, IndexedMirror, Mirror, Store, run_record};
use crate::zone::shown_to_the_second;

/// One of the repositories that had a name.
pub(super) struct Candidate {
    pub(super) id: RepositoryId,
    pub(super) mirror: IndexedMirror,
    /// Its points in time, or why they cannot be read.
    history: Result<History, Error>,
}

impl Candidate {
    /// Returns the points in time, or those that can still be found if the mirror is damaged.
    ///
    /// # Errors
    /// Why none can be read.
    pub(super) fn into_history(self) -> Result<History, Error> {
        self.history
    }

    pub(super) fn snapshots(&self) -> &[Snapshot] {
        self.history.as_ref().map_or(&[], |history| &history.snapshots)
    }

    /// Returns whether every point in time can be read.
    pub(super) fn is_whole(&self) -> bool {
        self.history.as_ref().is_ok_and(|history| history.is_whole)
    }

    /// Says why it is not known what there was at some time: the mirror cannot be read, or not all of it.
    fn problem(&self, wanted: &Wanted) -> Option<Error> {
        let called = wanted.argument();
        let history = match &self.history {
            Ok(history) if history.is_whole => return None,
            Ok(history) => history,
            Err(error) => return Some(error.clone()),
        };
        // What can still be found must not pass for the newest, or for what there was at some time.
        let newest = history.snapshots.first()?;
        let message = format!(
            "the newest snapshots of {called} cannot be read; the newest readable one is from {}",
            shown_to_the_second(newest.time)
        );
        let hint = format!("`ghbk restore {called} DEST --run {}` restores it", newest.run_id);
        Some(Error::new(Exit::Partial, message, hint))
    }
}

/// Returns the tips that GitHub has dropped and the mirror keeps, or nothing if they cannot be read.
pub(super) fn kept_tips(mirror: &Mirror) -> Option<HashSet<Oid>> {
    let refs = mirror.refs().ok()??;
    Some(refs.kept().map(|(_, target)| target.oid).collect())
}

/// The repository and the snapshot of a point in time.
pub(super) struct Chosen {
    pub(super) id: RepositoryId,
    pub(super) mirror: IndexedMirror,
    pub(super) view: View,
    pub(super) snapshot: Snapshot,
}

/// A point in time.
#[derive(Clone, Debug)]
pub(super) enum Point {
    Newest,
    At(DateTime<Utc>),
    Run(RunId),
}

/// Says which point in time is meant; `option` named it.
///
/// # Errors
/// [`Exit::Usage`] for a time of day that does not exist, or exists twice.
pub(super) fn of_words(words: &PointInTime, option: &str, now: DateTime<Utc>, zone: Tz) -> Result<Point, Error> {
    Ok(match words {
        PointInTime::Run(WantedRun::Latest) => Point::Newest,
        PointInTime::Run(WantedRun::Id(run_id)) => Point::Run(run_id.clone()),
        PointInTime::At(moment) => {
            let hint = "a time without an offset is in schedule.timezone, which is the machine's unless it is set";
            let refused = |error: UnclearMoment| Error::new(Exit::Usage, format!("{option}: {error}"), hint);
            let at = moment.resolve(now, zone).map_err(refused)?;
            // The end of today lies ahead, too.
            if at > now + TimeDelta::days(1) {
                tracing::warn!("{option} is in the future: this is the newest state");
            }
            Point::At(at)
        }
    })
}

/// Returns the snapshot before one; none before the first.
///
/// # Errors
/// [`GitError::Damaged`] if it cannot be read.
pub(super) fn before(view: &View, snapshot: &Snapshot) -> Result<Option<Snapshot>, GitError> {
    let oid = snapshot::parent(view.objects(), snapshot.oid)?;
    Ok(oid.and_then(|oid| snapshot::find(view.objects(), oid)))
}

/// Finds every mirror that is meant, with its snapshots: the one in its place first, then those set aside. Blocking.
pub(super) fn candidates(
    store: &Store,
    index: &Index,
    scratch: &Path,
    (wanted, kind): (&Wanted, MirrorKind),
) -> Result<Vec<Candidate>, Error> {
    let mut candidates = Vec::new();
    for (id, mirror) in find_mirrors(store, index, wanted)? {
        let name = kind.name_of(&mirror.full_name);
        let history = match store.mirror_at(&mirror.place, kind).snapshots(scratch) {
            Ok(Some(history)) => {
                if !history.is_whole {
                    tracing::warn!("the mirror of {name} is damaged: these are the snapshots that can still be read");
                }
                Ok(history)
            }
            Ok(None) if !mirror.held.contains_key(&kind) => continue,
            Ok(None) => {
                let place = store.mirror_at(&mirror.place, kind);
                let message = format!("{name}: its mirror is not in its place, {}", place.path().display());
                let hint = "look for it in `.ghbk` and in the backups of the file system";
                Err(Error::new(Exit::Partial, message, hint))
            }
            Err(error) => Err(Error::new(
                Exit::Partial,
                format!("{name}: {error}"),
                error.hint_for(&mirror.full_name.to_string()),
            )),
        };
        candidates.push(Candidate { id, mirror, history });
    }
    if candidates.is_empty() {
        let what = if kind == MirrorKind::Code { "mirror" } else { kind.label() };
        return Err(Error::new(
            Exit::Usage,
            format!("the store has no {what} of {wanted}"),
            "`ghbk status` lists the mirrors",
        ));
    }
    Ok(candidates)
}

/// Chooses the repository and the snapshot of a point in time.
///
/// # Errors
/// [`Exit::Partial`] if a mirror that may hold it cannot be read: another repository that had the same name never stands in.
pub(super) fn choose(
    store: &Store,
    mut candidates: Vec<Candidate>,
    point: &Point,
    (wanted, kind): (&Wanted, MirrorKind),
) -> Result<Chosen, Error> {
    let ids: Vec<RepositoryId> = candidates.iter().map(|candidate| candidate.id).collect();
    let problem = |candidate: &Candidate| {
        if ids.len() == 1 {
            return candidate.problem(wanted);
        }
        let error = candidate.problem(&Wanted::Id(candidate.id))?;
        let others: Vec<String> = ids.iter().filter(|id| **id != candidate.id).map(ToString::to_string).collect();
        let hint = format!(
            "{}; by its id, another repository of this name can be restored: {}",
            error.hint(),
            others.join(", ")
        );
        Some(Error::new(error.exit(), error.message(), hint))
    };
    let (chosen, at) = match point {
        Point::Newest => (candidates.into_iter().next(), None),
        Point::Run(run_id) => {
            let of_run = |snapshot: &Snapshot| snapshot.run_id == *run_id;
            let made = candidates.iter().position(|candidate| candidate.snapshots().iter().any(of_run));
            if let Some(made) = made {
                return taken(Some(candidates.swap_remove(made)), wanted, of_run);
            }
            if let Some(error) = candidates.iter().find_map(&problem) {
                return Err(error);
            }
            let (id, at) = unchanged_in(store, &candidates, (run_id, kind), wanted)?;
            (candidates.into_iter().find(|candidate| candidate.id == id), Some(at))
        }
        Point::At(at) => {
            if let Some(error) = candidates.iter().find_map(&problem) {
                return Err(error);
            }
            let times = |candidate: &Candidate| -> Vec<DateTime<Utc>> {
                candidate.snapshots().iter().map(|snapshot| snapshot.time).collect()
            };
            let first = candidates.iter().flat_map(times).min();
            let newest_before = |candidate: &Candidate| times(candidate).into_iter().find(|time| time <= at);
            let chosen = candidates.into_iter().filter(|it| newest_before(it).is_some()).max_by_key(newest_before);
            if chosen.is_none() {
                let first = first.map_or_else(
                    || "there is none".to_owned(),
                    |first| format!("the first is from {}", shown_to_the_second(first)),
                );
                let message = format!("{wanted} has no snapshot from {} or before; {first}", shown_to_the_second(*at));
                return Err(Error::new(
                    Exit::Usage,
                    message,
                    format!("`ghbk snapshots {}` lists them", wanted.argument()),
                ));
            }
            (chosen, Some(*at))
        }
    };
    if let Some(error) = chosen.as_ref().and_then(&problem) {
        return Err(error);
    }
    taken(chosen, wanted, |snapshot| at.is_none_or(|at| snapshot.time <= at))
}

/// Takes a repository's newest snapshot that fits.
fn taken(candidate: Option<Candidate>, wanted: &Wanted, fits: impl Fn(&Snapshot) -> bool) -> Result<Chosen, Error> {
    let none = || {
        Error::new(
            Exit::Usage,
            format!("{wanted} has no such snapshot"),
            format!("`ghbk snapshots {}` lists them", wanted.argument()),
        )
    };
    let Candidate { id, mirror, history } = candidate.ok_or_else(none)?;
    let History { view, snapshots, .. } = history?;
    let snapshot = snapshots.into_iter().find(fits).ok_or_else(none)?;
    Ok(Chosen { id, mirror, view, snapshot })
}

/// Says which repository a run found unchanged, and when: the last snapshot before then applies.
fn unchanged_in(
    store: &Store,
    candidates: &[Candidate],
    (run_id, kind): (&RunId, MirrorKind),
    wanted: &Wanted,
) -> Result<(RepositoryId, DateTime<Utc>), Error> {
    let hint = format!("`ghbk snapshots {}` lists the points in time", wanted.argument());
    let refuse = |message: String| Error::new(Exit::Usage, message, hint.clone());
    let Some(record) = run_record(store, run_id)? else {
        return Err(refuse(format!("there is no record of a run {run_id}")));
    };
    let outcome = record.outcomes.iter().find(|outcome| candidates.iter().any(|candidate| candidate.id == outcome.id));
    match outcome {
        None => Err(refuse(format!("the run {run_id} did not look at {wanted}"))),
        Some(outcome) if !has_held(outcome, kind) => Err(refuse(format!("{wanted} failed in the run {run_id}"))),
        // The run made a snapshot of what it changed.
        Some(outcome) if has_changed(outcome, kind) => Err(Error::new(
            Exit::Partial,
            format!(
                "the snapshot of {wanted} from the run {run_id} is no longer there: it was lost, or dropped by retention.keep"
            ),
            hint,
        )),
        Some(outcome) => Ok((outcome.id, outcome.finished_at)),
    }
}

/// Returns whether a run changed one part of a repository.
fn has_changed(outcome: &Outcome, kind: MirrorKind) -> bool {
    outcome.held.get(&kind).is_some_and(|held| held.packs.is_some())
        && matches!(outcome.state, State::Created | State::Updated)
}

/// Returns whether one part of a repository equalled GitHub when the run was done with it, whatever became of the other.
fn has_held(outcome: &Outcome, kind: MirrorKind) -> bool {
    outcome.is_complete() || outcome.held.contains_key(&kind)
}
