//! Restore: a repository as it was at a snapshot, built beside the store and proven complete before anyone sees it.
//!
//! Blocking; reads one mirror, writes only to the destination; no network. The mirror's packs are copied whole, which is fast; if
//! one of them is damaged, what the snapshot needs is taken object by object instead, and every ref that is whole is restored.
//! What a newcomer would get wrong: a file system that returns wrong bytes does not say so, so what was written is hashed again.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::atomic::AtomicU64;

use git2::{AttrCheckFlags, Oid, Repository};
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::git::GitError;
use crate::git::mirror::snapshot::Content;
use crate::git::pack::copies::{Copied, Watch, copy_all, copy_loose, copy_unindexed};
use crate::git::pack::examine::{self, Proven};
use crate::git::pack::links::{self, Sieve};
use crate::git::pack::reader::ObjectReader;
use crate::git::pack::view::View;
use crate::git::pack::{self, packs_in};
use crate::git::pointer::Pointer;
use crate::git::refs::Refs;
use crate::git::wire::transport;
use crate::text::printable;

/// What a restored repository looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A bare repository.
    Bare,
    /// A working tree with HEAD checked out, and `.git` in it.
    WorkingTree,
}

/// What is restored, and how.
#[derive(Clone, Copy, Debug)]
pub struct Order<'a> {
    /// The refs and HEAD.
    pub content: &'a Content,
    /// What it looks like.
    pub form: Form,
    /// Whether a ref that cannot be restored whole fails everything.
    pub is_strict: bool,
    /// Bytes of packs copied so far, to be shown.
    pub copied_bytes: Option<&'a AtomicU64>,
    /// Whether to restore only what the refs need, as when some of them were chosen.
    pub is_part: bool,
}

/// A ref that cannot be restored, because the store has lost something that it needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LostRef {
    /// Its full name.
    pub name: String,
    /// The object that it names.
    pub object: String,
    /// What is lost.
    pub problem: String,
}

/// Reports what was restored and checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Restored {
    /// Refs.
    pub refs: Refs,
    /// Objects hashed after they were written.
    pub objects: u64,
    /// The large files that blobs among them stand for.
    pub pointers: Vec<Pointer>,
    /// Whether damage on the store had to be worked around.
    pub around_damage: bool,
    /// Refs that should have been restored and were not.
    pub lost: Vec<LostRef>,
    /// Why there are no files, though a working tree was asked for.
    pub not_checked_out: Option<String>,
    /// Whether that is a failure. It is none where `git clone` does the same, as when HEAD names a branch that does not exist.
    pub has_checkout_failed: bool,
    /// Files of the working tree that git would write in another encoding, which libgit2 does not support.
    pub checked_out_otherwise: Vec<String>,
}

