//! The summary of a run for people and for scripts.

use std::fmt::Write;

use super::{count, duration, size};
use chrono::TimeDelta;

use crate::outcome::{Counts, ForcePushed, Holdings, RunStatus, RunSummary, Trigger};
use crate::text::some_of;

/// Formats a run for a terminal.
pub fn text(summary: &RunSummary) -> String {
    let counts = &summary.counts;
    let mut out = headline(summary);
    let parts: Vec<String> = tallies(counts).map(|(number, label)| format!("{number} {label}")).collect();
    let took = duration(summary.finished_at - summary.started_at);
    if !parts.is_empty() {
        let listed = count(counts.listed, "repository", "repositories");
        let received = size(summary.bytes_received);
        let _ = write!(out, "\n{listed}: {}; {received} received in {took}", parts.join(", "));
    }
    if let Some(excluded) = excluded(summary) {
        let _ = write!(out, "\n{excluded}");
    }
    if let Some(stored) = stored(summary) {
        let _ = write!(out, "\n{stored}");
    }
    for line in super::parts::lines(summary) {
        let _ = write!(out, "\n{line}");
    }
    for (label, names) in details(summary) {
        let _ = write!(out, "\n{label}: {}", some_of(&names, 20));
    }
    for line in proof(summary) {
        let _ = write!(out, "\n{line}");
    }
    for warning in &summary.warnings {
        let _ = write!(out, "\nwarning: {warning}");
    }
    for failure in &summary.failures {
        let _ = write!(out, "\nfailed: {}: {}\n  hint: {}", failure.repository, failure.error, failure.hint);
    }
    out.push('\n');
    out
}

/// Lists how many repositories there are of each outcome, without the zeros.
pub(super) fn tallies(counts: &Counts) -> impl Iterator<Item = (u64, &'static str)> {
    let all = [
        (counts.created, "new"),
        (counts.updated, "updated"),
        (counts.unchanged, "unchanged"),
        (counts.failed, "failed"),
        (counts.not_reached, "not reached"),
    ];
    all.into_iter().filter(|(number, _)| *number > 0)
}

/// Says what the filters leave out; nothing if they leave out nothing.
pub(super) fn excluded(summary: &RunSummary) -> Option<String> {
    let what = count(summary.excluded, "repository", "repositories");
    (summary.excluded > 0).then(|| format!("left out by the configuration: {what}"))
}

/// Says what the store holds; nothing for records of earlier versions.
pub(super) fn stored(summary: &RunSummary) -> Option<String> {
    let Holdings { repositories, bytes } = summary.stored;
    let gone = match summary.gone.len() {
        0 => String::new(),
        number => format!(", {number} of them no longer on GitHub"),
    };
    let stored = || format!("stored: {}{gone}; {}", count(repositories, "repository", "repositories"), size(bytes));
    (repositories > 0).then(stored)
}

/// How a run ended, if its record is of a later version.
const UNKNOWN_END: &str = "ended in a way that this version of ghbk does not know; a later version wrote its record";

/// Says in one line how the run ended.
pub(super) fn headline(summary: &RunSummary) -> String {
    if summary.trigger == Trigger::Adoption {
        return match summary.status {
            RunStatus::Ok => "adoption complete: the next run fetches only what is new".to_owned(),
            RunStatus::Partial => format!("adoption incomplete: {}", failures(summary)),
            RunStatus::Failed => "adoption failed: it could not take place or had to stop".to_owned(),
            RunStatus::Cancelled => "adoption cancelled: what was adopted stays adopted".to_owned(),
            RunStatus::Unknown => UNKNOWN_END.to_owned(),
        };
    }
    if summary.trigger == Trigger::Forget {
        let names: Vec<String> = summary.selection.iter().map(ToString::to_string).collect();
        let else_found = if summary.failures.is_empty() { String::new() } else { format!("; {}", failures(summary)) };
        return format!("forgotten: {}{else_found}", names.join(", "));
    }
    if summary.trigger == Trigger::Acceptance {
        let names: Vec<String> = summary.selection.iter().map(ToString::to_string).collect();
        return format!("accepted that large files are gone: {}", names.join(", "));
    }
    if summary.trigger == Trigger::Verification {
        return match summary.failures.len() {
            0 => "verification found no damage: earlier damage is repaired".to_owned(),
            _ => format!("verification found damage: {}", failures(summary)),
        };
    }
    match summary.status {
        RunStatus::Ok if summary.trigger == Trigger::Retry && !summary.selection.is_empty() => {
            let names: Vec<String> = summary.selection.iter().map(ToString::to_string).collect();
            format!("tried again, and now up to date: {}", some_of(&names, 3))
        }
        RunStatus::Ok if summary.trigger == Trigger::Retry => {
            "backup complete: what had failed is now up to date".to_owned()
        }
        RunStatus::Ok if summary.counts.listed == 0 => "nothing to back up".to_owned(),
        RunStatus::Ok if !summary.selection.is_empty() => {
            "backup complete: what was asked for is up to date".to_owned()
        }
        RunStatus::Ok => "backup complete: every listed repository is up to date".to_owned(),
        RunStatus::Partial => format!("backup incomplete: {}", failures(summary)),
        RunStatus::Failed => "backup failed: the run could not take place or had to stop".to_owned(),
        RunStatus::Cancelled => "backup cancelled: what was done is kept; the next run continues".to_owned(),
        RunStatus::Unknown => UNKNOWN_END.to_owned(),
    }
}

