//! Verify: proves that a mirror holds what its refs and its snapshots promise.
//!
//! Blocking; reads the store, writes nothing. Every object is unpacked, so whatever it refers to is known to be there. What a
//! newcomer would get wrong: a missing object is damage only if something still needs it; and a file whose every line is well
//! formed can still be wrong, which is why `packed-refs` is compared with the newest snapshot.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use git2::Oid;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use crate::disk::{read_at_once, read_text};
use crate::git::GitError;
use crate::git::mirror::changes;
use crate::git::mirror::snapshot;
use crate::git::pack;
use crate::git::pack::copies;
use crate::git::pack::examine::{self, Depth};
use crate::git::pack::links;
use crate::git::pack::links::Sieve;
use crate::git::pack::reader::ObjectReader;
use crate::git::pack::view::View;
use crate::git::pointer::{Pointer, each_once};
use crate::git::refs::{KEPT_NAMESPACE, OWN_NAMESPACE, Refs, SNAPSHOTS_REF, Target};
use crate::scratch::Scratch;
use crate::text::printable;

/// One thing that is wrong with a mirror.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Damage {
    /// The object concerned, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<String>,
    /// What is wrong.
    pub what: String,
}

impl std::fmt::Display for Damage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.what)
    }
}

/// Reports what was read and what is wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Verification {
    /// Refs, ghbk's own included.
    pub refs: u64,
    /// Points in time that can be restored.
    pub snapshots: u64,
    /// Packs.
    pub packs: u64,
    /// Objects in them; one that is in two packs counts twice.
    pub objects: u64,
    /// Bytes of the packs and their indexes.
    pub bytes: u64,
    /// Everything that is wrong.
    pub damage: Vec<Damage>,
    /// The large files that blobs in the packs stand for.
    #[serde(skip)]
    pub pointers: Vec<Pointer>,
}

/// How thoroughly a mirror is verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Thoroughness {
    /// Checks the checksums of all files, and that every needed object is there.
    Connected,
    /// Also hashes every object.
    Deep,
}

/// What is wrong with a mirror that has lost its configuration.
pub(crate) const NO_CONFIG: &str = "it has no config, which says whose it is";
/// What is wrong with a mirror that has lost its folder `refs`, which is otherwise empty.
pub(crate) const NO_REFS_FOLDER: &str = "it has no folder refs, without which git takes it for no repository";

/// A mirror with this much damage needs no longer list.
const DAMAGE_MAX: usize = 50;

/// Verifies one mirror.
///
/// # Errors
/// [`GitError::Cancelled`], or [`GitError::Disk`] if the store cannot be read at all. Damage is not an error.
pub fn verify(
    mirror: &Path,
    scratch: &Path,
    thoroughness: Thoroughness,
    cancel: &CancellationToken,
) -> Result<Verification, GitError> {
    let mut found = Findings { report: Verification::default() };
    match found.all(mirror, scratch, thoroughness, cancel) {
        Ok(()) => {}
        // What was found is reported, whatever keeps the rest from being checked.
        Err(error) if !matches!(error, GitError::Cancelled) && !found.report.damage.is_empty() => {
            found.add(None, format!("not everything was verified: {error}"));
        }
        Err(error) => return Err(error),
    }
    found.report.damage.truncate(DAMAGE_MAX);
    found.report.pointers = each_once(std::mem::take(&mut found.report.pointers));
    Ok(found.report)
}

