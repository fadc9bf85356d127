//! Objects read from packs one by one, wherever the packs lie.
//!
//! Blocking; reads with `pread`, never through a memory map: what a store cannot read is then an error with a name, and not the
//! end of the process by SIGBUS. Everything that git stores is read, however odd its text: only the pack is parsed here. Source
//! of the formats: git's documentation, `gitformat-pack`. What a newcomer would get wrong: everything around an unreadable block
//! is still there, so a failed read is repeated in pages, and an object that cannot be read from one pack may be in another.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flate2::read::ZlibDecoder;
use git2::{ObjectType, Oid};
use gix_pack::data::Entry;
use gix_pack::data::entry::Header;

use crate::disk::open_file;
use crate::git::GitError;
use crate::git::pack::delta;
use crate::git::pack::entries::{CHAIN_MAX, kind_of};
use crate::git::pack::examine::hash;
use crate::git::pack::links::bytes_of;
use crate::git::pack::{self, OID_BYTES, Pack};
use crate::text::printable;

/// An object as git stores it, without its header.
#[derive(Clone, Debug)]
pub(crate) struct Object {
    pub(crate) kind: ObjectType,
    pub(crate) data: Arc<Vec<u8>>,
}

/// Why an object cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unread {
    /// No pack holds it.
    #[error("is missing")]
    Missing,
    /// It is there but cannot be read, or does not match its id.
    #[error("cannot be read ({0})")]
    Unreadable(String),
}

fn unreadable(error: &dyn std::fmt::Display) -> Unread {
    Unread::Unreadable(printable(&error.to_string(), 160))
}

/// Reads objects from some packs, and from a folder of loose ones.
pub struct ObjectReader {
    packs: Vec<ReadPack>,
    loose: Option<PathBuf>,
    bases: RefCell<Bases>,
}

impl ObjectReader {
    /// Opens packs whose indexes lie on local disk and whose offsets are checked.
    ///
    /// # Errors
    /// [`GitError::Disk`] if one cannot be opened, [`GitError::Damaged`] if an index is invalid.
    pub(crate) fn open(packs: &[Pack]) -> Result<Self, GitError> {
        let mut opened = Vec::with_capacity(packs.len());
        for pack in packs {
            opened.push(ReadPack::open(pack, pack.index()?)?);
        }
        Ok(Self::over(opened))
    }

    pub(crate) fn over(packs: Vec<ReadPack>) -> Self {
        Self { packs, loose: None, bases: RefCell::default() }
    }

