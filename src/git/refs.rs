//! Refs as values: which ones are mirrored, and `packed-refs` read and written. Pure.
//!
//! Source of the format: git's documentation, `gitrepository-layout` and `git-pack-refs`. What a newcomer would get
//! wrong: the header's `fully-peeled` is a promise that every ref to an annotated tag is followed by its `^` line.

use std::borrow::Cow;
use std::collections::BTreeMap;

use git2::Oid;
use globset::{Glob, GlobSet, GlobSetBuilder};

use super::GitError;

/// The namespace that belongs to ghbk; refs below it never come from a remote.
pub const OWN_NAMESPACE: &str = "refs/ghbk/";

/// Where a remote's refs are stored that lie in ghbk's own namespace there, as in a copy of a mirror.
pub const DISPLACED_NAMESPACE: &str = "refs/ghbk-of-origin/";

/// Where the tips that GitHub no longer has are kept: `refs/ghbk/kept/OID`.
pub const KEPT_NAMESPACE: &str = "refs/ghbk/kept/";
/// The newest snapshot; its ancestors are the earlier ones.
pub const SNAPSHOTS_REF: &str = "refs/ghbk/snapshots";

/// What a ref points at, and what an annotated tag stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// The object the ref names.
    pub oid: Oid,
    /// For an annotated tag, the object at the end of its chain.
    pub peeled: Option<Oid>,
}

/// Maps full ref names to targets, sorted as git sorts them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refs(BTreeMap<String, Target>);

/// The average number of refs in a piece: with 100,000 refs, a piece is about as large as the list of pieces.
const REFS_A_PIECE: u32 = 256;
/// Names can be chosen so that no piece would ever end.
const REFS_A_PIECE_MAX: u32 = 8 * REFS_A_PIECE;

const HEADER: &str = "# pack-refs with: peeled fully-peeled sorted \n";

impl Refs {
    /// Reads the text of a `packed-refs` file.
    ///
    /// # Errors
    /// [`GitError::Damaged`] with the line that is not what git writes.
    pub fn parse_packed(bytes: &[u8]) -> Result<Self, GitError> {
        let damaged = |line: usize| GitError::Damaged(format!("packed-refs line {line} cannot be read"));
        let text = std::str::from_utf8(bytes).map_err(|_| GitError::Damaged("packed-refs is not text".to_owned()))?;
        if !text.is_empty() && !text.ends_with('\n') {
            return Err(GitError::Damaged("packed-refs ends in the middle of a line".to_owned()));
        }
        let mut refs = Self::default();
        let mut last: Option<String> = None;
        for (index, line) in text.lines().enumerate() {
            let number = index + 1;
            if line.starts_with('#') {
                continue;
            }
            if let Some(peeled) = line.strip_prefix('^') {
                let target = last.take().and_then(|name| refs.0.get_mut(&name)).ok_or_else(|| damaged(number))?;
                target.peeled = Some(parse_oid(peeled).ok_or_else(|| damaged(number))?);
                continue;
            }
            let (oid, name) = line.split_once(' ').ok_or_else(|| damaged(number))?;
            let oid = parse_oid(oid).ok_or_else(|| damaged(number))?;
            if !name.starts_with("refs/") {
                return Err(damaged(number));
            }
            refs.0.insert(name.to_owned(), Target { oid, peeled: None });
            last = Some(name.to_owned());
        }
        Ok(refs)
    }

    /// Reads those lines of a damaged `packed-refs` file that name a ref and an object.
    pub(crate) fn parse_what_can_be(bytes: &[u8]) -> Self {
        let mut refs = Self::default();
        for line in String::from_utf8_lossy(bytes).lines() {
            if let Some((oid, name)) = line.split_once(' ')
                && let Some(oid) = parse_oid(oid)
                && git2::Reference::is_valid_name(name)
            {
                refs.insert(name.to_owned(), Target { oid, peeled: None });
            }
        }
        refs
    }

