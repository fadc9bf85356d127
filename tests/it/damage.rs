//! A mirror that has lost something: told, kept from getting worse, and brought back as far as there is anything.

use std::fs;

use crate::world::{World, git};

/// Three snapshots, the last after a force push.
fn with_history() -> World {
    let world = World::new();
    let site = world.add("acme/site");
    world.run_json(0);
    site.commit("main", "a", "2").unwrap();
    world.run_json(0);
    site.force_push("main").unwrap();
    world.run_json(0);
    world
}

fn snapshots(world: &World) -> usize {
    let listed = world.run(&["snapshots", "acme/site", "--json"]).expect(0).json();
    listed[0]["snapshots"].as_array().unwrap().len()
}

#[test]
fn refs_without_the_snapshots_begin_no_new_history() {
    let world = with_history();
    let path = world.mirror("acme/site").join("packed-refs");
    let whole = fs::read_to_string(&path).unwrap();
    let without: String = whole.lines().filter(|line| !line.contains("ghbk")).map(|line| format!("{line}\n")).collect();
    let header = whole.lines().next().unwrap().to_owned() + "\n";
    for (round, cut) in [without, header, String::new()].into_iter().enumerate() {
        fs::write(&path, &cut).unwrap();
        for _ in 0..2 {
            let summary = world.run_json(1);
            assert!(summary["failures"].to_string().contains("it has no refs/ghbk/snapshots"), "{summary:#}");
            assert_eq!(fs::read_to_string(&path).unwrap(), cut, "nothing is published");
        }
        world.run(&["run", "--repair", "acme/site"]);
        assert_eq!(snapshots(&world), 3 + 1 + round, "a repair finds them, and adds its own");
        world.run(&["verify", "--deep"]).expect(0);
        world.run_json(0);
    }
}

#[test]
fn a_repair_names_the_snapshots_that_are_lost() {
    let world = with_history();
    for entry in fs::read_dir(world.mirror("acme/site").join("objects/pack")).unwrap() {
        fs::remove_file(entry.unwrap().path()).unwrap();
    }
    let ended = world.run(&["run", "--repair", "acme/site"]).expect(1);
    assert!(ended.stdout.contains("lost: all snapshots"), "{ended:#?}");
    assert!(ended.stdout.contains("keep it, because something in it could not be read"), "{ended:#?}");
    world.assert_mirrors("acme/site");
}

#[test]
fn what_can_be_read_of_a_lost_repository_s_damaged_mirror_is_restored() {
    let world = with_history();
    world.sandbox.delete("acme/site").unwrap();
    world.add("acme/other");
    world.run_json(0);
    let mirror = world.mirror("acme/site");
    let newest = git(&mirror, &["rev-parse", "refs/ghbk/snapshots"]);
    let packs = mirror.join("objects/pack");
    for entry in fs::read_dir(&packs).unwrap() {
        let idx = entry.unwrap().path();
        if idx.extension() == Some("idx".as_ref())
            && git(&mirror, &["verify-pack", "-v", idx.to_str().unwrap()]).contains(newest.trim())
        {
            fs::remove_file(idx.with_extension("pack")).unwrap();
            fs::remove_file(idx).unwrap();
        }
    }
    assert_eq!(snapshots(&world), 2);
    let restored = world.folder.path().join("restored.git");
    // It must not pass for what was there last.
    let refused = world.run(&["restore", "acme/site", restored.to_str().unwrap()]).expect(1);
    let (_, run) = refused.stderr.split_once("--run ").unwrap();
    let run = run.split(['`', ' ']).next().unwrap();
    world.run(&["restore", "acme/site", restored.to_str().unwrap(), "--run", run]).expect(0);
    git(&restored, &["fsck", "--full"]);
}

