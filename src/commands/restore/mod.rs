//! `ghbk restore`: a repository as it was, in a new folder, proven complete.

mod all;
mod build;
mod files;
mod push;

use std::sync::atomic::Ordering;

use chrono::Utc;
use tokio_util::sync::CancellationToken;

use self::build::{Job, build};
use self::push::{failed_push, push, target};
use super::point::{self, Point};
use super::{Context, open_store};
use crate::blocking::unblock;
use crate::cli::RestoreArgs;
use crate::error::{Error, Exit};
use crate::git::GitError;
use crate::git::pack::list::PackList;
use crate::moment::PointInTime;
use crate::report::progress::Copying;
use crate::report::restore::text;
use crate::signals::Signals;
use crate::store::Index;
use crate::terminal;

pub(super) async fn restore(context: &Context, arguments: RestoreArgs) -> Result<Exit, Error> {
    let zone = context.config.schedule.timezone;
    let point = match (&arguments.at, &arguments.run) {
        (Some(moment), _) => point::of_words(&PointInTime::At(moment.clone()), "--at", Utc::now(), zone)?,
        (None, Some(run)) => point::of_words(&PointInTime::Run(run.clone()), "--run", Utc::now(), zone)?,
        (None, None) => Point::Newest,
    };
    let cancel = CancellationToken::new();
    let signals = Signals::listen(cancel.clone())?;
    if let Some(folder) = arguments.all.clone() {
        return all::restore_all(context, arguments, &folder, point, (&signals, &cancel)).await;
    }
    let Some(wanted) = arguments.repository.clone() else {
        return Err(Error::new(Exit::Usage, "no repository is named", "`ghbk restore OWNER/REPO DEST`, or --all DIR"));
    };
    let config = context.config.clone();
    let copying = Copying::show(&context.bars, context.global.quiet, &format!("restoring {wanted}"));
    let copied = copying.counts();
    let target = match &arguments.push {
        Some(url) => Some(target(context, url).await?),
        None => None,
    };
    let (for_work, destination) = (cancel.clone(), arguments.destination.clone());
    let built = unblock(move || {
        let store = open_store(&config)?;
        let index = Index::current(&store)?;
        let kind = arguments.mirror.kind();
        let packs = index.find(&wanted).first().and_then(|(_, mirror)| mirror.held.get(&kind)?.packs.as_ref());
        copied.total_bytes.store(packs.map_or(0, PackList::bytes), Ordering::Relaxed);
        let job = Job {
            store: &store,
            index: &index,
            scratch: &config.store.scratch,
            wanted: &wanted,
            kind,
            point: &point,
            copied_bytes: &copied.bytes,
            is_one_of_many: false,
            destination: arguments.destination.as_deref(),
        };
        build(&job, job.candidates()?, &arguments, &for_work)
    })
    .await;
    let restored = match (built, target) {
        (Ok(built), Some(target)) => {
            copying.say(format!("sending it to {}", target.url));
            tokio::select! {
                pushed = push(context, built, target) => pushed,
                () = cancel.cancelled() => Err(failed_push(&GitError::Cancelled)),
            }
        }
        (built, _) => built.map(|built| built.report),
    };
    copying.clear();
    if let (Some(signal), Err(error)) = (signals.received(), &restored) {
        // Nobody should have to look up what is left.
        let left = match destination {
            Some(path) if !path.exists() => {
                format!("stopped: nothing was restored; {} does not exist\n", path.display())
            }
            _ => format!("stopped: {}\n", error.message()),
        };
        let _ = terminal::write(&mut std::io::stderr().lock(), &left);
        return Ok(Exit::Signal(signal));
    }
    let report = restored?;
    context.conclude(&report, report.is_complete(), || text(&report))?;
    Ok(if report.is_complete() { Exit::Good } else { Exit::Partial })
}
