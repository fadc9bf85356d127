//! Stage: downloads everything a mirror lacks into one pack in a scratch repository on local disk, proves it complete, and adds
//! its snapshot.
//!
//! Blocking; runs gitoxide, and libgit2 where gitoxide cannot. Writes only to scratch. What a newcomer would get wrong: refs are
//! not fetched. The receiver gets wants and haves and brings one pack; tips are the business of [`crate::git::refs`].

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use bytes::Bytes;
use bytesize::ByteSize;
use git2::{FetchOptions, Oid, RemoteCallbacks, Repository};
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::git::GitError;
use crate::git::mirror::changes::{self, RefChange};
use crate::git::mirror::reach::{Objects, StoredPacks};
use crate::git::mirror::salvage::{Salvaged, salvage};
use crate::git::mirror::snapshot::{self, Occasion, Previous};
use crate::git::pack::examine::{self, Depth};
use crate::git::pack::links::bytes_of;
use crate::git::pack::reader::ObjectReader;
use crate::git::pack::{self, Pack};
use crate::git::pointer::Pointer;
use crate::git::refs::{OWN_NAMESPACE, Refs, SNAPSHOTS_REF, Target};
use crate::git::wire::advertisement::{Advertisement, WANTED_REFSPEC};
use crate::git::wire::receive::{self, Scratch, Wish};
use crate::git::wire::server::GitServer;
use crate::git::wire::transfer::Transfer;
use crate::git::wire::transport::{self, Session};
use crate::threads::side_by_side;

/// Describes one download.
#[derive(Debug)]
pub struct Download<'a> {
    /// The server that advertised.
    pub server: Arc<GitServer>,
    /// The address that answered.
    pub repository_url: Url,
    /// What the server has.
    pub advertisement: &'a Advertisement,
    /// The content for HEAD.
    pub head: &'a str,
    /// The run and the time, for the snapshot.
    pub occasion: &'a Occasion,
    /// The refs that the mirror has.
    pub stored: &'a Refs,
    /// The content of the mirror's HEAD, if that is known.
    pub stored_head: Option<&'a str>,
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

/// What is ready to be published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Staged {
    /// What the mirror lacks, snapshot included; more than one pack only after a salvage.
    pub packs: Vec<Pack>,
    /// How many packs the mirror has already.
    pub stored_packs: usize,
    /// All refs that the mirror is to have, ghbk's own included.
    pub refs: Refs,
    /// What moved since the mirror was last updated; empty for a new mirror.
    pub changes: Vec<RefChange>,
    /// How many tips are kept that GitHub has dropped.
    pub kept: u64,
    /// What a salvage could not read, in words.
    pub lost: Vec<String>,
    /// The large files that blobs in the packs stand for.
    pub pointers: Vec<Pointer>,
}

/// Downloads what is advertised and not stored, compares old tips with new, and makes the snapshot.
///
/// # Errors
/// [`GitError`]; scratch may hold leftovers.
pub fn stage(download: &Download<'_>) -> Result<Staged, GitError> {
    prepare(download.scratch)?;
    let wanted = wanted(download);
    let fetched = if download.mirror.is_none() && can_receive(download, &wanted) {
        match stage_first(download, &wanted)? {
            Some(staged) => return Ok(staged),
            None => fetch_with_libgit2(download, &wanted, StoredPacks::default())?,
        }
    } else {
        fetch(download, &wanted)?
    };
    let objects = Objects::open(download.scratch, &fetched.stored)?;
    let previous = previous(download.stored, download.stored_head);
    let staged = finish(&Observed::by(download), &objects, fetched.pack.as_ref(), download.stored, previous.as_ref())?;
    Ok(Staged { stored_packs: fetched.stored.len(), pointers: fetched.pointers, ..staged })
}

/// Returns the snapshot that the next one follows.
pub(crate) fn previous(stored: &Refs, stored_head: Option<&str>) -> Option<Previous> {
    // HEAD may come from a damaged file, and goes into the text of a commit.
    let is_branch = |head: &&str| head.strip_prefix("ref: ").is_some_and(git2::Reference::is_valid_name);
    let head = stored_head.filter(is_branch).map(str::to_owned);
    stored.get(SNAPSHOTS_REF).map(|newest| Previous { oid: newest.oid, head })
}

/// Returns whether there is something to receive that gitoxide can receive.
fn can_receive(download: &Download<'_>, wanted: &[Oid]) -> bool {
    !wanted.is_empty() && receive::can_receive_from(download.advertisement)
}

