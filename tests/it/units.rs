//! The units of `systemd/`, as far as they can be judged without booting; `scripts/test-systemd` boots them.

use std::path::{Path, PathBuf};
use std::process::Command;

use ghbk_sandbox::Fault;

use crate::world::{World, finish};

fn units() -> Vec<(PathBuf, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd");
    let paths = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let units = paths.filter(|path| path.extension().is_some_and(|extension| extension == "service"));
    let mut units: Vec<_> = units.map(|path| (path.clone(), std::fs::read_to_string(path).unwrap())).collect();
    units.sort();
    assert_eq!(units.len(), 4);
    units
}

#[test]
fn all_units_are_hardened_alike() {
    let hardening = |text: &str| {
        let (_, hardening) = text.split_once("# Hardening").unwrap();
        let lines = hardening.lines().skip(1).take_while(|line| !line.is_empty());
        // The one that reports has nothing to do with the store, which may be what hangs.
        let lines = lines.filter(|line| !line.starts_with('#') && !line.starts_with("ReadWritePaths="));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let units = units();
    for (path, text) in &units {
        assert_eq!(hardening(text), hardening(&units[0].1), "{}", path.display());
    }
}

/// Regression: five hangs never fell into ten minutes, so systemd never gave up, and Slack never heard.
#[test]
fn whatever_keeps_dying_is_given_up_and_told() {
    let units = units();
    let (_, text) = units.iter().find(|(path, _)| path.ends_with("ghbk.service")).unwrap();
    let value = |key: &str| text.lines().find_map(|line| line.strip_prefix(&format!("{key}="))).unwrap();
    let duration = |key: &str| humantime::parse_duration(value(key)).unwrap();
    let hang = duration("WatchdogSec") + duration("RestartSec") + 2 * duration("TimeoutStopSec");
    let starts: u32 = value("StartLimitBurst").parse().unwrap();
    assert!(hang * starts < duration("StartLimitIntervalSec"));
    assert_eq!(value("OnFailure"), "ghbk-failed@%n.service");
}

#[test]
fn systemd_calls_no_unit_exposed() {
    for (path, _) in units() {
        let analysis =
            Command::new("systemd-analyze").args(["security", "--offline=true", "--threshold=15"]).arg(&path).output();
        match analysis {
            Ok(output) => assert!(output.status.success(), "{output:?}"),
            Err(_) if std::env::var_os("GHBK_TEST_REQUIRE_ALL").is_none() => return,
            Err(error) => panic!("systemd-analyze is not installed: run scripts/test: {error}"),
        }
    }
}

#[test]
fn an_instance_names_one_repository() {
    let world = World::new();
    for name in ["acme/site", "acme/my-site", "other/my-site"] {
        world.add(name);
    }
    let names = [r"acme-site", r"acme-my-site", r"acme-my\x2dsite", "other:my-site"];
    for (instance, name) in names.into_iter().zip(["acme/site", "acme/my-site", "acme/my-site", "other/my-site"]) {
        let summary = world.run(&["run", "--json", "--instance", instance]).expect(0).json();
        assert_eq!(summary["selection"][0], name);
        world.assert_mirrors(name);
    }
    let ended = world.run(&["run", "--instance", "nobody-my-site"]).expect(2);
    assert!(ended.stderr.contains("ghbk-now@OWNER:REPO"), "{ended:#?}");
}

#[test]
fn slack_hears_of_a_dead_unit() {
    let world = World::new();
    let report = |unit: &str, result: &str, code: &str, status: &str| {
        let mut command = world.ghbk(&["report-failure", unit]);
        command.env("MONITOR_SERVICE_RESULT", result).env("MONITOR_EXIT_CODE", code).env("MONITOR_EXIT_STATUS", status);
        finish(&mut command)
    };
    report("ghbk.service", "watchdog", "dumped", "ABRT").expect(0);
    // Runs that ended by themselves have told Slack already.
    report("ghbk-now.service", "exit-code", "exited", "1").expect(0);
    report("ghbk-now.service", "oom-kill", "killed", "KILL").expect(0);
    let messages = world.sandbox.slack_messages();
    assert_eq!(messages.len(), 2, "{messages:#?}");
    assert!(messages.iter().all(|message| message.problems.is_empty()), "{messages:#?}");
    insta::assert_snapshot!(messages[0].body["blocks"][0]["text"]["text"].as_str().unwrap());
    world.sandbox.fault(Fault::on("/services").status(410).body("channel_is_archived"));
    let ended = report("ghbk.service", "watchdog", "dumped", "ABRT").expect(3);
    assert!(ended.stderr.contains("channel_is_archived"), "{ended:#?}");
}

#[test]
fn a_wrong_configuration_is_reported_too() {
    let world = World::new();
    let path = world.folder.path().join("config.toml");
    std::fs::write(&path, "[store]\nrot = \"/data\"\n").unwrap();
    let arguments = ["--config", path.to_str().unwrap(), "report-failure", "ghbk.service"];
    let mut command = world.ghbk(&arguments);
    command
        .env("MONITOR_SERVICE_RESULT", "exit-code")
        .env("MONITOR_EXIT_CODE", "exited")
        .env("MONITOR_EXIT_STATUS", "2");
    finish(&mut command).expect(0);
    let messages = world.sandbox.slack_messages();
    assert!(messages[0].body.to_string().contains("The configuration is wrong"), "{messages:#?}");
}
