//! The inventory: every repository that GitHub says exists, and every sign that it says too little.
//!
//! What a newcomer would get wrong: status 200 proves nothing. A token that is not authorised for SSO, a pending
//! fine-grained token and an app with "selected repositories" all list less than there is. So a listing is complete
//! only if nothing speaks against it, and whatever does is reported.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use http::HeaderMap;
use serde::{Deserialize, Serialize};
use url::Url;

use super::GitHubError;
use super::client::{GitHub, PageOf};
use crate::config::GitHubConfig;
use crate::names::{FullName, RepositoryId};
use crate::text::printable;

/// Describes a repository as GitHub lists it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "these are GitHub's own flags")]
pub struct Repository {
    /// Its identity.
    pub id: RepositoryId,
    /// Its name today.
    pub full_name: FullName,
    /// Its size in KiB, by GitHub's hourly count; 0 does not mean empty.
    pub size_kib: u64,
    /// Whether it is private or internal.
    pub private: bool,
    /// Whether it is a fork.
    pub fork: bool,
    /// Whether it is archived.
    pub archived: bool,
    /// Whether it may have a wiki; GitHub says so of wikis that were never written, too.
    pub has_wiki: bool,
    /// The default branch, when GitHub names one.
    pub default_branch: Option<String>,
}

/// A repository as it comes from the network: nothing in it is trusted yet.
#[derive(Deserialize)]
struct Listed {
    id: RepositoryId,
    full_name: String,
    #[serde(default)]
    size: Option<u64>,
    #[serde(default)]
    private: Option<bool>,
    #[serde(default)]
    fork: Option<bool>,
    #[serde(default)]
    archived: Option<bool>,
    #[serde(default)]
    has_wiki: Option<bool>,
    #[serde(default)]
    default_branch: Option<String>,
}

impl Listed {
    fn check(self) -> Result<Repository, crate::names::InvalidName> {
        Ok(Repository {
            id: self.id,
            full_name: self.full_name.parse()?,
            size_kib: self.size.unwrap_or_default(),
            private: self.private.unwrap_or(true),
            fork: self.fork.unwrap_or_default(),
            archived: self.archived.unwrap_or_default(),
            has_wiki: self.has_wiki.unwrap_or_default(),
            default_branch: self.default_branch,
        })
    }
}

/// Reads a page of a listing, and says of each repository whether its name is one.
#[cfg(any(test, fuzzing))]
pub(crate) fn read_listing(
    bytes: &[u8],
) -> serde_json::Result<impl Iterator<Item = Result<Repository, crate::names::InvalidName>>> {
    Ok(serde_json::from_slice::<Vec<Listed>>(bytes)?.into_iter().map(Listed::check))
}

/// Reports something that could not be listed.
#[derive(Clone, Debug)]
pub struct ListingFailure {
    /// The owner or the repository.
    pub subject: String,
    /// What went wrong.
    pub error: String,
    /// What to do about it.
    pub hint: String,
    /// Whether the token was refused, which ends the run.
    pub unauthorized: bool,
}

/// Holds what GitHub says exists.
#[derive(Clone, Debug, Default)]
pub struct Inventory {
    /// What is to be backed up, each repository once.
    pub repositories: Vec<Repository>,
    /// What exists but is filtered out; not gone.
    pub excluded: BTreeSet<RepositoryId>,
    /// Owners (folded to lower case) whose listing is whole, so that absence from it means something.
    pub complete_owners: BTreeSet<String>,
    /// How many repositories each owner's listing held, before filters, by the configured name; whole listings only.
    pub listed_by_owner: BTreeMap<String, u64>,
    /// What could not be listed.
    pub failures: Vec<ListingFailure>,
    /// What a person should look at.
    pub warnings: Vec<String>,
}

/// Decides which listed repositories are backed up.
#[derive(Clone, Debug)]
pub struct Filter {
    include: GlobSet,
    exclude: GlobSet,
    forks: bool,
    archived: bool,
}

impl Filter {
    /// Builds the filter of a configuration.
    ///
    /// # Errors
    /// The glob that cannot be read; the configuration's check has refused it before.
    pub fn new(config: &GitHubConfig) -> Result<Self, globset::Error> {
        let set = |globs: &[String]| {
            let mut builder = GlobSetBuilder::new();
            for glob in globs {
                // GitHub's names do not distinguish case.
                builder.add(GlobBuilder::new(glob).case_insensitive(true).build()?);
            }
            builder.build()
        };
        Ok(Self {
            include: set(&config.include)?,
            exclude: set(&config.exclude)?,
            forks: config.forks,
            archived: config.archived,
        })
    }