/// Downloads a repository of which nothing is stored, together with its first snapshot; `None` if libgit2 has to do it.
fn stage_first(download: &Download<'_>, wanted: &[Oid]) -> Result<Option<Staged>, GitError> {
    let mut refs = download.advertisement.refs.clone();
    let (snapshot, objects) = snapshot::make(None, &refs, download.head, &[], download.occasion)?;
    refs.insert(SNAPSHOTS_REF.to_owned(), Target { oid: snapshot, peeled: None });
    let session = session(download, Bytes::new(), download.cancel.clone());
    let Some(arrived) = receive::receive(&into(download), session, Wish { wanted, haves: &[] }, &objects)? else {
        return Ok(None);
    };
    let (pack, pointers) = arrived.prove(wanted, &objects, |_| false)?;
    Ok(Some(Staged {
        packs: pack.into_iter().collect(),
        stored_packs: 0,
        refs,
        changes: Vec::new(),
        kept: 0,
        lost: Vec::new(),
        pointers,
    }))
}

/// Returns where a pack is received.
fn into<'a>(download: &'a Download<'_>) -> Scratch<'a> {
    Scratch {
        folder: download.scratch.join("objects/pack"),
        object_size_max: download.object_size_max,
        transfer: &download.transfer,
    }
}

/// Lists what is advertised and not stored.
fn wanted(download: &Download<'_>) -> Vec<Oid> {
    let stored_tips: HashSet<Oid> = download.stored.iter().map(|(_, target)| target.oid).collect();
    let mut seen = HashSet::new();
    let advertised = download.advertisement.refs.iter().map(|(_, target)| target.oid);
    advertised.filter(|oid| !stored_tips.contains(oid) && seen.insert(*oid)).collect()
}

/// Besides what has moved, at most this many stored commits are named: each costs the server time, and most of what it could
/// build on is reachable from the first ones.
const UNMOVED_HAVES_MAX: usize = 512;

/// Lists what the server need not send, starting with what it most likely builds on.
fn haves(download: &Download<'_>, wanted: &[Oid]) -> Vec<Oid> {
    const KINDS: [fn(&str) -> bool; 4] = [
        |name| name.starts_with("refs/heads/"),
        |name| name.starts_with("refs/tags/"),
        |name| !["refs/heads/", "refs/tags/", OWN_NAMESPACE].iter().any(|prefix| name.starts_with(prefix)),
        // The server has never seen a snapshot.
        |name| name.starts_with(OWN_NAMESPACE) && name != SNAPSHOTS_REF,
    ];
    let stored = download.stored;
    let wanted: HashSet<&Oid> = wanted.iter().collect();
    // Only these few names are looked up among what may be a hundred thousand.
    let new = download.advertisement.refs.iter().filter(|(_, new)| wanted.contains(&new.oid));
    let moved = new.filter_map(|(name, _)| stored.get(name));
    let others = KINDS.into_iter().flat_map(|is_meant| stored.iter().filter(move |(name, _)| is_meant(name)));
    let commit = |target: &Target| target.peeled.unwrap_or(target.oid);
    let mut seen = HashSet::new();
    let mut haves: Vec<Oid> = moved.map(commit).filter(|oid| seen.insert(*oid)).collect();
    let others = others.map(|(_, target)| commit(target));
    haves.extend(others.filter(|oid| seen.insert(*oid)).take(UNMOVED_HAVES_MAX));
    haves
}

/// Downloads everything anew, and carries over what only a damaged mirror has; nothing counts as stored.
///
/// # Errors
/// [`GitError`]; scratch may hold leftovers.
pub fn stage_repair(download: &Download<'_>, damaged: &Path) -> Result<Staged, GitError> {
    prepare(download.scratch)?;
    let Fetched { pack, stored, .. } = fetch(download, &wanted(download))?;
    let advertised = &download.advertisement.refs;
    let folder = download.scratch.join("objects/pack");
    let salvaged = salvage(damaged, &folder, advertised, download.scratch, &download.cancel)?;
    finish_repair(&Observed::by(download), &stored, pack.as_ref(), salvaged, &download.cancel)
}

