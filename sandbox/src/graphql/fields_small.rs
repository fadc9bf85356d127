//! Fields of what is inside of issues and pull requests, and of the small things around them.

use std::rc::Rc;

use serde_json::Value;

use super::fields_item::of_words;
use super::thing::{Found, ItemRef, Site, Thing};
use super::world::World;
use crate::repositories::Owner;
use crate::rest::{DIFF_HUNK, merge_oid, node_id};
use crate::tracker::{Reactions, ReviewComment, public_id, written};

/// Returns a field of a comment on an issue or pull request.
pub(super) fn of_comment(world: &World<'_>, item: &ItemRef, position: usize, name: &str) -> Found {
    let comment = &item.get().comments[position];
    let id = public_id(item.site.repository.id, comment.serial);
    match name {
        "databaseId" => Found::small_id(id),
        "fullDatabaseId" => Found::leaf(id.to_string()),
        "isMinimized" => Found::leaf(comment.minimized),
        "minimizedReason" => Found::leaf(comment.minimized.then_some("off-topic")),
        "reactionGroups" => reaction_groups(&comment.reactions),
        _ => {
            let words = (comment.author.as_ref(), comment.body.as_str());
            of_words(world, item, words, (comment.created_at, comment.updated_at), name)
        }
    }
}

/// Returns a field of a review.
pub(super) fn of_review(world: &World<'_>, item: &ItemRef, position: usize, name: &str) -> Found {
    let review = &item.pull().reviews[position];
    let id = public_id(item.site.repository.id, review.serial);
    match name {
        "databaseId" => Found::small_id(id),
        "fullDatabaseId" => Found::leaf(id.to_string()),
        "state" => Found::leaf(review.state.as_str()),
        "commit" => Found::Thing(Thing::Commit(Rc::clone(&item.site), item.pull().head_oid.clone())),
        "comments" => line_comments(item, |comment| comment.review == review.serial),
        _ => {
            let words = (review.author.as_ref(), review.body.as_str());
            of_words(world, item, words, (review.submitted_at, review.updated_at), name)
        }
    }
}

/// Returns a field of a comment on a line.
pub(super) fn of_line_comment(world: &World<'_>, item: &ItemRef, position: usize, name: &str) -> Found {
    let pull = item.pull();
    let on_line = &pull.comments[position];
    let comment = &on_line.comment;
    let id = public_id(item.site.repository.id, comment.serial);
    let thread = pull.threads.iter().find(|thread| thread.serial == on_line.thread);
    match name {
        "databaseId" => Found::small_id(id),
        "fullDatabaseId" => Found::leaf(id.to_string()),
        "isMinimized" => Found::leaf(comment.minimized),
        "minimizedReason" => Found::leaf(comment.minimized.then_some("off-topic")),
        "path" => Found::leaf(thread.map_or("", |thread| &thread.path)),
        "line" | "originalLine" => Found::leaf(thread.map(|thread| thread.line)),
        "diffHunk" => Found::leaf(DIFF_HUNK),
        "reactionGroups" => reaction_groups(&comment.reactions),
        "commit" | "originalCommit" => Found::Thing(Thing::Commit(Rc::clone(&item.site), pull.head_oid.clone())),
        "replyTo" => {
            let first = pull.comments.iter().position(|other| other.thread == on_line.thread);
            Found::thing(first.filter(|first| *first != position).map(|first| Thing::LineComment(item.clone(), first)))
        }
        "pullRequestReview" => {
            let review = pull.reviews.iter().position(|review| review.serial == on_line.review);
            Found::thing(review.map(|review| Thing::Review(item.clone(), review)))
        }
        _ => {
            let words = (comment.author.as_ref(), comment.body.as_str());
            of_words(world, item, words, (comment.created_at, comment.updated_at), name)
        }
    }
}

/// Returns a field of a thread.
pub(super) fn of_thread(item: &ItemRef, position: usize, name: &str) -> Found {
    let thread = &item.pull().threads[position];
    match name {
        "isResolved" | "isCollapsed" => Found::leaf(thread.resolved),
        "isOutdated" => Found::leaf(false),
        "resolvedBy" => Found::person(thread.resolved_by.as_ref()),
        "path" => Found::leaf(thread.path.as_str()),
        "line" | "originalLine" => Found::leaf(thread.line),
        "pullRequest" => Found::Thing(Thing::Item(item.clone())),
        "repository" => Found::Thing(Thing::Repository(Rc::clone(&item.site))),
        "comments" => line_comments(item, |comment| comment.thread == thread.serial),
        _ => Found::Unknown,
    }
}

/// Returns those comments on lines that belong to a connection.
fn line_comments(item: &ItemRef, belongs: impl Fn(&ReviewComment) -> bool) -> Found {
    let comments = item.pull().comments.iter().enumerate().filter(|(_, comment)| belongs(comment));
    let things = comments.map(|(place, comment)| {
        ((comment.comment.created_at, comment.comment.serial), Thing::LineComment(item.clone(), place))
    });
    Found::Items(things.collect())
}

