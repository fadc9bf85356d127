//! The message of a snapshot. Pure.

use std::collections::BTreeMap;
use std::fmt::Write;

use chrono::SecondsFormat;
use git2::Oid;

use super::{Occasion, Snapshot};
use crate::git::mirror::changes::{ChangeKind, RefChange};
use crate::git::refs::{Refs, parse_oid};

/// A message names at most this many refs, those that lost something first; the trees have them all.
pub(super) const LINES_MAX: usize = 1_000;

/// The beginnings of the notes that [`super::rechain`] leaves.
pub(super) const NOTES: [&str; 2] = ["retention dropped ", "repair left out "];

/// Adds a line before the trailers, replacing an older one like it.
pub(super) fn with_note(message: &str, note: &str) -> String {
    match message.trim_end().rsplit_once("\n\n") {
        Some((text, trailers)) => {
            let text: Vec<&str> =
                text.lines().filter(|line| !NOTES.iter().any(|note| line.starts_with(note))).collect();
            // The first paragraph is the title that `git log --oneline` shows.
            let gap = if text.len() == 1 { "\n" } else { "" };
            format!("{}\n{gap}{note}\n\n{trailers}\n", text.join("\n"))
        }
        None => format!("{message}\n{note}\n"),
    }
}

/// Writes a snapshot's message: a title for people, a line per change, and what ghbk reads back.
pub(super) fn message(
    refs: &Refs,
    changes: &[RefChange],
    head: Option<(&str, &str)>,
    is_first: bool,
    occasion: &Occasion,
) -> String {
    let mut out = String::new();
    if is_first {
        let _ = writeln!(out, "First snapshot of {}: {}", occasion.full_name, inventory(refs));
    } else {
        let mut parts = in_words(changes);
        if head.is_some() {
            parts.push("HEAD moved".to_owned());
        }
        let words = if parts.is_empty() { "no changes".to_owned() } else { parts.join(", ") };
        let _ = writeln!(out, "Snapshot of {}: {words}", occasion.full_name);
        out.push('\n');
        if let Some((before, now)) = head {
            let _ = writeln!(out, "head {before} -> {now}");
        }
        let (losses, others): (Vec<_>, Vec<_>) = changes.iter().partition(|change| change.is_loss());
        for change in losses.iter().chain(&others).take(LINES_MAX) {
            let _ = write!(out, "{} {}", word(change.kind), change.name);
            for oid in [change.old, change.new].into_iter().flatten() {
                let _ = write!(out, " {oid}");
            }
            out.push('\n');
        }
        let more = changes.len().saturating_sub(LINES_MAX);
        if more > 0 {
            let _ = writeln!(out, "and {more} more");
        }
    }
    out.push_str(&trailers(occasion));
    out
}

/// Writes what ghbk reads back from a message, after an empty line.
pub(crate) fn trailers(occasion: &Occasion) -> String {
    let time = occasion.observed_at.to_rfc3339_opts(SecondsFormat::Millis, true);
    let Occasion { run_id, full_name, id, .. } = occasion;
    format!("\nGhbk-Run: {run_id}\nGhbk-Time: {time}\nGhbk-Repository: {full_name}\nGhbk-Repository-Id: {id}\n")
}

pub(super) const WORDS: [(ChangeKind, &str); 5] = [
    (ChangeKind::ForcePushed, "force-pushed"),
    (ChangeKind::Deleted, "deleted"),
    (ChangeKind::Moved, "moved"),
    (ChangeKind::Updated, "updated"),
    (ChangeKind::Created, "created"),
];

pub(super) fn word(kind: ChangeKind) -> &'static str {
    WORDS.iter().find(|(known, _)| *known == kind).map_or("changed", |(_, word)| word)
}

/// Returns the kind of a ref by its name: singular and plural.
pub(super) fn noun(name: &str) -> (&'static str, &'static str) {
    match name.split('/').nth(1) {
        Some("heads") => ("branch", "branches"),
        Some("tags") => ("tag", "tags"),
        Some("pull") => ("pull request", "pull requests"),
        _ => ("other ref", "other refs"),
    }
}

pub(super) fn counted(number: u64, (singular, plural): (&str, &str)) -> String {
    format!("{number} {}", if number == 1 { singular } else { plural })
}

pub(super) fn inventory(refs: &Refs) -> String {
    let mut counts = BTreeMap::new();
    for (name, _) in refs.iter() {
        *counts.entry(noun(name)).or_insert(0u64) += 1;
    }
    if counts.is_empty() {
        return "empty".to_owned();
    }
    counts.into_iter().map(|(noun, number)| counted(number, noun)).collect::<Vec<_>>().join(", ")
}

