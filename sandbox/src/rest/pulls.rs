//! `GET …/pulls`, `GET …/pulls/{number}` and its reviews.

use serde_json::Value;

use super::answer::Answer;
use super::page::Page;
use super::site::Site;
use super::{issues, pull_object};
use crate::tracker::{Item, Pull};

/// Answers the listing.
pub(super) fn list(site: &Site<'_>) -> Result<Answer, Answer> {
    let query = &site.ask.query;
    let page = Page::read(query)?;
    let state = query.get("state").unwrap_or("open");
    let mut pulls: Vec<(u64, &Item, &Pull)> = site
        .model()
        .items
        .iter()
        .filter(|(_, item)| issues::has_state(item, state))
        .filter_map(|(number, item)| Some((*number, item, item.pull.as_ref()?)))
        .collect();
    let by_update = query.get("sort") == Some("updated");
    pulls.sort_by_key(|(number, item, _)| (if by_update { item.updated_at } else { item.created_at }, *number));
    // Only what is ordered by creation begins with the newest by default.
    if query.descends(matches!(query.get("sort"), None | Some("created"))) {
        pulls.reverse();
    }
    let shown: Vec<Value> =
        page.of(&pulls).iter().map(|(number, item, pull)| pull_object::listed(site, *number, item, pull)).collect();
    Ok(page.link(Answer::ok(shown.into()), &site.by_id("pulls"), query, pulls.len()))
}

/// Answers for one pull request.
pub(super) fn one(site: &Site<'_>, number: &str) -> Result<Answer, Answer> {
    let (number, item, pull) = find(site, number)?;
    Ok(Answer::ok(pull_object::full(site, number, item, pull)))
}

/// Answers `GET …/pulls/{number}/reviews`.
pub(super) fn reviews(site: &Site<'_>, number: &str) -> Result<Answer, Answer> {
    let (number, _, pull) = find(site, number)?;
    let page = Page::read(&site.ask.query)?;
    let shown: Vec<Value> =
        page.of(&pull.reviews).iter().map(|review| pull_object::review(site, number, pull, review)).collect();
    let address = site.by_id(&format!("pulls/{number}/reviews"));
    Ok(page.link(Answer::ok(shown.into()), &address, &site.ask.query, pull.reviews.len()))
}

/// Finds a pull request. The number of a plain issue is answered with 404.
pub(super) fn find<'a>(site: &'a Site<'_>, number: &str) -> Result<(u64, &'a Item, &'a Pull), Answer> {
    let number: u64 = number.parse().map_err(|_| Answer::not_found())?;
    let item = site.model().items.get(&number).ok_or_else(Answer::not_found)?;
    Ok((number, item, item.pull.as_ref().ok_or_else(Answer::not_found)?))
}
