//! A hostile organisation, and a store in which somebody planted things.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use ghbk_sandbox::Fault;
use serde_json::json;

use crate::world::{World, files_below, finish, git};

#[test]
fn names_that_are_odd_but_allowed_are_mirrored() {
    let world = World::new();
    let long = "x".repeat(100);
    let names = ["a.b.c", "-dash", "_", "con", "nul", "aux.txt", "git", "HEAD", &long];
    let allowed: Vec<String> = names.iter().map(|name| format!("acme/{name}")).collect();
    for name in &allowed {
        world.add(name);
    }
    world.run_json(0);
    for name in &allowed {
        world.assert_mirrors(name);
    }
    assert_eq!(world.run_json(0)["counts"]["unchanged"], allowed.len());
    world.run(&["verify", "--deep"]).expect(0);
}

/// GitHub does not tell upper from lower case; a file system does.
#[test]
fn names_that_differ_only_in_case_cost_nobody_a_mirror() {
    let world = World::new();
    world.add("acme/site");
    world.run_json(0);
    let items = vec![json!({"id": 77, "name": "SITE", "full_name": "acme/SITE"})];
    world.sandbox.fault(Fault::on("/orgs/acme/repos").add_items(items));
    let before = files_below(&world.mirror("acme/site"));
    let summary = world.run_json(1);
    assert_eq!(summary["failures"][0]["repository"], "acme/SITE", "{summary:#}");
    assert_eq!(files_below(&world.mirror("acme/site")), before);
    world.sandbox.clear_faults();
    assert_eq!(world.run_json(0)["counts"]["unchanged"], 1);
}

#[test]
fn every_byte_that_git_allows_in_a_ref_s_name_is_mirrored() {
    let world = World::new();
    let site = world.add("acme/site");
    let head = site.rev_parse("refs/heads/main").unwrap();
    for byte in (0x21..=0x7e_u8).filter(|byte| !b"*:?[\\^~".contains(byte)) {
        let name = format!("refs/heads/a{}b", char::from(byte));
        if byte != b'.' {
            site.set_ref(&name, &head).unwrap();
        }
    }
    for name in [
        "refs/heads/@",
        "refs/heads/grün/日本語/🦀",
        "refs/heads/a.b",
        "refs/heads/-",
        "refs/tags/heads",
        "refs/heads/HEAD",
    ] {
        site.set_ref(name, &head).unwrap();
    }
    site.set_ref(&format!("refs/heads/{}", "long/".repeat(40).trim_end_matches('/')), &head).unwrap();
    world.run_json(0);
    world.assert_mirrors("acme/site");
    site.commit("main", "b", "2").unwrap();
    world.run_json(0);
    world.assert_mirrors("acme/site");
    world.run(&["verify", "--deep"]).expect(0);
    let restored = world.folder.path().join("restored.git");
    world.run(&["restore", "acme/site", restored.to_str().unwrap()]).expect(0);
    assert_eq!(crate::world::mirrored_refs(site.path()), crate::world::mirrored_refs(&restored));
}

#[test]
fn escapes_and_markup_in_answers_reach_neither_terminal_nor_slack() {
    let world = World::new();
    world.add("acme/good");
    world.add("acme/bad");
    let nasty = "\u{1b}]0;owned\u{7}\u{1b}[2J <!channel> <https://evil.example|click> \u{202e}gnp.exe";
    for (path, status) in [("/acme/bad.git", 403), ("/acme/bad.git", 500), ("/orgs/acme/repos", 403)] {
        world.sandbox.clear_faults();
        world.sandbox.fault(Fault::on(path).status(status).body(nasty));
        for arguments in [&["run"][..], &["run", "--json"], &["status"], &["-vv", "run"]] {
            let ended = world.run(arguments);
            for text in [&ended.stdout, &ended.stderr] {
                assert!(!text.contains(['\u{1b}', '\u{7}', '\u{202e}']), "{path}: {text:?}");
            }
        }
    }
    let messages = world.sandbox.slack_messages();
    assert!(!messages.is_empty());
    for message in messages {
        let text = message.body.to_string();
        assert!(!text.contains("<!channel>") && !text.contains("<https://evil"), "{text}");
    }
}

