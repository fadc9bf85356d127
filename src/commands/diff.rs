//! `ghbk diff`: what changed between two points in time.

use chrono::Utc;

use super::point::{self, Chosen, Point};
use super::{Context, open_store, print, print_json};
use crate::blocking::unblock;
use crate::cli::DiffArgs;
use crate::config::Config;
use crate::error::{Error, Exit};
use crate::git::mirror::difference::differences;
use crate::git::mirror::snapshot::{Content, Snapshot, content};
use crate::git::refs::Refs;
use crate::mirrors::MirrorKind;
use crate::report::diff::{Diff, PointOf, text};
use crate::store::Index;
use crate::zone::shown_to_the_second;

pub(super) async fn diff(context: &Context, arguments: DiffArgs) -> Result<Exit, Error> {
    let config = context.config.clone();
    let diff = unblock(move || compare(&config, &arguments)).await?;
    if context.global.json {
        print_json(&diff)?;
    } else {
        print(&text(&diff))?;
    }
    Ok(Exit::Good)
}

fn compare(config: &Config, arguments: &DiffArgs) -> Result<Diff, Error> {
    let store = open_store(config)?;
    let (scratch, kind) = (&config.store.scratch, arguments.mirror.kind());
    let wanted = &arguments.repository.value;
    let (now, zone) = (Utc::now(), config.schedule.timezone);
    let index = Index::current(&store)?;
    let choose = |point: &Point| {
        let candidates = point::candidates(&store, &index, scratch, (wanted, kind))?;
        point::choose(&store, candidates, point, (wanted, kind))
    };
    let to = choose(&point::of_words(&arguments.to, "TO", now, zone)?)?;
    let earlier = match &arguments.from {
        Some(from) => Some(choose(&point::of_words(from, "FROM", now, zone)?)?),
        None => None,
    };
    if let Some(earlier) = earlier.as_ref().filter(|earlier| earlier.id != to.id) {
        let message = format!(
            "two repositories had the name {wanted}, and these are points in time of both: ids {} and {}",
            earlier.id, to.id
        );
        return Err(Error::new(Exit::Usage, message, "name one of them by its id"));
    }
    if let Some(earlier) = earlier.as_ref().filter(|earlier| earlier.snapshot.time > to.snapshot.time) {
        let (from, to) = (shown_to_the_second(earlier.snapshot.time), shown_to_the_second(to.snapshot.time));
        return Err(Error::new(
            Exit::Usage,
            format!("FROM ({from}) is later than TO ({to})"),
            "name the earlier point first",
        ));
    }
    let name = kind.name_of(&to.mirror.full_name);
    let failed = |error: crate::git::GitError| {
        Error::new(Exit::Partial, format!("{name}: {error}"), error.hint_for(MirrorKind::split_name(&name).0))
    };
    let Chosen { id, view, snapshot: later, .. } = to;
    let from: Option<Snapshot> = match earlier {
        Some(earlier) => Some(earlier.snapshot),
        None => point::before(&view, &later).map_err(failed)?,
    };
    let before = from.as_ref().map(|from| content(view.objects(), from.oid)).transpose().map_err(failed)?;
    let after = content(view.objects(), later.oid).map_err(failed)?;
    let nothing = Refs::default();
    let refs = before.as_ref().map_or(&nothing, |before| &before.refs);
    let refs = differences(view.mirror(), scratch, refs, &after.refs).map_err(failed)?;
    let point_of = |snapshot: Snapshot, content: Content| PointOf {
        run_id: snapshot.run_id,
        time: snapshot.time,
        head: content.head,
    };
    Ok(Diff {
        from: from.zip(before).map(|(from, before)| point_of(from, before)),
        to: point_of(later, after),
        repository: name,
        id,
        refs,
    })
}