#[test]
fn a_mirror_that_does_not_say_whose_it_is_is_repaired_not_adopted() {
    let world = with_history();
    crate::recovery::interrupt(&world);
    fs::remove_file(world.mirror("acme/site").join("config")).unwrap();
    let summary = world.run_json(1);
    assert!(summary["failures"].to_string().contains("--repair"), "{summary:#}");
    let adopted = world.run(&["adopt"]);
    assert_ne!(adopted.code, Some(0), "{adopted:#?}");
    world.run(&["run", "--repair", "acme/site"]).expect(0);
    assert_eq!(snapshots(&world), 3 + 1);
    world.run_json(0);
}

#[test]
fn a_wiki_that_somebody_removed_is_a_failure() {
    let world = World::new();
    world.add("acme/site");
    world.add("acme/site.wiki");
    world.run_json(0);
    fs::remove_dir_all(world.mirror("acme/site.wiki")).unwrap();
    let summary = world.run_json(1);
    assert!(summary["failures"].to_string().contains("its mirror was missing"), "{summary:#}");
    world.assert_mirrors("acme/site.wiki");
    world.run_json(0);
    // The code's history is whole.
    let text = world.run(&["snapshots", "acme/site"]).expect(0).stdout;
    assert!(!text.contains("some history was lost"), "{text}");
    let text = world.run(&["snapshots", "acme/site", "--wiki"]).expect(0).stdout;
    assert!(text.contains("some history was lost"), "{text}");
}

#[test]
fn a_mirror_of_a_gone_repository_is_missed_until_it_is_back_or_forgotten() {
    let world = with_history();
    world.add("acme/other");
    world.sandbox.delete("acme/site").unwrap();
    world.run_json(0);
    let (mirror, away) = (world.mirror("acme/site"), world.folder.path().join("away.git"));
    fs::rename(&mirror, &away).unwrap();
    world.run(&["verify"]).expect(1);
    let summary = world.run_json(1);
    assert!(summary["failures"].to_string().contains("its mirror is missing: "), "{summary:#}");
    // Regression: it was told once, and the next run was green.
    let summary = world.run_json(1);
    assert!(summary["failures"].to_string().contains("acme/site"), "{summary:#}");
    assert!(summary["failures"].to_string().contains("ghbk forget"), "{summary:#}");
    // Neither does losing the index make anybody forget it.
    fs::remove_file(world.root.join(".ghbk/index.json")).unwrap();
    let summary = world.run_json(1);
    assert_eq!(summary["counts"]["failures"], 1, "{summary:#}");

    fs::rename(&away, &mirror).unwrap();
    world.run_json(0);
    let restored = world.folder.path().join("restored.git");
    world.run(&["restore", "acme/site", restored.to_str().unwrap()]).expect(0);
    fs::rename(&mirror, &away).unwrap();
    world.run_json(1);
    world.run(&["forget", "acme/site"]).expect(0);
    assert_eq!(world.run_json(0)["counts"]["gone"], 0);
}

#[test]
fn nothing_needs_a_record_that_cannot_be_read() {
    for content in [None, Some("")] {
        let world = with_history();
        let mut records: Vec<_> =
            fs::read_dir(world.root.join(".ghbk/runs")).unwrap().map(|entry| entry.unwrap().path()).collect();
        records.sort();
        let newest = records.pop().unwrap();
        fs::remove_file(&newest).unwrap();
        match content {
            Some(content) => fs::write(&newest, content).unwrap(),
            None => fs::create_dir(&newest).unwrap(),
        }
        let restored = world.folder.path().join("restored.git");
        world.run(&["restore", "acme/site", restored.to_str().unwrap()]).expect(0);
        for arguments in [&["snapshots", "acme/site"][..], &["list"], &["status"]] {
            world.run(arguments).expect(0);
        }
        assert_eq!(snapshots(&world), 3);
        // An empty one is that of a run which was cut off.
        let rubbish = world.mirror("acme/site").join("objects/pack/tmp_ghbk_rubbish");
        fs::write(&rubbish, "").unwrap();
        let summary = world.run_json(i32::from(content.is_none()));
        assert!(!rubbish.exists(), "{summary:#}");
    }
}

