//! Reading stored issues and pull requests: in the bad hour, without network, token or write access.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::world::{World, files_below, finish, git, is_root};

/// What a stranger writes who means no good.
pub(crate) const HOSTILE: &str = "\u{1b}[2J\u{1b}]0;owned\u{7}\u{202e}evil\u{0}\u{9b}31m\nerror: not from ghbk\n</textarea>\
    <script>alert(1)</script> <img src=\"https://evil.example/a.png\" onerror=alert(1)>\n\
    [click](javascript:alert(1)) ![pixel](https://evil.example/pixel.png) <style>*{}</style>\n\
    <iframe src=\"https://evil.example\"></iframe> see #2, acme/site#3 and `ghbk run`\n";

/// The runs that stored something.
pub(crate) const TIMES: [&str; 3] =
    ["2026-11-08T05:00:01.500Z", "2026-11-15T05:00:01.500Z", "2026-11-22T05:00:01.500Z"];

fn user(login: &str) -> Value {
    json!({"id": 1, "login": login, "type": "User"})
}

/// The files of each state; what a later one does not name stays as it was.
fn states() -> [BTreeMap<&'static str, Value>; 3] {
    let bug = json!({"name": "bug", "color": "d73a4a"});
    let issue = |state: &str, title: &str, body: &str, labels: Value| {
        json!({
            "number": 1, "title": title, "body": body, "state": state, "user": user("ada"), "labels": labels,
            "assignees": [user("bob")], "milestone": {"title": "v1"},
            "created_at": "2026-11-01T10:00:00Z", "updated_at": "2026-11-07T10:00:00Z",
            "closed_at": if state == "closed" { json!("2026-11-20T10:00:00Z") } else { Value::Null },
        })
    };
    let comment = |id: u64, login: &str, body: &str, updated: &str| json!({"id": id, "user": user(login), "body": body, "created_at": "2026-11-02T10:00:00Z", "updated_at": updated});
    let labelled = json!({"__typename": "LabeledEvent", "id": "e1", "createdAt": "2026-11-01T10:01:00Z",
        "actor": {"login": "ada"}, "label": {"name": "bug"}});
    let first = json!({
        "issue": issue("open", "Login fails", "The login fails with a long message.\n\n```\n  at  line 3\n```\n", json!([bug])),
        "comments": [comment(5, "bob", "I see it, too.", "2026-11-02T10:00:00Z")],
        "timeline": [labelled, {"__typename": "IssueComment", "fullDatabaseId": "5"}],
    });
    let second = json!({
        "issue": issue("open", "Login fails at times", "The login fails with a short message.\n\n```\n  at  line 3\n```\n", json!([bug])),
        "comments": [
            comment(5, "bob", "I do not see it any more.", "2026-11-14T10:00:00Z"),
            comment(6, "eve", "Buy now", "2026-11-02T10:00:00Z"),
        ],
        "timeline": [labelled],
    });
    let mut gone = comment(6, "eve", "Buy now", "2026-11-02T10:00:00Z");
    gone["ghbk"] = json!({"gone": "2026-11-22T05:00:01Z", "how": "deleted"});
    let third = json!({
        "issue": issue("closed", "Login fails at times", "The login fails with a short message.\n\n```\n  at  line 3\n```\n", json!([])),
        "comments": [comment(5, "bob", "I do not see it any more.", "2026-11-14T10:00:00Z"), gone],
        "timeline": [
            labelled,
            {"__typename": "CrossReferencedEvent", "id": "e2", "createdAt": "2026-11-19T10:00:00Z", "actor": null, "source": {"number": 2}},
            {"__typename": "TeleportedEvent", "id": "e3", "createdAt": "2026-11-19T11:00:00Z", "actor": {"login": "bob"}},
            {"__typename": "ClosedEvent", "id": "e4", "createdAt": "2026-11-20T10:00:00Z", "actor": {"login": "ada"}},
        ],
    });
    let pull = json!({
        "issue": {"number": 2, "title": "Fix the login", "body": "Fixes #1.", "state": "closed", "user": user("bob"),
            "labels": [], "pull_request": {}, "created_at": "2026-11-03T10:00:00Z", "updated_at": "2026-11-06T10:00:00Z"},
        "pull_request": {"merged_at": "2026-11-06T10:00:00Z", "head": {"ref": "fix"}, "base": {"ref": "main"}},
        "pull_request_details": {"merged": true, "additions": 10, "deletions": 3, "changedFiles": 2},
        "comments": [],
        "reviews": [{"fullDatabaseId": "70", "state": "APPROVED", "body": "Nice.", "submittedAt": "2026-11-05T10:00:00Z", "author": {"login": "ada"}}],
        "review_comments": [
            {"id": 71, "path": "src/login.rs", "line": 12, "user": user("ada"), "body": "Why?", "created_at": "2026-11-04T10:00:00Z", "updated_at": "2026-11-04T10:00:00Z"},
            {"id": 72, "in_reply_to_id": 71, "path": "src/login.rs", "line": 12, "user": null, "body": "Because.", "created_at": "2026-11-04T11:00:00Z", "updated_at": "2026-11-04T11:00:00Z"},
        ],
        "review_threads": [{"id": "t1", "isResolved": true, "isOutdated": false, "resolvedBy": {"login": "ada"}, "path": "src/login.rs",
            "line": 12, "comments": {"nodes": [{"fullDatabaseId": "71"}, {"fullDatabaseId": "72"}]}}],
        "timeline": [{"__typename": "MergedEvent", "id": "m", "createdAt": "2026-11-06T10:00:00Z", "actor": {"login": "ada"},
            "commit": {"oid": "8d1e2b7c4f5a6938271605f4e3d2c1b0a9f8e7d6"}, "mergeRefName": "main"}],
    });
    let hostile = json!({
        "issue": {"number": 123, "title": HOSTILE, "body": HOSTILE, "state": "open", "user": null,
            "labels": [{"name": HOSTILE, "color": "red;}</style>"}], "created_at": "2026-11-20T10:00:00Z"},
        "comments": [{"id": 9, "user": {"login": HOSTILE}, "body": null}],
        "timeline": [{"__typename": HOSTILE, "actor": {"login": HOSTILE}}, null, 7],
    });
    let moved = json!({
        "issue": {"number": 3, "title": "Moved", "body": null, "state": "open", "user": null, "labels": [], "created_at": "2026-11-04T10:00:00Z"},
        "comments": [], "timeline": [],
        "ghbk": {"gone": "2026-11-22T05:00:01Z", "how": "transferred", "to": "acme/other#5"},
    });
    let about = json!({"format": 1, "repository": {"id": 7, "full_name": "acme/site"}});
    [
        [
            ("about.json", about),
            ("labels.json", json!([{"name": "bug", "color": "d73a4a"}])),
            ("milestones.json", json!([{"title": "v1", "state": "open"}])),
            ("issues/0000/1.json", first),
            ("issues/0000/2.json", pull),
        ]
        .into(),
        [("issues/0000/1.json", second)].into(),
        [("issues/0000/1.json", third), ("issues/0000/3.json", moved), ("issues/0001/123.json", hostile)].into(),
    ]
}

