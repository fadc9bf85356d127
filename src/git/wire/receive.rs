//! Receive: brings what a mirror lacks in one pack, indexed and examined at once.
//!
//! Blocking; reads the network through [`transport`], writes to scratch. libgit2 is not used: it would unpack on one processor
//! and read objects of the mirror. Objects of our own go into the same file as the pack arrives. Source of the formats: git's
//! documentation, `gitprotocol-pack` ("Packfile Negotiation") and `gitformat-pack`. What a newcomer would get wrong: the pack is
//! asked for without `thin-pack`, so each delta has its base in it, and nothing has to be added from packs on a slow store.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use bytesize::ByteSize;
use git2::Oid;
use gix_hash::Kind::Sha1;
use gix_pack::data::entry::Header;
use gix_pack::data::header;
use gix_pack::data::input::{BytesToEntriesIter, EntryDataMode, Mode};
use gix_packetline::PacketLineRef;
use gix_packetline::blocking_io::StreamingPeekableIter;
use gix_packetline::read::ProgressAction;

use super::error::WireError;
use crate::git::GitError;
use crate::git::pack::examine::{self, Arriving, Known};
use crate::git::pack::links::{OidBytes, bytes_of};
use crate::git::pack::needs::Needs;
use crate::git::pack::unpacking::Unpacking;
use crate::git::pack::{self, HEADER_BYTES, Hashed, NewObject, OID_BYTES, Pack, Row};
use crate::git::pointer::Pointer;
use crate::git::refs::parse_oid;
use crate::git::wire::advertisement::{Advertisement, FLUSH, push_line};
use crate::git::wire::transfer::Transfer;
use crate::git::wire::transport;
use crate::text::printable;

/// How much is read and written at once.
const PIECE_BYTES: usize = 1 << 18;

/// What the server must be able to do: send the pack apart from its progress, and name the base of a delta by its place.
const CAPABILITIES: [&str; 2] = ["side-band-64k", "ofs-delta"];

/// Returns whether a server's packs can be received here; if not, libgit2 receives them.
pub(crate) fn can_receive_from(advertisement: &Advertisement) -> bool {
    CAPABILITIES.iter().all(|capability| advertisement.can(capability))
}

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wish<'a> {
    /// These objects, and everything that they need.
    pub(crate) wanted: &'a [Oid],
    /// Except these, and everything that they need.
    pub(crate) haves: &'a [Oid],
}

impl Wish<'_> {
    /// Formats it as the only request of a negotiation.
    fn request(self) -> Vec<u8> {
        let mut out = Vec::new();
        for (number, oid) in self.wanted.iter().enumerate() {
            let capabilities = match number {
                0 => format!(" {} agent=ghbk/{}", CAPABILITIES.join(" "), env!("CARGO_PKG_VERSION")),
                _ => String::new(),
            };
            push_line(&mut out, format!("want {oid}{capabilities}\n").as_bytes());
        }
        out.extend_from_slice(FLUSH);
        for oid in self.haves {
            push_line(&mut out, format!("have {oid}\n").as_bytes());
        }
        push_line(&mut out, b"done\n");
        out
    }
}

/// Where a pack is received.
pub(crate) struct Scratch<'a> {
    /// A folder for packs on local disk.
    pub(crate) folder: PathBuf,
    /// How large an object may be, unpacked.
    pub(crate) object_size_max: ByteSize,
    /// Where progress is counted.
    pub(crate) transfer: &'a Transfer,
}

/// A pack in scratch whose objects are known; whether others are missing is not known yet.
pub(crate) struct Arrived {
    folder: PathBuf,
    growing: PathBuf,
    /// One for each object received, by id.
    rows: Vec<Row>,
    /// What they refer to.
    needs: Needs,
    /// The large files that blobs among them stand for.
    pointers: Vec<Pointer>,
    /// The memory that rows and needs take.
    memory: Option<Unpacking>,
    entries_end: u64,
    own: Vec<Row>,
    checksum: gix_hash::ObjectId,
}

