//! Mirrors on disk: finding, reading, making and moving them.
//!
//! A mirror is an ordinary bare repository whose `config` says which GitHub repository it belongs to. What a newcomer would
//! get wrong: a place is a path without its suffix, because all mirrors of a repository move together.

use std::path::{Path, PathBuf};
use std::{fs, io};

use tokio_util::sync::CancellationToken;

use super::contents::mark_untouched;
use super::layout::REPLACING;
use super::{Store, StoreError};
use crate::disk::{is_missing, metadata, read_at_once, replace, sync_folder};
use crate::git::GitError;
use crate::git::mirror::publish;
use crate::git::mirror::publish::Publication;
use crate::git::mirror::salvage::find_snapshots;
use crate::git::mirror::snapshot::Snapshot;
use crate::git::mirror::verify::{Damage, Thoroughness, Verification, verify};
use crate::git::pack::view::View;
use crate::git::refs::{Refs, SNAPSHOTS_REF};
use crate::git::wire::transport::set_up_libgit2;
use crate::large_files::check::{Checked, check};
use crate::large_files::missing::Missing;
use crate::mirrors::MirrorKind;
use crate::names::{FullName, RepositoryId};

/// How many damaged large files are named.
const LARGE_FILES_NAMED_MAX: usize = 50;

/// One bare repository on the store, whether it exists or not.
#[derive(Clone, Debug)]
pub struct Mirror {
    pub(super) path: PathBuf,
}

/// The points in time of a mirror.
pub struct History {
    /// The view through which they are restored.
    pub view: View,
    /// Newest first.
    pub snapshots: Vec<Snapshot>,
    /// Whether these are all of them; if not, the newest one here may not be the newest there was.
    pub is_whole: bool,
}

impl Mirror {
    /// Returns the folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Says whether the folder is there.
    ///
    /// # Errors
    /// The system's error if it cannot say: a mirror that cannot be looked at must not pass for a missing one, because a new
    /// one would take its place.
    pub fn exists(&self) -> io::Result<bool> {
        is_folder(&self.path)
    }

