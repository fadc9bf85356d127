//! The engine: plan in, outcomes out, concurrently and within limits.
//!
//! Knows neither Slack nor the command line. A run begins with [`Session::begin`], which takes the lock and opens
//! the record, and ends with a summary that is written before it is returned. What a newcomer would get wrong: one
//! repository's failure is an outcome, never an error of the run; only a bad token or a store that takes no more
//! writes ends it early.

mod adoption;
mod forgetting;
mod mirror;
mod proof;
mod remarks;
mod standing;
mod tally;
mod turns;
mod unlisted;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::StreamExt;
use secrecy::SecretString;
use tokio_util::sync::CancellationToken;

use tally::Tally;
use turns::Turns;

use crate::blocking::side_by_side;
use crate::clock::Clock;
use crate::config::{Config, ScheduleConfig};
use crate::git::refs::RefFilter;
use crate::git::server::GitServer;
use crate::git::stage::Transfer;
use crate::github::{self, GitHub, GitHubError, Inventory, Repository};
use crate::limits::Gate;
use crate::names::{FullName, RepositoryId, RunId};
use crate::outcome::{Failure, Outcome, Renamed, RunEnd, RunHeader, RunStatus, RunSummary, Stage, State, Trigger};
use crate::plan::{Action, Move, Plan, Step, plan};
use crate::schedule::Schedule;
use crate::scratch::Scratch;
use crate::store::{
    Broom, Index, Ledger, Lock, Record, Store, StoreError, Swept, Verified, ends_the_run, fold, host_of, is_due,
    latest, layout, recorded_names,
};

pub use adoption::Adoption;
pub use forgetting::Forgetting;

/// How many mirrors are being read ahead at least: a store that answers in milliseconds answers many questions at once. Their refs
/// are in memory until their turn comes.
const READ_AHEAD_MIN: usize = 16;

/// Says what to back up and who asked.
#[derive(Clone, Debug)]
pub struct Request {
    /// What started the run.
    pub trigger: Trigger,
    /// The repositories asked for by name; empty: all.
    pub selection: Vec<FullName>,
    /// Whether their mirrors are made anew from GitHub and from what can be read of the old ones.
    pub repair: bool,
}

/// Hears how a run goes, to show it.
pub trait Progress: Send + Sync {
    /// The run will go through so many repositories.
    fn planned(&self, repositories: usize);
    /// Work on a repository began; the transfer counts what it brings.
    fn started(&self, name: &FullName, transfer: &Arc<Transfer>);
    /// A repository is done.
    fn finished(&self, outcome: &Outcome);
}

/// A run that holds the lock and has an open record.
#[derive(Debug)]
pub struct Session {
    config: Arc<Config>,
    request: Request,
    store: Store,
    run_id: RunId,
    started_at: DateTime<Utc>,
    index: Index,
    ledger: Ledger,
    /// What has happened so far.
    tally: Tally,
    /// What may have ended earlier runs by itself, as the records tell; whether it did so though it was alone.
    suspected: BTreeMap<RepositoryId, bool>,
    /// Mirrors whose packs are to be merged though nothing is new.
    crowded: HashSet<PathBuf>,
    /// Repositories whose wiki's mirror is not in its place.
    wikis_between: HashSet<RepositoryId>,
    lock: Arc<Lock>,
    /// How many records there were when it began.
    records: usize,
    clock: Clock,
}

/// Speaks to GitHub for one run.
#[derive(Debug)]
pub struct Outside {
    github: GitHub,
    server: Arc<GitServer>,
    gate: Arc<Gate>,
}

