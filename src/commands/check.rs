//! `ghbk check`: everything that a run needs, one line each, with what is wrong and how to fix it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde::Serialize;
use tokio::task::spawn_blocking;

use super::status::health_of;
use super::{Context, open_store, print_json};
use crate::cli::CheckArgs;
use crate::config::{MetadataKind, Notify, StoreMode};
use crate::disk::free_bytes;
use crate::error::{Error, Exit};
use crate::github::{GitHubError, Known, Repository, http_client};
use crate::metadata::{self, Barrier};
use crate::names::FullName;
use crate::outside::{Outside, take_inventory};
use crate::report::slack as slack_report;
use crate::schedule::Schedule;
use crate::secrets::{self, Secrets, env_var};
use crate::slack;
use crate::store::{OWN_FOLDER, StoreError, host_of};
use crate::text::{count, quoted, size};

/// With less free space than this, in bytes, backups may soon fail.
const LITTLE_ROOM_BYTES: u64 = 1 << 30;

/// One line of the result.
#[derive(Debug, Serialize)]
struct Finding {
    item: &'static str,
    state: FindingState,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum FindingState {
    Ok,
    Warning,
    Failed,
}

impl Finding {
    fn ok(item: &'static str, detail: impl Into<String>) -> Self {
        Self { item, state: FindingState::Ok, detail: detail.into(), hint: None }
    }

    fn warning(item: &'static str, detail: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { item, state: FindingState::Warning, detail: detail.into(), hint: Some(hint.into()) }
    }

    fn failed(item: &'static str, detail: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { item, state: FindingState::Failed, detail: detail.into(), hint: Some(hint.into()) }
    }

    fn text(&self) -> String {
        let state = match self.state {
            FindingState::Ok => "ok",
            FindingState::Warning => "warning",
            FindingState::Failed => "FAILED",
        };
        let mut out = format!("{state:<8} {:<14} {}\n", self.item, self.detail);
        if let Some(hint) = &self.hint {
            let _ = writeln!(out, "{:<8} {:<14} hint: {hint}", "", "");
        }
        out
    }
}

/// What was found so far. Each line is printed at once, because GitHub may take long to answer, or not answer at all.
struct Findings<'a> {
    all: Vec<Finding>,
    context: &'a Context,
}

impl Findings<'_> {
    fn add(&mut self, findings: impl IntoIterator<Item = Finding>) -> Result<(), Error> {
        for finding in findings {
            if !self.context.global.json {
                self.context.conclude(&finding, finding.state == FindingState::Ok, || finding.text())?;
            }
            self.all.push(finding);
        }
        Ok(())
    }
}

pub(super) async fn check(context: &Context, arguments: &CheckArgs) -> Result<Exit, Error> {
    let config = &context.config;
    let mut findings = Findings { all: Vec::new(), context };
    findings.add([configuration(context), schedule(context)])?;
    findings.add([store(context).await])?;
    findings.add([scratch(context)])?;
    findings.add(backup(context).await)?;
    let secrets = secrets::read(config, &env_var).await;
    findings.add([match &secrets.github {
        Ok(_) => Finding::ok("secrets", "GitHub token found"),
        Err(error) => Finding::failed("secrets", error.to_string(), error.hint()),
    }])?;
    outside(context, &secrets, arguments.slack, &mut findings).await?;
    if context.global.json {
        print_json(&findings.all)?;
    }
    let failed = findings.all.iter().any(|finding| finding.state == FindingState::Failed);
    Ok(if failed { Exit::Impossible } else { Exit::Good })
}

fn configuration(context: &Context) -> Finding {
    let (path, _) = context.global.config_file();
    let origin = if path.exists() { path.display().to_string() } else { format!("no file ({})", path.display()) };
    let owners = &context.config.github.owners;
    if owners.is_empty() {
        let hint = "name organisations or users in github.owners, or with --owner";
        return Finding::warning("configuration", format!("{origin}; no owners"), hint);
    }
    Finding::ok("configuration", format!("{origin}; owners: {}", owners.join(", ")))
}

fn schedule(context: &Context) -> Finding {
    let schedule = &context.config.schedule;
    match Schedule::new(&schedule.cron, schedule.timezone) {
        Ok(parsed) => {
            let next = parsed.next_after(chrono::Utc::now());
            let next = next.map_or_else(|| "never".to_owned(), crate::zone::shown);
            Finding::ok("schedule", format!("{} {}; next: {next}", schedule.cron, schedule.timezone))
        }
        Err(error) => Finding::failed("schedule", error.to_string(), "as in crontab, \"0 5 * * Sun\", or \"@weekly\""),
    }
}

