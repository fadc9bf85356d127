//! Large files that a person accepts as gone for good: noted in the mirror and recorded, so no run warns about them any more.
//!
//! Writes the mirror's list of missing files, the record and the index. A file that GitHub still has, or may have again, cannot
//! be accepted: every run goes on asking for it.

use super::Session;
use crate::git::pointer::LfsOid;
use crate::large_files::missing::{Missing, Owed};
use crate::mirrors::MirrorKind;
use crate::names::RepositoryId;
use crate::outcome::{Kind, PartCounts, PartOutcome, RunEnd, RunSummary, STORED, STORED_BYTES};
use crate::store::{Record, StoreError};

/// The result of accepting.
#[derive(Debug)]
pub enum Acceptance {
    /// Some are accepted, or were before.
    Done(Accepted),
    /// One cannot be accepted, so none is.
    Refused {
        /// The file that cannot be accepted.
        oid: LfsOid,
        /// Whether it is missing at all.
        is_missing: bool,
    },
}

/// Which large files are accepted.
#[derive(Debug)]
pub struct Accepted {
    /// What is accepted now and was not before.
    pub accepted: Vec<Owed>,
    /// What is missing and not accepted.
    pub left: Vec<Owed>,
    /// How many had been accepted before.
    pub before: u64,
    /// How the run ended; none if nothing was to be accepted.
    pub summary: Option<Box<RunSummary>>,
}

impl Session {
    /// Accepts that large files of a repository are missing: those named, or all that can be accepted if none are.
    ///
    /// # Errors
    /// [`StoreError`] if the mirror cannot be read or written, or the record cannot be written.
    pub fn accept(mut self, id: RepositoryId, named: &[LfsOid]) -> Result<Acceptance, StoreError> {
        let tally = std::mem::take(&mut self.tally);
        let (mut accepted, mut left) = (Vec::new(), Vec::new());
        let known = self.index.mirrors.get(&id).cloned();
        let kinds = known.iter().flat_map(|mirror| mirror.kinds().into_iter().map(move |kind| (mirror, kind)));
        let mut lists = Vec::new();
        for (indexed, kind) in kinds {
            let mirror = self.store.mirror_at(&indexed.place, kind);
            let missing = Missing::read(mirror.path())?;
            lists.push((mirror, kind, missing));
        }
        let can_accept = |oid: &&LfsOid| lists.iter().any(|(_, _, missing)| missing.can_accept(oid));
        if let Some(refused) = named.iter().find(|oid| !can_accept(oid)) {
            let is_missing = lists.iter().any(|(_, _, missing)| missing.get(refused).is_some());
            self.ledger.discard()?;
            return Ok(Acceptance::Refused { oid: *refused, is_missing });
        }
        let before =
            lists.iter().flat_map(|(_, _, missing)| missing.iter()).filter(|owed| owed.is_accepted).count() as u64;
        let is_meant = |owed: &Owed| named.is_empty() || named.contains(&owed.oid);
        for (mirror, kind, mut missing) in lists {
            let before: Vec<Owed> = missing.iter().filter(|owed| !owed.is_accepted).cloned().collect();
            let is_changed = missing.accept(is_meant) > 0;
            let is_accepted = |owed: &&Owed| missing.get(&owed.oid).is_some_and(|now| now.is_accepted);
            accepted.extend(before.iter().filter(is_accepted).cloned());
            left.extend(before.iter().filter(|owed| !is_accepted(owed)).cloned());
            if !is_changed {
                continue;
            }
            self.store.refuse_links_on_the_way(&Missing::path(mirror.path()))?;
            self.lock.confirm()?;
            missing.write(mirror.path())?;
            let part = self.part_of((id, kind), &missing);
            self.write(&Record::Part(part.clone()))?;
            self.index.record_part(&part);
        }
        if accepted.is_empty() {
            self.ledger.discard()?;
            return Ok(Acceptance::Done(Accepted { accepted, left, before, summary: None }));
        }
        let summary = Some(Box::new(self.close(tally, RunEnd::Finished)?));
        Ok(Acceptance::Done(Accepted { accepted, left, before, summary }))
    }

    /// Describes the present state of a mirror's large files.
    fn part_of(&self, (id, kind): (RepositoryId, MirrorKind), missing: &Missing) -> PartOutcome {
        let mirror = &self.index.mirrors[&id];
        let mark = mirror.parts.get(kind, Kind::LargeFiles);
        let mut part = PartOutcome::new((id, mirror.full_name.clone()), kind, Kind::LargeFiles, self.clock.now());
        let stored = mark.map(|mark| mark.totals.clone()).unwrap_or_default();
        part.totals =
            stored.into_iter().filter(|(name, _)| name == STORED || name == STORED_BYTES).collect::<PartCounts>();
        part.totals.extend(missing.counts());
        part.is_owed = !missing.is_empty();
        if let Some(mark) = mark {
            part.state = mark.state;
        }
        part
    }
}
