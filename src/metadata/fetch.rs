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
use crate::names::{FullName, RepositoryId};
use crate::text::{count, printable};

/// Clocks of GitHub's servers differ, and so do the times at which a change shows in a list.
const OVERLAP: TimeDelta = TimeDelta::minutes(10);
/// How many numbers are named.
const NAMED_MAX: usize = 3;
/// How often the comments of a number are read while people are writing.
const COUNTED_AT_MOST: usize = 3;
/// If at least this many known numbers, and a tenth of all, are not listed, the list itself is in doubt.
const UNLISTED_AT_LEAST: usize = 50;
/// How many of them are asked about before the others.
const SAMPLE: usize = 10;

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Scope {
    /// Whether everything is read again, for what no list shows.
    pub is_full: bool,
    /// Changes before this are stored; none if nothing is.
    pub mark: Option<DateTime<Utc>>,
    /// How many issues and pull requests GitHub stated before the lists were read.
    pub stated: Option<u64>,
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
    /// Its identity.
    pub id: RepositoryId,
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
    /// What it is about.
    pub of: Concern,
}

/// What something that could not be fetched is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Concern {
    /// Some numbers, whose files say that they are incomplete: the next run asks for these alone.
    Numbers,
    /// A list, so that nobody knows which numbers.
    List,
    /// All pull requests, and nothing else.
    PullRequests,
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
    pub(super) whole: Whole,
}

/// Of which lists everything came, so that what did not come is gone.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Whole {
    pub(super) comments: bool,
    pub(super) review_comments: bool,
}

