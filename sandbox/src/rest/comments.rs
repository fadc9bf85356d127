//! Listings of comments: on issues and pull requests, and on lines.

use serde_json::Value;

use super::answer::Answer;
use super::page::{Page, contradiction};
use super::site::Site;
use super::{issue_object, issues, pull_object, pulls};
use crate::tracker::{Orders, Place};

/// What GitHub says to a page that is too deep.
const TOO_DEEP: &str = "In order to keep the API fast for everyone, pagination is limited for this resource.";

/// Answers `GET …/issues/comments`.
pub(super) fn of_repository(site: &Site<'_>) -> Result<Answer, Answer> {
    list(site, site.loaded.comments(), "issues/comments", |place| {
        let item = &site.model().items[&place.number];
        issue_object::comment(site, place.number, item, &item.comments[place.position])
    })
}

/// Answers `GET …/pulls/comments`.
pub(super) fn on_lines(site: &Site<'_>) -> Result<Answer, Answer> {
    list(site, site.loaded.review_comments(), "pulls/comments", |place| {
        let pull = site.model().items[&place.number].pull.as_ref().expect("only pull requests have such comments");
        pull_object::comment(site, place.number, pull, &pull.comments[place.position])
    })
}

/// Cuts a page out of the comments of a whole repository.
fn list(site: &Site<'_>, orders: &Orders, path: &str, show: impl Fn(&Place) -> Value) -> Result<Answer, Answer> {
    let query = &site.ask.query;
    let page = Page::read(query)?;
    if page.exceeds(site.ask.state.options.comment_page_limit) {
        return Err(contradiction(TOO_DEEP));
    }
    let since = query.since()?;
    let (order, descends) = match query.get("sort") {
        Some("updated") => (&orders.by_update, query.descends(true)),
        Some(_) => (&orders.by_creation, query.descends(true)),
        // Without `sort` they come by ascending id, whatever `direction` says.
        None => (&orders.by_creation, false),
    };
    let mut places: Vec<Place> = order.iter().filter(|place| place.updated_at >= since).copied().collect();
    if descends {
        places.reverse();
    }
    let shown: Vec<Value> = page.of(&places).iter().map(show).collect();
    Ok(page.link(Answer::ok(shown.into()), &site.by_id(path), query, places.len()))
}

/// Answers `GET …/issues/{number}/comments`.
pub(super) fn of_issue(site: &Site<'_>, number: &str) -> Result<Answer, Answer> {
    let number = number.parse().map_err(|_| Answer::not_found())?;
    let item = issues::find(site, number)?;
    let (page, since) = (Page::read(&site.ask.query)?, site.ask.query.since()?);
    let comments: Vec<_> = item.comments.iter().filter(|comment| comment.updated_at >= since).collect();
    let shown: Vec<Value> =
        page.of(&comments).iter().map(|comment| issue_object::comment(site, number, item, comment)).collect();
    let address = site.by_id(&format!("issues/{number}/comments"));
    Ok(page.link(Answer::ok(shown.into()), &address, &site.ask.query, comments.len()))
}

/// Answers `GET …/pulls/{number}/comments`.
pub(super) fn on_lines_of(site: &Site<'_>, number: &str) -> Result<Answer, Answer> {
    let (number, _, pull) = pulls::find(site, number)?;
    let (page, since) = (Page::read(&site.ask.query)?, site.ask.query.since()?);
    let comments: Vec<_> = pull.comments.iter().filter(|comment| comment.comment.updated_at >= since).collect();
    let shown: Vec<Value> =
        page.of(&comments).iter().map(|comment| pull_object::comment(site, number, pull, comment)).collect();
    let address = site.by_id(&format!("pulls/{number}/comments"));
    Ok(page.link(Answer::ok(shown.into()), &address, &site.ask.query, comments.len()))
}
