//! Each run proves something of the store, and says what.

use std::fs;

use chrono::{DateTime, TimeDelta, Utc};
use ghbk::outcome::{RunStatus, Stage};

use crate::world::{World, git, git_output};

fn start() -> DateTime<Utc> {
    Utc::now() - TimeDelta::weeks(200)
}

fn packs(world: &World, name: &str) -> usize {
    ghbk::git::pack::packs_in(&world.mirror(name).join("objects/pack")).unwrap().len()
}

#[test]
fn every_run_restores_one_repository_in_turn_and_says_so() {
    let world = World::generated(3);
    let mut restored = Vec::new();
    for week in 0..3 {
        let summary = world.run_at(start() + TimeDelta::weeks(week), &[]);
        assert_eq!(summary.status, RunStatus::Ok, "{summary:#?}");
        restored.push(summary.proof.restored.unwrap().repository.to_string());
    }
    restored.sort();
    assert_eq!(restored, ["acme/repository-001", "acme/repository-002", "acme/repository-003"]);
    let text = world.run(&["run"]).expect(0).stdout;
    assert!(text.contains("restore proven: acme/repository-00"), "{text}");
    let message = world.sandbox.slack_messages().last().unwrap().body.to_string();
    assert!(message.contains("restore proven: acme/repository-00"), "{message}");
    assert_eq!(fs::read_dir(world.folder.path().join("scratch")).unwrap().count(), 0, "scratch is empty again");
}

#[test]
fn in_twelve_weeks_every_object_is_read() {
    let world = World::generated(6);
    world.run_at(start(), &[]);
    let mut verified = 0;
    for week in 1..=12 {
        let summary = world.run_at(start() + TimeDelta::weeks(week), &[]);
        assert!((1..=2).contains(&summary.proof.mirrors_verified), "{:#?}", summary.proof);
        verified += summary.proof.mirrors_verified;
    }
    assert!(verified >= 6);
    let status = world.run(&["status", "--json"]).expect(0).json();
    let before = (start() + TimeDelta::days(1)).to_rfc3339();
    for mirror in status["repositories"].as_array().unwrap() {
        let at: DateTime<Utc> = mirror["verified_at"].as_str().unwrap().parse().unwrap();
        assert!(at.to_rfc3339() > before, "{mirror}");
    }
}

#[test]
fn damage_makes_a_run_partial_and_is_named_in_slack() {
    let world = World::generated(1);
    world.run_json(0);
    let pack = ghbk::git::pack::packs_in(&world.mirror("acme/repository-001").join("objects/pack")).unwrap().remove(0);
    let mut bytes = fs::read(&pack.pack).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 4;
    fs::write(&pack.pack, bytes).unwrap();
    let summary = world.run_json(1);
    assert_eq!(summary["status"], "partial");
    assert_eq!(summary["proof"]["damaged"][0], "acme/repository-001");
    assert_eq!(summary["failures"][0]["stage"], serde_json::to_value(Stage::Verify).unwrap());
    let message = world.sandbox.slack_messages().last().unwrap().body.to_string();
    assert!(message.contains("the mirror is damaged") && message.contains("--repair acme/repository-001"), "{message}");
    let status = world.run(&["status"]).expect(0).stdout;
    assert!(status.contains("damaged acme/repository-001"), "{status}");
}

#[test]
fn many_packs_become_few_and_nothing_is_lost() {
    let world = World::new();
    let site = world.add("acme/site");
    let settings = [("GHBK_STORE__PACKS_MAX", "4"), ("GHBK_VERIFY__RESTORE", "false")];
    let mut tips = vec![site.rev_parse("refs/heads/main").unwrap()];
    let mut runs = Vec::new();
    for week in 0..12 {
        site.commit("main", "file", &format!("week {week} {}", "text ".repeat(100))).unwrap();
        if week % 3 == 0 {
            site.force_push("main").unwrap();
        }
        tips.push(site.rev_parse("refs/heads/main").unwrap());
        let summary = world.run_at(start() + TimeDelta::weeks(week), &settings);
        assert_eq!(summary.status, RunStatus::Ok, "{summary:#?}");
        runs.push((summary.run_id, site.refs().unwrap()));
        assert!(packs(&world, "acme/site") <= 4);
    }
    let mirror = world.mirror("acme/site");
    for tip in &tips[1..] {
        git(&mirror, &["cat-file", "-e", tip]);
    }
    assert!(git_output(&mirror, &["fsck", "--full", "--unreachable"]).status.success());
    assert_eq!(git(&mirror, &["rev-list", "--count", "refs/ghbk/snapshots"]), "12\n");
    for (run_id, refs) in &runs {
        let folder = format!("restored-{run_id}");
        world.run(&["restore", "acme/site", &folder, "--run", run_id.as_str()]).expect(0);
        let restored = ghbk_sandbox::RepositoryEditor::open(world.folder.path().join(&folder));
        assert_eq!(&restored.refs().unwrap(), refs);
    }
    world.run(&["verify", "--deep"]).expect(0);
    world.assert_mirrors("acme/site");
}

