//! Pull requests, reviews and comments on lines as GitHub describes them.

use serde_json::{Value, json};

use super::account::{self, merged};
use super::issue_object;
use super::site::Site;
use crate::tracker::{Item, Pull, Review, ReviewComment, imagined_oid, public_id, written};

/// How much each pull request changes: the sandbox does not look into the commits.
pub(crate) const ADDITIONS: u64 = 3;
pub(crate) const DELETIONS: u64 = 1;
pub(crate) const CHANGED_FILES: u64 = 1;
pub(crate) const COMMITS: u64 = 1;

/// What a comment on a line shows of the change.
pub(crate) const DIFF_HUNK: &str = "@@ -1,3 +1,5 @@\n before\n+added\n after";

/// Returns a pull request as it stands in a listing.
pub(super) fn listed(site: &Site<'_>, number: u64, item: &Item, pull: &Pull) -> Value {
    let (id, node_id) = site.ids("PullRequest", pull.serial);
    let url = format!("{}/pulls/{number}", site.api);
    let issue_url = format!("{}/issues/{number}", site.api);
    let html_url = issue_object::page(site, number, item);
    let statuses_url = format!("{}/statuses/{}", site.api, pull.head_oid);
    let merged = pull.merged.as_ref();
    json!({
        "url": url,
        "id": id,
        "node_id": node_id,
        "html_url": html_url,
        "diff_url": format!("{html_url}.diff"),
        "patch_url": format!("{html_url}.patch"),
        "issue_url": issue_url,
        "number": number,
        "state": if item.closed.is_some() { "closed" } else { "open" },
        "locked": item.locked,
        "title": item.title,
        "user": site.person(item.author.as_ref()),
        "body": item.body,
        "created_at": written(item.created_at),
        "updated_at": written(item.updated_at),
        "closed_at": item.closed.as_ref().map(|closed| written(closed.at)),
        "merged_at": merged.map(|merged| written(merged.at)),
        "merge_commit_sha": merged.map(|_| merge_oid(pull)),
        "assignee": null,
        "assignees": [],
        "requested_reviewers": [],
        "requested_teams": [],
        "labels": issue_object::labels_of(site, item),
        "milestone": issue_object::milestone_of(site, item),
        "draft": false,
        "commits_url": format!("{url}/commits"),
        "review_comments_url": format!("{url}/comments"),
        "review_comment_url": format!("{}/pulls/comments{{/number}}", site.api),
        "comments_url": format!("{issue_url}/comments"),
        "statuses_url": statuses_url,
        "head": side(site, &pull.head, &pull.head_oid, pull.head_gone),
        "base": side(site, &pull.base, &pull.base_oid, false),
        "_links": {
            "self": {"href": url},
            "html": {"href": html_url},
            "issue": {"href": issue_url},
            "comments": {"href": format!("{issue_url}/comments")},
            "review_comments": {"href": format!("{url}/comments")},
            "review_comment": {"href": format!("{}/pulls/comments{{/number}}", site.api)},
            "commits": {"href": format!("{url}/commits")},
            "statuses": {"href": statuses_url},
        },
        "author_association": site.association(item.author.as_ref()),
        "auto_merge": null,
        "active_lock_reason": null,
    })
}

/// Returns a pull request as it is described on its own.
pub(super) fn full(site: &Site<'_>, number: u64, item: &Item, pull: &Pull) -> Value {
    let is_open = item.closed.is_none();
    let more = json!({
        "merged": pull.merged.is_some(),
        "mergeable": is_open.then_some(true),
        "rebaseable": is_open.then_some(true),
        "mergeable_state": if is_open { "clean" } else { "unknown" },
        "merged_by": pull.merged.as_ref().map(|merged| site.person(merged.by.as_ref())),
        "comments": item.comments.len(),
        "review_comments": pull.comments.len(),
        "maintainer_can_modify": false,
        "commits": COMMITS,
        "additions": ADDITIONS,
        "deletions": DELETIONS,
        "changed_files": CHANGED_FILES,
    });
    merged(listed(site, number, item, pull), more)
}

/// Returns the commit that a merge made.
pub(crate) fn merge_oid(pull: &Pull) -> String {
    imagined_oid(&format!("merge {}", pull.head_oid))
}

/// Returns one of the two branches; a fork that was deleted leaves neither a repository nor a user.
fn side(site: &Site<'_>, branch: &str, oid: &str, is_gone: bool) -> Value {
    let owner = &site.repository.owner;
    json!({
        "label": format!("{}:{branch}", owner.login),
        "ref": branch,
        "sha": oid,
        "user": if is_gone { Value::Null } else { account::simple(site.ask.origin, owner) },
        "repo": if is_gone { Value::Null } else { site.described().clone() },
    })
}

/// Returns a review.
pub(super) fn review(site: &Site<'_>, number: u64, pull: &Pull, review: &Review) -> Value {
    let (id, node_id) = site.ids("PullRequestReview", review.serial);
    let pull_url = format!("{}/pulls/{number}", site.api);
    let html_url = format!("{}/pull/{number}#pullrequestreview-{id}", site.web);
    json!({
        "id": id,
        "node_id": node_id,
        "user": site.person(review.author.as_ref()),
        "body": review.body,
        "state": review.state,
        "html_url": html_url,
        "pull_request_url": pull_url,
        "author_association": site.association(review.author.as_ref()),
        "_links": {"html": {"href": html_url}, "pull_request": {"href": pull_url}},
        "submitted_at": written(review.submitted_at),
        "commit_id": pull.head_oid,
    })
}

/// Returns a comment on a line.
pub(super) fn comment(site: &Site<'_>, number: u64, pull: &Pull, on_line: &ReviewComment) -> Value {
    let comment = &on_line.comment;
    let (id, node_id) = site.ids("PullRequestReviewComment", comment.serial);
    let url = format!("{}/pulls/comments/{id}", site.api);
    let pull_url = format!("{}/pulls/{number}", site.api);
    let html_url = format!("{}/pull/{number}#discussion_r{id}", site.web);
    let thread = pull.threads.iter().find(|thread| thread.serial == on_line.thread);
    let (path, line) = thread.map_or(("", 1), |thread| (thread.path.as_str(), thread.line));
    let mut object = json!({
        "url": url,
        "pull_request_review_id": public_id(site.repository.id, on_line.review),
        "id": id,
        "node_id": node_id,
        "diff_hunk": DIFF_HUNK,
        "path": path,
        "commit_id": pull.head_oid,
        "original_commit_id": pull.head_oid,
        "user": site.person(comment.author.as_ref()),
        "body": comment.body,
        "created_at": written(comment.created_at),
        "updated_at": written(comment.updated_at),
        "html_url": html_url,
        "pull_request_url": pull_url,
        "_links": {"self": {"href": url}, "html": {"href": html_url}, "pull_request": {"href": pull_url}},
        "author_association": site.association(comment.author.as_ref()),
        "reactions": Site::reactions(&comment.reactions, &url),
        "start_line": null,
        "original_start_line": null,
        "start_side": null,
        "line": line,
        "original_line": line,
        "side": "RIGHT",
        "position": 2,
        "original_position": 2,
        "subject_type": "line",
    });
    let first = pull.comments.iter().find(|other| other.thread == on_line.thread);
    if let Some(first) = first.filter(|first| first.comment.serial != comment.serial) {
        object["in_reply_to_id"] = public_id(site.repository.id, first.comment.serial).into();
    }
    object
}
