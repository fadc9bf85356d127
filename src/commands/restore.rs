//! `ghbk restore`: a repository as it was, in a new folder, proven complete.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use chrono::{SecondsFormat, Utc};
use indicatif::{ProgressBar, ProgressDrawTarget};
use tokio_util::sync::CancellationToken;

use super::point::{self, Point};
use super::{Context, open_store, print, print_json, unblock};
use crate::cli::RestoreArgs;
use crate::daemon::systemd::Signals;
use crate::error::{Error, Exit};
use crate::git::GitError;
use crate::git::restore::{Form, restore as restore_mirror};
use crate::git::snapshot::content;
use crate::report::restore::{Report, text};
use crate::store::{MirrorKind, Store};

pub(super) async fn restore(context: &Context, arguments: RestoreArgs) -> Result<Exit, Error> {
    let cancel = CancellationToken::new();
    let signals = Signals::listen(cancel.clone())?;
    let config = context.config.clone();
    let spinner = context.bars.add(ProgressBar::new_spinner());
    if context.global.quiet {
        spinner.set_draw_target(ProgressDrawTarget::hidden());
    }
    spinner.enable_steady_tick(Duration::from_millis(200));
    spinner.set_message(format!("restoring {}", arguments.repository));
    let zone = config.schedule.timezone;
    let point = match (&arguments.at, &arguments.run) {
        (Some(moment), _) => Point::At(moment.resolve(Utc::now(), zone)),
        (None, Some(run_id)) => Point::Run(run_id.clone()),
        (None, None) => Point::Newest,
    };
    let for_work = cancel.clone();
    let restored = unblock(move || {
        let store = open_store(&config)?;
        build(&store, &config.store.scratch, &arguments, &point, &for_work)
    })
    .await;
    spinner.finish_and_clear();
    if let (Some(signal), Err(_)) = (signals.received(), &restored) {
        return Ok(Exit::Signal(signal));
    }
    let report = restored?;
    if context.global.json {
        print_json(&report)?;
    } else {
        print(&text(&report))?;
    }
    Ok(Exit::Good)
}

/// Chooses, builds beside the destination, proves, and only then makes it visible.
fn build(
    store: &Store,
    scratch: &Path,
    arguments: &RestoreArgs,
    point: &Point,
    cancel: &CancellationToken,
) -> Result<Report, Error> {
    let started = Instant::now();
    let kind = if arguments.wiki { MirrorKind::Wiki } else { MirrorKind::Code };
    let destination = arguments.destination.as_deref().map(|path| check_destination(store, path)).transpose()?;
    let candidates = point::candidates(store, scratch, &arguments.repository, kind)?;
    let (candidate, snapshot) = point::choose(store, candidates, point, &arguments.repository)?;
    let name = kind.name_of(&candidate.mirror.full_name);
    let failed = |error: GitError| {
        let exit =
            if matches!(error, GitError::Lost(_) | GitError::Damaged(_)) { Exit::Partial } else { Exit::Impossible };
        Error::new(exit, format!("{name} is not restored: {error}"), error.hint())
    };
    let content = content(candidate.view.repository(), snapshot.oid).map_err(failed)?;
    let destination = destination.ok_or_else(|| Error::new(Exit::Usage, "no destination", "name a folder"))?;
    let parent = destination.parent().unwrap_or(Path::new("/"));
    let folder_failed = |error: std::io::Error| {
        Error::new(Exit::Impossible, format!("cannot write to {}: {error}", parent.display()), "choose another DEST")
    };
    std::fs::create_dir_all(parent).map_err(folder_failed)?;
    let staging = tempfile::Builder::new().prefix(".ghbk-restore-").tempdir_in(parent).map_err(folder_failed)?;
    // The temporary folder is for its owner alone; what is restored has the rights that the umask gives.
    let building = staging.path().join("repository");
    std::fs::create_dir(&building).map_err(folder_failed)?;
    let form = if arguments.checkout { Form::WorkingTree } else { Form::Bare };
    let restored = restore_mirror(&candidate.view, &content, &building, form, cancel).map_err(failed)?;
    if cancel.is_cancelled() {
        return Err(failed(GitError::Cancelled));
    }
    refuse_existing(&destination)?;
    std::fs::rename(&building, &destination).map_err(folder_failed)?;
    Ok(Report {
        repository: name.clone(),
        id: candidate.id,
        set_aside: candidate.mirror.is_set_aside(),
        time: snapshot.time.to_rfc3339_opts(SecondsFormat::Millis, true),
        run_id: snapshot.run_id,
        snapshot: snapshot.oid.to_string(),
        destination: Some(destination),
        head: content.head,
        refs: restored.refs,
        objects: restored.objects,
        around_damage: restored.around_damage,
        duration_milliseconds: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
    })
}

fn check_destination(store: &Store, path: &Path) -> Result<PathBuf, Error> {
    let absolute = std::path::absolute(path)
        .map_err(|error| Error::new(Exit::Usage, format!("DEST {}: {error}", path.display()), "name a folder"))?;
    refuse_existing(&absolute)?;
    // What is restored into the store would be taken for a mirror, or be in the way of one.
    let existing = absolute.ancestors().find_map(|ancestor| ancestor.canonicalize().ok());
    let root = store.root().canonicalize().unwrap_or_else(|_| store.root().to_owned());
    if existing.is_some_and(|existing| existing.starts_with(&root)) {
        let message = format!("DEST {} is in the store itself", absolute.display());
        return Err(Error::new(Exit::Usage, message, "choose a folder elsewhere"));
    }
    Ok(absolute)
}

fn refuse_existing(path: &Path) -> Result<(), Error> {
    if path.symlink_metadata().is_ok() {
        let message = format!("DEST {} exists already", path.display());
        return Err(Error::new(Exit::Usage, message, "choose a new folder; a restore never overwrites anything"));
    }
    Ok(())
}
