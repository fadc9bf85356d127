//! A pack that ghbk writes object by object, so that only one of them is in memory at a time.

use std::collections::HashSet;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use super::links::{OidBytes, bytes_of};
use super::write::{NewObject, Row, seal};
use super::{HEADER_BYTES, Pack};
use crate::git::GitError;

/// The pack, under the name that it has until it is whole.
pub(crate) struct Growing {
    path: PathBuf,
    folder: PathBuf,
    file: BufWriter<File>,
    rows: Vec<Row>,
    written: HashSet<OidBytes>,
    offset: u64,
}

impl Growing {
    /// Begins a pack in a folder on local disk.
    ///
    /// # Errors
    /// [`GitError::Disk`].
    pub(crate) fn begin(folder: &Path) -> Result<Self, GitError> {
        let path = folder.join("growing.pack");
        let failed = || GitError::io("write", &path);
        let mut file = BufWriter::new(File::create(&path).map_err(failed())?);
        // The header counts the objects, so it is written last.
        file.write_all(&[0; gix_pack::data::header::SIZE]).map_err(failed())?;
        let (rows, written) = (Vec::new(), HashSet::new());
        Ok(Self { folder: folder.to_owned(), file, rows, written, offset: HEADER_BYTES, path })
    }

    /// Adds an object, unless the pack has it.
    ///
    /// # Errors
    /// [`GitError::Disk`].
    pub(crate) fn add(&mut self, object: &NewObject) -> Result<(), GitError> {
        if !self.written.insert(bytes_of(object.oid)) {
            return Ok(());
        }
        let failed = || GitError::io("write", &self.path);
        let mut entry = Vec::new();
        self.rows.push(object.append_to(&mut entry, self.offset).map_err(failed())?);
        self.offset += entry.len() as u64;
        self.file.write_all(&entry).map_err(failed())
    }

    /// Completes the pack and gives it its name.
    ///
    /// # Errors
    /// [`GitError::Disk`].
    pub(crate) fn end(mut self) -> Result<Pack, GitError> {
        self.file.flush().map_err(GitError::io("write", &self.path))?;
        drop(self.file);
        seal(&self.path, self.rows, self.offset, &[], &self.folder)
    }
}
