//! Examining: what every object of a pack is, and what it refers to.
//!
//! Blocking; reads packs on local disk, on all processors. What is kept for each object is little, because a repository may
//! have tens of millions: see `docs/performance.md`. What a newcomer would get wrong: a pack that has just come does not say
//! what its objects are called, so what they refer to can be looked up only when all of them are hashed.

use std::collections::HashSet;
use std::fs::File;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

use bytesize::ByteSize;
use git2::{ObjectType, Oid};
use gix_hash::Kind::Sha1;
use gix_pack::data::entry::Header;
use tokio_util::sync::CancellationToken;

use super::entries::{Entries, Window};
use super::files::open_file;
use super::pack::{OID_BYTES, Pack, Row, check_files, is_in, name_of};
use super::references::{OidBytes, RECENT, bytes_of};
use super::resolve::{Deltas, NONE, Resolved, resolve};
use super::unpacking::Unpacking;
use super::{GitError, references};
use crate::text::printable;

/// Says how thoroughly the objects of a pack are examined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Depth {
    /// Every object is unpacked; the checksums of pack and index vouch for the content.
    Unpack,
    /// Every object is hashed, too.
    Hash,
}

/// What a pack holds, and what it needs from elsewhere.
#[derive(Debug, Default)]
pub(super) struct Examined {
    pub(super) objects: u64,
    /// Objects that those of this pack refer to and that are not in it.
    pub(super) needs: HashSet<Oid>,
}

/// Unpacks every object of a pack whose checksums are right, and collects what it refers to.
///
/// `object_size_max` is for a pack that a server sent; what is stored has passed that once.
///
/// # Errors
/// [`GitError::Damaged`] at the first object that cannot be unpacked or is not what its id says.
pub(super) fn stored(
    pack: &Pack,
    depth: Depth,
    object_size_max: Option<ByteSize>,
    cancel: &CancellationToken,
) -> Result<Examined, GitError> {
    let index = pack.index()?;
    if index.num_objects() == 0 {
        return Ok(Examined::default());
    }
    let broken = |what: String| GitError::Damaged(format!("{}: {}", name_of(&pack.pack), printable(&what, 200)));
    let (file, length) = open_file(&pack.pack).map_err(GitError::io("open", &pack.pack))?;
    let end = length.saturating_sub(OID_BYTES as u64);
    let mut rows: Vec<(u64, u32)> =
        (0..index.num_objects()).map(|row| (index.pack_offset_at_index(row), row)).collect();
    rows.sort_unstable();
    let Outline { bases, largest_bytes } = outline(pack, &index, &rows, (&file, end), &broken)?;
    let deltas = Deltas::new(bases);
    let Unpacking { threads, _memory } = Unpacking::begin(rows.len() as u64 * STORED_BYTES, largest_bytes, cancel)?;
    let entries = Entries {
        path: &pack.pack,
        file: &file,
        offset: |number: u32| rows[number as usize].0,
        end,
        object_size_max: object_size_max.unwrap_or(ByteSize(u64::MAX)),
        broken: &broken,
    };
    let needs = Mutex::new(HashSet::new());
    let visitor = || {
        let mut needed =
            Needed { index: &index, recent: vec![[0; OID_BYTES]; RECENT], found: HashSet::new(), all: &needs };
        let (index, rows, broken) = (&index, &rows, &broken);
        move |object: &Resolved<'_>| {
            let row = rows[object.number as usize].1;
            let oid = index.oid_at_index(row);
            if depth == Depth::Hash {
                let hashed = hash(object.kind, object.data).try_finalize();
                let hashed = hashed.map_err(|error| broken(format!("object {oid}: {error}")))?;
                if hashed != oid || index.crc32_at_index(row).is_some_and(|crc32| crc32 != object.crc32) {
                    return Err(broken(format!("the content of object {oid} does not match its id")));
                }
            }
            let referred = references::each(Some(object.kind), object.data, |oid| needed.take(oid));
            referred.map_err(|_| broken(format!("object {oid} is malformed")))
        }
    };
    resolve(&entries, &deltas, threads, visitor, cancel)?;
    let needs = needs.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok(Examined { objects: rows.len() as u64, needs })
}