/// Lists the files below `refs` of a mirror, by the names of the refs that git reads from them. ghbk writes none.
///
/// # Errors
/// [`GitError::Disk`] if a folder cannot be read.
pub(crate) fn loose_refs(mirror: &Path) -> Result<Vec<String>, GitError> {
    let mut found = Vec::new();
    let mut folders = vec![mirror.join("refs")];
    while let Some(folder) = folders.pop() {
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(GitError::io("read", &folder)(error)),
        };
        for entry in entries {
            let entry = entry.map_err(GitError::io("read", &folder))?;
            let path = entry.path();
            if entry.file_type().map_err(GitError::io("examine", &path))?.is_dir() {
                folders.push(path);
            } else {
                found.push(path.strip_prefix(mirror).unwrap_or(&path).to_string_lossy().into_owned());
            }
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// Describes what is wrong with a loose ref.
pub(crate) fn what_is_wrong_with(loose_ref: &str) -> String {
    format!("{} is a loose ref, which ghbk did not write; it hides the stored one", printable(loose_ref, 200))
}

/// Unpacks every object of a pack from a copy on local disk: deltas are read again and again, and the store is too slow for that.
fn examine(
    pack: &pack::Pack,
    scratch: &Path,
    depth: Depth,
    cancel: &CancellationToken,
) -> Result<examine::Examined, GitError> {
    // A folder of its own, which the next run sweeps if this process is killed.
    let folder = Scratch::create(scratch).map_err(GitError::io("create a folder in", scratch))?;
    // Only a pack that its checksum vouches for is unpacked by many threads at once.
    let copy = copies::copy(pack, folder.path(), cancel)?.whole()?;
    examine::stored(&copy, depth, None, cancel)
}

struct Findings {
    report: Verification,
}

/// What the packs showed.
struct Packs {
    are_damaged: bool,
    /// Objects that some pack needs and does not hold.
    needs: HashSet<Oid>,
}

impl Findings {
    fn all(
        &mut self,
        mirror: &Path,
        scratch: &Path,
        thoroughness: Thoroughness,
        cancel: &CancellationToken,
    ) -> Result<(), GitError> {
        // Refs are read before packs: a run publishes packs first, so the objects of these refs are in them.
        let refs = self.refs(mirror);
        let head = self.head(mirror);
        self.strangers(mirror);
        self.folder(mirror);
        let packs = self.packs(mirror, scratch, thoroughness, cancel)?;
        let view = View::open(mirror, scratch)?;
        let objects = view.objects();
        for (name, target) in refs.iter().filter(|(_, target)| !objects.contains(target.oid)) {
            self.add(Some(target.oid), format!("{name} names {}, which is not there", target.oid));
        }
        self.own(objects, &refs);
        let promised = self.snapshots(objects, &refs, head.as_deref());
        for oid in promised.iter().filter(|oid| !objects.contains(**oid)) {
            self.add(Some(*oid), format!("a snapshot names {oid}, which is not there"));
        }
        // What no ref leads to is there only until the next `git gc`.
        if self.report.damage.is_empty() {
            let there = promised.iter().map(|oid| Target { oid: *oid, peeled: None }).collect();
            for tip in changes::lost_to(objects, there, &refs, &refs.of_remote(), usize::MAX)? {
                self.add(Some(tip.oid), format!("no ref keeps {}, which a snapshot names", tip.oid));
            }
        }
        if packs.are_damaged || packs.needs.iter().any(|oid| !objects.contains(*oid)) {
            let mut sieve = Sieve::new(objects, |_| false, cancel);
            for tip in refs.iter().map(|(_, target)| target.oid).chain(promised) {
                sieve.sort(tip)?;
            }
            for lost in sieve.lost() {
                self.add(Some(lost.oid), lost.to_string());
            }
        }
        if !self.report.damage.is_empty() {
            for pack in pack::packs_without_index(&mirror.join("objects/pack"))? {
                self.add(None, format!("{} has no index; what is in it can still be read", pack::name_of(&pack.pack)));
            }
        }
        Ok(())
    }

    fn add(&mut self, object: Option<Oid>, what: String) {
        self.report.damage.push(Damage { object: object.map(|oid| oid.to_string()), what });
    }

    fn refs(&mut self, mirror: &Path) -> Refs {
        let bytes = match read_at_once(&mirror.join("packed-refs")) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                self.add(None, "it has no packed-refs".to_owned());
                return Refs::default();
            }
            Err(error) => {
                self.add(None, format!("packed-refs cannot be read: {error}"));
                return Refs::default();
            }
        };
        match Refs::parse_packed(&bytes) {
            Ok(refs) => {
                self.report.refs = refs.len() as u64;
                if refs.to_packed() != bytes {
                    self.add(None, "packed-refs is not as git writes it (sorted, each ref once)".to_owned());
                }
                refs
            }
            Err(error) => {
                self.add(None, error.to_string());
                Refs::default()
            }
        }
    }

    fn head(&mut self, mirror: &Path) -> Option<String> {
        match read_text(&mirror.join("HEAD")) {
            Ok(head) => Some(head.trim_end().to_owned()),
            Err(error) => {
                self.add(None, format!("HEAD cannot be read: {error}"));
                None
            }
        }
    }

    /// Finds what ghbk never writes and git would obey.
    fn strangers(&mut self, mirror: &Path) {
        let alternates = mirror.join("objects/info/alternates");
        match alternates.try_exists() {
            Ok(false) => {}
            Ok(true) => self.add(None, "objects/info/alternates makes it depend on another repository".to_owned()),
            Err(error) => self.add(None, format!("objects/info/alternates cannot be examined: {error}")),
        }
        match loose_refs(mirror) {
            Ok(names) => names.iter().for_each(|name| self.add(None, what_is_wrong_with(name))),
            Err(error) => self.add(None, error.to_string()),
        }
    }

    /// Looks for what git and ghbk need besides refs and objects.
    fn folder(&mut self, mirror: &Path) {
        if !read_at_once(&mirror.join("config")).is_ok_and(|config| !config.is_empty()) {
            self.add(None, NO_CONFIG.to_owned());
        }
        if !mirror.join("refs").is_dir() {
            self.add(None, NO_REFS_FOLDER.to_owned());
        }
    }

    fn packs(
        &mut self,
        mirror: &Path,
        scratch: &Path,
        thoroughness: Thoroughness,
        cancel: &CancellationToken,
    ) -> Result<Packs, GitError> {
        let depth = match thoroughness {
            Thoroughness::Connected => Depth::Unpack,
            Thoroughness::Deep => Depth::Hash,
        };
        let mut packs = Packs { are_damaged: false, needs: HashSet::new() };
        for pack in pack::packs_in(&mirror.join("objects/pack"))? {
            if cancel.is_cancelled() {
                return Err(GitError::Cancelled);
            }
            self.report.packs += 1;
            self.report.bytes += pack.bytes().unwrap_or_default();
            match examine(&pack, scratch, depth, cancel) {
                Ok(examined) => {
                    self.report.objects += examined.objects;
                    self.report.pointers.extend(examined.pointers);
                    packs.needs.extend(examined.needs);
                }
                Err(GitError::Cancelled) => return Err(GitError::Cancelled),
                Err(error) if error.is_below(scratch) => return Err(error),
                Err(error) => {
                    self.add(None, error.damage());
                    packs.are_damaged = true;
                }
            }
        }
        Ok(packs)
    }

    /// Checks ghbk's own refs, which no snapshot lists.
    fn own(&mut self, objects: &ObjectReader, refs: &Refs) {
        let own = refs.iter().filter(|(name, _)| name.starts_with(OWN_NAMESPACE) && *name != SNAPSHOTS_REF);
        for (name, _) in own.filter(|(name, _)| !name.starts_with(KEPT_NAMESPACE)) {
            self.add(None, format!("{name} is no ref that ghbk writes"));
        }
        for (name, target) in refs.kept() {
            if name.strip_prefix(KEPT_NAMESPACE) != Some(&target.oid.to_string()) {
                self.add(Some(target.oid), format!("{name} names {}", target.oid));
            }
            if links::peel(objects, target.oid) != target.peeled {
                self.add(Some(target.oid), format!("{name} is peeled to another object than its tag says"));
            }
        }
    }

    /// Reads every snapshot; returns the objects that they name.
    fn snapshots(&mut self, objects: &ObjectReader, refs: &Refs, head: Option<&str>) -> HashSet<Oid> {
        let Some(newest) = refs.get(SNAPSHOTS_REF) else {
            self.add(None, format!("it has no {SNAPSHOTS_REF}"));
            return HashSet::new();
        };
        let read = || -> Result<_, GitError> {
            let history = snapshot::history(objects, newest.oid)?;
            let content = snapshot::content(objects, newest.oid)?;
            let targets = snapshot::targets(objects, &history)?;
            Ok((history, content, targets))
        };
        match read() {
            Ok((history, content, targets)) => {
                self.report.snapshots = history.len() as u64;
                if content.refs != refs.of_remote() {
                    self.add(None, "packed-refs differs from the newest snapshot".to_owned());
                }
                // HEAD is published last: after an interruption it may be the previous one, and the next run updates it.
                let before = || snapshot::content(objects, history.get(1)?.oid).ok();
                let is_of_before = |head: &str| before().is_some_and(|content| content.head == head);
                if head.is_some_and(|head| head != content.head && !is_of_before(head)) {
                    self.add(None, "HEAD differs from the newest snapshot".to_owned());
                }
                targets
            }
            Err(error) => {
                let what = error.damage();
                self.add(Some(newest.oid), what);
                HashSet::new()
            }
        }
    }
}
