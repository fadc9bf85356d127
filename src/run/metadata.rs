//! Brings the metadata of a repository that has to be looked at up to date: fetches, and publishes a commit.
//!
//! This waits for nobody's refs, and they do not wait for it.

use std::path::Path;
use std::sync::{Arc, PoisonError};

use chrono::{DateTime, Utc};
use git2::Oid;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::attempt::{Change, Inspected, Stored, read_stored};
use super::kinds::TaskDone;
use super::metadata_due::{Due, PROBE};
use super::metadata_report::Report;
use super::mirror_step::{MirrorStep, blocking};
use super::remarks::Remarks;
use super::repository::{Worker, of_all};
use super::{Progress, is_fatal};
use crate::git::GitError;
use crate::git::mirror::compose::{BRANCH, Composed, Composer, HEAD, carry_over};
use crate::git::mirror::salvage::Salvaged;
use crate::git::mirror::snapshot::{self, Occasion, Snapshot};
use crate::git::pack::list::PackList;
use crate::git::pack::reader::ObjectReader;
use crate::git::refs::SNAPSHOTS_REF;
use crate::git::temporary_folder;
use crate::git::wire::transfer::Transfer;
use crate::metadata::about::{About, FORMAT, KindAbout, Whose};
use crate::metadata::{self, Assembled, Fetched, Fetcher, History, MetadataError, Scope, Spool};
use crate::mirrors::MirrorKind;
use crate::outcome::{Kind, PartCounts};
use crate::store::Mirror;

/// The name of the kind in `about.json`.
const KIND: &str = "issues";

impl Worker {
    /// Brings a repository's metadata up to date; none if nothing is new.
    pub(super) async fn metadata(&self, due: Due, progress: &dyn Progress, cancel: CancellationToken) -> TaskDone {
        let started = Instant::now();
        let transfer = Arc::new(Transfer::default());
        let step = MirrorStep::new(&due.step, MirrorKind::Metadata);
        let mut report = Report::new(&step, due.mark());
        let turn = tokio::select! {
            turn = self.metadata.turns.acquire() => turn.ok(),
            () = cancel.cancelled() => None,
        };
        if turn.is_none() {
            return Some(report.cut_off(self.clock.now())).into();
        }
        if due.is_likely_same && self.is_as_left(&due, &step).await {
            match self.is_still_the_same(&due).await {
                Ok(true) => {
                    let mut looked_at = self.looked_at.lock().unwrap_or_else(PoisonError::into_inner);
                    looked_at.insert((step.id, step.kind));
                    return TaskDone::default();
                }
                Ok(false) => {}
                Err(error) => {
                    report.fail(&error.into());
                    return Some(report.outcome(self.clock.now())).into();
                }
            }
        }
        progress.started_part(Kind::Issues, &step.name(), &transfer);
        let mut ends_the_run = false;
        match self.bring_metadata(&due, &step, &transfer, &cancel, &mut report).await {
            Ok(()) => {}
            Err(MetadataError::Git(GitError::Cancelled)) => return Some(report.cut_off(self.clock.now())).into(),
            Err(error) => {
                ends_the_run = self.ends_the_run(&error);
                report.fail(&error);
            }
        }
        let mut outcome = report.outcome(self.clock.now());
        outcome.duration_milliseconds = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        progress.finished_part(&outcome);
        let ends_the_run = outcome.failures.last().filter(|_| ends_the_run).map(of_all);
        TaskDone { part: Some(outcome), ends_the_run }
    }

    /// Says whether nothing that comes after this can succeed.
    fn ends_the_run(&self, error: &MetadataError) -> bool {
        match error {
            MetadataError::Git(error) => is_fatal(error, self.store.root()),
            MetadataError::GitHub(error) => error.ends_the_run(),
            MetadataError::Spool { .. } | MetadataError::TooNew { .. } => false,
        }
    }

