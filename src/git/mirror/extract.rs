//! Files of one point in time, without their history, as `ghbk restore --path` restores them.
//!
//! Blocking; reads one mirror, writes only to the destination; no network. Only what the chosen paths need is read, so damage
//! elsewhere does not matter. What a newcomer would get wrong: a tree is a stranger's text. It may hold the same name twice, once
//! as a symbolic link and once as a folder, or a name that leads out of the destination. So each folder is newly made, no file
//! may exist yet, and names that git refuses to check out are refused here, too.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{OpenOptionsExt, symlink};
use std::path::{Component, Path, PathBuf};

use git2::{ObjectType, Oid};
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::git::GitError;
use crate::git::pack::links::{self, FOLDER, SUBMODULE, SYMBOLIC_LINK, TYPE_MASK};
use crate::git::pack::reader::ObjectReader;
use crate::text::{printable, some_of};

const EXECUTABLE_BY_OWNER: u32 = 0o100;
/// How many names of a folder an error lists.
const LISTED_MAX: usize = 20;
/// How much of a path is shown.
const SHOWN_CHARS_MAX: usize = 400;

/// Reads a path as a person writes it, relative to the repository's root; `.` is the whole repository.
///
/// # Errors
/// What is wrong with it.
pub fn tree_path(path: &str) -> Result<PathBuf, String> {
    let mut inner = PathBuf::new();
    for component in Path::new(path).components() {
        match component {
            Component::Normal(part) => inner.push(part),
            Component::CurDir | Component::RootDir => {}
            Component::ParentDir | Component::Prefix(_) => return Err("it leads out of the repository".to_owned()),
        }
    }
    Ok(inner)
}

/// A file or a folder that was not restored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LostFile {
    /// Its path in the repository.
    pub path: String,
    /// The object that holds its content.
    pub object: String,
    /// Why.
    pub problem: String,
}

/// Reports which files were restored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Extracted {
    /// How many files and symbolic links were written, each checked against its id.
    pub files: u64,
    /// Submodules, whose files are in another repository; each is an empty folder.
    pub submodules: Vec<String>,
    /// What should have been restored and was not.
    pub lost: Vec<LostFile>,
}

/// Why nothing was extracted.
#[derive(Debug, thiserror::Error)]
pub enum ExtractError {
    /// There is no such path.
    #[error("there is no {path}")]
    NoSuchPath {
        /// The path as requested.
        path: String,
        /// The deepest folder above it that exists, and some names in it.
        nearest: String,
    },
    /// Anything else.
    #[error(transparent)]
    Git(#[from] GitError),
}

/// Writes the files at some paths of a commit into an existing, empty folder, each under its whole path.
///
/// Contents are written as git stores them: no line ending, encoding or filter is applied.
///
/// # Errors
/// [`ExtractError::NoSuchPath`]; [`GitError::Damaged`] if the commit cannot be read; [`GitError::Disk`];
/// [`GitError::Cancelled`]. The folder is then of no use.
pub fn extract(
    objects: &ObjectReader,
    commit: Oid,
    wanted: &[PathBuf],
    folder: &Path,
    cancel: &CancellationToken,
) -> Result<Extracted, ExtractError> {
    let root = links::tree_of(objects, commit);
    let root = root.ok_or_else(|| GitError::Damaged(format!("the commit {commit} cannot be read")))?;
    let mut done = Extracted::default();
    let mut found: HashSet<&Path> =
        wanted.iter().map(PathBuf::as_path).filter(|path| path.as_os_str().is_empty()).collect();
    let mut waiting = vec![(PathBuf::new(), root)];
    while let Some((at, tree)) = waiting.pop() {
        let items = match read_tree(objects, tree) {
            Ok(items) => items,
            Err(problem) => {
                found.extend(wanted.iter().map(PathBuf::as_path).filter(|path| path.starts_with(&at)));
                done.lost.push(LostFile { path: shown(&at), object: tree.to_string(), problem });
                continue;
            }
        };
        for item in items {
            if cancel.is_cancelled() {
                return Err(GitError::Cancelled.into());
            }
            let path = at.join(OsStr::from_bytes(&item.name));
            let is_within = wanted.iter().any(|wanted| path.starts_with(wanted));
            let is_above = item.is_folder() && wanted.iter().any(|wanted| wanted.starts_with(&path));
            if !is_within && !is_above {
                continue;
            }
            found.extend(wanted.iter().map(PathBuf::as_path).filter(|wanted| *wanted == path));
            match item.write(objects, &folder.join(&path)) {
                Ok(()) if item.is_folder() => waiting.push((path, item.oid)),
                Ok(()) if item.is_submodule() => done.submodules.push(shown(&path)),
                Ok(()) => done.files += 1,
                Err(NotWritten::This(problem)) => {
                    found.extend(wanted.iter().map(PathBuf::as_path).filter(|wanted| wanted.starts_with(&path)));
                    done.lost.push(LostFile { path: shown(&path), object: item.oid.to_string(), problem });
                }
                Err(NotWritten::Any(error)) => return Err(error.into()),
            }
        }
    }
    match wanted.iter().find(|wanted| !found.contains(wanted.as_path())) {
        Some(missing) => {
            Err(ExtractError::NoSuchPath { path: shown(missing), nearest: nearest(objects, root, missing) })
        }
        None => Ok(done),
    }
}

/// One entry of a tree.
struct Item {
    name: Vec<u8>,
    oid: Oid,
    mode: u32,
}

/// Why an entry is not written.
enum NotWritten {
    /// This one cannot be written; others may be.
    This(String),
    /// None can be written.
    Any(GitError),
}

impl Item {
    fn is_folder(&self) -> bool {
        self.mode & TYPE_MASK == FOLDER
    }

