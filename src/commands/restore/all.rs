//! `ghbk restore --all`: every mirror of the store, each proven complete, in a new folder.
//!
//! What a newcomer would get wrong: the index lists the mirrors that are there. A mirror that is missing or cannot be read is in no
//! list of mirrors, and "everything was restored" must not be said without it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Instant;

use chrono::{DateTime, Utc};
use futures_util::StreamExt;
use tokio_util::sync::CancellationToken;

use super::build::{Job, build};
use crate::blocking::unblock;
use crate::cli::RestoreArgs;
use crate::commands::destination::check_folder;
use crate::commands::point::{Candidate, Point};
use crate::commands::{Context, open_store};
use crate::config::Config;
use crate::disk::{free_bytes, sync_file_system};
use crate::error::{Error, Exit};
use crate::mirrors::MirrorKind;
use crate::names::{RepositoryId, Wanted};
use crate::report::progress::counting_bar;
use crate::report::restore::Report;
use crate::report::restore_all::{NotRestored, RestoredAll};
use crate::scratch;
use crate::signals::Signals;
use crate::store::{Index, IndexedMirror, Store, recorded_names};
use crate::text::size;
use crate::zone::shown_to_the_second;

/// One mirror and where it goes.
struct One {
    id: RepositoryId,
    kind: MirrorKind,
    name: String,
    /// Below the folder.
    place: PathBuf,
}

/// What came of one mirror.
enum Came {
    Restored(Box<Report>),
    /// Its first point in time is later than the one that is wanted.
    NotYet(DateTime<Utc>),
}

pub(super) async fn restore_all(
    context: &Context,
    arguments: RestoreArgs,
    folder: &Path,
    point: Point,
    (signals, cancel): (&Signals, &CancellationToken),
) -> Result<Exit, Error> {
    let started = Instant::now();
    let (config, wanted) = (Arc::clone(&context.config), folder.to_owned());
    let is_checkout = arguments.checkout;
    let (store, index, folder, jobs, failed) = unblock(move || prepare(&config, &wanted, is_checkout)).await?;
    let bar = counting_bar(&context.bars, context.global.quiet, jobs.len() as u64, "mirrors");
    let mut all = RestoredAll::new(folder.clone());
    all.failed = failed;
    let planned: Vec<String> = jobs.iter().map(|one| one.name.clone()).collect();
    let (index, arguments, point) = (Arc::new(index), Arc::new(arguments), Arc::new(point));
    let parallel = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    // Of what fails for want of room or rights, the next would fail, too.
    let hopeless = cancel.child_token();
    let restored = futures_util::stream::iter(jobs)
        .take_until(hopeless.cancelled())
        .map(|one| {
            let (store, index, arguments, point) = (store.clone(), index.clone(), arguments.clone(), point.clone());
            let (config, cancel, destination) = (context.config.clone(), cancel.clone(), folder.join(&one.place));
            let (bar, wanted, kind) = (bar.clone(), Wanted::Id(one.id), one.kind);
            async move {
                bar.set_message(one.name.clone());
                let result = unblock(move || {
                    let job = Job {
                        store: &store,
                        index: &index,
                        scratch: &config.store.scratch,
                        wanted: &wanted,
                        kind,
                        point: &point,
                        copied_bytes: &AtomicU64::new(0),
                        is_one_of_many: true,
                        destination: Some(&destination),
                    };
                    let candidates = job.candidates()?;
                    if let Some(first) = first_after(&point, &candidates) {
                        return Ok(Came::NotYet(first));
                    }
                    build(&job, candidates, &arguments, &cancel).map(|built| Came::Restored(Box::new(built.report)))
                });
                let result = result.await;
                bar.inc(1);
                (one, result)
            }
        })
        .buffer_unordered(parallel);
    tokio::pin!(restored);
    let (mut first_of_all, mut hopeless_error) = (None, None);
    while let Some((one, result)) = restored.next().await {
        match result {
            Ok(Came::Restored(mut report)) => {
                report.named = one.name;
                all.restored.push(*report);
            }
            Ok(Came::NotYet(first)) => {
                first_of_all = Some(first_of_all.map_or(first, |known: DateTime<Utc>| known.min(first)));
                all.not_yet.push(one.name);
            }
            Err(_) if cancel.is_cancelled() => {}
            Err(error) => {
                if error.exit() == Exit::Impossible {
                    hopeless.cancel();
                    hopeless_error.get_or_insert_with(|| error.clone());
                }
                all.failed.push(not_restored(one, &error));
            }
        }
    }
    bar.finish_and_clear();
    if let Some(first) = first_of_all.filter(|_| all.restored.is_empty() && all.failed.is_empty()) {
        let message =
            format!("there was no repository at that time; the first point in time is {}", shown_to_the_second(first));
        return Err(Error::new(Exit::Usage, message, "choose a later --at"));
    }
    let synced = folder.clone();
    unblock(move || {
        sync_file_system(&synced).map_err(|error| {
            let message = format!("{}: not everything reached the disk: {error}", synced.display());
            Error::new(
                Exit::Impossible,
                message,
                "free space there, or choose another DIR; nothing that is there is proven",
            )
        })
    })
    .await?;
    all.finish(planned, started.elapsed());
    context.conclude(&all, all.is_complete(), || all.text())?;
    Ok(match (signals.received(), hopeless_error) {
        (Some(signal), _) => Exit::Signal(signal),
        (None, Some(_)) if all.restored.is_empty() => Exit::Impossible,
        (None, _) if all.is_complete() => Exit::Good,
        (None, _) => Exit::Partial,
    })
}

