//! Fetching large files: many at once, each streamed to the store as it arrives.
//!
//! Batches are asked for ahead, small files do not wait behind large ones, and a content that several repositories of an owner
//! need is downloaded once: each download counts against the owner's bandwidth. What a newcomer would get wrong: the server is
//! asked for every file all the same, because a repository gets only what the server grants it.

use std::any::Any;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::{StreamExt, stream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::batch::{Action, Granted, Operation};
use super::contents::Contents;
use super::error::LfsError;
use super::missing::Why;
use super::server::LfsServer;
use crate::git::pointer::{LfsOid, Pointer};
use crate::limits::{Retry, Retryable as _, Waited, with_retries};

/// How many files GitHub takes in one request.
const BATCH: usize = 100;
/// How many batches are asked for before their files are.
const BATCHES_AHEAD: usize = 2;
/// A file of this size or more is large: few are fetched at once, because the network is the limit and not the store.
const LARGE_BYTES: u64 = 64 * 1024 * 1024;
const LARGE_AT_ONCE: usize = 4;
/// How many other sizes of a file are tried.
const OTHER_SIZES_MAX: usize = 4;

/// What all repositories of a run share.
#[derive(Debug)]
pub struct Fetcher {
    pub(super) server: LfsServer,
    pub(super) kept_alive: Arc<dyn Any + Send + Sync>,
    pub(super) retries: u32,
    at_once: usize,
    small: Semaphore,
    large: Semaphore,
    /// Where the contents that were fetched in this run lie, by owner.
    came: Mutex<HashMap<(String, LfsOid), Place>>,
    /// Owners whose quota is used up, and what the server says.
    over_quota: Mutex<HashMap<String, String>>,
    is_store_full: AtomicBool,
}

/// Whoever comes second waits for the first.
type Place = Arc<tokio::sync::Mutex<Option<PathBuf>>>;

/// What is to be fetched for one mirror.
pub struct Order<'a> {
    /// Where the batch API is.
    pub endpoint: &'a Url,
    /// Whether the repository's refs came in this run: then it is known to exist.
    pub refs_came: bool,
    /// Whose quota it counts against.
    pub owner: &'a str,
    /// Where it goes.
    pub contents: &'a Contents,
    /// What is wanted.
    pub wanted: Vec<Pointer>,
    /// Mirrors that may have some of it already, as a fork's parent has.
    pub relatives: &'a [Contents],
    /// The time spent waiting for GitHub is added here.
    pub waited: &'a Waited,
    /// Received bytes are added here.
    pub received_bytes: &'a AtomicU64,
    /// Ends it early.
    pub cancel: &'a CancellationToken,
}

/// What became of one large file.
#[derive(Debug)]
pub enum Brought {
    /// It was downloaded.
    Downloaded,
    /// Another mirror of the owner had it.
    Linked,
    /// It was not fetched.
    Not {
        /// Why.
        why: Why,
        /// In words.
        said: String,
        /// Whether it may pass by itself.
        is_transient: bool,
        /// What a person can do about it.
        hint: &'static str,
    },
}

impl Brought {
    fn not(why: Why, error: &LfsError) -> Self {
        let is_transient = error.retry() != Retry::Never;
        Self::Not { why, said: error.to_string(), is_transient, hint: error.hint() }
    }

    /// Describes why the answer to a batch costs each of its files.
    fn for_all(error: &LfsError, order: &Order<'_>) -> Self {
        let why = match error {
            // Some servers answer this if they have none of a batch. But the repository may also be gone, or the server.
            LfsError::NotFound { is_lfs, .. } if !is_lfs || !order.refs_came => Why::Failed,
            error => Self::why(error),
        };
        Self::not(why, error)
    }

    /// Describes why one file was not fetched.
    fn for_one(error: &LfsError) -> Self {
        Self::not(Self::why(error), error)
    }

    fn why(error: &LfsError) -> Why {
        match error {
            LfsError::Forbidden { .. } | LfsError::Unauthorized => Why::Forbidden,
            LfsError::OverQuota(_) => Why::OverQuota,
            LfsError::NotFound { .. } => Why::Absent,
            LfsError::Cancelled | LfsError::LimitExhausted(_) | LfsError::RateLimited { .. } => Why::Postponed,
            _ => Why::Failed,
        }
    }

