//! What a later run asks the server for: what the mirror lacks, and nothing else.

use std::io::Write;
use std::process::{Command, Stdio};

use ghbk_sandbox::RepositoryEditor;

use crate::wire::Line;
use crate::world::{World, finish, git, noise};

/// A change of the repository, by what it is.
type Step<'a> = (&'a str, Box<dyn Fn() + 'a>);

/// A commit with a short file is a few hundred bytes, and what the server says beside it; a file of noise is 20 kB.
const SHORT_BYTES_MAX: u64 = 4_000;

fn with_history(world: &World) -> RepositoryEditor {
    let site = world.add("acme/site");
    for number in 0..20 {
        site.commit("main", &format!("file-{number}"), &noise(number, 20_000)).unwrap();
    }
    site
}

fn git_with_input(repository: &RepositoryEditor, arguments: &[&str], input: &str) {
    let mut git = Command::new("git");
    git.arg("--git-dir").arg(repository.path()).args(arguments).stdin(Stdio::piped());
    let mut git = git.spawn().unwrap();
    git.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    assert!(git.wait().unwrap().success());
}

#[track_caller]
fn bytes_of_an_update(world: &World, what: &str) -> u64 {
    let summary = world.run_json(0);
    assert_eq!(summary["counts"]["updated"], 1, "{what}: {summary:#}");
    world.assert_mirrors("acme/site");
    let received_bytes = summary["bytes_received"].as_u64().unwrap();
    eprintln!("{what}: {received_bytes} bytes");
    received_bytes
}

#[test]
fn what_is_stored_is_not_sent_again() {
    let world = World::new();
    let site = with_history(&world);
    world.run_json(0);
    let old_main = site.rev_parse("refs/heads/main").unwrap();
    let set = |name: &str, revision: &str| git(site.path(), &["update-ref", name, revision]);
    let steps: Vec<Step> = vec![
        ("a commit on a branch", Box::new(|| drop(site.commit("main", "a", "1").unwrap()))),
        ("a branch that begins at an old commit", Box::new(|| drop(set("refs/heads/old", "main~9")))),
        ("a commit on that branch", Box::new(|| drop(site.commit("old", "b", "1").unwrap()))),
        (
            "a pull request's commit",
            Box::new(|| {
                site.commit("topic", "c", "1").unwrap();
                set("refs/pull/1/head", "topic");
                set("refs/heads/topic", "main");
            }),
        ),
        (
            "one more on top of it",
            Box::new(|| {
                set("refs/heads/topic", "refs/pull/1/head");
                site.commit("topic", "d", "1").unwrap();
            }),
        ),
        (
            "a tag with a text",
            Box::new(|| {
                git(
                    site.path(),
                    &["-c", "user.name=A", "-c", "user.email=a@example.com", "tag", "-a", "-m", "x", "v1", "main"],
                );
            }),
        ),
        (
            "a force push to a sibling",
            Box::new(|| {
                set("refs/heads/main", &old_main);
                site.commit("main", "a", "2").unwrap();
            }),
        ),
        (
            "a commit on what the push has dropped",
            Box::new(|| {
                set("refs/heads/revived", "v1^{commit}");
                site.commit("revived", "e", "1").unwrap();
                git(site.path(), &["update-ref", "-d", "refs/tags/v1"]);
            }),
        ),
    ];
    for (what, change) in steps {
        change();
        let bytes = bytes_of_an_update(&world, what);
        assert!(bytes < SHORT_BYTES_MAX, "{what}: {bytes} bytes");
    }
}

#[test]
fn of_more_branches_than_are_named_to_the_server_the_one_that_moves_counts() {
    let world = World::new();
    let site = with_history(&world);
    let tip = site.rev_parse("refs/heads/main").unwrap();
    // Each has a commit of its own, so that each is a tip of its own.
    let commits: String = (0..5_000)
        .map(|number| {
            format!(
                "commit refs/heads/b{number:04}\ncommitter A <a@example.com> {} +0000\ndata 1\nc\nfrom {tip}\n",
                1_700_000_000 + number
            )
        })
        .collect();
    git_with_input(&site, &["fast-import", "--quiet"], &commits);
    world.run_json(0);
    site.commit("main", "a", "1").unwrap();
    let bytes = bytes_of_an_update(&world, "a commit on one of 5,001 branches");
    assert!(bytes < SHORT_BYTES_MAX, "{bytes} bytes");
}

#[test]
fn a_large_object_is_refused_in_a_later_run_too() {
    let world = World::new();
    let site = with_history(&world);
    world.run_json(0);
    let before = crate::world::files_below(&world.mirror("acme/site"));
    site.commit("main", "large", &"x".repeat(3_000_000)).unwrap();
    let mut command = world.ghbk(&["run", "--json"]);
    command.env("GHBK_LIMITS__OBJECT_SIZE", "1 MiB");
    let summary = finish(&mut command).expect(1).json();
    let error = summary["failures"][0]["error"].as_str().unwrap();
    assert!(error.contains("object"), "{error}");
    assert_eq!(crate::world::files_below(&world.mirror("acme/site")), before);
    bytes_of_an_update(&world, "with the usual limit");
}

/// As servers did before 2007: the base of a delta is named by its id, so that gitoxide cannot receive the pack.
#[test]
fn a_server_without_ofs_delta_is_mirrored_and_updated() {
    let world = World::new();
    let site = with_history(&world);
    let line = Line::to(&world.sandbox);
    let run = || {
        let tip = site.rev_parse("refs/heads/main").unwrap();
        let payload = format!("{tip} refs/heads/main\0multi_ack thin-pack side-band-64k no-progress\n");
        let pkt = |payload: &str| format!("{:04x}{payload}", payload.len() + 4);
        let body = format!("{}0000{}0000", pkt("# service=git-upload-pack\n"), pkt(&payload));
        line.answer("GET /acme/site.git/info/refs", move |client| {
            let content_type = "application/x-git-upload-pack-advertisement";
            write!(
                client,
                "HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            )
        });
        let mut command = world.ghbk(&["run", "--json"]);
        command.env("GHBK_GITHUB__API_URL", line.api_url());
        finish(&mut command).expect(0).json()
    };
    assert_eq!(run()["counts"]["created"], 1);
    world.assert_mirrors("acme/site");
    site.commit("main", "a", "1").unwrap();
    let summary = run();
    assert_eq!(summary["counts"]["updated"], 1);
    assert!(summary["bytes_received"].as_u64().unwrap() < SHORT_BYTES_MAX, "{summary:#}");
    world.assert_mirrors("acme/site");
    assert_eq!(run()["counts"]["unchanged"], 1);
}