/// Returns a field of an event.
pub(super) fn of_event(world: &World<'_>, item: &ItemRef, position: usize, name: &str) -> Found {
    let event = &item.get().events[position];
    let detail = event.details.get(name);
    match name {
        "actor" => Found::person(event.actor.as_ref()),
        "createdAt" | "referencedAt" => Found::leaf(written(event.at)),
        "label" => Found::Thing(Thing::label_of(item, event)),
        "labelable" | "closable" | "lockable" | "subject" | "target" | "pullRequest" | "issue" => {
            Found::Thing(Thing::Item(item.clone()))
        }
        // What mentioned this one may be deleted by now; what is left of it then is a neutral issue.
        "source" => match detail.and_then(Value::as_u64) {
            Some(number) if item.site.loaded.model.items.contains_key(&number) => {
                Found::Thing(Thing::Item(ItemRef { site: Rc::clone(&item.site), number }))
            }
            _ => Found::Unknown,
        },
        // One that is gone, or that the caller may not see, is null.
        "fromRepository" => {
            let repository = detail.and_then(Value::as_u64).and_then(|id| world.node(&node_id("Repository", id)).ok());
            Found::thing(repository)
        }
        "commit" => {
            Found::thing(item.get().pull.as_ref().map(|pull| Thing::Commit(Rc::clone(&item.site), merge_oid(pull))))
        }
        _ => detail.map_or(Found::Unknown, |value| Found::Leaf(value.clone())),
    }
}

/// Returns the groups of reactions, all eight of them as at GitHub.
pub(super) fn reaction_groups(reactions: &Reactions) -> Found {
    let groups = [
        ("THUMBS_UP", "+1"),
        ("THUMBS_DOWN", "-1"),
        ("LAUGH", "laugh"),
        ("HOORAY", "hooray"),
        ("CONFUSED", "confused"),
        ("HEART", "heart"),
        ("ROCKET", "rocket"),
        ("EYES", "eyes"),
    ];
    let count = |name: &str| reactions.get(name).copied().unwrap_or_default();
    Found::List(groups.into_iter().map(|(content, name)| Ok(Thing::Reactions(content, count(name)))).collect())
}

/// Returns how many reactions there are.
pub(super) fn total(reactions: &Reactions) -> usize {
    usize::try_from(reactions.values().sum::<u64>()).unwrap_or(usize::MAX)
}

/// Returns a field of a group of reactions. Who reacted is not known.
pub(super) fn of_reactions(content: &str, count: u64, name: &str) -> Found {
    match name {
        "content" => Found::leaf(content),
        "reactors" | "users" => Found::Counted(Vec::new(), usize::try_from(count).unwrap_or(usize::MAX)),
        _ => Found::Unknown,
    }
}

/// Returns a field of a user or organisation.
pub(super) fn of_account(world: &World<'_>, owner: &Owner, name: &str) -> Found {
    let web = &world.origin.web;
    match name {
        "login" => Found::leaf(owner.login.as_str()),
        "id" => Found::leaf(node_id(if owner.is_user { "User" } else { "Organization" }, owner.id)),
        "databaseId" => Found::small_id(owner.id),
        "url" => Found::leaf(format!("{web}/{}", owner.login)),
        "resourcePath" => Found::leaf(format!("/{}", owner.login)),
        "avatarUrl" => Found::leaf(format!("{web}/avatars/u/{}?v=4", owner.id)),
        _ => Found::Unknown,
    }
}

/// Returns a field of a person.
pub(super) fn of_person(world: &World<'_>, login: &str, name: &str) -> Found {
    of_account(world, &Owner::user(login), name)
}

/// Returns a field of a branch.
pub(super) fn of_branch(site: &Rc<Site>, branch: &str, name: &str) -> Found {
    match name {
        "name" => Found::leaf(branch),
        "prefix" => Found::leaf("refs/heads/"),
        "repository" => Found::Thing(Thing::Repository(Rc::clone(site))),
        _ => Found::Unknown,
    }
}

/// Returns a field of a commit.
pub(super) fn of_commit(site: &Rc<Site>, oid: &str, name: &str) -> Found {
    match name {
        "oid" => Found::leaf(oid),
        "abbreviatedOid" => Found::leaf(&oid[..7]),
        "repository" => Found::Thing(Thing::Repository(Rc::clone(site))),
        _ => Found::Unknown,
    }
}

/// Returns a field of the one commit of a pull request.
pub(super) fn of_pull_commit(item: &ItemRef, name: &str) -> Found {
    match name {
        "commit" => Found::Thing(Thing::Commit(Rc::clone(&item.site), item.pull().head_oid.clone())),
        "pullRequest" => Found::Thing(Thing::Item(item.clone())),
        _ => Found::Unknown,
    }
}

/// Returns a field of what is left of the budget.
pub(super) fn of_rate_limit(world: &World<'_>, name: &str) -> Found {
    let budget = &world.state.graphql_budget;
    match name {
        "cost" => Found::leaf(world.points),
        "limit" => Found::leaf(budget.limit()),
        "remaining" => Found::leaf(budget.limit().saturating_sub(budget.used())),
        "used" => Found::leaf(budget.used()),
        "resetAt" => Found::leaf(written(budget.reset())),
        "nodeCount" => Found::leaf(world.nodes),
        _ => Found::Unknown,
    }
}
