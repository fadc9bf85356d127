//! Events of the timeline, in words.

use serde_json::Value;

/// Each type of event, and how it is told after the name of whoever did it; `{a.b|c}` stands for a member, or for another one if it
/// is missing. Source: GitHub's GraphQL schema, the unions `IssueTimelineItems` and `PullRequestTimelineItems`.
const WORDS: &[(&str, &str)] = &[
    ("AddedToMergeQueueEvent", "added it to the merge queue"),
    ("AddedToProjectEvent", "added it to a project"),
    ("AddedToProjectV2Event", "added it to a project"),
    ("AssignedEvent", "assigned {assignee.login}"),
    ("AutoMergeDisabledEvent", "disabled auto-merge"),
    ("AutoMergeEnabledEvent", "enabled auto-merge"),
    ("AutoSquashEnabledEvent", "enabled auto-merge (squash)"),
    ("AutomaticBaseChangeSucceededEvent", "moved the base from {oldBase} to {newBase}"),
    ("BaseRefChangedEvent", "changed the base from {previousRefName} to {currentRefName}"),
    ("BaseRefDeletedEvent", "deleted the base {baseRefName}"),
    ("BaseRefForcePushedEvent", "force-pushed the base from {beforeCommit.oid} to {afterCommit.oid}"),
    ("ClosedEvent", "closed it"),
    ("CommentDeletedEvent", "deleted a comment by {deletedCommentAuthor.login}"),
    ("ConnectedEvent", "linked #{subject.number}"),
    ("ConvertToDraftEvent", "turned it into a draft"),
    ("ConvertedToDiscussionEvent", "turned it into a discussion"),
    ("CrossReferencedEvent", "mentioned it in {source.repository.nameWithOwner|}#{source.number}"),
    ("DemilestonedEvent", "removed it from the milestone {milestoneTitle}"),
    ("DisconnectedEvent", "unlinked #{subject.number}"),
    ("HeadRefDeletedEvent", "deleted the branch {headRefName}"),
    ("HeadRefForcePushedEvent", "force-pushed the branch from {beforeCommit.oid} to {afterCommit.oid}"),
    ("HeadRefRestoredEvent", "restored the branch"),
    ("IssueTypeAddedEvent", "set the type {issueType.name}"),
    ("IssueTypeChangedEvent", "changed the type from {prevIssueType.name} to {issueType.name}"),
    ("IssueTypeRemovedEvent", "removed the type {issueType.name}"),
    ("LabeledEvent", "added the label {label.name}"),
    ("LockedEvent", "locked the conversation"),
    ("MarkedAsDuplicateEvent", "marked it as a duplicate of #{canonical.number}"),
    ("MentionedEvent", "was mentioned"),
    ("MergedEvent", "merged it into {mergeRefName} as {commit.oid}"),
    ("MilestonedEvent", "added it to the milestone {milestoneTitle}"),
    ("ParentIssueAddedEvent", "made it part of #{parent.number}"),
    ("ParentIssueRemovedEvent", "took it out of #{parent.number}"),
    ("PinnedEvent", "pinned it"),
    ("PullRequestCommit", "committed {added.oid}"),
    ("ReadyForReviewEvent", "marked it as ready for review"),
    ("ReferencedEvent", "mentioned it in the commit {commit.oid}"),
    ("RemovedFromMergeQueueEvent", "removed it from the merge queue"),
    ("RenamedTitleEvent", "changed the title from \"{previousTitle}\" to \"{currentTitle}\""),
    ("ReopenedEvent", "reopened it"),
    ("ReviewDismissedEvent", "dismissed a review: {dismissalMessage}"),
    ("ReviewRequestRemovedEvent", "no longer asks {requestedReviewer.login|requestedReviewer.slug} for a review"),
    ("ReviewRequestedEvent", "asked {requestedReviewer.login|requestedReviewer.slug} for a review"),
    ("SubIssueAddedEvent", "added the sub-issue #{subIssue.number}"),
    ("SubIssueRemovedEvent", "removed the sub-issue #{subIssue.number}"),
    ("SubscribedEvent", "subscribed"),
    ("TransferredEvent", "transferred it from {fromRepository.nameWithOwner}"),
    ("UnassignedEvent", "unassigned {assignee.login}"),
    ("UnlabeledEvent", "removed the label {label.name}"),
    ("UnlockedEvent", "unlocked the conversation"),
    ("UnmarkedAsDuplicateEvent", "marked it as no duplicate"),
    ("UnpinnedEvent", "unpinned it"),
    ("UnsubscribedEvent", "unsubscribed"),
    ("UserBlockedEvent", "blocked a user"),
];