    /// Says whether a repository is backed up. A glob may match `OWNER/NAME` or the bare name.
    pub fn takes(&self, repository: &Repository) -> bool {
        let full_name = repository.full_name.to_string();
        let matches = |set: &GlobSet| set.is_match(&full_name) || set.is_match(repository.full_name.name());
        (self.forks || !repository.fork)
            && (self.archived || !repository.archived)
            && matches(&self.include)
            && !matches(&self.exclude)
    }
}

/// A listing may lose this share (and at least [`DROP_MIN`]) against the last run before it is called sharp.
const DROP_SHARE_PERCENT: u64 = 10;
const DROP_MIN: u64 = 2;

impl Inventory {
    /// Notes owners whose listing shrank sharply against the last run.
    pub fn compare_with(&mut self, before: &BTreeMap<String, u64>) {
        for (owner, listed) in &self.listed_by_owner {
            let Some(before) = before.get(owner) else { continue };
            let lost = before.saturating_sub(*listed);
            if lost >= DROP_MIN && lost * 100 >= before * DROP_SHARE_PERCENT {
                self.warnings.push(format!(
                    "{owner}: GitHub lists {listed} repositories, {before} at the last run; if nobody deleted {lost}, \
                     check the token's access"
                ));
            }
        }
    }

    /// Counts what GitHub listed, before filters.
    pub fn listed(&self) -> u64 {
        (self.repositories.len() + self.excluded.len()) as u64
    }

    fn fail(&mut self, subject: &str, error: &GitHubError) {
        self.failures.push(ListingFailure {
            subject: subject.to_owned(),
            error: error.to_string(),
            hint: error.hint().to_owned(),
            unauthorized: matches!(error, GitHubError::Unauthorized),
        });
    }
}

/// Lists every configured owner. One owner's failure does not end the others' listing, a bad token does.
pub async fn list(github: &GitHub, owners: &[String], filter: &Filter) -> Inventory {
    let mut inventory = Inventory::default();
    let mut seen = HashSet::new();
    if github.is_app() {
        warn_of_selection(github, &mut inventory).await;
    }
    for owner in owners {
        let mut found = Listing::default();
        let listed = list_owner(github, owner, &mut found, &mut inventory.warnings).await;
        let failed_before = inventory.failures.len();
        if let Err(error) = &listed {
            inventory.fail(owner, error);
        }
        if let Some(organizations) = &found.partial_organizations {
            inventory.failures.push(ListingFailure {
                subject: owner.clone(),
                error: format!("GitHub left out repositories of organisations that demand SSO ({organizations})"),
                hint: "authorise the token for SSO: GitHub, Settings, Developer settings, Configure SSO".to_owned(),
                unauthorized: false,
            });
        }
        let listed_here = found.items.iter().map(|item| item.id).collect::<HashSet<_>>().len() as u64;
        if listed.is_ok() && found.expected.is_some_and(|expected| listed_here < expected) {
            let expected = found.expected.unwrap_or_default();
            inventory.failures.push(ListingFailure {
                subject: owner.clone(),
                error: format!("the listing is short: GitHub counts {expected} repositories and listed {listed_here}"),
                hint: "run again; if it persists, the token may not see them all".to_owned(),
                unauthorized: false,
            });
        } else if listed.is_ok() && listed_here == 0 {
            inventory.failures.push(ListingFailure {
                subject: owner.clone(),
                error: "GitHub listed no repository at all".to_owned(),
                hint: "check that the token may read this owner's repositories (SSO, pending approval, selected \
                       repositories); remove the owner if it is really empty"
                    .to_owned(),
                unauthorized: false,
            });
        }
        let counted_more = listed.is_ok() && found.counted.is_some_and(|counted| listed_here < counted);
        if counted_more {
            let counted = found.counted.unwrap_or_default();
            inventory.warnings.push(format!(
                "{owner}: GitHub counts {counted} repositories but lists {listed_here}; the token may not see them all"
            ));
        }
        if inventory.failures.len() == failed_before && !counted_more && !found.public_only {
            inventory.complete_owners.extend(found.owners(owner));
        }
        if inventory.failures.len() == failed_before {
            inventory.listed_by_owner.insert(owner.clone(), listed_here);
        }
        take(&mut inventory, &mut seen, found, filter);
        if inventory.failures.iter().any(|failure| failure.unauthorized) {
            break; // GitHub: stop at the first 401
        }
    }
    if inventory.failures.is_empty() && inventory.repositories.is_empty() && !inventory.excluded.is_empty() {
        inventory.failures.push(ListingFailure {
            subject: "filters".to_owned(),
            error: format!("they leave out all {} repositories", inventory.excluded.len()),
            hint: "check github.include, exclude, forks and archived".to_owned(),
            unauthorized: false,
        });
    }
    inventory
}