    /// Writes the text of a `packed-refs` file.
    pub fn to_packed(&self) -> Vec<u8> {
        let mut out = String::with_capacity(HEADER.len() + self.0.len() * 80);
        out.push_str(HEADER);
        for (name, target) in &self.0 {
            push_packed(&mut out, name, target);
        }
        out.into_bytes()
    }

    /// Writes the text of a `packed-refs` file in pieces that changes of other refs leave as they are.
    ///
    /// Where a piece ends depends only on the names of the refs around that place. So a ref that is added, removed or changed
    /// affects one or two pieces, however many there are.
    pub(crate) fn to_packed_pieces(&self) -> Vec<String> {
        let mut pieces = Vec::new();
        let mut piece = HEADER.to_owned();
        let mut in_piece = 0;
        for (name, target) in &self.0 {
            push_packed(&mut piece, name, target);
            in_piece += 1;
            if crc32fast::hash(name.as_bytes()).is_multiple_of(REFS_A_PIECE) || in_piece == REFS_A_PIECE_MAX {
                pieces.push(std::mem::take(&mut piece));
                in_piece = 0;
            }
        }
        if !piece.is_empty() {
            pieces.push(piece);
        }
        pieces
    }

    /// Sets a ref.
    pub fn insert(&mut self, name: String, target: Target) {
        self.0.insert(name, target);
    }

    /// Gives an annotated tag, inserted before, its peeled object.
    pub(crate) fn set_peeled(&mut self, name: &str, peeled: Oid) -> bool {
        self.0.get_mut(name).map(|target| target.peeled = Some(peeled)).is_some()
    }

    /// Keeps a tip under its own id.
    pub(crate) fn keep(&mut self, tip: Target) {
        self.0.insert(format!("{KEPT_NAMESPACE}{}", tip.oid), tip);
    }

    /// Returns the kept tips.
    pub fn kept(&self) -> impl Iterator<Item = (&str, &Target)> {
        self.iter().filter(|(name, _)| name.starts_with(KEPT_NAMESPACE))
    }

    /// Looks up a ref.
    pub fn get(&self, name: &str) -> Option<&Target> {
        self.0.get(name)
    }

    /// Iterates over all refs in git's order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Target)> {
        self.0.iter().map(|(name, target)| (name.as_str(), target))
    }

    /// Counts the refs.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the refs that mirror the remote's, without ghbk's own.
    #[must_use]
    pub fn of_remote(&self) -> Self {
        Self(self.0.iter().filter(|(name, _)| !name.starts_with(OWN_NAMESPACE)).map(|(n, t)| (n.clone(), *t)).collect())
    }
}

fn push_packed(out: &mut String, name: &str, target: &Target) {
    out.push_str(&format!("{} {name}\n", target.oid));
    if let Some(peeled) = target.peeled {
        out.push_str(&format!("^{peeled}\n"));
    }
}

/// Returns whether a remote's ref is mirrored under its own name: every ref is, except ghbk's own and `refs/pull/*/merge`, which
/// GitHub remakes all the time.
pub fn is_mirrored(name: &str) -> bool {
    let is_test_merge = name.starts_with("refs/pull/") && name.ends_with("/merge");
    name.starts_with("refs/") && !is_test_merge && !name.starts_with(OWN_NAMESPACE)
}

/// Decides which of the refs that a server advertises are mirrored, and under which name.
#[derive(Clone, Debug, Default)]
pub struct RefFilter {
    exclude: GlobSet,
}

impl RefFilter {
    /// Builds the filter of `github.refs_exclude`.
    ///
    /// # Errors
    /// The glob that cannot be read.
    pub fn new(exclude: &[String]) -> Result<Self, globset::Error> {
        let mut builder = GlobSetBuilder::new();
        for glob in exclude {
            builder.add(Glob::new(glob)?);
        }
        Ok(Self { exclude: builder.build()? })
    }

    /// Returns the name under which a server's ref is stored, or `None` if it is not mirrored.
    pub fn stored_name<'a>(&self, name: &'a str) -> Option<Cow<'a, str>> {
        if self.exclude.is_match(name) {
            return None;
        }
        match name.strip_prefix(OWN_NAMESPACE) {
            Some(rest) => Some(Cow::Owned(format!("{DISPLACED_NAMESPACE}{rest}"))),
            None => is_mirrored(name).then_some(Cow::Borrowed(name)),
        }
    }
}

