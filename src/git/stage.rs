//! Stage: everything a mirror lacks, downloaded into one pack in a scratch repository on local disk, proven complete,
//! and given its snapshot.
//!
//! Blocking; runs libgit2. Reads the mirror's objects through links, writes only to scratch. What a newcomer
//! would get wrong: refs are not fetched. libgit2 gets wants and haves and brings one pack; tips are [`super::refs`]'s.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError};

use bytesize::ByteSize;
use git2::{FetchOptions, Oid, RemoteCallbacks, Repository};
use tokio_util::sync::CancellationToken;
use url::Url;

use super::GitError;
use super::advertisement::{Advertisement, WANTED_REFSPEC};
use super::changes::{self, RefChange};
use super::pack::{self, Depth, Pack};
use super::receive;
use super::refs::{OWN_NAMESPACE, Refs, SNAPSHOTS_REF, Target};
use super::salvage::salvage;
use super::server::GitServer;
use super::snapshot::{self, Occasion};
use super::transport::{self, Session};
use super::view;

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
    /// What HEAD is to say.
    pub head: &'a str,
    /// The run and the time, for the snapshot.
    pub occasion: &'a Occasion,
    /// What the mirror has.
    pub stored: &'a Refs,
    /// The mirror, if there is one.
    pub mirror: Option<PathBuf>,
    /// An empty folder on local disk.
    pub scratch: &'a Path,
    /// Where progress is counted.
    pub transfer: Arc<Transfer>,
    /// How large an object may be, unpacked.
    pub object_size_max: ByteSize,
    /// Ends the download early.
    pub cancel: CancellationToken,
}

/// Holds what is ready to be published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Staged {
    /// What the mirror lacks, snapshot included; more than one only after a salvage.
    pub packs: Vec<Pack>,
    /// How many packs the mirror has already.
    pub stored_packs: usize,
    /// All refs that the mirror is to have, ghbk's own included.
    pub refs: Refs,
    /// What moved since the mirror's last state; nothing for a new mirror.
    pub changes: Vec<RefChange>,
    /// How many tips are kept that GitHub has dropped.
    pub kept: u64,
    /// What a salvage could not read, in words.
    pub lost: Vec<String>,
}

/// Downloads what is advertised and not stored, compares old tips with new, and makes the snapshot.
///
/// # Errors
/// [`GitError`]; scratch may hold leftovers.
pub fn stage(download: &Download<'_>) -> Result<Staged, GitError> {
    if download.mirror.is_none()
        && let Some(staged) = stage_first(download)?
    {
        return Ok(staged);
    }
    let Fetched { repository, pack, stored_packs } = fetch(download)?;
    let staged = finish(download, &repository, pack.as_ref(), download.stored)?;
    Ok(Staged { stored_packs, ..staged })
}

/// Downloads a repository of which nothing is stored, together with its first snapshot; none if that is libgit2's to do.
fn stage_first(download: &Download<'_>) -> Result<Option<Staged>, GitError> {
    let wanted = wanted(download);
    if wanted.is_empty() || !receive::can_receive_from(download.advertisement) {
        return Ok(None);
    }
    prepare(download)?;
    let repository = Repository::open_bare(download.scratch)?;
    let mut refs = download.advertisement.refs.clone();
    let (snapshot, objects) = snapshot::make(&repository, None, &refs, download.head, &[], download.occasion)?;
    refs.insert(SNAPSHOTS_REF.to_owned(), Target { oid: snapshot, peeled: None });
    let folder = download.scratch.join("objects/pack");
    let limit = download.object_size_max;
    let pack = receive::receive(session(download, &wanted), &wanted, &objects, &folder, &download.transfer, limit)?;
    Ok(pack.map(|pack| Staged {
        packs: vec![pack],
        stored_packs: 0,
        refs,
        changes: Vec::new(),
        kept: 0,
        lost: Vec::new(),
    }))
}

/// Lists what is advertised and not stored.
fn wanted(download: &Download<'_>) -> Vec<Oid> {
    let stored_tips: HashSet<Oid> = download.stored.iter().map(|(_, target)| target.oid).collect();
    let mut seen = HashSet::new();
    let advertised = download.advertisement.refs.iter().map(|(_, target)| target.oid);
    advertised.filter(|oid| !stored_tips.contains(oid) && seen.insert(*oid)).collect()
}

/// Downloads everything afresh, and carries over what only a damaged mirror has; nothing is taken as stored.
///
/// # Errors
/// [`GitError`]; scratch may hold leftovers.
pub fn stage_repair(download: &Download<'_>, damaged: &Path) -> Result<Staged, GitError> {
    let Fetched { repository, pack, .. } = fetch(download)?;
    let advertised = &download.advertisement.refs;
    let salvaged = salvage(damaged, &repository, advertised, download.scratch, &download.cancel)?;
    let mut staged = finish(download, &repository, pack.as_ref(), &salvaged.refs)?;
    staged.packs.extend(salvaged.packs);
    staged.lost = salvaged.lost;
    let mut promised: HashSet<Oid> = staged.refs.iter().map(|(_, target)| target.oid).collect();
    if let Some(newest) = staged.refs.get(SNAPSHOTS_REF) {
        repository.odb()?.refresh()?;
        promised.extend(snapshot::targets(&repository, &snapshot::history(&repository, newest.oid)?)?);
    }
    pack::prove(&staged.packs, &promised, &download.cancel)?;
    Ok(staged)
}

/// A repository in scratch with everything that is advertised.
struct Fetched {
    repository: Repository,
    /// What came over the network, if anything had to.
    pack: Option<Pack>,
    stored_packs: usize,
}