/// Proves that some packs hold every needed object and everything that any of their objects refers to; returns how many
/// objects were hashed for it.
pub(super) fn prove(packs: &[Pack], needed: &HashSet<Oid>, cancel: &CancellationToken) -> Result<u64, GitError> {
    let mut open = needed.clone();
    let mut objects = 0;
    for pack in packs {
        check_files(pack)?;
        let examined = stored(pack, Depth::Hash, None, cancel)?;
        objects += examined.objects;
        open.extend(examined.needs);
    }
    for pack in packs {
        let index = pack.index()?;
        open.retain(|oid| !is_in(&index, bytes_of(*oid)));
    }
    match open.into_iter().next() {
        Some(missing) => Err(GitError::Incomplete(missing)),
        None => Ok(objects),
    }
}

/// What the headers of a pack's entries say.
struct Outline {
    /// For each entry the number of its base.
    bases: Vec<u32>,
    /// The size of the largest entry, unpacked.
    largest_bytes: u64,
}

fn outline(
    pack: &Pack,
    index: &gix_pack::index::File,
    rows: &[(u64, u32)],
    (file, end): (&File, u64),
    broken: &dyn Fn(String) -> GitError,
) -> Result<Outline, GitError> {
    let mut window = Window::new(file, end);
    let mut outline = Outline { bases: Vec::with_capacity(rows.len()), largest_bytes: 0 };
    for (offset, _) in rows {
        let header = window.at(&(*offset..end)).map_err(GitError::io("read", &pack.pack))?;
        let entry = gix_pack::data::Entry::from_bytes(header, *offset, Sha1)
            .map_err(|error| broken(format!("the entry at {offset}: {error}")))?;
        let base = match entry.header {
            Header::OfsDelta { base_distance } => Some(offset.checked_sub(base_distance)),
            Header::RefDelta { base_id } => Some(index.lookup(base_id).map(|row| index.pack_offset_at_index(row))),
            _ => None,
        };
        let number = match base {
            None => NONE,
            Some(base) => base
                .and_then(|base| rows.binary_search_by_key(&base, |row| row.0).ok())
                .and_then(|number| u32::try_from(number).ok())
                .ok_or_else(|| broken(format!("the base of the delta at {offset} is not in it")))?,
        };
        outline.bases.push(number);
        outline.largest_bytes = outline.largest_bytes.max(entry.decompressed_size);
    }
    Ok(outline)
}

/// What is kept for an object of a stored pack: its place, its row in the index, and which are made of it.
const STORED_BYTES: u64 = 24;
/// What is kept for an object that has come: its row, which are made of it, and what refers to it, with room to sort.
const ARRIVED_BYTES: u64 = 72;

/// An entry that has come; what it is called is not known yet.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) offset: u64,
    pub(super) crc32: u32,
    /// Written by whichever thread unpacks it.
    oid: [AtomicU32; OID_BYTES / 4],
}

impl Entry {
    fn new(offset: u64, crc32: u32) -> Self {
        Self { offset, crc32, oid: Default::default() }
    }

    fn name(&self, oid: &[u8]) {
        for (part, bytes) in self.oid.iter().zip(oid.as_chunks().0) {
            part.store(u32::from_ne_bytes(*bytes), Ordering::Relaxed);
        }
    }

    fn into_row(self) -> Row {
        let mut oid = [0; OID_BYTES];
        for (bytes, part) in oid.as_chunks_mut().0.iter_mut().zip(self.oid) {
            *bytes = part.into_inner().to_ne_bytes();
        }
        Row { oid, crc32: self.crc32, offset: self.offset }
    }
}

/// A pack that has come: its entries in their order.
#[derive(Debug, Default)]
pub(super) struct Arriving {
    pub(super) entries: Vec<Entry>,
    /// For each the number of its base.
    pub(super) bases: Vec<u32>,
    /// The size of the largest entry, unpacked.
    pub(super) largest_bytes: u64,
    /// Where the entries end.
    pub(super) end: u64,
}

