//! What people meet: help, man page, completions, errors, exit statuses.

use crate::world::{World, finish};

#[test]
fn help_teaches() {
    let world = World::new();
    for verb in ["", "run", "daemon", "list", "status", "adopt", "forget", "accept", "check", "completions", "man"] {
        let mut arguments: Vec<&str> = verb.split_whitespace().collect();
        arguments.push("--help");
        let ended = finish(world.ghbk(&arguments).env("COLUMNS", "100")).expect(0);
        assert!(ended.stdout.contains("Examples:"), "{verb}: {ended:#?}");
        insta::assert_snapshot!(format!("help_{verb}"), ended.stdout);
    }
}

#[test]
fn man_page_and_completions_come_from_the_same_definitions() {
    let world = World::new();
    let page = world.run(&["man"]).expect(0).stdout;
    for word in [".TH ghbk 1", "GHBK-RUN", "GHBK-STATUS", "Exit status"] {
        assert!(page.contains(word), "{word} is not in the manual page: {page}");
    }
    for shell in ["bash", "zsh", "fish"] {
        let script = world.run(&["completions", shell]).expect(0).stdout;
        assert!(script.contains("status") && script.contains("root"), "{shell}: {script}");
    }
}

#[test]
fn global_options_stand_before_or_after_the_verb() {
    let world = World::generated(1);
    let root = world.root.to_str().unwrap().to_owned();
    for arguments in [["--json", "--root", &root, "status"], ["status", "--json", "--root", &root]] {
        world.run(&arguments).expect(0).json();
    }
}

#[test]
fn bad_input_gets_one_clear_message() {
    let world = World::new();
    for (arguments, about) in [
        (vec!["run", "acme"], "OWNER/NAME"),
        (vec!["run", "acme/.."], "it stands for a folder"),
        (vec!["run", "https://github.com/acme/site"], "the address is on github.com"),
        (vec!["run", "--owner", "a/b"], "--owner"),
        (vec!["rnu"], "rnu"),
        (vec!["status", "--config", "/nowhere.toml"], "/nowhere.toml"),
        (vec![], "Usage"),
    ] {
        let ended = world.run(&arguments).expect(2);
        assert!(ended.stderr.contains(about), "{arguments:?}: {ended:#?}");
        assert_eq!(ended.stdout, "");
    }
    assert_eq!(std::fs::read_dir(&world.root).unwrap().count(), 0, "bad input wrote to the store");
}

#[test]
fn without_owners_a_run_says_how_to_name_them() {
    let world = World::new();
    let ended = finish(world.ghbk(&["run"]).env_remove("GHBK_GITHUB__OWNERS")).expect(2);
    assert!(ended.stderr.contains("--owner NAME"), "{ended:#?}");
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let world = World::generated(50);
    let script = "\"$0\" list | head -1; exit ${PIPESTATUS[0]}";
    let ghbk = world.ghbk(&[]);
    let mut command = std::process::Command::new("bash");
    command.args(["-c", script, env!("CARGO_BIN_EXE_ghbk")]).env_clear();
    for (name, value) in ghbk.get_envs() {
        if let Some(value) = value {
            command.env(name, value);
        }
    }
    crate::world::finish(&mut command).expect(0);
}
