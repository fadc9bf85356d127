//! Fields of issues and pull requests.

use std::rc::Rc;

use apollo_compiler::resolvers::ResolveInfo;
use apollo_compiler::response::{JsonMap, JsonValue};
use serde_json::Value;

use super::connection::ordered;
use super::fields_small;
use super::thing::{Found, ItemRef, Thing};
use super::world::World;
use crate::cursor::Key;
use crate::rest::{ADDITIONS, CHANGED_FILES, DELETIONS, association, merge_oid};
use crate::tracker::{Pull, public_id, read_time, written};

/// Returns a field of an issue or pull request.
pub(super) fn of_item(world: &World<'_>, item_ref: &ItemRef, info: &ResolveInfo<'_>) -> Found {
    let (item, site, name) = (item_ref.get(), &item_ref.site, info.field_name());
    let repository = &site.repository;
    let id = public_id(repository.id, item.pull.as_ref().map_or(item.serial, |pull| pull.serial));
    let path =
        format!("/{}/{}/{}", repository.name, if item.pull.is_some() { "pull" } else { "issues" }, item_ref.number);
    match name {
        "databaseId" => Found::small_id(id),
        "fullDatabaseId" => Found::leaf(id.to_string()),
        "number" => Found::leaf(item_ref.number),
        "title" | "titleHTML" => Found::leaf(item.title.as_str()),
        "body" | "bodyText" => Found::leaf(item.body.as_str()),
        "state" => Found::leaf(item.state()),
        "stateReason" => Found::leaf(item.reason().map(str::to_ascii_uppercase)),
        "closed" => Found::leaf(item.closed.is_some()),
        "closedAt" => Found::leaf(item.closed.as_ref().map(|closed| written(closed.at))),
        "createdAt" | "publishedAt" => Found::leaf(written(item.created_at)),
        "updatedAt" => Found::leaf(written(item.updated_at)),
        "locked" => Found::leaf(item.locked),
        "author" => Found::person(item.author.as_ref()),
        "authorAssociation" => Found::leaf(association(world.state, repository, item.author.as_ref())),
        "url" | "permalink" => Found::leaf(format!("{}{path}", world.origin.web)),
        "resourcePath" => Found::leaf(path),
        "repository" => Found::Thing(Thing::Repository(Rc::clone(site))),
        "milestone" => Found::thing(item.milestone.map(|number| Thing::Milestone(Rc::clone(site), number))),
        "labels" => {
            let labels = item.labels.iter().filter_map(|serial| site.loaded.model.label(*serial));
            let things = labels
                .map(|label| ((label.created_at, label.serial), Thing::Label(Rc::clone(site), label.clone())))
                .collect();
            Found::Items(ordered(info.arguments(), things))
        }
        "comments" => {
            let things = item
                .comments
                .iter()
                .enumerate()
                .map(|(place, comment)| ((comment.created_at, comment.serial), Thing::Comment(item_ref.clone(), place)))
                .collect();
            Found::Items(ordered(info.arguments(), things))
        }
        "reactionGroups" => fields_small::reaction_groups(&item.reactions),
        "reactions" => Found::Counted(Vec::new(), fields_small::total(&item.reactions)),
        "timelineItems" => timeline(item_ref, info.arguments()),
        _ => match &item.pull {
            Some(pull) => of_pull(item_ref, pull, name),
            None => Found::Unknown,
        },
    }
}