/// A number as the list shows it.
#[derive(Clone, Debug, Default)]
pub(super) struct Listed {
    pub(super) node_id: String,
    pub(super) is_pull: bool,
    /// How many comments GitHub states, if it does.
    pub(super) comments: Option<u64>,
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
    pub(super) whole: Whole,
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
        let (problems, whole) = (Vec::new(), Whole::default());
        let mut seen = Seen { known: stored, listed, comments, with_threads, spool, problems, scope, whole };
        let mut fetched = Fetched { is_full: scope.is_full, ..Fetched::default() };
        self.confirm_identity().await?;
        for (name, endpoint) in
            [("labels.json", "labels?per_page=100"), ("milestones.json", "milestones?state=all&per_page=100")]
        {
            let (list, as_of) = self.whole_list(endpoint).await?;
            fetched.files.insert(name, list);
            // Of the first answer, so that whatever changes from here on comes again.
            fetched.as_of = fetched.as_of.or(as_of);
        }
        match self.issues(&mut seen).await {
            Ok(()) => {}
            Err(MetadataError::GitHub(GitHubError::Retired { .. })) => fetched.is_disabled = true,
            Err(error) => return Err(error),
        }
        // Always, because a token that may not read them may not see them in the list of issues either.
        self.pulls(&mut seen).await?;
        if fetched.is_disabled {
            self.comments_one_by_one(&mut seen).await?;
        } else {
            self.comments(&mut seen).await?;
            seen.count_numbers();
        }
        self.count_comments(&mut seen).await?;
        let unknown = self.details(&mut seen).await?;
        self.missing(&mut seen, unknown, fetched.is_disabled).await?;
        let Seen { known, problems, whole, .. } = seen;
        let is_told_by_files = problems.iter().all(|problem| problem.of == Concern::Numbers);
        fetched.mark = if is_told_by_files { fetched.as_of.map(|as_of| as_of - OVERLAP) } else { scope.mark };
        Ok(Fetched { problems, known, whole, ..fetched })
    }

    /// Makes sure that the name still belongs to the repository: another one may have taken it since it was listed.
    async fn confirm_identity(&self) -> Result<(), MetadataError> {
        let what = self.full_name.to_string();
        let repository = self.github.one(&format!("repos/{}", self.full_name), &what).await?;
        if repository.get("id").and_then(Value::as_u64) == Some(self.id.0) {
            return Ok(());
        }
        let reason = "another repository has taken this name since it was listed".to_owned();
        Err(GitHubError::Unreadable { what, reason }.into())
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
        let stated = seen.listed.iter().filter_map(|(number, listed)| Some((*number, listed.comments?)));
        let (mut differing, mut failed) = (Vec::new(), Vec::new());
        let differ: Vec<(u64, u64)> = stated.filter(|(number, stated)| seen.count_of(*number) != *stated).collect();
        for (number, stated) in differ {
            match self.all_comments(number, stated).await {
                Ok(Counted::Gone) => {}
                Ok(Counted::All(comments)) => seen.spool.add(number, Piece::Comments(comments))?,
                Ok(Counted::Some(comments)) => {
                    for comment in comments {
                        seen.spool.add(number, Piece::Comment(comment))?;
                    }
                    seen.spool.add(number, Piece::Incomplete)?;
                    differing.push(number);
                }
                Err(error) if error.ends_the_run() => return Err(error),
                Err(error) => {
                    seen.spool.add(number, Piece::Incomplete)?;
                    failed.push((number, error));
                }
            }
        }
        if !differing.is_empty() {
            let error = format!("{} not all comments that GitHub counts could be read", named("number", &differing));
            seen.problems.push(Problem::of_numbers(error, "run again; if it persists, report it to GitHub"));
        }
        if let Some((_, error)) = failed.first() {
            let numbers: Vec<u64> = failed.iter().map(|(number, _)| *number).collect();
            let what = format!("{} the comments could not be read: {error}", named("number", &numbers));
            seen.problems.push(Problem::of_numbers(what, error.hint()));
        }
        Ok(())
    }

    /// Reads all comments of a number until they are as many as GitHub states before and after: pages may shift meanwhile.
    async fn all_comments(&self, number: u64, mut stated: u64) -> Result<Counted, MetadataError> {
        for _ in 0..COUNTED_AT_MOST {
            let Some(comments) = self.comments_of(number).await? else { return Ok(Counted::Gone) };
            if comments.len() as u64 == stated {
                return Ok(Counted::All(comments));
            }
            match self.stated(number).await? {
                Some(now) if now != stated => stated = now,
                _ => return Ok(Counted::Some(comments)),
            }
        }
        Ok(Counted::Some(self.comments_of(number).await?.unwrap_or_default()))
    }

    /// Asks about numbers that are stored and that the list does not show, and about those that GraphQL does not know.
    async fn missing(&self, seen: &mut Seen<'_>, unknown: Vec<u64>, is_disabled: bool) -> Result<(), MetadataError> {
        let unlisted = |(number, known): (&u64, &Known)| {
            (!known.is_gone && !is_disabled && !seen.listed.contains_key(number)).then_some(*number)
        };
        let unlisted: Vec<u64> = seen.known.iter().filter_map(unlisted).collect();
        let (mut hidden, mut unreadable) = (Vec::new(), Vec::new());
        if self.is_list_short(&unlisted, seen.known.len()).await? {
            hidden.clone_from(&unlisted);
        } else {
            for number in unlisted {
                match self.whereabouts(number).await? {
                    Whereabouts::Left(how) => seen.spool.add(number, Piece::Gone(how))?,
                    Whereabouts::Here => hidden.push(number),
                    Whereabouts::SwitchedOff => {}
                }
            }
        }
        for number in unknown {
            // One that is gone, the next run finds missing from the list.
            if matches!(self.whereabouts(number).await?, Whereabouts::Here) {
                seen.spool.add(number, Piece::Incomplete)?;
                unreadable.push(number);
            }
        }
        if !hidden.is_empty() {
            let error = format!("{} left out of GitHub's list, although it is there", named("number", &hidden));
            let problem = Problem::of_numbers(error, "run again; if it persists, see githubstatus.com");
            seen.problems.push(Problem { of: Concern::List, ..problem });
        }
        if !unreadable.is_empty() {
            let error = format!("{} not known to GitHub's GraphQL API", named("number", &unreadable));
            seen.problems.push(Problem::of_numbers(error, "run again; if it persists, see githubstatus.com"));
        }
        Ok(())
    }

    /// Says whether a list that lacks a large part of what is stored is short: some of what it lacks is there. Then the rest
    /// need not be asked about one by one.
    async fn is_list_short(&self, unlisted: &[u64], known: usize) -> Result<bool, MetadataError> {
        if unlisted.len() <= UNLISTED_AT_LEAST.max(known / 10) {
            return Ok(false);
        }
        let step = unlisted.len().div_ceil(SAMPLE).max(1);
        for number in unlisted.iter().step_by(step) {
            if matches!(self.whereabouts(*number).await?, Whereabouts::Here) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Finds out whether a number is there.
    async fn whereabouts(&self, number: u64) -> Result<Whereabouts, MetadataError> {
        let what = format!("issue {}#{number}", self.full_name);
        let issue = match self.github.one(&self.endpoint(&format!("issues/{number}")), &what).await {
            Ok(issue) => issue,
            Err(GitHubError::Retired { message, .. }) if message.contains("disabled") => {
                return Ok(Whereabouts::SwitchedOff);
            }
            Err(GitHubError::Retired { .. }) => return Ok(Whereabouts::Left(How::Deleted)),
            Err(GitHubError::NotFound { .. }) => return Ok(Whereabouts::Left(How::Unreadable)),
            Err(error) => return Err(error.into()),
        };
        let repository = issue.get("repository_url").and_then(Value::as_str).unwrap_or_default();
        let there: Vec<&str> = repository.rsplitn(3, '/').take(2).collect();
        let number_there = issue.get("number").and_then(Value::as_u64).unwrap_or(number);
        match there.as_slice() {
            [name, owner] if !format!("{owner}/{name}").eq_ignore_ascii_case(&self.full_name.to_string()) => {
                // It becomes part of a file, whoever answered.
                let to = printable(&format!("{owner}/{name}#{number_there}"), 200);
                Ok(Whereabouts::Left(How::Transferred(to)))
            }
            _ => Ok(Whereabouts::Here),
        }
    }
}

/// The comments of one number.
enum Counted {
    All(Vec<Value>),
    /// GitHub states another number.
    Some(Vec<Value>),
    /// The number is no longer there.
    Gone,
}

/// What became of a number that is not listed.
enum Whereabouts {
    Here,
    Left(How),
    /// Nobody can tell, because issues are switched off.
    SwitchedOff,
}

impl Problem {
    /// Describes what is wrong with some numbers, whose files say that they are incomplete.
    pub(super) fn of_numbers(error: String, hint: &'static str) -> Self {
        Self { error, hint, may_pass: true, is_forbidden: false, of: Concern::Numbers }
    }
}

impl Seen<'_> {
    /// Compares how many numbers were listed with how many GitHub stated before.
    fn count_numbers(&mut self) {
        let listed = self.listed.len() as u64;
        let are_readable = !self.problems.iter().any(|problem| problem.is_forbidden);
        if let Some(stated) = self.scope.stated.filter(|stated| listed < *stated && are_readable) {
            self.problems.push(Problem {
                error: format!("GitHub lists {listed} issues and pull requests, and counts {stated}"),
                // Some may have been deleted in between.
                hint: "run again; if it persists, report it to GitHub",
                may_pass: true,
                is_forbidden: false,
                of: Concern::List,
            });
        }
    }

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
