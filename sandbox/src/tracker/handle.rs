//! The handle by which a test acts as the people who write in a repository.

use std::io::{self, ErrorKind};
use std::sync::{Mutex, PoisonError};

use serde_json::Value;

use super::changes::Act;
use super::model::{Gone, Model, Pull, parts_of_id, public_id};
use super::{Loaded, dump};
use crate::fixtures::RepositoryEditor;
use crate::repositories::{self, Catalogue, Found, FullName, Repository};
use crate::state::State;

/// Changes what people have written in one repository, and reads it back.
///
/// Ids are those that clients see, numbers too. Each change is in the repository's file when the method returns; in a
/// debug build that takes a tenth of a second for each thousand issues, hence [`Self::batch`].
///
/// # Panics
///
/// Every method panics if there is no such repository, issue, comment or label: a test that names what is not there is
/// wrong.
pub struct Tracker<'a> {
    state: &'a State,
    repository: Repository,
    author: Mutex<Option<String>>,
}

impl<'a> Tracker<'a> {
    /// Opens the repository with a full name; the person who acts is the user of the token.
    pub(crate) fn open(state: &'a State, full_name: &str) -> io::Result<Self> {
        let repository = find(state, full_name)?;
        Ok(Self { state, repository, author: Mutex::new(Some(state.options.login.clone())) })
    }

    /// Sets who acts from now on; `None` stands for an account that was deleted since.
    pub fn set_author(&self, login: Option<&str>) {
        *self.author.lock().unwrap_or_else(PoisonError::into_inner) = login.map(str::to_owned);
    }

    /// Opens an issue, and returns its number.
    #[track_caller]
    pub fn open_issue(&self, title: &str, body: &str) -> u64 {
        self.certain(|model, act| Ok(model.open(act, title, body, None)))
    }

    /// Opens a pull request from a branch to another, and returns its number. The branches need not exist.
    #[track_caller]
    pub fn open_pull(&self, title: &str, body: &str, head: &str, base: &str) -> u64 {
        let editor = RepositoryEditor::open(&self.repository.path);
        let tip = |branch: &str| editor.rev_parse(&format!("refs/heads/{branch}")).ok();
        let pull = Pull::between(head, base, tip(head), tip(base));
        self.certain(|model, act| Ok(model.open(act, title, body, Some(pull))))
    }

    /// Edits the text of an issue or pull request.
    #[track_caller]
    pub fn edit_body(&self, number: u64, body: &str) {
        self.certain(|model, act| model.edit_body(act, number, body));
    }

    /// Edits the title.
    #[track_caller]
    pub fn edit_title(&self, number: u64, title: &str) {
        self.certain(|model, act| model.edit_title(act, number, title));
    }

    /// Comments on an issue or pull request, and returns the comment's id.
    #[track_caller]
    pub fn comment(&self, number: u64, body: &str) -> u64 {
        self.id(self.certain(|model, act| model.comment(act, number, body)))
    }

    /// Edits a comment, on an issue or on a line.
    #[track_caller]
    pub fn edit_comment(&self, id: u64, body: &str) {
        self.certain(|model, act| model.edit_comment(act, serial(id), body));
    }

    /// Deletes a comment, on an issue or on a line; the issue's `updated_at` stays.
    #[track_caller]
    pub fn delete_comment(&self, id: u64) {
        self.certain(|model, _| model.delete_comment(serial(id)));
    }

    /// Closes an issue or pull request.
    #[track_caller]
    pub fn close(&self, number: u64) {
        self.certain(|model, act| model.close(act, number));
    }

    /// Opens it again.
    #[track_caller]
    pub fn reopen(&self, number: u64) {
        self.certain(|model, act| model.reopen(act, number));
    }

    /// Merges a pull request.
    #[track_caller]
    pub fn merge(&self, number: u64) {
        self.certain(|model, act| model.merge(act, number));
    }

