//! `ghbk status`.

use ghbk_sandbox::Fault;

use crate::world::{World, finish};

#[test]
fn before_the_first_run_status_says_what_to_do() {
    let world = World::new();
    let ended = world.run(&["status"]).expect(0);
    assert!(ended.stdout.contains("none yet; start one with `ghbk run`"), "{ended:#?}");
    assert!(ended.stdout.contains("last complete success: never"), "{ended:#?}");
    assert!(ended.stdout.contains("next run: "), "{ended:#?}");
}

#[test]
fn status_tells_runs_failures_ages_and_the_next_run() {
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
    assert!(status["next_run"].is_string());
    let of_mirrors: Vec<_> =
        status["repositories"].as_array().unwrap().iter().map(|r| r["state"].as_str().unwrap()).collect();
    assert_eq!(of_mirrors, ["ok", "failed", "ok"]);
    // The failed one was good once, and says since when it is not.
    assert!(status["repositories"][1]["last_success"].is_string());
    let text = world.run(&["status"]).expect(0).stdout;
    assert!(text.contains("failed: acme/repository-002: repository not found (404)"), "{text}");
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
    assert!(status.contains("last run (not over everything): "), "{status}");
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
