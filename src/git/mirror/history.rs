//! History: which commits are ancestors of others, read as leniently as git reads it.
//!
//! Blocking; reads commits through an [`ObjectReader`], and only their `parent` lines and dates. What a newcomer would get wrong:
//! a commit that cannot be read, or whose date is nonsense, must never make an unreached tip look reached; the opposite mistake
//! only keeps one tip more.

use std::collections::{BinaryHeap, HashMap, HashSet};

use git2::{ObjectType, Oid};

use crate::git::pack::links::{self, OidBytes};
use crate::git::pack::reader::ObjectReader;

/// Clocks differ: by its own date, a commit may be older than its parent, by this much at most.
const SKEW_SECONDS: i64 = 30 * 24 * 3600;

/// Returns the commits that none of the tips reaches.
///
/// Walks from the tips, newest first, until everything left is older than the commits sought. A commit may be returned although a
/// tip reaches it, if dates are far off or a commit in between cannot be read.
pub(crate) fn unreached(objects: &ObjectReader, sought: &[Oid], tips: impl Iterator<Item = Oid>) -> HashSet<Oid> {
    // A commit without a date may be older than any other.
    let date_of = |oid: &Oid| objects.read(*oid).ok().and_then(|object| date(&object.data)).unwrap_or(i64::MIN);
    let mut walk = Walk {
        objects,
        sought: sought.iter().map(|oid| (*oid, date_of(oid))).collect(),
        seen: HashSet::new(),
        waiting: BinaryHeap::new(),
    };
    for tip in tips {
        walk.reach(tip);
    }
    let mut oldest = walk.oldest_sought();
    while let (Some(sought), Some((date, parents))) = (oldest, walk.waiting.pop()) {
        if date < sought.saturating_sub(SKEW_SECONDS) {
            break;
        }
        let before = walk.sought.len();
        for parent in parents {
            if let Ok(parent) = Oid::from_bytes(&parent) {
                walk.reach(parent);
            }
        }
        if walk.sought.len() < before {
            oldest = walk.oldest_sought();
        }
    }
    walk.sought.into_keys().collect()
}

struct Walk<'a> {
    objects: &'a ObjectReader,
    /// What is not reached yet, with its date.
    sought: HashMap<Oid, i64>,
    seen: HashSet<Oid>,
    /// The dates of commits to continue from, and their parents.
    waiting: BinaryHeap<(i64, Vec<OidBytes>)>,
}

impl Walk<'_> {
    fn reach(&mut self, oid: Oid) {
        if !self.seen.insert(oid) {
            return;
        }
        self.sought.remove(&oid);
        // A tag of a tree or a blob reaches no commit.
        if let Ok(object) = self.objects.read(oid)
            && object.kind == ObjectType::Commit
        {
            // The parents of a commit without a date are visited at once.
            let date = date(&object.data).unwrap_or(i64::MAX);
            self.waiting.push((date, links::tree_and_parents(&object.data).1));
        }
    }

    fn oldest_sought(&self) -> Option<i64> {
        self.sought.values().min().copied()
    }
}

/// Reads a commit's date, in seconds since 1970: the number after the last `>` of the committer line, as git does.
pub(crate) fn date(commit: &[u8]) -> Option<i64> {
    let mut lines = commit.split(|byte| *byte == b'\n').take_while(|line| !line.is_empty());
    let committer = lines.find_map(|line| line.strip_prefix(b"committer "))?;
    let behind = committer.rsplit(|byte| *byte == b'>').next()?;
    String::from_utf8_lossy(behind).split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_read_as_git_reads_them() {
        for (line, seconds) in [
            ("committer a <a@example.com> 1700000000 +0000", Some(1_700_000_000)),
            ("committer a <a@exam>ple.com> 17 +0000", Some(17)),
            ("committer nobody at all", None),
            ("committer a <a> 99999999999999999999 +0000", None),
            ("author a <a> 5 +0000", None),
        ] {
            assert_eq!(date(format!("tree x\n{line}\n\ncommitter b <b> 3 +0000\n").as_bytes()), seconds, "{line}");
        }
    }
}
