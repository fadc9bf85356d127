//! Examining: what every object of a pack is, and what it refers to.
//!
//! Blocking; reads packs on local disk, on all processors. Little is kept for each object, because a repository may have tens of
//! millions: see `docs/performance.md`. What a newcomer would get wrong: a pack that has just arrived does not name its objects,
//! so what they refer to can be looked up only after all of them are hashed.

use std::collections::HashSet;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

use bytesize::ByteSize;
use git2::{ObjectType, Oid};
use gix_hash::Kind::Sha1;
use gix_pack::data::entry::Header;
use tokio_util::sync::CancellationToken;

use crate::disk::open_file;
use crate::git::GitError;
use crate::git::pack::chain::{Deltas, NONE};
use crate::git::pack::entries::{Entries, Window};
use crate::git::pack::links;
use crate::git::pack::links::bytes_of;
use crate::git::pack::needs::{Gathered, Needed, Needs, References};
use crate::git::pack::resolve::{Resolved, resolve};
use crate::git::pack::unpacking::{Foreseen, Unpacking};
use crate::git::pack::{HEADER_BYTES, OID_BYTES, Pack, Row, check_files, is_in, name_of};
use crate::git::pointer::{Pointer, each_once};
use crate::text::printable;

/// How thoroughly the objects of a pack are examined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Depth {
    /// Every object is unpacked; the checksums of pack and index vouch for the content.
    Unpack,
    /// Every object is also hashed.
    Hash,
}

/// What a pack holds, and what it needs from elsewhere.
#[derive(Debug, Default)]
pub(crate) struct Examined {
    pub(crate) objects: u64,
    /// Objects that this pack refers to and does not hold.
    pub(crate) needs: HashSet<Oid>,
    /// The large files that blobs in it stand for.
    pub(crate) pointers: Vec<Pointer>,
}

/// The pointers to large files in a pack, gathered by all threads.
#[derive(Default)]
struct Pointers(Mutex<Vec<Pointer>>);