/// Writes a file, which is the only proof that files can be written, and removes it.
fn prove_writable(folder: &Path) -> io::Result<()> {
    let mut file = tempfile::Builder::new().prefix(".ghbk-check-").tempfile_in(folder)?;
    file.write_all(&[0; 4096])?;
    file.as_file().sync_all()
}

/// Describes how much room a folder's file system has, and says whether that is little; says nothing of one without a limit.
fn room(folder: &Path) -> (String, bool) {
    // EFS says 8 EiB.
    let bytes = free_bytes(folder).ok().filter(|bytes| *bytes < 1 << 60);
    bytes.map_or_else(Default::default, |bytes| (format!(", {} free", size(bytes)), bytes < LITTLE_ROOM_BYTES))
}

async fn store(context: &Context) -> Finding {
    let config = context.config.clone();
    let root = &context.config.store.root;
    if context.global.root.is_some() && !context.config.store.requires_mount() && !root.exists() {
        return Finding::ok("store", format!("{} does not exist yet; `ghbk run` creates it", root.display()));
    }
    let examined = spawn_blocking(move || {
        let store = open_store(&config)?;
        store.check_host(&host_of(&config.github.api_url))?;
        prove_writable(store.root()).map_err(StoreError::io("write to", store.root()))?;
        let rights = std::fs::metadata(store.root()).map_err(StoreError::io("examine", store.root()))?;
        Ok::<_, StoreError>((store.root().to_owned(), rights.permissions().mode()))
    });
    match examined.await {
        Ok(Ok((path, mode))) => {
            let root = path.display();
            let mounted = if context.config.store.requires_mount() { ", mounted" } else { "" };
            // Behind an access point everybody is one user, whatever the permissions say.
            let is_open = mode & 0o077 != 0 && context.config.store.mode == StoreMode::Private;
            if is_open && !context.config.store.requires_mount() {
                let is_own =
                    path.join(OWN_FOLDER).exists() || std::fs::read_dir(&path).is_ok_and(|mut it| it.next().is_none());
                let hint = if is_own {
                    format!("chmod -R go= {}, or set store.mode = \"umask\"", quoted(&path))
                } else {
                    format!(
                        "other things lie there, too: use a folder of its own, such as {}",
                        quoted(&path.join("ghbk"))
                    )
                };
                return Finding::warning("store", format!("{root}, writable, but other users may read it"), hint);
            }
            let (left, is_little) = room(&path);
            let detail = format!("{root}{mounted}, writable{left}");
            if is_little {
                return Finding::warning("store", detail, "free space on its file system, or enlarge it");
            }
            Finding::ok("store", detail)
        }
        Ok(Err(error)) => Finding::failed("store", error.to_string(), error.hint()),
        Err(error) => Finding::failed("store", error.to_string(), "please report this"),
    }
}

fn scratch(context: &Context) -> Finding {
    let folder = &context.config.store.scratch;
    let (left, is_little) = room(folder);
    let detail = format!("{}, writable{left}", folder.display());
    match prove_writable(folder) {
        Ok(()) if is_little => Finding::warning(
            "scratch",
            detail,
            "free space on its disk, or set store.scratch to a folder on another: the largest repository has to fit",
        ),
        Ok(()) => Finding::ok("scratch", detail),
        Err(error) => Finding::failed(
            "scratch",
            format!("cannot write to {}: {error}", folder.display()),
            "set store.scratch to a folder on local disk that ghbk may write to",
        ),
    }
}

/// Describes the state of the backup, once there is one.
async fn backup(context: &Context) -> Option<Finding> {
    let config = context.config.clone();
    let health = spawn_blocking(move || health_of(&open_store(&config)?));
    match health.await {
        Ok(Ok(Some(health))) if health.healthy => Some(Finding::ok("backup", health.line)),
        Ok(Ok(Some(health))) => Some(Finding::warning("backup", health.line, "`ghbk status` shows all of it")),
        // The line on the store says enough.
        Ok(Ok(None) | Err(_)) | Err(_) => None,
    }
}

/// Checks what needs the network.
async fn outside(context: &Context, secrets: &Secrets, send: bool, findings: &mut Findings<'_>) -> Result<(), Error> {
    let config = &context.config;
    let http = match http_client(&config.github, config.limits.stall_timeout) {
        Ok(http) => http,
        Err(error) => return findings.add([Finding::failed("network", error.to_string(), error.hint())]),
    };
    if let Ok(secret) = &secrets.github {
        match Outside::new(config, secret, http.clone()) {
            Ok(outside) => findings.add(github(context, &outside).await)?,
            Err(error) => findings.add([github_failure("github", &error)])?,
        }
    }
    findings.add([match &secrets.slack_webhook_url {
        _ if config.slack.notify == Some(Notify::Never) => {
            Finding::ok("slack", "no reports (slack.notify = \"never\")")
        }
        Ok(None) if send => {
            Finding::failed("slack", "no webhook is configured, so no message was sent", "set SLACK_WEBHOOK_URL")
        }
        Ok(None) => Finding::ok("slack", "no reports; set SLACK_WEBHOOK_URL to get them"),
        Err(error) => Finding::warning("slack", format!("no reports: {error}"), error.hint()),
        Ok(Some(_)) if !send => {
            Finding::ok("slack", "a webhook is configured; `ghbk check --slack` sends a test message")
        }
        Ok(Some(url)) => match slack::send(&http, url, &slack_report::test_message()).await {
            Ok(()) => Finding::ok("slack", "a test message was sent"),
            Err(error) => {
                Finding::failed("slack", error.to_string(), "make a new incoming webhook and store its address")
            }
        },
    }])
}

