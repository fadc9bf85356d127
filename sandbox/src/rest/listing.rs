//! The four listings of repositories. They are ordered by full name, whatever `sort` says.

use hyper::StatusCode;
use serde_json::{Value, json};

use super::answer::Answer;
use super::caller::Caller;
use super::page::{Page, Query, contradiction};
use super::repository;
use super::routes::{Ask, not_for_apps};
use crate::repositories::{Measure, Repository};

/// Answers `GET /user/repos`: everything the token reaches.
pub(super) fn of_user(ask: &Ask<'_>) -> Result<Answer, Answer> {
    match ask.caller {
        Caller::Anonymous => return Err(Answer::requires_authentication()),
        Caller::Installation => return Err(not_for_apps()),
        Caller::User => {}
    }
    if ask.query.get("type").is_some() && (ask.query.get("visibility").or(ask.query.get("affiliation"))).is_some() {
        return Err(contradiction("If you specify visibility or affiliation, you cannot specify type."));
    }
    let login = &ask.state.options.login;
    page(ask, |repository| {
        has_type(&ask.query, repository, login)
            && has_visibility(&ask.query, repository)
            && has_affiliation(&ask.query, repository, login)
    })
}

/// Answers `GET /users/{login}/repos`: only what is public.
pub(super) fn of_account(ask: &Ask<'_>, login: &str) -> Result<Answer, Answer> {
    let owner = ask.owner(login)?;
    page(ask, |repository| repository.owner.id == owner.id && !repository.metadata.private)
}

/// Answers `GET /orgs/{login}/repos`.
pub(super) fn of_organisation(ask: &Ask<'_>, login: &str) -> Result<Answer, Answer> {
    let owner = ask.organisation_named(login)?;
    page(ask, |repository| {
        repository.owner.id == owner.id
            && ask.caller.sees(ask.state, repository)
            && has_type(&ask.query, repository, &ask.state.options.login)
    })
}

/// Answers `GET /installation/repositories`.
pub(super) fn of_installation(ask: &Ask<'_>) -> Result<Answer, Answer> {
    match ask.caller {
        Caller::Anonymous => return Err(Answer::requires_authentication()),
        Caller::User => {
            return Err(Answer::error(
                StatusCode::FORBIDDEN,
                "You must authenticate with an installation access token in order to list repositories for an installation.",
            ));
        }
        Caller::Installation => {}
    }
    let given = |repository: &Repository| ask.caller.was_given(ask.state, repository);
    let total = ask.catalogue.repositories.iter().filter(|repository| given(repository)).count();
    let mut answer = page(ask, given)?;
    let is_selected = ask.state.options.app.as_ref().is_some_and(|app| app.selected.is_some());
    answer.body = json!({
        "total_count": total,
        "repository_selection": if is_selected { "selected" } else { "all" },
        "repositories": answer.body,
    });
    Ok(answer)
}

/// Cuts the page asked for out of the repositories that belong to a listing.
fn page(ask: &Ask<'_>, belongs: impl Fn(&Repository) -> bool) -> Result<Answer, Answer> {
    let page = Page::read(&ask.query)?;
    let all: Vec<_> = ask.catalogue.repositories.iter().filter(|repository| belongs(repository)).collect();
    let shown: Vec<Value> = page
        .of(&all)
        .iter()
        .map(|repository| repository::listed(ask.origin, repository, Measure::of(&repository.path)))
        .collect();
    Ok(page.link(Answer::ok(shown.into()), &ask.address, &ask.query, all.len()))
}

/// Applies `type`.
fn has_type(query: &Query, repository: &Repository, login: &str) -> bool {
    let is_own = repository.owner.login.eq_ignore_ascii_case(login);
    match query.get("type") {
        Some("public") => !repository.metadata.private,
        Some("private") => repository.metadata.private,
        Some("forks") => repository.metadata.fork,
        Some("sources") => !repository.metadata.fork,
        Some("owner") => is_own,
        _ => true,
    }
}

/// Applies `visibility`.
fn has_visibility(query: &Query, repository: &Repository) -> bool {
    match query.get("visibility") {
        Some("public") => !repository.metadata.private,
        Some("private") => repository.metadata.private,
        _ => true,
    }
}

/// Applies `affiliation`: own repositories, those of organisations, and those of other users.
fn has_affiliation(query: &Query, repository: &Repository, login: &str) -> bool {
    let affiliation = if !repository.owner.is_user {
        "organization_member"
    } else if repository.owner.login.eq_ignore_ascii_case(login) {
        "owner"
    } else {
        "collaborator"
    };
    query.get("affiliation").is_none_or(|wanted| wanted.split(',').any(|wanted| wanted.trim() == affiliation))
}
