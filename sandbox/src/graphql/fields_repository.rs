//! Fields of the query itself, of repositories, labels and milestones.

use std::rc::Rc;

use apollo_compiler::resolvers::{FieldError, ResolveInfo};
use apollo_compiler::response::{JsonMap, JsonValue};
use chrono::{DateTime, SecondsFormat, Utc};

use super::connection::{order, ordered};
use super::error;
use super::thing::{Found, ItemRef, Site, Thing};
use super::world::World;
use crate::cursor::Key;
use crate::repositories::newest_ref;
use crate::rest::{CREATED_AT, Permission};
use crate::tracker::{Item, Label, written};

/// Returns a field of the query.
pub(super) fn of_query(world: &World<'_>, info: &ResolveInfo<'_>) -> Result<Found, FieldError> {
    let arguments = info.arguments();
    match info.field_name() {
        "node" => Ok(Found::Thing(world.node(text(arguments, "id"))?)),
        "nodes" => {
            let ids = arguments.get("ids").and_then(JsonValue::as_array).map(Vec::as_slice).unwrap_or_default();
            Ok(Found::List(ids.iter().map(|id| world.node(id.as_str().unwrap_or_default())).collect()))
        }
        "repository" => Ok(Found::Thing(world.repository(text(arguments, "owner"), text(arguments, "name"))?)),
        "rateLimit" => Ok(Found::Thing(Thing::RateLimit)),
        "viewer" => Ok(Found::Thing(Thing::Person(world.state.options.login.clone()))),
        _ => Ok(Found::Unknown),
    }
}

/// Returns a field of a repository.
pub(super) fn of_repository(world: &World<'_>, site: &Rc<Site>, info: &ResolveInfo<'_>) -> Result<Found, FieldError> {
    let (repository, arguments) = (&site.repository, info.arguments());
    let metadata = &repository.metadata;
    let name = &repository.name;
    Ok(match info.field_name() {
        "databaseId" => Found::small_id(repository.id),
        "name" => Found::leaf(name.name.as_str()),
        "nameWithOwner" => Found::leaf(name.to_string()),
        "owner" => Found::Thing(Thing::Owner(Rc::clone(site))),
        "url" => Found::leaf(format!("{}/{name}", world.origin.web)),
        "resourcePath" => Found::leaf(format!("/{name}")),
        "description" => Found::leaf(metadata.description.clone()),
        "visibility" => Found::leaf(if metadata.private { "PRIVATE" } else { "PUBLIC" }),
        "isPrivate" => Found::leaf(metadata.private),
        "isArchived" => Found::leaf(metadata.archived),
        "isDisabled" => Found::leaf(metadata.disabled),
        "isFork" => Found::leaf(metadata.fork),
        "isInOrganization" => Found::leaf(!repository.owner.is_user),
        "hasIssuesEnabled" => Found::leaf(metadata.has_issues),
        "hasWikiEnabled" => Found::leaf(metadata.has_wiki),
        "hasProjectsEnabled" | "forkingAllowed" => Found::leaf(true),
        "createdAt" => Found::leaf(CREATED_AT),
        "updatedAt" | "pushedAt" => {
            let pushed = DateTime::<Utc>::from(newest_ref(&repository.path));
            Found::leaf(pushed.to_rfc3339_opts(SecondsFormat::Secs, true))
        }
        "defaultBranchRef" => Found::Thing(Thing::Branch(Rc::clone(site), repository.default_branch.clone())),
        "issues" => {
            world.allow(Permission::Issues)?;
            items(site, arguments, |item| metadata.has_issues && item.pull.is_none())
        }
        "pullRequests" => {
            world.allow(Permission::PullRequests)?;
            items(site, arguments, |item| item.pull.is_some())
        }
        "issue" | "pullRequest" | "issueOrPullRequest" => item(world, site, info)?,
        "labels" => {
            world.allow(Permission::Either)?;
            let labels = site.loaded.model.labels.iter();
            let things =
                labels.map(|label| ((label.created_at, label.serial), Thing::Label(Rc::clone(site), label.clone())));
            Found::Items(ordered(arguments, things.collect()))
        }
        "label" => {
            world.allow(Permission::Either)?;
            let mut labels = site.loaded.model.labels.iter();
            let label = labels.find(|label| label.name.eq_ignore_ascii_case(text(arguments, "name")));
            Found::thing(label.map(|label| Thing::Label(Rc::clone(site), label.clone())))
        }
        "milestones" => {
            world.allow(Permission::Either)?;
            milestones(site, arguments)
        }
        "milestone" => {
            world.allow(Permission::Either)?;
            let number = arguments.get("number").and_then(JsonValue::as_u64).unwrap_or_default();
            let is_there = site.loaded.model.milestones.contains_key(&number);
            Found::thing(is_there.then(|| Thing::Milestone(Rc::clone(site), number)))
        }
        _ => Found::Unknown,
    })
}