/// Builds a repository in an existing, empty folder, from a view of its mirror, and proves that it is complete.
///
/// # Errors
/// [`GitError::Lost`] with the objects that the store no longer has, if no ref is whole or the order is strict;
/// [`GitError::Disk`]; [`GitError::Cancelled`]. The folder is then of no use.
pub fn restore(view: &View, order: Order<'_>, folder: &Path, cancel: &CancellationToken) -> Result<Restored, GitError> {
    let Order { content, form, is_strict, is_part, copied_bytes } = order;
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

    let copied = copy_all(view.mirror(), &packs, Watch { cancel, copied_bytes })?;
    let whole: Result<Vec<_>, _> = copied.into_iter().map(Copied::whole).collect();
    // Of a part, only the pack built below is proven.
    let proven = whole.and_then(|copies| {
        if is_part { Ok(None) } else { examine::prove(&copies, &tips(&content.refs), cancel).map(Some) }
    });
    let mut restored = match proven {
        Ok(Some(Proven { objects, pointers })) => {
            let refs = content.refs.clone();
            Restored { refs, objects, pointers, ..Restored::default() }
        }
        Ok(None) => what_is_whole(view.mirror(), &content.refs, &git_dir, is_strict, cancel)?,
        Err(error @ (GitError::Damaged(_) | GitError::Incomplete(_))) => {
            let mut restored = what_is_whole(view.mirror(), &content.refs, &git_dir, is_strict, cancel)?;
            // After an interruption, some of what retention dropped may still be there, and refer to objects that are not.
            restored.around_damage |= !matches!(error, GitError::Incomplete(_));
            let unindexed = pack::packs_without_index(&view.mirror().join("objects/pack"));
            restored.around_damage |= unindexed.is_ok_and(|packs| !packs.is_empty());
            restored
        }
        Err(error) => return Err(error),
    };
    restored.around_damage |= !view.damage().is_empty();
    let packed = git_dir.join("packed-refs");
    fs::write(&packed, restored.refs.to_packed()).map_err(GitError::io("write", &packed))?;
    if form == Form::WorkingTree {
        match check_out(folder, &content.head, &restored.refs) {
            Ok(Ok(otherwise)) => restored.checked_out_otherwise = otherwise,
            Ok(Err(reason)) => restored.not_checked_out = Some(reason),
            // The repository is whole all the same, and git itself may be able to check it out.
            Err(error @ GitError::Libgit2(_)) => {
                restored.not_checked_out = Some(error.to_string());
                restored.has_checkout_failed = true;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(restored)
}

fn tips(refs: &Refs) -> HashSet<Oid> {
    refs.iter().map(|(_, target)| target.oid).collect()
}

fn write(path: &Path, text: &str) -> Result<(), GitError> {
    fs::write(path, text).map_err(GitError::io("write", path))
}

/// Replaces the packs that were copied by one pack of everything that can be read of some refs.
fn what_is_whole(
    mirror: &Path,
    refs: &Refs,
    git_dir: &Path,
    is_strict: bool,
    cancel: &CancellationToken,
) -> Result<Restored, GitError> {
    transport::set_up_libgit2();
    let objects_folder = git_dir.join("objects");
    let packs = objects_folder.join("pack");
    copy_loose(mirror, &objects_folder)?;
    copy_unindexed(mirror, &packs, cancel)?;
    let objects = ObjectReader::of_folder(&packs)?.with_loose(objects_folder.clone());
    let mut sieve = Sieve::new(&objects, |_| false, cancel);
    let (mut whole, mut lost) = (Refs::default(), Vec::new());
    for (name, target) in refs.iter() {
        match sieve.sort(target.oid)? {
            None => whole.insert(name.to_owned(), *target),
            Some(problem) => lost.push(LostRef {
                name: name.to_owned(),
                object: target.oid.to_string(),
                problem: problem.to_string(),
            }),
        }
    }
    if !lost.is_empty() && (is_strict || whole.is_empty()) {
        return Err(GitError::Lost(sieve.lost().to_vec()));
    }
    let into = objects_folder.join("salvaged");
    fs::create_dir(&into).map_err(GitError::io("create", &into))?;
    let readable: Vec<(Oid, Option<&str>)> = sieve.whole().map(|oid| (oid, None)).collect();
    let built = if readable.is_empty() {
        None
    } else {
        Some(pack::build(&Repository::open(git_dir)?, readable.into_iter(), &into)?)
    };
    remove_all(&packs)?;
    let loose = pack::loose_folders(&objects_folder).map_err(GitError::io("read", &objects_folder))?;
    for folder in loose.flatten() {
        remove_all(&folder)?;
    }
    fs::create_dir(&packs).map_err(GitError::io("create", &packs))?;
    if let Some(built) = built {
        built.moved_to(&packs)?;
    }
    remove_all(&into)?;
    let proven = examine::prove(&packs_in(&packs)?, &tips(&whole), cancel)?;
    let around_damage = !lost.is_empty();
    let Proven { objects, pointers } = proven;
    Ok(Restored { refs: whole, objects, pointers, around_damage, lost, ..Restored::default() })
}

fn remove_all(folder: &Path) -> Result<(), GitError> {
    fs::remove_dir_all(folder).map_err(GitError::io("remove", folder))
}

/// Checks out HEAD; returns the files that git would write in another encoding, or why there are none, as in an empty repository.
///
/// Uses the tree, because libgit2 refuses to read a commit whose author has an odd name.
fn check_out(folder: &Path, head: &str, refs: &Refs) -> Result<Result<Vec<String>, String>, GitError> {
    transport::set_up_libgit2();
    let Some(branch) = head.strip_prefix("ref: ") else {
        return Ok(Err(format!("HEAD is no branch, but {head:?}")));
    };
    let Some(tip) = refs.get(branch) else {
        return Ok(Err(format!("HEAD names {branch}, which is not there")));
    };
    let objects = ObjectReader::of_folder(&folder.join(".git/objects/pack"))?;
    let Some(tree) = links::tree_of(&objects, tip.peeled.unwrap_or(tip.oid)) else {
        return Ok(Err(format!("HEAD names {branch}, which is no commit")));
    };
    let repository = Repository::open(folder)?;
    let mut options = git2::build::CheckoutBuilder::new();
    options.force();
    repository.checkout_tree(repository.find_tree(tree)?.as_object(), Some(&mut options))?;
    Ok(Ok(of_another_encoding(&repository)?))
}

/// Lists the files to which an attribute gives an encoding: git converts them, libgit2 does not.
fn of_another_encoding(repository: &Repository) -> Result<Vec<String>, GitError> {
    const ATTRIBUTE: &str = "working-tree-encoding";
    let index = repository.index()?;
    let mut is_used = false;
    for entry in index.iter().filter(|entry| entry.path.rsplit(|byte| *byte == b'/').next() == Some(b".gitattributes"))
    {
        let attributes = repository.find_blob(entry.id)?;
        is_used |= attributes.content().windows(ATTRIBUTE.len()).any(|word| word == ATTRIBUTE.as_bytes());
    }
    let mut found = Vec::new();
    for entry in index.iter().filter(|_| is_used) {
        let path = Path::new(OsStr::from_bytes(&entry.path));
        let encoding = repository.get_attr(path, ATTRIBUTE, AttrCheckFlags::FILE_THEN_INDEX)?;
        if encoding.is_some_and(|encoding| !encoding.eq_ignore_ascii_case("utf-8")) {
            found.push(printable(&path.to_string_lossy(), 400));
        }
    }
    Ok(found)
}
