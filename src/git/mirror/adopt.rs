//! Adopt: turns a clone that another tool made into a mirror, without a byte from the network.
//!
//! Blocking; reads one clone, writes only to scratch. The clone's packs are taken as they are, its loose objects become one more,
//! and everything that a ref needs is proven to be there. What a newcomer would get wrong: a plain clone has GitHub's branches
//! below `refs/remotes/origin/`; those below `refs/heads/` are its owner's, and may be older or hold commits that GitHub never
//! had. Nothing in a clone is obeyed: no hook, no configuration, no alternates.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use chrono::{DateTime, Utc};
use git2::{Oid, Repository};
use tokio_util::sync::CancellationToken;

use crate::disk::{is_missing, metadata, read_at_once, read_text};
use crate::git::GitError;
use crate::git::mirror::changes;
use crate::git::mirror::snapshot::{self, Occasion};
use crate::git::mirror::stage::Staged;
use crate::git::pack;
use crate::git::pack::copies::{self, Copied};
use crate::git::pack::examine;
use crate::git::pack::links;
use crate::git::pack::reader::ObjectReader;
use crate::git::refs::{Refs, SNAPSHOTS_REF, Target, is_mirrored, parse_oid};
use crate::git::wire::transport;

/// GitHub's branches in a plain clone.
const REMOTE_BRANCHES: &str = "refs/remotes/origin/";

/// A repository that another tool keeps, bare or with a working tree.
#[derive(Clone, Debug)]
pub struct ForeignClone {
    /// The folder, as a person names it.
    pub folder: PathBuf,
    /// Where its refs and objects are: the folder itself, or its `.git`.
    git_dir: PathBuf,
}

/// What a clone's refs say about GitHub's repository.
#[derive(Clone, Debug, Default)]
struct ForeignRefs {
    /// What GitHub had when the clone was last brought up to date, by GitHub's names.
    of_remote: Refs,
    /// What only the clone has: branches of its owner, a stash.
    others: Vec<Target>,
    /// The content for HEAD.
    head: Option<String>,
}

impl ForeignClone {
    /// Recognises a clone; `None` if the folder is not a git repository.
    ///
    /// # Errors
    /// The system's error if the folder cannot be examined.
    pub fn at(folder: &Path) -> io::Result<Option<Self>> {
        for git_dir in [folder.to_owned(), folder.join(".git")] {
            let has_head = metadata(&git_dir.join("HEAD"))?.is_some_and(|head| head.is_file());
            if has_head && metadata(&git_dir.join("objects"))?.is_some_and(|objects| objects.is_dir()) {
                return Ok(Some(Self { folder: folder.to_owned(), git_dir }));
            }
        }
        Ok(None)
    }

    /// Returns where its refs and objects are once its folder has moved to `folder`.
    pub(crate) fn git_dir_in(&self, folder: &Path) -> PathBuf {
        self.git_dir.strip_prefix(&self.folder).map_or_else(|_| folder.to_owned(), |below| folder.join(below))
    }

    /// Returns whether it has no working tree.
    pub fn is_bare(&self) -> bool {
        self.git_dir == self.folder
    }

    /// Reads the address it was cloned from, which may hold a token and must not be printed.
    ///
    /// # Errors
    /// [`GitError::Disk`] if its configuration cannot be read.
    pub fn origin(&self) -> Result<Option<String>, GitError> {
        transport::set_up_libgit2();
        // libgit2 does not distinguish a file that cannot be read from one that does not exist.
        if self.read("config")?.is_none() {
            return Ok(None);
        }
        let config = git2::Config::open(&self.git_dir.join("config")).and_then(|mut config| config.snapshot())?;
        Ok(config.get_str("remote.origin.url").ok().map(str::to_owned))
    }

    /// Returns when it was last brought up to date, judging by its files.
    pub fn seen_at(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        let modified = |name| fs::metadata(self.git_dir.join(name)).and_then(|metadata| metadata.modified()).ok();
        let newest: Option<SystemTime> = ["FETCH_HEAD", "packed-refs", "HEAD"].into_iter().filter_map(modified).max();
        newest.map_or(now, |at| DateTime::from(at).min(now))
    }

