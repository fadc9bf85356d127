//! `POST /_sandbox/issues`: the few changes of issues that a demonstration needs.

use std::io;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::state::State;
use crate::tracker::{Tracker, parts_of_id, public_id};

/// The body: where, by whom, and what.
#[derive(Deserialize)]
struct Request {
    repository: String,
    /// The login of the person who acts; without it, the user of the token.
    author: Option<String>,
    #[serde(flatten)]
    change: Change,
}

/// What is done; comments are named by their ids.
#[derive(Deserialize)]
#[serde(tag = "change", rename_all = "snake_case")]
enum Change {
    Open { title: String, body: String },
    Edit { number: u64, body: String },
    Close { number: u64 },
    Comment { number: u64, body: String },
    EditComment { id: u64, body: String },
    DeleteComment { id: u64 },
    RenameLabel { from: String, to: String },
}

/// Makes the change; returns the number of an issue that was opened or the id of a comment that was written.
pub(super) fn change(state: &State, body: &[u8]) -> io::Result<Value> {
    let request: Request = serde_json::from_slice(body)?;
    let tracker = Tracker::open(state, &request.repository)?;
    if let Some(author) = &request.author {
        tracker.set_author(Some(author));
    }
    let done = |()| json!({"ok": true});
    match &request.change {
        Change::Open { title, body } => {
            tracker.change(|model, act| Ok(json!({"number": model.open(act, title, body, None)})))
        }
        Change::Edit { number, body } => tracker.change(|model, act| model.edit_body(act, *number, body)).map(done),
        Change::Close { number } => tracker.change(|model, act| model.close(act, *number)).map(done),
        Change::Comment { number, body } => {
            let serial = tracker.change(|model, act| model.comment(act, *number, body))?;
            Ok(json!({"id": public_id(tracker.repository_id(), serial)}))
        }
        Change::EditComment { id, body } => {
            tracker.change(|model, act| model.edit_comment(act, parts_of_id(*id).1, body)).map(done)
        }
        Change::DeleteComment { id } => tracker.change(|model, _| model.delete_comment(parts_of_id(*id).1)).map(done),
        Change::RenameLabel { from, to } => tracker.change(|model, _| model.rename_label(from, to)).map(done),
    }
}
