//! `ghbk report-failure`: tells Slack that systemd gave up on a unit.

use super::load_config;
use crate::cli::GlobalArgs;
use crate::config::{Config, Notify};
use crate::error::{Error, Exit};
use crate::github::http_client;
use crate::logging::{self, LogFile, Verbosity};
use crate::report::slack as slack_report;
use crate::secrets::{self, env_var};
use crate::slack;

pub(super) async fn report_failure(global: &GlobalArgs, unit: &str) -> Result<Exit, Error> {
    // A wrong configuration may be the very reason; the default place of the secrets is then the best guess.
    let (config, problem) = match load_config(global) {
        Ok(config) => (config, None),
        Err(error) => (Config::default(), Some(error)),
    };
    let verbosity = Verbosity { verbose: global.verbose, quiet: global.quiet };
    logging::set_up(&config.log, verbosity, LogFile::IfPermitted, std::io::stderr)?;
    let monitor = |name: &str| env_var(&format!("MONITOR_{name}")).unwrap_or_default();
    let (result, code, status) = (monitor("SERVICE_RESULT"), monitor("EXIT_CODE"), monitor("EXIT_STATUS"));
    if unit.starts_with("ghbk-now") && code == "exited" && ["1", "3", "75"].contains(&status.as_str()) {
        tracing::info!(unit, status, "the run has reported to Slack itself, or another is under way");
        return Ok(Exit::Good);
    }
    if config.slack.notify == Some(Notify::Never) {
        tracing::warn!(unit, result, "a unit failed, and slack.notify is \"never\"");
        return Ok(Exit::Good);
    }
    let mut how = match (result.as_str(), code.as_str()) {
        ("", _) => "systemd gives no reason.".to_owned(),
        (_, "") => format!("Result: {result}."),
        _ => format!("Result: {result} ({code}, status {status})."),
    };
    if let Some(problem) = &problem {
        how.push_str(&format!(" The configuration is wrong: {}", problem.message()));
    }
    let failed =
        |what: &str, hint: &str| Error::new(Exit::Impossible, format!("{unit} failed; {what}"), hint.to_owned());
    let secrets = secrets::read(&config, &env_var).await;
    let webhook_url =
        secrets.slack_webhook_url.map_err(|error| failed(&format!("no report to Slack: {error}"), &error.hint()))?;
    let Some(webhook_url) = webhook_url else {
        return Err(failed("no report to Slack: no webhook is configured", "see `ghbk check`"));
    };
    let http = http_client(&config.github, config.limits.stall_timeout)
        .map_err(|error| failed(&error.to_string(), error.hint()))?;
    slack::send(&http, &webhook_url, &slack_report::unit_failed_message(unit, &how))
        .await
        .map_err(|error| failed(&error.to_string(), "see `ghbk check --slack`"))?;
    tracing::info!(unit, result, "reported to Slack that a unit failed");
    Ok(Exit::Good)
}
