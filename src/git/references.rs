//! What objects refer to: of one, and of everything that some tips need.
//!
//! Only what connects objects is read; whatever else an old or odd tool wrote into them is nobody's business here.
//! Source: git's documentation, `gitformat-commit` and the chapter "Git Objects" of Pro Git. What a newcomer would get
//! wrong: a tree's entry of mode 160000 is a submodule's commit, which lives in another repository.

use std::collections::HashSet;

use git2::{ObjectType, Odb, Oid, Repository};
use tokio_util::sync::CancellationToken;

use super::GitError;
use super::refs::parse_oid;
use crate::text::printable;

/// The bytes of an object id.
pub(super) type OidBytes = [u8; 20];

/// An object that is not what its type says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// Calls `take` for everything that an object refers to and that must be in the same repository.
pub(super) fn each(kind: Option<ObjectType>, data: &[u8], mut take: impl FnMut(OidBytes)) -> Result<(), Malformed> {
    match kind {
        Some(ObjectType::Blob) => Ok(()),
        Some(ObjectType::Tree) => each_of_tree(data, |_, oid| take(oid)),
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

/// An object that is needed and cannot be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LostObject {
    /// The object.
    pub oid: Oid,
    /// What refers to it; none if it is a tip.
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

/// A repository that lost this much needs no longer list.
const LOST_MAX: usize = 50;

/// Reads everything that some tips need, hashes checked, and hands each object on; returns what cannot be had. Where
/// an object is known to be complete, nothing behind it is read.
pub(super) fn walk(
    odb: &Odb<'_>,
    tips: impl Iterator<Item = Oid>,
    known: impl Fn(Oid) -> bool,
    cancel: &CancellationToken,
    mut found: impl FnMut(Oid) -> Result<(), GitError>,
) -> Result<Vec<LostObject>, GitError> {
    let mut waiting: Vec<(Oid, Option<Oid>)> = tips.map(|oid| (oid, None)).collect();
    let mut seen: HashSet<Oid> = waiting.iter().map(|(oid, _)| *oid).collect();
    let mut lost = Vec::new();
    while let Some((oid, needed_by)) = waiting.pop() {
        if cancel.is_cancelled() {
            return Err(GitError::Cancelled);
        }
        if known(oid) {
            continue;
        }
        let take = |next: OidBytes| {
            if let Ok(next) = Oid::from_bytes(&next)
                && seen.insert(next)
            {
                waiting.push((next, Some(oid)));
            }
        };
        let problem = match odb.read(oid) {
            Ok(object) if each(Some(object.kind()), object.data(), take).is_ok() => {
                found(oid)?;
                continue;
            }
            Ok(_) => "is malformed".to_owned(),
            Err(error) if error.code() == git2::ErrorCode::NotFound => "is missing".to_owned(),
            Err(error) => format!("cannot be read ({})", printable(error.message(), 160)),
        };
        lost.push(LostObject { oid, needed_by, problem });
        if lost.len() >= LOST_MAX {
            break;
        }
    }
    Ok(lost)
}

/// Trees of neighbouring commits refer to the same objects again and again; so many of them are remembered.
pub(super) const RECENT: usize = 1 << 14;

/// Says where an object is remembered.
pub(super) fn slot(oid: OidBytes) -> usize {
    usize::from(u16::from_le_bytes([oid[0], oid[1]])) % RECENT
}

/// Reads one `name OID` line, returns what follows.
fn field<'a>(data: &'a [u8], name: &[u8], take: &mut impl FnMut(OidBytes)) -> Result<&'a [u8], Malformed> {
    let (hex, rest) = data.strip_prefix(name).and_then(|data| data.split_at_checked(40)).ok_or(Malformed)?;
    let oid = std::str::from_utf8(hex).ok().and_then(parse_oid).ok_or(Malformed)?;
    take(bytes_of(oid));
    rest.strip_prefix(b"\n").ok_or(Malformed)
}

/// Calls `take` with the name and the id of every entry of a tree that is in the same repository.
pub(super) fn each_of_tree(mut data: &[u8], mut take: impl FnMut(&[u8], OidBytes)) -> Result<(), Malformed> {
    const TYPE_MASK: u32 = 0o170_000;
    const SUBMODULE: u32 = 0o160_000;
    while !data.is_empty() {
        let space = data.iter().position(|byte| *byte == b' ').ok_or(Malformed)?;
        let mode = data[..space].iter().try_fold(0u32, |mode, digit| match digit {
            b'0'..=b'7' if mode < 1 << 24 => Ok(mode * 8 + u32::from(digit - b'0')),
            _ => Err(Malformed),
        })?;
        let name = &data[space + 1..];
        let nul = name.iter().position(|byte| *byte == 0).ok_or(Malformed)?;
        let (oid, rest) = name[nul + 1..].split_first_chunk::<20>().ok_or(Malformed)?;
        if mode & TYPE_MASK != SUBMODULE {
            take(&name[..nul], *oid);
        }
        data = rest;
    }
    Ok(())
}

/// Returns the object at the end of an annotated tag's chain; none for whatever is no tag.
pub(super) fn peel(repository: &Repository, oid: Oid) -> Option<Oid> {
    let object = repository.find_object(oid, Some(ObjectType::Tag)).ok()?;
    object.peel(ObjectType::Any).ok().map(|object| object.id())
}

/// Returns the bytes of an object id.
pub(super) fn bytes_of(oid: Oid) -> OidBytes {
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
