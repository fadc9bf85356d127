//! Tests that take a minute each. `scripts/test` runs them, a bare `cargo nextest run` does not.

use std::fs;
use std::path::Path;

use ghbk::git::mirror::restore::{Form, Order, Restored, restore};
use ghbk::git::mirror::snapshot;
use ghbk::git::pack::view::View;
use tokio_util::sync::CancellationToken;

use crate::recovery::interrupt;
use crate::verify::{damage, mirror};
use crate::world::{World, files_below, finish_watched, git, is_everything};

/// A restore takes longer than a verification.
const RESTORED_EVERY: usize = 3;
/// Every second byte takes half a minute; 1 tries every one, and has found nothing more.
const STEP: usize = 2;

#[test]
fn a_flipped_bit_anywhere_is_found_and_never_restored() {
    let world = World::new();
    let mirror = mirror(&world);
    assert_eq!(damage(&mirror), [""; 0]);
    let newest = git(&mirror, &["rev-parse", "refs/ghbk/snapshots"]).trim().parse().unwrap();
    let view = View::open(&mirror, &std::env::temp_dir()).unwrap();
    let good = snapshot::content(view.objects(), newest).unwrap();
    drop(view);
    let mut files = vec![mirror.join("packed-refs")];
    for entry in fs::read_dir(mirror.join("objects/pack")).unwrap() {
        files.push(entry.unwrap().path());
    }
    files.sort();
    let total: u64 = files.iter().map(|file| fs::metadata(file).unwrap().len()).sum();
    let (mut tried, mut refused, mut saved) = (0, 0, 0);
    for file in &files {
        let whole = fs::read(file).unwrap();
        for position in (0..whole.len()).step_by(STEP) {
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
                Some(restored) => {
                    let named = restored.lost.iter().map(|lost| (lost.name.as_str(), lost.object.clone()));
                    let right = restored.refs.iter().map(|(name, target)| (name, target.oid.to_string()));
                    let all: std::collections::BTreeMap<_, _> = named.chain(right).collect();
                    let expected = good.refs.iter().map(|(name, target)| (name, target.oid.to_string())).collect();
                    assert_eq!(all, expected, "{position} of {}", file.display());
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
    assert!(tried >= 2_500 && saved > 0 && refused > 0);
}

/// Restores the newest snapshot as the command does; none if it refuses.
fn restored(mirror: &Path, folder: &Path) -> Option<Restored> {
    let refs = ghbk::git::refs::Refs::parse_packed(&fs::read(mirror.join("packed-refs")).ok()?).ok()?;
    let newest = refs.get("refs/ghbk/snapshots")?.oid;
    let view = View::open(mirror, &std::env::temp_dir()).ok()?;
    let content = snapshot::content(view.objects(), newest).ok()?;
    let order = Order { content: &content, form: Form::Bare, is_strict: false, is_part: false, copied_bytes: None };
    restore(&view, order, folder, &CancellationToken::new()).ok()
}

/// So many bytes of new content come each week; they cannot be compressed.
const WEEKLY_BYTES: usize = 40_000;

#[test]
fn sixty_weeks_of_changes_stay_small_and_cheap() {
    let world = World::new();
    let site = world.add("acme/site");
    let start = chrono::Utc::now() - chrono::TimeDelta::weeks(70);
    let mut seed = 0;
    let mut content = || {
        seed += 1;
        crate::world::noise(seed, WEEKLY_BYTES)
    };
    let idle = |world: &World| -> usize {
        let calls = crate::store_operations::calls_of_a_run(world, "unchanged");
        // The packs are read by the verification whose turn it is, however old they are.
        calls.iter().filter(|call| !call.contains("objects/pack")).count()
    };
    let mut most_packs = 0;
    for week in 0..60 {
        site.commit("main", &format!("file-{}", week % 7), &content()).unwrap();
        match week % 10 {
            3 => drop(site.force_push("main").unwrap()),
            5 => drop(site.commit("side", "a", &content()).unwrap()),
            6 => site.delete_ref("refs/heads/side").unwrap(),
            8 => drop(site.annotated_tag("nightly", "refs/heads/main").unwrap()),
            _ => {}
        }
        let summary = world.run_at(start + chrono::TimeDelta::weeks(week), &[]);
        assert_eq!(summary.status, ghbk::outcome::RunStatus::Ok, "{summary:#?}");
        let packs = ghbk::git::pack::packs_in(&world.mirror("acme/site").join("objects/pack")).unwrap().len();
        most_packs = most_packs.max(packs);
    }
    assert!(most_packs <= 20, "{most_packs} packs");
    world.assert_mirrors("acme/site");
    assert_eq!(damage(&world.mirror("acme/site")), [""; 0]);

    // The same objects, as small as git packs them, without the snapshots.
    let mirror = world.mirror("acme/site");
    let ideal = world.folder.path().join("ideal.git");
    let clone =
        std::process::Command::new("git").args(["clone", "--quiet", "--mirror"]).args([&mirror, &ideal]).status();
    assert!(clone.unwrap().success());
    git(&ideal, &["update-ref", "-d", "refs/ghbk/snapshots"]);
    git(&ideal, &["-c", "gc.reflogExpire=now", "gc", "--prune=now", "--quiet"]);
    let packed_bytes = |folder: &Path| -> u64 {
        crate::world::files_below(&folder.join("objects/pack"))
            .iter()
            .filter(|(path, _)| path.extension().is_some_and(|e| e == "pack" || e == "idx"))
            .map(|(_, content)| content.len() as u64)
            .sum()
    };
    let (stored, least) = (packed_bytes(&mirror), packed_bytes(&ideal));
    eprintln!("60 weeks: {stored} bytes stored, {least} at least, at most {most_packs} packs");
    assert!(stored * 100 <= least * 110, "{stored} bytes for objects of {least}");
    if crate::store_operations::can_trace() {
        let young = World::new();
        young.add("acme/site");
        young.run_at(chrono::Utc::now() - chrono::TimeDelta::weeks(1), &[]);
        let (at_first, now) = (idle(&young), idle(&world));
        eprintln!("store operations of an idle run beside verification: {at_first} in week 1, {now} in week 60");
        // The folder of records is read by name and has sixty more of them.
        assert!(now <= at_first + 10, "{now} operations, {at_first} in week 1");
    }
}

/// `scripts/faults` tries as many as GitHub's largest organisations have.
fn many() -> usize {
    if is_everything() { 50_000 } else { 500 }
}

/// Makes a mirror of another repository out of one, without another byte for its packs.
fn multiply(mirror: &Path, to: &Path, id: usize, full_name: &str) {
    for (path, _) in files_below(mirror) {
        let target = to.join(path.strip_prefix(mirror).unwrap());
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        if target.ends_with("config") {
            let config = format!(
                "[core]\n\trepositoryformatversion = 0\n\tbare = true\n[ghbk]\n\tid = {id}\n\tfullName = {full_name}\n"
            );
            fs::write(target, config).unwrap();
        } else {
            fs::hard_link(path, target).unwrap();
        }
    }
    fs::create_dir_all(to.join("refs")).unwrap();
}

#[test]
fn a_store_of_many_mirrors_is_swept_planned_and_shown() {
    let world = World::new();
    world.add("acme/site");
    world.run_json(0);
    for number in 1..=many() {
        let name = format!("acme/many-{number:05}");
        multiply(&world.mirror("acme/site"), &world.mirror(&name), 9_000_000_000 + number, &name);
    }
    interrupt(&world);
    let rubbish = world.mirror("acme/many-00500").join("objects/pack/tmp_ghbk_rubbish");
    fs::write(&rubbish, "").unwrap();
    let mut figures = Vec::new();
    for what in ["after an interruption", "with an index"] {
        let started = std::time::Instant::now();
        let (ended, peak_kib) = finish_watched(&mut world.ghbk(&["run", "--json"]));
        figures.push(format!("{what}: {:.1} s, {} MiB", started.elapsed().as_secs_f64(), peak_kib / 1024));
        let summary = ended.expect(0).json();
        assert_eq!(summary["counts"]["gone"], many(), "{summary:#}");
        assert_eq!(summary["counts"]["unchanged"], 1, "{summary:#}");
    }
    assert!(!rubbish.exists());
    let status = world.run(&["status", "--json"]).expect(0).json();
    assert_eq!(status["repositories"].as_array().unwrap().len(), many() + 1);
    let newest = world.sandbox.slack_messages().pop().unwrap();
    assert!(newest.problems.is_empty(), "{:?}", newest.problems);
    eprintln!("{} mirrors: a run {}", many() + 1, figures.join("; "));
}