impl Outside {
    /// Prepares the clients of a run.
    ///
    /// # Errors
    /// [`GitHubError::Setup`] if TLS or the app's key is unusable.
    pub fn new(config: &Config, secret: &SecretString, http: reqwest::Client) -> Result<Self, GitHubError> {
        let setup = |reason: String| GitHubError::Setup(reason);
        let api_url: url::Url = config.github.api_url.parse().map_err(|error| setup(format!("{error}")))?;
        let gate = Arc::new(Gate::new(&config.limits));
        let api = github::Api::new(api_url.clone(), http.clone(), Arc::clone(&gate), config.limits.stall_timeout);
        let api = Arc::new(api);
        let credentials = match (config.github.auth, config.github.app_id, config.github.installation_id) {
            (crate::config::AuthKind::App, Some(app_id), Some(installation_id)) => {
                let identity = github::AppIdentity { app_id, installation_id, key: secret.clone() };
                github::Credentials::app(&identity, Arc::clone(&api))?
            }
            _ => github::Credentials::token_of(secret.clone()),
        };
        let credentials = Arc::new(credentials);
        let refs = RefFilter::new(&config.github.refs_exclude).map_err(|error| setup(error.to_string()))?;
        let server = Arc::new(GitServer::new(
            &api_url,
            http,
            Arc::clone(&credentials),
            Arc::clone(&gate),
            config.limits.repository_size,
            refs,
        ));
        let github = GitHub::new(api, credentials, config.limits.retries);
        Ok(Self { github, server, gate })
    }

    /// Returns the git server's host, with the port if it is not the usual one.
    pub fn git_host(&self) -> &str {
        self.server.host()
    }

    /// Says that the token ends soon, or before the next scheduled run, if GitHub told when it ends.
    pub fn expiry(&self, schedule: &ScheduleConfig) -> Option<String> {
        let notices = self.github.notices();
        let schedule = Schedule::new(&schedule.cron, schedule.timezone).ok();
        let now = notices.as_of.unwrap_or_else(Utc::now);
        notices.expiry(schedule.and_then(|schedule| schedule.next_after(now)))
    }

    /// Returns the REST API's client.
    pub fn github(&self) -> &GitHub {
        &self.github
    }
}

/// Takes the inventory that a request asks for; what is known has a mirror.
pub async fn take_inventory(
    config: &Config,
    outside: &Outside,
    selection: &[FullName],
    known: &github::Known,
) -> Inventory {
    if selection.is_empty() {
        // The configuration's check has built these globs once.
        match github::Filter::new(&config.github) {
            Ok(filter) => github::list(&outside.github, &config.github, &filter, known).await,
            Err(error) => {
                let mut inventory = Inventory::default();
                inventory.failures.push(github::ListingFailure {
                    subject: "github.include and github.exclude".to_owned(),
                    error: error.to_string(),
                    hint: "write simpler globs".to_owned(),
                    unauthorized: false,
                });
                inventory
            }
        }
    } else {
        github::look_up(&outside.github, selection).await
    }
}

