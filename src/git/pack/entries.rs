//! Entries of a pack, unpacked one by one.
//!
//! Blocking; reads a pack on local disk with `pread`. Source of the format: git's documentation, `gitformat-pack`. What a
//! newcomer would get wrong: an entry gives its unpacked size, not its length in the pack; it ends where the next one begins, and
//! anything in between would be hidden from everybody.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;

use bytesize::ByteSize;
use flate2::{Decompress, FlushDecompress, Status};
use git2::ObjectType;
use gix_hash::Kind::Sha1;
use gix_pack::data::entry::Header;

use crate::git::GitError;
use crate::text::printable;

/// How much is read at once. More would cost more whenever a delta lies far from its base.
const WINDOW_BYTES: u64 = 16 * 1024;
/// An entry's header is shorter: at most ten bytes of size and twenty of a base's id.
const HEADER_MAX: u64 = 32;
/// The first allocation, whatever size an entry claims.
const FIRST_BYTES: usize = 64 * 1024;
/// A chain of this many deltas is refused; git makes none of more than 4,095.
pub(crate) const CHAIN_MAX: usize = 1 << 16;

/// A pack whose entries are known.
pub(crate) struct Entries<'a, O> {
    pub(crate) path: &'a Path,
    pub(crate) file: &'a File,
    /// Where an entry begins, by its number.
    pub(crate) offset: O,
    /// Where the last one ends.
    pub(crate) end: u64,
    /// How many bytes an object may have.
    pub(crate) object_size_max: ByteSize,
    /// Makes an error from what is wrong with the pack.
    pub(crate) broken: &'a (dyn Fn(String) -> GitError + Sync),
}

impl<O> Entries<'_, O> {
    /// Refuses an object that is larger than allowed.
    pub(crate) fn check_size(&self, bytes: u64) -> Result<(), GitError> {
        if bytes <= self.object_size_max.as_u64() {
            return Ok(());
        }
        Err(GitError::ObjectTooLarge { bytes: ByteSize(bytes), allowed: self.object_size_max })
    }
}

/// What is known about an entry besides its content.
pub(crate) struct Unpacked {
    pub(crate) header: Header,
    /// Of the entry's bytes in the pack.
    pub(crate) crc32: u32,
}

/// Unpacks entries one by one.
pub(crate) struct Unpacker<'a, O> {
    pub(crate) entries: &'a Entries<'a, O>,
    count: usize,
    window: Window<'a>,
    inflater: Decompress,
}

impl<'a, O: Fn(u32) -> u64> Unpacker<'a, O> {
    pub(crate) fn new(entries: &'a Entries<'a, O>, count: usize) -> Self {
        let window = Window::new(entries.file, entries.end);
        Self { entries, count, window, inflater: Decompress::new(true) }
    }

    fn range(&self, number: u32) -> Range<u64> {
        let end = if (number as usize) + 1 < self.count { (self.entries.offset)(number + 1) } else { self.entries.end };
        (self.entries.offset)(number)..end
    }

    /// Unpacks an entry's own content: for a delta, its instructions. Memory is taken as bytes arrive, whatever size the entry
    /// claims.
    pub(crate) fn unpack(&mut self, number: u32, out: &mut Vec<u8>) -> Result<Unpacked, GitError> {
        let (entries, range) = (self.entries, self.range(number));
        let unreadable = |error| GitError::io("read", entries.path)(error);
        let broken = |what: &str| {
            let what = printable(what, 160);
            (entries.broken)(format!("the entry at {} cannot be unpacked ({what})", range.start))
        };
        let first = self.window.at(&range).map_err(unreadable)?;
        let entry = gix_pack::data::Entry::from_bytes(first, range.start, Sha1);
        let entry = entry.map_err(|error| broken(&error.to_string()))?;
        let header_bytes = usize::from(entry.encoded_header_size);
        let mut crc32 = crc32fast::Hasher::new();
        crc32.update(first.get(..header_bytes).ok_or_else(|| broken("its header is cut"))?);
        entries.check_size(entry.decompressed_size)?;
        let size = usize::try_from(entry.decompressed_size).map_err(|_| broken("its size"))?;
        // One byte more, to notice too many bytes and to reach the end of the stream.
        let room = |filled: usize| (size - filled + 1).min(filled.max(FIRST_BYTES));
        out.clear();
        out.reserve_exact(room(0));
        self.inflater.reset(true);
        let mut at = entry.data_offset;
        loop {
            let input = self.window.at(&(at..range.end)).map_err(unreadable)?;
            let (before, filled) = (self.inflater.total_in(), out.len());
            let status = self.inflater.decompress_vec(input, out, FlushDecompress::None);
            let status = status.map_err(|error| broken(&error.to_string()))?;
            let taken = self.inflater.total_in() - before;
            crc32.update(&input[..usize::try_from(taken).unwrap_or_default()]);
            at += taken;
            if status == Status::StreamEnd || out.len() > size {
                break;
            }
            if taken == 0 && out.len() == filled {
                return Err(broken("it ends early"));
            }
            if out.len() == out.capacity() {
                out.reserve_exact(room(out.len()));
            }
        }
        if out.len() != size || at != range.end {
            return Err(broken("it has another size than it says"));
        }
        Ok(Unpacked { header: entry.header, crc32: crc32.finalize() })
    }
}

/// A part of a pack in memory.
pub(crate) struct Window<'a> {
    file: &'a File,
    end: u64,
    begin: u64,
    bytes: Vec<u8>,
}

impl<'a> Window<'a> {
    /// Reads a pack up to where its entries end.
    pub(crate) fn new(file: &'a File, end: u64) -> Self {
        Self { file, end, begin: 0, bytes: Vec::new() }
    }

    /// Returns bytes from the beginning of a range: at least as many as a header has, unless there are fewer.
    pub(crate) fn at(&mut self, range: &Range<u64>) -> io::Result<&[u8]> {
        let wanted = range.end.min(self.end).saturating_sub(range.start);
        let there = (self.begin + self.bytes.len() as u64).saturating_sub(range.start);
        if range.start < self.begin || there < wanted.min(HEADER_MAX) {
            self.begin = range.start;
            let count = WINDOW_BYTES.min(self.end.saturating_sub(range.start));
            self.bytes.resize(usize::try_from(count).map_err(io::Error::other)?, 0);
            self.file.read_exact_at(&mut self.bytes, range.start)?;
        }
        let from = usize::try_from(range.start - self.begin).map_err(io::Error::other)?;
        let wanted = usize::try_from(wanted).unwrap_or(usize::MAX);
        let bytes = self.bytes.get(from..).unwrap_or_default();
        Ok(&bytes[..wanted.min(bytes.len())])
    }
}

/// Returns the kind of an entry that is not a delta.
pub(crate) fn kind_of(header: Header) -> Option<ObjectType> {
    match header {
        Header::Commit => Some(ObjectType::Commit),
        Header::Tree => Some(ObjectType::Tree),
        Header::Blob => Some(ObjectType::Blob),
        Header::Tag => Some(ObjectType::Tag),
        Header::OfsDelta { .. } | Header::RefDelta { .. } => None,
    }
}
