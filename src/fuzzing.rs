//! Every parser of bytes from outside, each behind a function that takes any bytes at all.
//!
//! Not in the product: for `fuzz/`, where cargo-fuzz looks for bytes that break one, and for the tests here, which try
//! some in every build. A function panics if a parser does, or if what it returns is not what it promises.

#![allow(clippy::missing_panics_doc, reason = "panicking is how they tell")]

use std::path::{Component, Path};

use chrono::{DateTime, Utc};
use http::{HeaderMap, HeaderValue, StatusCode};

use crate::config::{Overrides, load_text};
use crate::git::refs::{RefFilter, Refs};
use crate::git::wire::advertisement::{Advertisement, ReceiverAdvertisement, report_lines};
use crate::github::read_listing;
use crate::limits::Refusal;
use crate::moment::Moment;
use crate::names::FullName;
use crate::store::{Index, RunRecord, layout};

/// A parser, by its name.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const TARGETS: [Target; 10] = [
    ("packed_refs", packed_refs),
    ("advertisement", advertisement),
    ("receiver", receiver),
    ("configuration", configuration),
    ("record", record),
    ("index", index),
    ("listing", listing),
    ("refusal", refusal),
    ("moment", moment),
    ("name", name),
];

/// `packed-refs` of a mirror.
pub fn packed_refs(bytes: &[u8]) {
    let Ok(refs) = Refs::parse_packed(bytes) else {
        drop(Refs::parse_what_can_be(bytes));
        return;
    };
    let again = Refs::parse_packed(&refs.to_packed()).expect("what was written can be read");
    assert_eq!(again, refs);
}

/// What a git server has.
pub fn advertisement(bytes: &[u8]) {
    if let Ok(advertisement) = Advertisement::parse(bytes, &RefFilter::default()) {
        let wanted: Vec<_> = advertisement.refs.iter().map(|(_, target)| target.oid).collect();
        drop(advertisement.only(&wanted));
        for (name, _) in advertisement.refs.iter() {
            assert!(git2::Reference::is_valid_name(name), "{name:?}");
        }
    }
}

/// What a git server has before a push, and what it says about the push.
pub fn receiver(bytes: &[u8]) {
    drop(ReceiverAdvertisement::parse(bytes));
    drop(report_lines(bytes));
}

/// The configuration.
pub fn configuration(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        let overrides = Overrides::default();
        drop(load_text(text, "config.toml", [], &overrides));
        drop(load_text("", "", [("GHBK_GITHUB__OWNERS".to_owned(), text.to_owned())], &overrides));
    }
}

/// The record of a run.
pub fn record(bytes: &[u8]) {
    drop(RunRecord::parse(&String::from_utf8_lossy(bytes)));
}

/// The index of the mirrors.
pub fn index(bytes: &[u8]) {
    if let Ok(index) = serde_json::from_slice::<Index>(bytes) {
        let text = serde_json::to_vec(&index).expect("an index is JSON");
        assert_eq!(serde_json::from_slice::<Index>(&text).expect("what was written can be read"), index);
    }
}

/// A page of GitHub's listing.
pub fn listing(bytes: &[u8]) {
    for name in read_listing(bytes).into_iter().flatten().flatten().map(|repository| repository.full_name) {
        check_place(&layout::place(&name));
    }
}

/// An answer that may say how long to wait: the status, then one header on each line, then the body.
pub fn refusal(bytes: &[u8]) {
    let mut lines = bytes.split(|byte| *byte == b'\n');
    let status = lines.next().and_then(|line| StatusCode::from_bytes(line).ok()).unwrap_or(StatusCode::FORBIDDEN);
    let mut headers = HeaderMap::new();
    for (name, line) in ["retry-after", "x-ratelimit-remaining", "x-ratelimit-reset"].into_iter().zip(&mut lines) {
        if let Ok(value) = HeaderValue::from_bytes(line) {
            headers.insert(name, value);
        }
    }
    let body = lines.next().map(String::from_utf8_lossy).unwrap_or_default();
    for now in [DateTime::UNIX_EPOCH, DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC] {
        let _ = Refusal::read(status, &headers, &body, now);
    }
}

/// A point in time on the command line.
pub fn moment(bytes: &[u8]) {
    if let Ok(moment) = String::from_utf8_lossy(bytes).parse::<Moment>() {
        for zone in [chrono_tz::Asia::Tokyo, chrono_tz::America::New_York, chrono_tz::Pacific::Apia] {
            let _ = moment.resolve(DateTime::UNIX_EPOCH, zone);
        }
    }
}

/// The name of a repository, which becomes a path.
pub fn name(bytes: &[u8]) {
    if let Ok(name) = String::from_utf8_lossy(bytes).parse::<FullName>() {
        check_place(&layout::place(&name));
        assert_eq!(name.to_string().parse::<FullName>().as_ref(), Ok(&name));
    }
}

/// Two ordinary names, and not in ghbk's own folder.
fn check_place(place: &Path) {
    let parts: Vec<_> = place.components().collect();
    assert_eq!(parts.len(), 2, "{}", place.display());
    assert!(parts.iter().all(|part| matches!(part, Component::Normal(_))), "{}", place.display());
    assert!(!place.starts_with(layout::OWN_FOLDER), "{}", place.display());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What each parser accepts, to be bent a little.
    const SEEDS: [(&str, &[u8]); 12] = [
        ("packed_refs", include_bytes!("../fuzz/seeds/packed_refs/whole")),
        ("advertisement", include_bytes!("../fuzz/seeds/advertisement/whole")),
        ("receiver", include_bytes!("../fuzz/seeds/receiver/whole")),
        ("configuration", include_bytes!("../fuzz/seeds/configuration/file")),
        ("configuration", include_bytes!("../fuzz/seeds/configuration/list")),
        ("record", include_bytes!("../fuzz/seeds/record/whole")),
        ("index", include_bytes!("../fuzz/seeds/index/whole")),
        ("listing", include_bytes!("../fuzz/seeds/listing/whole")),
        ("refusal", include_bytes!("../fuzz/seeds/refusal/whole")),
        ("moment", include_bytes!("../fuzz/seeds/moment/local")),
        ("moment", include_bytes!("../fuzz/seeds/moment/ago")),
        ("name", include_bytes!("../fuzz/seeds/name/whole")),
    ];

    fn target(name: &str) -> fn(&[u8]) {
        TARGETS.iter().find(|(known, _)| *known == name).expect("a seed is of a target").1
    }

    proptest! {
        #[test]
        fn no_bytes_break_any_parser(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            for (_, target) in TARGETS {
                target(&bytes);
            }
        }

        #[test]
        fn nothing_that_is_almost_right_breaks_a_parser(
            seed in 0..SEEDS.len(),
            edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3), 0..6),
        ) {
            let (name, seed) = SEEDS[seed];
            let mut bytes = seed.to_vec();
            for (at, byte, edit) in edits {
                let at = at.index(bytes.len().max(1));
                match edit {
                    0 if at < bytes.len() => bytes[at] = byte,
                    1 => bytes.insert(at.min(bytes.len()), byte),
                    _ => bytes.truncate(at),
                }
            }
            target(name)(&bytes);
        }
    }
}
