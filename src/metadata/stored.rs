//! The newest state of a metadata mirror, read from a copy on local disk.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use git2::Oid;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::about::{self, About};
use super::canonical::parse;
use super::item::{fingerprint, id, is_gone, is_incomplete, live, text};
use super::layout::{ISSUES, file_of, folder_of, numbers_of};
use crate::git::GitError;
use crate::git::mirror::compose::{Entry, entries, root};
use crate::git::pack::reader::ObjectReader;
use crate::git::pack::view::View;
use crate::outcome::PartCounts;

/// What is stored of one number, as far as a run needs it.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// Of the issue as the list shows it.
    pub(super) issue: u64,
    /// Of the pull request as its list shows it; none for an issue.
    pub(super) pull: Option<u64>,
    pub(super) updated_at: String,
    /// The ids of its comments that are not gone.
    pub(super) comments: HashSet<u64>,
    pub(super) is_gone: bool,
    /// Whether some of it could not be fetched.
    pub(super) is_incomplete: bool,
    pub(super) counts: Counts,
}

/// How much there is of one number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    comments: u64,
    review_comments: u64,
    reviews: u64,
}

impl Known {
    /// Describes a file.
    pub(super) fn of(file: &Value) -> Self {
        let count = |member: &str| live(file, member).count() as u64;
        let null = Value::Null;
        let issue = file.get("issue").unwrap_or(&null);
        Self {
            issue: fingerprint(issue),
            pull: file.get("pull_request").map(fingerprint),
            updated_at: text(issue, "updated_at").to_owned(),
            comments: live(file, "comments").filter_map(id).collect(),
            is_gone: is_gone(file),
            is_incomplete: is_incomplete(file),
            counts: Counts {
                comments: count("comments"),
                review_comments: count("review_comments"),
                reviews: count("reviews"),
            },
        }
    }

    /// Says whether there are comments on its lines.
    pub(super) fn has_review_comments(&self) -> bool {
        self.counts.review_comments > 0
    }

    /// Adds it to the counts of a repository.
    pub(super) fn add_to(&self, sums: &mut PartCounts) {
        let mut add = |name: &str, more: u64| {
            if more > 0 {
                *sums.entry(name.to_owned()).or_default() += more;
            }
        };
        if self.is_gone {
            return add("gone", 1);
        }
        add(if self.pull.is_some() { "pull_requests" } else { "issues" }, 1);
        add("comments", self.counts.comments);
        add("review_comments", self.counts.review_comments);
        add("reviews", self.counts.reviews);
    }
}

/// A metadata mirror's newest state; without a mirror, nothing.
#[derive(Default)]
pub struct Stored {
    view: Option<View>,
    commit: Option<Oid>,
    /// What lies beside the folder of numbers.
    files: BTreeMap<String, Oid>,
    /// The folder of numbers, and what it holds.
    issues: Option<Oid>,
    folders: BTreeMap<String, Oid>,
    other_folders: Vec<Entry>,
    /// What cannot be read, in words.
    lost: Vec<String>,
}

impl Stored {
    /// Copies a mirror to local disk and opens its newest commit.
    ///
    /// # Errors
    /// [`GitError`] if it cannot be read.
    pub fn open(mirror: &Path, commit: Oid, scratch: &Path, cancel: &CancellationToken) -> Result<Self, GitError> {
        let view = View::copy(mirror, scratch, cancel)?;
        let mut stored = Self { commit: Some(commit), ..Self::default() };
        for entry in entries(view.objects(), root(view.objects(), commit)?)? {
            match (entry.name.as_str(), entry.is_folder) {
                (ISSUES, true) => {
                    stored.issues = Some(entry.oid);
                    let folders = entries(view.objects(), entry.oid)?;
                    stored.folders = folders.into_iter().map(|Entry { name, oid, .. }| (name, oid)).collect();
                }
                (_, false) => drop(stored.files.insert(entry.name, entry.oid)),
                // A later version of ghbk keeps other folders.
                (_, true) => stored.other_folders.push(entry),
            }
        }
        stored.view = Some(view);
        Ok(stored)
    }

    /// Does the same for a damaged mirror: opens the newest of some commits of which the folder can be read.
    ///
    /// # Errors
    /// [`GitError`] if scratch cannot be written.
    pub fn open_damaged(
        mirror: &Path,
        commits: impl IntoIterator<Item = Oid>,
        scratch: &Path,
        cancel: &CancellationToken,
    ) -> Result<Self, GitError> {
        let mut lost = Vec::new();
        for commit in commits {
            match Self::open(mirror, commit, scratch, cancel) {
                Err(GitError::Damaged(what)) => lost.push(what),
                opened => return opened.map(|stored| Self { lost, ..stored }),
            }
        }
        Ok(Self { lost, ..Self::default() })
    }

