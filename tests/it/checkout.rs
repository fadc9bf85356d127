//! Files that come back: a working tree as `git checkout` makes it, and single paths.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::Permissions;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::tolerance::{oid_bytes, raw};
use crate::world::{World, flip_in_the_middle, git_output, noise};

/// Runs git in a working tree, with no configuration but the repository's own.
fn in_tree(tree: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new("git");
    command.arg("-C").arg(tree).args(arguments).env("GIT_CONFIG_GLOBAL", "/dev/null");
    let who = ["GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL"];
    let output = command.envs(who.map(|name| (name, "a@example.com"))).output().unwrap();
    assert!(output.status.success(), "git {arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Clones a repository of the sandbox with git.
fn clone(world: &World, label: &str) -> PathBuf {
    let tree = world.folder.path().join(label);
    let origin = world.sandbox.repositories().join("acme/site.git");
    in_tree(world.folder.path(), &["clone", "--quiet", origin.to_str().unwrap(), tree.to_str().unwrap()]);
    tree
}

/// Everything below a folder but `.git`: kind, whether the owner may execute it, and content.
fn contents(folder: &Path) -> BTreeMap<PathBuf, (char, bool, Vec<u8>)> {
    let mut found = BTreeMap::new();
    let mut waiting = vec![folder.to_owned()];
    while let Some(at) = waiting.pop() {
        for entry in std::fs::read_dir(&at).unwrap() {
            let path = entry.unwrap().path();
            if path == folder.join(".git") {
                continue;
            }
            let metadata = path.symlink_metadata().unwrap();
            let what = if metadata.is_symlink() {
                ('l', false, std::fs::read_link(&path).unwrap().as_os_str().as_bytes().to_vec())
            } else if metadata.is_dir() {
                waiting.push(path.clone());
                ('d', false, Vec::new())
            } else {
                ('f', metadata.mode() & 0o100 != 0, std::fs::read(&path).unwrap())
            };
            found.insert(path.strip_prefix(folder).unwrap().to_owned(), what);
        }
    }
    found
}

/// A repository with what a checkout may treat in a way of its own.
fn with_an_odd_tree(world: &World) {
    world.add("acme/site");
    let tree = clone(world, "work");
    let write = |name: &str, content: &[u8]| {
        let path = tree.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    };
    let attributes = "*.crlf text eol=crlf\n*.auto text=auto\n*.bin -text\n*.id ident\n*.u16 text working-tree-encoding=UTF-16LE\n\
        *.lfs filter=lfs diff=lfs merge=lfs -text\n*.out export-ignore\n*.sub export-subst\n";
    write(".gitattributes", attributes.as_bytes());
    write("deep/.gitattributes", b"*.crlf -text\n*.deep eol=crlf text\n");
    in_tree(&tree, &["add", "."]);
    for (name, content) in [
        ("a.crlf", &b"one\ntwo\n"[..]),
        ("b.auto", b"one\ntwo\n"),
        ("c.bin", b"one\r\ntwo\0\n"),
        ("d.id", b"$Id$ of this\n"),
        ("f.lfs", b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n"),
        ("g.out", b"out\n"),
        ("h.sub", b"$Format:%H$\n"),
        ("deep/i.crlf", b"one\ntwo\n"),
        ("deep/j.deep", b"one\ntwo\n"),
        ("deep/er/and/deeper/k", b"k\n"),
        ("tool.sh", b"#!/bin/sh\n"),
        ("with space ", b"s\n"),
        ("z\u{fc}rich-\u{1f98a}", b"u\n"),
        ("new\nline", b"n\n"),
        ("-dash", b"d\n"),
        ("Case", b"1\n"),
        ("case", b"2\n"),
        ("aux", b"reserved elsewhere\n"),
        ("back\\slash", b"b\n"),
        ("empty", b""),
        (".gitignore", b"ignored\n"),
        ("ignored", b"tracked all the same\n"),
    ] {
        write(name, content);
    }
    let u16: Vec<u8> = "zw\u{f6}lf\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    write("e.u16", &u16);
    write("large.bin", noise(5, 300_000).as_bytes());
    std::fs::set_permissions(tree.join("tool.sh"), Permissions::from_mode(0o755)).unwrap();
    symlink("deep/er", tree.join("link")).unwrap();
    symlink("/nowhere/at/all", tree.join("dangling")).unwrap();
    std::fs::write(tree.join("latin"), "x").unwrap();
    let latin = OsStr::from_bytes(b"caf\xe9");
    std::fs::rename(tree.join("latin"), tree.join(latin)).unwrap();
    in_tree(&tree, &["add", "--force", "."]);
    let submodule = "160000,1111111111111111111111111111111111111111,sub/module";
    in_tree(&tree, &["update-index", "--add", "--cacheinfo", submodule]);
    in_tree(&tree, &["commit", "--quiet", "-m", "odd"]);
    in_tree(&tree, &["push", "--quiet", "origin", "HEAD:main"]);
}

fn restore(world: &World, label: &str, options: &[&str]) -> (PathBuf, crate::world::Ended) {
    let destination = world.folder.path().join(label);
    let arguments = [&["restore", "acme/site", destination.to_str().unwrap()], options].concat();
    let ended = world.run(&arguments);
    (destination, ended)
}

#[test]
fn a_checkout_is_what_git_checks_out_or_names_what_is_not() {
    let world = World::new();
    with_an_odd_tree(&world);
    world.run_json(0);
    let (restored, ended) = restore(&world, "restored", &["--checkout"]);
    let ended = ended.expect(0);
    assert!(ended.stdout.contains("git would write 1 file in another encoding"), "{}", ended.stdout);
    assert!(ended.stdout.contains("\n  - e.u16\n"), "{}", ended.stdout);
    let (mut ours, mut theirs) = (contents(&restored), contents(&clone(&world, "theirs")));
    assert!(theirs.len() > 25);
    assert_ne!(ours.remove(Path::new("e.u16")), theirs.remove(Path::new("e.u16")));
    assert_eq!(ours.keys().collect::<Vec<_>>(), theirs.keys().collect::<Vec<_>>());
    for (path, ours) in &ours {
        assert_eq!(ours, &theirs[path], "{}", path.display());
    }
    assert_eq!(in_tree(&restored, &["status", "--porcelain"]), "");

    // The hint leads to what git gives.
    std::fs::remove_file(restored.join("e.u16")).unwrap();
    in_tree(&restored, &["checkout", "--", "."]);
    assert_eq!(contents(&restored), contents(&clone(&world, "after")));
}

#[test]
fn single_files_and_folders_come_back_as_they_were() {
    let world = World::new();
    with_an_odd_tree(&world);
    world.run_json(0);
    let origin = world.sandbox.repositories().join("acme/site.git");
    let editor = world.sandbox.edit("acme/site");
    editor.commit("other", "deep/er/only-here", "other\n").unwrap();
    world.run_json(0);

    let (files, ended) = restore(&world, "some", &["--path", "deep", "--path", "./tool.sh", "--path", "deep/er"]);
    let ended = ended.expect(0);
    assert!(ended.stdout.contains("complete: 5 files, each checked against its id"), "{}", ended.stdout);
    let found = contents(&files);
    assert_eq!(found.values().filter(|(kind, ..)| *kind == 'f').count(), 5, "{found:#?}");
    assert_eq!(found[Path::new("tool.sh")], ('f', true, b"#!/bin/sh\n".to_vec()));
    assert_eq!(found[Path::new("deep/j.deep")].2, b"one\ntwo\n", "as git stores it");
    assert!(!files.join(".git").exists());

    // All of it is what `git archive` would take, with the attributes left aside.
    let (all, ended) = restore(&world, "all", &["--path", "."]);
    let ended = ended.expect(0);
    assert!(ended.stdout.contains("empty folders:\n  - sub/module\n"), "{}", ended.stdout);
    let all = contents(&all);
    let listed = git_output(&origin, &["ls-tree", "-r", "-z", "main"]).stdout;
    for line in listed.split(|byte| *byte == 0).filter(|line| !line.is_empty()) {
        let tab = line.iter().position(|byte| *byte == b'\t').unwrap();
        let about: Vec<&str> = std::str::from_utf8(&line[..tab]).unwrap().split(' ').collect();
        let name = Path::new(OsStr::from_bytes(&line[tab + 1..]));
        let (kind, is_executable, content) = &all[name];
        let expected = match about[0] {
            "100644" => ('f', false),
            "100755" => ('f', true),
            "120000" => ('l', false),
            "160000" => ('d', false),
            mode => panic!("{mode}"),
        };
        assert_eq!((*kind, *is_executable), expected, "{}", name.display());
        if about[1] == "blob" {
            let output = git_output(&origin, &["cat-file", "blob", about[2]]);
            assert!(output.stdout == *content, "{}", name.display());
        }
    }

    let (other, ended) = restore(&world, "other", &["--branch", "other", "--path", "deep/er/only-here", "--json"]);
    let json = ended.expect(0).json();
    assert_eq!(json["files"]["files"], 1);
    assert_eq!(std::fs::read_to_string(other.join("deep/er/only-here")).unwrap(), "other\n");

    for (options, code, words) in [
        (&["--path", "deep/er/only-here"][..], 2, "there is no deep/er/only-here"),
        (&["--path", "deep/er/only-here"], 2, "hint: deep/er has and"),
        (&["--path", "tool.sh/x"], 2, "its root has -dash, .gitattributes"),
        (&["--path", "../x"], 2, "it leads out of the repository"),
        (&["--path", "deep", "--checkout"], 2, "cannot be used with"),
        (&["--path", "deep", "--branch", "main", "--branch", "other"], 2, "files of one --branch"),
    ] {
        let (refused, ended) = restore(&world, "refused", options);
        let ended = ended.expect(code);
        assert!(ended.stderr.contains(words), "{options:?}: {}", ended.stderr);
        assert!(!refused.exists(), "{options:?}");
    }
}

/// Only what the paths need is read: a file that is lost takes none with it.
#[test]
fn a_lost_file_is_named_and_all_others_come_back() {
    let world = World::new();
    let site = world.add("acme/site");
    site.commit("main", "folder/kept.txt", "kept").unwrap();
    site.commit("main", "folder/lost.bin", &noise(7, 200_000)).unwrap();
    world.run_json(0);
    let mirror = world.mirror("acme/site");
    let pack = ghbk::git::pack::packs_in(&mirror.join("objects/pack")).unwrap().remove(0).pack;
    flip_in_the_middle(&pack);

    let (files, ended) = restore(&world, "folder", &["--path", "folder"]);
    let ended = ended.expect(1);
    assert!(
        ended.stdout.contains("incomplete: 1 file, each checked against its id, 1 not restored"),
        "{}",
        ended.stdout
    );
    assert!(ended.stdout.contains("not restored: folder/lost.bin ("), "{}", ended.stdout);
    assert_eq!(std::fs::read_to_string(files.join("folder/kept.txt")).unwrap(), "kept");
    assert!(!files.join("folder/lost.bin").exists());
    restore(&world, "kept", &["--path", "folder/kept.txt"]).1.expect(0);
    let (strict, ended) = restore(&world, "strict", &["--path", "folder", "--strict"]);
    assert!(ended.expect(1).stderr.contains("is not restored: folder/lost.bin cannot be read"));
    assert!(!strict.exists());
}

/// A tree is a stranger's text: it may hold names that lead out, and one name twice.
#[test]
fn a_hostile_tree_writes_nothing_outside_of_the_destination() {
    let world = World::new();
    let editor = world.add("acme/site");
    let origin = world.sandbox.repositories().join("acme/site.git");
    let outside = world.folder.path().join("outside");
    std::fs::create_dir(&outside).unwrap();
    let blob = raw(&origin, "blob", b"text\n");
    let link = raw(&origin, "blob", outside.to_str().unwrap().as_bytes());
    let nul = raw(&origin, "blob", b"a\0b");
    let entry = |mode: &str, name: &str, oid: &str| [format!("{mode} {name}\0").into_bytes(), oid_bytes(oid)].concat();
    let inner = raw(&origin, "tree", &entry("100644", "planted", &blob));
    let other = raw(&origin, "tree", &entry("100644", "other", &blob));
    let mut deep = inner.clone();
    // Longer than a path may be, and still no deeper than git's server sends.
    for _ in 0..1900 {
        deep = raw(&origin, "tree", &entry("40000", "dd", &deep));
    }
    let tree = [
        entry("40000", ".GIT", &inner),
        entry("40000", "..", &inner),
        entry("100644", "../outside/planted", &blob),
        entry("120000", "door", &link),
        entry("40000", "door", &inner),
        entry("100644", "door", &blob),
        entry("40000", "deep", &deep),
        entry("100644", "good", &blob),
        entry("100644", &"n".repeat(300), &blob),
        entry("120000", "nul", &nul),
        entry("100644", "tree-as-file", &other),
    ];
    let tree = raw(&origin, "tree", &tree.concat());
    let commit = format!("tree {tree}\nauthor a <a> 1 +0000\ncommitter a <a> 1 +0000\n\nm\n");
    let hostile = raw(&origin, "commit", commit.as_bytes());
    editor.set_ref("refs/heads/hostile", &hostile).unwrap();
    world.run_json(0);
    let (files, ended) = restore(&world, "hostile", &["--branch", "hostile", "--path", "."]);
    let ended = ended.expect(1);
    assert!(std::fs::read_dir(&outside).unwrap().next().is_none(), "{}", ended.stdout);
    assert_eq!(std::fs::read_to_string(files.join("good")).unwrap(), "text\n");
    assert_eq!(std::fs::read_link(files.join("door")).unwrap(), outside);
    let names: Vec<_> = std::fs::read_dir(&files).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names.len(), 3, "{names:?}");
    for lost in [".GIT", "..", "../outside/planted", "door", "nul", "tree-as-file", "deep/dd/dd/"] {
        assert!(ended.stdout.contains(&format!("not restored: {lost}")), "{lost}: {}", ended.stdout);
    }
}
