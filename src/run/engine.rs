//! The engine: what a session does with a plan, concurrently and within limits.

use std::collections::{BTreeSet, HashSet};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use chrono::TimeDelta;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio_util::sync::CancellationToken;

use super::kinds::Task;
use super::session::Session;
use super::tally::Tally;
use super::turns::Turns;
use super::{Progress, READ_AHEAD_MIN, apart, large_files, metadata_due, proof, repository, shares, unlisted};
use crate::config::LargeFilesConfig;
use crate::github::{Globs, Repository};
use crate::large_files::fetch::Fetcher;
use crate::names::{FullName, RepositoryId};
use crate::outcome::{Failure, Outcome, RunEnd, RunSummary, Stage, State};
use crate::outside::{Outside, take_inventory};
use crate::plan::{Action, Plan, Step, plan};
use crate::scratch::Scratch;
use crate::store::{Record, StoreError, layout, recorded_names};

impl Session {
    /// Runs to the end, whatever fails on the way.
    ///
    /// # Errors
    /// [`StoreError`] if the record cannot be written; then nothing that the run did is known to be recorded.
    pub async fn execute(
        mut self,
        outside: &Outside,
        cancel: &CancellationToken,
        progress: &dyn Progress,
    ) -> Result<RunSummary, StoreError> {
        let mut tally = std::mem::take(&mut self.tally);
        let ledger = self.ledger.clone();
        let proven = tokio::task::spawn_blocking(move || ledger.prove());
        let known = crate::plan::known(&self.index);
        let inventory = tokio::select! {
            inventory = take_inventory(&self.config, outside, &self.request.selection, &known) => Some(inventory),
            () = cancel.cancelled() => None,
        };
        // Nothing else may be written before this.
        proven.await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))?;
        let Some(inventory) = inventory else { return self.close_apart(tally, RunEnd::Cancelled).await };
        let schedule = &self.config.schedule;
        tally.warnings.extend(outside.expiry(schedule));
        let hopeless = tally.take_inventory(inventory.clone(), &self.index);
        if hopeless {
            return self.close_apart(tally, RunEnd::Stopped).await;
        }
        let mut plan = plan(&inventory, &self.index);
        tally.failures.append(&mut plan.conflicts);
        let plan = apart(move || {
            self.refuse_linked_owners(&mut plan, &mut tally);
            self.warn_of_clones(&plan, &mut tally);
            if !plan.moves.is_empty() {
                self.lock.confirm()?;
            }
            self.move_mirrors(&mut plan, &mut tally);
            tally.refuse_all_but(plan.steps.iter().map(|step| step.repository.id));
            let left_out = plan.set_apart(&self.index.suspects, !self.request.selection.is_empty());
            Ok::<_, StoreError>((self, plan, tally, left_out))
        });
        let (mut this, plan, mut tally, left_out) = plan.await?;
        this.ledger.write_apart(Record::Plan { repositories: plan.steps.len() as u64 }).await?;
        progress.planned(plan.steps.len());

        for step in left_out {
            this.leave_out(&step, &mut tally).await?;
        }
        let stopped = this.go_through(plan.steps.clone(), outside, cancel, progress, &mut tally).await?;
        this.settle(&plan, &mut tally);
        if stopped.is_none() && !cancel.is_cancelled() {
            let tasks = this.prove(cancel, &mut tally).await?;
            this.carry_out(tasks, outside, cancel, progress, &mut tally).await?;
        }
        let end = match stopped {
            Some(failure) => {
                tally.failures.insert(0, failure);
                RunEnd::Stopped
            }
            None if cancel.is_cancelled() => RunEnd::Cancelled,
            None => RunEnd::Finished,
        };
        this.close_apart(tally, end).await
    }

    /// Records that this run skips a repository, because the last run died while it was fetching only this one.
    pub(super) async fn leave_out(&self, step: &Step, tally: &mut Tally) -> Result<(), StoreError> {
        let Repository { id, full_name, .. } = &step.repository;
        let mut outcome = Outcome::new(*id, full_name.clone(), State::Failed, self.clock.now());
        outcome.left_out = true;
        outcome.failures.push(Failure {
            repository: full_name.to_string(),
            stage: Stage::Stage,
            error: "it was skipped: the last run died while it was fetching only this repository"
                .to_owned(),
            hint: format!(
                "see `journalctl -u ghbk` and `dmesg` for why (out of memory?); the next run tries it last, `ghbk run {full_name}` at \
                 once"
            ),
        });
        self.ledger.write_apart(Record::Outcome(Box::new(outcome.clone()))).await?;
        tally.take(outcome);
        Ok(())
    }

    /// Leaves out owners whose folder is a symbolic link: somebody else decides where that leads.
    pub(super) fn refuse_linked_owners(&self, plan: &mut Plan, tally: &mut Tally) {
        let owners: BTreeSet<String> =
            plan.steps.iter().map(|step| step.repository.full_name.owner().to_owned()).collect();
        for owner in owners {
            let Err(error) = self.store.refuse_link(Path::new(&owner)) else { continue };
            plan.steps.retain(|step| step.repository.full_name.owner() != owner);
            plan.moves.retain(|step| !step.from.starts_with(&owner) && !step.to.starts_with(&owner));
            let (hint, error) = (error.hint(), error.to_string());
            tally.failures.push(Failure { repository: owner, stage: Stage::Setup, error, hint });
        }
    }

    /// Warns that what is about to be fetched may be there already, as a clone of another tool.
    pub(super) fn warn_of_clones(&self, plan: &Plan, tally: &mut Tally) {
        if !plan.steps.iter().any(|step| step.action == Action::Create) {
            return;
        }
        match self.store.foreign_clones(&self.index) {
            Ok(clones) => {
                if let Some(first) = clones.first() {
                    let (count, first) = (clones.len(), first.folder.display());
                    tally.warnings.push(format!(
                        "there are clones of another tool on the store ({count}, such as {first}); `ghbk adopt` turns them into mirrors without fetching"
                    ));
                }
            }
            Err(error) => tracing::warn!(%error, "clones of other tools are not looked for"),
        }
    }

    /// Goes through all steps; returns what ended the run early, if anything did.
    pub(super) async fn go_through(
        &mut self,
        steps: Vec<Step>,
        outside: &Outside,
        cancel: &CancellationToken,
        progress: &dyn Progress,
        tally: &mut Tally,
    ) -> Result<Option<Failure>, StoreError> {
        let stop = cancel.child_token();
        let scratch = match Scratch::create(&self.config.store.scratch) {
            Ok(scratch) => scratch,
            Err(error) => {
                return Ok(Some(super::no_scratch(&self.config.store.scratch, Stage::Setup, &error)));
            }
        };
        let worker = self.worker(outside, scratch.path());
        let probable = steps.clone();
        let (mut stopped, mut unrecorded) = (None, None);
        let at_most = worker.turns.at_most();
        let outcomes = futures_util::stream::iter(steps)
            // Started as soon as the step is taken from the list; a future would wait until it is polled.
            .map(|step| std::future::ready(worker.read_ahead(step)))
            .buffered(at_most.max(READ_AHEAD_MIN))
            .take_until(stop.cancelled())
            .map(|prepared| worker.mirror(prepared, progress, stop.child_token()))
            .buffer_unordered(at_most);
        let outcomes = outcomes.fuse();
        tokio::pin!(outcomes);
        // Refs do not wait for these.
        let mut beside = FuturesUnordered::new();
        let probed = metadata_due::probe(&worker, &probable).take_until(stop.cancelled()).fuse();
        tokio::pin!(probed);
        loop {
            let record = tokio::select! {
                biased;
                Some(done) = outcomes.next() => {
                    let Some(done) = done else { continue }; // cancelled before it was done
                    progress.finished(&done.outcome);
                    let record = Record::Outcome(Box::new(done.outcome.clone()));
                    tally.take(done.outcome);
                    if let Some(failure) = done.ends_the_run {
                        stopped.get_or_insert(failure);
                        stop.cancel();
                    }
                    beside.extend(done.tasks.into_iter().map(|task| task.carry_out(&worker, progress, stop.child_token())));
                    record
                }
                Some(done) = beside.next() => {
                    if let Some(failure) = done.ends_the_run {
                        stopped.get_or_insert(failure);
                        stop.cancel();
                    }
                    let Some(part) = done.part else { continue };
                    tally.take_part(part.clone());
                    Record::Part(part)
                }
                Some(probed) = probed.next() => {
                    tally.failures.extend(probed.failure);
                    let tasks = probed.due.into_iter().map(|due| Task::Metadata(Box::new(due)));
                    beside.extend(tasks.map(|task| task.carry_out(&worker, progress, stop.child_token())));
                    continue;
                }
                else => break,
            };
            if let Err(error) = self.ledger.write_apart(record).await {
                // Publications under way finish before the lock is given back.
                unrecorded.get_or_insert(error);
                stop.cancel();
            }
        }
        tally.warnings.extend(worker.forbidden_metadata());
        tally.unchanged = std::mem::take(&mut *worker.looked_at.lock().unwrap_or_else(PoisonError::into_inner));
        unrecorded.map_or(Ok(stopped), Err)
    }

    /// Gathers what every repository's work shares.
    fn worker(&self, outside: &Outside, scratch: &Path) -> repository::Worker {
        repository::Worker {
            config: Arc::clone(&self.config),
            run_id: self.run_id.clone(),
            repair: self.request.repair,
            crowded: self.crowded.clone(),
            between_places: self.between_places.clone(),
            clock: self.clock.clone(),
            store: self.store.clone(),
            server: Arc::clone(outside.server()),
            gate: Arc::clone(outside.gate()),
            scratch: scratch.to_owned(),
            ledger: self.ledger.clone(),
            lock: Arc::clone(&self.lock),
            turns: Turns::new(self.config.limits.concurrency),
            inspecting: tokio::sync::Mutex::default(),
            large_files: self.shared_large_files(outside),
            metadata: metadata_due::Shared::new(outside, &self.config),
            looked_at: Mutex::default(),
            is_by_name: !self.request.selection.is_empty(),
        }
    }

    /// Prepares for the large files of this run.
    fn shared_large_files(&self, outside: &Outside) -> large_files::Shared {
        let limits = &self.config.limits;
        let fetcher = Fetcher::new(
            outside.lfs().clone(),
            limits.retries,
            limits.large_file_downloads,
            Arc::clone(&self.lock) as Arc<dyn std::any::Any + Send + Sync>,
        );
        let LargeFilesConfig { include, exclude, .. } = &self.config.large_files;
        // The configuration check has already built these globs.
        let globs = Globs::new(include, exclude).unwrap_or_else(|_| Globs::nothing());
        large_files::Shared::new(fetcher, globs, &self.store, &self.index)
    }

    /// Proves a share of the store, and that a repository can be restored.
    ///
    /// Returns the tasks that it found.
    pub(super) async fn prove(
        &mut self,
        cancel: &CancellationToken,
        tally: &mut Tally,
    ) -> Result<Vec<Task>, StoreError> {
        let now = self.clock.now();
        let is_full = self.is_full();
        let mut changed = Vec::new();
        let mut due = if is_full {
            let since_last_run = self.index.last_complete_start.map_or(TimeDelta::zero(), |last| now - last);
            let mut due = shares::due(&self.index, since_last_run, self.config.verify.full_every, now);
            let looked_at = unlisted::LookedAt::by(&tally.outcomes, &tally.parts, &tally.unchanged);
            changed = unlisted::changed(&self.store, &self.index, &looked_at).await;
            due.extend(changed.iter().filter(|id| !due.contains(id)).copied().collect::<Vec<_>>());
            due
        } else {
            tally.outcomes.iter().filter(|outcome| outcome.repaired).map(|outcome| outcome.id).collect()
        };
        let seen: HashSet<RepositoryId> = tally.outcomes.iter().map(|outcome| outcome.id).collect();
        if self.request.large_files {
            let unknown =
                self.index.mirrors.iter().filter(|(id, mirror)| seen.contains(id) && !mirror.has_known_pointers());
            let unknown: Vec<RepositoryId> = unknown.map(|(id, _)| *id).filter(|id| !due.contains(id)).collect();
            due.extend(unknown);
        }
        let candidates: Vec<RepositoryId> = if is_full {
            self.index.mirrors.keys().copied().collect()
        } else {
            tally.outcomes.iter().filter(|outcome| outcome.is_complete()).map(|outcome| outcome.id).collect()
        };
        // A repository that may have killed an earlier run by itself is not proven either.
        let mut left_out: HashSet<RepositoryId> =
            tally.outcomes.iter().filter(|outcome| outcome.left_out).map(|outcome| outcome.id).collect();
        for (id, _) in self.suspected.iter().filter(|(id, was_alone)| **was_alone && is_full && !seen.contains(id)) {
            let Some(mirror) = self.index.mirrors.get(id) else { continue };
            left_out.insert(*id);
            tally.failures.push(Failure {
                repository: mirror.full_name.to_string(),
                stage: Stage::Verify,
                error: "its mirror was not verified: two runs died while reading it".to_owned(),
                hint: format!("try `ghbk verify {id}` on a machine with more memory, and report this"),
            });
        }
        let due = due.into_iter().filter(|id| !left_out.contains(id)).collect();
        let candidates: Vec<RepositoryId> = candidates.into_iter().filter(|id| !left_out.contains(id)).collect();
        let prover = proof::Prover {
            config: &self.config,
            store: &self.store,
            clock: &self.clock,
            ledger: &self.ledger,
            lock: &self.lock,
            suspected: &self.suspected,
            cancel,
        };
        let mut found = prover.prove(&mut self.index, due, &candidates).await?;
        // Damage is reported once, by whoever found it first.
        found.failures.retain(|failure| !tally.failures.iter().any(|known| known.is_same_damage(failure)));
        tally.failures.append(&mut found.failures);
        tally.proof = found.proof;
        let tasks = std::mem::take(&mut found.tasks);
        if is_full {
            self.tell_missing(&seen, tally).await?;
        }
        unlisted::note_packs(&self.store, &mut self.index, &changed, now).await;
        // A mirror that vanished is no longer kept.
        let kept: HashSet<&FullName> = self.index.mirrors.values().map(|mirror| &mirror.full_name).collect();
        tally.gone.retain(|name| kept.contains(name));
        tally.newly_gone.retain(|name| kept.contains(name));
        Ok(tasks)
    }

    /// Carries out the tasks that the proof found: mirrors may have been made before a kind of data was backed up.
    async fn carry_out(
        &mut self,
        tasks: Vec<Task>,
        outside: &Outside,
        cancel: &CancellationToken,
        progress: &dyn Progress,
        tally: &mut Tally,
    ) -> Result<(), StoreError> {
        if tasks.is_empty() || cancel.is_cancelled() {
            return Ok(());
        }
        let scratch = match Scratch::create(&self.config.store.scratch) {
            Ok(scratch) => scratch,
            Err(error) => {
                tally.failures.push(super::no_scratch(&self.config.store.scratch, Stage::Stage, &error));
                return Ok(());
            }
        };
        let worker = self.worker(outside, scratch.path());
        let mut parts: FuturesUnordered<_> =
            tasks.into_iter().map(|task| task.carry_out(&worker, progress, cancel.child_token())).collect();
        while let Some(done) = parts.next().await {
            tally.failures.extend(done.ends_the_run);
            let Some(part) = done.part else { continue };
            self.ledger.write_apart(Record::Part(part.clone())).await?;
            self.index.record_part(&part);
            tally.take_part(part);
        }
        Ok(())
    }

    /// Reports missing mirrors whose repository is not listed, until they are back or forgotten.
    pub(super) async fn tell_missing(&self, seen: &HashSet<RepositoryId>, tally: &mut Tally) -> Result<(), StoreError> {
        let missing: Vec<RepositoryId> = self.index.lost.keys().filter(|id| !seen.contains(id)).copied().collect();
        if missing.is_empty() {
            return Ok(());
        }
        let store = self.store.clone();
        let names = apart(move || recorded_names(&store)).await?;
        for id in missing {
            let name = names.get(&id).map_or_else(|| format!("id {id}"), ToString::to_string);
            // The verification has just reported it.
            if tally.failures.iter().any(|failure| failure.repository == name && failure.stage == Stage::Verify) {
                continue;
            }
            tally.failures.push(Failure {
                repository: name,
                stage: Stage::Verify,
                error: "its mirror is not in its place".to_owned(),
                hint: format!(
                    "put it back, from `.ghbk` or the backups of the file system; if it is meant to be gone: `ghbk forget \
                     {id}`"
                ),
            });
        }
        Ok(())
    }

    /// Updates the index with what happened.
    pub(super) fn settle(&mut self, plan: &Plan, tally: &mut Tally) {
        for outcome in &tally.outcomes {
            self.index.record(outcome, &layout::place(&outcome.full_name));
        }
        for part in &tally.parts {
            self.index.record_part(part);
        }
        for (id, name) in &plan.gone {
            let mirror = self.index.mirrors.get_mut(id);
            if mirror.is_none_or(|mirror| !std::mem::replace(&mut mirror.gone, true)) {
                tally.newly_gone.push(name.clone());
            }
            tally.gone.push(name.clone());
        }
        tally.moved_away.extend(plan.moved_away.iter().map(|(_, moved)| moved.clone()));
    }
}
