//! `ghbk status`.

use ghbk_sandbox::Fault;
use serde_json::json;

use crate::world::{World, finish};

#[test]
fn before_the_first_run_status_says_what_to_do() {
    let world = World::new();
    let ended = world.run(&["status"]).expect(0);
    assert!(ended.stdout.contains("none yet; start one with `ghbk run`"), "{ended:#?}");
    assert!(ended.stdout.starts_with("not healthy: no run over everything has completed yet\n"), "{ended:#?}");
    // Nobody keeps the schedule.
    assert!(!ended.stdout.contains("next run: "), "{ended:#?}");
}

#[test]
fn status_tells_runs_failures_and_ages() {
    let world = World::generated(3);
    world.run_json(0);
    world.sandbox.edit("acme/repository-002").commit("main", "a", "1").unwrap();
    world.sandbox.fault(Fault::on("/acme/repository-002.git").status(404));
    world.run_json(1);
    let status = world.run(&["status", "--json"]).expect(0).json();
    assert_eq!(status["running"], serde_json::Value::Null);
    assert_eq!(status["last_run"]["status"], "partial");
    assert_eq!(status["last_run"]["failures"][0]["repository"], "acme/repository-002");
    assert_eq!(status["hours_since_success"], 0.0);
    assert_eq!((&status["daemon"], &status["next_run"]), (&json!(false), &json!(null)));
    assert_eq!(status["health"]["healthy"], false);
    let of_mirrors: Vec<_> =
        status["repositories"].as_array().unwrap().iter().map(|r| r["state"].as_str().unwrap()).collect();
    assert_eq!(of_mirrors, ["ok", "failed", "ok"]);
    // The failed one was good once, and says since when it is not.
    assert!(status["repositories"][1]["last_success"].is_string());
    let text = world.run(&["status"]).expect(0).stdout;
    assert!(text.contains("failed: acme/repository-002: repository not found (404)"), "{text}");
    let page = world.run(&["status", "acme/repository-002"]).expect(0).stdout;
    assert!(page.contains("failed: repository not found (404)\n  hint: "), "{page}");
    assert!(text.contains("hint: "), "{text}");
}

#[test]
fn the_same_status_is_told_after_the_index_is_lost() {
    let world = World::generated(3);
    world.run_json(0);
    world.sandbox.fault(Fault::on("/acme/repository-002.git").status(404));
    world.run_json(1);
    let before = world.run(&["status", "--json"]).expect(0).json();
    std::fs::remove_file(world.root.join(".ghbk/index.json")).unwrap();
    let after = world.run(&["status", "--json"]).expect(0).json();
    assert_eq!(before["repositories"], after["repositories"]);
    assert_eq!(before["hours_since_success"], after["hours_since_success"]);
}

#[test]
fn a_run_of_one_repository_does_not_hide_the_failures_of_the_last_full_one() {
    let world = World::new();
    world.add("acme/good");
    let bad = world.add("acme/bad");
    bad.set("disabled", "true").unwrap();
    world.run_json(1);
    for _ in 0..6 {
        world.run(&["run", "acme/good"]).expect(0);
    }
    let status = world.run(&["status"]).expect(0).stdout;
    assert!(status.contains("last run (named repositories): "), "{status}");
    assert!(status.contains("last run over everything: ") && status.contains("failed: acme/bad: "), "{status}");
    let json = world.run(&["status", "--json"]).expect(0).json();
    assert_eq!(json["last_full_run"]["status"], "partial");
}

/// Regression: `ghbk run --owner` with one of two configured owners counted as complete, and silenced the alarms.
#[test]
fn a_run_of_some_owners_is_not_one_over_everything() {
    let world = World::generated(1);
    world.add("other/site");
    let both = |arguments: &[&str]| finish(world.ghbk(arguments).env("GHBK_GITHUB__OWNERS", "acme,other"));
    both(&["run", "--owner", "acme"]).expect(0);
    let status = both(&["status", "--json"]).expect(0).json();
    assert!(status["hours_since_success"].is_null() && status["last_full_run"].is_null(), "{status:#}");
    both(&["run", "--owner", "Other", "--owner", "acme"]).expect(0);
    assert_eq!(both(&["status", "--json"]).expect(0).json()["hours_since_success"], 0.0);
}

#[test]
fn a_check_is_one_line_and_an_exit_status() {
    let world = World::generated(3);
    let check = |more: &[&str], code| {
        let ended = world.run(&[&["status", "--check"], more].concat()).expect(code);
        assert_eq!(ended.stdout.lines().count(), 1, "{ended:#?}");
        assert_eq!(ended.stderr, "");
        ended.stdout
    };
    assert_eq!(check(&[], 1), "not healthy: no run over everything has completed yet\n");
    // A run of some is none of all.
    world.run(&["run", "acme/repository-001"]).expect(0);
    check(&[], 1);
    world.run_json(0);
    assert!(check(&[], 0).starts_with("healthy: everything was backed up "));
    assert!(check(&["--max-age", "0s"], 1).contains("the limit is 0 ms"));
    world.sandbox.fault(Fault::on("/acme/repository-002.git").status(404));
    world.run_json(1);
    let line = check(&[], 1);
    assert_eq!(
        line,
        "not healthy: the last run over everything was incomplete: acme/repository-002: repository not found (404)\n"
    );
    world.sandbox.clear_faults();
    // Mended by a run of it alone.
    world.run(&["run", "acme/repository-002"]).expect(0);
    check(&[], 0);
    world.run_json(0);
    check(&[], 0);
    // What a verification has found counts until it is repaired.
    let packs = crate::world::files_below(&world.mirror("acme/repository-003").join("objects/pack"));
    let pack = packs.iter().find(|(path, _)| path.extension().is_some_and(|it| it == "pack")).unwrap();
    crate::world::flip_in_the_middle(&pack.0);
    world.run(&["verify"]).expect(1);
    assert!(check(&[], 1).contains("1 mirror is damaged (acme/repository-003)"));
    world.run(&["run", "--repair", "acme/repository-003"]).expect(0);
    check(&[], 0);
    assert_eq!(world.run(&["status", "--check", "-q"]).expect(0).stdout, "");
    let health = world.run(&["status", "--check", "--json"]).expect(0).json();
    assert_eq!((&health["healthy"], &health["problems"]), (&json!(true), &json!([])));
}

