//! Consolidate: merges many small packs into one, and drops what retention gives up.
//!
//! The new pack is built and proven on local disk, published beside the old ones and read back; only then are they removed. A
//! crash at any point leaves every object in at least one pack. What a newcomer would get wrong: merging takes over every object
//! of the small packs, needed or not; only retention ever drops one.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fs;
use std::path::Path;

use chrono::{DateTime, Utc};
use git2::{ObjectType, Oid, Repository};
use tokio_util::sync::CancellationToken;

use crate::disk::{is_missing, read_at_once, replace, sync_folder};
use crate::git::GitError;
use crate::git::mirror::changes;
use crate::git::mirror::publish::{publish_pack, still_has};
use crate::git::mirror::snapshot;
use crate::git::pack::copies;
use crate::git::pack::examine::{self, Depth};
use crate::git::pack::links;
use crate::git::pack::reader::ObjectReader;
use crate::git::pack::view::View;
use crate::git::pack::{self, Pack, packs_in};
use crate::git::pointer::Pointer;
use crate::git::refs::{Refs, SNAPSHOTS_REF, Target};
use crate::git::temporary_folder;

/// When packs are merged, and what is dropped then.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// Packs are merged if there are more than this.
    pub packs_max: usize,
    /// Snapshots older than this are dropped, except the newest of them; `None` keeps everything for ever.
    pub keep_since: Option<DateTime<Utc>>,
}

/// Reports what was merged and dropped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Consolidated {
    /// Packs that became one.
    pub packs_merged: u64,
    /// Snapshots dropped.
    pub snapshots_dropped: u64,
    /// Kept tips dropped.
    pub tips_dropped: u64,
    /// The large files that the mirror still names, if something was dropped and nothing else is in the mirror.
    pub pointers: Option<Vec<Pointer>>,
}

/// Merges the packs of a mirror if it has too many; `scratch` is a folder on local disk.
///
/// # Errors
/// [`GitError`]; the mirror still holds everything it held.
pub fn consolidate(
    mirror: &Path,
    scratch: &Path,
    policy: Policy,
    cancel: &CancellationToken,
) -> Result<Option<Consolidated>, GitError> {
    let mut packs = packs_in(&mirror.join("objects/pack"))?;
    let all = packs.len();
    // A `.keep` beside a pack says that somebody wants the pack to stay.
    packs.retain(|pack| matches!(pack.pack.with_extension("keep").try_exists(), Ok(false)));
    if packs.len() <= policy.packs_max {
        return Ok(None);
    }
    let path = mirror.join("packed-refs");
    let stored_refs = Refs::parse_packed(&read_at_once(&path).map_err(GitError::io("read", &path))?)?;
    let view = View::open(mirror, scratch)?;
    if let Some(problem) = view.damage().first() {
        return Err(GitError::Damaged(problem.clone()));
    }
    let folder = temporary_folder("merge-", scratch)?;
    let outdated = match policy.keep_since {
        Some(since) => outdated(view.objects(), &stored_refs, since, folder.path())?,
        None => None,
    };
    let (merged, replaced, refs, report) = match outdated {
        None => {
            let replaced = small_ones(packs, policy.packs_max)?;
            let merged = merge(&replaced, folder.path(), cancel)?;
            (merged, replaced, None, Consolidated::default())
        }
        Some(Outdated { refs, chain, report }) => {
            let is_everything = packs.len() == all;
            let (merged, pointers) = rewrite(mirror, &refs, &chain, folder.path(), cancel)?;
            (merged, packs, Some(refs), Consolidated { pointers: is_everything.then_some(pointers), ..report })
        }
    };
    if cancel.is_cancelled() {
        return Err(GitError::Cancelled);
    }
    let published = publish_pack(mirror, &merged)?;
    // The packs it replaces are about to be removed: its checksums must vouch for what the store holds, not for what was copied.
    pack::check_files(&published)?;
    still_has(mirror, &stored_refs)?;
    if let Some(refs) = refs {
        replace(mirror, "packed-refs", &refs.to_packed())?;
        sync_folder(mirror)?;
    }
    remove(mirror, &replaced, &published)?;
    Ok(Some(Consolidated { packs_merged: replaced.len() as u64, ..report }))
}

