//! `ghbk adopt`: the clones that another tool left on the store become mirrors.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::{Context, open_store, print, print_json};
use crate::blocking::on_store;
use crate::cli::AdoptArgs;
use crate::clock::Clock;
use crate::error::{Error, Exit};
use crate::git::mirror::adopt::ForeignClone;
use crate::github::{self, Known, Repository, http_client};
use crate::mirrors::MirrorKind;
use crate::names::FullName;
use crate::outcome::{RunStatus, RunSummary, Trigger};
use crate::outside::Outside;
use crate::report::progress::Lines;
use crate::report::summary;
use crate::run::{Adoption, Request, Session};
use crate::secrets::{self, env_var};
use crate::signals::Signals;
use crate::store::{Index, layout};
use crate::typed::split_address;

/// What is known of a clone before anything is done.
#[derive(Debug, Serialize)]
struct Found {
    clone: PathBuf,
    /// `OWNER/NAME`, or `OWNER/NAME.wiki`.
    repository: Option<String>,
    /// Why it is left alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    left_alone: Option<String>,
}

/// What `ghbk adopt --json` prints; a contract with scripts.
#[derive(Debug, Serialize)]
struct Report {
    found: Vec<Found>,
    /// None if there was nothing to adopt, or with `--dry-run`.
    summary: Option<RunSummary>,
}

pub(super) async fn adopt(context: &Context, arguments: AdoptArgs) -> Result<Exit, Error> {
    if arguments.name.is_some() && arguments.clones.len() != 1 {
        let hint = "ghbk adopt /mnt/efs/old-site --as acme/site";
        return Err(Error::new(Exit::Usage, "--as names the repository of one clone", hint));
    }
    let config = &context.config;
    let for_store = Arc::clone(config);
    let (clones, index) = on_store(move || {
        let store = open_store(&for_store)?;
        let index = Index::current(&store)?;
        Ok((store.foreign_clones(&index)?, index))
    })
    .await?;
    let clones = wanted(clones, &arguments.clones)?;
    let mut report = Report { found: Vec::new(), summary: None };
    if clones.is_empty() {
        return finish(context, &report);
    }
    let secret = secrets::read(config, &env_var).await.github?;
    let outside = Outside::new(config, &secret, http_client(&config.github, config.limits.stall_timeout)?)?;
    let mut adoptions: Vec<Adoption> = Vec::new();
    for clone in clones {
        let named = match (&arguments.name, clone.obstacle()) {
            (_, Err(error)) => Err(error.to_string()),
            (_, Ok(Some(obstacle))) => Err(obstacle.to_owned()),
            (Some(name), Ok(None)) => Ok((name.clone(), MirrorKind::Code)),
            (None, Ok(None)) => name_of(&clone, &config.store.root, &config.github.owners, outside.git_host()),
        };
        let mut found = Found { clone: clone.folder.clone(), repository: None, left_alone: None };
        match named {
            Err(reason) => found.left_alone = Some(reason),
            Ok((name, kind)) => {
                found.repository = Some(kind.name_of(&name));
                match identify(&outside, &name).await? {
                    Err(reason) => found.left_alone = Some(reason),
                    Ok(repository) => {
                        // It may have been renamed since.
                        found.repository = Some(kind.name_of(&repository.full_name));
                        let adoption = Adoption { clone, repository, kind };
                        match conflict(&adoption, &index, &adoptions) {
                            Some(reason) => found.left_alone = Some(reason),
                            None => adoptions.push(adoption),
                        }
                    }
                }
            }
        }
        report.found.push(found);
    }
    if !arguments.dry_run && !adoptions.is_empty() {
        report.summary = Some(carry_out(context, adoptions).await?);
    }
    finish(context, &report)
}

/// Asks GitHub for a repository; the inner error says why it cannot be had.
async fn identify(outside: &Outside, name: &FullName) -> Result<Result<Repository, String>, Error> {
    let mut looked_up = github::look_up(outside.github(), std::slice::from_ref(name), &Known::new()).await;
    match (looked_up.repositories.pop(), looked_up.failures.pop()) {
        (Some(repository), _) => Ok(Ok(repository)),
        (None, Some(failure)) if failure.unauthorized => Err(Error::new(Exit::Impossible, failure.error, failure.hint)),
        (None, failure) => Ok(Err(failure.map_or_else(|| format!("GitHub did not answer for {name}"), |f| f.error))),
    }
}

/// Says why a clone cannot become the repository's mirror.
fn conflict(adoption: &Adoption, index: &Index, before: &[Adoption]) -> Option<String> {
    let id = adoption.repository.id;
    let mirror = index.mirrors.get(&id);
    if mirror.is_some_and(|mirror| mirror.place.starts_with(layout::OWN_FOLDER)) {
        return Some("its adoption was interrupted; `ghbk run` finishes it".to_owned());
    }
    if mirror.is_some_and(|mirror| mirror.held.contains_key(&adoption.kind)) {
        return Some("the repository has a mirror already".to_owned());
    }
    let twin = before.iter().find(|other| other.repository.id == id && other.kind == adoption.kind)?;
    Some(format!("{} is a clone of the same repository", twin.clone.folder.display()))
}