/// Asks for objects, and makes one pack of those and of some objects of our own.
///
/// Returns `None` if the pack is valid but unusual, and libgit2 has to receive it.
///
/// # Errors
/// [`GitError`]; scratch may hold leftovers.
pub(crate) fn receive(
    into: &Scratch<'_>,
    session: transport::Session,
    wish: Wish<'_>,
    own: &[NewObject],
) -> Result<Option<Arrived>, GitError> {
    let (failure, cancel) = (session.failure.clone(), session.cancel.clone());
    let folder = into.folder.clone();
    let growing = folder.join("growing.pack");
    let limit = into.object_size_max;
    let answer = Answer { bytes: transport::exchange(session, wish.request()), haves: wish.haves.len() };
    let received = write(answer, own, &growing, into.transfer, limit).map_err(|error| {
        let network = failure.lock().unwrap_or_else(PoisonError::into_inner).take();
        if cancel.is_cancelled() { GitError::Cancelled } else { network.unwrap_or(error) }
    })?;
    let Some(Received { arriving, own, checksum }) = received else {
        tracing::debug!("the pack is unusual and is received by libgit2");
        std::fs::remove_file(&growing).map_err(GitError::io("remove", &growing))?;
        return Ok(None);
    };
    let entries_end = arriving.end;
    let Known { mut rows, needs, pointers, memory } = examine::arrived(&growing, arriving, limit, &cancel)?;
    rows.sort_unstable_by_key(|row| row.oid);
    if let Some(twice) = rows.windows(2).find(|pair| pair[0].oid == pair[1].oid) {
        return Err(GitError::BrokenPack(format!("it holds {} twice", Oid::from_bytes(&twice[0].oid)?)));
    }
    Ok(Some(Arrived { folder, growing, rows, needs, pointers, memory, entries_end, own, checksum }))
}

impl Arrived {
    /// Proves that every wanted object is there, and everything that the new objects refer to; returns the pack under its
    /// name.
    ///
    /// The pack is `None` if nothing had to be sent, as when a branch went back to an older commit.
    ///
    /// # Errors
    /// [`GitError::Incomplete`] for an object that did not come and is not stored; [`GitError::Disk`].
    pub(crate) fn prove(
        self,
        wanted: &[Oid],
        own: &[NewObject],
        is_stored: impl Fn(OidBytes) -> bool,
    ) -> Result<(Option<Pack>, Vec<Pointer>), GitError> {
        let Self { folder, growing, mut rows, needs, pointers, memory: _memory, entries_end, own: own_rows, checksum } =
            self;
        let is_there = |oid: OidBytes| rows.binary_search_by_key(&oid, |row| row.oid).is_ok();
        let missing_tip = wanted.iter().map(|oid| bytes_of(*oid)).find(|oid| !is_there(*oid) && !is_stored(*oid));
        let missing = missing_tip.or_else(|| {
            // Both are sorted.
            let mut reached = 0;
            needs.iter().find(|oid| {
                reached += rows[reached..].iter().take_while(|row| row.oid < *oid).count();
                rows.get(reached).is_none_or(|row| row.oid != *oid) && !is_stored(*oid)
            })
        });
        if let Some(missing) = missing {
            return Err(GitError::Incomplete(Oid::from_bytes(&missing)?));
        }
        drop(needs);
        if rows.is_empty() && own.is_empty() {
            std::fs::remove_file(&growing).map_err(GitError::io("remove", &growing))?;
            return Ok((None, pointers));
        }
        if own_rows.iter().any(|row| is_there(row.oid)) {
            return Ok((Some(pack::seal(&growing, rows, entries_end, own, &folder)?), pointers));
        }
        rows.extend(own_rows);
        Ok((Some(pack::name(&growing, rows, checksum, &folder)?), pointers))
    }
}

/// What a server answers to a request for a pack.
struct Answer<R> {
    bytes: R,
    /// How many commits the request named as stored.
    haves: usize,
}

/// What is in scratch once everything has arrived.
struct Received {
    arriving: Arriving,
    /// Our own objects, after them.
    own: Vec<Row>,
    checksum: gix_hash::ObjectId,
}

/// Writes a pack as it arrives, followed by our own objects; `None` if the pack is unusual.
fn write(
    answer: Answer<impl Read>,
    own: &[NewObject],
    path: &Path,
    transfer: &Transfer,
    object_size_max: ByteSize,
) -> Result<Option<Received>, GitError> {
    let failed = || GitError::io("write", path);
    let file = File::options().read(true).write(true).create_new(true).open(path).map_err(failed())?;
    write_to(answer, own, file, path, transfer, object_size_max)
}