/// Chooses the packs to merge: enough of the smallest to make room again, and those that are not much larger than all of these
/// together. A large pack is not written anew for a small one.
fn small_ones(packs: Vec<Pack>, packs_max: usize) -> Result<Vec<Pack>, GitError> {
    let mut sized: Vec<(u64, Pack)> =
        packs.into_iter().map(|pack| Ok((pack.bytes()?, pack))).collect::<Result<_, GitError>>()?;
    sized.sort_by_key(|(bytes, _)| *bytes);
    let at_least = (sized.len() - packs_max / 2).clamp(2, sized.len());
    let mut total = 0;
    let mut chosen = Vec::new();
    for (number, (bytes, pack)) in sized.into_iter().enumerate() {
        if number >= at_least && bytes >= 2 * total {
            break;
        }
        total += bytes;
        chosen.push(pack);
    }
    Ok(chosen)
}

/// Builds one pack with every object of some packs.
fn merge(packs: &[Pack], folder: &Path, cancel: &CancellationToken) -> Result<Pack, GitError> {
    let scratch = folder.join("copies");
    let repository = Repository::init_bare(&scratch)?;
    let folder_of_copies = scratch.join("objects/pack");
    // On local disk, where libgit2 may map them.
    let copies = packs.iter().map(|pack| copies::copy(pack, &folder_of_copies, cancel)?.whole());
    let copies = copies.collect::<Result<Vec<_>, _>>()?;
    let objects = ObjectReader::open(&copies)?;
    let oids: HashSet<Oid> = objects.oids().collect();
    // Versions of one file make good deltas, and the file's name identifies them.
    let mut names: HashMap<Oid, String> = HashMap::new();
    for oid in &oids {
        let lost = |problem: String| GitError::Damaged(format!("object {oid} {problem}"));
        let kind = objects.kind(*oid).map_err(|error| lost(error.to_string()))?;
        if kind == ObjectType::Tree {
            let tree = objects.read(*oid).map_err(|error| lost(error.to_string()))?;
            let noted = links::each_entry(&tree.data, |name, entry, _| {
                if let Ok(entry) = Oid::from_bytes(&entry) {
                    names.entry(entry).or_insert_with(|| String::from_utf8_lossy(name).into_owned());
                }
            });
            noted.map_err(|_| lost("is malformed".to_owned()))?;
        }
        if cancel.is_cancelled() {
            return Err(GitError::Cancelled);
        }
    }
    let all = oids.iter().map(|oid| (*oid, names.get(oid).map(String::as_str)));
    let merged = pack::build(&repository, all, folder)?;
    let there: HashSet<Oid> = merged.oids()?.into_iter().collect();
    if let Some(missing) = oids.iter().find(|oid| !there.contains(oid)) {
        return Err(GitError::Incomplete(*missing));
    }
    pack::check_files(&merged)?;
    examine::stored(&merged, Depth::Hash, None, cancel)?;
    Ok(merged)
}

/// What a mirror holds after retention.
struct Outdated {
    refs: Refs,
    /// A pack with the new chain of snapshots.
    chain: Pack,
    report: Consolidated,
}

/// Finds what is older than retention allows; `None` if nothing is.
fn outdated(
    objects: &ObjectReader,
    refs: &Refs,
    since: DateTime<Utc>,
    folder: &Path,
) -> Result<Option<Outdated>, GitError> {
    let Some(newest) = refs.get(SNAPSHOTS_REF) else { return Ok(None) };
    let history = snapshot::history(objects, newest.oid)?;
    // The newest snapshot before `since` describes the repository at that moment.
    let kept = history.iter().position(|snapshot| snapshot.time < since).map_or(history.len(), |at| at + 1);
    let dropped = history.len() - kept;
    if dropped == 0 {
        return Ok(None);
    }
    let retained = &history[..kept];
    let mut promised: HashMap<Oid, Target> = HashMap::new();
    for snapshot in retained {
        let content = snapshot::content(objects, snapshot.oid)?;
        promised.extend(content.refs.iter().map(|(_, target)| (target.oid, *target)));
    }
    let of_remote = refs.of_remote();
    let mut remaining = of_remote.clone();
    for (_, target) in refs.kept().filter(|(_, target)| promised.contains_key(&target.oid)) {
        remaining.keep(*target);
    }
    // A retained snapshot may need a tip that only a dropped one reached.
    for tip in changes::lost(objects, promised.into_values().collect(), &remaining, &of_remote)? {
        remaining.keep(tip);
    }
    let before: HashSet<&str> = refs.kept().map(|(name, _)| name).collect();
    let tips_dropped = before.iter().filter(|name| remaining.get(name).is_none()).count();
    let note = format!("retention dropped {dropped} earlier snapshots and {tips_dropped} kept tips");
    let (tip, new) = snapshot::rechain(objects, retained, &note)?;
    remaining.insert(SNAPSHOTS_REF.to_owned(), Target { oid: tip, peeled: None });
    let chain = pack::add(None, &new, folder)?;
    let report = Consolidated {
        snapshots_dropped: dropped as u64,
        tips_dropped: tips_dropped as u64,
        ..Consolidated::default()
    };
    Ok(Some(Outdated { refs: remaining, chain, report }))
}

