//! One repository, with its wiki: each is asked, compared, staged and published, and what came of it is summed up.

use std::collections::HashSet;
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::attempt::{Attempt, Stored, read_stored};
use super::kinds::Task;
use super::large_files;
use super::part::{Part, PartResult, Synced};
use super::remarks::Changed;
use super::turns::Turns;
use super::{Progress, is_fatal};
use crate::clock::Clock;
use crate::config::Config;
use crate::git::GitError;
use crate::git::wire::server::GitServer;
use crate::git::wire::transfer::Transfer;
use crate::limits::{Gate, Resource, Retry, Retryable as _, with_retries};
use crate::names::{RepositoryId, RunId};
use crate::outcome::{Failure, Outcome, Stage, State};
use crate::plan::Step;
use crate::store::{Ledger, Lock, Mirror, MirrorKind, Record, Store, layout};
use crate::text::printable;

/// Holds what every repository's work shares.
pub(super) struct Worker {
    pub(super) config: Arc<Config>,
    pub(super) run_id: RunId,
    /// Whether mirrors are made anew.
    pub(super) repair: bool,
    /// Mirrors whose packs are to be merged though nothing is new.
    pub(super) crowded: HashSet<PathBuf>,
    /// Repositories whose wiki's mirror is not in its place, and must not be made anew.
    pub(super) wikis_between: HashSet<RepositoryId>,
    pub(super) clock: Clock,
    pub(super) store: Store,
    pub(super) server: Arc<GitServer>,
    pub(super) gate: Arc<Gate>,
    pub(super) scratch: PathBuf,
    pub(super) ledger: Ledger,
    /// Held by every publication, so that the lock outlives a run that is given up while one is under way.
    pub(super) lock: Arc<Lock>,
    pub(super) turns: Turns,
    /// Held while a mirror is verified because of what a look at it told.
    pub(super) inspecting: tokio::sync::Mutex<()>,
    /// What the large files of all mirrors have in common.
    pub(super) large_files: large_files::Shared,
}

/// What came of one repository.
pub(super) struct Done {
    pub(super) outcome: Outcome,
    /// What there is to do beside refs.
    pub(super) tasks: Vec<Task>,
    /// Set if nothing else can succeed either.
    pub(super) ends_the_run: Option<Failure>,
}

/// What is being read of a part's mirror before its turn; none if nothing is.
pub(super) type ReadAhead = Option<tokio::task::JoinHandle<Result<Option<Stored>, GitError>>>;

/// A step with what is being read of its mirrors before its turn.
pub(super) struct Prepared {
    pub(super) step: Step,
    pub(super) code: ReadAhead,
    pub(super) wiki: ReadAhead,
}

