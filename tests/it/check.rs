//! `ghbk check`.

use crate::world::{World, finish};

#[test]
fn a_good_set_up_is_ok_line_by_line() {
    let world = World::generated(2);
    std::fs::set_permissions(&world.root, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    let ended = world.run(&["check", "--slack"]).expect(0);
    for item in ["configuration", "schedule", "store", "scratch", "secrets", "token", "inventory", "slack"] {
        let line = ended.stdout.lines().find(|line| line.contains(item));
        assert!(line.is_some_and(|line| line.starts_with("ok")), "{item}: {ended:#?}");
    }
    assert_eq!(world.sandbox.slack_messages().len(), 1);
    assert_eq!(world.sandbox.slack_messages()[0].problems, Vec::<String>::new());
}

#[test]
fn each_trouble_is_named_with_its_remedy() {
    let world = World::generated(2);
    let check = |arguments: &[&str], notify: &str| {
        let mut command = world.ghbk(&["check"]);
        command.args(arguments).env("GITHUB_TOKEN", "ghp_wrong").env("GHBK_STORE__ROOT", "/nowhere/at/all");
        command.env_remove("SLACK_WEBHOOK_URL").envs((!notify.is_empty()).then_some(("GHBK_SLACK__NOTIFY", notify)));
        finish(&mut command).expect(3)
    };
    let ended = check(&[], "");
    assert!(ended.stdout.contains("FAILED   store          the store /nowhere/at/all does not exist"), "{ended:#?}");
    assert!(ended.stdout.contains("401"), "{ended:#?}");
    assert!(ended.stdout.contains("ok       slack          no reports; set SLACK_WEBHOOK_URL"), "{ended:#?}");
    let hints = |ended: &crate::world::Ended| ended.stdout.lines().filter(|line| line.contains("hint: ")).count();
    assert_eq!(hints(&ended), 2, "{ended:#?}");
    // Who asked for reports is told what is missing.
    let ended = check(&[], "always");
    assert!(ended.stdout.contains("warning  slack"), "{ended:#?}");
    assert_eq!(hints(&ended), 3, "{ended:#?}");
    // With -q what is well is left out, and the rest goes where cron leaves it.
    let quiet = check(&["-q"], "always");
    assert_eq!((quiet.stdout.as_str(), quiet.stderr.lines().count()), ("", 6), "{quiet:#?}");
}

#[test]
fn check_writes_nothing_to_stay() {
    let world = World::generated(1);
    world.run(&["check"]).expect(0);
    assert_eq!(std::fs::read_dir(&world.root).unwrap().count(), 0);
}

#[test]
fn a_store_that_a_run_would_make_is_no_failure_and_a_bad_backup_is_told() {
    let world = World::generated(2);
    let fresh = world.folder.path().join("fresh");
    let root = fresh.to_str().unwrap();
    let ended = world.run(&["check", "--root", root]).expect(0);
    assert!(ended.stdout.contains("does not exist yet; `ghbk --root "), "{ended:#?}");
    assert!(ended.stdout.contains(" run` creates it"), "{ended:#?}");
    assert!(!ended.stdout.contains(" backup "), "{ended:#?}");
    world.run(&["run", "--root", root]).expect(0);
    let ended = world.run(&["check", "--root", root]).expect(0);
    assert!(ended.stdout.contains("ok       backup         healthy: "), "{ended:#?}");
    assert!(ended.stdout.contains(" free\n"), "{ended:#?}");
    std::fs::remove_file(fresh.join("acme/repository-001.git/HEAD")).unwrap();
    world.run(&["verify", "--root", root]).expect(1);
    let ended = world.run(&["check", "--root", root]).expect(0);
    assert!(ended.stdout.contains("warning  backup         not healthy: 1 mirror is damaged"), "{ended:#?}");
}

#[test]
fn who_wants_no_reports_is_not_warned_of_them() {
    let world = World::generated(1);
    let mut command = world.ghbk(&["check"]);
    let ended = finish(command.env("GHBK_SLACK__NOTIFY", "never").env_remove("SLACK_WEBHOOK_URL")).expect(0);
    assert!(ended.stdout.contains("ok       slack          no reports (slack.notify = \"never\")"), "{ended:#?}");
}

#[test]
fn a_filter_that_matches_nothing_is_pointed_out_and_what_is_left_out_is_counted() {
    let world = World::generated(3);
    let with = |arguments: &[&str], exclude: &str| {
        let mut command = world.ghbk(arguments);
        finish(command.env("GHBK_GITHUB__EXCLUDE", exclude)).expect(0).stdout
    };
    let text = with(&["check"], "nosuch-*,repository-001");
    assert!(text.contains("warning  filters        \"nosuch-*\" matches no repository"), "{text}");
    assert!(!text.contains("\"repository-001\" matches"), "{text}");
    assert!(text.contains("2 repositories to back up, 1 filtered out"), "{text}");
    let text = with(&["run"], "repository-001");
    assert!(text.contains("left out by the configuration: 1 repository"), "{text}");
}
