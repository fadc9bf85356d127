//! What is not there is said, with its reason; never silently green, and never red for ever.

use ghbk_sandbox::Fault;
use serde_json::{Value, json};

use super::{GitLfs, asked, missing, of_origin, sums, with_large_files};
use crate::world::World;

/// What a run says in words, without what differs each time.
fn words(world: &World, code: i32) -> String {
    let text = world.run(&["run"]).expect(code).stdout;
    let mut lines: Vec<&str> = text.lines().collect();
    lines.retain(|line| !line.starts_with("verified:") && !line.starts_with("restore proven:"));
    lines.join("\n")
}

#[test]
fn what_github_has_lost_is_told_once_as_a_failure_and_then_as_a_warning() {
    let world = World::new();
    let oids = with_large_files(&world, "acme/site", &[b"one\n", b"two two\n"]);
    std::fs::remove_file(of_origin(&world, "acme/site", &oids[0])).unwrap();
    let summary = world.run_json(1);
    assert_eq!(sums(&summary)["states"], json!({"absent": 1}));
    assert_eq!(sums(&summary)["totals"], json!({"absent": 1, "stored": 1, "stored_bytes": 8}));
    let failure = summary["failures"][0]["error"].as_str().unwrap();
    assert!(failure.contains("no longer on GitHub") && failure.contains(&oids[0][..12]), "{failure}");
    assert_eq!(missing(&world, "acme/site"), [(oids[0].clone(), "absent".to_owned())]);
    // It is not red for ever, and not silent.
    world.sandbox.clear_requests();
    let summary = world.run_json(0);
    assert_eq!(asked(&world), (1, 0), "somebody may have pushed it again");
    let warning = summary["warnings"][0].as_str().unwrap();
    assert!(warning.contains("acme/site") && warning.contains("ghbk accept acme/site"), "{warning}");
    // And when somebody has, it comes.
    std::fs::write(of_origin(&world, "acme/site", &oids[0]), "one\n").unwrap();
    let summary = world.run_json(0);
    assert_eq!(summary["warnings"], json!([]));
    GitLfs::new().assert_complete(&world.mirror("acme/site"));
}

fn words_of(failure: &Value) -> String {
    format!("{}: {}\n  hint: {}", failure["repository"], failure["error"], failure["hint"])
}