/// Stores metadata of `acme/site` in three states, as runs would have.
pub(crate) fn store_metadata(world: &World) -> PathBuf {
    let work = world.folder.path().join("meta-work");
    std::fs::create_dir(&work).unwrap();
    let git_dir = work.join(".git");
    let in_work = |arguments: &[&str], time: &str| {
        let ended = Command::new("git")
            .current_dir(&work)
            .args(["-c", "user.name=ghbk", "-c", "user.email=ghbk@localhost", "-c", "init.defaultBranch=main"])
            .args(arguments)
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_AUTHOR_DATE", time)
            .env("GIT_COMMITTER_DATE", time)
            .output()
            .unwrap();
        assert!(ended.status.success(), "{ended:?}");
    };
    in_work(&["init", "--quiet"], TIMES[0]);
    for (files, time) in states().iter().zip(TIMES) {
        for (name, value) in files {
            let path = work.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, ghbk::metadata::canonical::to_bytes(value)).unwrap();
        }
        let run: String = time.chars().filter(|c| !matches!(c, '-' | ':')).collect();
        let message = format!(
            "Metadata of acme/site\n\nGhbk-Run: {run}\nGhbk-Time: {time}\nGhbk-Repository: acme/site\nGhbk-Repository-Id: 7\n"
        );
        in_work(&["add", "."], time);
        in_work(&["commit", "--quiet", "-m", &message], time);
    }
    let mirror = world.root.join("acme/site.meta");
    std::fs::create_dir_all(mirror.parent().unwrap()).unwrap();
    let cloned = Command::new("git").args(["clone", "--quiet", "--bare"]).args([&git_dir, &mirror]).status().unwrap();
    assert!(cloned.success());
    git(&mirror, &["config", "ghbk.id", "7"]);
    git(&mirror, &["config", "ghbk.fullName", "acme/site"]);
    git(&mirror, &["repack", "-a", "-d", "--quiet"]);
    git(&mirror, &["pack-refs", "--all"]);
    mirror
}