    async fn bring_metadata(
        &self,
        due: &Due,
        step: &MirrorStep<'_>,
        transfer: &Transfer,
        cancel: &CancellationToken,
        report: &mut Report,
    ) -> Result<(), MetadataError> {
        if step.held.is_none() && self.between_places.contains(&(step.id, step.kind)) {
            return Err(GitError::Damaged("it is not in its place, but below `.ghbk`".to_owned()).into());
        }
        let mirror = self.mirror_of(step);
        let scratch = temporary_folder("metadata-", &self.scratch)?;
        let is_repair = self.repair && mirror.exists().map_err(GitError::io("examine", mirror.path()))?;
        let mut base = self.base(step, is_repair, scratch.path(), cancel, report).await?;
        let ended = cancel.clone();
        let (known, base) = blocking(move || {
            let known = base.newest.survey(is_repair, &ended)?;
            Ok((known, base))
        })
        .await?;
        let before = base.newest.about();
        if let Some(format) = before.as_ref().map(|about| about.format).filter(|format| *format > FORMAT) {
            return Err(MetadataError::TooNew { format });
        }
        let mark = before.as_ref().and_then(|about| about.kinds.get(KIND)?.mark);
        let stated = due.probe.as_ref().map(|probe| probe.items);
        let scope = Scope { is_full: due.is_full || mark.is_none(), mark, stated };
        // Before anything is read: what changes meanwhile must not pass for seen.
        let mut seen = self.seen(due).await;
        let mut spool = Spool::begin(&scratch.path().join("spool"))?;
        let github = Fetcher {
            github: &self.metadata.github,
            graphql: &self.metadata.graphql,
            canonical: &self.metadata.canonical,
            full_name: step.full_name,
            id: step.id,
            transfer,
        };
        let limit = self.config.metadata.timeout;
        let fetched = tokio::select! {
            fetched = github.fetch(known, scope, &mut spool) => fetched?,
            () = transfer.waited.sleep_beside(limit) => {
                report.late(limit);
                return Ok(());
            }
            () = cancel.cancelled() => return Err(GitError::Cancelled.into()),
        };
        // What came may have been written until now, so it is no state of an earlier time.
        let observed_at = self.clock.now();
        let occasion =
            Occasion { run_id: self.run_id.clone(), observed_at, full_name: step.full_name.clone(), id: step.id };
        let about = about(step, &fetched, observed_at);
        let known_packs = base.packs.clone();
        let assembly = Assembly { base, fetched, spool, about, occasion, is_repair, scratch };
        let ended = cancel.clone();
        let folder = mirror.path().to_owned();
        let assembled = tokio::task::spawn_blocking(move || assembly.carry_out(&folder, &ended)).await;
        let (assembled, fetched, change) = assembled.map_err(|error| GitError::Task(error.to_string()))??;
        let synced = match change {
            Some(change) => {
                report.publishing(step.held);
                Some(self.publish(step, mirror, *change, cancel).await?)
            }
            None => None,
        };
        let (is_complete, as_of) = (fetched.problems.is_empty(), fetched.as_of);
        // After a manual `git gc`, say: verified once is enough.
        if synced.is_none() && known_packs.as_ref() != step.known_packs() {
            report.hold(HEAD, known_packs);
        }
        report.take(fetched, assembled, synced);
        if is_complete {
            let settled = due.probe.iter().filter(|probe| as_of.is_some_and(|as_of| probe.is_settled(as_of)));
            seen.extend(settled.map(|probe| (PROBE.to_owned(), probe.text.clone())));
            report.seen = seen;
        }
        Ok(())
    }

    /// Reads what is stored.
    async fn base(
        &self,
        step: &MirrorStep<'_>,
        is_repair: bool,
        scratch: &Path,
        cancel: &CancellationToken,
        report: &mut Report,
    ) -> Result<Base, MetadataError> {
        let mirror = self.mirror_of(step);
        let (folder, scratch, ended) = (mirror.path().to_owned(), scratch.to_owned(), cancel.clone());
        if is_repair {
            return Ok(blocking(move || {
                let salvaged = carry_over(&folder, &scratch, &ended)?;
                // If the newest state cannot be read, the one before it has what is gone from GitHub, too.
                let newest = salvaged.refs.get(BRANCH).map(|target| target.oid);
                let commits = newest.into_iter().chain(states(&mirror, &scratch)?);
                let newest = metadata::Stored::open_damaged(&folder, commits, &scratch, &ended)?;
                Ok(Base { stored: None, packs: None, newest, salvaged: Some(salvaged), is_head_lost: false })
            })
            .await?);
        }
        let stored = blocking(read_stored(step, &self.store, mirror.clone())).await?;
        let inspected = match &stored {
            Some(stored) => self.inspect(step, &mirror, stored.look.as_ref(), cancel).await?,
            None => Inspected::default(),
        };
        report.problems(&inspected.problems);
        for name in [BRANCH, SNAPSHOTS_REF] {
            // Starting a new history would lose the old one, which is only out of sight.
            if stored.as_ref().is_some_and(|stored| stored.refs.get(name).is_none()) {
                return Err(GitError::Damaged(format!("it has no {name}")).into());
            }
        }
        let packs = inspected.packs.or_else(|| step.known_packs().cloned());
        let commit = stored.as_ref().and_then(|stored| stored.refs.get(BRANCH)).map(|target| target.oid);
        let newest = blocking(move || match commit {
            Some(commit) => metadata::Stored::open(&folder, commit, &scratch, &ended),
            None => Ok(metadata::Stored::default()),
        });
        let is_head_lost = inspected.is_head_lost;
        Ok(Base { stored, packs, newest: newest.await?, salvaged: None, is_head_lost })
    }
}

