//! Recovery: what a run that ended badly left on the store is removed, or finished.
//!
//! Only a run that holds the lock does this, before it looks at anything else. What a newcomer would get wrong: one
//! thing that cannot be read must not keep every later run from its work, so it is reported as a failure and left, and
//! the next run tries again.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use tokio_util::sync::CancellationToken;

use super::layout::{self, INCOMING, MOVING, REPLACING};
use super::mirror::{Mirror, move_large_files, of_git};
use super::scan::{foreign_clone, names_in};
use super::{Store, StoreError};
use crate::disk::{TEMPORARY_PREFIX, sync_folder};
use crate::git::GitError;
use crate::git::mirror::verify::{Thoroughness, verify};
use crate::git::pointer::LfsOid;
use crate::large_files::contents::Contents;
use crate::large_files::missing::Missing;
use crate::mirrors::MirrorKind;
use crate::names::{FullName, RepositoryId, RunId};

/// For how many large files leftovers are looked for.
const LARGE_FILES_SWEPT_MAX: usize = 10_000;

/// What a sweep did and found.
#[derive(Debug, Default)]
pub struct Swept {
    /// Files and folders removed.
    pub removed: u64,
    /// Mirrors with too many packs, as an interrupted merging leaves them.
    pub crowded: HashSet<PathBuf>,
    /// What could not be cleaned up, and why: the name of its repository if that is known, else its place.
    pub problems: Vec<(String, StoreError)>,
    /// Repositories whose new mirror cannot go to its place, because another one is there now: it moves like any other.
    pub homeless: HashSet<RepositoryId>,
    /// Mirrors beside their code's that lie between two places, and must not be made anew.
    pub between_places: HashSet<(RepositoryId, MirrorKind)>,
}

impl Swept {
    /// Adds the result of one part; says whether it makes sense to go on.
    fn take(&mut self, name: impl FnOnce() -> String, result: Result<u64, StoreError>) -> bool {
        match result {
            Ok(removed) => {
                self.removed += removed;
                true
            }
            Err(error) => {
                let ends = matches!(&error, StoreError::Disk(error) if error.ends_all_writing());
                self.problems.push((name(), error));
                !ends
            }
        }
    }
}

/// What a sweep needs.
#[derive(Clone, Copy, Debug)]
pub struct Broom<'a> {
    /// A folder on local disk.
    pub scratch: &'a Path,
    /// More packs than this are merged.
    pub packs_max: usize,
    /// Ends it early; the next run continues.
    pub cancel: &'a CancellationToken,
}

impl Store {
    /// Removes what an interrupted run left behind: half-built mirrors, temporary files, packs that were not published.
    /// Finishes replacements and moves that it began.
    ///
    /// # Errors
    /// [`StoreError::Disk`] if the root cannot be read.
    pub fn sweep(&self, broom: Broom<'_>) -> Result<Swept, StoreError> {
        let mut swept = Swept::default();
        let steps = [Self::finish_replacements, Self::bring_companions_home, Self::sweep_incoming];
        let goes_on = steps.into_iter().all(|step| step(self, &mut swept));
        for between in [MOVING, REPLACING] {
            let names = names_in(&self.own(between))?;
            let mirrors = names.iter().filter_map(|name| MirrorKind::split_folder(name));
            let companions = mirrors.filter(|(_, kind)| *kind != MirrorKind::Code);
            swept
                .between_places
                .extend(companions.filter_map(|(stem, kind)| Some((RepositoryId(stem.parse().ok()?), kind))));
        }
        if !goes_on {
            return Ok(swept);
        }
        for folder in self.folders_of_mirrors()? {
            if let Err(error) = self.refuse_links_on_the_way(&folder) {
                swept.problems.push((self.below_root(&folder).display().to_string(), error));
                continue;
            }
            let names = names_in(&folder);
            let Some(names) = self.listed(names, &folder, &mut swept) else { continue };
            for name in names.into_iter().filter(|name| MirrorKind::split_folder(name).is_some()) {
                if broom.cancel.is_cancelled() {
                    return Ok(swept);
                }
                let mirror = Mirror { path: folder.join(name) };
                let result = self.sweep_mirror(&mirror, broom, &mut swept.crowded);
                if broom.cancel.is_cancelled() {
                    return Ok(swept);
                }
                if !swept.take(|| self.name_of(&mirror), result) {
                    return Ok(swept);
                }
            }
        }
        Ok(swept)
    }

