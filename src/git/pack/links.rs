//! References between objects: those of a single one, and everything that some tips need.
//!
//! Only what connects objects is read; whatever else an old or odd tool wrote into them is ignored. Source: git's documentation,
//! `gitformat-commit` and the chapter "Git Objects" of Pro Git. What a newcomer would get wrong: a tree's entry of mode 160000 is
//! a submodule's commit, which lives in another repository.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use git2::{ObjectType, Oid};
use tokio_util::sync::CancellationToken;

use crate::git::GitError;
use crate::git::pack::reader::ObjectReader;
use crate::git::refs::parse_oid;

/// The bytes of an object id.
pub(crate) type OidBytes = [u8; 20];

/// An object that is not what its type says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// Calls `take` for everything that an object refers to and that must be in the same repository.
pub(crate) fn each(kind: Option<ObjectType>, data: &[u8], mut take: impl FnMut(OidBytes)) -> Result<(), Malformed> {
    match kind {
        Some(ObjectType::Blob) => Ok(()),
        Some(ObjectType::Tree) => each_entry(data, |_, oid, _| take(oid)),
        Some(ObjectType::Commit) => {
            let mut rest = field(data, b"tree ", &mut take)?;
            while rest.starts_with(b"parent ") {
                rest = field(rest, b"parent ", &mut take)?;
            }
            Ok(())
        }
        Some(ObjectType::Tag) => field(data, b"object ", &mut take).map(drop),
        _ => Err(Malformed),
    }
}

/// An object that is needed and missing or unreadable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LostObject {
    /// The object.
    pub oid: Oid,
    /// What refers to it; `None` if it is a tip.
    pub needed_by: Option<Oid>,
    /// What is wrong with it.
    pub problem: String,
}

impl std::fmt::Display for LostObject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { oid, needed_by, problem } = self;
        match needed_by {
            Some(needed_by) => write!(f, "object {oid} {problem}; {needed_by} needs it"),
            None => write!(f, "object {oid} {problem}; a ref or a snapshot names it"),
        }
    }
}

/// Returns the tree of a commit, if it names one, and its parents. A malformed commit still has those before the fault.
pub(crate) fn tree_and_parents(commit: &[u8]) -> (Option<OidBytes>, Vec<OidBytes>) {
    let (mut tree, mut parents) = (None, Vec::new());
    let _ = each(Some(ObjectType::Commit), commit, |oid| match tree {
        None => tree = Some(oid),
        Some(_) => parents.push(oid),
    });
    (tree, parents)
}

/// Returns the tree of a commit, if both can be read.
pub(crate) fn tree_of(objects: &ObjectReader, commit: Oid) -> Option<Oid> {
    let commit = objects.read(commit).ok().filter(|object| object.kind == ObjectType::Commit)?;
    Oid::from_bytes(&tree_and_parents(&commit.data).0?).ok()
}

/// Returns the object that an annotated tag names; `None` if the object is not a tag.
fn tagged(objects: &ObjectReader, oid: Oid) -> Option<Oid> {
    let tag = objects.read(oid).ok().filter(|object| object.kind == ObjectType::Tag)?;
    let mut target = None;
    each(Some(ObjectType::Tag), &tag.data, |oid| target = Oid::from_bytes(&oid).ok()).ok()?;
    target
}

/// The longest chain of tags of tags that is followed; git sets no limit.
const TAGS_MAX: usize = 1 << 16;

/// Returns the object at the end of an annotated tag's chain, or `None` for an object that is not a tag.
pub(crate) fn peel(objects: &ObjectReader, oid: Oid) -> Option<Oid> {
    let mut end = tagged(objects, oid)?;
    for _ in 0..TAGS_MAX {
        match objects.kind(end).ok()? {
            ObjectType::Tag => end = tagged(objects, end)?,
            _ => return Some(end),
        }
    }
    None
}

/// A repository that lost this much needs no longer list.
const LOST_MAX: usize = 50;

/// Sorts objects into those that are whole, with everything that they need, and those that are not.
///
/// Each object is read and its hash checked once, however many tips need it.
pub(crate) struct Sieve<'a, K> {
    objects: &'a ObjectReader,
    /// What is known to be whole elsewhere; nothing that it needs is read.
    known: K,
    /// `Ok` if whole; otherwise the number of the lost object that it needs.
    sorted: HashMap<Oid, Result<(), usize>>,
    lost: Vec<LostObject>,
    cancel: &'a CancellationToken,
}

/// An object whose needs are being checked.
struct Open {
    oid: Oid,
    needs: Vec<Oid>,
    /// The lost object that it needs, if one is known.
    lost: Option<usize>,
}

impl<'a, K: Fn(Oid) -> bool> Sieve<'a, K> {
    pub(crate) fn new(objects: &'a ObjectReader, known: K, cancel: &'a CancellationToken) -> Self {
        Self { objects, known, sorted: HashMap::new(), lost: Vec::new(), cancel }
    }

