//! One repository's trouble is its own; and what is transient is tried again, what is not is not.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::Utc;
use ghbk::git::wire::transfer::Transfer;
use ghbk::names::FullName;
use ghbk::outcome::{Outcome, PartOutcome};
use ghbk::run::Progress;
use ghbk_sandbox::Fault;

use crate::world::{World, finish};

/// 200 repositories, four of them broken in different ways: 196 good mirrors, and each of the four is named.
#[test]
fn broken_repositories_leave_all_others_good_and_are_named_everywhere() {
    let world = World::generated(200);
    let git = |name: &str| format!("/acme/{name}.git");
    world.sandbox.fault(Fault::on(git("repository-010")).status(403).body("Write access to repository not granted."));
    world.sandbox.edit("acme/repository-020").corrupt_object().unwrap();
    world.sandbox.fault(Fault::on(git("repository-030")).status(451));
    world.sandbox.fault(Fault::on(format!("{}/git-upload-pack", git("repository-040"))).stall_body(300));
    let ended = finish(world.ghbk(&["run", "--json"]).env("GHBK_LIMITS__STALL_TIMEOUT", "2s")).expect(1);
    let summary = ended.json();
    assert_eq!(summary["status"], "partial");
    assert_eq!(summary["counts"]["created"], 196);
    assert_eq!(summary["counts"]["failed"], 4);
    let broken = ["repository-010", "repository-020", "repository-030", "repository-040"];
    let mut named: Vec<_> =
        summary["failures"].as_array().unwrap().iter().map(|f| f["repository"].as_str().unwrap().to_owned()).collect();
    named.sort();
    assert_eq!(named, broken.map(|name| format!("acme/{name}")));
    let reason = |name: &str| {
        let failures = summary["failures"].as_array().unwrap();
        let failure = failures.iter().find(|f| f["repository"] == format!("acme/{name}")).unwrap();
        failure["error"].as_str().unwrap().to_owned()
    };
    assert!(reason("repository-010").contains("403"), "{}", reason("repository-010"));
    assert!(reason("repository-030").contains("451"), "{}", reason("repository-030"));
    assert!(reason("repository-040").contains("stall_timeout"), "{}", reason("repository-040"));

    for number in (1..=200).filter(|number| ![10, 20, 30, 40].contains(number)) {
        let name = format!("acme/repository-{number:03}");
        let origin = world.sandbox.repositories().join(format!("{name}.git"));
        assert_eq!(
            crate::world::mirrored_refs(&origin),
            crate::world::mirrored_refs(&world.mirror(&name)),
            "{name} is not good"
        );
    }
    for name in broken {
        assert!(!world.mirror(&format!("acme/{name}")).exists(), "half of {name} was published");
    }
    let slack = serde_json::to_string(&world.sandbox.slack_messages()[0].body).unwrap();
    let status = world.run(&["status"]).expect(0).stdout;
    for name in broken {
        assert!(slack.contains(name), "Slack does not name {name}");
        assert!(status.contains(name), "status does not name {name}: {status}");
    }
}

#[test]
fn a_broken_repository_keeps_its_mirror_as_it_was() {
    let world = World::new();
    let site = world.add("acme/site");
    world.run_json(0);
    let before = crate::world::files_below(&world.mirror("acme/site"));
    site.commit("main", "b", "2").unwrap();
    world.sandbox.fault(Fault::on("/acme/site.git/git-upload-pack").truncate_body(100));
    world.run_json(1);
    assert_eq!(crate::world::files_below(&world.mirror("acme/site")), before);
    world.sandbox.clear_faults();
    assert_eq!(world.run_json(0)["counts"]["updated"], 1);
    world.assert_mirrors("acme/site");
}

#[test]
fn a_damaged_pack_is_never_published() {
    let world = World::new();
    let site = world.add("acme/site");
    site.commit("main", "large", &"content ".repeat(1000)).unwrap();
    world.sandbox.fault(Fault::on("/acme/site.git/git-upload-pack").flip_byte(600));
    world.run_json(1);
    assert!(!world.mirror("acme/site").exists());
}

