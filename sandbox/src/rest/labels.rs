//! `GET …/labels` and `GET …/milestones`.

use serde_json::Value;

use super::answer::Answer;
use super::issue_object;
use super::page::Page;
use super::site::Site;

/// Answers the listing of labels, by name as at GitHub.
pub(super) fn list(site: &Site<'_>) -> Result<Answer, Answer> {
    let page = Page::read(&site.ask.query)?;
    let mut labels: Vec<_> = site.model().labels.iter().collect();
    labels.sort_by_key(|label| label.name.to_lowercase());
    let shown: Vec<Value> = page.of(&labels).iter().map(|label| issue_object::label(site, label)).collect();
    Ok(page.link(Answer::ok(shown.into()), &site.by_id("labels"), &site.ask.query, labels.len()))
}

/// Answers the listing of milestones. None of them is due, so they are ordered by number.
pub(super) fn milestones(site: &Site<'_>) -> Result<Answer, Answer> {
    let query = &site.ask.query;
    let page = Page::read(query)?;
    let state = query.get("state").unwrap_or("open");
    let wanted = |is_closed: bool| state == "all" || is_closed == (state == "closed");
    let mut milestones: Vec<_> =
        site.model().milestones.iter().filter(|(_, milestone)| wanted(milestone.closed_at.is_some())).collect();
    if query.descends(false) {
        milestones.reverse();
    }
    let shown: Vec<Value> = page
        .of(&milestones)
        .iter()
        .map(|(number, milestone)| issue_object::milestone(site, **number, milestone))
        .collect();
    Ok(page.link(Answer::ok(shown.into()), &site.by_id("milestones"), query, milestones.len()))
}
