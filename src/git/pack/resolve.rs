//! Resolving deltas: unpacks every entry of a pack, in eight bytes of memory an entry.
//!
//! Blocking; reads a pack on local disk with `pread`, on several threads. Source of the format: git's documentation,
//! `gitformat-pack`. gitoxide does the same with a tree of deltas of 200 bytes an entry, which for ten million objects is more
//! than a small machine has. What a newcomer would get wrong: one entry may be the base of nearly all others, so threads that
//! have nothing left to do are given a part of what another still has before it; and what is kept for the deltas that follow
//! has a bound, so that a base may have to be made once more.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};

use git2::ObjectType;
use tokio_util::sync::CancellationToken;

use super::chain::{Base, Chain, Deltas, NONE, ROOT};
use crate::git::GitError;
use crate::git::pack::delta;
use crate::git::pack::entries::{CHAIN_MAX, Entries, Unpacker, kind_of};
use crate::git::pack::unpacking::{Beyond, Unpacking};

/// So many entries a thread takes at once.
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
/// What is wrong with the pack, by [`Entries::broken`], or what a visitor says; [`GitError::ObjectTooLarge`];
/// [`GitError::Disk`] if the pack cannot be read; [`GitError::Cancelled`].
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
    // A thread that ended because another one failed says that it was cancelled.
    let mut errors: Vec<GitError> = ended.into_iter().filter_map(Result::err).collect();
    errors.sort_by_key(|error| matches!(error, GitError::Cancelled));
    if let Some(first) = errors.into_iter().next() {
        return Err(first);
    }
    // A delta of an entry that is itself made of that delta is never reached.
    if shared.resolved.into_inner() != deltas.first.len() as u64 {
        return Err((entries.broken)("it holds deltas that are made of each other".to_owned()));
    }
    Ok(())
}

/// What the threads have in common.
#[derive(Default)]
struct Shared {
    threads: AtomicUsize,
    /// The next entry that nobody has taken.
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

    /// Waits until another thread gives a part of its work away; none once all threads wait.
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

    /// Gives away what is still to be made of the first base of a chain that has any of it; of the last base all but a few.
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
    /// The delta at hand.
    instructions: Vec<u8>,
    /// The memory for objects that nothing is made of.
    leaf: Vec<u8>,
}

/// So that nobody waits for a thread that panicked.
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

    /// Unpacks an entry that is no delta, and everything that is made of it.
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

    /// Applies the delta at hand.
    fn make(&mut self, number: u32, base: &[u8], data: &mut Vec<u8>) -> Result<(), GitError> {
        let entries = self.unpacker.entries;
        let misfit = |error| (entries.broken)(format!("the entry at {}: {error}", (entries.offset)(number)));
        let bytes = delta::result_size(&self.instructions).map_err(misfit)? as u64;
        entries.check_size(bytes)?;
        let held = self.beyond.take();
        self.beyond = self.unpacking.beyond(bytes, held, || self.is_over())?;
        delta::apply_into(base, &self.instructions, data).map_err(misfit)
    }

    /// Makes the last base of a chain again; returns whether there was time for it.
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
mod tests {
    use std::io::Write;

    use bytesize::ByteSize;
    use flate2::Compression;
    use flate2::write::ZlibEncoder;

    use super::*;
    use crate::git::pack::unpacking::Foreseen;

    const LARGE: ByteSize = ByteSize::mib(64);

    /// Objects that grow by a byte from the one that each is made of; `None` stands for itself.
    struct Growing {
        bases: Vec<Option<usize>>,
        first_bytes: usize,
    }

    impl Growing {
        fn content(&self, number: usize) -> Vec<u8> {
            let Some(base) = self.bases[number] else { return vec![b'a' + (number % 7) as u8; self.first_bytes] };
            let mut content = self.content(base);
            content.push((number % 251) as u8);
            content
        }

        fn sizes(&self) -> Vec<usize> {
            let mut sizes = vec![0; self.bases.len()];
            for number in 0..sizes.len() {
                let mut chain = vec![number];
                while let Some(base) = self.bases[chain[chain.len() - 1]].filter(|base| sizes[*base] == 0) {
                    chain.push(base);
                }
                for number in chain.into_iter().rev() {
                    sizes[number] = self.bases[number].map_or(self.first_bytes, |base| sizes[base] + 1);
                }
            }
            sizes
        }

        /// Writes each as a blob or a delta; which base that is of, only the numbers say.
        fn pack(&self) -> (tempfile::NamedTempFile, Vec<u64>) {
            let sizes = self.sizes();
            let (mut pack, mut offsets) = (b"PACK\0\0\0\x02\0\0\0\0".to_vec(), Vec::new());
            for (number, base) in self.bases.iter().enumerate() {
                offsets.push(pack.len() as u64);
                match base {
                    None => entry(&mut pack, 3, &[], &self.content(number)),
                    Some(_) => entry(&mut pack, 6, &[1], &one_more(sizes[number] - 1, (number % 251) as u8)),
                }
            }
            let mut file = tempfile::NamedTempFile::new().unwrap();
            file.write_all(&pack).unwrap();
            (file, offsets)
        }
    }