/// Builds one pack with everything that some refs need.
fn rewrite(
    mirror: &Path,
    refs: &Refs,
    chain: &Pack,
    folder: &Path,
    cancel: &CancellationToken,
) -> Result<(Pack, Vec<Pointer>), GitError> {
    let view = View::copy(mirror, folder, cancel)?;
    if let Some(problem) = view.damage().first() {
        return Err(GitError::Damaged(problem.clone()));
    }
    let repository = view.repository()?;
    let packs = repository.path().join("objects/pack");
    chain.moved_to(&packs)?;
    let objects = ObjectReader::of_folder(&packs)?.with_loose(repository.path().join("objects"));
    let tips: HashSet<Oid> = refs.iter().map(|(_, target)| target.oid).collect();
    let needed = links::reachable(&objects, tips.iter().copied(), cancel)?;
    let named = needed.iter().map(|(oid, name)| (*oid, name.as_deref()));
    let merged = pack::build(&repository, named, folder)?;
    let proven = examine::prove(std::slice::from_ref(&merged), &tips, cancel)?;
    Ok((merged, proven.pointers))
}

/// Removes packs that another one has replaced.
fn remove(mirror: &Path, packs: &[Pack], by: &Pack) -> Result<(), GitError> {
    let folder = mirror.join("objects/pack");
    let remove = |path: &Path| match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(GitError::io("remove", path)(error)),
        _ => Ok(()),
    };
    remove_derived(mirror, &folder)?;
    for pack in packs.iter().filter(|pack| pack.idx != by.idx) {
        // Without its index a pack no longer counts; what a crash leaves of it is swept.
        for extension in ["idx", "pack", "rev", "bitmap", "mtimes"] {
            remove(&pack.pack.with_extension(extension))?;
        }
    }
    Ok(sync_folder(&folder)?)
}

/// Removes what `git gc` and `git maintenance` derive from packs, because it names packs and commits that are about to be
/// removed. git makes it anew on request.
fn remove_derived(mirror: &Path, packs: &Path) -> Result<(), GitError> {
    let info = mirror.join("objects/info");
    let is_derived = |name: &str| name.starts_with("multi-pack-index");
    let names = fs::read_dir(packs).map_err(GitError::io("read", packs))?.flatten();
    let indexes = names
        .map(|entry| entry.path())
        .filter(|path| path.file_name().is_some_and(|name| is_derived(&name.to_string_lossy())));
    // The chain is removed before the graphs that it names.
    let chain = info.join("commit-graphs/commit-graph-chain");
    let derived: Vec<_> = [chain, info.join("commit-graph"), info.join("commit-graphs"), info.join("packs")]
        .into_iter()
        .chain(indexes)
        .collect();
    let mut changed = BTreeSet::new();
    for path in derived {
        let removed = match fs::symlink_metadata(&path) {
            Ok(there) if there.is_dir() => fs::remove_dir_all(&path),
            Ok(_) => fs::remove_file(&path),
            Err(error) => Err(error),
        };
        match removed {
            Ok(()) => changed.extend([if path.parent() == Some(packs) { packs } else { &info }]),
            Err(error) if is_missing(&error) => {}
            Err(error) => return Err(GitError::io("remove", &path)(error)),
        }
    }
    // A power cut must not bring them back after the packs are removed.
    Ok(changed.into_iter().try_for_each(sync_folder)?)
}
