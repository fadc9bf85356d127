//! Makes snapshots: a tree of the refs as they were, and a commit that says in words what changed.

use std::collections::HashSet;
use std::fmt::Write;

use git2::{ObjectType, Oid};

use super::read::Commit;
use super::words::{message, with_note};
use super::{HEAD, Occasion, PACKED_REFS, Snapshot};
use crate::git::GitError;
use crate::git::mirror::changes::RefChange;
use crate::git::pack::NewObject;
use crate::git::pack::reader::ObjectReader;
use crate::git::refs::Refs;

pub(crate) const SIGNATURE: &str = "ghbk <ghbk@localhost>";

pub(crate) const FILE_MODE: &str = "100644";

pub(crate) const FOLDER_MODE: &str = "40000";

/// The repository before the new snapshot.
#[derive(Clone, Debug)]
pub(crate) struct Previous {
    /// The newest snapshot.
    pub(crate) oid: Oid,
    /// The content of HEAD, if that is known.
    pub(crate) head: Option<String>,
}

/// Makes the objects of a new snapshot; returns the commit and all objects, some of which may be stored already.
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

pub(crate) fn push_entry(tree: &mut Vec<u8>, mode: &str, name: &str, oid: Oid) {
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
