//! What a store holds, and what must be true of it after any fault.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::{Path, PathBuf};

use git2::{Oid, Repository};

use ghbk::git::refs::Refs;

use crate::world::{files_below, git_output};

/// The state of one mirror.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Holding {
    /// Relative to the root.
    pub(super) place: PathBuf,
    /// GitHub's refs, not ghbk's own; of metadata, the files, because each run makes a commit of its own.
    refs: Vec<String>,
    head: String,
    /// The name in its `config`.
    full_name: String,
    /// The contents of large files, by their ids.
    large_files: Vec<String>,
}

impl Holding {
    pub(super) fn full_name(&self) -> &str {
        &self.full_name
    }

    /// Says whether these are its refs, as `git for-each-ref` tells them.
    pub(super) fn has_refs(&self, refs: &[String]) -> bool {
        self.refs.iter().eq(refs)
    }

    fn content(&self) -> (&[String], &str) {
        (&self.refs, &self.head)
    }
}

/// All mirrors, by their repository's id; others than the code's are followed by `.wiki` or `.meta`.
pub(super) type Holdings = BTreeMap<String, Holding>;

/// Whatever is no mirror yet, or no longer.
const NOT_HELD: [&str; 3] = [".ghbk/incoming", ".ghbk/damaged", ".ghbk/adopted"];

/// Finds every mirror, where a person would look for one and where a move may leave it.
pub(super) fn holdings(root: &Path) -> Holdings {
    let mut found = Holdings::new();
    for (path, _) in files_below(root) {
        let Some(mirror) = path.parent().filter(|_| path.ends_with("packed-refs")) else { continue };
        let place = mirror.strip_prefix(root).unwrap().to_owned();
        if NOT_HELD.iter().any(|folder| place.starts_with(folder)) {
            continue;
        }
        let config = git2::Config::open(&mirror.join("config")).and_then(|mut config| config.snapshot());
        let Ok(config) = config else { continue };
        let Ok(id) = config.get_i64("ghbk.id") else { continue };
        let kind = [(".wiki.git", ".wiki"), (".meta", ".meta")]
            .into_iter()
            .find_map(|(suffix, kind)| place.to_string_lossy().ends_with(suffix).then_some(kind))
            .unwrap_or_default();
        let holding = Holding {
            refs: if kind == ".meta" { files(mirror) } else { refs(mirror) },
            large_files: large_files(mirror).into_iter().map(|(name, _)| name).collect(),
            head: std::fs::read_to_string(mirror.join("HEAD")).unwrap_or_default(),
            full_name: config.get_str("ghbk.fullName").unwrap_or_default().to_owned(),
            place,
        };
        // The one in its place counts; a repair makes another beside it.
        let in_between = [".ghbk/moving", ".ghbk/replacing"].iter().any(|folder| holding.place.starts_with(folder));
        let key = format!("{id}{kind}");
        if !in_between || !found.contains_key(&key) {
            found.insert(key, holding);
        }
    }
    found
}

/// GitHub's refs of a mirror, damaged or not.
fn refs(mirror: &Path) -> Vec<String> {
    let bytes = std::fs::read(mirror.join("packed-refs")).unwrap();
    let refs = Refs::parse_packed(&bytes).map(|refs| refs.of_remote()).unwrap_or_default();
    refs.iter().map(|(name, target)| format!("{} {name}", target.oid)).collect()
}

/// The files of metadata. `about.json` says of when they are.
fn files(mirror: &Path) -> Vec<String> {
    let listed = git_output(mirror, &["ls-tree", "-r", "main"]);
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    listed.lines().filter(|line| !line.ends_with("about.json")).map(str::to_owned).collect()
}

/// What lies among the contents of large files: names, and the hashes of what they hold.
fn large_files(mirror: &Path) -> Vec<(String, String)> {
    let folder = mirror.join("lfs/objects");
    let files = if folder.exists() { files_below(&folder) } else { Vec::new() };
    let hash = |bytes: &[u8]| -> String {
        let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
        hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
    };
    let named = files
        .into_iter()
        .map(|(path, bytes)| (path.file_name().unwrap_or_default().to_string_lossy().into_owned(), hash(&bytes)));
    // What is being written has a name of its own until it is whole.
    named.filter(|(name, _)| !name.starts_with("tmp_ghbk_")).collect()
}

/// Checks that nothing among the contents of large files is anything else than its name says.
fn check_large_files(mirror: &Path, problems: &mut Vec<String>) {
    for (name, hash) in large_files(mirror).into_iter().filter(|(name, hash)| name != hash) {
        problems.push(format!("large file {name} of {} has the hash {hash}", mirror.display()));
    }
}

/// Every commit that some ref of a mirror reaches, ghbk's own refs and snapshots included.
fn history(mirror: &Path) -> Result<HashSet<Oid>, git2::Error> {
    let repository = Repository::open_bare(mirror)?;
    let mut walk = repository.revwalk()?;
    for reference in repository.references()? {
        let reference = reference?;
        // Refs to blobs and trees have no history.
        if let Ok(commit) = reference.peel_to_commit() {
            walk.push(commit.id())?;
        }
    }
    walk.collect()
}

/// What was there before the fault, and what is to be there in the end.
pub(super) struct Expectations {
    pub(super) before: Holdings,
    pub(super) after: Holdings,
    /// All that may not be lost, by id.
    history_before: BTreeMap<String, HashSet<Oid>>,
    /// How many packs each mirror has when nothing goes wrong.
    packs_after: BTreeMap<String, usize>,
}

