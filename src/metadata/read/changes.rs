//! What changed in one issue or pull request from one stored state to the next.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;
use similar::{ChangeTag, TextDiff};

use super::events::{is_event, told};
use super::item::{GHOST, Gone, Item, gone, id, list, login, text};

/// A comparison of two huge texts ends after this long, and is then less fine.
const COMPARING_MAX: Duration = Duration::from_millis(500);
/// How many words are shown on each side of a difference.
const CONTEXT_WORDS: usize = 4;
/// A difference is cut to this many characters.
const DIFFERENCE_CHARS_MAX: usize = 600;

/// One change; a contract with scripts. The texts may hold anything.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// What it is about: `title`, `body`, `state`, `label`, `assignee`, `milestone`, `comment`, `review`, `review comment`,
    /// `thread`, `event`, `number`, `other`.
    pub what: &'static str,
    /// How it changed: `added`, `edited`, `removed`, `gone`.
    pub how: &'static str,
    /// Of whom, or of which one; may be empty.
    pub which: String,
    /// What it is now, or the words that differ: `[-removed-]` and `{+added+}`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub detail: String,
}

impl Change {
    fn new(what: &'static str, how: &'static str, which: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { what, how, which: which.into(), detail: detail.into() }
    }
}

/// Compares two states of a number's file; `None` is a state without it. Never empty if the files differ.
pub fn changes(number: u64, before: Option<&Value>, after: Option<&Value>) -> Vec<Change> {
    let (before, after) = match (before, after) {
        (None, None) => return Vec::new(),
        (None, Some(after)) => {
            let item = Item::new(number, after);
            let mut changes = vec![Change::new("number", "added", item.kind(), item.state())];
            changes.extend(item.gone().map(number_gone));
            return changes;
        }
        (Some(_), None) => return vec![Change::new("number", "removed", "", "")],
        (Some(before), Some(after)) => (before, after),
    };
    let (old, new) = (Item::new(number, before), Item::new(number, after));
    let mut changes = Vec::new();
    if let Some(gone) = new.gone().filter(|_| old.gone().is_none()) {
        changes.push(number_gone(gone));
    }
    if old.gone().is_some() && new.gone().is_none() {
        changes.push(Change::new("number", "edited", "", "is on GitHub again"));
    }
    if old.title() != new.title() {
        changes.push(Change::new("title", "edited", "", difference(old.title(), new.title())));
    }
    if old.body() != new.body() {
        changes.push(Change::new("body", "edited", "", difference(old.body(), new.body())));
    }
    if old.state() != new.state() {
        changes.push(Change::new("state", "edited", "", format!("{}, was {}", new.state(), old.state())));
    }
    sets(&mut changes, "label", old.labels(), new.labels());
    sets(&mut changes, "assignee", old.assignees(), new.assignees());
    if old.milestone() != new.milestone() {
        let named = |name: &str| if name.is_empty() { "none".to_owned() } else { name.to_owned() };
        let detail = format!("{}, was {}", named(new.milestone()), named(old.milestone()));
        changes.push(Change::new("milestone", "edited", "", detail));
    }
    for (what, member, key, author) in [
        ("comment", "comments", "id", "user"),
        ("review", "reviews", "fullDatabaseId", "author"),
        ("review comment", "review_comments", "id", "user"),
    ] {
        texts(&mut changes, (what, key, author), list(before, member), list(after, member));
    }
    threads(&mut changes, list(before, "review_threads"), list(after, "review_threads"));
    events(&mut changes, list(before, "timeline"), list(after, "timeline"));
    if changes.is_empty() && before != after {
        changes.push(Change::new("other", "edited", "", ""));
    }
    changes
}

fn number_gone(gone: Gone<'_>) -> Change {
    Change::new("number", "gone", "", how_gone(&gone))
}

/// Tells how something went: `deleted`, or `transferred to acme/other#5`.
pub fn how_gone(gone: &Gone<'_>) -> String {
    match (gone.how, gone.to) {
        ("", _) => "gone".to_owned(),
        ("unreadable", _) => "no longer readable".to_owned(),
        (how, "") => how.to_owned(),
        (how, to) => format!("{how} to {to}"),
    }
}

fn sets<'a>(
    changes: &mut Vec<Change>,
    what: &'static str,
    old: impl Iterator<Item = &'a str>,
    new: impl Iterator<Item = &'a str>,
) {
    let (old, new): (BTreeSet<&str>, BTreeSet<&str>) = (old.collect(), new.collect());
    changes.extend(new.difference(&old).map(|name| Change::new(what, "added", *name, "")));
    changes.extend(old.difference(&new).map(|name| Change::new(what, "removed", *name, "")));
}

