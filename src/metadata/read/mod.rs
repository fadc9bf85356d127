//! Reads the stored metadata of a repository: its states, and the files in each. Blocking; writes nothing to the store.
//!
//! The chain of states is that of `refs/heads/main`: one commit for each run that changed something. What a newcomer would get
//! wrong: everything in these files was written by strangers, so a member may be missing, null or of another type, and nothing
//! here may reach a terminal or a page as it is.

pub mod changes;
pub mod conversation;
pub mod events;
pub mod item;
mod states;

use std::sync::Arc;

use chrono::{DateTime, Utc};
use git2::{ObjectType, Oid};
use serde_json::Value;

pub use self::states::{State, States};
use super::canonical;
use super::layout::{ISSUES, file_of, folder_of, hundred_of, numbers_of};
use crate::git::GitError;
use crate::git::mirror::compose::BRANCH;
use crate::git::pack::links;
use crate::git::pack::view::View;
use crate::git::refs::Refs;
use crate::text::printable;

/// The stored metadata of one repository.
pub struct Reader {
    view: View,
    tip: Oid,
}

impl Reader {
    /// Reads through a view of the mirror and its refs; none if nothing has been stored there yet.
    pub fn new(view: View, refs: &Refs) -> Option<Self> {
        let tip = refs.get(BRANCH)?.oid;
        Some(Self { view, tip })
    }

    /// Walks the states, newest first.
    pub fn states(&self) -> States<'_> {
        States::from(self.view.objects(), self.tip)
    }

    /// Returns the newest state.
    ///
    /// # Errors
    /// [`GitError::Damaged`] if it cannot be read.
    pub fn newest(&self) -> Result<State, GitError> {
        State::read(self.view.objects(), self.tip)
    }

    /// Returns the newest state that is no newer than a time; none before the first.
    ///
    /// # Errors
    /// [`GitError::Damaged`] if it or a newer one cannot be read.
    pub fn at(&self, time: DateTime<Utc>) -> Result<Option<State>, GitError> {
        self.states().find(|state| state.as_ref().map_or(true, |state| state.time <= time)).transpose()
    }

    /// Returns the id of a number's file; none if the state does not have it.
    ///
    /// # Errors
    /// [`GitError::Damaged`] if a folder cannot be read.
    pub fn file_of(&self, state: &State, number: u64) -> Result<Option<Oid>, GitError> {
        let Some(issues) = self.entry(state.tree, ISSUES.as_bytes())? else { return Ok(None) };
        let Some(folder) = self.entry(issues, folder_of(hundred_of(number)).as_bytes())? else { return Ok(None) };
        self.entry(folder, file_of(number).as_bytes())
    }

    /// Lists the numbers of a state with the ids of their files, the highest first. A folder is read when its turn comes.
    ///
    /// # Errors
    /// [`GitError::Damaged`] if the list of folders cannot be read; of each folder, if it cannot be.
    pub fn numbers(
        &self,
        state: &State,
    ) -> Result<impl DoubleEndedIterator<Item = Result<(u64, Oid), GitError>> + '_, GitError> {
        let mut folders: Vec<(u64, Oid)> = match self.entry(state.tree, ISSUES.as_bytes())? {
            Some(issues) => self.numbered(issues, "")?,
            None => Vec::new(),
        };
        // By value: the name 10000 comes before 1001.
        folders.sort_unstable_by_key(|(number, _)| std::cmp::Reverse(*number));
        Ok(folders.into_iter().flat_map(|(hundred, folder)| match self.numbered(folder, ".json") {
            Ok(mut files) => {
                files.sort_unstable_by_key(|(number, _)| std::cmp::Reverse(*number));
                files.into_iter().map(Ok).collect::<Vec<_>>()
            }
            Err(error) => vec![Err(of_hundred(hundred, error))],
        }))
    }

    /// Reads the bytes of a file.
    ///
    /// # Errors
    /// [`GitError::Damaged`] if it cannot be read.
    pub fn bytes(&self, file: Oid) -> Result<Arc<Vec<u8>>, GitError> {
        self.of_kind(file, ObjectType::Blob)
    }

    /// Reads a file as JSON.
    ///
    /// # Errors
    /// [`GitError::Damaged`] if it cannot be read, or is not JSON.
    pub fn value(&self, file: Oid) -> Result<Value, GitError> {
        canonical::parse(&self.bytes(file)?).map_err(|error| unreadable(file, &error))
    }

    /// Reads a file at the root of a state, such as `labels.json`; none if the state does not have it.
    ///
    /// # Errors
    /// As [`Self::value`].
    pub fn root_file(&self, state: &State, name: &str) -> Result<Option<Value>, GitError> {
        self.entry(state.tree, name.as_bytes())?.map(|file| self.value(file)).transpose()
    }

    fn entry(&self, tree: Oid, wanted: &[u8]) -> Result<Option<Oid>, GitError> {
        let mut found = None;
        self.every_entry(tree, |name, oid| {
            if name == wanted {
                found = Some(oid);
            }
        })?;
        Ok(found)
    }

    /// Lists the entries whose names are numbers with an ending; what else somebody put there is not ours.
    fn numbered(&self, tree: Oid, ending: &str) -> Result<Vec<(u64, Oid)>, GitError> {
        let mut found = Vec::new();
        self.every_entry(tree, |name, oid| {
            let number = std::str::from_utf8(name).ok().and_then(|name| name.strip_suffix(ending)?.parse().ok());
            found.extend(number.map(|number: u64| (number, oid)));
        })?;
        Ok(found)
    }

    fn every_entry(&self, tree: Oid, mut take: impl FnMut(&[u8], Oid)) -> Result<(), GitError> {
        let data = self.of_kind(tree, ObjectType::Tree)?;
        links::every_entry(&data, |name, oid, _| {
            if let Ok(oid) = Oid::from_bytes(&oid) {
                take(name, oid);
            }
        })
        .map_err(|_| unreadable(tree, &"it is malformed"))
    }

    fn of_kind(&self, oid: Oid, kind: ObjectType) -> Result<Arc<Vec<u8>>, GitError> {
        let object = self.view.objects().read(oid).map_err(|error| unreadable(oid, &error))?;
        if object.kind == kind { Ok(object.data) } else { Err(unreadable(oid, &format!("it is not a {kind}"))) }
    }
}

/// Says which numbers the folder that cannot be read is of.
fn of_hundred(hundred: u64, error: GitError) -> GitError {
    match error {
        GitError::Damaged(what) => GitError::Damaged(format!("{}: {what}", numbers_of(hundred))),
        error => error,
    }
}

fn unreadable(oid: Oid, error: &dyn std::fmt::Display) -> GitError {
    GitError::Damaged(format!("object {oid} of the metadata cannot be read: {}", printable(&error.to_string(), 160)))
}
