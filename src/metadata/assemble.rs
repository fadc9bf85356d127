//! Puts together what came and what is stored: a new commit, if anything differs.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use git2::Oid;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::about::{self, About};
use super::canonical::to_bytes;
use super::fetch::Fetched;
use super::item::{How, is_gone, mark_gone, merge, merged, note_incomplete, set};
use super::spool::Piece;
use super::stored::{ISSUES, Known, Stored, file_of, folder_of};
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
}

/// What a new commit follows.
#[derive(Clone, Copy, Debug)]
pub struct History {
    /// The commit before it.
    pub parent: Option<Oid>,
    /// Whether every file is written, because those that are stored stay behind in a damaged mirror.
    pub is_anew: bool,
}

/// What is assembled, and how.
pub(super) struct Assembly<'a> {
    stored: &'a Stored,
    composer: Composer<'a>,
    now: DateTime<Utc>,
    /// Whether GitHub was asked for all comments, so that those that did not come are gone.
    is_full: bool,
    counts: PartCounts,
}

/// Puts together what came about every number and what is stored of it, and writes what differs.
///
/// # Errors
/// [`MetadataError`].
pub fn assemble<'a>(
    (stored, composer): (&'a Stored, Composer<'a>),
    fetched: &Fetched,
    spool: &mut Spool,
    (about, history): (&About, History),
    occasion: &Occasion,
    cancel: &CancellationToken,
) -> Result<(Assembled, Composer<'a>), MetadataError> {
    let (now, is_full) = (occasion.observed_at, fetched.is_full);
    let mut assembly = Assembly { stored, composer, now, is_full, counts: PartCounts::new() };
    let mut known = fetched.known.clone();
    let mut folders = stored.folders().clone();
    let History { parent, is_anew } = history;
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
    // What was not asked for, and what a later version of ghbk keeps.
    for (name, content) in stored.others(&fetched.files)? {
        root.push(file(&name, assembly.composer.file(content)?));
    }
    for (name, new) in &fetched.files {
        let old = stored.file(name)?.and_then(|old| old.as_array().cloned()).unwrap_or_default();
        let list = merged(old, new.clone(), true, now);
        root.push(file(name, assembly.composer.file(to_bytes(&Value::Array(list)))?));
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
    let has_changed = is_anew || !stored.has_all(&root);
    let commit = if has_changed {
        let mut about = about.clone();
        about.kinds.values_mut().for_each(|kind| kind.counts.clone_from(&totals));
        let content = serde_json::to_value(&about).map_err(|error| GitError::Task(error.to_string()))?;
        root.push(file(about::FILE, assembly.composer.file(to_bytes(&content))?));
        let root = assembly.composer.folder(root)?;
        let message = message(occasion, parent.is_none(), &counts, &totals);
        Some(assembly.composer.commit(root, parent, &message, occasion)?)
    } else {
        None
    };
    Ok((Assembled { commit, totals, counts }, assembly.composer))
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
        let mut files =
            self.stored.numbers(hundred).or_else(|error| if is_anew { Ok(BTreeMap::new()) } else { Err(error) })?;
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
        let entries = files.into_iter().map(|(number, oid)| file(&file_of(number), oid)).collect();
        Ok(Some(self.composer.folder(entries)?))
    }

    /// Applies what came about a number to its file.
    fn apply(&self, file: &mut Value, pieces: Vec<Piece>) {
        let (mut comments, mut review_comments, mut is_all) = (Vec::new(), Vec::new(), self.is_full);
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
                Piece::List(member, list) => merge(file, &member, list, true, self.now),
                Piece::Incomplete => is_incomplete = true,
                Piece::Gone(how) => self.leave(file, &how),
            }
        }
        if !has_come {
            return;
        }
        merge(file, "comments", comments, is_all, self.now);
        if file.get("pull_request").is_some() {
            merge(file, "review_comments", review_comments, self.is_full, self.now);
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