/// Returns a field that only pull requests have.
fn of_pull(item: &ItemRef, pull: &Pull, name: &str) -> Found {
    let site = &item.site;
    match name {
        "additions" => Found::leaf(ADDITIONS),
        "deletions" => Found::leaf(DELETIONS),
        "changedFiles" => Found::leaf(CHANGED_FILES),
        "merged" => Found::leaf(pull.merged.is_some()),
        "mergedAt" => Found::leaf(pull.merged.as_ref().map(|merged| written(merged.at))),
        "mergedBy" => Found::person(pull.merged.as_ref().and_then(|merged| merged.by.as_ref())),
        "mergeCommit" => Found::thing(pull.merged.as_ref().map(|_| Thing::Commit(Rc::clone(site), merge_oid(pull)))),
        "headRefName" => Found::leaf(pull.head.as_str()),
        "headRefOid" => Found::leaf(pull.head_oid.as_str()),
        "headRepository" => Found::thing((!pull.head_gone).then(|| Thing::Repository(Rc::clone(site)))),
        "baseRefName" => Found::leaf(pull.base.as_str()),
        "baseRefOid" => Found::leaf(pull.base_oid.as_str()),
        "baseRepository" => Found::Thing(Thing::Repository(Rc::clone(site))),
        "totalCommentsCount" => Found::leaf(item.get().comments.len() + pull.comments.len()),
        "commits" => Found::Items(vec![((0, 0), Thing::PullCommit(item.clone()))]),
        "reviews" => {
            let reviews = pull.reviews.iter().enumerate();
            Found::Items(
                reviews
                    .map(|(place, review)| ((review.submitted_at, review.serial), Thing::Review(item.clone(), place)))
                    .collect(),
            )
        }
        "reviewThreads" => {
            let threads = pull.threads.iter().enumerate();
            Found::Items(
                threads.map(|(place, thread)| ((0, thread.serial), Thing::Thread(item.clone(), place))).collect(),
            )
        }
        _ => Found::Unknown,
    }
}

/// Returns the timeline: what happened, and what was written in between.
fn timeline(item_ref: &ItemRef, arguments: &JsonMap) -> Found {
    let item = item_ref.get();
    let events = item.events.iter().enumerate();
    let events = events.map(|(place, event)| ((event.at, event.serial), Thing::Event(item_ref.clone(), place)));
    let comments = item
        .comments
        .iter()
        .enumerate()
        .map(|(place, comment)| ((comment.created_at, comment.serial), Thing::Comment(item_ref.clone(), place)));
    let reviews = item
        .pull
        .iter()
        .flat_map(|pull| &pull.reviews)
        .enumerate()
        .map(|(place, review)| ((review.submitted_at, review.serial), Thing::Review(item_ref.clone(), place)));
    let mut all: Vec<(Key, Thing)> = events.chain(comments).chain(reviews).collect();
    all.sort_by_key(|(key, _)| *key);
    if let Some(since) = arguments.get("since").and_then(JsonValue::as_str).and_then(read_time) {
        all.retain(|((at, _), _)| *at >= since);
    }
    let unfiltered = all.len();
    if let Some(types) = arguments.get("itemTypes").and_then(JsonValue::as_array) {
        all.retain(|(_, thing)| {
            let name = screaming(thing.type_name());
            types.iter().any(|wanted| wanted.as_str() == Some(name.as_str()))
        });
    }
    // Measured at GitHub: the total of a pull request ignores the types.
    let total = if item.pull.is_some() { unfiltered } else { all.len() };
    Found::Counted(all, total)
}

/// Returns a type's name as the enumeration of a timeline's types has it: `LABELED_EVENT`.
fn screaming(name: &str) -> String {
    let mut text = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !text.is_empty() {
            text.push('_');
        }
        text.push(letter.to_ascii_uppercase());
    }
    text
}

/// Returns the fields that whatever is written has.
pub(super) fn of_words(
    world: &World<'_>,
    item: &ItemRef,
    (author, body): (Option<&String>, &str),
    (created_at, updated_at): (i64, i64),
    name: &str,
) -> Found {
    match name {
        "author" => Found::person(author),
        "authorAssociation" => Found::leaf(association(world.state, &item.site.repository, author)),
        "body" | "bodyText" => Found::leaf(body),
        "createdAt" | "publishedAt" | "submittedAt" => Found::leaf(written(created_at)),
        "updatedAt" => Found::leaf(written(updated_at)),
        "lastEditedAt" => Found::Leaf(Value::Null),
        "repository" => Found::Thing(Thing::Repository(Rc::clone(&item.site))),
        "issue" => Found::Thing(Thing::Item(item.clone())),
        "pullRequest" => Found::thing(item.get().pull.is_some().then(|| Thing::Item(item.clone()))),
        _ => Found::Unknown,
    }
}