impl Worker {
    /// Begins to read what is stored of a repository while others have their turn: the store answers slowly, but many at
    /// once. Nobody waits for it before its turn, so one that hangs keeps no other.
    pub(super) fn read_ahead(&self, step: Step) -> Prepared {
        let read = |part: Part<'_>| {
            // The server says whether the others exist at all.
            let is_known = part.stored_head.is_some() && !self.repair;
            is_known.then(|| tokio::task::spawn_blocking(read_stored(&part, &self.store, self.mirror_of(&part))))
        };
        let wiki = Part::wiki(&step).filter(|_| self.config.github.wikis);
        let (code, wiki) = (read(Part::code(&step)), wiki.and_then(read));
        Prepared { step, code, wiki }
    }

    /// Brings one repository's mirrors up to date; none if it was cancelled before. A bug that panics fails this repository
    /// and no other.
    pub(super) async fn mirror(
        &self,
        prepared: Prepared,
        progress: &dyn Progress,
        cancel: CancellationToken,
    ) -> Option<Done> {
        let repository = &prepared.step.repository;
        let (id, full_name) = (repository.id, repository.full_name.clone());
        let _turn = tokio::select! {
            turn = self.turns.wait(&prepared.step) => turn,
            () = cancel.cancelled() => return None,
        };
        match AssertUnwindSafe(self.mirror_unguarded(prepared, progress, cancel)).catch_unwind().await {
            Ok(done) => done,
            Err(panic) => {
                let text = panic.downcast_ref::<&str>().copied();
                let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message");
                let error = GitError::Task(printable(text, 200));
                let mut outcome = Outcome::new(id, full_name, State::Failed, self.clock.now());
                outcome.failures.push(Failure {
                    repository: outcome.full_name.to_string(),
                    stage: Stage::Stage,
                    error: error.to_string(),
                    hint: error.hint().to_owned(),
                });
                Some(Done { outcome, tasks: Vec::new(), ends_the_run: None })
            }
        }
    }

    pub(super) async fn mirror_unguarded(
        &self,
        prepared: Prepared,
        progress: &dyn Progress,
        cancel: CancellationToken,
    ) -> Option<Done> {
        let Prepared { step, code, wiki } = prepared;
        let transfer = Arc::new(Transfer::default());
        progress.started(&step.repository.full_name, &transfer);
        let started = Instant::now();
        let work = self.both(&step, (code, wiki), &transfer, &cancel);
        tokio::pin!(work);
        let limit = self.config.limits.repository_timeout;
        let (mut results, timed_out) = tokio::select! {
            results = &mut work => (results, false),
            // Waiting until GitHub lets it go on is not the repository's own time.
            () = transfer.waited.sleep_beside(limit) => {
                // Ends the transfer; a publication under way is finished first.
                cancel.cancel();
                (work.await, true)
            }
        };
        let was_cancelled = |result: &PartResult| matches!(result, Err((_, GitError::Cancelled)));
        let is_cut_off = !timed_out && results.iter().any(|(_, result)| was_cancelled(result));
        if is_cut_off {
            // What is published is told now: the next run finds it unchanged.
            results.retain(|(_, result)| !was_cancelled(result));
            if !results.iter().any(|(_, result)| matches!(result, Ok(synced) if synced.state != State::Unchanged)) {
                return None;
            }
        }
        let timed_out = timed_out.then_some(limit);
        let mut done = self.sum_up(&step, results, &transfer, started.elapsed(), timed_out);
        done.outcome.is_cut_off = is_cut_off;
        Some(done)
    }

    /// Mirrors the code, then the wiki if there may be one.
    pub(super) async fn both(
        &self,
        step: &Step,
        (code_ahead, wiki_ahead): (ReadAhead, ReadAhead),
        transfer: &Arc<Transfer>,
        cancel: &CancellationToken,
    ) -> Vec<(MirrorKind, PartResult)> {
        let code = Part::code(step);
        let mut results = vec![(MirrorKind::Code, self.sync(&code, code_ahead, transfer, cancel).await)];
        if let Some(wiki) = Part::wiki(step).filter(|_| self.config.github.wikis) {
            // Cut off before it began, a wiki is not known to be good.
            let result = if cancel.is_cancelled() {
                Err((Stage::Stage, GitError::Cancelled))
            } else if wiki.stored_head.is_none() && self.wikis_between.contains(&wiki.id) {
                Err((Stage::Recovery, GitError::Damaged("it is not in its place, but below `.ghbk`".to_owned())))
            } else {
                self.sync(&wiki, wiki_ahead, transfer, cancel).await
            };
            // GitHub says that there is a wiki until someone looks for its first page.
            let never_written =
                wiki.stored_head.is_none() && !wiki.was_lost && matches!(result, Err((_, GitError::NotFound)));
            if !never_written {
                results.push((MirrorKind::Wiki, result));
            }
        }
        results
    }

    pub(super) fn mirror_of(&self, part: &Part<'_>) -> Mirror {
        self.store.mirror_at(&layout::place(part.full_name), part.kind)
    }

    pub(super) async fn sync(
        &self,
        part: &Part<'_>,
        mut ahead: ReadAhead,
        transfer: &Arc<Transfer>,
        cancel: &CancellationToken,
    ) -> PartResult {
        let mirror = self.mirror_of(part);
        let attempts = with_retries(&self.gate, self.config.limits.retries, async || {
            self.attempt(part, &mirror, ahead.take(), transfer, cancel).await
        });
        let attempt = tokio::select! {
            attempt = attempts => attempt.map_err(|error| (Stage::Stage, error))?,
            () = cancel.cancelled() => return Err((Stage::Stage, GitError::Cancelled)),
        };
        match attempt {
            Attempt::Unchanged { head, remarks, mut packs } => {
                let mut changed = Changed::default();
                if self.crowded.contains(mirror.path()) {
                    packs = self.merge_again(part, mirror, cancel, &mut changed).await.or(packs);
                }
                Ok(Synced { state: State::Unchanged, head, remarks, packs, changed, has_pointers: false })
            }
            Attempt::Changed(change) => {
                self.publish(part, mirror, *change, cancel).await.map_err(|error| (Stage::Publish, error))
            }
        }
    }

    /// Records what is under way: `ghbk status` shows it, and if the process is killed, the next run suspects it. A failure
    /// to write shows elsewhere.
    pub(super) async fn note_under_way(&self, part: &Part<'_>) {
        let record = Record::UnderWay { id: part.id, full_name: part.full_name.clone(), is_alone: part.is_alone };
        if let Err(error) = self.ledger.write_apart(record).await {
            tracing::warn!(%error, "the record is not written");
        }
    }

    pub(super) fn sum_up(
        &self,
        step: &Step,
        results: Vec<(MirrorKind, PartResult)>,
        transfer: &Transfer,
        duration: Duration,
        timed_out: Option<Duration>,
    ) -> Done {
        let repository = &step.repository;
        let finished_at = self.clock.now();
        let mut outcome = Outcome::new(repository.id, repository.full_name.clone(), State::Unchanged, finished_at);
        outcome.bytes_received = transfer.received_bytes.load(Ordering::Relaxed);
        outcome.duration_milliseconds = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let (mut ends_the_run, mut tasks) = (None, Vec::new());
        for (kind, result) in results {
            let name = kind.name_of(&repository.full_name);
            tasks.extend(Task::after_refs(self, step, kind, result.as_ref().ok()));
            match result {
                Ok(synced) => {
                    if synced.state == State::Created || synced.changed.repaired {
                        outcome.pointers_known.push(kind);
                    }
                    let head = Some(synced.head);
                    match kind {
                        MirrorKind::Code => {
                            outcome.state = synced.state;
                            (outcome.head, outcome.packs) = (head, synced.packs);
                        }
                        MirrorKind::Wiki => {
                            if outcome.state == State::Unchanged && synced.state != State::Unchanged {
                                outcome.state = State::Updated;
                            }
                            (outcome.wiki_head, outcome.wiki_packs) = (head, synced.packs);
                        }
                    }
                    synced.remarks.tell(&name, synced.state, &mut outcome);
                    synced.changed.tell(&name, &mut outcome);
                }
                Err((_, GitError::NotFound)) if kind == MirrorKind::Wiki => outcome.failures.push(Failure {
                    repository: name,
                    stage: Stage::Verify,
                    error: "its mirror is no longer in its place, and GitHub no longer has the wiki".to_owned(),
                    hint: format!(
                        "look for it in `.ghbk` and in the backups of the file system; if it is meant to be gone: `ghbk \
                         forget {} --wiki`",
                        repository.full_name
                    ),
                }),
                Err((stage, error)) => {
                    let (text, hint) = match (&error, timed_out) {
                        (GitError::Cancelled, Some(limit)) => (
                            format!("it took longer than {}", humantime::format_duration(limit)),
                            "raise limits.repository_timeout, or check limits.bandwidth and the network".to_owned(),
                        ),
                        _ => (error.to_string(), error.hint().to_owned()),
                    };
                    outcome.transient |= error.retry() != Retry::Never;
                    let failure = Failure { repository: name, stage, error: text, hint };
                    let is_limited = matches!(error, GitError::RateLimited { .. } | GitError::LimitExhausted(_));
                    let is_spent = is_limited && self.gate.is_exhausted(Resource::Git);
                    if is_spent || is_fatal(&error, self.store.root()) {
                        ends_the_run = Some(Failure {
                            repository: "all".to_owned(),
                            error: format!("the run stopped: {}", failure.error),
                            ..failure.clone()
                        });
                    }
                    outcome.failures.push(failure);
                }
            }
        }
        if !outcome.failures.is_empty() {
            outcome.state = State::Failed;
        }
        Done { outcome, tasks, ends_the_run }
    }
}
