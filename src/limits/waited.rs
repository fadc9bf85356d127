//! The time that one piece of work has spent waiting for the gate, which does not count as its own.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Adds up waiting. One piece of work waits for one thing at a time.
#[derive(Debug, Default)]
pub struct Waited(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    before: Duration,
    since: Option<Instant>,
}

/// Waiting that continues until this is dropped.
pub(super) struct Waiting<'a>(&'a Waited);

impl Waited {
    /// Begins to wait.
    pub(super) fn begin(&self) -> Waiting<'_> {
        self.lock().since = Some(Instant::now());
        Waiting(self)
    }

    /// Returns how long the work has waited so far.
    pub fn total(&self) -> Duration {
        let state = self.lock();
        state.before + state.since.map_or(Duration::ZERO, |since| since.elapsed())
    }

    /// Sleeps until the work has had this much time for itself.
    pub async fn sleep_beside(&self, own: Duration) {
        let started = Instant::now();
        loop {
            let left = own.saturating_add(self.total()).saturating_sub(started.elapsed());
            if left.is_zero() {
                return;
            }
            tokio::time::sleep(left).await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        let waited = state.since.take().map_or(Duration::ZERO, |since| since.elapsed());
        state.before += waited;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_is_added_up_also_while_it_goes_on() {
        let waited = Waited::default();
        let pause = Duration::from_millis(2);
        for round in 1..=2 {
            let waiting = waited.begin();
            std::thread::sleep(pause);
            assert!(waited.total() >= pause * round);
            drop(waiting);
        }
        let total = waited.total();
        std::thread::sleep(pause);
        assert_eq!(waited.total(), total, "time goes on although nothing waits");
    }
}