    fn entry(pack: &mut Vec<u8>, kind: u8, base: &[u8], content: &[u8]) {
        let mut size = content.len() >> 4;
        let mut byte = (kind << 4) | (content.len() & 15) as u8;
        while size > 0 {
            pack.push(byte | 0x80);
            byte = (size & 0x7f) as u8;
            size >>= 7;
        }
        pack.push(byte);
        pack.extend_from_slice(base);
        let mut encoder = ZlibEncoder::new(pack, Compression::fast());
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap();
    }

    /// A delta that copies a base of less than 16 MiB and adds a byte.
    fn one_more(base_bytes: usize, added: u8) -> Vec<u8> {
        let mut delta = Vec::new();
        for size in [base_bytes, base_bytes + 1] {
            let mut rest = size;
            while rest > 0x7f {
                delta.push((rest & 0x7f) as u8 | 0x80);
                rest >>= 7;
            }
            delta.push(rest as u8);
        }
        delta.push(0xf0);
        delta.extend_from_slice(&(base_bytes as u32).to_le_bytes()[..3]);
        delta.extend_from_slice(&[1, added]);
        delta
    }

    fn deltas(growing: &Growing) -> Deltas {
        Deltas::new(growing.bases.iter().map(|base| base.map_or(NONE, |base| base as u32)).collect())
    }

    fn resolve_all<V: FnMut(&Resolved<'_>) -> Result<(), GitError>>(
        growing: &Growing,
        deltas: &Deltas,
        threads: usize,
        max: ByteSize,
        visitor: impl Fn() -> V + Sync,
    ) -> Result<(), GitError> {
        let (file, offsets) = growing.pack();
        let entries = Entries {
            path: file.path(),
            file: file.as_file(),
            offset: |number: u32| offsets[number as usize],
            end: file.as_file().metadata().unwrap().len(),
            object_size_max: max,
            broken: &GitError::BrokenPack,
        };
        let none = CancellationToken::new();
        let foreseen = Foreseen { largest_bytes: growing.first_bytes as u64, has_deltas: true, ..Foreseen::default() };
        let mut unpacking = Unpacking::begin(foreseen, &none).unwrap();
        unpacking.threads = threads;
        resolve(&entries, deltas, &unpacking, visitor, &none)
    }