/// Items that only point to what is stored beside the timeline.
const REFERENCES: &[&str] = &["IssueComment", "PullRequestReview", "PullRequestReviewThread"];

/// Says whether an item of the timeline is an event of its own.
pub fn is_event(item: &Value) -> bool {
    !REFERENCES.contains(&super::item::text(item, "__typename"))
}

/// Tells an event, after the name of whoever did it; one of an unknown type by its name. The text may hold anything.
pub fn told(event: &Value) -> String {
    let kind = super::item::text(event, "__typename");
    match WORDS.iter().find(|(known, _)| *known == kind) {
        Some((_, words)) => filled(words, event),
        None if kind.is_empty() => "did something unknown".to_owned(),
        None => format!("did \"{kind}\""),
    }
}

/// Returns who caused an event, as far as it is known.
pub fn actor(event: &Value) -> &str {
    // Of a commit, git knows the author.
    if event.get("actor").is_some() { super::item::login(event, "actor") } else { "somebody" }
}

fn filled(words: &str, event: &Value) -> String {
    let mut out = String::new();
    let mut rest = words;
    while let Some((before, after)) = rest.split_once('{') {
        let (path, after) = after.split_once('}').unwrap_or((after, ""));
        out.push_str(before);
        let member = |path: &str| path.split('.').try_fold(event, |value, name| value.get(name));
        match path.split('|').find_map(member) {
            Some(Value::String(text)) if path.ends_with(".oid") => out.extend(text.chars().take(10)),
            Some(Value::String(text)) => out.push_str(text),
            Some(Value::Number(number)) => out.push_str(&number.to_string()),
            _ if path.ends_with('|') => {}
            _ => out.push('?'),
        }
        rest = after;
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn events_are_told_in_words_and_unknown_ones_by_their_name() {
        for (event, words) in [
            (json!({"__typename": "LabeledEvent", "label": {"name": "bug"}}), "added the label bug"),
            (json!({"__typename": "LabeledEvent", "label": null}), "added the label ?"),
            (
                json!({"__typename": "MergedEvent", "commit": {"oid": "0123456789abcdef"}, "mergeRefName": "main"}),
                "merged it into main as 0123456789",
            ),
            (json!({"__typename": "CrossReferencedEvent", "source": {"number": 7}}), "mentioned it in #7"),
            (json!({"__typename": "TeleportedEvent"}), "did \"TeleportedEvent\""),
            (json!(null), "did something unknown"),
        ] {
            assert_eq!(told(&event), words);
        }
        assert!(WORDS.is_sorted_by_key(|(kind, _)| *kind));
    }

    /// What is told has to be asked for.
    #[test]
    fn every_member_that_is_told_is_fetched() {
        let asked =
            [include_str!("../queries/issue_events.graphql"), include_str!("../queries/pull_request_events.graphql")];
        let mut checked = 0;
        for (kind, words) in WORDS {
            let lines = asked.iter().flat_map(|query| query.lines());
            for line in lines.filter(|line| line.trim_start().starts_with(&format!("... on {kind} "))) {
                for path in words.split('{').skip(1).filter_map(|rest| rest.split(['}', '|']).next()) {
                    let mut names = path.split('.');
                    assert!(
                        names.all(|name| line.contains(&format!(" {name} ")) || line.contains(&format!(" {name}: "))),
                        "{kind}: {path}"
                    );
                    checked += 1;
                }
            }
        }
        assert!(checked > 40, "{checked}");
    }
}