#[test]
fn retention_drops_what_is_too_old_and_nothing_that_is_on_github() {
    let world = World::new();
    let site = world.add("acme/site");
    site.commit("side", "a", "1").unwrap();
    let settings =
        [("GHBK_STORE__PACKS_MAX", "4"), ("GHBK_RETENTION__KEEP", "4 weeks"), ("GHBK_VERIFY__RESTORE", "false")];
    let mut tips = Vec::new();
    let mut dropped = 0;
    for week in 0..12 {
        tips.push(site.rev_parse("refs/heads/main").unwrap());
        let summary = world.run_at(start() + TimeDelta::weeks(week), &settings);
        assert_eq!(summary.status, RunStatus::Ok, "{summary:#?}");
        dropped += summary.dropped.iter().map(|from| from.dropped.snapshots).sum::<u64>();
        site.force_push("main").unwrap();
    }
    assert!(dropped > 0);
    let mirror = world.mirror("acme/site");
    let first = git_output(&mirror, &["cat-file", "-e", &tips[1]]);
    assert!(!first.status.success(), "the tip that was lost first is still there");
    let snapshots = world.run(&["snapshots", "acme/site", "--json"]).expect(0).json();
    let left = snapshots[0]["snapshots"].as_array().unwrap().len();
    assert_eq!(left as u64 + dropped, 12);
    // Everything younger than four weeks, at the last merging and now, is there.
    for tip in &tips[8..] {
        git(&mirror, &["cat-file", "-e", tip]);
    }
    world.run(&["verify", "--deep"]).expect(0);
    for snapshot in snapshots[0]["snapshots"].as_array().unwrap() {
        let run = snapshot["run_id"].as_str().unwrap();
        world.run(&["restore", "acme/site", &format!("restored-{run}"), "--run", run]).expect(0);
    }
    let log = git(&mirror, &["log", "--format=%B", "refs/ghbk/snapshots"]);
    assert!(log.contains("retention dropped "), "{log}");
    assert_eq!(git(&mirror, &["rev-parse", "refs/heads/side"]).trim(), site.rev_parse("refs/heads/side").unwrap());
}

/// Seen in a trial: the commit graph that `git gc` writes named commits that retention had dropped, and `git fsck` failed for good.
#[test]
fn what_git_derives_in_a_mirror_goes_before_the_packs_that_it_names() {
    let write = ["commit-graph", "write", "--reachable"];
    derived_data_goes_before_packs(&write, "commit-graph", &["multi-pack-index", "write"]);
}

#[test]
fn a_chain_of_commit_graphs_goes_before_the_packs_that_it_names() {
    let write = ["commit-graph", "write", "--reachable", "--split"];
    derived_data_goes_before_packs(&write, "commit-graphs", &["multi-pack-index", "write", "--bitmap"]);
}

fn derived_data_goes_before_packs(write_graph: &[&str], graph: &str, write_index: &[&str]) {
    let world = World::new();
    let site = world.add("acme/site");
    let settings =
        [("GHBK_STORE__PACKS_MAX", "4"), ("GHBK_RETENTION__KEEP", "4 weeks"), ("GHBK_VERIFY__RESTORE", "false")];
    let mirror = world.mirror("acme/site");
    let mut dropped = 0;
    for week in 0..14 {
        let summary = world.run_at(start() + TimeDelta::weeks(week), &settings);
        assert_eq!(summary.status, RunStatus::Ok, "{summary:#?}");
        dropped += summary.dropped.iter().map(|from| from.dropped.tips).sum::<u64>();
        if week == 2 {
            git(&mirror, &["-c", "gc.writeCommitGraph=false", "gc", "--quiet"]);
            git(&mirror, write_graph);
            git(&mirror, write_index);
            git(&mirror, &["update-server-info"]);
            assert!(mirror.join("objects/info").join(graph).exists());
            assert!(mirror.join("objects/info/packs").exists());
        }
        site.force_push("main").unwrap();
    }
    assert!(dropped > 0);
    assert!(!mirror.join("objects/info").join(graph).exists());
    assert!(!mirror.join("objects/info/packs").exists());
    assert!(!mirror.join("objects/pack/multi-pack-index").exists());
    git(&mirror, &["fsck", "--full"]);
    world.run(&["verify", "--deep"]).expect(0);
}
