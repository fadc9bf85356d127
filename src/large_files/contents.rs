//! `lfs/objects/ab/cd/OID` in a mirror: the contents of large files, where git-lfs looks for them.
//!
//! Blocking; touches the store. A content is written under a temporary name, hashed on its way, synced, read back past the cache
//! and hashed again, and only then renamed to its id: nothing under an id ever has another hash. It is read-only, because git-lfs
//! links it into clones on the same file system. What a newcomer would get wrong: threads that work in one folder wait for each
//! other, and so do renames from one folder to another.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use aws_lc_rs::digest::{Context, SHA256};
use tokio_util::sync::CancellationToken;

use super::missing::FOLDER;
use crate::disk::{DiskError, TEMPORARY_PREFIX, forget, is_missing, metadata, on_threads, open_file, open_regular};
use crate::git::pointer::{LfsOid, Pointer};

/// How much is read at once.
const PIECE_BYTES: usize = 1 << 20;

/// How many leftovers are looked for at once.
const SWEEPERS: usize = 8;

/// The contents of a mirror's large files.
#[derive(Clone, Debug)]
pub struct Contents {
    folder: PathBuf,
}

/// Why a content is not stored.
#[derive(Debug, thiserror::Error)]
pub enum ContentError {
    /// The store cannot take it.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// It is not what the pointer says.
    #[error("its content does not match its id")]
    WrongHash,
    /// More came than the pointer says.
    #[error("the server sent more than the {0} bytes that its pointer gives")]
    TooLong(u64),
}

impl Contents {
    /// Returns the contents of a repository: a mirror, or the git folder of any other.
    pub fn of(repository: &Path) -> Self {
        Self { folder: repository.join(FOLDER) }
    }

    /// Returns where a content lies, whether it is there or not.
    pub fn path(&self, oid: &LfsOid) -> PathBuf {
        let name = oid.to_string();
        self.folder.join("objects").join(&name[..2]).join(&name[2..4]).join(name)
    }

    /// Returns whether a content is there, by its size; by its hash if the pointer gives another size, because a pointer may be
    /// wrong and an id is not. An empty content need not be there.
    ///
    /// # Errors
    /// [`DiskError::Io`] if the store cannot be examined.
    pub fn has(&self, pointer: Pointer, cancel: &CancellationToken) -> Result<bool, DiskError> {
        match self.size(&pointer.oid)? {
            _ if pointer.is_of_nothing() => Ok(true),
            None => Ok(false),
            Some(size_bytes) if size_bytes == pointer.size_bytes => Ok(true),
            Some(_) => match self.prove(&pointer.oid, cancel) {
                Ok(there) => Ok(there.is_some()),
                Err(ContentError::Disk(error)) => Err(error),
                Err(_) => Ok(false),
            },
        }
    }

    /// Returns the size of a content in bytes, if there is one.
    ///
    /// # Errors
    /// [`DiskError::Io`] if the store cannot be examined.
    pub fn size(&self, oid: &LfsOid) -> Result<Option<u64>, DiskError> {
        let path = self.path(oid);
        let there = metadata(&path).map_err(DiskError::io("examine", &path))?;
        Ok(there.filter(std::fs::Metadata::is_file).map(|there| there.len()))
    }

    /// Reads a content and hashes it; `None` if there is no such file.
    ///
    /// # Errors
    /// [`ContentError::WrongHash`]; [`ContentError::Disk`] if it cannot be read.
    pub fn prove(&self, oid: &LfsOid, cancel: &CancellationToken) -> Result<Option<u64>, ContentError> {
        let path = self.path(oid);
        let file = match open_regular(&path) {
            Ok(file) => file,
            Err(error) if is_missing(&error) => return Ok(None),
            Err(error) => return Err(DiskError::io("open", &path)(error).into()),
        };
        let (hash, size_bytes) = hash(&file, &path, cancel)?;
        if hash == *oid { Ok(Some(size_bytes)) } else { Err(ContentError::WrongHash) }
    }

    /// Copies a content here, hashing it on the way; returns whether there was one.
    ///
    /// # Errors
    /// [`ContentError`]; nothing is left under its id.
    pub fn copy_from(&self, path: &Path, pointer: Pointer, cancel: &CancellationToken) -> Result<bool, ContentError> {
        let (mut source, size_bytes) = match open_file(path) {
            Ok(source) => source,
            Err(error) if is_missing(&error) => return Ok(false),
            Err(error) => return Err(DiskError::io("open", path)(error).into()),
        };
        // The hash is what proves it; a pointer may give another size.
        let mut incoming = self.begin(Pointer { size_bytes, ..pointer })?;
        let mut piece = vec![0; PIECE_BYTES];
        loop {
            check_not_cancelled(cancel, path)?;
            match source.read(&mut piece).map_err(DiskError::io("read", path))? {
                0 => break,
                count => incoming.write(&piece[..count])?,
            }
        }
        incoming.finish(self)?;
        Ok(true)
    }