/// Brings what is advertised and not stored into a repository in scratch.
fn fetch(download: &Download<'_>) -> Result<Fetched, GitError> {
    let wanted = wanted(download);
    let stored_packs = prepare(download)?;
    let repository = Repository::open_bare(download.scratch)?;
    let pack = if wanted.is_empty() { None } else { download_pack(download, &repository, &wanted)? };
    Ok(Fetched { repository, pack, stored_packs })
}

/// Compares old tips with new, keeps what would be lost, and adds the snapshot to the pack.
fn finish(
    download: &Download<'_>,
    repository: &Repository,
    pack: Option<&Pack>,
    stored: &Refs,
) -> Result<Staged, GitError> {
    let advertised = &download.advertisement.refs;
    let previous = stored.get(SNAPSHOTS_REF).map(|target| target.oid);
    let mut refs = advertised.clone();
    for (name, target) in stored.iter().filter(|(name, _)| name.starts_with(OWN_NAMESPACE)) {
        refs.insert(name.to_owned(), *target);
    }
    let changes = changes::compare(repository, stored, advertised)?;
    for tip in &changes.lost {
        refs.keep(*tip);
    }
    // Without a snapshot before, everything would be new.
    let moved = if previous.is_some() { changes.refs } else { Vec::new() };
    let (snapshot, objects) =
        snapshot::make(repository, previous, advertised, download.head, &moved, download.occasion)?;
    refs.insert(SNAPSHOTS_REF.to_owned(), Target { oid: snapshot, peeled: None });
    let pack = pack::add(pack, &objects, &download.scratch.join("objects/pack"))?;
    let kept = changes.lost.len() as u64;
    Ok(Staged { packs: vec![pack], stored_packs: 0, refs, changes: moved, kept, lost: Vec::new() })
}

/// Brings the wanted objects in one pack and proves that all of them came.
///
/// Returns none if the mirror has them all, as when a branch went back to an older commit.
fn download_pack(download: &Download<'_>, repository: &Repository, wanted: &[Oid]) -> Result<Option<Pack>, GitError> {
    let session = session(download, wanted);
    let failure = Arc::clone(&session.failure);
    let fetched = transport::with_session(session, || receive(repository, download));
    if let Err(error) = fetched {
        let network = failure.lock().unwrap_or_else(PoisonError::into_inner).take();
        return Err(match network {
            Some(network) => network,
            None if download.cancel.is_cancelled() => GitError::Cancelled,
            None => error.into(),
        });
    }
    let mut packs = Vec::new();
    for pack in pack::packs_in(&download.scratch.join("objects/pack"))? {
        // One of the mirror's, taken for the one that came, would be published in its place.
        if !view::is_link(&pack.pack)? {
            packs.push(pack);
        }
    }
    if packs.len() > 1 {
        return Err(GitError::Task(format!("{} packs came instead of one", packs.len())));
    }
    check_complete(repository, &packs, wanted, download)?;
    Ok(packs.pop())
}

fn session(download: &Download<'_>, wanted: &[Oid]) -> Session {
    Session {
        server: Arc::clone(&download.server),
        repository_url: download.repository_url.clone(),
        advertisement: download.advertisement.only(wanted).into(),
        received_bytes: Arc::clone(&download.transfer.received_bytes),
        cancel: download.cancel.clone(),
        failure: Arc::default(),
    }
}

/// Makes the scratch repository: the mirror's packs linked, its heads and tags as haves. Returns how many packs.
fn prepare(download: &Download<'_>) -> Result<usize, GitError> {
    let scratch = download.scratch;
    transport::set_up_libgit2();
    Repository::init_bare(scratch)?;
    let Some(mirror) = &download.mirror else { return Ok(0) };
    let linked = view::link(mirror, &scratch.join("objects/pack"))?;
    if let Some((_, problem)) = linked.refused.into_iter().next() {
        return Err(GitError::Damaged(problem));
    }
    let mut haves = Refs::default();
    let mut seen = HashSet::new();
    for (name, target) in download.stored.iter() {
        if (name.starts_with("refs/heads/") || name.starts_with("refs/tags/")) && seen.insert(target.oid) {
            haves.insert(name.to_owned(), Target { oid: target.oid, peeled: target.peeled });
        }
    }
    let path = scratch.join("packed-refs");
    std::fs::write(&path, haves.to_packed()).map_err(GitError::io("write", &path))?;
    Ok(linked.packs)
}

fn receive(repository: &Repository, download: &Download<'_>) -> Result<(), git2::Error> {
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

/// Proves that every wanted object is there, and everything that the new objects refer to.
///
/// libgit2 makes sure that a pack is well formed, not that nothing is missing from it.
fn check_complete(
    repository: &Repository,
    packs: &[Pack],
    wanted: &[Oid],
    download: &Download<'_>,
) -> Result<(), GitError> {
    let odb = repository.odb()?;
    odb.refresh()?;
    let missing = |oid: &&Oid| !odb.exists_ext(**oid, git2::OdbLookupFlags::NO_REFRESH);
    if let Some(missing) = wanted.iter().find(missing) {
        return Err(GitError::Incomplete(*missing));
    }
    for pack in packs {
        let examined = pack::examine(pack, Depth::Hash, Some(download.object_size_max), &download.cancel);
        // Hashed: neither libgit2 nor unpacking notices an object that is shorter than its entry says.
        let examined = examined.map_err(|error| match error {
            // It is in scratch, not in the mirror.
            GitError::Damaged(what) => GitError::BrokenPack(what),
            error => error,
        })?;
        if let Some(missing) = examined.needs.iter().find(missing) {
            return Err(GitError::Incomplete(*missing));
        }
    }
    Ok(())
}
