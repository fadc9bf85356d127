//! Git's tolerance: what git stores and reads, ghbk backs up, restores and sends, however odd its text.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::push::new_repository;
use crate::world::{World, finish, git, git_output};

/// Author and committer of commits that libgit2 refuses to read, all found in public bug reports.
const FORMS: [(&str, &str); 9] = [
    ("newline", "author A <a@example.com\n> 1334833756 -0700\ncommitter A <a@example.com\n> 1334833756 -0700\n"),
    ("no-email", "author A 1395382322 +0000\ncommitter A 1395382322 +0000\n"),
    ("no-bracket", "author A a@example.com> 1395382322 +0000\ncommitter A a@example.com> 1395382322 +0000\n"),
    ("bracket", "author A<a <A<a@b.c>> 1282910542 +0200\ncommitter A<a <A<a@b.c>> 1282910542 +0200\n"),
    ("no-date", "author A <a@example.com>\ncommitter A <a@example.com>\n"),
    ("zone", "author A <a@example.com> 1 +9999999\ncommitter A <a@example.com> 1 +9999999\n"),
    ("huge", "author A <a@b.c> 18446744073709551614 +0000\ncommitter A <a@b.c> 18446744073709551614 +0000\n"),
    ("no-author", "committer A <a@example.com> 1 +0000\n"),
    ("two-authors", "author A <a@b.c> 1 +0000\nauthor B <a@b.c> 2 +0500\ncommitter A <a@b.c> 3 +0000\n"),
];

