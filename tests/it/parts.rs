//! Code and wiki are two repositories: what becomes of one hides nothing of the other.

use std::process::Stdio;
use std::time::{Duration, Instant};

use ghbk_sandbox::Fault;

use crate::sums::sums;
use crate::world::{World, finish, git};

/// A repository with a wiki, whose code cannot be stored.
fn wiki_without_code() -> World {
    let world = World::new();
    world.add("acme/site");
    world.add("acme/site.wiki");
    world.sandbox.fault(Fault::on("/acme/site.git/info/refs").status(451));
    world.run_json(1);
    assert!(world.mirror("acme/site.wiki").exists() && !world.mirror("acme/site").exists());
    world
}

fn states(world: &World) -> Vec<(String, String)> {
    let status = world.run(&["status", "--json"]).expect(0).json();
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    status["repositories"].as_array().unwrap().iter().map(|it| (text(&it["full_name"]), text(&it["state"]))).collect()
}

/// Regression: neither the index nor a scan knew of a wiki whose code has no mirror.
#[test]
fn a_wiki_without_code_is_known_verified_and_restored() {
    let world = wiki_without_code();
    for with_index in [true, false] {
        if !with_index {
            std::fs::remove_file(world.root.join(".ghbk/index.json")).unwrap();
        }
        assert_eq!(states(&world), [("acme/site".to_owned(), "failed".to_owned())]);
        let verified = world.run(&["verify", "--json"]).expect(0).json();
        assert_eq!(verified.as_array().unwrap().len(), 1, "{verified:#}");
        assert_eq!(verified[0]["repository"], "acme/site.wiki");
        let destination = world.folder.path().join(format!("restored-{with_index}"));
        world.run(&["restore", "acme/site", destination.to_str().unwrap(), "--wiki"]).expect(0);
        assert_eq!(git(&destination, &["log", "--format=%s", "main"]).lines().count(), 1);
        // A run looks at what it is, and proves it.
        let summary = world.run_json(1);
        assert_eq!(sums(&summary), (1, 1, 0), "{summary:#}");
    }
    world.sandbox.clear_faults();
    let summary = world.run_json(0);
    assert_eq!(summary["counts"]["created"], 1, "{summary:#}");
    world.assert_mirrors("acme/site");
    world.assert_mirrors("acme/site.wiki");
}

#[test]
fn a_wiki_without_code_follows_its_repository_to_another_name() {
    let world = wiki_without_code();
    world.sandbox.rename("acme/site", "acme/place").unwrap();
    world.sandbox.fault(Fault::on("/acme/place.git/info/refs").status(451));
    world.add("acme/site");
    world.add("acme/site.wiki");
    world.sandbox.clear_faults();
    world.sandbox.fault(Fault::on("/acme/place.git/info/refs").status(451));
    let summary = world.run_json(1);
    assert_eq!(sums(&summary), (1, 1, 0), "{summary:#}");
    for name in ["acme/site", "acme/site.wiki", "acme/place.wiki"] {
        world.assert_mirrors(name);
    }
}

#[test]
fn an_interrupted_rename_of_a_wiki_without_code_is_finished() {
    let world = wiki_without_code();
    let moving = world.root.join(".ghbk/moving");
    std::fs::create_dir_all(&moving).unwrap();
    let id = git(&world.mirror("acme/site.wiki"), &["config", "ghbk.id"]);
    std::fs::rename(world.mirror("acme/site.wiki"), moving.join(format!("{}.wiki.git", id.trim()))).unwrap();
    crate::recovery::interrupt(&world);
    world.sandbox.clear_faults();
    world.run_json(0);
    world.assert_mirrors("acme/site");
    world.assert_mirrors("acme/site.wiki");
    assert_eq!(std::fs::read_dir(&moving).unwrap().count(), 0);
}

/// Regression: the code was unchanged in the run, and could not be restored as of it because the wiki had failed.
#[test]
fn a_run_is_a_point_in_time_for_the_part_that_did_not_fail() {
    let world = World::new();
    let code = world.add("acme/site");
    world.add("acme/site.wiki");
    world.run_json(0);
    world.sandbox.fault(Fault::on("/acme/site.wiki.git/info/refs").status(451));
    let run = world.run_json(1)["run_id"].as_str().unwrap().to_owned();
    world.sandbox.clear_faults();
    code.commit("main", "later", "later").unwrap();
    world.run_json(0);
    let to = |name: &str| world.folder.path().join(name).to_str().unwrap().to_owned();
    world.run(&["restore", "acme/site", &to("code"), "--run", &run]).expect(0);
    assert_eq!(git(to("code").as_ref(), &["log", "--format=%s", "main"]).lines().count(), 1);
    let refused = world.run(&["restore", "acme/site", &to("wiki"), "--wiki", "--run", &run]).expect(2);
    assert!(refused.stderr.contains("failed"), "{refused:#?}");
}

/// Regression: a force push that was published before SIGTERM came, while the wiki was asked, was told by no report ever.
#[test]
fn what_a_stopped_run_has_published_is_told() {
    let world = World::new();
    let code = world.add("acme/site");
    world.add("acme/site.wiki");
    world.run_json(0);
    code.force_push("main").unwrap();
    let before = git(&world.mirror("acme/site"), &["rev-parse", "main"]);
    world.sandbox.fault(Fault::on("/acme/site.wiki.git/info/refs").stall_body(50));
    let child = world.ghbk(&["run", "--json"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let started = Instant::now();
    while git(&world.mirror("acme/site"), &["rev-parse", "main"]) == before {
        assert!(started.elapsed() < Duration::from_mins(1), "the code is not published");
        std::thread::sleep(Duration::from_millis(20));
    }
    let pid = child.id().to_string();
    assert!(std::process::Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    let summary: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(summary["status"], "cancelled", "{summary:#}");
    assert_eq!(summary["force_pushed"][0]["repository"], "acme/site", "{summary:#}");
    assert_eq!(sums(&summary), (0, 0, 1), "it is not complete: {summary:#}");
    world.sandbox.clear_faults();
    assert_eq!(world.run_json(0)["counts"]["unchanged"], 1);
}

#[test]
fn what_a_repository_published_before_its_time_was_over_is_told() {
    let world = World::new();
    let code = world.add("acme/site");
    world.add("acme/site.wiki");
    world.run_json(0);
    code.force_push("main").unwrap();
    world.sandbox.fault(Fault::on("/acme/site.wiki.git/info/refs").stall_body(50));
    let mut command = world.ghbk(&["run", "--json"]);
    let summary = finish(command.env("GHBK_LIMITS__REPOSITORY_TIMEOUT", "4s")).expect(1).json();
    assert_eq!(summary["force_pushed"][0]["repository"], "acme/site", "{summary:#}");
    assert_eq!(sums(&summary), (1, 1, 0), "{summary:#}");
}
