//! Packs that ghbk makes or completes, and their indexes.
//!
//! The unusual part is adding a few objects to a pack that has just arrived: a run then publishes one pack and not two. Source of
//! the formats: git's documentation, `gitformat-pack`. What a newcomer would get wrong: in an index, an offset of 2^31 or more is
//! a row of a second table.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::num::NonZeroUsize;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use flate2::Compression;
use flate2::write::ZlibEncoder;
use git2::{ConfigLevel, ObjectType, Oid, Repository};
use gix_hash::Kind::Sha1;
use tokio_util::sync::CancellationToken;

use super::links::{OidBytes, bytes_of};
use super::{HEADER_BYTES, OID_BYTES, Pack, TRAILER_BYTES, hash_of, packs_in};
use crate::git::GitError;
use crate::memory::{self, Reservation};

/// An object that ghbk itself makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NewObject {
    pub(crate) oid: Oid,
    kind: ObjectType,
    data: Vec<u8>,
}

impl NewObject {
    pub(crate) fn new(kind: ObjectType, data: Vec<u8>) -> Result<Self, GitError> {
        Ok(Self { oid: Oid::hash_object(kind, &data)?, kind, data })
    }

    /// Writes the object as an entry of a pack, undeltified.
    #[expect(clippy::cast_possible_truncation, reason = "masked to the bits that fit")]
    fn entry(&self) -> io::Result<Vec<u8>> {
        let kind: u8 = match self.kind {
            ObjectType::Commit => 1,
            ObjectType::Tree => 2,
            ObjectType::Tag => 4,
            _ => 3,
        };
        let mut size = self.data.len();
        let low = |bits: u32, size: usize| (size & ((1 << bits) - 1)) as u8;
        let mut byte = (kind << 4) | low(4, size);
        size >>= 4;
        let mut out = Vec::with_capacity(self.data.len() / 2 + 16);
        while size > 0 {
            out.push(byte | 0x80);
            byte = low(7, size);
            size >>= 7;
        }
        out.push(byte);
        let mut encoder = ZlibEncoder::new(out, Compression::default());
        encoder.write_all(&self.data)?;
        encoder.finish()
    }

    /// Appends the object to bytes that will stand at an offset of a pack; returns its row in the index.
    pub(crate) fn append_to(&self, out: &mut Vec<u8>, offset: u64) -> io::Result<Row> {
        let entry = self.entry()?;
        let row = Row { oid: bytes_of(self.oid), crc32: crc32fast::hash(&entry), offset: offset + out.len() as u64 };
        out.extend_from_slice(&entry);
        Ok(row)
    }
}

/// One row of an index.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    pub(crate) oid: OidBytes,
    pub(crate) crc32: u32,
    pub(crate) offset: u64,
}

/// Reads the rows of an index. Version 1, which git wrote before 2007, has no CRCs.
pub(crate) fn rows_of(index: &gix_pack::index::File) -> Vec<Row> {
    let row = |entry: gix_pack::index::Entry| {
        let mut oid = [0; OID_BYTES];
        oid.copy_from_slice(entry.oid.as_bytes());
        Row { oid, crc32: entry.crc32.unwrap_or_default(), offset: entry.pack_offset }
    };
    index.iter().map(row).collect()
}

/// Adds objects to a pack in scratch, or makes a pack of them alone, and returns it under its new name.
///
/// # Errors
/// [`GitError`]; scratch may hold leftovers.
pub(crate) fn add(pack: Option<&Pack>, objects: &[NewObject], folder: &Path) -> Result<Pack, GitError> {
    let growing = folder.join("growing.pack");
    let failed = || GitError::io("write", &growing);
    let mut rows = Vec::new();
    let mut offset = HEADER_BYTES;
    if let Some(pack) = pack {
        let index = pack.index()?;
        rows = rows_of(&index);
        fs::rename(&pack.pack, &growing).map_err(failed())?;
        // libgit2 makes read-only packs, which only root can write to.
        fs::set_permissions(&growing, Permissions::from_mode(0o600)).map_err(failed())?;
        let length = fs::metadata(&growing).map_err(failed())?.len();
        offset = length.saturating_sub(TRAILER_BYTES).max(HEADER_BYTES);
        drop(index);
        fs::remove_file(&pack.idx).map_err(GitError::io("remove", &pack.idx))?;
    }
    seal(&growing, rows, offset, objects, folder)
}

