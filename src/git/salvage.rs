//! Salvage: everything that only a damaged mirror has, carried over beside what GitHub sent afresh.
//!
//! Blocking; reads the damaged mirror through a view, writes only to scratch. A tip is carried over if every object that
//! it needs can be read, here or there; a snapshot, if all its tips are. What a newcomer would get wrong: the damage may
//! be in the list of refs itself, so snapshots are looked for among all objects when the list does not lead to them.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::io;
use std::path::Path;

use git2::{ObjectType, Odb, Oid, Repository};
use tokio_util::sync::CancellationToken;

use super::files::is_missing;
use super::pack::{self, Pack};
use super::refs::{Refs, SNAPSHOTS_REF, Target, is_mirrored};
use super::snapshot::{self, Snapshot};
use super::view::View;
use super::{GitError, changes, references};

/// Holds what was carried over.
#[derive(Debug, Default)]
pub(super) struct Salvaged {
    /// The old refs whose objects are all there now, ghbk's own included.
    pub(super) refs: Refs,
    /// The packs of what only the damaged mirror had.
    pub(super) packs: Vec<Pack>,
    /// What could not be read, in words.
    pub(super) lost: Vec<String>,
}

/// Carries over what `fresh`, a repository in scratch, does not have.
pub(super) fn salvage(
    mirror: &Path,
    fresh: &Repository,
    advertised: &Refs,
    scratch: &Path,
    cancel: &CancellationToken,
) -> Result<Salvaged, GitError> {
    let view = View::open(mirror, scratch)?;
    let old = view.repository().odb()?;
    let there = fresh.odb()?;
    there.refresh()?;
    let mut carrier = Carrier { old: &old, there: &there, carried: HashSet::new(), cancel };
    let mut salvaged = Salvaged::default();
    let refs = read_refs(mirror, &mut salvaged.lost)?;
    for (name, target) in refs.iter().filter(|(name, _)| *name != SNAPSHOTS_REF) {
        match carrier.carry(target.oid)? {
            None if is_mirrored(name) => salvaged.refs.insert(name.to_owned(), *target),
            // A kept tip; or a name that the damage has changed, whose object may be what somebody looks for.
            None => salvaged.refs.keep(*target),
            Some(problem) => salvaged.lost.push(format!("{name} ({}): {problem}", target.oid)),
        }
    }
    let newest = refs.get(SNAPSHOTS_REF).map(|target| target.oid);
    let (chain, is_whole) = find_snapshots(view.repository(), newest)?;
    let readable: HashSet<Oid> = chain.iter().map(|snapshot| snapshot.oid).collect();
    match newest {
        Some(newest) if readable.contains(&newest) => {}
        Some(newest) if chain.is_empty() => {
            salvaged.lost.push(format!("all snapshots: the newest, {newest}, cannot be read, and no other is found"));
        }
        Some(newest) => salvaged.lost.push(format!("the newest snapshots: {newest} cannot be read")),
        None if chain.is_empty() => salvaged.lost.push("all snapshots: none is found".to_owned()),
        None => {}
    }
    for snapshot in &chain {
        for parent in view.repository().find_commit(snapshot.oid)?.parent_ids().filter(|oid| !readable.contains(oid)) {
            salvaged
                .lost
                .push(format!("the snapshot before that of {}: {parent} cannot be read", snapshot.time.to_rfc3339()));
        }
    }
    let mut retained = Vec::new();
    let mut promised: BTreeMap<Oid, Target> = BTreeMap::new();
    for snapshot in &chain {
        match carrier.carry_snapshot(view.repository(), snapshot.oid)? {
            Ok(targets) => {
                promised.extend(targets.into_iter().map(|target| (target.oid, target)));
                retained.push(snapshot.clone());
            }
            Err(problem) => salvaged.lost.push(format!("the snapshot of {}: {problem}", snapshot.time.to_rfc3339())),
        }
    }
    let is_whole = is_whole && retained.len() == chain.len();
    if is_whole {
        let missing = |oid: &Oid| !there.exists(*oid);
        carrier.carried.extend(retained.iter().map(|snapshot| snapshot.oid).filter(missing));
    }
    let folder = fresh.path().join("objects/pack");
    if !carrier.carried.is_empty() {
        let into = scratch.join("salvaged");
        fs::create_dir(&into).map_err(GitError::io("create", &into))?;
        let mut builder = view.repository().packbuilder()?;
        builder.set_threads(0);
        for oid in &carrier.carried {
            builder.insert_object(*oid, None)?;
        }
        salvaged.packs.push(pack::write(&mut builder, &into)?.moved_to(&folder)?);
    }
    if let Some(newest) = retained.first() {
        let tip = if is_whole {
            newest.oid
        } else {
            let note = "repair left out the snapshots that could no longer be read";
            let (tip, objects) = snapshot::rechain(view.repository(), &retained, note)?;
            let into = scratch.join("chain");
            fs::create_dir(&into).map_err(GitError::io("create", &into))?;
            salvaged.packs.push(pack::add(None, &objects, &into)?.moved_to(&folder)?);
            tip
        };
        salvaged.refs.insert(SNAPSHOTS_REF.to_owned(), Target { oid: tip, peeled: None });
    }
    there.refresh()?;
    // A snapshot may stand on a tip whose own ref is among what was lost.
    let promised = promised.into_values().collect();
    for tip in changes::lost(fresh, promised, &salvaged.refs, advertised)? {
        salvaged.refs.keep(tip);
    }
    let names: Vec<(String, Oid)> = salvaged.refs.iter().map(|(name, target)| (name.to_owned(), target.oid)).collect();
    for (name, oid) in names {
        let peeled = references::peel(fresh, oid);
        salvaged.refs.insert(name, Target { oid, peeled });
    }
    Ok(salvaged)
}

