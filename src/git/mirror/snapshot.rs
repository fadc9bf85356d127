//! Snapshots: the chain of commits in `refs/ghbk/snapshots` that says what a repository was after each run.
//!
//! Made of plain git objects, so that `git log refs/ghbk/snapshots` reads it without ghbk; `docs/snapshots.md` is the
//! format. What a newcomer would get wrong: a snapshot only names tips. That they stay is the work of the refs, of
//! which `refs/ghbk/kept/` holds those that GitHub dropped.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write;

use chrono::{DateTime, SecondsFormat, Utc};
use git2::{ObjectType, Oid};
use serde::Serialize;

use crate::git::GitError;
use crate::git::mirror::changes::{ChangeKind, RefChange};
use crate::git::mirror::history;
use crate::git::pack::NewObject;
use crate::git::pack::links;
use crate::git::pack::reader::ObjectReader;
use crate::git::refs::{Refs, parse_oid};
use crate::names::{FullName, RepositoryId, RunId};

/// Says in which run, and when, the state was seen, and whose it is.
#[derive(Clone, Debug)]
pub struct Occasion {
    /// The run.
    pub run_id: RunId,
    /// When the server was asked.
    pub observed_at: DateTime<Utc>,
    /// The repository's name at that time; for a wiki, that of its repository.
    pub full_name: FullName,
    /// Its identity.
    pub id: RepositoryId,
}

/// Describes one point in time that can be restored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Snapshot {
    /// The commit.
    #[serde(serialize_with = "as_hex")]
    pub oid: Oid,
    /// The run that made it.
    pub run_id: RunId,
    /// When the server was asked.
    pub time: DateTime<Utc>,
    /// The repository's name at that time.
    pub full_name: FullName,
    /// What changed, in words.
    pub title: String,
    /// The refs that moved, those that lost something first; none for the first snapshot.
    pub changes: Vec<RefChange>,
    /// How many more moved than `changes` holds.
    pub more_changes: u64,
}

fn as_hex<S: serde::Serializer>(oid: &Oid, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(oid)
}

impl Snapshot {
    /// Says whether something was lost on GitHub since the snapshot before.
    pub fn has_loss(&self) -> bool {
        self.changes.iter().any(RefChange::is_loss)
    }
}

const HEAD: &str = "HEAD";
const PACKED_REFS: &str = "packed-refs";
const SIGNATURE: &str = "ghbk <ghbk@localhost>";
const FILE_MODE: &str = "100644";
const FOLDER_MODE: &str = "40000";
/// A message names so many refs at most, those that lost something first; the trees have them all.
const LINES_MAX: usize = 1_000;

/// What a repository was before the new snapshot.
#[derive(Clone, Debug)]
pub(crate) struct Previous {
    /// The newest snapshot.
    pub(crate) oid: Oid,
    /// What HEAD said, if that is known.
    pub(crate) head: Option<String>,
}

/// Makes the objects of a new snapshot; returns the commit and all of them, of which some may be there.
///
/// # Errors
/// [`GitError`] if an object cannot be made.
pub(crate) fn make(
    previous: Option<&Previous>,
    refs: &Refs,
    head: &str,
    changes: &[RefChange],
    occasion: &Occasion,
) -> Result<(Oid, Vec<NewObject>), GitError> {
    let mut objects = Vec::new();
    let mut entries = Vec::new();
    for (number, piece) in refs.to_packed_pieces().into_iter().enumerate() {
        let object = NewObject::new(ObjectType::Blob, piece.into_bytes())?;
        push_entry(&mut entries, FILE_MODE, &format!("{number:06}"), object.oid);
        objects.push(object);
    }
    let pieces = NewObject::new(ObjectType::Tree, entries)?;
    let head_object = NewObject::new(ObjectType::Blob, format!("{head}\n").into_bytes())?;
    let mut entries = Vec::new();
    push_entry(&mut entries, FILE_MODE, HEAD, head_object.oid);
    push_entry(&mut entries, FOLDER_MODE, PACKED_REFS, pieces.oid);
    let root = NewObject::new(ObjectType::Tree, entries)?;

    let mut data = format!("tree {}\n", root.oid);
    if let Some(previous) = previous {
        let _ = writeln!(data, "parent {}", previous.oid);
    }
    let seconds = occasion.observed_at.timestamp();
    let _ = write!(data, "author {SIGNATURE} {seconds} +0000\ncommitter {SIGNATURE} {seconds} +0000\n\n");
    let head_before = previous.and_then(|previous| previous.head.as_deref());
    let moved = head_before.filter(|before| *before != head).map(|before| (before, head));
    data.push_str(&message(refs, changes, moved, previous.is_none(), occasion));
    let commit = NewObject::new(ObjectType::Commit, data.into_bytes())?;
    let oid = commit.oid;

    objects.extend([pieces, head_object, root, commit]);
    let mut seen = HashSet::new();
    objects.retain(|object| seen.insert(object.oid));
    Ok((oid, objects))
}

