//! Asks GitHub for the issues and pull requests of a repository: the lists, what they do not show, and what is gone.
//!
//! The list of issues is always read to its end, because a change that GitHub does not date (a comment deleted, a label renamed,
//! an issue deleted or transferred) shows nowhere else. Comments are asked for by the time of their change, and counted against
//! what GitHub states for each issue. What a newcomer would get wrong: the mark is taken from GitHub's clock before the first
//! list, so what changes meanwhile is fetched twice and never missed.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::atomic::Ordering;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;

use super::canonical::Canonical;
use super::item::How;
use super::spool::Piece;
use super::stored::Known;
use super::{MetadataError, Spool};
use crate::git::wire::transfer::Transfer;
use crate::github::{GitHub, GitHubError, GraphQl};
use crate::names::FullName;
use crate::text::count;

/// Clocks of GitHub's servers differ, and so do the times at which a change shows in a list.
const OVERLAP: TimeDelta = TimeDelta::minutes(10);
/// How many numbers are named.
const NAMED_MAX: usize = 3;

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Scope {
    /// Whether everything is read again, for what no list shows.
    pub is_full: bool,
    /// Changes before this are stored; none if nothing is.
    pub mark: Option<DateTime<Utc>>,
}

/// Asks for one repository.
pub struct Fetcher<'a> {
    /// Its REST API.
    pub github: &'a GitHub,
    /// Its GraphQL API.
    pub graphql: &'a GraphQl,
    /// How answers are stored.
    pub canonical: &'a Canonical,
    /// The repository.
    pub full_name: &'a FullName,
    /// Where progress is counted.
    pub transfer: &'a Transfer,
}

/// Something that could not be fetched although the rest was.
#[derive(Debug)]
pub struct Problem {
    /// What, and why.
    pub error: String,
    /// What to do.
    pub hint: &'static str,
    /// Whether it may pass by itself.
    pub may_pass: bool,
    /// Whether the token may not read it.
    pub is_forbidden: bool,
}

/// What came, beside what is in the spool.
#[derive(Debug, Default)]
pub struct Fetched {
    /// Whether everything was read again.
    pub is_full: bool,
    /// When GitHub was asked, by its own clock.
    pub as_of: Option<DateTime<Utc>>,
    /// From when on the next run has to ask.
    pub mark: Option<DateTime<Utc>>,
    /// What could not be fetched.
    pub problems: Vec<Problem>,
    /// Whether GitHub has issues switched off.
    pub is_disabled: bool,
    pub(super) known: BTreeMap<u64, Known>,
    pub(super) files: BTreeMap<&'static str, Vec<Value>>,
}

/// A number as the list shows it.
#[derive(Clone, Debug, Default)]
pub(super) struct Listed {
    pub(super) node_id: String,
    pub(super) is_pull: bool,
    /// How many comments GitHub states.
    pub(super) comments: u64,
    /// Whether its details have to be asked for.
    pub(super) is_due: bool,
}

/// What a fetch has seen so far.
pub(super) struct Seen<'a> {
    pub(super) known: BTreeMap<u64, Known>,
    pub(super) listed: BTreeMap<u64, Listed>,
    /// The ids of the comments that came, by number.
    pub(super) comments: HashMap<u64, HashSet<u64>>,
    /// Pull requests with comments on lines.
    pub(super) with_threads: BTreeSet<u64>,
    pub(super) spool: &'a mut Spool,
    pub(super) problems: Vec<Problem>,
    pub(super) scope: Scope,
}

