//! Rebuilds the index from the mirrors that are there, and from the records.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;

use chrono::Utc;

use super::fold::Folded;
use super::index::{Index, IndexedMirror};
use super::records::{RunRecord, all_runs};
use super::scan::{Scan, Scanned, Unreadable};
use super::{Store, StoreError};
use crate::disk::metadata;
use crate::large_files::missing::Missing;
use crate::mirrors::{MirrorKind, MirrorSet};
use crate::names::RepositoryId;
use crate::outcome::{Kind, RunStatus, RunSummary, State};

/// What the records have said so far, beside what is in the index; they are read newest first.
#[derive(Default)]
pub(super) struct Recalled {
    /// Whether a record has said which repositories are gone.
    pub(super) is_gone_known: bool,
    /// Repositories that a run has finished with since they may have killed one.
    pub(super) cleared: HashSet<RepositoryId>,
    /// Mirrors that were made, and not forgotten since.
    pub(super) made: BTreeMap<RepositoryId, MirrorSet>,
    /// Mirrors that were forgotten.
    pub(super) forgotten: BTreeMap<RepositoryId, MirrorSet>,
    /// Mirrors that may have received packs that no record lists.
    pub(super) unsure: HashSet<(RepositoryId, MirrorKind)>,
}

impl Recalled {
    /// Notes that mirrors were made; those that were forgotten later are not missed.
    fn note_made(&mut self, id: RepositoryId, made: &MirrorSet) {
        let forgotten = self.forgotten.get(&id).cloned().unwrap_or_default();
        self.made.entry(id).or_default().add(&made.without(&forgotten));
    }

    /// Returns the mirrors that were forgotten and not made anew since: an index may be older than what the records say.
    fn forgotten_for_good(&self, id: RepositoryId) -> MirrorSet {
        let forgotten = self.forgotten.get(&id).cloned().unwrap_or_default();
        forgotten.without(&self.made.get(&id).cloned().unwrap_or_default())
    }
}

impl Index {
    /// Makes the index from the mirrors and the records. What cannot be read is taken to be where the outdated index has it.
    pub(super) fn rebuild(store: &Store, outdated: Self) -> Result<Self, StoreError> {
        let Scan { mirrors, unreadable } = store.scan()?;
        let mut index = Self { unreadable, ..Self::default() };
        index.take_found(mirrors);
        let missing = index.take_over_unread(outdated);
        for Unreadable { error, hint, .. } in &index.unreadable {
            tracing::warn!(hint, "{error}");
        }
        let mut recalled = Recalled::default();
        for record in all_runs(store)? {
            match record {
                Ok(record) => index.take_record(record, &mut recalled),
                Err(error) => {
                    let place = PathBuf::from(super::layout::OWN_FOLDER).join("runs");
                    index.unreadable.push(Unreadable::new(None, place, &error));
                }
            }
        }
        match Folded::load(store) {
            Ok(folded) => {
                for (id, repository) in &folded.repositories {
                    recalled.note_made(*id, &repository.made);
                }
                index.take_over_folded(folded, &recalled);
            }
            Err(error) => {
                let place = PathBuf::from(super::layout::OWN_FOLDER);
                index.unreadable.push(Unreadable::new(None, place, &error));
            }
        }
        for (id, mirror) in missing {
            let missed = mirror.kinds().without(&recalled.forgotten_for_good(id));
            if !missed.is_empty() {
                index.miss(store, id, &mirror, missed)?;
            }
        }
        index.note_lost(recalled.made);
        index.note_owed(store)?;
        Ok(index)
    }

    /// Finds mirrors that themselves say that large files are missing: a run that was killed has not recorded it.
    fn note_owed(&mut self, store: &Store) -> Result<(), StoreError> {
        for mirror in self.mirrors.values_mut() {
            for kind in mirror.kinds().iter() {
                let path = Missing::path(store.mirror_at(&mirror.place, kind).path());
                if metadata(&path).map_err(StoreError::io("examine", &path))?.is_some() {
                    mirror.parts.owe(kind, Kind::LargeFiles, Utc::now());
                }
            }
        }
        Ok(())
    }

    /// Adds the mirrors that are there; if a repository has two, the one in its place counts.
    pub(super) fn take_found(&mut self, mirrors: Vec<Scanned>) {
        for found in mirrors {
            let mirror = IndexedMirror { held: found.held, ..IndexedMirror::new(found.full_name, found.place) };
            let at_home = mirror.place == super::layout::place(&mirror.full_name);
            match self.mirrors.entry(found.id) {
                Entry::Vacant(vacant) => {
                    vacant.insert(mirror);
                }
                Entry::Occupied(mut other) => {
                    let (one, two) = (other.get().place.display(), mirror.place.display());
                    self.unreadable.push(Unreadable {
                        id: Some(found.id),
                        place: mirror.place.clone(),
                        error: format!("there are two mirrors of {}: {one} and {two}", mirror.full_name),
                        hint: "compare them with `git log --all`, then move the one you do not need away".to_owned(),
                    });
                    if at_home {
                        other.insert(mirror);
                    }
                }
            }
        }
    }