async fn github(context: &Context, outside: &Outside) -> Vec<Finding> {
    let mut findings = vec![match outside.github().identity().await {
        Ok(identity) => {
            let who = identity.login.unwrap_or_else(|| "the app's installation".to_owned());
            match identity.scopes.as_deref() {
                // Fine-grained tokens and apps have permissions instead of scopes; only the listing can tell.
                None | Some("") => Finding::ok("token", format!("accepted as {who}")),
                Some(scopes) if scopes.split(',').any(|scope| scope.trim() == "repo") => {
                    Finding::ok("token", format!("accepted as {who}, scopes: {scopes}"))
                }
                Some(scopes) => Finding::warning(
                    "token",
                    format!("accepted as {who}, scopes: {scopes}"),
                    "a classic token needs the scope `repo` for private repositories",
                ),
            }
        }
        Err(error) => return vec![github_failure("token", &error)],
    }];
    findings.extend(outside.expiry(&context.config.schedule).map(|expiry| {
        Finding::warning("token", expiry, "make a new token before then, and store it under the same name")
    }));
    if context.config.github.owners.is_empty() {
        findings.extend(deprecation(outside));
        return findings;
    }
    let selection: [FullName; 0] = [];
    let inventory = take_inventory(&context.config, outside, &selection, &Known::new()).await;
    for failure in &inventory.failures {
        let detail = format!("{}: {}", failure.subject, failure.error);
        findings.push(Finding::failed("inventory", detail, failure.hint.clone()));
    }
    for warning in &inventory.warnings {
        findings.push(Finding::warning(
            "inventory",
            warning,
            "give the token access to all repositories, or see docs/reports.md, \"What a short listing means\"",
        ));
    }
    for glob in &inventory.unmatched_globs {
        let detail = format!("{glob:?} matches no repository");
        findings.push(Finding::warning("filters", detail, "correct it in github.include or github.exclude"));
    }
    if inventory.failures.is_empty() {
        let (taken, left) = (inventory.repositories.len(), inventory.excluded.len());
        let taken = count(taken as u64, "repository", "repositories");
        findings.push(Finding::ok("inventory", format!("{taken} to back up, {left} filtered out")));
    }
    if context.config.metadata.kinds.contains(&MetadataKind::Issues) {
        findings.extend(issues(outside, &inventory.repositories).await);
    } else {
        findings.push(Finding::ok("issues", "not backed up: metadata.kinds does not name them"));
    }
    findings.extend(deprecation(outside));
    findings
}

/// Tries to read issues and pull requests in one repository of each owner: permissions are given by owner.
async fn issues(outside: &Outside, repositories: &[Repository]) -> Vec<Finding> {
    let mut of_owner: BTreeMap<String, &Repository> = BTreeMap::new();
    for repository in repositories {
        let chosen = of_owner.entry(repository.full_name.folded_owner()).or_insert(repository);
        // Anybody may read a public one.
        if repository.private && !chosen.private {
            *chosen = repository;
        }
    }
    let mut findings = Vec::new();
    for repository in of_owner.into_values() {
        let barriers = metadata::barriers(outside.github(), outside.graphql(), repository).await;
        let tried_on = &repository.full_name;
        if barriers.is_empty() {
            findings.push(Finding::ok("issues", format!("issues and pull requests can be read (tried on {tried_on})")));
        }
        findings.extend(barriers.into_iter().map(|Barrier { what, error, hint }| {
            Finding::warning("issues", format!("{what} are not backed up: {error}"), hint)
        }));
    }
    findings
}

/// Returns what GitHub said about retiring an API that ghbk uses.
fn deprecation(outside: &Outside) -> Option<Finding> {
    let words = outside.github().notices().deprecation?;
    Some(Finding::warning("api", words, "install a newer ghbk before that"))
}

fn github_failure(item: &'static str, error: &GitHubError) -> Finding {
    Finding::failed(item, error.to_string(), error.hint())
}