fn push_entry(tree: &mut Vec<u8>, mode: &str, name: &str, oid: Oid) {
    tree.extend_from_slice(format!("{mode} {name}\0").as_bytes());
    tree.extend_from_slice(oid.as_bytes());
}

/// Makes a chain of some snapshots, newest first, with a note in its oldest; returns its newest commit and the new
/// objects.
pub(crate) fn rechain(
    stored: &ObjectReader,
    retained: &[Snapshot],
    note: &str,
) -> Result<(Oid, Vec<NewObject>), GitError> {
    let mut objects: Vec<NewObject> = Vec::new();
    let mut parent: Option<Oid> = None;
    for snapshot in retained.iter().rev() {
        let Commit { tree, message, seconds, .. } = Commit::read(stored, snapshot.oid)?;
        let mut data = format!("tree {tree}\n");
        let message = match parent {
            Some(parent) => {
                let _ = writeln!(data, "parent {parent}");
                message
            }
            None => with_note(&message, note),
        };
        let _ = write!(data, "author {SIGNATURE} {seconds} +0000\ncommitter {SIGNATURE} {seconds} +0000\n\n{message}");
        let object = NewObject::new(ObjectType::Commit, data.into_bytes())?;
        parent = Some(object.oid);
        objects.push(object);
    }
    let newest = parent.ok_or_else(|| GitError::Task("a chain without snapshots".to_owned()))?;
    Ok((newest, objects))
}

/// How the notes begin that [`rechain`] leaves.
const NOTES: [&str; 2] = ["retention dropped ", "repair left out "];

/// Adds a line before the trailers, in the place of an older one like it.
fn with_note(message: &str, note: &str) -> String {
    match message.trim_end().rsplit_once("\n\n") {
        Some((text, trailers)) => {
            let text: Vec<&str> =
                text.lines().filter(|line| !NOTES.iter().any(|note| line.starts_with(note))).collect();
            // The first paragraph is the title that `git log --oneline` shows.
            let gap = if text.len() == 1 { "\n" } else { "" };
            format!("{}\n{gap}{note}\n\n{trailers}\n", text.join("\n"))
        }
        None => format!("{message}\n{note}\n"),
    }
}

/// Words a snapshot: a title for people, a line a change, and what ghbk reads back.
fn message(
    refs: &Refs,
    changes: &[RefChange],
    head: Option<(&str, &str)>,
    is_first: bool,
    occasion: &Occasion,
) -> String {
    let mut out = String::new();
    if is_first {
        let _ = writeln!(out, "First snapshot of {}: {}", occasion.full_name, inventory(refs));
    } else {
        let mut parts = in_words(changes);
        if head.is_some() {
            parts.push("HEAD moved".to_owned());
        }
        let words = if parts.is_empty() { "nothing moved".to_owned() } else { parts.join(", ") };
        let _ = writeln!(out, "Snapshot of {}: {words}", occasion.full_name);
        out.push('\n');
        if let Some((before, now)) = head {
            let _ = writeln!(out, "head {before} -> {now}");
        }
        let (losses, others): (Vec<_>, Vec<_>) = changes.iter().partition(|change| change.is_loss());
        for change in losses.iter().chain(&others).take(LINES_MAX) {
            let _ = write!(out, "{} {}", word(change.kind), change.name);
            for oid in [change.old, change.new].into_iter().flatten() {
                let _ = write!(out, " {oid}");
            }
            out.push('\n');
        }
        let more = changes.len().saturating_sub(LINES_MAX);
        if more > 0 {
            let _ = writeln!(out, "and {more} more");
        }
    }
    let time = occasion.observed_at.to_rfc3339_opts(SecondsFormat::Millis, true);
    let Occasion { run_id, full_name, id, .. } = occasion;
    let _ = write!(
        out,
        "\nGhbk-Run: {run_id}\nGhbk-Time: {time}\nGhbk-Repository: {full_name}\nGhbk-Repository-Id: {id}\n"
    );
    out
}

