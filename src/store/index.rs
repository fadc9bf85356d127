//! `.ghbk/index.json`: what the mirrors and the records say, in one file, so that planning a thousand repositories
//! does not open a thousand files.
//!
//! Derived, never the truth: it counts only if it was written at the end of the newest run. After an interrupted
//! run, or when it is missing, it is rebuilt from the mirrors and the records.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::fold::Folded;
use super::layout::MirrorKind;
use super::ledger::{Forgotten, RunRecord, Verified, all_runs, latest};
use super::mirror::{Scan, Scanned, Unreadable};
use super::{Store, StoreError};
use crate::disk::{read_at_once, replace};
use crate::git::pack::list::PackList;
use crate::names::{FullName, RepositoryId, RunId, Wanted};
use crate::outcome::{Outcome, RunStatus, RunSummary, State};

/// Holds what planning and status need to know.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Index {
    /// The newest run when it was written; none if it was rebuilt.
    pub run_id: Option<RunId>,
    /// When the last run over everything that came to its end began.
    pub last_complete_start: Option<DateTime<Utc>>,
    /// When the last run over everything that found all well ended.
    pub last_success: Option<DateTime<Utc>>,
    /// How many repositories each owner's listing held in the last complete run.
    pub listed_by_owner: BTreeMap<String, u64>,
    /// Repositories that were being fetched when a run ended without a word, and whether one of them was alone then.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub suspects: BTreeMap<RepositoryId, bool>,
    /// Every mirror.
    pub mirrors: BTreeMap<RepositoryId, IndexedMirror>,
    /// Mirrors that were here once, as the records say, and are no longer.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub lost: BTreeMap<RepositoryId, Lost>,
    /// What could not be read when it was rebuilt, or was not as the index of before knew it.
    #[serde(skip)]
    pub unreadable: Vec<Unreadable>,
}

/// Says which mirrors of a repository are lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lost {
    /// That of its code.
    pub code: bool,
    /// That of its wiki.
    pub wiki: bool,
}

impl Lost {
    /// Adds others.
    fn add(&mut self, other: Self) {
        self.code |= other.code;
        self.wiki |= other.wiki;
    }

    /// Returns those of these that are not among others.
    fn without(self, other: Self) -> Self {
        Self { code: self.code && !other.code, wiki: self.wiki && !other.wiki }
    }
}

/// Describes one mirror.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexedMirror {
    /// The repository's name at the last run.
    pub full_name: FullName,
    /// Where it lies, relative to the root and without suffix.
    pub place: PathBuf,
    /// The content of HEAD, if known.
    pub head: Option<String>,
    /// The content of the wiki's HEAD; none if there is no wiki's mirror.
    pub wiki_head: Option<String>,
    /// Its packs as the last run left them, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub packs: Option<PackList>,
    /// The packs of the wiki's mirror, likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wiki_packs: Option<PackList>,
    /// Whether there is a mirror of its wiki alone: of its code none could be made yet.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub wiki_only: bool,
    /// When it was last known to equal GitHub.
    pub last_success: Option<DateTime<Utc>>,
    /// How its last run ended.
    pub last_state: Option<State>,
    /// Whether GitHub no longer lists it.
    #[serde(default)]
    pub gone: bool,
    /// When every object of it was last read and hashed.
    #[serde(default)]
    pub verified_at: Option<DateTime<Utc>>,
    /// When it was last restored into scratch.
    #[serde(default)]
    pub restored_at: Option<DateTime<Utc>>,
    /// What was wrong with it then.
    #[serde(default)]
    pub damage: Option<String>,
    /// Whether it must stay where it is in this run: only the index of before says whose it is, or it could not be put into
    /// its place.
    #[serde(skip)]
    pub is_unconfirmed: bool,
}

impl IndexedMirror {
    /// Describes a mirror of which no more is known yet.
    pub fn new(full_name: FullName, place: PathBuf) -> Self {
        Self {
            full_name,
            place,
            head: None,
            wiki_head: None,
            packs: None,
            wiki_packs: None,
            wiki_only: false,
            last_success: None,
            last_state: None,
            gone: false,
            verified_at: None,
            restored_at: None,
            damage: None,
            is_unconfirmed: false,
        }
    }

