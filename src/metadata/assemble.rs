//! Puts together what came and what is stored: a new commit, if anything differs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use git2::Oid;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::about::{self, About};
use super::canonical::to_bytes;
use super::fetch::{Fetched, Whole};
use super::item::{How, is_gone, mark_gone, merge, merged, note_incomplete, set};
use super::layout::{ISSUES, file_of, folder_of};
use super::spool::Piece;
use super::stored::{Known, Stored};
use super::{MetadataError, Spool};
use crate::git::GitError;
use crate::git::mirror::compose::{Composer, Entry};
use crate::git::mirror::snapshot::Occasion;
use crate::outcome::PartCounts;
use crate::text::count;

/// What came of it.
#[derive(Debug)]
pub struct Assembled {
    /// The new commit; none if nothing differs.
    pub commit: Option<Oid>,
    /// How much there is now.
    pub totals: PartCounts,
    /// How much is new, changed or gone since the last run.
    pub counts: PartCounts,
    /// What of a damaged mirror could not be taken over, in words.
    pub lost: Vec<String>,
}

/// What a new commit follows.
#[derive(Clone, Copy, Debug)]
pub struct History {
    /// The commit before it.
    pub parent: Option<Oid>,
    /// Whether every file is written, because those that are stored stay behind in a damaged mirror.
    pub is_anew: bool,
    /// Whether a commit is wanted though nothing differs.
    pub is_wanted: bool,
}

/// What is assembled, and how.
pub(super) struct Assembly<'a> {
    stored: &'a Stored,
    composer: Composer<'a>,
    now: DateTime<Utc>,
    /// Of which lists everything came.
    whole: Whole,
    counts: PartCounts,
}

/// Puts together what came about every number and what is stored of it, and writes what differs.
///
/// # Errors
/// [`MetadataError`].
pub fn assemble<'a>(
    (stored, composer): (&'a Stored, Composer<'a>),
    fetched: &mut Fetched,
    spool: &mut Spool,
    (about, history): (&About, History),
    occasion: &Occasion,
    cancel: &CancellationToken,
) -> Result<(Assembled, Composer<'a>), MetadataError> {
    let (now, whole) = (occasion.observed_at, fetched.whole);
    let mut assembly = Assembly { stored, composer, now, whole, counts: PartCounts::new() };
    let mut known = std::mem::take(&mut fetched.known);
    let History { parent, is_anew, is_wanted } = history;
    let mut folders = if is_anew { BTreeMap::new() } else { stored.folders().clone() };
    let mut hundreds: BTreeSet<u64> = spool.hundreds();
    if is_anew {
        hundreds.extend(stored.hundreds());
    }
    for hundred in hundreds {
        if cancel.is_cancelled() {
            return Err(GitError::Cancelled.into());
        }
        let folder = assembly.folder(hundred, spool, &mut known, is_anew)?;
        folders.extend(folder.map(|oid| (folder_of(hundred), oid)));
    }
    let mut root = Vec::new();
    let mut lost = Vec::new();
    // What was not asked for, and what a later version of ghbk keeps.
    for entry in stored.others(|name| name != about::FILE && !fetched.files.contains_key(name)) {
        match assembly.keep(entry, is_anew) {
            Ok(entry) => root.push(entry),
            Err(GitError::Damaged(what)) if is_anew => lost.push(what),
            Err(error) => return Err(error.into()),
        }
    }
    for (name, new) in std::mem::take(&mut fetched.files) {
        let old = match stored.file(name) {
            Err(GitError::Damaged(what)) if is_anew => {
                lost.push(format!("{name}: {what}"));
                None
            }
            old => old?,
        };
        let old = old.and_then(|old| old.as_array().cloned()).unwrap_or_default();
        let things = merged(old, new, true, now);
        root.push(file(name, assembly.composer.file(to_bytes(&Value::Array(things)))?));
    }
    if !folders.is_empty() {
        let folders = folders.into_iter().map(|(name, oid)| Entry { name, oid, is_folder: true }).collect();
        root.push(Entry { name: ISSUES.to_owned(), oid: assembly.composer.folder(folders)?, is_folder: true });
    }
    let mut totals = PartCounts::new();
    for known in known.values() {
        known.add_to(&mut totals);
    }
    let counts = std::mem::take(&mut assembly.counts);
    let has_changed = is_anew || is_wanted || !stored.has_all(&root);
    let commit = if has_changed {
        let mut about = about.clone();
        for kind in about.kinds.values_mut() {
            kind.counts.clone_from(&totals);
        }
        // Those of a later version of ghbk.
        let others = stored.about().map(|about| about.kinds).unwrap_or_default();
        for (name, other) in others {
            about.kinds.entry(name).or_insert(other);
        }
        let content = serde_json::to_value(&about).map_err(|error| GitError::Task(error.to_string()))?;
        root.push(file(about::FILE, assembly.composer.file(to_bytes(&content))?));
        let root = assembly.composer.folder(root)?;
        let message = message(occasion, parent.is_none(), &counts, &totals);
        Some(assembly.composer.commit(root, parent, &message, occasion)?)
    } else {
        None
    };
    Ok((Assembled { commit, totals, counts, lost }, assembly.composer))
}

