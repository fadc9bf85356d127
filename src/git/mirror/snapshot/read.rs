//! Reads snapshots back, and ignores what a later version of ghbk adds to them.

use std::collections::HashSet;

use git2::{ObjectType, Oid};

use super::words::parse;
use super::{Content, HEAD, PACKED_REFS, Snapshot};
use crate::git::GitError;
use crate::git::mirror::history as commits;
use crate::git::pack::links;
use crate::git::pack::reader::ObjectReader;
use crate::git::refs::Refs;

/// The ids of what a snapshot's tree holds.
pub(super) struct Tree {
    pub(super) head: Oid,
    pub(super) pieces: Vec<Oid>,
}

pub(super) fn unreadable(oid: Oid, error: &dyn std::fmt::Display) -> GitError {
    GitError::Damaged(format!("snapshot {oid} cannot be read: {}", crate::text::printable(&error.to_string(), 160)))
}

/// A snapshot's commit.
pub(super) struct Commit {
    pub(super) tree: Oid,
    pub(super) parent: Option<Oid>,
    /// When it was made, in seconds since 1970.
    pub(super) seconds: i64,
    pub(super) message: String,
}

impl Commit {
    pub(super) fn read(objects: &ObjectReader, oid: Oid) -> Result<Self, GitError> {
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
            seconds: commits::date(&object).unwrap_or_default(),
            message: message.to_owned(),
        })
    }
}

pub(super) fn of_kind(objects: &ObjectReader, oid: Oid, kind: ObjectType) -> Result<std::sync::Arc<Vec<u8>>, GitError> {
    let object = objects.read(oid).map_err(|error| unreadable(oid, &error))?;
    if object.kind == kind { Ok(object.data) } else { Err(unreadable(oid, &format!("it is not a {kind}"))) }
}

/// Reads the names and ids in a tree.
pub(super) fn entries(objects: &ObjectReader, oid: Oid) -> Result<Vec<(Vec<u8>, Oid)>, GitError> {
    let tree = of_kind(objects, oid, ObjectType::Tree)?;
    let mut found = Vec::new();
    links::each_entry(&tree, |name, oid, _| found.extend(Oid::from_bytes(&oid).map(|oid| (name.to_owned(), oid))))
        .map_err(|_| unreadable(oid, &"its tree is malformed"))?;
    Ok(found)
}

pub(super) fn read(objects: &ObjectReader, oid: Oid) -> Result<Tree, GitError> {
    let root = entries(objects, Commit::read(objects, oid)?.tree)?;
    let named = |wanted: &str| {
        let found = root.iter().find(|(name, _)| name == wanted.as_bytes()).map(|(_, oid)| *oid);
        found.ok_or_else(|| unreadable(oid, &format!("it has no {wanted}")))
    };
    let (head, folder) = (named(HEAD)?, named(PACKED_REFS)?);
    Ok(Tree { head, pieces: entries(objects, folder)?.into_iter().map(|(_, oid)| oid).collect() })
}

pub(super) fn text_of(objects: &ObjectReader, blob: Oid) -> Result<String, GitError> {
    let content = of_kind(objects, blob, ObjectType::Blob)?;
    String::from_utf8(content.to_vec()).map_err(|error| unreadable(blob, &error))
}

/// Reads the content of HEAD at a snapshot.
///
/// # Errors
/// [`GitError::Damaged`] if it cannot be read.
pub(crate) fn head(objects: &ObjectReader, oid: Oid) -> Result<String, GitError> {
    Ok(text_of(objects, read(objects, oid)?.head)?.trim_end().to_owned())
}

/// Reads a repository's refs and HEAD at a snapshot.
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

/// Returns every object that some snapshots' refs name. What many snapshots share is read once.
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
    let commit = Commit::read(objects, oid).ok()?;
    let snapshot = parse(oid, &commit.message)?;
    // The commits of a metadata mirror end in the same lines. One whose tree is lost may be either.
    let names_refs = |root: Vec<(Vec<u8>, Oid)>| root.iter().any(|(name, _)| name == PACKED_REFS.as_bytes());
    entries(objects, commit.tree).map_or(true, names_refs).then_some(snapshot)
}

/// Returns the snapshot before one.
///
/// # Errors
/// [`GitError::Damaged`] if it cannot be read.
pub(crate) fn parent(objects: &ObjectReader, oid: Oid) -> Result<Option<Oid>, GitError> {
    Ok(Commit::read(objects, oid)?.parent)
}

/// Returns the tree of a snapshot, which holds its content.
///
/// # Errors
/// [`GitError::Damaged`] if it cannot be read.
pub(crate) fn tree(objects: &ObjectReader, oid: Oid) -> Result<Oid, GitError> {
    Ok(Commit::read(objects, oid)?.tree)
}
