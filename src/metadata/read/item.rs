//! One issue or pull request, read leniently.

use chrono::{DateTime, Utc};
use serde_json::Value;

/// Stands for an account that GitHub no longer has.
pub const GHOST: &str = "ghost";

/// Returns a text member, or an empty text.
pub fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// Returns a time member, written as RFC 3339.
pub fn time(value: &Value, name: &str) -> Option<DateTime<Utc>> {
    DateTime::parse_from_rfc3339(text(value, name)).ok().map(|time| time.to_utc())
}

/// Returns the account in a member, or [`GHOST`].
pub fn login<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).map(|user| text(user, "login")).filter(|login| !login.is_empty()).unwrap_or(GHOST)
}

/// Returns the elements of a list member; none if it is missing or no list.
pub fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// Returns an id that REST writes as a number and GraphQL as a text.
pub fn id(value: &Value, name: &str) -> Option<u64> {
    let id = value.get(name)?;
    id.as_u64().or_else(|| id.as_str()?.parse().ok())
}

/// Says that GitHub no longer has something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone<'a> {
    /// When that was found.
    pub since: Option<DateTime<Utc>>,
    /// How it went: `deleted`, `transferred`, `unreadable`.
    pub how: &'a str,
    /// Where it was transferred to, or nothing.
    pub to: &'a str,
}

/// Returns the mark on what GitHub no longer has.
pub fn gone(value: &Value) -> Option<Gone<'_>> {
    let mark = value.get("ghbk").filter(|mark| mark.get("gone").is_some_and(|gone| !gone.is_null()))?;
    Some(Gone { since: time(mark, "gone"), how: text(mark, "how"), to: text(mark, "to") })
}

/// An issue or a pull request as it is stored.
#[derive(Clone, Copy, Debug)]
pub struct Item<'a> {
    /// The number, from the name of the file.
    pub number: u64,
    /// The whole file.
    pub file: &'a Value,
    issue: &'a Value,
}

impl<'a> Item<'a> {
    /// Reads a number's file.
    pub fn new(number: u64, file: &'a Value) -> Self {
        // What is known of a pull request that the list of issues lacks.
        let issue = ["issue", "pull_request"].into_iter().filter_map(|name| file.get(name)).find(|it| it.is_object());
        Self { number, file, issue: issue.unwrap_or(&Value::Null) }
    }

    /// Returns the title as a stranger wrote it.
    pub fn title(&self) -> &'a str {
        text(self.issue, "title")
    }

    /// Returns the body as a stranger wrote it.
    pub fn body(&self) -> &'a str {
        text(self.issue, "body")
    }

    /// Returns who opened it.
    pub fn author(&self) -> &'a str {
        login(self.issue, "user")
    }

    /// Says whether it is a pull request.
    pub fn is_pull_request(&self) -> bool {
        let has = |value: &Value| value.get("pull_request").is_some_and(|it| !it.is_null());
        has(self.file) || has(self.issue)
    }

    /// Returns `issue` or `pull request`.
    pub fn kind(&self) -> &'static str {
        if self.is_pull_request() { "pull request" } else { "issue" }
    }

    /// Says whether it is open.
    pub fn is_open(&self) -> bool {
        text(self.issue, "state") != "closed"
    }

    /// Returns `open`, `draft`, `merged`, `closed`, or `closed as …`.
    pub fn state(&self) -> &'static str {
        let flag = |value: Option<&Value>| value.and_then(Value::as_bool).unwrap_or(false);
        let is_merged = flag(self.file.pointer("/pull_request_details/merged"))
            || self.file.pointer("/pull_request/merged_at").is_some_and(Value::is_string);
        match text(self.issue, "state_reason") {
            _ if is_merged => "merged",
            _ if self.is_open() && flag(self.file.pointer("/pull_request/draft")) => "draft",
            _ if self.is_open() => "open",
            "not_planned" => "closed as not planned",
            "duplicate" => "closed as a duplicate",
            _ => "closed",
        }
    }

    /// Returns a time of the issue: `created_at`, `updated_at`, `closed_at`.
    pub fn time(&self, name: &str) -> Option<DateTime<Utc>> {
        time(self.issue, name)
    }

    /// Returns the names of its labels, without those that GitHub no longer has.
    pub fn labels(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        let present = list(self.issue, "labels").iter().filter(|label| gone(label).is_none());
        // Old answers have the name alone.
        present.map(|label| label.as_str().unwrap_or_else(|| text(label, "name"))).filter(|name| !name.is_empty())
    }

    /// Returns its labels as they are stored.
    pub fn stored_labels(&self) -> &'a [Value] {
        list(self.issue, "labels")
    }

    /// Returns its milestone, or nothing.
    pub fn milestone(&self) -> &'a str {
        self.issue.get("milestone").map(|milestone| text(milestone, "title")).unwrap_or_default()
    }

    /// Returns whom it is assigned to.
    pub fn assignees(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        list(self.issue, "assignees").iter().map(|user| text(user, "login")).filter(|login| !login.is_empty())
    }

    /// Says whether some of it could not be fetched.
    pub fn is_incomplete(&self) -> bool {
        self.file.pointer("/ghbk/incomplete").and_then(Value::as_bool).unwrap_or(false)
    }

    /// Returns the mark on a number that GitHub no longer has.
    pub fn gone(&self) -> Option<Gone<'a>> {
        gone(self.file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn nothing_that_is_missing_null_or_of_another_type_is_in_the_way() {
        for file in [
            json!(null),
            json!([]),
            json!({"issue": null, "comments": 5}),
            json!({"issue": {"title": 3, "user": null, "labels": [null, 7], "assignees": {}, "milestone": null}}),
        ] {
            let item = Item::new(1, &file);
            assert_eq!((item.title(), item.body(), item.author()), ("", "", GHOST), "{file}");
            assert_eq!((item.labels().count(), item.assignees().count(), item.milestone()), (0, 0, ""), "{file}");
            assert!(item.gone().is_none() && item.time("created_at").is_none() && !item.is_pull_request());
        }
    }

    #[test]
    fn ids_are_read_as_rest_and_as_graphql_write_them() {
        assert_eq!(id(&json!({"id": 5}), "id"), Some(5));
        assert_eq!(id(&json!({"fullDatabaseId": "5"}), "fullDatabaseId"), Some(5));
        assert_eq!(id(&json!({}), "id"), None);
    }
}