    /// Reads the stored refs; none if there is no such mirror.
    ///
    /// # Errors
    /// [`GitError`] if they cannot be read.
    pub fn refs(&self) -> Result<Option<Refs>, GitError> {
        let path = self.path.join("packed-refs");
        match read_at_once(&path) {
            Ok(bytes) => Refs::parse_packed(&bytes).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if self.exists().map_err(GitError::io("examine", &self.path))? {
                    Err(GitError::Damaged("it has no packed-refs".to_owned()))
                } else {
                    Ok(None)
                }
            }
            Err(error) => Err(GitError::io("read", &path)(error)),
        }
    }

    /// Reads the points in time, or those that can still be found if the mirror is damaged; none if there is no mirror.
    ///
    /// # Errors
    /// [`GitError`] if they cannot be read.
    pub fn snapshots(&self, scratch: &Path) -> Result<Option<History>, GitError> {
        let Some(refs) = self.refs()? else { return Ok(None) };
        let newest = refs.get(SNAPSHOTS_REF).map(|target| target.oid);
        let view = View::open_with_unindexed(&self.path, scratch)?;
        let (snapshots, is_whole) = find_snapshots(view.objects(), newest);
        if snapshots.is_empty() {
            return Err(GitError::Damaged("no snapshot in it can be read".to_owned()));
        }
        Ok(Some(History { view, snapshots, is_whole }))
    }

    /// Reads HEAD; none if it is missing or empty.
    ///
    /// # Errors
    /// [`StoreError::Disk`].
    pub fn head(&self) -> Result<Option<String>, StoreError> {
        let path = self.path.join("HEAD");
        match read_at_once(&path) {
            Ok(bytes) => {
                let head = String::from_utf8_lossy(&bytes).trim_end().to_owned();
                Ok(Some(head).filter(|head| !head.is_empty()))
            }
            Err(error) if is_missing(&error) => Ok(None),
            Err(error) => Err(StoreError::io("read", &path)(error)),
        }
    }

    /// Says whether HEAD is there and has the length of this one, in a single operation.
    ///
    /// # Errors
    /// [`GitError::Disk`] if it cannot be examined.
    pub fn may_have_head(&self, head: &str) -> Result<bool, GitError> {
        let path = self.path.join("HEAD");
        let there = metadata(&path).map_err(GitError::io("examine", &path))?;
        Ok(there.is_some_and(|there| there.is_file() && there.len() == head.len() as u64 + 1))
    }

    /// Reads which repository it is a mirror of; none if it is not one of ghbk's.
    ///
    /// # Errors
    /// [`StoreError::Disk`] if it cannot be read, which says nothing about its repository.
    pub fn identity(&self) -> Result<Option<(RepositoryId, FullName)>, StoreError> {
        set_up_libgit2();
        let path = self.path.join("config");
        // libgit2 does not distinguish a file that cannot be read from one that cannot be understood. It may have become
        // readable only now, so it gets a second chance.
        for _ in 0..2 {
            if let Some(identity) = parse_identity(&path) {
                return Ok(Some(identity));
            }
            match read_at_once(&path) {
                Ok(_) => {}
                Err(error) if is_missing(&error) => return Ok(None),
                Err(error) => return Err(StoreError::io("read", &path)(error)),
            }
        }
        Ok(None)
    }

    /// Verifies it as the mirror of a repository: another repository's mirror in its place is as bad as none.
    ///
    /// # Errors
    /// As [`verify`].
    pub fn verify(
        &self,
        id: RepositoryId,
        scratch: &Path,
        thoroughness: Thoroughness,
        are_pointers_known: bool,
        cancel: &CancellationToken,
    ) -> Result<(Verification, Checked), GitError> {
        let mut verification = verify(&self.path, scratch, thoroughness, cancel)?;
        if let Ok(Some((owner, name))) = self.identity()
            && owner != id
        {
            let what = format!("it is the mirror of {name} ({owner}), which belongs elsewhere");
            verification.damage.insert(0, Damage { object: None, what });
        }
        let is_deep = thoroughness == Thoroughness::Deep;
        let checked = check(&self.path, &verification.pointers, is_deep, cancel)?;
        if cancel.is_cancelled() {
            return Err(GitError::Cancelled);
        }
        let damaged = checked.damaged.iter().map(|(oid, what)| (*oid, what.clone()));
        let lost = checked.unknown.iter().filter(|_| are_pointers_known).map(|pointer| {
            (pointer.oid, format!("large file {} ({} bytes) is missing", pointer.oid, pointer.size_bytes))
        });
        let damaged = damaged.chain(lost).take(LARGE_FILES_NAMED_MAX);
        let damaged = damaged.map(|(oid, what)| Damage { object: Some(oid.to_string()), what });
        verification.damage.extend(damaged);
        Ok((verification, checked))
    }

    /// Reads the host of its GitHub; none if it does not say.
    ///
    /// # Errors
    /// [`StoreError::Disk`] if it cannot be read.
    pub fn host(&self) -> Result<Option<String>, StoreError> {
        set_up_libgit2();
        let path = self.path.join("config");
        if !metadata(&path).map_err(StoreError::io("examine", &path))?.is_some_and(|there| there.is_file()) {
            return Ok(None);
        }
        let config = git2::Config::open(&path).and_then(|mut config| config.snapshot());
        Ok(config.and_then(|config| config.get_str("ghbk.host").map(str::to_owned)).ok())
    }

    /// Writes the new name into `config`.
    pub(super) fn set_full_name(&self, name: &FullName) -> Result<(), StoreError> {
        self.edit_config("ghbk.fullName", &name.to_string())
    }

    /// Makes a mirror refuse pushes, which mirrors of older versions of ghbk accept: a ref that git writes hides the stored
    /// one. Says whether this changed anything. A value that somebody else has set stays.
    ///
    /// # Errors
    /// [`StoreError`]; the configuration is as it was.
    pub fn refuse_pushes(&self) -> Result<bool, StoreError> {
        set_up_libgit2();
        let config = git2::Config::open(&self.path.join("config")).and_then(|mut config| config.snapshot());
        if config.is_ok_and(|config| config.get_str(HIDE_REFS).is_ok()) {
            return Ok(false);
        }
        self.edit_config(HIDE_REFS, "refs").map(|()| true)
    }

    /// Sets one value of `config`.
    ///
    /// This edits a copy, which then replaces the file: if killed in between, git would leave a lock that no later run could
    /// take.
    fn edit_config(&self, name: &str, value: &str) -> Result<(), StoreError> {
        set_up_libgit2();
        let path = self.path.join("config");
        let failed = |doing| StoreError::io(doing, &path);
        let folder = tempfile::tempdir().map_err(failed("copy"))?;
        let copy = folder.path().join("config");
        let config = read_at_once(&path).map_err(failed("copy"))?;
        fs::write(&copy, config).map_err(failed("copy"))?;
        git2::Config::open(&copy)
            .and_then(|mut config| config.set_str(name, value))
            .map_err(|error| failed("edit")(io::Error::other(error.message().to_owned())))?;
        let edited = fs::read(&copy).map_err(failed("copy"))?;
        replace(&self.path, "config", &edited).map_err(StoreError::from)
    }
}

