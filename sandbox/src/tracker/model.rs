//! What people write in a repository, as data.
//!
//! What a newcomer would get wrong: nothing here knows the repository's id. Everything has a *serial*, unique in its
//! repository, and an id that clients see is made of both when it is shown. So a repository's folder can be copied,
//! and no two repositories give the same id.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// How many ids each repository has for itself; with nine digits of the repository the ids stay below 2^53.
const IDS_EACH: u64 = 8_000_000;

/// Returns the id that clients see.
pub(crate) fn public_id(repository: u64, serial: u64) -> u64 {
    repository * IDS_EACH + serial
}

/// Returns the repository and the serial of an id that clients see.
pub(crate) fn parts_of_id(id: u64) -> (u64, u64) {
    (id / IDS_EACH, id % IDS_EACH)
}

/// Everything that people wrote in one repository.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Model {
    /// The last serial that was given.
    pub(crate) last_serial: u64,
    /// The last number that was given; those of deleted issues are not given again.
    pub(crate) last_number: u64,
    pub(crate) labels: Vec<Label>,
    pub(crate) milestones: BTreeMap<u64, Milestone>,
    /// Issues and pull requests, which share their numbers.
    pub(crate) items: BTreeMap<u64, Item>,
    /// Where the numbers went that are no longer here.
    pub(crate) gone: BTreeMap<u64, Gone>,
}

/// What became of an issue that is no longer here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Gone {
    Deleted,
    /// It has another number in the repository with this id.
    Transferred {
        repository: u64,
        number: u64,
    },
}

/// A label. Issues refer to it by serial: a new name shows in all of them at once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Label {
    pub(crate) serial: u64,
    pub(crate) name: String,
    pub(crate) color: String,
    pub(crate) created_at: i64,
}

/// A milestone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Milestone {
    pub(crate) serial: u64,
    pub(crate) title: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) creator: Option<String>,
    pub(crate) created_at: i64,
    pub(crate) updated_at: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) closed_at: Option<i64>,
}

/// How often people reacted with what, by GitHub's names such as `+1`.
pub(crate) type Reactions = BTreeMap<String, u64>;

/// An issue or a pull request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Item {
    pub(crate) serial: u64,
    pub(crate) title: String,
    pub(crate) body: String,
    /// The login; an account that was deleted has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) author: Option<String>,
    pub(crate) created_at: i64,
    pub(crate) updated_at: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) closed: Option<Closed>,
    #[serde(default, skip_serializing_if = "is_false")]
    pub(crate) reopened: bool,
    #[serde(default, skip_serializing_if = "is_false")]
    pub(crate) locked: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) labels: Vec<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) milestone: Option<u64>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) reactions: Reactions,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) comments: Vec<Comment>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) events: Vec<Event>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) pull: Option<Pull>,
}

/// When and by whom something was closed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Closed {
    pub(crate) at: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) by: Option<String>,
}

/// A comment on an issue or a pull request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Comment {
    pub(crate) serial: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) author: Option<String>,
    pub(crate) body: String,
    pub(crate) created_at: i64,
    pub(crate) updated_at: i64,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) reactions: Reactions,
    #[serde(default, skip_serializing_if = "is_false")]
    pub(crate) minimized: bool,
}

/// Something in the timeline that is not written, such as a label that was added.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Event {
    pub(crate) serial: u64,
    /// The type in GraphQL, such as `LabeledEvent`.
    pub(crate) kind: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) actor: Option<String>,
    pub(crate) at: i64,
    /// Fields of this type that are scalars; beside them `labelName` and `labelColor`, `source` (a number), `fromRepository`
    /// (an id).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) details: BTreeMap<String, Value>,
}

/// What a pull request has beyond an issue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Pull {
    /// A pull request has an id of its own beside the issue's.
    pub(crate) serial: u64,
    pub(crate) head: String,
    pub(crate) base: String,
    pub(crate) head_oid: String,
    pub(crate) base_oid: String,
    /// Whether the fork that it came from was deleted.
    #[serde(default, skip_serializing_if = "is_false")]
    pub(crate) head_gone: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) merged: Option<Closed>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) reviews: Vec<Review>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) comments: Vec<ReviewComment>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) threads: Vec<Thread>,
}

/// A review of a pull request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Review {
    pub(crate) serial: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) author: Option<String>,
    /// As REST and GraphQL both have it, such as `APPROVED`.
    pub(crate) state: String,
    pub(crate) body: String,
    pub(crate) submitted_at: i64,
    pub(crate) updated_at: i64,
}

/// A comment on a line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ReviewComment {
    /// The serial, the writer and the text are those of any comment.
    #[serde(flatten)]
    pub(crate) comment: Comment,
    /// The thread that it belongs to.
    pub(crate) thread: u64,
    /// The review that it came with.
    pub(crate) review: u64,
}

/// A conversation about a line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Thread {
    pub(crate) serial: u64,
    pub(crate) path: String,
    pub(crate) line: u64,
    #[serde(default, skip_serializing_if = "is_false")]
    pub(crate) resolved: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) resolved_by: Option<String>,
}

impl Model {
    /// Returns a label by its serial; that of a deleted one is in no issue.
    pub(crate) fn label(&self, serial: u64) -> Option<&Label> {
        self.labels.iter().find(|label| label.serial == serial)
    }
}

impl Item {
    /// Returns `OPEN`, `CLOSED` or, of a pull request, `MERGED`.
    pub(crate) fn state(&self) -> &'static str {
        match (&self.closed, self.pull.as_ref().and_then(|pull| pull.merged.as_ref())) {
            (_, Some(_)) => "MERGED",
            (Some(_), None) => "CLOSED",
            (None, None) => "OPEN",
        }
    }

    /// Returns why an issue is in its state, in the words of REST; a pull request has no such reason.
    pub(crate) fn reason(&self) -> Option<&'static str> {
        match (&self.pull, &self.closed) {
            (Some(_), _) => None,
            (None, Some(_)) => Some("completed"),
            (None, None) => self.reopened.then_some("reopened"),
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_false(value: &bool) -> bool {
    !value
}
