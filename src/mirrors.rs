//! The mirrors of a repository: git repositories on the store, one of its code and others beside it.
//!
//! One table says how each is named. What a newcomer would get wrong: the code's mirror is not always there; a wiki may be all
//! that could be fetched.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use crate::names::FullName;

/// Which of a repository's mirrors it is. They are fetched in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MirrorKind {
    /// The repository itself.
    Code,
    /// Its wiki.
    Wiki,
    /// What people wrote beside git: issues, pull requests. ghbk itself makes this repository.
    Metadata,
}

/// How a mirror is named.
struct Names {
    /// In records and messages.
    label: &'static str,
    /// What follows `OWNER/NAME` in reports, and on the git server if it is there.
    of_repository: &'static str,
    /// What follows it on the store.
    of_folder: &'static str,
    /// The option of commands that means it, after a space.
    option: &'static str,
}

impl MirrorKind {
    /// All kinds; the code comes first.
    pub const ALL: [Self; 3] = [Self::Code, Self::Wiki, Self::Metadata];

    /// Those that are fetched from the git server.
    pub const OF_GIT_SERVER: [Self; 2] = [Self::Code, Self::Wiki];

    const fn names(self) -> &'static Names {
        match self {
            Self::Code => &Names { label: "code", of_repository: "", of_folder: ".git", option: "" },
            Self::Wiki => &Names { label: "wiki", of_repository: ".wiki", of_folder: ".wiki.git", option: " --wiki" },
            // A repository may be called `site.meta`, so reports need another name than the folder's.
            Self::Metadata => {
                &Names { label: "metadata", of_repository: " (metadata)", of_folder: ".meta", option: " --metadata" }
            }
        }
    }

    /// Returns its name in records and messages.
    pub const fn label(self) -> &'static str {
        self.names().label
    }

    /// Returns the name in reports and on the git server: `OWNER/NAME`, `OWNER/NAME.wiki`, `OWNER/NAME (metadata)`.
    pub fn name_of(self, full_name: &FullName) -> String {
        format!("{full_name}{}", self.names().of_repository)
    }

    /// Splits such a name into the repository's name and the kind of mirror.
    pub fn split_name(name: &str) -> (&str, Self) {
        Self::beside_code()
            .find_map(|kind| Some((name.strip_suffix(kind.names().of_repository)?, kind)))
            .unwrap_or((name, Self::Code))
    }

    /// Returns how the folder's name ends.
    pub const fn suffix(self) -> &'static str {
        self.names().of_folder
    }

    /// Returns the option of commands that means it, after a space; empty for the code.
    pub const fn option(self) -> &'static str {
        self.names().option
    }

    /// Returns how reports name a mirror beside the code's: "the wiki of "; empty for the code.
    pub fn whose(self) -> String {
        if self == Self::Code { String::new() } else { format!("the {} of ", self.label()) }
    }

    /// Splits the name of a folder into what all mirrors of a repository share and the kind of mirror; none if it is not a
    /// mirror's.
    pub fn split_folder(name: &str) -> Option<(&str, Self)> {
        // `.wiki.git` ends in `.git`, too.
        let kinds = Self::beside_code().chain([Self::Code]);
        kinds.into_iter().find_map(|kind| Some((name.strip_suffix(kind.suffix())?, kind)))
    }

    /// Returns the kind of a mirror from its folder.
    pub fn of_folder(folder: &Path) -> Self {
        Self::split_folder(&folder.to_string_lossy()).map_or(Self::Code, |(_, kind)| kind)
    }

    /// Returns all but the code.
    pub fn beside_code() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(|kind| *kind != Self::Code)
    }

    /// Returns the name of a field of the records that each mirror has: `head`, `wiki_head`.
    pub fn field(self, name: &str) -> String {
        if self == Self::Code { name.to_owned() } else { format!("{}_{name}", self.label()) }
    }
}

/// A value for each mirror that there is.
pub type PerMirror<T> = BTreeMap<MirrorKind, T>;

/// Reads something of each mirror; mirrors that only a later version of ghbk knows are skipped.
///
/// # Errors
/// A value that is not as it should be.
pub(crate) fn known_per_mirror<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    from: D,
) -> Result<PerMirror<T>, D::Error> {
    let fields = BTreeMap::<String, T>::deserialize(from)?;
    let known = |(label, value)| Some((MirrorKind::ALL.into_iter().find(|kind| kind.label() == label)?, value));
    Ok(fields.into_iter().filter_map(known).collect())
}

/// Some of a repository's mirrors; in JSON `{"code": true, "wiki": false}`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MirrorSet(BTreeSet<MirrorKind>);

impl MirrorSet {
    /// Returns all that a repository can have.
    pub fn all() -> Self {
        MirrorKind::ALL.into_iter().collect()
    }

    /// Returns the mirrors that have a value.
    pub fn keys<T>(per_mirror: &PerMirror<T>) -> Self {
        per_mirror.keys().copied().collect()
    }

    /// Says whether one is among them.
    pub fn contains(&self, kind: MirrorKind) -> bool {
        self.0.contains(&kind)
    }

    /// Says whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds others.
    pub fn add(&mut self, other: &Self) {
        self.0.extend(&other.0);
    }

    /// Removes others.
    pub fn remove(&mut self, other: &Self) {
        self.0.retain(|kind| !other.contains(*kind));
    }

    /// Returns these without the others.
    #[must_use]
    pub fn without(&self, other: &Self) -> Self {
        self.0.difference(&other.0).copied().collect()
    }

    /// Returns them in the order of [`MirrorKind`].
    pub fn iter(&self) -> impl Iterator<Item = MirrorKind> {
        self.0.iter().copied()
    }
}

impl FromIterator<MirrorKind> for MirrorSet {
    fn from_iter<I: IntoIterator<Item = MirrorKind>>(kinds: I) -> Self {
        Self(kinds.into_iter().collect())
    }
}

impl IntoIterator for MirrorSet {
    type Item = MirrorKind;
    type IntoIter = std::collections::btree_set::IntoIter<MirrorKind>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl From<MirrorKind> for MirrorSet {
    fn from(kind: MirrorKind) -> Self {
        Self(BTreeSet::from([kind]))
    }
}

impl Serialize for MirrorSet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(MirrorKind::ALL.map(|kind| (kind.label(), self.contains(kind))))
    }
}

impl<'de> Deserialize<'de> for MirrorSet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let fields = BTreeMap::<String, Value>::deserialize(deserializer)?;
        let is_in = |kind: &MirrorKind| fields.get(kind.label()) == Some(&Value::Bool(true));
        Ok(MirrorKind::ALL.into_iter().filter(is_in).collect())
    }
}