#[test]
fn an_advertisement_cut_short_is_never_taken_for_the_whole() {
    let world = World::new();
    let site = world.add("acme/site");
    for number in 0..50 {
        site.set_ref(&format!("refs/heads/b{number:02}"), "refs/heads/main").unwrap();
    }
    world.run_json(0);
    let before = crate::world::mirrored_refs(&world.mirror("acme/site"));
    world.sandbox.fault(Fault::on("/acme/site.git/info/refs").truncate_body(1500));
    world.run_json(1);
    assert_eq!(crate::world::mirrored_refs(&world.mirror("acme/site")), before);
}

#[test]
fn transient_failures_are_tried_again() {
    for action in ["503", "hang up", "truncated", "429"] {
        let world = World::new();
        world.add("acme/site");
        let on = |path: &str| Fault::on(path).times(1);
        for path in ["/acme/site.git/git-upload-pack", "/orgs/acme/repos"] {
            world.sandbox.fault(match action {
                "503" => on(path).status(503),
                "hang up" => on(path).hang_up(),
                "truncated" => on(path).truncate_body(20),
                _ => on(path).status(429).header("retry-after", "1"),
            });
        }
        let summary = world.run_json(0);
        assert_eq!(summary["counts"]["created"], 1, "after {action}");
    }
}

/// `lies::a_first_pack_that_lies_is_never_published` failed under load: a kept-alive connection closed before a `GET` was
/// answered.
#[test]
fn a_get_whose_connection_dies_before_the_answer_is_sent_again_even_without_retries() {
    for path in ["/acme/site.git/info/refs", "/acme/site.wiki.git/info/refs", "/orgs/acme", "/orgs/acme/repos"] {
        let world = World::new();
        world.add("acme/site");
        world.add("acme/site.wiki");
        world.sandbox.fault(Fault::on(path).method("GET").times(2).hang_up());
        let mut command = world.ghbk(&["run", "--json"]);
        let summary = finish(command.env("GHBK_LIMITS__RETRIES", "0")).expect(0).json();
        assert_eq!(summary["counts"]["created"], 1, "{path}: {summary:#}");
    }
    let world = World::new();
    world.add("acme/site");
    world.sandbox.fault(Fault::on("/acme/site.git/info/refs").hang_up());
    finish(world.ghbk(&["run", "--json"]).env("GHBK_LIMITS__RETRIES", "0")).expect(1);
    let asked = world.sandbox.requests().iter().filter(|request| request.path.ends_with("/site.git/info/refs")).count();
    assert_eq!(asked, 3, "a server that always hangs up is asked within bounds");
}

/// A proxy that quotes the request put the token into the record, the report and the log.
#[test]
fn a_server_that_quotes_the_token_gets_it_into_no_text() {
    let world = World::new();
    world.add("acme/site");
    let token = world.sandbox.token().to_owned();
    let refs = "001e# service=git-upload-pack\n0000";
    let said = format!("ERR {token} is blocked\n");
    let said = format!("{refs}{:04x}{said}0000", said.len() + 4);
    let answer = |path: &str, kind: &str, body: &str| {
        Fault::on(path).status(200).header("content-type", kind.to_owned()).body(body.to_owned())
    };
    let fatal = format!("\u{3}{token} is blocked\n");
    let fatal = format!("0008NAK\n{:04x}{fatal}0000", fatal.len() + 4);
    let err = format!("ERR {token} is blocked\n");
    let err = format!("{:04x}{err}", err.len() + 4);
    for fault in [
        answer("/acme/site.git/info/refs", "application/x-git-upload-pack-advertisement", &said),
        answer("/acme/site.git/info/refs", &format!("text/{token}"), ""),
        answer("/acme/site.git/git-upload-pack", "application/x-git-upload-pack-result", &fatal),
        answer("/acme/site.git/git-upload-pack", "application/x-git-upload-pack-result", &err),
        Fault::on("/acme/site.git").status(403).body(format!("{token} is blocked")),
    ] {
        world.sandbox.clear_faults();
        world.sandbox.fault(fault);
        let ended = world.run(&["-vv", "run", "--json"]).expect(1);
        assert!(!ended.stdout.contains(&token) && !ended.stderr.contains(&token), "{ended:#?}");
        assert!(ended.stdout.contains("[redacted]"), "{ended:#?}");
    }
    for (path, content) in crate::world::files_below(&world.root) {
        assert!(!String::from_utf8_lossy(&content).contains(&token), "{}", path.display());
    }
    for message in world.sandbox.slack_messages() {
        assert!(!message.body.to_string().contains(&token), "{message:?}");
    }
}

