//! What people do to issues and pull requests, each with its effect on `updated_at`.
//!
//! What a newcomer would get wrong: not every change moves `updated_at`. GitHub leaves it alone when a comment is deleted
//! or minimised, when another issue refers to this one, when a label is renamed or deleted, for reactions, and for
//! resolved threads. Backups that ask only for what was updated miss all of these; so they matter here.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};

use serde_json::{Value, json};

use super::model::{Closed, Comment, Event, Gone, Item, Label, Milestone, Model, Pull};

/// Who acts, and when.
#[derive(Debug, Clone)]
pub(crate) struct Act {
    pub(crate) author: Option<String>,
    pub(crate) now: i64,
}

impl Model {
    /// Gives a new serial.
    pub(crate) fn serial(&mut self) -> u64 {
        self.last_serial += 1;
        self.last_serial
    }

    /// Opens an issue, or a pull request if `pull` says where from; returns its number.
    pub(crate) fn open(&mut self, act: &Act, title: &str, body: &str, pull: Option<Pull>) -> u64 {
        let serial = self.serial();
        let pull = pull.map(|pull| Pull { serial: self.serial(), ..pull });
        let item = Item {
            serial,
            title: title.to_owned(),
            body: body.to_owned(),
            author: act.author.clone(),
            created_at: act.now,
            updated_at: act.now,
            closed: None,
            reopened: false,
            locked: false,
            labels: Vec::new(),
            milestone: None,
            reactions: BTreeMap::new(),
            comments: Vec::new(),
            events: Vec::new(),
            pull,
        };
        self.insert(item)
    }

    /// Adds an item under a new number.
    fn insert(&mut self, item: Item) -> u64 {
        self.last_number += 1;
        self.items.insert(self.last_number, item);
        self.last_number
    }

    /// Returns an issue or pull request.
    pub(crate) fn item(&mut self, number: u64) -> io::Result<&mut Item> {
        self.items.get_mut(&number).ok_or_else(|| missing(format!("there is no issue or pull request {number}")))
    }

    /// Returns it, dated as changed now.
    pub(crate) fn updated(&mut self, act: &Act, number: u64) -> io::Result<&mut Item> {
        let item = self.item(number)?;
        item.updated_at = act.now;
        Ok(item)
    }

    /// Adds an event to a timeline; `updated_at` stays.
    pub(crate) fn record(&mut self, act: &Act, number: u64, kind: &str, details: &[(&str, Value)]) -> io::Result<()> {
        let serial = self.serial();
        let details = details.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        let event = Event { serial, kind: kind.to_owned(), actor: act.author.clone(), at: act.now, details };
        self.item(number)?.events.push(event);
        Ok(())
    }

    pub(crate) fn edit_body(&mut self, act: &Act, number: u64, body: &str) -> io::Result<()> {
        body.clone_into(&mut self.updated(act, number)?.body);
        Ok(())
    }

    pub(crate) fn edit_title(&mut self, act: &Act, number: u64, title: &str) -> io::Result<()> {
        let previous = std::mem::replace(&mut self.updated(act, number)?.title, title.to_owned());
        let details = [("previousTitle", previous.into()), ("currentTitle", title.into())];
        self.record(act, number, "RenamedTitleEvent", &details)
    }

    /// Adds a comment, and returns its serial.
    pub(crate) fn comment(&mut self, act: &Act, number: u64, body: &str) -> io::Result<u64> {
        let comment = self.new_comment(act, body);
        let serial = comment.serial;
        self.updated(act, number)?.comments.push(comment);
        Ok(serial)
    }

    /// Returns a comment that is nowhere yet.
    pub(crate) fn new_comment(&mut self, act: &Act, body: &str) -> Comment {
        Comment {
            serial: self.serial(),
            author: act.author.clone(),
            body: body.to_owned(),
            created_at: act.now,
            updated_at: act.now,
            reactions: BTreeMap::new(),
            minimized: false,
        }
    }

