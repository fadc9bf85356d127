//! What unpacking a pack takes: memory, foreseen and taken out of the budget, and as many threads as that allows.
//!
//! Blocking while other packs have the memory. What a newcomer would get wrong: the size of an object that a delta makes is known
//! only when the delta is unpacked, and a small pack may make large ones.

use std::num::NonZeroUsize;
use std::sync::{Mutex, MutexGuard, TryLockError};
use std::time::Duration;

use bytesize::ByteSize;
use tokio_util::sync::CancellationToken;

use crate::git::GitError;
use crate::git::pack::chain::KEPT_BYTES;
use crate::memory::{self, Reservation};

/// A thread has a base, the object made of it, and the delta in between.
const BUFFERS: u64 = 3;
/// If several threads unpack, each may also have a copy of what another one gave it.
const BUFFERS_OF_SEVERAL: u64 = 4;
/// The longest chain of deltas that git makes by default: `pack.depth`.
const CHAIN: u64 = 50;
/// Objects of up to this size are expected in every pack.
const SMALL_BYTES: u64 = 256 * 1024;
/// How long a wait lasts before it checks whether it is still wanted.
const PAUSE: Duration = Duration::from_millis(20);

/// One object at a time in the whole process may be larger than was foreseen.
static BEYOND: Mutex<()> = Mutex::new(());

/// The right to unpack what was not foreseen; dropping it gives it back.
pub(crate) struct Beyond(#[expect(dead_code, reason = "held, not read")] MutexGuard<'static, ()>);

/// The means to unpack one pack; dropping it gives them back.
#[derive(Debug)]
pub(crate) struct Unpacking {
    /// How many threads may unpack.
    pub(crate) threads: usize,
    /// What is kept of its objects.
    kept_bytes: u64,
    /// Objects of up to this size were foreseen.
    foreseen_bytes: u64,
    _memory: Reservation,
}

/// What is known about a pack before it is unpacked.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Foreseen {
    /// What is kept of all its objects.
    pub(crate) kept_bytes: u64,
    /// The size of its largest entry, unpacked. What a delta makes may be larger.
    pub(crate) largest_bytes: u64,
    /// Whether it has deltas.
    pub(crate) has_deltas: bool,
}

impl Unpacking {
    /// Waits until there is memory for a pack.
    ///
    /// # Errors
    /// [`GitError::NeedsMemory`] if it takes more than twice what there is; [`GitError::Cancelled`].
    pub(crate) fn begin(foreseen: Foreseen, cancel: &CancellationToken) -> Result<Self, GitError> {
        let Foreseen { kept_bytes, largest_bytes, has_deltas } = foreseen;
        let of_chain = if has_deltas { largest_bytes.saturating_mul(CHAIN).min(KEPT_BYTES as u64) } else { 0 };
        let foreseen_bytes = largest_bytes.max(SMALL_BYTES);
        let of_thread = |threads: usize| {
            let buffers = match (has_deltas, threads) {
                (false, _) => 1,
                (true, 1) => BUFFERS,
                (true, _) => BUFFERS_OF_SEVERAL,
            };
            foreseen_bytes.saturating_mul(buffers).saturating_add(of_chain)
        };
        let of_threads = |threads: usize| of_thread(threads).saturating_mul(threads as u64);
        let allowed = check(kept_bytes.saturating_add(of_threads(1)))?;
        let mut threads = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        while threads > 1 && of_threads(threads) > allowed.saturating_sub(kept_bytes) / 2 {
            threads -= 1;
        }
        let memory = memory::reserve(kept_bytes.saturating_add(of_threads(threads)), cancel);
        Ok(Self { threads, kept_bytes, foreseen_bytes, _memory: memory.ok_or(GitError::Cancelled)? })
    }

    /// Waits for the right to unpack an object that is larger than was foreseen, unless it is held already; other objects need no
    /// right.
    ///
    /// # Errors
    /// [`GitError::NeedsMemory`] if there can never be enough memory for it; [`GitError::Cancelled`] if the work is over.
    pub(crate) fn beyond(
        &self,
        bytes: u64,
        held: Option<Beyond>,
        is_over: impl Fn() -> bool,
    ) -> Result<Option<Beyond>, GitError> {
        if bytes <= self.foreseen_bytes {
            return Ok(held);
        }
        check(self.kept_bytes.saturating_add(bytes.saturating_mul(BUFFERS)))?;
        if held.is_some() {
            return Ok(held);
        }
        loop {
            match BEYOND.try_lock() {
                Ok(right) => return Ok(Some(Beyond(right))),
                Err(TryLockError::Poisoned(right)) => return Ok(Some(Beyond(right.into_inner()))),
                Err(TryLockError::WouldBlock) if is_over() => return Err(GitError::Cancelled),
                Err(TryLockError::WouldBlock) => std::thread::sleep(PAUSE),
            }
        }
    }
}

/// Returns how much is allowed, unless more than twice that is needed: by default half of the machine's memory is allowed.
fn check(needed: u64) -> Result<u64, GitError> {
    let allowed = memory::limit();
    if needed > allowed.saturating_mul(2) {
        return Err(GitError::NeedsMemory { needed: ByteSize(needed), allowed: ByteSize(allowed) });
    }
    Ok(allowed)
}
