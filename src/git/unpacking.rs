//! What unpacking a pack takes: memory, foreseen and taken out of the budget, and as many threads as that allows.
//!
//! Blocking while other packs have the memory.

use std::num::NonZeroUsize;

use bytesize::ByteSize;
use tokio_util::sync::CancellationToken;

use super::GitError;
use super::resolve::KEPT_BYTES;
use crate::memory::{self, Reservation};

/// A thread has the first base of a chain, the one at hand, what is made of it, and the delta in between.
const BUFFERS: u64 = 4;
/// So many deltas in a row git makes by default: `pack.depth`.
const CHAIN: u64 = 50;

/// The means to unpack one pack; dropping it gives them back.
#[derive(Debug)]
pub(super) struct Unpacking {
    /// How many threads may unpack.
    pub(super) threads: usize,
    pub(super) _memory: Reservation,
}

impl Unpacking {
    /// Waits until there is memory for what is kept of a pack's objects, and for unpacking them: the largest has so many bytes.
    ///
    /// # Errors
    /// [`GitError::NeedsMemory`] if it takes more than twice of what there is; [`GitError::Cancelled`].
    pub(super) fn begin(kept_bytes: u64, largest_bytes: u64, cancel: &CancellationToken) -> Result<Self, GitError> {
        let allowed = memory::limit();
        let between = largest_bytes.saturating_mul(CHAIN).min(KEPT_BYTES as u64);
        let of_thread = largest_bytes.saturating_mul(BUFFERS).saturating_add(between).max(1);
        // By default half of the machine is allowed.
        let needed = kept_bytes.saturating_add(of_thread);
        if needed > allowed.saturating_mul(2) {
            return Err(GitError::NeedsMemory { needed: ByteSize(needed), allowed: ByteSize(allowed) });
        }
        let processors = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let affordable = usize::try_from(allowed.saturating_sub(kept_bytes) / 2 / of_thread).unwrap_or(usize::MAX);
        let threads = affordable.clamp(1, processors);
        let needed = kept_bytes.saturating_add(of_thread.saturating_mul(threads as u64));
        let memory = memory::reserve(needed, cancel).ok_or(GitError::Cancelled)?;
        Ok(Self { threads, _memory: memory })
    }
}
