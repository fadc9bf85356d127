//! The packs of a mirror by name and size: what a run knows of a mirror without reading it. Pure except for two constructors.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::disk::metadata;
use crate::git::GitError;
use crate::git::pack::{Pack, packs_in};

/// Maps the checksum in a pack's name to the sizes of the pack and of its index, in bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<String>", into = "Vec<String>")]
pub struct PackList(BTreeMap<String, Sizes>);

/// The sizes of a pack's two files, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// The size of the pack.
    pub pack: u64,
    /// The size of its index.
    pub idx: u64,
}

impl PackList {
    /// Lists packs by their files.
    ///
    /// # Errors
    /// [`GitError::Disk`] if one cannot be examined; [`GitError::Damaged`] if one of its two files is missing.
    pub fn of(packs: &[Pack]) -> Result<Self, GitError> {
        let mut list = BTreeMap::new();
        for pack in packs {
            let size = |path: &Path| {
                let there = metadata(path).map_err(GitError::io("examine", path))?;
                there.map(|there| there.len()).ok_or_else(|| {
                    let name = path.file_name().unwrap_or_default().to_string_lossy();
                    GitError::Damaged(format!("{name} is missing"))
                })
            };
            list.insert(key_of(pack), Sizes { pack: size(&pack.pack)?, idx: size(&pack.idx)? });
        }
        Ok(Self(list))
    }

    /// Lists the packs of a mirror.
    ///
    /// # Errors
    /// As [`Self::of`].
    pub fn of_mirror(mirror: &Path) -> Result<Self, GitError> {
        Self::of(&packs_in(&mirror.join("objects/pack"))?)
    }

    /// Adds the packs of another list.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }

    /// Iterates over the packs, each with the names of its two files.
    pub fn files(&self) -> impl Iterator<Item = (String, String, Sizes)> {
        self.0.iter().map(|(key, sizes)| (format!("pack-{key}.pack"), format!("pack-{key}.idx"), *sizes))
    }

    /// Returns how many packs there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the size of all files together, in bytes.
    pub fn bytes(&self) -> u64 {
        self.0.values().map(|sizes| sizes.pack + sizes.idx).sum()
    }
}

fn key_of(pack: &Pack) -> String {
    let stem = pack.idx.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    stem.strip_prefix("pack-").map_or(stem.clone(), str::to_owned)
}

impl From<PackList> for Vec<String> {
    fn from(list: PackList) -> Self {
        list.0.into_iter().map(|(key, Sizes { pack, idx })| format!("{key} {pack} {idx}")).collect()
    }
}

impl TryFrom<Vec<String>> for PackList {
    type Error = String;

    fn try_from(lines: Vec<String>) -> Result<Self, String> {
        let read = |line: &String| {
            let mut words = line.split(' ');
            let (key, pack, idx) = (words.next()?, words.next()?.parse().ok()?, words.next()?.parse().ok()?);
            Some((key.to_owned(), Sizes { pack, idx }))
        };
        lines
            .iter()
            .map(|line| read(line).ok_or_else(|| format!("not a pack and its sizes: {line:?}")))
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_written_as_lines_and_read_back() {
        let folder = tempfile::tempdir().unwrap();
        for (name, content) in [("pack-aa.pack", "12345"), ("pack-aa.idx", "123")] {
            std::fs::write(folder.path().join(name), content).unwrap();
        }
        let list = PackList::of(&packs_in(folder.path()).unwrap()).unwrap();
        let json = serde_json::to_string(&list).unwrap();
        assert_eq!(json, r#"["aa 5 3"]"#);
        assert_eq!(serde_json::from_str::<PackList>(&json).unwrap(), list);
        assert_eq!((list.len(), list.bytes()), (1, 8));
        assert!(serde_json::from_str::<PackList>(r#"["aa 5"]"#).is_err());
        std::fs::remove_file(folder.path().join("pack-aa.pack")).unwrap();
        assert!(matches!(PackList::of(&packs_in(folder.path()).unwrap()), Err(GitError::Damaged(_))));
    }
}
