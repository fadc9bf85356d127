//! The inventory: every repository that GitHub says exists, and every sign that it says too little.
//!
//! What a newcomer would get wrong: status 200 proves nothing. A token that is not authorised for SSO, a pending
//! fine-grained token and an app with "selected repositories" all list less than there is. So a listing is complete
//! only if nothing speaks against it, and whatever does is reported.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::GitHubError;
use super::client::GitHub;
use super::globs::Globs;
use super::listing::OwnersListing;
use super::presence::{Known, Presence};
use super::repository::{BadEntry, Repository};
use crate::config::GitHubConfig;
use crate::names::{FullName, RepositoryId};
use crate::text::nearest;

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
    /// Whether it is GitHub's answer for one repository that was asked for by name, which says nothing of others.
    pub is_of_repository: bool,
}

/// What GitHub says exists.
#[derive(Clone, Debug, Default)]
pub struct Inventory {
    /// What is to be backed up, each repository once.
    pub repositories: Vec<Repository>,
    /// Globs of the filter that match no repository; known only if every listing is whole.
    pub unmatched_globs: Vec<String>,
    /// What exists but is filtered out; not gone.
    pub excluded: BTreeSet<RepositoryId>,
    /// Owners (folded to lower case) whose listing is whole, so that absence from it means something.
    pub complete_owners: BTreeSet<String>,
    /// How many repositories each owner's listing held, before filters, by the configured name; whole listings only.
    pub listed_by_owner: BTreeMap<String, u64>,
    /// Repositories that are missing from a whole listing and that GitHub, asked by their id, does not know.
    pub gone: BTreeSet<RepositoryId>,
    /// Repositories that now belong to an owner who is not configured, with their name there.
    pub moved_away: BTreeMap<RepositoryId, FullName>,
    /// What could not be listed.
    pub failures: Vec<ListingFailure>,
    /// What a person should look at.
    pub warnings: Vec<String>,
}

/// Decides which listed repositories are backed up.
#[derive(Clone, Debug)]
pub struct Filter {
    globs: Globs,
    forks: bool,
    archived: bool,
}

impl Filter {
    /// Builds the filter of a configuration.
    ///
    /// # Errors
    /// The glob that cannot be read; the check of the configuration has refused it before.
    pub fn new(config: &GitHubConfig) -> Result<Self, globset::Error> {
        let globs = Globs::new(&config.include, &config.exclude)?;
        Ok(Self { globs, forks: config.forks, archived: config.archived })
    }

    /// Returns whether a repository is backed up.
    pub fn takes(&self, repository: &Repository) -> bool {
        (self.forks || !repository.fork)
            && (self.archived || !repository.archived)
            && self.globs.take(&repository.full_name)
    }
}

/// A listing that loses this share or more (and at least [`DROP_MIN`]) since the last run has shrunk sharply.
const DROP_SHARE_PERCENT: u64 = 10;
const DROP_MIN: u64 = 2;

impl Inventory {
    /// Notes owners whose listing has shrunk sharply since the last run.
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
            unauthorized: error.ends_the_run(),
            is_of_repository: false,
        });
    }

    fn fail_with(&mut self, subject: &str, error: String, hint: &str) {
        self.failures.push(ListingFailure {
            subject: subject.to_owned(),
            error,
            hint: hint.to_owned(),
            unauthorized: false,
            is_of_repository: false,
        });
    }
}

/// Lists every configured owner. One owner's failure does not end the others' listing, but a bad token does.
///
/// Nothing that is `known` counts as gone before GitHub, asked by its id, has said so.
pub async fn list(github: &GitHub, config: &GitHubConfig, filter: &Filter, known: &Known) -> Inventory {
    let mut inventory = Inventory::default();
    let mut seen = HashSet::new();
    if github.is_app() {
        warn_of_selection(github, &mut inventory).await;
    }
    let mut listings = Vec::new();
    for owner in &config.owners {
        let listing = OwnersListing::read(github, owner, known, config.allow_short_listing).await;
        let verdict = judge(&mut inventory, owner, &listing, config.allow_short_listing);
        take(&mut inventory, &mut seen, &listing, filter);
        listings.push((owner, verdict, listing));
        if inventory.failures.iter().any(|failure| failure.unauthorized) {
            break; // GitHub: stop at the first 401
        }
    }
    let mut here: BTreeSet<String> = config.owners.iter().map(|owner| owner.to_ascii_lowercase()).collect();
    here.extend(listings.iter().flat_map(|(_, _, listing)| listing.speaks_for.iter().cloned()));
    for (owner, verdict, listing) in &listings {
        let missing = Missing { owner, verdict: *verdict, listing, here: &here, known, filter };
        missing.take(&mut inventory, &mut seen);
    }
    if inventory.failures.is_empty() {
        let listed = listings.iter().flat_map(|(_, _, listing)| listing.in_order());
        inventory.unmatched_globs = filter.globs.unmatched(listed.map(|repository| &repository.full_name));
    }
    if inventory.failures.is_empty() && inventory.repositories.is_empty() && !inventory.excluded.is_empty() {
        let error = format!("the filters leave out all {} repositories", inventory.excluded.len());
        inventory.fail_with("filters", error, "check github.include, exclude, forks and archived");
    }
    inventory
}

