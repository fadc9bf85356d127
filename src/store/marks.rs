//! The state of the kinds of data beside refs in a repository's mirrors, as the last runs left them.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer, Serialize};

use crate::mirrors::MirrorKind;
use crate::outcome::{Kind, PartCounts, PartOutcome, PartState, Seen};

/// The state of a kind of data in a mirror.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// Its state after the last run that looked at it.
    pub state: PartState,
    /// Whether the next run has to look at it although nothing is new on GitHub.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_owed: bool,
    /// Whether the whole mirror was searched for it, not only what came after a ghbk that did not know this kind.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_whole: bool,
    /// When all of it was last read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub whole_at: Option<DateTime<Utc>>,
    /// What GitHub showed when it was last complete.
    #[serde(default, skip_serializing_if = "Seen::is_empty")]
    pub seen: Seen,
    /// Counts of what there is.
    #[serde(default)]
    pub totals: PartCounts,
    /// When that run looked at it.
    pub at: DateTime<Utc>,
    /// When it was last complete.
    #[serde(default)]
    pub last_success: Option<DateTime<Utc>>,
}

/// The marks of all kinds in all mirrors of a repository. A kind without a mark was never looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Marks(#[serde(deserialize_with = "of_known_mirrors")] BTreeMap<MirrorKind, BTreeMap<Kind, Mark>>);

/// Leaves out mirrors that only a later version of ghbk knows.
fn of_known_mirrors<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<BTreeMap<MirrorKind, BTreeMap<Kind, Mark>>, D::Error> {
    let mut marks = BTreeMap::<String, BTreeMap<Kind, Mark>>::deserialize(from)?;
    Ok(MirrorKind::ALL.into_iter().filter_map(|kind| Some((kind, marks.remove(kind.label())?))).collect())
}

impl Marks {
    /// Says whether nothing was ever looked at.
    pub fn is_empty(&self) -> bool {
        self.0.values().all(BTreeMap::is_empty)
    }

    /// Returns the state of a kind of data in a mirror; none if it was never looked at.
    pub fn get(&self, mirror: MirrorKind, kind: Kind) -> Option<&Mark> {
        self.0.get(&mirror)?.get(&kind)
    }

    /// Lists all marks.
    pub fn iter(&self) -> impl Iterator<Item = (MirrorKind, Kind, &Mark)> {
        self.0.iter().flat_map(|(mirror, marks)| marks.iter().map(|(kind, mark)| (*mirror, *kind, mark)))
    }

    /// Adds what happened.
    pub(super) fn note(&mut self, outcome: &PartOutcome) {
        let marks = self.0.entry(outcome.mirror).or_default();
        let before = marks.get(&outcome.part);
        let last_success = before.and_then(|before| before.last_success);
        let is_whole = outcome.is_whole || before.is_some_and(|before| before.is_whole);
        let whole_at = before.and_then(|before| before.whole_at);
        let mark = Mark {
            state: outcome.state,
            is_owed: outcome.is_owed,
            is_whole,
            whole_at: if outcome.is_whole { Some(outcome.finished_at) } else { whole_at },
            seen: outcome.seen.clone(),
            totals: outcome.totals.clone(),
            at: outcome.finished_at,
            // What could never be read was never backed up.
            last_success: if outcome.is_complete() && outcome.state != PartState::Forbidden {
                Some(outcome.finished_at)
            } else {
                last_success
            },
        };
        marks.insert(outcome.part, mark);
    }

    /// Adds what an older record says, unless a newer one says something.
    pub(super) fn note_older(&mut self, outcome: &PartOutcome) {
        match self.0.entry(outcome.mirror).or_default().get_mut(&outcome.part) {
            Some(newer) => {
                newer.is_whole |= outcome.is_whole;
                let whole_at = Some(outcome.finished_at).filter(|_| outcome.is_whole);
                newer.whole_at = newer.whole_at.or(whole_at);
                let is_good = outcome.is_complete() && outcome.state != PartState::Forbidden;
                newer.last_success = newer.last_success.or(Some(outcome.finished_at).filter(|_| is_good));
            }
            None => self.note(outcome),
        }
    }

    /// Adds older marks where there are none.
    pub(super) fn take_over(&mut self, older: Self) {
        for (mirror, marks) in older.0 {
            for (kind, mark) in marks {
                let (is_whole, whole_at, last_success) = (mark.is_whole, mark.whole_at, mark.last_success);
                let newer = self.0.entry(mirror).or_default().entry(kind).or_insert(mark);
                newer.is_whole |= is_whole;
                newer.whole_at = newer.whole_at.or(whole_at);
                newer.last_success = newer.last_success.or(last_success);
            }
        }
    }

    /// Notes that the whole mirror was searched for a kind of data.
    pub(super) fn know(&mut self, mirror: MirrorKind, kind: Kind, at: DateTime<Utc>) {
        let nothing = Mark {
            state: PartState::Unchanged,
            is_owed: false,
            is_whole: true,
            whole_at: Some(at),
            seen: Seen::new(),
            totals: PartCounts::new(),
            at,
            last_success: Some(at),
        };
        self.0.entry(mirror).or_default().entry(kind).or_insert(nothing).is_whole = true;
    }

    /// Notes that a kind of data has to be looked at: a run that died may have left something.
    pub(super) fn owe(&mut self, mirror: MirrorKind, kind: Kind, now: DateTime<Utc>) {
        let nothing_known = Mark {
            state: PartState::Postponed,
            is_owed: true,
            is_whole: false,
            whole_at: None,
            seen: Seen::new(),
            totals: PartCounts::new(),
            at: now,
            last_success: None,
        };
        self.0.entry(mirror).or_default().entry(kind).or_insert(nothing_known).is_owed = true;
    }

    /// Forgets what is known of one of the mirrors.
    pub(super) fn forget(&mut self, mirror: MirrorKind) {
        self.0.remove(&mirror);
    }
}