fn file(name: &str, oid: Oid) -> Entry {
    Entry { name: name.to_owned(), oid, is_folder: false }
}

impl Assembly<'_> {
    /// Writes the files of a hundred of numbers; returns the folder if there are any.
    fn folder(
        &mut self,
        hundred: u64,
        spool: &mut Spool,
        known: &mut BTreeMap<u64, Known>,
        is_anew: bool,
    ) -> Result<Option<Oid>, MetadataError> {
        let (mut files, others) = match self.stored.numbers(hundred) {
            // The survey has named what cannot be read.
            Err(GitError::Damaged(_)) if is_anew => (BTreeMap::new(), Vec::new()),
            files => files?,
        };
        let mut pieces = spool.take(hundred)?;
        if is_anew {
            // What cannot be read is named by the survey.
            files.retain(|number, _| known.contains_key(number));
            for number in files.keys() {
                pieces.entry(*number).or_default();
            }
        }
        for (number, pieces) in pieces {
            let before = files.get(&number).map(|oid| self.stored.read(*oid)).transpose()?;
            let mut now = before.clone().unwrap_or_else(|| json!({}));
            self.apply(&mut now, pieces);
            self.note_change(before.as_ref(), &now);
            known.insert(number, Known::of(&now));
            files.insert(number, self.composer.file(to_bytes(&now))?);
        }
        if files.is_empty() {
            return Ok(None);
        }
        let mut entries: Vec<Entry> = files.into_iter().map(|(number, oid)| file(&file_of(number), oid)).collect();
        for entry in others {
            entries.extend(self.keep(entry, is_anew));
        }
        Ok(Some(self.composer.folder(entries)?))
    }

    /// Takes over something that is stored as it is. A folder stays behind if its mirror does.
    fn keep(&mut self, entry: Entry, is_anew: bool) -> Result<Entry, GitError> {
        if !is_anew || self.composer.has(entry.oid) {
            return Ok(entry);
        }
        if entry.is_folder {
            return Err(GitError::Damaged(format!("the folder {} could not be taken over", entry.name)));
        }
        let content = self.stored.content(entry.oid)?;
        Ok(Entry { oid: self.composer.file(Arc::unwrap_or_clone(content))?, ..entry })
    }

    /// Applies what came about a number to its file.
    fn apply(&self, file: &mut Value, pieces: Vec<Piece>) {
        let (mut comments, mut review_comments, mut is_all) = (Vec::new(), Vec::new(), self.whole.comments);
        let mut is_incomplete = false;
        let mut has_come = false;
        for piece in pieces {
            has_come |= !matches!(piece, Piece::Gone(_));
            match piece {
                Piece::Issue(issue) => set(file, "issue", issue),
                Piece::Pull(pull) => set(file, "pull_request", pull),
                Piece::Comment(comment) => comments.push(comment),
                Piece::Comments(all) => {
                    is_all = true;
                    comments = all;
                }
                Piece::ReviewComment(comment) => review_comments.push(comment),
                Piece::Details(members) => members.into_iter().for_each(|(member, value)| set(file, &member, value)),
                Piece::List { name, list, is_whole } => merge(file, &name, list, is_whole, self.now),
                Piece::Incomplete => is_incomplete = true,
                Piece::Gone(how) => self.leave(file, &how),
            }
        }
        if !has_come {
            return;
        }
        merge(file, "comments", comments, is_all, self.now);
        if file.get("pull_request").is_some() {
            merge(file, "review_comments", review_comments, self.whole.review_comments, self.now);
        }
        note_incomplete(file, is_incomplete);
    }

    fn leave(&self, file: &mut Value, how: &How) {
        // A number that was never stored, and is gone, leaves nothing to keep.
        if file.get("issue").is_some() || file.get("pull_request").is_some() {
            mark_gone(file, how, self.now);
        }
    }

    fn note_change(&mut self, before: Option<&Value>, now: &Value) {
        let name = match before {
            None => "new",
            Some(before) if is_gone(now) && !is_gone(before) => "newly_gone",
            Some(before) if before != now => "changed",
            Some(_) => return,
        };
        *self.counts.entry(name.to_owned()).or_default() += 1;
    }
}

/// Says in words what a commit is.
fn message(occasion: &Occasion, is_first: bool, counts: &PartCounts, totals: &PartCounts) -> String {
    let of = |counts: &PartCounts, name: &str| counts.get(name).copied().unwrap_or_default();
    let name = &occasion.full_name;
    if is_first {
        let issues = count(of(totals, "issues"), "issue", "issues");
        let pulls = count(of(totals, "pull_requests"), "pull request", "pull requests");
        let comments = count(of(totals, "comments"), "comment", "comments");
        return format!("Metadata of {name}: {issues}, {pulls}, {comments}\n");
    }
    let words: Vec<String> = [("new", "new"), ("changed", "changed"), ("newly_gone", "gone from GitHub")]
        .iter()
        .filter(|(count, _)| of(counts, count) > 0)
        .map(|(count, words)| format!("{} {words}", of(counts, count)))
        .collect();
    let words = if words.is_empty() { "labels or milestones changed".to_owned() } else { words.join(", ") };
    format!("Metadata of {name}: {words}\n")
}
