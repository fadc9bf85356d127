//! `ghbk verify`: proves the store. Reads it whole, and writes only what damage it found, into a record of its own.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use tokio_util::sync::CancellationToken;

use super::{Context, find_mirrors, open_store};
use crate::blocking::{on_store, unblock};
use crate::cli::VerifyArgs;
use crate::clock::Clock;
use crate::error::{Error, Exit};
use crate::git::GitError;
use crate::git::mirror::verify::{Damage, Thoroughness, Verification};
use crate::large_files::check::Checked;
use crate::mirrors::MirrorKind;
use crate::names::{FullName, RepositoryId};
use crate::outcome::Trigger;
use crate::report::progress::counting_bar;
use crate::report::verify::{LargeFiles, NotVerified, Verified, text};
use crate::run::{FoundDamage, Request, Session};
use crate::signals::Signals;
use crate::store::{Index, IndexedMirror, Mirror, Store, is_locked};

pub(super) async fn verify(context: &Context, arguments: VerifyArgs) -> Result<Exit, Error> {
    let config = context.config.clone();
    let repositories = arguments.repositories.clone();
    let (store, index, named) = unblock(move || {
        let store = open_store(&config)?;
        let index = Index::current(&store)?;
        let mut named = Vec::new();
        for wanted in &repositories {
            named.extend(find_mirrors(&store, &index, wanted)?);
        }
        Ok((store, index, named))
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
    mirrors.extend(named);
    let cancel = CancellationToken::new();
    let signals = Signals::listen(cancel.clone())?;
    let thoroughness = if arguments.deep { Thoroughness::Deep } else { Thoroughness::Connected };
    let bar = counting_bar(&context.bars, context.global.quiet, mirrors.len() as u64, "mirrors");
    let parallel = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let parts = mirrors.into_iter().flat_map(|(id, mirror)| mirrors_of(&store, id, &mirror));
    let mut verified: Vec<Verified> = futures_util::stream::iter(parts)
        .take_until(cancel.cancelled())
        .map(|part| {
            let (store, cancel, bar) = (store.clone(), cancel.clone(), bar.clone());
            let scratch = context.config.store.scratch.clone();
            async move {
                bar.set_message(part.name());
                let (for_work, is_main) = (part.clone(), part.kind == part.mirror.main_kind());
                let work = move || for_work.verify(&store, &scratch, thoroughness, &cancel);
                let done = tokio::task::spawn_blocking(work).await;
                bar.inc(u64::from(is_main));
                // What was found in the others is reported whatever happens to one.
                done.unwrap_or_else(|error| part.verified(Err(GitError::Task(error.to_string()))))
            }
        })
        .buffered(parallel)
        .filter_map(std::future::ready)
        .collect()
        .await;
    bar.finish_and_clear();
    if let Some(signal) = signals.received() {
        return Ok(Exit::Signal(signal));
    }
    verified.sort_by(|a, b| a.repository.cmp(&b.repository));
    let is_good = verified.iter().all(Verified::is_good);
    let unread = if arguments.repositories.is_empty() { index.unreadable.len() as u64 } else { 0 };
    context.conclude(&verified, is_good, || text(&verified, unread, context.global.quiet))?;
    let damaged: Vec<&Verified> = verified.iter().filter(|part| !part.verification.damage.is_empty()).collect();
    // What was damaged once and is whole now is recorded, too.
    let is_known = |part: &&Verified| index.mirrors.get(&part.id).is_some_and(|mirror| mirror.damage.is_some());
    let fixed = verified.iter().filter(|part| part.is_good()).filter(is_known);
    let told: Vec<&Verified> = damaged.iter().copied().chain(fixed).collect();
    if !told.is_empty() {
        record(context, &told, &cancel).await;
    }
    if arguments.repositories.is_empty()
        && let Some(first) = index.unreadable.first()
    {
        let errors: Vec<&str> = index.unreadable.iter().map(|unreadable| unreadable.error.as_str()).collect();
        let text = format!("not verified, because it cannot be read: {}", errors.join("; "));
        return Err(Error::new(Exit::Partial, text, &first.hint));
    }
    let not_verified = verified.iter().filter(|part| part.not_verified.is_some()).count();
    Ok(match (damaged.len(), not_verified) {
        (0, 0) => Exit::Good,
        // Nothing is known of any of them.
        (0, none) if none == verified.len() => Exit::Impossible,
        _ => Exit::Partial,
    })
}

/// Records damage for the next runs; a store that takes no writes, or a run under way, is no reason to hide it.
async fn record(context: &Context, damaged: &[&Verified], cancel: &CancellationToken) {
    let mut names: Vec<FullName> = Vec::new();
    let mut found: Vec<FoundDamage> = Vec::new();
    for part in damaged {
        names.extend(MirrorKind::split_name(&part.repository).0.parse::<FullName>());
        let damage = part.verification.damage.first();
        let damage = damage.map(|damage| (damage.to_string(), part.hint()));
        if damage.is_some() || !found.iter().any(|found| found.id == part.id) {
            found.retain(|found| found.id != part.id);
            found.push(FoundDamage { id: part.id, damage });
        }
    }
    names.dedup();
    let config = Arc::clone(&context.config);
    let request = Request { trigger: Trigger::Verification, selection: names, repair: false, large_files: false };
    let cancel = cancel.clone();
    let begin = move || Session::begin(config, request, Clock::system(), &cancel);
    let recorded = on_store(move || begin()?.record_damage(found)).await;
    if let Err(error) = recorded {
        tracing::warn!("the damage was not recorded, so the next run may not look at it: {}", error.message());
    }
}

/// How often a mirror that is not in its place is looked for, while a run moves it.
const LOOKS: u32 = 5;
const PAUSE: Duration = Duration::from_millis(100);

/// One of the git repositories to verify.
#[derive(Clone)]
struct ToVerify {
    id: RepositoryId,
    mirror: IndexedMirror,
    kind: MirrorKind,
    folder: Mirror,
}

fn mirrors_of(store: &Store, id: RepositoryId, mirror: &IndexedMirror) -> Vec<ToVerify> {
    let part = |kind| ToVerify { id, mirror: mirror.clone(), kind, folder: store.mirror_at(&mirror.place, kind) };
    mirror.kinds().into_iter().map(part).collect()
}

impl ToVerify {
    fn name(&self) -> String {
        self.kind.name_of(&self.mirror.full_name)
    }

    /// Verifies the mirror, wherever it is. Returns `None` if it was cancelled.
    fn verify(
        mut self,
        store: &Store,
        scratch: &Path,
        thoroughness: Thoroughness,
        cancel: &CancellationToken,
    ) -> Option<Verified> {
        let id = self.id;
        let is_known = self.mirror.has_known_pointers_in(self.kind);
        let read = |folder: &Mirror| folder.verify(id, scratch, thoroughness, is_known, cancel);
        let is_good = |result: &Result<(Verification, Checked), GitError>| matches!(result, Ok((verification, _)) if verification.damage.is_empty());
        let mut result = read(&self.folder);
        if !is_good(&result) && self.follow(store) {
            result = read(&self.folder);
        }
        // A run that is just replacing packs looks like damage, once.
        if !is_good(&result) && is_locked(store).unwrap_or(false) {
            result = read(&self.folder);
        }
        self.verified(result)
    }

    /// Looks for a mirror that has left its place, by its id; returns whether it lies elsewhere.
    fn follow(&mut self, store: &Store) -> bool {
        for look in 0..LOOKS {
            if !matches!(self.folder.exists(), Ok(false)) {
                // It is here, or came back.
                return look > 0;
            }
            let found = store.scan().map(|scan| scan.mirrors.into_iter().find(|found| found.id == self.id));
            if let Ok(Some(found)) = found {
                self.folder = store.mirror_at(&found.place, self.kind);
                (self.mirror.full_name, self.mirror.place) = (found.full_name, found.place);
                if matches!(self.folder.exists(), Ok(true)) {
                    return true;
                }
            }
            if !is_locked(store).unwrap_or(false) {
                return false;
            }
            std::thread::sleep(PAUSE);
        }
        false
    }

    /// Turns a result into what is reported. Returns `None` if it was cancelled.
    fn verified(&self, result: Result<(Verification, Checked), GitError>) -> Option<Verified> {
        let of_mirror = |what: String| {
            let damage = vec![Damage { object: None, what }];
            (Verification { damage, ..Verification::default() }, None, None)
        };
        let is_missing = matches!(self.folder.exists(), Ok(false));
        let (verification, large_files, not_verified) = match result {
            Err(GitError::Cancelled) => return None,
            _ if is_missing => of_mirror(format!("there is no mirror in {}", self.folder.path().display())),
            Ok((verification, checked)) => {
                (verification, LargeFiles::of(&checked, self.mirror.has_known_pointers_in(self.kind)), None)
            }
            Err(error @ GitError::Damaged(_)) => of_mirror(error.damage()),
            Err(error) if error.is_below(self.folder.path()) => of_mirror(error.to_string()),
            // It is not the mirror's fault: scratch is full, or ghbk has a bug.
            Err(error) => {
                let not_verified =
                    NotVerified { error: error.to_string(), hint: error.hint_for(&self.mirror.full_name.to_string()) };
                (Verification::default(), None, Some(not_verified))
            }
        };
        Some(Verified {
            repository: self.name(),
            id: self.id,
            set_aside: self.mirror.is_set_aside(),
            gone: self.mirror.gone,
            is_missing,
            verification,
            large_files,
            not_verified,
        })
    }
}