impl Expectations {
    /// `root_after` is a store that went through the same without a fault.
    pub(super) fn new(root_before: &Path, root_after: &Path, may_drop_history: bool) -> Self {
        let (before, after) = (holdings(root_before), holdings(root_after));
        let history_of = |(id, holding): (&String, &Holding)| {
            // A damaged mirror has no history that could be walked.
            Some((id.clone(), history(&root_before.join(&holding.place)).ok()?))
        };
        let history_before =
            if may_drop_history { BTreeMap::new() } else { before.iter().filter_map(history_of).collect() };
        let packs_after =
            after.iter().map(|(id, holding)| (id.clone(), packs(&root_after.join(&holding.place)))).collect();
        Self { before, after, history_before, packs_after }
    }

    /// Checks what must hold at any moment: each mirror is in its old or its new state, whole, and a clone of it works.
    pub(super) fn check_now(&self, root: &Path, problems: &mut Vec<String>) {
        let now = holdings(root);
        for id in self.before.keys().filter(|id| !now.contains_key(*id)) {
            problems.push(format!("the mirror of {id} is gone"));
        }
        for (id, holding) in &now {
            let states: Vec<_> =
                [self.before.get(id), self.after.get(id)].into_iter().flatten().map(Holding::content).collect();
            let (refs, head) = holding.content();
            // HEAD is renamed after the refs: the new refs with the HEAD of before is a state that may be seen.
            let is_known = states.iter().any(|state| state.0 == refs) && states.iter().any(|state| state.1 == head);
            if !is_known {
                problems.push(format!("the mirror of {id} is in no state that was meant: {holding:?}"));
            }
            self.check_history(id, &root.join(&holding.place), problems);
            check_large_files(&root.join(&holding.place), problems);
            check_clone(&root.join(&holding.place), problems);
        }
    }

    fn check_history(&self, id: &str, mirror: &Path, problems: &mut Vec<String>) {
        let Some(before) = self.history_before.get(id) else { return };
        match history(mirror) {
            Ok(now) => {
                let lost: Vec<_> = before.difference(&now).collect();
                if !lost.is_empty() {
                    problems.push(format!("{id} has lost {lost:?}"));
                }
            }
            Err(error) => problems.push(format!("the history of {id} cannot be walked: {error}")),
        }
    }

    /// Checks what must hold after the next run: everything is as it was meant, and nothing is left lying about.
    /// Nobody minds `packs_allowed` packs in a mirror.
    pub(super) fn check_in_the_end(
        &self,
        root: &Path,
        scratch: &Path,
        packs_allowed: usize,
        problems: &mut Vec<String>,
    ) {
        let now = holdings(root);
        if now != self.after {
            problems.push(format!("the next run did not bring everything up to date: {now:?}, not {:?}", self.after));
        }
        for (id, holding) in &now {
            let mirror = root.join(&holding.place);
            self.check_history(id, &mirror, problems);
            check_large_files(&mirror, problems);
            // What was published before the fault is used, so there may be one more.
            let (packs, meant) = (packs(&mirror), self.packs_after.get(id).copied().unwrap_or_default());
            if packs > packs_allowed.max(meant + 1) {
                problems.push(format!("{id} has {packs} packs instead of {meant}"));
            }
        }
        let litter: BTreeSet<_> =
            files_below(root).into_iter().map(|(path, _)| path).filter(|path| is_litter(path)).collect();
        if !litter.is_empty() {
            problems.push(format!("left behind: {litter:?}"));
        }
        let left = std::fs::read_dir(scratch).unwrap().count();
        if left > 0 {
            problems.push(format!("{left} folders are left in scratch"));
        }
    }
}

fn packs(mirror: &Path) -> usize {
    let names = std::fs::read_dir(mirror.join("objects/pack")).into_iter().flatten();
    names.filter(|entry| entry.as_ref().is_ok_and(|entry| entry.path().extension() == Some("pack".as_ref()))).count()
}

/// What another tool made is not ours to tidy up.
fn is_litter(path: &Path) -> bool {
    let text = path.to_string_lossy();
    if text.contains("/.ghbk/adopted/") || text.contains("/.ghbk/damaged/") {
        return false;
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let is_alone = |extension: &str, without: &str| {
        path.extension() == Some(extension.as_ref()) && !path.with_extension(without).exists()
    };
    name.starts_with("tmp_")
        || name.ends_with(".lock")
        || text.contains("/.ghbk/incoming/")
        || text.contains("/.ghbk/moving/")
        || text.contains("/.ghbk/replacing/")
        || is_alone("pack", "idx")
        || is_alone("idx", "pack")
}

fn check_clone(mirror: &Path, problems: &mut Vec<String>) {
    let folder = tempfile::tempdir().unwrap();
    let clone = git_output(
        mirror,
        &["clone", "--quiet", "--bare", &mirror.display().to_string(), &folder.path().join("c").display().to_string()],
    );
    if !clone.status.success() {
        problems.push(format!("{} cannot be cloned: {clone:?}", mirror.display()));
    }
    // A clone from a path copies the packs; this opens each index.
    let counted = git_output(mirror, &["count-objects", "-v"]);
    if !counted.status.success() || String::from_utf8_lossy(&counted.stderr).contains("error") {
        problems.push(format!("git complains of {}: {counted:?}", mirror.display()));
    }
}
