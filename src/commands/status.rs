//! `ghbk status`: what the records say, even while a run is under way.

use std::collections::{BTreeMap, BTreeSet};

use chrono::Utc;

use super::point::kept_tips;
use super::{Context, find_mirrors, open_store, print, print_json};
use crate::blocking::{on_store, unblock};
use crate::cli::StatusArgs;
use crate::error::{Error, Exit};
use crate::names::{RepositoryId, Wanted};
use crate::outcome::{Failure, RunSummary};
use crate::report::health::{DEFAULT_AGE_MAX, Health};
use crate::report::repository::{Points, RepositoryStatus, Unread};
use crate::report::status::{Facts, Listed, Status};
use crate::run::standing_failures;
use crate::schedule::Schedule;
use crate::store::{
    Folded, Index, IndexedMirror, RunRecord, Store, StoreError, all_runs, has_daemon, is_locked, missing_mirrors,
};

/// How many runs are shown.
const RUNS_SHOWN: usize = 5;
/// How far back the last run over everything is looked for.
const RUNS_SEARCHED: usize = 200;

pub(super) async fn status(context: &Context, arguments: StatusArgs) -> Result<Exit, Error> {
    if let Some(repository) = arguments.repository {
        return of_repository(context, repository.value).await;
    }
    let config = context.config.clone();
    let (past, index, not_there, is_locked, has_daemon) = on_store(move || {
        let store = open_store(&config)?;
        // The lock comes first: a run that ends in between is then shown as ended, never as interrupted.
        let is_locked = is_locked(&store)?;
        let past = Past::read(&store)?;
        let index = Index::current(&store)?;
        let not_there = not_there(&store, &index, is_locked)?;
        Ok((past, index, not_there, is_locked, has_daemon(&store).unwrap_or(false)))
    })
    .await?;
    let Past { records, last_full_run, standing } = past;
    let now = Utc::now();
    // The configuration check has already read this schedule.
    let schedule = Schedule::new(&context.config.schedule.cron, context.config.schedule.timezone).ok();
    let next_run = schedule.and_then(|schedule| schedule.next_after(now));
    let facts = Facts {
        records: &records,
        last_full_run,
        standing,
        index: &index,
        not_there,
        is_locked,
        has_daemon,
        next_run,
        age_max: arguments.max_age,
    };
    let status = Status::new(facts, now);
    let listed = match (arguments.sizes, arguments.all) {
        (true, _) => Listed::BySize,
        (false, true) => Listed::All,
        (false, false) => Listed::Problems,
    };
    let exit = if arguments.check && !status.health().healthy { Exit::Partial } else { Exit::Good };
    match (context.global.json, arguments.check) {
        (true, true) => print_json(status.health())?,
        (true, false) => print_json(&status)?,
        (false, _) if context.global.quiet && status.health().healthy => {}
        (false, true) => print(&format!("{}\n", status.health().line))?,
        (false, false) => print(&status.text(now, listed))?,
    }
    Ok(exit)
}

/// What the records say of the runs so far.
struct Past {
    /// The newest, newest first.
    records: Vec<RunRecord>,
    /// The newest run over everything that ended in order.
    last_full_run: Option<RunSummary>,
    /// What failed in it and in all runs since.
    standing: Vec<String>,
}

impl Past {
    fn read(store: &Store) -> Result<Self, StoreError> {
        let mut records: Vec<RunRecord> = Vec::new();
        let mut last_full_run = None;
        for record in all_runs(store)?.take(RUNS_SEARCHED) {
            let record = match record {
                Ok(record) => record,
                Err(error) => {
                    tracing::warn!(hint = error.hint(), "left out: {error}");
                    continue;
                }
            };
            if record.unknown_lines > 0 && records.len() < RUNS_SHOWN {
                let (run, lines) = (&record.run_id, record.unknown_lines);
                tracing::warn!(
                    "the record of the run {run} has lines of a later version of ghbk, not shown here: {lines}"
                );
            }
            if last_full_run.is_none() && record.is_full {
                last_full_run.clone_from(&record.summary);
            }
            if records.len() < RUNS_SHOWN {
                records.push(record);
            } else if last_full_run.is_some() {
                break;
            }
        }
        if last_full_run.is_none() {
            last_full_run = Folded::load(store)?.last_full_run;
        }
        Ok(Self { records, last_full_run, standing: standing_failures(store)? })
    }
}