    /// Describes what a server says about one file.
    fn refused(code: u16, said: &str) -> Self {
        let (why, hint) = match code {
            // 422: the server has the content, but the pointer gives a wrong size; such a pointer leads nowhere.
            404 | 410 | 422 => (Why::Absent, "anyone who still has the file can push it with `git lfs push --all`"),
            403 => (Why::Forbidden, "give the token read access to the repository's contents"),
            _ => (Why::Failed, "the next run tries again"),
        };
        let said = if said.is_empty() { format!("the server answered {code}") } else { format!("{said} ({code})") };
        Self::Not { why, said, is_transient: code == 429 || code >= 500, hint }
    }
}

impl Fetcher {
    /// Prepares for a run that downloads `at_once` files at the same time.
    ///
    /// `kept_alive`, such as the lock of the store, is kept as long as anything is being written.
    pub fn new(server: LfsServer, retries: u32, at_once: usize, kept_alive: Arc<dyn Any + Send + Sync>) -> Self {
        Self {
            server,
            kept_alive,
            retries,
            at_once,
            small: Semaphore::new(at_once),
            large: Semaphore::new(LARGE_AT_ONCE.min(at_once)),
            came: Mutex::default(),
            over_quota: Mutex::default(),
            is_store_full: AtomicBool::new(false),
        }
    }

    /// Fetches large files; returns what became of each. If the server refuses a file for its size, the sizes that other pointers
    /// give are tried.
    pub async fn fetch_with_other_sizes(
        &self,
        mut order: Order<'_>,
        others: &HashMap<LfsOid, Vec<u64>>,
    ) -> Vec<(Pointer, Brought)> {
        let mut brought = self.fetch(&order).await;
        for round in 0..OTHER_SIZES_MAX {
            let failed = brought.iter().filter(|(_, brought)| matches!(brought, Brought::Not { .. }));
            let with = |pointer: &Pointer| {
                let size_bytes = *others.get(&pointer.oid)?.get(round)?;
                Some(Pointer { size_bytes, ..*pointer })
            };
            order.wanted = failed.filter_map(|(pointer, _)| with(pointer)).collect();
            if order.wanted.is_empty() || order.cancel.is_cancelled() {
                break;
            }
            for (pointer, came) in self.fetch(&order).await {
                if !matches!(came, Brought::Not { .. })
                    && let Some(first) = brought.iter_mut().find(|(first, _)| first.oid == pointer.oid)
                {
                    *first = (pointer, came);
                }
            }
        }
        brought
    }

    /// Fetches large files; returns what became of each.
    pub async fn fetch(&self, order: &Order<'_>) -> Vec<(Pointer, Brought)> {
        // Small ones are limited by the time that the store takes for each, large ones by the network: fetch both at once.
        let (large, small): (Vec<Pointer>, Vec<Pointer>) =
            order.wanted.iter().partition(|pointer| pointer.size_bytes >= LARGE_BYTES);
        let (small, mut large) = tokio::join!(
            self.fetch_some(order, small, &self.small, self.at_once),
            self.fetch_some(order, large, &self.large, LARGE_AT_ONCE.min(self.at_once))
        );
        let mut brought = small;
        brought.append(&mut large);
        brought
    }

    async fn fetch_some(
        &self,
        order: &Order<'_>,
        wanted: Vec<Pointer>,
        turns: &Semaphore,
        at_once: usize,
    ) -> Vec<(Pointer, Brought)> {
        let batches: Vec<Vec<Pointer>> = wanted.chunks(BATCH).map(<[Pointer]>::to_vec).collect();
        stream::iter(batches)
            .map(|batch| self.ask(order, batch))
            .buffered(BATCHES_AHEAD)
            .flat_map(stream::iter)
            .map(|(pointer, granted)| async move {
                let brought = match granted {
                    Ok(action) => self.bring(order, pointer, action, turns).await,
                    Err(brought) => brought,
                };
                (pointer, brought)
            })
            .buffer_unordered(at_once)
            .collect()
            .await
    }

