//! `ghbk restore --all`: every repository and wiki of the store, each proven complete, in a new folder.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Instant;

use futures_util::StreamExt;
use tokio_util::sync::CancellationToken;

use super::build::{Job, build};
use crate::blocking::{on_store, unblock};
use crate::cli::RestoreArgs;
use crate::commands::destination::check_folder;
use crate::commands::point::{Candidate, Point};
use crate::commands::{Context, open_store};
use crate::error::{Error, Exit};
use crate::mirrors::MirrorKind;
use crate::names::{FullName, RepositoryId, Wanted};
use crate::report::progress::counting_bar;
use crate::report::restore_all::{NotRestored, RestoredAll};
use crate::signals::Signals;
use crate::store::{Index, IndexedMirror};

/// One mirror and where it goes.
struct One {
    id: RepositoryId,
    kind: MirrorKind,
    name: String,
    /// Its path below the folder.
    place: PathBuf,
}

pub(super) async fn restore_all(
    context: &Context,
    arguments: RestoreArgs,
    folder: &Path,
    point: Point,
    (signals, cancel): (&Signals, &CancellationToken),
) -> Result<Exit, Error> {
    let started = Instant::now();
    let config = Arc::clone(&context.config);
    let (store, index) = on_store(move || {
        let store = open_store(&config)?;
        let index = Index::current(&store)?;
        Ok((store, index))
    })
    .await?;
    let folder = check_folder(&store, folder)?;
    let jobs = jobs(&index, arguments.checkout);
    if jobs.is_empty() {
        let message = format!("there is no mirror in {}", store.root().display());
        return Err(Error::new(Exit::Impossible, message, "check store.root or --root"));
    }
    let bar = counting_bar(&context.bars, context.global.quiet, jobs.len() as u64, "repositories and wikis");
    let mut all = RestoredAll::new(folder.clone());
    let (index, arguments, point) = (Arc::new(index), Arc::new(arguments), Arc::new(point));
    let parallel = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let planned = jobs.len();
    let restored = futures_util::stream::iter(jobs)
        .take_until(cancel.cancelled())
        .map(|one| {
            let (store, index, arguments, point) = (store.clone(), index.clone(), arguments.clone(), point.clone());
            let (config, cancel, destination) = (context.config.clone(), cancel.clone(), folder.join(&one.place));
            let (bar, wanted, kind) = (bar.clone(), Wanted::Id(one.id), one.kind);
            async move {
                bar.set_message(one.name.clone());
                let result = unblock(move || {
                    let scratch = &config.store.scratch;
                    let (store, index, point) = (&store, &*index, &*point);
                    let (destination, copied_bytes) = (Some(destination.as_path()), &AtomicU64::new(0));
                    let job = Job { store, index, scratch, wanted: &wanted, kind, point, copied_bytes, destination };
                    let candidates = job.candidates()?;
                    if is_before_all(point, &candidates) {
                        return Ok(None);
                    }
                    build(&job, candidates, &arguments, &cancel).map(|built| Some(built.report))
                });
                let result = result.await;
                bar.inc(1);
                (one, result)
            }
        })
        .buffer_unordered(parallel);
    tokio::pin!(restored);
    while let Some((one, result)) = restored.next().await {
        match result {
            Ok(Some(report)) => all.restored.push(report),
            Ok(None) => all.not_yet.push(one.name),
            Err(_) if cancel.is_cancelled() => {}
            Err(error) => all.failed.push(NotRestored {
                repository: one.name,
                error: error.message().to_owned(),
                hint: error.hint().to_owned(),
            }),
        }
    }
    bar.finish_and_clear();
    all.finish(planned as u64, started.elapsed());
    context.conclude(&all, all.is_complete(), || all.text())?;
    Ok(match signals.received() {
        Some(signal) => Exit::Signal(signal),
        None if all.is_complete() => Exit::Good,
        None => Exit::Partial,
    })
}

/// Lists every mirror by name, and gives each a folder of its own.
fn jobs(index: &Index, is_checkout: bool) -> Vec<One> {
    let mut mirrors: Vec<(&RepositoryId, &IndexedMirror)> = index.mirrors.iter().collect();
    mirrors.sort_by(|a, b| (&a.1.full_name, a.0).cmp(&(&b.1.full_name, b.0)));
    let one = |(id, mirror): (&RepositoryId, &IndexedMirror), kind: MirrorKind| {
        let name = kind.name_of(&mirror.full_name);
        // The name belongs to another repository now.
        let attic = if mirror.is_set_aside() { format!(".id-{id}") } else { String::new() };
        let git = if is_checkout { "" } else { ".git" };
        let (owner, repository): (&FullName, _) = (&mirror.full_name, name.rsplit('/').next().unwrap_or(&name));
        let place = Path::new(owner.owner()).join(format!("{repository}{attic}{git}"));
        One { id: *id, kind, name: name.clone(), place }
    };
    mirrors.into_iter().flat_map(|it| it.1.kinds().into_iter().map(move |kind| one(it, kind))).collect()
}

/// Returns whether a repository was first seen after a point in time; one that cannot be read may have been there.
fn is_before_all(point: &Point, candidates: &[Candidate]) -> bool {
    let Point::At(at) = point else { return false };
    let is_later = |candidate: &Candidate| {
        candidate.is_whole() && candidate.snapshots().iter().all(|snapshot| snapshot.time > *at)
    };
    candidates.iter().all(is_later)
}
