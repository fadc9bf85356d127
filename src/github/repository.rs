//! A repository as GitHub describes it. Pure: reads JSON, and trusts nothing in it.

use serde::{Deserialize, Serialize};
use serde_json::Value;

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
    /// Whether it may have a wiki; GitHub also says so of wikis that were never written.
    pub has_wiki: bool,
    /// The default branch, when GitHub names one.
    pub default_branch: Option<String>,
    /// Its identity in the GraphQL API.
    #[serde(skip)]
    pub node_id: Option<String>,
}

/// Why an entry of a listing is not a repository, and what of it could be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BadEntry {
    /// The id, if it has one.
    pub(super) id: Option<RepositoryId>,
    /// What a person may know it by.
    pub(super) subject: String,
    /// What is wrong with it.
    pub(super) reason: String,
}

impl Repository {
    /// Reads an entry. Only the id and the name must be there: without the other fields it can be backed up all the same.
    pub(super) fn read(entry: &Value) -> Result<Self, BadEntry> {
        let number = |field: &str| entry.get(field).and_then(Value::as_u64);
        let text = |field: &str| entry.get(field).and_then(Value::as_str);
        let flag = |field: &str| entry.get(field).and_then(Value::as_bool);
        let id = number("id").map(RepositoryId);
        let name = text("full_name");
        let bad = |reason: String| {
            let named = name.map(|name| format!("{:?}", printable(name, 120)));
            let subject = id.map(|id| format!("repository {id}")).or(named);
            BadEntry { id, subject: subject.unwrap_or_else(|| "an entry of the listing".to_owned()), reason }
        };
        let Some(id) = id else { return Err(bad("its id is missing or no number".to_owned())) };
        let Some(name) = name else { return Err(bad("its full_name is missing or no text".to_owned())) };
        Ok(Self {
            id,
            full_name: name.parse().map_err(|error: crate::names::InvalidName| bad(error.to_string()))?,
            size_kib: number("size").unwrap_or_default(),
            private: flag("private").unwrap_or(true),
            fork: flag("fork").unwrap_or_default(),
            archived: flag("archived").unwrap_or_default(),
            has_wiki: flag("has_wiki").unwrap_or_default(),
            default_branch: text("default_branch").map(str::to_owned),
            node_id: text("node_id").map(str::to_owned),
        })
    }
}

/// Reads a page of a listing, and says of each entry whether it is a repository.
#[cfg(any(test, fuzzing))]
pub(crate) fn read_listing(bytes: &[u8]) -> serde_json::Result<impl Iterator<Item = Result<Repository, BadEntry>>> {
    Ok(serde_json::from_slice::<Vec<Value>>(bytes)?.into_iter().map(|entry| Repository::read(&entry)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_the_id_and_the_name_must_be_there() {
        let odd = json!({"id": 7, "full_name": "acme/site", "size": "big", "fork": null, "default_branch": 3});
        let repository = Repository::read(&odd).unwrap();
        assert_eq!((repository.id, repository.size_kib, repository.private), (RepositoryId(7), 0, true));
        for (entry, subject, reason) in [
            (json!({"full_name": "acme/site"}), "\"acme/site\"", "its id"),
            (json!({"id": "7", "full_name": "acme/site"}), "\"acme/site\"", "its id"),
            (json!({"id": 7}), "repository 7", "its full_name"),
            (json!({"id": 7, "full_name": ["acme", "site"]}), "repository 7", "its full_name"),
            (json!({"id": 7, "full_name": "acme/.."}), "repository 7", "not a valid name"),
            (json!(null), "an entry of the listing", "its id"),
        ] {
            let bad = Repository::read(&entry).unwrap_err();
            assert_eq!(bad.subject, subject);
            assert!(bad.reason.contains(reason), "{bad:?}");
        }
    }
}
