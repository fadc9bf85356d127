//! `lfs/missing.jsonl` in a mirror: the large files that its pointers name and it does not have, and why.
//!
//! One JSON object per line, sorted by id; the file does not exist if nothing is missing. It is replaced whole, by rename.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::contents::Contents;
use crate::disk::{DiskError, is_missing, read_at_once, replace, sync_folder};
use crate::git::pointer::{LfsOid, Pointer};

/// Why a large file is not on the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// Nobody has asked for it yet.
    Postponed,
    /// The server says that it does not have it.
    Absent,
    /// The token may not read it.
    Forbidden,
    /// The owner's quota of bandwidth is used up.
    OverQuota,
    /// It could not be fetched or stored.
    Failed,
    /// It is larger than `large_files.max_size`.
    TooLarge,
    /// `.lfsconfig` says that it is kept on a server that `large_files.servers` does not name.
    Elsewhere,
    /// A reason that a later version of ghbk gives.
    #[serde(other)]
    Unknown,
}

impl Why {
    /// Returns the name in counts, as in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Postponed => "postponed",
            Self::Absent => "absent",
            Self::Forbidden => "forbidden",
            Self::OverQuota => "over_quota",
            Self::Failed => "failed",
            Self::TooLarge => "too_large",
            Self::Elsewhere => "elsewhere",
            Self::Unknown => "unknown",
        }
    }

    /// Returns whether a person can accept it: nothing that ghbk does can bring the content.
    pub fn can_be_accepted(self) -> bool {
        matches!(self, Self::Absent | Self::Elsewhere)
    }
}

/// A large file that is not there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owed {
    /// Its id.
    pub oid: LfsOid,
    /// Its size, as the pointer gives it.
    pub size_bytes: u64,
    /// Other sizes that other pointers give: one of them may be right.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub other_sizes: Vec<u64>,
    /// Why.
    pub why: Why,
    /// Since when it has been missing for this reason.
    pub since: DateTime<Utc>,
    /// What the server says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub said: Option<String>,
    /// Whether a person has accepted that it is not there.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_accepted: bool,
}

/// The name under which accepted files are counted.
pub(super) const ACCEPTED: &str = "accepted";

/// The folder of large files in a mirror.
pub(crate) const FOLDER: &str = "lfs";
/// The name of the list in it.
const FILE: &str = "missing.jsonl";

/// What one mirror is missing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Missing {
    files: BTreeMap<LfsOid, Owed>,
}

impl Missing {
    /// Returns where the list of a mirror lies.
    pub fn path(mirror: &Path) -> PathBuf {
        mirror.join(FOLDER).join(FILE)
    }

    /// Reads the list of a mirror; empty if there is none.
    ///
    /// # Errors
    /// [`DiskError::Io`] if it cannot be read or understood.
    pub fn read(mirror: &Path) -> Result<Self, DiskError> {
        let path = Self::path(mirror);
        match read_at_once(&path) {
            Ok(bytes) => Self::parse(&bytes).map_err(DiskError::io("read", &path)),
            Err(error) if is_missing(&error) => Ok(Self::default()),
            Err(error) => Err(DiskError::io("read", &path)(error)),
        }
    }

    /// Reads the list of a mirror; one that cannot be understood is set aside, because refs must not wait for it. The next
    /// verification finds what it named.
    pub(crate) fn read_or_set_aside(mirror: &Path) -> Result<Self, DiskError> {
        let path = Self::path(mirror);
        match Self::read(mirror) {
            Err(DiskError::Io { source, .. })
                if matches!(source.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof) =>
            {
                tracing::warn!(path = %path.display(), "not written by ghbk; moved aside: {source}");
                let aside = path.with_extension("jsonl.bad");
                std::fs::rename(&path, &aside).map_err(DiskError::io("move", &path))?;
                Ok(Self::default())
            }
            read => read,
        }
    }

    fn parse(bytes: &[u8]) -> io::Result<Self> {
        let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let files = lines.map(|line| {
            let owed: Owed = serde_json::from_slice(line)?;
            Ok((owed.oid, owed))
        });
        Ok(Self { files: files.collect::<io::Result<_>>()? })
    }