impl Fetcher<'_> {
    /// Fetches what is new, and what is stored but differs.
    ///
    /// # Errors
    /// [`MetadataError`] if a list could not be read: nothing is known to be whole then. What fails for single numbers is a
    /// [`Problem`].
    pub async fn fetch(
        &self,
        stored: BTreeMap<u64, Known>,
        scope: Scope,
        spool: &mut Spool,
    ) -> Result<Fetched, MetadataError> {
        let (listed, comments, with_threads) = (BTreeMap::new(), HashMap::new(), BTreeSet::new());
        let mut seen = Seen { known: stored, listed, comments, with_threads, spool, problems: Vec::new(), scope };
        let mut fetched = Fetched { is_full: scope.is_full, ..Fetched::default() };
        match self.issues(&mut seen).await {
            Ok(as_of) => fetched.as_of = as_of,
            Err(MetadataError::GitHub(GitHubError::Retired { .. })) => fetched.is_disabled = true,
            Err(error) => return Err(error),
        }
        for (name, endpoint) in
            [("labels.json", "labels?per_page=100"), ("milestones.json", "milestones?state=all&per_page=100")]
        {
            fetched.files.insert(name, self.whole_list(endpoint).await?);
        }
        if !fetched.is_disabled {
            self.comments(&mut seen).await?;
            self.count_comments(&mut seen).await?;
        }
        // Always, because a token that may not read them may not see them in the list of issues either.
        self.pulls(&mut seen).await?;
        let unknown = self.details(&mut seen).await?;
        self.missing(&mut seen, unknown, fetched.is_disabled).await?;
        let Seen { known, problems, .. } = seen;
        fetched.mark = if problems.is_empty() { fetched.as_of.map(|as_of| as_of - OVERLAP) } else { scope.mark };
        Ok(Fetched { problems, known, ..fetched })
    }

    /// Returns an endpoint of the repository.
    pub(super) fn endpoint(&self, rest: &str) -> String {
        format!("repos/{}/{rest}", self.full_name)
    }

    pub(super) fn note_progress(&self, more: usize) {
        self.transfer.received_objects.fetch_add(more, Ordering::Relaxed);
    }

    /// Counts the comments of each number against what GitHub states, and reads those of a number anew if they differ: nothing
    /// else shows that a comment was deleted.
    async fn count_comments(&self, seen: &mut Seen<'_>) -> Result<(), MetadataError> {
        let numbers: Vec<(u64, u64)> = seen.listed.iter().map(|(number, listed)| (*number, listed.comments)).collect();
        let mut differing = Vec::new();
        for (number, stated) in numbers {
            if seen.count_of(number) == stated {
                continue;
            }
            let Some(comments) = self.comments_of(number).await? else { continue };
            let there = comments.len() as u64;
            // Somebody may have written or deleted one since the list was read.
            if there != stated && self.stated(number).await? != Some(there) {
                differing.push(number);
            }
            seen.spool.add(number, Piece::Comments(comments))?;
        }
        if !differing.is_empty() {
            seen.problems.push(Problem {
                error: format!("{} not all comments that GitHub counts could be read", named("issue", &differing)),
                hint: "run again; if it persists, report it to GitHub",
                may_pass: true,
                is_forbidden: false,
            });
        }
        Ok(())
    }

    /// Asks about numbers that are stored and that the list does not show, and about those that GraphQL does not know.
    async fn missing(&self, seen: &mut Seen<'_>, unknown: Vec<u64>, is_disabled: bool) -> Result<(), MetadataError> {
        let unlisted = |(number, known): (&u64, &Known)| {
            (!known.is_gone && !is_disabled && !seen.listed.contains_key(number)).then_some(*number)
        };
        let unlisted: Vec<u64> = seen.known.iter().filter_map(unlisted).collect();
        let (mut hidden, mut unreadable) = (Vec::new(), Vec::new());
        for number in unlisted {
            match self.whereabouts(number).await? {
                Some(how) => seen.spool.add(number, Piece::Gone(how))?,
                None => hidden.push(number),
            }
        }
        for number in unknown {
            // One that is gone, the next run finds missing from the list.
            if self.whereabouts(number).await?.is_none() {
                seen.spool.add(number, Piece::Incomplete)?;
                unreadable.push(number);
            }
        }
        for (numbers, what) in [
            (hidden, "left out of GitHub's list, although it is there"),
            (unreadable, "not known to GitHub's GraphQL API"),
        ] {
            if !numbers.is_empty() {
                seen.problems.push(Problem {
                    error: format!("{} {what}", named("issue", &numbers)),
                    hint: "run again; if it persists, see githubstatus.com",
                    may_pass: true,
                    is_forbidden: false,
                });
            }
        }
        Ok(())
    }

    /// Finds out how a number left GitHub; none if it is there.
    async fn whereabouts(&self, number: u64) -> Result<Option<How>, MetadataError> {
        let what = format!("issue {}#{number}", self.full_name);
        let issue = match self.github.one(&self.endpoint(&format!("issues/{number}")), &what).await {
            Ok(issue) => issue,
            Err(GitHubError::Retired { .. }) => return Ok(Some(How::Deleted)),
            Err(GitHubError::NotFound { .. }) => return Ok(Some(How::Unreadable)),
            Err(error) => return Err(error.into()),
        };
        let repository = issue.get("repository_url").and_then(Value::as_str).unwrap_or_default();
        let there: Vec<&str> = repository.rsplitn(3, '/').take(2).collect();
        let number_there = issue.get("number").and_then(Value::as_u64).unwrap_or(number);
        match there.as_slice() {
            [name, owner] if !format!("{owner}/{name}").eq_ignore_ascii_case(&self.full_name.to_string()) => {
                Ok(Some(How::Transferred(format!("{owner}/{name}#{number_there}"))))
            }
            _ => Ok(None),
        }
    }
}

impl Seen<'_> {
    /// Counts the comments of a number that are stored or came.
    fn count_of(&self, number: u64) -> u64 {
        let none = HashSet::new();
        let came = self.comments.get(&number).unwrap_or(&none);
        let stored = self.known.get(&number).filter(|_| !self.scope.is_full);
        let before = stored.map_or(0, |known| known.comments.iter().filter(|id| !came.contains(*id)).count());
        (before + came.len()) as u64
    }
}

/// Names some numbers: "12 issues (#1, #2, #3 and 9 more):".
pub(super) fn named(noun: &str, numbers: &[u64]) -> String {
    let shown: Vec<String> = numbers.iter().take(NAMED_MAX).map(|number| format!("#{number}")).collect();
    let more = numbers.len().saturating_sub(NAMED_MAX);
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    format!("{} ({}{more}):", count(numbers.len() as u64, noun, &format!("{noun}s")), shown.join(", "))
}
