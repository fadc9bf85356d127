//! How many repositories are under way at once: by weight, and one that may have killed an earlier run only alone.
//!
//! It knows only the sizes that GitHub lists. What a newcomer would get wrong: a small repository costs waiting, not work, so
//! four of them take the place of one; a size of 0 says nothing.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::plan::Step;

/// How many small repositories take the place of an ordinary one.
const SMALL_IN_ONE: usize = 4;
/// GitHub allows 100 requests at once; the REST API takes some of them.
const AT_ONCE_MAX: usize = 64;
/// Up to this size, in KiB, a repository is small.
const SMALL_KIB: u64 = 1024;
/// A person who allows fewer than this at once wants few requests, whatever their weight.
const SHARED_FROM: usize = 8;

/// Hands out turns.
#[derive(Debug)]
pub(super) struct Turns {
    places: Arc<Semaphore>,
    all: usize,
    small_in_one: usize,
}

impl Turns {
    /// Allows `concurrency` ordinary repositories at once.
    pub(super) fn new(concurrency: usize) -> Self {
        let small_in_one =
            if concurrency < SHARED_FROM { 1 } else { SMALL_IN_ONE.min(AT_ONCE_MAX / concurrency).max(1) };
        let all = concurrency * small_in_one;
        Self { places: Arc::new(Semaphore::new(all)), all, small_in_one }
    }

    /// Returns how many repositories may be under way at most.
    pub(super) fn at_most(&self) -> usize {
        self.all
    }

    /// Waits for a repository's turn, in the order of the calls; the turn lasts as long as the returned permit.
    pub(super) async fn wait(&self, step: &Step) -> Option<OwnedSemaphorePermit> {
        let places = u32::try_from(self.weight(step)).unwrap_or(u32::MAX);
        // The semaphore is never closed.
        Arc::clone(&self.places).acquire_many_owned(places).await.ok()
    }

    fn weight(&self, step: &Step) -> usize {
        if step.is_alone {
            self.all
        } else if step.repository.size_kib <= SMALL_KIB {
            1
        } else {
            self.small_in_one
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_repositories_share_a_place_unless_a_person_wants_few_at_once() {
        for (concurrency, small) in [(1, 1), (7, 7), (8, 32), (16, 64), (32, 64), (64, 64)] {
            assert_eq!(Turns::new(concurrency).at_most(), small, "{concurrency}");
        }
    }
}