/// Notes an installation that was given selected repositories only: it lists no others, without a word.
async fn warn_of_selection(github: &GitHub, inventory: &mut Inventory) {
    #[derive(Deserialize)]
    struct Installation {
        repository_selection: Option<String>,
    }
    let url = github.url("installation/repositories?per_page=1");
    // A failure shows when the owners are listed.
    if let Ok((installation, _)) = github.get::<Installation>(&url, "the installation's repositories").await
        && installation.repository_selection.as_deref() == Some("selected")
    {
        inventory.warnings.push(
            "the GitHub App is installed on selected repositories only; others are neither listed nor backed up"
                .to_owned(),
        );
    }
}

/// Checks and files what one owner's listing held.
fn take(inventory: &mut Inventory, seen: &mut HashSet<RepositoryId>, found: Listing, filter: &Filter) {
    for item in found.items {
        // Pages shift while they are read, and owners may overlap.
        if !seen.insert(item.id) {
            continue;
        }
        let id = item.id;
        match item.check() {
            Ok(repository) if filter.takes(&repository) => inventory.repositories.push(repository),
            Ok(_) => {
                inventory.excluded.insert(id);
            }
            Err(error) => {
                inventory.excluded.insert(id);
                inventory.failures.push(ListingFailure {
                    subject: format!("repository {id}"),
                    error: error.to_string(),
                    hint: "it is not backed up; check github.api_url, and report this if it is GitHub".to_owned(),
                    unauthorized: false,
                });
            }
        }
    }
}

/// Looks single repositories up, listed or not; filters do not apply to what was asked for by name.
pub async fn look_up(github: &GitHub, names: &[FullName]) -> Inventory {
    let mut inventory = Inventory::default();
    let mut seen = HashSet::new();
    for name in names {
        let what = format!("repository {name}");
        let url = github.url(&format!("repos/{name}"));
        match github.get::<Listed>(&url, &what).await {
            Ok((listed, _)) => match listed.check() {
                Ok(repository) => {
                    if !repository.full_name.same_as(name) {
                        inventory.warnings.push(format!("{name} is now {}", repository.full_name));
                    }
                    if seen.insert(repository.id) {
                        inventory.repositories.push(repository);
                    }
                }
                Err(error) => {
                    let error = GitHubError::Unreadable { what, reason: error.to_string() };
                    inventory.fail(&name.to_string(), &error);
                }
            },
            Err(error) => {
                inventory.fail(&name.to_string(), &error);
                if matches!(error, GitHubError::Unauthorized) {
                    break;
                }
            }
        }
    }
    inventory
}

/// Collects the pages of one owner.
#[derive(Default)]
struct Listing {
    items: Vec<Listed>,
    /// How many there are by the listing's own `total_count`.
    expected: Option<u64>,
    /// How many the account's page counts; what it counts is not documented to the last repository.
    counted: Option<u64>,
    /// Whether private repositories are out of sight, so that absence means nothing.
    public_only: bool,
    /// The organisations that an SSO header says were left out.
    partial_organizations: Option<String>,
}

impl Listing {
    /// Returns the owners that this listing speaks for, folded to lower case.
    fn owners(&self, configured: &str) -> BTreeSet<String> {
        if configured.starts_with('@') {
            self.items
                .iter()
                .filter_map(|item| item.full_name.split_once('/'))
                .map(|(owner, _)| owner.to_ascii_lowercase())
                .collect()
        } else {
            BTreeSet::from([configured.to_ascii_lowercase()])
        }
    }
}

/// What an account's own page counts.
#[derive(Deserialize)]
struct Account {
    #[serde(default)]
    login: String,
    #[serde(default, rename = "type")]
    kind: String,
    #[serde(default)]
    public_repos: Option<u64>,
    /// Only for those who may see private repositories.
    #[serde(default)]
    total_private_repos: Option<u64>,
}

impl Account {
    fn repositories(&self) -> Option<u64> {
        self.public_repos.map(|public| public + self.total_private_repos.unwrap_or_default())
    }
}

