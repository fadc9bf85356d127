//! Tests that take a minute each. `scripts/test` runs them, a bare `cargo nextest run` does not.

use std::fs;
use std::path::Path;

use ghbk::git::restore::{Form, restore};
use ghbk::git::snapshot;
use ghbk::git::view::View;
use tokio_util::sync::CancellationToken;

use crate::verify::{damage, mirror};
use crate::world::{World, git};

/// A restore takes longer than a verification.
const RESTORED_EVERY: usize = 3;

#[test]
fn a_flipped_bit_in_any_byte_is_found_and_never_restored() {
    let world = World::new();
    let mirror = mirror(&world);
    assert_eq!(damage(&mirror), [""; 0]);
    let repository = git2::Repository::open_bare(&mirror).unwrap();
    let newest = repository.refname_to_id("refs/ghbk/snapshots").unwrap();
    let good = snapshot::content(&repository, newest).unwrap();
    drop(repository);
    let mut files = vec![mirror.join("packed-refs")];
    for entry in fs::read_dir(mirror.join("objects/pack")).unwrap() {
        files.push(entry.unwrap().path());
    }
    files.sort();
    let total: u64 = files.iter().map(|file| fs::metadata(file).unwrap().len()).sum();
    let (mut tried, mut refused, mut saved) = (0, 0, 0);
    for file in &files {
        let whole = fs::read(file).unwrap();
        for position in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[position] ^= 1 << (tried % 8);
            fs::write(file, &flipped).unwrap();
            let found = damage(&mirror);
            assert!(!found.is_empty(), "a flipped bit at {position} of {} is not found", file.display());
            tried += 1;
            if tried % RESTORED_EVERY != 0 {
                continue;
            }
            // What is restored all the same must be right.
            let folder = tempfile::tempdir().unwrap();
            match restored(&mirror, folder.path()) {
                Some(refs) => {
                    assert_eq!(refs, good.refs, "{position} of {}", file.display());
                    saved += 1;
                    // git takes its time to start; a sample shows that our own proof is one.
                    if saved % 20 == 0 {
                        git(folder.path(), &["fsck", "--full"]);
                    }
                }
                None => refused += 1,
            }
        }
        fs::write(file, &whole).unwrap();
    }
    assert_eq!(damage(&mirror), [""; 0]);
    eprintln!("{tried} bits flipped in {total} bytes: {refused} restores refused, {saved} came out right");
    assert!(tried >= 3_000 && saved > 0 && refused > 0);
}

/// Restores the newest snapshot as the command does; none if it refuses.
fn restored(mirror: &Path, folder: &Path) -> Option<ghbk::git::refs::Refs> {
    let refs = ghbk::git::refs::Refs::parse_packed(&fs::read(mirror.join("packed-refs")).ok()?).ok()?;
    let newest = refs.get("refs/ghbk/snapshots")?.oid;
    let view = View::open(mirror, &std::env::temp_dir()).ok()?;
    let content = snapshot::content(view.repository(), newest).ok()?;
    restore(&view, &content, folder, Form::Bare, &CancellationToken::new()).ok()?;
    Some(content.refs)
}
