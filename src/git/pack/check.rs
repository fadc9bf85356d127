//! Checks of a pack's files by their checksums and offsets, before anything in them is trusted.

use std::fs;
use std::io::{self, Read};
use std::sync::atomic::AtomicBool;

use gix_hash::Kind::Sha1;
use gix_pack::FileData;
use gix_utils::progress::Discard;

use super::{HEADER_BYTES, OID_BYTES, Pack, TRAILER_BYTES, damaged, hash_of, name_of};
use crate::disk::{open_file, read_at_once};
use crate::git::GitError;

/// Opens an index on local disk and checks that every offset in it lies within its pack, which most readers rely on.
///
/// # Errors
/// [`GitError::Damaged`] with what is wrong; [`GitError::Disk`].
pub(crate) fn check_offsets(pack: &Pack) -> Result<gix_pack::index::File, GitError> {
    let index = pack.index()?;
    let there = fs::metadata(&pack.pack).map_err(|error| missing_or(pack, "examine", error))?;
    if !there.is_file() {
        return Err(GitError::Damaged(format!("{} is not a file", name_of(&pack.pack))));
    }
    check_within(pack, &index, there.len())?;
    drop(index);
    // Mapped anew: few pages of a large index are needed, and those that the check has read would count as memory in use.
    pack.index()
}

fn missing_or(pack: &Pack, doing: &'static str, error: io::Error) -> GitError {
    match error.kind() {
        io::ErrorKind::NotFound => GitError::Damaged(format!("{} is missing", name_of(&pack.pack))),
        _ => GitError::io(doing, &pack.pack)(error),
    }
}

fn check_within<T: FileData>(pack: &Pack, index: &gix_pack::index::File<T>, length: u64) -> Result<(), GitError> {
    let within = HEADER_BYTES..length.saturating_sub(TRAILER_BYTES);
    if index.iter().all(|entry| within.contains(&entry.pack_offset)) {
        return Ok(());
    }
    Err(GitError::Damaged(format!("{} points outside of its pack", name_of(&pack.idx))))
}

/// Checks the checksums of a pack and its index; reads both, wherever they lie, without mapping them.
///
/// # Errors
/// [`GitError::Damaged`] with what is wrong; [`GitError::Disk`] if one cannot be read.
pub(crate) fn check_files(pack: &Pack) -> Result<(), GitError> {
    let bytes = read_at_once(&pack.idx).map_err(GitError::io("read", &pack.idx))?;
    let index = gix_pack::index::File::from_data(bytes, pack.idx.clone(), Sha1);
    let index = index.map_err(|error| damaged(&pack.idx, &error))?;
    let (mut file, length) = open_file(&pack.pack).map_err(|error| missing_or(pack, "open", error))?;
    check_within(pack, &index, length)?;
    if length < HEADER_BYTES + TRAILER_BYTES {
        return Err(GitError::Damaged(format!("{} is cut short", name_of(&pack.pack))));
    }
    let read = |error| GitError::io("read", &pack.pack)(error);
    let checksum = hash_of((&mut file).take(length - TRAILER_BYTES)).map_err(read)?;
    let mut trailer = [0; OID_BYTES];
    file.read_exact(&mut trailer).map_err(read)?;
    compare_checksums(pack, &index, &checksum, &trailer)
}

/// Compares a pack's hash with the checksum at its end and the one in its index, and the index with its own.
pub(crate) fn compare_checksums<T: FileData + Sync>(
    pack: &Pack,
    index: &gix_pack::index::File<T>,
    hashed: &gix_hash::ObjectId,
    trailer: &[u8],
) -> Result<(), GitError> {
    let never = AtomicBool::new(false);
    index.verify_checksum(&mut Discard, &never).map_err(|error| damaged(&pack.idx, &error))?;
    if hashed.as_bytes() != trailer {
        return Err(GitError::Damaged(format!("the checksum of {} is wrong", name_of(&pack.pack))));
    }
    if index.pack_checksum() != *hashed {
        return Err(GitError::Damaged(format!("{} belongs to another pack", name_of(&pack.idx))));
    }
    Ok(())
}
