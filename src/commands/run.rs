//! `ghbk run`: one run, now.

use std::io::IsTerminal;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::{Context, create_plain_root, print, print_json, require_owners};
use crate::backup::{Backup, back_up};
use crate::cli::RunArgs;
use crate::clock::Clock;
use crate::error::{Error, Exit};
use crate::names::FullName;
use crate::outcome::{RunStatus, RunSummary, Trigger};
use crate::report::progress::{Bars, Lines};
use crate::report::summary;
use crate::run::Request;
use crate::signals::Signals;

pub(super) async fn run(context: &Context, arguments: RunArgs) -> Result<Exit, Error> {
    let mut selection = arguments.repositories;
    if let Some(instance) = &arguments.instance {
        let named = FullName::from_instance(instance, &context.config.github.owners).map_err(|error| {
            let hint = "systemctl start ghbk-now@OWNER-REPO for an owner of github.owners, ghbk-now@OWNER:REPO for any";
            Error::new(Exit::Usage, error.to_string(), hint)
        })?;
        selection.push(named);
    }
    if selection.is_empty() {
        require_owners(&context.config)?;
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
    if context.global.json {
        print_json(&summary)?;
    } else {
        print(&summary::text(&summary))?;
    }
    Ok(exit_of(&summary, signals.received()))
}

fn exit_of(summary: &RunSummary, signal: Option<u8>) -> Exit {
    match summary.status {
        RunStatus::Ok => Exit::Good,
        RunStatus::Partial => Exit::Partial,
        RunStatus::Failed | RunStatus::Unknown => Exit::Impossible,
        RunStatus::Cancelled => signal.map_or(Exit::Impossible, Exit::Signal),
    }
}
