//! `ghbk snapshots`: the points in time that can be restored.

use super::{Context, open_store, point, print, print_json};
use crate::blocking::unblock;
use crate::cli::SnapshotsArgs;
use crate::error::{Error, Exit};
use crate::report::snapshots::{Repository, text};
use crate::store::MirrorKind;

pub(super) async fn snapshots(context: &Context, arguments: SnapshotsArgs) -> Result<Exit, Error> {
    let config = context.config.clone();
    let kind = if arguments.wiki { MirrorKind::Wiki } else { MirrorKind::Code };
    let repositories: Vec<Repository> = unblock(move || {
        let candidates = point::candidates(&open_store(&config)?, &config.store.scratch, &arguments.repository, kind)?;
        let repositories = candidates.into_iter().map(|candidate| Repository {
            repository: kind.name_of(&candidate.mirror.full_name),
            id: candidate.id,
            set_aside: candidate.mirror.is_set_aside(),
            gone: candidate.mirror.gone,
            snapshots: candidate.snapshots,
        });
        Ok(repositories.collect())
    })
    .await?;
    if context.global.json {
        print_json(&repositories)?;
    } else {
        print(&text(&repositories))?;
    }
    Ok(Exit::Good)
}
