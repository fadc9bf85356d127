//! The metadata of a repository: finds out whether something is new, fetches it, and publishes a commit of it.
//!
//! This waits for nobody's refs, and they do not wait for it. What a newcomer would get wrong: most repositories cost a fiftieth
//! of a question, and their mirrors are not opened.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::{Stream, StreamExt};
use git2::Oid;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::attempt::{Change, Inspected, Stored, read_stored};
use super::kinds::TaskDone;
use super::metadata_report::Report;
use super::mirror_step::{MirrorStep, blocking};
use super::remarks::Remarks;
use super::repository::{Worker, of_all};
use super::{Progress, apart, is_fatal, unlisted};
use crate::config::{Config, MetadataConfig, MetadataKind};
use crate::git::GitError;
use crate::git::mirror::compose::{BRANCH, Composed, Composer, HEAD, carry_over};
use crate::git::mirror::salvage::Salvaged;
use crate::git::mirror::snapshot::{self, Occasion, Snapshot};
use crate::git::pack::list::PackList;
use crate::git::pack::reader::ObjectReader;
use crate::git::refs::SNAPSHOTS_REF;
use crate::git::temporary_folder;
use crate::git::wire::transfer::Transfer;
use crate::github::{Fresh, GitHub, GitHubError, Globs, GraphQl, KnownAnswer};
use crate::metadata::about::{About, FORMAT, KindAbout, Whose};
use crate::metadata::canonical::Canonical;
use crate::metadata::probe::{Probe, Probed};
use crate::metadata::{self, Assembled, Fetched, Fetcher, History, MetadataError, Scope, Spool};
use crate::mirrors::MirrorKind;
use crate::outcome::{Failure, Kind, PartCounts, Seen, Stage};
use crate::outside::Outside;
use crate::plan::Step;
use crate::store::{Mark, Mirror};
use crate::text::count;

/// How many repositories one question is about.
const PROBED_AT_ONCE: usize = 50;
/// How many repositories have their turn at once: each takes disk and memory, and GitHub's limits are the same for all.
const AT_ONCE: usize = 4;
/// The name of the kind in `about.json`.
const KIND: &str = "issues";

/// What the work on all repositories' metadata shares.
pub(super) struct Shared {
    github: Arc<GitHub>,
    graphql: Arc<GraphQl>,
    canonical: Arc<Canonical>,
    globs: Option<Globs>,
    turns: tokio::sync::Semaphore,
    /// How many repositories of each owner the token may not read.
    forbidden: Mutex<BTreeMap<String, u64>>,
}

impl Shared {
    pub(super) fn new(outside: &Outside, config: &Config) -> Self {
        let MetadataConfig { kinds, include, exclude, .. } = &config.metadata;
        // The configuration check has already built these globs.
        let globs = || Globs::new(include, exclude).unwrap_or_else(|_| Globs::nothing());
        let addresses = [config.github.api_url.as_str(), &format!("https://{}", outside.git_host())];
        let origins = addresses.iter().filter_map(|address| address.parse::<url::Url>().ok());
        let origins = origins.map(|url| format!("{}/", url.origin().ascii_serialization()));
        Self {
            github: Arc::clone(outside.github()),
            graphql: Arc::clone(outside.graphql()),
            canonical: Arc::new(Canonical::new(origins)),
            globs: kinds.contains(&MetadataKind::Issues).then(globs),
            turns: tokio::sync::Semaphore::new(AT_ONCE),
            forbidden: Mutex::default(),
        }
    }

    fn takes(&self, step: &Step) -> bool {
        self.globs.as_ref().is_some_and(|globs| globs.take(&step.repository.full_name))
    }
}

/// A repository whose metadata have to be looked at.
#[derive(Clone, Debug)]
pub(super) struct Due {
    step: Step,
    probe: Option<Probe>,
    /// Whether everything is read again.
    is_full: bool,
    /// Whether only what the probe does not see can be new.
    is_likely_same: bool,
}

impl Due {
    fn mark(&self) -> Option<&Mark> {
        self.step.stored.as_ref().and_then(|stored| stored.parts.get(MirrorKind::Metadata, Kind::Issues))
    }

    fn totals(&self) -> PartCounts {
        self.mark().map(|mark| mark.totals.clone()).unwrap_or_default()
    }
}

