//! The result for the large files of one mirror, in words and numbers.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::large_files::Due;
use crate::git::pointer::Pointer;
use crate::large_files::missing::{Missing, Why};
use crate::mirrors::MirrorKind;
use crate::outcome::{Failure, Kind, PartCounts, PartOutcome, PartState, STORED, STORED_BYTES, Stage};
use crate::text::{count, printable, size};

/// How many are named.
const NAMED_MAX: usize = 3;

/// What an earlier run said about a file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    pub(super) since: DateTime<Utc>,
    pub(super) is_accepted: bool,
}

/// Files that did not arrive for one and the same reason.
#[derive(Debug, Default)]
struct Group {
    /// Those that have not been reported yet.
    new: Vec<Pointer>,
    said: String,
    hint: &'static str,
    /// How many were reported before and are not accepted, and since when.
    told: u64,
    since: Option<DateTime<Utc>>,
}

/// Adds up the results for a mirror's large files.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(super) struct Report {
    outcome: PartOutcome,
    name: String,
    groups: BTreeMap<Why, Group>,
    is_new: bool,
    has_come: bool,
    is_left_out: bool,
    /// Contents that a repair found to be wrong.
    pub(super) broken: u64,
    pub(super) is_cut_off: bool,
    /// The time limit, if it was reached.
    pub(super) is_late: Option<Duration>,
    /// The host that was asked, if it is not GitHub's.
    pub(super) other_host: Option<String>,
    /// Whether another repository has reported the owner's quota.
    pub(super) is_quota_told: bool,
}

impl Report {
    pub(super) fn new(due: &Due) -> Self {
        let of = (due.id, due.full_name.clone());
        let mut outcome = PartOutcome::new(of, due.kind, Kind::LargeFiles, DateTime::UNIX_EPOCH);
        outcome.totals.clone_from(&due.totals);
        Self {
            outcome,
            name: due.kind.name_of(&due.full_name),
            groups: BTreeMap::new(),
            is_new: !due.totals.contains_key(STORED),
            has_come: false,
            is_left_out: false,
            broken: 0,
            is_cut_off: false,
            is_late: None,
            other_host: None,
            is_quota_told: false,
        }
    }

    fn add(counts: &mut PartCounts, name: &str, more: u64) {
        *counts.entry(name.to_owned()).or_default() += more;
    }

    /// Notes a file that is there now.
    pub(super) fn came(&mut self, pointer: Pointer, was_linked: bool) {
        self.has_come = true;
        let (files, bytes) = if was_linked { ("linked", "linked_bytes") } else { ("downloaded", "downloaded_bytes") };
        Self::add(&mut self.outcome.counts, files, 1);
        Self::add(&mut self.outcome.counts, bytes, pointer.size_bytes);
        Self::add(&mut self.outcome.totals, STORED, 1);
        Self::add(&mut self.outcome.totals, STORED_BYTES, pointer.size_bytes);
    }