    /// Returns the name of a mirror's repository, or its place if it does not say.
    fn name_of(&self, mirror: &Mirror) -> String {
        match mirror.identity() {
            Ok(Some((_, full_name))) => MirrorKind::of_folder(&mirror.path).name_of(&full_name),
            _ => self.below_root(&mirror.path).display().to_string().trim_end_matches(".git").to_owned(),
        }
    }

    fn listed(&self, names: Result<Vec<String>, StoreError>, folder: &Path, swept: &mut Swept) -> Option<Vec<String>> {
        names.map_err(|error| swept.problems.push((self.below_root(folder).display().to_string(), error))).ok()
    }

    /// Removes mirrors that were being built. Says whether it makes sense to go on.
    fn sweep_incoming(&self, swept: &mut Swept) -> bool {
        let incoming = self.own(INCOMING);
        let Some(names) = self.listed(names_in(&incoming), &incoming, swept) else { return true };
        names.into_iter().all(|name| {
            let path = incoming.join(&name);
            // A mirror that an older ghbk was building, or a stray file.
            if name.parse::<u64>().is_err() || !path.is_dir() {
                return self.sweep_one(&path, swept);
            }
            let Some(names) = self.listed(names_in(&path), &path, swept) else { return true };
            names.into_iter().all(|name| self.sweep_one(&path.join(name), swept))
        })
    }

    fn sweep_one(&self, path: &Path, swept: &mut Swept) -> bool {
        let removed = match fs::remove_dir_all(path) {
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => fs::remove_file(path),
            removed => removed,
        };
        let removed = removed.map(|()| 1).map_err(StoreError::io("remove", path));
        swept.take(|| self.below_root(path).display().to_string(), removed)
    }

    /// Finishes replacements that were interrupted once the new mirror was built: it goes to its place, or away if the old
    /// one, from which it was made, is still there. Says whether it makes sense to go on.
    fn finish_replacements(&self, swept: &mut Swept) -> bool {
        let replacing = self.own(REPLACING);
        let Some(names) = self.listed(names_in(&replacing), &replacing, swept) else { return true };
        names.into_iter().all(|name| {
            let between = Mirror { path: replacing.join(&name) };
            let id = name.strip_suffix(MirrorKind::Code.suffix()).and_then(|stem| stem.parse().ok()).map(RepositoryId);
            let name = self.name_of(&between);
            let finished = self.finish_replacement(&between);
            if finished.is_ok() && matches!(between.exists(), Ok(true)) {
                swept.homeless.extend(id);
            }
            swept.take(|| name, finished)
        })
    }

    /// Finishes one replacement; returns how many mirrors went away.
    fn finish_replacement(&self, between: &Mirror) -> Result<u64, StoreError> {
        let (id, full_name) = between.identity()?.ok_or_else(|| is_no_mirror(between))?;
        let kind = MirrorKind::of_folder(&between.path);
        let home = self.mirror_at(&layout::place(&full_name), kind);
        self.refuse_links_on_the_way(&home.path)?;
        match home.identity()? {
            // A repair: it can be asked for again.
            Some((owner, _)) if owner == id && is_older(&home, between)? => {
                // Removed in one step: half of a mirror would belong to no repository.
                let incoming = free_name(&self.own(INCOMING), &format!("{id}{}", kind.suffix()))?;
                put(&between.path, &incoming)?;
                return Ok(0);
            }
            // A scan finds a code's new mirror here, but no other kind.
            Some((owner, _)) if owner != id && kind == MirrorKind::Code => return Ok(0),
            Some(_) => {
                let reason = format!("another mirror lies in {}", between.path.display());
                return Err(StoreError::Occupied { path: home.path, reason });
            }
            // An adoption whose clone was not set aside yet.
            None if foreign_clone(&home.path)?.is_some() => {
                let adopted = self.own("adopted").join("interrupted");
                self.refuse_links_on_the_way(&adopted)?;
                let aside = free_name(&adopted, &format!("{id}{}", kind.suffix()))?;
                put(&home.path, &aside)?;
            }
            None => self.bring_large_files(between, (id, &full_name), kind)?,
        }
        put(&between.path, &home.path)?;
        Ok(0)
    }

