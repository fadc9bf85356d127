//! What people meet: help, man page, completions, errors, exit statuses.

use crate::world::{World, finish};

#[test]
fn help_teaches() {
    let world = World::new();
    let overview = world.run(&["help"]).expect(0).stdout;
    assert!(overview.lines().count() <= 24 && overview.lines().all(|line| line.chars().count() <= 80), "{overview}");
    insta::assert_snapshot!("help", overview);
    assert_eq!(world.run(&["--help"]).expect(0).stdout, overview);
    assert_eq!(world.run(&["-h"]).expect(0).stdout, overview);
    for verb in ghbk::cli::command().get_subcommands().map(|verb| verb.get_name().to_owned()) {
        if verb == "version" {
            continue;
        }
        for columns in ["40", "80", "140"] {
            let ended = finish(world.ghbk(&[&verb, "--help"]).env("COLUMNS", columns)).expect(0);
            assert!(ended.stdout.contains("Examples:"), "{verb}: {ended:#?}");
            if columns == "80" {
                insta::assert_snapshot!(format!("help_{verb}"), ended.stdout);
            }
        }
    }
}

#[test]
fn what_people_type_who_know_another_tool_is_answered() {
    let world = World::generated(1);
    assert!(world.run(&["repair"]).expect(2).stderr.contains("`ghbk run --repair` fetches damaged mirrors anew"));
    assert!(world.run(&["prune"]).expect(2).stderr.contains("nothing is removed"));
    assert_eq!(world.run(&["version"]).expect(0).stdout, world.run(&["--version"]).expect(0).stdout);
    let listed = world.run(&["list"]).expect(0).stdout;
    assert_eq!(world.run(&["ls"]).expect(0).stdout, listed);
    assert_eq!(world.run(&["run", "--dry-run"]).expect(0).stdout, listed);
    assert_eq!(std::fs::read_dir(&world.root).unwrap().count(), 0, "a dry run wrote to the store");
    let ended = world.run(&["run", "acme"]).expect(2);
    assert!(ended.stderr.contains("for everything that acme has: --owner acme"), "{ended:#?}");
    let ended = world.run(&["status", "--max-age", "8"]).expect(2);
    assert!(ended.stderr.contains("write it with its unit, as in 8d"), "{ended:#?}");
}

#[test]
fn manual_pages_come_from_the_same_definitions() {
    let world = World::new();
    world.run(&["man", "--out", "pages"]).expect(0);
    let folder = world.folder.path().join("pages");
    let mut names: Vec<String> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    let page = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    for verb in ghbk::cli::command().get_subcommands().map(|verb| verb.get_name().to_owned()) {
        if !matches!(verb.as_str(), "help" | "version") {
            let text = page(&format!("ghbk-{verb}.1"));
            for section in ["NAME", "SYNOPSIS", "EXIT STATUS", "EXAMPLES", "SEE ALSO"] {
                assert!(
                    text.contains(&format!(".SH {section}")) || text.contains(&format!(".SH \"{section}\"")),
                    "{verb}: {section}: {text}"
                );
            }
        }
    }
    let main = world.run(&["man"]).expect(0).stdout;
    assert_eq!(main, page("ghbk.1"));
    for words in
        ["ENVIRONMENT", "FILES", "GITHUB_TOKEN", "/etc/ghbk/config.toml", "ghbk\\-restore(1)", "GLOBAL OPTIONS"]
    {
        assert!(main.contains(words), "{words}: {main}");
    }
    let config = world.run(&["man", "config"]).expect(0).stdout;
    for words in ["ghbk.toml", "repository_timeout", "rate_limit_wait", "allow_short_listing"] {
        assert!(config.contains(words), "{words}: {config}");
    }
    assert!(world.run(&["man", "restor"]).expect(2).stderr.contains("did you mean `ghbk man restore`?"));
    // What troff would complain about.
    if std::process::Command::new("groff").arg("--version").output().is_ok() {
        for name in names {
            let command = std::process::Command::new("groff")
                .args(["-man", "-Kutf8", "-Tutf8", "-ww", "-z"])
                .arg(folder.join(&name))
                .output()
                .unwrap();
            assert_eq!(String::from_utf8_lossy(&command.stderr), "", "{name}");
        }
    }
}

#[test]
fn completions_offer_commands_first_and_what_the_store_has() {
    let world = World::generated(3);
    world.run(&["run"]).expect(0);
    for shell in ["bash", "zsh", "fish"] {
        let script = world.run(&["completions", shell]).expect(0).stdout;
        assert!(script.contains("GHBK_COMPLETE") && script.contains("ghbk"), "{shell}: {script}");
    }
    // As the script of bash asks.
    let offered = |words: &[&str]| -> Vec<String> {
        let mut command = world.ghbk(&["--"]);
        let index = words.len() - 1;
        command
            .args(words)
            .env("GHBK_COMPLETE", "bash")
            .env("_CLAP_COMPLETE_INDEX", index.to_string())
            .env("_CLAP_IFS", "\n");
        finish(&mut command).expect(0).stdout.lines().map(str::to_owned).collect()
    };
    let commands = offered(&["ghbk", ""]);
    assert_eq!(commands.first().map(String::as_str), Some("run"), "{commands:?}");
    assert!(commands.contains(&"restore".to_owned()) && !commands.contains(&"report-failure".to_owned()));
    let names = offered(&["ghbk", "snapshots", "acme/"]);
    assert_eq!(names, ["acme/repository-001", "acme/repository-002", "acme/repository-003"]);
    assert_eq!(offered(&["ghbk", "restore", "ACME/repository-002"]), ["acme/repository-002"]);
    let runs = offered(&["ghbk", "restore", "acme/repository-001", "x", "--run", ""]);
    assert_eq!((runs.len(), runs[0].as_str()), (2, "latest"), "{runs:?}");
    // Wherever the store is named, and silently if there is none.
    assert_eq!(offered(&["ghbk", "--root", "/nowhere", "snapshots", "acme/"]), Vec::<String>::new());
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

#[test]
fn an_option_that_would_be_ignored_is_refused() {
    let world = World::generated(1);
    world.run(&["run"]).expect(0);
    for command in [&["verify"][..], &["status"], &["restore", "--all", "x"], &["snapshots", "acme/repository-001"]] {
        let ended = world.run(&[command, &["--owner", "nobody"]].concat()).expect(2);
        assert!(ended.stderr.contains("--owner says what is backed up"), "{command:?}: {ended:#?}");
    }
    assert!(!world.folder.path().join("x").exists());
}

/// Regression: a path that was one level too deep started a second store in the middle of the first, and was green.
#[test]
fn no_store_is_started_inside_of_another_or_in_a_repository() {
    let world = World::generated(1);
    world.run(&["run"]).expect(0);
    let inside = world.root.join("acme");
    for (root, what) in [(inside.clone(), "the store"), (inside.join("repository-001.git"), "the git repository")] {
        let ended = world.run(&["run", "--root", root.to_str().unwrap()]).expect(2);
        assert!(ended.stderr.contains(&format!("lies in {what} ")), "{ended:#?}");
        assert!(!root.join(".ghbk").exists());
    }
}