    /// Lists the git repositories that there are of it on the store.
    pub fn kinds(&self) -> Vec<MirrorKind> {
        let code = (!self.wiki_only).then_some(MirrorKind::Code);
        let wiki = (self.wiki_only || self.wiki_head.is_some()).then_some(MirrorKind::Wiki);
        code.into_iter().chain(wiki).collect()
    }

    /// Tells the same as what would be lost with it.
    fn parts(&self) -> Lost {
        let kinds = self.kinds();
        Lost { code: kinds.contains(&MirrorKind::Code), wiki: kinds.contains(&MirrorKind::Wiki) }
    }

    /// Says whether it lies in the attic, because another repository took its name.
    pub fn is_set_aside(&self) -> bool {
        self.place.starts_with(super::layout::attic_folder())
    }
}

const FILE: &str = "index.json";

/// What the records have said so far, beside what is in the index; they are read newest first.
#[derive(Default)]
struct Recalled {
    /// Whether one has said which repositories are gone.
    is_gone_known: bool,
    /// Repositories that have come to an end since they may have ended a run.
    cleared: HashSet<RepositoryId>,
    /// Mirrors that were made, and not forgotten since.
    made: BTreeMap<RepositoryId, Lost>,
    /// Mirrors that were forgotten.
    forgotten: BTreeMap<RepositoryId, Lost>,
    /// Mirrors that may have got packs that no record tells.
    unsure: HashSet<(RepositoryId, MirrorKind)>,
}

impl Recalled {
    /// Notes that mirrors were made; those that were forgotten later are not missed.
    fn note_made(&mut self, id: RepositoryId, made: Lost) {
        let forgotten = self.forgotten.get(&id).copied().unwrap_or_default();
        self.made.entry(id).or_default().add(made.without(forgotten));
    }

    /// Returns the mirrors that were forgotten and not made anew since: an index may be older than what the records say.
    fn forgotten_for_good(&self, id: RepositoryId) -> Lost {
        let forgotten = self.forgotten.get(&id).copied().unwrap_or_default();
        forgotten.without(self.made.get(&id).copied().unwrap_or_default())
    }
}

impl Index {
    /// Reads the index if it is that of the newest run, else rebuilds it.
    ///
    /// # Errors
    /// [`StoreError::Io`] if mirrors or records cannot be read.
    pub fn load(store: &Store, newest: Option<&RunRecord>) -> Result<Self, StoreError> {
        Self::confirm(Self::stored(store), store, newest)
    }