/// What there is to restore, where to, and what is known not to be there.
type Prepared = (Store, Index, PathBuf, Vec<One>, Vec<NotRestored>);

/// Looks at the store and the destination, and makes the folders of the owners. Blocking.
fn prepare(config: &Config, folder: &Path, is_checkout: bool) -> Result<Prepared, Error> {
    let store = open_store(config)?;
    let index = Index::current(&store)?;
    let folder = check_folder(&store, folder)?;
    let jobs = jobs(&index, is_checkout);
    let mut failed: Vec<NotRestored> = lost(&store, &index)?;
    failed.extend(index.unreadable.iter().map(|unreadable| NotRestored {
        id: unreadable.id,
        repository: unreadable.place.display().to_string(),
        error: unreadable.error.clone(),
        hint: unreadable.hint.clone(),
    }));
    if jobs.is_empty() && failed.is_empty() {
        let message = format!("there is no mirror in {}", store.root().display());
        return Err(Error::new(Exit::Impossible, message, "check store.root or --root"));
    }
    let cannot = |error: std::io::Error| {
        Error::new(Exit::Impossible, format!("cannot write to {}: {error}", folder.display()), "choose another DIR")
    };
    let owners: BTreeSet<&Path> = jobs.iter().filter_map(|one| one.place.parent()).collect();
    for owner in owners {
        std::fs::create_dir_all(folder.join(owner)).map_err(cannot)?;
        scratch::sweep(&folder.join(owner));
    }
    let needed = index.holdings().bytes;
    // A file system without an end says so with a large number.
    if let Some(free) = free_bytes(&folder).ok().filter(|free| *free < needed) {
        let message = format!("{} has {} free, and the store holds {}", folder.display(), size(free), size(needed));
        return Err(Error::new(Exit::Impossible, message, "choose a DIR with more room"));
    }
    Ok((store, index, folder, jobs, failed))
}

/// Names the mirrors that there were and that are missing.
fn lost(store: &Store, index: &Index) -> Result<Vec<NotRestored>, Error> {
    if index.lost.is_empty() {
        return Ok(Vec::new());
    }
    let names = recorded_names(store)?;
    let mut lost = Vec::new();
    for (id, mirrors) in &index.lost {
        for kind in mirrors.iter() {
            let name = names.get(id).map_or_else(|| format!("id {id}"), |name| kind.name_of(name));
            lost.push(NotRestored {
                id: Some(*id),
                repository: name,
                error: "its mirror is missing from the store".to_owned(),
                hint: format!(
                    "look for it in `.ghbk` and in the backups of the file system; if it was removed on purpose: \
                     `ghbk forget {id}{}`",
                    kind.option()
                ),
            });
        }
    }
    Ok(lost)
}

/// Says why a mirror is not restored; its name stands before the reason.
fn not_restored(one: One, error: &Error) -> NotRestored {
    let One { id, name, .. } = one;
    let reason = error.message().strip_prefix(&format!("{name}: ")).unwrap_or(error.message()).to_owned();
    NotRestored { id: Some(id), repository: name, error: reason, hint: error.hint().to_owned() }
}

/// Lists every mirror by name, and gives each a folder of its own.
fn jobs(index: &Index, is_checkout: bool) -> Vec<One> {
    let mut mirrors: Vec<(&RepositoryId, &IndexedMirror)> = index.mirrors.iter().collect();
    mirrors.sort_by(|a, b| (&a.1.full_name, a.0).cmp(&(&b.1.full_name, b.0)));
    let one = |(id, mirror): (&RepositoryId, &IndexedMirror), kind: MirrorKind| {
        let name = kind.name_of(&mirror.full_name);
        // The name is another's now.
        let attic = if mirror.is_set_aside() { format!(".id-{id}") } else { String::new() };
        // As they lie on the store; a working tree without `.git`.
        let suffix = if is_checkout { kind.suffix().trim_end_matches(".git") } else { kind.suffix() };
        let (stem, git) = match suffix.strip_suffix(".git") {
            Some(stem) => (stem, ".git"),
            None => (suffix, ""),
        };
        let repository = mirror.full_name.name();
        let place = Path::new(mirror.full_name.owner()).join(format!("{repository}{stem}{attic}{git}"));
        let name = if attic.is_empty() { name } else { format!("{name} (id {id})") };
        One { id: *id, kind, name, place }
    };
    mirrors.into_iter().flat_map(|it| it.1.kinds().into_iter().map(move |kind| one(it, kind))).collect()
}

/// Returns the first point in time of a repository that was first seen after the wanted one; what cannot be read may have been
/// there.
fn first_after(point: &Point, candidates: &[Candidate]) -> Option<DateTime<Utc>> {
    let Point::At(at) = point else { return None };
    if !candidates.iter().all(Candidate::is_whole) {
        return None;
    }
    let first = candidates.iter().flat_map(Candidate::snapshots).map(|snapshot| snapshot.time).min()?;
    (first > *at).then_some(first)
}
