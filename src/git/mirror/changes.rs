//! How a repository's refs moved, and which tips would be lost by that.

use std::collections::HashSet;

use git2::{ObjectType, Oid};
use serde::{Deserialize, Serialize};

use crate::git::GitError;
use crate::git::mirror::history;
use crate::git::mirror::reach::Objects;
use crate::git::pack::reader::ObjectReader;
use crate::git::refs::{OWN_NAMESPACE, Refs, Target};

/// How a ref moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChangeKind {
    /// It is new.
    Created,
    /// Its old tip is an ancestor of the new one.
    Updated,
    /// Its old tip is not an ancestor of the new one.
    ForcePushed,
    /// It is a tag, and now names another object.
    Moved,
    /// It was deleted.
    Deleted,
}

/// Describes how one ref moved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RefChange {
    /// Its full name.
    pub name: String,
    /// How it moved.
    pub kind: ChangeKind,
    /// The object it named before.
    #[serde(serialize_with = "as_hex", skip_serializing_if = "Option::is_none")]
    pub old: Option<Oid>,
    /// The object it names now.
    #[serde(serialize_with = "as_hex", skip_serializing_if = "Option::is_none")]
    pub new: Option<Oid>,
}

#[expect(clippy::ref_option, reason = "serde asks for this signature")]
fn as_hex<S: serde::Serializer>(oid: &Option<Oid>, serializer: S) -> Result<S::Ok, S::Error> {
    match oid {
        Some(oid) => serializer.collect_str(oid),
        None => serializer.serialize_none(),
    }
}

impl RefChange {
    /// Returns whether the old tip would be lost to people who only have GitHub.
    pub fn is_loss(&self) -> bool {
        matches!(self.kind, ChangeKind::ForcePushed | ChangeKind::Moved | ChangeKind::Deleted)
    }

    /// Returns whether something was taken away that, judging by the kept tips, only the store still has. Deleting a merged
    /// branch is an everyday event: its commits are still on another.
    pub fn is_loss_but_for(&self, kept: Option<&HashSet<Oid>>) -> bool {
        let is_kept = |kept: &HashSet<Oid>| self.old.is_some_and(|old| kept.contains(&old));
        self.is_loss() && (self.kind != ChangeKind::Deleted || kept.is_none_or(is_kept))
    }

    /// Returns whether it is a branch or a tag: pull requests are force-pushed all day, and nobody wants to read about that.
    pub fn is_branch_or_tag(&self) -> bool {
        self.name.starts_with("refs/heads/") || self.name.starts_with("refs/tags/")
    }
}

/// What moved.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Every ref that moved, by name.
    pub refs: Vec<RefChange>,
    /// Old tips that nothing would reach any more.
    pub lost: Vec<Target>,
}

/// Compares stored refs with advertised ones; the objects of both must be there.
///
/// # Errors
/// [`GitError`] if the history of a lost tip cannot be read.
pub(crate) fn compare(objects: &Objects<'_>, stored: &Refs, advertised: &Refs) -> Result<Changes, GitError> {
    let mut changes = Changes::default();
    let mut left_behind = Vec::new();
    for (name, old) in stored.iter().filter(|(name, _)| !name.starts_with(OWN_NAMESPACE)) {
        let new = advertised.get(name);
        let kind = match new {
            Some(new) if new.oid == old.oid => continue,
            None => ChangeKind::Deleted,
            Some(_) if name.starts_with("refs/tags/") => ChangeKind::Moved,
            // A move that cannot be judged is reported rather than passed over.
            Some(new) if objects.descends(new.oid, old.oid)? => ChangeKind::Updated,
            Some(_) => ChangeKind::ForcePushed,
        };
        if kind != ChangeKind::Updated {
            left_behind.push(*old);
        }
        changes.refs.push(RefChange { name: name.to_owned(), kind, old: Some(old.oid), new: new.map(|new| new.oid) });
    }
    for (name, new) in advertised.iter().filter(|(name, _)| stored.get(name).is_none()) {
        let new = Some(new.oid);
        changes.refs.push(RefChange { name: name.to_owned(), kind: ChangeKind::Created, old: None, new });
    }
    changes.refs.sort_by(|a, b| a.name.cmp(&b.name));
    if !left_behind.is_empty() {
        changes.lost = lost(objects.all()?, left_behind, stored, advertised)?;
    }
    Ok(changes)
}

/// The walk starts from at most this many tips; a tip that only another one reaches is then kept needlessly.
const WALKED_TIPS_MAX: usize = 10_000;

/// Finds the tips left behind that neither an advertised ref nor a kept one reaches.
///
/// # Errors
/// [`GitError::Damaged`] if one of them is missing.
pub(crate) fn lost(
    objects: &ObjectReader,
    left_behind: Vec<Target>,
    stored: &Refs,
    advertised: &Refs,
) -> Result<Vec<Target>, GitError> {
    lost_to(objects, left_behind, stored, advertised, WALKED_TIPS_MAX)
}

/// Like [`lost`], but walks from at most this many tips.
///
/// # Errors
/// As [`lost`].
pub(crate) fn lost_to(
    objects: &ObjectReader,
    mut left_behind: Vec<Target>,
    stored: &Refs,
    advertised: &Refs,
    walked_tips_max: usize,
) -> Result<Vec<Target>, GitError> {
    let named: HashSet<Oid> = advertised.iter().chain(stored.kept()).map(|(_, target)| target.oid).collect();
    let mut seen = HashSet::new();
    left_behind.retain(|tip| !named.contains(&tip.oid) && seen.insert(tip.oid));
    // Keeping a missing tip would only look like keeping it.
    if let Some(missing) = left_behind.iter().find(|tip| !objects.contains(tip.oid)) {
        return Err(GitError::Damaged(format!("{} is missing, and a ref names it", missing.oid)));
    }
    // Normally only commits are reached from elsewhere; a tag, a tree or a blob is simply kept.
    let is_commit = |tip: &Target| objects.kind(tip.oid) == Ok(ObjectType::Commit);
    let (commits, mut lost): (Vec<Target>, Vec<Target>) = left_behind.into_iter().partition(is_commit);
    if commits.is_empty() {
        return Ok(lost);
    }
    let branches = |wanted| advertised.iter().filter(move |(name, _)| name.starts_with("refs/heads/") == wanted);
    let reachable = branches(true).chain(branches(false)).chain(stored.kept());
    let tips = reachable.map(|(_, target)| target.peeled.unwrap_or(target.oid)).take(walked_tips_max);
    let sought: Vec<Oid> = commits.iter().map(|tip| tip.oid).collect();
    let unreached = history::unreached(objects, &sought, tips);
    lost.extend(commits.into_iter().filter(|tip| unreached.contains(&tip.oid)));
    Ok(lost)
}