    /// Returns why it cannot become a mirror, if its files show a reason.
    ///
    /// # Errors
    /// [`GitError::Disk`] if they cannot be examined.
    pub fn obstacle(&self) -> Result<Option<&'static str>, GitError> {
        let reasons = [
            ("shallow", "it is shallow: its history is cut off"),
            ("objects/info/alternates", "it borrows objects from another repository (objects/info/alternates)"),
        ];
        for (name, reason) in reasons {
            let path = self.git_dir.join(name);
            if metadata(&path).map_err(GitError::io("examine", &path))?.is_some() {
                return Ok(Some(reason));
            }
        }
        Ok(None)
    }

    /// Reads a small file; `None` if it does not exist.
    fn read(&self, name: &str) -> Result<Option<String>, GitError> {
        let path = self.git_dir.join(name);
        match read_text(&path) {
            Ok(text) => Ok(Some(text.trim_end().to_owned())),
            Err(error) if is_missing(&error) => Ok(None),
            Err(error) => Err(GitError::io("read", &path)(error)),
        }
    }

    fn refs(&self) -> Result<ForeignRefs, GitError> {
        let path = self.git_dir.join("packed-refs");
        let mut refs = match read_at_once(&path) {
            Ok(bytes) => Refs::parse_packed(&bytes)?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Refs::default(),
            Err(error) => return Err(GitError::io("read", &path)(error)),
        };
        if refs.get(SNAPSHOTS_REF).is_some() {
            return Err(GitError::NotAdoptable(
                "it is a mirror of ghbk that does not say whose it is; `ghbk run --repair OWNER/REPO` repairs it",
            ));
        }
        // A loose ref is newer than its packed namesake.
        read_loose(&self.git_dir, "refs", &mut refs)?;
        let is_plain = refs.iter().any(|(name, _)| name.starts_with(REMOTE_BRANCHES));
        let mut found = ForeignRefs { head: self.head(is_plain)?, ..ForeignRefs::default() };
        // No ref names work on a detached HEAD.
        let detached = self.read("HEAD")?.and_then(|text| parse_oid(&text));
        found.others.extend(detached.map(|oid| Target { oid, peeled: None }));
        for (name, target) in refs.iter().filter(|(name, _)| git2::Reference::is_valid_name(name)) {
            match name.strip_prefix(REMOTE_BRANCHES) {
                Some("HEAD") => {}
                Some(branch) => found.of_remote.insert(format!("refs/heads/{branch}"), *target),
                None if is_plain && name.starts_with("refs/heads/") => found.others.push(*target),
                None if is_of_remote(name, is_plain) => found.of_remote.insert(name.to_owned(), *target),
                // GitHub remakes its test merges all the time, and nobody looks for an old one.
                None if name.starts_with("refs/pull/") => {}
                None => found.others.push(*target),
            }
        }
        Ok(found)
    }

    /// Finds GitHub's default branch, or the branch that is checked out.
    fn head(&self, is_plain: bool) -> Result<Option<String>, GitError> {
        if is_plain
            && let Some(of_remote) = self.read(&format!("{REMOTE_BRANCHES}HEAD"))?
            && let Some(branch) = of_remote.strip_prefix("ref: refs/remotes/origin/")
        {
            return Ok(Some(format!("ref: refs/heads/{branch}")));
        }
        Ok(self.read("HEAD")?.filter(|text| text.starts_with("ref: refs/heads/")))
    }
}

/// Returns whether a ref of a clone, other than a branch of a plain one, is GitHub's. A plain clone has only tags, notes and pull
/// requests from GitHub, and the rest is its owner's; a mirror may have any of GitHub's refs.
fn is_of_remote(name: &str, is_plain: bool) -> bool {
    let is_usual =
        ["refs/heads/", "refs/tags/", "refs/notes/", "refs/pull/"].iter().any(|usual| name.starts_with(usual));
    is_mirrored(name) && name != "refs/stash" && (is_usual || !is_plain)
}

/// Reads the loose refs below a folder. Symbolic links may lead anywhere and are not followed.
fn read_loose(git_dir: &Path, name: &str, refs: &mut Refs) -> Result<(), GitError> {
    let folder = git_dir.join(name);
    let entries = match fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(GitError::io("read", &folder)(error)),
    };
    for entry in entries {
        let entry = entry.map_err(GitError::io("read", &folder))?;
        let kind = entry.file_type().map_err(GitError::io("examine", &folder))?;
        // A name that is not text, or not a ref's, such as that of a left-over lock, was never advertised.
        let Ok(file_name) = entry.file_name().into_string() else { continue };
        let name = format!("{name}/{file_name}");
        if kind.is_dir() {
            read_loose(git_dir, &name, refs)?;
        } else if kind.is_file() && git2::Reference::is_valid_name(&name) {
            let path = entry.path();
            let text = read_text(&path).map_err(GitError::io("read", &path))?;
            match parse_oid(text.trim_end()) {
                Some(oid) => refs.insert(name, Target { oid, peeled: None }),
                None if text.starts_with("ref: ") => {}
                None => return Err(GitError::Damaged(format!("the ref {name} cannot be read"))),
            }
        }
    }
    Ok(())
}