    /// Links a content of another mirror here and reads it; copies it if it has too many links already. Returns whether there was
    /// one.
    ///
    /// # Errors
    /// [`ContentError`]; nothing is left under its id.
    pub fn link_from(&self, path: &Path, pointer: Pointer, cancel: &CancellationToken) -> Result<bool, ContentError> {
        let target = self.path(&pointer.oid);
        match self.placing(&target, |target| fs::hard_link(path, target)) {
            Ok(()) => {}
            Err(error) if is_missing(&error) => return Ok(false),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            // Another file system, or too many links already.
            Err(_) => return self.copy_from(path, pointer, cancel),
        }
        match self.prove(&pointer.oid, cancel) {
            Ok(size_bytes) => Ok(size_bytes.is_some()),
            Err(error) => {
                let _ = fs::remove_file(&target);
                Err(error)
            }
        }
    }

    /// Begins to write a content.
    ///
    /// # Errors
    /// [`ContentError::Disk`].
    pub fn begin(&self, pointer: Pointer) -> Result<Incoming, ContentError> {
        let path = self.temporary(&pointer.oid);
        // git-lfs links it into clones, where nobody must write to it.
        let create = |path: &Path| OpenOptions::new().read(true).write(true).create_new(true).mode(0o444).open(path);
        let mut created = self.placing(&path, create);
        if created.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::AlreadyExists) {
            // What a killed run has left is begun anew.
            fs::remove_file(&path).map_err(DiskError::io("remove", &path))?;
            created = create(&path);
        }
        let file = created.map_err(DiskError::io("create", &path))?;
        Ok(Incoming { file, path, pointer, hasher: Context::new(&SHA256), written_bytes: 0, is_done: false })
    }

    /// Returns where a content lies until it is whole: in its own folder, because Linux renames between folders one at a time on
    /// a whole file system.
    fn temporary(&self, oid: &LfsOid) -> PathBuf {
        self.path(oid).with_file_name(format!("{TEMPORARY_PREFIX}{oid}"))
    }

    /// Puts a file in its place, in folders that may not exist yet.
    fn placing<T>(&self, target: &Path, place: impl Fn(&Path) -> io::Result<T>) -> io::Result<T> {
        match place(target) {
            Err(error) if is_missing(&error) => {
                fs::create_dir_all(target.parent().unwrap_or(&self.folder))?;
                place(target)
            }
            placed => placed,
        }
    }

    /// Moves a content that does not match its id out of its place.
    ///
    /// # Errors
    /// [`DiskError::Io`].
    pub fn set_aside(&self, oid: &LfsOid, suffix: &str) -> Result<(), DiskError> {
        // git-lfs moves what its `fsck` finds to the same place.
        let (path, aside) = (self.path(oid), self.folder.join("bad").join(format!("{oid}-{suffix}")));
        let place = |aside: &Path| fs::rename(&path, aside);
        self.placing(&aside, place).map_err(DiskError::io("move", &path))
    }

    /// Removes what is left of some contents that were being written when a run was killed.
    ///
    /// # Errors
    /// [`DiskError::Io`].
    pub fn sweep(&self, oids: &[LfsOid]) -> Result<u64, DiskError> {
        let (next, removed) = (Mutex::new(oids.iter()), AtomicU64::new(0));
        let work = || -> Result<(), DiskError> {
            loop {
                let oid = next.lock().unwrap_or_else(PoisonError::into_inner).next();
                let Some(oid) = oid else { return Ok(()) };
                let path = self.temporary(oid);
                match fs::remove_file(&path) {
                    Ok(()) => drop(removed.fetch_add(1, Ordering::Relaxed)),
                    Err(error) if is_missing(&error) => {}
                    Err(error) => return Err(DiskError::io("remove", &path)(error)),
                }
            }
        };
        on_threads(SWEEPERS.min(oids.len()).max(1), work)?;
        Ok(removed.into_inner())
    }

    /// Lists the contents that are there, by their names.
    ///
    /// # Errors
    /// [`DiskError::Io`].
    pub fn list(&self) -> Result<Vec<LfsOid>, DiskError> {
        let mut found = Vec::new();
        for first in entries(&self.folder.join("objects"))? {
            for second in entries(&first)? {
                for path in entries(&second)? {
                    found.extend(path.file_name().and_then(|name| name.to_str()?.parse::<LfsOid>().ok()));
                }
            }
        }
        found.sort_unstable();
        Ok(found)
    }

    /// Returns whether there is a folder for large files at all.
    ///
    /// # Errors
    /// [`DiskError::Io`] if the store cannot be examined.
    pub fn exist(&self) -> Result<bool, DiskError> {
        Ok(metadata(&self.folder).map_err(DiskError::io("examine", &self.folder))?.is_some())
    }
}

