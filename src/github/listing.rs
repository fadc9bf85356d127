//! One owner's repositories: read page by page, and read again while anything speaks against what was read.
//!
//! What a newcomer would get wrong: pages are cut anew for every request. When a repository leaves a page that was already read,
//! the first one of the next page moves onto it. No page that is read shows that one; only counts and known ids do.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::Duration;

use http::HeaderMap;
use serde_json::Value;
use url::Url;

use super::GitHubError;
use super::client::GitHub;
use super::presence::{Known, Presence, Presences};
use super::repository::{BadEntry, Repository};
use crate::names::RepositoryId;
use crate::text::printable;

/// A listing that still contradicts itself is read at most this often.
pub(super) const READINGS_MAX: u32 = 3;
/// Gives what was changing some time to settle.
const PAUSE: Duration = Duration::from_secs(1);

/// A listing of a hundred thousand repositories has a thousand pages; more is a loop.
const PAGES_MAX: usize = 2_000;
/// What that many pages hold; a page of GitHub's never has more than a hundred entries.
const ENTRIES_MAX: usize = 100 * PAGES_MAX;

/// In this order, a repository that is created or renamed meanwhile moves no other to another page.
const ORDER: &str = "sort=created&direction=asc&per_page=100";

/// What all readings of one owner's listing brought.
#[derive(Default)]
pub(super) struct OwnersListing {
    /// Every repository that some reading showed, and that is not known to be gone since.
    pub(super) repositories: BTreeMap<RepositoryId, Repository>,
    /// Their ids as they were first listed.
    order: Vec<RepositoryId>,
    /// Entries that are not repositories.
    pub(super) bad: Vec<BadEntry>,
    /// What GitHub answered about repositories that the last reading did not show.
    pub(super) presences: Presences,
    /// How often it was read.
    pub(super) readings: u32,
    /// How many there are by the listing's own `total_count`.
    pub(super) expected: Option<u64>,
    /// How many the account's page counts; what exactly it counts is not documented.
    pub(super) counted: Option<u64>,
    /// Whether private repositories are out of sight, so that absence means nothing.
    pub(super) public_only: bool,
    /// The organisations that an SSO header says were left out.
    pub(super) partial_organizations: Option<String>,
    /// The owners that this listing speaks for, folded to lower case.
    pub(super) speaks_for: BTreeSet<String>,
    /// What ended the reading early, if anything did.
    pub(super) error: Option<GitHubError>,
}

impl OwnersListing {
    /// Reads an owner's listing, again if need be, and asks by id about what it does not show.
    ///
    /// `is_short_allowed` says that the account may count more than it lists.
    pub(super) async fn read(github: &GitHub, owner: &str, known: &Known, is_short_allowed: bool) -> Self {
        let mut all = Self::default();
        loop {
            let mut reading = Reading::default();
            let ended = reading.read(github, owner).await;
            all.readings += 1;
            let is_settled = reading.is_settled(is_short_allowed);
            let speaks_for = reading.owners(owner);
            let listed = all.take(reading, speaks_for);
            if let Err(error) = ended {
                all.error = Some(error);
                return all;
            }
            let is_last = all.readings >= READINGS_MAX;
            // A token that sees nothing at all shows by that alone; there is no need to ask about each repository.
            if !listed.is_empty() && (is_settled || is_last) {
                all.ask(github, known, &listed).await;
            }
            if is_last || (is_settled && !all.has_hidden(&listed)) {
                break;
            }
            tracing::info!(owner, "the listing contradicts itself or what is known; reading it again");
            tokio::time::sleep(PAUSE).await;
        }
        all
    }

    /// Returns the repositories in the order in which GitHub listed them.
    pub(super) fn in_order(&self) -> impl Iterator<Item = &Repository> {
        self.order.iter().filter_map(|id| self.repositories.get(id))
    }

    /// Counts what was listed, readable or not.
    pub(super) fn listed(&self) -> u64 {
        (self.repositories.len() + self.bad.len()) as u64
    }