/// A world without GitHub: a command that asked it anything would fail.
pub(crate) fn offline(world: &World, arguments: &[&str]) -> Command {
    let mut command = world.ghbk(arguments);
    command.env("GHBK_GITHUB__API_URL", "https://api.github.com").env_remove("GITHUB_TOKEN");
    command.env("HTTPS_PROXY", "http://127.0.0.1:1");
    command
}

/// The same on a store that is mounted read-only, if this user may mount; permissions would not bind it.
fn read_only(world: &World, arguments: &[&str]) -> Command {
    let offline = offline(world, arguments);
    if !is_root() {
        return offline;
    }
    let script = "mount --bind \"$GHBK_STORE__ROOT\" \"$GHBK_STORE__ROOT\" && \
        mount -o remount,ro,bind \"$GHBK_STORE__ROOT\" && ! touch \"$GHBK_STORE__ROOT/x\" && exec \"$0\" \"$@\"";
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "--propagation", "private", "sh", "-c", script, env!("CARGO_BIN_EXE_ghbk")])
        .args(arguments);
    command.env_clear().envs(offline.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.current_dir(world.folder.path());
    command
}

fn shown(world: &World, arguments: &[&str]) -> String {
    finish(&mut offline(world, arguments)).expect(0).stdout
}

#[track_caller]
fn assert_harmless_on_a_terminal(text: &str) {
    let is_harmful = |c: &char| (c.is_control() && *c != '\n') || matches!(c, '\u{202a}'..='\u{202e}');
    assert!(!text.chars().any(|c| is_harmful(&c)), "{text:?}");
    assert!(!text.lines().any(|line| line.trim_start().starts_with("error")), "{text}");
}

#[test]
fn issues_are_listed_and_shown_as_they_were_at_any_time() {
    let world = World::new();
    store_metadata(&world);
    let list = shown(&world, &["show", "acme/site"]);
    assert_harmless_on_a_terminal(&list);
    insta::assert_snapshot!("list", list);
    insta::assert_snapshot!("issue", shown(&world, &["show", "acme/site", "1"]));
    insta::assert_snapshot!("pull_request", shown(&world, &["show", "acme/site", "#2"]));
    // As it was before it was edited.
    let before = shown(&world, &["show", "acme/site", "1", "--at", "2026-11-09"]);
    assert!(before.contains("| I see it, too.") && !before.contains("any more"), "{before}");
    assert!(before.contains("acme/site #1: Login fails\n") && before.contains("issue open"), "{before}");
    let after = shown(&world, &["show", "acme/site", "1", "--at", "2026-11-15T05:00:01.500Z"]);
    assert!(after.contains("| I do not see it any more.") && after.contains("issue open"), "{after}");
    // As it is stored.
    let json = finish(&mut offline(&world, &["show", "acme/site", "1", "--json"])).expect(0).json();
    assert_eq!(json, states()[2]["issues/0000/1.json"]);
}

