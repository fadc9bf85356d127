//! Pointers of Git LFS: small blobs that stand for large files. Pure.
//!
//! Reads what git-lfs itself would take for a pointer, which is more than its specification allows: older versions, other line
//! ends, extensions anywhere. A stricter reader would leave out contents that a clone then misses. Source: `lfs/pointer.go` of
//! git-lfs; a test compares both. What a newcomer would get wrong: the specification's pointer ends with `size` and a line end,
//! and many in the wild do not.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The bytes of an [`LfsOid`].
const OID_BYTES: usize = 32;

/// How many digits of an id people are shown.
const SHORT_DIGITS: usize = 12;

/// Blobs of this size and more are never pointers. Source: `lfs/gitscanner_catfilebatch.go` of git-lfs, `blobSizeCutoff`.
pub const BLOB_BYTES_MAX: usize = 1024;

/// Names a large file by the SHA-256 of its content.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct LfsOid([u8; OID_BYTES]);

/// A text is not the id of a large file, which has 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the SHA-256 of a large file")]
pub struct NotAnOid;

impl LfsOid {
    /// Makes an id from a hash.
    pub fn new(hash: [u8; OID_BYTES]) -> Self {
        Self(hash)
    }

    /// Returns enough of it to tell large files apart.
    pub fn short(&self) -> String {
        self.to_string()[..SHORT_DIGITS].to_owned()
    }

    /// Returns the hash.
    pub fn as_bytes(&self) -> &[u8; OID_BYTES] {
        &self.0
    }
}

impl fmt::Display for LfsOid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for LfsOid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for LfsOid {
    type Err = NotAnOid;

    fn from_str(text: &str) -> Result<Self, NotAnOid> {
        Self::parse(text.as_bytes()).ok_or(NotAnOid)
    }
}

impl TryFrom<String> for LfsOid {
    type Error = NotAnOid;

    fn try_from(text: String) -> Result<Self, NotAnOid> {
        text.parse()
    }
}

impl From<LfsOid> for String {
    fn from(oid: LfsOid) -> Self {
        oid.to_string()
    }
}

impl LfsOid {
    fn parse(text: &[u8]) -> Option<Self> {
        let digit = |byte: u8| match byte {
            b'0'..=b'9' => Some(byte - b'0'),
            b'a'..=b'f' => Some(byte - b'a' + 10),
            _ => None,
        };
        let (pairs, []) = text.as_chunks::<2>() else { return None };
        let mut hash = [0; OID_BYTES];
        if pairs.len() != hash.len() {
            return None;
        }
        for (byte, [high, low]) in hash.iter_mut().zip(pairs) {
            *byte = digit(*high)? << 4 | digit(*low)?;
        }
        Some(Self(hash))
    }
}

/// What a pointer says about a large file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pointer {
    /// Its SHA-256.
    pub oid: LfsOid,
    /// Its size in bytes. Only the hash proves it.
    pub size_bytes: u64,
}

/// Sorts pointers, and keeps each once. A large file may be named with several sizes, of which one is right.
pub(crate) fn each_once(mut pointers: Vec<Pointer>) -> Vec<Pointer> {
    pointers.sort_unstable();
    pointers.dedup();
    pointers
}

/// Keeps one pointer for each large file, for callers that go by hashes.
pub(crate) fn each_file_once(pointers: &[Pointer]) -> Vec<Pointer> {
    let mut pointers = pointers.to_vec();
    pointers.sort_unstable();
    pointers.dedup_by_key(|pointer| pointer.oid);
    pointers
}

/// The SHA-256 of nothing.
const NOTHING: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// The names of specifications that git-lfs reads.
const VERSIONS: [&[u8]; 3] =
    [b"http://git-media.io/v/2", b"https://hawser.github.com/spec/v1", b"https://git-lfs.github.com/spec/v1"];

/// One of these words is in every pointer.
const SIGNS: [&[u8]; 3] = [b"git-lfs", b"hawser", b"git-media"];

/// The keys of a pointer, in this order.
const KEYS: [&[u8]; 3] = [b"version", b"oid", b"size"];

impl Pointer {
    /// Returns whether it names the empty file, which nobody has to fetch. A size of 0 alone proves nothing.
    pub fn is_of_nothing(&self) -> bool {
        self.oid.to_string() == NOTHING
    }

    /// Reads a blob; `None` if git-lfs takes it for an ordinary file.
    pub fn parse(blob: &[u8]) -> Option<Self> {
        if blob.len() >= BLOB_BYTES_MAX || !SIGNS.iter().any(|sign| contains(blob, sign)) {
            return None;
        }
        let mut values: [&[u8]; KEYS.len()] = [&[]; KEYS.len()];
        let mut found = 0;
        // Go's scanner takes a carriage return at the end of a line as part of the line end.
        let lines = trimmed(blob).split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        let mut extensions: Vec<(&[u8], &[u8])> = Vec::new();
        for line in lines.filter(|line| !line.is_empty()) {
            let space = line.iter().position(|byte| *byte == b' ')?;
            let (key, value) = (&line[..space], &line[space + 1..]);
            if *KEYS.get(found)? == key {
                values[found] = value;
                found += 1;
            } else {
                check_extension_key(key)?;
                // If one is there twice, the later one counts.
                extensions.retain(|(known, _)| *known != key);
                extensions.push((key, value));
            }
        }
        let [version, oid, size] = values;
        if found < KEYS.len() || !VERSIONS.contains(&version) {
            return None;
        }
        let mut priorities = Vec::new();
        for (key, value) in extensions {
            let priority = key.get(b"ext-".len())?;
            if priorities.contains(priority) {
                return None;
            }
            priorities.push(*priority);
            parse_oid(value)?;
        }
        // As in Go's `strconv.ParseInt`, a sign is allowed.
        let size: i64 = std::str::from_utf8(size).ok()?.parse().ok()?;
        Some(Self { oid: parse_oid(oid)?, size_bytes: size.try_into().ok()? })
    }
}

