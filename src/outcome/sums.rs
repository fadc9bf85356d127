//! How a run adds up: the one place where a [`RunSummary`] is made.
//!
//! Pure. Every listed repository is counted once, in one state; failures are counted separately, because one repository may
//! have several, and some belong to none. What a newcomer would get wrong: a run is not `ok` because nothing failed, but
//! because every repository that was listed is known to be stored.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};

use super::run::SCHEMA;
use super::{
    Adopted, Counts, DroppedFrom, Failure, ForcePushed, Holdings, Kind, Outcome, PartCounts, PartOutcome, PartState,
    PartSums, Proof, RunStatus, RunSummary, Stage, State, Trigger,
};
use crate::names::{FullName, RepositoryId, RunId};

/// Identifies a run.
#[derive(Clone, Debug)]
pub struct RunHeader {
    /// Its id.
    pub run_id: RunId,
    /// What started it.
    pub trigger: Trigger,
    /// The repositories asked for by name; empty: all.
    pub selection: Vec<FullName>,
    /// Whether configured owners were left out by `--owner`.
    pub is_narrowed: bool,
    /// When it began.
    pub started_at: DateTime<Utc>,
}

/// Whether a run went through everything that it had planned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunEnd {
    /// It did, whatever failed on the way.
    Finished,
    /// It could not take place, or had to stop.
    Stopped,
    /// It was told to stop.
    Cancelled,
}

/// Holds what happened in a run.
#[derive(Debug, Default)]
pub struct Happened {
    /// The repositories that were to be backed up.
    pub listed: BTreeMap<RepositoryId, FullName>,
    /// Repositories that were asked for by name and that GitHub does not know; a failure says so.
    pub not_found: u64,
    /// Listed repositories that could not be planned; a failure says why.
    pub refused: BTreeSet<RepositoryId>,
    /// The outcomes of the others. A repository may have two: one for its code, one for its wiki.
    pub outcomes: Vec<Outcome>,
    /// The outcomes of the kinds of data beside their refs.
    pub parts: Vec<PartOutcome>,
    /// Everything that failed, the outcomes' and the parts' failures included.
    pub failures: Vec<Failure>,
}

/// How a repository is counted; of two outcomes the later one in this list counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Counted {
    Unchanged,
    Updated,
    Created,
    NotReached,
    Failed,
}

impl Counted {
    fn of(outcome: &Outcome) -> Self {
        match outcome.state {
            _ if outcome.is_cut_off => Self::NotReached,
            State::Unchanged => Self::Unchanged,
            State::Updated => Self::Updated,
            State::Created => Self::Created,
            State::Failed | State::Unknown => Self::Failed,
        }
    }

    fn of_part(part: &PartOutcome) -> Self {
        match part.state {
            _ if part.is_cut_off => Self::NotReached,
            _ if !part.is_complete() => Self::Failed,
            PartState::Created | PartState::Updated => Self::Updated,
            _ => Self::Unchanged,
        }
    }
}

impl Happened {
    /// Gives each listed repository its one state.
    fn states(&self) -> BTreeMap<RepositoryId, Counted> {
        let mut states: BTreeMap<RepositoryId, Counted> = BTreeMap::new();
        for outcome in &self.outcomes {
            let counted = Counted::of(outcome);
            let state = states.entry(outcome.id).or_insert(counted);
            *state = counted.max(*state);
        }
        for part in &self.parts {
            let counted = Counted::of_part(part);
            let state = states.entry(part.id).or_insert(counted);
            *state = counted.max(*state);
        }
        for id in self.listed.keys() {
            let without_outcome = if self.refused.contains(id) { Counted::Failed } else { Counted::NotReached };
            states.entry(*id).or_insert(without_outcome);
        }
        states
    }

    /// Turns repositories that a finished run did not reach into failures: they must not pass for stored.
    fn fail_the_unreached(&mut self, states: &mut BTreeMap<RepositoryId, Counted>) {
        for (id, state) in states.iter_mut().filter(|(_, state)| **state == Counted::NotReached) {
            *state = Counted::Failed;
            let name = self.listed.get(id).map_or_else(|| format!("repository {id}"), ToString::to_string);
            self.failures.push(Failure {
                repository: name,
                stage: Stage::Stage,
                error: "the run ended without an outcome for it".to_owned(),
                hint: "run again, and please report this".to_owned(),
            });
        }
    }
}

