//! Builds what is restored beside its destination, proves it, and only then makes it visible. Blocking.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::time::Instant;

use chrono::SecondsFormat;
use tokio_util::sync::CancellationToken;

use super::files::restore_large_files;
use crate::cli::RestoreArgs;
use crate::commands::destination::{Parents, check_destination, refuse_existing};
use crate::commands::point::{self, Candidate, Chosen, Point};
use crate::disk::sync_file_system;
use crate::error::{Error, Exit};
use crate::git::GitError;
use crate::git::mirror::changes::{ChangeKind, RefChange};
use crate::git::mirror::extract::{ExtractError, Extracted, extract};
use crate::git::mirror::restore::{Form, Order, Restored, restore as restore_mirror};
use crate::git::mirror::snapshot::{Content, Snapshot, content};
use crate::git::pack::reader::ObjectReader;
use crate::git::pack::view::View;
use crate::git::pointer::Pointer;
use crate::git::refs::Refs;
use crate::git::wire::push::pushable;
use crate::mirrors::MirrorKind;
use crate::names::Wanted;
use crate::report::restore::{LargeFiles, Report};
use crate::scratch::{self, Scratch};
use crate::store::{Index, Store};
use crate::zone::shown;

/// A deleted branch is looked for in so many snapshots.
const SEARCHED_MAX: usize = 1_000;

/// What is to be restored, from where and to where.
pub(super) struct Job<'a> {
    pub(super) store: &'a Store,
    pub(super) index: &'a Index,
    pub(super) scratch: &'a Path,
    pub(super) wanted: &'a Wanted,
    pub(super) kind: MirrorKind,
    pub(super) point: &'a Point,
    /// Counts what is copied, to be shown.
    pub(super) copied_bytes: &'a AtomicU64,
    /// Whether it is one of many: then its folder is there, and whoever restores them all syncs the file system at the end.
    pub(super) is_one_of_many: bool,
    /// None for a repository that is only sent on.
    pub(super) destination: Option<&'a Path>,
}

impl Job<'_> {
    /// Finds the mirrors that are meant, with their points in time.
    ///
    /// # Errors
    /// [`Error`] if there are none.
    pub(super) fn candidates(&self) -> Result<Vec<Candidate>, Error> {
        point::candidates(self.store, self.index, self.scratch, (self.wanted, self.kind))
    }
}

/// A repository that was built and proven, and what is needed to send it on.
pub(super) struct Built {
    pub(super) report: Report,
    pub(super) refs: Refs,
    pub(super) pointers: Vec<Pointer>,
    /// Where it lies: if no destination was named, in a folder that is removed with this.
    pub(super) repository: PathBuf,
    pub(super) _temporary: Option<Scratch>,
}