    /// Checks everything that a tip needs; returns the first lost object, if any.
    ///
    /// # Errors
    /// [`GitError::Cancelled`].
    pub(crate) fn sort(&mut self, tip: Oid) -> Result<Option<&LostObject>, GitError> {
        let mut open: Vec<Open> = Vec::new();
        let mut result = self.begin(tip, None, &mut open);
        while let Some(top) = open.last_mut() {
            if self.cancel.is_cancelled() {
                return Err(GitError::Cancelled);
            }
            if let Some(next) = top.needs.pop() {
                let needed_by = top.oid;
                // Objects that are known at once are not opened, so the last one open is still the one that needs this one.
                if let Some(Err(lost)) = self.begin(next, Some(needed_by), &mut open)
                    && let Some(parent) = open.last_mut()
                {
                    parent.lost.get_or_insert(lost);
                }
                continue;
            }
            let Some(Open { oid, lost, .. }) = open.pop() else { break };
            let sorted = lost.map_or(Ok(()), Err);
            self.sorted.insert(oid, sorted);
            if let (Err(lost), Some(parent)) = (sorted, open.last_mut()) {
                parent.lost.get_or_insert(lost);
            }
            result = Some(sorted);
        }
        Ok(match result {
            Some(Err(lost)) => self.lost.get(lost),
            _ => None,
        })
    }

    /// Returns how an object is sorted if that is known at once; otherwise opens it.
    fn begin(&mut self, oid: Oid, needed_by: Option<Oid>, open: &mut Vec<Open>) -> Option<Result<(), usize>> {
        if let Some(sorted) = self.sorted.get(&oid) {
            return Some(*sorted);
        }
        if (self.known)(oid) {
            return Some(Ok(()));
        }
        let mut needs = Vec::new();
        let problem = match self.objects.read(oid) {
            Ok(object) => {
                let take = |next: OidBytes| needs.extend(Oid::from_bytes(&next));
                match each(Some(object.kind), &object.data, take) {
                    Ok(()) => None,
                    Err(Malformed) => Some("is malformed".to_owned()),
                }
            }
            Err(error) => Some(error.to_string()),
        };
        if let Some(problem) = problem {
            let number = self.lost.len();
            self.lost.push(LostObject { oid, needed_by, problem });
            self.sorted.insert(oid, Err(number));
            return Some(Err(number));
        }
        // Objects cannot need each other in a circle: their ids are hashes of what they need.
        open.push(Open { oid, needs, lost: None });
        None
    }

    /// Returns the objects found whole, without those known before.
    pub(crate) fn whole(&self) -> impl Iterator<Item = Oid> {
        self.sorted.iter().filter(|(_, sorted)| sorted.is_ok()).map(|(oid, _)| *oid)
    }

    /// Returns what was lost, no more than a list should hold.
    pub(crate) fn lost(&self) -> &[LostObject] {
        &self.lost[..self.lost.len().min(LOST_MAX)]
    }
}

/// Collects everything that some tips need, with the names that files have, without reading the files.
///
/// # Errors
/// [`GitError::Lost`] with the first missing object; [`GitError::Cancelled`].
pub(crate) fn reachable(
    objects: &ObjectReader,
    tips: impl Iterator<Item = Oid>,
    cancel: &CancellationToken,
) -> Result<HashMap<Oid, Option<String>>, GitError> {
    let mut found: HashMap<Oid, Option<String>> = HashMap::new();
    let mut waiting: Vec<Oid> = Vec::new();
    for tip in tips {
        if found.insert(tip, None).is_none() {
            waiting.push(tip);
        }
    }
    while let Some(oid) = waiting.pop() {
        if cancel.is_cancelled() {
            return Err(GitError::Cancelled);
        }
        let lost = |problem: String| GitError::Lost(vec![LostObject { oid, needed_by: None, problem }]);
        let kind = objects.kind(oid).map_err(|error| lost(error.to_string()))?;
        if kind == ObjectType::Blob {
            continue;
        }
        let object = objects.read(oid).map_err(|error| lost(error.to_string()))?;
        let mut take = |name: Option<&[u8]>, next: OidBytes, is_file: bool| {
            let Ok(next) = Oid::from_bytes(&next) else { return };
            if let Entry::Vacant(vacant) = found.entry(next) {
                vacant.insert(name.map(|name| String::from_utf8_lossy(name).into_owned()));
                if !is_file {
                    waiting.push(next);
                }
            }
        };
        let read = match kind {
            ObjectType::Tree => each_entry(&object.data, |name, next, mode| {
                take(Some(name), next, mode & TYPE_MASK != FOLDER);
            }),
            kind => each(Some(kind), &object.data, |next| take(None, next, false)),
        };
        read.map_err(|Malformed| lost("is malformed".to_owned()))?;
    }
    Ok(found)
}