impl RunSummary {
    /// Adds up a run. The caller fills in what comes beside the sums (warnings, moves, proof).
    pub fn new(run: RunHeader, end: RunEnd, finished_at: DateTime<Utc>, mut happened: Happened) -> Self {
        let mut each = happened.states();
        if end == RunEnd::Finished {
            happened.fail_the_unreached(&mut each);
        }
        let Happened { outcomes, parts, failures, not_found, .. } = happened;
        let count = |wanted: Counted| each.values().filter(|state| **state == wanted).count() as u64;
        let counts = Counts {
            listed: each.len() as u64 + not_found,
            created: count(Counted::Created),
            updated: count(Counted::Updated),
            unchanged: count(Counted::Unchanged),
            renamed: 0,
            gone: 0,
            failed: count(Counted::Failed) + not_found,
            failures: failures.len() as u64,
            not_reached: count(Counted::NotReached),
        };
        let status = match end {
            RunEnd::Stopped => RunStatus::Failed,
            RunEnd::Cancelled => RunStatus::Cancelled,
            RunEnd::Finished if counts.failed == 0 && counts.failures == 0 => RunStatus::Ok,
            RunEnd::Finished => RunStatus::Partial,
        };
        let created = outcomes.iter().filter(|outcome| outcome.state == State::Created);
        let created: BTreeSet<FullName> = created.map(|outcome| outcome.full_name.clone()).collect();
        let retryable = outcomes.iter().filter(|it| it.transient).map(|it| &it.full_name);
        let retryable = retryable.chain(parts.iter().filter(|it| it.transient).map(|it| &it.full_name));
        let retryable: BTreeSet<FullName> = retryable.cloned().collect();
        let of_refs: u64 = outcomes.iter().map(|outcome| outcome.bytes_received).sum();
        let of_parts: u64 = parts.iter().map(|part| part.bytes_received).sum();
        Self {
            schema: SCHEMA,
            run_id: run.run_id,
            trigger: run.trigger,
            selection: run.selection,
            is_narrowed: run.is_narrowed,
            started_at: run.started_at,
            finished_at,
            status,
            counts,
            bytes_received: of_refs + of_parts,
            parts: by_kind(&outcomes, &parts),
            force_pushed: lost_refs(&outcomes, |outcome| &outcome.force_pushed),
            deleted: lost_refs(&outcomes, |outcome| &outcome.deleted_refs),
            adopted: adopted(&outcomes),
            dropped: dropped(&outcomes),
            created: created.into_iter().collect(),
            retryable: retryable.into_iter().collect(),
            failures,
            warnings: Vec::new(),
            renamed: Vec::new(),
            gone: Vec::new(),
            newly_gone: Vec::new(),
            stored: Holdings::default(),
            moved_away: Vec::new(),
            unmerged: Vec::new(),
            proof: Proof::default(),
            listed_by_owner: BTreeMap::new(),
            excluded: 0,
        }
    }

    /// Names the moves and the mirrors whose repository is gone, and counts them.
    #[must_use]
    pub fn with_moves(mut self, renamed: Vec<super::Renamed>, gone: Vec<FullName>) -> Self {
        (self.counts.renamed, self.counts.gone) = (renamed.len() as u64, gone.len() as u64);
        (self.renamed, self.gone) = (renamed, gone);
        self
    }
}

/// Adds up each kind of data.
fn by_kind(outcomes: &[Outcome], parts: &[PartOutcome]) -> BTreeMap<Kind, PartSums> {
    let mut sums: BTreeMap<Kind, PartSums> = BTreeMap::new();
    let nothing = PartCounts::new();
    for outcome in outcomes {
        sums.entry(Kind::Refs).or_default().add(outcome.state.into(), (&nothing, &nothing));
    }
    for part in parts {
        sums.entry(part.part).or_default().add(part.state, (&part.counts, &part.totals));
    }
    sums
}

fn lost_refs(outcomes: &[Outcome], of: impl Fn(&Outcome) -> &Vec<String>) -> Vec<ForcePushed> {
    let lost = outcomes.iter().filter(|outcome| !of(outcome).is_empty());
    lost.map(|outcome| ForcePushed { repository: outcome.full_name.clone(), refs: of(outcome).clone() }).collect()
}

fn adopted(outcomes: &[Outcome]) -> Vec<Adopted> {
    let adopted =
        |outcome: &Outcome| Some(Adopted { repository: outcome.full_name.clone(), clone: outcome.adopted.clone()? });
    outcomes.iter().filter_map(adopted).collect()
}

