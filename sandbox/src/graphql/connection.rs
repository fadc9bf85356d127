//! Connections: lists that are cut by `first`, `last`, `after` and `before`.

use std::rc::Rc;

use apollo_compiler::resolvers::{FieldError, ResolveInfo};
use apollo_compiler::response::{JsonMap, JsonValue};
use serde_json::Value;

use super::error;
use super::neutral;
use super::thing::{Found, Thing};
use crate::cursor::{self, Key};
use crate::tracker::written;

/// One page of a connection.
pub(super) struct Connection {
    pub(super) type_name: String,
    pub(super) edge_type: String,
    /// How many items there are on all pages.
    total: usize,
    /// How many of them the arguments other than those for pages leave.
    filtered: usize,
    /// The greatest key of all items: in a timeline, when the newest was written.
    newest: i64,
    items: Vec<(Key, Thing)>,
    has_next: bool,
    has_previous: bool,
}

impl Connection {
    /// Cuts a page out of all items, which are in their order already.
    pub(super) fn cut(
        info: &ResolveInfo<'_>,
        all: Vec<(Key, Thing)>,
        total: Option<usize>,
    ) -> Result<Rc<Self>, FieldError> {
        let arguments = info.arguments();
        let count = all.len();
        let newest = all.iter().map(|((value, _), _)| *value).max().unwrap_or_default();
        let descends = all.first().map(|(key, _)| *key) > all.last().map(|(key, _)| *key);
        let behind = |key: &Key, cursor: &Key| if descends { key < cursor } else { key > cursor };
        let before = |key: &Key, cursor: &Key| if descends { key > cursor } else { key < cursor };
        let mut items = all;
        if let Some(after) = cursor_in(arguments, "after")? {
            items.retain(|(key, _)| behind(key, &after));
        }
        let mut has_previous = items.len() < count;
        let unbounded = items.len();
        if let Some(limit) = cursor_in(arguments, "before")? {
            items.retain(|(key, _)| before(key, &limit));
        }
        let mut has_next = items.len() < unbounded;
        if let Some(first) = size_in(arguments, "first")
            && first < items.len()
        {
            items.truncate(first);
            has_next = true;
        }
        if let Some(last) = size_in(arguments, "last")
            && last < items.len()
        {
            items.drain(..items.len() - last);
            has_previous = true;
        }
        let type_name = info.field_definition().ty.inner_named_type().to_string();
        let edge_type = neutral::edge_type(info.schema(), &type_name);
        let total = total.unwrap_or(count);
        Ok(Rc::new(Self { type_name, edge_type, total, filtered: count, newest, items, has_next, has_previous }))
    }

    /// Returns a field of the connection itself.
    pub(super) fn field(self: &Rc<Self>, name: &str) -> Found {
        match name {
            "totalCount" => Found::leaf(self.total),
            "filteredCount" => Found::leaf(self.filtered),
            "pageCount" => Found::leaf(self.items.len()),
            "updatedAt" => Found::leaf(written(self.newest)),
            "pageInfo" => Found::Thing(Thing::PageInfo(Rc::clone(self))),
            "nodes" => Found::List(self.items.iter().map(|(_, thing)| Ok(thing.clone())).collect()),
            "edges" => {
                Found::List((0..self.items.len()).map(|place| Ok(Thing::Edge(Rc::clone(self), place))).collect())
            }
            _ => Found::Unknown,
        }
    }

    /// Returns a field of the description of the page.
    pub(super) fn page_field(&self, name: &str) -> Found {
        let cursor_of =
            |item: Option<&(Key, Thing)>| Found::Leaf(item.map_or(Value::Null, |(key, _)| cursor::write(*key).into()));
        match name {
            "hasNextPage" => Found::leaf(self.has_next),
            "hasPreviousPage" => Found::leaf(self.has_previous),
            "startCursor" => cursor_of(self.items.first()),
            "endCursor" => cursor_of(self.items.last()),
            _ => Found::Unknown,
        }
    }

    /// Returns a field of an edge.
    pub(super) fn edge_field(&self, place: usize, name: &str) -> Found {
        match name {
            "cursor" => Found::leaf(cursor::write(self.items[place].0)),
            "node" => Found::Thing(self.items[place].1.clone()),
            _ => Found::Unknown,
        }
    }
}

/// Puts items in the order that `orderBy` asks for, which ascends if it asks for none.
pub(super) fn ordered(arguments: &JsonMap, mut items: Vec<(Key, Thing)>) -> Vec<(Key, Thing)> {
    items.sort_by_key(|(key, _)| *key);
    if order(arguments, "direction") == Some("DESC") {
        items.reverse();
    }
    items
}

/// Returns a member of `orderBy`.
pub(super) fn order<'a>(arguments: &'a JsonMap, member: &str) -> Option<&'a str> {
    arguments.get("orderBy")?.as_object()?.get(member)?.as_str()
}

fn size_in(arguments: &JsonMap, name: &str) -> Option<usize> {
    arguments.get(name).and_then(JsonValue::as_u64).and_then(|size| usize::try_from(size).ok())
}

fn cursor_in(arguments: &JsonMap, name: &str) -> Result<Option<Key>, FieldError> {
    let Some(text) = arguments.get(name).and_then(JsonValue::as_str) else { return Ok(None) };
    let wrong = || error::typed("INVALID_CURSOR_ARGUMENTS", &format!("`{text}` does not appear to be a valid cursor."));
    cursor::read(text).map(Some).ok_or_else(wrong)
}