/// Stores any bytes as an object.
pub(crate) fn raw(repository: &Path, kind: &str, data: &[u8]) -> String {
    let mut command = Command::new("git");
    command.arg("--git-dir").arg(repository).args(["hash-object", "--literally", "-w", "--stdin", "-t", kind]);
    let mut hash = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    hash.stdin.take().unwrap().write_all(data).unwrap();
    let output = hash.wait_with_output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// An object's id as a tree holds it.
pub(crate) fn oid_bytes(oid: &str) -> Vec<u8> {
    (0..20).map(|at| u8::from_str_radix(&oid[2 * at..2 * at + 2], 16).unwrap()).collect()
}

/// A repository for each form, with such a commit in the middle of its history and at the tip of a branch.
fn with_malformed_commits(world: &World) {
    for (name, lines) in FORMS {
        let editor = world.add(&format!("acme/{name}"));
        let origin = world.sandbox.repositories().join(format!("acme/{name}.git"));
        let (tip, tree) = (editor.rev_parse("main").unwrap(), editor.rev_parse("main^{tree}").unwrap());
        let odd = raw(&origin, "commit", format!("tree {tree}\nparent {tip}\n{lines}\nodd\n").as_bytes());
        editor.set_ref("refs/heads/main", &odd).unwrap();
        editor.set_ref("refs/heads/odd", &odd).unwrap();
        editor.commit("main", "after", "1").unwrap();
        editor.set_ref("refs/heads/feature", &odd).unwrap();
        editor.commit("feature", "feature", "1").unwrap();
        editor.set_ref("refs/heads/other", "refs/heads/main").unwrap();
        editor.commit("other", "other", "1").unwrap();
    }
}

/// Seen in a trial: once a branch was deleted, such a repository failed in every run, and nothing of it was backed up any more.
#[test]
fn commits_that_only_git_can_read_break_nothing() {
    let world = World::new();
    with_malformed_commits(&world);
    let run = |what: &str| {
        let mut command = world.ghbk(&["run", "--json"]);
        let ended = finish(command.env("GHBK_STORE__PACKS_MAX", "4"));
        assert_eq!(ended.code, Some(0), "{what}: {ended:#?}");
    };
    let each = |change: &dyn Fn(&ghbk_sandbox::RepositoryEditor)| {
        for (name, _) in FORMS {
            change(&world.sandbox.edit(&format!("acme/{name}")));
        }
    };
    run("first mirror");
    let dropped: Vec<String> = FORMS
        .iter()
        .map(|(name, _)| world.sandbox.edit(&format!("acme/{name}")).rev_parse("feature").unwrap())
        .collect();
    each(&|site| drop(site.commit("main", "forward", "2").unwrap()));
    run("forward");
    each(&|site| site.delete_ref("refs/heads/feature").unwrap());
    run("a branch deleted");
    each(&|site| {
        let older = site.rev_parse("main~1").unwrap();
        site.set_ref("refs/heads/other", &older).unwrap();
    });
    run("a branch forced back");
    for number in 0..3 {
        each(&|site| drop(site.commit("main", "again", &number.to_string()).unwrap()));
        run("packs merged");
    }
    for ((name, _), dropped) in FORMS.iter().zip(&dropped) {
        let mirror = world.mirror(&format!("acme/{name}"));
        let tips = git(&mirror, &["for-each-ref", "--format=%(objectname)"]);
        assert!(tips.contains(dropped), "{name}: the deleted branch's tip is kept");
        git(&mirror, &["rev-list", "--objects", "--all"]);
    }
    world.run(&["verify", "--deep"]).expect(0);
    world.run(&["run", "--repair", "acme/newline", "acme/huge"]).expect(0);
    world.run(&["verify", "--deep"]).expect(0);
}

#[test]
fn commits_that_only_git_can_read_come_back() {
    let world = World::new();
    with_malformed_commits(&world);
    for (name, _) in FORMS {
        world.sandbox.edit(&format!("acme/{name}")).set_default_branch("odd").unwrap();
    }
    world.run_json(0);
    for (name, _) in FORMS {
        let tree = world.folder.path().join(format!("tree-{name}"));
        let ended = world.run(&["restore", &format!("acme/{name}"), tree.to_str().unwrap(), "--checkout"]).expect(0);
        assert!(ended.stdout.contains("complete: "), "{ended:#?}");
        assert_eq!(std::fs::read_to_string(tree.join("README.md")).unwrap(), format!("acme/{name}"));
        let status = git_output(&tree.join(".git"), &["--work-tree", tree.to_str().unwrap(), "status", "--porcelain"]);
        assert!(status.status.success() && status.stdout.is_empty(), "{name}: {status:?}");
        let new = world.sandbox.repositories().join(format!("acme/new-{name}.git"));
        let url = new_repository(&world, &format!("new-{name}"));
        let mut command = world.ghbk(&["restore", &format!("acme/{name}"), "--push", &url]);
        finish(command.env("GHBK_PUSH_TOKEN", world.sandbox.token())).expect(0);
        let origin = world.sandbox.repositories().join(format!("acme/{name}.git"));
        assert_eq!(git(&new, &["rev-parse", "odd", "main"]), git(&origin, &["rev-parse", "odd", "main"]));
    }
}

/// Trees with modes and order that git no longer writes.
#[test]
fn odd_trees_are_mirrored_updated_and_restored() {
    let world = World::new();
    let editor = world.add("acme/site");
    let origin = world.sandbox.repositories().join("acme/site.git");
    let blob = raw(&origin, "blob", b"text\n");
    let bytes = oid_bytes(&blob);
    let entry = |mode: &str, name: &str| [format!("{mode} {name}\0").into_bytes(), bytes.clone()].concat();
    let tree = raw(&origin, "tree", &[entry("0100644", "zero"), entry("100664", "group")].concat());
    let commit = format!("tree {tree}\nauthor a <a> 1 +0000\ncommitter a <a> 1 +0000\n\nm\n");
    let odd = raw(&origin, "commit", commit.as_bytes());
    editor.set_ref("refs/heads/odd", &odd).unwrap();
    editor.set_default_branch("odd").unwrap();
    world.run_json(0);
    editor.delete_ref("refs/heads/main").unwrap();
    world.run_json(0);
    let destination = world.folder.path().join("restored");
    world.run(&["restore", "acme/site", destination.to_str().unwrap(), "--checkout"]).expect(0);
    for name in ["zero", "group"] {
        assert_eq!(std::fs::read_to_string(destination.join(name)).unwrap(), "text\n");
    }
}