/// Makes the parts of a mirror from a clone: packs that hold everything, refs by GitHub's names, a first snapshot.
///
/// `scratch` is an empty folder on local disk.
///
/// # Errors
/// [`GitError::NotAdoptable`] with the reason, [`GitError::Incomplete`] or [`GitError::Damaged`] if objects are missing; the
/// clone is unchanged.
pub fn adopt(
    clone: &ForeignClone,
    default_branch: Option<&str>,
    occasion: &Occasion,
    scratch: &Path,
    cancel: &CancellationToken,
) -> Result<(Staged, String), GitError> {
    if let Some(obstacle) = clone.obstacle()? {
        return Err(GitError::NotAdoptable(obstacle));
    }
    let ForeignRefs { mut of_remote, others, head } = clone.refs()?;
    if of_remote.is_empty() {
        return Err(GitError::NotAdoptable("it has no branch and no tag of GitHub's"));
    }
    let head = head
        .or_else(|| default_branch.map(|branch| format!("ref: refs/heads/{branch}")))
        .unwrap_or_else(|| "ref: refs/heads/main".to_owned());
    transport::set_up_libgit2();
    let repository = Repository::init_bare(scratch)?;
    let folder = scratch.join("objects/pack");
    let copied = copies::copy_all(&clone.git_dir, &folder, cancel)?;
    let mut packs = copied.into_iter().map(Copied::whole).collect::<Result<Vec<_>, _>>()?;
    let objects = scratch.join("objects");
    copies::copy_loose(&clone.git_dir, &objects)?;
    let mut loose = loose_objects(&objects)?;
    // Garbage may be unreadable; that nothing needed is missing is proven below.
    let readable = ObjectReader::over(Vec::new()).with_loose(objects);
    loose.retain(|oid| readable.read(*oid).is_ok());
    if !loose.is_empty() {
        let into = scratch.join("loose");
        fs::create_dir(&into).map_err(GitError::io("create", &into))?;
        packs.push(pack::build(&repository, loose.into_iter().map(|oid| (oid, None)), &into)?.moved_to(&folder)?);
    }
    let tips: HashSet<Oid> =
        of_remote.iter().map(|(_, target)| target.oid).chain(others.iter().map(|t| t.oid)).collect();
    let pointers = examine::prove(&packs, &tips, cancel)?.pointers;

    let there = ObjectReader::open(&packs)?;
    for (name, target) in of_remote.clone().iter() {
        let peeled = links::peel(&there, target.oid);
        of_remote.insert(name.to_owned(), Target { oid: target.oid, peeled });
    }
    let kept = changes::lost(&there, others, &Refs::default(), &of_remote)?;
    let (tip, objects) = snapshot::make(None, &of_remote, &head, &[], occasion)?;
    let into = scratch.join("snapshot");
    fs::create_dir(&into).map_err(GitError::io("create", &into))?;
    packs.push(pack::add(None, &objects, &into)?);
    let mut refs = of_remote;
    for tip in &kept {
        refs.keep(Target { oid: tip.oid, peeled: links::peel(&there, tip.oid) });
    }
    refs.insert(SNAPSHOTS_REF.to_owned(), Target { oid: tip, peeled: None });
    let kept = kept.len() as u64;
    Ok((Staged { packs, stored_packs: 0, refs, changes: Vec::new(), kept, lost: Vec::new(), pointers }, head))
}

/// Lists the loose objects below an `objects` folder, by their names.
fn loose_objects(objects: &Path) -> Result<Vec<Oid>, GitError> {
    let mut found = Vec::new();
    for folder in pack::loose_folders(objects).map_err(GitError::io("read", objects))? {
        let folder = folder.map_err(GitError::io("read", objects))?;
        for file in fs::read_dir(&folder).map_err(GitError::io("read", &folder))? {
            let rest = file.map_err(GitError::io("read", &folder))?.file_name();
            found.extend(parse_oid(&format!("{}{}", pack::name_of(&folder), rest.to_string_lossy())));
        }
    }
    Ok(found)
}