/// Counts what failed. Records of earlier versions do not count failures apart, so those that are listed are counted.
pub(super) fn failures(summary: &RunSummary) -> String {
    count(summary.failures.len() as u64, "failure", "failures")
}

/// Says what was proven, a line each.
pub(super) fn proof(summary: &RunSummary) -> Vec<String> {
    let proof = &summary.proof;
    let mut lines = Vec::new();
    if proof.mirrors_verified > 0 {
        let damaged = proof.damaged.len() as u64;
        let large_files = match proof.large_files_verified {
            0 => String::new(),
            number => format!(" and {}", count(number, "large file", "large files")),
        };
        lines.push(format!(
            "verified: {}, {}{large_files}, {}, {}",
            count(proof.mirrors_verified, "mirror", "mirrors"),
            count(proof.objects_verified, "object", "objects"),
            size(proof.bytes_verified),
            if damaged == 0 { "no damage".to_owned() } else { format!("{damaged} damaged") },
        ));
    }
    if let Some(restored) = &proof.restored {
        let took = TimeDelta::milliseconds(i64::try_from(restored.duration_milliseconds).unwrap_or(i64::MAX));
        lines.push(format!(
            "restore proven: {}, {}, {}",
            restored.repository,
            count(restored.objects, "object", "objects"),
            duration(took)
        ));
    }
    lines
}

/// Lists what people want to see by name.
pub(super) fn details(summary: &RunSummary) -> Vec<(&'static str, Vec<String>)> {
    let names = |list: &[crate::names::FullName]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
    let renamed = summary.renamed.iter().map(|renamed| format!("{} → {}", renamed.from, renamed.to)).collect();
    let refs_of = |lost: &[ForcePushed]| -> Vec<String> {
        let each = lost.iter().map(|lost| {
            let refs: Vec<String> = lost.refs.iter().map(|name| short_ref(name).to_owned()).collect();
            format!("{} ({})", lost.repository, some_of(&refs, 5))
        });
        each.collect()
    };
    let dropped = summary.dropped.iter().map(|from| {
        let (snapshots, tips) = (from.dropped.snapshots, from.dropped.tips);
        format!(
            "{} ({}, {})",
            from.repository,
            count(snapshots, "snapshot", "snapshots"),
            count(tips, "kept tip", "kept tips")
        )
    });
    let moved = summary.moved_away.iter().map(|moved| format!("{} (now {})", moved.from, moved.to)).collect();
    let adopted = summary.adopted.iter().map(|adopted| {
        format!("{} (the clone {} is now {})", adopted.repository, adopted.clone.from, adopted.clone.set_aside_in)
    });
    [
        ("adopted", adopted.collect()),
        ("new", names(&summary.created)),
        ("renamed", renamed),
        ("gone from GitHub, mirror kept", names(&summary.newly_gone)),
        ("moved to another owner, mirror kept", moved),
        ("force-pushed or moved, old tips kept", refs_of(&summary.force_pushed)),
        ("deleted on GitHub, kept here", refs_of(&summary.deleted)),
        ("dropped by retention", dropped.collect()),
    ]
    .into_iter()
    .filter(|(_, names)| !names.is_empty())
    .collect()
}

fn short_ref(name: &str) -> &str {
    name.strip_prefix("refs/heads/").or_else(|| name.strip_prefix("refs/")).unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;

    #[test]
    fn an_eventful_run_names_everything() {
        insta::assert_snapshot!(text(&samples::eventful()));
    }

    #[test]
    fn a_quiet_run_is_short() {
        insta::assert_snapshot!(text(&samples::quiet()));
    }

    #[test]
    fn a_run_that_was_stopped_says_what_it_did_not_reach() {
        insta::assert_snapshot!(text(&samples::cut_off()));
    }

    #[test]
    fn the_json_contract_holds() {
        insta::assert_json_snapshot!(samples::eventful());
    }
}