/// Completes a pack whose entries end at an offset: adds the objects that it does not hold, gives it its header, checksum and
/// index, and returns it under its name.
pub(crate) fn seal(
    growing: &Path,
    mut rows: Vec<Row>,
    offset: u64,
    objects: &[NewObject],
    folder: &Path,
) -> Result<Pack, GitError> {
    let failed = || GitError::io("write", growing);
    let mut file =
        OpenOptions::new().read(true).write(true).create(true).truncate(false).open(growing).map_err(failed())?;
    // A repository may already hold the very file that a snapshot makes; a pack holds an object once.
    let mut missing: HashSet<OidBytes> = objects.iter().map(|object| bytes_of(object.oid)).collect();
    for row in &rows {
        missing.remove(&row.oid);
    }
    let mut appended = Vec::new();
    for object in objects.iter().filter(|object| missing.remove(&bytes_of(object.oid))) {
        rows.push(object.append_to(&mut appended, offset).map_err(failed())?);
    }
    let count = count_of(rows.len())?;
    let mut write = || -> Result<gix_hash::ObjectId, io::Error> {
        file.set_len(offset)?;
        file.seek(SeekFrom::Start(offset))?;
        file.write_all(&appended)?;
        file.rewind()?;
        file.write_all(&header(count))?;
        file.rewind()?;
        let checksum = hash_of(&mut file)?;
        file.write_all(checksum.as_bytes())?;
        Ok(checksum)
    };
    let checksum = write().map_err(failed())?;
    drop(file);
    name(growing, rows, checksum, folder)
}

/// Renames a whole pack as git does, and writes its index.
pub(crate) fn name(
    growing: &Path,
    rows: Vec<Row>,
    checksum: gix_hash::ObjectId,
    folder: &Path,
) -> Result<Pack, GitError> {
    let named = Pack::named(folder, checksum);
    fs::rename(growing, &named.pack).map_err(GitError::io("write", growing))?;
    write_idx(&named.idx, rows, checksum.as_bytes()).map_err(GitError::io("write", &named.idx))?;
    Ok(named)
}

/// Returns a pack's number of objects, which has 32 bits.
pub(crate) fn count_of(objects: usize) -> Result<u32, GitError> {
    u32::try_from(objects).map_err(|_| GitError::BrokenPack("a pack of 2^32 objects".to_owned()))
}

/// Writes the header of a pack.
pub(crate) fn header(objects: u32) -> [u8; gix_pack::data::header::SIZE] {
    gix_pack::data::header::encode(gix_pack::data::Version::V2, objects)
}

/// How many buffers a thread needs at most to look for deltas: two objects, the index of one, and a delta.
const BUFFERS: u64 = 4;
/// Larger files get no delta anyway: git's `core.bigFileThreshold`.
const DELTA_MAX_BYTES: u64 = 512 * 1024 * 1024;
/// How many times larger than its pack a repository of text may be.
const UNPACKED_TIMES: u64 = 16;

/// Reserves memory for looking for deltas, at most half of the budget, and returns it with libgit2's settings. Without them each
/// thread holds ten objects at once, however large, and versions of one binary of 90 MB are more than a small machine has.
///
/// libgit2 also takes from `deltaCacheSize` the size above which a file gets no delta at all.
fn room_for_deltas(repository: &Repository) -> Result<(Reservation, String), GitError> {
    let packs = packs_in(&repository.path().join("objects/pack"))?;
    let packed: u64 = packs.iter().filter_map(|pack| pack.bytes().ok()).sum();
    let share = memory::limit() / 2;
    let threads = std::thread::available_parallelism().map_or(1, NonZeroUsize::get) as u64;
    let of_buffer = (share / threads / BUFFERS).min(DELTA_MAX_BYTES);
    let needed = share.min(packed.saturating_mul(UNPACKED_TIMES));
    // Whoever holds the memory gives it back when cancelled.
    let reserved = memory::reserve(needed, &CancellationToken::new()).ok_or(GitError::Cancelled)?;
    Ok((reserved, format!("[pack]\n\twindowMemory = {of_buffer}\n\tdeltaCacheSize = {of_buffer}\n")))
}