fn write_to(
    answer: Answer<impl Read>,
    own: &[NewObject],
    file: File,
    path: &Path,
    transfer: &Transfer,
    object_size_max: ByteSize,
) -> Result<Option<Received>, GitError> {
    let failed = || GitError::io("write", path);
    let mut lines = StreamingPeekableIter::new(answer.bytes, &[PacketLineRef::Flush], false);
    pass_acknowledgements(&mut lines, answer.haves)?;
    let mut remote_error = None;
    let mut pack = lines.as_read_with_sidebands(|is_error, text| {
        if !is_error {
            return ProgressAction::Continue(());
        }
        remote_error = Some(printable(&String::from_utf8_lossy(text), 200));
        ProgressAction::Break(())
    });
    let received = (|| {
        let mut first = [0; header::SIZE];
        pack.read_exact(&mut first).map_err(|error| broken(&error))?;
        let (_, objects) = header::decode(&first).map_err(|error| broken(&error))?;
        transfer.total_objects.store(objects as usize, Ordering::Relaxed);
        let all = pack::count_of(objects as usize + own.len())?;
        let mut copy = Copy::begin(file, &pack::header(all)).map_err(failed())?;
        let failure = Cell::new(None);
        let copied = Copied { reader: pack, copy: &mut copy, failure: &failure };
        let mut reader = BufReader::with_capacity(PIECE_BYTES, first.chain(copied));
        let mut arriving = Arriving { end: HEADER_BYTES, ..Arriving::default() };
        let entries = if objects == 0 {
            // gitoxide assumes that there is at least one.
            check_empty(&mut reader)?;
            None
        } else {
            let entries = BytesToEntriesIter::new_from_header(reader, Mode::Verify, EntryDataMode::Crc32, Sha1);
            Some(entries.map_err(|error| broken(&error))?)
        };
        for entry in entries.into_iter().flatten() {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => {
                    let of_ours = failure.take();
                    return Err(of_ours.map_or_else(|| broken(&error), failed()));
                }
            };
            // For a delta this is the size of its instructions; the size of the object is checked later.
            if entry.decompressed_size > object_size_max.as_u64() {
                let bytes = ByteSize(entry.decompressed_size);
                return Err(GitError::ObjectTooLarge { bytes, allowed: object_size_max });
            }
            if is_unusual(&entry) {
                return Ok(None);
            }
            let base_distance = match entry.header {
                Header::OfsDelta { base_distance } => Some(base_distance),
                _ => None,
            };
            if !arriving.push(entry.pack_offset, base_distance, entry.crc32.unwrap_or_default()) {
                return Err(GitError::BrokenPack("it holds a delta of what is not in it".to_owned()));
            }
            arriving.largest_bytes = arriving.largest_bytes.max(entry.decompressed_size);
            arriving.end = entry.pack_offset + u64::from(entry.header_size) + entry.compressed_size;
            transfer.received_objects.store(arriving.entries.len(), Ordering::Relaxed);
        }
        if copy.written_bytes != arriving.end {
            return Err(GitError::BrokenPack("it does not end with its checksum".to_owned()));
        }
        let mut appended = Vec::new();
        let own = own.iter().map(|object| object.append_to(&mut appended, arriving.end)).collect::<io::Result<_>>();
        let own = own.map_err(failed())?;
        let checksum = copy.end(&appended).map_err(failed())?;
        Ok(Some(Received { arriving, own, checksum }))
    })();
    match remote_error {
        Some(text) => Err(GitError::Wire(WireError::Remote(text))),
        None => received,
    }
}

/// Returns whether an entry names its base by its id, which would have to be looked for, or writes its length in more bytes than
/// needed, which gitoxide leaves out of the checksum in the index.
fn is_unusual(entry: &gix_pack::data::input::Entry) -> bool {
    matches!(entry.header, Header::RefDelta { .. })
        || usize::from(entry.header_size) != entry.header.size(entry.decompressed_size)
}