    /// Finds a comment of either kind, and the number that it belongs to.
    pub(crate) fn find_comment(&mut self, serial: u64) -> io::Result<(u64, &mut Comment)> {
        let comments = self.items.iter_mut().flat_map(|(number, item)| {
            let on_lines = item.pull.iter_mut().flat_map(|pull| &mut pull.comments).map(|comment| &mut comment.comment);
            item.comments.iter_mut().chain(on_lines).map(|comment| (*number, comment))
        });
        let mut found = comments.filter(|(_, comment)| comment.serial == serial);
        found.next().ok_or_else(|| missing("there is no such comment".to_owned()))
    }

    /// Edits a comment, which moves its own date and the issue's.
    pub(crate) fn edit_comment(&mut self, act: &Act, serial: u64, body: &str) -> io::Result<()> {
        let (number, comment) = self.find_comment(serial)?;
        body.clone_into(&mut comment.body);
        comment.updated_at = act.now;
        self.updated(act, number).map(drop)
    }

    /// Deletes a comment; its issue keeps its date. A thread goes with its last comment.
    pub(crate) fn delete_comment(&mut self, serial: u64) -> io::Result<()> {
        let (number, _) = self.find_comment(serial)?;
        let item = self.item(number)?;
        item.comments.retain(|comment| comment.serial != serial);
        if let Some(pull) = &mut item.pull {
            pull.comments.retain(|comment| comment.comment.serial != serial);
            let Pull { comments, threads, .. } = pull;
            threads.retain(|thread| comments.iter().any(|comment| comment.thread == thread.serial));
        }
        Ok(())
    }

    pub(crate) fn close(&mut self, act: &Act, number: u64) -> io::Result<()> {
        self.updated(act, number)?.closed = Some(Closed { at: act.now, by: act.author.clone() });
        let reason = self.item(number)?.reason().map(str::to_ascii_uppercase);
        self.record(act, number, "ClosedEvent", &[("stateReason", json!(reason))])
    }

    pub(crate) fn reopen(&mut self, act: &Act, number: u64) -> io::Result<()> {
        let item = self.updated(act, number)?;
        item.closed = None;
        item.reopened = true;
        let reason = item.reason().map(str::to_ascii_uppercase);
        self.record(act, number, "ReopenedEvent", &[("stateReason", json!(reason))])
    }

    pub(crate) fn lock(&mut self, act: &Act, number: u64) -> io::Result<()> {
        self.updated(act, number)?.locked = true;
        self.record(act, number, "LockedEvent", &[])
    }

    pub(crate) fn create_label(&mut self, act: &Act, name: &str, color: &str) -> io::Result<()> {
        if self.labels.iter().any(|label| label.name.eq_ignore_ascii_case(name)) {
            return Err(io::Error::new(ErrorKind::AlreadyExists, format!("there is a label {name:?}")));
        }
        let serial = self.serial();
        self.labels.push(Label { serial, name: name.to_owned(), color: color.to_owned(), created_at: act.now });
        Ok(())
    }

    pub(crate) fn add_label(&mut self, act: &Act, number: u64, name: &str) -> io::Result<()> {
        let (serial, details) = self.label_named(name)?;
        let labels = &mut self.item(number)?.labels;
        if labels.contains(&serial) {
            return Ok(());
        }
        labels.push(serial);
        self.updated(act, number)?;
        self.record(act, number, "LabeledEvent", &details)
    }

    pub(crate) fn remove_label(&mut self, act: &Act, number: u64, name: &str) -> io::Result<()> {
        let (serial, details) = self.label_named(name)?;
        self.updated(act, number)?.labels.retain(|label| *label != serial);
        self.record(act, number, "UnlabeledEvent", &details)
    }

    /// Renames a label, in all issues at once, none of which is dated.
    pub(crate) fn rename_label(&mut self, from: &str, to: &str) -> io::Result<()> {
        let (serial, _) = self.label_named(from)?;
        for label in self.labels.iter_mut().filter(|label| label.serial == serial) {
            to.clone_into(&mut label.name);
        }
        Ok(())
    }

