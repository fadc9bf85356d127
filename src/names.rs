//! Names and identities that cross rooms: checked once, on construction.
//!
//! Pure. A repository's *identity* is its numeric id; its *name* changes hands. Names come from the network
//! and become paths, so a [`FullName`] exists only if it is safe as two path components.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

/// Identifies a repository for good: GitHub's numeric id, which survives renames and transfers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RepositoryId(pub u64);

impl fmt::Display for RepositoryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Says why a text is not the name of an owner or a repository.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{subject} is not {}", .reason.strip_prefix("it is not ").map_or_else(|| format!("a valid name: {reason}"), str::to_owned))]
pub struct InvalidName {
    /// The offending text, with control characters escaped so that it may be printed.
    subject: String,
    reason: &'static str,
}

impl InvalidName {
    fn new(subject: &str, reason: &'static str) -> Self {
        let shown: String = subject.chars().take(120).collect();
        Self { subject: format!("{shown:?}"), reason }
    }
}

/// Names a repository as GitHub does: `OWNER/NAME`.
///
/// Holding one proves that both parts are safe as path components on the store.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FullName {
    owner: String,
    name: String,
}

/// Names a mirror as a person does: by the repository's name, or by its id, which is the only way to tell apart two
/// repositories that had the same name one after the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// `OWNER/NAME`
    Name(FullName),
    /// A number.
    Id(RepositoryId),
}

impl Wanted {
    /// Returns it as it is typed: Display says of an id that it is one.
    pub fn argument(&self) -> String {
        match self {
            Self::Name(name) => name.to_string(),
            Self::Id(id) => id.to_string(),
        }
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => name.fmt(f),
            Self::Id(id) => write!(f, "id {id}"),
        }
    }
}

impl FromStr for Wanted {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.parse() {
            Ok(id) => Ok(Self::Id(RepositoryId(id))),
            Err(_) => text.parse().map(Self::Name),
        }
    }
}

/// GitHub's own limits: 39 characters for an account, 100 for a repository.
const OWNER_MAX_CHARS: usize = 39;
const NAME_MAX_CHARS: usize = 100;

impl FullName {
    /// Checks both parts.
    ///
    /// # Errors
    /// [`InvalidName`], with the part that is not a name.
    pub fn new(owner: &str, name: &str) -> Result<Self, InvalidName> {
        check_owner(owner)?;
        check_repository_name(name)?;
        Ok(Self { owner: owner.to_owned(), name: name.to_owned() })
    }

    /// Reads the name of an instance of `ghbk-now@.service`, which cannot hold a slash: `OWNER:REPO`, or `OWNER-REPO`
    /// for one of the `owners`, or what `systemd-escape OWNER/REPO` makes of it.
    ///
    /// # Errors
    /// [`InvalidName`], if it can be read in none of these ways.
    pub fn from_instance(instance: &str, owners: &[String]) -> Result<Self, InvalidName> {
        let plain = instance.replace(r"\x2d", "-");
        if let Some((owner, name)) = plain.split_once(':') {
            return Self::new(owner, name);
        }
        let prefix_of = |owner: &&String| {
            let (start, rest) = plain.split_at_checked(owner.len())?;
            start.eq_ignore_ascii_case(owner).then(|| rest.strip_prefix('-').map(|name| (start, name)))?
        };
        // An owner's name may begin another's: the longer one was meant.
        let mut longest_first: Vec<&String> = owners.iter().collect();
        longest_first.sort_by_key(|owner| std::cmp::Reverse(owner.len()));
        if let Some((owner, name)) = longest_first.iter().find_map(prefix_of) {
            return Self::new(owner, name);
        }
        match instance.split('-').collect::<Vec<_>>()[..] {
            [owner, name] => Self::new(&owner.replace(r"\x2d", "-"), &name.replace(r"\x2d", "-")),
            _ => Err(InvalidName::new(instance, "it is not OWNER-REPO with an owner of the configuration")),
        }
    }

    /// Returns the account that the repository belongs to.
    pub fn owner(&self) -> &str {
        &self.owner
    }

    /// Returns the key under which GitHub takes two spellings of the owner for one.
    #[must_use]
    pub fn folded_owner(&self) -> String {
        self.owner.to_ascii_lowercase()
    }

    /// Returns the repository's name without its owner.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Compares as GitHub does: upper and lower case do not distinguish names.
    pub fn same_as(&self, other: &Self) -> bool {
        self.owner.eq_ignore_ascii_case(&other.owner) && self.name.eq_ignore_ascii_case(&other.name)
    }

    /// Returns the key under which GitHub takes two spellings for one name.
    #[must_use]
    pub fn folded(&self) -> String {
        self.to_string().to_ascii_lowercase()
    }
}

impl fmt::Display for FullName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.owner, self.name)
    }
}

impl FromStr for FullName {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (owner, name) = text.split_once('/').ok_or_else(|| InvalidName::new(text, "it is not OWNER/NAME"))?;
        Self::new(owner, name)
    }
}

impl TryFrom<String> for FullName {
    type Error = InvalidName;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<FullName> for String {
    fn from(name: FullName) -> Self {
        name.to_string()
    }
}

/// Checks the name of an account (user or organisation).
///
/// # Errors
/// [`InvalidName`] if it is not what GitHub allows; `_` is allowed for enterprise managed users.
pub fn check_owner(owner: &str) -> Result<(), InvalidName> {
    let refuse = |reason| Err(InvalidName::new(owner, reason));
    if owner.is_empty() {
        return refuse("the owner is empty");
    }
    if owner.len() > OWNER_MAX_CHARS {
        return refuse("an owner has at most 39 characters");
    }
    if !owner.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_') {
        return refuse("an owner has only letters, digits and hyphens");
    }
    if !owner.as_bytes()[0].is_ascii_alphanumeric() {
        return refuse("an owner begins with a letter or a digit");
    }
    Ok(())
}

