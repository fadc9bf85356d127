//! A model as plain data, for tests that compare it with a backup. Neither REST's form nor GraphQL's, and no dates.

use serde_json::{Map, Value, json};

use super::model::{Comment, Item, Model, public_id};

/// Returns the items of a repository by number.
pub(super) fn plain(model: &Model, repository: u64) -> Value {
    let items = model.items.iter().map(|(number, item)| (number.to_string(), plain_item(model, repository, item)));
    Value::Object(items.collect::<Map<_, _>>())
}

fn plain_item(model: &Model, repository: u64, item: &Item) -> Value {
    let labels: Vec<_> =
        item.labels.iter().filter_map(|serial| model.label(*serial)).map(|label| &label.name).collect();
    let milestone = item.milestone.and_then(|number| model.milestones.get(&number)).map(|milestone| &milestone.title);
    let comments: Vec<_> = item.comments.iter().map(|comment| plain_comment(repository, comment)).collect();
    let timeline: Vec<_> = item.events.iter().map(|event| &event.kind).collect();
    let mut object = json!({
        "title": item.title,
        "body": item.body,
        "author": item.author,
        "state": item.state(),
        "locked": item.locked,
        "labels": labels,
        "milestone": milestone,
        "reactions": item.reactions,
        "comments": comments,
        "timeline": timeline,
    });
    let Some(pull) = &item.pull else { return object };
    let id = |serial| public_id(repository, serial);
    let of_thread = |thread: u64| {
        let comments = pull.comments.iter().filter(move |comment| comment.thread == thread);
        comments.map(|comment| id(comment.comment.serial)).collect::<Vec<_>>()
    };
    object["reviews"] = pull
        .reviews
        .iter()
        .map(|review| {
            json!({"id": id(review.serial), "state": review.state, "body": review.body, "author": review.author})
        })
        .collect();
    object["review_comments"] =
        pull.comments.iter().map(|comment| plain_comment(repository, &comment.comment)).collect();
    object["threads"] = pull
        .threads
        .iter()
        .map(|thread| {
            json!({
                "path": thread.path,
                "line": thread.line,
                "isResolved": thread.resolved,
                "comments": of_thread(thread.serial),
            })
        })
        .collect();
    object
}

fn plain_comment(repository: u64, comment: &Comment) -> Value {
    json!({
        "id": public_id(repository, comment.serial),
        "body": comment.body,
        "author": comment.author,
        "reactions": comment.reactions,
        "minimized": comment.minimized,
    })
}
