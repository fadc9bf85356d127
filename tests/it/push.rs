//! A restored repository goes to a new one on GitHub.

use ghbk_sandbox::RepositoryEditor;

use crate::world::{World, finish, git, mirrored_refs};

/// A new repository on the server that may be pushed to.
pub(crate) fn new_repository(world: &World, name: &str) -> String {
    let path = world.sandbox.repositories().join(format!("acme/{name}.git"));
    let repository = RepositoryEditor::create(&path).unwrap();
    repository.set("pushable", "true").unwrap();
    format!("{}/acme/{name}.git", world.sandbox.url())
}

fn world_with_history() -> World {
    let world = World::new();
    let site = world.add("acme/site");
    site.annotated_tag("v1", "refs/heads/main").unwrap();
    let head = site.rev_parse("refs/heads/main").unwrap();
    site.set_ref("refs/pull/1/head", &head).unwrap();
    world.run_json(0);
    site.force_push("main").unwrap();
    world.run_json(0);
    world
}

#[test]
fn a_restored_repository_is_sent_to_an_empty_one_and_compared() {
    let world = world_with_history();
    let url = new_repository(&world, "new");
    let ended = world.run(&["restore", "acme/site", "--push", &url]).expect(0);
    assert!(
        ended.stdout.contains("pushed 2 refs to ") && ended.stdout.contains("default branch was main"),
        "{ended:#?}"
    );
    let new = world.sandbox.repositories().join("acme/new.git");
    let sent: Vec<String> = mirrored_refs(&new);
    let origin = mirrored_refs(&world.sandbox.repositories().join("acme/site.git"));
    assert_eq!(sent, origin.into_iter().filter(|line| !line.contains("refs/pull/")).collect::<Vec<_>>());
    git(&new, &["fsck", "--full"]);
    // What was lost and is not part of this point in time does not leave the house.
    let objects = git(&new, &["cat-file", "--batch-all-objects", "--batch-check=%(objectname)"]);
    let needed = git(&new, &["rev-list", "--objects", "--all"]);
    assert_eq!(objects.lines().count(), needed.lines().count(), "{objects}{needed}");

    let again = world.run(&["restore", "acme/site", "--push", &url]).expect(2);
    assert!(again.stderr.contains("is not empty: it has 2 refs"), "{}", again.stderr);
}

#[test]
fn pull_requests_go_elsewhere_on_request_and_a_folder_is_made_too() {
    let world = world_with_history();
    let url = new_repository(&world, "new");
    let arguments = ["restore", "acme/site", "there", "--push", &url, "--pull-requests", "--json"];
    let report = world.run(&arguments).expect(0).json();
    assert_eq!(report["pushed"]["refs"], 3, "{report}");
    let refs = git(&world.sandbox.repositories().join("acme/new.git"), &["for-each-ref", "--format=%(refname)"]);
    assert!(refs.contains("refs/restored/pull/1/head"), "{refs}");
    assert!(world.folder.path().join("there/packed-refs").is_file());
}

#[test]
fn a_push_that_cannot_be_says_why() {
    let world = world_with_history();
    let read_only = format!("{}/acme/site.git", world.sandbox.url());
    let ended = world.run(&["restore", "acme/site", "--push", &read_only]).expect(3);
    assert!(ended.stderr.contains("refuses access (403)"), "{}", ended.stderr);
    let missing = format!("{}/acme/missing.git", world.sandbox.url());
    let ended = world.run(&["restore", "acme/site", "--push", &missing]).expect(3);
    assert!(ended.stderr.contains("404"), "{}", ended.stderr);
    for (url, words) in [
        ("http://example.com/a/b.git", "in clear"),
        ("https://user:secret@example.com/a/b.git", "user name or a password"),
        ("ssh://git@example.com/a/b.git", "user name or a password"),
        ("ftp://example.com/a/b.git", "not a scheme"),
    ] {
        let ended = world.run(&["restore", "acme/site", "--push", url]).expect(2);
        assert!(ended.stderr.contains(words) && !ended.stderr.contains("secret"), "{url}: {}", ended.stderr);
    }
    let ended = world.run(&["restore", "acme/site", "--push", "https://example.com/a/b.git"]).expect(3);
    assert!(ended.stderr.contains("GHBK_PUSH_TOKEN"), "{}", ended.stderr);
}

#[test]
fn a_token_of_its_own_is_used_for_the_push() {
    let world = world_with_history();
    let url = new_repository(&world, "new");
    let mut command = world.ghbk(&["restore", "acme/site", "--push", &url]);
    command.env("GHBK_PUSH_TOKEN", "ghp_wrong");
    let ended = finish(&mut command).expect(3);
    assert!(ended.stderr.contains("401"), "{}", ended.stderr);
    let mut command = world.ghbk(&["restore", "acme/site", "--push", &url]);
    command.env_remove("GITHUB_TOKEN").env("GHBK_PUSH_TOKEN", world.sandbox.token());
    finish(&mut command).expect(0);
}

/// A refusal said "pre-receive hook declined" alone: what GitHub explains in the side band was not asked for.
#[test]
fn a_refused_push_passes_on_what_the_server_explains() {
    use std::os::unix::fs::PermissionsExt as _;
    let world = world_with_history();
    let url = new_repository(&world, "new");
    let hook = world.sandbox.repositories().join("acme/new.git/hooks/pre-receive");
    std::fs::create_dir_all(hook.parent().unwrap()).unwrap();
    let words =
        "echo 'error: GH013: Repository rule violations' >&2\necho '- follow https://github.com/unblock/XYZ' >&2";
    std::fs::write(&hook, format!("#!/bin/sh\n{words}\necho \"$HOME\" {} >&2\nexit 1\n", world.sandbox.token()))
        .unwrap();
    std::fs::set_permissions(&hook, std::fs::Permissions::from_mode(0o755)).unwrap();
    let ended = world.run(&["restore", "acme/site", "--push", &url]).expect(3);
    assert!(ended.stderr.contains("GH013") && ended.stderr.contains("unblock/XYZ"), "{}", ended.stderr);
    assert!(!ended.stderr.contains(world.sandbox.token()), "{}", ended.stderr);
}