/// Reads what comes before the pack: which commits are in common.
fn pass_acknowledgements(lines: &mut StreamingPeekableIter<impl Read>, haves: usize) -> Result<(), GitError> {
    // In a negotiation that ends with its first request: one for each `have` at most, and one for `done`.
    let acknowledgements_max = haves + 1;
    for _ in 0..acknowledgements_max {
        let line = match lines.read_line() {
            Some(Ok(Ok(line))) => line,
            Some(Ok(Err(error))) => return Err(broken(&error)),
            Some(Err(error)) if error.kind() != io::ErrorKind::UnexpectedEof => return Err(broken(&error)),
            Some(Err(_)) | None => {
                return Err(GitError::Wire(WireError::Connection("the answer has no pack".to_owned())));
            }
        };
        let text = String::from_utf8_lossy(line.as_slice().unwrap_or_default()).into_owned();
        match text.trim_end() {
            "NAK" => return Ok(()),
            ack if haves > 0 && ack.strip_prefix("ACK ").is_some_and(|oid| parse_oid(oid).is_some()) => {}
            other => {
                return Err(match other.strip_prefix("ERR ") {
                    Some(message) => GitError::Wire(WireError::Remote(printable(message, 200))),
                    None => {
                        GitError::Wire(WireError::Protocol(format!("{:?} where NAK should be", printable(other, 80))))
                    }
                });
            }
        }
        let next = lines.peek_line();
        if matches!(next, Some(Ok(Ok(PacketLineRef::Data(data)))) if data.first().is_some_and(|band| *band <= 3)) {
            return Ok(());
        }
    }
    Err(GitError::Wire(WireError::Protocol("more acknowledgements than there was to acknowledge".to_owned())))
}

/// Checks that a pack without objects ends with its checksum.
fn check_empty(reader: &mut impl Read) -> Result<(), GitError> {
    let mut all = Vec::new();
    let whole_bytes = header::SIZE + OID_BYTES;
    reader.take(whole_bytes as u64 + 1).read_to_end(&mut all).map_err(|error| broken(&error))?;
    let mut hasher = gix_hash::hasher(Sha1);
    hasher.update(&all[..header::SIZE.min(all.len())]);
    let checksum = hasher.try_finalize().map_err(|error| broken(&error))?;
    if all.len() != whole_bytes || &all[header::SIZE..] != checksum.as_bytes() {
        return Err(GitError::BrokenPack("it does not end with its checksum".to_owned()));
    }
    Ok(())
}

fn broken(error: &dyn std::fmt::Display) -> GitError {
    // Only this format shows gitoxide's causes.
    GitError::BrokenPack(printable(&format!("{error:#}"), 200))
}

/// The pack in scratch as it grows: all but the checksum at its end, which will be a different one.
struct Copy {
    file: BufWriter<Hashed<File>>,
    /// What may be the checksum, unless more comes.
    held: Vec<u8>,
    written_bytes: u64,
}

impl Copy {
    fn begin(file: File, header: &[u8]) -> io::Result<Self> {
        let file = BufWriter::with_capacity(PIECE_BYTES, Hashed::new(file));
        let mut copy = Self { file, held: Vec::new(), written_bytes: 0 };
        copy.append(header)?;
        Ok(copy)
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.written_bytes += bytes.len() as u64;
        self.file.write_all(bytes)
    }

    fn take(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut held = std::mem::take(&mut self.held);
        held.extend_from_slice(bytes);
        let certain = held.len().saturating_sub(OID_BYTES);
        self.append(&held[..certain])?;
        held.drain(..certain);
        self.held = held;
        Ok(())
    }

    fn end(mut self, appended: &[u8]) -> io::Result<gix_hash::ObjectId> {
        self.append(appended)?;
        Hashed::end(self.file)
    }
}

/// Copies what is read.
struct Copied<'a, R> {
    reader: R,
    copy: &'a mut Copy,
    /// Why it could not be copied, which is not a fault of the pack.
    failure: &'a Cell<Option<io::Error>>,
}

impl<R: Read> Read for Copied<'_, R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.read(out)?;
        self.copy.take(&out[..count]).map_err(|error| {
            self.failure.set(Some(error));
            io::ErrorKind::Other
        })?;
        Ok(count)
    }
}

#[cfg(test)]
mod tests;
