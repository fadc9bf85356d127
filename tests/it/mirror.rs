//! What a run leaves on the store.

use serde_json::json;

use crate::world::{World, finish, git, mirrored_refs};

#[test]
fn a_first_run_creates_and_a_second_finds_nothing_new() {
    let world = World::generated(3);
    let first = world.run_json(0);
    assert_eq!(first["status"], "ok");
    assert_eq!(first["counts"]["created"], 3);
    for number in 1..=3 {
        world.assert_mirrors(&format!("acme/repository-{number:03}"));
    }
    let second = world.run_json(0);
    assert_eq!(
        second["counts"],
        json!({
            "listed": 3, "created": 0, "updated": 0, "unchanged": 3, "renamed": 0, "gone": 0, "failed": 0, "failures": 0,
            "not_reached": 0,
        })
    );
    assert_eq!(second["bytes_received"], 0);
}

#[test]
fn a_repository_by_name_needs_no_configuration_and_no_listing() {
    let world = World::new();
    world.add("acme/site");
    let root = world.folder.path().join("fresh/backup");
    let mut command = world.ghbk(&["run", "--root", root.to_str().unwrap(), "acme/site"]);
    command.env_remove("GHBK_GITHUB__OWNERS").env_remove("GHBK_STORE__ROOT");
    let ended = finish(&mut command).expect(0);
    assert!(ended.stdout.contains("backup complete"), "{ended:#?}");
    assert!(root.join("acme/site.git/packed-refs").is_file());
}

#[test]
fn every_kind_of_change_is_brought_over() {
    let world = World::new();
    let site = world.add("acme/site");
    site.annotated_tag("v1", "refs/heads/main").unwrap();
    site.commit("old", "a", "1").unwrap();
    world.run_json(0);
    site.commit("main", "b", "2").unwrap();
    site.commit("new/branch", "c", "3").unwrap();
    site.delete_ref("refs/heads/old").unwrap();
    site.annotated_tag("v2", "refs/heads/main").unwrap();
    let head = site.rev_parse("refs/heads/main").unwrap();
    site.set_ref("refs/pull/7/head", &head).unwrap();
    site.set_ref("refs/pull/7/merge", &head).unwrap();
    let summary = world.run_json(0);
    assert_eq!(summary["counts"]["updated"], 1);
    world.assert_mirrors("acme/site");
    let refs = mirrored_refs(&world.mirror("acme/site")).join("\n");
    assert!(refs.contains("refs/pull/7/head") && !refs.contains("refs/pull/7/merge"), "{refs}");
}

#[test]
fn a_force_push_is_reported_and_mirrored() {
    let world = World::new();
    let site = world.add("acme/site");
    site.commit("main", "b", "2").unwrap();
    world.run_json(0);
    let old = site.rev_parse("refs/heads/main").unwrap();
    site.force_push("main").unwrap();
    let summary = world.run_json(0);
    assert_eq!(summary["force_pushed"], json!([{"repository": "acme/site", "refs": ["refs/heads/main"]}]));
    world.assert_mirrors("acme/site");
    // Nothing is pruned: what the force push took away on GitHub is still an object here.
    git(&world.mirror("acme/site"), &["cat-file", "-e", &old]);
}

#[test]
fn a_branch_moved_back_to_an_older_commit_brings_no_object() {
    let world = World::new();
    let site = world.add("acme/site");
    let old = site.rev_parse("refs/heads/main").unwrap();
    site.commit("main", "b", "2").unwrap();
    world.run_json(0);
    site.set_ref("refs/heads/main", &old).unwrap();
    let summary = world.run_json(0);
    assert_eq!(summary["counts"]["updated"], 1);
    // What git-upload-pack says beside a pack of none.
    let said_bytes = summary["bytes_received"].as_u64().unwrap();
    assert!(said_bytes < 1024, "{said_bytes}");
    world.assert_mirrors("acme/site");
}

#[test]
fn head_follows_the_default_branch() {
    let world = World::new();
    let site = world.add("acme/site");
    site.commit("trunk", "b", "2").unwrap();
    world.run_json(0);
    site.set_default_branch("trunk").unwrap();
    let summary = world.run_json(0);
    assert_eq!(summary["counts"]["updated"], 1);
    assert_eq!(git(&world.mirror("acme/site"), &["symbolic-ref", "HEAD"]), "refs/heads/trunk\n");
    assert_eq!(world.run_json(0)["counts"]["unchanged"], 1);
}

#[test]
fn an_empty_repository_is_mirrored_and_fills_later() {
    let world = World::new();
    let path = world.sandbox.repositories().join("acme/empty.git");
    let empty = ghbk_sandbox::RepositoryEditor::create(path).unwrap();
    empty.set_default_branch("main").unwrap();
    assert_eq!(world.run_json(0)["counts"]["created"], 1);
    assert_eq!(world.run_json(0)["counts"]["unchanged"], 1);
    empty.commit("main", "a", "1").unwrap();
    assert_eq!(world.run_json(0)["counts"]["updated"], 1);
    world.assert_mirrors("acme/empty");
}