/// Reads what can be read of the list of refs.
///
/// # Errors
/// [`GitError::Io`] if the system refuses to read it: what may be read tomorrow is not given up today.
fn read_refs(mirror: &Path, lost: &mut Vec<String>) -> Result<Refs, GitError> {
    let path = mirror.join("packed-refs");
    match fs::read(&path).or_else(|_| fs::read(&path)) {
        Ok(bytes) => Ok(Refs::parse_packed(&bytes).unwrap_or_else(|error| {
            lost.push(format!("some refs: {error}"));
            Refs::parse_what_can_be(&bytes)
        })),
        // A disk that cannot read it any more says EIO.
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

/// Follows the chain from its tip; if that does not lead to its end, looks for snapshots among all objects. Newest
/// first, and whether the chain is whole.
pub(crate) fn find_snapshots(repository: &Repository, tip: Option<Oid>) -> Result<(Vec<Snapshot>, bool), GitError> {
    if let Some(history) = tip.and_then(|tip| snapshot::history(repository, tip).ok()) {
        return Ok((history, true));
    }
    let odb = repository.odb()?;
    let mut oids = Vec::new();
    odb.foreach(|oid| {
        oids.push(*oid);
        true
    })?;
    let mut found: Vec<Snapshot> = oids
        .into_iter()
        .filter(|oid| odb.read_header(*oid).is_ok_and(|(_, kind)| kind == ObjectType::Commit))
        .filter_map(|oid| snapshot::find(repository, oid))
        .collect();
    found.sort_by_key(|snapshot| std::cmp::Reverse((snapshot.time, snapshot.oid)));
    Ok((found, false))
}

/// Collects objects that only the old mirror has.
struct Carrier<'a> {
    old: &'a Odb<'a>,
    there: &'a Odb<'a>,
    carried: HashSet<Oid>,
    cancel: &'a CancellationToken,
}

impl Carrier<'_> {
    /// Takes over everything that an object needs; returns what stands in the way, and then takes over nothing.
    fn carry(&mut self, tip: Oid) -> Result<Option<String>, GitError> {
        let mut needed = Vec::new();
        let (there, carried) = (self.there, &self.carried);
        let known = |oid: Oid| there.exists(oid) || carried.contains(&oid);
        let lost = references::walk(self.old, std::iter::once(tip), known, self.cancel, |oid| {
            needed.push(oid);
            Ok(())
        })?;
        match lost.first() {
            None => {
                self.carried.extend(needed);
                Ok(None)
            }
            Some(lost) => Ok(Some(lost.to_string())),
        }
    }

    /// Takes over what a snapshot's tree needs and everything that it names; returns what it names, or what is in the way.
    /// The commit itself is left: if the chain is broken, it names a parent that is lost, and is made anew.
    fn carry_snapshot(&mut self, repository: &Repository, oid: Oid) -> Result<Result<Vec<Target>, String>, GitError> {
        let content = match snapshot::content(repository, oid) {
            Ok(content) => content,
            Err(error) => return Ok(Err(error.to_string())),
        };
        let targets: Vec<Target> = content.refs.iter().map(|(_, target)| *target).collect();
        for target in &targets {
            if let Some(problem) = self.carry(target.oid)? {
                return Ok(Err(problem));
            }
        }
        let tree = repository.find_commit(oid)?.tree_id();
        if let Some(problem) = self.carry(tree)? {
            return Ok(Err(problem));
        }
        Ok(Ok(targets))
    }
}