async fn list_owner(
    github: &GitHub,
    owner: &str,
    listing: &mut Listing,
    warnings: &mut Vec<String>,
) -> Result<(), GitHubError> {
    match owner {
        "@me" => {
            return read_pages(github, github.url("user/repos?affiliation=owner&per_page=100"), owner, listing).await;
        }
        "@installation" => {
            return read_pages(github, github.url("installation/repositories?per_page=100"), owner, listing).await;
        }
        _ => {}
    }
    match github.get::<Account>(&github.url(&format!("orgs/{owner}")), &format!("organisation {owner}")).await {
        Ok((organization, _)) => {
            listing.counted = organization.repositories();
            let url = github.url(&format!("orgs/{owner}/repos?type=all&per_page=100"));
            return read_pages(github, url, owner, listing).await;
        }
        Err(GitHubError::NotFound { .. }) => {}
        Err(error) => return Err(error),
    }
    let what = format!("organisation or user {owner}");
    let (user, _) = github.get::<Account>(&github.url(&format!("users/{owner}")), &what).await?;
    if user.kind == "Organization" {
        // As a user it would show its public repositories only.
        return Err(GitHubError::NotFound { what: format!("organisation {owner} for this token") });
    }
    if github.is_app() {
        read_pages(github, github.url("installation/repositories?per_page=100"), owner, listing).await?;
        let of_owner = |item: &Listed| {
            item.full_name.split_once('/').is_some_and(|(login, _)| login.eq_ignore_ascii_case(&user.login))
        };
        listing.items.retain(of_owner);
        listing.expected = None; // it counted every owner's
        return Ok(());
    }
    let own = github.identity().await?.login.is_some_and(|login| login.eq_ignore_ascii_case(&user.login));
    if own {
        listing.counted = user.repositories();
        return read_pages(github, github.url("user/repos?affiliation=owner&per_page=100"), owner, listing).await;
    }
    listing.counted = user.public_repos;
    listing.public_only = true;
    warnings.push(format!("{owner} is a user whose private repositories this token cannot list"));
    let url = github.url(&format!("users/{owner}/repos?type=owner&per_page=100"));
    read_pages(github, url, owner, listing).await
}

/// A listing of a hundred thousand repositories has a thousand pages; more is a loop.
const PAGES_MAX: usize = 2_000;
/// As many as so many pages of a hundred hold; a page of GitHub's never holds more.
const ITEMS_MAX: usize = 100 * PAGES_MAX;

async fn read_pages(github: &GitHub, first: Url, owner: &str, listing: &mut Listing) -> Result<(), GitHubError> {
    let mut next = Some(first);
    let mut read = HashSet::new();
    while let Some(url) = next {
        let what = format!("page {} of the repositories of {owner}", read.len() + 1);
        if read.len() >= PAGES_MAX || listing.items.len() > ITEMS_MAX || !read.insert(url.clone()) {
            return Err(GitHubError::Unreadable { what, reason: "the listing does not end".to_owned() });
        }
        let page: PageOf<Listed> = github.page(&url, &what).await?;
        if let Some(organizations) = sso_partial(&page.headers) {
            listing.partial_organizations.get_or_insert(organizations);
        }
        listing.expected = listing.expected.max(page.total_count);
        listing.items.extend(page.items);
        next = page.next;
    }
    Ok(())
}

/// Reads `X-GitHub-SSO: partial-results; organizations=…`.
fn sso_partial(headers: &HeaderMap) -> Option<String> {
    let value = headers.get("x-github-sso")?.to_str().ok()?;
    let (kind, rest) = value.split_once(';')?;
    (kind.trim() == "partial-results").then(|| printable(rest.trim(), 120))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repository(full_name: &str) -> Repository {
        Repository {
            id: RepositoryId(1),
            full_name: full_name.parse().unwrap(),
            size_kib: 0,
            private: true,
            fork: false,
            archived: false,
            has_wiki: false,
            default_branch: None,
        }
    }

    #[test]
    fn globs_match_full_names_and_bare_names_in_any_case() {
        let config = GitHubConfig {
            include: vec!["acme/*".into()],
            exclude: vec!["legacy-*".into(), "ACME/Secret".into()],
            ..GitHubConfig::default()
        };
        let filter = Filter::new(&config).unwrap();
        for (name, taken) in [("acme/site", true), ("acme/legacy-1", false), ("acme/secret", false), ("b/site", false)]
        {
            assert_eq!(filter.takes(&repository(name)), taken, "{name}");
        }
    }

    #[test]
    fn a_sharp_drop_is_noted_and_a_small_one_is_not() {
        for (before, now, warned) in [(100, 89, true), (100, 95, false), (3, 2, false), (3, 1, true), (5, 9, false)] {
            let mut inventory = Inventory::default();
            inventory.listed_by_owner.insert("acme".into(), now);
            inventory.compare_with(&BTreeMap::from([("acme".to_owned(), before)]));
            assert_eq!(!inventory.warnings.is_empty(), warned, "{before} to {now}");
        }
    }
}