    fn is_submodule(&self) -> bool {
        self.mode & TYPE_MASK == SUBMODULE
    }

    /// Writes a file or a link, or makes a folder without its content.
    fn write(&self, objects: &ObjectReader, place: &Path) -> Result<(), NotWritten> {
        if is_refused_by_git(&self.name) {
            return Err(NotWritten::This("has a name that git refuses to check out".to_owned()));
        }
        let written = if self.is_folder() || self.is_submodule() {
            fs::create_dir(place)
        } else {
            let object = objects.read(self.oid).map_err(|error| NotWritten::This(error.to_string()))?;
            match object.kind {
                ObjectType::Blob if self.mode & TYPE_MASK == SYMBOLIC_LINK => {
                    symlink(OsStr::from_bytes(&object.data), place)
                }
                ObjectType::Blob => write_new(place, &object.data, self.mode & EXECUTABLE_BY_OWNER != 0),
                _ => return Err(NotWritten::This("is no file".to_owned())),
            }
        };
        written.map_err(|error| match error.kind() {
            // Two entries with one name, or a name or a link's target that the file system does not take.
            io::ErrorKind::AlreadyExists
            | io::ErrorKind::InvalidFilename
            | io::ErrorKind::InvalidInput
            | io::ErrorKind::NotFound => NotWritten::This(format!("cannot be written: {error}")),
            _ => NotWritten::Any(GitError::io("write", place)(error)),
        })
    }
}

fn write_new(place: &Path, content: &[u8], is_executable: bool) -> io::Result<()> {
    // The umask removes what others may not do.
    let mode = if is_executable { 0o777 } else { 0o666 };
    OpenOptions::new().write(true).create_new(true).mode(mode).open(place)?.write_all(content)
}

/// Source: `verify_path` in git's `read-cache.c`.
fn is_refused_by_git(name: &[u8]) -> bool {
    matches!(name, b"" | b"." | b"..")
        || name.contains(&b'/')
        || name.eq_ignore_ascii_case(b".git")
        || name.eq_ignore_ascii_case(b"git~1")
}

fn read_tree(objects: &ObjectReader, oid: Oid) -> Result<Vec<Item>, String> {
    let object = objects.read(oid).map_err(|error| error.to_string())?;
    let mut items = Vec::new();
    let take = |name: &[u8], oid: links::OidBytes, mode| {
        items.extend(Oid::from_bytes(&oid).map(|oid| Item { name: name.to_vec(), oid, mode }));
    };
    let is_read = object.kind == ObjectType::Tree && links::every_entry(&object.data, take).is_ok();
    if is_read { Ok(items) } else { Err("is malformed".to_owned()) }
}

/// Describes the deepest folder above a missing path that exists, and what it holds.
fn nearest(objects: &ObjectReader, root: Oid, missing: &Path) -> String {
    let (mut at, mut items) = (PathBuf::new(), read_tree(objects, root).unwrap_or_default());
    for part in missing {
        let next = items.iter().find(|item| item.is_folder() && item.name == part.as_bytes());
        let Some(next) = next.and_then(|next| read_tree(objects, next.oid).ok()) else { break };
        items = next;
        at.push(part);
    }
    let names: Vec<String> = items.iter().map(|item| shown(Path::new(OsStr::from_bytes(&item.name)))).collect();
    format!("{} has {}", shown(&at), some_of(&names, LISTED_MAX))
}

/// Formats a path in a repository for a person.
fn shown(path: &Path) -> String {
    if path.as_os_str().is_empty() {
        "its root".to_owned()
    } else {
        printable(&path.to_string_lossy(), SHOWN_CHARS_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_read_as_a_person_writes_it() {
        for (written, read) in [("docs/a.md", "docs/a.md"), ("./docs/", "docs"), ("/docs//a", "docs/a"), (".", "")] {
            assert_eq!(tree_path(written).unwrap(), Path::new(read), "{written}");
        }
        assert!(tree_path("docs/../../etc").is_err());
    }

    #[test]
    fn names_that_git_refuses_are_refused() {
        for name in ["", ".", "..", ".git", ".GIT", "GIT~1", "a/b"] {
            assert!(is_refused_by_git(name.as_bytes()), "{name}");
        }
        for name in [".gitignore", "...", "git"] {
            assert!(!is_refused_by_git(name.as_bytes()), "{name}");
        }
    }
}
