//! The large files of one mirror: fetches what it owes, notes the result on the store, and sums it up.
//!
//! This comes after the mirror's refs, and beside those of other repositories. What a newcomer would get wrong: the refs do not
//! hand over what is wanted. It is read from the mirror's own list of missing files, so the next run knows everything that a
//! killed run still owed.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::Progress;
use super::mirror_step::{Synced, blocking};
use super::repository::Worker;
use super::words::{Report, Seen};
use crate::disk::{free_bytes, sync_file_system};
use crate::git::GitError;
use crate::git::mirror::lfs_config::lfs_url;
use crate::git::pointer::{LfsOid, Pointer};
use crate::git::wire::transfer::Transfer;
use crate::github::{Globs, Repository};
use crate::large_files::choice::Choice;
use crate::large_files::contents::{ContentError, Contents};
use crate::large_files::fetch::{Brought, Fetcher, Order};
use crate::large_files::missing::{Missing, Owed, Why};
use crate::mirrors::MirrorKind;
use crate::names::{FullName, RepositoryId};
use crate::outcome::{Kind, PartCounts, PartOutcome, PartState, STORED, State};
use crate::plan::Step;
use crate::store::{Index, Mirror, Store, layout};
use crate::text::{printable, size};

/// How many mirrors of an owner are searched for what a new one needs.
const RELATIVES_MAX: usize = 16;
/// How many mirrors have their turn at once; files fetched at once have a limit of their own.
pub(super) const MIRRORS_AT_ONCE: usize = 16;

/// A mirror whose large files have to be looked at.
#[derive(Clone, Debug)]
pub(super) struct Due {
    pub(super) id: RepositoryId,
    pub(super) full_name: FullName,
    pub(super) kind: MirrorKind,
    /// What HEAD says.
    pub(super) head: String,
    /// Whether it was made in this run: other mirrors may have what it needs.
    pub(super) is_new: bool,
    /// Whether its refs came in this run.
    pub(super) refs_came: bool,
    /// The counts before this run.
    pub(super) totals: PartCounts,
}

/// Returns what is due if the large files of a mirror have to be looked at, whatever became of its refs.
pub(super) fn due(worker: &Worker, step: &Step, kind: MirrorKind, synced: Option<&Synced>) -> Option<Due> {
    let Repository { id, full_name, .. } = &step.repository;
    let stored = step.stored.as_ref();
    let stored_mirror = stored.and_then(|stored| stored.held.get(&kind));
    let stored_head = stored_mirror.map(|mirror| mirror.head.as_deref().unwrap_or_default());
    let head = synced.map(|synced| synced.head.as_str()).or(stored_head)?;
    let mark = stored.and_then(|stored| stored.parts.get(kind, Kind::LargeFiles));
    let is_taken = worker.config.large_files.enabled && worker.large_files.globs.take(full_name);
    // Files that were left out are looked at again once they no longer are.
    let is_owed = mark.is_some_and(|mark| mark.is_owed || (mark.state == PartState::Disabled && is_taken));
    if !is_owed && !synced.is_some_and(|synced| synced.has_pointers) {
        return None;
    }
    Some(Due {
        id: *id,
        full_name: full_name.clone(),
        kind,
        head: head.to_owned(),
        is_new: synced.is_some_and(|synced| synced.state == State::Created),
        refs_came: synced.is_some_and(|synced| !synced.remarks.is_gone),
        totals: mark.map(|mark| mark.totals.clone()).unwrap_or_default(),
    })
}

/// What the work on all mirrors' large files shares.
pub(super) struct Shared {
    pub(super) fetcher: Fetcher,
    pub(super) turns: tokio::sync::Semaphore,
    /// Mirrors that have large files, by owner.
    relatives: HashMap<String, Vec<PathBuf>>,
    pub(super) globs: Globs,
}

