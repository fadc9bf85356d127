//! What unpacking a pack takes: memory, foreseen and taken out of the budget, and as many threads as that allows.
//!
//! Blocking while other packs have the memory.

use std::num::NonZeroUsize;

use bytesize::ByteSize;
use tokio_util::sync::CancellationToken;

use super::GitError;
use crate::memory::{self, Reservation};

/// For each object: its row, its place in the tree of deltas, and what it refers to; measured with a million small ones, see
/// `docs/performance.md`.
const OBJECT_BYTES: u64 = 250;
/// A thread has a base, what is made of it, and the delta in between.
const BUFFERS: u64 = 3;

/// The means to unpack one pack; dropping it gives them back.
#[derive(Debug)]
pub(super) struct Unpacking {
    /// How many threads may unpack.
    pub(super) threads: usize,
    pub(super) _memory: Reservation,
}

impl Unpacking {
    /// Waits until there is memory for a pack with so many objects, of which the largest has so many bytes.
    ///
    /// # Errors
    /// [`GitError::NeedsMemory`] if it takes more than twice of what there is; [`GitError::Cancelled`].
    pub(super) fn begin(objects: u64, largest_bytes: u64, cancel: &CancellationToken) -> Result<Self, GitError> {
        let allowed = memory::limit();
        let of_objects = objects.saturating_mul(OBJECT_BYTES);
        let of_thread = largest_bytes.saturating_mul(BUFFERS).max(1);
        // By default half of the machine is allowed.
        let needed = of_objects.saturating_add(of_thread);
        if needed > allowed.saturating_mul(2) {
            return Err(GitError::NeedsMemory { needed: ByteSize(needed), allowed: ByteSize(allowed) });
        }
        let processors = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let affordable = usize::try_from(allowed.saturating_sub(of_objects) / 2 / of_thread).unwrap_or(usize::MAX);
        let threads = affordable.clamp(1, processors);
        let needed = of_objects.saturating_add(of_thread.saturating_mul(threads as u64));
        let memory = memory::reserve(needed, cancel).ok_or(GitError::Cancelled)?;
        Ok(Self { threads, _memory: memory })
    }
}
