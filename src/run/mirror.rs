//! One repository, with its wiki: ask, compare, stage, publish.

use std::collections::HashSet;
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::remarks::{Changed, Remarks};
use super::turns::Turns;
use super::{Progress, is_fatal};
use crate::clock::Clock;
use crate::config::Config;
use crate::git::mirror::changes::{ChangeKind, RefChange};
use crate::git::mirror::consolidate::{Policy, consolidate};
use crate::git::mirror::publish::{Publication, publish};
use crate::git::mirror::snapshot::Occasion;
use crate::git::mirror::stage::{Download, Staged, stage, stage_repair};
use crate::git::mirror::verify::{Thoroughness, verify};
use crate::git::pack::list::PackList;
use crate::git::refs::{Refs, SNAPSHOTS_REF};
use crate::git::wire::advertisement::Advertisement;
use crate::git::wire::server::GitServer;
use crate::git::wire::transfer::Transfer;
use crate::git::{GitError, temporary_folder};
use crate::limits::{Gate, Resource, Retry, Retryable as _, with_retries};
use crate::names::{FullName, RepositoryId, RunId};
use crate::outcome::{Failure, Outcome, Stage, State};
use crate::plan::Step;
use crate::store::{Ledger, Lock, Look, Mirror, MirrorKind, Record, Store, layout};
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
}

/// What came of one repository.
pub(super) struct Done {
    pub(super) outcome: Outcome,
    /// Set if nothing else can succeed either.
    pub(super) ends_the_run: Option<Failure>,
}

/// One of the two git repositories behind a GitHub repository.
struct Part<'a> {
    id: RepositoryId,
    full_name: &'a FullName,
    kind: MirrorKind,
    /// HEAD as the index knows it.
    stored_head: Option<&'a str>,
    /// Whether nothing else is under way.
    is_alone: bool,
    /// Its packs as the index knows them.
    known_packs: Option<&'a PackList>,
    /// Whether a record says that there was a mirror of it, and it is not known any more.
    was_lost: bool,
    /// Whether the mirror could not be asked whose it is.
    is_unconfirmed: bool,
    /// What GitHub's API says, for repositories whose HEAD points at no branch yet.
    default_branch: Option<&'a str>,
}

impl<'a> Part<'a> {
    fn code(step: &'a Step) -> Self {
        let repository = &step.repository;
        Self {
            id: repository.id,
            full_name: &repository.full_name,
            kind: MirrorKind::Code,
            stored_head: step.stored.as_ref().and_then(|stored| stored.head.as_deref()),
            is_alone: step.is_alone,
            known_packs: step.stored.as_ref().and_then(|stored| stored.packs.as_ref()),
            was_lost: step.lost.code,
            is_unconfirmed: step.stored.as_ref().is_some_and(|stored| stored.is_unconfirmed),
            default_branch: repository.default_branch.as_deref(),
        }
    }

    /// Returns the wiki, if there may be one.
    fn wiki(step: &'a Step) -> Option<Self> {
        let stored_head = step.stored.as_ref().and_then(|stored| stored.wiki_head.as_deref());
        let known_packs = step.stored.as_ref().and_then(|stored| stored.wiki_packs.as_ref());
        let was_lost = step.lost.wiki;
        let kind = MirrorKind::Wiki;
        let wiki = Part { kind, stored_head, known_packs, was_lost, default_branch: None, ..Self::code(step) };
        step.repository.has_wiki.then_some(wiki)
    }

    /// Returns the name in reports and on the git server.
    fn name(&self) -> String {
        self.kind.name_of(self.full_name)
    }
}

/// How a part's mirror stands now.
struct Synced {
    state: State,
    head: String,
    remarks: Remarks,
    /// Its packs, if they are others than the index knew.
    packs: Option<PackList>,
    changed: Changed,
}

/// What is being read of a part's mirror before its turn; none if nothing is.
type ReadAhead = Option<tokio::task::JoinHandle<Result<Option<Stored>, GitError>>>;

/// A step with what is being read of its mirrors before its turn.
pub(super) struct Prepared {
    step: Step,
    code: ReadAhead,
    wiki: ReadAhead,
}

type PartResult = Result<Synced, (Stage, GitError)>;

/// The outcome of asking and downloading.
enum Attempt {
    Unchanged { head: String, remarks: Remarks, packs: Option<PackList> },
    Changed(Box<Change>),
}