fn dropped(outcomes: &[Outcome]) -> Vec<DroppedFrom> {
    let dropped =
        |outcome: &Outcome| Some(DroppedFrom { repository: outcome.full_name.clone(), dropped: outcome.dropped? });
    outcomes.iter().filter_map(dropped).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn header() -> RunHeader {
        let started_at = "2026-11-28T20:00:00Z".parse().unwrap();
        RunHeader {
            run_id: RunId::at(started_at),
            trigger: Trigger::Manual,
            selection: vec![],
            is_narrowed: false,
            started_at,
        }
    }

    fn name(id: u64) -> FullName {
        format!("acme/r{id}").parse().unwrap()
    }

    fn failure(repository: String, stage: Stage) -> Failure {
        Failure { repository, stage, error: "an error".to_owned(), hint: "a hint".to_owned() }
    }

    fn stage() -> impl Strategy<Value = Stage> {
        prop_oneof![
            Just(Stage::Setup),
            Just(Stage::Recovery),
            Just(Stage::Inventory),
            Just(Stage::Move),
            Just(Stage::Stage),
            Just(Stage::Publish),
            Just(Stage::Verify),
        ]
    }

    /// What may happen to one listed repository: its outcomes, further failures, and whether it is refused.
    fn fate() -> impl Strategy<Value = (Vec<(State, bool)>, Vec<Stage>, bool)> {
        let state =
            prop_oneof![Just(State::Created), Just(State::Updated), Just(State::Unchanged), Just(State::Failed),];
        let outcomes = proptest::collection::vec((state, proptest::bool::weighted(0.1)), 0..3);
        (outcomes, proptest::collection::vec(stage(), 0..2), proptest::bool::weighted(0.2))
    }

    fn end() -> impl Strategy<Value = RunEnd> {
        prop_oneof![4 => Just(RunEnd::Finished), 1 => Just(RunEnd::Stopped), 1 => Just(RunEnd::Cancelled)]
    }

    proptest! {
        /// Regression: a repository whose failure was found while recovering, moving or verifying counted twice, and one that
        /// the plan refused was counted as a failure by some stages and not by others.
        #[test]
        fn numbers_add_up_and_ok_means_that_nothing_is_missing(
            fates in proptest::collection::vec(fate(), 0..8),
            elsewhere in proptest::collection::vec(stage(), 0..3),
            end in end(),
        ) {
            let mut happened = Happened::default();
            for (at, (outcomes, failures, is_refused)) in fates.iter().enumerate() {
                let id = RepositoryId(at as u64);
                happened.listed.insert(id, name(id.0));
                happened.failures.extend(failures.iter().map(|stage| failure(name(id.0).to_string(), *stage)));
                if *is_refused {
                    happened.refused.insert(id);
                    happened.failures.push(failure(name(id.0).to_string(), Stage::Move));
                    continue;
                }
                for (state, is_cut_off) in outcomes {
                    let mut outcome = Outcome::new(id, name(id.0), *state, header().started_at);
                    outcome.is_cut_off = *is_cut_off;
                    if *state == State::Failed && !is_cut_off {
                        happened.failures.push(failure(name(id.0).to_string(), Stage::Stage));
                    }
                    happened.outcomes.push(outcome);
                }
            }
            happened.failures.extend(elsewhere.iter().map(|stage| failure("acme".to_owned(), *stage)));
            let told = happened.failures.len() as u64;
            let summary = RunSummary::new(header(), end, header().started_at, happened);
            let counts = summary.counts;
            prop_assert_eq!(counts.listed, fates.len() as u64);
            let sum = counts.created + counts.updated + counts.unchanged + counts.failed + counts.not_reached;
            prop_assert_eq!(sum, counts.listed, "{:?}", counts);
            prop_assert_eq!(counts.failures, summary.failures.len() as u64);
            prop_assert!(counts.failures >= told, "a failure is lost");
            if end == RunEnd::Finished {
                prop_assert_eq!(counts.not_reached, 0);
            }
            let is_good = |(outcomes, failures, is_refused): &(Vec<(State, bool)>, Vec<Stage>, bool)| {
                !is_refused
                    && failures.is_empty()
                    && !outcomes.is_empty()
                    && outcomes.iter().all(|(state, is_cut_off)| !is_cut_off && *state != State::Failed)
            };
            let all_is_good = end == RunEnd::Finished && elsewhere.is_empty() && fates.iter().all(is_good);
            prop_assert_eq!(summary.status == RunStatus::Ok, all_is_good);
            // Whatever failed, somebody is told why.
            prop_assert!(counts.failed <= counts.failures, "{:?}", counts);
        }
    }
}