/// Chooses what to restore, builds it, proves it, and makes it visible.
///
/// # Errors
/// [`Error`]; nothing is left at the destination then.
pub(super) fn build(
    job: &Job<'_>,
    candidates: Vec<Candidate>,
    arguments: &RestoreArgs,
    cancel: &CancellationToken,
) -> Result<Built, Error> {
    let started = Instant::now();
    let Job { store, scratch, wanted, kind, point, .. } = *job;
    let destination = job.destination.map(|path| check_destination(store, path)).transpose()?;
    let chosen = point::choose(store, candidates, point, (wanted, kind))?;
    let Chosen { id, mirror, view, snapshot } = chosen;
    let name = kind.name_of(&mirror.full_name);
    let failed = |error: GitError| not_restored(&name, &error);
    let (mut content, is_of_refs) = match content(view.objects(), snapshot.oid) {
        Ok(content) => (content, false),
        // The mirror's own list of refs says the same.
        Err(error @ GitError::Damaged(_)) if matches!(point, Point::Newest) => {
            let stored = store.mirror_at(&mirror.place, kind);
            let (Ok(Some(refs)), Ok(Some(head))) = (stored.refs(), stored.head()) else { return Err(failed(error)) };
            (Content { refs: refs.of_remote(), head }, true)
        }
        Err(error) => return Err(failed(error)),
    };
    choose_branches(&mut content, &arguments.branches, &name)
        .map_err(|error| with_hint(error, lost_since(&view, &snapshot, arguments)))?;
    let has_head = || content.head.strip_prefix("ref: ").is_some_and(|head| content.refs.get(head).is_some());
    if arguments.checkout && !arguments.branches.is_empty() && !has_head() {
        let message = "--checkout: none of what --branch names is a branch".to_owned();
        return Err(Error::new(Exit::Usage, message, "leave --checkout out, and check out what you need with git"));
    }
    let parent = destination.as_deref().map_or(scratch, |path| path.parent().unwrap_or(Path::new("/")));
    let folder_failed = |error: std::io::Error| {
        Error::new(Exit::Impossible, format!("cannot write to {}: {error}", parent.display()), "choose another DEST")
    };
    let parents = (!job.is_one_of_many).then(|| prepared(parent)).transpose().map_err(folder_failed)?;
    let staging = Scratch::create_hidden(parent).map_err(folder_failed)?;
    // The temporary folder is for its owner alone; what is restored has the permissions that `store.mode` gives.
    let building = staging.path().join("repository");
    std::fs::create_dir(&building).map_err(folder_failed)?;
    let (restored, files) = if arguments.paths.is_empty() {
        let form = if arguments.checkout { Form::WorkingTree } else { Form::Bare };
        let is_part = !arguments.branches.is_empty();
        let order = Order {
            content: &content,
            form,
            is_strict: arguments.strict,
            is_part,
            copied_bytes: Some(job.copied_bytes),
        };
        (restore_mirror(&view, order, &building, cancel).map_err(failed)?, None)
    } else {
        let files = restore_files(view.objects(), &content, arguments, &building, &name, cancel)?;
        (Restored::default(), Some(files))
    };
    let pointers = restored.pointers.clone();
    let mut large_files = None;
    if !pointers.is_empty() || files.is_some() {
        let git_dir = if arguments.checkout { building.join(".git") } else { building.clone() };
        large_files = restore_large_files(view.mirror(), &building, &git_dir, &pointers, arguments, cancel)?;
    }
    refuse_without_large_files(large_files.as_ref().filter(|_| arguments.strict), &name)?;
    if cancel.is_cancelled() {
        return Err(failed(GitError::Cancelled));
    }
    if !job.is_one_of_many {
        // Only then does a file system say what it could not write.
        sync_file_system(&building).map_err(folder_failed)?;
    }
    let (repository, temporary) = match &destination {
        Some(destination) => {
            refuse_existing(destination)?;
            std::fs::rename(&building, destination).map_err(folder_failed)?;
            parents.into_iter().for_each(Parents::keep);
            (destination.clone(), None)
        }
        None => (building, Some(staging)),
    };
    let refs = pushable(&restored.refs, arguments.pull_requests);
    let report = Report {
        repository: name.clone(),
        named: name.clone(),
        id,
        set_aside: mirror.is_set_aside(),
        gone: mirror.gone,
        time: snapshot.time.to_rfc3339_opts(SecondsFormat::Millis, true),
        run_id: snapshot.run_id,
        snapshot: snapshot.oid.to_string(),
        destination,
        head: content.head,
        refs: restored.refs.len() as u64,
        objects: restored.objects,
        around_damage: restored.around_damage || is_of_refs,
        lost: restored.lost,
        not_checked_out: restored.not_checked_out,
        has_checkout_failed: restored.has_checkout_failed,
        checked_out_otherwise: restored.checked_out_otherwise,
        files,
        large_files,
        pushed: None,
        duration_milliseconds: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
    };
    Ok(Built { report, refs, pointers, repository, _temporary: temporary })
}

/// Refuses, with `--strict`, what lacks the contents of large files.
fn refuse_without_large_files(files: Option<&LargeFiles>, name: &str) -> Result<(), Error> {
    let Some(absent) = files.and_then(|files| files.lost.first().or_else(|| files.missing.first())) else {
        return Ok(());
    };
    let message = format!("{name} is not restored: large file {}: {}", absent.oid, absent.why);
    Err(Error::new(Exit::Partial, message, "without --strict, everything else is restored"))
}

fn not_restored(name: &str, error: &GitError) -> Error {
    let is_partial = matches!(error, GitError::Lost(_) | GitError::Damaged(_));
    let exit = if is_partial { Exit::Partial } else { Exit::Impossible };
    Error::new(exit, format!("{name} is not restored: {error}"), error.hint_for(MirrorKind::split_name(name).0))
}