/// Reports what speaks against a listing; returns whether absence from it means something.
fn judge(inventory: &mut Inventory, owner: &str, listing: &OwnersListing, is_short_allowed: bool) -> Verdict {
    let failed_before = inventory.failures.len();
    let listed = listing.listed();
    let times = match listing.readings {
        1 => String::new(),
        readings => format!(" (read {readings} times)"),
    };
    let is_short = |count: Option<u64>| count.filter(|count| listing.error.is_none() && listed < *count);
    if let Some(error) = &listing.error {
        inventory.fail(owner, error);
    }
    if let Some(organizations) = &listing.partial_organizations {
        let error = format!("GitHub left out repositories of organisations that demand SSO ({organizations})");
        inventory.fail_with(
            owner,
            error,
            "authorise the token for SSO: GitHub, Settings, Developer settings, Configure SSO",
        );
    }
    let short_by_account = is_short(listing.counted);
    if let Some(expected) = is_short(listing.expected) {
        let error = format!("the listing is short: GitHub counts {expected} repositories and listed {listed}{times}");
        inventory.fail_with(owner, error, "run again; if it persists, the token may not see them all");
    } else if listing.error.is_none() && listed == 0 {
        let hint = "check that the token may read this owner's repositories (SSO, pending approval, selected \
                    repositories); remove the owner if it is really empty";
        inventory.fail_with(owner, "GitHub listed no repository at all".to_owned(), hint);
    } else if let Some(counted) = short_by_account {
        let words = format!("the listing is short: GitHub counts {counted} repositories and listed {listed}{times}");
        if is_short_allowed {
            inventory.warnings.push(format!("{owner}: {words}; github.allow_short_listing accepts that"));
        } else {
            let hint = "give the token access to all repositories (SSO, scopes, selected repositories); if it is meant to \
                        see only some, set github.allow_short_listing = true";
            inventory.fail_with(owner, words, hint);
        }
    }
    if listing.public_only {
        inventory.warnings.push(format!("{owner} is a user whose private repositories this token cannot list"));
    }
    if inventory.failures.len() == failed_before {
        inventory.listed_by_owner.insert(owner.to_owned(), listed);
    }
    // Entries that cannot be read are reported with the other failures.
    if inventory.failures.len() > failed_before || !listing.bad.is_empty() {
        return Verdict::Failed;
    }
    if short_by_account.is_some() || listing.public_only {
        return Verdict::ShortByChoice;
    }
    inventory.complete_owners.extend(listing.speaks_for.iter().cloned());
    Verdict::Whole
}

/// How far an owner's listing can be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// What it does not show does not exist, as far as the token can see.
    Whole,
    /// It is known not to show everything, and somebody has accepted that.
    ShortByChoice,
    /// Something is wrong with it, and that is reported.
    Failed,
}

/// Notes an installation that was given only selected repositories: it silently lists no others.
async fn warn_of_selection(github: &GitHub, inventory: &mut Inventory) {
    let url = github.url("installation/repositories?per_page=1");
    // A failure shows when the owners are listed.
    if let Ok((installation, _)) = github.get(&url, "the installation's repositories").await
        && installation.get("repository_selection").and_then(|selection| selection.as_str()) == Some("selected")
    {
        inventory.warnings.push(
            "the GitHub App is installed on selected repositories only; others are neither listed nor backed up"
                .to_owned(),
        );
    }
}

/// Adds what one owner's listing held.
fn take(inventory: &mut Inventory, seen: &mut HashSet<RepositoryId>, listing: &OwnersListing, filter: &Filter) {
    for repository in listing.in_order() {
        // Owners may overlap.
        if seen.insert(repository.id) {
            file(inventory, repository.clone(), filter);
        }
    }
    for BadEntry { id, subject, reason } in &listing.bad {
        if id.is_some_and(|id| !seen.insert(id)) {
            continue;
        }
        inventory.excluded.extend(*id);
        let hint = "it is not backed up; check github.api_url, and report this if it is GitHub";
        inventory.fail_with(subject, reason.clone(), hint);
    }
}

fn file(inventory: &mut Inventory, repository: Repository, filter: &Filter) {
    if filter.takes(&repository) {
        inventory.repositories.push(repository);
    } else {
        inventory.excluded.insert(repository.id);
    }
}