    /// Adds everything that a record says; records come newest first.
    pub(super) fn take_record(&mut self, record: RunRecord, recalled: &mut Recalled) {
        self.suspect(&record, &mut recalled.cleared);
        for outcome in &record.outcomes {
            recalled.note_made(outcome.id, &outcome.mirrors());
        }
        for part in record.parts.iter().filter(|part| part.held.is_some()) {
            recalled.note_made(part.id, &part.mirror.into());
        }
        self.take_over_record(&record, &mut recalled.unsure);
        for forgotten in &record.forgotten {
            recalled.forgotten.entry(forgotten.id).or_default().add(&forgotten.parts);
        }
        let Some(summary) = record.summary.filter(RunSummary::is_complete) else { return };
        for (owner, listed) in &summary.listed_by_owner {
            self.listed_by_owner.entry(owner.clone()).or_insert(*listed);
        }
        if !recalled.is_gone_known {
            recalled.is_gone_known = true;
            for mirror in self.mirrors.values_mut() {
                mirror.gone = summary.gone.contains(&mirror.full_name);
            }
        }
        self.last_complete_start = self.last_complete_start.or(Some(summary.started_at));
        if summary.status == RunStatus::Ok {
            self.last_success = self.last_success.or(Some(summary.finished_at));
        }
    }

    /// Adds what a record says of mirrors, where newer ones said nothing. For mirrors that may have received packs that no record
    /// lists, the packs in older records do not count.
    pub(super) fn take_over_record(&mut self, record: &RunRecord, unsure: &mut HashSet<(RepositoryId, MirrorKind)>) {
        if record.summary.is_none() {
            let published = record.in_flight.keys().flat_map(|id| MirrorKind::ALL.map(|kind| (*id, kind)));
            unsure.extend(published);
        }
        for verified in &record.verified {
            if self.mirrors.get(&verified.id).is_some_and(|mirror| mirror.verified_at.is_none()) {
                self.verified(verified);
            }
        }
        for (id, at) in &record.restored {
            if self.mirrors.get(id).is_some_and(|mirror| mirror.restored_at.is_none()) {
                self.restored(*id, *at);
            }
        }
        for part in record.parts.iter().rev() {
            if let Some(mirror) = self.mirrors.get_mut(&part.id) {
                mirror.parts.note_older(part);
                if let Some(told) = &part.held
                    && let Some(held) = mirror.held.get_mut(&part.mirror)
                    && !unsure.contains(&(part.id, part.mirror))
                {
                    held.packs = held.packs.take().or_else(|| told.packs.clone());
                    // What a failed publication left is in no list.
                    if told.packs.is_none() {
                        unsure.insert((part.id, part.mirror));
                    }
                }
            }
        }
        for outcome in record.outcomes.iter().rev() {
            let Some(mirror) = self.mirrors.get_mut(&outcome.id) else { continue };
            for kind in MirrorKind::ALL {
                let told = outcome.held.get(&kind).and_then(|told| told.packs.as_ref());
                if let Some(held) = mirror.held.get_mut(&kind).filter(|_| !unsure.contains(&(outcome.id, kind))) {
                    held.packs = held.packs.take().or_else(|| told.cloned());
                }
                if told.is_none() && outcome.may_have_published(kind) {
                    unsure.insert((outcome.id, kind));
                }
            }
            for kind in &outcome.pointers_known {
                mirror.parts.know(*kind, Kind::LargeFiles, outcome.finished_at);
            }
            if !outcome.is_cut_off {
                mirror.last_state = mirror.last_state.or(Some(outcome.state));
            }
            if outcome.is_complete() {
                mirror.last_success = mirror.last_success.or(Some(outcome.finished_at));
            }
            for kind in &outcome.history_lost {
                mirror.history_lost_at.entry(*kind).or_insert(outcome.finished_at);
                if !outcome.repaired {
                    // What older records say was wrong went with the old one.
                    mirror.verified_at = mirror.verified_at.or(Some(outcome.finished_at));
                }
            }
            if outcome.state == State::Created {
                mirror.verified_at = mirror.verified_at.or(Some(outcome.finished_at));
            }
        }
    }

