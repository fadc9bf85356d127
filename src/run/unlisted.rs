//! Mirrors that a run has no step for: of repositories that are gone, that were transferred or excluded, or whose name
//! another one took, and of wikis that are switched off.
//!
//! It reads names, sizes and lists of refs. What a newcomer would get wrong: nothing is fetched for these mirrors, so nothing
//! else would notice what they lose, and the mirror may be all that is left of a repository that is gone.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use futures_util::StreamExt;

use super::{READ_AHEAD_MIN, apart};
use crate::git::pack::list::PackList;
use crate::mirrors::{MirrorKind, MirrorSet};
use crate::names::RepositoryId;
use crate::outcome::{Held, Outcome, PartOutcome};
use crate::store::{Index, IndexedMirror, Store};

/// The mirrors that a run has looked at.
pub(super) struct LookedAt(HashSet<(RepositoryId, MirrorKind)>);

impl LookedAt {
    pub(super) fn by(
        outcomes: &[Outcome],
        parts: &[PartOutcome],
        unchanged: &HashSet<(RepositoryId, MirrorKind)>,
    ) -> Self {
        let looked_at = |outcome: &Outcome, kind: MirrorKind| {
            let name = kind.name_of(&outcome.full_name);
            let has_failed = || outcome.failures.iter().any(|failure| failure.repository == name);
            kind == MirrorKind::Code || outcome.held.contains_key(&kind) || has_failed()
        };
        let mirrors = outcomes.iter().flat_map(|outcome| MirrorKind::ALL.map(|kind| (outcome, kind)));
        let mirrors = mirrors.filter(|(it, kind)| looked_at(it, *kind)).map(|(it, kind)| (it.id, kind));
        let of_parts = parts.iter().filter(|part| part.mirror == MirrorKind::Metadata && !part.is_cut_off);
        Self(mirrors.chain(of_parts.map(|part| (part.id, part.mirror))).chain(unchanged.iter().copied()).collect())
    }

    fn has(&self, id: RepositoryId, kind: MirrorKind) -> bool {
        self.0.contains(&(id, kind))
    }
}

/// Finds mirrors that were not looked at and are not as the last run left them, or for which no record says how it left
/// them.
pub(super) async fn changed(store: &Store, index: &Index, looked_at: &LookedAt) -> Vec<RepositoryId> {
    let looks = index.mirrors.iter().filter_map(|(id, mirror)| {
        let kinds: MirrorSet = mirror.kinds().into_iter().filter(|kind| !looked_at.has(*id, *kind)).collect();
        if kinds.is_empty() {
            return None;
        }
        let (id, store, mirror) = (*id, store.clone(), mirror.clone());
        Some(async move { apart(move || (!is_as_left(&store, &mirror, &kinds)).then_some(id)).await })
    });
    futures_util::stream::iter(looks).buffered(READ_AHEAD_MIN).filter_map(std::future::ready).collect().await
}

/// Notes the packs of mirrors that were verified since a given time and are whole, so the next run need not verify them again.
pub(super) async fn note_packs(store: &Store, index: &mut Index, changed: &[RepositoryId], since: DateTime<Utc>) {
    let is_whole =
        |mirror: &&IndexedMirror| mirror.damage.is_none() && mirror.verified_at.is_some_and(|at| at >= since);
    for id in changed {
        let Some(mirror) = index.mirrors.get(id).filter(is_whole) else { continue };
        let (store, place, kinds) = (store.clone(), mirror.place.clone(), mirror.kinds());
        let listed = apart(move || {
            let list = |kind| (kind, PackList::of_mirror(store.mirror_at(&place, kind).path()).ok());
            kinds.into_iter().map(list).collect::<Vec<_>>()
        });
        for (kind, packs) in listed.await {
            if let Some(held) = index.mirrors.get_mut(id).and_then(|mirror| mirror.held.get_mut(&kind)) {
                held.packs = packs;
            }
        }
    }
}

pub(super) fn is_as_left(store: &Store, mirror: &IndexedMirror, kinds: &MirrorSet) -> bool {
    kinds.iter().all(|kind| {
        let Some(Held { head: Some(head), packs: Some(packs) }) = mirror.held.get(&kind) else { return false };
        let there = store.mirror_at(&mirror.place, kind);
        let is_whole = there
            .look(packs, head)
            .is_ok_and(|look| look.packs_differ.is_empty() && look.problems.is_empty() && !look.is_head_lost);
        is_whole && matches!(there.refs(), Ok(Some(_)))
    })
}