/// Remembers what was referred to lately: trees of neighbouring commits refer to the same objects again and again.
pub(crate) struct Recent(Vec<Option<OidBytes>>);

/// How many objects are remembered.
const RECENT: usize = 1 << 14;

impl Default for Recent {
    fn default() -> Self {
        Self(vec![None; RECENT])
    }
}

impl Recent {
    /// Remembers an object; returns whether it was not remembered.
    pub(crate) fn is_new(&mut self, oid: OidBytes) -> bool {
        let slot = usize::from(u16::from_le_bytes([oid[0], oid[1]])) % RECENT;
        self.0[slot].replace(oid) != Some(oid)
    }
}

/// Reads one `name OID` line; returns what follows.
fn field<'a>(data: &'a [u8], name: &[u8], take: &mut impl FnMut(OidBytes)) -> Result<&'a [u8], Malformed> {
    let (hex, rest) = data.strip_prefix(name).and_then(|data| data.split_at_checked(40)).ok_or(Malformed)?;
    let oid = std::str::from_utf8(hex).ok().and_then(parse_oid).ok_or(Malformed)?;
    take(bytes_of(oid));
    rest.strip_prefix(b"\n").ok_or(Malformed)
}

/// The bits of an entry's mode that say what it is.
pub(crate) const TYPE_MASK: u32 = 0o170_000;
pub(crate) const SUBMODULE: u32 = 0o160_000;
pub(crate) const SYMBOLIC_LINK: u32 = 0o120_000;
pub(crate) const FOLDER: u32 = 0o040_000;

/// Calls `take` with the name, the id and the mode of every entry of a tree that is in the same repository.
pub(crate) fn each_entry(data: &[u8], mut take: impl FnMut(&[u8], OidBytes, u32)) -> Result<(), Malformed> {
    every_entry(data, |name, oid, mode| {
        if mode & TYPE_MASK != SUBMODULE {
            take(name, oid, mode);
        }
    })
}

/// Calls `take` with the name, the id and the mode of every entry of a tree, submodules included.
pub(crate) fn every_entry(mut data: &[u8], mut take: impl FnMut(&[u8], OidBytes, u32)) -> Result<(), Malformed> {
    while !data.is_empty() {
        let space = data.iter().position(|byte| *byte == b' ').ok_or(Malformed)?;
        let mode = data[..space].iter().try_fold(0u32, |mode, digit| match digit {
            b'0'..=b'7' if mode < 1 << 24 => Ok(mode * 8 + u32::from(digit - b'0')),
            _ => Err(Malformed),
        })?;
        let name = &data[space + 1..];
        let nul = name.iter().position(|byte| *byte == 0).ok_or(Malformed)?;
        let (oid, rest) = name[nul + 1..].split_first_chunk::<20>().ok_or(Malformed)?;
        take(&name[..nul], *oid, mode);
        data = rest;
    }
    Ok(())
}

/// Returns the bytes of an object id.
pub(crate) fn bytes_of(oid: Oid) -> OidBytes {
    let mut bytes = [0; 20];
    bytes.copy_from_slice(oid.as_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const A: &str = "1111111111111111111111111111111111111111";
    const B: &str = "2222222222222222222222222222222222222222";

    fn of(kind: ObjectType, data: &[u8]) -> Result<Vec<String>, Malformed> {
        let mut found = Vec::new();
        each(Some(kind), data, |oid| found.push(Oid::from_bytes(&oid).unwrap().to_string()))?;
        Ok(found)
    }

    #[test]
    fn a_commit_refers_to_its_tree_and_parents() {
        let data = format!("tree {A}\nparent {B}\nparent {A}\nauthor whoever\n\nparent {B}\n");
        assert_eq!(of(ObjectType::Commit, data.as_bytes()).unwrap(), [A, B, A]);
        assert_eq!(of(ObjectType::Commit, b"tree 11\n"), Err(Malformed));
    }

    #[test]
    fn a_tree_refers_to_its_entries_but_not_to_submodules() {
        let mut data = Vec::new();
        for (mode, byte) in [("100644", 0x11), ("160000", 0x33), ("040000", 0x22)] {
            data.extend_from_slice(format!("{mode} name\0").as_bytes());
            data.extend_from_slice(&[byte; 20]);
        }
        assert_eq!(of(ObjectType::Tree, &data).unwrap(), [A, B]);
        assert_eq!(of(ObjectType::Tree, &data[..data.len() - 1]), Err(Malformed));
    }

    #[test]
    fn a_tag_refers_to_its_object() {
        assert_eq!(of(ObjectType::Tag, format!("object {A}\ntype commit\n").as_bytes()).unwrap(), [A]);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(kind in 1..5, bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = each(ObjectType::from_raw(kind), &bytes, |_| {});
        }
    }
}