const WORDS: [(ChangeKind, &str); 5] = [
    (ChangeKind::ForcePushed, "force-pushed"),
    (ChangeKind::Deleted, "deleted"),
    (ChangeKind::Moved, "moved"),
    (ChangeKind::Updated, "updated"),
    (ChangeKind::Created, "created"),
];

fn word(kind: ChangeKind) -> &'static str {
    WORDS.iter().find(|(known, _)| *known == kind).map_or("changed", |(_, word)| word)
}

/// Says what kind of ref a name is: singular and plural.
fn noun(name: &str) -> (&'static str, &'static str) {
    match name.split('/').nth(1) {
        Some("heads") => ("branch", "branches"),
        Some("tags") => ("tag", "tags"),
        Some("pull") => ("pull request", "pull requests"),
        _ => ("other ref", "other refs"),
    }
}

fn counted(number: u64, (singular, plural): (&str, &str)) -> String {
    format!("{number} {}", if number == 1 { singular } else { plural })
}

fn inventory(refs: &Refs) -> String {
    let mut counts = BTreeMap::new();
    for (name, _) in refs.iter() {
        *counts.entry(noun(name)).or_insert(0u64) += 1;
    }
    if counts.is_empty() {
        return "empty".to_owned();
    }
    counts.into_iter().map(|(noun, number)| counted(number, noun)).collect::<Vec<_>>().join(", ")
}

fn in_words(changes: &[RefChange]) -> Vec<String> {
    let mut parts = Vec::new();
    for (kind, word) in WORDS {
        let mut counts = BTreeMap::new();
        for change in changes.iter().filter(|change| change.kind == kind) {
            *counts.entry(noun(&change.name)).or_insert(0u64) += 1;
        }
        parts.extend(counts.into_iter().map(|(noun, number)| format!("{} {word}", counted(number, noun))));
    }
    parts
}

/// The ids of what a snapshot's tree holds.
struct Tree {
    head: Oid,
    pieces: Vec<Oid>,
}

fn unreadable(oid: Oid, error: &dyn std::fmt::Display) -> GitError {
    GitError::Damaged(format!("snapshot {oid} cannot be read: {}", crate::text::printable(&error.to_string(), 160)))
}

/// A snapshot's commit.
struct Commit {
    tree: Oid,
    parent: Option<Oid>,
    /// When it was made, in seconds since 1970.
    seconds: i64,
    message: String,
}

impl Commit {
    fn read(objects: &ObjectReader, oid: Oid) -> Result<Self, GitError> {
        let object = of_kind(objects, oid, ObjectType::Commit)?;
        let malformed = || unreadable(oid, &"it is no snapshot of ghbk");
        let mut needs = Vec::new();
        links::each(Some(ObjectType::Commit), &object, |oid| needs.extend(Oid::from_bytes(&oid)))
            .map_err(|_| malformed())?;
        let text = std::str::from_utf8(&object).map_err(|error| unreadable(oid, &error))?;
        let (_, message) = text.split_once("\n\n").ok_or_else(malformed)?;
        Ok(Self {
            tree: *needs.first().ok_or_else(malformed)?,
            parent: needs.get(1).copied(),
            seconds: history::date(&object).unwrap_or_default(),
            message: message.to_owned(),
        })
    }
}

fn of_kind(objects: &ObjectReader, oid: Oid, kind: ObjectType) -> Result<std::sync::Arc<Vec<u8>>, GitError> {
    let object = objects.read(oid).map_err(|error| unreadable(oid, &error))?;
    if object.kind == kind { Ok(object.data) } else { Err(unreadable(oid, &format!("it is not a {kind}"))) }
}

/// Reads the names and ids in a tree.
fn entries(objects: &ObjectReader, oid: Oid) -> Result<Vec<(Vec<u8>, Oid)>, GitError> {
    let tree = of_kind(objects, oid, ObjectType::Tree)?;
    let mut found = Vec::new();
    links::each_entry(&tree, |name, oid, _| found.extend(Oid::from_bytes(&oid).map(|oid| (name.to_owned(), oid))))
        .map_err(|_| unreadable(oid, &"its tree is malformed"))?;
    Ok(found)
}

