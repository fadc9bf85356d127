//! Resolving deltas: unpacks every entry of a pack, with eight bytes of memory per entry.
//!
//! Blocking; reads a pack on local disk with `pread`, on several threads. Source of the format: git's documentation,
//! `gitformat-pack`. gitoxide does the same with a tree of deltas of 200 bytes per entry, which for ten million objects is more
//! than a small machine has. What a newcomer would get wrong: one entry may be the base of nearly all others, so idle threads are
//! given part of the work that another still has to do; and what is kept for the deltas that follow is bounded, so a base may
//! have to be made again.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};

use git2::ObjectType;
use tokio_util::sync::CancellationToken;

use super::chain::{Base, Chain, Deltas, NONE, ROOT};
use crate::git::GitError;
use crate::git::pack::delta;
use crate::git::pack::entries::{CHAIN_MAX, Entries, Unpacker, kind_of};
use crate::git::pack::unpacking::{Beyond, Unpacking};

/// How many entries a thread takes at once.
const CHUNK: u64 = 256;

/// A thread keeps this many deltas of its last base for itself; giving fewer away is not worth a copy of the base.
const KEPT_DELTAS: usize = 64;

/// An object that was unpacked.
pub(crate) struct Resolved<'a> {
    /// Which entry of the pack it is.
    pub(crate) number: u32,
    pub(crate) kind: ObjectType,
    pub(crate) data: &'a [u8],
    /// Of the entry's bytes in the pack.
    pub(crate) crc32: u32,
}

/// Unpacks every entry once, and calls a thread's own visitor for each.
///
/// # Errors
/// What is wrong with the pack, by [`Entries::broken`], or a visitor's error; [`GitError::ObjectTooLarge`]; [`GitError::Disk`] if
/// the pack cannot be read; [`GitError::Cancelled`].
pub(crate) fn resolve<O, V>(
    entries: &Entries<'_, O>,
    deltas: &Deltas,
    unpacking: &Unpacking,
    visitor: impl Fn() -> V + Sync,
    cancel: &CancellationToken,
) -> Result<(), GitError>
where
    O: Fn(u32) -> u64 + Sync,
    V: FnMut(&Resolved<'_>) -> Result<(), GitError>,
{
    if deltas.first.len() >= ROOT as usize {
        return Err((entries.broken)("it holds too many entries".to_owned()));
    }
    let shared = Shared::default();
    let work = || {
        let worker = Worker {
            deltas,
            shared: &shared,
            cancel,
            visit: visitor(),
            unpacker: Unpacker::new(entries, deltas.first.len()),
            unpacking,
            beyond: None,
            instructions: Vec::new(),
            leaf: Vec::new(),
        };
        worker.run().inspect_err(|_| shared.stop())
    };
    let ended: Vec<Result<(), GitError>> = std::thread::scope(|scope| {
        shared.threads.store(1, Ordering::Relaxed);
        let mut others = Vec::new();
        for _ in 1..unpacking.threads {
            shared.threads.fetch_add(1, Ordering::Relaxed);
            match std::thread::Builder::new().spawn_scoped(scope, work) {
                Ok(other) => others.push(other),
                Err(error) => {
                    tracing::debug!("no further thread to unpack with: {error}");
                    shared.is_one_fewer();
                    break;
                }
            }
        }
        let own = work();
        let joined =
            others.into_iter().map(|other| other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        std::iter::once(own).chain(joined).collect()
    });
    if cancel.is_cancelled() {
        return Err(GitError::Cancelled);
    }
    // A thread that ended because another one failed reports that it was cancelled.
    let mut errors: Vec<GitError> = ended.into_iter().filter_map(Result::err).collect();
    errors.sort_by_key(|error| matches!(error, GitError::Cancelled));
    if let Some(first) = errors.into_iter().next() {
        return Err(first);
    }
    // A delta whose base is made of that very delta is never reached.
    if shared.resolved.into_inner() != deltas.first.len() as u64 {
        return Err((entries.broken)("it holds deltas that are made of each other".to_owned()));
    }
    Ok(())
}

/// What the threads share.
#[derive(Default)]
struct Shared {
    threads: AtomicUsize,
    /// The next entry that no thread has taken.
    next: AtomicU64,
    resolved: AtomicU64,
    stopped: AtomicBool,
    /// How many threads wait for a part of another's work.
    idle: AtomicUsize,
    given: Mutex<Option<Base>>,
    changed: Condvar,
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Base>> {
        self.given.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
        let _given = self.lock();
        self.changed.notify_all();
    }

    fn is_one_fewer(&self) {
        let _given = self.lock();
        self.threads.fetch_sub(1, Ordering::Relaxed);
        self.changed.notify_all();
    }

    /// Waits until another thread gives away a part of its work; `None` once all threads wait.
    fn wait(&self) -> Option<Base> {
        let mut given = self.lock();
        self.idle.fetch_add(1, Ordering::Relaxed);
        let is_over = || self.idle.load(Ordering::Relaxed) == self.threads.load(Ordering::Relaxed);
        if is_over() {
            self.changed.notify_all();
        }
        loop {
            if let Some(base) = given.take() {
                self.idle.fetch_sub(1, Ordering::Relaxed);
                return Some(base);
            }
            if self.stopped.load(Ordering::Relaxed) || is_over() {
                return None;
            }
            given = self.changed.wait(given).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Gives away the remaining deltas of the first base in a chain that has any; of the last base, all but a few.
    fn give(&self, chain: &mut [Base], deltas: &Deltas) {
        let mut given = self.lock();
        if given.is_some() {
            return;
        }
        let Some((last, before)) = chain.split_last_mut() else { return };
        *given = match before.iter_mut().find(|base| base.data.is_some() && !base.is_done()) {
            Some(base) => Some(base.split_at(base.next)),
            None => last.after(KEPT_DELTAS, deltas).map(|next| last.split_at(next)),
        };
        if given.is_some() {
            self.changed.notify_one();
        }
    }
}

struct Worker<'a, O, V> {
    deltas: &'a Deltas,
    shared: &'a Shared,
    cancel: &'a CancellationToken,
    visit: V,
    unpacker: Unpacker<'a, O>,
    unpacking: &'a Unpacking,
    /// Held while objects are larger than was foreseen.
    beyond: Option<Beyond>,
    /// The current delta.
    instructions: Vec<u8>,
    /// The memory for objects that are no bases.
    leaf: Vec<u8>,
}

/// Makes sure that nobody waits for a thread that panicked.
impl<O, V> Drop for Worker<'_, O, V> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.shared.stop();
        }
    }
}

