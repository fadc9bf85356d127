//! What happened: to one repository, and in one run. Pure data, recorded by the ledger and worded by the report.
//!
//! The JSON of [`RunSummary`] is a contract with scripts: fields may be added, never renamed. What a newcomer would get wrong:
//! a later version of ghbk may have written the store, so each list of words is open: an unknown word becomes
//! [`State::Unknown`] or the like, and the record that holds it still counts.

pub mod held;
mod part;
mod repository;
mod run;
mod sums;

use crate::mirrors::MirrorKind;

pub use held::Held;
pub use part::{Kind, PartCounts, PartOutcome, PartState, PartSums, STORED, STORED_BYTES, Seen};
pub use repository::{AdoptedClone, Dropped, Failure, Outcome, Stage, State};
pub use run::{
    Adopted, Counts, DroppedFrom, ForcePushed, Holdings, Proof, Renamed, RestoreProof, RunStatus, RunSummary, Trigger,
};
pub use sums::{Happened, RunEnd, RunHeader};

/// How the error of a damaged mirror begins.
pub(crate) const DAMAGED: &str = "the mirror is damaged: ";

/// Says how to repair a mirror.
pub fn repair_hint(repository: &str) -> String {
    format!("`ghbk run --repair {}`", MirrorKind::split_name(repository).0)
}
