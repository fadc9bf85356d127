//! `.ghbk/store`: the format of the store, and the GitHub whose mirrors it holds.
//!
//! Ids of repositories are unique on one GitHub only: two servers both number from 1, and the mirror of one would be brought
//! up to date from the other. What a newcomer would get wrong: a store without this file is not empty; it was made before
//! there was one.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Index, Store, StoreError, layout};
use crate::disk::{read_at_once, replace};

/// The format of the stores that this version of ghbk makes, and the newest that it understands.
pub(super) const FORMAT: u32 = 1;
const FILE: &str = "store";

/// What `.ghbk/store` says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statement {
    format: u32,
    /// The REST API's host, with the port if it is not the usual one.
    host: String,
    /// Hosts under which the same GitHub was known before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    formerly: Vec<String>,
}

/// What every format says.
#[derive(Deserialize)]
struct Format {
    format: u32,
}

impl Statement {
    /// Returns whether a host is that of the store's GitHub.
    fn is_of(&self, host: &str) -> bool {
        std::iter::once(&self.host).chain(&self.formerly).any(|known| known.eq_ignore_ascii_case(host))
    }
}

/// Returns the host of an API's address, with the port if it is not the usual one.
pub fn host_of(api_url: &str) -> String {
    match url::Url::parse(api_url) {
        Ok(url) if url.has_host() => url[url::Position::BeforeHost..url::Position::AfterPort].to_owned(),
        _ => api_url.to_owned(),
    }
}

impl Store {
    fn statement_path(&self) -> PathBuf {
        self.own(FILE)
    }

    /// Reads what the store says it is; none if it was made before there was such a file.
    pub(super) fn read_statement(&self) -> Result<Option<Statement>, StoreError> {
        let path = self.statement_path();
        let bytes = match read_at_once(&path) {
            Ok(bytes) => bytes,
            Err(error) if crate::disk::is_missing(&error) => return Ok(None),
            Err(error) => return Err(StoreError::io("read", &path)(error)),
        };
        let text = String::from_utf8_lossy(&bytes);
        let not_understood = |error: toml::de::Error| StoreError::NotUnderstood {
            path: self.statement_path(),
            reason: error.message().to_owned(),
        };
        // The number comes first: nothing else is known of a newer format.
        let Format { format } = toml::from_str(&text).map_err(not_understood)?;
        if format > FORMAT {
            return Err(StoreError::Newer { path, format });
        }
        toml::from_str(&text).map(Some).map_err(not_understood)
    }

    /// Ties the store to the GitHub that a run speaks to.
    ///
    /// # Errors
    /// [`StoreError::OtherHost`] if it, or a mirror in it, is of another one; [`StoreError::Disk`].
    pub fn of_host(mut self, host: &str, index: Option<&Index>) -> Result<Self, StoreError> {
        match &self.statement {
            Some(statement) => self.refuse_other_host(&statement.host, host, statement.is_of(host))?,
            None => {
                // This happens once, in a store without that file. A mirror that was made before names no host.
                for mirror in index.into_iter().flat_map(|index| index.mirrors.values()) {
                    for kind in mirror.kinds() {
                        if let Some(other) = self.mirror_at(&mirror.place, kind).host()? {
                            self.refuse_other_host(&other, host, other.eq_ignore_ascii_case(host))?;
                        }
                    }
                }
            }
        }
        self.host = Some(Arc::from(host));
        Ok(self)
    }

    /// Checks that a command that speaks to GitHub speaks to the store's GitHub.
    ///
    /// # Errors
    /// [`StoreError::OtherHost`].
    pub fn check_host(&self, host: &str) -> Result<(), StoreError> {
        let Some(statement) = &self.statement else { return Ok(()) };
        self.refuse_other_host(&statement.host, host, statement.is_of(host))
    }

    fn refuse_other_host(&self, stored: &str, wanted: &str, is_same: bool) -> Result<(), StoreError> {
        if is_same {
            return Ok(());
        }
        let (stored, wanted) = (stored.to_owned(), wanted.to_owned());
        Err(StoreError::OtherHost { path: self.statement_path(), stored, wanted })
    }

    /// Returns whether a mirror that names its host is one of the store's GitHub.
    pub(crate) fn is_own_host(&self, host: &str) -> bool {
        match (&self.statement, &self.host) {
            (Some(statement), _) => statement.is_of(host),
            (None, Some(own)) => own.eq_ignore_ascii_case(host),
            (None, None) => true,
        }
    }

    /// Writes down what the store is, if that is not written yet.
    ///
    /// # Errors
    /// [`StoreError::Disk`].
    pub fn state(&self) -> Result<(), StoreError> {
        let (None, Some(host)) = (&self.statement, &self.host) else { return Ok(()) };
        let path = self.statement_path();
        let statement = Statement { format: FORMAT, host: host.to_string(), formerly: Vec::new() };
        let text =
            toml::to_string(&statement).map_err(|error| StoreError::io("write", &path)(io::Error::other(error)))?;
        let text = format!(
            "# What this store is. ghbk refuses to run for another GitHub. If the same one has got another name, that is\n\
             # `host`, and `formerly = [\"…\"]` lists those that it had before.\n{text}"
        );
        let folder = self.root().join(layout::OWN_FOLDER);
        replace(&folder, FILE, text.as_bytes()).map_err(StoreError::from)
    }
}
