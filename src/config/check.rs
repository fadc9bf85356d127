//! What a configuration may not say, though every key in it is right.

use std::str::FromStr;

use bytesize::ByteSize;

use super::load::Document;
use super::problem::ConfigProblem;
use super::{AuthKind, Config, GitHubConfig};
use crate::names;

/// Checks what the types cannot: values that only mean something together or that others must parse.
pub(super) fn validate(config: &Config, document: &Document<'_>, problems: &mut Vec<ConfigProblem>) {
    let mut complain = |path: &str, message: String, suggestion: Option<&str>| {
        problems.push(ConfigProblem {
            place: document.place_of(path),
            message: format!("{path}: {message}"),
            suggestion: suggestion.map(str::to_owned),
        });
    };
    for owner in &config.github.owners {
        if owner.starts_with('@') {
            if !matches!(owner.as_str(), "@me" | "@installation") {
                complain("github.owners", format!("unknown owner {owner:?}"), Some("known: @me, @installation"));
            } else if owner == "@installation" && config.github.auth != AuthKind::App {
                complain("github.owners", "@installation needs a GitHub App".to_owned(), Some("set auth = \"app\""));
            }
        } else if let Err(error) = names::check_owner(owner) {
            complain("github.owners", error.to_string(), None);
        }
    }
    let GitHubConfig { include, exclude, refs_exclude, .. } = &config.github;
    let large_files = &config.large_files;
    for (path, globs) in [
        ("github.include", include),
        ("github.exclude", exclude),
        ("github.refs_exclude", refs_exclude),
        ("large_files.include", &large_files.include),
        ("large_files.exclude", &large_files.exclude),
        ("metadata.include", &config.metadata.include),
        ("metadata.exclude", &config.metadata.exclude),
    ] {
        for glob in globs {
            if let Err(error) = globset::Glob::new(glob) {
                complain(path, error.to_string(), None);
            }
        }
    }
    if config.github.include.is_empty() {
        complain("github.include", "an empty list includes nothing".to_owned(), Some("leave it out to include all"));
    }
    if let Err(reason) = check_api_url(&config.github.api_url) {
        complain("github.api_url", reason, Some("as in https://api.github.com or https://HOST/api/v3"));
    }
    if config.github.auth == AuthKind::App {
        for (path, value) in
            [("github.app_id", config.github.app_id), ("github.installation_id", config.github.installation_id)]
        {
            if value.is_none() {
                complain(path, "is needed with auth = \"app\"".to_owned(), None);
            }
        }
    }
    if let Err(error) = crate::schedule::Schedule::new(&config.schedule.cron, config.schedule.timezone) {
        complain("schedule.cron", error.to_string(), Some("as in crontab, \"0 5 * * Sun\", or \"@weekly\""));
    }
    let secrets = &config.secrets;
    for (path, name) in [
        ("secrets.github_token", &secrets.github_token),
        ("secrets.slack_webhook_url", &secrets.slack_webhook_url),
        ("secrets.github_app_key", &secrets.github_app_key),
    ] {
        let secret_beginnings = ["ghp_", "gho_", "ghs_", "github_pat_", "-----BEGIN", "http"];
        if name.is_empty() || secret_beginnings.iter().any(|beginning| name.starts_with(beginning)) {
            let suggestion = "a secret itself goes to Parameter Store, the environment or a file: `ghbk man config`";
            complain(path, "is the name of a secret, not its value".to_owned(), Some(suggestion));
        }
    }
    if config.store.root.as_os_str().is_empty() {
        complain("store.root", "is empty".to_owned(), None);
    }
    check_numbers(config, &mut complain);
}