/// Finishes a mirror that is made anew, with what was carried over from a damaged one.
pub(crate) fn finish_repair(
    observed: &Observed<'_>,
    stored: &StoredPacks,
    pack: Option<&Pack>,
    salvaged: Salvaged,
    cancel: &CancellationToken,
) -> Result<Staged, GitError> {
    let folder = observed.scratch.join("objects/pack");
    let objects = Objects::open(observed.scratch, stored)?;
    let newest = salvaged.refs.get(SNAPSHOTS_REF);
    let previous = newest.map(|newest| {
        let head = snapshot::head(objects.all()?, newest.oid)?;
        Ok::<_, GitError>(Previous { oid: newest.oid, head: Some(head) })
    });
    let mut staged = finish(observed, &objects, pack, &salvaged.refs, previous.transpose()?.as_ref())?;
    staged.packs.extend(salvaged.packs);
    staged.lost = salvaged.lost;
    let mut promised: HashSet<Oid> = staged.refs.iter().map(|(_, target)| target.oid).collect();
    if let Some(newest) = staged.refs.get(SNAPSHOTS_REF) {
        let objects = ObjectReader::of_folder(&folder)?;
        promised.extend(snapshot::targets(&objects, &snapshot::history(&objects, newest.oid)?)?);
    }
    staged.pointers = examine::prove(&staged.packs, &promised, cancel)?.pointers;
    Ok(staged)
}

/// What a download brought into scratch.
struct Fetched {
    /// What came over the network, if anything had to.
    pack: Option<Pack>,
    stored: StoredPacks,
    /// The large files that blobs in it stand for.
    pointers: Vec<Pointer>,
}

/// Makes the scratch repository.
fn prepare(scratch: &Path) -> Result<(), GitError> {
    transport::set_up_libgit2();
    Repository::init_bare(scratch)?;
    Ok(())
}

/// Copies the indexes of the mirror, if there is one, and checks that its packs hold what its refs name: that much is not
/// requested, and the server is told that it is there.
fn index_stored(download: &Download<'_>) -> Result<StoredPacks, GitError> {
    let Some(mirror) = &download.mirror else { return Ok(StoredPacks::default()) };
    let stored = StoredPacks::of_mirror(mirror, download.scratch.join("stored"))?;
    for (name, target) in download.stored.iter() {
        for oid in std::iter::once(target.oid).chain(target.peeled) {
            if !stored.hold(bytes_of(oid)) {
                return Err(GitError::Damaged(format!("{oid} is missing, which {name} names")));
            }
        }
    }
    Ok(stored)
}

/// Brings what is advertised and not stored into the repository in scratch, and proves that all of it arrived.
fn fetch(download: &Download<'_>, wanted: &[Oid]) -> Result<Fetched, GitError> {
    if wanted.is_empty() {
        return Ok(Fetched { pack: None, stored: index_stored(download)?, pointers: Vec::new() });
    }
    if !can_receive(download, wanted) {
        return fetch_with_libgit2(download, wanted, index_stored(download)?);
    }
    let haves = haves(download, wanted);
    let stop = download.cancel.child_token();
    // The store and the server are read at the same time.
    let (stored, arrived) = side_by_side(
        || index_stored(download).inspect_err(|_| stop.cancel()),
        || {
            let session = session(download, Bytes::new(), stop.clone());
            receive::receive(&into(download), session, Wish { wanted, haves: &haves }, &[])
        },
    );
    if download.cancel.is_cancelled() {
        return Err(GitError::Cancelled);
    }
    let stored = stored?;
    match arrived? {
        Some(arrived) => {
            let (pack, pointers) = arrived.prove(wanted, &[], |oid| stored.hold(oid))?;
            Ok(Fetched { pack, stored, pointers })
        }
        None => fetch_with_libgit2(download, wanted, stored),
    }
}

/// What a mirror is to equal.
pub(crate) struct Observed<'a> {
    /// All refs, ghbk's own excluded.
    pub(crate) refs: &'a Refs,
    /// The content for HEAD.
    pub(crate) head: &'a str,
    /// The run and the time, for the snapshot.
    pub(crate) occasion: &'a Occasion,
    /// The folder on local disk that holds what is new.
    pub(crate) scratch: &'a Path,
}

impl<'a> Observed<'a> {
    fn by(download: &Download<'a>) -> Self {
        let Download { advertisement, head, occasion, scratch, .. } = download;
        Self { refs: &advertisement.refs, head, occasion, scratch }
    }
}

