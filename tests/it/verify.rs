//! What is damaged is found, and never restored as if it were good.

use std::fs;
use std::path::{Path, PathBuf};

use ghbk::git::mirror::verify::{Thoroughness, verify};
use tokio_util::sync::CancellationToken;

use crate::world::{World, finish, git, mirrored_refs};

/// A small mirror with a bit of everything: several packs, kept tips, an annotated tag.
pub(crate) fn mirror(world: &World) -> PathBuf {
    let site = world.add("acme/site");
    site.annotated_tag("v1", "refs/heads/main").unwrap();
    site.commit("main", "folder/file", &"text ".repeat(50)).unwrap();
    world.run_json(0);
    site.force_push("main").unwrap();
    site.annotated_tag("v1", "refs/heads/main").unwrap();
    site.commit("next", "folder/other", "1").unwrap();
    world.run_json(0);
    world.mirror("acme/site")
}

pub(crate) fn damage(mirror: &Path) -> Vec<String> {
    let verification = verify(mirror, &std::env::temp_dir(), Thoroughness::Deep, &CancellationToken::new()).unwrap();
    verification.damage.iter().map(ToString::to_string).collect()
}

#[test]
fn a_good_store_is_proven() {
    let world = World::generated(3);
    world.run_json(0);
    world.sandbox.edit("acme/repository-001").force_push("main").unwrap();
    world.run_json(0);
    for arguments in [&["verify"][..], &["verify", "--deep"], &["verify", "acme/repository-001"]] {
        let ended = world.run(arguments).expect(0);
        assert!(ended.stdout.contains("no damage"), "{ended:#?}");
    }
    let json = world.run(&["verify", "--json", "acme/repository-001"]).expect(0).json();
    assert_eq!(json[0]["snapshots"], 2, "{json}");
    assert_eq!(json[0]["damage"], serde_json::json!([]));
}

#[test]
fn damage_is_named_with_what_to_do() {
    let world = World::new();
    let mirror = mirror(&world);
    let packed = fs::read_to_string(mirror.join("packed-refs")).unwrap();
    let said = |words: &str| {
        let ended = world.run(&["verify"]).expect(1);
        assert!(ended.stdout.contains(words), "{words}: {}", ended.stdout);
        assert!(ended.stdout.contains("ghbk run --repair acme/site"), "{}", ended.stdout);
    };
    fs::write(mirror.join("packed-refs"), packed.replace("refs/heads/next", "refs/heads/nest")).unwrap();
    said("packed-refs differs from the newest snapshot");
    fs::write(mirror.join("packed-refs"), &packed).unwrap();

    fs::create_dir_all(mirror.join("refs/heads")).unwrap();
    fs::write(mirror.join("refs/heads/main"), format!("{}\n", "1".repeat(40))).unwrap();
    said("refs/heads/main is a loose ref");
    fs::remove_file(mirror.join("refs/heads/main")).unwrap();

    fs::write(mirror.join("HEAD"), "ref: refs/heads/next\n").unwrap();
    said("HEAD differs from the newest snapshot");
    fs::write(mirror.join("HEAD"), "ref: refs/heads/main\n").unwrap();

    let packs: Vec<_> = ghbk::git::pack::packs_in(&mirror.join("objects/pack")).unwrap();
    let idx = fs::read(&packs[0].idx).unwrap();
    let aside = world.folder.path().join("aside.pack");
    fs::rename(&packs[0].pack, &aside).unwrap();
    said("is missing");
    fs::remove_file(&packs[0].idx).unwrap();
    said("which is not there");
    fs::rename(&aside, &packs[0].pack).unwrap();
    fs::write(&packs[0].idx, idx).unwrap();
    world.run(&["verify", "--deep"]).expect(0);
}

