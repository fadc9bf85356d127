//! `ghbk verify`: proves the store. Reads it whole, and writes only what damage it found, into a record of its own.

use std::path::Path;
use std::sync::Arc;

use futures_util::StreamExt;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio_util::sync::CancellationToken;

use super::{Context, find_mirrors, open_store, print, print_json};
use crate::blocking::on_store;
use crate::cli::VerifyArgs;
use crate::clock::Clock;
use crate::error::{Error, Exit};
use crate::git::GitError;
use crate::git::verify::{Damage, Thoroughness, Verification, verify as verify_mirror};
use crate::names::{FullName, RepositoryId};
use crate::outcome::Trigger;
use crate::report::verify::{Verified, text};
use crate::run::{Request, Session};
use crate::signals::Signals;
use crate::store::{Index, IndexedMirror, Mirror, MirrorKind, Store, is_locked};

pub(super) async fn verify(context: &Context, arguments: VerifyArgs) -> Result<Exit, Error> {
    let config = context.config.clone();
    let (store, index) = on_store(move || {
        let store = open_store(&config)?;
        let index = Index::current(&store)?;
        Ok((store, index))
    })
    .await?;
    let mut mirrors: Vec<(RepositoryId, IndexedMirror)> = Vec::new();
    if arguments.repositories.is_empty() {
        mirrors.extend(index.mirrors.iter().map(|(id, mirror)| (*id, mirror.clone())));
        mirrors.sort_by(|a, b| (&a.1.full_name, a.0).cmp(&(&b.1.full_name, b.0)));
    }
    if mirrors.is_empty() && arguments.repositories.is_empty() && index.unreadable.is_empty() {
        let message = format!("there is no mirror in {}", store.root().display());
        return Err(Error::new(
            Exit::Impossible,
            message,
            "check store.root or --root; `ghbk run` makes the first mirrors",
        ));
    }
    for wanted in &arguments.repositories {
        mirrors.extend(find_mirrors(&index, wanted)?);
    }
    let cancel = CancellationToken::new();
    let signals = Signals::listen(cancel.clone())?;
    let thoroughness = if arguments.deep { Thoroughness::Deep } else { Thoroughness::Connected };
    let bar = progress_bar(context, mirrors.len() as u64);
    let parallel = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let parts = mirrors.into_iter().flat_map(|(id, mirror)| parts_of(&store, id, &mirror));
    let mut verified: Vec<Verified> = futures_util::stream::iter(parts)
        .take_until(cancel.cancelled())
        .map(|part| {
            let (store, cancel, bar) = (store.clone(), cancel.clone(), bar.clone());
            let scratch = context.config.store.scratch.clone();
            async move {
                bar.set_message(part.name());
                let is_code = part.kind == MirrorKind::Code || part.mirror.wiki_only;
                let done =
                    tokio::task::spawn_blocking(move || part.verify(&store, &scratch, thoroughness, &cancel)).await;
                bar.inc(u64::from(is_code));
                done
            }
        })
        .buffered(parallel)
        .map(|done| done.unwrap_or_else(|error| Err(GitError::Task(error.to_string()))))
        .filter_map(async |done| match done {
            Err(GitError::Cancelled) => None,
            Err(error) => Some(Err(Error::new(Exit::Impossible, error.to_string(), error.hint()))),
            Ok(verified) => Some(Ok(verified)),
        })
        .collect::<Vec<Result<Verified, Error>>>()
        .await
        .into_iter()
        .collect::<Result<_, _>>()?;
    bar.finish_and_clear();
    if let Some(signal) = signals.received() {
        return Ok(Exit::Signal(signal));
    }
    verified.sort_by(|a, b| a.repository.cmp(&b.repository));
    if context.global.json {
        print_json(&verified)?;
    } else {
        let unread = if arguments.repositories.is_empty() { index.unreadable.len() as u64 } else { 0 };
        print(&text(&verified, unread))?;
    }
    let damaged: Vec<&Verified> = verified.iter().filter(|part| !part.verification.damage.is_empty()).collect();
    if !damaged.is_empty() {
        record(context, &damaged, &cancel).await;
    }
    if arguments.repositories.is_empty()
        && let Some(first) = index.unreadable.first()
    {
        let errors: Vec<&str> = index.unreadable.iter().map(|unreadable| unreadable.error.as_str()).collect();
        let text = format!("what cannot be read is not verified: {}", errors.join("; "));
        return Err(Error::new(Exit::Partial, text, &first.hint));
    }
    Ok(if damaged.is_empty() { Exit::Good } else { Exit::Partial })
}

/// Lets the next runs know; a store that takes no writes, or a run under way, is no reason to hide the damage.
async fn record(context: &Context, damaged: &[&Verified], cancel: &CancellationToken) {
    let mut names: Vec<FullName> = Vec::new();
    let mut found: Vec<(RepositoryId, String)> = Vec::new();
    for part in damaged {
        names.extend(part.repository.trim_end_matches(".wiki").parse::<FullName>());
        found.extend(part.verification.damage.first().map(|first| (part.id, first.to_string())));
    }
    names.dedup();
    let config = Arc::clone(&context.config);
    let request = Request { trigger: Trigger::Verification, selection: names, repair: false };
    let cancel = cancel.clone();
    let begin = move || Session::begin(config, request, Clock::system(), &cancel);
    let recorded = on_store(move || begin()?.record_damage(found)).await;
    if let Err(error) = recorded {
        tracing::warn!("the damage is not recorded, and the next run may not look at it: {}", error.message());
    }
}

fn progress_bar(context: &Context, mirrors: u64) -> ProgressBar {
    let bar = ProgressBar::new(mirrors);
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} mirrors, {elapsed} {msg}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    if context.global.quiet {
        bar.set_draw_target(ProgressDrawTarget::hidden());
    }
    context.bars.add(bar)
}

/// One of the git repositories to verify.
struct Part {
    id: RepositoryId,
    mirror: IndexedMirror,
    kind: MirrorKind,
    folder: Mirror,
}

fn parts_of(store: &Store, id: RepositoryId, mirror: &IndexedMirror) -> Vec<Part> {
    let part = |kind| Part { id, mirror: mirror.clone(), kind, folder: store.mirror_at(&mirror.place, kind) };
    mirror.kinds().into_iter().map(part).collect()
}

impl Part {
    fn name(&self) -> String {
        self.kind.name_of(&self.mirror.full_name)
    }

    fn verify(
        &self,
        store: &Store,
        scratch: &Path,
        thoroughness: Thoroughness,
        cancel: &CancellationToken,
    ) -> Result<Verified, GitError> {
        let mut verification = match verify_mirror(self.folder.path(), scratch, thoroughness, cancel) {
            // Of one mirror; the others are verified all the same.
            Err(error @ GitError::Io { .. }) if error.is_below(self.folder.path()) => {
                let damage = vec![Damage { object: None, what: error.to_string() }];
                Verification { damage, ..Verification::default() }
            }
            verification => verification?,
        };
        // A run that was just replacing packs looks like damage, once.
        if !verification.damage.is_empty() && is_locked(store).unwrap_or(false) {
            verification = verify_mirror(self.folder.path(), scratch, thoroughness, cancel)?;
        }
        Ok(self.verified(verification))
    }

    fn verified(&self, verification: Verification) -> Verified {
        Verified {
            repository: self.name(),
            id: self.id,
            set_aside: self.mirror.is_set_aside(),
            gone: self.mirror.gone,
            verification,
        }
    }
}