/// Everything through which git would run or read something else.
fn plant(mirror: &Path, witness: &Path) {
    let touch = format!("touch {}", witness.display());
    let hooks = mirror.join("hooks");
    fs::create_dir(&hooks).unwrap();
    for name in [
        "pre-receive",
        "update",
        "post-update",
        "post-receive",
        "reference-transaction",
        "post-checkout",
        "pre-auto-gc",
        "post-index-change",
    ] {
        let hook = hooks.join(name);
        fs::write(&hook, format!("#!/bin/sh\n{touch}\n")).unwrap();
        fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let config = mirror.join("config");
    let planted = format!(
        "[core]\n\thooksPath = {hooks}\n\tfsmonitor = {touch}\n\tsshCommand = {touch}\n\tpager = {touch}\n\teditor = {touch}\n\
         \tgitProxy = {touch}\n\talternateRefsCommand = {touch}\n\tworktree = {elsewhere}\n[credential]\n\thelper = !{touch}\n\
         [http]\n\tproxy = http://127.0.0.1:1\n\tsslVerify = false\n[url \"http://127.0.0.1:1/\"]\n\tinsteadOf = ghbk+https://\n\
         [filter \"x\"]\n\tsmudge = {touch}\n\trequired = true\n[include]\n\tpath = {elsewhere}/included\n[extensions]\n\tpartialClone = origin\n",
        hooks = hooks.display(),
        elsewhere = witness.parent().unwrap().display(),
    );
    fs::write(&config, fs::read_to_string(&config).unwrap() + &planted).unwrap();
    fs::create_dir_all(mirror.join("objects/info")).unwrap();
    fs::write(mirror.join("objects/info/alternates"), format!("{}\n", witness.parent().unwrap().display())).unwrap();
    fs::create_dir_all(mirror.join("info")).unwrap();
    fs::write(mirror.join("info/attributes"), "* filter=x\n").unwrap();
    fs::write(mirror.join("info/grafts"), "x\n").unwrap();
    fs::write(mirror.join("shallow"), "1111111111111111111111111111111111111111\n").unwrap();
}

#[test]
fn what_is_planted_in_a_mirror_is_neither_executed_nor_obeyed() {
    let world = World::new();
    let site = world.add("acme/site");
    world.add("acme/other");
    world.run_json(0);
    let witness = world.folder.path().join("witness");
    plant(&world.mirror("acme/site"), &witness);
    site.commit("main", "b", "2").unwrap();
    world.run_json(0);
    site.force_push("main").unwrap();
    world.run_json(0);
    let verified = world.run(&["verify", "--deep"]).expect(1);
    assert!(verified.stdout.contains("alternates makes it depend on another repository"), "{verified:#?}");
    for (number, options) in [&[][..], &["--checkout"]].iter().enumerate() {
        let to = format!("restored-{number}");
        let ended = world.run(&[&["restore", "acme/site", &to], *options].concat()).expect(0);
        let git_dir = world.folder.path().join(&to).join(if options.is_empty() { "" } else { ".git" });
        assert!(!git_dir.join("hooks").exists(), "{ended:#?}");
        assert!(!fs::read_to_string(git_dir.join("config")).unwrap().contains("touch"));
    }
    world.sandbox.rename("acme/site", "acme/renamed").unwrap();
    // What was found to be damaged stays so until it is repaired.
    world.run_json(1);
    world.run(&["run", "--repair", "acme/renamed"]).expect(0);
    assert!(!witness.exists(), "something in the store was executed");
    assert_eq!(git(&world.mirror("acme/renamed"), &["rev-parse", "main"]).trim(), site_tip(&world));
}

fn site_tip(world: &World) -> String {
    world.sandbox.edit("acme/renamed").rev_parse("main").unwrap()
}

#[test]
fn the_environment_of_git_is_not_obeyed() {
    let world = World::new();
    world.add("acme/site");
    let trap = world.folder.path().join("trap");
    fs::create_dir(&trap).unwrap();
    fs::write(trap.join("config"), "[core]\n\trepositoryformatversion = 99\n[http]\n\tproxy = http://127.0.0.1:1\n")
        .unwrap();
    let mut command = world.ghbk(&["run"]);
    for name in [
        "GIT_DIR",
        "GIT_WORK_TREE",
        "GIT_CONFIG",
        "GIT_CONFIG_GLOBAL",
        "GIT_CONFIG_SYSTEM",
        "GIT_OBJECT_DIRECTORY",
        "GIT_ALTERNATE_OBJECT_DIRECTORIES",
        "GIT_INDEX_FILE",
        "GIT_NAMESPACE",
        "GIT_CEILING_DIRECTORIES",
        "GIT_EXEC_PATH",
        "GIT_SSH_COMMAND",
        "GIT_PROXY_COMMAND",
        "GIT_ASKPASS",
        "GIT_TEMPLATE_DIR",
        "XDG_CONFIG_HOME",
    ] {
        command.env(name, &trap);
    }
    fs::write(world.folder.path().join("home/.gitconfig"), fs::read(trap.join("config")).unwrap()).unwrap();
    finish(&mut command).expect(0);
    world.assert_mirrors("acme/site");
    assert_eq!(fs::read_dir(&trap).unwrap().count(), 1, "something was written to where the environment pointed");
}

/// Links planted in the store must not lead a run out of it.
#[test]
fn nothing_is_written_or_removed_through_a_symbolic_link() {
    for place in [
        ".ghbk",
        ".ghbk/runs",
        ".ghbk/incoming",
        ".ghbk/incoming/7",
        ".ghbk/moving",
        ".ghbk/attic",
        ".ghbk/index.json",
        ".ghbk/lock",
        "acme",
        "acme/site.git",
    ] {
        let world = World::new();
        let site = world.add("acme/site");
        world.add("beta/other");
        let two_owners = |arguments: &[&str]| {
            let mut command = world.ghbk(arguments);
            command.env("GHBK_GITHUB__OWNERS", "acme,beta");
            finish(&mut command)
        };
        two_owners(&["run"]).expect(0);
        site.commit("main", "b", "2").unwrap();
        let elsewhere = world.folder.path().join("elsewhere");
        let path = world.root.join(place);
        if path.exists() {
            fs::rename(&path, &elsewhere).unwrap();
        } else {
            fs::create_dir_all(elsewhere.join("precious")).unwrap();
            fs::write(elsewhere.join("precious/file"), "precious").unwrap();
        }
        symlink(&elsewhere, &path).unwrap();
        let before = files_below_or_file(&elsewhere);
        // Interrupted, so that the next run would tidy up.
        for record in fs::read_dir(world.root.join(".ghbk/runs")).unwrap() {
            let record = record.unwrap().path();
            if place.starts_with(".ghbk/incoming") || place == ".ghbk/moving" {
                let text = fs::read_to_string(&record).unwrap();
                fs::write(&record, text.lines().next().unwrap()).unwrap();
            }
        }
        let ended = two_owners(&["run", "--json"]);
        assert!(matches!(ended.code, Some(1 | 3)), "{place}: {ended:#?}");
        assert!(
            ended.stdout.contains("link") || ended.stderr.contains("link") || ended.stdout.contains("in the way"),
            "{place}: {ended:#?}"
        );
        assert_eq!(files_below_or_file(&elsewhere), before, "{place}: something was written through a link");
        if place.starts_with("acme") {
            assert!(world.mirror("beta/other").exists());
            assert_eq!(ended.code, Some(1), "{place}: {ended:#?}");
        }
    }
}

fn files_below_or_file(path: &Path) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    if path.is_dir() { files_below(path) } else { vec![(path.to_owned(), fs::read(path).unwrap())] }
}