#[test]
fn each_reason_has_its_words() {
    let said = |prepare: fn(&World, &[String])| {
        let world = World::new();
        let oids = with_large_files(&world, "acme/site", &[b"one\n", b"two two\n"]);
        prepare(&world, &oids);
        let summary = world.run_json(1);
        let failures: Vec<String> = summary["failures"].as_array().unwrap().iter().map(words_of).collect();
        failures.join("\n")
    };
    let all = [
        said(|world, oids| std::fs::remove_file(of_origin(world, "acme/site", &oids[0])).unwrap()),
        said(|world, oids| {
            std::fs::write(of_origin(world, "acme/site", &oids[0]).with_extension("error"), "403 Forbidden by policy")
                .unwrap();
        }),
        said(|world, oids| {
            std::fs::write(of_origin(world, "acme/site", &oids[0]).with_extension("error"), "500 Try later").unwrap();
        }),
        said(|world, _| {
            let quota = r#"{"message":"This repository is over its data quota. Account responsible for LFS bandwidth should purchase more data packs to restore access."}"#;
            world.sandbox.fault(Fault::on("/acme/site.git/info/lfs/objects/batch").status(403).body(quota));
        }),
        said(|world, _| {
            world.sandbox.fault(
                Fault::on("/acme/site.git/info/lfs/objects/batch").status(404).body(r#"{"message":"Not Found"}"#),
            );
        }),
        said(|world, _| {
            world.sandbox.fault(Fault::on("/acme/site.git/info/lfs/objects/batch").status(200).body("<html>"));
        }),
        said(|world, _| {
            let editor = world.sandbox.edit("acme/site");
            editor.commit("main", ".lfsconfig", "[lfs]\n\turl = http://169.254.169.254/latest\n").unwrap();
        }),
    ];
    insta::assert_snapshot!(all.join("\n"));
}

#[test]
fn a_quota_ends_the_large_files_of_its_owner_and_nothing_else() {
    let world = World::new();
    for name in ["acme/one", "acme/two", "acme/three"] {
        with_large_files(&world, name, &[name.as_bytes()]);
    }
    let quota = r#"{"message":"This repository is over its data quota."}"#;
    world.sandbox.fault(Fault::on("*/info/lfs/objects/batch").status(403).body(quota));
    let summary = world.run_json(1);
    assert_eq!(summary["counts"]["failed"], 3);
    assert_eq!(sums(&summary)["states"], json!({"failed": 3}));
    for name in ["acme/one", "acme/two", "acme/three"] {
        world.assert_mirrors(name);
    }
    world.sandbox.clear_faults();
    let summary = world.run_json(0);
    assert_eq!(sums(&summary)["counts"]["downloaded"], 3);
}

#[test]
fn what_is_left_out_is_counted_and_comes_when_it_is_not_any_more() {
    let world = World::new();
    with_large_files(&world, "acme/site", &[b"one\n", &[7; 5000]]);
    let run = |name: &str, value: &str| {
        let mut command = world.ghbk(&["run", "--json"]);
        crate::world::finish(command.env(name, value)).expect(0).json()
    };
    let summary = run("GHBK_LARGE_FILES__ENABLED", "false");
    assert_eq!(sums(&summary)["states"], json!({"disabled": 1}));
    assert_eq!(asked(&world), (0, 0));
    let summary = run("GHBK_LARGE_FILES__MAX_SIZE", "1000B");
    assert_eq!(sums(&summary)["totals"], json!({"stored": 1, "stored_bytes": 4, "too_large": 1}));
    let summary = world.run_json(0);
    assert_eq!(sums(&summary)["totals"], json!({"stored": 2, "stored_bytes": 5004}));
    GitLfs::new().assert_complete(&world.mirror("acme/site"));
}

#[test]
fn a_server_elsewhere_is_asked_only_if_it_is_named_and_gets_no_token() {
    let world = World::new();
    let editor = world.add("acme/site");
    let other = World::new();
    let oids = with_large_files(&other, "acme/elsewhere", &[b"elsewhere\n"]);
    other.sandbox.edit("acme/elsewhere").set("private", "false").unwrap();
    let url = format!("{}/acme/elsewhere.git/info/lfs", other.sandbox.url());
    editor.commit("main", ".lfsconfig", &format!("[lfs]\n\turl = {url}\n")).unwrap();
    let pointer = format!("version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize 10\n", oids[0]);
    editor.commit("main", "a.bin", &pointer).unwrap();
    let summary = world.run_json(1);
    assert_eq!(sums(&summary)["states"], json!({"absent": 1}));
    assert!(other.sandbox.requests().is_empty(), "{:?}", other.sandbox.requests());
    let host = other.sandbox.url().trim_start_matches("http://");
    let mut command = world.ghbk(&["run", "--json"]);
    let summary = crate::world::finish(command.env("GHBK_LARGE_FILES__SERVERS", host)).expect(0).json();
    assert_eq!(sums(&summary)["counts"]["downloaded"], 1);
    assert!(other.sandbox.requests().iter().all(|request| request.authorization.is_none()));
}

#[test]
fn a_run_says_what_came() {
    let world = World::new();
    with_large_files(&world, "acme/site", &[b"one\n", b"two two\n"]);
    let text = words(&world, 0);
    assert!(text.contains("large files: 2 fetched (12 B)"), "{text}");
}

#[test]
fn a_person_accepts_what_is_gone() {
    let world = World::new();
    let oids = with_large_files(&world, "acme/site", &[b"one\n", b"two two\n", b"three\n"]);
    for oid in &oids[..2] {
        std::fs::remove_file(of_origin(&world, "acme/site", oid)).unwrap();
    }
    world.sandbox.fault(Fault::on(format!("/media/acme/site/{}", oids[2])).status(500));
    world.run_json(1);
    // One that cannot be accepted keeps all others from it.
    let ended = world.run(&["accept", "acme/site", &oids[0], &oids[2]]).expect(2);
    assert!(ended.stderr.contains("nothing was changed"), "{ended:#?}");
    let ended = world.run(&["accept", "acme/site", &oids[0]]).expect(0);
    assert!(ended.stdout.contains("accepted: 1 missing large file of acme/site"), "{ended:#?}");
    let ended = world.run(&["accept", "acme/site", &oids[2]]).expect(2);
    assert!(ended.stderr.contains("only files that GitHub does not have"), "{ended:#?}");
    let report = world.run(&["accept", "acme/site", "--json"]).expect(0).json();
    assert_eq!((report["accepted"].as_array().unwrap().len(), report["left"].as_array().unwrap().len()), (1, 1));
    world.sandbox.clear_faults();
    let summary = world.run_json(0);
    assert_eq!(summary["warnings"], json!([]), "{summary:#}");
    let status = world.run(&["status"]).expect(0).stdout;
    assert!(status.contains("large files: 1 stored (6 B), 2 not on GitHub, 2 of these are accepted"), "{status}");
    // It survives the loss of the index, and a repair.
    std::fs::remove_file(world.root.join(".ghbk/index.json")).unwrap();
    assert_eq!(world.run_json(0)["warnings"], json!([]));
    let repaired = world.run(&["run", "--repair", "acme/site", "--json"]).expect(0).json();
    let warnings = repaired["warnings"].as_array().unwrap();
    assert!(!warnings.iter().any(|it| it.as_str().unwrap().contains("accept")), "{repaired:#}");
}

#[test]
fn bad_ids_are_refused() {
    let world = World::new();
    with_large_files(&world, "acme/site", &[b"one\n"]);
    world.run_json(0);
    let ended = world.run(&["accept", "acme/site", "4d7a"]).expect(2);
    assert!(ended.stderr.contains("not the SHA-256"), "{ended:#?}");
    let ended = world.run(&["accept", "acme/site"]).expect(0);
    assert!(ended.stdout.contains("nothing to accept"), "{ended:#?}");
    // Nothing happened, so nothing is recorded.
    assert_eq!(world.run(&["status", "--json"]).expect(0).json()["runs"].as_array().unwrap().len(), 1);
    world.run(&["accept", "acme/nothing"]).expect(2);
}