/// Judges the health of a store; none if no run was recorded in it yet.
pub(super) fn health_of(store: &Store) -> Result<Option<Health>, StoreError> {
    let Past { records, last_full_run, standing } = Past::read(store)?;
    if records.is_empty() {
        return Ok(None);
    }
    let of_runs = (last_full_run.as_ref(), standing.as_slice());
    let index = Index::current(store)?;
    let not_there = not_there(store, &index, is_locked(store)?)?;
    Ok(Some(Health::of((&index, &not_there), of_runs, DEFAULT_AGE_MAX, Utc::now())))
}

/// Names the mirrors whose folder is not there; a run under way moves some.
fn not_there(store: &Store, index: &Index, is_locked: bool) -> Result<Vec<String>, StoreError> {
    if is_locked { Ok(Vec::new()) } else { missing_mirrors(store, index) }
}

/// Returns what failed when a run last looked at each of some repositories; nothing of one that no record names. Each record is
/// read once, and none older than is needed.
pub(super) fn last_failures(store: &Store, mut wanted: BTreeSet<RepositoryId>) -> BTreeMap<RepositoryId, Vec<Failure>> {
    let mut failures = BTreeMap::new();
    if wanted.is_empty() {
        return failures;
    }
    for record in all_runs(store).into_iter().flatten().filter_map(Result::ok).take(RUNS_SEARCHED) {
        let looked_at = record.outcomes.into_iter().filter(|outcome| wanted.remove(&outcome.id));
        let mut of_run: BTreeMap<_, _> = looked_at.map(|outcome| (outcome.id, outcome.failures)).collect();
        for part in record.parts {
            if let Some(failures) = of_run.get_mut(&part.id) {
                failures.extend(part.failures);
            }
        }
        failures.append(&mut of_run);
        if wanted.is_empty() {
            break;
        }
    }
    failures
}

/// Shows one repository, and any others that had its name.
async fn of_repository(context: &Context, wanted: Wanted) -> Result<Exit, Error> {
    let config = context.config.clone();
    let found = unblock(move || {
        let store = open_store(&config)?;
        let index = Index::current(&store)?;
        let found = find_mirrors(&store, &index, &wanted)?;
        let points = |mirror: &IndexedMirror, kind| {
            let folder = store.mirror_at(&mirror.place, kind);
            let points = match folder.snapshots(&config.store.scratch) {
                Ok(Some(history)) if history.is_whole => {
                    Ok(Points { snapshots: history.snapshots, kept: kept_tips(&folder) })
                }
                Ok(Some(_)) => {
                    Err(Unread::Because("not all of them can be read; `ghbk snapshots` lists the others".to_owned()))
                }
                Ok(None) => Err(Unread::Missing),
                Err(error) => Err(Unread::Because(format!("they cannot be read: {error}"))),
            };
            (kind, points)
        };
        let mut failures = last_failures(&store, found.iter().map(|(id, _)| *id).collect());
        let status = |(id, mirror): (RepositoryId, IndexedMirror)| {
            let points = mirror.kinds().iter().map(|kind| points(&mirror, kind)).collect();
            RepositoryStatus::new(id, &mirror, failures.remove(&id).unwrap_or_default(), points)
        };
        Ok(found.into_iter().map(status).collect::<Vec<_>>())
    })
    .await?;
    if context.global.json {
        print_json(&found)?;
    } else {
        let now = Utc::now();
        print(&found.iter().map(|one| one.text(now)).collect::<Vec<_>>().join("\n"))?;
    }
    Ok(Exit::Good)
}
