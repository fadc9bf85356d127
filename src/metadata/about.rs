//! `about.json`: what the files of a metadata mirror are, and of when.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::names::{FullName, RepositoryId};
use crate::outcome::PartCounts;

/// Its name.
pub const FILE: &str = "about.json";
/// The version of the format; a later ghbk that changes the meaning of a file counts it up.
pub const FORMAT: u32 = 1;

/// The content of the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// The version of the format.
    pub format: u32,
    /// The version of GitHub's REST API.
    pub api_version: String,
    /// Whose data it is.
    pub repository: Whose,
    /// What there is of each kind.
    pub kinds: BTreeMap<String, KindAbout>,
}

/// The repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Whose {
    /// Its identity.
    pub id: RepositoryId,
    /// Its name at that time.
    pub full_name: FullName,
}

/// What there is of one kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KindAbout {
    /// When GitHub was asked, by its own clock.
    pub as_of: DateTime<Utc>,
    /// Changes before this are all stored; the next run asks for later ones.
    pub mark: Option<DateTime<Utc>>,
    /// How many there are on GitHub, and how many are stored that GitHub no longer has.
    pub counts: PartCounts,
    /// Whether GitHub has it switched off.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_disabled: bool,
}