/// Lists a folder; nothing if there is none.
fn entries(folder: &Path) -> Result<Vec<PathBuf>, DiskError> {
    let read = || fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path())).collect::<io::Result<_>>();
    match read() {
        Err(error) if is_missing(&error) => Ok(Vec::new()),
        listed => listed.map_err(DiskError::io("read", folder)),
    }
}

/// A content that is being written.
pub struct Incoming {
    file: File,
    path: PathBuf,
    pointer: Pointer,
    hasher: Context,
    written_bytes: u64,
    is_done: bool,
}

impl Incoming {
    /// Returns how many bytes of it have arrived.
    pub fn written_bytes(&self) -> u64 {
        self.written_bytes
    }

    /// Adds to it.
    ///
    /// # Errors
    /// [`ContentError::TooLong`], [`ContentError::Disk`].
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), ContentError> {
        let after = self.written_bytes + bytes.len() as u64;
        if after > self.pointer.size_bytes {
            return Err(ContentError::TooLong(self.pointer.size_bytes));
        }
        self.hasher.update(bytes);
        self.file.write_all(bytes).map_err(DiskError::io("write", &self.path))?;
        self.written_bytes = after;
        Ok(())
    }

    /// Discards what has arrived, because a server begins anew.
    ///
    /// # Errors
    /// [`ContentError::Disk`].
    pub fn begin_anew(&mut self) -> Result<(), ContentError> {
        let anew = self.file.set_len(0).and_then(|()| io::Seek::rewind(&mut self.file));
        anew.map_err(DiskError::io("write", &self.path))?;
        (self.hasher, self.written_bytes) = (Context::new(&SHA256), 0);
        Ok(())
    }

    /// Proves it, as it was written and as it reads back, and gives it its name.
    ///
    /// # Errors
    /// [`ContentError`]; nothing is left of it.
    pub fn finish(mut self, contents: &Contents) -> Result<(), ContentError> {
        let Pointer { oid, size_bytes } = self.pointer;
        let hasher = std::mem::replace(&mut self.hasher, Context::new(&SHA256));
        if self.written_bytes != size_bytes || named(hasher) != oid {
            return Err(ContentError::WrongHash);
        }
        self.file.sync_data().map_err(DiskError::io("write", &self.path))?;
        forget(&self.file);
        io::Seek::rewind(&mut self.file).map_err(DiskError::io("read back", &self.path))?;
        let (read_back, _) = hash(&self.file, &self.path, &CancellationToken::new())?;
        if read_back != oid {
            return Err(DiskError::ReadBackDiffers(self.path.clone()).into());
        }
        let target = contents.path(&oid);
        fs::rename(&self.path, &target).map_err(DiskError::io("write", &target))?;
        self.is_done = true;
        Ok(())
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        if !self.is_done {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn named(hasher: Context) -> LfsOid {
    let mut hash = [0; 32];
    hash.copy_from_slice(hasher.finish().as_ref());
    LfsOid::new(hash)
}

/// Hashes a file from its current position.
fn hash(mut file: &File, path: &Path, cancel: &CancellationToken) -> Result<(LfsOid, u64), DiskError> {
    let mut hasher = Context::new(&SHA256);
    let mut piece = vec![0; PIECE_BYTES];
    let mut size_bytes = 0;
    loop {
        check_not_cancelled(cancel, path)?;
        match file.read(&mut piece).map_err(DiskError::io("read", path))? {
            0 => return Ok((named(hasher), size_bytes)),
            count => {
                hasher.update(&piece[..count]);
                size_bytes += count as u64;
            }
        }
    }
}

fn check_not_cancelled(cancel: &CancellationToken, path: &Path) -> Result<(), DiskError> {
    if cancel.is_cancelled() {
        return Err(DiskError::io("read", path)(io::ErrorKind::Interrupted.into()));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