#[test]
fn lists_can_be_narrowed() {
    let world = World::new();
    store_metadata(&world);
    let numbers = |arguments: &[&str]| -> Vec<u64> {
        let rows =
            finish(&mut offline(&world, &[&["show", "acme/site", "--json"], arguments].concat())).expect(0).json();
        rows.as_array().unwrap().iter().map(|row| row["number"].as_u64().unwrap()).collect()
    };
    assert_eq!(numbers(&[]), [123, 3, 2, 1]);
    assert_eq!(numbers(&["--state", "open"]), [123, 3]);
    assert_eq!(numbers(&["--state", "closed"]), [2, 1]);
    assert_eq!(numbers(&["--search", "LOGIN fix"]), [2]);
    assert_eq!(numbers(&["--label", "BUG"]), [0; 0], "the label was removed");
    assert_eq!(numbers(&["--label", "BUG", "--at", "2026-11-16"]), [1]);
    finish(&mut offline(&world, &["show", "acme/site", "1", "--state", "open"])).expect(2);
}

#[test]
fn a_log_tells_what_changed_from_state_to_state() {
    let world = World::new();
    store_metadata(&world);
    insta::assert_snapshot!("log", shown(&world, &["log", "acme/site", "1"]));
    let json = finish(&mut offline(&world, &["log", "acme/site", "1", "--json"])).expect(0).json();
    assert_eq!(json.as_array().unwrap().len(), 3, "{json:#}");
    assert_eq!(json[2]["changes"][0]["how"], "added", "{json:#}");
    assert_eq!(
        finish(&mut offline(&world, &["log", "acme/site", "2", "--json"])).expect(0).json().as_array().unwrap().len(),
        1
    );
    // The command that it names shows what was there before.
    let command = shown(&world, &["log", "acme/site", "1"]);
    let command = command.rsplit('`').nth(1).unwrap().replace("ghbk ", "");
    let before = shown(&world, &command.split(' ').collect::<Vec<_>>());
    assert!(before.contains("issue open"), "{command}: {before}");
}

#[test]
fn what_strangers_write_does_no_harm_on_a_terminal() {
    let world = World::new();
    store_metadata(&world);
    for arguments in [&["show", "acme/site", "123"][..], &["show", "acme/site"], &["log", "acme/site", "123"]] {
        assert_harmless_on_a_terminal(&shown(&world, arguments));
    }
    let text = shown(&world, &["show", "acme/site", "123", "--root", world.root.to_str().unwrap()]);
    assert!(!text.contains("ghbk --root"), "a stranger's words are not completed: {text}");
}

#[test]
fn what_is_not_there_is_said_with_what_to_do() {
    let world = World::new();
    store_metadata(&world);
    world.add("acme/api");
    world.run(&["run", "acme/api"]).expect(0);
    for (arguments, message) in [
        (&["show", "acme/site", "99"][..], "has no issue or pull request 99\nhint: `ghbk show acme/site` lists them"),
        (
            &["show", "acme/site", "123", "--at", "2026-11-16"],
            "has no issue or pull request 123 at that time\nhint: `ghbk log",
        ),
        (&["log", "acme/site", "99"], "has no issue or pull request 99"),
        (&["show", "acme/site", "--at", "2026-11-01"], "the first is from 2026-11-08 05:00:01 UTC"),
        (&["show", "acme/api"], "the store has no issues or pull requests of acme/api\nhint: `ghbk status acme/api`"),
        (&["show", "acme/nothing"], "the store has no mirror of acme/nothing"),
        (&["show", "acme/site", "0"], "it is not the number of an issue"),
        (&["show", "acme/site", "--owner", "acme"], "--owner says what is backed up"),
    ] {
        let ended = finish(&mut offline(&world, arguments)).expect(2);
        assert!(ended.stderr.contains(message), "{arguments:?}: {ended:#?}");
        assert_eq!(ended.stdout, "");
    }
}

