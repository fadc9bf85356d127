//! `ghbk restore --push`: what was restored goes to a new repository, large files before the refs that need them.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use secrecy::SecretString;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::build::Built;
use crate::blocking::unblock;
use crate::commands::Context;
use crate::config::{self, AuthKind};
use crate::error::{Error, Exit};
use crate::git::mirror::dependents::refs_that_need;
use crate::git::pointer::{LfsOid, Pointer};
use crate::git::refs::Refs;
use crate::git::wire::push::Push;
use crate::git::wire::server::git_base;
use crate::git::{GitError, WireError};
use crate::github::{Credentials, http_client};
use crate::large_files::send::{Sent, send};
use crate::large_files::server::LfsServer;
use crate::limits::Gate;
use crate::report::restore::{LargeFiles, Pushed, Report};
use crate::scratch::Scratch;
use crate::secrets::{self, env_var};
use crate::text::{count, keep_secret, some_of};

/// Where to send it, and with what token.
pub(super) struct Target {
    pub(super) url: Url,
    token: SecretString,
    client: reqwest::Client,
}

/// The variable that holds a token which may write; the configured one should not be able to.
const PUSH_TOKEN: &str = "GHBK_PUSH_TOKEN";

/// Checks the address and finds the token for it, before anything is restored.
pub(super) async fn target(context: &Context, url: &Url) -> Result<Target, Error> {
    let usage = |message: String, hint: &str| Error::new(Exit::Usage, message, hint);
    if !url.username().is_empty() || url.password().is_some() {
        let hint = "leave it out, and set GHBK_PUSH_TOKEN";
        return Err(usage("--push: the address holds a user name or a password".to_owned(), hint));
    }
    if let Err(reason) = config::check_server_url(url) {
        return Err(usage(format!("--push {url}: {reason}"), "as in https://github.com/OWNER/NEW.git"));
    }
    let token = if let Some(token) = env_var(PUSH_TOKEN) {
        let token = SecretString::from(token.trim().to_owned());
        keep_secret(&token);
        token
    } else {
        let api_url: Option<Url> = context.config.github.api_url.parse().ok();
        let is_configured = api_url.is_some_and(|api_url| git_base(&api_url).origin() == url.origin());
        if !is_configured || context.config.github.auth == AuthKind::App {
            let hint = "set GHBK_PUSH_TOKEN to a token that may write to the new repository";
            return Err(Error::new(Exit::Impossible, "there is no token to push with", hint));
        }
        secrets::read(&context.config, &env_var).await.github?
    };
    // The server answers only when it has received everything, which may take long.
    let client = http_client(&context.config.github, context.config.limits.repository_timeout)?;
    Ok(Target { url: url.clone(), token, client })
}

pub(super) fn failed_push(error: &GitError) -> Error {
    let message = format!("restored, but not pushed: {error}");
    let usage = matches!(error, GitError::Wire(WireError::NotEmpty(_)));
    let hint = match error {
        GitError::Wire(WireError::Forbidden(_) | WireError::Unauthorized) => {
            "GHBK_PUSH_TOKEN needs write access to the contents of the new repository"
        }
        error => error.hint(),
    };
    Error::new(if usage { Exit::Usage } else { Exit::Impossible }, message, hint)
}

pub(super) async fn push(context: &Context, built: Built, target: Target) -> Result<Report, Error> {
    let scratch = Scratch::create(&context.config.store.scratch);
    let scratch = scratch.map_err(|error| {
        let message = format!("cannot create a folder in {}: {error}", context.config.store.scratch.display());
        Error::new(Exit::Impossible, message, "set store.scratch to a folder on local disk that ghbk may write to")
    })?;
    let Built { mut report, refs, pointers, repository, _temporary } = built;
    if refs.is_empty() {
        return Err(Error::new(Exit::Usage, "nothing to push: it has no refs", "choose another point in time"));
    }
    let not_there: HashSet<LfsOid> = report.large_files.iter().flat_map(LargeFiles::not_there).collect();
    let git_dir = if repository.join(".git").is_dir() { repository.join(".git") } else { repository.clone() };
    let push = Push {
        client: target.client.clone(),
        url: target.url.clone(),
        token: &target.token,
        repository,
        refs: refs.clone(),
        scratch: scratch.path(),
    };
    push.check().await.map_err(|error| failed_push(&error))?;
    let refs_pushed = refs.len() as u64;
    // GitHub takes no ref whose large files it does not have.
    let sent = if report.large_files.as_ref().is_some_and(|files| !files.is_left_out) {
        send_large_files(context, &target, &git_dir, &pointers, &not_there).await?
    } else {
        Sent::default()
    };
    if let Err(error) = push.send().await {
        return Err(if not_there.is_empty() {
            failed_push(&error)
        } else {
            explained(error, &git_dir, refs, not_there).await
        });
    }
    report.pushed = Some(Pushed {
        url: target.url.to_string(),
        refs: refs_pushed,
        large_files: sent.files + sent.already,
        has_no_lfs: sent.has_no_lfs,
    });
    Ok(report)
}

/// Sends large files to the new repository.
async fn send_large_files(
    context: &Context,
    target: &Target,
    git_dir: &Path,
    pointers: &[Pointer],
    not_there: &HashSet<LfsOid>,
) -> Result<Sent, Error> {
    let gate = Arc::new(Gate::new(&context.config.limits));
    let credentials = Arc::new(Credentials::token_of(target.token.clone()));
    let server = LfsServer::new(target.url.clone(), target.client.clone(), credentials, gate);
    let mut endpoint = target.url.clone();
    let path = target.url.path().trim_end_matches('/');
    let suffix = if path.ends_with(".git") { "" } else { ".git" };
    endpoint.set_path(&format!("{path}{suffix}/info/lfs"));
    send(&server, &endpoint, git_dir, pointers, not_there).await.map_err(|error| {
        let message = format!("restored, but not pushed: large files: {error}");
        Error::new(Exit::Impossible, message, error.hint())
    })
}

/// Adds to a refusal which refs need large files that are not there: GitHub only says that it does not know the files.
async fn explained(error: GitError, git_dir: &Path, refs: Refs, not_there: HashSet<LfsOid>) -> Error {
    let (folder, number) = (git_dir.to_owned(), not_there.len());
    let cancel = CancellationToken::new();
    let find = move || Ok(refs_that_need(&folder, &refs, &not_there, &cancel).unwrap_or_default());
    let names = unblock(find).await.unwrap_or_default();
    if names.is_empty() {
        return failed_push(&error);
    }
    let files = count(number as u64, "large file", "large files");
    let message = format!(
        "restored, but not pushed: {error}; {files} that the store never had, or has lost, belong to {}",
        some_of(&names, 10)
    );
    let hint = "GitHub takes no ref whose large files it does not have (GH008); push the other branches with --branch, or rewrite these without the files (`git filter-repo`)";
    Error::new(Exit::Impossible, message, hint)
}