#[test]
fn a_repository_that_suddenly_advertises_nothing_keeps_its_mirror() {
    let world = World::new();
    let site = world.add("acme/site");
    world.run_json(0);
    let before = mirrored_refs(&world.mirror("acme/site"));
    site.delete_ref("refs/heads/main").unwrap();
    let summary = world.run_json(1);
    assert!(summary["failures"][0]["error"].as_str().unwrap().contains("advertises no refs"), "{summary}");
    assert_eq!(mirrored_refs(&world.mirror("acme/site")), before);
}

#[test]
fn a_wiki_is_mirrored_beside_its_repository() {
    let world = World::new();
    world.add("acme/site");
    world.add("acme/other");
    world.add("acme/site.wiki");
    assert_eq!(world.run_json(0)["counts"]["created"], 2);
    world.assert_mirrors("acme/site.wiki");
    assert!(!world.mirror("acme/other.wiki").exists(), "a wiki that was never written has no mirror");
    assert_eq!(world.run_json(0)["counts"]["unchanged"], 2);
    world.sandbox.edit("acme/site.wiki").commit("main", "Home.md", "hello").unwrap();
    assert_eq!(world.run_json(0)["counts"]["updated"], 1);
    world.assert_mirrors("acme/site.wiki");
}

#[test]
fn wikis_can_be_left_out() {
    let world = World::new();
    world.add("acme/site");
    world.add("acme/site.wiki");
    finish(world.ghbk(&["run"]).env("GHBK_GITHUB__WIKIS", "false")).expect(0);
    assert!(!world.mirror("acme/site.wiki").exists());
}

#[test]
fn a_mirror_is_an_ordinary_repository_with_one_pack_a_run() {
    let world = World::new();
    let site = world.add("acme/site");
    world.run_json(0);
    for number in 0..3 {
        site.commit("main", "a", &number.to_string()).unwrap();
        world.run_json(0);
    }
    let mirror = world.mirror("acme/site");
    let packs = std::fs::read_dir(mirror.join("objects/pack")).unwrap().count();
    assert_eq!(packs, 2 * 4, "a pack and an idx for each of four runs");
    assert_eq!(git(&mirror, &["count-objects"]), "0 objects, 0 kilobytes\n");
    assert_eq!(git(&mirror, &["config", "ghbk.fullName"]), "acme/site\n");
    assert_eq!(std::fs::read_dir(mirror.join("refs")).unwrap().count(), 0, "no loose refs");
}

#[test]
fn a_mirror_that_somebody_removed_is_made_anew() {
    let world = World::new();
    world.add("acme/site");
    world.run_json(0);
    std::fs::remove_dir_all(world.mirror("acme/site")).unwrap();
    let summary = world.run_json(1);
    // Its history went with it, which nobody should have to find out on a bad day.
    assert!(summary["failures"].to_string().contains("its mirror was missing"), "{summary:#}");
    world.assert_mirrors("acme/site");
    world.run_json(0);
    // It is a failure once; whoever looks for old history later is told all the same, also after the index was rebuilt.
    for _ in 0..2 {
        for command in ["snapshots", "status"] {
            let text = world.run(&[command, "acme/site"]).expect(0).stdout;
            assert!(text.contains("warning: some history was lost by "), "{text}");
        }
        let _ = std::fs::remove_file(world.root.join(".ghbk/index.json"));
    }
}

#[test]
fn a_lost_index_is_rebuilt_from_the_mirrors() {
    let world = World::generated(3);
    world.run_json(0);
    std::fs::remove_file(world.root.join(".ghbk/index.json")).unwrap();
    assert_eq!(world.run_json(0)["counts"]["unchanged"], 3);
    assert!(world.root.join(".ghbk/index.json").is_file());
}

#[test]
fn a_file_that_is_also_in_the_snapshot_is_stored_once() {
    let world = World::new();
    let origin = world.add("acme/site");
    origin.commit("main", "HEAD", "ref: refs/heads/main\n").unwrap();
    let summary = world.run_json(0);
    assert_eq!(summary["counts"]["created"], 1);
    world.assert_mirrors("acme/site");
    let packs = ghbk::git::pack::packs_in(&world.mirror("acme/site").join("objects/pack")).unwrap();
    let listed = crate::world::git(&world.mirror("acme/site"), &["verify-pack", "-v", packs[0].idx.to_str().unwrap()]);
    let blob = crate::world::git(&world.mirror("acme/site"), &["rev-parse", "refs/heads/main:HEAD"]);
    assert_eq!(listed.lines().filter(|line| line.starts_with(blob.trim())).count(), 1, "{listed}");
}