    /// Notes a file that is not there.
    pub(super) fn did_not_come(
        &mut self,
        pointer: Pointer,
        why: Why,
        (said, hint): (&str, &'static str),
        is_transient: bool,
        seen: Option<Seen>,
    ) {
        self.outcome.transient |= is_transient;
        let group = self.groups.entry(why).or_default();
        if group.said.is_empty() {
            (group.said, group.hint) = (said.to_owned(), hint);
        }
        match seen.filter(|_| why.can_be_accepted()) {
            None => group.new.push(pointer),
            Some(seen) if !seen.is_accepted => {
                group.told += 1;
                group.since = Some(group.since.map_or(seen.since, |since| since.min(seen.since)));
            }
            Some(_) => {}
        }
    }

    /// Notes that the configuration leaves all of them out.
    pub(super) fn leave_out(&mut self, missing: &Missing) {
        self.is_left_out = true;
        self.left(missing);
    }

    /// Notes what is still missing.
    pub(super) fn left(&mut self, missing: &Missing) {
        let totals = &mut self.outcome.totals;
        totals.retain(|name, _| name == STORED || name == STORED_BYTES);
        totals.extend(missing.counts());
        self.outcome.is_owed = !missing.is_empty() && !self.is_left_out;
    }

    /// Notes that nothing could be done.
    pub(super) fn fail(&mut self, error: &str, hint: &str) {
        self.outcome.is_owed = true;
        self.outcome.state = PartState::Failed;
        self.outcome.failures.push(Failure {
            repository: self.name.clone(),
            stage: Stage::Stage,
            error: format!("large files: {error}"),
            hint: hint.to_owned(),
        });
    }

    /// Puts it all together.
    pub(super) fn outcome(mut self, finished_at: DateTime<Utc>) -> PartOutcome {
        let groups = std::mem::take(&mut self.groups);
        for (why, group) in &groups {
            self.tell(*why, group);
        }
        if let Some(limit) = self.is_late {
            let left = groups.get(&Why::Postponed).map_or(0, |group| group.new.len() as u64);
            self.outcome.failures.push(Failure {
                repository: self.name.clone(),
                stage: Stage::Stage,
                error: format!(
                    "{} left for the next run: fetching took longer than {}",
                    count(left, "large file was", "large files were"),
                    humantime::format_duration(limit)
                ),
                hint: "the next run continues; raise limits.large_files_timeout to allow more time".to_owned(),
            });
        }
        if self.broken > 0 {
            let broken = count(self.broken, "large file", "large files");
            self.outcome
                .warnings
                .push(format!("{}: {broken} had the wrong content; it was moved to lfs/bad in the mirror", self.name));
        }
        let has = |why: Why| groups.get(&why).is_some_and(|group| !group.new.is_empty() || group.told > 0);
        self.outcome.is_cut_off = self.is_cut_off;
        // If it was cut off before its list was read, nobody knows whether something is missing.
        self.outcome.is_owed |= self.is_cut_off;
        self.outcome.finished_at = finished_at;
        self.outcome.state = match self.outcome.state {
            PartState::Failed => PartState::Failed,
            _ if self.is_left_out => PartState::Disabled,
            _ if has(Why::Failed) || has(Why::OverQuota) || has(Why::Unknown) => PartState::Failed,
            _ if has(Why::Forbidden) => PartState::Forbidden,
            _ if has(Why::Postponed) || self.is_cut_off => PartState::Postponed,
            _ if has(Why::Absent) || has(Why::Elsewhere) => PartState::Absent,
            _ if self.has_come && self.is_new => PartState::Created,
            _ if self.has_come => PartState::Updated,
            _ => PartState::Unchanged,
        };
        self.outcome
    }

    /// Reports why some files are not there.
    fn tell(&mut self, why: Why, group: &Group) {
        let bytes = group.new.iter().map(|pointer| pointer.size_bytes).fold(0_u64, u64::saturating_add);
        let files = count(group.new.len() as u64, "large file", "large files");
        let (are, were) = if group.new.len() == 1 { ("is", "was") } else { ("are", "were") };
        let what = match why {
            Why::Absent => format!("{files} ({}) {are} {}", size(bytes), self.absence("no longer on")),
            Why::Forbidden => format!("{files} ({}) could not be read", size(bytes)),
            Why::OverQuota => format!("{files} ({}) {were} not fetched", size(bytes)),
            Why::Elsewhere => format!("{files} ({}) {are} not backed up", size(bytes)),
            Why::Failed | Why::Unknown => format!("{files} ({}) could not be fetched", size(bytes)),
            // Files that are too large are counted; those left by a signal or the time limit are reported with it.
            Why::TooLarge | Why::Postponed => return self.tell_postponed(why, group),
        };
        let is_told = why == Why::OverQuota && self.is_quota_told;
        if !group.new.is_empty() && !is_told {
            let named: Vec<String> = group.new.iter().take(NAMED_MAX).map(|it| it.oid.short()).collect();
            let more = group.new.len().saturating_sub(NAMED_MAX);
            let more = if more == 0 { String::new() } else { format!(" and {more} more") };
            self.outcome.failures.push(Failure {
                repository: self.name.clone(),
                stage: Stage::Stage,
                error: format!("{what} ({}{more}): {}", named.join(", "), group.said),
                hint: group.hint.to_owned(),
            });
        }
        if let Some(since) = group.since.filter(|_| group.told > 0) {
            let is_where = if why == Why::Elsewhere { "kept elsewhere".to_owned() } else { self.absence("not on") };
            self.outcome.warnings.push(format!(
                "{}: {} {is_where} since {} or earlier, and not backed up; if that is expected: `ghbk accept {}`",
                self.name,
                count(group.told, "large file is", "large files are"),
                crate::zone::day(since),
                MirrorKind::split_name(&self.name).0,
            ));
        }
    }

    fn absence(&self, not_on: &str) -> String {
        match &self.other_host {
            Some(host) => format!("not on {}", printable(host, 100)),
            None => format!("{not_on} GitHub"),
        }
    }

    fn tell_postponed(&mut self, why: Why, group: &Group) {
        if why == Why::Postponed && self.is_late.is_none() && !self.is_cut_off && !group.new.is_empty() {
            self.outcome.failures.push(Failure {
                repository: self.name.clone(),
                stage: Stage::Stage,
                error: format!(
                    "{} left for the next run: {}",
                    count(group.new.len() as u64, "large file was", "large files were"),
                    group.said
                ),
                hint: group.hint.to_owned(),
            });
        }
    }
}