/// Builds a pack of some objects of a repository on local disk; names of files help to find good deltas.
pub(crate) fn build<'a>(
    repository: &Repository,
    objects: impl Iterator<Item = (Oid, Option<&'a str>)>,
    folder: &Path,
) -> Result<Pack, GitError> {
    let (_room, settings) = room_for_deltas(repository)?;
    // In a file, because libgit2 takes them from nowhere else; above the repository's own configuration, which stays as it is.
    let limits = folder.join("packing.config");
    fs::write(&limits, settings).map_err(GitError::io("write", &limits))?;
    repository.config()?.add_file(&limits, ConfigLevel::App, true)?;
    let mut builder = repository.packbuilder()?;
    fs::remove_file(&limits).map_err(GitError::io("remove", &limits))?;
    builder.set_threads(0);
    let mut sorted: Vec<_> = objects.collect();
    sorted.sort_unstable();
    for (oid, name) in sorted {
        // A name with a NUL in it names no file.
        builder.insert_object(oid, name.filter(|name| !name.contains('\0')))?;
    }
    write(&mut builder, folder)
}

/// Writes a pack into a folder that holds none, named by its checksum: packs of one name are then the same pack.
fn write(builder: &mut git2::PackBuilder<'_>, folder: &Path) -> Result<Pack, GitError> {
    builder.write(folder, 0)?;
    let written = packs_in(folder)?.into_iter().next();
    let written = written.ok_or_else(|| GitError::Task("libgit2 wrote no pack".to_owned()))?;
    let checksum = written.index()?.pack_checksum();
    written.renamed(Pack::named(folder, checksum))
}

/// Writes an index of version 2.
#[expect(
    clippy::cast_possible_truncation,
    reason = "a pack has less than 2^32 objects; offsets are told apart by size"
)]
pub(crate) fn write_idx(path: &Path, mut rows: Vec<Row>, pack_checksum: &[u8]) -> io::Result<()> {
    const SIGNATURE: [u8; 8] = [0xff, b't', b'O', b'c', 0, 0, 0, 2];
    /// Offsets from here on are a row of the second table, marked by this bit.
    const LARGE: u64 = 1 << 31;
    rows.sort_unstable_by_key(|row| row.oid);
    let mut file = BufWriter::new(Hashed::new(File::create(path)?));
    file.write_all(&SIGNATURE)?;
    let mut reached = 0;
    for first_byte in 0..=u8::MAX {
        reached += rows[reached..].iter().take_while(|row| row.oid[0] == first_byte).count();
        file.write_all(&(reached as u32).to_be_bytes())?;
    }
    for row in &rows {
        file.write_all(&row.oid)?;
    }
    for row in &rows {
        file.write_all(&row.crc32.to_be_bytes())?;
    }
    let mut large = Vec::new();
    for row in &rows {
        let cell = if row.offset < LARGE {
            row.offset as u32
        } else {
            large.push(row.offset);
            LARGE as u32 | (large.len() - 1) as u32
        };
        file.write_all(&cell.to_be_bytes())?;
    }
    for offset in large {
        file.write_all(&offset.to_be_bytes())?;
    }
    file.write_all(pack_checksum)?;
    Hashed::end(file).map(drop)
}

/// Hashes what is written. It sits behind a buffer, which gives it large pieces.
pub(crate) struct Hashed<W> {
    inner: W,
    hasher: gix_hash::Hasher,
}

impl<W: Write> Hashed<W> {
    pub(crate) fn new(inner: W) -> Self {
        Self { inner, hasher: gix_hash::hasher(Sha1) }
    }

    /// Writes the checksum of everything before it, and returns it.
    pub(crate) fn end(buffered: BufWriter<Self>) -> io::Result<gix_hash::ObjectId> {
        let Self { mut inner, hasher } = buffered.into_inner().map_err(io::IntoInnerError::into_error)?;
        let checksum = hasher.try_finalize().map_err(|error| io::Error::other(error.to_string()))?;
        inner.write_all(checksum.as_bytes())?;
        inner.flush()?;
        Ok(checksum)
    }
}

impl<W: Write> Write for Hashed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(bytes)?;
        self.hasher.update(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
