//! The difference between two points in time, by commits. Blocking.
//!
//! What a newcomer would get wrong: a branch that was force-pushed has commits on both sides, and people look for those that only
//! the earlier point has.

use std::collections::BTreeSet;
use std::path::Path;

use git2::{ObjectType, Oid, Repository, Sort};
use serde::Serialize;

use super::changes::{ChangeKind, RefChange};
use crate::git::refs::{Refs, Target};
use crate::git::wire::transport;
use crate::git::{GitError, temporary_folder};

/// How many commits of each side of a ref are listed; all are counted.
const COMMITS_MAX: usize = 20;
/// The commits of so many branches and tags are listed; of the others it is only said how they moved.
const WALKED_MAX: u64 = 200;

/// What a person knows a commit by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Commit {
    /// Its id.
    #[serde(serialize_with = "as_hex")]
    pub oid: Oid,
    /// The first line of its message.
    pub subject: String,
    /// Who wrote it.
    pub author: String,
}

fn as_hex<S: serde::Serializer>(oid: &Oid, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(oid)
}

/// Commits that one side has and the other lacks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Commits {
    /// How many there are.
    pub count: u64,
    /// The newest of them, newest first.
    pub newest: Vec<Commit>,
}

/// How one ref differs.
#[derive(Clone, Debug, Serialize)]
pub struct Difference {
    /// The ref, and what it named.
    #[serde(flatten)]
    pub change: RefChange,
    /// Commits that only the later point has; none where they were not looked for, as beside branches and tags.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub added: Option<Commits>,
    /// Commits that only the earlier point has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub removed: Option<Commits>,
}

/// Compares the refs of two points in time of a mirror.
///
/// # Errors
/// [`GitError`] if a commit cannot be read.
pub fn differences(mirror: &Path, scratch: &Path, earlier: &Refs, later: &Refs) -> Result<Vec<Difference>, GitError> {
    transport::set_up_libgit2();
    // Only the objects are used: to git, a mirror that has lost its HEAD is not a repository.
    let folder = temporary_folder("diff-", scratch)?;
    let repository = Repository::init_bare(folder.path())?;
    let objects = mirror.join("objects");
    let objects = objects.to_str().ok_or_else(|| GitError::Task("a root that is not UTF-8".to_owned()))?;
    repository.odb()?.add_disk_alternate(objects)?;
    compare(&repository, earlier, later)
}

fn compare(repository: &Repository, earlier: &Refs, later: &Refs) -> Result<Vec<Difference>, GitError> {
    let names: BTreeSet<&str> = earlier.iter().chain(later.iter()).map(|(name, _)| name).collect();
    let names = names.into_iter().filter(|name| {
        let oid = |refs: &Refs| refs.get(name).map(|target| target.oid);
        oid(earlier) != oid(later)
    });
    let names: Vec<&str> = names.collect();
    // What a new branch brought is what no branch or tag had before; looked up once, for all of them.
    let (before, after) = (commits_of(repository, earlier)?, commits_of(repository, later)?);
    let mut walks = 0;
    let mut all = Vec::new();
    for name in names {
        let (old, new) = (earlier.get(name), later.get(name));
        let (old_commit, new_commit) = (commit_of(repository, old)?, commit_of(repository, new)?);
        let oid = |target: Option<&Target>| target.map(|target| target.oid);
        let change = |kind| RefChange { name: name.to_owned(), kind, old: oid(old), new: oid(new) };
        let is_tag = name.starts_with("refs/tags/");
        let kind = match (old, new) {
            (None, _) => ChangeKind::Created,
            (_, None) => ChangeKind::Deleted,
            _ if is_tag => ChangeKind::Moved,
            _ => ChangeKind::ForcePushed,
        };
        let is_named = is_tag || name.starts_with("refs/heads/");
        walks += u64::from(is_named && !before.is_empty());
        if !is_named || before.is_empty() || walks > WALKED_MAX {
            let kind = match (kind, old_commit.zip(new_commit)) {
                (ChangeKind::ForcePushed, Some((old, new))) if repository.graph_descendant_of(new, old)? => {
                    ChangeKind::Updated
                }
                (kind, _) => kind,
            };
            all.push(Difference { change: change(kind), added: None, removed: None });
            continue;
        }
        let without = |own: Option<Oid>, all: &[Oid]| own.map_or_else(|| all.to_vec(), |own| vec![own]);
        let walk = |from: Option<Oid>, without: Vec<Oid>| {
            from.map_or_else(|| Ok(Commits::default()), |from| between(repository, from, &without))
        };
        let added = walk(new_commit, without(old_commit, &before))?;
        let removed = walk(old_commit, without(new_commit, &after))?;
        let is_forward =
            kind == ChangeKind::ForcePushed && removed.count == 0 && old_commit.is_some() && new_commit.is_some();
        let kind = if is_forward { ChangeKind::Updated } else { kind };
        all.push(Difference { change: change(kind), added: Some(added), removed: Some(removed) });
    }
    Ok(all)
}

/// Returns the commit that a ref leads to; `None` if it leads to a tree or a blob.
fn commit_of(repository: &Repository, target: Option<&Target>) -> Result<Option<Oid>, GitError> {
    let Some(target) = target else { return Ok(None) };
    let oid = target.peeled.unwrap_or(target.oid);
    let (_, kind) = repository.odb()?.read_header(oid)?;
    Ok((kind == ObjectType::Commit).then_some(oid))
}

/// Returns the commits that branches and tags lead to.
fn commits_of(repository: &Repository, refs: &Refs) -> Result<Vec<Oid>, GitError> {
    let mut commits = Vec::new();
    let named = |name: &str| name.starts_with("refs/heads/") || name.starts_with("refs/tags/");
    for (_, target) in refs.iter().filter(|(name, _)| named(name)) {
        commits.extend(commit_of(repository, Some(target))?);
    }
    Ok(commits)
}

/// Lists the commits that can be reached from one commit and not from the others.
fn between(repository: &Repository, from: Oid, without: &[Oid]) -> Result<Commits, GitError> {
    let mut walk = repository.revwalk()?;
    walk.set_sorting(Sort::TOPOLOGICAL | Sort::TIME)?;
    walk.push(from)?;
    for oid in without {
        walk.hide(*oid)?;
    }
    let mut commits = Commits::default();
    for oid in walk {
        let oid = oid?;
        commits.count += 1;
        if commits.newest.len() < COMMITS_MAX {
            let commit = repository.find_commit(oid)?;
            let text = |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned();
            commits.newest.push(Commit {
                oid,
                subject: text(commit.summary_bytes()),
                author: text(Some(commit.author().name_bytes())),
            });
        }
    }
    Ok(commits)
}
