//! Salvage: carries over everything that only a damaged mirror has, beside what GitHub sent anew.
//!
//! Blocking; reads the damaged mirror through a view, writes only to scratch. A tip is carried over if every object that it needs
//! can be read from the old mirror or the new packs; a snapshot, if all its tips are. What a newcomer would get wrong: the damage
//! may be in the list of refs itself, so if the list does not lead to the snapshots, all objects are searched for them.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::io;
use std::path::Path;

use git2::{ObjectType, Oid};
use tokio_util::sync::CancellationToken;

use crate::disk::{is_missing, read_at_once};
use crate::git::GitError;
use crate::git::mirror::changes;
use crate::git::mirror::snapshot::{self, Snapshot};
use crate::git::mirror::verify::loose_refs;
use crate::git::pack::links;
use crate::git::pack::links::Sieve;
use crate::git::pack::reader::ObjectReader;
use crate::git::pack::view::View;
use crate::git::pack::{self, Pack};
use crate::git::refs::{Refs, SNAPSHOTS_REF, Target, is_mirrored, parse_oid};

/// What was carried over.
#[derive(Debug, Default)]
pub(crate) struct Salvaged {
    /// The old refs whose objects are all there now, ghbk's own included.
    pub(crate) refs: Refs,
    /// The packs of what only the damaged mirror had.
    pub(crate) packs: Vec<Pack>,
    /// What could not be read, in words.
    pub(crate) lost: Vec<String>,
}

/// Carries over what was not fetched anew; `folder` holds the packs that were, and gets those of what is carried over.
pub(crate) fn salvage(
    mirror: &Path,
    folder: &Path,
    advertised: &Refs,
    scratch: &Path,
    cancel: &CancellationToken,
) -> Result<Salvaged, GitError> {
    let view = View::copy(mirror, scratch, cancel)?;
    let old = view.objects();
    let there = ObjectReader::of_folder(folder)?;
    let mut porter = Porter { old, sieve: Sieve::new(old, |oid| there.contains(oid), cancel) };
    let mut salvaged = Salvaged::default();
    let refs = read_refs(mirror, &mut salvaged.lost)?;
    for (name, target) in refs.iter().filter(|(name, _)| *name != SNAPSHOTS_REF) {
        match porter.carry(target.oid)? {
            None if is_mirrored(name) => salvaged.refs.insert(name.to_owned(), *target),
            // A kept tip, or a name that the damage has changed: somebody may be looking for its object.
            None => salvaged.refs.keep(*target),
            Some(problem) => salvaged.lost.push(format!("{name} ({}): {problem}", target.oid)),
        }
    }
    // What somebody pushed into the mirror, or committed in it, exists nowhere else.
    let mut promised: BTreeMap<Oid, Target> = BTreeMap::new();
    for name in loose_refs(mirror)? {
        let Some(oid) = read_loose_ref(mirror, &name, &mut salvaged.lost) else { continue };
        match porter.carry(oid)? {
            None => drop(promised.insert(oid, Target { oid, peeled: None })),
            Some(problem) => salvaged.lost.push(format!("{name} ({oid}), a loose ref: {problem}")),
        }
    }
    let newest = refs.get(SNAPSHOTS_REF).map(|target| target.oid);
    let (chain, is_whole) = find_snapshots(old, newest);
    let readable: HashSet<Oid> = chain.iter().map(|snapshot| snapshot.oid).collect();
    match newest {
        Some(newest) if readable.contains(&newest) => {}
        Some(newest) if chain.is_empty() => {
            salvaged.lost.push(format!("all snapshots: the newest ({newest}) cannot be read, and no other was found"));
        }
        Some(newest) => salvaged.lost.push(format!("the newest snapshots: {newest} cannot be read")),
        None if chain.is_empty() => salvaged.lost.push("all snapshots: none was found".to_owned()),
        None => {}
    }
    for snapshot in &chain {
        for parent in snapshot::parent(old, snapshot.oid)?.into_iter().filter(|oid| !readable.contains(oid)) {
            salvaged
                .lost
                .push(format!("the snapshot before that of {}: {parent} cannot be read", snapshot.time.to_rfc3339()));
        }
    }
    let mut retained = Vec::new();
    for snapshot in &chain {
        match porter.carry_snapshot(snapshot.oid)? {
            Ok(targets) => {
                promised.extend(targets.into_iter().map(|target| (target.oid, target)));
                retained.push(snapshot.clone());
            }
            Err(problem) => salvaged.lost.push(format!("the snapshot of {}: {problem}", snapshot.time.to_rfc3339())),
        }
    }
    let is_whole = is_whole && retained.len() == chain.len();
    let mut carried: HashSet<Oid> = porter.sieve.whole().collect();
    if is_whole {
        carried.extend(retained.iter().map(|snapshot| snapshot.oid).filter(|oid| !there.contains(*oid)));
    }
    if !carried.is_empty() {
        let into = scratch.join("salvaged");
        fs::create_dir(&into).map_err(GitError::io("create", &into))?;
        let objects = carried.iter().map(|oid| (*oid, None));
        salvaged.packs.push(pack::build(&view.repository()?, objects, &into)?.moved_to(folder)?);
    }
    if let Some(newest) = retained.first() {
        let tip = if is_whole {
            newest.oid
        } else {
            let note = "repair left out the snapshots that could no longer be read";
            let (tip, objects) = snapshot::rechain(old, &retained, note)?;
            let into = scratch.join("chain");
            fs::create_dir(&into).map_err(GitError::io("create", &into))?;
            salvaged.packs.push(pack::add(None, &objects, &into)?.moved_to(folder)?);
            tip
        };
        salvaged.refs.insert(SNAPSHOTS_REF.to_owned(), Target { oid: tip, peeled: None });
    }
    let there = ObjectReader::of_folder(folder)?;
    // A snapshot may need a tip whose own ref was lost.
    let promised = promised.into_values().collect();
    for tip in changes::lost(&there, promised, &salvaged.refs, advertised)? {
        salvaged.refs.keep(tip);
    }
    let names: Vec<(String, Oid)> = salvaged.refs.iter().map(|(name, target)| (name.to_owned(), target.oid)).collect();
    for (name, oid) in names {
        let peeled = links::peel(&there, oid);
        salvaged.refs.insert(name, Target { oid, peeled });
    }
    Ok(salvaged)
}

