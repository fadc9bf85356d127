//! What the REST API says beside its answers, and answers that are none.

use ghbk_sandbox::Fault;
use serde_json::{Value, json};

use crate::world::{World, finish};

const NEXT: &str = "rel=\"next\"";
const DEPRECATION: &str = "<https://docs.github.com/api-versions>; rel=\"deprecation\"; type=\"text/html\"";

/// Entries of a listing for repositories that exist.
fn entries(world: &World, names: &[&str]) -> Vec<Value> {
    let listed = world.run(&["list", "--json"]).expect(0).json();
    let id = |name: &str| listed.as_array().unwrap().iter().find(|it| it["full_name"] == name).unwrap()["id"].clone();
    names.iter().map(|name| json!({"id": id(name), "full_name": name})).collect()
}

fn body(entries: &[Value]) -> String {
    Value::from(entries).to_string()
}

#[test]
fn every_request_names_the_newest_version_of_the_api() {
    let world = World::generated(2);
    world.run_json(0);
    let requests = world.sandbox.requests();
    let api: Vec<_> = requests.iter().filter(|request| request.path.starts_with("/api/v3/")).collect();
    assert!(!api.is_empty() && api.iter().all(|it| it.api_version.as_deref() == Some("2026-03-10")), "{api:#?}");
}

#[test]
fn a_server_that_is_older_than_the_version_is_asked_without_it() {
    let world = World::generated(2);
    world.sandbox.fault(Fault::on("/orgs/acme").times(1).status(400).body(r#"{"message": "unknown API version"}"#));
    world.run_json(0);
    let requests = world.sandbox.requests();
    let api: Vec<_> = requests.iter().filter(|request| request.path.starts_with("/api/v3/")).collect();
    assert!(api.len() > 2 && api[1..].iter().all(|it| it.api_version.is_none()), "{api:#?}");
}

#[test]
fn a_next_page_is_followed_whatever_other_links_come_with_it() {
    let world = World::new();
    for name in ["acme/a", "acme/b"] {
        world.add(name);
    }
    let (first, second) = (entries(&world, &["acme/a"]), entries(&world, &["acme/b"]));
    let next = format!("<{}/orgs/acme/repos?page=2>; title=\"a, b\"; {NEXT}", world.sandbox.api_url());
    for lines in [vec![DEPRECATION, &next], vec![&next, DEPRECATION], vec![&format!("{DEPRECATION}, {next}")]] {
        world.sandbox.clear_faults();
        let mut page = Fault::on("/orgs/acme/repos").times(1).status(200).body(body(&first));
        for line in lines {
            page = page.header("link", line);
        }
        world.sandbox.fault(page);
        world.sandbox.fault(Fault::on("/orgs/acme/repos").skip(1).status(200).body(body(&second)));
        let ended = world.run(&["list", "--json"]).expect(0);
        assert_eq!(ended.json().as_array().unwrap().len(), 2);
        assert!(!ended.stderr.contains("Received unexpected"), "{ended:#?}");
    }
}

#[test]
fn a_deprecation_is_told_by_check_and_once_in_a_run_s_log() {
    let world = World::generated(105);
    world.sandbox.fault(Fault::on("/orgs/acme").replace_header("deprecation", "Tue, 10 Mar 2026 00:00:00 GMT"));
    world.sandbox.fault(Fault::on("/orgs/acme").replace_header("sunset", "Fri, 10 Mar 2028 00:00:00 GMT"));
    let ended = world.run(&["check"]).expect(0);
    let line = ended.stdout.lines().find(|line| line.contains("is retiring")).unwrap();
    assert!(line.starts_with("warning  api") && line.contains("10 Mar 2028"), "{ended:#?}");
    let ended = world.run(&["run"]).expect(0);
    assert_eq!(ended.stderr.matches("is retiring").count(), 1, "{ended:#?}");
}

#[test]
fn a_token_that_ends_soon_is_told_by_check_and_by_the_report() {
    let world = World::generated(1);
    let expiring = |days: i64| {
        world.sandbox.clear_faults();
        let at = chrono::Utc::now() + chrono::TimeDelta::days(days);
        let at = at.format("%Y-%m-%d %H:%M:%S UTC").to_string();
        world.sandbox.fault(Fault::on("/").replace_header("github-authentication-token-expiration", at));
    };
    expiring(13);
    let ended = world.run(&["check"]).expect(0);
    assert!(ended.stdout.contains("warning  token          the token expires on"), "{ended:#?}");
    assert!(world.run_json(0)["warnings"].to_string().contains("the token expires on"));
    expiring(100);
    assert!(!world.run(&["check"]).expect(0).stdout.contains("expires"));
    let mut command = world.ghbk(&["run", "--json"]);
    // The next run comes in a year.
    let day_before = (chrono::Utc::now() - chrono::TimeDelta::days(1)).format("0 0 0 %-d %-m *").to_string();
    let summary = finish(command.env("GHBK_SCHEDULE__CRON", day_before)).expect(0).json();
    assert!(summary["warnings"].to_string().contains("before the next scheduled run"), "{summary:#}");
}

#[test]
fn a_malformed_entry_costs_itself_and_not_its_page() {
    let world = World::new();
    for name in ["acme/a", "acme/b"] {
        world.add(name);
    }
    let mut listed = entries(&world, &["acme/a", "acme/b"]);
    listed.insert(1, json!({"full_name": "acme/without-id"}));
    listed.insert(0, json!({"id": 5, "full_name": ["acme"]}));
    world.sandbox.fault(Fault::on("/orgs/acme/repos").status(200).body(body(&listed)));
    let summary = world.run_json(1);
    assert_eq!(summary["counts"]["created"], 2, "{summary:#}");
    let failed: Vec<_> = summary["failures"].as_array().unwrap().iter().map(|it| it["repository"].clone()).collect();
    assert_eq!(failed, ["repository 5", "\"acme/without-id\""], "{summary:#}");
}

#[test]
fn an_answer_that_is_no_listing_is_unreadable_and_is_not_asked_for_again() {
    let world = World::generated(2);
    for (answer, words) in [
        (r#"{"message": "hello"}"#, "it is JSON, but no list of repositories"),
        ("", "it is empty"),
        ("<html><body>Please log in to the wireless network</body></html>", "it is a web page"),
    ] {
        world.sandbox.clear_faults();
        world.sandbox.clear_requests();
        world.sandbox.fault(Fault::on("/orgs/acme/repos").status(200).body(answer));
        let ended = world.run(&["list"]).expect(3);
        assert!(ended.stderr.contains("cannot be read") && ended.stderr.contains(words), "{ended:#?}");
        let asked = world.sandbox.requests().iter().filter(|it| it.path.ends_with("/orgs/acme/repos")).count();
        assert_eq!(asked, 1);
    }
}

#[test]
fn what_github_has_retired_is_told_as_such() {
    let world = World::generated(2);
    world
        .sandbox
        .fault(Fault::on("/orgs/acme").status(410).body(r#"{"message": "this version is no longer supported"}"#));
    let ended = world.run(&["check"]).expect(3);
    assert!(ended.stdout.contains("(410): this version is no longer supported"), "{ended:#?}");
    assert!(ended.stdout.contains("install a newer ghbk"), "{ended:#?}");
}