/// The key that makes git refuse a push to a ref, whatever its name; clones and fetches still work.
const HIDE_REFS: &str = "receive.hideRefs";

fn parse_identity(config: &Path) -> Option<(RepositoryId, FullName)> {
    // libgit2 would wait for somebody to write to a FIFO.
    if !metadata(config).ok()??.is_file() {
        return None;
    }
    let config = git2::Config::open(config).ok()?.snapshot().ok()?;
    let id = u64::try_from(config.get_i64("ghbk.id").ok()?).ok()?;
    Some((RepositoryId(id), config.get_str("ghbk.fullName").ok()?.parse().ok()?))
}

fn is_folder(path: &Path) -> io::Result<bool> {
    Ok(metadata(path)?.is_some_and(|there| there.is_dir()))
}

impl Store {
    /// Returns the mirror at a place.
    pub fn mirror_at(&self, place: &Path, kind: MirrorKind) -> Mirror {
        let mut name = place.as_os_str().to_owned();
        name.push(kind.suffix());
        Mirror { path: self.root.join(name) }
    }

    /// Builds a whole new mirror at `building`, then renames it into its place.
    ///
    /// # Errors
    /// [`GitError`]; at worst a leftover that the next run sweeps.
    pub fn create_mirror(
        &self,
        building: &Mirror,
        target: &Mirror,
        identity: (RepositoryId, &FullName),
        publication: &Publication<'_>,
    ) -> Result<(), GitError> {
        build(building, identity, self.host.as_deref(), publication)?;
        (publication.may_go_on)()?;
        let path = building.path();
        let parent = target.path.parent().unwrap_or(&self.root);
        let mut renamed = fs::rename(path, &target.path);
        if renamed.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
            fs::create_dir_all(parent).map_err(GitError::io("create", parent))?;
            renamed = fs::rename(path, &target.path);
        }
        renamed.map_err(GitError::io("create", &target.path))?;
        Ok(sync_folder(parent)?)
    }

    /// Builds a whole new mirror at `building`, sets `old` aside, and puts the new one in its place, where `old` may have
    /// been. `old` is a damaged mirror, whose large files move along, or another tool's clone.
    ///
    /// # Errors
    /// [`GitError`]; what was there stays where it was or is set aside, and the next run finishes what was begun.
    pub fn replace_mirror(
        &self,
        building: &Mirror,
        target: &Mirror,
        (old, aside, is_mirror): (&Path, &Path, bool),
        identity: (RepositoryId, &FullName),
        publication: &Publication<'_>,
    ) -> Result<(), GitError> {
        build(building, identity, self.host.as_deref(), publication)?;
        (publication.may_go_on)()?;
        for path in [old, aside, target.path()] {
            self.refuse_links_on_the_way(path.parent().unwrap_or(&self.root))?;
        }
        // A scan finds a mirror between two places; one that is being built would be swept.
        let between = building.path().file_name().map(|name| self.own(REPLACING).join(name));
        let between = between.ok_or_else(|| GitError::Task("a mirror without a name".to_owned()))?;
        for (from, to) in [(building.path(), between.as_path()), (old, aside), (&between, target.path())] {
            let parent = to.parent().unwrap_or(&self.root);
            fs::create_dir_all(parent).map_err(GitError::io("create", parent))?;
            fs::rename(from, to).map_err(GitError::io("move", from))?;
            sync_folder(parent)?;
            if to == aside && is_mirror {
                // Large files are proven by their hashes, and need not be fetched a second time.
                move_large_files(aside, &between)?;
            }
        }
        Ok(())
    }
}