/// Compares old tips with new, keeps what would be lost, and adds the snapshot to the pack.
pub(crate) fn finish(
    observed: &Observed<'_>,
    objects: &Objects<'_>,
    pack: Option<&Pack>,
    stored: &Refs,
    previous: Option<&Previous>,
) -> Result<Staged, GitError> {
    let Observed { refs: advertised, head, occasion, scratch } = observed;
    let mut refs = (*advertised).clone();
    for (name, target) in stored.iter().filter(|(name, _)| name.starts_with(OWN_NAMESPACE)) {
        refs.insert(name.to_owned(), *target);
    }
    let changes = changes::compare(objects, stored, advertised)?;
    for tip in &changes.lost {
        refs.keep(*tip);
    }
    // Without an earlier snapshot, everything would be new.
    let moved = if previous.is_some() { changes.refs } else { Vec::new() };
    let (snapshot, made) = snapshot::make(previous, advertised, head, &moved, occasion)?;
    refs.insert(SNAPSHOTS_REF.to_owned(), Target { oid: snapshot, peeled: None });
    let mut new = Vec::new();
    for object in made {
        if !objects.hold(object.oid) {
            new.push(object);
        }
    }
    let pack = pack::add(pack, &new, &scratch.join("objects/pack"))?;
    let kept = changes.lost.len() as u64;
    Ok(Staged {
        packs: vec![pack],
        stored_packs: 0,
        refs,
        changes: moved,
        kept,
        lost: Vec::new(),
        pointers: Vec::new(),
    })
}

/// Brings the wanted objects as [`fetch`] does, if gitoxide cannot receive from the server or cannot receive the pack.
///
/// Brings no pack if the mirror has them all, as when a branch went back to an older commit.
fn fetch_with_libgit2(download: &Download<'_>, wanted: &[Oid], stored: StoredPacks) -> Result<Fetched, GitError> {
    let scratch = download.scratch;
    // libgit2 takes what some ref names as a have.
    let mut refs = Refs::default();
    for (number, oid) in haves(download, wanted).into_iter().enumerate() {
        refs.insert(format!("refs/haves/{number}"), Target { oid, peeled: None });
    }
    let path = scratch.join("packed-refs");
    std::fs::write(&path, refs.to_packed()).map_err(GitError::io("write", &path))?;
    let repository = stored.open_with(scratch, &download.cancel)?;
    let session = session(download, download.advertisement.only(wanted).into(), download.cancel.clone());
    let failure = Arc::clone(&session.failure);
    let fetched = transport::with_session(session, || download_with_libgit2(&repository, download));
    if let Err(error) = fetched {
        let network = failure.lock().unwrap_or_else(PoisonError::into_inner).take();
        return Err(match network {
            Some(network) => network,
            None if download.cancel.is_cancelled() => GitError::Cancelled,
            None => error.into(),
        });
    }
    let mut packs = pack::packs_in(&scratch.join("objects/pack"))?;
    if packs.len() > 1 {
        return Err(GitError::Task(format!("{} packs came instead of one", packs.len())));
    }
    let pack = packs.pop();
    let pointers = check_complete(&stored, pack.as_ref(), wanted, download)?;
    Ok(Fetched { pack, stored, pointers })
}

/// `advertisement` is what libgit2 is to see.
fn session(download: &Download<'_>, advertisement: Bytes, cancel: CancellationToken) -> Session {
    Session {
        server: Arc::clone(&download.server),
        repository_url: download.repository_url.clone(),
        advertisement,
        received_bytes: Arc::clone(&download.transfer.received_bytes),
        waited: Arc::clone(&download.transfer.waited),
        cancel,
        failure: Arc::default(),
    }
}

fn download_with_libgit2(repository: &Repository, download: &Download<'_>) -> Result<(), git2::Error> {
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
    stored: &StoredPacks,
    pack: Option<&Pack>,
    wanted: &[Oid],
    download: &Download<'_>,
) -> Result<Vec<Pointer>, GitError> {
    let mut pointers = Vec::new();
    let mut needed: HashSet<Oid> = wanted.iter().copied().collect();
    if let Some(pack) = pack {
        let examined = examine::stored(pack, Depth::Hash, Some(download.object_size_max), &download.cancel);
        // Hashed: neither libgit2 nor unpacking notices an object that is shorter than its entry says.
        let examined = examined.map_err(|error| match error {
            // The pack is in scratch, not in the mirror.
            GitError::Damaged(what) => GitError::BrokenPack(what),
            error => error,
        })?;
        let index = pack.index()?;
        needed.retain(|oid| !pack::is_in(&index, bytes_of(*oid)));
        needed.extend(examined.needs);
        pointers = examined.pointers;
    }
    match needed.into_iter().find(|oid| !stored.hold(bytes_of(*oid))) {
        Some(missing) => Err(GitError::Incomplete(missing)),
        None => Ok(pointers),
    }
}
