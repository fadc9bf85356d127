//! The lists of the REST API: issues, comments, pull requests, labels.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::MetadataError;
use super::fetch::{Concern, Fetcher, Listed, Problem, Seen, named};
use super::item::{fingerprint, id, text};
use super::spool::Piece;
use crate::github::GitHubError;

impl Fetcher<'_> {
    /// Reads all issues, pull requests among them.
    pub(super) async fn issues(&self, seen: &mut Seen<'_>) -> Result<(), MetadataError> {
        let endpoint = self.endpoint("issues?state=all&sort=updated&direction=asc&per_page=100");
        let each = |issue| self.issue(issue, seen);
        self.github.walk_changes(&endpoint, None, &self.what("issues"), each).await?;
        Ok(())
    }

    fn issue(&self, issue: Value, seen: &mut Seen<'_>) -> Result<(), MetadataError> {
        let Some(number) = issue.get("number").and_then(Value::as_u64) else {
            return Err(self.unreadable("issues", "one has no number"));
        };
        self.note_progress(1);
        let known = seen.known.get(&number).filter(|known| !known.is_gone);
        let updated_at = text(&issue, "updated_at").to_owned();
        let mut listed = Listed {
            node_id: text(&issue, "node_id").to_owned(),
            is_pull: issue.get("pull_request").is_some_and(|pull| !pull.is_null()),
            comments: issue.get("comments").and_then(Value::as_u64),
            is_due: true,
        };
        let issue = self.canonical.form(issue);
        let has_changed = seen.scope.is_full || known.is_none_or(|known| known.issue != fingerprint(&issue));
        listed.is_due =
            seen.scope.is_full || known.is_none_or(|known| known.updated_at != updated_at || known.is_incomplete);
        if has_changed || listed.is_due {
            seen.spool.add(number, Piece::Issue(issue))?;
        }
        seen.listed.insert(number, listed);
        Ok(())
    }

    /// Reads the comments that changed since the last run, or all.
    pub(super) async fn comments(&self, seen: &mut Seen<'_>) -> Result<(), MetadataError> {
        let endpoint = self.endpoint("issues/comments?sort=updated&direction=asc&per_page=100");
        let since = seen.scope.mark.filter(|_| !seen.scope.is_full);
        let each = |comment: Value| {
            self.note_progress(1);
            let (Some(number), Some(id)) = (number_in(&comment, "issue_url"), id(&comment)) else {
                return Err(self.unreadable("comments", "one belongs to no issue"));
            };
            // One on an issue that was opened since the list was read comes with the next run.
            if seen.listed.contains_key(&number) {
                seen.comments.entry(number).or_default().insert(id);
                seen.spool.add(number, Piece::Comment(self.canonical.form(comment)))?;
            }
            Ok(())
        };
        self.github.walk_changes(&endpoint, since, &self.what("comments"), each).await?;
        seen.whole.comments = seen.scope.is_full;
        Ok(())
    }

    /// Reads the comments of each pull request that changed. Where issues are switched off, no list has them all.
    pub(super) async fn comments_one_by_one(&self, seen: &mut Seen<'_>) -> Result<(), MetadataError> {
        let due: Vec<u64> = seen.listed.iter().filter(|(_, listed)| listed.is_due).map(|(number, _)| *number).collect();
        let mut unread = Vec::new();
        for number in due {
            if let Some(comments) = self.comments_of(number).await? {
                seen.spool.add(number, Piece::Comments(comments))?;
            } else {
                seen.spool.add(number, Piece::Incomplete)?;
                unread.push(number);
            }
        }
        if !unread.is_empty() {
            let error =
                format!("{} the comments cannot be read while issues are switched off", named("number", &unread));
            seen.problems
                .push(Problem::of_numbers(error, "switch issues on, or run again once the pull requests are gone"));
        }
        Ok(())
    }

    /// Reads all comments of one number; none if it is gone.
    pub(super) async fn comments_of(&self, number: u64) -> Result<Option<Vec<Value>>, MetadataError> {
        let endpoint = self.endpoint(&format!("issues/{number}/comments?per_page=100"));
        let mut comments = Vec::new();
        let each = |comment| {
            comments.push(self.canonical.form(comment));
            Ok::<_, MetadataError>(true)
        };
        match self.github.walk(&endpoint, &self.what(&format!("comments on #{number}")), each).await {
            Ok(_) => Ok(Some(comments)),
            Err(MetadataError::GitHub(GitHubError::NotFound { .. } | GitHubError::Retired { .. })) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Asks how many comments GitHub states for a number now.
    pub(super) async fn stated(&self, number: u64) -> Result<Option<u64>, MetadataError> {
        let issue =
            self.github.one(&self.endpoint(&format!("issues/{number}")), &self.what(&format!("#{number}"))).await?;
        Ok(issue.get("comments").and_then(Value::as_u64))
    }

    /// Reads the pull requests, and the comments on their lines. A token that may read issues alone costs only these.
    pub(super) async fn pulls(&self, seen: &mut Seen<'_>) -> Result<(), MetadataError> {
        let are_known = seen.known.values().any(|known| known.pull.is_some());
        let are_there = are_known || seen.listed.values().any(|listed| listed.is_pull);
        match self.readable_pulls(seen).await {
            // GitHub answers so where pull requests are switched off.
            Err(MetadataError::GitHub(GitHubError::NotFound { .. })) if !are_there => Ok(()),
            Err(error) if error.is_forbidden() => {
                let (hint, may_pass) = (error.hint(), error.may_pass());
                let error = error.to_string();
                seen.problems.push(Problem { error, hint, may_pass, is_forbidden: true, of: Concern::PullRequests });
                Ok(())
            }
            result => result,
        }
    }

    async fn readable_pulls(&self, seen: &mut Seen<'_>) -> Result<(), MetadataError> {
        let mark = seen.scope.mark.filter(|_| !seen.scope.is_full);
        // This list cannot be asked for by time. In this order, what changes meanwhile comes first again.
        let order = if mark.is_some() { "sort=updated&direction=desc" } else { "sort=created&direction=asc" };
        let endpoint = self.endpoint(&format!("pulls?state=all&{order}&per_page=100"));
        let each = |pull: Value| {
            let Some(number) = pull.get("number").and_then(Value::as_u64) else {
                return Err(self.unreadable("pull requests", "one has no number"));
            };
            self.note_progress(1);
            let updated_at: Option<DateTime<Utc>> = text(&pull, "updated_at").parse().ok();
            let node_id = text(&pull, "node_id").to_owned();
            let pull = self.pull(pull);
            let of = fingerprint(&pull);
            let known = seen.known.get(&number).and_then(|known| known.pull);
            if seen.scope.is_full || known != Some(of) {
                seen.spool.add(number, Piece::Pull(pull))?;
            }
            // Where issues are switched off, nothing else lists pull requests.
            let known = seen.known.get(&number);
            let is_due = seen.scope.is_full || known.is_none_or(|known| known.is_incomplete || known.pull != Some(of));
            seen.listed.entry(number).or_insert(Listed { node_id, is_pull: true, comments: None, is_due });
            Ok(mark.is_none_or(|mark| updated_at.is_none_or(|updated_at| updated_at >= mark)))
        };
        self.github.walk(&endpoint, &self.what("pull requests"), each).await?;

        if !seen.listed.values().any(|listed| listed.is_pull) {
            seen.whole.review_comments = seen.scope.is_full;
            return Ok(());
        }
        let endpoint = self.endpoint("pulls/comments?sort=updated&direction=asc&per_page=100");
        let each = |comment: Value| {
            self.note_progress(1);
            let Some(number) = number_in(&comment, "pull_request_url") else {
                return Err(self.unreadable("review comments", "one belongs to no pull request"));
            };
            if let Some(listed) = seen.listed.get_mut(&number) {
                // A reply may have come with a thread of its own.
                listed.is_due = true;
                seen.with_threads.insert(number);
                seen.spool.add(number, Piece::ReviewComment(self.canonical.form(comment)))?;
            }
            Ok(())
        };
        self.github.walk_changes(&endpoint, mark, &self.what("review comments"), each).await?;
        seen.whole.review_comments = seen.scope.is_full;
        Ok(())
    }

    /// Puts a pull request into the form in which it is stored: each holds two whole repositories, which change by themselves.
    fn pull(&self, mut pull: Value) -> Value {
        for side in ["head", "base"] {
            let Some(repository) =
                pull.get_mut(side).and_then(|side| side.get_mut("repo")).filter(|repo| repo.is_object())
            else {
                continue;
            };
            *repository = json!({"id": repository["id"], "full_name": repository["full_name"]});
        }
        self.canonical.form(pull)
    }

    /// Reads a short list to its end.
    pub(super) async fn whole_list(
        &self,
        endpoint: &str,
    ) -> Result<(Vec<Value>, Option<DateTime<Utc>>), MetadataError> {
        let mut list = Vec::new();
        let each = |thing| {
            list.push(self.canonical.form(thing));
            Ok::<_, MetadataError>(true)
        };
        let what = endpoint.split('?').next().unwrap_or(endpoint);
        let walked = self.github.walk(&self.endpoint(endpoint), &self.what(what), each).await?;
        Ok((list, walked.as_of))
    }

    /// Names something of the repository, for messages.
    fn what(&self, what: &str) -> String {
        format!("the {what} of {}", self.full_name)
    }

    fn unreadable(&self, what: &str, reason: &str) -> MetadataError {
        GitHubError::Unreadable { what: self.what(what), reason: reason.to_owned() }.into()
    }
}

/// Reads the number at the end of an address.
fn number_in(thing: &Value, member: &str) -> Option<u64> {
    text(thing, member).rsplit('/').next()?.parse().ok()
}