fn check_repository_name(name: &str) -> Result<(), InvalidName> {
    let refuse = |reason| Err(InvalidName::new(name, reason));
    if name.is_empty() {
        return refuse("the repository's name is empty");
    }
    if name.len() > NAME_MAX_CHARS {
        return refuse("a repository's name has at most 100 characters");
    }
    if !name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-')) {
        return refuse("the name of a repository has only letters, digits, '.', '-' and '_'");
    }
    if name == "." || name == ".." {
        return refuse("it stands for a folder");
    }
    let lower = name.to_ascii_lowercase();
    if lower.ends_with(".git") || lower.ends_with(".wiki") {
        // GitHub reserves both endings, and on the store they would name another repository's mirror.
        return refuse("a repository's name does not end in .git or .wiki");
    }
    Ok(())
}

/// Identifies one run: its start in UTC to the millisecond, so that names sort by time.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunId(String);

/// How the id of a run is written: the time of its start, unless the clock was ahead before.
const ID_FORMAT: &str = "%Y%m%dT%H%M%S%.3fZ";

impl RunId {
    /// Makes the id of a run that starts now.
    #[must_use]
    pub fn at(start: DateTime<Utc>) -> Self {
        Self(start.to_rfc3339_opts(SecondsFormat::Millis, true).replace([':', '-'], ""))
    }

    /// Makes the id of a run that starts now, later than another run's whatever the clock says: the newest record is the one
    /// whose id is last.
    #[must_use]
    pub fn after(self, start: DateTime<Utc>) -> Self {
        let next = self.start().map(|before| before + TimeDelta::milliseconds(1));
        Self::at(next.map_or(start, |next| next.max(start)))
    }

    fn start(&self) -> Option<DateTime<Utc>> {
        chrono::NaiveDateTime::parse_from_str(&self.0, ID_FORMAT).ok().map(|start| start.and_utc())
    }

    /// Returns the id as text, which is also a file name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Says that a text is not a run's id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} is not the id of a run, such as 20261129T050000.000Z; `ghbk status` and `ghbk snapshots` show them")]
pub struct InvalidRunId(String);

impl FromStr for RunId {
    type Err = InvalidRunId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // What is parsed becomes the name of a file.
        chrono::NaiveDateTime::parse_from_str(text, ID_FORMAT)
            .map(|start| Self::at(start.and_utc()))
            .ok()
            .filter(|id| id.as_str() == text)
            .ok_or_else(|| InvalidRunId(format!("{:?}", text.chars().take(120).collect::<String>())))
    }
}

/// Names a run as a person does: by its id, or as the latest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WantedRun {
    /// The newest run.
    Latest,
    /// The run with this id.
    Id(RunId),
}

impl FromStr for WantedRun {
    type Err = InvalidRunId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "latest" { Ok(Self::Latest) } else { text.parse().map(Self::Id) }
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ids_of_runs_grow_whatever_the_clock_says() {
        let at = |text: &str| -> DateTime<Utc> { text.parse().unwrap() };
        let first = RunId::at(at("2026-11-29T05:00:00Z"));
        let later = first.clone().after(at("2026-11-29T06:00:00Z"));
        assert_eq!(later, RunId::at(at("2026-11-29T06:00:00Z")));
        let earlier = first.clone().after(at("2020-01-01T00:00:00Z"));
        assert!(earlier.as_str() > first.as_str(), "{earlier}");
        let same = first.clone().after(at("2026-11-29T05:00:00Z"));
        assert!(same.as_str() > first.as_str(), "{same}");
        assert_eq!(same.as_str().parse::<RunId>().unwrap(), same);
    }

    #[test]
    fn what_github_allows_is_a_name() {
        for text in ["acme/site", "a/b", "Acme-1/My.Repo_2", "acme/.github", "acme/-", "octo_acme/x"] {
            assert_eq!(text.parse::<FullName>().map(|n| n.to_string()).as_deref(), Ok(text));
        }
    }

    #[test]
    fn what_could_leave_the_store_is_refused() {
        for text in [
            "",
            "acme",
            "acme/",
            "/site",
            "acme/..",
            "acme/.",
            "../site",
            "acme/a/b",
            "acme/a\\b",
            "acme/a b",
            "acme/a\nb",
            "acme/a\0b",
            "acme/x.git",
            "acme/x.GIT",
            "acme/x.wiki",
            ".ghbk/runs",
            "-a/b",
            "acme/é",
        ] {
            assert!(text.parse::<FullName>().is_err(), "{text:?} was taken for a name");
        }
        assert!(format!("acme/{}", "x".repeat(101)).parse::<FullName>().is_err());
        assert!(format!("{}/x", "a".repeat(40)).parse::<FullName>().is_err());
    }

    #[test]
    fn a_refused_name_is_printed_without_its_control_characters() {
        let error = "acme/\u{1b}[31mred".parse::<FullName>().unwrap_err().to_string();
        assert!(!error.contains('\u{1b}'), "{error}");
    }

    proptest! {
        #[test]
        fn any_accepted_name_stays_below_the_root(text in "\\PC{0,24}/\\PC{0,24}") {
            if let Ok(name) = text.parse::<FullName>() {
                let path = std::path::Path::new("/root").join(name.owner()).join(name.name());
                prop_assert_eq!(path.components().count(), 4);
                prop_assert!(path.components().all(|c| !matches!(c, std::path::Component::ParentDir)));
            }
        }
    }
}
