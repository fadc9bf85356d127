//! Publish: staged packs and new refs become visible on the store, in an order that a crash cannot harm.
//!
//! Writes inside one mirror, nowhere else; no network. Pack, then idx, then `packed-refs`, then HEAD, each under a
//! temporary name, synced, read back, renamed. At any moment the refs are the old ones or the new ones, at worst with a
//! pack that nothing refers to, or with the HEAD of before.

use std::fs;
use std::path::Path;

use super::GitError;
use super::files::{copy_into, copy_into_hidden, create, replace, sync_folder};
use super::pack::Pack;
use super::refs::Refs;

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
    replace(mirror, "packed-refs", &publication.refs.to_packed())?;
    if let Some(head) = publication.head {
        replace(mirror, "HEAD", format!("{head}\n").as_bytes())?;
    }
    sync_folder(mirror)
}

/// Makes a bare repository in an empty folder that nobody looks into yet.
///
/// # Errors
/// [`GitError`]; the folder is then of no use.
pub fn build(folder: &Path, config: &str, publication: &Publication<'_>) -> Result<(), GitError> {
    let packs = folder.join("objects/pack");
    for folder in [&folder.join("objects"), &packs, &folder.join("refs")] {
        fs::create_dir(folder).map_err(GitError::io("create", folder))?;
    }
    create(&folder.join("config"), config.as_bytes())?;
    for pack in publication.packs {
        copy_into_hidden(&packs, &pack.pack)?;
        copy_into_hidden(&packs, &pack.idx)?;
    }
    create(&folder.join("packed-refs"), &publication.refs.to_packed())?;
    if let Some(head) = publication.head {
        create(&folder.join("HEAD"), format!("{head}\n").as_bytes())?;
    }
    sync_folder(&packs)?;
    sync_folder(folder)
}

/// Publishes a pack that nothing refers to yet.
///
/// # Errors
/// [`GitError`]; at worst a pack without an index is left, which the next run sweeps.
pub fn publish_pack(mirror: &Path, staged: &Pack) -> Result<Pack, GitError> {
    let folder = mirror.join("objects/pack");
    // The idx last: git takes a pack for present when its idx is.
    let pack = copy_into(&folder, &staged.pack)?;
    let idx = copy_into(&folder, &staged.idx)?;
    sync_folder(&folder)?;
    Ok(Pack { pack, idx })
}
