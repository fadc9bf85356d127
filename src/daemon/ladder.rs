//! What is tried again after a run that could not take place, or that partly failed for reasons that may pass. Pure.

use std::time::Duration;

use crate::error::{Error, Exit};
use crate::names::FullName;
use crate::outcome::{RunStatus, RunSummary, Stage};

/// How long a due run waits for the run that is in its way.
const BUSY_PAUSE: Duration = Duration::from_mins(10);

/// Counts the retries since the last due run.
#[derive(Debug, Default)]
pub(super) struct Ladder {
    tries: usize,
}

/// The next attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Next {
    pub(super) pause: Duration,
    /// The repositories to try; empty: all.
    pub(super) selection: Vec<FullName>,
    /// Whether another run was in the way, so this one has not been tried at all.
    pub(super) is_delayed: bool,
}

impl Ladder {
    /// Starts counting from 0, as for a due run.
    pub(super) fn reset(&mut self) {
        self.tries = 0;
    }

    /// Returns whether nothing has been retried since the last due run.
    pub(super) fn is_reset(&self) -> bool {
        self.tries == 0
    }

    /// Returns whether the attempt that starts now is the last one.
    pub(super) fn is_last(&self, pauses: &[Duration]) -> bool {
        self.tries >= pauses.len()
    }

    /// Decides what follows a run over `selection`; an empty one means everything.
    pub(super) fn after(
        &mut self,
        result: &Result<RunSummary, Error>,
        selection: &[FullName],
        pauses: &[Duration],
    ) -> Option<Next> {
        let next = |pause, selection, is_delayed| Some(Next { pause, selection, is_delayed });
        if result.as_ref().is_err_and(|error| error.exit() == Exit::Busy) {
            return next(BUSY_PAUSE, selection.to_vec(), true);
        }
        let wanted = match result {
            Err(_) => Some(selection.to_vec()),
            Ok(summary) => worth_trying(summary),
        };
        let again = wanted.zip(pauses.get(self.tries));
        self.tries = if again.is_some() { self.tries + 1 } else { 0 };
        let (selection, pause) = again?;
        next(*pause, selection, false)
    }
}

/// Returns the repositories that are worth a retry, an empty list for all; `None` if a retry makes no sense.
pub(super) fn worth_trying(summary: &RunSummary) -> Option<Vec<FullName>> {
    match summary.status {
        RunStatus::Ok | RunStatus::Cancelled | RunStatus::Unknown => None,
        RunStatus::Failed => Some(summary.selection.clone()),
        // Nobody knows what a listing that failed would have held.
        RunStatus::Partial if summary.failures.iter().any(|failure| failure.stage == Stage::Inventory) => {
            Some(summary.selection.clone())
        }
        RunStatus::Partial => Some(summary.retryable.clone()).filter(|names| !names.is_empty()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::Failure;

    const PAUSES: [Duration; 2] = [Duration::from_mins(30), Duration::from_hours(2)];

    fn summary(status: RunStatus, retryable: &[&str]) -> RunSummary {
        let retryable = retryable.iter().map(|name| name.parse().unwrap()).collect();
        let failures = Vec::<Failure>::new();
        RunSummary { status, failures, retryable, ..crate::report::samples::eventful() }
    }

    #[test]
    fn a_run_that_could_not_take_place_is_tried_as_often_as_there_are_pauses() {
        let mut ladder = Ladder::default();
        let failed = Ok(summary(RunStatus::Failed, &[]));
        for pause in PAUSES {
            assert!(!ladder.is_last(&PAUSES));
            let next = Next { pause, selection: vec![], is_delayed: false };
            assert_eq!(ladder.after(&failed, &[], &PAUSES), Some(next));
        }
        assert!(ladder.is_last(&PAUSES));
        assert_eq!(ladder.after(&failed, &[], &PAUSES), None);
        ladder.reset();
        let unusable = Err(Error::new(Exit::Impossible, "no store", ""));
        assert_eq!(ladder.after(&unusable, &[], &PAUSES).unwrap().pause, PAUSES[0]);
        assert_eq!(ladder.after(&Ok(summary(RunStatus::Ok, &[])), &[], &PAUSES), None);
        assert_eq!(ladder.after(&failed, &[], &PAUSES).unwrap().pause, PAUSES[0]);
    }

    #[test]
    fn after_a_run_in_part_only_what_may_pass_is_tried() {
        let mut ladder = Ladder::default();
        let next = ladder.after(&Ok(summary(RunStatus::Partial, &["acme/site"])), &[], &PAUSES).unwrap();
        assert_eq!(next.selection, ["acme/site".parse().unwrap()]);
        for status in [RunStatus::Partial, RunStatus::Ok, RunStatus::Cancelled] {
            assert_eq!(ladder.after(&Ok(summary(status, &[])), &[], &PAUSES), None, "{status:?}");
        }
        assert_eq!(ladder.after(&Ok(summary(RunStatus::Partial, &["acme/site"])), &[], &[]), None);
    }

    #[test]
    fn a_run_in_the_way_costs_no_try() {
        let mut ladder = Ladder::default();
        let busy = Err(Error::new(Exit::Busy, "a run is under way", ""));
        let selection: [FullName; 1] = ["acme/site".parse().unwrap()];
        let next = Next { pause: BUSY_PAUSE, selection: selection.to_vec(), is_delayed: true };
        assert_eq!(ladder.after(&busy, &selection, &PAUSES), Some(next));
        assert_eq!(ladder.tries, 0);
    }
}
