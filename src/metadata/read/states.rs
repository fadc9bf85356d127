//! The states of the metadata: the commits of `refs/heads/main`.

use chrono::{DateTime, Utc};
use git2::{ObjectType, Oid};

use super::unreadable;
use crate::git::GitError;
use crate::git::mirror::history::date;
use crate::git::pack::links::{self, OidBytes};
use crate::git::pack::reader::ObjectReader;
use crate::names::RunId;

/// What was stored by one run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// The commit.
    pub commit: Oid,
    /// When GitHub was asked.
    pub time: DateTime<Utc>,
    /// The run that stored it; none if the commit does not say.
    pub run_id: Option<RunId>,
    /// Its files.
    pub(super) tree: Oid,
    /// The state before it.
    parent: Option<Oid>,
}

impl State {
    pub(super) fn read(objects: &ObjectReader, commit: Oid) -> Result<Self, GitError> {
        let object = objects.read(commit).map_err(|error| unreadable(commit, &error))?;
        let (tree, parents) = links::tree_and_parents(&object.data);
        let oid = |bytes: &OidBytes| Oid::from_bytes(bytes).ok();
        let tree = tree.as_ref().and_then(oid).filter(|_| object.kind == ObjectType::Commit);
        let tree = tree.ok_or_else(|| unreadable(commit, &"it is not a commit"))?;
        let message = String::from_utf8_lossy(&object.data);
        let trailer = |name: &str| message.lines().rev().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        // A commit that ghbk did not make has a date all the same.
        let dated = || DateTime::from_timestamp(date(&object.data).unwrap_or_default(), 0).unwrap_or_default();
        Ok(Self {
            commit,
            time: trailer("Ghbk-Time").and_then(|time| time.parse().ok()).unwrap_or_else(dated),
            run_id: trailer("Ghbk-Run").and_then(|run_id| run_id.parse().ok()),
            tree,
            parent: parents.first().and_then(oid),
        })
    }
}

/// Walks states, newest first; ends after the first that cannot be read.
pub struct States<'a> {
    objects: &'a ObjectReader,
    next: Option<Oid>,
}

impl<'a> States<'a> {
    pub(super) fn from(objects: &'a ObjectReader, tip: Oid) -> Self {
        Self { objects, next: Some(tip) }
    }
}

impl Iterator for States<'_> {
    type Item = Result<State, GitError>;

    fn next(&mut self) -> Option<Self::Item> {
        let state = State::read(self.objects, self.next.take()?);
        self.next = state.as_ref().ok().and_then(|state| state.parent);
        Some(state)
    }
}