    /// Opens all packs of a folder on local disk.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub(crate) fn of_folder(folder: &Path) -> Result<Self, GitError> {
        Self::open(&pack::packs_in(folder)?)
    }

    /// Looks for objects that no pack holds among the loose ones below an `objects` folder.
    #[must_use]
    pub(crate) fn with_loose(self, objects: PathBuf) -> Self {
        Self { loose: Some(objects), ..self }
    }

    /// Adds the packs of another reader.
    #[must_use]
    pub(crate) fn and(mut self, other: Self) -> Self {
        self.packs.extend(other.packs);
        self
    }

    /// Returns whether a pack's index, or the name of a loose file, says that an object is there.
    pub(crate) fn contains(&self, oid: Oid) -> bool {
        self.packs.iter().any(|pack| pack.offset_of(oid).is_some()) || self.loose_file(oid).is_some_and(|f| f.is_file())
    }

    /// Lists the objects in packs, by their indexes; an object in two packs is listed twice.
    pub(crate) fn oids(&self) -> impl Iterator<Item = Oid> {
        self.packs.iter().flat_map(|pack| pack.index.iter()).filter_map(|row| Oid::from_bytes(row.oid.as_bytes()).ok())
    }

    /// Reads an object and checks it against its id.
    pub(crate) fn read(&self, oid: Oid) -> Result<Object, Unread> {
        let mut problem = Unread::Missing;
        for (number, pack) in self.packs.iter().enumerate() {
            let Some(offset) = pack.offset_of(oid) else { continue };
            match self.read_at(number, offset).and_then(|object| checked(oid, object)) {
                Ok(object) => return Ok(object),
                Err(error) => problem = error,
            }
        }
        match self.loose_file(oid).filter(|file| file.is_file()) {
            Some(file) => read_loose(&file).and_then(|object| checked(oid, object)),
            None => Err(problem),
        }
    }

    /// Returns the kind of an object without unpacking it.
    pub(crate) fn kind(&self, oid: Oid) -> Result<ObjectType, Unread> {
        let mut problem = Unread::Missing;
        for (number, pack) in self.packs.iter().enumerate() {
            let Some(offset) = pack.offset_of(oid) else { continue };
            match self.kind_at(number, offset) {
                Ok(kind) => return Ok(kind),
                Err(error) => problem = error,
            }
        }
        match self.loose_file(oid).filter(|file| file.is_file()) {
            Some(file) => read_loose(&file).map(|object| object.kind),
            None => Err(problem),
        }
    }

    fn loose_file(&self, oid: Oid) -> Option<PathBuf> {
        let objects = self.loose.as_ref()?;
        let hex = oid.to_string();
        Some(objects.join(&hex[..2]).join(&hex[2..]))
    }

    fn kind_at(&self, number: usize, mut offset: u64) -> Result<ObjectType, Unread> {
        let pack = &self.packs[number];
        for _ in 0..CHAIN_MAX {
            let entry = pack.entry(offset).map_err(|error| unreadable(&error))?;
            offset = match entry.header {
                Header::OfsDelta { base_distance } => base_of(offset, base_distance)?,
                Header::RefDelta { base_id } => {
                    let base = Oid::from_bytes(base_id.as_bytes()).map_err(|error| unreadable(&error))?;
                    match pack.offset_of(base) {
                        Some(offset) => offset,
                        None => return self.kind(base),
                    }
                }
                header => return kind_of(header).ok_or_else(|| unreadable(&"an entry of no kind")),
            };
        }
        Err(unreadable(&"a chain of deltas without an end"))
    }

    /// Unpacks the entry at an offset, with the chain of bases below it.
    fn read_at(&self, number: usize, offset: u64) -> Result<Object, Unread> {
        let pack = &self.packs[number];
        let mut deltas = Vec::new();
        let mut at = offset;
        let mut object = loop {
            if let Some(base) = self.bases.borrow().get(number, at) {
                break base;
            }
            if deltas.len() >= CHAIN_MAX {
                return Err(unreadable(&"a chain of deltas without an end"));
            }
            let entry = pack.entry(at).map_err(|error| unreadable(&error))?;
            match entry.header {
                Header::OfsDelta { base_distance } => {
                    let base = base_of(at, base_distance)?;
                    deltas.push((at, entry));
                    at = base;
                }
                Header::RefDelta { base_id } => {
                    let base = Oid::from_bytes(base_id.as_bytes()).map_err(|error| unreadable(&error))?;
                    deltas.push((at, entry));
                    match pack.offset_of(base) {
                        Some(offset) => at = offset,
                        None => break self.read(base)?,
                    }
                }
                header => {
                    let kind = kind_of(header).ok_or_else(|| unreadable(&"an entry of no kind"))?;
                    let data = pack.inflate(&entry).map_err(|error| unreadable(&error))?;
                    let object = Object { kind, data: Arc::new(data) };
                    self.bases.borrow_mut().put(number, at, &object);
                    break object;
                }
            }
        };
        while let Some((at, entry)) = deltas.pop() {
            let instructions = pack.inflate(&entry).map_err(|error| unreadable(&error))?;
            let data = delta::apply(&object.data, &instructions).map_err(|error| unreadable(&error))?;
            object = Object { kind: object.kind, data: Arc::new(data) };
            self.bases.borrow_mut().put(number, at, &object);
        }
        Ok(object)
    }
}

fn base_of(offset: u64, distance: u64) -> Result<u64, Unread> {
    let base = offset.checked_sub(distance).filter(|base| *base < offset && *base >= pack::HEADER_BYTES);
    base.ok_or_else(|| unreadable(&"a delta whose base is outside of the pack"))
}

fn checked(oid: Oid, object: Object) -> Result<Object, Unread> {
    let hash = hash(object.kind, &object.data).try_finalize().map_err(|error| unreadable(&error))?;
    if hash.as_bytes() == bytes_of(oid) { Ok(object) } else { Err(unreadable(&"its content does not match its id")) }
}

/// Reads a loose object: one stream of zlib with `KIND SIZE`, NUL and the content.
fn read_loose(path: &Path) -> Result<Object, Unread> {
    let read = || -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        ZlibDecoder::new(open_file(path)?.0).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let mut bytes = read().map_err(|error| unreadable(&error))?;
    let malformed = || unreadable(&"a loose object without its header");
    let nul = bytes.iter().position(|byte| *byte == 0).ok_or_else(malformed)?;
    let header = std::str::from_utf8(&bytes[..nul]).ok().and_then(|header| header.split_once(' '));
    let kind = header.and_then(|(kind, _)| ObjectType::from_str(kind)).ok_or_else(malformed)?;
    bytes.drain(..=nul);
    Ok(Object { kind, data: Arc::new(bytes) })
}

/// One pack with its index.
pub(crate) struct ReadPack {
    index: gix_pack::index::File,
    file: File,
    /// Where its entries end and its checksum begins.
    entries_end: u64,
    windows: RefCell<VecDeque<Window>>,
}