impl Session {
    /// Takes the lock, opens the record, tidies up after a run that came to no good end. Blocking.
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
                // First, so that the sweep of the store has room for what it reads.
                crate::scratch::sweep(&config.store.scratch);
                side_by_side(|| Index::stored(&store), || latest(&store))
            },
        );
        signed?;
        let newest = newest?;
        // Neither speaks to GitHub.
        let store = match request.trigger {
            Trigger::Verification | Trigger::Forget => store,
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
            removed => format!("; {removed} unfinished files that it left are removed"),
        };
        if newest.is_cut_off {
            tally.warnings.push(format!("the record of the last run is empty, so it was interrupted{removed}"));
        } else if let Some(interrupted) = record.filter(|record| record.summary.is_none()) {
            let at = interrupted.started_at.format("%Y-%m-%d %H:%M UTC");
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
            wikis_between: swept.wikis_between,
            suspected,
            lock: Arc::new(lock),
            records: newest.count,
            clock,
        })
    }

    /// Says whether the run is over everything.
    fn is_full(&self) -> bool {
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

    /// Records the damage that a verification outside of a run has found, so that every run looks at these mirrors until
    /// they are repaired.
    ///
    /// # Errors
    /// [`StoreError`] if the record cannot be written.
    pub fn record_damage(mut self, found: Vec<(RepositoryId, String)>) -> Result<RunSummary, StoreError> {
        let mut tally = std::mem::take(&mut self.tally);
        for (id, damage) in found {
            let verified = Verified { id, at: self.clock.now(), damage: Some(damage.clone()) };
            self.write(&Record::Verified(verified.clone()))?;
            self.index.verified(&verified);
            let known = self.index.mirrors.get(&id).map(|mirror| mirror.full_name.to_string());
            let repository = known.unwrap_or_else(|| id.to_string());
            let hint = crate::outcome::repair_hint(&repository);
            tally.failures.push(Failure { repository, stage: Stage::Verify, error: damage, hint });
        }
        self.close(tally, RunEnd::Finished)
    }

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
        // Nothing else is written before.
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
            Ok((self, plan, tally, left_out))
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
            this.prove(cancel, &mut tally).await?;
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

    /// Closes the record and the index, without holding up the caller's thread.
    async fn close_apart(self, tally: Tally, end: RunEnd) -> Result<RunSummary, StoreError> {
        apart(move || self.close(tally, end)).await
    }

    /// Records that a repository is not touched in this run, because the last one ended without a word while it fetched nothing
    /// else.
    async fn leave_out(&self, step: &Step, tally: &mut Tally) -> Result<(), StoreError> {
        let Repository { id, full_name, .. } = &step.repository;
        let mut outcome = Outcome::new(*id, full_name.clone(), State::Failed, self.clock.now());
        outcome.left_out = true;
        outcome.failures.push(Failure {
            repository: full_name.to_string(),
            stage: Stage::Stage,
            error: "it is left out of this run: the last one ended without a word while it fetched this repository alone"
                .to_owned(),
            hint: format!(
                "see `journalctl -u ghbk` and `dmesg` for why (out of memory?); the next run tries it last, `ghbk run {full_name}` at \
                 once"
            ),
        });
        self.ledger.write_apart(Record::Outcome(outcome.clone())).await?;
        tally.take(outcome);
        Ok(())
    }

    /// Leaves out owners whose folder is a symbolic link: somebody else decides where that leads.
    fn refuse_linked_owners(&self, plan: &mut Plan, tally: &mut Tally) {
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

    /// Says that what is about to be fetched may be there already, as a clone of another tool.
    fn warn_of_clones(&self, plan: &Plan, tally: &mut Tally) {
        if !plan.steps.iter().any(|step| step.action == Action::Create) {
            return;
        }
        match self.store.foreign_clones(&self.index) {
            Ok(clones) => {
                if let Some(first) = clones.first() {
                    let (count, first) = (clones.len(), first.folder.display());
                    tally.warnings.push(format!(
                        "clones of another tool lie on the store ({count}, such as {first}); `ghbk adopt` makes mirrors \
                         of them without fetching"
                    ));
                }
            }
            Err(error) => tracing::warn!(%error, "clones of other tools are not looked for"),
        }
    }

    /// Goes through all steps; returns what ended the run early, if anything did.
    async fn go_through(
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
                return Ok(Some(Scratch::failure(&self.config.store.scratch, Stage::Setup, &error)));
            }
        };
        let worker = mirror::Worker {
            config: Arc::clone(&self.config),
            run_id: self.run_id.clone(),
            repair: self.request.repair,
            crowded: self.crowded.clone(),
            wikis_between: self.wikis_between.clone(),
            clock: self.clock.clone(),
            store: self.store.clone(),
            server: Arc::clone(&outside.server),
            gate: Arc::clone(&outside.gate),
            scratch: scratch.path().to_owned(),
            ledger: self.ledger.clone(),
            lock: Arc::clone(&self.lock),
            turns: Turns::new(self.config.limits.concurrency),
            inspecting: tokio::sync::Mutex::default(),
        };
        let (mut stopped, mut unrecorded) = (None, None);
        let at_most = worker.turns.at_most();
        let outcomes = futures_util::stream::iter(steps)
            // Begun as soon as the step is taken from the list: a future would wait until somebody polls it.
            .map(|step| std::future::ready(worker.read_ahead(step)))
            .buffered(at_most.max(READ_AHEAD_MIN))
            .take_until(stop.cancelled())
            .map(|prepared| worker.mirror(prepared, progress, stop.child_token()))
            .buffer_unordered(at_most);
        tokio::pin!(outcomes);
        while let Some(done) = outcomes.next().await {
            let Some(done) = done else { continue }; // cancelled before it was done
            progress.finished(&done.outcome);
            if let Err(error) = self.ledger.write_apart(Record::Outcome(done.outcome.clone())).await {
                // What is being published is finished before the lock is given back.
                unrecorded.get_or_insert(error);
                stop.cancel();
            }
            tally.take(done.outcome);
            if let Some(failure) = done.ends_the_run {
                stopped.get_or_insert(failure);
                stop.cancel();
            }
        }
        unrecorded.map_or(Ok(stopped), Err)
    }

    /// Proves a share of the store, and that a repository can be restored.
    async fn prove(&mut self, cancel: &CancellationToken, tally: &mut Tally) -> Result<(), StoreError> {
        let now = self.clock.now();
        let is_full = self.is_full();
        let mut changed = Vec::new();
        let due = if is_full {
            let since_last_run = self.index.last_complete_start.map_or(TimeDelta::zero(), |last| now - last);
            let mut due = proof::due(&self.index, since_last_run, self.config.verify.full_every, now);
            let looked_at = unlisted::LookedAt::by(&tally.outcomes);
            changed = unlisted::changed(&self.store, &self.index, &looked_at).await;
            due.extend(changed.iter().filter(|id| !due.contains(id)).copied().collect::<Vec<_>>());
            due
        } else {
            tally.outcomes.iter().filter(|outcome| outcome.repaired).map(|outcome| outcome.id).collect()
        };
        let candidates: Vec<RepositoryId> = if is_full {
            self.index.mirrors.keys().copied().collect()
        } else {
            tally.outcomes.iter().filter(|outcome| outcome.is_complete()).map(|outcome| outcome.id).collect()
        };
        // What may have ended an earlier run by itself has its rest from proof, too.
        let mut left_out: HashSet<RepositoryId> =
            tally.outcomes.iter().filter(|outcome| outcome.left_out).map(|outcome| outcome.id).collect();
        let seen: HashSet<RepositoryId> = tally.outcomes.iter().map(|outcome| outcome.id).collect();
        for (id, _) in self.suspected.iter().filter(|(id, was_alone)| **was_alone && is_full && !seen.contains(id)) {
            let Some(mirror) = self.index.mirrors.get(id) else { continue };
            left_out.insert(*id);
            tally.failures.push(Failure {
                repository: mirror.full_name.to_string(),
                stage: Stage::Verify,
                error: "its mirror is not verified: to read it has ended two runs".to_owned(),
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
        tally.failures.append(&mut found.failures);
        tally.proof = found.proof;
        if is_full {
            self.tell_missing(&seen, tally).await?;
        }
        unlisted::note_packs(&self.store, &mut self.index, &changed, now).await;
        // Of one that vanished nothing is kept.
        let kept: HashSet<&FullName> = self.index.mirrors.values().map(|mirror| &mirror.full_name).collect();
        tally.gone.retain(|name| kept.contains(name));
        Ok(())
    }

    /// Tells of mirrors that are not there any more and of which no repository is listed, until they are back or forgotten.
    async fn tell_missing(&self, seen: &HashSet<RepositoryId>, tally: &mut Tally) -> Result<(), StoreError> {
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

    /// Moves mirrors to their new names and into the attic: all out, then all in.
    fn move_mirrors(&mut self, plan: &mut Plan, tally: &mut Tally) {
        let mut failed = Vec::new();
        let names: BTreeMap<RepositoryId, FullName> =
            self.index.mirrors.iter().map(|(id, mirror)| (*id, mirror.full_name.clone())).collect();
        let mut fail = |step: &Move, error: &StoreError, tally: &mut Tally| {
            let name = step.new_name.as_ref().or_else(|| names.get(&step.id));
            let name = name.map_or_else(|| step.from.display().to_string(), ToString::to_string);
            tally.failures.push(Failure {
                repository: name,
                stage: Stage::Move,
                error: error.to_string(),
                hint: error.hint(),
            });
            failed.push(step.id);
        };
        let mut under_way = Vec::new();
        for step in &plan.moves {
            let between = layout::moving(step.id);
            if step.from == between {
                under_way.push(step); // an interrupted run got this far
                continue;
            }
            match self.store.move_mirror(&step.from, &between, None) {
                Ok(()) => {
                    self.set_place(step, &between);
                    under_way.push(step);
                }
                Err(error) => fail(step, &error, tally),
            }
        }
        for step in under_way {
            match self.store.move_mirror(&layout::moving(step.id), &step.to, step.new_name.as_ref()) {
                Ok(()) => self.set_place(step, &step.to),
                Err(error) => fail(step, &error, tally),
            }
        }
        plan.steps.retain(|step| !failed.contains(&step.repository.id));
        // What a step knows of its mirror is where it lies now.
        for step in &mut plan.steps {
            step.stored = self.index.mirrors.get(&step.repository.id).cloned().filter(|_| step.stored.is_some());
        }
        tally.renamed.extend(plan.moves.iter().filter(|step| !failed.contains(&step.id)).filter_map(|step| {
            let from = tally.names_before.get(&step.id)?.clone();
            let to = step.new_name.clone()?;
            (from != to).then_some(Renamed { from, to })
        }));
    }

    fn set_place(&mut self, step: &Move, place: &Path) {
        if let Some(mirror) = self.index.mirrors.get_mut(&step.id) {
            place.clone_into(&mut mirror.place);
            if let Some(name) = step.new_name.as_ref().filter(|_| place == step.to) {
                mirror.full_name.clone_from(name);
            }
        }
    }

    /// Brings the index up to what happened.
    fn settle(&mut self, plan: &Plan, tally: &mut Tally) {
        for outcome in &tally.outcomes {
            self.index.record(outcome, &layout::place(&outcome.full_name));
        }
        for (id, name) in &plan.gone {
            if let Some(mirror) = self.index.mirrors.get_mut(id) {
                mirror.gone = true;
            }
            tally.gone.push(name.clone());
        }
        tally.moved_away.extend(plan.moved_away.iter().map(|(_, moved)| moved.clone()));
    }

    fn write(&self, record: &Record) -> Result<(), StoreError> {
        self.ledger.write(record)
    }

    fn header(&self) -> RunHeader {
        RunHeader {
            run_id: self.run_id.clone(),
            trigger: self.request.trigger,
            selection: self.request.selection.clone(),
            is_narrowed: self.config.is_narrowed,
            started_at: self.started_at,
        }
    }

    /// Writes the summary and the index, and gives the lock back.
    fn close(mut self, mut tally: Tally, end: RunEnd) -> Result<RunSummary, StoreError> {
        // Whoever lost it writes nothing more: the store may be another run's by now.
        self.lock.confirm()?;
        tally.warnings.extend(standing::of_the_last_full_run(&self.store, &self.request));
        let summary = tally.sum_up(&self, end, self.clock.now());
        self.write(&Record::Summary(summary.clone()))?;
        self.index.close(&summary);
        if summary.may_leave_work() || !self.index.lost.is_empty() {
            // The next run looks for itself: what is missing may have been put back.
            self.index.run_id = None;
        }
        let came_to_its_end = matches!(summary.status, RunStatus::Ok | RunStatus::Partial);
        if came_to_its_end && let Err(error) = self.store.state() {
            // The next run tries again.
            tracing::warn!(%error, "what the store is could not be written down");
        }
        // An index whose run has no summary counts for nothing.
        let (recorded, saved) = side_by_side(|| self.ledger.sync(), || self.index.save(&self.store));
        recorded?;
        if let Err(error) = saved {
            // The next run finds that it is not of the newest run, and rebuilds it.
            tracing::warn!(%error, "the index is not written");
        } else if came_to_its_end
            && is_due(self.records)
            && let Err(error) = fold(&self.store)
        {
            tracing::warn!(hint = error.hint(), "old records stay as they are: {error}");
        }
        Ok(summary)
    }
}

/// Does what may wait for the store on a thread of its own.
async fn apart<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    // As every other panic, it is the run's end.
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
}

/// Says whether an error of a mirror means that no other can be written either.
fn is_fatal(error: &crate::git::GitError, root: &Path) -> bool {
    match error {
        crate::git::GitError::Unauthorized | crate::git::GitError::LockLost(_) => true,
        crate::git::GitError::Credentials(error) => error.ends_the_run(),
        crate::git::GitError::Io { source, path, .. } => path.starts_with(root) && ends_the_run(source.kind()),
        _ => false,
    }
}
