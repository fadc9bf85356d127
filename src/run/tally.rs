//! The tally of a run: what has happened so far, and the summary that it becomes.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};

use super::Session;
use crate::github::Inventory;
use crate::mirrors::MirrorKind;
use crate::names::{FullName, RepositoryId};
use crate::outcome::{Failure, Happened, Outcome, PartOutcome, Proof, Renamed, RunEnd, RunSummary, Stage};
use crate::store::{Index, layout};

/// Adds up a run as it goes.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) listed: BTreeMap<RepositoryId, FullName>,
    /// Listed repositories that could not be planned.
    refused: BTreeSet<RepositoryId>,
    /// Repositories that were asked for by name and that GitHub does not know.
    not_found: u64,
    /// How many repositories the filters leave out.
    excluded: u64,
    pub(super) outcomes: Vec<Outcome>,
    pub(super) parts: Vec<PartOutcome>,
    /// Mirrors that were looked at and are as they were.
    pub(super) unchanged: HashSet<(RepositoryId, MirrorKind)>,
    pub(super) failures: Vec<Failure>,
    pub(super) warnings: Vec<String>,
    pub(super) renamed: Vec<Renamed>,
    pub(super) gone: Vec<FullName>,
    /// Those that the previous run did not know to be gone.
    pub(super) newly_gone: Vec<FullName>,
    pub(super) moved_away: Vec<Renamed>,
    pub(super) listed_by_owner: BTreeMap<String, u64>,
    pub(super) proof: Proof,
    /// The names that mirrors had when the run began.
    pub(super) names_before: BTreeMap<RepositoryId, FullName>,
}

impl Tally {
    /// Adds what the listing said; returns whether the run cannot go on.
    pub(super) fn take_inventory(&mut self, mut inventory: Inventory, index: &Index) -> bool {
        inventory.compare_with(&index.listed_by_owner);
        self.listed = inventory.repositories.iter().map(|it| (it.id, it.full_name.clone())).collect();
        self.warnings.append(&mut inventory.warnings);
        self.listed_by_owner = inventory.listed_by_owner;
        self.names_before = index.mirrors.iter().map(|(id, mirror)| (*id, mirror.full_name.clone())).collect();
        let unauthorized = inventory.failures.iter().any(|failure| failure.unauthorized);
        self.excluded = inventory.excluded.len() as u64;
        self.not_found = inventory.failures.iter().filter(|failure| failure.is_of_repository).count() as u64;
        let is_answer = inventory.failures.iter().all(|failure| failure.is_of_repository);
        let nothing = inventory.repositories.is_empty() && !is_answer;
        self.failures.extend(inventory.failures.into_iter().map(|failure| Failure {
            repository: failure.subject,
            stage: Stage::Inventory,
            error: failure.error,
            hint: failure.hint,
        }));
        unauthorized || nothing
    }

    pub(super) fn take(&mut self, outcome: Outcome) {
        if outcome.repaired {
            // The mirror was made anew; what could not be cleaned up went with the old one.
            let name = outcome.full_name.to_string();
            self.failures.retain(|failure| failure.stage != Stage::Recovery || failure.repository != name);
        }
        self.failures.extend(outcome.failures.iter().cloned());
        self.warnings.extend(outcome.warnings.iter().cloned());
        self.outcomes.push(outcome);
    }

    pub(super) fn take_part(&mut self, part: PartOutcome) {
        self.failures.extend(part.failures.iter().cloned());
        self.warnings.extend(part.warnings.iter().cloned());
        self.parts.push(part);
    }

    /// Names the mirrors whose packs the next run is to merge.
    fn unmerged(&self, session: &Session) -> Vec<String> {
        let places_of = |which: fn(&Outcome) -> bool| -> HashSet<PathBuf> {
            self.outcomes
                .iter()
                .filter(|outcome| which(outcome))
                .map(|outcome| layout::place(&outcome.full_name))
                .collect()
        };
        let (looked_at, left_out) = (places_of(Outcome::is_complete), places_of(|outcome| outcome.left_out));
        let place = |mirror: &PathBuf| {
            let below = mirror.strip_prefix(session.store.root()).unwrap_or(mirror).to_string_lossy().into_owned();
            MirrorKind::split_folder(&below).map(|(place, _)| place.to_owned())
        };
        // A run over everything has reached every mirror that will ever have a turn, except those that it left out.
        let is_over = session.is_full() && !self.outcomes.is_empty();
        let is_left = |place: &String| {
            let place = Path::new(place);
            if is_over { left_out.contains(place) } else { !looked_at.contains(place) }
        };
        let left = session.crowded.iter().filter_map(place).filter(is_left);
        let failed =
            self.outcomes.iter().filter(|outcome| outcome.unmerged).map(|outcome| outcome.full_name.to_string());
        failed.chain(left).collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// Notes which repositories the plan refused: all that are listed and have no step.
    pub(super) fn refuse_all_but(&mut self, planned: impl Iterator<Item = RepositoryId>) {
        let planned: BTreeSet<RepositoryId> = planned.collect();
        self.refused = self.listed.keys().filter(|id| !planned.contains(id)).copied().collect();
    }

    pub(super) fn sum_up(self, session: &Session, end: RunEnd, finished_at: DateTime<Utc>) -> RunSummary {
        let unmerged = self.unmerged(session);
        let Self { listed, not_found, refused, outcomes, parts, failures, .. } = self;
        let happened = Happened { listed, not_found, refused, outcomes, parts, failures };
        let summary = RunSummary::new(session.header(), end, finished_at, happened);
        RunSummary {
            unmerged,
            proof: self.proof,
            warnings: self.warnings,
            moved_away: self.moved_away,
            newly_gone: self.newly_gone,
            stored: session.index.holdings(),
            listed_by_owner: self.listed_by_owner,
            excluded: self.excluded,
            ..summary.with_moves(self.renamed, self.gone)
        }
    }
}
