//! What to report about one mirror: what was unusual about it, and what a run did to it.

use std::path::Path;

use crate::disk::DiskError;
use crate::git::GitError;
use crate::git::mirror::consolidate::Consolidated;
use crate::git::refs::{DISPLACED_NAMESPACE, OWN_NAMESPACE};
use crate::git::wire::advertisement::Advertisement;
use crate::large_files::retain::retain;
use crate::mirrors::MirrorKind;
use crate::outcome::{DAMAGED, Failure, Outcome, Stage, State, repair_hint};

/// What is unusual about the refs that the server advertised.
#[derive(Default)]
pub(super) struct Remarks {
    /// Names that cannot be stored.
    pub(super) unusable: Vec<String>,
    /// How many refs of the server lie in ghbk's own namespace.
    pub(super) displaced: u64,
    /// What a look at the mirror found wrong with it.
    pub(super) problems: Vec<String>,
    /// Whether HEAD was lost and is written again.
    pub(super) was_head_lost: bool,
    /// Whether GitHub no longer has it.
    pub(super) is_gone: bool,
}

impl Remarks {
    pub(super) fn on(advertisement: Advertisement, problems: Vec<String>, was_head_lost: bool) -> Self {
        let Advertisement { unusable, displaced, .. } = advertisement;
        Self { unusable, displaced, problems, was_head_lost, is_gone: false }
    }

    pub(super) fn tell(self, name: &str, state: State, outcome: &mut Outcome) {
        outcome.failures.extend(self.unusable.into_iter().map(|unusable| Failure {
            repository: name.to_owned(),
            stage: Stage::Stage,
            error: format!("the ref {unusable:?} has a name that cannot be stored; all others are"),
            hint: "rename it on GitHub".to_owned(),
        }));
        outcome.failures.extend(self.problems.into_iter().map(|problem| damaged(name, &problem)));
        if self.is_gone {
            outcome.warnings.push(format!("{name} is no longer on GitHub; its mirror is kept"));
        }
        if self.was_head_lost {
            outcome.warnings.push(format!("{name}: HEAD of the mirror was missing or changed; it has been restored"));
        }
        if self.displaced > 0 && state != State::Unchanged {
            outcome.warnings.push(format!(
                "{name}: its {} refs below {OWN_NAMESPACE} on GitHub are stored below {DISPLACED_NAMESPACE}",
                self.displaced
            ));
        }
    }
}

/// What a run did to a mirror that was not up to date.
#[derive(Default)]
pub(super) struct Changed {
    pub(super) force_pushed: Vec<String>,
    pub(super) deleted_refs: Vec<String>,
    pub(super) tips_kept: u64,
    pub(super) consolidated: Consolidated,
    pub(super) unmerged: bool,
    /// What was found to be damaged when packs were merged.
    pub(super) damage: Vec<String>,
    /// Why a merge failed, if that is not the mirror's fault.
    pub(super) unsafe_merge: Option<GitError>,
    /// Whether its mirror was known, and was not in its place.
    pub(super) was_missing: bool,
    pub(super) repaired: bool,
    /// What a repair could not read.
    pub(super) lost: Vec<String>,
    pub(super) warnings: Vec<String>,
}

impl Changed {
    /// Adds all of it to the outcome of a mirror's repository.
    pub(super) fn tell(self, name: &str, outcome: &mut Outcome) {
        let Changed {
            force_pushed,
            deleted_refs,
            tips_kept,
            consolidated,
            unmerged,
            damage,
            unsafe_merge,
            was_missing,
            repaired,
            lost,
            warnings,
        } = self;
        outcome.failures.extend(damage.into_iter().map(|damage| damaged(name, &damage)));
        outcome.failures.extend(unsafe_merge.map(|error| Failure {
            repository: name.to_owned(),
            stage: Stage::Publish,
            error: format!("its packs could not be merged: {error}"),
            hint: error.hint_for(MirrorKind::split_name(name).0),
        }));
        outcome.repaired |= repaired;
        outcome.unmerged |= unmerged;
        if was_missing || !lost.is_empty() {
            outcome.history_lost.push(MirrorKind::split_name(name).1);
        }
        if was_missing {
            outcome.failures.push(Failure {
                repository: name.to_owned(),
                stage: Stage::Verify,
                error: "its mirror was missing; a new one was made, without the snapshots and kept tips of the old one"
                    .to_owned(),
                hint:
                    "look for the old one in `.ghbk` and in the backups of the file system: nothing else has those snapshots"
                        .to_owned(),
            });
        }
        outcome.failures.extend(lost.into_iter().map(|lost| Failure {
            repository: name.to_owned(),
            stage: Stage::Verify,
            error: format!("lost: {lost}"),
            hint: "look in the backups of the store's file system; everything else is repaired".to_owned(),
        }));
        outcome.force_pushed.extend(force_pushed);
        outcome.deleted_refs.extend(deleted_refs);
        outcome.warnings.extend(warnings.into_iter().map(|warning| format!("{name}: {warning}")));
        outcome.tips_kept += tips_kept;
        outcome.packs_merged += consolidated.packs_merged;
        if consolidated.snapshots_dropped > 0 {
            let dropped = outcome.dropped.get_or_insert_default();
            dropped.snapshots += consolidated.snapshots_dropped;
            dropped.tips += consolidated.tips_dropped;
        }
    }

    /// Leaves the packs of a mirror that may have killed the last run as they are: merging them may be what killed it.
    pub(super) fn leave_unmerged(&mut self) {
        self.unmerged = true;
        self.warnings.push("its packs were not merged, because the last run died while it was merging them".to_owned());
    }

    /// Removes the large files that were needed only by what retention has dropped.
    fn retain_large_files(&mut self, mirror: &Path) {
        let Some(pointers) = &self.consolidated.pointers else { return };
        match retain(mirror, pointers) {
            Ok(0) => {}
            Ok(removed) => {
                tracing::info!(mirror = %mirror.display(), removed, "large files that nothing needs any more are removed");
            }
            Err(error) => self.warnings.push(format!("large files that nothing needs any more stay: {error}")),
        }
    }

    /// Notes the result of merging packs. What is published stays published; too many packs are no failure of the backup, but a
    /// mirror that cannot be read is.
    pub(super) fn note_merged(&mut self, merged: Result<Option<Consolidated>, GitError>, mirror: &Path) {
        let error = match merged {
            Ok(consolidated) => {
                self.consolidated = consolidated.unwrap_or_default();
                self.retain_large_files(mirror);
                return;
            }
            Err(error) => error,
        };
        self.unmerged = true;
        match error {
            GitError::Cancelled => {}
            GitError::Damaged(_) | GitError::Lost(_) | GitError::Incomplete(_) => self.damage.push(error.damage()),
            GitError::Disk(ref error) if error.is_below(mirror) && !error.is_full() => {
                self.damage.push(error.to_string());
            }
            GitError::Disk(DiskError::ReadBackDiffers(_)) | GitError::Overtaken | GitError::LockLost(_) => {
                self.unsafe_merge = Some(error);
            }
            error => self.warnings.push(format!("its packs could not be merged: {error}")),
        }
    }
}

/// Makes the failure for damage that a run came across.
pub(super) fn damaged(name: &str, problem: &str) -> Failure {
    Failure {
        repository: name.to_owned(),
        stage: Stage::Verify,
        error: format!("{DAMAGED}{problem}"),
        hint: repair_hint(name),
    }
}