impl<O, V> Worker<'_, O, V>
where
    O: Fn(u32) -> u64,
    V: FnMut(&Resolved<'_>) -> Result<(), GitError>,
{
    fn run(mut self) -> Result<(), GitError> {
        let count = self.deltas.first.len() as u64;
        loop {
            let begin = self.shared.next.fetch_add(CHUNK, Ordering::Relaxed);
            if begin >= count {
                break;
            }
            for number in begin..count.min(begin + CHUNK) {
                let number = u32::try_from(number).unwrap_or(NONE);
                if self.deltas.is_root(number) {
                    self.family_of(number)?;
                }
            }
        }
        while let Some(base) = self.shared.wait() {
            self.descend(base)?;
        }
        Ok(())
    }

    fn is_over(&self) -> bool {
        self.cancel.is_cancelled() || self.shared.stopped.load(Ordering::Relaxed)
    }

    fn is_base(&self, number: u32) -> bool {
        self.deltas.first[number as usize] != NONE
    }

    fn broken(&self, what: String) -> GitError {
        (self.unpacker.entries.broken)(what)
    }

    /// Unpacks an entry that is not a delta, and everything that is made of it.
    fn family_of(&mut self, number: u32) -> Result<(), GitError> {
        if self.is_over() {
            return Ok(());
        }
        let mut data = if self.is_base(number) { Vec::new() } else { std::mem::take(&mut self.leaf) };
        let (kind, crc32) = self.unpack_whole(number, &mut data)?;
        self.tell(&Resolved { number, kind, data: &data, crc32 })?;
        if self.is_base(number) {
            let next = self.deltas.first[number as usize];
            self.descend(Base { number, kind, data: Some(data), next, end: NONE, depth: 0, is_given: false })?;
        } else {
            self.leaf = data;
        }
        Ok(())
    }

    fn unpack_whole(&mut self, number: u32, data: &mut Vec<u8>) -> Result<(ObjectType, u32), GitError> {
        let unpacked = self.unpacker.unpack(number, data)?;
        let kind = kind_of(unpacked.header).ok_or_else(|| self.broken(format!("its entry {number} is no object")))?;
        Ok((kind, unpacked.crc32))
    }

    /// Makes everything that is made of a base, depth first.
    fn descend(&mut self, base: Base) -> Result<(), GitError> {
        let mut chain = Chain::new(base);
        while let Some(base) = chain.bases.last_mut() {
            if self.is_over() {
                break;
            }
            if base.is_done() {
                chain.pop();
                continue;
            }
            let number = base.next;
            base.next = self.deltas.next[number as usize];
            let (kind, depth) = (base.kind, base.depth + 1);
            if depth >= CHAIN_MAX {
                return Err(self.broken(format!("{CHAIN_MAX} deltas in a row")));
            }
            if base.data.is_none() && !self.remake(&mut chain)? {
                break;
            }
            let crc32 = self.unpacker.unpack(number, &mut self.instructions)?.crc32;
            let base = chain.bases.last().and_then(|base| base.data.as_deref()).unwrap_or_default();
            let mut data = if self.is_base(number) { Vec::new() } else { std::mem::take(&mut self.leaf) };
            self.make(number, base, &mut data)?;
            self.tell(&Resolved { number, kind, data: &data, crc32 })?;
            if self.is_base(number) {
                let next = self.deltas.first[number as usize];
                chain.push(Base { number, kind, data: Some(data), next, end: NONE, depth, is_given: false });
            } else {
                self.leaf = data;
            }
            if self.shared.idle.load(Ordering::Relaxed) > 0 {
                self.shared.give(&mut chain.bases, self.deltas);
            }
        }
        drop(chain);
        if self.beyond.is_some() {
            (self.leaf, self.beyond) = (Vec::new(), None);
        }
        Ok(())
    }

    fn tell(&mut self, resolved: &Resolved<'_>) -> Result<(), GitError> {
        self.shared.resolved.fetch_add(1, Ordering::Relaxed);
        (self.visit)(resolved)
    }

    /// Applies the current delta.
    fn make(&mut self, number: u32, base: &[u8], data: &mut Vec<u8>) -> Result<(), GitError> {
        let entries = self.unpacker.entries;
        let misfit = |error| (entries.broken)(format!("the entry at {}: {error}", (entries.offset)(number)));
        let bytes = delta::result_size(&self.instructions).map_err(misfit)? as u64;
        entries.check_size(bytes)?;
        let held = self.beyond.take();
        self.beyond = self.unpacking.beyond(bytes, held, || self.is_over())?;
        delta::apply_into(base, &self.instructions, data).map_err(misfit)
    }

    /// Makes the last base of a chain again; returns `false` if the work was stopped before that.
    fn remake(&mut self, chain: &mut Chain) -> Result<bool, GitError> {
        let last = chain.bases.len() - 1;
        let there = chain.bases.iter().rposition(|base| base.data.is_some());
        let mut data = None;
        if there.is_none() {
            let mut first = Vec::new();
            self.unpack_whole(chain.bases[0].number, &mut first)?;
            data = Some(first);
        }
        let mut at = there.unwrap_or_default();
        while at < last {
            if self.is_over() {
                return Ok(false);
            }
            let number = chain.bases[at + 1].number;
            self.unpacker.unpack(number, &mut self.instructions)?;
            let mut made = Vec::new();
            let base = data.as_deref().or(chain.bases[at].data.as_deref()).unwrap_or_default();
            self.make(number, base, &mut made)?;
            if let Some(data) = data.replace(made) {
                chain.keep(at, data);
            }
            at += 1;
        }
        if data.is_some() {
            chain.bases[last].data = data;
        }
        Ok(true)
    }
}

#[cfg(test)]
#[expect(clippy::cast_possible_truncation, reason = "numbers of small packs, and bytes masked to the bits that fit")]
mod tests;
