//! One repository, with its wiki: GitHub is asked for each, the answer is compared, staged and published, and the results are
//! summed up.

use std::collections::HashSet;
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::attempt::{Attempt, Stored, read_stored};
use super::kinds::Task;
use super::mirror_step::{MirrorStep, SyncResult, Synced};
use super::remarks::Changed;
use super::turns::Turns;
use super::{Progress, is_fatal};
use super::{large_files, metadata_due};
use crate::clock::Clock;
use crate::config::Config;
use crate::git::wire::server::GitServer;
use crate::git::wire::transfer::Transfer;
use crate::git::{GitError, WireError};
use crate::limits::{Gate, Resource, Retry, Retryable as _, with_retries};
use crate::mirrors::{MirrorKind, PerMirror};
use crate::names::{RepositoryId, RunId};
use crate::outcome::{Failure, Held, Outcome, Stage, State};
use crate::plan::Step;
use crate::store::{Ledger, Lock, Mirror, Record, Store, layout};
use crate::text::printable;

/// Holds what every repository's work shares.
pub(super) struct Worker {
    pub(super) config: Arc<Config>,
    pub(super) run_id: RunId,
    /// Whether mirrors are made anew.
    pub(super) repair: bool,
    /// Whether repositories are asked for by name.
    pub(super) is_by_name: bool,
    /// Mirrors whose packs are to be merged though nothing is new.
    pub(super) crowded: HashSet<PathBuf>,
    /// Mirrors beside their code's that are not in their place, and must not be made anew.
    pub(super) between_places: HashSet<(RepositoryId, MirrorKind)>,
    pub(super) clock: Clock,
    pub(super) store: Store,
    pub(super) server: Arc<GitServer>,
    pub(super) gate: Arc<Gate>,
    pub(super) scratch: PathBuf,
    pub(super) ledger: Ledger,
    /// Held by every publication: the lock must outlive a run that is given up while one is under way.
    pub(super) lock: Arc<Lock>,
    pub(super) turns: Turns,
    /// Held while a mirror is verified because of what a look at it found.
    pub(super) inspecting: tokio::sync::Mutex<()>,
    /// What the work on all mirrors' large files shares.
    pub(super) large_files: large_files::Shared,
    /// Mirrors that were looked at, and of which there is nothing to tell.
    pub(super) looked_at: Mutex<HashSet<(RepositoryId, MirrorKind)>>,
    /// What the work on all repositories' metadata shares.
    pub(super) metadata: metadata_due::Shared,
}

/// The result for one repository.
pub(super) struct Done {
    pub(super) outcome: Outcome,
    /// The tasks beside refs.
    pub(super) tasks: Vec<Task>,
    /// Set if nothing else can succeed either.
    pub(super) ends_the_run: Option<Failure>,
}

/// A mirror that is being read before its turn; none if it is not.
pub(super) type ReadAhead = Option<tokio::task::JoinHandle<Result<Option<Stored>, GitError>>>;

/// A step, with those of its mirrors that are being read before its turn.
pub(super) struct Prepared {
    pub(super) step: Step,
    pub(super) ahead: PerMirror<ReadAhead>,
}

impl Worker {
    /// Starts to read a repository's mirrors while others have their turn: the store answers slowly, but many at once. Nobody
    /// waits for a read before its turn, so one that hangs holds up no other.
    pub(super) fn read_ahead(&self, step: Step) -> Prepared {
        let mirrors = MirrorStep::all_of(&step, &self.config);
        let read = mirrors.iter().map(|mirror| {
            // For the other mirrors, the server first says whether they exist at all.
            let is_known = mirror.held.is_some() && !self.repair;
            let read = || tokio::task::spawn_blocking(read_stored(mirror, &self.store, self.mirror_of(mirror)));
            (mirror.kind, is_known.then(read))
        });
        let ahead = read.collect();
        Prepared { step, ahead }
    }

