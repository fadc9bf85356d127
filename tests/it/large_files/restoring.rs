//! A restore brings large files back: beside the packs, in a working tree, and to a new repository.

use std::path::Path;
use std::process::Command;

use ghbk_sandbox::Fault;

use super::{GitLfs, content, of_origin, track, with_large_files};
use crate::world::{World, files_below, finish, git_output};

/// What `git status` says where git-lfs is not installed.
fn status(folder: &Path) -> String {
    let output = Command::new("git")
        .args(["status", "--porcelain"])
        .current_dir(folder)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", "/nonexistent")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_bare_restore_is_complete_without_the_store() {
    let (world, judge) = (World::new(), GitLfs::new());
    with_large_files(&world, "acme/site", &[b"one\n", b"two two\n"]);
    world.run_json(0);
    let text = world.run(&["restore", "acme/site", "site.git"]).expect(0).stdout;
    assert!(text.contains("large files: 2 restored (12 B), each checked"), "{text}");
    std::fs::rename(&world.root, world.folder.path().join("away")).unwrap();
    judge.assert_complete(&world.folder.path().join("site.git"));
}

#[test]
fn a_working_tree_has_the_contents_and_is_clean_with_and_without_git_lfs() {
    let (world, judge) = (World::new(), GitLfs::new());
    let editor = world.add("acme/site");
    track(&editor);
    editor.large_file("main", "a.bin", b"one\n").unwrap();
    editor.large_file("main", "deep/er/b c.bin", &vec![9; 100_000]).unwrap();
    // Not tracked: it stays the pointer that it is.
    editor.large_file("main", "untracked.txt", b"three\n").unwrap();
    world.run_json(0);
    let report = world.run(&["restore", "acme/site", "site", "--checkout", "--json"]).expect(0).json();
    assert_eq!(report["large_files"]["checked_out"], 2);
    let folder = world.folder.path().join("site");
    assert_eq!(std::fs::read(folder.join("a.bin")).unwrap(), b"one\n");
    assert_eq!(std::fs::read(folder.join("deep/er/b c.bin")).unwrap(), vec![9; 100_000]);
    assert!(std::fs::read_to_string(folder.join("untracked.txt")).unwrap().starts_with("version"));
    assert_eq!(status(&folder), "");
    assert_eq!(judge.git(&folder, &["status", "--porcelain"]), "");
    judge.git(&folder, &["lfs", "fsck"]);
    assert_eq!(judge.git(&folder, &["lfs", "status", "--porcelain"]), "");
}

#[test]
fn a_point_in_time_has_its_contents_though_github_has_lost_them() {
    let (world, judge) = (World::new(), GitLfs::new());
    let editor = world.add("acme/site");
    track(&editor);
    editor.large_file("main", "a.bin", b"before\n").unwrap();
    world.run_json(0);
    let before = world.run(&["snapshots", "acme/site", "--json"]).expect(0).json();
    let run = before[0]["snapshots"][0]["run_id"].as_str().unwrap().to_owned();
    editor.large_file("main", "a.bin", b"after\n").unwrap();
    std::fs::remove_dir_all(world.sandbox.repositories().join("acme/site.git/lfs")).unwrap();
    editor.large_file("main", "a.bin", b"later still\n").unwrap();
    world.run(&["run"]);
    world.run(&["restore", "acme/site", "then", "--checkout", "--run", &run]).expect(0);
    let folder = world.folder.path().join("then");
    assert_eq!(std::fs::read(folder.join("a.bin")).unwrap(), b"before\n");
    assert_eq!(judge.git(&folder, &["status", "--porcelain"]), "");
}

#[test]
fn files_at_a_path_are_contents() {
    let world = World::new();
    with_large_files(&world, "acme/site", &[b"one\n", b"two two\n"]);
    world.run_json(0);
    let report = world.run(&["restore", "acme/site", "files", "--path", "1.bin", "--json"]).expect(0).json();
    assert_eq!(report["large_files"]["checked_out"], 1);
    assert_eq!(std::fs::read(world.folder.path().join("files/1.bin")).unwrap(), b"two two\n");
}