    /// Returns the newest commit.
    pub fn commit(&self) -> Option<Oid> {
        self.commit
    }

    /// Returns what could not be read, in words.
    pub fn lost(&self) -> &[String] {
        &self.lost
    }

    /// Returns the reader of what is stored.
    pub fn objects(&self) -> Option<&ObjectReader> {
        self.view.as_ref().map(View::objects)
    }

    /// Reads what the files are, and of when.
    pub fn about(&self) -> Option<About> {
        serde_json::from_value(self.file(about::FILE).ok()??).ok()
    }

    /// Reads a file beside the folder of numbers; none if there is no such file.
    ///
    /// # Errors
    /// [`GitError::Damaged`].
    pub(super) fn file(&self, name: &str) -> Result<Option<Value>, GitError> {
        self.files.get(name).map(|oid| self.read(*oid)).transpose()
    }

    /// Lists what lies beside the folder of numbers, as far as it is wanted.
    pub(super) fn others(&self, is_wanted: impl Fn(&str) -> bool) -> Vec<Entry> {
        let files = self.files.iter().map(|(name, oid)| Entry { name: name.clone(), oid: *oid, is_folder: false });
        files.chain(self.other_folders.iter().cloned()).filter(|entry| is_wanted(&entry.name)).collect()
    }

    /// Reads a file as it is.
    pub(super) fn content(&self, oid: Oid) -> Result<Arc<Vec<u8>>, GitError> {
        let damaged = |what: &dyn std::fmt::Display| GitError::Damaged(format!("{oid} {what}"));
        let objects = self.objects().ok_or_else(|| damaged(&"is missing"))?;
        Ok(objects.read(oid).map_err(|error| damaged(&error))?.data)
    }

    pub(super) fn read(&self, oid: Oid) -> Result<Value, GitError> {
        parse(&self.content(oid)?).map_err(|error| GitError::Damaged(format!("{oid} is no JSON: {error}")))
    }

    /// Says whether the newest commit has all of these, `about.json` aside.
    pub(super) fn has_all(&self, root: &[Entry]) -> bool {
        let is_there = |entry: &Entry| {
            if entry.is_folder {
                self.issues == Some(entry.oid)
            } else {
                self.files.get(&entry.name) == Some(&entry.oid)
            }
        };
        self.commit.is_some() && root.iter().all(is_there)
    }

    /// Lists the folders of numbers.
    pub(super) fn folders(&self) -> &BTreeMap<String, Oid> {
        &self.folders
    }

    /// Lists the files in the folder of a hundred of numbers, and whatever else is in it.
    pub(super) fn numbers(&self, hundred: u64) -> Result<(BTreeMap<u64, Oid>, Vec<Entry>), GitError> {
        let (Some(folder), Some(objects)) = (self.folders.get(&folder_of(hundred)), self.objects()) else {
            return Ok((BTreeMap::new(), Vec::new()));
        };
        let (mut numbers, mut others) = (BTreeMap::new(), Vec::new());
        for entry in entries(objects, *folder)? {
            match entry.name.strip_suffix(".json").and_then(|name| name.parse().ok()) {
                Some(number) if file_of(number) == entry.name => drop(numbers.insert(number, entry.oid)),
                _ => others.push(entry),
            }
        }
        Ok((numbers, others))
    }

    /// Lists the hundreds of numbers of which something is stored.
    pub(super) fn hundreds(&self) -> Vec<u64> {
        self.folders.keys().filter_map(|name| name.parse().ok()).collect()
    }

    /// Reads every file, and notes what a run needs of it. Files that cannot be read are an error, or, with `is_lenient`,
    /// left out and named by [`Self::lost`].
    ///
    /// # Errors
    /// [`GitError::Damaged`], [`GitError::Cancelled`].
    pub fn survey(&mut self, is_lenient: bool, cancel: &CancellationToken) -> Result<BTreeMap<u64, Known>, GitError> {
        let mut known = BTreeMap::new();
        let mut lost = Vec::new();
        for hundred in self.hundreds() {
            if cancel.is_cancelled() {
                return Err(GitError::Cancelled);
            }
            let (numbers, _) = match self.numbers(hundred) {
                Err(GitError::Damaged(what)) if is_lenient => {
                    lost.push(format!("the stored states of {} ({what})", numbers_of(hundred)));
                    continue;
                }
                numbers => numbers?,
            };
            for (number, oid) in numbers {
                match self.read(oid) {
                    Ok(file) => drop(known.insert(number, Known::of(&file))),
                    Err(GitError::Damaged(what)) if is_lenient => {
                        lost.push(format!("the stored states of #{number} ({what})"));
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        self.lost.append(&mut lost);
        Ok(known)
    }
}