/// Compares things that have an id, an author and a body.
fn texts(changes: &mut Vec<Change>, (what, key, author): (&'static str, &str, &str), old: &[Value], new: &[Value]) {
    let before: BTreeMap<u64, &Value> = old.iter().filter_map(|it| Some((id(it, key)?, it))).collect();
    let after: BTreeMap<u64, &Value> = new.iter().filter_map(|it| Some((id(it, key)?, it))).collect();
    for (id, new) in &after {
        let change = |how, detail: String| Change::new(what, how, login(new, author), detail);
        match before.get(id) {
            None => {
                changes.push(change("added", text(new, "body").to_owned()));
                changes.extend(gone(new).map(|mark| change("gone", how_gone(&mark))));
            }
            Some(old) => {
                if text(old, "body") != text(new, "body") {
                    changes.push(change("edited", difference(text(old, "body"), text(new, "body"))));
                }
                if text(old, "state") != text(new, "state") {
                    changes.push(change("edited", format!("{}, was {}", text(new, "state"), text(old, "state"))));
                }
                changes.extend(gone(new).filter(|_| gone(old).is_none()).map(|mark| change("gone", how_gone(&mark))));
            }
        }
    }
    for (_, old) in before.iter().filter(|(id, _)| !after.contains_key(*id)) {
        changes.push(Change::new(what, "removed", login(old, author), ""));
    }
}

fn threads(changes: &mut Vec<Change>, old: &[Value], new: &[Value]) {
    let resolved = |thread: &Value| thread.get("isResolved").and_then(Value::as_bool).unwrap_or(false);
    for thread in new {
        let before = old.iter().find(|before| text(before, "id") == text(thread, "id"));
        let was = before.is_some_and(resolved);
        if resolved(thread) != was {
            let by = login(thread, "resolvedBy");
            let detail = match (was, by) {
                (true, _) => "no longer resolved".to_owned(),
                (false, GHOST) => "resolved".to_owned(),
                (false, by) => format!("resolved by {by}"),
            };
            changes.push(Change::new("thread", "edited", text(thread, "path"), detail));
        }
    }
}

/// Tells new events, unless what they did is told already.
fn events(changes: &mut Vec<Change>, old: &[Value], new: &[Value]) {
    const TOLD: &[&str] = &[
        "AssignedEvent",
        "DemilestonedEvent",
        "LabeledEvent",
        "MentionedEvent",
        "MilestonedEvent",
        "RenamedTitleEvent",
        "SubscribedEvent",
        "UnassignedEvent",
        "UnlabeledEvent",
    ];
    let known: BTreeSet<&str> = old.iter().map(|event| text(event, "id")).collect();
    for event in new.iter().filter(|event| is_event(event) && !known.contains(text(event, "id"))) {
        if !TOLD.contains(&text(event, "__typename")) {
            changes.push(Change::new("event", "added", login(event, "actor"), told(event)));
        }
    }
}

/// Shows the words that differ, with a few around them.
fn difference(old: &str, new: &str) -> String {
    let diff = TextDiff::configure().timeout(COMPARING_MAX).diff_words(old, new);
    let mut out = String::new();
    let ops = diff.grouped_ops(2 * CONTEXT_WORDS);
    for (number, group) in ops.iter().enumerate() {
        let begins_inside = group.first().is_some_and(|op| op.old_range().start > 0);
        if number > 0 || begins_inside {
            out.push('…');
        }
        for op in group {
            let mut tag = ChangeTag::Equal;
            for change in diff.iter_changes(op) {
                if change.tag() != tag {
                    out.push_str(closing(tag));
                    tag = change.tag();
                    out.push_str(opening(tag));
                }
                out.push_str(change.value());
            }
            out.push_str(closing(tag));
        }
    }
    let ends_inside =
        ops.last().and_then(|group| group.last()).is_some_and(|op| op.old_range().end < diff.old_slices().len());
    if ends_inside {
        out.push('…');
    }
    match out.char_indices().nth(DIFFERENCE_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &out[..end]),
        None => out,
    }
}

fn opening(tag: ChangeTag) -> &'static str {
    match tag {
        ChangeTag::Equal => "",
        ChangeTag::Delete => "[-",
        ChangeTag::Insert => "{+",
    }
}

fn closing(tag: ChangeTag) -> &'static str {
    match tag {
        ChangeTag::Equal => "",
        ChangeTag::Delete => "-]",
        ChangeTag::Insert => "+}",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_words_that_differ_are_shown_with_a_few_around_them() {
        assert_eq!(difference("the quick fox", "the slow fox"), "the [-quick-]{+slow+} fox");
        assert_eq!(difference("", "new"), "{+new+}");
        let long = "one two three four five six seven eight nine ten";
        assert_eq!(
            difference(long, &long.replace("six", "SIX")),
            "…two three four five [-six-]{+SIX+} seven eight nine ten"
        );
    }

    #[test]
    fn changes_are_told_by_what_changed() {
        let before = json!({
            "issue": {"title": "Old", "state": "open", "labels": [{"name": "bug"}], "body": null},
            "comments": [{"id": 1, "user": {"login": "ada"}, "body": "one"}, {"id": 2, "user": null, "body": "two"}],
            "review_threads": [{"id": "t", "isResolved": false, "path": "a.rs"}],
        });
        let after = json!({
            "issue": {"title": "New", "state": "closed", "labels": [{"name": "done"}], "body": null},
            "comments": [
                {"id": 1, "user": {"login": "ada"}, "body": "ONE"},
                {"id": 2, "user": null, "body": "two", "ghbk": {"gone": "2026-11-27T10:00:00Z", "how": "deleted"}},
                {"id": 3, "user": {"login": "bob"}, "body": "three"},
            ],
            "review_threads": [{"id": "t", "isResolved": true, "resolvedBy": {"login": "bob"}, "path": "a.rs"}],
            "timeline": [{"__typename": "ClosedEvent", "id": "e", "actor": null}],
        });
        let told: Vec<String> = changes(1, Some(&before), Some(&after))
            .iter()
            .map(|change| format!("{} {} {} {}", change.what, change.how, change.which, change.detail))
            .collect();
        insta::assert_snapshot!(told.join("\n"), @r"
        title edited  [-Old-]{+New+}
        state edited  closed, was open
        label added done 
        label removed bug 
        comment edited ada [-one-]{+ONE+}
        comment gone ghost deleted
        comment added bob three
        thread edited a.rs resolved by bob
        event added ghost closed it
        ");
        assert!(changes(1, Some(&before), Some(&before)).is_empty());
        let other = json!({"issue": {"title": "New", "locked": true}});
        let same = json!({"issue": {"title": "New", "locked": false}});
        assert_eq!(changes(1, Some(&same), Some(&other))[0].what, "other");
    }
}