    /// Takes over one reading; returns the ids that it showed.
    fn take(&mut self, reading: Reading, speaks_for: BTreeSet<String>) -> HashSet<RepositoryId> {
        self.expected = reading.expected;
        self.counted = reading.counted;
        self.public_only = reading.public_only;
        self.partial_organizations = reading.partial_organizations.or(self.partial_organizations.take());
        self.speaks_for.extend(speaks_for);
        let bad_ids = reading.bad.iter().filter_map(|bad| bad.id);
        let listed = reading.order.iter().copied().chain(bad_ids).collect();
        self.order.extend(reading.order.iter().filter(|id| !self.repositories.contains_key(id)));
        self.repositories.extend(reading.repositories);
        self.bad = reading.bad;
        listed
    }

    /// Asks about what is known, or was listed by an earlier reading, and is not in the last one.
    async fn ask(&mut self, github: &GitHub, known: &Known, listed: &HashSet<RepositoryId>) {
        let earlier = self.repositories.values().map(|repository| (repository.id, repository.full_name.clone()));
        let of_owner = known
            .iter()
            .filter(|(_, name)| self.speaks_for.contains(&name.folded_owner()))
            .map(|(id, name)| (*id, name.clone()));
        let missing: Known = earlier.chain(of_owner).filter(|(id, _)| !listed.contains(id)).collect();
        self.presences.ask(github, &missing).await;
        for (id, presence) in &self.presences.answers {
            match presence {
                Presence::NotFound if !listed.contains(id) => drop(self.repositories.remove(id)),
                // Where it is today says more than where it was listed.
                Presence::Here(repository) if self.repositories.contains_key(id) && !listed.contains(id) => {
                    if self.speaks_for.contains(&repository.full_name.folded_owner()) {
                        self.repositories.insert(*id, (**repository).clone());
                    } else {
                        self.repositories.remove(id);
                    }
                }
                _ => {}
            }
        }
    }

    /// Returns whether the last reading did not show a repository that exists and belongs there.
    fn has_hidden(&self, listed: &HashSet<RepositoryId>) -> bool {
        self.presences.answers.iter().any(|(id, presence)| match presence {
            Presence::Here(repository) => {
                let owner = repository.full_name.folded_owner();
                !listed.contains(id) && self.speaks_for.contains(&owner)
            }
            _ => false,
        })
    }
}

/// One reading of a listing, from the account's page to the last page.
#[derive(Default)]
struct Reading {
    repositories: BTreeMap<RepositoryId, Repository>,
    order: Vec<RepositoryId>,
    bad: Vec<BadEntry>,
    expected: Option<u64>,
    counted: Option<u64>,
    public_only: bool,
    partial_organizations: Option<String>,
    /// Whether a repository was on two pages: they were cut anew in between.
    has_shifted: bool,
}

impl Reading {
    /// Returns the owners that this listing speaks for, folded to lower case.
    fn owners(&self, configured: &str) -> BTreeSet<String> {
        if configured.starts_with('@') {
            self.repositories.values().map(|item| item.full_name.folded_owner()).collect()
        } else {
            BTreeSet::from([configured.to_ascii_lowercase()])
        }
    }

    /// Returns whether nothing speaks against it.
    fn is_settled(&self, is_short_allowed: bool) -> bool {
        let listed = (self.repositories.len() + self.bad.len()) as u64;
        let is_enough = |count: Option<u64>| count.is_none_or(|count| listed >= count);
        !self.has_shifted && is_enough(self.expected) && (is_short_allowed || is_enough(self.counted))
    }

