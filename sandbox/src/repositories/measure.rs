//! How large a repository is and when it last changed: the costly part of its description, so only for what is shown.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use chrono::{DateTime, SecondsFormat, Utc};

use crate::tracker;

/// The size and the dates of a repository.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Measure {
    kilobytes: u64,
    pushed: SystemTime,
}

impl Measure {
    /// Walks through a bare repository. What vanishes during the walk does not count.
    pub(crate) fn of(repository: &Path) -> Self {
        let mut bytes = 0;
        sum(repository, &mut bytes);
        Self { kilobytes: bytes / 1024, pushed: newest_ref(repository) }
    }

    /// Returns a measure for a repository that does not exist.
    pub(crate) fn imagined() -> Self {
        Self { kilobytes: 1, pushed: SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000) }
    }

    /// Returns the size as GitHub gives it.
    pub(crate) fn kilobytes(self) -> u64 {
        self.kilobytes
    }

    /// Returns when a ref last changed, as GitHub writes dates.
    pub(crate) fn pushed_at(self) -> String {
        DateTime::<Utc>::from(self.pushed).to_rfc3339_opts(SecondsFormat::Secs, true)
    }
}

/// Returns when a ref of a bare repository last changed.
pub(crate) fn newest_ref(repository: &Path) -> SystemTime {
    let mut newest = SystemTime::UNIX_EPOCH;
    for part in ["refs", "packed-refs", "HEAD"] {
        latest(&repository.join(part), &mut newest);
    }
    newest
}

/// Adds up the lengths of all files below.
fn sum(folder: &Path, bytes: &mut u64) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => sum(&entry.path(), bytes),
            // At GitHub what people write does not count.
            Ok(_) if entry.file_name() == tracker::FILE => {}
            Ok(metadata) => *bytes += metadata.len(),
            Err(_) => {}
        }
    }
}

/// Finds the newest modification at or below a path.
fn latest(path: &Path, newest: &mut SystemTime) {
    if let Ok(modified) = fs::metadata(path).and_then(|metadata| metadata.modified()) {
        *newest = modified.max(*newest);
    }
    for entry in fs::read_dir(path).into_iter().flatten().flatten() {
        latest(&entry.path(), newest);
    }
}