fn read(objects: &ObjectReader, oid: Oid) -> Result<Tree, GitError> {
    let root = entries(objects, Commit::read(objects, oid)?.tree)?;
    let named = |wanted: &str| {
        let found = root.iter().find(|(name, _)| name == wanted.as_bytes()).map(|(_, oid)| *oid);
        found.ok_or_else(|| unreadable(oid, &format!("it has no {wanted}")))
    };
    let (head, folder) = (named(HEAD)?, named(PACKED_REFS)?);
    Ok(Tree { head, pieces: entries(objects, folder)?.into_iter().map(|(_, oid)| oid).collect() })
}

fn text_of(objects: &ObjectReader, blob: Oid) -> Result<String, GitError> {
    let content = of_kind(objects, blob, ObjectType::Blob)?;
    String::from_utf8(content.to_vec()).map_err(|error| unreadable(blob, &error))
}

/// Reads what HEAD said at a snapshot.
///
/// # Errors
/// [`GitError::Damaged`] if it cannot be read.
pub(crate) fn head(objects: &ObjectReader, oid: Oid) -> Result<String, GitError> {
    Ok(text_of(objects, read(objects, oid)?.head)?.trim_end().to_owned())
}

/// What a repository was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// Every ref.
    pub refs: Refs,
    /// What HEAD said.
    pub head: String,
}

/// Reads what a repository was at a snapshot.
///
/// # Errors
/// [`GitError::Damaged`] if it cannot be read.
pub fn content(objects: &ObjectReader, oid: Oid) -> Result<Content, GitError> {
    let tree = read(objects, oid)?;
    let mut packed = String::new();
    for piece in tree.pieces {
        packed.push_str(&text_of(objects, piece)?);
    }
    let refs = Refs::parse_packed(packed.as_bytes()).map_err(|error| unreadable(oid, &error))?;
    Ok(Content { refs, head: text_of(objects, tree.head)?.trim_end().to_owned() })
}

/// Returns every object that some snapshot's refs name. What many snapshots have in common is read once.
///
/// # Errors
/// [`GitError::Damaged`] if one cannot be read.
pub(crate) fn targets(objects: &ObjectReader, history: &[Snapshot]) -> Result<HashSet<Oid>, GitError> {
    let mut targets = HashSet::new();
    let mut seen = HashSet::new();
    for Snapshot { oid, .. } in history {
        for piece in read(objects, *oid)?.pieces.into_iter().filter(|piece| seen.insert(*piece)) {
            let text = text_of(objects, piece)?;
            let refs = Refs::parse_packed(text.as_bytes()).map_err(|error| unreadable(*oid, &error))?;
            targets.extend(refs.iter().map(|(_, target)| target.oid));
        }
    }
    Ok(targets)
}

/// Reads the chain of snapshots, newest first.
///
/// # Errors
/// [`GitError::Damaged`] at the first that cannot be read.
pub fn history(objects: &ObjectReader, newest: Oid) -> Result<Vec<Snapshot>, GitError> {
    let mut snapshots = Vec::new();
    let mut next = Some(newest);
    while let Some(oid) = next {
        let commit = Commit::read(objects, oid)?;
        let snapshot = parse(oid, &commit.message).ok_or_else(|| unreadable(oid, &"it is no snapshot of ghbk"))?;
        snapshots.push(snapshot);
        next = commit.parent;
    }
    Ok(snapshots)
}

/// Reads one snapshot, if the commit is one.
pub(crate) fn find(objects: &ObjectReader, oid: Oid) -> Option<Snapshot> {
    parse(oid, &Commit::read(objects, oid).ok()?.message)
}

/// Returns the snapshot before one.
///
/// # Errors
/// [`GitError::Damaged`] if it cannot be read.
pub(crate) fn parent(objects: &ObjectReader, oid: Oid) -> Result<Option<Oid>, GitError> {
    Ok(Commit::read(objects, oid)?.parent)
}

/// Returns the tree of a snapshot, which holds what it says.
///
/// # Errors
/// [`GitError::Damaged`] if it cannot be read.
pub(crate) fn tree(objects: &ObjectReader, oid: Oid) -> Result<Oid, GitError> {
    Ok(Commit::read(objects, oid)?.tree)
}

