//! `GET …/issues` and `GET …/issues/{number}`.
//!
//! What a newcomer would get wrong: the listing has pull requests in it, and its links lead by cursors. GitHub takes
//! `page` as well, but refuses it for deep pages.

use hyper::StatusCode;
use hyper::header::LINK;
use serde_json::Value;

use super::answer::Answer;
use super::issue_object;
use super::page::{Page, contradiction};
use super::permissions::Permission;
use super::site::Site;
use crate::cursor::{self, Key};
use crate::tracker::{Gone, Item};

/// What GitHub says to a page that is too deep.
const TOO_DEEP: &str = "Pagination with the page parameter is not supported for large datasets, please use cursor based pagination (after/before)";

/// Answers the listing.
pub(super) fn list(site: &Site<'_>) -> Result<Answer, Answer> {
    let query = &site.ask.query;
    let page = Page::read(query)?;
    let (state, since) = (query.get("state").unwrap_or("open"), query.since()?);
    let shows_pulls = site.ask.state.permissions.allow(Permission::PullRequests);
    let mut items: Vec<(Key, u64, &Item)> = site
        .model()
        .items
        .iter()
        .filter(|(_, item)| has_state(item, state) && item.updated_at >= since && (shows_pulls || item.pull.is_none()))
        .map(|(number, item)| ((sort_value(item, query.get("sort")), *number), *number, item))
        .collect();
    items.sort_unstable_by_key(|(key, ..)| *key);
    if query.descends(true) {
        items.reverse();
    }
    let start = match (query.get("after"), query.get("before")) {
        (Some(after), _) => position(&items, after, query.descends(true))?.1,
        (None, Some(before)) => position(&items, before, query.descends(true))?.0.saturating_sub(page.size()),
        (None, None) if page.exceeds(site.ask.state.options.issue_page_limit) => return Err(contradiction(TOO_DEEP)),
        (None, None) => page.start(items.len()),
    };
    let end = (start + page.size()).min(items.len());
    let shown: Vec<Value> =
        items[start..end].iter().map(|(_, number, item)| issue_object::issue(site, *number, item)).collect();

    let mut links = Vec::new();
    let mut link = |relation: &str, key: &str, cursor: String, number: usize| {
        let added = [(key, cursor.as_str()), ("page", &number.to_string())];
        let query = query.with(&["page", "after", "before"], &added);
        links.push(format!("<{}?{query}>; rel=\"{relation}\"", site.by_id("issues")));
    };
    if end < items.len() && start < end {
        link("next", "after", cursor::write(items[end - 1].0), page.number() + 1);
    }
    if start > 0 && start < end {
        link("prev", "before", cursor::write(items[start].0), page.number().max(2) - 1);
    }
    let answer = Answer::ok(shown.into());
    Ok(if links.is_empty() { answer } else { answer.header(LINK, links.join(", ")) })
}

/// Returns how many items come before a cursor's item, and how many until behind it, whether it is still there or not.
fn position(items: &[(Key, u64, &Item)], cursor: &str, descends: bool) -> Result<(usize, usize), Answer> {
    let wanted = cursor::read(cursor).ok_or_else(|| contradiction("Invalid request: the cursor is not one"))?;
    let before = |key: &Key| if descends { *key > wanted } else { *key < wanted };
    Ok((
        items.partition_point(|(key, ..)| before(key)),
        items.partition_point(|(key, ..)| before(key) || *key == wanted),
    ))
}

fn sort_value(item: &Item, sort: Option<&str>) -> i64 {
    match sort {
        Some("updated") => item.updated_at,
        Some("comments") => i64::try_from(item.comments.len()).unwrap_or(i64::MAX),
        _ => item.created_at,
    }
}

/// Applies `state`.
pub(super) fn has_state(item: &Item, state: &str) -> bool {
    match state {
        "all" => true,
        "closed" => item.closed.is_some(),
        _ => item.closed.is_none(),
    }
}

/// Answers for one issue: with a redirect if it was transferred, with 410 if it was deleted.
pub(super) fn one(site: &Site<'_>, number: &str) -> Result<Answer, Answer> {
    let number = number.parse().map_err(|_| Answer::not_found())?;
    Ok(Answer::ok(issue_object::issue(site, number, find(site, number)?)))
}

/// Finds an issue or pull request; the error is the answer that says what became of it.
pub(super) fn find<'a>(site: &'a Site<'_>, number: u64) -> Result<&'a Item, Answer> {
    let model = site.model();
    model.items.get(&number).ok_or_else(|| match model.gone.get(&number) {
        Some(Gone::Deleted) => Answer::error(StatusCode::GONE, "This issue was deleted"),
        Some(Gone::Transferred { repository, number }) => {
            Answer::moved(format!("{}/repositories/{repository}/issues/{number}", site.ask.origin.api))
        }
        None => Answer::not_found(),
    })
}