    /// Reads the index as it is stored; none if it cannot be read.
    pub(crate) fn stored(store: &Store) -> Option<Self> {
        read_at_once(&store.own(FILE)).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok())
    }

    /// Returns the stored index if it is that of the newest run, else rebuilds it.
    ///
    /// # Errors
    /// [`StoreError::Io`] if mirrors or records cannot be read.
    pub(crate) fn confirm(stored: Option<Self>, store: &Store, newest: Option<&RunRecord>) -> Result<Self, StoreError> {
        match (stored, newest) {
            (Some(index), Some(newest))
                if newest.summary.is_some() && index.run_id.as_ref() == Some(&newest.run_id) =>
            {
                Ok(index)
            }
            (stored, _) => Self::rebuild(store, stored.unwrap_or_default()),
        }
    }

    /// Reads the index for a command that only looks, also while a run is under way.
    ///
    /// # Errors
    /// [`StoreError::Io`] if mirrors or records cannot be read.
    pub fn current(store: &Store) -> Result<Self, StoreError> {
        let latest = latest(store)?;
        let newest = match &latest.record {
            Ok(Some(newest)) if newest.summary.is_none() && super::is_locked(store)? => newest,
            _ => return Self::load(store, latest.ended()),
        };
        // The index is that of the run before; what has happened since is in the record. Scanning every mirror would
        // take the store's time from the run.
        let before = all_runs(store)?.filter_map(Result::ok).find(|record| record.run_id != newest.run_id);
        let mut index = Self::load(store, before.as_ref())?;
        for outcome in &newest.outcomes {
            index.record(outcome, &super::layout::place(&outcome.full_name));
        }
        Ok(index)
    }

    /// Finds the mirrors that a person may mean: the one in its place first, then those set aside, newest id first.
    pub fn find(&self, wanted: &Wanted) -> Vec<(RepositoryId, &IndexedMirror)> {
        let is_meant = |id: &RepositoryId, mirror: &IndexedMirror| match wanted {
            Wanted::Id(wanted) => wanted == id,
            Wanted::Name(name) => mirror.full_name.same_as(name),
        };
        let mut found: Vec<_> =
            self.mirrors.iter().filter(|(id, mirror)| is_meant(id, mirror)).map(|(id, mirror)| (*id, mirror)).collect();
        found.sort_by_key(|(id, mirror)| (mirror.is_set_aside(), std::cmp::Reverse(*id)));
        found
    }

    /// Makes the index from the mirrors and the records. What cannot be read is where the outdated index knows it to be.
    fn rebuild(store: &Store, outdated: Self) -> Result<Self, StoreError> {
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
                    recalled.note_made(*id, Lost { code: repository.had_code, wiki: repository.had_wiki });
                }
                index.take_over_folded(folded, &recalled);
            }
            Err(error) => {
                let place = PathBuf::from(super::layout::OWN_FOLDER);
                index.unreadable.push(Unreadable::new(None, place, &error));
            }
        }
        for (id, mirror) in missing {
            let missed = mirror.parts().without(recalled.forgotten_for_good(id));
            if missed != Lost::default() {
                index.miss(store, id, &mirror, missed)?;
            }
        }
        index.note_lost(recalled.made);
        Ok(index)
    }

    /// Takes over the mirrors that are there; of two of one repository the one in its place counts.
    fn take_found(&mut self, mirrors: Vec<Scanned>) {
        for found in mirrors {
            let mirror = IndexedMirror {
                head: found.head,
                wiki_head: found.wiki_head,
                wiki_only: found.wiki_only,
                ..IndexedMirror::new(found.full_name, found.place)
            };
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
                        error: format!("there are two mirrors of {}, in {one} and in {two}", mirror.full_name),
                        hint: "compare them with `git log --all`, then move the one you do not need away".to_owned(),
                    });
                    if at_home {
                        other.insert(mirror);
                    }
                }
            }
        }
    }

    /// Takes over everything that a record says; they come newest first.
    fn take_record(&mut self, record: RunRecord, recalled: &mut Recalled) {
        self.suspect(&record, &mut recalled.cleared);
        for outcome in &record.outcomes {
            recalled.note_made(outcome.id, Lost { code: outcome.head.is_some(), wiki: outcome.wiki_head.is_some() });
        }
        self.take_over_record(&record, &mut recalled.unsure);
        for forgotten in &record.forgotten {
            recalled.forgotten.entry(forgotten.id).or_default().add(forgotten.parts);
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

    /// Takes over what a record says of mirrors, where newer ones said nothing. Of those that may have got packs that no record
    /// tells, what older ones say does not count.
    fn take_over_record(&mut self, record: &RunRecord, unsure: &mut HashSet<(RepositoryId, MirrorKind)>) {
        if record.summary.is_none() {
            let published = record.in_flight.keys().flat_map(|id| MirrorKind::BOTH.map(|kind| (*id, kind)));
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
        for outcome in record.outcomes.iter().rev() {
            let Some(mirror) = self.mirrors.get_mut(&outcome.id) else { continue };
            for (kind, packs, told) in [
                (MirrorKind::Code, &mut mirror.packs, &outcome.packs),
                (MirrorKind::Wiki, &mut mirror.wiki_packs, &outcome.wiki_packs),
            ] {
                if packs.is_none() && !unsure.contains(&(outcome.id, kind)) {
                    packs.clone_from(told);
                }
                if told.is_none() && outcome.may_have_published(&kind.name_of(&outcome.full_name)) {
                    unsure.insert((outcome.id, kind));
                }
            }
            if !outcome.is_cut_off {
                mirror.last_state = mirror.last_state.or(Some(outcome.state));
            }
            if outcome.is_complete() {
                mirror.last_success = mirror.last_success.or(Some(outcome.finished_at));
            }
            if outcome.state == State::Created {
                mirror.verified_at = mirror.verified_at.or(Some(outcome.finished_at));
            }
        }
    }

    /// Holds a run that ended without a word against the repositories that it was fetching; records come newest first.
    fn suspect(&mut self, record: &RunRecord, cleared: &mut HashSet<RepositoryId>) {
        // One that was left out had its rest, and is tried again, alone.
        let left_out = record.outcomes.iter().filter(|outcome| outcome.left_out).map(|outcome| (outcome.id, false));
        let in_flight = record.in_flight.iter().filter(|_| record.summary.is_none()).map(|(id, it)| (*id, it.is_alone));
        for (id, was_alone) in left_out.chain(in_flight).filter(|(id, _)| !cleared.contains(id)) {
            *self.suspects.entry(id).or_default() |= was_alone;
        }
        // Whatever it did before, it has come to an end since.
        cleared.extend(record.outcomes.iter().map(|outcome| outcome.id));
        cleared.extend(record.verified.iter().map(|verified| verified.id));
    }

    /// Notes which mirrors that were here once are no longer: they must not be made anew as if they had never been.
    fn note_lost(&mut self, known: BTreeMap<RepositoryId, Lost>) {
        for (id, known) in known {
            let kinds = self.mirrors.get(&id).map(IndexedMirror::kinds).unwrap_or_default();
            let is_here = |kind: MirrorKind| kinds.contains(&kind);
            let lost = self.lost.entry(id).or_default();
            lost.code |= known.code && !is_here(MirrorKind::Code);
            lost.wiki |= known.wiki && !is_here(MirrorKind::Wiki);
        }
        self.lost.retain(|_, lost| *lost != Lost::default());
    }

    /// Takes a mirror out that is not in its place any more, and remembers that it was there.
    pub fn lose(&mut self, id: RepositoryId) {
        if let Some(mirror) = self.mirrors.remove(&id) {
            self.lost.insert(id, mirror.parts());
        }
    }

    /// Takes over that mirrors are meant to be gone.
    pub fn forget(&mut self, forgotten: &Forgotten) {
        let Forgotten { id, parts, .. } = forgotten;
        if let Some(mirror) = self.mirrors.get_mut(id) {
            if parts.wiki {
                (mirror.wiki_head, mirror.wiki_packs) = (None, None);
            }
            if parts.code || mirror.wiki_only {
                self.mirrors.remove(id);
            }
        }
        if let Some(lost) = self.lost.get_mut(id) {
            *lost = lost.without(*parts);
        }
        self.lost.retain(|_, lost| *lost != Lost::default());
        self.unreadable.retain(|it| it.id != Some(*id));
    }

    /// Takes over what the records of long ago said, where newer ones say nothing.
    fn take_over_folded(&mut self, folded: Folded, recalled: &Recalled) {
        for (id, known) in folded.repositories {
            let Some(mirror) = self.mirrors.get_mut(&id) else { continue };
            mirror.last_state = mirror.last_state.or(known.last_state);
            mirror.last_success = mirror.last_success.or(known.last_success);
            mirror.restored_at = mirror.restored_at.or(known.restored_at);
            let sure = |kind| !recalled.unsure.contains(&(id, kind));
            mirror.packs = mirror.packs.take().or(known.packs.filter(|_| sure(MirrorKind::Code)));
            mirror.wiki_packs = mirror.wiki_packs.take().or(known.wiki_packs.filter(|_| sure(MirrorKind::Wiki)));
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

    /// Takes over from the index of before what it knows of mirrors that could not be read; returns those that are no longer
    /// where it knew them.
    fn take_over_unread(&mut self, outdated: Self) -> Vec<(RepositoryId, IndexedMirror)> {
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

    /// Notes that a mirror is no longer where the index of before knew it.
    fn miss(&mut self, store: &Store, id: RepositoryId, mirror: &IndexedMirror, parts: Lost) -> Result<(), StoreError> {
        let kind = if mirror.wiki_only { MirrorKind::Wiki } else { MirrorKind::Code };
        let folder = store.mirror_at(&mirror.place, kind);
        let is_there = folder.exists().map_err(StoreError::io("examine", folder.path()))?;
        self.lost.insert(id, parts);
        let what = if is_there { "it says no longer whose it is" } else { "it is no longer there" };
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

    /// Notes new mirrors that wait for their place: only a sweep puts them there, but for those that are homeless.
    pub fn leave_replacements(&mut self, homeless: &HashSet<RepositoryId>) {
        for (id, mirror) in &mut self.mirrors {
            mirror.is_unconfirmed |= super::layout::is_replacement(&mirror.place) && !homeless.contains(id);
        }
    }

    /// Finds what may be the mirror of a repository that the index does not know.
    pub fn may_be_of(&self, id: RepositoryId, name: &FullName) -> Option<&Unreadable> {
        self.unreadable.iter().find(|unreadable| match unreadable.id {
            // One that is gone is made anew.
            Some(of) => of == id && super::layout::id_of_place_between(&unreadable.place).is_some(),
            None => unreadable.place.starts_with(name.owner()),
        })
    }

    /// Takes over what happened to one repository.
    pub fn record(&mut self, outcome: &Outcome, place: &Path) {
        if outcome.left_out {
            self.suspects.insert(outcome.id, false);
        } else {
            self.suspects.remove(&outcome.id);
        }
        let has_mirror = outcome.head.is_some() || outcome.wiki_head.is_some();
        if let Some(lost) = self.lost.get_mut(&outcome.id) {
            lost.code &= outcome.head.is_none();
            lost.wiki &= outcome.wiki_head.is_none();
        }
        self.lost.retain(|_, lost| *lost != Lost::default());
        if !outcome.is_complete() && !self.mirrors.contains_key(&outcome.id) && !has_mirror {
            return; // it has no mirror yet
        }
        let mirror = self.mirrors.entry(outcome.id).or_insert_with(|| IndexedMirror {
            wiki_only: outcome.head.is_none() && outcome.wiki_head.is_some(),
            ..IndexedMirror::new(outcome.full_name.clone(), place.to_owned())
        });
        mirror.full_name.clone_from(&outcome.full_name);
        if !outcome.is_cut_off {
            mirror.last_state = Some(outcome.state);
        }
        mirror.gone = false;
        let had_wiki = mirror.wiki_only && outcome.head.is_some();
        if outcome.head.is_some() {
            mirror.wiki_only = false;
            mirror.head.clone_from(&outcome.head);
        }
        if outcome.wiki_head.is_some() {
            mirror.wiki_head.clone_from(&outcome.wiki_head);
        }
        let may_have_published = |kind: MirrorKind| outcome.may_have_published(&kind.name_of(&outcome.full_name));
        if outcome.packs.is_some() || may_have_published(MirrorKind::Code) {
            mirror.packs.clone_from(&outcome.packs);
        }
        if outcome.wiki_packs.is_some() || may_have_published(MirrorKind::Wiki) {
            mirror.wiki_packs.clone_from(&outcome.wiki_packs);
        }
        if outcome.is_complete() {
            mirror.last_success = Some(outcome.finished_at);
        }
        if outcome.state == State::Created && !had_wiki {
            // Every object was hashed on its way here, and the packs were read back.
            mirror.verified_at = Some(outcome.finished_at);
            mirror.damage = None;
        }
    }

    /// Takes over what was found in a mirror.
    pub fn verified(&mut self, verified: &Verified) {
        self.suspects.remove(&verified.id);
        if let Some(mirror) = self.mirrors.get_mut(&verified.id) {
            mirror.verified_at = Some(verified.at);
            mirror.damage.clone_from(&verified.damage);
        }
    }

    /// Takes over that a repository was restored.
    pub fn restored(&mut self, id: RepositoryId, at: DateTime<Utc>) {
        if let Some(mirror) = self.mirrors.get_mut(&id) {
            mirror.restored_at = Some(at);
        }
    }

    /// Takes over how the run ended.
    pub fn close(&mut self, summary: &RunSummary) {
        self.run_id = Some(summary.run_id.clone());
        if summary.is_complete() {
            self.last_complete_start = Some(summary.started_at);
            self.listed_by_owner.extend(summary.listed_by_owner.clone());
            if summary.status == RunStatus::Ok {
                self.last_success = Some(summary.finished_at);
            }
        }
    }

    /// Writes the index.
    ///
    /// # Errors
    /// [`StoreError::Io`]; the next run rebuilds it.
    pub fn save(&self, store: &Store) -> Result<(), StoreError> {
        let folder = store.root().join(super::layout::OWN_FOLDER);
        let error = StoreError::io("write", &folder.join(FILE));
        let bytes = match serde_json::to_vec_pretty(self) {
            Ok(bytes) => bytes,
            Err(source) => return Err(error(source.into())),
        };
        replace(&folder, FILE, &bytes).map_err(StoreError::from)
    }
}
