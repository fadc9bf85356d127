//! A run's session: it holds the lock and has an open record.
//!
//! It begins with a look at how the last run ended, and ends with the summary, which is written before it is returned.

use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use tokio_util::sync::CancellationToken;

use super::tally::Tally;
use super::{Request, apart, standing};
use crate::clock::Clock;
use crate::config::Config;
use crate::mirrors::MirrorKind;
use crate::names::{RepositoryId, RunId};
use crate::outcome::{Failure, RunEnd, RunHeader, RunStatus, RunSummary, Stage, Trigger};
use crate::store::{
    Broom, Index, Ledger, Lock, Record, Store, StoreError, Swept, Verified, fold, host_of, is_due, latest,
};
use crate::threads::side_by_side;

/// A run that holds the lock and has an open record.
#[derive(Debug)]
pub struct Session {
    pub(super) config: Arc<Config>,
    pub(super) request: Request,
    pub(super) store: Store,
    pub(super) run_id: RunId,
    pub(super) started_at: DateTime<Utc>,
    pub(super) index: Index,
    pub(super) ledger: Ledger,
    /// What has happened so far.
    pub(super) tally: Tally,
    /// Repositories that may have killed earlier runs by themselves, according to the records, and whether each was alone then.
    pub(super) suspected: BTreeMap<RepositoryId, bool>,
    /// Mirrors whose packs are to be merged though nothing is new.
    pub(super) crowded: HashSet<PathBuf>,
    /// Mirrors beside their code's that are not in their place.
    pub(super) between_places: HashSet<(RepositoryId, MirrorKind)>,
    pub(super) lock: Arc<Lock>,
    /// How many records there were when it began.
    pub(super) records: usize,
    pub(super) clock: Clock,
}

/// What `ghbk verify` found wrong with a mirror.
#[derive(Clone, Debug)]
pub struct FoundDamage {
    /// Whose mirror it is.
    pub id: RepositoryId,
    /// What is wrong, and what to do about it; none if nothing is wrong any more.
    pub damage: Option<(String, String)>,
}

impl Session {
    /// Takes the lock, opens the record, and cleans up after a run that ended badly. Blocking.
    ///
    /// # Errors
    /// [`StoreError`] if the run cannot take place; nothing is left behind but ghbk's own folder.
    pub fn begin(
        config: Arc<Config>,
        request: Request,
        clock: Clock,
        cancel: &CancellationToken,
    ) -> Result<Self, StoreError> {
        let session = Self::begin_unproven(config, request, clock, cancel)?;
        session.ledger.prove()?;
        Ok(session)
    }

