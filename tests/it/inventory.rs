//! A listing that says too little is never silence, and never taken for the whole.

use ghbk_sandbox::{AppOptions, Fault};
use serde_json::{Value, json};

use crate::world::{World, finish};

fn text(value: &Value) -> String {
    value.to_string()
}

#[test]
fn every_page_is_read_and_each_repository_counted_once() {
    let world = World::generated(205);
    let summary = world.run(&["list", "--json"]).expect(0).json();
    assert_eq!(summary.as_array().unwrap().len(), 205);
    // A page that shows what the page before it showed, because something was added in between.
    let again: Vec<_> = summary.as_array().unwrap()[..3].to_vec();
    world.sandbox.fault(
        Fault::on("/orgs/acme/repos")
            .skip(1)
            .times(1)
            .add_items(again.iter().map(|r| json!({"id": r["id"], "full_name": r["full_name"]})).collect()),
    );
    let summary = world.run(&["list", "--json"]).expect(0).json();
    assert_eq!(summary.as_array().unwrap().len(), 205);
}

#[test]
fn an_error_on_page_two_is_a_failure_and_nothing_is_gone() {
    let world = World::generated(130);
    world.run_json(0);
    world.sandbox.fault(Fault::on("/orgs/acme/repos").skip(1).status(500));
    let summary = world.run_json(1);
    assert_eq!(summary["status"], "partial");
    assert_eq!(summary["counts"]["gone"], 0);
    assert_eq!(summary["counts"]["unchanged"], 100);
    assert!(text(&summary["failures"]).contains("page 2"), "{summary:#}");
}

#[test]
fn a_listing_shortened_by_sso_is_a_failure_and_nothing_is_gone() {
    let world = World::generated(5);
    world.run_json(0);
    world.sandbox.fault(Fault::on("/orgs/acme/repos").drop_items_for_sso(2));
    let summary = world.run_json(1);
    assert_eq!(summary["counts"]["gone"], 0);
    assert!(text(&summary["failures"]).contains("SSO"), "{summary:#}");
}

#[test]
fn a_silently_short_listing_is_a_failure_unless_it_is_allowed_and_nothing_is_gone() {
    let world = World::generated(20);
    world.run_json(0);
    world.sandbox.fault(Fault::on("/orgs/acme/repos").drop_items(5));
    let summary = world.run_json(1);
    assert!(text(&summary["failures"]).contains("counts 20 repositories and listed 15 (read 3 times)"), "{summary:#}");
    assert!(text(&summary["failures"]).contains("github.allow_short_listing"), "{summary:#}");
    assert_eq!(summary["counts"]["gone"], 0);
    // What is known to exist is backed up all the same.
    assert_eq!(summary["counts"]["unchanged"], 20);
    world.sandbox.clear_requests();
    let mut command = world.ghbk(&["run", "--json"]);
    let summary = finish(command.env("GHBK_GITHUB__ALLOW_SHORT_LISTING", "true")).expect(0).json();
    let warnings = text(&summary["warnings"]);
    assert!(warnings.contains("counts 20 repositories and listed 15"), "{summary:#}");
    assert!(warnings.contains("leaves out repositories that exist (5, such as acme/"), "{summary:#}");
    let message = text(&world.sandbox.slack_messages().last().unwrap().body);
    assert!(message.contains("Warnings"), "{message}");
}

/// Regression: a repository that such a listing no longer showed was backed up no more, and nothing said so.
#[test]
fn what_an_accepted_short_listing_no_longer_shows_is_named() {
    let world = World::generated(12);
    world.run_json(0);
    world.sandbox.delete("acme/repository-003").unwrap();
    // GitHub counts one more than it lists, as for a token that sees selected repositories only.
    world.sandbox.fault(Fault::on("/orgs/acme/repos").drop_items(1));
    let mut command = world.ghbk(&["run", "--json"]);
    let summary = finish(command.env("GHBK_GITHUB__ALLOW_SHORT_LISTING", "true")).expect(0).json();
    let warnings = text(&summary["warnings"]);
    assert!(warnings.contains("no longer listed (1, such as acme/repository-003)"), "{summary:#}");
    assert_eq!(summary["counts"]["gone"], 0);
}

#[test]
fn an_empty_listing_is_a_failure() {
    let world = World::generated(2);
    world.run_json(0);
    world.sandbox.fault(Fault::on("/orgs/acme/repos").drop_items(100));
    let summary = world.run_json(3);
    assert_eq!(summary["counts"]["gone"], 0);
    assert!(text(&summary["failures"]).contains("no repository at all"), "{summary:#}");
}