/// Checks that numbers make sense.
fn check_numbers(config: &Config, complain: &mut dyn FnMut(&str, String, Option<&str>)) {
    let limits = &config.limits;
    for (path, is_zero) in [
        ("limits.concurrency", limits.concurrency == 0),
        ("limits.api_requests_per_minute", limits.api_requests_per_minute == 0),
        ("limits.git_operations_per_minute", limits.git_operations_per_minute == Some(0)),
        ("limits.repository_timeout", limits.repository_timeout.is_zero()),
        ("limits.large_file_downloads", limits.large_file_downloads == 0),
        ("limits.large_files_timeout", limits.large_files_timeout.is_zero()),
        ("limits.stall_timeout", limits.stall_timeout.is_zero()),
        ("metadata.full_every", config.metadata.full_every.is_zero()),
        ("metadata.timeout", config.metadata.timeout.is_zero()),
        ("verify.full_every", config.verify.full_every.is_zero()),
    ] {
        if is_zero {
            complain(path, "must be more than 0".to_owned(), None);
        }
    }
    if config.store.packs_max < MIN_PACKS {
        complain("store.packs_max", format!("must be at least {MIN_PACKS}"), Some("merging takes time, too"));
    }
    if config.retention.keep.is_some_and(|keep| keep < MIN_RETENTION) {
        complain(
            "retention.keep",
            "must be at least a week".to_owned(),
            Some("a force push may be noticed late; leave it out to keep everything"),
        );
    }
    if limits.concurrency > MAX_CONCURRENCY {
        let reason = format!("must be at most {MAX_CONCURRENCY}");
        complain("limits.concurrency", reason, Some("GitHub allows 100 requests at once"));
    }
    if limits.large_file_downloads > MAX_DOWNLOADS {
        let reason = format!("must be at most {MAX_DOWNLOADS}");
        complain("limits.large_file_downloads", reason, Some("each has a connection and a thread of its own"));
    }
    if limits.memory.is_some_and(|memory| memory < MIN_MEMORY) {
        complain("limits.memory", format!("must be at least {MIN_MEMORY}"), Some("bytes, as in \"2GiB\""));
    }
    if limits.bandwidth.is_some_and(|rate| rate.as_u64() < MIN_BANDWIDTH_BYTES_PER_SECOND) {
        complain("limits.bandwidth", "must be at least 16KiB".to_owned(), Some("bytes a second, as in \"50MiB\""));
    }
    for (key, size) in [("limits.repository_size", limits.repository_size), ("limits.object_size", limits.object_size)]
    {
        if size < MIN_SIZE {
            complain(key, format!("must be at least {MIN_SIZE}"), Some("bytes, as in \"20GiB\""));
        }
    }
}

/// GitHub's secondary limit is 100 concurrent requests for REST and git together.
pub(super) const MAX_CONCURRENCY: usize = 64;

/// More would take memory and threads, and be no faster.
pub(super) const MAX_DOWNLOADS: usize = 128;

/// Less would unpack nothing.
pub(super) const MIN_MEMORY: ByteSize = ByteSize::mib(64);

/// Less would refuse ordinary repositories.
pub(super) const MIN_SIZE: ByteSize = ByteSize::mib(1);

/// Less would let a single network read outlast the stall timeout.
pub(super) const MIN_BANDWIDTH_BYTES_PER_SECOND: u64 = 16 * 1024;

/// Fewer would be merged again in every run.
pub(super) const MIN_PACKS: usize = 4;

/// What is dropped sooner than the next weekly run was never worth keeping.
pub(super) const MIN_RETENTION: std::time::Duration = std::time::Duration::from_hours(7 * 24);

pub(super) fn check_api_url(text: &str) -> Result<(), String> {
    let url = url::Url::from_str(text).map_err(|error| error.to_string())?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err("holds a user name or password; the token is a secret of its own".to_owned());
    }
    check_server_url(&url)
}

/// Says whether a token may be sent to an address: over TLS, or to this machine.
///
/// # Errors
/// The reason why not.
pub fn check_server_url(url: &url::Url) -> Result<(), String> {
    let loopback = match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => return Err("names no host".to_owned()),
    };
    match url.scheme() {
        "https" => Ok(()),
        "http" if loopback => Ok(()),
        "http" => Err("would send the token in clear; use https".to_owned()),
        other => Err(format!("{other} is not a scheme ghbk speaks")),
    }
}