#[test]
fn a_content_type_with_a_charset_is_git_s_all_the_same() {
    let world = World::new();
    world.add("acme/site");
    for (path, kind) in [("info/refs", "advertisement"), ("git-upload-pack", "result")] {
        let kind = format!("application/x-git-upload-pack-{kind}; charset=utf-8");
        let fault = Fault::on(format!("/acme/site.git/{path}")).replace_header("content-type", kind);
        world.sandbox.fault(fault);
    }
    world.run_json(0);
    world.assert_mirrors("acme/site");
}

/// The whole unicorn page of an outage was the message of the report.
#[test]
fn a_web_page_is_no_error_s_text() {
    let page = "<!DOCTYPE html>\n<!-- Hello future GitHubber! -->\n<html><body>Unicorn!</body></html>";
    for (path, status) in [("/orgs/acme", 502), ("/orgs/acme", 403), ("/acme/site.git", 403)] {
        let world = World::new();
        world.add("acme/site");
        world.sandbox.fault(Fault::on(path).status(status).body(page));
        let mut command = world.ghbk(&["run"]);
        let ended = finish(command.env("GHBK_LIMITS__RETRIES", "0"));
        assert!(ended.stdout.contains("web page") && !ended.stdout.contains('<'), "{path}: {ended:#?}");
    }
}

#[test]
fn what_does_not_pass_is_not_tried_again() {
    for status in [404, 451, 403] {
        let world = World::new();
        world.add("acme/site");
        world.sandbox.fault(Fault::on("/acme/site.git").status(status));
        let mut command = world.ghbk(&["run", "--json"]);
        finish(command.env("GHBK_LIMITS__RETRIES", "5")).expect(1);
        let asked = world.sandbox.requests().iter().filter(|r| r.path.starts_with("/acme/site.git")).count();
        assert_eq!(asked, 1, "{status} was tried again");
    }
}

#[test]
fn the_first_401_stops_the_run() {
    let world = World::generated(20);
    let mut command = world.ghbk(&["run", "--json"]);
    let ended = finish(command.env("GITHUB_TOKEN", "ghp_wrong").env("GHBK_LIMITS__RETRIES", "5")).expect(3);
    let summary = ended.json();
    assert_eq!(summary["status"], "failed");
    assert!(summary["failures"][0]["error"].as_str().unwrap().contains("401"), "{summary:#}");
    let to_github = world.sandbox.requests().into_iter().filter(|r| !r.path.starts_with("/services")).count();
    assert_eq!(to_github, 1, "{:?}", world.sandbox.requests());
}

#[test]
fn a_token_that_dies_on_the_way_stops_the_run() {
    let world = World::generated(60);
    world.sandbox.fault(Fault::on("/acme/*").skip(20).status(401));
    let mut command = world.ghbk(&["run", "--json"]);
    let summary = finish(command.env("GHBK_LIMITS__CONCURRENCY", "2")).expect(3).json();
    assert_eq!(summary["status"], "failed");
    assert!(summary["failures"][0]["error"].as_str().unwrap().contains("the run had to stop"), "{summary:#}");
    let asked = world.sandbox.requests().iter().filter(|request| request.git).count();
    assert!(asked <= 24, "{asked} requests to git though the token is bad after 20");
}

#[test]
fn a_limit_that_outlasts_the_run_ends_in_a_failure_that_says_so() {
    let world = World::generated(3);
    world.sandbox.fault(Fault::on("/acme/*").status(429).header("retry-after", "3600"));
    let mut command = world.ghbk(&["run", "--json"]);
    let started = Instant::now();
    let summary = finish(command.env("GHBK_LIMITS__RATE_LIMIT_WAIT", "2s")).expect(3).json();
    assert!(started.elapsed() < Duration::from_mins(1));
    assert_eq!(summary["status"], "failed");
    assert!(summary["failures"][0]["error"].as_str().unwrap().contains("rate limit"), "{summary:#}");
}

