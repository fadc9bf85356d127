//! One backup from secrets to report: what `ghbk run` does once and the daemon does on its schedule.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use tokio_util::sync::CancellationToken;

use crate::blocking::on_store;
use crate::clock::Clock;
use crate::config::{Config, Notify};
use crate::error::{Error, Exit};
use crate::github::{GitHubError, http_client};
use crate::logging::JOURNAL;
use crate::names::RunId;
use crate::outcome::{Failure, Happened, RunEnd, RunHeader, RunStatus, RunSummary, Stage, Trigger};
use crate::outside::Outside;
use crate::report::slack as slack_report;
use crate::run::{Progress, Request, Session};
use crate::secrets::{self, Secrets, env_var};
use crate::slack;

/// What a backup needs to know.
#[derive(Debug)]
pub struct Backup {
    /// The configuration.
    pub config: Arc<Config>,
    /// What to back up and who asked.
    pub request: Request,
    /// Ends it early.
    pub cancel: CancellationToken,
    /// The clock for every time that is written down.
    pub clock: Clock,
}

/// Backs up, records, and reports to Slack. Whatever can be recorded is a summary, not an error.
///
/// # Errors
/// [`Error`] if the store cannot be used or a run is under way.
pub async fn back_up(backup: &Backup, progress: &dyn Progress) -> Result<RunSummary, Error> {
    back_up_quietly(backup, progress, |_| true).await
}

/// Like [`back_up`], but Slack hears only of what is worth a message.
///
/// # Errors
/// As [`back_up`].
pub async fn back_up_quietly(
    backup: &Backup,
    progress: &dyn Progress,
    is_worth_telling: impl Fn(&RunSummary) -> bool,
) -> Result<RunSummary, Error> {
    let config = &backup.config;
    let started_at = backup.clock.now();
    let (for_session, request, clock) = (Arc::clone(config), backup.request.clone(), backup.clock.clone());
    let cancel = backup.cancel.clone();
    let for_client = Arc::clone(config);
    // None of these needs another, and each waits: for the store, for Parameter Store, for the certificates on disk.
    let (session, secrets, http) = tokio::join!(
        on_store(move || Session::begin_unproven(for_session, request, clock, &cancel)),
        secrets::read(config, &env_var),
        tokio::task::spawn_blocking(move || http_client(&for_client.github, for_client.limits.stall_timeout)),
    );
    let session = match session {
        Err(error) if error.exit() == Exit::Busy => return Err(error),
        session => session,
    };
    let http = http.unwrap_or_else(|error| Err(GitHubError::Setup(error.to_string())));
    let result = match session {
        Ok(session) => run_session(session, backup, &secrets, http.clone(), progress).await,
        Err(error) => Err(error),
    };
    // What cannot be recorded on the store must be reported all the more.
    let (mut summary, error) = match result {
        Ok(summary) => (summary, None),
        Err(error) => (unrecorded(backup, started_at, &error), Some(error)),
    };
    if let Ok(http) = http
        && is_worth_telling(&summary)
    {
        report_to_slack(config, &http, &secrets, &mut summary).await;
    }
    let (failed, failures) = (summary.counts.failed, summary.counts.failures);
    tracing::info!(target: JOURNAL, run_id = %summary.run_id, status = %summary.status, failed, failures, "run finished");
    error.map_or(Ok(summary), Err)
}

async fn run_session(
    session: Session,
    backup: &Backup,
    secrets: &Secrets,
    http: Result<reqwest::Client, GitHubError>,
    progress: &dyn Progress,
) -> Result<RunSummary, Error> {
    tracing::info!(target: JOURNAL, run_id = %session.run_id(), "run started");
    let secret = match &secrets.github {
        Ok(secret) => secret,
        Err(error) => return Ok(session.fail(setup_failure("secrets", &error.to_string(), &error.hint()))?),
    };
    let outside = http.and_then(|http| Outside::new(&backup.config, secret, http));
    Ok(match outside {
        Ok(outside) => session.execute(&outside, &backup.cancel, progress).await?,
        Err(error) => session.fail(setup_failure("github", &error.to_string(), error.hint()))?,
    })
}

/// Sums up a run that has no record.
fn unrecorded(backup: &Backup, started_at: DateTime<Utc>, error: &Error) -> RunSummary {
    let run = RunHeader {
        run_id: RunId::at(started_at),
        trigger: backup.request.trigger,
        selection: backup.request.selection.clone(),
        is_narrowed: backup.config.is_narrowed,
        started_at,
    };
    let failures = vec![setup_failure("store", error.message(), error.hint())];
    let happened = Happened { failures, ..Happened::default() };
    RunSummary::new(run, RunEnd::Stopped, backup.clock.now(), happened)
}

fn setup_failure(what: &str, error: &str, hint: &str) -> Failure {
    Failure { repository: what.to_owned(), stage: Stage::Setup, error: error.to_owned(), hint: hint.to_owned() }
}

/// Sends the report. A failure of Slack is logged and reported, and fails no backup.
async fn report_to_slack(config: &Config, http: &reqwest::Client, secrets: &Secrets, summary: &mut RunSummary) {
    let wanted = match config.slack.notify {
        Some(Notify::Never) => false,
        // People who have heard of the failure also hear of its end.
        Some(Notify::Failure) if summary.trigger == Trigger::Retry => true,
        Some(Notify::Failure) => summary.status != RunStatus::Ok || !summary.warnings.is_empty(),
        Some(Notify::Always) | None => true,
    };
    if !wanted {
        return;
    }
    let webhook_url = match &secrets.slack_webhook_url {
        Ok(Some(url)) => url,
        Ok(None) => return,
        Err(error) => {
            tracing::warn!(hint = %error.hint(), "no report to Slack: {error}");
            return;
        }
    };
    match slack::send(http, webhook_url, &slack_report::message(summary)).await {
        Ok(()) => tracing::info!("report sent to Slack"),
        Err(error) => {
            tracing::error!(%error, "no report to Slack");
            summary.warnings.push(format!("the report did not reach Slack: {error}"));
        }
    }
}