#[test]
fn a_repository_that_lacks_an_object_on_the_server_is_not_published() {
    let world = World::new();
    let site = world.add("acme/site");
    world.run_json(0);
    let before = mirrored_refs(&world.mirror("acme/site"));
    site.commit("main", "folder/new", "2").unwrap();
    site.corrupt_object().unwrap();
    world.run_json(1);
    assert_eq!(mirrored_refs(&world.mirror("acme/site")), before);
    assert_eq!(damage(&world.mirror("acme/site")), [""; 0]);
    git(&world.mirror("acme/site"), &["fsck", "--full"]);
}

/// Regression: what `ghbk verify` had found, the next run did not look at, and was green; and a repair failed when a snapshot
/// was lost, because it carried over the next one, which names it as its parent.
#[test]
fn damage_found_by_hand_is_not_forgotten_by_the_next_run() {
    let world = World::new();
    let mirror = mirror(&world);
    let packs = fs::read_dir(mirror.join("objects/pack")).unwrap().map(|entry| entry.unwrap().path());
    let packs = packs.filter(|path| path.extension().is_some_and(|extension| extension == "pack"));
    let pack = packs.min_by_key(|path| fs::metadata(path).unwrap().modified().unwrap()).unwrap();
    let mut bytes = fs::read(&pack).unwrap();
    // Before the checksum: the first snapshot, which GitHub does not have.
    let last = bytes.len() - 25;
    bytes[last] ^= 0xff;
    fs::write(&pack, bytes).unwrap();
    world.run(&["verify"]).expect(1);
    let status = world.run(&["status"]).expect(0).stdout;
    assert!(status.contains("damaged acme/site"), "{status}");
    let summary = world.run_json(1);
    assert_eq!(summary["proof"]["damaged"][0], "acme/site", "{summary:#}");
    // What only the damaged pack had is lost; the rest is mended.
    let ended = world.run(&["run", "--repair", "acme/site"]).expect(1);
    assert!(ended.stdout.contains("lost: "), "{}", ended.stdout);
    world.run(&["verify"]).expect(0);
    world.run_json(0);
}

/// Regression: an error that is no mirror's own, such as scratch that is full, threw away what was found in all others.
#[test]
fn what_was_found_is_told_although_another_mirror_could_not_be_verified() {
    let world = World::new();
    for name in ["acme/damaged", "acme/good", "acme/other"] {
        world.add(name);
    }
    world.run_json(0);
    let verify = |arguments: &[&str]| {
        // What is read of a mirror beside its refs is read through a folder in scratch.
        let nowhere = world.folder.path().join("scratch/missing");
        crate::world::finish(world.ghbk(arguments).env("GHBK_STORE__SCRATCH", nowhere))
    };
    let text = verify(&["verify"]).expect(3).stdout;
    assert!(text.contains("FAILED  acme/good") && text.contains("no damage found, 3 not read"), "{text}");
    let refs = world.mirror("acme/damaged").join("packed-refs");
    fs::remove_file(&refs).unwrap();
    fs::create_dir(&refs).unwrap();
    let json = verify(&["verify", "--json"]).expect(1).json();
    assert_eq!(json[0]["repository"], "acme/damaged", "{json:#}");
    let damage: Vec<&str> = json[0]["damage"].as_array().unwrap().iter().filter_map(|it| it["what"].as_str()).collect();
    assert!(damage[0].starts_with("packed-refs cannot be read: "), "{json:#}");
    assert!(damage[1].starts_with("not everything was verified: "), "{json:#}");
    for other in &json.as_array().unwrap()[1..] {
        assert!(other["not_verified"]["error"].is_string() && other["not_verified"]["hint"].is_string(), "{json:#}");
        assert_eq!(other["damage"], serde_json::json!([]), "{json:#}");
    }
    let status = world.run(&["status"]).expect(0).stdout;
    assert!(status.contains("damaged acme/damaged") && !status.contains("damaged acme/good"), "{status}");
}

