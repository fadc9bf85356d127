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
    read: Mutex<HashMap<PathBuf, Kept>>,
}

/// A model in memory.
#[derive(Debug)]
struct Kept {
    /// The file that it was read from or written to.
    stamp: Stamp,
    loaded: Arc<Loaded>,
    /// Whether changes are written later, all at once.
    is_deferred: bool,
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
#[derive(Debug, Clone, Default)]
pub(crate) struct Loaded {
    pub(crate) model: Model,
    comments: OnceLock<Orders>,
    review_comments: OnceLock<Orders>,
    numbers: OnceLock<HashMap<u64, u64>>,
    milestones: OnceLock<HashMap<u64, (usize, usize)>>,
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
#[derive(Debug, Clone)]
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
    /// Forgets what was derived from the model, which has changed.
    fn forget_orders(&mut self) {
        let model = std::mem::take(&mut self.model);
        *self = Self { model, ..Self::default() };
    }

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

    /// Returns how many open and closed issues and pull requests a milestone has.
    pub(crate) fn of_milestone(&self, number: u64) -> (usize, usize) {
        let counts = self.milestones.get_or_init(|| {
            let mut counts: HashMap<u64, (usize, usize)> = HashMap::new();
            for (item, milestone) in self.model.items.values().filter_map(|item| Some((item, item.milestone?))) {
                let (open, closed) = counts.entry(milestone).or_default();
                *if item.closed.is_none() { open } else { closed } += 1;
            }
            counts
        });
        counts.get(&number).copied().unwrap_or_default()
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
        let mut loaded = Self::load(&mut read, repository)?;
        let deferred = read.remove(repository).filter(|kept| kept.is_deferred).map(|kept| kept.stamp);
        // Only a request under way holds on to the old model; then it is copied.
        let changed = Arc::make_mut(&mut loaded);
        let result = change(&mut changed.model);
        changed.forget_orders();
        let stamp = match (deferred, &result) {
            (Some(stamp), _) => stamp,
            (None, Ok(_)) => save(repository, &loaded.model)?,
            // What was changed before it failed is dropped: the file is read again.
            (None, Err(_)) => return result,
        };
        read.insert(repository.to_owned(), Kept { stamp, loaded, is_deferred: deferred.is_some() });
        result
    }

    /// Begins or ends to keep changes in memory only; both write the file.
    pub(crate) fn defer(&self, repository: &Path, is_deferred: bool) -> io::Result<()> {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let loaded = Self::load(&mut read, repository)?;
        let stamp = save(repository, &loaded.model)?;
        read.insert(repository.to_owned(), Kept { stamp, loaded, is_deferred });
        Ok(())
    }

    fn load(read: &mut HashMap<PathBuf, Kept>, repository: &Path) -> io::Result<Arc<Loaded>> {
        let mut file = match File::open(repository.join(FILE)) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                read.remove(repository);
                return Ok(Arc::default());
            }
            Err(error) => return Err(error),
        };
        let stamp = Stamp::of(&file.metadata()?);
        if let Some(kept) = read.get(repository)
            && kept.stamp == stamp
        {
            return Ok(Arc::clone(&kept.loaded));
        }
        let mut text = Vec::new();
        file.read_to_end(&mut text)?;
        let loaded = Arc::new(Loaded { model: serde_json::from_slice(&text)?, ..Loaded::default() });
        read.insert(repository.to_owned(), Kept { stamp, loaded: Arc::clone(&loaded), is_deferred: false });
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