#[test]
fn mirrors_that_are_well_are_counted_and_the_others_named() {
    let world = World::generated(3);
    world.sandbox.fault(Fault::on("/acme/repository-002.git").status(404));
    world.run_json(1);
    world.run_json(1);
    let text = world.run(&["status"]).expect(0).stdout;
    let brief: Vec<&str> = text.lines().filter(|line| line.starts_with("  ok") || line.contains("mirrors, ")).collect();
    assert_eq!(brief.len(), 1, "{text}");
    assert!(brief[0].ends_with(": 2 ok; --all lists them"), "{text}");
    let page = world.run(&["status", "acme/repository-002"]).expect(2);
    assert!(page.stderr.contains("the store has no mirror"), "{page:#?}");
    let all = world.run(&["status", "--all"]).expect(0).stdout;
    assert_eq!(all.lines().filter(|line| line.starts_with("  ok")).count(), 2, "{all}");
}

#[test]
fn one_repository_has_a_page_of_its_own() {
    let world = World::new();
    let editor = world.add("acme/site");
    world.add("acme/site.wiki");
    world.run_json(0);
    editor.force_push("main").unwrap();
    world.run_json(0);
    let page = world.run(&["status", "acme/site"]).expect(0).stdout;
    insta::with_settings!({ filters => [
        (r"id \d+", "id [id]"),
        (r"\d{4}-\d\d-\d\d \d\d:\d\d UTC \([^)]+ ago\)", "[time]"),
        (r"\d{4}-\d\d-\d\d", "[date]"),
        (r"[0-9.]+ (B|KiB)", "[size]"),
    ] }, { insta::assert_snapshot!(page); });
    let json = world.run(&["status", "acme/site", "--json"]).expect(0).json();
    assert_eq!((&json[0]["state"], &json[0]["mirrors"][0]["snapshots"]), (&json!("ok"), &json!(2)));
    // Its old name leads to it, and no other repository is suggested.
    world.add("acme/sitE2");
    world.sandbox.rename("acme/site", "acme/better").unwrap();
    world.run_json(0);
    for arguments in [&["status", "acme/site"][..], &["snapshots", "acme/site"], &["verify", "acme/site"]] {
        let ended = world.run(arguments).expect(0);
        assert!(ended.stdout.contains("acme/better"), "{ended:#?}");
    }
    world.run(&["restore", "acme/site", "restored"]).expect(0);
}

#[test]
fn a_mirror_that_is_not_in_its_place_is_called_missing_before_a_run_makes_it_anew() {
    let world = World::generated(2);
    world.run_json(0);
    std::fs::remove_dir_all(world.mirror("acme/repository-002")).unwrap();
    let page = world.run(&["status", "acme/repository-002"]).expect(0).stdout;
    assert!(page.contains(": MISSING: look for its mirror"), "{page}");
    let verified = world.run(&["verify"]).expect(1).stdout;
    assert!(verified.contains("MISSING acme/repository-002"), "{verified}");
    assert!(
        verified.contains("there is no mirror in ") && verified.contains("`ghbk forget acme/repository-002`"),
        "{verified}"
    );
    assert!(!verified.contains("--repair"), "{verified}");
    assert!(world.run(&["status", "--check"]).expect(1).stdout.contains("1 mirror is damaged (acme/repository-002)"));
}

#[test]
fn a_lost_mirror_is_called_lost_and_no_other_is_suggested() {
    let world = World::generated(3);
    world.run_json(0);
    std::fs::remove_dir_all(world.mirror("acme/repository-003")).unwrap();
    std::fs::remove_file(world.root.join(".ghbk/index.json")).unwrap();
    let ended = world.run(&["status", "acme/repository-003"]).expect(1);
    assert!(ended.stderr.contains("is missing from the store"), "{ended:#?}");
    let ended = world.run(&["restore", "acme/repository-003", "restored"]).expect(1);
    assert!(ended.stderr.contains("the mirror of acme/repository-003 is missing from the store"), "{ended:#?}");
    assert!(!ended.stderr.contains("did you mean"), "{ended:#?}");
    assert!(world.run(&["status", "--check"]).expect(1).stdout.contains("1 mirror is missing from the store"));
    let ended = world.run(&["restore", "acme/repository-03", "restored"]).expect(2);
    assert!(ended.stderr.contains("did you mean acme/repository-00"), "{ended:#?}");
}
