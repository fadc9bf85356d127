//! Files that grow line by line, as many as there are labels, without a handle or a buffer for each.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::PathBuf;

/// So much is kept in memory before it is appended, in bytes.
const PENDING_MAX: usize = 4 * 1024 * 1024;
/// The longest part of a label in the name of a file.
const SLUG_MAX: usize = 40;

/// What waits to be appended to the files of a folder.
pub(super) struct Lists {
    folder: PathBuf,
    pending: BTreeMap<String, String>,
    bytes: usize,
    /// The label, and what its list is called.
    labels: BTreeMap<String, Label>,
}

/// The list of a label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Label {
    /// The name of its file, without ending.
    pub(super) file: String,
    /// How many numbers have it.
    pub(super) count: u64,
}

impl Lists {
    pub(super) fn new(folder: PathBuf) -> Self {
        Self { folder, pending: BTreeMap::new(), bytes: 0, labels: BTreeMap::new() }
    }

    /// Counts a label, and returns the name of its file: labels that differ only in what a file's name cannot hold have
    /// different files.
    pub(super) fn label(&mut self, name: &str) -> String {
        let next = self.labels.len() + 1;
        let label = self.labels.entry(name.to_owned()).or_insert_with(|| {
            let slug: String =
                name.to_lowercase().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
            let slug: Vec<&str> = slug.split('-').filter(|part| !part.is_empty()).collect();
            let slug: String = slug.join("-").chars().take(SLUG_MAX).collect();
            let file = format!("label-{next}-{slug}");
            Label { file: file.trim_end_matches('-').to_owned(), count: 0 }
        });
        label.count += 1;
        label.file.clone()
    }

    /// Returns every label that was counted, by name.
    pub(super) fn labels(&self) -> &BTreeMap<String, Label> {
        &self.labels
    }

    /// Appends text to a file.
    pub(super) fn append(&mut self, file: &str, text: &str) -> io::Result<()> {
        self.pending.entry(file.to_owned()).or_default().push_str(text);
        self.bytes += text.len();
        if self.bytes > PENDING_MAX { self.flush() } else { Ok(()) }
    }

    /// Writes what is pending.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        for (file, text) in std::mem::take(&mut self.pending) {
            let mut file = OpenOptions::new().append(true).create(true).open(self.folder.join(file))?;
            file.write_all(text.as_bytes())?;
        }
        self.bytes = 0;
        Ok(())
    }
}