    async fn read(&mut self, github: &GitHub, owner: &str) -> Result<(), GitHubError> {
        let own = format!("user/repos?affiliation=owner&{ORDER}");
        match owner {
            "@me" => {
                // Without it the listing is still read, only not counted.
                let own_account = Account::ask(github, "user", "the token's user").await;
                self.counted = own_account.ok().and_then(|account| account.repositories());
                return self.pages(github, github.url(&own), owner).await;
            }
            "@installation" => {
                return self.pages(github, github.url("installation/repositories?per_page=100"), owner).await;
            }
            _ => {}
        }
        match Account::ask(github, &format!("orgs/{owner}"), &format!("organisation {owner}")).await {
            Ok(organization) => {
                self.counted = organization.repositories();
                return self.pages(github, github.url(&format!("orgs/{owner}/repos?type=all&{ORDER}")), owner).await;
            }
            Err(GitHubError::NotFound { .. }) => {}
            Err(error) => return Err(error),
        }
        let user = Account::ask(github, &format!("users/{owner}"), &format!("organisation or user {owner}")).await?;
        if user.is_organization {
            // Listed as a user, it would show only its public repositories.
            return Err(GitHubError::NotFound { what: format!("organisation {owner} for this token") });
        }
        if github.is_app() {
            self.pages(github, github.url("installation/repositories?per_page=100"), owner).await?;
            self.repositories.retain(|_, item| item.full_name.owner().eq_ignore_ascii_case(&user.login));
            self.order.retain(|id| self.repositories.contains_key(id));
            self.expected = None; // it counted those of every owner
            return Ok(());
        }
        let own_account = Account::ask(github, "user", "the token's user").await?;
        if own_account.login.eq_ignore_ascii_case(&user.login) {
            self.counted = own_account.repositories();
            return self.pages(github, github.url(&own), owner).await;
        }
        self.counted = user.public;
        self.public_only = true;
        self.pages(github, github.url(&format!("users/{owner}/repos?type=owner&{ORDER}")), owner).await
    }

    async fn pages(&mut self, github: &GitHub, first: Url, owner: &str) -> Result<(), GitHubError> {
        let mut next = Some(first);
        let mut read = HashSet::new();
        let mut entries = 0;
        while let Some(url) = next {
            let what = format!("page {} of the repositories of {owner}", read.len() + 1);
            if read.len() >= PAGES_MAX || entries > ENTRIES_MAX || !read.insert(url.clone()) {
                return Err(GitHubError::Unreadable { what, reason: "the listing does not end".to_owned() });
            }
            let page = github.page(&url, &what).await?;
            if let Some(organizations) = sso_partial(&page.headers) {
                self.partial_organizations.get_or_insert(organizations);
            }
            self.expected = self.expected.max(page.total_count);
            entries += page.items.len();
            for entry in &page.items {
                match Repository::read(entry) {
                    Ok(repository) if self.repositories.contains_key(&repository.id) => self.has_shifted = true,
                    Ok(repository) => {
                        self.order.push(repository.id);
                        self.repositories.insert(repository.id, repository);
                    }
                    Err(bad) => self.bad.push(bad),
                }
            }
            next = page.next;
        }
        Ok(())
    }
}

/// What an account's own page says. A count that cannot be read is left out, and is not a failure.
struct Account {
    login: String,
    is_organization: bool,
    public: Option<u64>,
    /// Only for those who may see private repositories.
    private: Option<u64>,
}

impl Account {
    async fn ask(github: &GitHub, endpoint: &str, what: &str) -> Result<Self, GitHubError> {
        let (account, _) = github.get(&github.url(endpoint), what).await?;
        Ok(Self::read(&account))
    }

    fn read(account: &Value) -> Self {
        let text = |field: &str| account.get(field).and_then(Value::as_str).unwrap_or_default();
        let number = |field: &str| account.get(field).and_then(Value::as_u64);
        let is_organization = text("type") == "Organization";
        // A user's total includes repositories that others share with the user.
        let private = if is_organization { number("total_private_repos") } else { number("owned_private_repos") };
        Self { login: text("login").to_owned(), is_organization, public: number("public_repos"), private }
    }

    fn repositories(&self) -> Option<u64> {
        self.public.map(|public| public.saturating_add(self.private.unwrap_or_default()))
    }
}

/// Reads `X-GitHub-SSO: partial-results; organizations=…`.
fn sso_partial(headers: &HeaderMap) -> Option<String> {
    let value = headers.get("x-github-sso")?.to_str().ok()?;
    let (kind, rest) = value.split_once(';')?;
    (kind.trim() == "partial-results").then(|| printable(rest.trim(), 120))
}

#[cfg(test)]
impl Repository {
    /// Returns how many repositories an account's page counts, for the tests against GitHub's recorded answers.
    pub(super) fn counted_by(account: &Value) -> (String, Option<u64>) {
        let account = Account::read(account);
        let count = account.repositories();
        (account.login, count)
    }
}