/// Reads the id that a loose ref holds, or `None` if it names another ref or nothing.
fn read_loose_ref(mirror: &Path, name: &str, lost: &mut Vec<String>) -> Option<Oid> {
    match read_at_once(&mirror.join(name)) {
        Ok(bytes) => parse_oid(String::from_utf8_lossy(&bytes).trim_end()),
        Err(error) => {
            lost.push(format!("{name}, a loose ref: {error}"));
            None
        }
    }
}

/// Reads what can be read of the list of refs.
///
/// # Errors
/// [`GitError::Disk`] if the system refuses to read it: what may be readable tomorrow is not given up today.
fn read_refs(mirror: &Path, lost: &mut Vec<String>) -> Result<Refs, GitError> {
    let path = mirror.join("packed-refs");
    match read_at_once(&path).or_else(|_| read_at_once(&path)) {
        Ok(bytes) => Ok(Refs::parse_packed(&bytes).unwrap_or_else(|error| {
            lost.push(format!("some refs: {error}"));
            Refs::parse_what_can_be(&bytes)
        })),
        // A disk that can no longer read it reports EIO.
        Err(error)
            if is_missing(&error)
                || error.kind() == io::ErrorKind::IsADirectory
                || error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error()) =>
        {
            lost.push(format!("the list of refs: {error}"));
            Ok(Refs::default())
        }
        Err(error) => Err(GitError::io("read", &path)(error)),
    }
}

/// Follows the chain from its tip; if that does not lead to its end, looks for snapshots among all objects. Returns them newest
/// first, and whether the chain is whole.
pub(crate) fn find_snapshots(objects: &ObjectReader, tip: Option<Oid>) -> (Vec<Snapshot>, bool) {
    if let Some(history) = tip.and_then(|tip| snapshot::history(objects, tip).ok()) {
        return (history, true);
    }
    let mut seen = HashSet::new();
    let mut found: Vec<Snapshot> = objects
        .oids()
        .filter(|oid| seen.insert(*oid) && objects.kind(*oid) == Ok(ObjectType::Commit))
        .filter_map(|oid| snapshot::find(objects, oid))
        .collect();
    found.sort_by_key(|snapshot| std::cmp::Reverse((snapshot.time, snapshot.oid)));
    (found, false)
}

/// Collects objects that only the old mirror has.
struct Porter<'a, K> {
    old: &'a ObjectReader,
    sieve: Sieve<'a, K>,
}

impl<K: Fn(Oid) -> bool> Porter<'_, K> {
    /// Takes over everything that an object needs; returns what stands in the way.
    fn carry(&mut self, tip: Oid) -> Result<Option<String>, GitError> {
        Ok(self.sieve.sort(tip)?.map(ToString::to_string))
    }

    /// Takes over what a snapshot's tree needs and everything that it names; returns what it names, or what stands in the way.
    /// The commit itself is left out: if the chain is broken, it names a lost parent, and is made anew.
    fn carry_snapshot(&mut self, oid: Oid) -> Result<Result<Vec<Target>, String>, GitError> {
        let content = match snapshot::content(self.old, oid) {
            Ok(content) => content,
            Err(error) => return Ok(Err(error.to_string())),
        };
        let targets: Vec<Target> = content.refs.iter().map(|(_, target)| *target).collect();
        for target in &targets {
            if let Some(problem) = self.carry(target.oid)? {
                return Ok(Err(problem));
            }
        }
        let tree = snapshot::tree(self.old, oid)?;
        if let Some(problem) = self.carry(tree)? {
            return Ok(Err(problem));
        }
        Ok(Ok(targets))
    }
}
