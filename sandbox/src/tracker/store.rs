//! Where the models lie: a file in each bare repository, read again when it has changed.
//!
//! Another process may write the same file (a generator, a second sandbox). So the file is the truth, and what is kept
//! in memory is used only as long as the file is the one that was read.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::fs::{self, File, Metadata};
use std::io::{self, BufWriter, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::clock::Clock;
use super::model::{Item, Model};

/// The file in the bare repository's folder; so it moves along with a rename.
pub(crate) const FILE: &str = "sandbox-issues.json";

/// The models of all repositories, and the time they are changed at.
#[derive(Debug, Default)]
pub(crate) struct Trackers {
    pub(crate) clock: Clock,
    read: Mutex<HashMap<PathBuf, (Stamp, Arc<Loaded>)>>,
}

/// Tells one content of a file from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    length: u64,
    modified: (i64, i64),
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self { inode: metadata.ino(), length: metadata.len(), modified: (metadata.mtime(), metadata.mtime_nsec()) }
    }
}

/// A model, with its comments in the orders that listings have.
#[derive(Debug, Default)]
pub(crate) struct Loaded {
    pub(crate) model: Model,
    comments: OnceLock<Orders>,
    review_comments: OnceLock<Orders>,
    numbers: OnceLock<HashMap<u64, u64>>,
}

/// Where a comment is, and what it is ordered by.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub(crate) updated_at: i64,
    pub(crate) serial: u64,
    pub(crate) number: u64,
    pub(crate) position: usize,
}

/// All comments of a repository in both orders: sorting 300,000 anew for each page would make a long walk quadratic.
#[derive(Debug)]
pub(crate) struct Orders {
    pub(crate) by_creation: Vec<Place>,
    pub(crate) by_update: Vec<Place>,
}

impl Orders {
    fn of(places: impl Iterator<Item = Place>) -> Self {
        let by_creation = sorted(places.collect(), |a, b| a.serial.cmp(&b.serial));
        let by_update = sorted(by_creation.clone(), |a, b| (a.updated_at, a.serial).cmp(&(b.updated_at, b.serial)));
        Self { by_creation, by_update }
    }
}

fn sorted(mut places: Vec<Place>, order: impl Fn(&Place, &Place) -> Ordering) -> Vec<Place> {
    places.sort_unstable_by(order);
    places
}

impl Loaded {
    /// Returns the comments on issues and pull requests.
    pub(crate) fn comments(&self) -> &Orders {
        self.comments.get_or_init(|| {
            Orders::of(self.model.items.iter().flat_map(|(number, item)| {
                item.comments.iter().enumerate().map(|(position, comment)| Place {
                    updated_at: comment.updated_at,
                    serial: comment.serial,
                    number: *number,
                    position,
                })
            }))
        })
    }

    /// Returns the number of the issue or pull request with a serial.
    pub(crate) fn number(&self, serial: u64) -> Option<u64> {
        let numbers = self.numbers.get_or_init(|| {
            let serials = |(number, item): (&u64, &Item)| {
                let own = item.pull.as_ref().map_or(item.serial, |pull| pull.serial);
                (own, *number)
            };
            self.model.items.iter().map(serials).collect()
        });
        numbers.get(&serial).copied()
    }

    /// Returns the comments on lines of pull requests.
    pub(crate) fn review_comments(&self) -> &Orders {
        self.review_comments.get_or_init(|| {
            Orders::of(self.model.items.iter().flat_map(|(number, item)| {
                let comments = item.pull.iter().flat_map(|pull| &pull.comments).enumerate();
                comments.map(|(position, comment)| Place {
                    updated_at: comment.comment.updated_at,
                    serial: comment.comment.serial,
                    number: *number,
                    position,
                })
            }))
        })
    }
}

impl Trackers {
    /// Returns the model of a bare repository; without a file, an empty one.
    pub(crate) fn read(&self, repository: &Path) -> io::Result<Arc<Loaded>> {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        Self::load(&mut read, repository)
    }

    /// Changes the model of a bare repository and its file, unless the change fails.
    pub(crate) fn change<T>(
        &self,
        repository: &Path,
        change: impl FnOnce(&mut Model) -> io::Result<T>,
    ) -> io::Result<T> {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let loaded = Self::load(&mut read, repository)?;
        read.remove(repository);
        // Only a request under way holds on to the old model; then it is copied.
        let mut model = Arc::try_unwrap(loaded).map_or_else(|shared| shared.model.clone(), |loaded| loaded.model);
        let result = change(&mut model)?;
        let stamp = save(repository, &model)?;
        let loaded = Loaded { model, ..Loaded::default() };
        read.insert(repository.to_owned(), (stamp, Arc::new(loaded)));
        Ok(result)
    }

    fn load(read: &mut HashMap<PathBuf, (Stamp, Arc<Loaded>)>, repository: &Path) -> io::Result<Arc<Loaded>> {
        let mut file = match File::open(repository.join(FILE)) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                read.remove(repository);
                return Ok(Arc::default());
            }
            Err(error) => return Err(error),
        };
        let stamp = Stamp::of(&file.metadata()?);
        if let Some((known, loaded)) = read.get(repository)
            && *known == stamp
        {
            return Ok(Arc::clone(loaded));
        }
        let mut text = Vec::new();
        file.read_to_end(&mut text)?;
        let loaded = Arc::new(Loaded { model: serde_json::from_slice(&text)?, ..Loaded::default() });
        read.insert(repository.to_owned(), (stamp, Arc::clone(&loaded)));
        Ok(loaded)
    }
}

/// Writes the file of a bare repository at once, so that no other process reads half of it.
pub(crate) fn save_new(repository: &Path, model: &Model) -> io::Result<()> {
    save(repository, model).map(drop)
}

fn save(repository: &Path, model: &Model) -> io::Result<Stamp> {
    let unfinished = repository.join(format!("{FILE}.{}.tmp", std::process::id()));
    let mut file = BufWriter::new(File::create(&unfinished)?);
    serde_json::to_writer(&mut file, model)?;
    file.flush()?;
    let stamp = Stamp::of(&file.get_ref().metadata()?);
    fs::rename(unfinished, repository.join(FILE))?;
    Ok(stamp)
}