    /// Moves the large files of the damaged mirror that was set aside to the new one, unless they were moved already.
    fn bring_large_files(
        &self,
        new: &Mirror,
        (id, full_name): (RepositoryId, &FullName),
        kind: MirrorKind,
    ) -> Result<(), StoreError> {
        let folder = self.root.join(layout::damaged_folder(full_name));
        let begin = format!("{}-{id}-", full_name.name());
        let is_its = |name: &String| {
            let stem = MirrorKind::split_folder(name).filter(|(_, of)| *of == kind).map(|(stem, _)| stem);
            stem.and_then(|stem| stem.strip_prefix(&begin)).is_some_and(|run_id| run_id.parse::<RunId>().is_ok())
        };
        // The ids of runs grow with time.
        let Some(newest) = names_in(&folder)?.into_iter().rfind(is_its) else { return Ok(()) };
        let damaged = folder.join(newest);
        self.refuse_links_on_the_way(&damaged.join("lfs"))?;
        self.refuse_links_on_the_way(&new.path.join("lfs"))?;
        let moved = move_large_files(&damaged, &new.path);
        moved.map_err(|error| of_git(error, "move large files to", &new.path))
    }

    /// Moves back mirrors that left their place before their code's mirror did. Says whether it makes sense to go on.
    fn bring_companions_home(&self, swept: &mut Swept) -> bool {
        let moving = self.own(MOVING);
        let Some(names) = self.listed(names_in(&moving), &moving, swept) else { return true };
        let is_alone = |name: &&String| {
            let mirror = MirrorKind::split_folder(name).filter(|(_, kind)| *kind != MirrorKind::Code);
            mirror.is_some_and(|(stem, _)| !names.contains(&format!("{stem}{}", MirrorKind::Code.suffix())))
        };
        names.iter().filter(is_alone).all(|name| {
            let companion = Mirror { path: moving.join(name) };
            let name = self.name_of(&companion);
            let home = self.bring_companion_home(&companion);
            swept.take(|| name, home)
        })
    }

    fn bring_companion_home(&self, companion: &Mirror) -> Result<u64, StoreError> {
        let (id, full_name) = companion.identity()?.ok_or_else(|| is_no_mirror(companion))?;
        let place = layout::place(&full_name);
        let code = self.mirror_at(&place, MirrorKind::Code);
        let home = self.mirror_at(&place, MirrorKind::of_folder(&companion.path));
        self.refuse_links_on_the_way(&home.path)?;
        // Some repositories have no mirror of their code.
        let is_alone = !code.exists().map_err(StoreError::io("examine", &code.path))?;
        let is_its_code = is_alone || code.identity()?.is_some_and(|(owner, _)| owner == id);
        if !is_its_code || home.exists().map_err(StoreError::io("examine", &home.path))? {
            let reason = format!("the mirror in {} no longer belongs there", companion.path.display());
            return Err(StoreError::Occupied { path: home.path, reason });
        }
        put(&companion.path, &home.path)?;
        Ok(0)
    }

    /// Removes from one mirror what was not published; returns how many files.
    fn sweep_mirror(
        &self,
        mirror: &Mirror,
        broom: Broom<'_>,
        crowded: &mut HashSet<PathBuf>,
    ) -> Result<u64, StoreError> {
        let packs = mirror.path.join("objects/pack");
        // What another tool has under way in a repository of its own is not ours to clean up.
        if mirror.identity()?.is_none() {
            return Ok(0);
        }
        self.refuse_links_on_the_way(&packs)?;
        let mut names = names_in(&packs)?;
        let mut removed = sweep_temporary(&packs, &names)?;
        for folder in [mirror.path.join("objects"), mirror.path.clone()] {
            removed += sweep_temporary(&folder, &names_in(&folder)?)?;
        }
        removed += sweep_large_files(self, &mirror.path)?;
        names.retain(|name| !name.starts_with(TEMPORARY_PREFIX));
        removed += sweep_packs_without_index(&mirror.path, &names, broom)?;
        if names.iter().filter(|name| name.ends_with(".idx")).count() > broom.packs_max {
            crowded.insert(mirror.path.clone());
        }
        Ok(removed)
    }
}

