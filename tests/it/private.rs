//! What ghbk writes is its owner's alone, whatever the umask.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::tolerance::{oid_bytes, raw};
use crate::world::{Ended, World, finish, git};

/// Runs a command as a person with this umask would.
fn with_umask(world: &World, umask: &str, arguments: &[&str], settings: &[(&str, &str)]) -> Ended {
    let ghbk = world.ghbk(arguments);
    let mut command = Command::new("sh");
    command.args(["-c", &format!("umask {umask}; exec \"$@\""), "sh"]).arg(ghbk.get_program()).args(ghbk.get_args());
    command.env_clear().current_dir(world.folder.path());
    for (name, value) in ghbk.get_envs() {
        if let Some(value) = value {
            command.env(name, value);
        }
    }
    command.envs(settings.iter().copied());
    finish(&mut command)
}

/// Everything at or below a path that others may read, write or enter.
fn open_to_others(path: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut waiting = vec![path.to_owned()];
    while let Some(path) = waiting.pop() {
        let there = std::fs::symlink_metadata(&path).unwrap();
        if !there.is_symlink() && there.permissions().mode() & 0o077 != 0 {
            found.push(path.clone());
        }
        if there.is_dir() {
            waiting.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
    }
    found
}

#[test]
fn stores_and_restores_are_private_whatever_the_umask() {
    for umask in ["0000", "0022"] {
        let world = World::new();
        let site = world.add("acme/site");
        let root = world.folder.path().join("made/by/hand");
        let root = root.to_str().unwrap();
        with_umask(&world, umask, &["run", "--root", root], &[]).expect(0);
        site.commit("main", "more", "1").unwrap();
        let origin = world.sandbox.repositories().join("acme/site.git");
        let blob = raw(&origin, "blob", b"#!/bin/sh\n");
        let tree = raw(&origin, "tree", &[b"100755 tool\0".to_vec(), oid_bytes(&blob)].concat());
        let commit = raw(
            &origin,
            "commit",
            format!("tree {tree}\nauthor a <a> 1 +0000\ncommitter a <a> 1 +0000\n\nm\n").as_bytes(),
        );
        site.set_ref("refs/heads/tools", &commit).unwrap();
        with_umask(&world, umask, &["run", "--root", root], &[]).expect(0);
        assert_eq!(open_to_others(Path::new(root)), Vec::<PathBuf>::new(), "{umask}");
        let tools = ["--branch", "tools"];
        for (label, options) in [
            ("bare", &[][..]),
            ("tree", &["--checkout"]),
            ("tools", &[&["--checkout"], &tools[..]].concat()),
            ("files", &[&["--path", "tool"], &tools[..]].concat()),
        ] {
            let destination = world.folder.path().join(label);
            let arguments =
                [&["restore", "--root", root, "acme/site", destination.to_str().unwrap()], options].concat();
            with_umask(&world, umask, &arguments, &[]).expect(0);
            assert_eq!(open_to_others(&destination), Vec::<PathBuf>::new(), "{umask} {label}");
        }
        for label in ["tools", "files"] {
            let tool = std::fs::metadata(world.folder.path().join(label).join("tool")).unwrap();
            assert_eq!(tool.permissions().mode() & 0o777, 0o700, "its owner may still execute it: {umask} {label}");
        }
        let mirror = Path::new(root).join("acme/site.git");
        git(&mirror, &["fsck", "--full"]);
        let clone = world.folder.path().join("clone.git");
        git(&mirror, &["clone", "--quiet", "--mirror", mirror.to_str().unwrap(), clone.to_str().unwrap()]);
        assert_eq!(git(&clone, &["rev-parse", "tools"]).trim(), commit);
    }
}

#[test]
fn a_person_may_open_the_store_to_others_and_check_says_that_it_is_open() {
    let world = World::new();
    world.add("acme/site");
    let root = world.folder.path().join("open");
    let root = root.to_str().unwrap();
    let settings = [("GHBK_STORE__MODE", "umask")];
    with_umask(&world, "0022", &["run", "--root", root], &settings).expect(0);
    assert!(open_to_others(Path::new(root)).len() > 5);
    let checked = with_umask(&world, "0022", &["check", "--root", root], &[]).expect(0);
    assert!(
        checked.stdout.contains("other users may read it") && checked.stdout.contains("chmod -R go="),
        "{checked:#?}"
    );
    let checked = with_umask(&world, "0022", &["check", "--root", root], &settings).expect(0);
    assert!(!checked.stdout.contains("other users"), "{checked:#?}");
}
