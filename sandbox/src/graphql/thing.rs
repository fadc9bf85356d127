//! The objects of the model as GraphQL sees them: small handles that can be copied.

use std::rc::Rc;
use std::sync::Arc;

use apollo_compiler::resolvers::FieldError;
use serde_json::Value;

use super::connection::Connection;
use crate::cursor::Key;
use crate::repositories::Repository;
use crate::rest::node_id;
use crate::tracker::{Event, Item, Label, Loaded, Pull, public_id};

/// A repository and what is written in it.
pub(super) struct Site {
    pub(super) repository: Repository,
    pub(super) loaded: Arc<Loaded>,
}

/// An issue or pull request, by its number.
#[derive(Clone)]
pub(super) struct ItemRef {
    pub(super) site: Rc<Site>,
    pub(super) number: u64,
}

impl ItemRef {
    pub(super) fn get(&self) -> &Item {
        &self.site.loaded.model.items[&self.number]
    }

    /// Returns the part that only pull requests have; only things inside of one ask.
    pub(super) fn pull(&self) -> &Pull {
        self.get().pull.as_ref().expect("what is inside of a pull request is asked for")
    }

    /// Returns an identifier in this repository.
    pub(super) fn id(&self, kind: &str, serial: u64) -> String {
        node_id(kind, public_id(self.site.repository.id, serial))
    }
}

/// An object. What is inside of an issue is found by its position there.
#[derive(Clone)]
pub(super) enum Thing {
    Query,
    RateLimit,
    Repository(Rc<Site>),
    Owner(Rc<Site>),
    Branch(Rc<Site>, String),
    Commit(Rc<Site>, String),
    Label(Rc<Site>, Label),
    Milestone(Rc<Site>, u64),
    Person(String),
    Item(ItemRef),
    Comment(ItemRef, usize),
    Review(ItemRef, usize),
    LineComment(ItemRef, usize),
    Thread(ItemRef, usize),
    Event(ItemRef, usize),
    PullCommit(ItemRef),
    /// How often people reacted with what, to the thing with this name in it.
    Reactions(&'static str, u64),
    Connection(Rc<Connection>),
    PageInfo(Rc<Connection>),
    Edge(Rc<Connection>, usize),
    /// What cannot be shown inside of a list, with the message of the error.
    ///
    /// What a newcomer would get wrong: an error in the place of a list's item would make the executor drop the whole
    /// list. So the item is an object whose type is the message; the executor says that there is no such type, and makes
    /// this one item null.
    Failed(String),
    /// An object that the model does not know, of this type.
    Neutral(String),
}

/// What a field turned out to be.
pub(super) enum Found {
    Leaf(Value),
    Thing(Thing),
    /// All items of a connection, still to be cut.
    Items(Vec<(Key, Thing)>),
    /// The same, with another total than their number.
    Counted(Vec<(Key, Thing)>, usize),
    List(Vec<Result<Thing, FieldError>>),
    /// Nothing that the model knows.
    Unknown,
}

impl Found {
    pub(super) fn leaf(value: impl Into<Value>) -> Self {
        Self::Leaf(value.into())
    }

    /// Returns a thing, or null.
    pub(super) fn thing(thing: Option<Thing>) -> Self {
        thing.map_or(Self::Leaf(Value::Null), Self::Thing)
    }

    /// Returns a person, or null for an account that was deleted.
    pub(super) fn person(login: Option<&String>) -> Self {
        Self::thing(login.map(|login| Thing::Person(login.clone())))
    }

    /// Returns an id as a number of 32 bits; larger ones are null, and clients must ask for `fullDatabaseId`.
    pub(super) fn small_id(id: u64) -> Self {
        Self::Leaf(i32::try_from(id).map_or(Value::Null, Into::into))
    }
}

impl Thing {
    /// Returns the type in the schema.
    pub(super) fn type_name(&self) -> &str {
        match self {
            Self::Query => "Query",
            Self::RateLimit => "RateLimit",
            Self::Repository(_) => "Repository",
            Self::Owner(site) => {
                if site.repository.owner.is_user {
                    "User"
                } else {
                    "Organization"
                }
            }
            Self::Branch(..) => "Ref",
            Self::Commit(..) => "Commit",
            Self::Label(..) => "Label",
            Self::Milestone(..) => "Milestone",
            Self::Person(_) => "User",
            Self::Item(item) => {
                if item.get().pull.is_some() {
                    "PullRequest"
                } else {
                    "Issue"
                }
            }
            Self::Comment(..) => "IssueComment",
            Self::Review(..) => "PullRequestReview",
            Self::LineComment(..) => "PullRequestReviewComment",
            Self::Thread(..) => "PullRequestReviewThread",
            Self::Event(item, position) => &item.get().events[*position].kind,
            Self::PullCommit(_) => "PullRequestCommit",
            Self::Reactions(..) => "ReactionGroup",
            Self::Connection(connection) => &connection.type_name,
            Self::PageInfo(_) => "PageInfo",
            Self::Edge(connection, _) => &connection.edge_type,
            Self::Neutral(name) | Self::Failed(name) => name,
        }
    }

    /// Returns the identifier of what tests can name: the same as in REST.
    pub(super) fn id(&self) -> Option<String> {
        let of = |item: &ItemRef, serial| Some(item.id(self.type_name(), serial));
        match self {
            Self::Repository(site) => Some(node_id("Repository", site.repository.id)),
            Self::Label(site, label) => Some(node_id("Label", public_id(site.repository.id, label.serial))),
            Self::Milestone(site, number) => {
                let serial = site.loaded.model.milestones[number].serial;
                Some(node_id("Milestone", public_id(site.repository.id, serial)))
            }
            Self::Item(item) => {
                let found = item.get();
                of(item, found.pull.as_ref().map_or(found.serial, |pull| pull.serial))
            }
            Self::Comment(item, position) => of(item, item.get().comments[*position].serial),
            Self::Review(item, position) => of(item, item.pull().reviews[*position].serial),
            Self::LineComment(item, position) => of(item, item.pull().comments[*position].comment.serial),
            Self::Thread(item, position) => of(item, item.pull().threads[*position].serial),
            Self::Event(item, position) => of(item, item.get().events[*position].serial),
            _ => None,
        }
    }

    /// Returns a label as an event shows it: what it is now or, if it was deleted, what it was.
    pub(super) fn label_of(item: &ItemRef, event: &Event) -> Self {
        let text = |name: &str| event.details.get(name).and_then(|value| value.as_str()).unwrap_or_default().to_owned();
        let name = text("labelName");
        let labels = &item.site.loaded.model.labels;
        let known = labels.iter().find(|label| label.name == name).cloned();
        let then =
            || Label { serial: event.serial, name: name.clone(), color: text("labelColor"), created_at: event.at };
        Self::Label(Rc::clone(&item.site), known.unwrap_or_else(then))
    }
}