impl Arriving {
    /// Adds an entry, which may be a delta of one that came so many bytes before it; says whether that one is there.
    pub(super) fn push(&mut self, offset: u64, base_distance: Option<u64>, crc32: u32) -> bool {
        let base = match base_distance {
            None => Some(NONE),
            Some(distance) => offset
                .checked_sub(distance)
                .and_then(|base| self.entries.binary_search_by_key(&base, |entry| entry.offset).ok())
                .and_then(|number| u32::try_from(number).ok()),
        };
        self.entries.push(Entry::new(offset, crc32));
        self.bases.push(base.unwrap_or(NONE));
        base.is_some()
    }
}

/// Unpacks and hashes every object of a pack that has come; returns their rows, and what they refer to.
pub(super) fn arrived(
    path: &Path,
    arriving: Arriving,
    object_size_max: ByteSize,
    cancel: &CancellationToken,
) -> Result<(Vec<Row>, Needs), GitError> {
    let Arriving { entries: arrived, bases, largest_bytes, end } = arriving;
    if arrived.is_empty() {
        return Ok((Vec::new(), Needs::default()));
    }
    let Unpacking { threads, _memory } = Unpacking::begin(arrived.len() as u64 * ARRIVED_BYTES, largest_bytes, cancel)?;
    let (file, _) = open_file(path).map_err(GitError::io("open", path))?;
    let deltas = Deltas::new(bases);
    let entries = Entries {
        path,
        file: &file,
        offset: |number: u32| arrived[number as usize].offset,
        end,
        object_size_max,
        broken: &|what| GitError::BrokenPack(printable(&what, 200)),
    };
    let needs = Gathered::default();
    let visitor = || {
        let mut references = References { recent: vec![[0; OID_BYTES]; RECENT], found: Vec::new(), all: &needs };
        let arrived = &arrived;
        move |object: &Resolved<'_>| {
            // Fails for a collision of SHA-1, as git does.
            let oid = hash(object.kind, object.data).try_finalize();
            let oid = oid.map_err(|error| GitError::BrokenPack(printable(&error.to_string(), 200)))?;
            arrived[object.number as usize].name(oid.as_bytes());
            let referred = references::each(Some(object.kind), object.data, |oid| references.take(oid));
            referred.map_err(|_| GitError::BrokenPack(format!("object {oid} is malformed")))
        }
    };
    resolve(&entries, &deltas, threads, visitor, cancel)?;
    drop(deltas);
    Ok((arrived.into_iter().map(Entry::into_row).collect(), needs.sorted()))
}

/// Hashes an object for its id.
pub(super) fn hash(kind: ObjectType, data: &[u8]) -> gix_hash::Hasher {
    let mut hasher = gix_hash::hasher(Sha1);
    hasher.update(format!("{} {}\0", kind.str(), data.len()).as_bytes());
    hasher.update(data);
    hasher
}

/// Collects on one thread what a stored pack refers to and does not hold.
struct Needed<'a> {
    index: &'a gix_pack::index::File,
    recent: Vec<OidBytes>,
    found: HashSet<Oid>,
    all: &'a Mutex<HashSet<Oid>>,
}

impl Needed<'_> {
    fn take(&mut self, oid: OidBytes) {
        let slot = references::slot(oid);
        if self.recent[slot] == oid {
            return;
        }
        self.recent[slot] = oid;
        if !is_in(self.index, oid)
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

/// Collects on one thread what objects refer to that have come.
struct References<'a> {
    recent: Vec<OidBytes>,
    found: Vec<OidBytes>,
    all: &'a Gathered,
}

/// So many ids are handed on at once.
const FOUND_MAX: usize = 1 << 16;

impl References<'_> {
    fn take(&mut self, oid: OidBytes) {
        let slot = references::slot(oid);
        if self.recent[slot] != oid {
            self.recent[slot] = oid;
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

/// Ids from all threads, by their first bytes, each once when it is sorted: a set of millions of them would take three times
/// the memory, and one list of them twice while it is sorted.
struct Gathered {
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

    fn sorted(self) -> Needs {
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
pub(super) struct Needs {
    by_first_byte: Vec<Vec<OidBytes>>,
}

impl Needs {
    /// Goes through them in their order.
    pub(super) fn iter(&self) -> impl Iterator<Item = OidBytes> {
        self.by_first_byte.iter().flatten().copied()
    }
}