    /// Formats the list as it is stored.
    fn to_bytes(&self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        for owed in self.files.values() {
            serde_json::to_writer(&mut bytes, owed)?;
            bytes.push(b'\n');
        }
        Ok(bytes)
    }

    /// Writes the list of a mirror, or removes it if nothing is missing.
    ///
    /// # Errors
    /// [`DiskError`]; the list is unchanged.
    pub fn write(&self, mirror: &Path) -> Result<(), DiskError> {
        let (path, folder) = (Self::path(mirror), mirror.join(FOLDER));
        if self.files.is_empty() {
            return match std::fs::remove_file(&path) {
                Err(error) if !is_missing(&error) => Err(DiskError::io("remove", &path)(error)),
                Err(_) => Ok(()),
                Ok(()) => sync_folder(&folder),
            };
        }
        std::fs::create_dir_all(&folder).map_err(DiskError::io("create", &folder))?;
        let bytes = self.to_bytes().map_err(DiskError::io("write", &path))?;
        replace(&folder, FILE, &bytes)?;
        sync_folder(&folder)
    }

    /// Notes the large files that a mirror does not have yet, before the refs that need them are published.
    ///
    /// # Errors
    /// [`DiskError`]; then the refs must not be published, because nothing would show that their files are missing.
    pub fn note(mirror: &Path, pointers: &[Pointer], now: DateTime<Utc>) -> Result<(), DiskError> {
        if pointers.is_empty() {
            return Ok(());
        }
        let mut missing = Self::read_or_set_aside(mirror)?;
        if missing.add(&Contents::of(mirror), pointers, now)? {
            missing.write(mirror)?;
        }
        Ok(())
    }

    /// Adds those that are neither stored nor listed; returns whether there are any.
    fn add(&mut self, contents: &Contents, pointers: &[Pointer], now: DateTime<Utc>) -> Result<bool, DiskError> {
        let mut has_more = false;
        for pointer in pointers {
            if let Some(owed) = self.files.get_mut(&pointer.oid) {
                if owed.size_bytes != pointer.size_bytes && !owed.other_sizes.contains(&pointer.size_bytes) {
                    owed.other_sizes.push(pointer.size_bytes);
                    has_more = true;
                }
            } else if !contents.has(*pointer, &CancellationToken::new())? {
                self.insert(*pointer, Why::Postponed, now, None);
                has_more = true;
            }
        }
        Ok(has_more)
    }

    /// Takes over what another list says about files that this one also names.
    ///
    /// # Errors
    /// [`DiskError`].
    pub(crate) fn inherit(mirror: &Path, from: &Path) -> Result<(), DiskError> {
        let (mut missing, before) = (Self::read(mirror)?, Self::read_or_set_aside(from)?);
        let known = before.files.into_iter().filter(|(oid, _)| missing.files.contains_key(oid)).collect::<Vec<_>>();
        if known.is_empty() {
            return Ok(());
        }
        missing.files.extend(known);
        missing.write(mirror)
    }

    /// Lists what is missing, by id.
    pub fn iter(&self) -> impl Iterator<Item = &Owed> {
        self.files.values()
    }

    /// Returns how many there are.
    pub fn len(&self) -> usize {
        self.files.len()
    }

    /// Returns whether nothing is missing.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Counts what is missing for each reason, and how much of it is accepted.
    pub fn counts(&self) -> BTreeMap<String, u64> {
        let mut counts = BTreeMap::new();
        for owed in self.files.values() {
            let names = [Some(owed.why.name()), owed.is_accepted.then_some(ACCEPTED)];
            for name in names.into_iter().flatten() {
                *counts.entry(name.to_owned()).or_default() += 1;
            }
        }
        counts
    }

    /// Returns the entry of a large file.
    pub fn get(&self, oid: &LfsOid) -> Option<&Owed> {
        self.files.get(oid)
    }