/// Moves large files to the mirror that takes another's place, with the list of those that are missing.
pub(super) fn move_large_files(from: &Path, to: &Path) -> Result<(), GitError> {
    let (objects, folder) = (from.join("lfs/objects"), to.join("lfs"));
    let exists = |path: &Path| metadata(path).map(|there| there.is_some()).map_err(GitError::io("examine", path));
    // An interrupted repair may have moved them already, but not the list of those that are missing.
    if exists(&objects)? && !exists(&folder.join("objects"))? {
        fs::create_dir_all(&folder).map_err(GitError::io("create", &folder))?;
        fs::rename(&objects, folder.join("objects")).map_err(GitError::io("move", &objects))?;
        sync_folder(&folder)?;
    }
    if let Err(error) = Missing::inherit(to, from) {
        // The new mirror lists all of them as missing, and the next run looks for each.
        tracing::warn!(mirror = %from.display(), "its list of missing large files: {error}");
    }
    Ok(())
}

/// Turns a failure in a mirror into one of the store.
pub(super) fn of_git(error: GitError, doing: &'static str, path: &Path) -> StoreError {
    match error {
        GitError::Disk(error) => error.into(),
        error => StoreError::io(doing, path)(io::Error::other(error.to_string())),
    }
}

/// Builds a whole mirror in a folder of its own.
fn build(
    building: &Mirror,
    identity: (RepositoryId, &FullName),
    host: Option<&str>,
    publication: &Publication<'_>,
) -> Result<(), GitError> {
    let path = building.path();
    let failed = |doing| GitError::io(doing, path);
    loop {
        match fs::create_dir(path) {
            Ok(()) => break,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                fs::remove_dir_all(path).map_err(failed("remove"))?;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let parent = path.parent().unwrap_or(path);
                fs::create_dir_all(parent).map_err(GitError::io("create", parent))?;
            }
            Err(error) => return Err(failed("create")(error)),
        }
    }
    let (id, name) = identity;
    let host = host.map_or_else(String::new, |host| format!("\thost = {host}\n"));
    // No automatic gc: objects that nothing refers to any more are just what a person may need. No pushes: a ref that git writes
    // hides the stored one.
    let config = format!(
        "[core]\n\trepositoryformatversion = 0\n\tbare = true\n[gc]\n\tauto = 0\n[receive]\n\thideRefs = refs\n\
         [ghbk]\n\tid = {id}\n\tfullName = {name}\n{host}"
    );
    publish::build(path, &config, publication)?;
    Missing::note(path, publication.pointers, publication.noted_at)?;
    mark_untouched(&path.join("refs"));
    Ok(())
}
