//! A damaged mirror is made anew, and keeps what only it had.

use std::fs;
use std::path::PathBuf;

use ghbk::git::pack::packs_in;

use crate::verify::damage;
use crate::world::{World, git, git_output};

/// A mirror with history that GitHub no longer has, and the tips of it.
fn with_history(world: &World) -> (PathBuf, Vec<String>) {
    let site = world.add("acme/site");
    site.annotated_tag("v1", "refs/heads/main").unwrap();
    site.commit("doomed", "a", "1").unwrap();
    world.run_json(0);
    let mut tips = Vec::new();
    for name in ["refs/tags/v1", "refs/heads/doomed", "refs/heads/main"] {
        tips.push(site.rev_parse(name).unwrap());
    }
    site.force_push("main").unwrap();
    site.annotated_tag("v1", "refs/heads/main").unwrap();
    site.delete_ref("refs/heads/doomed").unwrap();
    world.run_json(0);
    site.commit("main", "b", "2").unwrap();
    world.run_json(0);
    (world.mirror("acme/site"), tips)
}

fn snapshots(world: &World) -> usize {
    let json = world.run(&["snapshots", "acme/site", "--json"]).expect(0).json();
    json[0]["snapshots"].as_array().unwrap().len()
}

#[test]
fn a_lost_list_of_refs_costs_nothing() {
    for cut in [0, 100, 300] {
        let world = World::new();
        let (mirror, tips) = with_history(&world);
        let packed = fs::read(mirror.join("packed-refs")).unwrap();
        fs::write(mirror.join("packed-refs"), &packed[..cut]).unwrap();
        world.run(&["verify"]).expect(1);
        // What was cut off is found by its snapshots; that something was is still said.
        world.run(&["run", "--repair", "acme/site"]);
        assert_eq!(damage(&mirror), [""; 0]);
        for tip in &tips {
            git(&mirror, &["cat-file", "-e", tip]);
        }
        world.assert_mirrors("acme/site");
        assert!(snapshots(&world) >= 3);
        git(&mirror, &["gc", "--prune=now", "--quiet"]);
        for tip in &tips {
            git(&mirror, &["cat-file", "-e", tip]);
        }
        assert_eq!(world.run_json(0)["counts"]["unchanged"], 1);
    }
}

#[test]
fn a_lost_index_of_a_pack_costs_nothing() {
    let world = World::new();
    let (mirror, tips) = with_history(&world);
    for pack in packs_in(&mirror.join("objects/pack")).unwrap() {
        let mut idx = fs::read(&pack.idx).unwrap();
        let middle = idx.len() - 60;
        idx[middle] ^= 0x80;
        fs::write(&pack.idx, idx).unwrap();
    }
    world.run(&["verify"]).expect(1);
    // A run that has something to fetch refuses to build on it, and says what to do.
    world.sandbox.edit("acme/site").commit("main", "c", "3").unwrap();
    let failed = world.run_json(1);
    assert!(failed["failures"][0]["hint"].as_str().unwrap().contains("--repair"), "{failed}");
    let ended = world.run(&["run", "--repair", "acme/site"]).expect(0);
    assert!(ended.stdout.contains("it was fetched anew; the old mirror is in "), "{}", ended.stdout);
    assert_eq!(damage(&mirror), [""; 0]);
    for tip in &tips {
        git(&mirror, &["cat-file", "-e", tip]);
    }
    assert_eq!(snapshots(&world), 4);
    world.assert_mirrors("acme/site");
    assert!(world.root.join(".ghbk/damaged/acme").is_dir());
    world.run(&["verify", "--deep"]).expect(0);
    assert_eq!(world.run_json(0)["counts"]["unchanged"], 1);
}

#[test]
fn what_is_lost_for_good_is_named_and_the_rest_is_saved() {
    let world = World::new();
    let (mirror, tips) = with_history(&world);
    // The first pack has what GitHub dropped since.
    let pack = packs_in(&mirror.join("objects/pack"))
        .unwrap()
        .into_iter()
        .find(|pack| {
            git_output(&mirror, &["verify-pack", "-v", pack.idx.to_str().unwrap()])
                .stdout
                .windows(40)
                .any(|w| w == tips[1].as_bytes())
        })
        .unwrap();
    fs::remove_file(&pack.pack).unwrap();
    fs::remove_file(&pack.idx).unwrap();
    world.run(&["verify"]).expect(1);
    let ended = world.run(&["run", "--repair", "acme/site"]).expect(1);
    assert!(ended.stdout.contains("lost: refs/ghbk/kept/"), "{}", ended.stdout);
    assert_eq!(damage(&mirror), [""; 0]);
    world.assert_mirrors("acme/site");
    assert_eq!(world.run_json(0)["status"], "ok");
}

#[test]
fn a_repair_needs_damage_or_names_and_a_repository_on_github() {
    let world = World::new();
    let (mirror, tips) = with_history(&world);
    let ended = world.run(&["run", "--repair"]).expect(0);
    assert!(ended.stdout.contains("no mirror is known to be damaged"), "{ended:#?}");
    world.sandbox.delete("acme/site").unwrap();
    world.run(&["run", "--repair", "acme/site"]);
    for tip in &tips {
        git(&mirror, &["cat-file", "-e", tip]);
    }
}

/// Regression: the chain of snapshots was found by its objects and made anew, and the tip of before was kept by name alone.
#[test]
fn a_snapshots_ref_of_another_name_costs_nothing() {
    let world = World::new();
    let (mirror, tips) = with_history(&world);
    let before = snapshots(&world);
    let packed = fs::read_to_string(mirror.join("packed-refs")).unwrap();
    fs::write(mirror.join("packed-refs"), packed.replace("refs/ghbk/snapshots", "refs/ghbk/snapshott")).unwrap();
    world.run(&["verify"]).expect(1);
    world.run(&["run", "--repair", "acme/site"]).expect(0);
    assert_eq!(damage(&mirror), [""; 0]);
    for tip in &tips {
        git(&mirror, &["cat-file", "-e", tip]);
    }
    assert!(snapshots(&world) >= before);
    world.assert_mirrors("acme/site");
}

#[test]
fn everything_that_is_known_to_be_damaged_is_repaired() {
    let world = World::generated(4);
    world.run_json(0);
    for number in [1, 3] {
        std::fs::remove_file(world.mirror(&format!("acme/repository-00{number}")).join("HEAD")).unwrap();
    }
    world.run(&["verify"]).expect(1);
    let summary = world.run(&["run", "--repair", "--json"]).expect(0).json();
    assert_eq!(summary["selection"], serde_json::json!(["acme/repository-001", "acme/repository-003"]));
    world.run(&["verify"]).expect(0);
    world.run(&["status", "--check"]).expect(0);
}
