//! Checking out: the contents of large files in a working tree, where git-lfs would write them.
//!
//! Blocking; works on local files. What a newcomer would get wrong: the index keeps the pointer, and git judges by a file's size
//! and times whether it is unchanged. So the index gets those of the content, older than itself: then `git status` is clean
//! without git-lfs, too. Otherwise it would read the content and find no pointer.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use tokio_util::sync::CancellationToken;

use git2::{AttrCheckFlags, IndexEntry, IndexTime, Repository};

use super::contents::Contents;
use super::missing::Missing;
use crate::git::GitError;
use crate::git::pointer::{BLOB_BYTES_MAX, Pointer};
use crate::git::wire::transport::set_up_libgit2;
use crate::text::printable;

/// What was written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckedOut {
    /// Files with their contents.
    pub files: u64,
    /// Files that are still pointers, because their contents are not there.
    pub pointers: Vec<String>,
    /// Contents that should be there and are missing or wrong.
    pub lost: Vec<(Pointer, String)>,
}

/// The file types of git's index that a file can have.
const FILE_MODES: [u32; 2] = [0o100_644, 0o100_755];
const EXECUTABLE: u32 = 0o100_755;

/// Replaces pointers in a working tree that was just checked out, with the contents in its repository.
///
/// # Errors
/// [`GitError`] if the working tree cannot be read or written.
pub fn check_out(folder: &Path) -> Result<CheckedOut, GitError> {
    set_up_libgit2();
    let repository = Repository::open(folder)?;
    let contents = Contents::of(repository.path());
    let mut index = repository.index()?;
    let mut checked_out = CheckedOut::default();
    let mut changed = Vec::new();
    for entry in index.iter().filter(|entry| FILE_MODES.contains(&entry.mode)) {
        let path = Path::new(OsStr::from_bytes(&entry.path)).to_owned();
        let Some(pointer) = pointer_of(&repository, &entry)? else { continue };
        if repository.get_attr(&path, "filter", AttrCheckFlags::FILE_THEN_INDEX)? != Some("lfs") {
            continue;
        }
        let file = folder.join(&path);
        if !file.is_file() || has_link_on_the_way(folder, &path) {
            continue;
        }
        if write(&contents, pointer, &file, entry.mode == EXECUTABLE).map_err(GitError::io("write", &file))? {
            let written = file.symlink_metadata().map_err(GitError::io("examine", &file))?;
            changed.push(with_times_of(entry, &written));
            checked_out.files += 1;
        } else {
            checked_out.pointers.push(printable(&path.to_string_lossy(), 400));
        }
    }
    for entry in &changed {
        index.add(entry)?;
    }
    if !changed.is_empty() {
        index.write()?;
    }
    Ok(checked_out)
}

/// Returns whether a symbolic link is where a folder should be: what it leads to is not ours.
fn has_link_on_the_way(folder: &Path, path: &Path) -> bool {
    path.ancestors().any(|part| folder.join(part).is_symlink() && part != Path::new(""))
}

fn pointer_of(repository: &Repository, entry: &IndexEntry) -> Result<Option<Pointer>, GitError> {
    let (size, _) = repository.odb()?.read_header(entry.id)?;
    if size >= BLOB_BYTES_MAX {
        return Ok(None);
    }
    Ok(Pointer::parse(repository.find_blob(entry.id)?.content()))
}

/// Writes a content in a pointer's place; returns whether there is one.
fn write(contents: &Contents, pointer: Pointer, file: &Path, is_executable: bool) -> io::Result<bool> {
    let mut source = match File::open(contents.path(&pointer.oid)) {
        Ok(source) => Some(source),
        Err(error) if error.kind() == io::ErrorKind::NotFound && pointer.is_of_nothing() => None,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    fs::remove_file(file)?;
    // A new file cannot be a link that leads elsewhere.
    let mode = if is_executable { 0o777 } else { 0o666 };
    let mut target = OpenOptions::new().write(true).create_new(true).mode(mode).open(file)?;
    if let Some(source) = &mut source {
        io::copy(source, &mut target)?;
    }
    // If the file were as young as the index, git would not believe that it is unchanged.
    target.set_modified(SystemTime::now() - Duration::from_secs(2))?;
    Ok(true)
}

/// Describes a file as the index does.
fn with_times_of(entry: IndexEntry, file: &fs::Metadata) -> IndexEntry {
    let time = |seconds: i64, nanoseconds: i64| {
        IndexTime::new(i32::try_from(seconds).unwrap_or_default(), u32::try_from(nanoseconds).unwrap_or_default())
    };
    // Git keeps the lower 32 bits of each.
    #[expect(clippy::cast_possible_truncation, reason = "as git does")]
    IndexEntry {
        ctime: time(file.ctime(), file.ctime_nsec()),
        mtime: time(file.mtime(), file.mtime_nsec()),
        dev: file.dev() as u32,
        ino: file.ino() as u32,
        uid: file.uid(),
        gid: file.gid(),
        file_size: file.size() as u32,
        ..entry
    }
}

/// Replaces pointers among files that were extracted from a repository with the contents that a mirror has; returns which are
/// still pointers. Without the repository's attributes, a file that reads as a pointer counts as one.
///
/// # Errors
/// What the system says.
pub fn fill_in(folder: &Path, mirror: &Path) -> io::Result<CheckedOut> {
    let contents = Contents::of(mirror);
    let missing = Missing::read(mirror).unwrap_or_default();
    let mut checked_out = CheckedOut::default();
    let mut folders: Vec<PathBuf> = vec![folder.to_owned()];
    while let Some(inner) = folders.pop() {
        for entry in fs::read_dir(&inner)? {
            let (path, kind) = (entry.as_ref().map(fs::DirEntry::path), entry.as_ref().map(fs::DirEntry::file_type));
            let (Ok(path), Ok(Ok(kind))) = (path, kind) else { continue };
            if kind.is_dir() {
                folders.push(path);
                continue;
            }
            let metadata = path.symlink_metadata()?;
            if !kind.is_file() || metadata.len() >= BLOB_BYTES_MAX as u64 {
                continue;
            }
            let Some(pointer) = Pointer::parse(&fs::read(&path)?) else { continue };
            // Wrong content on the store must not pass for the file.
            let proven = contents.prove(&pointer.oid, &CancellationToken::new());
            let is_known = missing.get(&pointer.oid).is_some() || !contents.exist().unwrap_or(true);
            let is_good = matches!(proven, Ok(Some(_))) || pointer.is_of_nothing();
            match proven {
                Err(error) => checked_out.lost.push((pointer, error.to_string())),
                Ok(None) if !is_good && !is_known => checked_out.lost.push((pointer, "it is missing".to_owned())),
                Ok(_) => {}
            }
            if is_good && write(&contents, pointer, &path, metadata.mode() & 0o100 != 0)? {
                checked_out.files += 1;
            } else {
                let below = path.strip_prefix(folder).unwrap_or(&path);
                checked_out.pointers.push(printable(&below.to_string_lossy(), 400));
            }
        }
    }
    checked_out.pointers.sort_unstable();
    Ok(checked_out)
}