    /// Suspects the repositories that a run was fetching when it died; records come newest first.
    pub(super) fn suspect(&mut self, record: &RunRecord, cleared: &mut HashSet<RepositoryId>) {
        // A repository that was left out of one run is tried again, alone.
        let left_out = record.outcomes.iter().filter(|outcome| outcome.left_out).map(|outcome| (outcome.id, false));
        let in_flight = record.in_flight.iter().filter(|_| record.summary.is_none()).map(|(id, it)| (*id, it.is_alone));
        for (id, was_alone) in left_out.chain(in_flight).filter(|(id, _)| !cleared.contains(id)) {
            *self.suspects.entry(id).or_default() |= was_alone;
        }
        // Whatever they did before, a run has finished with them since.
        cleared.extend(record.outcomes.iter().map(|outcome| outcome.id));
        cleared.extend(record.verified.iter().map(|verified| verified.id));
    }

    /// Notes which mirrors were here once and are missing now: they must not be made anew as if they had never existed.
    pub(super) fn note_lost(&mut self, known: BTreeMap<RepositoryId, MirrorSet>) {
        for (id, known) in known {
            let kinds = self.mirrors.get(&id).map(IndexedMirror::kinds).unwrap_or_default();
            self.lost.entry(id).or_default().add(&known.without(&kinds));
        }
        self.lost.retain(|_, lost| !lost.is_empty());
    }

    /// Adds what the folded records said, where newer ones say nothing.
    pub(super) fn take_over_folded(&mut self, folded: Folded, recalled: &Recalled) {
        for (id, known) in folded.repositories {
            let Some(mirror) = self.mirrors.get_mut(&id) else { continue };
            mirror.last_state = mirror.last_state.or(known.last_state);
            mirror.last_success = mirror.last_success.or(known.last_success);
            for (kind, at) in known.history_lost_at {
                mirror.history_lost_at.entry(kind).or_insert(at);
            }
            mirror.restored_at = mirror.restored_at.or(known.restored_at);
            mirror.parts.take_over(known.parts);
            for (kind, packs) in known.packs {
                if let Some(held) = mirror.held.get_mut(&kind).filter(|_| !recalled.unsure.contains(&(id, kind))) {
                    held.packs.get_or_insert(packs);
                }
            }
            if mirror.verified_at.is_none() {
                (mirror.verified_at, mirror.damage) = (known.verified_at, known.damage);
            }
        }
        for (owner, listed) in folded.listed_by_owner {
            self.listed_by_owner.entry(owner).or_insert(listed);
        }
        if let Some(last) = &folded.last_complete {
            if !recalled.is_gone_known {
                for mirror in self.mirrors.values_mut() {
                    mirror.gone = last.gone.contains(&mirror.full_name);
                }
            }
            self.last_complete_start = self.last_complete_start.or(Some(last.started_at));
        }
        self.last_success = self.last_success.or(folded.last_success);
    }

    /// Adds what the previous index knows of mirrors that could not be read; returns those that are no longer where it had
    /// them.
    pub(super) fn take_over_unread(&mut self, outdated: Self) -> Vec<(RepositoryId, IndexedMirror)> {
        let mut missing = Vec::new();
        for (id, mirror) in outdated.mirrors {
            if self.mirrors.contains_key(&id) {
                continue;
            }
            if let Some(unreadable) = self.unreadable.iter_mut().find(|unreadable| match unreadable.id {
                Some(of) => of == id,
                None => unreadable.place == mirror.place,
            }) {
                unreadable.id = Some(id);
                let place = unreadable.place.clone();
                self.mirrors.insert(id, IndexedMirror { place, is_unconfirmed: true, ..mirror });
                continue;
            }
            missing.push((id, mirror));
        }
        missing
    }

    /// Notes that a mirror is no longer where the previous index had it.
    pub(super) fn miss(
        &mut self,
        store: &Store,
        id: RepositoryId,
        mirror: &IndexedMirror,
        parts: MirrorSet,
    ) -> Result<(), StoreError> {
        let folder = store.mirror_at(&mirror.place, mirror.main_kind());
        let is_there = folder.exists().map_err(StoreError::io("examine", folder.path()))?;
        self.lost.insert(id, parts);
        let what = if is_there { "it no longer says whose it is" } else { "it is no longer there" };
        let name = &mirror.full_name;
        let unreadable = Unreadable {
            id: Some(id),
            error: format!("the mirror of {name} was in {}, and {what}", mirror.place.display()),
            hint: format!(
                "look for it in `.ghbk` and in the backups of the file system; if it is meant to be gone: `ghbk forget {name}`"
            ),
            place: mirror.place.clone(),
        };
        tracing::warn!(hint = unreadable.hint, "{}", unreadable.error);
        self.unreadable.push(unreadable);
        Ok(())
    }
}