/// What is stored when a repository has its turn.
struct Base {
    stored: Option<Stored>,
    /// The packs that the mirror had before.
    packs: Option<PackList>,
    newest: metadata::Stored,
    /// What a repair carries over.
    salvaged: Option<Salvaged>,
    /// Whether HEAD was lost and has to be written again.
    is_head_lost: bool,
}

/// All that is put together into a new commit.
struct Assembly {
    base: Base,
    fetched: Fetched,
    spool: Spool,
    about: About,
    occasion: Occasion,
    is_repair: bool,
    scratch: tempfile::TempDir,
}

type Ready = (Assembled, Fetched, Option<Box<Change>>);

impl Assembly {
    fn carry_out(self, mirror: &Path, cancel: &CancellationToken) -> Result<Ready, MetadataError> {
        let Self { base, mut fetched, mut spool, about, occasion, is_repair, scratch } = self;
        let Base { stored, packs, newest, salvaged, is_head_lost } = base;
        // Of what a damaged mirror has, only that is there which was carried over.
        let carried =
            salvaged.as_ref().map(|_| ObjectReader::of_folder(&scratch.path().join("objects/pack"))).transpose()?;
        let there = carried.as_ref().or(newest.objects());
        let parent = newest.commit().filter(|commit| there.is_some_and(|there| there.contains(*commit)));
        let history = History { parent, is_anew: is_repair, is_wanted: is_head_lost };
        let composer = Composer::begin(scratch.path(), there)?;
        let (assembled, composer) =
            metadata::assemble((&newest, composer), &mut fetched, &mut spool, (&about, history), &occasion, cancel)?;
        let Some(commit) = assembled.commit else { return Ok((assembled, fetched, None)) };
        let pack = composer.end()?;
        let made = Composed { commit, pack: &pack, occasion: &occasion, scratch: scratch.path() };
        let mut staged = if let Some(salvaged) = salvaged {
            made.stage_repair(salvaged, cancel)?
        } else {
            let there = stored.as_ref().map(|stored| (mirror, &stored.refs, stored.head.as_deref()));
            made.stage(there, cancel)?
        };
        staged.lost.extend(newest.lost().iter().chain(&assembled.lost).cloned());
        let head = stored.as_ref().and_then(|stored| stored.head.as_deref());
        let keeps_head = head == Some(HEAD) && !is_head_lost;
        let change = Change {
            stored,
            is_repair,
            staged,
            head: HEAD.to_owned(),
            keeps_head,
            remarks: Remarks::default(),
            packs,
            scratch,
        };
        Ok((assembled, fetched, Some(Box::new(change))))
    }
}

/// Describes what came.
fn about(step: &MirrorStep<'_>, fetched: &Fetched, observed_at: DateTime<Utc>) -> About {
    let kind = KindAbout {
        as_of: fetched.as_of.unwrap_or(observed_at),
        mark: fetched.mark,
        counts: PartCounts::new(),
        is_disabled: fetched.is_disabled,
    };
    About {
        format: FORMAT,
        api_version: crate::github::API_VERSION.to_owned(),
        repository: Whose { id: step.id, full_name: step.full_name.clone() },
        kinds: [(KIND.to_owned(), kind)].into(),
    }
}

/// Lists the commits that a damaged mirror's snapshots name, newest first.
fn states(mirror: &Mirror, scratch: &Path) -> Result<Vec<Oid>, GitError> {
    let history = match mirror.snapshots(scratch) {
        Ok(Some(history)) => history,
        Ok(None) | Err(GitError::Damaged(_)) => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let state = |snapshot: &Snapshot| {
        let content = snapshot::content(history.view.objects(), snapshot.oid).ok()?;
        Some(content.refs.get(BRANCH)?.oid)
    };
    Ok(history.snapshots.iter().filter_map(state).collect())
}
