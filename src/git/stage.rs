//! Stage: everything a mirror lacks, downloaded into one pack in a scratch repository on local disk.
//!
//! Blocking; runs libgit2. Reads the mirror's objects through `alternates`, writes only to scratch. What a newcomer
//! would get wrong: refs are not fetched. libgit2 gets wants and haves and brings one pack; tips are [`super::refs`]'s.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use git2::{FetchOptions, Oid, RemoteCallbacks, Repository};
use tokio_util::sync::CancellationToken;
use url::Url;

use super::GitError;
use super::advertisement::{Advertisement, WANTED_REFSPEC};
use super::compare;
use super::refs::{Refs, Target};
use super::server::GitServer;
use super::transport::{self, Session};

/// Counts what a transfer has brought so far, for whoever shows it.
#[derive(Debug, Default)]
pub struct Transfer {
    /// Bytes of packs received from the server, protocol included.
    pub received_bytes: Arc<AtomicU64>,
    /// Objects received.
    pub received_objects: AtomicUsize,
    /// Objects that the pack announces.
    pub total_objects: AtomicUsize,
}

/// Describes one download.
#[derive(Debug)]
pub struct Download<'a> {
    /// The server that advertised.
    pub server: Arc<GitServer>,
    /// The address that answered.
    pub repository_url: Url,
    /// What it has.
    pub advertisement: &'a Advertisement,
    /// What the mirror has.
    pub stored: &'a Refs,
    /// The mirror's `objects` folder, if it holds any.
    pub stored_objects: Option<PathBuf>,
    /// An empty folder on local disk.
    pub scratch: &'a Path,
    /// Where progress is counted.
    pub transfer: Arc<Transfer>,
    /// Ends the download early.
    pub cancel: CancellationToken,
}

/// Names the files that a download left in scratch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pack {
    /// The pack itself.
    pub pack: PathBuf,
    /// Its index.
    pub idx: PathBuf,
}

/// Holds what is ready to be published.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Staged {
    /// The packs that the mirror lacks; none if it has every object.
    pub packs: Vec<Pack>,
    /// Branches and tags whose old tip is no ancestor of the new one.
    pub force_pushed: Vec<String>,
    /// Branches and tags that the server no longer has.
    pub deleted_refs: Vec<String>,
}

/// Downloads what is advertised and not stored, and compares old tips with new.
///
/// # Errors
/// [`GitError`]; scratch may hold leftovers.
pub fn stage(download: &Download<'_>) -> Result<Staged, GitError> {
    let advertised = &download.advertisement.refs;
    let stored_tips: HashSet<Oid> = download.stored.iter().map(|(_, target)| target.oid).collect();
    let mut seen = HashSet::new();
    let wanted: Vec<Oid> = advertised
        .iter()
        .map(|(_, target)| target.oid)
        .filter(|oid| !stored_tips.contains(oid) && seen.insert(*oid))
        .collect();
    transport::set_up_libgit2();
    prepare(download)?;
    let repository = Repository::open_bare(download.scratch)?;
    let packs = if wanted.is_empty() { Vec::new() } else { download_pack(download, &repository, &wanted)? };
    let changes = compare::compare(&repository, download.stored, advertised);
    Ok(Staged { packs, force_pushed: changes.force_pushed, deleted_refs: changes.deleted })
}

/// Brings the wanted objects in one pack and proves that all of them came.
fn download_pack(download: &Download<'_>, repository: &Repository, wanted: &[Oid]) -> Result<Vec<Pack>, GitError> {
    let failure = Arc::new(Mutex::new(None));
    let session = Session {
        server: Arc::clone(&download.server),
        repository_url: download.repository_url.clone(),
        advertisement: download.advertisement.only(wanted).into(),
        received_bytes: Arc::clone(&download.transfer.received_bytes),
        cancel: download.cancel.clone(),
        failure: Arc::clone(&failure),
    };
    let fetched = transport::with_session(session, || fetch(repository, download));
    if let Err(error) = fetched {
        let network = failure.lock().unwrap_or_else(PoisonError::into_inner).take();
        return Err(match network {
            Some(network) => network,
            None if download.cancel.is_cancelled() => GitError::Cancelled,
            None => error.into(),
        });
    }
    check_complete(repository, wanted)?;
    packs_in(download.scratch)
}

/// Makes the scratch repository: the mirror's objects borrowed, its heads and tags as haves.
fn prepare(download: &Download<'_>) -> Result<(), GitError> {
    let scratch = download.scratch;
    Repository::init_bare(scratch)?;
    // With an empty mirror every existence check would go to the store for nothing.
    let Some(objects) = &download.stored_objects else { return Ok(()) };
    let mut alternates = objects.as_os_str().as_encoded_bytes().to_vec();
    alternates.push(b'\n');
    let path = scratch.join("objects/info/alternates");
    std::fs::write(&path, alternates).map_err(GitError::io("write", &path))?;
    let mut haves = Refs::default();
    let mut seen = HashSet::new();
    for (name, target) in download.stored.iter() {
        if (name.starts_with("refs/heads/") || name.starts_with("refs/tags/")) && seen.insert(target.oid) {
            haves.insert(name.to_owned(), Target { oid: target.oid, peeled: target.peeled });
        }
    }
    let path = scratch.join("packed-refs");
    std::fs::write(&path, haves.to_packed()).map_err(GitError::io("write", &path))
}

fn fetch(repository: &Repository, download: &Download<'_>) -> Result<(), git2::Error> {
    let mut remote = repository.remote_anonymous(transport::ADDRESS)?;
    let mut callbacks = RemoteCallbacks::new();
    callbacks.transfer_progress(|progress| {
        let transfer = &download.transfer;
        transfer.received_objects.store(progress.received_objects(), Ordering::Relaxed);
        transfer.total_objects.store(progress.total_objects(), Ordering::Relaxed);
        !download.cancel.is_cancelled()
    });
    let mut options = FetchOptions::new();
    options.remote_callbacks(callbacks).download_tags(git2::AutotagOption::None);
    remote.download(&[WANTED_REFSPEC], Some(&mut options))
}

fn packs_in(scratch: &Path) -> Result<Vec<Pack>, GitError> {
    let folder = scratch.join("objects/pack");
    let mut packs = Vec::new();
    for entry in std::fs::read_dir(&folder).map_err(GitError::io("read", &folder))? {
        let idx = entry.map_err(GitError::io("read", &folder))?.path();
        if idx.extension().is_some_and(|extension| extension == "idx") {
            packs.push(Pack { pack: idx.with_extension("pack"), idx });
        }
    }
    Ok(packs)
}

/// Proves that every wanted object is there, in the pack or in the mirror.
fn check_complete(repository: &Repository, wanted: &[Oid]) -> Result<(), GitError> {
    let odb = repository.odb()?;
    odb.refresh()?;
    match wanted.iter().find(|oid| !odb.exists_ext(**oid, git2::OdbLookupFlags::NO_REFRESH)) {
        Some(missing) => Err(GitError::Incomplete(*missing)),
        None => Ok(()),
    }
}