/// What an owner's listing did not show although it was known, and what GitHub said about it.
struct Missing<'a> {
    owner: &'a str,
    verdict: Verdict,
    listing: &'a OwnersListing,
    /// Every owner who is backed up, folded to lower case.
    here: &'a BTreeSet<String>,
    known: &'a Known,
    filter: &'a Filter,
}

impl Missing<'_> {
    /// Adds what exists after all, and notes what is gone, moved away or unknown.
    fn take(&self, inventory: &mut Inventory, seen: &mut HashSet<RepositoryId>) {
        let (mut hidden, mut unseen) = (Vec::new(), Vec::new());
        let is_told = self.verdict == Verdict::Failed;
        for (id, presence) in &self.listing.presences.answers {
            // Another owner's listing may have shown it.
            if seen.contains(id) {
                continue;
            }
            match presence {
                Presence::Here(repository) => {
                    if self.here.contains(&repository.full_name.folded_owner()) {
                        seen.insert(*id);
                        hidden.push(repository.full_name.to_string());
                        file(inventory, (**repository).clone(), self.filter);
                    } else if self.known.contains_key(id) {
                        inventory.moved_away.insert(*id, repository.full_name.clone());
                    }
                }
                Presence::NotFound if self.verdict == Verdict::Whole => drop(inventory.gone.insert(*id)),
                Presence::NotFound if !is_told => {
                    unseen.extend(self.known.get(id).filter(|name| self.filter.globs.take(name)));
                }
                Presence::Unknown(error) if !is_told || error.ends_the_run() => {
                    self.tell_unknown(inventory, *id, error);
                }
                // Why it is missing has been reported already.
                Presence::NotFound | Presence::Unknown(_) => {}
            }
        }
        let (owner, unasked) = (self.owner, self.listing.presences.unasked);
        if let Some(first) = hidden.first() {
            let count = hidden.len();
            inventory.warnings.push(format!(
                "{owner}: GitHub's listing leaves out repositories that exist ({count}, such as {first}); they are backed up anyway"
            ));
        }
        if let Some(first) = unseen.first() {
            let count = unseen.len();
            inventory.warnings.push(format!(
                "{owner}: repositories with a mirror are no longer listed ({count}, such as {first}): deleted, or hidden from the token; they are not backed up"
            ));
        }
        if unasked > 0 && !is_told {
            let error = format!(
                "{unasked} more repositories with a mirror are missing from the listing; GitHub was not asked about each"
            );
            inventory.fail_with(owner, error, "check the token's access; if they were deleted, run again");
        }
    }

    fn tell_unknown(&self, inventory: &mut Inventory, id: RepositoryId, error: &GitHubError) {
        let Some(name) = self.known.get(&id).filter(|name| self.filter.globs.take(name)) else { return };
        inventory.failures.push(ListingFailure {
            subject: name.to_string(),
            error: format!("GitHub does not list it, and whether it still exists is not known: {error}"),
            hint: error.hint().to_owned(),
            unauthorized: error.ends_the_run(),
            is_of_repository: false,
        });
    }
}

/// Looks up single repositories, listed or not; filters do not apply to what was asked for by name.
pub async fn look_up(github: &GitHub, names: &[FullName], known: &Known) -> Inventory {
    let mut inventory = Inventory::default();
    let mut seen = HashSet::new();
    for name in names {
        let what = format!("repository {name}");
        let url = github.url(&format!("repos/{name}"));
        match github.get(&url, &what).await {
            Ok((described, _)) => match Repository::read(&described) {
                Ok(repository) => {
                    if !repository.full_name.same_as(name) {
                        inventory.warnings.push(format!("{name} is now {}", repository.full_name));
                    }
                    if seen.insert(repository.id) {
                        inventory.repositories.push(repository);
                    }
                }
                Err(bad) => {
                    let error = GitHubError::Unreadable { what, reason: bad.reason };
                    inventory.fail(&name.to_string(), &error);
                }
            },
            Err(error) => {
                inventory.fail(&name.to_string(), &error);
                if let (Some(failure), GitHubError::NotFound { .. }) = (inventory.failures.last_mut(), &error) {
                    failure.is_of_repository = true;
                    failure.hint = match probably_meant(name, known) {
                        Some(meant) => format!("did you mean {meant}? Otherwise {}", failure.hint),
                        None => format!(
                            "{}; `ghbk status {name}` shows what is stored of it, if it was ever backed up",
                            failure.hint
                        ),
                    };
                }
                if error.ends_the_run() {
                    break;
                }
            }
        }
    }
    inventory
}

/// Finds a repository with a mirror whose name is similar; `None` if the name itself has one.
fn probably_meant(name: &FullName, known: &Known) -> Option<String> {
    let is_known = known.values().any(|known| known.same_as(name));
    let names = known.values().map(ToString::to_string);
    if is_known { None } else { nearest(&name.to_string(), names) }
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
            node_id: None,
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