/// Regression: a mirror that a run moved while it was verified was called damaged in its old place.
#[test]
fn a_mirror_that_was_moved_while_it_was_verified_is_found_by_its_id() {
    let world = World::generated(2);
    world.run_json(0);
    // As a run leaves it that is under way: the index still says the old name.
    let (old, new) = (world.mirror("acme/repository-001"), world.mirror("acme/moved"));
    git(&old, &["config", "ghbk.fullName", "acme/moved"]);
    fs::rename(&old, &new).unwrap();
    let json = world.run(&["verify", "--json"]).expect(0).json();
    let names: Vec<_> = json.as_array().unwrap().iter().map(|it| it["repository"].as_str().unwrap()).collect();
    assert!(names.contains(&"acme/moved") && !names.contains(&"acme/repository-001"), "{json:#}");
}

/// Each part of a verification tells what it found, whatever keeps the others from looking.
#[test]
fn findings_are_told_although_the_rest_cannot_be_verified() {
    let world = World::generated(1);
    world.run_json(0);
    let mirror = world.mirror("acme/repository-001");
    fs::create_dir_all(mirror.join("refs/heads")).unwrap();
    fs::write(mirror.join("refs/heads/planted"), "1111111111111111111111111111111111111111\n").unwrap();
    let file = world.folder.path().join("a-file");
    fs::write(&file, "").unwrap();
    let mut command = world.ghbk(&["verify"]);
    let ended = finish(command.env("GHBK_STORE__SCRATCH", file.join("scratch"))).expect(1);
    assert!(ended.stdout.contains("refs/heads/planted is a loose ref"), "{ended:#?}");
    assert!(ended.stdout.contains("not everything was verified: cannot create a folder in"), "{ended:#?}");

    fs::remove_dir_all(mirror.join("refs/heads")).unwrap();
    fs::remove_file(mirror.join("packed-refs")).unwrap();
    fs::create_dir(mirror.join("packed-refs")).unwrap();
    let pack = ghbk::git::pack::packs_in(&mirror.join("objects/pack")).unwrap().remove(0).pack;
    let bytes = fs::read(&pack).unwrap();
    fs::write(&pack, &bytes[..bytes.len() / 2]).unwrap();
    let ended = world.run(&["verify"]).expect(1);
    assert!(ended.stdout.contains("packed-refs cannot be read"), "{ended:#?}");
    assert!(ended.stdout.contains("points outside of its pack"), "the packs are looked at all the same: {ended:#?}");
}

/// Regression: a ref that keeps an old tip could be deleted, and nothing said so before `git gc` removed the commits.
#[test]
fn a_tip_that_no_ref_keeps_any_more_is_damage() {
    let world = World::new();
    let site = world.add("acme/site");
    site.commit("main", "lost", "1").unwrap();
    world.run_json(0);
    let old = site.rev_parse("main").unwrap();
    site.force_push("main").unwrap();
    world.run_json(0);
    let mirror = world.mirror("acme/site");
    world.run(&["verify"]).expect(0);
    git(&mirror, &["update-ref", "-d", &format!("refs/ghbk/kept/{old}")]);
    let ended = world.run(&["verify"]).expect(1);
    assert!(ended.stdout.contains(&format!("no ref keeps {old}, which a snapshot names")), "{ended:#?}");
    world.run(&["run", "--repair", "acme/site"]).expect(0);
    world.run(&["verify"]).expect(0);
    git(&mirror, &["rev-parse", "--verify", &format!("refs/ghbk/kept/{old}")]);
}

