//! How each kind of data beside refs fared in a run, a line each.

use std::collections::BTreeMap;

use super::{count, size};
use crate::outcome::{Kind, PartCounts, PartSums, RunSummary, STORED, STORED_BYTES};

/// Describes every kind that has something to report.
pub(super) fn lines(summary: &RunSummary) -> Vec<String> {
    let words = summary.parts.iter().filter_map(|(kind, sums)| {
        let words = match kind {
            Kind::LargeFiles => large_files(sums),
            Kind::Issues => issues(&sums.counts),
            // The run's own counts cover refs.
            Kind::Refs | Kind::Unknown => return None,
        };
        (!words.is_empty()).then(|| format!("{}: {}", label(*kind), words.join(", ")))
    });
    words.collect()
}

/// Returns what people call a kind of data.
pub(super) fn label(kind: Kind) -> &'static str {
    match kind {
        Kind::Refs => "refs",
        Kind::LargeFiles => "large files",
        Kind::Issues => "issues and pull requests",
        Kind::Unknown => "data of a later version",
    }
}

fn large_files(sums: &PartSums) -> Vec<String> {
    let of = |counts: &PartCounts, name: &str| counts.get(name).copied().unwrap_or_default();
    let mut words = Vec::new();
    for (name, bytes, verb) in [
        ("downloaded", "downloaded_bytes", "fetched"),
        ("linked", "linked_bytes", "linked from another mirror"),
        ("adopted", "adopted_bytes", "taken over"),
    ] {
        let number = of(&sums.counts, name);
        if number > 0 {
            words.push(format!("{number} {verb} ({})", size(of(&sums.counts, bytes))));
        }
    }
    words.extend(missing(&sums.totals));
    words
}

/// Describes what came of issues and pull requests.
fn issues(counts: &PartCounts) -> Vec<String> {
    let words = [("new", "new"), ("changed", "changed"), ("newly_gone", "gone from GitHub, and kept")];
    let told = words.iter().filter_map(|(name, words)| Some((counts.get(*name).filter(|count| **count > 0)?, words)));
    told.map(|(count, words)| format!("{count} {words}")).collect()
}

/// Describes what there is of each kind in the whole store.
pub(super) fn stored(parts: &BTreeMap<Kind, PartSums>) -> Vec<String> {
    let lines = parts.iter().filter_map(|(kind, sums)| {
        let words = stored_of(*kind, &sums.totals);
        (!words.is_empty()).then(|| format!("{}: {}", label(*kind), words.join(", ")))
    });
    lines.collect()
}

/// Describes what there is of a kind and what is missing; nothing if there is neither.
pub(super) fn stored_of(kind: Kind, totals: &PartCounts) -> Vec<String> {
    match kind {
        Kind::LargeFiles => large_files_of(totals),
        Kind::Issues => issues_of(totals),
        Kind::Refs | Kind::Unknown => Vec::new(),
    }
}

fn issues_of(totals: &PartCounts) -> Vec<String> {
    let kinds = [
        ("issues", "issue", "issues"),
        ("pull_requests", "pull request", "pull requests"),
        ("comments", "comment", "comments"),
        ("reviews", "review", "reviews"),
        ("review_comments", "comment on lines", "comments on lines"),
    ];
    let stored = kinds.iter().filter_map(|(name, one, many)| {
        let number = totals.get(*name).filter(|number| **number > 0)?;
        Some(count(*number, one, many))
    });
    let gone = totals.get("gone").filter(|number| **number > 0);
    stored.chain(gone.map(|number| format!("{number} that GitHub no longer has"))).collect()
}

fn large_files_of(totals: &PartCounts) -> Vec<String> {
    let of = |name: &str| totals.get(name).copied().unwrap_or_default();
    let mut words = missing(totals);
    if of(STORED) > 0 || !words.is_empty() {
        words.insert(0, format!("{} stored ({})", of(STORED), size(of(STORED_BYTES))));
    }
    words
}

/// Describes what is not there, and why.
pub(super) fn missing(totals: &PartCounts) -> Vec<String> {
    let mut words = Vec::new();
    for (name, what) in [
        ("failed", "could not be fetched"),
        ("over_quota", "not fetched (over the quota)"),
        ("forbidden", "not readable"),
        ("absent", "not on GitHub"),
        ("elsewhere", "kept elsewhere"),
        ("postponed", "left for the next run"),
        ("too_large", "left out (too large)"),
        ("unknown", "missing (reason written by a later version)"),
    ] {
        if let Some(number) = totals.get(name).filter(|number| **number > 0) {
            words.push(format!("{number} {what}"));
        }
    }
    if let Some(accepted) = totals.get("accepted").filter(|number| **number > 0) {
        words.push(format!("{} accepted", count(*accepted, "of these is", "of these are")));
    }
    words
}