fn parse(oid: Oid, message: &str) -> Option<Snapshot> {
    let (text, trailers) = message.trim_end().rsplit_once("\n\n")?;
    let trailer =
        |name: &str| trailers.lines().find_map(|line| line.strip_prefix(name).and_then(|rest| rest.strip_prefix(": ")));
    let mut lines = text.lines();
    let title = lines.next()?.to_owned();
    let mut changes = Vec::new();
    let mut more_changes = 0;
    for line in lines {
        let mut words = line.split(' ');
        let first = words.next()?;
        if first == "and" {
            more_changes = words.next()?.parse().ok()?;
        } else if let Some((kind, _)) = WORDS.iter().find(|(_, word)| *word == first) {
            let name = words.next()?.to_owned();
            let (one, two) = (words.next().and_then(parse_oid), words.next().and_then(parse_oid));
            let (old, new) = if *kind == ChangeKind::Created { (None, one) } else { (one, two) };
            changes.push(RefChange { name, kind: *kind, old, new });
        }
    }
    Some(Snapshot {
        oid,
        run_id: trailer("Ghbk-Run")?.parse().ok()?,
        time: trailer("Ghbk-Time")?.parse().ok()?,
        full_name: trailer("Ghbk-Repository")?.parse().ok()?,
        title,
        changes,
        more_changes,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::refs::Target;

    fn oid(digit: &str) -> Oid {
        parse_oid(&digit.repeat(40)).unwrap()
    }

    fn occasion() -> Occasion {
        let observed_at = "2026-11-29T05:00:12.345Z".parse().unwrap();
        Occasion {
            run_id: RunId::at(observed_at),
            observed_at,
            full_name: "acme/site".parse().unwrap(),
            id: RepositoryId(7),
        }
    }

    fn refs() -> Refs {
        let mut refs = Refs::default();
        for name in ["refs/heads/main", "refs/heads/next", "refs/pull/1/head", "refs/tags/v1"] {
            refs.insert(name.to_owned(), Target { oid: oid("1"), peeled: None });
        }
        refs
    }

    fn changes() -> Vec<RefChange> {
        let change = |name: &str, kind, old: Option<&str>, new: Option<&str>| RefChange {
            name: name.to_owned(),
            kind,
            old: old.map(oid),
            new: new.map(oid),
        };
        vec![
            change("refs/heads/a", ChangeKind::Created, None, Some("2")),
            change("refs/heads/main", ChangeKind::ForcePushed, Some("1"), Some("3")),
            change("refs/heads/next", ChangeKind::Updated, Some("1"), Some("4")),
            change("refs/heads/old", ChangeKind::Deleted, Some("5"), None),
            change("refs/tags/v1", ChangeKind::Moved, Some("1"), Some("6")),
        ]
    }

    #[test]
    fn a_message_says_in_words_what_moved() {
        let head = Some(("ref: refs/heads/main", "ref: refs/heads/next"));
        let first = message(&refs(), &[], None, true, &occasion());
        let later = message(&refs(), &changes(), head, false, &occasion());
        insta::assert_snapshot!(format!("{first}=====\n{later}"));
    }

    #[test]
    fn what_is_written_is_read_back() {
        let text = message(&refs(), &changes(), None, false, &occasion());
        let snapshot = parse(oid("9"), &text).unwrap();
        assert_eq!(snapshot.time, occasion().observed_at);
        assert_eq!(snapshot.run_id, occasion().run_id);
        let mut expected = changes();
        expected.sort_by_key(|change| !change.is_loss());
        assert_eq!(snapshot.changes, expected);
        assert!(snapshot.has_loss());
    }

    #[test]
    fn a_hundred_thousand_moves_are_cut_short_and_counted() {
        let many: Vec<RefChange> = (0..100_000)
            .map(|number| RefChange {
                name: format!("refs/heads/{number}"),
                kind: ChangeKind::Created,
                old: None,
                new: Some(oid("1")),
            })
            .collect();
        let text = message(&refs(), &many, None, false, &occasion());
        let snapshot = parse(oid("9"), &text).unwrap();
        assert_eq!((snapshot.changes.len(), snapshot.more_changes), (1_000, 99_000));
    }
}