/// How much is read at once. Commits lie side by side in a pack, and trees after them.
const WINDOW_BYTES: u64 = 128 * 1024;
const WINDOWS_MAX: usize = 48;
/// How much is read at once around a block that cannot be read: a page of memory and of most file systems.
const PAGE_BYTES: u64 = 4096;

struct Window {
    offset: u64,
    bytes: Vec<u8>,
}

impl ReadPack {
    pub(crate) fn open(pack: &Pack, index: gix_pack::index::File) -> Result<Self, GitError> {
        let (file, length) = open_file(&pack.pack).map_err(GitError::io("open", &pack.pack))?;
        let entries_end = length.saturating_sub(OID_BYTES as u64);
        Ok(Self { index, file, entries_end, windows: RefCell::default() })
    }

    fn offset_of(&self, oid: Oid) -> Option<u64> {
        let row = self.index.lookup(gix_hash::ObjectId::from(bytes_of(oid)))?;
        Some(self.index.pack_offset_at_index(row))
    }

    fn entry(&self, offset: u64) -> io::Result<Entry> {
        Entry::from_read(&mut From { pack: self, offset }, offset, OID_BYTES)
    }

    /// Unpacks an entry's own content. Memory is taken as bytes arrive, whatever size the entry claims.
    fn inflate(&self, entry: &Entry) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let from = From { pack: self, offset: entry.data_offset };
        ZlibDecoder::new(from).take(entry.decompressed_size.saturating_add(1)).read_to_end(&mut bytes)?;
        if bytes.len() as u64 == entry.decompressed_size {
            Ok(bytes)
        } else {
            Err(io::Error::new(io::ErrorKind::InvalidData, "an entry of another size than it says"))
        }
    }

    /// Copies bytes from an offset on, as many as one window has.
    fn copy_from(&self, offset: u64, out: &mut [u8]) -> io::Result<usize> {
        if offset >= self.entries_end {
            return Ok(0);
        }
        let start = offset - offset % WINDOW_BYTES;
        let mut windows = self.windows.borrow_mut();
        if let Some(at) = windows.iter().position(|window| window.offset == start) {
            let window = windows.remove(at).unwrap_or(Window { offset: start, bytes: Vec::new() });
            let copied = copy_out(&window, offset, out);
            windows.push_back(window);
            return Ok(copied);
        }
        match self.read_window(start, WINDOW_BYTES) {
            Ok(window) => {
                let copied = copy_out(&window, offset, out);
                if windows.len() >= WINDOWS_MAX {
                    windows.pop_front();
                }
                windows.push_back(window);
                Ok(copied)
            }
            // A block in the window cannot be read; the page that is asked for may still be readable.
            Err(_) => Ok(copy_out(&self.read_window(offset - offset % PAGE_BYTES, PAGE_BYTES)?, offset, out)),
        }
    }

    fn read_window(&self, offset: u64, length: u64) -> io::Result<Window> {
        let length = length.min(self.entries_end - offset);
        let mut bytes = vec![0; usize::try_from(length).map_err(io::Error::other)?];
        self.file.read_exact_at(&mut bytes, offset)?;
        Ok(Window { offset, bytes })
    }
}

fn copy_out(window: &Window, offset: u64, out: &mut [u8]) -> usize {
    let from = usize::try_from(offset - window.offset).unwrap_or(usize::MAX);
    let there = window.bytes.get(from..).unwrap_or_default();
    let count = there.len().min(out.len());
    out[..count].copy_from_slice(&there[..count]);
    count
}

/// Reads a pack from an offset on.
struct From<'a> {
    pack: &'a ReadPack,
    offset: u64,
}

impl Read for From<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let count = self.pack.copy_from(self.offset, out)?;
        self.offset += count as u64;
        Ok(count)
    }
}

/// Unpacked entries that the next ones may be deltas of.
#[derive(Default)]
struct Bases {
    objects: HashMap<(usize, u64), Object>,
    oldest_first: VecDeque<(usize, u64)>,
    bytes: usize,
}

const BASES_MAX_BYTES: usize = 32 * 1024 * 1024;

impl Bases {
    fn get(&self, pack: usize, offset: u64) -> Option<Object> {
        self.objects.get(&(pack, offset)).cloned()
    }

    fn put(&mut self, pack: usize, offset: u64, object: &Object) {
        let size = object.data.len();
        if size > BASES_MAX_BYTES / 4 || self.objects.insert((pack, offset), object.clone()).is_some() {
            return;
        }
        self.oldest_first.push_back((pack, offset));
        self.bytes += size;
        while self.bytes > BASES_MAX_BYTES {
            let Some(oldest) = self.oldest_first.pop_front() else { break };
            if let Some(gone) = self.objects.remove(&oldest) {
                self.bytes -= gone.data.len();
            }
        }
    }
}
