//! Pages shift while they are read, and repositories leave: nothing is gone, and nothing is left out, on a listing's word alone.

use ghbk_sandbox::Fault;
use serde_json::json;

use crate::world::{World, finish};

/// The page of the account, and not the listing below it.
const ACCOUNT: &str = "/orgs/ac*me";

fn listings(world: &World) -> usize {
    world.sandbox.requests().iter().filter(|request| request.path.ends_with("/orgs/acme/repos")).count()
}

/// An account's page that counts nothing, as tokens without membership see it.
fn without_counts(world: &World) {
    world.sandbox.fault(Fault::on(ACCOUNT).status(200).body(r#"{"login": "acme", "type": "Organization"}"#));
}

#[test]
fn a_listing_that_agrees_with_what_is_known_costs_one_request_a_page() {
    let world = World::generated(130);
    world.run_json(0);
    world.sandbox.clear_requests();
    world.run_json(0);
    let api: Vec<_> =
        world.sandbox.requests().into_iter().filter(|request| request.path.contains("/api/v3/")).collect();
    assert_eq!(api.len(), 3, "{api:#?}");
}

#[test]
fn a_page_that_lost_an_entry_between_two_requests_is_read_again() {
    let world = World::generated(130);
    world.sandbox.fault(Fault::on("/orgs/acme/repos").skip(1).times(1).drop_items(1));
    let listed = world.run(&["list", "--json"]).expect(0).json();
    assert_eq!(listed.as_array().unwrap().len(), 130);
    assert_eq!(listings(&world), 4);
}

#[test]
fn without_counts_a_known_repository_that_a_page_hides_is_found_by_its_id() {
    let world = World::generated(130);
    without_counts(&world);
    world.run_json(0);
    world.sandbox.clear_requests();
    world.sandbox.fault(Fault::on("/orgs/acme/repos").skip(1).times(1).drop_items(1));
    let summary = world.run_json(0);
    assert_eq!(summary["counts"]["unchanged"], 130, "{summary:#}");
    assert_eq!(summary["counts"]["gone"], 0);
    assert_eq!(listings(&world), 4);
}

#[test]
fn a_repository_that_the_listing_always_hides_is_backed_up_all_the_same() {
    let world = World::generated(5);
    without_counts(&world);
    world.run_json(0);
    world.sandbox.fault(Fault::on("/orgs/acme/repos").drop_items(1));
    let summary = world.run_json(0);
    assert_eq!(summary["counts"]["unchanged"], 5, "{summary:#}");
    assert!(
        summary["warnings"].to_string().contains("leaves out repositories that exist (1, such as acme/"),
        "{summary:#}"
    );
}

#[test]
fn a_count_that_cannot_be_read_is_no_failure() {
    for body in [r#"{"login": "acme", "public_repos": "many"}"#, r#"{"login": "acme", "public_repos": -1}"#, "{}"] {
        let world = World::generated(2);
        world.sandbox.fault(Fault::on(ACCOUNT).status(200).body(body));
        assert_eq!(world.run_json(0)["counts"]["created"], 2);
    }
}

#[test]
fn a_repository_that_was_transferred_to_somebody_else_is_named_as_such_and_not_as_gone() {
    let world = World::new();
    for name in ["acme/site", "acme/left", "beta/one"] {
        world.add(name);
    }
    world.run_json(0);
    world.sandbox.rename("acme/left", "beta/left").unwrap();
    for _ in 0..2 {
        let summary = world.run_json(0);
        assert_eq!(summary["gone"], json!([]));
        assert_eq!(summary["moved_away"], json!([{"from": "acme/left", "to": "beta/left"}]));
        assert!(world.mirror("acme/left").is_dir());
    }
    let ended = world.run(&["run"]).expect(0);
    assert!(ended.stdout.contains("moved to another owner, mirror kept: acme/left (now beta/left)"), "{ended:#?}");
    // With both owners it is the same repository under another name.
    let ended = finish(world.ghbk(&["run", "--json"]).env("GHBK_GITHUB__OWNERS", "acme,beta")).expect(0);
    assert_eq!(ended.json()["renamed"], json!([{"from": "acme/left", "to": "beta/left"}]));
}

#[test]
fn a_repository_of_which_github_does_not_say_whether_it_exists_is_a_failure_and_not_gone() {
    let world = World::new();
    world.add("acme/site");
    world.add("acme/left");
    world.run_json(0);
    world.sandbox.delete("acme/left").unwrap();
    for status in [403, 410, 451, 500] {
        world.sandbox.clear_faults();
        world.sandbox.fault(Fault::on("/repositories").status(status));
        let summary = world.run_json(1);
        assert_eq!(summary["counts"]["gone"], 0, "{status}: {summary:#}");
        assert_eq!(summary["failures"][0]["repository"], "acme/left");
        assert!(summary["failures"].to_string().contains("whether it still exists is not known"), "{summary:#}");
    }
    world.sandbox.clear_faults();
    assert_eq!(world.run_json(0)["gone"], json!(["acme/left"]));
    // Once GitHub has said so, it is not asked again.
    world.sandbox.clear_requests();
    assert_eq!(world.run_json(0)["gone"], json!(["acme/left"]));
    assert!(!world.sandbox.requests().iter().any(|request| request.path.contains("/repositories/")));
}