    /// Deletes the fork that a pull request came from; `updated_at` stays.
    #[track_caller]
    pub fn delete_head(&self, number: u64) {
        self.certain(|model, _| model.delete_head(number));
    }

    /// Creates a label with a colour such as `d73a4a`.
    #[track_caller]
    pub fn create_label(&self, name: &str, color: &str) {
        self.certain(|model, act| model.create_label(act, name, color));
    }

    /// Adds a label that exists.
    #[track_caller]
    pub fn add_label(&self, number: u64, name: &str) {
        self.certain(|model, act| model.add_label(act, number, name));
    }

    /// Takes a label off.
    #[track_caller]
    pub fn remove_label(&self, number: u64, name: &str) {
        self.certain(|model, act| model.remove_label(act, number, name));
    }

    /// Renames a label; `updated_at` of its issues stays.
    #[track_caller]
    pub fn rename_label(&self, from: &str, to: &str) {
        self.certain(|model, _| model.rename_label(from, to));
    }

    /// Deletes a label; `updated_at` of its issues stays.
    #[track_caller]
    pub fn delete_label(&self, name: &str) {
        self.certain(|model, _| model.delete_label(name));
    }

    /// Creates a milestone, and returns its number.
    #[track_caller]
    pub fn create_milestone(&self, title: &str) -> u64 {
        self.certain(|model, act| Ok(model.create_milestone(act, title)))
    }

    /// Sets or removes the milestone of an issue.
    #[track_caller]
    pub fn set_milestone(&self, number: u64, milestone: Option<u64>) {
        self.certain(|model, act| model.set_milestone(act, number, milestone));
    }

    /// Deletes an issue; its number answers 410 from then on.
    #[track_caller]
    pub fn delete_issue(&self, number: u64) {
        self.certain(|model, _| model.delete(number));
    }

    /// Moves an issue to another repository, and returns its number there; its number here redirects from then on.
    #[track_caller]
    pub fn transfer(&self, number: u64, to: &str) -> u64 {
        self.try_transfer(number, to).unwrap_or_else(|error| self.fail(&error))
    }

    /// Adds a reaction such as `+1`; `updated_at` stays.
    #[track_caller]
    pub fn react(&self, number: u64, content: &str) {
        self.certain(|model, _| model.react(number, content));
    }

    /// Adds a reaction to a comment; `updated_at` stays.
    #[track_caller]
    pub fn react_to_comment(&self, id: u64, content: &str) {
        self.certain(|model, _| model.react_to_comment(serial(id), content));
    }

    /// Reviews a pull request with a state such as `APPROVED`, and returns the review's id.
    #[track_caller]
    pub fn review(&self, number: u64, state: &str, body: &str) -> u64 {
        self.id(self.certain(|model, act| model.review(act, number, state, body)))
    }

    /// Comments on a line, which opens a thread and comes with a review; returns the comment's id.
    #[track_caller]
    pub fn review_comment(&self, number: u64, path: &str, line: u64, body: &str) -> u64 {
        self.id(self.certain(|model, act| model.review_comment(act, number, (path, line), body)))
    }

    /// Answers a comment on a line in its thread, and returns the new comment's id.
    #[track_caller]
    pub fn reply_to_review(&self, comment: u64, body: &str) -> u64 {
        self.id(self.certain(|model, act| model.reply_to_review(act, serial(comment), body)))
    }

    /// Resolves the thread of a comment on a line; `updated_at` stays.
    #[track_caller]
    pub fn resolve_thread(&self, comment: u64) {
        self.certain(|model, act| model.resolve_thread(act, serial(comment)));
    }

    /// Lets one issue mention another; `updated_at` of the one that is mentioned stays.
    #[track_caller]
    pub fn cross_reference(&self, number: u64, from_number: u64) {
        self.certain(|model, act| model.cross_reference(act, number, from_number));
    }

