//! Finds out of which repositories the metadata have to be looked at.
//!
//! One question is about fifty repositories. Where it shows nothing new, small answers show what it does not see. What a newcomer
//! would get wrong: most repositories end here, and their mirrors are not opened.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::{Stream, StreamExt};

use super::mirror_step::MirrorStep;
use super::repository::Worker;
use super::{apart, unlisted};
use crate::config::{Config, MetadataConfig, MetadataKind};
use crate::github::{Fresh, GitHub, GitHubError, Globs, GraphQl, KnownAnswer};
use crate::metadata;
use crate::metadata::canonical::Canonical;
use crate::metadata::probe::{Probe, Probed};
use crate::mirrors::MirrorKind;
use crate::outcome::{Failure, Kind, PartCounts, Seen, Stage};
use crate::outside::Outside;
use crate::plan::Step;
use crate::store::Mark;
use crate::text::count;

/// How many repositories one question is about.
const PROBED_AT_ONCE: usize = 50;
/// How many repositories have their turn at once: each takes disk and memory, and GitHub's limits are the same for all.
const AT_ONCE: usize = 4;
/// What the probe is called among what GitHub showed.
pub(super) const PROBE: &str = "probe";
/// What the probe does not see, and a small answer shows: the newest change of a comment of either kind, and the labels.
const UNSEEN: [(&str, &str); 3] = [
    ("comments", "issues/comments?sort=updated&direction=desc&per_page=1"),
    (OF_PULLS, "pulls/comments?sort=updated&direction=desc&per_page=1"),
    ("labels", "labels?per_page=100"),
];
/// What can only be new where there are pull requests.
const OF_PULLS: &str = "review_comments";

/// What the work on all repositories' metadata shares.
pub(super) struct Shared {
    pub(super) github: Arc<GitHub>,
    pub(super) graphql: Arc<GraphQl>,
    pub(super) canonical: Arc<Canonical>,
    globs: Option<Globs>,
    pub(super) turns: tokio::sync::Semaphore,
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
    pub(super) step: Step,
    pub(super) probe: Option<Probe>,
    /// Whether everything is read again.
    pub(super) is_full: bool,
    /// Whether only what the probe does not see can be new.
    pub(super) is_likely_same: bool,
}

impl Due {
    pub(super) fn mark(&self) -> Option<&Mark> {
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

    /// Asks for what tells next time whether something is new. If that fails, the next run looks.
    pub(super) async fn seen(&self, due: &Due) -> Seen {
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
    pub(super) async fn is_as_left(&self, due: &Due, step: &MirrorStep<'_>) -> bool {
        let (store, kind) = (self.store.clone(), step.kind);
        match due.step.stored.clone() {
            Some(stored) => apart(move || unlisted::is_as_left(&store, &stored, &kind.into())).await,
            None => false,
        }
    }

    /// Says whether nothing is new in what the probe does not see.
    pub(super) async fn is_still_the_same(&self, due: &Due) -> Result<bool, GitHubError> {
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

/// Says whether it is time to read everything again. Repositories that were first read together drift apart, so that no run has
/// to read them all.
fn is_over(at: DateTime<Utc>, now: DateTime<Utc>, every: Duration, step: &Step) -> bool {
    const PARTS: u64 = 64;
    let part = u32::try_from(step.repository.id.0 % PARTS).unwrap_or_default();
    let early = every / 2 * part / u32::try_from(PARTS).unwrap_or(1);
    (now - at).to_std().is_ok_and(|age| age >= every.saturating_sub(early))
}