/// Keeps the clones that were asked for; all of them if none were.
fn wanted(clones: Vec<ForeignClone>, paths: &[PathBuf]) -> Result<Vec<ForeignClone>, Error> {
    if paths.is_empty() {
        return Ok(clones);
    }
    let mut chosen = Vec::new();
    for path in paths {
        let canonical = |path: &Path| path.canonicalize().ok();
        let meant = clones.iter().find(|clone| clone.folder == *path || canonical(&clone.folder) == canonical(path));
        chosen.push(meant.cloned().ok_or_else(|| {
            let message = format!("{} is no clone of another tool on the store", path.display());
            Error::new(Exit::Usage, message, "`ghbk adopt --dry-run` lists them")
        })?);
    }
    Ok(chosen)
}

async fn carry_out(context: &Context, adoptions: Vec<Adoption>) -> Result<RunSummary, Error> {
    let cancel = CancellationToken::new();
    let _signals = Signals::listen(cancel.clone())?;
    let mut selection: Vec<FullName> = adoptions.iter().map(|adoption| adoption.repository.full_name.clone()).collect();
    selection.dedup();
    let config = Arc::clone(&context.config);
    let request = Request { trigger: Trigger::Adoption, selection, repair: false, large_files: false };
    let for_session = cancel.clone();
    let session = on_store(move || Session::begin(config, request, Clock::system(), &for_session)).await?;
    Ok(session.adopt(adoptions, &cancel, &Lines::default()).await?)
}

fn finish(context: &Context, report: &Report) -> Result<Exit, Error> {
    if context.global.json {
        print_json(report)?;
    } else {
        print(&text(report))?;
    }
    let left = report.found.iter().any(|found| found.left_alone.is_some());
    Ok(match report.summary.as_ref().map(|summary| summary.status) {
        Some(RunStatus::Failed | RunStatus::Cancelled) => Exit::Impossible,
        Some(RunStatus::Partial) => Exit::Partial,
        _ if left => Exit::Partial,
        _ => Exit::Good,
    })
}

fn text(report: &Report) -> String {
    if report.found.is_empty() {
        return "there is no clone of another tool on the store\n".to_owned();
    }
    let mut out = report.summary.as_ref().map(summary::text).unwrap_or_default();
    for found in &report.found {
        let clone = found.clone.display();
        match (&found.left_alone, &found.repository) {
            (Some(reason), _) => out.push_str(&format!("left alone: {clone}: {reason}\n")),
            (None, Some(repository)) if report.summary.is_none() => {
                out.push_str(&format!("would adopt: {clone} as {repository}\n"));
            }
            (None, _) => {}
        }
    }
    out
}

/// Says which repository a clone belongs to, by its origin, else by its path below the root; or why that is not known.
fn name_of(
    clone: &ForeignClone,
    root: &Path,
    owners: &[String],
    git_host: &str,
) -> Result<(FullName, MirrorKind), String> {
    if let Some(origin) = clone.origin().map_err(|error| error.to_string())? {
        // A clone from elsewhere belongs to no repository here, whatever its folder is called.
        let elsewhere =
            || format!("its origin is no repository on {git_host}; if it is of one, name it with --as OWNER/REPO");
        return by_url(&origin, git_host).ok_or_else(elsewhere);
    }
    let place = clone.folder.strip_prefix(root).unwrap_or(&clone.folder);
    let parts: Vec<&str> = place.iter().filter_map(|part| part.to_str()).collect();
    let named = match (&parts[..], owners) {
        ([owner, name], _) => full_name(owner, name),
        ([name], [owner]) => full_name(owner, name),
        _ => None,
    };
    named.ok_or_else(|| "it has no origin, and its path does not tell; name it with --as OWNER/REPO".to_owned())
}

/// Reads the address of a clone's origin: a URL, or `git@HOST:OWNER/NAME.git`.
fn by_url(origin: &str, git_host: &str) -> Option<(FullName, MirrorKind)> {
    let (host, path) = split_address(origin)?;
    let (owner, name) = path.trim_matches('/').rsplit_once('/')?;
    let owner = owner.rsplit('/').next()?;
    host.eq_ignore_ascii_case(git_host).then(|| full_name(owner, name)).flatten()
}

fn full_name(owner: &str, name: &str) -> Option<(FullName, MirrorKind)> {
    let name = name.strip_suffix(".git").unwrap_or(name);
    let (name, kind) = MirrorKind::split_name(name);
    Some((FullName::new(owner, name).ok()?, kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_says_which_repository_a_clone_is_of() {
        let site = Some(("acme/site".parse().unwrap(), MirrorKind::Code));
        for origin in [
            "https://github.com/acme/site.git",
            "https://github.com/acme/site",
            "https://ghp_secret:x-oauth-basic@github.com/acme/site.git",
            "ssh://git@github.com/acme/site.git",
            "git@github.com:acme/site.git",
            "git@GitHub.com:acme/site",
        ] {
            assert_eq!(by_url(origin, "github.com"), site, "{origin}");
        }
        let wiki = Some(("acme/site".parse().unwrap(), MirrorKind::Wiki));
        assert_eq!(by_url("https://github.com/acme/site.wiki.git", "github.com"), wiki);
    }

    #[test]
    fn another_host_and_nonsense_say_nothing() {
        for origin in [
            "https://gitlab.com/acme/site.git",
            "git@gitlab.com:acme/site.git",
            "https://github.com.evil.example/acme/site.git",
            "/srv/git/site.git",
            "https://github.com/site.git",
            "https://github.com/acme/..",
            "",
        ] {
            assert_eq!(by_url(origin, "github.com"), None, "{origin}");
        }
    }
}
