//! What a run counts adds up, and everything that tells of it agrees.

use ghbk_sandbox::Fault;
use serde_json::Value;

use crate::world::{World, finish};

/// Checks that each listed repository is counted once, and returns how many are `(failed, failures, not_reached)`.
#[track_caller]
pub(crate) fn sums(summary: &Value) -> (u64, u64, u64) {
    let count = |name: &str| summary["counts"][name].as_u64().unwrap();
    let states = ["created", "updated", "unchanged", "failed", "not_reached"];
    assert_eq!(states.into_iter().map(count).sum::<u64>(), count("listed"), "{summary:#}");
    assert_eq!(summary["failures"].as_array().unwrap().len() as u64, count("failures"), "{summary:#}");
    (count("failed"), count("failures"), count("not_reached"))
}

/// Regression: a mirror that somebody had removed counted twice, because its failure is one of verification.
#[test]
fn a_mirror_that_somebody_removed_counts_once() {
    let world = World::generated(3);
    world.run_json(0);
    std::fs::remove_dir_all(world.mirror("acme/repository-002")).unwrap();
    let summary = world.run_json(1);
    assert_eq!(sums(&summary), (1, 1, 0), "{summary:#}");
    let status = world.run(&["status", "--json"]).expect(0).json();
    assert_eq!(status["last_run"]["counts"], summary["counts"]);
    assert_eq!((&status["runs"][0]["failed"], &status["runs"][0]["failures"]), (&1.into(), &1.into()), "{status:#}");
    let text = world.run(&["status"]).expect(0).stdout;
    assert!(text.contains("backup incomplete: 1 failure\n"), "{text}");
    assert!(text.contains("partial, 1 failure; "), "{text}");
    let slack = world.sandbox.slack_messages().pop().unwrap().body.to_string();
    assert!(slack.contains("*1* failed") && slack.contains("backup incomplete: 1 failure\""), "{slack}");
}

/// Regression: repositories that the plan left out were in no count at all, and a run of five listed three.
#[test]
fn repositories_that_cannot_be_planned_have_failed() {
    let world = World::generated(3);
    for name in ["linked/one", "linked/two"] {
        world.add(name);
    }
    let elsewhere = world.folder.path().join("elsewhere");
    std::fs::create_dir(&elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, world.root.join("linked")).unwrap();
    let ended = crate::world::finish(world.ghbk(&["run", "--json"]).env("GHBK_GITHUB__OWNERS", "acme,linked"));
    let summary = ended.expect(1).json();
    assert_eq!(summary["counts"]["listed"], 5);
    assert_eq!(sums(&summary), (2, 1, 0), "one failure tells of both: {summary:#}");
}

#[test]
fn a_repository_and_its_wiki_that_both_fail_count_once() {
    let world = World::new();
    world.add("acme/site");
    world.add("acme/site.wiki");
    world.add("acme/other");
    world.sandbox.fault(Fault::on("/acme/site.git/info/refs").status(451));
    world.sandbox.fault(Fault::on("/acme/site.wiki.git/info/refs").status(451));
    let summary = world.run_json(1);
    assert_eq!(sums(&summary), (1, 2, 0), "{summary:#}");
}

#[test]
fn what_a_stopped_run_did_not_come_to_is_counted() {
    let world = World::generated(5);
    world.run_json(0);
    // A bad token ends the run at once.
    world.sandbox.fault(Fault::on("/acme/*/info/refs").status(401));
    // One at a time: else all may have failed before the run stops.
    let run = |arguments: &[&str]| finish(world.ghbk(arguments).env("GHBK_LIMITS__CONCURRENCY", "1")).expect(3);
    let summary = run(&["run", "--json"]).json();
    let (failed, _, not_reached) = sums(&summary);
    assert!(failed >= 1 && not_reached >= 1 && failed + not_reached == 5, "{summary:#}");
    let text = run(&["run"]).stdout;
    assert!(text.contains(" not reached"), "{text}");
}
