//! `ghbk accept`: a person accepts that GitHub no longer has some large files.
//!
//! What a newcomer would get wrong: this gives up nothing. Every run goes on asking for them, and `ghbk status` goes on counting
//! them; only the warning ends.

use std::sync::Arc;

use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::{Context, find_mirrors, open_store, print, print_json};
use crate::blocking::{on_store, unblock};
use crate::cli::AcceptArgs;
use crate::clock::Clock;
use crate::error::{Error, Exit};
use crate::large_files::missing::Owed;
use crate::outcome::Trigger;
use crate::run::{Acceptance, Accepted, Request, Session};
use crate::store::Index;
use crate::text::{count, size};

/// What `ghbk accept --json` prints; a contract with scripts.
#[derive(Serialize)]
struct Report {
    repository: String,
    accepted: Vec<Owed>,
    left: Vec<Owed>,
}

pub(super) async fn accept(context: &Context, arguments: AcceptArgs) -> Result<Exit, Error> {
    let config = Arc::clone(&context.config);
    let wanted = arguments.repository.value;
    let mut found = unblock(move || {
        let store = open_store(&config)?;
        find_mirrors(&store, &Index::current(&store)?, &wanted)
    })
    .await?;
    let (id, mirror) = found.swap_remove(0);
    let request = Request {
        trigger: Trigger::Acceptance,
        selection: vec![mirror.full_name.clone()],
        repair: false,
        large_files: false,
    };
    let (config, files) = (Arc::clone(&context.config), arguments.files);
    let acceptance = on_store(move || {
        Session::begin(config, request, Clock::system(), &CancellationToken::new())?.accept(id, &files)
    })
    .await?;
    let Accepted { accepted, left, before, summary } = match acceptance {
        Acceptance::Done(accepted) => accepted,
        Acceptance::Refused { oid, is_missing } => {
            let message = format!("{}: large file {oid} cannot be accepted; nothing was changed", mirror.full_name);
            let hint = if is_missing {
                "only files that GitHub does not have, or that are kept elsewhere, can be accepted"
            } else {
                "it is not missing; without ids, `ghbk accept` accepts all that it can"
            };
            return Err(Error::new(Exit::Usage, message, hint));
        }
    };
    let report = Report { repository: mirror.full_name.to_string(), accepted, left };
    if context.global.json {
        print_json(&report)?;
    } else {
        print(&text(&report, before))?;
    }
    // Found while the store was checked, as at the start of every run.
    let failures = summary.map(|summary| summary.failures).unwrap_or_default();
    for failure in &failures {
        tracing::error!(repository = %failure.repository, hint = %failure.hint, "{}", failure.error);
    }
    Ok(if failures.is_empty() { Exit::Good } else { Exit::Partial })
}

fn text(report: &Report, before: u64) -> String {
    let Report { repository, accepted, left } = report;
    let mut out = match accepted.len() as u64 {
        0 if before > 0 => {
            let files = count(before, "missing large file", "missing large files");
            format!("nothing to accept: {files} of {repository} had been accepted before\n")
        }
        0 => format!("nothing to accept: no large file of {repository} is missing from GitHub\n"),
        number => format!(
            "accepted: {} of {repository}; runs still ask for them, but no longer warn\n",
            count(number, "missing large file", "missing large files")
        ),
    };
    for (what, files) in [("accepted", accepted), ("not accepted", left)] {
        for owed in files {
            let since = crate::zone::day(owed.since);
            let said = owed.said.as_deref().unwrap_or_else(|| owed.why.name());
            out.push_str(&format!("  {what}  {}  {}  since {since}: {said}\n", owed.oid, size(owed.size_bytes)));
        }
    }
    out
}