/// What a question about some repositories brought.
pub(super) struct Found {
    pub(super) due: Vec<Due>,
    pub(super) failure: Option<Failure>,
}

/// Asks about all repositories, and says which have to be looked at.
pub(super) fn probe<'a>(worker: &'a Worker, steps: &'a [Step]) -> impl Stream<Item = Found> + 'a {
    let wanted: Vec<&Step> = steps.iter().filter(|step| worker.metadata.takes(step)).collect();
    let batches: Vec<Vec<&Step>> = wanted.chunks(PROBED_AT_ONCE).map(<[_]>::to_vec).collect();
    futures_util::stream::iter(batches).then(move |batch| worker.probe(batch))
}

impl Worker {
    async fn probe(&self, steps: Vec<&Step>) -> Found {
        let ids: Vec<String> = steps.iter().filter_map(|step| step.repository.node_id.clone()).collect();
        match metadata::probe::probe(&self.metadata.graphql, &ids).await {
            Ok(mut probes) => {
                let due = steps.into_iter().filter_map(|step| {
                    let found = step.repository.node_id.as_ref().and_then(|id| probes.remove(id));
                    match found.unwrap_or(Probed::Unknown) {
                        Probed::Is(probe) => self.due(step, Some(probe)),
                        Probed::Forbidden(_) if self.is_told(step) => None,
                        // Only its lists tell.
                        Probed::Unknown | Probed::Forbidden(_) => self.due(step, None),
                    }
                });
                Found { due: due.collect(), failure: None }
            }
            Err(error) => {
                let many = count(steps.len() as u64, "repository", "repositories");
                let failure = Failure {
                    repository: "metadata".to_owned(),
                    stage: Stage::Stage,
                    error: format!("whether something is new in {many} could not be asked: {error}"),
                    hint: error.hint().to_owned(),
                };
                Found { due: Vec::new(), failure: Some(failure) }
            }
        }
    }

    /// Says whether another repository of the owner, which the token may not read either, stands for this one: the lists of one
    /// name the permission, and a thousand warnings would hide every other. What was readable once is told by itself.
    fn is_told(&self, step: &Step) -> bool {
        let was_readable = step.stored.as_ref().is_some_and(|stored| stored.held.contains_key(&MirrorKind::Metadata));
        if was_readable || self.is_by_name {
            return false;
        }
        let mut forbidden = self.metadata.forbidden.lock().unwrap_or_else(PoisonError::into_inner);
        let others = forbidden.entry(step.repository.full_name.owner().to_owned()).or_default();
        *others += 1;
        *others > 1
    }

    /// Tells how many repositories were not looked at because the token may not read another one of their owner.
    pub(super) fn forbidden_metadata(&self) -> Vec<String> {
        let forbidden = self.metadata.forbidden.lock().unwrap_or_else(PoisonError::into_inner);
        let others = forbidden.iter().filter(|(_, number)| **number > 1);
        let told = others.map(|(owner, number)| {
            let others = count(number - 1, "other repository", "other repositories");
            format!("issues and pull requests of {others} of {owner} are not backed up either, for the same reason")
        });
        told.collect()
    }

    /// Decides whether a repository has to be looked at.
    fn due(&self, step: &Step, probe: Option<Probe>) -> Option<Due> {
        let mut due = Due { step: step.clone(), probe, is_full: self.repair, is_likely_same: false };
        let is_lost = step.lost.contains(MirrorKind::Metadata);
        let Some(mark) = due.mark() else {
            due.is_full = true;
            let has_some = due.probe.as_ref().is_none_or(|probe| probe.items > 0);
            return (has_some || is_lost).then_some(due);
        };
        let is_stale =
            mark.whole_at.is_none_or(|at| is_over(at, self.clock.now(), self.config.metadata.full_every, step));
        let is_same = due.probe.as_ref().is_some_and(|probe| mark.seen.get(PROBE) == Some(&probe.text));
        let is_owed = mark.is_owed || is_lost || self.repair || self.is_by_name;
        due.is_likely_same = is_same && !is_owed && !is_stale;
        due.is_full |= is_stale || is_lost;
        // Where nobody has written anything, nothing can have been changed unseen.
        (!due.is_likely_same || !due.totals().is_empty()).then_some(due)
    }

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
        let Base { stored, packs, mut newest, salvaged, is_head_lost } =
            self.base(step, is_repair, scratch.path(), cancel, report).await?;
        let ended = cancel.clone();
        let (known, newest) = blocking(move || {
            let known = newest.survey(is_repair, &ended)?;
            Ok((known, newest))
        })
        .await?;
        let before = newest.about();
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
        let known_packs = packs.clone();
        let assembly = Assembly {
            newest,
            fetched,
            spool,
            about,
            occasion,
            salvaged,
            stored,
            packs,
            is_repair,
            is_head_lost,
            scratch,
        };
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