/// Restores the files at the paths that are asked for, from the one branch that is asked for, or from HEAD.
fn restore_files(
    objects: &ObjectReader,
    content: &Content,
    arguments: &RestoreArgs,
    folder: &Path,
    name: &str,
    cancel: &CancellationToken,
) -> Result<Extracted, Error> {
    let usage = |message: String, hint: &str| Error::new(Exit::Usage, message, hint);
    let chosen = match arguments.branches.as_slice() {
        [] => content.head.strip_prefix("ref: ").and_then(|head| content.refs.get(head)),
        [_] => content.refs.iter().next().map(|(_, target)| target),
        _ => return Err(usage("--path takes files of one --branch".to_owned(), "restore each branch to its own DEST")),
    };
    let Some(target) = chosen else {
        let message = format!("--path: HEAD of {name} names no branch that is there: {}", content.head);
        return Err(usage(message, "name one with --branch"));
    };
    let commit = target.peeled.unwrap_or(target.oid);
    let files = extract(objects, commit, &arguments.paths, folder, cancel).map_err(|error| match error {
        ExtractError::NoSuchPath { ref nearest, .. } => {
            usage(format!("--path: {error} in {name} at that time"), nearest)
        }
        ExtractError::Git(error) => not_restored(name, &error),
    })?;
    match files.lost.first() {
        Some(lost) if arguments.strict => {
            let message = format!("{name} is not restored: {} {}", lost.path, lost.problem);
            Err(Error::new(Exit::Partial, message, "without --strict, all other files are restored"))
        }
        _ => Ok(files),
    }
}

/// Makes the folder in which a restore is built, and clears it of what killed restores left.
fn prepared(parent: &Path) -> std::io::Result<Parents> {
    let parents = Parents::make(parent)?;
    scratch::sweep(parent);
    Ok(parents)
}

fn with_hint(error: Error, hint: Option<String>) -> Error {
    match hint {
        Some(hint) => Error::new(error.exit(), error.message(), hint),
        None => error,
    }
}

/// Finds the last point in time that has a branch which was deleted since: the usual reason to ask for one that is not there.
fn lost_since(view: &View, newest: &Snapshot, arguments: &RestoreArgs) -> Option<String> {
    let is_deleted = |change: &RefChange| {
        let name = change.name.strip_prefix("refs/heads/").unwrap_or(&change.name);
        change.kind == ChangeKind::Deleted
            && arguments.branches.iter().any(|branch| branch == name || *branch == change.name)
    };
    let mut snapshot = newest.clone();
    for _ in 0..SEARCHED_MAX {
        let before = point::before(view, &snapshot).ok()??;
        if snapshot.changes.iter().any(is_deleted) {
            let (deleted, run_id) = (shown(snapshot.time), &before.run_id);
            return Some(format!(
                "it was deleted by {deleted}; `--run {run_id}` is the last point in time that has it"
            ));
        }
        snapshot = before;
    }
    None
}

/// Keeps only the chosen branches; HEAD is then the first of them unless it names one.
fn choose_branches(content: &mut Content, branches: &[String], name: &str) -> Result<(), Error> {
    if branches.is_empty() {
        return Ok(());
    }
    let mut chosen = Refs::default();
    for branch in branches {
        let full = if branch.starts_with("refs/") { branch.clone() } else { format!("refs/heads/{branch}") };
        let Some(target) = content.refs.get(&full) else {
            let mut there: Vec<&str> =
                content.refs.iter().filter_map(|(name, _)| name.strip_prefix("refs/heads/")).collect();
            there.truncate(20);
            let hint = format!("at that time it had {}", there.join(", "));
            return Err(Error::new(Exit::Usage, format!("--branch {branch}: {name} has no {full}"), hint));
        };
        chosen.insert(full, *target);
    }
    let is_head = content.head.strip_prefix("ref: ").is_some_and(|head| chosen.get(head).is_some());
    if !is_head && let Some((first, _)) = chosen.iter().find(|(name, _)| name.starts_with("refs/heads/")) {
        content.head = format!("ref: {first}");
    }
    content.refs = chosen;
    Ok(())
}