/// Regression: the damage of a mirror that was missing stayed on record after a new one was made, and the way out was `rm -rf`.
#[test]
fn a_missing_mirror_that_was_replaced_is_no_damage_any_more() {
    let world = World::new();
    world.add("acme/site");
    world.run_json(0);
    fs::remove_dir_all(world.mirror("acme/site")).unwrap();
    // The line for cron speaks before the run that replaces it.
    let line = world.run(&["status", "--check"]).expect(1).stdout;
    assert_eq!(line, "not healthy: 1 mirror is missing from the store (acme/site)\n");
    world.run(&["verify"]).expect(1);
    let page = world.run(&["status"]).expect(0).stdout;
    assert!(page.contains("look for it in `.ghbk`") && !page.contains("--repair"), "{page}");
    world.run(&["run", "acme/site"]).expect(1);
    let status = world.run(&["status", "--json"]).json();
    assert!(!status["health"]["problems"].to_string().contains("damaged"), "{status:#}");
    assert_eq!(status["history_lost"], serde_json::json!(["acme/site"]), "{status:#}");
    world.run(&["run"]).expect(0);
    world.run(&["status", "--check"]).expect(0);
}

/// Regression: a mirror that was moved back, and verified whole, stayed damaged, and the hint would have moved it away.
#[test]
fn what_is_whole_again_is_no_damage_any_more() {
    let world = World::new();
    world.add("acme/site");
    world.run_json(0);
    let away = world.folder.path().join("away.git");
    fs::rename(world.mirror("acme/site"), &away).unwrap();
    world.run(&["verify"]).expect(1);
    fs::rename(&away, world.mirror("acme/site")).unwrap();
    world.run(&["status", "--check"]).expect(1);
    world.run(&["verify"]).expect(0);
    world.run(&["status", "--check"]).expect(0);
    fs::remove_file(world.root.join(".ghbk/index.json")).unwrap();
    world.run(&["status", "--check"]).expect(0);
}

/// Regression: only what `ghbk verify` had found was repaired, not what a run had.
#[test]
fn what_a_run_found_damaged_is_repaired_without_its_name() {
    let world = World::new();
    for name in ["acme/site", "acme/other"] {
        world.add(name);
    }
    world.run_json(0);
    let packs = world.mirror("acme/site").join("objects/pack");
    let pack = fs::read_dir(packs).unwrap().flatten().find(|it| it.path().extension().is_some_and(|it| it == "pack"));
    fs::remove_file(pack.unwrap().path()).unwrap();
    world.run(&["run"]).expect(1);
    let ended = world.run(&["run", "--repair"]).expect(1);
    assert!(ended.stdout.contains("acme/site") && !ended.stdout.contains("nothing to repair"), "{ended:#?}");
    // Its history went with the pack, which stays visible.
    let text = world.run(&["snapshots", "acme/site"]).expect(0).stdout;
    assert!(text.contains("warning: some history was lost by "), "{text}");
    world.run(&["verify", "acme/site"]).expect(0);
}

#[test]
fn hints_carry_the_options_that_the_call_had() {
    let world = World::new();
    world.add("acme/site");
    world.run_json(0);
    fs::remove_dir_all(world.mirror("acme/site").join("objects/pack")).unwrap();
    let root = world.root.to_str().unwrap();
    for arguments in [&["verify", "--root", root][..], &["run", "--root", root], &["status", "--root", root]] {
        let ended = world.run(arguments);
        let hint = format!("`ghbk --root {root} run --repair acme/site`");
        assert!(ended.stdout.contains(&hint), "{arguments:?}: {ended:#?}");
        assert!(!ended.stdout.contains("`ghbk run"), "{arguments:?}: {ended:#?}");
    }
}

/// Regression: the store kept the hint with the options of the call that found the damage, for every later reader.
#[test]
fn what_is_recorded_has_no_options_of_the_call() {
    let world = World::new();
    world.add("acme/site");
    world.run_json(0);
    fs::remove_dir_all(world.mirror("acme/site").join("objects/pack")).unwrap();
    let root = world.root.to_str().unwrap();
    world.run(&["verify", "--root", root]).expect(1);
    let status = world.run(&["status"]).expect(0).stdout;
    assert!(status.contains("hint: `ghbk run --repair acme/site`"), "{status}");
}