    pub(crate) fn delete_label(&mut self, name: &str) -> io::Result<()> {
        let (serial, _) = self.label_named(name)?;
        self.labels.retain(|label| label.serial != serial);
        self.items.values_mut().for_each(|item| item.labels.retain(|label| *label != serial));
        Ok(())
    }

    /// Returns a label's serial and what an event about it shows.
    fn label_named(&self, name: &str) -> io::Result<(u64, [(&'static str, Value); 2])> {
        let label = self.labels.iter().find(|label| label.name.eq_ignore_ascii_case(name));
        let label = label.ok_or_else(|| missing(format!("there is no label {name:?}")))?;
        let details = [("labelName", label.name.clone().into()), ("labelColor", label.color.clone().into())];
        Ok((label.serial, details))
    }

    /// Creates a milestone, and returns its number.
    pub(crate) fn create_milestone(&mut self, act: &Act, title: &str) -> u64 {
        let milestone = Milestone {
            serial: self.serial(),
            title: title.to_owned(),
            creator: act.author.clone(),
            created_at: act.now,
            updated_at: act.now,
            closed_at: None,
        };
        let number = self.milestones.last_key_value().map_or(1, |(last, _)| last + 1);
        self.milestones.insert(number, milestone);
        number
    }

    pub(crate) fn set_milestone(&mut self, act: &Act, number: u64, milestone: Option<u64>) -> io::Result<()> {
        let previous = self.updated(act, number)?.milestone;
        for (kind, concerned) in [("DemilestonedEvent", previous), ("MilestonedEvent", milestone)] {
            let Some(concerned) = concerned else { continue };
            let known = self.milestones.get_mut(&concerned);
            let known = known.ok_or_else(|| missing(format!("there is no milestone {concerned}")))?;
            known.updated_at = act.now;
            let title = known.title.clone();
            self.record(act, number, kind, &[("milestoneTitle", title.into())])?;
        }
        self.item(number)?.milestone = milestone;
        Ok(())
    }

    /// Takes an issue away for good.
    pub(crate) fn delete(&mut self, number: u64) -> io::Result<()> {
        self.item(number)?;
        self.items.remove(&number);
        self.gone.insert(number, Gone::Deleted);
        Ok(())
    }

    /// Takes over an issue that was removed from another repository, under a new number and with new ids. As at GitHub,
    /// it brings neither labels nor a milestone; its dates stay.
    pub(crate) fn take_over(&mut self, act: &Act, from: u64, mut item: Item) -> io::Result<u64> {
        item.serial = self.serial();
        item.labels.clear();
        item.milestone = None;
        for comment in &mut item.comments {
            comment.serial = self.serial();
        }
        for event in &mut item.events {
            event.serial = self.serial();
        }
        let number = self.insert(item);
        self.record(act, number, "TransferredEvent", &[("fromRepository", from.into())])?;
        Ok(number)
    }

    /// Counts a reaction to an issue or pull request.
    pub(crate) fn react(&mut self, number: u64, content: &str) -> io::Result<()> {
        *self.item(number)?.reactions.entry(content.to_owned()).or_default() += 1;
        Ok(())
    }

    /// Counts a reaction to a comment of either kind.
    pub(crate) fn react_to_comment(&mut self, serial: u64, content: &str) -> io::Result<()> {
        *self.find_comment(serial)?.1.reactions.entry(content.to_owned()).or_default() += 1;
        Ok(())
    }

    /// Notes that another issue or pull request of this repository mentions this one.
    pub(crate) fn cross_reference(&mut self, act: &Act, number: u64, from: u64) -> io::Result<()> {
        self.item(from)?;
        self.record(act, number, "CrossReferencedEvent", &[("source", from.into())])
    }

    pub(crate) fn minimize_comment(&mut self, serial: u64) -> io::Result<()> {
        self.find_comment(serial)?.1.minimized = true;
        Ok(())
    }
}

/// Returns the error for what is not there.
pub(super) fn missing(message: String) -> io::Error {
    io::Error::new(ErrorKind::NotFound, message)
}