    /// Asks for up to a hundred files; returns for each how to fetch it, or why not.
    async fn ask(&self, order: &Order<'_>, batch: Vec<Pointer>) -> Vec<(Pointer, Result<Action, Brought>)> {
        let mut answered = Vec::new();
        let mut waiting = vec![batch];
        while let Some(mut batch) = waiting.pop() {
            let granted = self.granted(order, &batch).await;
            match granted {
                Err(LfsError::TooMany) if batch.len() > 1 => {
                    waiting.push(batch.split_off(batch.len() / 2));
                    waiting.push(batch);
                }
                Err(error) => {
                    if let LfsError::OverQuota(said) = &error {
                        let mut owners = self.over_quota.lock().unwrap_or_else(PoisonError::into_inner);
                        owners.insert(order.owner.to_owned(), said.clone());
                    }
                    answered.extend(batch.into_iter().map(|pointer| (pointer, Err(Brought::for_all(&error, order)))));
                }
                Ok(mut granted) => answered.extend(batch.into_iter().map(|pointer| {
                    let action = match granted.remove(&pointer.oid) {
                        Some(Granted::Actions { transfer, .. }) => Ok(*transfer),
                        Some(Granted::Refused { code, said }) => Err(Brought::refused(code, &said)),
                        Some(Granted::Nothing) => {
                            let error =
                                LfsError::Protocol("it gave neither an address nor an error for a file".to_owned());
                            Err(Brought::not(Why::Failed, &error))
                        }
                        None => {
                            let error = LfsError::Protocol("it left out a requested file".to_owned());
                            Err(Brought::not(Why::Failed, &error))
                        }
                    };
                    (pointer, action)
                })),
            }
        }
        answered
    }

    async fn granted(&self, order: &Order<'_>, batch: &[Pointer]) -> Result<HashMap<LfsOid, Granted>, LfsError> {
        let quota = self.over_quota.lock().unwrap_or_else(PoisonError::into_inner).get(order.owner).cloned();
        if let Some(said) = quota {
            return Err(LfsError::OverQuota(said));
        }
        let ask = with_retries(self.server.gate(), self.retries, order.endpoint.path(), async || {
            self.server.batch(order.endpoint, Operation::Download, batch, order.waited).await
        });
        tokio::select! {
            granted = ask => granted,
            () = order.cancel.cancelled() => Err(LfsError::Cancelled),
        }
    }

    /// Brings one file that the server grants.
    async fn bring(&self, order: &Order<'_>, pointer: Pointer, action: Action, turns: &Semaphore) -> Brought {
        let place = {
            let mut came = self.came.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(came.entry((order.owner.to_owned(), pointer.oid)).or_default())
        };
        let work = async {
            let mut place = place.lock().await;
            let near = place.iter().cloned().chain(order.relatives.iter().map(|it| it.path(&pointer.oid))).collect();
            if self.link(order, pointer, near).await? {
                return Ok(Brought::Linked);
            }
            let _turn = turns.acquire().await.map_err(|error| LfsError::Task(error.to_string()))?;
            if self.is_store_full.load(Ordering::Relaxed) {
                let full = std::io::Error::from(std::io::ErrorKind::StorageFull);
                return Err(crate::disk::DiskError::io("write", &order.contents.path(&pointer.oid))(full).into());
            }
            self.download(order, pointer, action).await?;
            *place = Some(order.contents.path(&pointer.oid));
            Ok(Brought::Downloaded)
        };
        let brought = tokio::select! {
            brought = work => brought,
            () = order.cancel.cancelled() => Err(LfsError::Cancelled),
        };
        brought.unwrap_or_else(|error| {
            if error.is_store_full() {
                self.is_store_full.store(true, Ordering::Relaxed);
            }
            Brought::for_one(&error)
        })
    }

    /// Links a file from a mirror that has it; returns whether one had it.
    async fn link(&self, order: &Order<'_>, pointer: Pointer, near: Vec<PathBuf>) -> Result<bool, LfsError> {
        if near.is_empty() {
            return Ok(false);
        }
        let (contents, cancel) = (order.contents.clone(), order.cancel.clone());
        let link = move || {
            for path in near {
                match contents.link_from(&path, pointer, &cancel) {
                    Ok(false) => {}
                    Ok(true) => return Ok(true),
                    // The verification of that mirror reports it.
                    Err(error) => {
                        tracing::warn!(path = %path.display(), %error, "cannot be linked; downloading it instead");
                    }
                }
            }
            Ok(false)
        };
        joined(tokio::task::spawn_blocking(link).await)
    }

    /// Returns the server's words if an owner's quota was used up in this run.
    pub fn quota_of(&self, owner: &str) -> Option<String> {
        self.over_quota.lock().unwrap_or_else(PoisonError::into_inner).get(owner).cloned()
    }
}

pub(super) fn joined<T>(ended: Result<Result<T, LfsError>, tokio::task::JoinError>) -> Result<T, LfsError> {
    ended.unwrap_or_else(|error| Err(LfsError::Task(error.to_string())))
}