    /// Notes why a large file is missing. One that was missing for the same reason keeps its date, and stays accepted.
    pub fn insert(&mut self, pointer: Pointer, why: Why, now: DateTime<Utc>, said: Option<String>) {
        let before = self.files.get(&pointer.oid);
        let other_sizes = before.map(|before| before.other_sizes.clone()).unwrap_or_default();
        let before = before.filter(|before| before.why == why);
        let (since, is_accepted) = before.map_or((now, false), |before| (before.since, before.is_accepted));
        let Pointer { oid, size_bytes } = pointer;
        self.files.insert(oid, Owed { oid, size_bytes, other_sizes, why, since, said, is_accepted });
    }

    /// Takes a large file off the list, because it is there or nothing needs it any more.
    pub fn remove(&mut self, oid: &LfsOid) -> Option<Owed> {
        self.files.remove(oid)
    }

    /// Keeps those that are still needed.
    pub fn retain(&mut self, is_needed: impl Fn(&LfsOid) -> bool) {
        self.files.retain(|oid, _| is_needed(oid));
    }

    /// Returns whether a file is missing and can be accepted, or has been.
    pub fn can_accept(&self, oid: &LfsOid) -> bool {
        self.get(oid).is_some_and(|owed| owed.why.can_be_accepted())
    }

    /// Accepts that large files are missing, where that is GitHub's last word; returns how many are newly accepted.
    pub fn accept(&mut self, is_meant: impl Fn(&Owed) -> bool) -> u64 {
        let mut accepted = 0;
        for owed in self.files.values_mut().filter(|owed| owed.why.can_be_accepted() && is_meant(owed)) {
            accepted += u64::from(!owed.is_accepted);
            owed.is_accepted = true;
        }
        accepted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pointer(byte: u8, size_bytes: u64) -> Pointer {
        Pointer { oid: LfsOid::new([byte; 32]), size_bytes }
    }

    #[test]
    fn what_is_written_is_read_back_and_an_empty_list_leaves_no_file() {
        let mirror = tempfile::tempdir().unwrap();
        let now = "2026-11-29T05:00:00Z".parse().unwrap();
        Missing::note(mirror.path(), &[pointer(1, 5), pointer(2, 6)], now).unwrap();
        let mut missing = Missing::read(mirror.path()).unwrap();
        missing.insert(pointer(2, 6), Why::Absent, now, Some("it is gone".to_owned()));
        missing.write(mirror.path()).unwrap();
        insta::assert_snapshot!(std::fs::read_to_string(Missing::path(mirror.path())).unwrap());
        assert_eq!(Missing::read(mirror.path()).unwrap(), missing);
        missing.retain(|_| false);
        missing.write(mirror.path()).unwrap();
        assert!(!Missing::path(mirror.path()).exists());
        missing.write(mirror.path()).unwrap();
    }

    #[test]
    fn a_reason_keeps_its_date_and_its_acceptance() {
        let (then, now) = ("2026-11-22T05:00:00Z".parse().unwrap(), "2026-11-29T05:00:00Z".parse().unwrap());
        let mut missing = Missing::default();
        missing.insert(pointer(1, 5), Why::Absent, then, None);
        missing.insert(pointer(2, 5), Why::Failed, then, None);
        assert_eq!(missing.accept(|_| true), 1);
        for byte in [1, 2] {
            missing.insert(pointer(byte, 5), Why::Absent, now, None);
        }
        let dates: Vec<_> = missing.iter().map(|owed| (owed.since, owed.is_accepted)).collect();
        assert_eq!(dates, [(then, true), (now, false)]);
    }

    #[test]
    fn a_reason_of_a_later_version_is_read() {
        let line =
            format!(r#"{{"oid":"{}","size_bytes":1,"why":"cursed","since":"2026-11-29T05:00:00Z"}}"#, "0".repeat(64));
        assert_eq!(Missing::parse(line.as_bytes()).unwrap().iter().next().unwrap().why, Why::Unknown);
        assert!(Missing::parse(b"nonsense\n").is_err());
    }
}