/// Reads a full object id; libgit2 alone would accept a prefix.
pub(crate) fn parse_oid(text: &str) -> Option<Oid> {
    (text.len() == 40).then(|| Oid::from_str(text).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const A: &str = "1111111111111111111111111111111111111111";
    const B: &str = "2222222222222222222222222222222222222222";

    #[test]
    fn what_git_writes_is_read_and_written_back() {
        let text = format!("{HEADER}{A} refs/heads/main\n{B} refs/tags/v1\n^{A}\n");
        let refs = Refs::parse_packed(text.as_bytes()).unwrap();
        assert_eq!(refs.len(), 2);
        assert_eq!(refs.get("refs/tags/v1").unwrap().peeled, parse_oid(A));
        assert_eq!(String::from_utf8(refs.to_packed()).unwrap(), text);
    }

    #[test]
    fn a_torn_file_is_damage_and_never_fewer_refs() {
        let text = format!("{HEADER}{A} refs/heads/main\n{B} refs/tags/v1\n");
        for end in HEADER.len() + 1..text.len() {
            let torn = Refs::parse_packed(&text.as_bytes()[..end]);
            let whole_lines = text.as_bytes()[end - 1] == b'\n';
            assert_eq!(torn.is_ok(), whole_lines, "cut at {end}");
        }
        assert!(Refs::parse_packed(b"^1111111111111111111111111111111111111111\n").is_err());
        assert!(Refs::parse_packed(b"1111 refs/heads/main\n").is_err());
    }

    #[test]
    fn one_ref_more_changes_few_pieces_of_many() {
        let target = Target { oid: parse_oid(A).unwrap(), peeled: None };
        let mut refs = Refs::default();
        for number in 0..100_000 {
            refs.insert(format!("refs/heads/branch-{number:06}"), target);
        }
        let before = refs.to_packed_pieces();
        assert!((200..800).contains(&before.len()), "{}", before.len());
        for name in ["refs/heads/a", "refs/heads/branch-050000-more", "refs/heads/z"] {
            refs.insert(name.to_owned(), target);
        }
        let after = refs.to_packed_pieces();
        let new: Vec<_> = after.iter().filter(|piece| !before.contains(piece)).collect();
        assert!(new.len() <= 6, "{}", new.len());
    }

    #[test]
    fn every_ref_is_mirrored_but_test_merges_and_what_is_excluded() {
        let filter = RefFilter::new(&["refs/changes/*".to_owned()]).unwrap();
        let names = ["refs/pull/1/head", "refs/heads/pull/1/merge", "refs/meta/config", "refs/replace/1", "refs/stash"];
        for name in names {
            assert_eq!(filter.stored_name(name).as_deref(), Some(name));
        }
        for name in ["refs/pull/1/merge", "refs/changes/01/1/1", "HEAD", ".have"] {
            assert_eq!(filter.stored_name(name), None, "{name}");
        }
        assert_eq!(filter.stored_name("refs/ghbk/kept/1").as_deref(), Some("refs/ghbk-of-origin/kept/1"));
    }

    proptest! {
        #[test]
        fn any_set_of_refs_survives_the_file(entries in proptest::collection::btree_map(
            "refs/(heads|tags)/[a-z0-9/._-]{1,20}", (any::<[u8; 20]>(), proptest::option::of(any::<[u8; 20]>())), 0..20,
        )) {
            let mut refs = Refs::default();
            for (name, (oid, peeled)) in entries {
                let oid = Oid::from_bytes(&oid).unwrap();
                let peeled = peeled.map(|bytes| Oid::from_bytes(&bytes).unwrap());
                refs.insert(name, Target { oid, peeled });
            }
            prop_assert_eq!(refs.to_packed_pieces().concat().into_bytes(), refs.to_packed());
            prop_assert_eq!(Refs::parse_packed(&refs.to_packed()).unwrap(), refs);
        }
    }
}
