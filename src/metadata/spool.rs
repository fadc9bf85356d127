//! What came from GitHub and is not yet put together, on local disk: a file for each folder of numbers.
//!
//! GitHub gives comments in the order in which they changed, over all issues. What a newcomer would get wrong: collected in
//! memory, those of a repository with 100,000 issues would fill half a gigabyte.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::MetadataError;
use super::item::How;
use super::layout::hundred_of;

/// What is in memory before it is written.
const BUFFER_BYTES: usize = 8 << 20;

/// Something that came about a number.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Piece {
    /// The issue as the list shows it.
    Issue(Value),
    /// The pull request as the list shows it.
    Pull(Value),
    /// A comment.
    Comment(Value),
    /// All comments that GitHub has.
    Comments(Vec<Value>),
    /// A comment on a line of a pull request.
    ReviewComment(Value),
    /// Members that replace those of the file.
    Details(BTreeMap<String, Value>),
    /// A list under the name that it has in the file; if it is whole, what is not in it is gone.
    List { name: String, list: Vec<Value>, is_whole: bool },
    /// Some of it could not be fetched.
    Incomplete,
    /// GitHub no longer has it.
    Gone(How),
}

#[derive(Serialize, Deserialize)]
struct Line {
    number: u64,
    piece: Piece,
}

/// The files.
pub struct Spool {
    folder: PathBuf,
    waiting: BTreeMap<u64, Vec<u8>>,
    waiting_bytes: usize,
    /// The hundreds of numbers about which something came.
    hundreds: BTreeSet<u64>,
}

impl Spool {
    /// Begins in a folder of scratch that does not exist yet.
    ///
    /// # Errors
    /// [`MetadataError::Spool`].
    pub fn begin(folder: &Path) -> Result<Self, MetadataError> {
        fs::create_dir(folder).map_err(MetadataError::spool(folder))?;
        Ok(Self { folder: folder.to_owned(), waiting: BTreeMap::new(), waiting_bytes: 0, hundreds: BTreeSet::new() })
    }

    /// Adds what came about a number.
    pub(super) fn add(&mut self, number: u64, piece: Piece) -> Result<(), MetadataError> {
        let hundred = hundred_of(number);
        let buffer = self.waiting.entry(hundred).or_default();
        let before = buffer.len();
        let written = serde_json::to_writer(&mut *buffer, &Line { number, piece });
        written.map_err(|error| MetadataError::spool(&self.folder)(error.into()))?;
        buffer.push(b'\n');
        self.waiting_bytes += buffer.len() - before;
        self.hundreds.insert(hundred);
        if self.waiting_bytes > BUFFER_BYTES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), MetadataError> {
        for (hundred, lines) in std::mem::take(&mut self.waiting) {
            let path = self.path(hundred);
            let written =
                OpenOptions::new().append(true).create(true).open(&path).and_then(|mut file| file.write_all(&lines));
            written.map_err(MetadataError::spool(&path))?;
        }
        self.waiting_bytes = 0;
        Ok(())
    }

    fn path(&self, hundred: u64) -> PathBuf {
        self.folder.join(hundred.to_string())
    }

    /// Lists the hundreds of numbers about which something came.
    pub(super) fn hundreds(&self) -> BTreeSet<u64> {
        self.hundreds.clone()
    }

    /// Returns what came about each number of a hundred, in the order in which it came.
    pub(super) fn take(&mut self, hundred: u64) -> Result<BTreeMap<u64, Vec<Piece>>, MetadataError> {
        self.flush()?;
        let path = self.path(hundred);
        let content = match fs::read(&path) {
            Ok(content) => content,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
            Err(error) => return Err(MetadataError::spool(&path)(error)),
        };
        let mut pieces: BTreeMap<u64, Vec<Piece>> = BTreeMap::new();
        for line in serde_json::Deserializer::from_slice(&content).into_iter::<Line>() {
            let Line { number, piece } = line.map_err(|error| MetadataError::spool(&path)(error.into()))?;
            pieces.entry(number).or_default().push(piece);
        }
        fs::remove_file(&path).map_err(MetadataError::spool(&path))?;
        Ok(pieces)
    }
}
