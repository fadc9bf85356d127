//! The result for the metadata of one repository, in words and numbers.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::mirror_step::{MirrorStep, Synced};
use super::remarks::damaged;
use crate::git::pack::list::PackList;
use crate::metadata::{Assembled, Concern, Fetched, MetadataError};
use crate::outcome::{Failure, Held, Kind, Outcome, PartOutcome, PartState, Seen, Stage, State};
use crate::store::Mark;

/// Adds up what came of one repository.
pub(super) struct Report {
    outcome: PartOutcome,
    name: String,
    /// Where on its way it is.
    stage: Stage,
    /// Whether it was readable once.
    was_readable: bool,
    /// What GitHub showed.
    pub(super) seen: Seen,
}

impl Report {
    pub(super) fn new(step: &MirrorStep<'_>, mark: Option<&Mark>) -> Self {
        let of = (step.id, step.full_name.clone());
        let mut outcome = PartOutcome::new(of, step.kind, Kind::Issues, DateTime::UNIX_EPOCH);
        outcome.totals = mark.map(|mark| mark.totals.clone()).unwrap_or_default();
        // The mirror would not be there otherwise.
        let was_readable = step.held.is_some();
        Self { outcome, name: step.name(), stage: Stage::Stage, was_readable, seen: Seen::new() }
    }

    /// Notes that publishing begins: if it fails, packs may be there that no record lists.
    pub(super) fn publishing(&mut self, held: Option<&Held>) {
        self.stage = Stage::Publish;
        self.outcome.held = held.map(|held| Held { head: held.head.clone(), packs: None });
    }

    /// Notes damage that a look at the mirror found.
    pub(super) fn problems(&mut self, problems: &[String]) {
        self.outcome.failures.extend(problems.iter().map(|problem| damaged(&self.name, problem)));
    }

    fn add(&mut self, error: &str, hint: &str) {
        self.outcome.failures.push(Failure {
            repository: self.name.clone(),
            stage: self.stage,
            error: error.to_owned(),
            hint: hint.to_owned(),
        });
    }

    /// Notes that nothing could be done. What was never readable is a gap that a person may want; what was is a loss.
    pub(super) fn fail(&mut self, error: &MetadataError) {
        self.outcome.is_owed = true;
        self.outcome.transient |= error.may_pass();
        if error.is_forbidden() && !self.was_readable {
            self.outcome.state = PartState::Forbidden;
            self.outcome.warnings.push(format!("{} are not backed up: {error}; {}", self.name, error.hint()));
            return;
        }
        self.outcome.state = PartState::Failed;
        let hint = match error {
            MetadataError::Git(error) => error.hint_for(&self.outcome.full_name.to_string()),
            error => error.hint().to_owned(),
        };
        self.add(&error.to_string(), &hint);
    }

    /// Notes that it took too long.
    pub(super) fn late(&mut self, limit: Duration) {
        self.outcome.is_owed = true;
        self.outcome.state = PartState::Failed;
        self.add(
            &format!("it took longer than {}", humantime::format_duration(limit)),
            "raise metadata.timeout, or check limits.api_requests_per_minute and the network",
        );
    }

    /// Notes what came, and what was published.
    pub(super) fn take(&mut self, fetched: Fetched, assembled: Assembled, synced: Option<Synced>) {
        let is_complete = fetched.problems.is_empty();
        let is_forbidden = fetched.problems.iter().any(|problem| problem.is_forbidden);
        let had_pulls = self.outcome.totals.contains_key("pull_requests");
        for problem in fetched.problems {
            self.outcome.transient |= problem.may_pass;
            let was_readable = if problem.of == Concern::PullRequests { had_pulls } else { self.was_readable };
            if problem.is_forbidden && !was_readable {
                self.outcome.warnings.push(format!("{}: {}; {}", self.name, problem.error, problem.hint));
            } else {
                self.add(&problem.error, problem.hint);
            }
        }
        self.outcome.is_owed = !is_complete;
        self.outcome.is_whole = fetched.is_full && is_complete;
        self.outcome.totals = assembled.totals;
        self.outcome.counts = assembled.counts;
        let state = synced.as_ref().map_or(State::Unchanged, |synced| synced.state);
        if let Some(synced) = synced {
            self.publish(synced);
        }
        self.outcome.state = match state {
            _ if !self.outcome.failures.is_empty() => PartState::Failed,
            _ if is_forbidden => PartState::Forbidden,
            State::Unchanged if fetched.is_disabled && self.outcome.totals.is_empty() => PartState::Disabled,
            state => state.into(),
        };
    }

    /// Notes the packs of a mirror that was found to be whole with them.
    pub(super) fn hold(&mut self, head: &str, packs: Option<PackList>) {
        self.outcome.held = Some(Held { head: Some(head.to_owned()), packs });
    }

    /// Takes over what publishing had to tell.
    fn publish(&mut self, synced: Synced) {
        let Synced { state, head, packs, changed, .. } = synced;
        let part = &mut self.outcome;
        let mut told = Outcome::new(part.id, part.full_name.clone(), state, part.finished_at);
        changed.tell(&self.name, &mut told);
        part.failures.append(&mut told.failures);
        part.warnings.append(&mut told.warnings);
        part.is_history_lost = told.history_lost.contains(&part.mirror);
        part.held = Some(Held { head: Some(head).filter(|head| !head.is_empty()), packs });
    }

    /// Puts it all together.
    pub(super) fn outcome(mut self, finished_at: DateTime<Utc>) -> PartOutcome {
        self.outcome.seen = self.seen;
        self.outcome.finished_at = finished_at;
        self.outcome
    }

    /// Describes a repository whose turn the run was told to end, or did not come to.
    pub(super) fn cut_off(mut self, finished_at: DateTime<Utc>) -> PartOutcome {
        self.outcome.is_cut_off = true;
        self.outcome.is_owed = true;
        self.outcome.state = PartState::Postponed;
        self.outcome(finished_at)
    }
}
