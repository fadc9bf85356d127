//! A mirror that is missing on purpose: recorded, so neither the index nor a later run misses it.
//!
//! Writes the record and the index, and never touches a mirror.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::Session;
use crate::outcome::{RunEnd, RunSummary};
use crate::store::{Forgotten, Record, StoreError, layout};

/// The result of forgetting a mirror.
#[derive(Debug)]
pub enum Forgetting {
    /// It is recorded.
    Done(Box<RunSummary>),
    /// Nothing is recorded, because these mirrors are still there.
    InPlace(Vec<PathBuf>),
}

impl Session {
    /// Records that mirrors are missing on purpose, unless they are still there.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be read or the record cannot be written.
    pub fn forget(mut self, forgotten: &Forgotten) -> Result<Forgetting, StoreError> {
        let in_place = self.in_place(forgotten)?;
        if !in_place.is_empty() {
            self.ledger.discard()?;
            return Ok(Forgetting::InPlace(in_place));
        }
        let mut tally = std::mem::take(&mut self.tally);
        let of_it = self.index.unreadable.iter().filter(|unreadable| unreadable.id == Some(forgotten.id));
        let missed: Vec<&str> = of_it.map(|unreadable| unreadable.error.as_str()).collect();
        tally.failures.retain(|failure| !missed.contains(&failure.error.as_str()));
        self.write(&Record::Forgotten(forgotten.clone()))?;
        self.index.forget(forgotten);
        self.close(tally, RunEnd::Finished).map(|summary| Forgetting::Done(Box::new(summary)))
    }

    /// Finds the folders of these mirrors, even where the index does not know them: a person may have moved one within the store.
    fn in_place(&self, forgotten: &Forgotten) -> Result<Vec<PathBuf>, StoreError> {
        let (id, home) = (forgotten.id, layout::place(&forgotten.full_name));
        let scan = self.store.scan()?;
        let mut places: BTreeSet<PathBuf> =
            scan.mirrors.iter().filter(|found| found.id == id).map(|found| found.place.clone()).collect();
        places.extend(self.index.mirrors.get(&id).map(|mirror| mirror.place.clone()));
        let may_be = scan.unreadable.into_iter().filter(|it| it.id.map_or(it.place == home, |other| other == id));
        places.extend(may_be.map(|unreadable| unreadable.place));
        // Another repository's mirror may have taken the place.
        places.retain(|place| !scan.mirrors.iter().any(|found| found.id != id && found.place == *place));
        let mut in_place = Vec::new();
        for place in places {
            for kind in forgotten.parts.iter() {
                let mirror = self.store.mirror_at(&place, kind);
                if mirror.exists().map_err(StoreError::io("examine", mirror.path()))? {
                    in_place.push(mirror.path().to_owned());
                }
            }
        }
        Ok(in_place)
    }
}
