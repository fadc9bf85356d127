//! `ghbk forget`: a person says that a mirror is missing on purpose.
//!
//! What a newcomer would get wrong: this removes nothing. It refuses while the mirror is there, and prints the command that
//! removes it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::finding::not_found;
use super::{Context, open_store, print, print_json};
use crate::blocking::on_store;
use crate::cli::ForgetArgs;
use crate::clock::Clock;
use crate::error::{Error, Exit};
use crate::mirrors::{MirrorKind, MirrorSet};
use crate::names::{FullName, RepositoryId, Wanted};
use crate::outcome::{RunSummary, Trigger};
use crate::run::{Forgetting, Request, Session};
use crate::store::{Forgotten, Index, recorded_names};
use crate::text::quoted;

pub(super) async fn forget(context: &Context, arguments: ForgetArgs) -> Result<Exit, Error> {
    let config = Arc::clone(&context.config);
    let (index, names) = on_store(move || {
        let store = open_store(&config)?;
        Ok((Index::current(&store)?, recorded_names(&store)?))
    })
    .await?;
    let (id, full_name) = find(&index, names, &arguments.repository)?;
    // Forgetting a repository forgets all of its mirrors.
    let parts = arguments.mirror.named().map_or_else(MirrorSet::all, MirrorSet::from);
    if let Some(kind) = arguments.mirror.named() {
        let is_known = index.mirrors.get(&id).is_some_and(|mirror| mirror.held.contains_key(&kind))
            || index.lost.get(&id).is_some_and(|lost| lost.contains(kind));
        if !is_known {
            let message = format!("the store neither has nor misses the {} of {full_name}", kind.label());
            return Err(Error::new(Exit::Usage, message, "`ghbk status` lists what it has and what is missing"));
        }
    }
    let forgotten = Forgotten { id, full_name, parts };
    let config = Arc::clone(&context.config);
    let request = Request {
        trigger: Trigger::Forget,
        selection: vec![forgotten.full_name.clone()],
        repair: false,
        large_files: false,
    };
    let for_session = forgotten.clone();
    let forgetting = on_store(move || {
        Session::begin(config, request, Clock::system(), &CancellationToken::new())?.forget(&for_session)
    })
    .await?;
    match forgetting {
        Forgetting::Done(summary) => tell(context, &forgotten, &summary),
        Forgetting::InPlace(folders) => Err(in_place(&forgotten, &arguments, &folders)),
    }
}

/// Finds the one repository that a person means, among those whose mirror is known or missed.
fn find(
    index: &Index,
    mut names: BTreeMap<RepositoryId, FullName>,
    wanted: &Wanted,
) -> Result<(RepositoryId, FullName), Error> {
    names.extend(index.mirrors.iter().map(|(id, mirror)| (*id, mirror.full_name.clone())));
    let known: BTreeSet<&RepositoryId> = index.mirrors.keys().chain(index.lost.keys()).collect();
    names.retain(|id, _| known.contains(id));
    names.retain(|id, name| match wanted {
        Wanted::Id(wanted) => wanted == id,
        Wanted::Name(wanted) => wanted.same_as(name),
    });
    let ids: Vec<String> = names.keys().map(ToString::to_string).collect();
    match (names.pop_first(), names.is_empty()) {
        (Some(found), true) => Ok(found),
        (Some((first, _)), false) => Err(Error::new(
            Exit::Usage,
            format!("the store knows several repositories of the name {wanted}: {}", ids.join(", ")),
            format!("name one by its id, such as `ghbk forget {first}`"),
        )),
        // The error names the nearest mirror, or the command that lists them.
        (None, _) => Err(not_found(index, wanted)),
    }
}

fn tell(context: &Context, forgotten: &Forgotten, summary: &RunSummary) -> Result<Exit, Error> {
    if context.global.json {
        print_json(forgotten)?;
    } else {
        let what = forgotten.parts.iter().next().map(MirrorKind::whose).unwrap_or_default();
        print(&format!(
            "forgotten: {what}{}; runs no longer report its mirror as missing; if GitHub still lists it, the next run makes a new one\n",
            forgotten.full_name
        ))?;
    }
    // Found while the store was checked, as at the start of every run.
    for failure in &summary.failures {
        tracing::error!(repository = %failure.repository, hint = %failure.hint, "{}", failure.error);
    }
    Ok(if summary.failures.is_empty() { Exit::Good } else { Exit::Partial })
}

/// Makes the error for a mirror that is still there, with the commands that change that.
fn in_place(forgotten: &Forgotten, arguments: &ForgetArgs, folders: &[impl AsRef<Path>]) -> Error {
    let paths: Vec<String> = folders.iter().map(|folder| quoted(folder.as_ref())).collect();
    let (paths, option) = (paths.join(" "), arguments.mirror.kind().option());
    Error::new(
        Exit::Usage,
        format!("the mirror of {} is still there: {paths}", forgotten.full_name),
        format!(
            "move it into this folder with `mv {paths} .`, or remove it for good with `rm -rf {paths}`; then `ghbk forget {}{option}` \
             again",
            forgotten.id
        ),
    )
}