    fn sum(content: &[u8]) -> u64 {
        content.iter().fold(0, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(*byte)))
    }

    /// The numbers and sums of all objects, in order.
    fn resolved(growing: &Growing, threads: usize) -> Vec<(u32, u64)> {
        let seen = Mutex::new(Vec::new());
        let visitor = || {
            |object: &Resolved<'_>| {
                seen.lock().unwrap().push((object.number, sum(object.data)));
                Ok(())
            }
        };
        resolve_all(growing, &deltas(growing), threads, LARGE, visitor).unwrap();
        let mut seen = seen.into_inner().unwrap();
        seen.sort_unstable();
        seen
    }

    fn expected(growing: &Growing) -> Vec<(u32, u64)> {
        (0..growing.bases.len()).map(|number| (number as u32, sum(&growing.content(number)))).collect()
    }

    /// Pseudo-random bases: one in `roots` stands for itself, the others are made of one of the last few.
    fn bushy(count: usize, roots: usize, near: usize) -> Vec<Option<usize>> {
        let mut dice = 1_usize;
        let mut roll = |sides: usize| {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (dice >> 33) % sides
        };
        (0..count).map(|number| (number > 0 && roll(roots) > 0).then(|| number - 1 - roll(near.min(number)))).collect()
    }

    #[test]
    fn every_object_comes_once_whatever_is_made_of_what() {
        let shapes = [
            vec![None; 300],
            bushy(2_000, 40, 8),
            bushy(2_000, 100_000, 1),
            // All of one base: shared out among the threads.
            (0..2_000).map(|number| (number > 0).then_some(0)).collect(),
            // A base may come after what is made of it, if it is named by its id.
            (0..50).map(|number| (number < 49).then_some(number + 1)).collect(),
        ];
        for bases in shapes {
            let growing = Growing { bases, first_bytes: 500 };
            for threads in [1, 2, 8] {
                assert!(resolved(&growing, threads) == expected(&growing), "{threads} threads");
            }
        }
    }

    #[test]
    fn what_was_forgotten_is_made_once_more() {
        // Each level has two, of which the first is gone into: all bases before it are still needed.
        let mut bases = vec![None];
        for level in 0..30 {
            let base = if level == 0 { 0 } else { 2 * level - 1 };
            bases.extend([Some(base), Some(base)]);
        }
        let growing = Growing { bases, first_bytes: crate::git::pack::chain::KEPT_BYTES / 8 };
        assert!(resolved(&growing, 1) == expected(&growing));
    }

    fn base(number: u32, next: u32, bytes: usize) -> Base {
        let data = Some(vec![0; bytes]);
        Base { number, kind: ObjectType::Blob, data, next, end: NONE, depth: 0, is_given: false }
    }

    #[test]
    fn what_is_given_away_is_done_by_one_of_two() {
        // Two hundred deltas of the first entry, one of which has one of its own.
        let mut bases = vec![NONE];
        bases.extend([0; 200]);
        bases.push(200);
        let deltas = Deltas::new(bases);
        let order = |base: &Base| -> Vec<u32> {
            let next = |next: u32| (next != base.end).then_some(next);
            std::iter::successors(next(base.next), |number| next(deltas.next[*number as usize])).collect()
        };
        let mut first = base(0, deltas.first[0], 9);
        let all = order(&first);
        assert_eq!((all.len(), all[199]), (200, 200));
        let shared = Shared::default();
        shared.give(std::slice::from_mut(&mut first), &deltas);
        let mut given = shared.lock().take().unwrap();
        assert!(given.is_given && given.data == first.data);
        let rest = given.split_at(given.after(KEPT_DELTAS, &deltas).unwrap());
        assert_eq!([order(&first), order(&given), order(&rest)].concat(), all);
        // Few deltas of the last base stay; what is left of one before it is given whole.
        let mut chain = vec![rest, base(200, 201, 9)];
        shared.give(&mut chain[1..], &deltas);
        assert!(shared.lock().is_none());
        shared.give(&mut chain, &deltas);
        assert!(chain[0].is_done() && shared.lock().as_ref().is_some_and(|given| given.number == 0));
    }

    #[test]
    fn what_is_larger_than_foreseen_waits_for_its_turn() {
        let growing = Growing { bases: bushy(60, 4, 8), first_bytes: 300 * 1024 };
        let (none, few) = (CancellationToken::new(), Foreseen { has_deltas: true, ..Foreseen::default() });
        let unpacking = Unpacking::begin(few, &none).unwrap();
        let right = unpacking.beyond(1 << 20, None, || false).unwrap();
        assert!(right.is_some() && unpacking.beyond(1 << 10, None, || false).unwrap().is_none());
        assert!(matches!(unpacking.beyond(1 << 20, None, || true), Err(GitError::Cancelled)));
        assert!(matches!(unpacking.beyond(1 << 40, None, || false), Err(GitError::NeedsMemory { .. })));
        // Whoever holds the right is not given more memory than there can be.
        assert!(matches!(unpacking.beyond(1 << 40, right, || false), Err(GitError::NeedsMemory { .. })));
        assert!(unpacking.beyond(1 << 20, None, || true).unwrap().is_some());
        assert!(resolved(&growing, 4) == expected(&growing));
    }

    #[test]
    fn deltas_of_each_other_are_no_objects() {
        let growing = Growing { bases: vec![None, Some(0), Some(0), Some(0)], first_bytes: 9 };
        let ended = resolve_all(&growing, &Deltas::new(vec![NONE, 0, 3, 2]), 2, LARGE, || |_: &Resolved<'_>| Ok(()));
        assert!(matches!(ended, Err(GitError::BrokenPack(what)) if what.contains("made of each other")));
    }

    #[test]
    fn a_chain_too_long_and_an_object_too_large_are_refused() {
        let growing =
            Growing { bases: (0..CHAIN_MAX + 9).map(|number| number.checked_sub(1)).collect(), first_bytes: 9 };
        let ended = resolve_all(&growing, &deltas(&growing), 1, LARGE, || |_: &Resolved<'_>| Ok(()));
        assert!(matches!(ended, Err(GitError::BrokenPack(what)) if what.contains("in a row")));
        let ended = resolve_all(&growing, &deltas(&growing), 1, ByteSize(99), || |_: &Resolved<'_>| Ok(()));
        assert!(matches!(ended, Err(GitError::ObjectTooLarge { .. })));
    }

    #[test]
    fn an_error_and_a_panic_end_all_threads() {
        let growing = Growing { bases: bushy(2_000, 40, 8), first_bytes: 500 };
        let fails = |object: &Resolved<'_>| if object.number == 777 { Err(GitError::Cancelled) } else { Ok(()) };
        let ended = resolve_all(&growing, &deltas(&growing), 4, LARGE, || fails);
        assert!(matches!(ended, Err(GitError::Cancelled)));
        let panics = |object: &Resolved<'_>| {
            assert_ne!(object.number, 777);
            Ok(())
        };
        let caught =
            std::panic::catch_unwind(|| resolve_all(&growing, &deltas(&growing), 4, LARGE, || panics).is_err());
        assert!(caught.is_err());
    }
}
