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
    /// Commits that only the later point has.
    pub added: Commits,
    /// Commits that only the earlier point has.
    pub removed: Commits,
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
    let mut all = Vec::new();
    for name in names {
        let (old, new) = (earlier.get(name), later.get(name));
        if old.map(|target| target.oid) == new.map(|target| target.oid) {
            continue;
        }
        let (old_commit, new_commit) = (commit_of(repository, old)?, commit_of(repository, new)?);
        // A new branch brought what no ref had before.
        let (known, kept): (Vec<Oid>, Vec<Oid>) = (
            old_commit.map_or_else(|| commits_of(repository, earlier), |old| Ok(vec![old]))?,
            new_commit.map_or_else(|| commits_of(repository, later), |new| Ok(vec![new]))?,
        );
        let added = new_commit.map_or_else(|| Ok(Commits::default()), |new| between(repository, new, &known))?;
        let removed = old_commit.map_or_else(|| Ok(Commits::default()), |old| between(repository, old, &kept))?;
        let kind = match (old, new) {
            (None, _) => ChangeKind::Created,
            (_, None) => ChangeKind::Deleted,
            _ if name.starts_with("refs/tags/") => ChangeKind::Moved,
            _ if removed.count == 0 && old_commit.is_some() && new_commit.is_some() => ChangeKind::Updated,
            _ => ChangeKind::ForcePushed,
        };
        let (old, new) = (old.map(|target| target.oid), new.map(|target| target.oid));
        all.push(Difference { change: RefChange { name: name.to_owned(), kind, old, new }, added, removed });
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

fn commits_of(repository: &Repository, refs: &Refs) -> Result<Vec<Oid>, GitError> {
    let mut commits = Vec::new();
    for (_, target) in refs.iter() {
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