fn is_no_mirror(there: &Mirror) -> StoreError {
    StoreError::Occupied { path: there.path.clone(), reason: "it is no mirror of ghbk".to_owned() }
}

/// Says whether a mirror was made before another.
fn is_older(one: &Mirror, than: &Mirror) -> Result<bool, StoreError> {
    let made_at = |mirror: &Mirror| {
        let path = mirror.path.join("config");
        fs::metadata(&path).and_then(|there| there.modified()).map_err(StoreError::io("examine", &path))
    };
    Ok(made_at(one)? < made_at(than)?)
}

/// Moves a repository to a place that must be free.
fn put(from: &Path, to: &Path) -> Result<(), StoreError> {
    let parent = to.parent().unwrap_or(to);
    fs::create_dir_all(parent).map_err(StoreError::io("create", parent))?;
    fs::rename(from, to).map_err(|error| match error.kind() {
        io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => {
            let reason = format!("the mirror in {} belongs here", from.display());
            StoreError::Occupied { path: to.to_owned(), reason }
        }
        _ => StoreError::io("move", from)(error),
    })?;
    sync_folder(parent).map_err(StoreError::from)
}

/// Finds a name that is free in a folder.
fn free_name(folder: &Path, name: &str) -> Result<PathBuf, StoreError> {
    let taken = names_in(folder)?;
    let mut candidates = std::iter::once(name.to_owned()).chain((2..).map(|number| format!("{number}-{name}")));
    let free = candidates.find(|candidate| !taken.contains(candidate));
    Ok(folder.join(free.unwrap_or_else(|| name.to_owned())))
}

/// Removes our temporary files.
fn sweep_temporary(folder: &Path, names: &[String]) -> Result<u64, StoreError> {
    let mut removed = 0;
    for name in names.iter().filter(|name| name.starts_with(TEMPORARY_PREFIX)) {
        let path = folder.join(name);
        fs::remove_file(&path).map_err(StoreError::io("remove", &path))?;
        removed += 1;
    }
    Ok(removed)
}

/// Removes what is left of large files that were being written, but only of those that the mirror lists as missing. Beyond
/// the limit, a run begins each file anew when it fetches it.
fn sweep_large_files(store: &Store, mirror: &Path) -> Result<u64, StoreError> {
    // A list that cannot be read is reported when it is needed.
    let Ok(missing) = Missing::read(mirror) else { return Ok(0) };
    if missing.is_empty() {
        return Ok(0);
    }
    store.refuse_links_on_the_way(&mirror.join("lfs/objects"))?;
    let oids: Vec<LfsOid> = missing.iter().map(|owed| owed.oid).take(LARGE_FILES_SWEPT_MAX).collect();
    Ok(Contents::of(mirror).sweep(&oids)?)
}

/// Removes packs whose index was not published yet, or was removed first, if the mirror is whole without them: a pack whose
/// index was lost later looks just the same, and a repair can read it.
fn sweep_packs_without_index(mirror: &Path, names: &[String], broom: Broom<'_>) -> Result<u64, StoreError> {
    let has_no_index =
        |name: &&String| name.strip_suffix(".pack").is_some_and(|stem| !names.contains(&format!("{stem}.idx")));
    let alone: Vec<&String> = names.iter().filter(has_no_index).collect();
    if alone.is_empty() {
        return Ok(0);
    }
    let verified = verify(mirror, broom.scratch, Thoroughness::Connected, broom.cancel);
    let verified = match verified {
        Err(GitError::Cancelled) => return Ok(0),
        verified => verified.map_err(|error| of_git(error, "verify", mirror))?,
    };
    if !verified.damage.is_empty() {
        // What could not be read now may be readable in the next run.
        return Err(StoreError::Damaged {
            path: mirror.to_owned(),
            what: "it has a pack without an index, and is damaged without it",
        });
    }
    let mut removed = 0;
    for name in &alone {
        let path = mirror.join("objects/pack").join(name);
        // A manual `git gc` may have finished it in the meantime.
        if !path.with_extension("idx").try_exists().map_err(StoreError::io("examine", &path))? {
            fs::remove_file(&path).map_err(StoreError::io("remove", &path))?;
            removed += 1;
        }
    }
    Ok(removed)
}