    /// Begins a run for [`Self::execute`], which proves that the record is durable while GitHub is asked.
    ///
    /// # Errors
    /// As [`Self::begin`].
    pub fn begin_unproven(
        config: Arc<Config>,
        request: Request,
        clock: Clock,
        cancel: &CancellationToken,
    ) -> Result<Self, StoreError> {
        let now = clock.now();
        let store = Store::open(&config.store)?;
        store.prepare()?;
        let lock = Lock::take(&store)?;
        let (signed, (stored_index, newest)) = side_by_side(
            || lock.sign(now),
            || {
                // This comes first, because the sweep of the store needs room for what it reads.
                crate::scratch::sweep(&config.store.scratch);
                side_by_side(|| Index::stored(&store), || latest(&store))
            },
        );
        signed?;
        let newest = newest?;
        // None of these speaks to GitHub.
        let store = match request.trigger {
            Trigger::Verification | Trigger::Forget | Trigger::Acceptance => store,
            _ => store.of_host(&host_of(&config.github.api_url), stored_index.as_ref())?,
        };
        let mut tally = Tally::default();
        let is_first = newest.id.is_none();
        let summary = newest.ended().and_then(|record| record.summary.as_ref());
        let has_ended_well = is_first || summary.is_some_and(|summary| !summary.may_leave_work());
        let swept = if has_ended_well {
            Swept::default()
        } else {
            let broom = Broom { scratch: &config.store.scratch, packs_max: config.store.packs_max, cancel };
            store.sweep(broom)?
        };
        let record = newest.record.as_ref().ok().and_then(Option::as_ref);
        let removed = match swept.removed {
            0 => String::new(),
            removed => format!("; {removed} unfinished files of it were removed"),
        };
        if newest.is_cut_off {
            tally.warnings.push(format!("the record of the last run is empty, so it was interrupted{removed}"));
        } else if let Some(interrupted) = record.filter(|record| record.summary.is_none()) {
            let at = crate::zone::shown(interrupted.started_at);
            tally.warnings.push(format!("the run of {at} was interrupted{removed}"));
        }
        let problems =
            swept.problems.into_iter().map(|(repository, error)| (repository, error.to_string(), error.hint()));
        // After the sweep, which may have put a mirror into its place.
        let mut index = Index::confirm(stored_index, &store, newest.ended())?;
        index.leave_replacements(&swept.homeless);
        let unreadable = index.unreadable.iter().map(|it| {
            let known = it.id.and_then(|id| index.mirrors.get(&id));
            let name = known.map_or_else(|| it.place.display().to_string(), |mirror| mirror.full_name.to_string());
            (name, it.error.clone(), it.hint.clone())
        });
        for (repository, error, hint) in problems.chain(unreadable) {
            if !tally.failures.iter().any(|failure| failure.error == error) {
                tally.failures.push(Failure { repository, stage: Stage::Recovery, error, hint });
            }
        }
        let run_id = newest.id.map_or_else(|| RunId::at(now), |newest| newest.after(now));
        let header = Record::Run {
            run_id: run_id.clone(),
            started_at: now,
            trigger: request.trigger,
            selection: request.selection.clone(),
            is_narrowed: config.is_narrowed,
            version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        let ledger = Ledger::begin(&store, &header, &run_id)?;
        let suspected = index.suspects.clone();
        Ok(Self {
            config,
            request,
            store,
            run_id,
            started_at: now,
            index,
            ledger,
            tally,
            crowded: swept.crowded,
            between_places: swept.between_places,
            suspected,
            lock: Arc::new(lock),
            records: newest.count,
            clock,
        })
    }

    /// Says whether the run is over everything.
    pub(super) fn is_full(&self) -> bool {
        self.request.selection.is_empty() && !self.config.is_narrowed
    }

    /// Returns the run's id.
    pub fn run_id(&self) -> &RunId {
        &self.run_id
    }

    /// Closes the record of a run that cannot take place.
    ///
    /// # Errors
    /// [`StoreError`] if the record cannot be written.
    pub fn fail(mut self, failure: Failure) -> Result<RunSummary, StoreError> {
        self.ledger.prove()?;
        let mut tally = std::mem::take(&mut self.tally);
        tally.failures.push(failure);
        self.close(tally, RunEnd::Stopped)
    }

    /// Records damage that a verification outside a run has found: every run then looks at these mirrors until they are
    /// repaired.
    ///
    /// # Errors
    /// [`StoreError`] if the record cannot be written.
    pub fn record_damage(mut self, found: Vec<FoundDamage>) -> Result<RunSummary, StoreError> {
        let mut tally = std::mem::take(&mut self.tally);
        for FoundDamage { id, damage } in found {
            let what = damage.as_ref().map(|(what, _)| what.clone());
            let verified = Verified { id, at: self.clock.now(), damage: what };
            self.write(&Record::Verified(verified.clone()))?;
            self.index.verified(&verified);
            let known = self.index.mirrors.get(&id).map(|mirror| mirror.full_name.to_string());
            let repository = known.unwrap_or_else(|| id.to_string());
            let failure = damage.map(|(error, hint)| Failure { repository, stage: Stage::Verify, error, hint });
            tally.failures.extend(failure);
        }
        self.close(tally, RunEnd::Finished)
    }

    pub(super) fn write(&self, record: &Record) -> Result<(), StoreError> {
        self.ledger.write(record)
    }

    pub(super) fn header(&self) -> RunHeader {
        RunHeader {
            run_id: self.run_id.clone(),
            trigger: self.request.trigger,
            selection: self.request.selection.clone(),
            is_narrowed: self.config.is_narrowed,
            started_at: self.started_at,
        }
    }

    /// Writes the summary and the index, and gives the lock back.
    pub(super) fn close(mut self, mut tally: Tally, end: RunEnd) -> Result<RunSummary, StoreError> {
        // A run that has lost the lock writes nothing more: the store may be another run's by now.
        self.lock.confirm()?;
        tally.warnings.extend(standing::of_the_last_full_run(&self.store, &self.request));
        let summary = tally.sum_up(&self, end, self.clock.now());
        self.write(&Record::Summary(Box::new(summary.clone())))?;
        self.index.close(&summary);
        if summary.may_leave_work() || !self.index.lost.is_empty() {
            // The next run looks for itself: what is missing may have been put back.
            self.index.run_id = None;
        }
        let came_to_its_end = matches!(summary.status, RunStatus::Ok | RunStatus::Partial);
        if came_to_its_end && let Err(error) = self.store.state() {
            // The next run tries again.
            tracing::warn!(%error, "the description of the store could not be written");
        }
        // An index whose run has no summary counts for nothing.
        let (recorded, saved) = side_by_side(|| self.ledger.sync(), || self.index.save(&self.store));
        recorded?;
        if let Err(error) = saved {
            // The next run finds that the index is not of the newest run, and rebuilds it.
            tracing::warn!(%error, "the index was not written");
        } else if came_to_its_end
            && is_due(self.records)
            && let Err(error) = fold(&self.store)
        {
            tracing::warn!(hint = error.hint(), "old records were not folded: {error}");
        }
        Ok(summary)
    }

    /// Closes the record and the index, without holding up the caller's thread.
    pub(super) async fn close_apart(self, tally: Tally, end: RunEnd) -> Result<RunSummary, StoreError> {
        apart(move || self.close(tally, end)).await
    }
}