impl Shared {
    pub(super) fn new(fetcher: Fetcher, globs: Globs, store: &Store, index: &Index) -> Self {
        let mut relatives: HashMap<String, Vec<PathBuf>> = HashMap::new();
        for mirror in index.mirrors.values() {
            for (kind, _, _) in mirror.parts.iter().filter(|(_, _, mark)| mark.totals.contains_key(STORED)) {
                let of_owner = relatives.entry(mirror.full_name.folded_owner()).or_default();
                of_owner.push(store.mirror_at(&mirror.place, kind).path().to_owned());
            }
        }
        Self { fetcher, turns: tokio::sync::Semaphore::new(MIRRORS_AT_ONCE), relatives, globs }
    }

    fn relatives_of(&self, due: &Due, own: &Mirror) -> Vec<Contents> {
        let none = Vec::new();
        let of_owner = self.relatives.get(&due.full_name.folded_owner()).filter(|_| due.is_new).unwrap_or(&none);
        of_owner.iter().filter(|path| *path != own.path()).take(RELATIVES_MAX).map(|path| Contents::of(path)).collect()
    }
}

/// What a mirror owes, according to the store.
struct Owing {
    missing: Missing,
    choice: Choice,
    /// Contents that turned out to be wrong.
    broken: u64,
    room_bytes: u64,
    /// Where `.lfsconfig` says that the files are kept.
    lfs_url: Option<String>,
}

impl Worker {
    /// Fetches the large files that a mirror owes.
    pub(super) async fn large_files(
        &self,
        due: Due,
        progress: &dyn Progress,
        cancel: CancellationToken,
    ) -> PartOutcome {
        let started = Instant::now();
        let transfer = Arc::new(Transfer::default());
        let mirror = self.store.mirror_at(&layout::place(&due.full_name), due.kind);
        let mut report = Report::new(&due);
        let turn = tokio::select! {
            turn = self.large_files.turns.acquire() => turn.ok(),
            () = cancel.cancelled() => None,
        };
        let owing = match turn {
            Some(_) => self.owing(&due, &mirror, &cancel).await,
            None => Err(GitError::Cancelled),
        };
        match owing {
            Ok(owing) => {
                if !owing.choice.wanted.is_empty() {
                    progress.started_part(Kind::LargeFiles, &due.kind.name_of(&due.full_name), &transfer);
                }
                self.bring(&due, &mirror, owing, &transfer, &cancel, &mut report).await;
            }
            Err(GitError::Cancelled) if cancel.is_cancelled() => report.is_cut_off = true,
            Err(error) => report.fail(&error.to_string(), error.hint()),
        }
        let mut outcome = report.outcome(self.clock.now());
        outcome.bytes_received = transfer.received_bytes.load(Ordering::Relaxed);
        outcome.duration_milliseconds = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        progress.finished_part(&outcome);
        outcome
    }

