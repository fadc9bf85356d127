//! Renames, taken-over names, and names that are none.

use serde_json::json;

use crate::world::{World, git};

#[test]
fn a_renamed_repository_moves_its_mirror_and_its_wiki() {
    let world = World::new();
    world.add("acme/old");
    world.add("acme/old.wiki");
    world.run_json(0);
    world.sandbox.rename("acme/old", "acme/new").unwrap();
    let summary = world.run_json(0);
    assert_eq!(summary["renamed"], json!([{"from": "acme/old", "to": "acme/new"}]));
    assert_eq!(summary["counts"]["unchanged"], 1);
    assert_eq!(summary["counts"]["created"], 0);
    assert!(!world.mirror("acme/old").exists() && !world.mirror("acme/old.wiki").exists());
    world.assert_mirrors("acme/new");
    world.assert_mirrors("acme/new.wiki");
    assert_eq!(git(&world.mirror("acme/new"), &["config", "ghbk.fullName"]), "acme/new\n");
    assert_eq!(world.run_json(0)["counts"]["renamed"], 0);
}

#[test]
fn swapped_names_swap_the_mirrors() {
    let world = World::new();
    world.add("acme/a");
    world.add("acme/b");
    world.run_json(0);
    world.sandbox.rename("acme/a", "acme/c").unwrap();
    world.sandbox.rename("acme/b", "acme/a").unwrap();
    world.sandbox.rename("acme/c", "acme/b").unwrap();
    let summary = world.run_json(0);
    assert_eq!(summary["counts"]["renamed"], 2);
    assert_eq!(summary["counts"]["created"], 0);
    world.assert_mirrors("acme/a");
    world.assert_mirrors("acme/b");
}

#[test]
fn a_name_taken_by_a_new_repository_keeps_the_old_mirror_in_the_attic() {
    let world = World::new();
    let old = world.add("acme/site");
    let tip = old.commit("main", "secret-history", "1").unwrap();
    world.run_json(0);
    world.sandbox.delete("acme/site").unwrap();
    let new = world.add("acme/site");
    new.set("id", "424242").unwrap();
    new.commit("main", "another", "2").unwrap();
    let summary = world.run_json(0);
    assert_eq!(summary["counts"]["created"], 1);
    assert_eq!(summary["gone"], json!(["acme/site"]));
    world.assert_mirrors("acme/site");
    let attic = world.root.join(".ghbk/attic/acme");
    let kept = std::fs::read_dir(&attic).unwrap().next().unwrap().unwrap().path();
    git(&kept, &["cat-file", "-e", &tip]);
    assert_eq!(git(&kept, &["rev-parse", "refs/heads/main"]).trim(), tip);
    // The attic is not reported again and again.
    assert_eq!(world.run_json(0)["counts"]["gone"], 0);
}

#[test]
fn a_deleted_repository_keeps_its_mirror_and_is_reported_as_gone() {
    let world = World::new();
    world.add("acme/site");
    world.add("acme/left");
    world.run_json(0);
    world.sandbox.delete("acme/left").unwrap();
    let summary = world.run_json(0);
    assert_eq!(summary["gone"], json!(["acme/left"]));
    assert!(world.mirror("acme/left").is_dir());
    let status = world.run(&["status", "--json"]).expect(0).json();
    assert_eq!(status["repositories"][0]["state"], "gone");
}

#[test]
fn a_renamed_repository_asked_for_by_its_old_name_is_found() {
    let world = World::new();
    world.add("acme/old");
    world.run(&["run", "acme/old"]).expect(0);
    world.sandbox.rename("acme/old", "acme/new").unwrap();
    let ended = world.run(&["run", "acme/old"]).expect(0);
    assert!(ended.stdout.contains("acme/old is now acme/new"), "{ended:#?}");
    world.assert_mirrors("acme/new");
    assert!(!world.mirror("acme/old").exists());
}

#[test]
fn names_that_are_no_names_are_refused_and_reported() {
    let world = World::new();
    world.add("acme/site");
    let names = ["..", ".", "a/b", "a\\b", "x\u{1b}[31m", "a b", "../../escape", ".git", "site.wiki"];
    let mut items: Vec<_> = names
        .iter()
        .enumerate()
        .map(|(at, name)| json!({"id": 9_000 + at, "name": name, "full_name": format!("acme/{name}")}))
        .collect();
    items.push(json!({"id": 9_100, "name": "x".repeat(300), "full_name": format!("acme/{}", "x".repeat(300))}));
    items.push(json!({"id": 9_101, "name": "runs", "full_name": ".ghbk/runs"}));
    let count = items.len();
    world.sandbox.fault(ghbk_sandbox::Fault::on("/orgs/acme/repos").add_items(items));
    let before: Vec<_> = std::fs::read_dir(world.folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    let ended = world.run(&["run", "--json"]).expect(1);
    let summary = ended.json();
    assert_eq!(summary["counts"]["failures"], count, "{summary:#}");
    assert_eq!(summary["counts"]["failed"], 0, "none of them is a listed repository: {summary:#}");
    assert_eq!(summary["counts"]["created"], 1);
    assert!(!ended.stderr.contains('\u{1b}') && !ended.stdout.contains('\u{1b}'), "control characters were printed");
    world.assert_mirrors("acme/site");
    let after: Vec<_> = std::fs::read_dir(world.folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(before.len(), after.len(), "something was written outside of the store");
    let owners: Vec<_> = std::fs::read_dir(&world.root).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(owners.len(), 2, "{owners:?}");
}

#[test]
fn what_people_paste_leads_to_the_repository_on_the_configured_host_and_nowhere_else() {
    let world = World::generated(2);
    let url = world.sandbox.url();
    for typed in [format!("{url}/acme/repository-001/pulls"), "acme/repository-001.git".to_owned()] {
        let summary = world.run(&["run", &typed, "--json"]).expect(0).json();
        assert_eq!(summary["selection"], serde_json::json!(["acme/repository-001"]), "{typed}");
        world.run(&["snapshots", &typed]).expect(0);
        world.run(&["status", &typed]).expect(0);
    }
    world.run(&["restore", "acme/repository-001/", "restored"]).expect(0);
    let ended = world.run(&["run", "https://gitlab.com/acme/repository-001"]).expect(2);
    assert!(
        ended.stderr.contains("the address is on gitlab.com, and the configured GitHub is 127.0.0.1:"),
        "{ended:#?}"
    );
}
