//! Packs: their files, the objects in them, and what those refer to.
//!
//! `check` compares files with their checksums, `write` makes packs and completes what has arrived, `examine` unpacks every
//! object (`resolve`, `chain`, `entries`, `delta`) and collects what it refers to (`needs`); [`reader`] reads single objects
//! wherever a pack lies, [`view`] does so in a mirror on the store, `copies` brings packs to local disk. [`links`] is what
//! objects refer to.

mod chain;
mod check;
pub(crate) mod copies;
mod delta;
mod entries;
pub(crate) mod examine;
pub(crate) mod growing;
pub mod links;
pub mod list;
pub(crate) mod needs;
pub mod reader;
mod resolve;
pub(crate) mod unpacking;
pub mod view;
mod write;

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use git2::Oid;
use gix_hash::Kind::Sha1;

use crate::git::GitError;
use crate::git::pack::links::OidBytes;
use crate::text::printable;

pub(crate) use check::{check_files, check_offsets, compare_checksums};
pub(crate) use write::{Hashed, NewObject, Row, add, build, count_of, header, name, rows_of, seal, write_idx};

/// Names the two files of a pack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pack {
    /// The pack itself.
    pub pack: PathBuf,
    /// Its index.
    pub idx: PathBuf,
}

impl Pack {
    /// Names the pack that belongs to an index.
    pub fn of_idx(idx: PathBuf) -> Self {
        Self { pack: idx.with_extension("pack"), idx }
    }

    /// Names a pack as git does: by the checksum at its end.
    fn named(folder: &Path, checksum: gix_hash::ObjectId) -> Self {
        Self::of_idx(folder.join(format!("pack-{checksum}.idx")))
    }

    /// Names the same files in another folder.
    pub(crate) fn within(&self, folder: &Path) -> Self {
        Self::of_idx(folder.join(name_of(&self.idx).as_ref()))
    }

    /// Moves both files into another folder of the same file system.
    pub(crate) fn moved_to(&self, folder: &Path) -> Result<Self, GitError> {
        self.renamed(self.within(folder))
    }

    fn renamed(&self, to: Self) -> Result<Self, GitError> {
        for (from, to) in [(&self.pack, &to.pack), (&self.idx, &to.idx)] {
            fs::rename(from, to).map_err(GitError::io("move", from))?;
        }
        Ok(to)
    }

    /// Opens the index by mapping it: it must be on local disk.
    pub(crate) fn index(&self) -> Result<gix_pack::index::File, GitError> {
        gix_pack::index::File::at(&self.idx, Sha1).map_err(|error| damaged(&self.idx, &error))
    }

    /// Lists the objects, by its index.
    pub(crate) fn oids(&self) -> Result<Vec<Oid>, GitError> {
        let index = self.index()?;
        index.iter().map(|entry| Ok(Oid::from_bytes(entry.oid.as_bytes())?)).collect()
    }

    /// Returns the size of both files.
    ///
    /// # Errors
    /// [`GitError::Disk`].
    pub fn bytes(&self) -> Result<u64, GitError> {
        let size = |path: &Path| fs::metadata(path).map(|file| file.len()).map_err(GitError::io("examine", path));
        Ok(size(&self.pack)? + size(&self.idx)?)
    }
}

/// Lists the packs in an `objects/pack` folder that have an index, sorted by name.
///
/// # Errors
/// [`GitError::Disk`].
pub fn packs_in(folder: &Path) -> Result<Vec<Pack>, GitError> {
    Ok(listed(folder)?.0)
}

/// Lists the packs in an `objects/pack` folder that have no index: a run was interrupted while it published them, or the index
/// was lost. Git does not see them, but everything in them can be read all the same.
///
/// # Errors
/// [`GitError::Disk`].
pub(crate) fn packs_without_index(folder: &Path) -> Result<Vec<Pack>, GitError> {
    let (indexed, mut packs) = listed(folder)?;
    packs.retain(|pack| indexed.binary_search_by(|other| other.idx.cmp(&pack.idx)).is_err());
    Ok(packs)
}

/// Lists the packs that have an index, and those that have a pack file, each sorted by name.
fn listed(folder: &Path) -> Result<(Vec<Pack>, Vec<Pack>), GitError> {
    let (mut indexes, mut packs) = (Vec::new(), Vec::new());
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((indexes, packs)),
        Err(error) => return Err(GitError::io("read", folder)(error)),
    };
    for entry in entries {
        let path = entry.map_err(GitError::io("read", folder))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let list = match path.extension().and_then(|extension| extension.to_str()) {
            Some("idx") => &mut indexes,
            Some("pack") => &mut packs,
            _ => continue,
        };
        if name.starts_with("pack-") {
            list.push(Pack::of_idx(path.with_extension("idx")));
        }
    }
    for list in [&mut indexes, &mut packs] {
        list.sort_unstable_by(|a, b| a.idx.cmp(&b.idx));
    }
    Ok((indexes, packs))
}

pub(crate) const OID_BYTES: usize = 20;
pub(crate) const HEADER_BYTES: u64 = gix_pack::data::header::SIZE as u64;
const TRAILER_BYTES: u64 = OID_BYTES as u64;

/// Returns whether a pack holds an object, by its index.
pub(crate) fn is_in(index: &gix_pack::index::File, oid: OidBytes) -> bool {
    index.lookup(gix_hash::ObjectId::from(oid)).is_some()
}

/// Iterates over the folders of loose objects below an `objects` folder.
///
/// # Errors
/// The system's error, for the folder or for an entry in it.
pub(crate) fn loose_folders(objects: &Path) -> io::Result<impl Iterator<Item = io::Result<PathBuf>> + use<>> {
    let is_loose = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().as_encoded_bytes();
        name.len() == 2 && name.iter().all(u8::is_ascii_hexdigit)
    };
    let paths = fs::read_dir(objects)?.map(|entry| entry.map(|entry| entry.path()));
    Ok(paths.filter(move |path| path.as_ref().map_or(true, is_loose)))
}

/// Hashes everything that a reader returns.
fn hash_of(mut reader: impl Read) -> io::Result<gix_hash::ObjectId> {
    let mut hasher = gix_hash::hasher(Sha1);
    let mut buffer = vec![0; 1 << 20];
    loop {
        match reader.read(&mut buffer)? {
            0 => return hasher.try_finalize().map_err(|error| io::Error::other(error.to_string())),
            count => hasher.update(&buffer[..count]),
        }
    }
}

fn damaged(path: &Path, error: &dyn std::fmt::Display) -> GitError {
    GitError::Damaged(format!("{}: {}", name_of(path), printable(&error.to_string(), 200)))
}

pub(crate) fn name_of(path: &Path) -> std::borrow::Cow<'_, str> {
    path.file_name().unwrap_or_default().to_string_lossy()
}
