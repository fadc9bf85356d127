//! A conversation in the order in which it happened: comments, reviews, their threads, and events.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::events::is_event;
use super::item::{id, list, login, text, time};

/// Something that happened.
#[derive(Clone, Debug)]
pub struct Timed<'a> {
    /// When; none if nothing says it.
    pub at: Option<DateTime<Utc>>,
    /// What.
    pub entry: Entry<'a>,
}

/// What happened.
#[derive(Clone, Debug)]
pub enum Entry<'a> {
    /// Somebody commented.
    Comment(&'a Value),
    /// Somebody reviewed the pull request.
    Review(&'a Value),
    /// Somebody commented on a line, and others answered.
    Thread(Thread<'a>),
    /// Anything else.
    Event(&'a Value),
}

/// Comments on one line of a file.
#[derive(Clone, Debug, Default)]
pub struct Thread<'a> {
    /// The file.
    pub path: &'a str,
    /// The line, as far as GitHub still knows it.
    pub line: Option<u64>,
    /// Whether it is resolved; none if that is not stored.
    pub is_resolved: Option<bool>,
    /// Who resolved it, or nothing.
    pub resolved_by: &'a str,
    /// Whether the line has changed since.
    pub is_outdated: bool,
    /// The comments, oldest first.
    pub comments: Vec<&'a Value>,
}

/// Orders everything in a number's file by time. What has no time stays behind what stood before it.
pub fn conversation(file: &Value) -> Vec<Timed<'_>> {
    let mut all: Vec<Timed<'_>> = Vec::new();
    let mut last = None;
    for event in list(file, "timeline").iter().filter(|item| is_event(item)) {
        let at = time(event, "createdAt").or_else(|| time(event.get("commit")?, "committedDate"));
        last = at.or(last);
        all.push(Timed { at: last, entry: Entry::Event(event) });
    }
    for comment in list(file, "comments") {
        all.push(Timed { at: time(comment, "created_at"), entry: Entry::Comment(comment) });
    }
    // One that only holds comments on lines says nothing of its own.
    let says_something = |review: &&Value| !text(review, "body").is_empty() || text(review, "state") != "COMMENTED";
    for review in list(file, "reviews").iter().filter(says_something) {
        all.push(Timed { at: time(review, "submittedAt"), entry: Entry::Review(review) });
    }
    for thread in threads(file) {
        let at = thread.comments.iter().find_map(|comment| time(comment, "created_at"));
        all.push(Timed { at, entry: Entry::Thread(thread) });
    }
    // At the same moment, the review comes before its threads and the comment before the event that it caused.
    let rank = |entry: &Entry<'_>| match entry {
        Entry::Comment(_) => 0,
        Entry::Review(_) => 1,
        Entry::Thread(_) => 2,
        Entry::Event(_) => 3,
    };
    all.sort_by_key(|timed| (timed.at, rank(&timed.entry)));
    all
}

/// Puts the comments on lines into their threads, in the order of their first comments.
fn threads(file: &Value) -> Vec<Thread<'_>> {
    let mut thread_of: HashMap<u64, usize> = HashMap::new();
    let stored = list(file, "review_threads");
    for (number, thread) in stored.iter().enumerate() {
        let comments = thread.get("comments").map(|comments| list(comments, "nodes")).unwrap_or_default();
        thread_of.extend(comments.iter().filter_map(|comment| Some((id(comment, "fullDatabaseId")?, number))));
    }
    let mut comments: Vec<&Value> = list(file, "review_comments").iter().collect();
    comments.sort_by_key(|comment| (time(comment, "created_at"), id(comment, "id")));
    // What no stored thread holds belongs to the comment that it answers.
    let mut threads: Vec<(usize, Thread<'_>)> = Vec::new();
    let mut next = stored.len();
    for comment in comments {
        let own = id(comment, "id");
        let known =
            [own, id(comment, "in_reply_to_id")].into_iter().flatten().find_map(|id| thread_of.get(&id)).copied();
        let number = known.unwrap_or(next);
        next += usize::from(known.is_none());
        thread_of.extend(own.map(|own| (own, number)));
        match threads.iter_mut().find(|(known, _)| *known == number) {
            Some((_, thread)) => thread.comments.push(comment),
            None => threads.push((number, begun(comment, stored.get(number)))),
        }
    }
    threads.into_iter().map(|(_, thread)| thread).collect()
}

/// Begins a thread with its first comment.
fn begun<'a>(comment: &'a Value, stored: Option<&'a Value>) -> Thread<'a> {
    let flag = |name: &str| stored.and_then(|stored| stored.get(name)).and_then(Value::as_bool);
    let lines = [stored.and_then(|stored| stored.get("line")), comment.get("line"), comment.get("original_line")];
    Thread {
        path: text(comment, "path"),
        line: lines.into_iter().flatten().find_map(Value::as_u64),
        is_resolved: flag("isResolved"),
        resolved_by: stored
            .filter(|it| it.get("resolvedBy").is_some_and(Value::is_object))
            .map_or("", |it| login(it, "resolvedBy")),
        is_outdated: flag("isOutdated").unwrap_or(false),
        comments: vec![comment],
    }
}

/// Tells how somebody reviewed.
pub fn review_told(review: &Value) -> &'static str {
    match text(review, "state") {
        "APPROVED" => "approved the changes",
        "CHANGES_REQUESTED" => "requested changes",
        "DISMISSED" => "reviewed the changes; the review was dismissed",
        "PENDING" => "has begun a review",
        _ => "reviewed the changes",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn everything_is_in_the_order_of_time_and_answers_stand_below_what_they_answer() {
        let file = json!({
            "comments": [{"id": 1, "created_at": "2026-01-02T00:00:00Z"}],
            "reviews": [
                {"state": "APPROVED", "submittedAt": "2026-01-04T00:00:00Z"},
                {"state": "COMMENTED", "body": "", "submittedAt": "2026-01-03T00:00:00Z"},
            ],
            "review_comments": [
                {"id": 8, "in_reply_to_id": 7, "path": "a", "created_at": "2026-01-03T02:00:00Z"},
                {"id": 7, "path": "a", "line": 3, "created_at": "2026-01-03T01:00:00Z"},
                {"id": 9, "path": "b", "created_at": "2026-01-01T00:00:00Z"},
            ],
            "review_threads": [{"isResolved": true, "resolvedBy": null, "comments": {"nodes": [{"fullDatabaseId": "7"}]}}],
            "timeline": [
                {"__typename": "LabeledEvent", "createdAt": "2026-01-02T00:00:00Z"},
                {"__typename": "NoTimeEvent"},
                {"__typename": "IssueComment", "fullDatabaseId": "1"},
            ],
        });
        let kinds: Vec<String> = conversation(&file)
            .into_iter()
            .map(|timed| match timed.entry {
                Entry::Comment(_) => "comment".to_owned(),
                Entry::Review(_) => "review".to_owned(),
                Entry::Thread(thread) => {
                    format!("{} {:?} {:?} of {}", thread.path, thread.line, thread.is_resolved, thread.comments.len())
                }
                Entry::Event(event) => text(event, "__typename").to_owned(),
            })
            .collect();
        assert_eq!(
            kinds,
            ["b None None of 1", "comment", "LabeledEvent", "NoTimeEvent", "a Some(3) Some(true) of 2", "review"]
        );
    }
}