    /// Hides a comment; no `updated_at` moves.
    #[track_caller]
    pub fn minimize_comment(&self, id: u64) {
        self.certain(|model, _| model.minimize_comment(serial(id)));
    }

    /// Locks a conversation.
    #[track_caller]
    pub fn lock(&self, number: u64) {
        self.certain(|model, act| model.lock(act, number));
    }

    /// Switches the issues of the repository off, or on again. What is written stays.
    #[track_caller]
    pub fn disable_issues(&self, disabled: bool) {
        let has_issues = if disabled { "false" } else { "true" };
        repositories::append(&self.repository.path, "hasIssues", has_issues).unwrap_or_else(|error| self.fail(&error));
    }

    /// Makes many changes faster: this sandbox sees each at once, the file has them behind the last.
    #[track_caller]
    pub fn batch<T>(&self, changes: impl FnOnce(&Self) -> T) -> T {
        let defer = |defer: bool| {
            let done = self.state.trackers.defer(&self.repository.path, defer);
            done.unwrap_or_else(|error| self.fail(&error));
        };
        defer(true);
        let result = changes(self);
        defer(false);
        result
    }

    /// Returns everything that is written, plainly, for comparisons: an object by number.
    #[track_caller]
    pub fn model(&self) -> Value {
        let loaded = self.state.trackers.read(&self.repository.path).unwrap_or_else(|error| self.fail(&error));
        let Loaded { model, .. } = &*loaded;
        dump::plain(model, self.repository.id)
    }

    /// Makes a change that must be possible.
    #[track_caller]
    fn certain<T>(&self, change: impl FnOnce(&mut Model, &Act) -> io::Result<T>) -> T {
        self.change(change).unwrap_or_else(|error| self.fail(&error))
    }

    /// Makes a change.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut Model, &Act) -> io::Result<T>) -> io::Result<T> {
        let act = self.act();
        self.state.trackers.change(&self.repository.path, |model| change(model, &act))
    }

    /// Returns the id of the repository.
    pub(crate) fn repository_id(&self) -> u64 {
        self.repository.id
    }

    fn try_transfer(&self, number: u64, to: &str) -> io::Result<u64> {
        let target = find(self.state, to)?;
        if target.id == self.repository.id {
            return Err(io::Error::new(ErrorKind::InvalidInput, "an issue cannot be transferred to where it is"));
        }
        let item = self.change(|model, _| model.item(number).cloned())?;
        let act = self.act();
        let taken = |model: &mut Model| model.take_over(&act, self.repository.id, item);
        let new_number = self.state.trackers.change(&target.path, taken)?;
        self.change(|model, _| {
            model.items.remove(&number);
            model.gone.insert(number, Gone::Transferred { repository: target.id, number: new_number });
            Ok(new_number)
        })
    }

    fn act(&self) -> Act {
        let author = self.author.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Act { author, now: self.state.trackers.clock.now() }
    }

    fn id(&self, serial: u64) -> u64 {
        public_id(self.repository.id, serial)
    }

    #[track_caller]
    fn fail(&self, error: &io::Error) -> ! {
        panic!("{}: {error}", self.repository.name)
    }
}

/// Returns the serial in an id that clients see.
fn serial(id: u64) -> u64 {
    parts_of_id(id).1
}

/// Finds a repository, and gives it its id if it has none yet.
fn find(state: &State, full_name: &str) -> io::Result<Repository> {
    let absent = || io::Error::new(ErrorKind::NotFound, format!("there is no repository {full_name}"));
    let name = FullName::required(full_name)?;
    let folder = &state.options.repositories;
    match Found::by_name(folder, &name)? {
        Some(Found::Here(repository)) if repository.metadata.id.is_some() => Ok(repository),
        _ => match Catalogue::scan(folder)?.find(&name) {
            Some(Found::Here(repository)) => Ok(repository),
            _ => Err(absent()),
        },
    }
}