/// What a mirror has.
struct Stored {
    refs: Refs,
    head: Option<String>,
    /// What a look at it told, if the index knew what there should be.
    look: Option<Look>,
}

/// What is known of a mirror before anything is compared with GitHub.
#[derive(Default)]
struct Inspected {
    problems: Vec<String>,
    is_head_lost: bool,
    /// Its packs, if they are others than the index knew.
    packs: Option<PackList>,
}

/// What is ready to be published.
struct Change {
    stored: Option<Stored>,
    is_repair: bool,
    staged: Staged,
    head: String,
    /// Whether the mirror says so already.
    keeps_head: bool,
    remarks: Remarks,
    /// The packs that the mirror has before.
    packs: Option<PackList>,
    scratch: tempfile::TempDir,
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
                Some(Done { outcome, ends_the_run: None })
            }
        }
    }

    async fn mirror_unguarded(
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
    async fn both(
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

    fn mirror_of(&self, part: &Part<'_>) -> Mirror {
        self.store.mirror_at(&layout::place(part.full_name), part.kind)
    }

    async fn sync(
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
                Ok(Synced { state: State::Unchanged, head, remarks, packs, changed })
            }
            Attempt::Changed(change) => {
                self.publish(part, mirror, *change, cancel).await.map_err(|error| (Stage::Publish, error))
            }
        }
    }

    /// Asks what there is; downloads what is new.
    async fn attempt(
        &self,
        part: &Part<'_>,
        mirror: &Mirror,
        ahead: ReadAhead,
        transfer: &Arc<Transfer>,
        cancel: &CancellationToken,
    ) -> Result<Attempt, GitError> {
        let observed_at = self.clock.now();
        let name = part.name();
        let advertise = self.server.advertise(&name, &transfer.waited);
        let exists = || mirror.exists().map_err(GitError::io("examine", mirror.path()));
        let damaged = (self.repair && exists()?).then(|| mirror.path().to_owned());
        let ((advertisement, repository_url), stored) = if damaged.is_some() {
            (advertise.await?, None)
        } else if part.stored_head.is_some() {
            // Both answer in milliseconds; to ask one after the other would double them.
            let stored =
                ahead.unwrap_or_else(|| tokio::task::spawn_blocking(read_stored(part, &self.store, mirror.clone())));
            let (advertised, stored) = tokio::join!(advertise, joined(stored));
            // What the store says counts whatever GitHub says: of what GitHub no longer has, it is all there is.
            let stored = stored?;
            match advertised {
                Err(GitError::NotFound) if part.kind == MirrorKind::Wiki => {
                    return self.gone_wiki(part, mirror, stored, cancel).await;
                }
                advertised => (advertised?, stored),
            }
        } else {
            // The server first: most wikis do not exist, and then the store need not be asked.
            (advertise.await?, blocking(read_stored(part, &self.store, mirror.clone())).await?)
        };
        let stored_head = stored.as_ref().and_then(|stored| stored.head.as_deref());
        let head = choose_head(&advertisement, part.default_branch, stored_head);
        let mut inspected = match &stored {
            Some(stored) => self.inspect(part, mirror, stored.look.as_ref(), cancel).await?,
            None => Inspected::default(),
        };
        let known_packs = inspected.packs.take();
        if let Some(stored) = &stored {
            let of_remote = stored.refs.of_remote();
            // To begin a new history beside the one that is only out of sight would lose it.
            if stored.refs.get(SNAPSHOTS_REF).is_none() {
                return Err(GitError::Damaged(format!("it has no {SNAPSHOTS_REF}")));
            }
            if of_remote == advertisement.refs && stored_head == Some(&head) && !inspected.is_head_lost {
                let remarks = Remarks::on(advertisement, inspected.problems, inspected.is_head_lost);
                return Ok(Attempt::Unchanged { head, remarks, packs: known_packs });
            }
            if advertisement.refs.is_empty() && !of_remote.is_empty() {
                return Err(GitError::Emptied(of_remote.len()));
            }
        }
        self.note_under_way(part).await;
        let scratch = temporary_folder("stage-", &self.scratch)?;
        let occasion =
            Occasion { run_id: self.run_id.clone(), observed_at, full_name: part.full_name.clone(), id: part.id };
        let server = Arc::clone(&self.server);
        let folder = mirror.path().to_owned();
        let (transfer, cancel) = (Arc::clone(transfer), cancel.clone());
        let object_size_max = self.config.limits.object_size;
        let (expected, asked) = (head.clone(), mirror.clone());
        let is_same = stored_head == Some(&head);
        let packs = known_packs.or_else(|| part.known_packs.cloned());
        // What the index knows may be gone from the mirror, and without HEAD git takes it for no repository.
        let keeps_head = blocking(move || Ok(is_same && asked.may_have_head(&expected)?));
        let change = blocking(move || {
            let nothing = Refs::default();
            let stored_refs = stored.as_ref().map_or(&nothing, |stored| &stored.refs);
            let download = Download {
                server,
                repository_url,
                advertisement: &advertisement,
                head: &head,
                occasion: &occasion,
                stored: stored_refs,
                stored_head: stored.as_ref().and_then(|stored| stored.head.as_deref()),
                mirror: stored.is_some().then_some(folder),
                scratch: scratch.path(),
                transfer,
                object_size_max,
                cancel,
            };
            let staged = match &damaged {
                Some(damaged) => stage_repair(&download, damaged)?,
                None => stage(&download)?,
            };
            let (is_repair, remarks) =
                (damaged.is_some(), Remarks::on(advertisement, inspected.problems, inspected.is_head_lost));
            Ok(Change { stored, is_repair, staged, head, keeps_head: false, remarks, packs, scratch })
        });
        let (change, keeps_head) = tokio::join!(change, keeps_head);
        let change = change?;
        Ok(Attempt::Changed(Box::new(Change { keeps_head: keeps_head?, ..change })))
    }

    /// Looks at the mirror of a wiki that GitHub no longer has.
    async fn gone_wiki(
        &self,
        part: &Part<'_>,
        mirror: &Mirror,
        stored: Option<Stored>,
        cancel: &CancellationToken,
    ) -> Result<Attempt, GitError> {
        let Some(stored) = stored else { return Err(GitError::NotFound) };
        let Inspected { mut problems, is_head_lost, packs } =
            self.inspect(part, mirror, stored.look.as_ref(), cancel).await?;
        if is_head_lost {
            problems.push("its HEAD is missing or changed".to_owned());
        }
        let remarks = Remarks { problems, is_gone: true, ..Remarks::default() };
        Ok(Attempt::Unchanged { head: stored.head.unwrap_or_default(), remarks, packs })
    }

    /// Follows up what a look at a mirror told: packs that are others than the last run left are right if the mirror is whole
    /// with them, as after a `git gc` by hand or a run that was cut off. So are those of which no record is left.
    async fn inspect(
        &self,
        part: &Part<'_>,
        mirror: &Mirror,
        look: Option<&Look>,
        cancel: &CancellationToken,
    ) -> Result<Inspected, GitError> {
        let mut problems = look.map(|look| look.problems.clone()).unwrap_or_default();
        let is_head_lost = look.is_some_and(|look| look.is_head_lost);
        let reason = match look {
            Some(look) if look.packs_differ.is_empty() => {
                return Ok(Inspected { problems, is_head_lost, packs: None });
            }
            Some(look) => look.packs_differ[0].clone(),
            None => "no record tells what it had".to_owned(),
        };
        tracing::info!(
            mirror = part.name(),
            reason,
            "its packs are not known to be those that the last run left; verifying it"
        );
        self.note_under_way(part).await;
        // Each takes the room of a pack in scratch, and after the loss of all records every mirror has its turn.
        let _alone = self.inspecting.lock().await;
        let (mirror, scratch, cancel) = (mirror.clone(), self.scratch.clone(), cancel.clone());
        let id = part.id;
        let (store, held, name) = (self.store.clone(), Arc::clone(&self.lock), part.name());
        let (verified, packs) = blocking(move || {
            // Two that were swapped by hand would get each other's history.
            if mirror.identity()?.is_some_and(|(owner, _)| owner != id) {
                return Err(GitError::InTheWay(mirror.path().to_owned()));
            }
            let verified = verify(mirror.path(), &scratch, Thoroughness::Connected, &cancel)?;
            store.refuse_links_on_the_way(&mirror.path().join("config"))?;
            held.confirm()?;
            // Mirrors of older versions of ghbk come by here once.
            if verified.damage.is_empty()
                && let Err(error) = mirror.refuse_pushes()
            {
                tracing::warn!(mirror = name, %error, "it goes on taking pushes");
            }
            Ok((verified, PackList::of_mirror(mirror.path()).ok()))
        })
        .await?;
        if let Some(damage) = verified.damage.first() {
            let more = verified.damage.len() - 1;
            let more = if more == 0 { String::new() } else { format!(", and {more} more") };
            let damage = damage.to_string();
            // Both may tell of the same pack.
            let damage = if damage.contains(&reason) { damage } else { format!("{reason}; {damage}") };
            problems.push(format!("{damage}{more}"));
        }
        // What is damaged is looked at again by every run.
        let packs = packs.filter(|_| verified.damage.is_empty());
        Ok(Inspected { problems, is_head_lost, packs })
    }

    fn policy(&self) -> Policy {
        let keep = self.config.retention.keep.and_then(|keep| chrono::TimeDelta::from_std(keep).ok());
        Policy {
            packs_max: self.config.store.packs_max,
            keep_since: keep.and_then(|keep| self.clock.now().checked_sub_signed(keep)),
        }
    }

    /// Merges the packs of a mirror whose merging was interrupted.
    async fn merge_again(
        &self,
        part: &Part<'_>,
        mirror: Mirror,
        cancel: &CancellationToken,
        changed: &mut Changed,
    ) -> Option<PackList> {
        if part.is_alone {
            changed.leave_unmerged();
            return None;
        }
        self.note_under_way(part).await;
        let (lock, policy) = (Arc::clone(&self.lock), self.policy());
        let (parent, cancel) = (self.scratch.clone(), cancel.clone());
        let (store, folder) = (self.store.clone(), mirror.path().to_owned());
        let merged = blocking(move || {
            store.refuse_links_on_the_way(&mirror.path().join("objects/pack"))?;
            lock.confirm()?;
            let scratch = temporary_folder("stage-", &parent)?;
            let merged = consolidate(mirror.path(), scratch.path(), policy, &cancel);
            Ok((merged, PackList::of_mirror(mirror.path()).ok()))
        });
        let (merged, packs) = merged.await.unwrap_or_else(|error| (Err(error), None));
        changed.note_merged(merged, &folder);
        packs
    }

    async fn publish(
        &self,
        part: &Part<'_>,
        mirror: Mirror,
        change: Change,
        cancel: &CancellationToken,
    ) -> Result<Synced, GitError> {
        let store = self.store.clone();
        let building = store.mirror_at(&layout::incoming(part.id), part.kind);
        let (id, full_name, is_alone) = (part.id, part.full_name.clone(), part.is_alone);
        let aside = store.mirror_at(&layout::damaged(part.full_name, part.id, &self.run_id), part.kind);
        let policy = self.policy();
        let cancel = cancel.clone();
        let lock = Arc::clone(&self.lock);
        let was_known = part.stored_head.is_some() || part.was_lost;
        blocking(move || {
            let Change { stored, is_repair, staged, head, keeps_head, remarks, packs: packs_before, scratch } = change;
            let new_head = (!keeps_head).then_some(head.as_str());
            let compared = stored.as_ref().map(|stored| &stored.refs);
            let may_go_on = || lock.confirm().map_err(GitError::from);
            let publication = Publication {
                packs: &staged.packs,
                refs: &staged.refs,
                compared,
                head: new_head,
                may_go_on: &may_go_on,
            };
            // A new mirror is renamed into its place, which a link in the way refuses.
            if is_repair {
                store.refuse_links_on_the_way(mirror.path())?;
            } else if stored.is_some() {
                store.refuse_links_on_the_way(&mirror.path().join("objects/pack"))?;
            }
            lock.confirm()?;
            let state = if is_repair {
                let old = (mirror.path(), aside.path());
                store.replace_mirror(&building, &mirror, old, (id, &full_name), &publication)?;
                State::Updated
            } else if stored.is_some() {
                publish(mirror.path(), &publication)?;
                State::Updated
            } else {
                store.create_mirror(&building, &mirror, (id, &full_name), &publication)?;
                State::Created
            };
            let named = |kinds: &[ChangeKind]| {
                let wanted = |change: &&RefChange| change.is_branch_or_tag() && kinds.contains(&change.kind);
                staged.changes.iter().filter(wanted).map(|change| change.name.clone()).collect()
            };
            let mut changed = Changed {
                force_pushed: named(&[ChangeKind::ForcePushed, ChangeKind::Moved]),
                deleted_refs: named(&[ChangeKind::Deleted]),
                tips_kept: staged.kept,
                repaired: is_repair,
                lost: staged.lost,
                ..Changed::default()
            };
            changed.was_missing = state == State::Created && was_known;
            if is_repair {
                let aside = aside.path().display();
                let advice = if changed.lost.is_empty() {
                    "remove it when you no longer need it"
                } else {
                    "keep it, something in it could not be read"
                };
                changed
                    .warnings
                    .push(format!("it is made afresh; the mirror that it replaces is kept in {aside}: {advice}"));
            }
            let is_kept = stored.is_some() && !is_repair;
            let mut packs = PackList::of(&staged.packs).ok();
            if is_kept {
                packs = packs_before.zip(packs).map(|(before, new)| before.and(new));
            }
            let is_crowded = staged.stored_packs + staged.packs.len() > policy.packs_max;
            if is_crowded && is_alone {
                changed.leave_unmerged();
            } else if is_crowded {
                let merged = lock.confirm().map_err(GitError::from);
                let merged = merged.and_then(|()| consolidate(mirror.path(), scratch.path(), policy, &cancel));
                changed.note_merged(merged, mirror.path());
                packs = PackList::of_mirror(mirror.path()).ok();
            }
            Ok(Synced { state, head, remarks, packs, changed })
        })
        .await
    }

    /// Records what is under way: `ghbk status` shows it, and if the process is killed, the next run suspects it. A failure
    /// to write shows elsewhere.
    async fn note_under_way(&self, part: &Part<'_>) {
        let record = Record::UnderWay { id: part.id, full_name: part.full_name.clone(), is_alone: part.is_alone };
        if let Err(error) = self.ledger.write_apart(record).await {
            tracing::warn!(%error, "the record is not written");
        }
    }

    fn sum_up(
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
        let mut ends_the_run = None;
        for (kind, result) in results {
            let name = kind.name_of(&repository.full_name);
            match result {
                Ok(synced) => {
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
        Done { outcome, ends_the_run }
    }
}

/// Returns what reads a mirror; that returns none if there is no mirror.
fn read_stored(
    part: &Part<'_>,
    store: &Store,
    mirror: Mirror,
) -> impl FnOnce() -> Result<Option<Stored>, GitError> + Send + use<> {
    let (id, store) = (part.id, store.clone());
    let known_head = part.stored_head.filter(|_| !part.is_unconfirmed).map(str::to_owned);
    let known_packs = part.known_packs.cloned();
    move || {
        // Most that the index does not know are not there.
        if known_head.is_none() && !mirror.exists().map_err(GitError::io("examine", mirror.path()))? {
            return Ok(None);
        }
        let refs = mirror.refs();
        if matches!(refs, Ok(None)) {
            return Ok(None);
        }
        if let Some(head) = known_head {
            let Some(refs) = refs? else { return Ok(None) };
            let look = known_packs.map(|packs| mirror.look(&packs, &head)).transpose()?;
            return Ok(Some(Stored { refs, head: Some(head), look }));
        }
        // Only a mirror that the index does not know can belong to somebody else.
        let identity = mirror.identity()?;
        if identity.is_none() && matches!(&refs, Ok(Some(refs)) if refs.get(SNAPSHOTS_REF).is_some()) {
            return Err(GitError::Damaged("its config does not say whose it is".to_owned()));
        }
        let is_foreign = mirror.host()?.is_some_and(|host| !store.is_own_host(&host));
        if is_foreign || identity.is_none_or(|(owner, _)| owner != id) {
            return Err(GitError::InTheWay(mirror.path().to_owned()));
        }
        let Some(refs) = refs? else { return Ok(None) };
        let head = mirror.head()?;
        Ok(Some(Stored { refs, head, look: None }))
    }
}

/// Decides what HEAD says: what the server advertises, else what the API says, else what it said before.
fn choose_head(advertisement: &Advertisement, default_branch: Option<&str>, stored: Option<&str>) -> String {
    let from_api =
        default_branch.map(|branch| format!("refs/heads/{branch}")).filter(|name| git2::Reference::is_valid_name(name));
    let valid = |name: &String| name.starts_with("refs/heads/") && git2::Reference::is_valid_name(name);
    match advertisement.head.clone().filter(valid).or(from_api) {
        Some(branch) => format!("ref: {branch}"),
        None => stored.unwrap_or("ref: refs/heads/main").to_owned(),
    }
}

/// Runs blocking work on its own thread.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, GitError> + Send + 'static,
) -> Result<T, GitError> {
    joined(tokio::task::spawn_blocking(work)).await
}

async fn joined<T>(task: tokio::task::JoinHandle<Result<T, GitError>>) -> Result<T, GitError> {
    task.await.unwrap_or_else(|error| Err(GitError::Task(error.to_string())))
}