impl Pointers {
    /// Checks whether an object is a pointer, which costs a comparison for all but the smallest files.
    fn look_at(&self, object: &Resolved<'_>) {
        if object.kind == ObjectType::Blob
            && let Some(pointer) = Pointer::parse(object.data)
        {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).push(pointer);
        }
    }

    fn sorted(self) -> Vec<Pointer> {
        each_once(self.0.into_inner().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Unpacks every object of a pack whose checksums are right, and collects what it refers to.
///
/// `object_size_max` is for a pack that a server sent; what is stored has passed that check before.
///
/// # Errors
/// [`GitError::Damaged`] at the first object that cannot be unpacked or is not what its id says.
pub(crate) fn stored(
    pack: &Pack,
    depth: Depth,
    object_size_max: Option<ByteSize>,
    cancel: &CancellationToken,
) -> Result<Examined, GitError> {
    let index = pack.index()?;
    let broken = |what: String| GitError::Damaged(format!("{}: {}", name_of(&pack.pack), printable(&what, 200)));
    let (file, length) = open_file(&pack.pack).map_err(GitError::io("open", &pack.pack))?;
    let end = length.saturating_sub(OID_BYTES as u64);
    let mut rows: Vec<(u64, u32)> =
        (0..index.num_objects()).map(|row| (index.pack_offset_at_index(row), row)).collect();
    rows.sort_unstable();
    let begins_at = rows.first().map_or(end, |(offset, _)| *offset);
    check_header(&pack.pack, &file, index.num_objects(), begins_at, &broken)?;
    let Outline { bases, largest_bytes } = outline(pack, &index, &rows, (&file, end), &broken)?;
    let has_deltas = bases.iter().any(|base| *base != NONE);
    let kept_bytes = rows.len() as u64 * STORED_BYTES;
    let unpacking = Unpacking::begin(Foreseen { kept_bytes, largest_bytes, has_deltas }, cancel)?;
    let deltas = Deltas::new(bases);
    let entries = Entries {
        path: &pack.pack,
        file: &file,
        offset: |number: u32| rows[number as usize].0,
        end,
        object_size_max: object_size_max.unwrap_or(ByteSize(u64::MAX)),
        broken: &broken,
    };
    let (needs, pointers) = (Mutex::new(HashSet::new()), Pointers::default());
    let visitor = || {
        let mut needed = Needed::new(&index, &needs);
        let (index, rows, broken, pointers) = (&index, &rows, &broken, &pointers);
        move |object: &Resolved<'_>| {
            let row = rows[object.number as usize].1;
            let oid = index.oid_at_index(row);
            if index.crc32_at_index(row).is_some_and(|crc32| crc32 != object.crc32) {
                return Err(broken(format!("the checksum of object {oid} in its index is wrong")));
            }
            if depth == Depth::Hash {
                let hashed = hash(object.kind, object.data).try_finalize();
                if hashed.map_err(|error| broken(format!("object {oid}: {error}")))? != oid {
                    return Err(broken(format!("the content of object {oid} does not match its id")));
                }
            }
            pointers.look_at(object);
            let referred = links::each(Some(object.kind), object.data, |oid| needed.take(oid));
            referred.map_err(|_| broken(format!("object {oid} is malformed")))
        }
    };
    resolve(&entries, &deltas, &unpacking, visitor, cancel)?;
    let needs = needs.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok(Examined { objects: rows.len() as u64, needs, pointers: pointers.sorted() })
}

/// What was proven about some packs.
#[derive(Debug, Default)]
pub(crate) struct Proven {
    /// Objects that were hashed.
    pub(crate) objects: u64,
    /// The large files that blobs among them stand for.
    pub(crate) pointers: Vec<Pointer>,
}

/// Proves that some packs hold every needed object and everything that any of their objects refers to.
pub(crate) fn prove(packs: &[Pack], needed: &HashSet<Oid>, cancel: &CancellationToken) -> Result<Proven, GitError> {
    let mut open = needed.clone();
    let mut proven = Proven::default();
    for pack in packs {
        check_files(pack)?;
        let examined = stored(pack, Depth::Hash, None, cancel)?;
        proven.objects += examined.objects;
        proven.pointers.extend(examined.pointers);
        open.extend(examined.needs);
    }
    proven.pointers = each_once(proven.pointers);
    for pack in packs {
        let index = pack.index()?;
        open.retain(|oid| !is_in(&index, bytes_of(*oid)));
    }
    match open.into_iter().next() {
        Some(missing) => Err(GitError::Incomplete(missing)),
        None => Ok(proven),
    }
}

/// Checks that a pack begins with a header that counts as many entries as its index, and that the first one follows at once.
fn check_header(
    path: &Path,
    file: &File,
    count: u32,
    begins_at: u64,
    broken: &dyn Fn(String) -> GitError,
) -> Result<(), GitError> {
    let mut header = [0; gix_pack::data::header::SIZE];
    file.read_exact_at(&mut header, 0).map_err(GitError::io("read", path))?;
    match gix_pack::data::header::decode(&header) {
        Err(error) => Err(broken(error.to_string())),
        Ok((_, counted)) if counted != count => Err(broken(format!("it has {counted} objects, and its index {count}"))),
        Ok(_) if begins_at != HEADER_BYTES => Err(broken("its first object is not in its index".to_owned())),
        Ok(_) => Ok(()),
    }
}

/// What the headers of a pack's entries say.
struct Outline {
    /// For each entry, the number of its base.
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

/// Bytes kept for an object of a stored pack: its place, its row in the index, and its deltas.
const STORED_BYTES: u64 = 24;
/// Bytes kept for an object that has arrived: its row, its deltas, and what refers to it, with room to sort.
const ARRIVED_BYTES: u64 = 72;

/// An entry that has arrived; its id is not known yet.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) offset: u64,
    pub(crate) crc32: u32,
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

/// A pack that has arrived: its entries in order.
#[derive(Debug, Default)]
pub(crate) struct Arriving {
    pub(crate) entries: Vec<Entry>,
    /// For each entry, the number of its base.
    pub(crate) bases: Vec<u32>,
    /// The size of the largest entry, unpacked.
    pub(crate) largest_bytes: u64,
    /// Where the entries end.
    pub(crate) end: u64,
}

impl Arriving {
    /// Adds an entry, which may be a delta of one that came this many bytes before it; returns whether that one exists.
    pub(crate) fn push(&mut self, offset: u64, base_distance: Option<u64>, crc32: u32) -> bool {
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

/// What the objects of a pack that has arrived are, and what they refer to.
pub(crate) struct Known {
    /// One for each object, in the order of the pack.
    pub(crate) rows: Vec<Row>,
    pub(crate) needs: Needs,
    /// The large files that blobs in it stand for.
    pub(crate) pointers: Vec<Pointer>,
    /// The memory that rows and needs take.
    pub(crate) memory: Option<Unpacking>,
}

/// Unpacks and hashes every object of a pack that has arrived.
///
/// # Errors
/// [`GitError::BrokenPack`] at the first object that cannot be unpacked or is malformed; [`GitError::ObjectTooLarge`];
/// [`GitError::NeedsMemory`]; [`GitError::Cancelled`].
pub(crate) fn arrived(
    path: &Path,
    arriving: Arriving,
    object_size_max: ByteSize,
    cancel: &CancellationToken,
) -> Result<Known, GitError> {
    let Arriving { entries: arrived, bases, largest_bytes, end } = arriving;
    if arrived.is_empty() {
        return Ok(Known { rows: Vec::new(), needs: Needs::default(), pointers: Vec::new(), memory: None });
    }
    let has_deltas = bases.iter().any(|base| *base != NONE);
    let kept_bytes = arrived.len() as u64 * ARRIVED_BYTES;
    let unpacking = Unpacking::begin(Foreseen { kept_bytes, largest_bytes, has_deltas }, cancel)?;
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
    let (needs, pointers) = (Gathered::default(), Pointers::default());
    let visitor = || {
        let mut references = References::new(&needs);
        let (arrived, pointers) = (&arrived, &pointers);
        move |object: &Resolved<'_>| {
            // Fails for a collision of SHA-1, as git does.
            let oid = hash(object.kind, object.data).try_finalize();
            let oid = oid.map_err(|error| GitError::BrokenPack(printable(&error.to_string(), 200)))?;
            let entry: &Entry = &arrived[object.number as usize];
            if entry.crc32 != object.crc32 {
                return Err(GitError::BrokenPack(format!("object {oid} changed on its way to scratch")));
            }
            entry.name(oid.as_bytes());
            pointers.look_at(object);
            let referred = links::each(Some(object.kind), object.data, |oid| references.take(oid));
            referred.map_err(|_| GitError::BrokenPack(format!("object {oid} is malformed")))
        }
    };
    resolve(&entries, &deltas, &unpacking, visitor, cancel)?;
    drop(deltas);
    let rows = arrived.into_iter().map(Entry::into_row).collect();
    Ok(Known { rows, needs: needs.sorted(), pointers: pointers.sorted(), memory: Some(unpacking) })
}

/// Hashes an object for its id.
pub(crate) fn hash(kind: ObjectType, data: &[u8]) -> gix_hash::Hasher {
    let mut hasher = gix_hash::hasher(Sha1);
    hasher.update(format!("{} {}\0", kind.str(), data.len()).as_bytes());
    hasher.update(data);
    hasher
}

#[cfg(test)]
mod tests;