fn parse_oid(value: &[u8]) -> Option<LfsOid> {
    LfsOid::parse(value.strip_prefix(b"sha256:")?)
}

/// Checks for `ext-`, one digit, `-`, and a name that begins as a word.
fn check_extension_key(key: &[u8]) -> Option<()> {
    let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    match key.strip_prefix(b"ext-")? {
        [priority, b'-', first, ..] if priority.is_ascii_digit() && is_word(first) => Some(()),
        _ => None,
    }
}

fn contains(text: &[u8], word: &[u8]) -> bool {
    text.windows(word.len()).any(|part| part == word)
}

/// Trims what Go's `bytes.TrimSpace` trims: white space by Unicode.
fn trimmed(blob: &[u8]) -> &[u8] {
    match std::str::from_utf8(blob) {
        Ok(text) => text.trim_matches(is_space).as_bytes(),
        // A pointer is all ASCII, but the name of an extension may hold anything after its first character.
        Err(_) => blob.trim_ascii(),
    }
}

/// Go's `unicode.IsSpace`, which is Unicode's property `White_Space`.
fn is_space(char: char) -> bool {
    char.is_whitespace()
}

#[cfg(test)]
mod tests {
    use super::*;

    const OID: &str = "4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393";

    fn size_of(blob: &str) -> Option<u64> {
        let pointer = Pointer::parse(blob.replace("OID", OID).as_bytes())?;
        assert_eq!(pointer.oid.to_string(), OID);
        Some(pointer.size_bytes)
    }

    /// Each of these was tried with `git lfs pointer --check`.
    #[test]
    fn what_git_lfs_takes_for_a_pointer_is_one() {
        let v1 = "version https://git-lfs.github.com/spec/v1\noid sha256:OID\n";
        for (blob, size) in [
            (format!("{v1}size 12345\n"), Some(12345)),
            (format!("{v1}size 9223372036854775807\n"), Some(9_223_372_036_854_775_807)),
            (format!("{v1}size 12345\n").replace('\n', "\r\n"), Some(12345)),
            (format!("{v1}size 12345"), Some(12345)),
            (format!("\n\n{v1}\n\nsize 12345\n\n"), Some(12345)),
            (format!("{v1}size 12345 \n"), Some(12345)),
            (format!("{v1}size +4\n"), Some(4)),
            (format!("{v1}size 0\n"), Some(0)),
            (format!("{v1}size 12345\n").replace("git-lfs.github", "hawser.github"), Some(12345)),
            (format!("{v1}size 1\n").replace("https://git-lfs.github.com/spec/v1", "http://git-media.io/v/2"), Some(1)),
            (format!("ext-0-foo sha256:OID\n{v1}size 12345\n"), Some(12345)),
            (format!("{v1}ext-0-foo sha256:OID\next-1-bar sha256:OID\nsize 12345\n"), Some(12345)),
            (format!("{v1}ext-0-foo sha256:OID\next-0-bar sha256:OID\nsize 12345\n"), None),
            (format!("{v1}ext-0-foo sha256:OID\next-0-foo sha256:OID\nsize 12345\n"), Some(12345)),
            (format!("{v1}ext-0-foo nothing\nsize 12345\n"), None),
            (format!("{v1}size 12345\next-0-foo sha256:OID\n"), None),
            (format!("{v1}size 12345\n").replace("spec/v1", "spec/v2"), None),
            (format!("{v1}size 12345\nmore 1\n"), None),
            (format!("{v1}size 0x4\n"), None),
            (format!("{v1}size -4\n"), None),
            (v1.to_owned(), None),
            ("version https://git-lfs.github.com/spec/v1\nsize 1\noid sha256:OID\n".to_owned(), None),
            ("version https://git-lfs.github.com/spec/v1\noid sha256:OID \nsize 1\n".to_owned(), None),
            ("version https://git-lfs.github.com/spec/v1\noid sha1:OID\nsize 1\n".to_owned(), None),
            (String::new(), None),
        ] {
            assert_eq!(size_of(&blob), size, "{blob:?}");
        }
        let upper = format!("version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize 1\n", OID.to_uppercase());
        assert_eq!(Pointer::parse(upper.as_bytes()), None);
    }

    #[test]
    fn from_a_thousand_and_twenty_four_bytes_on_nothing_is_a_pointer() {
        let pointer = format!("version https://git-lfs.github.com/spec/v1\noid sha256:{OID}\nsize 1\n");
        let padded = |bytes: usize| format!("{pointer}{}", "\n".repeat(bytes - pointer.len()));
        assert!(Pointer::parse(padded(BLOB_BYTES_MAX - 1).as_bytes()).is_some());
        assert!(Pointer::parse(padded(BLOB_BYTES_MAX).as_bytes()).is_none());
    }
}
