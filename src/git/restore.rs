//! Restore: a repository as it was at a snapshot, built beside the store and proven complete before anyone sees it.
//!
//! Blocking; reads one mirror, writes only to the destination; no network. The mirror's packs are copied whole, which
//! is fast; if one of them is damaged, what the snapshot needs is read object by object instead. What a newcomer would
//! get wrong: a file system that returns wrong bytes does not say so, so what was written is hashed again.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use git2::{Oid, Repository};
use tokio_util::sync::CancellationToken;

use super::pack::{self, packs_in};
use super::snapshot::Content;
use super::view::View;
use super::{GitError, references};

/// Says what a restored repository looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A bare repository.
    Bare,
    /// A working tree with HEAD checked out, and `.git` in it.
    WorkingTree,
}

/// Reports what was restored and checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restored {
    /// Refs.
    pub refs: u64,
    /// Objects hashed after they were written.
    pub objects: u64,
    /// Whether damage on the store had to be worked around.
    pub around_damage: bool,
}

/// Builds a repository in an existing, empty folder, from a view of its mirror, and proves that it is complete.
///
/// # Errors
/// [`GitError::Lost`] with the objects that the store no longer has; [`GitError::Io`]; [`GitError::Cancelled`]. The
/// folder is then of no use.
pub fn restore(
    view: &View,
    content: &Content,
    folder: &Path,
    form: Form,
    cancel: &CancellationToken,
) -> Result<Restored, GitError> {
    let git_dir = match form {
        Form::Bare => folder.to_owned(),
        Form::WorkingTree => folder.join(".git"),
    };
    let packs = git_dir.join("objects/pack");
    for sub in [&packs, &git_dir.join("refs/heads"), &git_dir.join("refs/tags")] {
        fs::create_dir_all(sub).map_err(GitError::io("create", sub))?;
    }
    let bare = form == Form::Bare;
    write(&git_dir.join("config"), &format!("[core]\n\trepositoryformatversion = 0\n\tbare = {bare}\n"))?;
    write(&git_dir.join("HEAD"), &format!("{}\n", content.head))?;
    let packed = git_dir.join("packed-refs");
    fs::write(&packed, content.refs.to_packed()).map_err(GitError::io("write", &packed))?;

    let needed: HashSet<Oid> = content.refs.iter().map(|(_, target)| target.oid).collect();
    let copied =
        copy_packs(&view.packs(), &packs, cancel).and_then(|()| pack::prove(&packs_in(&packs)?, &needed, cancel));
    let (objects, around_damage) = match copied {
        Ok(objects) => (objects, !view.damage().is_empty()),
        Err(error @ (GitError::Damaged(_) | GitError::Incomplete(_))) => {
            fs::remove_dir_all(&packs).map_err(GitError::io("remove", &packs))?;
            fs::create_dir(&packs).map_err(GitError::io("create", &packs))?;
            collect(view, &needed, &packs, cancel)?;
            // What retention dropped may be there in part, after an interruption, and refers to what is gone.
            let around_damage = !matches!(error, GitError::Incomplete(_)) || !view.damage().is_empty();
            (pack::prove(&packs_in(&packs)?, &needed, cancel)?, around_damage)
        }
        Err(error) => return Err(error),
    };
    if form == Form::WorkingTree {
        check_out(folder)?;
    }
    Ok(Restored { refs: content.refs.len() as u64, objects, around_damage })
}

fn write(path: &Path, text: &str) -> Result<(), GitError> {
    fs::write(path, text).map_err(GitError::io("write", path))
}

fn copy_packs(folder: &Path, to: &Path, cancel: &CancellationToken) -> Result<(), GitError> {
    for from in packs_in(folder)? {
        if cancel.is_cancelled() {
            return Err(GitError::Cancelled);
        }
        let copy = from.within(to);
        fs::copy(&from.pack, &copy.pack).map_err(GitError::io("copy", &from.pack))?;
        fs::copy(&from.idx, &copy.idx).map_err(GitError::io("copy", &from.idx))?;
    }
    Ok(())
}

/// Reads everything that some tips need, object by object, into one pack.
fn collect(view: &View, tips: &HashSet<Oid>, to: &Path, cancel: &CancellationToken) -> Result<(), GitError> {
    let repository = view.repository();
    let odb = repository.odb()?;
    let mut builder = repository.packbuilder()?;
    builder.set_threads(0);
    let lost =
        references::walk(&odb, tips.iter().copied(), |_| false, cancel, |oid| Ok(builder.insert_object(oid, None)?))?;
    if !lost.is_empty() {
        return Err(GitError::Lost(lost));
    }
    if builder.object_count() > 0 {
        pack::write(&mut builder, to)?;
    }
    Ok(())
}

fn check_out(folder: &Path) -> Result<(), GitError> {
    let repository = Repository::open(folder)?;
    if repository.head().is_err() {
        return Ok(()); // HEAD names a branch that does not exist, as in an empty repository
    }
    let mut options = git2::build::CheckoutBuilder::new();
    options.force();
    Ok(repository.checkout_head(Some(&mut options))?)
}
