//! `ghbk export`: the stored issues and pull requests, as files in a new folder.

use std::path::{Path, PathBuf};

use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::Context;
use super::destination::{Parents, check_destination, refuse_existing};
use super::show::source::{Source, point};
use crate::blocking::unblock;
use crate::cli::{ExportArgs, ExportFormat};
use crate::config::Config;
use crate::disk::sync_file_system;
use crate::error::{Error, Exit};
use crate::export::{Exported, Form, Origin, export as write_all};
use crate::git::GitError;
use crate::git::wire::server::{git_base, host_of_base};
use crate::report::count;
use crate::scratch::{self, Scratch};
use crate::signals::Signals;
use crate::terminal;
use crate::text::{printable, quoted};
use crate::zone::shown_to_the_second;

/// How many lost numbers are named; of the others, only how many there are is said.
const LOST_SHOWN: usize = 20;

/// What `ghbk export --json` prints; a contract with scripts.
#[derive(Debug, Serialize)]
struct Report {
    repository: String,
    /// When GitHub was asked.
    time: chrono::DateTime<chrono::Utc>,
    destination: PathBuf,
    #[serde(flatten)]
    exported: Exported,
}

pub(super) async fn export(context: &Context, arguments: ExportArgs) -> Result<Exit, Error> {
    let cancel = CancellationToken::new();
    let signals = Signals::listen(cancel.clone())?;
    let (config, format, destination) = (context.config.clone(), arguments.format, arguments.destination.clone());
    let written = unblock(move || write(&config, &arguments, &cancel)).await;
    if let (Some(signal), Err(_)) = (signals.received(), &written) {
        let left = format!("stopped: nothing was exported; {} does not exist\n", destination.display());
        let _ = terminal::write(&mut std::io::stderr().lock(), &left);
        return Ok(Exit::Signal(signal));
    }
    let report = written?;
    let is_complete = report.exported.lost.is_empty();
    context.conclude(&report, is_complete, || text(&report, format))?;
    Ok(if is_complete { Exit::Good } else { Exit::Partial })
}

fn text(report: &Report, format: ExportFormat) -> String {
    let Report { repository, time, destination, exported } = report;
    let issues = count(exported.issues, "issue", "issues");
    let pull_requests = count(exported.pull_requests, "pull request", "pull requests");
    let mark = if exported.lost.is_empty() { "complete" } else { "incomplete" };
    let mut out =
        format!("{mark}: {issues} and {pull_requests} of {repository}, as stored {}\n", shown_to_the_second(*time));
    for lost in exported.lost.iter().take(LOST_SHOWN) {
        out.push_str(&format!("  damaged: {}\n", printable(lost, 300)));
    }
    if exported.lost.len() > LOST_SHOWN {
        out.push_str(&format!("  and {} more\n", exported.lost.len() - LOST_SHOWN));
    }
    let first = match format {
        ExportFormat::Html => "index.html",
        ExportFormat::Markdown => "index.md",
        ExportFormat::Jsonl => "issues.jsonl",
    };
    out.push_str(&format!("begin with {}\n", quoted(&destination.join(first))));
    out
}

/// Builds the files beside the destination, and makes them visible when all are there.
fn write(config: &Config, arguments: &ExportArgs, cancel: &CancellationToken) -> Result<Report, Error> {
    let source = Source::open(config, &arguments.repository, &point(config, arguments.at.as_ref())?)?;
    let destination = check_destination(&source.store, &arguments.destination)?;
    let parent = destination.parent().unwrap_or(Path::new("/"));
    let failed = |error: std::io::Error| {
        Error::new(Exit::Impossible, format!("cannot write to {}: {error}", parent.display()), "choose another DIR")
    };
    let parents = Parents::make(parent).map_err(failed)?;
    scratch::sweep(parent);
    let staging = Scratch::create_hidden(parent).map_err(failed)?;
    // The temporary folder is for its owner alone; what is exported has the permissions that `store.mode` gives.
    let building = staging.path().join("export");
    std::fs::create_dir(&building).map_err(failed)?;
    let form = match arguments.format {
        ExportFormat::Html => Form::Html,
        ExportFormat::Markdown => Form::Markdown,
        ExportFormat::Jsonl => Form::JsonLines,
    };
    let host = host(config);
    let origin = Origin { name: &source.name, host: &host, state: &source.state };
    let exported = write_all(&source.reader, &origin, form, &building, cancel).map_err(|error| match error {
        GitError::Disk(error) => Error::new(Exit::Impossible, error.to_string(), error.hint()),
        GitError::Cancelled => Error::new(Exit::Impossible, "the export was stopped", "run it again"),
        error => source.failed(&error),
    })?;
    // Only then does a file system say what it could not write.
    sync_file_system(&building).map_err(failed)?;
    refuse_existing(&destination)?;
    std::fs::rename(&building, &destination).map_err(failed)?;
    parents.keep();
    Ok(Report { repository: source.name, time: source.state.time, destination, exported })
}

/// Returns the host to which links of the configured GitHub lead.
fn host(config: &Config) -> String {
    // The configuration check has already read it.
    let base = config.github.api_url.parse().map(|url| git_base(&url));
    base.map_or_else(|_| "github.com".to_owned(), |base| host_of_base(&base).to_owned())
}
