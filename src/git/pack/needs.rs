//! What objects refer to, collected by several threads.
//!
//! What a newcomer would get wrong: for a pack that has just arrived, nobody knows yet which of these objects are in it, so all
//! of them are kept: twenty bytes each, a quarter more while they are sorted. A set of them would take three times as much.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use git2::Oid;

use crate::git::pack::is_in;
use crate::git::pack::links::{OidBytes, Recent};

/// Collects, on one thread, what a stored pack refers to and does not hold.
pub(crate) struct Needed<'a> {
    index: &'a gix_pack::index::File,
    recent: Recent,
    found: HashSet<Oid>,
    all: &'a Mutex<HashSet<Oid>>,
}

impl<'a> Needed<'a> {
    pub(crate) fn new(index: &'a gix_pack::index::File, all: &'a Mutex<HashSet<Oid>>) -> Self {
        Self { index, recent: Recent::default(), found: HashSet::new(), all }
    }

    pub(crate) fn take(&mut self, oid: OidBytes) {
        if self.recent.is_new(oid)
            && !is_in(self.index, oid)
            && let Ok(oid) = Oid::from_bytes(&oid)
        {
            self.found.insert(oid);
        }
    }
}

impl Drop for Needed<'_> {
    fn drop(&mut self) {
        self.all.lock().unwrap_or_else(PoisonError::into_inner).extend(self.found.drain());
    }
}

/// Collects, on one thread, what objects that have arrived refer to.
pub(crate) struct References<'a> {
    recent: Recent,
    found: Vec<OidBytes>,
    all: &'a Gathered,
}

/// How many ids are handed on at once.
const FOUND_MAX: usize = 1 << 16;

impl<'a> References<'a> {
    pub(crate) fn new(all: &'a Gathered) -> Self {
        Self { recent: Recent::default(), found: Vec::new(), all }
    }

    pub(crate) fn take(&mut self, oid: OidBytes) {
        if self.recent.is_new(oid) {
            self.found.push(oid);
            if self.found.len() >= FOUND_MAX {
                self.all.take(&mut self.found);
            }
        }
    }
}

impl Drop for References<'_> {
    fn drop(&mut self) {
        self.all.take(&mut self.found);
    }
}

/// Ids from all threads, by their first bytes; once sorted, each is there once.
pub(crate) struct Gathered {
    by_first_byte: Vec<Mutex<Bucket>>,
}

/// Ids with the same first byte.
#[derive(Default)]
struct Bucket {
    oids: Vec<OidBytes>,
    /// How many of them are sorted.
    sorted: usize,
}

impl Bucket {
    #[expect(clippy::stable_sort_primitive, reason = "it merges sorted runs, of which the ids consist")]
    fn sort(&mut self) {
        self.oids.sort();
        self.oids.dedup();
        self.sorted = self.oids.len();
    }
}

impl Default for Gathered {
    fn default() -> Self {
        Self { by_first_byte: (0..=u8::MAX).map(|_| Mutex::default()).collect() }
    }
}

impl Gathered {
    fn take(&self, found: &mut Vec<OidBytes>) {
        found.sort_unstable();
        found.dedup();
        for same in found.chunk_by(|a, b| a[0] == b[0]) {
            let mut bucket = self.by_first_byte[usize::from(same[0][0])].lock().unwrap_or_else(PoisonError::into_inner);
            bucket.oids.extend_from_slice(same);
            if bucket.oids.len() > bucket.sorted + bucket.sorted / 4 + FOUND_MAX / 64 {
                bucket.sort();
            }
        }
        found.clear();
    }

    pub(crate) fn sorted(self) -> Needs {
        let sorted = |bucket: Mutex<Bucket>| {
            let mut bucket = bucket.into_inner().unwrap_or_else(PoisonError::into_inner);
            bucket.sort();
            bucket.oids
        };
        Needs { by_first_byte: self.by_first_byte.into_iter().map(sorted).collect() }
    }
}

/// What objects refer to, each id once.
#[derive(Debug, Default)]
pub(crate) struct Needs {
    by_first_byte: Vec<Vec<OidBytes>>,
}

impl Needs {
    /// Iterates over them in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = OidBytes> {
        self.by_first_byte.iter().flatten().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_threads_collect_comes_once_and_in_order() {
        let all = Gathered::default();
        let oid = |number: u32| {
            let mut oid = [0; 20];
            oid[..4].copy_from_slice(&number.wrapping_mul(0x9e37_79b9).to_be_bytes());
            oid
        };
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let all = &all;
                scope.spawn(move || {
                    let mut references = References::new(all);
                    (0..200_000).for_each(|number| references.take(oid((number * (thread + 1)) % 150_000)));
                });
            }
        });
        let found: Vec<OidBytes> = all.sorted().iter().collect();
        let mut expected: Vec<OidBytes> = (0..150_000).map(oid).collect();
        expected.sort_unstable();
        assert!(found == expected);
    }
}
