//! ghbk as the service runs it: as a user that may write to the store, to scratch, and nowhere else.
//!
//! Tests run as root in many places, and root may write to files that nobody may write to.

use std::os::unix::fs::{PermissionsExt, chown};
use std::path::PathBuf;
use std::process::Command;

use crate::world::{Ended, World, finish, is_root};

/// `nobody` nearly everywhere; a number needs no entry in a table of users.
const ORDINARY_USER_ID: u32 = 65_534;

/// Runs `ghbk` as an ordinary user, from a place where that user finds it.
struct OrdinaryUser<'a> {
    world: &'a World,
    binary: PathBuf,
}

impl<'a> OrdinaryUser<'a> {
    fn new(world: &'a World) -> Self {
        let folder = world.folder.path();
        let binary = folder.join("ghbk");
        std::fs::copy(env!("CARGO_BIN_EXE_ghbk"), &binary).unwrap();
        std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755)).unwrap();
        if is_root() {
            for name in ["store", "scratch"] {
                chown(folder.join(name), Some(ORDINARY_USER_ID), Some(ORDINARY_USER_ID)).unwrap();
            }
        }
        Self { world, binary }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let like = self.world.ghbk(arguments);
        let mut command = if is_root() {
            let id = ORDINARY_USER_ID.to_string();
            let mut command = Command::new("setpriv");
            command.args(["--reuid", &id, "--regid", &id, "--clear-groups", "--"]).arg(&self.binary);
            command
        } else {
            Command::new(&self.binary)
        };
        command.args(arguments).env_clear().current_dir(self.world.folder.path());
        for (name, value) in like.get_envs() {
            if let Some(value) = value {
                command.env(name, value);
            }
        }
        command
    }

    fn run(&self, arguments: &[&str]) -> Ended {
        finish(&mut self.command(arguments))
    }
}

/// Regression: what libgit2 downloads is read-only, and adding the snapshot to it failed for everybody but root.
#[test]
fn an_ordinary_user_can_do_all_that_root_can() {
    let world = World::new();
    let site = world.add("acme/site");
    let user = OrdinaryUser::new(&world);
    user.run(&["run"]).expect(0);
    for number in 0..6 {
        site.commit("main", "a", &number.to_string()).unwrap();
        finish(user.command(&["run"]).env("GHBK_STORE__PACKS_MAX", "4")).expect(0);
    }
    site.force_push("main").unwrap();
    user.run(&["run"]).expect(0);
    world.assert_mirrors("acme/site");
    user.run(&["run", "--repair", "acme/site"]).expect(0);
    user.run(&["verify", "--deep"]).expect(0);
    user.run(&["status"]).expect(0);
    let restored = world.folder.path().join("scratch/restored");
    user.run(&["restore", "acme/site", restored.to_str().unwrap(), "--checkout"]).expect(0);
}

#[test]
fn whoever_may_not_write_the_log_may_still_look_and_back_up() {
    let world = World::generated(1);
    let user = OrdinaryUser::new(&world);
    let log = world.folder.path().join("ghbk.jsonl");
    std::fs::write(&log, "").unwrap();
    std::fs::set_permissions(&log, std::fs::Permissions::from_mode(0o400)).unwrap();
    let run = |arguments: &[&str]| finish(user.command(arguments).env("GHBK_LOG__FILE", &log));
    let ended = run(&["run"]).expect(0);
    assert!(ended.stderr.contains("missing from it"), "{ended:#?}");
    let ended = run(&["status"]).expect(0);
    assert!(!ended.stderr.contains("log file"), "{ended:#?}");
    // A service whose log goes nowhere would look dead to its alarms.
    let ended = run(&["daemon"]).expect(2);
    assert!(ended.stderr.contains("cannot open the log file"), "{ended:#?}");
    assert_eq!(std::fs::read(&log).unwrap(), b"");
}