    /// Reads what a mirror owes, without what has arrived in the meantime.
    async fn owing(&self, due: &Due, mirror: &Mirror, cancel: &CancellationToken) -> Result<Owing, GitError> {
        let (path, scratch, head) = (mirror.path().to_owned(), self.scratch.clone(), due.head.clone());
        let (is_repair, run_id, mirror) = (self.repair, self.run_id.clone(), mirror.clone());
        let (store, cancel, size_max) = (self.store.clone(), cancel.clone(), self.config.large_files.max_size);
        blocking(move || {
            store.refuse_links_on_the_way(&path.join("lfs/objects/x"))?;
            let contents = Contents::of(&path);
            let mut missing = Missing::read(&path)?;
            let (mut lacking, mut broken) = (Vec::new(), 0);
            let owed: Vec<Pointer> = missing.iter().map(pointer_of).collect();
            for pointer in owed {
                // A repair trusts nothing that it has not read.
                let is_there = if is_repair && !pointer.is_of_nothing() {
                    match contents.prove(&pointer.oid, &cancel) {
                        Ok(there) => there.is_some(),
                        Err(_) if cancel.is_cancelled() => return Err(GitError::Cancelled),
                        // What cannot be read now may be readable later; only wrong content is moved aside.
                        Err(ContentError::Disk(error)) => return Err(error.into()),
                        Err(error) => {
                            tracing::warn!(oid = %pointer.oid, %error, "moving a broken large file aside");
                            contents.set_aside(&pointer.oid, run_id.as_str())?;
                            broken += 1;
                            false
                        }
                    }
                } else {
                    contents.has(pointer, &cancel)?
                };
                if is_there {
                    missing.remove(&pointer.oid);
                } else {
                    lacking.push(pointer);
                }
            }
            let room_bytes = free_bytes(&path).map_err(GitError::io("examine", &path))?;
            let is_absent = |it: &Pointer| missing.get(&it.oid).is_some_and(|owed| owed.why.can_be_accepted());
            let choice = Choice::among(lacking, size_max, room_bytes, is_absent);
            // A mirror that lacks only files that are left out is not opened in every run.
            let refs = if choice.wanted.is_empty() { None } else { mirror.refs()? };
            let lfs_url = refs.map(|refs| lfs_url(&path, &refs, &head, &scratch)).transpose()?.flatten();
            Ok(Owing { missing, choice, broken, room_bytes, lfs_url })
        })
        .await
    }

    /// Fetches what is wanted, and notes on the store what came of it.
    async fn bring(
        &self,
        due: &Due,
        mirror: &Mirror,
        owing: Owing,
        transfer: &Transfer,
        cancel: &CancellationToken,
        report: &mut Report,
    ) {
        let Owing { mut missing, choice, broken, room_bytes, lfs_url } = owing;
        report.broken = broken;
        let config = &self.config.large_files;
        if !config.enabled || !self.large_files.globs.take(&due.full_name) {
            report.leave_out(&missing);
            return;
        }
        let now = self.clock.now();
        let endpoint = self.endpoint(due, lfs_url.as_deref());
        let home = self.server.address(&due.kind.name_of(&due.full_name)).origin();
        let elsewhere = endpoint.as_ref().ok().filter(|endpoint| endpoint.origin() != home);
        report.other_host = elsewhere.and_then(|endpoint| endpoint.host_str()).map(str::to_owned);
        let Choice { wanted, too_large, without_room, needed_bytes } = choice;
        let owner = match &endpoint {
            Ok(endpoint) if lfs_url.is_some() => format!("{}/{}", endpoint.authority(), due.full_name.folded_owner()),
            _ => due.full_name.folded_owner(),
        };
        let was_over_quota = self.large_files.fetcher.quota_of(&owner).is_some();
        let (stop, mut is_late) = (cancel.child_token(), false);
        let others: HashMap<LfsOid, Vec<u64>> = missing
            .iter()
            .filter(|owed| !owed.other_sizes.is_empty())
            .map(|owed| (owed.oid, owed.other_sizes.clone()))
            .collect();
        let mut brought = match &endpoint {
            Err(elsewhere) => nobody(wanted, Why::Elsewhere, elsewhere, ELSEWHERE_HINT),
            Ok(endpoint) => {
                let contents = Contents::of(mirror.path());
                let relatives = self.large_files.relatives_of(due, mirror);
                let order = Order {
                    endpoint,
                    refs_came: due.refs_came,
                    owner: &owner,
                    contents: &contents,
                    wanted,
                    relatives: &relatives,
                    waited: &transfer.waited,
                    received_bytes: &transfer.received_bytes,
                    cancel: &stop,
                };
                let fetch = self.large_files.fetcher.fetch_with_other_sizes(order, &others);
                tokio::pin!(fetch);
                tokio::select! {
                    brought = &mut fetch => brought,
                    () = transfer.waited.sleep_beside(self.config.limits.large_files_timeout) => {
                        is_late = true;
                        stop.cancel();
                        fetch.await
                    }
                }
            }
        };
        let (needed, room) = (size(needed_bytes), size(room_bytes));
        let said = format!("the store has {room} free, and {needed} or more are needed");
        let hint = "free space on the store, or leave large files out with large_files.max_size";
        brought.extend(nobody(without_room, Why::Failed, &said, hint));
        report.is_late = is_late.then_some(self.config.limits.large_files_timeout);
        report.is_quota_told = was_over_quota;
        for pointer in too_large {
            missing.insert(pointer, Why::TooLarge, now, None);
        }
        let has_come = brought.iter().any(|(_, brought)| !matches!(brought, Brought::Not { .. }));
        for (pointer, brought) in brought {
            match brought {
                Brought::Downloaded | Brought::Linked => {
                    report.came(pointer, matches!(brought, Brought::Linked));
                    missing.remove(&pointer.oid);
                }
                Brought::Not { why, said, is_transient, hint } => {
                    let before = missing.get(&pointer.oid).filter(|before| before.why == why);
                    let seen = before.map(|before| Seen { since: before.since, is_accepted: before.is_accepted });
                    report.did_not_come(pointer, why, (&said, hint), is_transient, seen);
                    // An error of a server does not take back what GitHub has said about a file.
                    let is_settled = missing.get(&pointer.oid).is_some_and(|owed| owed.why.can_be_accepted());
                    if !is_settled || why.can_be_accepted() {
                        missing.insert(pointer, why, now, Some(said));
                    }
                }
            }
        }
        report.is_cut_off = cancel.is_cancelled() && missing.iter().any(|owed| owed.why == Why::Postponed);
        report.left(&missing);
        if let Err(error) = self.note(mirror, missing, has_come).await {
            report.fail(&format!("the list of missing files could not be written: {error}"), error.hint());
        }
    }

