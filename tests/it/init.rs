//! `ghbk init`: a configuration that is written, checked and explained, and never at the cost of another.

use std::os::unix::fs::PermissionsExt;

use crate::world::{Ended, World, finish};

/// Runs it without the variables that would otherwise say everything.
fn init(world: &World, arguments: &[&str]) -> Ended {
    let mut command = world.ghbk(&["init", "--yes"]);
    command.args(arguments).env_remove("GHBK_GITHUB__OWNERS").env_remove("GHBK_STORE__ROOT");
    finish(&mut command)
}

#[test]
fn what_it_writes_is_checked_and_works_at_once() {
    let world = World::generated(2);
    let text = init(&world, &["--config", "ghbk.toml", "--owner", "acme", "--root", "mirrors"]).expect(0).stdout;
    assert!(text.starts_with("wrote ") && text.contains("ok       configuration"), "{text}");
    assert!(
        text.contains("stays and backs up on the schedule\n") && text.ends_with("is silent if the backup is healthy\n"),
        "{text}"
    );
    let path = world.folder.path().join("ghbk.toml");
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o644);
    let written = std::fs::read_to_string(&path).unwrap();
    for line in
        ["owners = [\"acme\"]", "source = \"env\"", "cron = \"0 5 * * Sun\"", "timezone = \"UTC\"", "# notify ="]
    {
        assert!(written.contains(line), "{line}: {written}");
    }
    let mut command = world.ghbk(&["run", "--config", "ghbk.toml"]);
    finish(command.env_remove("GHBK_GITHUB__OWNERS").env_remove("GHBK_STORE__ROOT")).expect(0);
    assert!(world.folder.path().join("mirrors/acme/repository-001.git").is_dir());
}

#[test]
fn nothing_is_overwritten_and_what_is_missing_is_named() {
    let world = World::generated(1);
    let file = world.folder.path().join("ghbk.toml");
    std::fs::write(&file, "# mine\n").unwrap();
    let ended = init(&world, &["--config", "ghbk.toml", "--owner", "acme"]).expect(2);
    assert!(ended.stderr.contains("exists already"), "{ended:#?}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "# mine\n");
    std::fs::create_dir(world.folder.path().join("folder")).unwrap();
    let ended = init(&world, &["--config", "folder", "--owner", "acme"]).expect(2);
    assert!(ended.stderr.contains("cannot read"), "{ended:#?}");
    assert!(init(&world, &["--config", "new.toml"]).expect(2).stderr.contains("no owner is named"));
    let ended = init(&world, &["--config", "new.toml", "--owner", "a/b"]).expect(2);
    assert!(ended.stderr.contains("--owner"), "{ended:#?}");
    let ended = init(&world, &["--config", "new.toml", "--owner", "acme", "--schedule", "sundays"]).expect(2);
    assert!(ended.stderr.contains("is not a schedule"), "{ended:#?}");
    assert!(!world.folder.path().join("new.toml").exists());
    // The file that a package left is what it is for.
    std::fs::write(&file, ghbk::config::template::pristine()).unwrap();
    init(&world, &["--config", "ghbk.toml", "--owner", "acme", "--root", "mirrors", "--no-check"]).expect(0);
    assert!(std::fs::read_to_string(&file).unwrap().contains("owners = [\"acme\"]"));
}

#[test]
fn scripts_and_silence_get_what_they_ask_for() {
    let world = World::generated(1);
    let arguments = ["--owner", "acme", "--root", "mirrors", "--slack", "never"];
    let json = init(&world, &[&["--json", "--config", "a.toml"], arguments.as_slice()].concat()).expect(0).json();
    assert!(json.as_array().is_some_and(|findings| findings.len() > 5), "{json:#}");
    let ended = init(&world, &[&["-q", "--config", "b.toml"], arguments.as_slice()].concat()).expect(0);
    assert_eq!((ended.stdout.as_str(), ended.stderr.as_str()), ("", ""));
    // What does not work yet is said, and the file is there to be corrected.
    let mut command = world.ghbk(&["init", "--yes", "--config", "c.toml", "--owner", "acme", "--root", "mirrors"]);
    command.env("GITHUB_TOKEN", "ghp_wrong").env_remove("GHBK_GITHUB__OWNERS").env_remove("GHBK_STORE__ROOT");
    let ended = finish(&mut command).expect(3);
    assert!(ended.stdout.contains("next: fix what failed above"), "{ended:#?}");
    assert!(world.folder.path().join("c.toml").exists());
}