#[test]
fn a_store_without_a_mirror_is_not_proven() {
    let world = World::new();
    let ended = world.run(&["verify"]).expect(3);
    assert!(ended.stderr.contains("there is no mirror in"), "{ended:#?}");
}

#[test]
fn one_list_of_refs_that_cannot_be_read_keeps_no_other_from_being_verified() {
    let world = with_history();
    world.add("acme/other");
    world.run_json(0);
    let refs = world.mirror("acme/site").join("packed-refs");
    fs::remove_file(&refs).unwrap();
    fs::create_dir(&refs).unwrap();
    let report = world.run(&["verify", "--json"]).expect(1).json();
    assert_eq!(report.as_array().unwrap().len(), 2, "{report:#}");
}

/// Regression: without its index a pack was as good as lost, though everything in it can be read.
#[test]
fn a_pack_whose_index_is_lost_is_read_by_repair_and_restore() {
    let world = with_history();
    let mirror = world.mirror("acme/site");
    let refs = git(&mirror, &["for-each-ref"]);
    let lose_indexes = || {
        for pack in ghbk::git::pack::packs_in(&mirror.join("objects/pack")).unwrap() {
            fs::remove_file(pack.idx).unwrap();
        }
    };
    lose_indexes();
    let ended = world.run(&["verify"]).expect(1);
    assert!(ended.stdout.contains("has no index; what is in it can still be read"), "{ended:#?}");
    let restored = world.folder.path().join("restored.git");
    let ended = world.run(&["restore", "acme/site", restored.to_str().unwrap()]).expect(0);
    assert!(ended.stdout.contains("warning: the mirror is damaged"), "{ended:#?}");
    git(&restored, &["fsck", "--full"]);
    assert!(world.run(&["snapshots", "acme/site"]).expect(0).stdout.lines().count() > 2);
    let ended = world.run(&["run", "--repair", "acme/site"]).expect(0);
    assert!(!ended.stdout.contains("lost: "), "{ended:#?}");
    world.run(&["verify", "--deep"]).expect(0);
    let repaired = git(&mirror, &["for-each-ref"]);
    for line in refs.lines().filter(|line| !line.contains("refs/ghbk/snapshots")) {
        assert!(repaired.contains(line), "{line} is gone: {repaired}");
    }

    // Of a repository that GitHub no longer has, there is nothing else.
    world.sandbox.delete("acme/site").unwrap();
    world.add("acme/other");
    world.run_json(0);
    lose_indexes();
    let again = world.folder.path().join("again.git");
    world.run(&["restore", "acme/site", again.to_str().unwrap()]).expect(0);
}

/// Regression: two mirrors that changed places were verified as good, and each got the other's history as a force push.
#[test]
fn a_mirror_in_the_place_of_another_is_no_mirror() {
    let world = World::new();
    for name in ["acme/one", "acme/two"] {
        world.add(name).commit("main", name, "1").unwrap();
    }
    world.run_json(0);
    let (one, two) = (world.mirror("acme/one"), world.mirror("acme/two"));
    let between = world.folder.path().join("between.git");
    for (from, to) in [(&one, &between), (&two, &one), (&between, &two)] {
        fs::rename(from, to).unwrap();
    }
    let ended = world.run(&["verify"]).expect(1);
    assert!(ended.stdout.contains("it is the mirror of acme/two"), "{ended:#?}");
    let summary = world.run_json(1);
    assert_eq!(summary["force_pushed"], serde_json::json!([]), "{summary:#}");
    assert!(summary["failures"].to_string().contains("is in the way"), "{summary:#}");
    for (from, to) in [(&one, &between), (&two, &one), (&between, &two)] {
        fs::rename(from, to).unwrap();
    }
    world.run_json(0);
    world.assert_mirrors("acme/one");
    world.assert_mirrors("acme/two");

    fs::remove_file(one.join("config")).unwrap();
    let ended = world.run(&["verify"]).expect(1);
    assert!(ended.stdout.contains("it has no config"), "{ended:#?}");
}
