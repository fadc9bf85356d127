use std::io::Write;

use bytesize::ByteSize;
use flate2::Compression;
use flate2::write::ZlibEncoder;

use super::*;
use crate::git::pack::unpacking::Foreseen;

const LARGE: ByteSize = ByteSize::mib(64);

/// Objects that are each one byte longer than their base; `None` is not a delta.
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

    /// Writes each as a blob or a delta; only `bases` says which base a delta has.
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

/// Pseudo-random bases: one in `roots` is not a delta, the others are made of one of the last few.
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
        // All have one base: the threads share them.
        (0..2_000).map(|number| (number > 0).then_some(0)).collect(),
        // A base that is named by its id may come after what is made of it.
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
    // Each level has two deltas, and the first is followed: all bases before it are still needed.
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
    // Two hundred deltas of the first entry, one of which has a delta of its own.
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
    // The last base keeps its few deltas; those left of an earlier base are all given away.
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
    // Holding the right does not give more memory than there can be.
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
    let growing = Growing { bases: (0..CHAIN_MAX + 9).map(|number| number.checked_sub(1)).collect(), first_bytes: 9 };
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
    let caught = std::panic::catch_unwind(|| resolve_all(&growing, &deltas(&growing), 4, LARGE, || panics).is_err());
    assert!(caught.is_err());
}