pub(super) fn in_words(changes: &[RefChange]) -> Vec<String> {
    let mut parts = Vec::new();
    for (kind, word) in WORDS {
        let mut counts = BTreeMap::new();
        for change in changes.iter().filter(|change| change.kind == kind) {
            *counts.entry(noun(&change.name)).or_insert(0u64) += 1;
        }
        parts.extend(counts.into_iter().map(|(noun, number)| format!("{} {word}", counted(number, noun))));
    }
    parts
}

pub(super) fn parse(oid: Oid, message: &str) -> Option<Snapshot> {
    let (text, trailers) = message.trim_end().rsplit_once("\n\n")?;
    let trailer =
        |name: &str| trailers.lines().find_map(|line| line.strip_prefix(name).and_then(|rest| rest.strip_prefix(": ")));
    let mut lines = text.lines();
    let title = lines.next()?.to_owned();
    let mut changes = Vec::new();
    let mut more_changes = 0;
    for line in lines {
        let mut words = line.split(' ');
        let first = words.next()?;
        if first == "and" {
            more_changes = words.next()?.parse().ok()?;
        } else if let Some((kind, _)) = WORDS.iter().find(|(_, word)| *word == first) {
            let name = words.next()?.to_owned();
            let (one, two) = (words.next().and_then(parse_oid), words.next().and_then(parse_oid));
            let (old, new) = if *kind == ChangeKind::Created { (None, one) } else { (one, two) };
            changes.push(RefChange { name, kind: *kind, old, new });
        }
    }
    Some(Snapshot {
        oid,
        run_id: trailer("Ghbk-Run")?.parse().ok()?,
        time: trailer("Ghbk-Time")?.parse().ok()?,
        full_name: trailer("Ghbk-Repository")?.parse().ok()?,
        title,
        changes,
        more_changes,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::refs::Target;
    use crate::names::{RepositoryId, RunId};

    fn oid(digit: &str) -> Oid {
        parse_oid(&digit.repeat(40)).unwrap()
    }

    fn occasion() -> Occasion {
        let observed_at = "2026-11-29T05:00:12.345Z".parse().unwrap();
        Occasion {
            run_id: RunId::at(observed_at),
            observed_at,
            full_name: "acme/site".parse().unwrap(),
            id: RepositoryId(7),
        }
    }

    fn refs() -> Refs {
        let mut refs = Refs::default();
        for name in ["refs/heads/main", "refs/heads/next", "refs/pull/1/head", "refs/tags/v1"] {
            refs.insert(name.to_owned(), Target { oid: oid("1"), peeled: None });
        }
        refs
    }

    fn changes() -> Vec<RefChange> {
        let change = |name: &str, kind, old: Option<&str>, new: Option<&str>| RefChange {
            name: name.to_owned(),
            kind,
            old: old.map(oid),
            new: new.map(oid),
        };
        vec![
            change("refs/heads/a", ChangeKind::Created, None, Some("2")),
            change("refs/heads/main", ChangeKind::ForcePushed, Some("1"), Some("3")),
            change("refs/heads/next", ChangeKind::Updated, Some("1"), Some("4")),
            change("refs/heads/old", ChangeKind::Deleted, Some("5"), None),
            change("refs/tags/v1", ChangeKind::Moved, Some("1"), Some("6")),
        ]
    }

    #[test]
    fn a_message_says_in_words_what_moved() {
        let head = Some(("ref: refs/heads/main", "ref: refs/heads/next"));
        let first = message(&refs(), &[], None, true, &occasion());
        let later = message(&refs(), &changes(), head, false, &occasion());
        insta::assert_snapshot!(format!("{first}=====\n{later}"));
    }

    #[test]
    fn what_is_written_is_read_back() {
        let text = message(&refs(), &changes(), None, false, &occasion());
        let snapshot = parse(oid("9"), &text).unwrap();
        assert_eq!(snapshot.time, occasion().observed_at);
        assert_eq!(snapshot.run_id, occasion().run_id);
        let mut expected = changes();
        expected.sort_by_key(|change| !change.is_loss());
        assert_eq!(snapshot.changes, expected);
        assert!(snapshot.changes.iter().any(RefChange::is_loss));
    }

    #[test]
    fn a_hundred_thousand_moves_are_cut_short_and_counted() {
        let many: Vec<RefChange> = (0..100_000)
            .map(|number| RefChange {
                name: format!("refs/heads/{number}"),
                kind: ChangeKind::Created,
                old: None,
                new: Some(oid("1")),
            })
            .collect();
        let text = message(&refs(), &many, None, false, &occasion());
        let snapshot = parse(oid("9"), &text).unwrap();
        assert_eq!((snapshot.changes.len(), snapshot.more_changes), (1_000, 99_000));
    }
}
