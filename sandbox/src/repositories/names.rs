//! Names of owners and repositories, and identifiers made from them. Pure.

use std::fmt;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// The full name of a repository. Both parts are safe as names of files.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct FullName {
    pub(crate) owner: String,
    pub(crate) name: String,
}

impl FullName {
    /// Reads `OWNER/NAME`; `None` if GitHub would not allow such a name.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let (owner, name) = text.split_once('/')?;
        Self::new(owner, name)
    }

    /// Reads `OWNER/NAME`, or says what is wrong with it.
    pub(crate) fn required(text: &str) -> io::Result<Self> {
        Self::read(text)
            .ok_or_else(|| io::Error::new(ErrorKind::InvalidInput, format!("not a full name (OWNER/NAME): {text:?}")))
    }

    /// Puts two parts together; `None` if GitHub would not allow such a name.
    pub(crate) fn new(owner: &str, name: &str) -> Option<Self> {
        (is_safe(owner) && is_safe(name)).then(|| Self { owner: owner.to_owned(), name: name.to_owned() })
    }

    /// Tells whether GitHub would take both for the same repository: case does not count.
    pub(crate) fn is(&self, other: &Self) -> bool {
        self.owner.eq_ignore_ascii_case(&other.owner) && self.name.eq_ignore_ascii_case(&other.name)
    }

    /// Returns where the bare repository lies.
    pub(crate) fn path(&self, folder: &Path) -> PathBuf {
        folder.join(&self.owner).join(format!("{}.git", self.name))
    }

    /// Returns where the bare repository of the wiki lies.
    pub(crate) fn wiki_path(&self, folder: &Path) -> PathBuf {
        folder.join(&self.owner).join(format!("{}.wiki.git", self.name))
    }
}

impl fmt::Display for FullName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.owner, self.name)
    }
}

/// Tells whether a name has only the characters GitHub allows, and is not a hidden or special file.
pub(crate) fn is_safe(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with('.')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
}

/// Returns a positive number that is the same for the same text on every machine (FNV-1a).
pub(crate) fn stable_id(text: &str) -> u64 {
    let hash = text
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    // Nine digits: as long as GitHub's, and exact in JavaScript's numbers.
    100_000_000 + hash % 900_000_000
}

#[cfg(test)]
mod tests {
    use super::{FullName, is_safe};

    #[test]
    fn names_that_leave_the_folder_are_refused() {
        for name in ["", ".", "..", ".git", "a/b", "a\\b", "a\0", "ä"] {
            assert!(!is_safe(name), "{name:?}");
        }
        assert!(FullName::read("acme/../x").is_none());
        assert!(FullName::read("acme/a.b_c-d").is_some());
    }
}
