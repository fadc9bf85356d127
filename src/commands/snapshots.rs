//! `ghbk snapshots`: the points in time that can be restored.

use super::point::kept_tips;
use super::{Context, open_store, point, print, print_json};
use crate::blocking::unblock;
use crate::cli::SnapshotsArgs;
use crate::error::{Error, Exit};
use crate::report::snapshots::{Repository, text};
use crate::store::Index;

pub(super) async fn snapshots(context: &Context, arguments: SnapshotsArgs) -> Result<Exit, Error> {
    let config = context.config.clone();
    let kind = arguments.mirror.kind();
    let (repositories, unreadable) = unblock(move || {
        let store = open_store(&config)?;
        let candidates =
            point::candidates(&store, &Index::current(&store)?, &config.store.scratch, (&arguments.repository, kind))?;
        let (mut repositories, mut unreadable) = (Vec::new(), Vec::new());
        for candidate in candidates {
            let (id, set_aside, gone) = (candidate.id, candidate.mirror.is_set_aside(), candidate.mirror.gone);
            let repository = kind.name_of(&candidate.mirror.full_name);
            let history_lost_at = candidate.mirror.history_lost_at.get(&kind).copied();
            let kept = kept_tips(&store.mirror_at(&candidate.mirror.place, kind));
            match candidate.into_history() {
                Ok(history) => {
                    let snapshots = history.snapshots;
                    repositories.push(Repository { repository, id, set_aside, gone, history_lost_at, snapshots, kept });
                }
                Err(error) => unreadable.push(error),
            }
        }
        Ok::<_, Error>((repositories, unreadable))
    })
    .await?;
    // If one repository cannot be read, another of the same name does not stand in for it.
    let mut unreadable = unreadable.into_iter();
    if repositories.is_empty()
        && let Some(error) = unreadable.next()
    {
        return Err(error);
    }
    if context.global.json {
        print_json(&repositories)?;
    } else {
        print(&text(&repositories))?;
    }
    unreadable.next().map_or(Ok(Exit::Good), Err)
}