#[test]
fn one_owner_s_failure_does_not_stop_the_others() {
    let world = World::new();
    world.add("acme/site");
    world.add("beta/site");
    world.sandbox.fault(Fault::on("/orgs/acme/repos").status(500));
    let ended = finish(world.ghbk(&["run", "--json"]).env("GHBK_GITHUB__OWNERS", "acme,beta")).expect(1);
    let summary = ended.json();
    assert_eq!(summary["counts"]["created"], 1);
    assert_eq!(summary["failures"][0]["repository"], "acme");
    world.assert_mirrors("beta/site");
}

#[test]
fn an_unknown_owner_says_so() {
    let world = World::new();
    world.add("acme/site");
    let ended = world.run(&["run", "--owner", "nobody"]).expect(3);
    assert!(ended.stdout.contains("organisation or user nobody"), "{ended:#?}");
}

#[test]
fn users_and_the_token_s_own_repositories_are_listed() {
    let world = World::new();
    world.add("sandbox-user/mine");
    std::fs::write(world.sandbox.repositories().join("sandbox-user/.user"), "").unwrap();
    world.add("friend/public").set("private", "false").unwrap();
    world.add("friend/secret");
    std::fs::write(world.sandbox.repositories().join("friend/.user"), "").unwrap();
    let names = |owners: &str| -> Vec<String> {
        let ended = finish(world.ghbk(&["list", "--json"]).env("GHBK_GITHUB__OWNERS", owners));
        ended.json().as_array().unwrap().iter().map(|r| r["full_name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names("sandbox-user"), ["sandbox-user/mine"]);
    assert_eq!(names("@me"), ["sandbox-user/mine"]);
    assert_eq!(names("friend"), ["friend/public"]);
    assert_eq!(names("friend,@me,sandbox-user"), ["friend/public", "sandbox-user/mine"]);
}

#[test]
fn filters_leave_out_without_reporting_as_gone() {
    let world = World::new();
    world.add("acme/site");
    world.add("acme/legacy-1");
    world.add("acme/fork").set("fork", "true").unwrap();
    world.add("acme/done").set("archived", "true").unwrap();
    assert_eq!(world.run_json(0)["counts"]["created"], 4);
    let mut command = world.ghbk(&["run", "--json"]);
    command
        .env("GHBK_GITHUB__EXCLUDE", "legacy-*")
        .env("GHBK_GITHUB__FORKS", "false")
        .env("GHBK_GITHUB__ARCHIVED", "false");
    let summary = finish(&mut command).expect(0).json();
    assert_eq!(summary["counts"]["listed"], 1);
    assert_eq!(summary["counts"]["gone"], 0);
}

#[test]
fn filters_that_leave_out_everything_are_a_failure() {
    let world = World::generated(2);
    let mut command = world.ghbk(&["run", "--json"]);
    let summary = finish(command.env("GHBK_GITHUB__EXCLUDE", "*")).expect(3).json();
    assert!(text(&summary["failures"]).contains("leave out all 2"), "{summary:#}");
}

/// An RSA key of this test alone, made by openssl as people make theirs.
fn app_world(change: impl FnOnce(&mut AppOptions)) -> (World, String) {
    let run = |arguments: &[&str], input: Option<&str>| {
        let mut command = assert_cmd::Command::new("openssl");
        let output = command.args(arguments).write_stdin(input.unwrap_or_default()).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let key = run(&["genrsa", "2048"], None);
    let public = run(&["rsa", "-pubout"], Some(&key));
    let mut app = AppOptions::new(77, 99, public);
    change(&mut app);
    (World::with(|options| options.app(app)), key)
}

fn as_app(world: &World, key: &str, arguments: &[&str]) -> std::process::Command {
    let mut command = world.ghbk(arguments);
    command
        .env_remove("GITHUB_TOKEN")
        .env("GITHUB_APP_KEY", key)
        .env("GHBK_GITHUB__AUTH", "app")
        .env("GHBK_GITHUB__APP_ID", "77")
        .env("GHBK_GITHUB__INSTALLATION_ID", "99");
    command
}

#[test]
fn a_github_app_lists_and_mirrors_with_its_installation_s_token() {
    let (world, key) = app_world(|_| {});
    for number in 0..120 {
        world.add(&format!("acme/r{number}"));
    }
    for owners in ["acme", "@installation"] {
        let mut command = as_app(&world, &key, &["run", "--json"]);
        let summary = finish(command.env("GHBK_GITHUB__OWNERS", owners)).expect(0).json();
        assert_eq!(summary["counts"]["listed"], 120, "{summary:#}");
    }
    world.assert_mirrors("acme/r7");
    let tokens: Vec<_> = world.sandbox.requests().iter().filter(|r| r.method == "POST" && !r.git).cloned().collect();
    assert!(!tokens.is_empty());
}

#[test]
fn an_installation_limited_to_selected_repositories_that_counts_more_than_it_lists_is_a_failure() {
    let (world, key) = app_world(|_| {});
    world.add("acme/a");
    world.add("acme/b");
    world.sandbox.fault(Fault::on("/installation/repositories").drop_items(1));
    let mut command = as_app(&world, &key, &["run", "--json"]);
    let summary = finish(command.env("GHBK_GITHUB__OWNERS", "@installation")).expect(1).json();
    assert!(text(&summary["failures"]).contains("counts 2 repositories and listed 1"), "{summary:#}");
}

#[test]
fn an_app_on_selected_repositories_says_so() {
    let (world, key) = app_world(|app| app.selected = Some(vec!["acme/a".to_owned()]));
    world.add("acme/a");
    world.add("acme/b");
    let mut command = as_app(&world, &key, &["run", "--json"]);
    let summary = finish(command.env("GHBK_GITHUB__OWNERS", "@installation")).expect(0).json();
    assert_eq!(summary["counts"]["listed"], 1);
    assert!(text(&summary["warnings"]).contains("selected repositories only"), "{summary:#}");
}

#[test]
fn an_app_s_key_that_is_none_is_refused_without_quoting_it() {
    let (world, _) = app_world(|_| {});
    world.add("acme/a");
    let ended = finish(&mut as_app(&world, "not a key at all", &["run"])).expect(3);
    assert!(ended.stdout.contains("not an RSA key"), "{ended:#?}");
    assert!(!ended.stdout.contains("not a key at all"));
}

/// A proxy's answer passed for GitHub's, which was said to refuse the app.
#[test]
fn a_proxy_that_stops_an_app_is_not_taken_for_github() {
    let (world, key) = app_world(|_| {});
    world.add("acme/a");
    world.sandbox.fault(Fault::on("/app/installations").status(407));
    let ended = finish(as_app(&world, &key, &["run"]).env("GHBK_LIMITS__RETRIES", "0")).expect(3);
    assert!(ended.stdout.contains("the proxy on the way asks for a user name"), "{ended:#?}");
}

/// Each repository used to ask five times, and was told to look at the network.
#[test]
fn an_app_that_is_removed_in_the_middle_of_a_run_is_asked_once_and_told_in_githubs_words() {
    let refusals = [
        (404, "Not Found", "github.installation_id"),
        (403, "This installation has been suspended", "unsuspend"),
        (401, "'Expiration time' claim ('exp') is too far in the future", "clock"),
    ];
    for (status, words, hint) in refusals {
        let (world, key) = app_world(|app| app.stated_lifetime_seconds = Some(0));
        for number in 0..12 {
            world.add(&format!("acme/r{number}"));
        }
        // Each request asks for a token of its own, and three of them list.
        let refusal = Fault::on("/app/installations").skip(3).status(status);
        world.sandbox.fault(refusal.body(json!({"message": words}).to_string()));
        let ended = finish(as_app(&world, &key, &["run", "--json"]).env("GHBK_LIMITS__RETRIES", "4")).expect(3);
        let summary = ended.json();
        let requests = world.sandbox.requests();
        let minted = requests.iter().filter(|request| request.path.ends_with("/access_tokens")).count();
        assert_eq!(minted, 4, "{requests:#?}");
        let failure = &summary["failures"][0];
        assert!(failure["error"].as_str().unwrap().contains(words), "{summary:#}");
        assert!(failure["hint"].as_str().unwrap().contains(hint), "{summary:#}");
    }
}

#[test]
fn an_app_that_asks_too_fast_waits_as_github_says() {
    let (world, key) = app_world(|_| {});
    world.add("acme/a");
    world.sandbox.fault(Fault::on("/app/installations").times(1).status(403).header("retry-after", "1"));
    let ended = finish(&mut as_app(&world, &key, &["run", "--json"])).expect(0);
    assert!(ended.stderr.contains("GitHub asks to slow down"), "{ended:#?}");
    let mut command = as_app(&world, &key, &["check"]);
    world.sandbox.fault(Fault::on("/app/installations").status(403).header("retry-after", "1000"));
    let ended = finish(command.env("GHBK_LIMITS__RATE_LIMIT_WAIT", "0s")).expect(3);
    assert!(ended.stdout.contains("rate limit"), "{ended:#?}");
}
