//! `ghbk run`: one run, now.

use std::io::IsTerminal;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::status::last_failures;
use super::{Context, create_plain_root, list, named, open_store, print, require_owners};
use crate::backup::{Backup, back_up};
use crate::blocking::on_store;
use crate::cli::RunArgs;
use crate::clock::Clock;
use crate::error::{Error, Exit};
use crate::names::{FullName, RepositoryId};
use crate::outcome::{Failure, RunStatus, RunSummary, State, Trigger};
use crate::report::progress::{Bars, Lines};
use crate::report::summary;
use crate::run::Request;
use crate::secrets::{self, env_var};
use crate::signals::Signals;
use crate::store::{Index, IndexedMirror};

pub(super) async fn run(context: &Context, arguments: RunArgs) -> Result<Exit, Error> {
    if arguments.dry_run {
        return list::list(context, arguments.repositories).await;
    }
    let mut selection = named(context, arguments.repositories).await?;
    if let Some(instance) = &arguments.instance {
        let named = FullName::from_instance(instance, &context.config.github.owners).map_err(|error| {
            let hint = "systemctl start ghbk-now@OWNER-REPO for an owner of github.owners, ghbk-now@OWNER:REPO for any";
            Error::new(Exit::Usage, error.to_string(), hint)
        })?;
        selection.push(named);
    }
    if arguments.repair && selection.is_empty() {
        selection = damaged(context).await?;
        if selection.is_empty() {
            print("nothing to repair: no mirror is known to be damaged; `ghbk verify` looks for damage\n")?;
            return Ok(Exit::Good);
        }
    }
    if selection.is_empty() {
        require_owners(&context.config)?;
    }
    // A run that cannot even begin leaves no folder and no record. Parameter Store is asked once, by the run itself.
    if let Some(error) = secrets::nowhere_to_look(&context.config, &env_var).await {
        return Err(error.into());
    }
    create_plain_root(&context.config, context.global.root.is_some())?;
    let cancel = CancellationToken::new();
    let signals = Signals::listen(cancel.clone())?;
    let backup = Backup {
        config: Arc::clone(&context.config),
        request: Request {
            trigger: Trigger::Manual,
            selection,
            repair: arguments.repair,
            large_files: arguments.large_files,
        },
        cancel,
        clock: Clock::system(),
    };
    let summary = if std::io::stderr().is_terminal() && !context.global.quiet {
        let bars = Bars::new(context.bars.clone());
        let summary = back_up(&backup, &*bars).await;
        bars.clear();
        summary?
    } else {
        back_up(&backup, &Lines::default()).await?
    };
    context.conclude(&summary, summary.status == RunStatus::Ok && summary.warnings.is_empty(), || {
        summary::text(&summary)
    })?;
    Ok(exit_of(&summary, signals.received()))
}

/// Names the repositories whose mirrors are known to be damaged, by a verification or by the last run that looked at them; those
/// that GitHub no longer has cannot be fetched anew.
async fn damaged(context: &Context) -> Result<Vec<FullName>, Error> {
    let config = Arc::clone(&context.config);
    on_store(move || {
        let store = open_store(&config)?;
        let index = Index::current(&store)?;
        let mirrors = index.mirrors.into_iter().filter(|(_, it)| !it.gone && !it.is_set_aside());
        let repairable: Vec<(RepositoryId, IndexedMirror)> = mirrors.collect();
        let failed = repairable.iter().filter(|(_, it)| it.damage.is_none() && it.last_state == Some(State::Failed));
        let failures = last_failures(&store, failed.map(|(id, _)| *id).collect());
        let was_met =
            |id: &RepositoryId| failures.get(id).is_some_and(|failures| failures.iter().any(Failure::is_of_damage));
        let damaged = repairable.into_iter().filter(|(id, mirror)| mirror.damage.is_some() || was_met(id));
        let mut names: Vec<FullName> = damaged.map(|(_, mirror)| mirror.full_name).collect();
        names.sort_unstable();
        Ok(names)
    })
    .await
}

fn exit_of(summary: &RunSummary, signal: Option<u8>) -> Exit {
    match summary.status {
        RunStatus::Ok => Exit::Good,
        RunStatus::Partial => Exit::Partial,
        RunStatus::Failed | RunStatus::Unknown => Exit::Impossible,
        RunStatus::Cancelled => signal.map_or(Exit::Impossible, Exit::Signal),
    }
}