#[test]
fn what_is_not_there_is_named_and_everything_else_is_restored() {
    let world = World::new();
    let oids = with_large_files(&world, "acme/site", &[b"one\n", b"two two\n", b"three\n"]);
    std::fs::remove_file(of_origin(&world, "acme/site", &oids[0])).unwrap();
    world.run_json(1);
    let ended = world.run(&["restore", "acme/site", "site", "--checkout"]).expect(0);
    for part in ["large files: 2 restored", "never backed up", &oids[0], "1 file is a pointer", "0.bin"] {
        assert!(ended.stdout.contains(part), "{part}: {ended:#?}");
    }
    assert!(ended.stdout.contains("complete but for what was never backed up"), "{ended:#?}");
    world.run(&["restore", "acme/site", "never", "--strict"]).expect(1);
    assert!(!world.folder.path().join("never").exists());
    // What the store has lost itself is a failure.
    let path = content(&world, "acme/site", &oids[1]);
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, "two tw0\n").unwrap();
    let ended = world.run(&["restore", "acme/site", "other", "--checkout"]).expect(1);
    assert!(ended.stdout.contains(&oids[1]) && ended.stdout.contains("--repair"), "{ended:#?}");
    assert!(ended.stdout.contains("incomplete: ") && !ended.stdout.contains("nothing missing"), "{ended:#?}");
    world.run(&["restore", "acme/site", "strict", "--strict"]).expect(1);
    assert!(!world.folder.path().join("strict").exists());
}

#[test]
fn they_can_be_left_out() {
    let world = World::new();
    with_large_files(&world, "acme/site", &[b"one\n"]);
    world.run_json(0);
    let text = world.run(&["restore", "acme/site", "site", "--checkout", "--without-large-files"]).expect(0).stdout;
    assert!(text.contains("large files: left out"), "{text}");
    assert!(!world.folder.path().join("site/.git/lfs").exists());
}

/// Sends the newest state of a repository to a new one.
fn push(world: &World, to: &str, more: &[&str]) -> crate::world::Ended {
    let url = format!("{}/{to}.git", world.sandbox.url());
    let arguments = [&["restore", "acme/site", "--push", &url], more].concat();
    finish(world.ghbk(&arguments).env("GHBK_PUSH_TOKEN", world.sandbox.token()))
}

fn new_repository(world: &World, name: &str) -> ghbk_sandbox::RepositoryEditor {
    let path = world.sandbox.repositories().join(format!("{name}.git"));
    let editor = ghbk_sandbox::RepositoryEditor::create(path).unwrap();
    editor.set("pushable", "true").unwrap();
    editor
}

#[test]
fn a_new_repository_gets_the_contents_before_the_refs() {
    let (world, judge) = (World::new(), GitLfs::new());
    with_large_files(&world, "acme/site", &[b"one\n", b"two two\n"]);
    world.run_json(0);
    let new = new_repository(&world, "acme/new");
    world.sandbox.clear_requests();
    let ended = push(&world, "acme/new", &[]).expect(0);
    assert!(ended.stdout.contains("and 2 large files to"), "{ended:#?}");
    let order: Vec<String> = world.sandbox.requests().iter().map(|it| format!("{} {}", it.method, it.path)).collect();
    let position =
        |what: &str| order.iter().rposition(|it| it.starts_with(what)).unwrap_or_else(|| panic!("{order:?}"));
    assert!(position("PUT /media/") < position("POST /acme/new.git/git-receive-pack"), "{order:?}");
    judge.git(new.path(), &["lfs", "fsck", "--objects", "--dry-run"]);
    assert_eq!(files_below(&new.path().join("lfs/objects")).len(), 2);
    assert!(git_output(new.path(), &["rev-parse", "refs/heads/main"]).status.success());
}

#[test]
fn a_server_without_lfs_is_told() {
    let world = World::new();
    with_large_files(&world, "acme/site", &[b"one\n"]);
    world.run_json(0);
    new_repository(&world, "acme/new");
    world.sandbox.fault(Fault::on("/acme/new.git/info/lfs/objects/batch").status(404));
    let ended = push(&world, "acme/new", &[]).expect(1);
    assert!(ended.stdout.contains("has no Git LFS"), "{ended:#?}");
}

#[test]
fn refs_that_need_what_is_lost_are_named_when_they_are_refused() {
    let world = World::new();
    let editor = world.add("acme/site");
    let lost = editor.large_file("broken", "a.bin", b"lost\n").unwrap();
    std::fs::remove_file(of_origin(&world, "acme/site", &lost)).unwrap();
    world.run_json(1);
    new_repository(&world, "acme/new");
    world.sandbox.fault(Fault::on("/acme/new.git/git-receive-pack").status(403).body("GH008: unknown Git LFS objects"));
    let ended = push(&world, "acme/new", &[]).expect(3);
    assert!(ended.stderr.contains("belong to refs/heads/broken"), "{ended:#?}");
    assert!(!ended.stderr.contains("refs/heads/main"), "{ended:#?}");
    assert!(ended.stderr.contains("GH008"), "{ended:#?}");
}
