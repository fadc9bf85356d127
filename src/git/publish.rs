//! Publish: staged packs and new refs become visible on the store, in an order that a crash cannot harm.
//!
//! Writes inside one mirror, nowhere else; no network. Pack, then idx, then `packed-refs`, then HEAD, each under a
//! temporary name, synced, renamed. At any moment the refs are the old ones or the new ones, at worst with a pack that
//! nothing refers to, or with the HEAD of before.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use super::GitError;
use super::pack::{self, Pack};
use super::refs::Refs;

/// How our temporary files are named; the run after an interrupted one removes them.
pub const TEMPORARY_PREFIX: &str = "tmp_ghbk_";

/// Describes the state that a mirror is to have.
#[derive(Debug)]
pub struct Publication<'a> {
    /// The staged packs, in scratch.
    pub packs: &'a [Pack],
    /// All refs, ghbk's own included.
    pub refs: &'a Refs,
    /// The content of HEAD if it changes.
    pub head: Option<&'a str>,
}

/// Publishes into an existing bare repository.
///
/// # Errors
/// [`GitError`]; the mirror is in its old state or its new one.
pub fn publish(mirror: &Path, publication: &Publication<'_>) -> Result<(), GitError> {
    for pack in publication.packs {
        publish_pack(mirror, pack)?;
    }
    write_synced(mirror, "packed-refs", &publication.refs.to_packed())?;
    if let Some(head) = publication.head {
        write_synced(mirror, "HEAD", format!("{head}\n").as_bytes())?;
    }
    sync_folder(mirror)?;
    let path = mirror.join("packed-refs");
    let stored = fs::read(&path).map_err(GitError::io("read", &path))?;
    if Refs::parse_packed(&stored)? != *publication.refs {
        return Err(GitError::PublishedDiffers);
    }
    Ok(())
}

/// Publishes a pack that nothing refers to yet, and reads it back.
///
/// # Errors
/// [`GitError`]; at worst a pack without an index is left, which the next run sweeps.
pub fn publish_pack(mirror: &Path, staged: &Pack) -> Result<Pack, GitError> {
    let folder = mirror.join("objects/pack");
    // The idx last: git takes a pack for present when its idx is.
    let pack = copy_synced(&staged.pack, &folder)?;
    let idx = copy_synced(&staged.idx, &folder)?;
    sync_folder(&folder)?;
    let published = Pack { pack, idx };
    forget_cached(&published.pack);
    forget_cached(&published.idx);
    pack::check_files(&published)?;
    Ok(published)
}

/// Asks the kernel to read a file from where it is stored, not from memory, the next time. Only advice, so a refusal
/// costs nothing but the proof.
fn forget_cached(path: &Path) {
    if let Ok(file) = File::open(path) {
        let _ = rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed);
    }
}

/// Writes a file of a folder so that it is there whole or not at all.
///
/// # Errors
/// [`GitError::Io`]; the temporary file is removed if it can be.
pub fn write_synced(folder: &Path, name: &str, content: &[u8]) -> Result<(), GitError> {
    let temporary = folder.join(format!("{TEMPORARY_PREFIX}{name}"));
    let write = || -> std::io::Result<()> {
        let mut file = File::create(&temporary)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&temporary, folder.join(name))
    };
    write().inspect_err(|_| drop(fs::remove_file(&temporary))).map_err(GitError::io("write", &folder.join(name)))
}

fn copy_synced(from: &Path, folder: &Path) -> Result<PathBuf, GitError> {
    let name = from.file_name().ok_or_else(|| GitError::Task("a pack without a name".to_owned()))?;
    let to = folder.join(name);
    let mut temporary_name = std::ffi::OsString::from(TEMPORARY_PREFIX);
    temporary_name.push(name);
    let temporary = folder.join(temporary_name);
    let copy = || -> std::io::Result<()> {
        let mut source = File::open(from)?;
        let mut target = OpenOptions::new().write(true).create(true).truncate(true).open(&temporary)?;
        std::io::copy(&mut source, &mut target)?;
        target.sync_all()?;
        fs::rename(&temporary, &to)
    };
    copy().inspect_err(|_| drop(fs::remove_file(&temporary))).map_err(GitError::io("write", &to))?;
    Ok(to)
}

/// Makes renames in a folder durable.
///
/// # Errors
/// [`GitError::Io`].
pub fn sync_folder(folder: &Path) -> Result<(), GitError> {
    File::open(folder).and_then(|file| file.sync_all()).map_err(GitError::io("sync", folder))
}