/// Regression: the refs were brought up to date, and git took the mirror for no repository.
#[test]
fn a_lost_head_comes_back_with_the_next_change() {
    let world = World::new();
    let site = world.add("acme/site");
    world.run_json(0);
    for content in [None, Some("")] {
        match content {
            None => std::fs::remove_file(world.mirror("acme/site").join("HEAD")).unwrap(),
            Some(content) => std::fs::write(world.mirror("acme/site").join("HEAD"), content).unwrap(),
        }
        site.commit("main", "more", &format!("{content:?}")).unwrap();
        world.run_json(0);
        world.assert_mirrors("acme/site");
    }
}

/// A clock that was wrong for one run, either way, costs nothing afterwards.
#[test]
fn a_clock_that_jumps_costs_nothing() {
    let world = World::generated(2);
    let now = chrono::Utc::now();
    let site = world.sandbox.edit("acme/repository-001");
    for (number, days) in [0, 4000, -4000, 1, 2].into_iter().enumerate() {
        site.force_push("main").unwrap();
        let summary = world.run_at(now + chrono::TimeDelta::days(days), &[]);
        assert_eq!(summary.failures.len(), 0, "{number}: {summary:#?}");
        assert_eq!(summary.counts.created, if number == 0 { 2 } else { 0 }, "{number}: {summary:#?}");
        world.assert_mirrors("acme/repository-001");
    }
    world.run_json(0);
    world.run(&["verify", "--deep"]).expect(0);
    let snapshots = world.run(&["snapshots", "acme/repository-001", "--json"]).expect(0).json();
    let snapshots = snapshots[0]["snapshots"].as_array().unwrap();
    assert_eq!(snapshots.len(), 5, "each state is there");
    for snapshot in snapshots {
        let run = snapshot["run_id"].as_str().unwrap();
        world.run(&["restore", "acme/repository-001", &format!("restored-{run}"), "--run", run]).expect(0);
    }
    world.run(&["status"]).expect(0);
}

/// Seen in a trial: refs of Gerrit, git-bug and `git replace` were left out in silence, and the run said that all was stored.
#[test]
fn every_ref_that_the_server_advertises_is_stored() {
    let world = World::new();
    let editor = world.add("acme/site");
    let origin = world.sandbox.repositories().join("acme/site.git");
    let names =
        ["refs/meta/config", "refs/changes/01/1/1", "refs/replace/abc", "refs/bugs/1", "refs/notes/review", "refs/x"];
    for name in names {
        editor.commit("side", "side.txt", name).unwrap();
        git(&origin, &["update-ref", name, "refs/heads/side"]);
    }
    git(&origin, &["update-ref", "-d", "refs/heads/side"]);
    git(&origin, &["update-ref", "refs/pull/1/merge", "refs/heads/main"]);
    world.run_json(0);
    world.assert_mirrors("acme/site");
    let excluded = |world: &World| {
        let mut command = world.ghbk(&["run", "--json"]);
        finish(command.env("GHBK_GITHUB__REFS_EXCLUDE", "refs/changes/*, refs/x")).expect(0).json()
    };
    assert_eq!(excluded(&world)["counts"]["updated"], 1);
    let refs = git(&world.mirror("acme/site"), &["for-each-ref", "--format=%(refname)"]);
    assert!(
        refs.contains("refs/meta/config") && !refs.contains("refs/changes") && !refs.contains("refs/x\n"),
        "{refs}"
    );
    // Nothing is lost by it: the one tip that no other ref reaches is kept.
    let last = git(&origin, &["rev-parse", "refs/x"]);
    assert!(refs.contains(&format!("refs/ghbk/kept/{last}")), "{refs}");
    assert_eq!(excluded(&world)["counts"]["unchanged"], 1);
}

#[test]
fn refs_of_a_copied_mirror_do_not_mix_with_our_own() {
    let world = World::new();
    world.add("acme/site");
    world.run_json(0);
    let copy = world.sandbox.repositories().join("acme/copy.git");
    world.add("acme/copy");
    git(&world.mirror("acme/site"), &["push", "--quiet", "--mirror", copy.to_str().unwrap()]);
    let summary = world.run_json(0);
    let warnings = summary["warnings"].to_string();
    assert!(warnings.contains("acme/copy: its 1 refs below refs/ghbk/"), "{warnings}");
    let refs = git(&world.mirror("acme/copy"), &["for-each-ref", "--format=%(refname) %(objectname)"]);
    let snapshot = git(&copy, &["rev-parse", "refs/ghbk/snapshots"]);
    assert!(refs.contains(&format!("refs/ghbk-of-origin/snapshots {}", snapshot.trim())), "{refs}");
    assert_eq!(world.run_json(0)["counts"]["unchanged"], 2);
    world.run(&["verify"]).expect(0);
}