#[test]
fn a_primary_limit_is_waited_out() {
    let world = World::new();
    world.add("acme/site");
    let reset = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() + 1;
    world.sandbox.fault(
        Fault::on("/orgs/acme/repos")
            .times(1)
            .status(403)
            .header("x-ratelimit-remaining", "0")
            .header("x-ratelimit-reset", reset.to_string())
            .body(r#"{"message":"API rate limit exceeded"}"#),
    );
    assert_eq!(world.run_json(0)["counts"]["created"], 1);
}

#[test]
fn a_repository_that_takes_too_long_fails_alone() {
    let world = World::generated(3);
    world.sandbox.fault(Fault::on("/acme/repository-002.git/git-upload-pack").stall_body(100));
    let mut command = world.ghbk(&["run", "--json"]);
    let summary = finish(command.env("GHBK_LIMITS__REPOSITORY_TIMEOUT", "2s")).expect(1).json();
    assert_eq!(summary["counts"]["created"], 2);
    let error = summary["failures"][0]["error"].as_str().unwrap();
    assert!(error.contains("longer than 2s"), "{error}");
}

#[test]
fn a_wiki_that_takes_too_long_fails_its_repository_by_name() {
    let world = World::new();
    world.add("acme/site");
    world.add("acme/site.wiki");
    world.sandbox.fault(Fault::on("/acme/site.wiki.git/info/refs").stall_body(10));
    let mut command = world.ghbk(&["run", "--json"]);
    let summary = finish(command.env("GHBK_LIMITS__REPOSITORY_TIMEOUT", "2s")).expect(1).json();
    assert_eq!(summary["failures"][0]["repository"], "acme/site.wiki");
    assert_eq!(summary["counts"]["failed"], 1);
    world.assert_mirrors("acme/site");
}

#[test]
fn a_redirect_to_another_host_does_not_carry_the_credentials() {
    let world = World::new();
    world.add("acme/site");
    let elsewhere = World::new();
    elsewhere.add("acme/site");
    // Another port is another origin.
    let url = |path: &str| format!("{}{path}", elsewhere.sandbox.url());
    world.sandbox.fault(Fault::on("/acme/site.git/info/refs").redirect(url("/acme/site.git/info/refs")));
    let summary = world.run_json(1);
    assert!(summary["failures"][0]["error"].as_str().unwrap().contains("another host"), "{summary:#}");
    world.sandbox.clear_faults();
    world.sandbox.fault(Fault::on("/orgs/acme/repos").redirect(url("/api/v3/orgs/acme/repos")));
    world.run_json(3);
    world.sandbox.clear_faults();
    let next = format!("<{}>; rel=\"next\"", url("/api/v3/orgs/acme/repos?page=2"));
    world.sandbox.fault(Fault::on("/orgs/acme/repos").replace_header("link", next));
    world.run_json(3);
    assert_eq!(elsewhere.sandbox.requests(), [], "another host was asked");
}

#[test]
fn bandwidth_can_be_limited() {
    let world = World::new();
    let site = world.add("acme/site");
    let noise: String = (0..40_000).map(|n: u64| format!("{:x}", n.wrapping_mul(0x9E37_79B9_7F4A_7C15))).collect();
    site.commit("main", "noise", &noise).unwrap();
    let started = Instant::now();
    let mut command = world.ghbk(&["run", "--json"]);
    let summary = finish(command.env("GHBK_LIMITS__BANDWIDTH", "100KiB")).expect(0).json();
    let bytes = summary["bytes_received"].as_u64().unwrap();
    assert!(bytes > 250_000, "{bytes}");
    // Never faster than asked for, but for the first second's burst; how much slower is not this test's business.
    let least = Duration::from_millis((bytes / 102_400 - 1) * 1000);
    assert!(started.elapsed() >= least, "{bytes} bytes in {:?}", started.elapsed());
    world.assert_mirrors("acme/site");
}

/// A bug in one repository's work is its own failure.
#[test]
fn a_panic_fails_its_repository_alone() {
    struct Panics;
    impl Progress for Panics {
        fn planned(&self, _: usize) {}
        fn started(&self, name: &FullName, _: &Arc<Transfer>) {
            assert!(name.name() != "repository-002", "a bug");
        }
        fn finished(&self, _: &Outcome) {}
        fn started_part(&self, _: ghbk::outcome::Kind, _: &str, _: &Arc<Transfer>) {}
        fn finished_part(&self, _: &PartOutcome) {}
    }
    let world = World::generated(3);
    let summary = world.run_with(Utc::now(), &[], &Panics);
    assert_eq!((summary.counts.created, summary.counts.failed), (2, 1), "{summary:#?}");
    assert_eq!(summary.failures[0].repository, "acme/repository-002");
    assert!(summary.failures[0].error.contains("a bug"), "{summary:#?}");
    assert_eq!(world.run_json(0)["counts"]["created"], 1);
}