    /// Brings one repository's mirrors up to date; none if it was cancelled first. A panic fails this repository and no other.
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
        let Prepared { step, ahead } = prepared;
        let transfer = Arc::new(Transfer::default());
        progress.started(&step.repository.full_name, &transfer);
        let started = Instant::now();
        let work = self.sync_all(&step, ahead, &transfer, &cancel);
        tokio::pin!(work);
        let limit = self.config.limits.repository_timeout;
        let (mut results, timed_out) = tokio::select! {
            results = &mut work => (results, false),
            // Time spent waiting until GitHub lets it go on does not count.
            () = transfer.waited.sleep_beside(limit) => {
                // Ends the transfer; a publication under way is finished first.
                cancel.cancel();
                (work.await, true)
            }
        };
        let was_cancelled = |result: &SyncResult| matches!(result, Err((_, GitError::Cancelled)));
        let is_cut_off = !timed_out && results.iter().any(|(_, result)| was_cancelled(result));
        if is_cut_off {
            // What is published is reported now: the next run will find it unchanged.
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

    /// Brings the mirrors up to date one after the other, the code's first.
    async fn sync_all(
        &self,
        step: &Step,
        mut ahead: PerMirror<ReadAhead>,
        transfer: &Arc<Transfer>,
        cancel: &CancellationToken,
    ) -> Vec<(MirrorKind, SyncResult)> {
        let mut results = Vec::new();
        for mirror in MirrorStep::all_of(step, &self.config) {
            let ahead = ahead.remove(&mirror.kind).flatten();
            let is_code = mirror.kind == MirrorKind::Code;
            // A mirror that was cut off before it began is not known to be good; the code's mirror says so itself.
            let result = if !is_code && cancel.is_cancelled() {
                Err((Stage::Stage, GitError::Cancelled))
            } else if mirror.held.is_none() && self.between_places.contains(&(mirror.id, mirror.kind)) {
                Err((Stage::Recovery, GitError::Damaged("it is not in its place, but below `.ghbk`".to_owned())))
            } else {
                self.sync(&mirror, ahead, transfer, cancel).await
            };
            // GitHub says that there is a wiki even if nobody has written its first page.
            let was_never_written = !is_code
                && mirror.held.is_none()
                && !mirror.was_lost
                && matches!(result, Err((_, GitError::Wire(WireError::NotFound))));
            if !was_never_written {
                results.push((mirror.kind, result));
            }
        }
        results
    }

    pub(super) fn mirror_of(&self, step: &MirrorStep<'_>) -> Mirror {
        self.store.mirror_at(&layout::place(step.full_name), step.kind)
    }

    pub(super) async fn sync(
        &self,
        step: &MirrorStep<'_>,
        mut ahead: ReadAhead,
        transfer: &Arc<Transfer>,
        cancel: &CancellationToken,
    ) -> SyncResult {
        let mirror = self.mirror_of(step);
        let name = step.name();
        let attempts = with_retries(&self.gate, self.config.limits.retries, &name, async || {
            self.attempt(step, &mirror, ahead.take(), transfer, cancel).await
        });
        let attempt = tokio::select! {
            attempt = attempts => attempt.map_err(|error| (Stage::Stage, error))?,
            () = cancel.cancelled() => return Err((Stage::Stage, GitError::Cancelled)),
        };
        match attempt {
            Attempt::Unchanged { head, remarks, mut packs } => {
                let mut changed = Changed::default();
                if self.crowded.contains(mirror.path()) {
                    packs = self.merge_again(step, mirror, cancel, &mut changed).await.or(packs);
                }
                Ok(Synced { state: State::Unchanged, head, remarks, packs, changed, has_pointers: false })
            }
            Attempt::Changed(change) => {
                self.publish(step, mirror, *change, cancel).await.map_err(|error| (Stage::Publish, error))
            }
        }
    }

    /// Records what is under way: `ghbk status` shows it, and if the process is killed, the next run suspects it. A failure
    /// to write shows up elsewhere.
    pub(super) async fn note_under_way(&self, step: &MirrorStep<'_>) {
        let record = Record::UnderWay { id: step.id, full_name: step.full_name.clone(), is_alone: step.is_alone };
        if let Err(error) = self.ledger.write_apart(record).await {
            tracing::warn!(%error, "the record was not written");
        }
    }

    pub(super) fn sum_up(
        &self,
        step: &Step,
        results: Vec<(MirrorKind, SyncResult)>,
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
                    outcome.note_state(kind, synced.state);
                    let head = Some(synced.head).filter(|head| !head.is_empty());
                    outcome.held.insert(kind, Held { head, packs: synced.packs });
                    synced.remarks.tell(&name, synced.state, &mut outcome);
                    synced.changed.tell(&name, &mut outcome);
                }
                Err((_, GitError::Wire(WireError::NotFound))) if kind != MirrorKind::Code => outcome.failures.push(Failure {
                    repository: name,
                    stage: Stage::Verify,
                    error: format!("its mirror is no longer in its place, and GitHub no longer has the {}", kind.label()),
                    hint: format!(
                        "look for it in `.ghbk` and in the backups of the file system; if it is meant to be gone: `ghbk \
                         forget {} --{}`",
                        repository.full_name,
                        kind.label()
                    ),
                }),
                Err((stage, error)) => {
                    let (text, hint) = match (&error, timed_out) {
                        (GitError::Cancelled, Some(limit)) => (
                            format!("it took longer than {}", humantime::format_duration(limit)),
                            "raise limits.repository_timeout, or check limits.bandwidth and the network".to_owned(),
                        ),
                        _ => (error.to_string(), error.hint_for(MirrorKind::split_name(&name).0)),
                    };
                    outcome.transient |= error.retry() != Retry::Never;
                    let failure = Failure { repository: name, stage, error: text, hint };
                    let is_limited = matches!(&error, GitError::Wire(error) if error.is_limit());
                    let is_spent = is_limited && self.gate.is_exhausted(Resource::Git);
                    if is_spent || is_fatal(&error, self.store.root()) {
                        ends_the_run = Some(of_all(&failure));
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

/// Makes the failure of one mirror that of the whole run.
pub(super) fn of_all(failure: &Failure) -> Failure {
    Failure {
        repository: "all".to_owned(),
        error: format!("the run had to stop: {}", failure.error),
        ..failure.clone()
    }
}