/// Stores a state in which one file, and one folder of numbers, cannot be read.
pub(crate) fn lose_some_numbers(mirror: &Path) {
    let missing = format!("100644,{},issues/0002/200.json", "de".repeat(20));
    git(mirror, &["read-tree", "main"]);
    git(mirror, &["update-index", "--add", "--cacheinfo", &missing]);
    let below_a_missing_folder = format!("100644,{},issues/0003/300.json", "de".repeat(20));
    git(mirror, &["update-index", "--add", "--cacheinfo", &below_a_missing_folder]);
    let tree = git(mirror, &["write-tree", "--missing-ok"]);
    let folder = git(mirror, &["rev-parse", &format!("{}:issues/0003", tree.trim())]);
    std::fs::remove_file(mirror.join("objects").join(&folder[..2]).join(folder[2..].trim())).unwrap();
    let identity = ["-c", "user.name=ghbk", "-c", "user.email=ghbk@localhost"];
    let commit = git(mirror, &[&identity[..], &["commit-tree", "-p", "main", "-m", "damaged", tree.trim()]].concat());
    git(mirror, &["update-ref", "refs/heads/main", commit.trim()]);
    git(mirror, &["pack-refs", "--all"]);
}

#[test]
fn a_list_shows_what_can_be_read_and_says_that_it_is_not_all() {
    let world = World::new();
    lose_some_numbers(&store_metadata(&world));
    for arguments in [&["show", "acme/site"][..], &["show", "acme/site", "--json"]] {
        let ended = finish(&mut offline(&world, arguments)).expect(1);
        assert!(ended.stdout.contains("Fix the login"), "{ended:#?}");
        assert!(ended.stderr.contains("acme/site (metadata): the mirror is damaged"), "{ended:#?}");
    }
}

#[test]
fn reading_leaves_the_store_as_it_is_and_needs_no_write_access() {
    let world = World::new();
    let mirror = store_metadata(&world);
    let before = files_below(&world.root);
    let commands = [
        &["show", "acme/site"][..],
        &["show", "acme/site", "1"],
        &["log", "acme/site", "1"],
        &["export", "acme/site", "out"],
    ];
    for arguments in commands {
        finish(&mut read_only(&world, arguments)).expect(0);
    }
    assert_eq!(files_below(&world.root), before);
    // Damage has a name.
    for pack in std::fs::read_dir(mirror.join("objects/pack")).unwrap().flatten() {
        std::fs::remove_file(pack.path()).unwrap();
    }
    let ended = finish(&mut offline(&world, &["show", "acme/site", "1"])).expect(1);
    assert!(ended.stderr.contains("acme/site (metadata): the mirror is damaged"), "{ended:#?}");
}

#[test]
fn reading_never_maps_the_store_into_memory() {
    let world = World::new();
    store_metadata(&world);
    for arguments in [&["show", "acme/site", "1"][..], &["log", "acme/site", "1"], &["export", "acme/site", "out"]] {
        let plan = ghbk_faults::Plan { folders: vec![world.root.clone()], ..ghbk_faults::Plan::default() };
        let ended = ghbk_faults::run(offline(&world, arguments), &plan, Duration::from_mins(2)).unwrap();
        assert!(ended.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&ended.stderr));
        let mapped: Vec<_> = ended.calls.iter().filter(|call| call.name == "mmap").collect();
        assert!(mapped.is_empty() && !ended.calls.is_empty(), "{arguments:?}: {mapped:?}");
    }
}