    /// Asks for what tells next time whether something is new. If that fails, the next run looks.
    async fn seen(&self, due: &Due) -> Seen {
        let mut seen = Seen::new();
        for (name, endpoint) in UNSEEN {
            match self.is_still(due, endpoint, None).await {
                Ok(Fresh::New(known)) => {
                    seen.extend(serde_json::to_string(&known).ok().map(|known| (name.to_owned(), known)));
                }
                Ok(Fresh::Same) => {}
                Err(error) => tracing::debug!(name, %error, "not asked for"),
            }
        }
        seen
    }

    /// Says whether the mirror is as the last run left it: what is not there cannot be unchanged.
    async fn is_as_left(&self, due: &Due, step: &MirrorStep<'_>) -> bool {
        let (store, kind) = (self.store.clone(), step.kind);
        match due.step.stored.clone() {
            Some(stored) => apart(move || unlisted::is_as_left(&store, &stored, &kind.into())).await,
            None => false,
        }
    }

    /// Says whether nothing is new in what the probe does not see.
    async fn is_still_the_same(&self, due: &Due) -> Result<bool, GitHubError> {
        let has_pulls = due.totals().contains_key("pull_requests");
        for (name, endpoint) in UNSEEN.into_iter().filter(|(name, _)| *name != OF_PULLS || has_pulls) {
            let known = due.mark().and_then(|mark| serde_json::from_str::<KnownAnswer>(mark.seen.get(name)?).ok());
            let Some(known) = known else { return Ok(false) };
            if let Fresh::New(_) = self.is_still(due, endpoint, Some(&known)).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn is_still(&self, due: &Due, endpoint: &str, known: Option<&KnownAnswer>) -> Result<Fresh, GitHubError> {
        let name = &due.step.repository.full_name;
        let what = format!("what is new in {name}");
        self.metadata.github.is_still(&format!("repos/{name}/{endpoint}"), known, &what).await
    }
}

/// What the probe is called among what GitHub showed.
const PROBE: &str = "probe";
/// What the probe does not see, and a small answer shows: the newest change of a comment of either kind, and the labels.
const UNSEEN: [(&str, &str); 3] = [
    ("comments", "issues/comments?sort=updated&direction=desc&per_page=1"),
    (OF_PULLS, "pulls/comments?sort=updated&direction=desc&per_page=1"),
    ("labels", "labels?per_page=100"),
];
/// What can only be new where there are pull requests.
const OF_PULLS: &str = "review_comments";

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
    newest: metadata::Stored,
    fetched: Fetched,
    spool: Spool,
    about: About,
    occasion: Occasion,
    salvaged: Option<Salvaged>,
    stored: Option<Stored>,
    packs: Option<PackList>,
    is_repair: bool,
    is_head_lost: bool,
    scratch: tempfile::TempDir,
}

type Ready = (Assembled, Fetched, Option<Box<Change>>);

impl Assembly {
    fn carry_out(self, mirror: &Path, cancel: &CancellationToken) -> Result<Ready, MetadataError> {
        let Self {
            newest,
            mut fetched,
            mut spool,
            about,
            occasion,
            salvaged,
            stored,
            packs,
            is_repair,
            is_head_lost,
            scratch,
        } = self;
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

/// Says whether it is time to read everything again. Repositories that were first read together drift apart, so that no run has
/// to read them all.
fn is_over(at: DateTime<Utc>, now: DateTime<Utc>, every: Duration, step: &Step) -> bool {
    const PARTS: u64 = 64;
    let part = u32::try_from(step.repository.id.0 % PARTS).unwrap_or_default();
    let early = every / 2 * part / u32::try_from(PARTS).unwrap_or(1);
    (now - at).to_std().is_ok_and(|age| age >= every.saturating_sub(early))
}
