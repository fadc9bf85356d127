//! What people do to pull requests only.

use std::io;

use serde_json::json;

use super::changes::{Act, missing};
use super::model::{Closed, Model, Pull, Review, ReviewComment, Thread};
use crate::repositories::stable_id;

impl Pull {
    /// Returns a pull request between two branches. Commits that are not known are imagined: the same for the same branch.
    pub(crate) fn between(head: &str, base: &str, head_oid: Option<String>, base_oid: Option<String>) -> Self {
        Self {
            serial: 0,
            head: head.to_owned(),
            base: base.to_owned(),
            head_oid: head_oid.unwrap_or_else(|| imagined_oid(head)),
            base_oid: base_oid.unwrap_or_else(|| imagined_oid(base)),
            head_gone: false,
            merged: None,
            reviews: Vec::new(),
            comments: Vec::new(),
            threads: Vec::new(),
        }
    }
}

impl Model {
    /// Returns a pull request, dated as changed now.
    fn pull(&mut self, act: &Act, number: u64) -> io::Result<&mut Pull> {
        let pull = self.updated(act, number)?.pull.as_mut();
        pull.ok_or_else(|| missing(format!("{number} is an issue, not a pull request")))
    }

    pub(crate) fn merge(&mut self, act: &Act, number: u64) -> io::Result<()> {
        let closed = Closed { at: act.now, by: act.author.clone() };
        let pull = self.pull(act, number)?;
        pull.merged = Some(closed.clone());
        let base = pull.base.clone();
        self.item(number)?.closed = Some(closed);
        self.record(act, number, "MergedEvent", &[("mergeRefName", base.into())])?;
        self.record(act, number, "ClosedEvent", &[("stateReason", json!(null))])
    }

    /// Forgets the fork that a pull request came from.
    pub(crate) fn delete_head(&mut self, number: u64) -> io::Result<()> {
        let pull = self.item(number)?.pull.as_mut();
        pull.ok_or_else(|| missing(format!("{number} is an issue, not a pull request")))?.head_gone = true;
        Ok(())
    }

    /// Adds a review, and returns its serial.
    pub(crate) fn review(&mut self, act: &Act, number: u64, state: &str, body: &str) -> io::Result<u64> {
        let serial = self.serial();
        let review = Review {
            serial,
            author: act.author.clone(),
            state: state.to_owned(),
            body: body.to_owned(),
            submitted_at: act.now,
            updated_at: act.now,
        };
        self.pull(act, number)?.reviews.push(review);
        Ok(serial)
    }

    /// Opens a thread with a comment on a line; as at GitHub, the comment comes with a review that says nothing else.
    /// Returns the comment's serial.
    pub(crate) fn review_comment(
        &mut self,
        act: &Act,
        number: u64,
        (path, line): (&str, u64),
        body: &str,
    ) -> io::Result<u64> {
        let thread = Thread { serial: self.serial(), path: path.to_owned(), line, resolved: false, resolved_by: None };
        let serial = self.write_on_line(act, number, thread.serial, body)?;
        self.pull(act, number)?.threads.push(thread);
        Ok(serial)
    }

    /// Adds a comment to the thread of another, and returns its serial.
    pub(crate) fn reply_to_review(&mut self, act: &Act, comment: u64, body: &str) -> io::Result<u64> {
        let (number, thread) = self.thread_of(comment)?;
        self.write_on_line(act, number, thread, body)
    }

    /// Resolves the thread of a comment; the pull request keeps its date.
    pub(crate) fn resolve_thread(&mut self, act: &Act, comment: u64) -> io::Result<()> {
        let (number, serial) = self.thread_of(comment)?;
        let pull = self.item(number)?.pull.as_mut();
        for thread in pull.into_iter().flat_map(|pull| &mut pull.threads).filter(|thread| thread.serial == serial) {
            thread.resolved = true;
            thread.resolved_by.clone_from(&act.author);
        }
        Ok(())
    }

    fn write_on_line(&mut self, act: &Act, number: u64, thread: u64, body: &str) -> io::Result<u64> {
        let review = self.review(act, number, "COMMENTED", "")?;
        let comment = self.new_comment(act, body);
        let serial = comment.serial;
        self.pull(act, number)?.comments.push(ReviewComment { comment, thread, review });
        Ok(serial)
    }

    /// Returns the pull request and the thread that a review comment belongs to.
    fn thread_of(&self, comment: u64) -> io::Result<(u64, u64)> {
        let comments = self
            .items
            .iter()
            .rev() // mostly it is a new one
            .flat_map(|(number, item)| {
                item.pull.iter().flat_map(move |pull| pull.comments.iter().map(move |c| (number, c)))
            });
        let mut found = comments.filter(|(_, found)| found.comment.serial == comment);
        let (number, found) = found.next().ok_or_else(|| missing("there is no such review comment".to_owned()))?;
        Ok((*number, found.thread))
    }
}

/// Returns what looks like the id of a commit.
pub(crate) fn imagined_oid(name: &str) -> String {
    let mut oid: String = (0..5).map(|part| format!("{:09x}", stable_id(&format!("{name}{part}")))).collect();
    oid.truncate(40);
    oid
}
