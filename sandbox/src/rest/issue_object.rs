//! Issues, comments, labels and milestones as GitHub describes them.

use serde_json::{Value, json};

use super::site::Site;
use crate::tracker::{Comment, Item, Label, Milestone, written};

/// Returns an issue, or a pull request in the form of one.
pub(super) fn issue(site: &Site<'_>, number: u64, item: &Item) -> Value {
    let url = format!("{}/issues/{number}", site.api);
    let (id, issue_node) = site.ids("Issue", item.serial);
    let node_id = item.pull.as_ref().map_or(issue_node, |pull| site.ids("PullRequest", pull.serial).1);
    let mut object = json!({
        "url": url,
        "repository_url": site.api,
        "labels_url": format!("{url}/labels{{/name}}"),
        "comments_url": format!("{url}/comments"),
        "events_url": format!("{url}/events"),
        "html_url": page(site, number, item),
        "id": id,
        "node_id": node_id,
        "number": number,
        "title": item.title,
        "user": site.person(item.author.as_ref()),
        "labels": labels_of(site, item),
        "state": if item.closed.is_some() { "closed" } else { "open" },
        "locked": item.locked,
        "assignee": null,
        "assignees": [],
        "milestone": milestone_of(site, item),
        "comments": item.comments.len(),
        "created_at": written(item.created_at),
        "updated_at": written(item.updated_at),
        "closed_at": item.closed.as_ref().map(|closed| written(closed.at)),
        "closed_by": item.closed.as_ref().map(|closed| site.person(closed.by.as_ref())),
        "author_association": site.association(item.author.as_ref()),
        "active_lock_reason": null,
        "body": item.body,
        "reactions": Site::reactions(&item.reactions, &url),
        "timeline_url": format!("{url}/timeline"),
        "performed_via_github_app": null,
        "state_reason": item.reason(),
        "pinned_comment": null,
    });
    if let Some(pull) = &item.pull {
        let html_url = page(site, number, item);
        object["draft"] = false.into();
        object["pull_request"] = json!({
            "url": format!("{}/pulls/{number}", site.api),
            "html_url": html_url,
            "diff_url": format!("{html_url}.diff"),
            "patch_url": format!("{html_url}.patch"),
            "merged_at": pull.merged.as_ref().map(|merged| written(merged.at)),
        });
    } else {
        object["sub_issues_summary"] = json!({"total": 0, "completed": 0, "percent_completed": 0});
        object["issue_dependencies_summary"] =
            json!({"blocked_by": 0, "total_blocked_by": 0, "blocking": 0, "total_blocking": 0});
    }
    object
}

/// Returns the address of an issue or pull request for people.
pub(super) fn page(site: &Site<'_>, number: u64, item: &Item) -> String {
    format!("{}/{}/{number}", site.web, if item.pull.is_some() { "pull" } else { "issues" })
}

/// Returns a comment on an issue or pull request.
pub(super) fn comment(site: &Site<'_>, number: u64, item: &Item, comment: &Comment) -> Value {
    let (id, node_id) = site.ids("IssueComment", comment.serial);
    let url = format!("{}/issues/comments/{id}", site.api);
    json!({
        "url": url,
        "html_url": format!("{}#issuecomment-{id}", page(site, number, item)),
        "issue_url": format!("{}/issues/{number}", site.api),
        "id": id,
        "node_id": node_id,
        "user": site.person(comment.author.as_ref()),
        "created_at": written(comment.created_at),
        "updated_at": written(comment.updated_at),
        "body": comment.body,
        "author_association": site.association(comment.author.as_ref()),
        "pin": null,
        "minimized": comment.minimized.then(|| json!({"reason": "off-topic"})),
        "reactions": Site::reactions(&comment.reactions, &url),
        "performed_via_github_app": null,
    })
}

/// Returns a label.
pub(super) fn label(site: &Site<'_>, label: &Label) -> Value {
    let (id, node_id) = site.ids("Label", label.serial);
    let name = percent_encoding::utf8_percent_encode(&label.name, percent_encoding::NON_ALPHANUMERIC);
    json!({
        "id": id,
        "node_id": node_id,
        "url": format!("{}/labels/{name}", site.api),
        "name": label.name,
        "color": label.color,
        "default": false,
        // At GitHub it may be null, too, but GitHub's description of pull requests has forgotten that.
        "description": "",
    })
}

/// Returns a milestone.
pub(super) fn milestone(site: &Site<'_>, number: u64, milestone: &Milestone) -> Value {
    let (id, node_id) = site.ids("Milestone", milestone.serial);
    let (open, closed) = site.loaded.of_milestone(number);
    let url = format!("{}/milestones/{number}", site.api);
    json!({
        "url": url,
        "html_url": format!("{}/milestone/{number}", site.web),
        "labels_url": format!("{url}/labels"),
        "id": id,
        "node_id": node_id,
        "number": number,
        "title": milestone.title,
        "description": null,
        "creator": site.person(milestone.creator.as_ref()),
        "open_issues": open,
        "closed_issues": closed,
        "state": if milestone.closed_at.is_some() { "closed" } else { "open" },
        "created_at": written(milestone.created_at),
        "updated_at": written(milestone.updated_at),
        "due_on": null,
        "closed_at": milestone.closed_at.map(written),
    })
}

/// Returns the labels of an issue or pull request.
pub(super) fn labels_of(site: &Site<'_>, item: &Item) -> Vec<Value> {
    let labels = item.labels.iter().filter_map(|serial| site.model().label(*serial));
    labels.map(|found| label(site, found)).collect()
}

/// Returns the milestone of an issue or pull request, or null.
pub(super) fn milestone_of(site: &Site<'_>, item: &Item) -> Value {
    let found = item.milestone.and_then(|number| Some((number, site.model().milestones.get(&number)?)));
    found.map_or(Value::Null, |(number, found)| milestone(site, number, found))
}