    /// Returns where the batch API of a mirror is, or why it is not asked.
    fn endpoint(&self, due: &Due, lfs_url: Option<&str>) -> Result<Url, String> {
        let mut usual = self.server.address(&due.kind.name_of(&due.full_name));
        usual.set_path(&format!("{}/info/lfs", usual.path()));
        let Some(configured) = lfs_url else { return Ok(usual) };
        let elsewhere = || format!("its .lfsconfig names another server, {}", printable(configured, 200));
        let Ok(url) = configured.parse::<Url>() else { return Err(elsewhere()) };
        let is_named = |host: &str| self.config.large_files.servers.iter().any(|it| it.eq_ignore_ascii_case(host));
        let host = url.host_str().unwrap_or_default();
        let host_and_port = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        let has_secret = !url.username().is_empty() || url.password().is_some();
        let is_ours = url.origin() == usual.origin();
        if has_secret || !(is_ours || is_named(host) || is_named(&host_and_port)) {
            return Err(elsewhere());
        }
        crate::config::check_server_url(&url).map_err(|_| elsewhere())?;
        Ok(url)
    }

    /// Makes new files durable, then notes what is still missing.
    async fn note(&self, mirror: &Mirror, missing: Missing, has_come: bool) -> Result<(), GitError> {
        let (path, lock) = (mirror.path().to_owned(), Arc::clone(&self.lock));
        blocking(move || {
            if has_come {
                sync_file_system(&path).map_err(GitError::io("write", &path))?;
            }
            lock.confirm()?;
            Ok(missing.write(&path)?)
        })
        .await
    }
}

const ELSEWHERE_HINT: &str = "to fetch them from there without a token, add the host to large_files.servers; or accept that they are not backed up \
                              with `ghbk accept`";

fn pointer_of(owed: &Owed) -> Pointer {
    Pointer { oid: owed.oid, size_bytes: owed.size_bytes }
}

/// Gives one answer for files for which nobody was asked.
fn nobody(wanted: Vec<Pointer>, why: Why, said: &str, hint: &'static str) -> Vec<(Pointer, Brought)> {
    let brought = |pointer| (pointer, Brought::Not { why, said: said.to_owned(), is_transient: false, hint });
    wanted.into_iter().map(brought).collect()
}
