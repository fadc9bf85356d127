//! Makes what is new in a mirror visible on the store, and merges its packs when there are many.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::attempt::Change;
use super::mirror_step::{MirrorStep, Synced, blocking};
use super::remarks::Changed;
use super::repository::Worker;
use crate::git::mirror::changes::{ChangeKind, RefChange};
use crate::git::mirror::consolidate::{Policy, consolidate};
use crate::git::mirror::publish::{Publication, publish};
use crate::git::pack::list::PackList;
use crate::git::{GitError, temporary_folder};
use crate::large_files::missing::Missing;
use crate::outcome::State;
use crate::store::{Mirror, layout};

impl Worker {
    pub(super) fn policy(&self) -> Policy {
        let keep = self.config.retention.keep.and_then(|keep| chrono::TimeDelta::from_std(keep).ok());
        Policy {
            packs_max: self.config.store.packs_max,
            keep_since: keep.and_then(|keep| self.clock.now().checked_sub_signed(keep)),
        }
    }

    /// Merges the packs of a mirror whose merging was interrupted.
    pub(super) async fn merge_again(
        &self,
        step: &MirrorStep<'_>,
        mirror: Mirror,
        cancel: &CancellationToken,
        changed: &mut Changed,
    ) -> Option<PackList> {
        if step.is_alone {
            changed.leave_unmerged();
            return None;
        }
        self.note_under_way(step).await;
        let (lock, policy) = (Arc::clone(&self.lock), self.policy());
        let (parent, cancel) = (self.scratch.clone(), cancel.clone());
        let (store, folder) = (self.store.clone(), mirror.path().to_owned());
        let merged = blocking(move || {
            store.refuse_links_on_the_way(&mirror.path().join("objects/pack"))?;
            lock.confirm()?;
            let scratch = temporary_folder("stage-", &parent)?;
            let merged = consolidate(mirror.path(), scratch.path(), policy, &cancel);
            Ok((merged, PackList::of_mirror(mirror.path()).ok()))
        });
        let (merged, packs) = merged.await.unwrap_or_else(|error| (Err(error), None));
        changed.note_merged(merged, &folder);
        packs
    }

    pub(super) async fn publish(
        &self,
        step: &MirrorStep<'_>,
        mirror: Mirror,
        change: Change,
        cancel: &CancellationToken,
    ) -> Result<Synced, GitError> {
        let store = self.store.clone();
        let building = store.mirror_at(&layout::incoming(step.id), step.kind);
        let (id, full_name, is_alone) = (step.id, step.full_name.clone(), step.is_alone);
        let aside = store.mirror_at(&layout::damaged(step.full_name, step.id, &self.run_id), step.kind);
        let (policy, now) = (self.policy(), self.clock.now());
        let cancel = cancel.clone();
        let lock = Arc::clone(&self.lock);
        let was_known = step.held.is_some() || step.was_lost;
        blocking(move || {
            let Change { stored, is_repair, staged, head, keeps_head, remarks, packs: packs_before, scratch } = change;
            let new_head = (!keeps_head).then_some(head.as_str());
            let compared = stored.as_ref().map(|stored| &stored.refs);
            let may_go_on = || lock.confirm().map_err(GitError::from);
            let publication = Publication {
                packs: &staged.packs,
                refs: &staged.refs,
                compared,
                head: new_head,
                pointers: &staged.pointers,
                noted_at: now,
                may_go_on: &may_go_on,
            };
            // A new mirror is renamed into its place, which fails if a link is in the way.
            if is_repair {
                store.refuse_links_on_the_way(mirror.path())?;
            } else if stored.is_some() {
                store.refuse_links_on_the_way(&mirror.path().join("objects/pack"))?;
            }
            lock.confirm()?;
            if stored.is_some() && !is_repair {
                // Noted before anybody can see the refs that need them: if killed in between, the next run knows what is owed.
                if !staged.pointers.is_empty() {
                    store.refuse_links_on_the_way(&mirror.path().join("lfs/missing.jsonl"))?;
                }
                Missing::note(mirror.path(), &staged.pointers, now)?;
            }
            let state = if is_repair {
                let old = (mirror.path(), aside.path(), true);
                store.replace_mirror(&building, &mirror, old, (id, &full_name), &publication)?;
                State::Updated
            } else if stored.is_some() {
                publish(mirror.path(), &publication)?;
                State::Updated
            } else {
                store.create_mirror(&building, &mirror, (id, &full_name), &publication)?;
                State::Created
            };
            let named = |kinds: &[ChangeKind]| {
                let wanted = |change: &&RefChange| change.is_branch_or_tag() && kinds.contains(&change.kind);
                staged.changes.iter().filter(wanted).map(|change| change.name.clone()).collect()
            };
            let mut changed = Changed {
                force_pushed: named(&[ChangeKind::ForcePushed, ChangeKind::Moved]),
                deleted_refs: named(&[ChangeKind::Deleted]),
                tips_kept: staged.kept,
                repaired: is_repair,
                lost: staged.lost,
                ..Changed::default()
            };
            changed.was_missing = state == State::Created && was_known;
            if is_repair {
                let aside = aside.path().display();
                let advice = if changed.lost.is_empty() {
                    "remove it when you no longer need it"
                } else {
                    "keep it, because something in it could not be read"
                };
                changed.warnings.push(format!("it was fetched anew; the old mirror is in {aside}: {advice}"));
            }
            let is_kept = stored.is_some() && !is_repair;
            let mut packs = PackList::of(&staged.packs).ok();
            if is_kept {
                packs = packs_before.zip(packs).map(|(before, new)| before.and(new));
            }
            let is_crowded = staged.stored_packs + staged.packs.len() > policy.packs_max;
            if is_crowded && is_alone {
                changed.leave_unmerged();
            } else if is_crowded {
                let merged = lock.confirm().map_err(GitError::from);
                let merged = merged.and_then(|()| consolidate(mirror.path(), scratch.path(), policy, &cancel));
                changed.note_merged(merged, mirror.path());
                packs = PackList::of_mirror(mirror.path()).ok();
            }
            // A repair proves all large files, new or not.
            let has_pointers = !staged.pointers.is_empty();
            Ok(Synced { state, head, remarks, packs, changed, has_pointers })
        })
        .await
    }
}