/// Returns the issues or pull requests of a repository that belong to a connection.
fn items(site: &Rc<Site>, arguments: &JsonMap, belongs: impl Fn(&Item) -> bool) -> Found {
    let states = arguments.get("states").and_then(JsonValue::as_array);
    let has_state =
        |item: &Item| states.is_none_or(|states| states.iter().any(|state| state.as_str() == Some(item.state())));
    let field = order(arguments, "field");
    let value = |item: &Item| match field {
        Some("UPDATED_AT") => item.updated_at,
        Some("COMMENTS") => i64::try_from(item.comments.len()).unwrap_or(i64::MAX),
        _ => item.created_at,
    };
    let found = site.loaded.model.items.iter().filter(|(_, item)| belongs(item) && has_state(item));
    let things: Vec<(Key, Thing)> = found
        .map(|(number, item)| ((value(item), *number), Thing::Item(ItemRef { site: Rc::clone(site), number: *number })))
        .collect();
    Found::Items(ordered(arguments, things))
}

/// Returns one issue or pull request by its number.
fn item(world: &World<'_>, site: &Rc<Site>, info: &ResolveInfo<'_>) -> Result<Found, FieldError> {
    let number = info.arguments().get("number").and_then(JsonValue::as_u64).unwrap_or_default();
    let wanted = info.field_name();
    let fits = |item: &Item| match wanted {
        "issue" => item.pull.is_none(),
        "pullRequest" => item.pull.is_some(),
        _ => true,
    };
    let Some(item) = site.loaded.model.items.get(&number).filter(|item| fits(item)) else {
        let kind = match wanted {
            "issue" => "an Issue",
            "pullRequest" => "a PullRequest",
            _ => "an issue or pull request",
        };
        return Err(error::typed("NOT_FOUND", &format!("Could not resolve to {kind} with the number of {number}.")));
    };
    world.allow(if item.pull.is_some() { Permission::PullRequests } else { Permission::Issues })?;
    Ok(Found::Thing(Thing::Item(ItemRef { site: Rc::clone(site), number })))
}

fn milestones(site: &Rc<Site>, arguments: &JsonMap) -> Found {
    let states = arguments.get("states").and_then(JsonValue::as_array);
    let field = order(arguments, "field");
    let things = site.loaded.model.milestones.iter().filter_map(|(number, milestone)| {
        let state = if milestone.closed_at.is_some() { "CLOSED" } else { "OPEN" };
        if states.is_some_and(|states| !states.iter().any(|wanted| wanted.as_str() == Some(state))) {
            return None;
        }
        let value = match field {
            Some("UPDATED_AT") => milestone.updated_at,
            Some("CREATED_AT") => milestone.created_at,
            _ => i64::try_from(*number).unwrap_or(i64::MAX),
        };
        Some(((value, *number), Thing::Milestone(Rc::clone(site), *number)))
    });
    Found::Items(ordered(arguments, things.collect()))
}

/// Returns a field of a label.
pub(super) fn of_label(world: &World<'_>, site: &Rc<Site>, label: &Label, name: &str) -> Found {
    match name {
        "name" => Found::leaf(label.name.as_str()),
        "color" => Found::leaf(label.color.as_str()),
        "createdAt" => Found::leaf(written(label.created_at)),
        "url" => Found::leaf(format!("{}/{}/labels/{}", world.origin.web, site.repository.name, label.name)),
        "repository" => Found::Thing(Thing::Repository(Rc::clone(site))),
        _ => Found::Unknown,
    }
}

/// Returns a field of a milestone.
pub(super) fn of_milestone(
    world: &World<'_>,
    site: &Rc<Site>,
    number: u64,
    info: &ResolveInfo<'_>,
) -> Result<Found, FieldError> {
    let milestone = &site.loaded.model.milestones[&number];
    Ok(match info.field_name() {
        "number" => Found::leaf(number),
        "title" => Found::leaf(milestone.title.as_str()),
        "state" => Found::leaf(if milestone.closed_at.is_some() { "CLOSED" } else { "OPEN" }),
        "closed" => Found::leaf(milestone.closed_at.is_some()),
        "createdAt" => Found::leaf(written(milestone.created_at)),
        "updatedAt" => Found::leaf(written(milestone.updated_at)),
        "creator" => Found::person(milestone.creator.as_ref()),
        "url" => Found::leaf(format!("{}/{}/milestone/{number}", world.origin.web, site.repository.name)),
        "repository" => Found::Thing(Thing::Repository(Rc::clone(site))),
        "issues" => {
            world.allow(Permission::Issues)?;
            items(site, info.arguments(), |item| item.pull.is_none() && item.milestone == Some(number))
        }
        "pullRequests" => {
            world.allow(Permission::PullRequests)?;
            items(site, info.arguments(), |item| item.pull.is_some() && item.milestone == Some(number))
        }
        _ => Found::Unknown,
    })
}

/// Returns an argument that is text.
fn text<'a>(arguments: &'a JsonMap, name: &str) -> &'a str {
    arguments.get(name).and_then(JsonValue::as_str).unwrap_or_default()
}
