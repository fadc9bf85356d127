//! A store that cannot be used: exit 3, one clear line, nothing written elsewhere.

use std::path::Path;
use std::process::Command;

use crate::world::{Ended, World, finish, is_root};

/// Mounts a tmpfs for one test.
fn run_on_tmpfs(world: &World, options: &str, before: &str) -> Ended {
    run_after(world, &format!("mount -t tmpfs -o {options} tmpfs \"$GHBK_STORE__ROOT\" && {before}"))
}

/// Runs `ghbk run` after other commands, in a mount namespace of its own.
fn run_after(world: &World, before: &str) -> Ended {
    let script = format!("{before} && exec \"$0\" run");
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-c", &script, env!("CARGO_BIN_EXE_ghbk")]);
    let ghbk = world.ghbk(&[]);
    command.env_clear();
    for (name, value) in ghbk.get_envs() {
        if let Some(value) = value {
            command.env(name, value);
        }
    }
    crate::world::finish(command.current_dir(world.folder.path()))
}

fn assert_one_clear_line(ended: &Ended, about: &str) {
    let lines: Vec<_> = ended.stderr.lines().filter(|line| line.starts_with("error: ")).collect();
    assert_eq!(lines.len(), 1, "{ended:#?}");
    assert!(lines[0].contains(about), "{ended:#?}");
    assert!(ended.stderr.contains("hint: "), "{ended:#?}");
}

/// GitHub is not asked for what cannot be stored, and the people who only read Slack hear of it.
fn assert_only_slack_was_told(world: &World) {
    assert!(world.sandbox.requests().iter().all(|request| request.path.starts_with("/services")));
    let messages = world.sandbox.slack_messages();
    assert_eq!(messages.len(), 1);
    assert_eq!(messages[0].problems, Vec::<String>::new());
    assert!(messages[0].body.to_string().contains("backup failed"), "{}", messages[0].body);
}

#[test]
fn a_missing_store_is_named() {
    let world = World::generated(1);
    let missing = world.folder.path().join("missing");
    let ended = finish(world.ghbk(&["run"]).env("GHBK_STORE__ROOT", &missing)).expect(3);
    assert_one_clear_line(&ended, "missing does not exist");
    assert!(!missing.exists());
    assert_only_slack_was_told(&world);
}

#[test]
fn a_store_that_is_a_file_is_named() {
    let world = World::generated(1);
    let file = world.folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let ended = finish(world.ghbk(&["run"]).env("GHBK_STORE__ROOT", &file)).expect(3);
    assert_one_clear_line(&ended, "is not a folder");
}

#[test]
fn a_store_that_is_not_mounted_stays_empty() {
    let world = World::generated(1);
    let ended = finish(world.ghbk(&["run"]).env("GHBK_STORE__REQUIRE_MOUNT", "true")).expect(3);
    assert_one_clear_line(&ended, "is not a mount point");
    assert_eq!(std::fs::read_dir(&world.root).unwrap().count(), 0);
}

#[test]
fn the_deployment_s_root_must_be_a_mount_by_default() {
    if Path::new("/mnt/efs").exists() {
        return; // a real one
    }
    let world = World::generated(1);
    let ended = finish(world.ghbk(&["run"]).env_remove("GHBK_STORE__ROOT")).expect(3);
    assert_one_clear_line(&ended, "/mnt/efs does not exist");
    let ended = world.run(&["run", "--root", "/mnt/efs"]).expect(3);
    assert_one_clear_line(&ended, "/mnt/efs does not exist");
    assert!(!Path::new("/mnt/efs").exists());
}

/// Regression: under systemd's `ReadWritePaths=` an unmounted store looked mounted, because it is mounted on itself.
#[test]
fn a_folder_mounted_on_itself_is_not_a_mounted_store() {
    if !is_root() {
        eprintln!("skipped: mounting needs root");
        return;
    }
    let world = World::new();
    let itself = "mount --bind \"$GHBK_STORE__ROOT\" \"$GHBK_STORE__ROOT\" && export GHBK_STORE__REQUIRE_MOUNT=true";
    let ended = run_after(&world, itself);
    assert_one_clear_line(&ended.expect(3), "is not a mount point");
    assert_eq!(std::fs::read_dir(&world.root).unwrap().count(), 0);
}

#[test]
fn a_mounted_store_is_taken() {
    if !is_root() {
        eprintln!("skipped: mounting needs root");
        return;
    }
    let world = World::generated(1);
    run_on_tmpfs(&world, "size=16m", "export GHBK_STORE__REQUIRE_MOUNT=true").expect(0);
}

#[test]
fn a_read_only_store_is_named() {
    if !is_root() {
        eprintln!("skipped: mounting needs root");
        return;
    }
    let world = World::generated(1);
    let ended = run_on_tmpfs(&world, "ro,size=1m", "true").expect(3);
    assert_one_clear_line(&ended, "Read-only file system");
    assert_only_slack_was_told(&world);
}

#[test]
fn a_full_store_is_named() {
    if !is_root() {
        eprintln!("skipped: mounting needs root");
        return;
    }
    let world = World::generated(1);
    let fill = "mkdir -p \"$GHBK_STORE__ROOT/.ghbk/runs\" && touch \"$GHBK_STORE__ROOT/.ghbk/lock\" && \
                (dd if=/dev/zero of=\"$GHBK_STORE__ROOT/fill\" bs=4k 2>/dev/null; true)";
    let ended = run_on_tmpfs(&world, "size=256k", fill).expect(3);
    assert_one_clear_line(&ended, "No space left on device");
}

#[test]
fn a_store_that_fills_up_on_the_way_stops_the_run() {
    if !is_root() {
        eprintln!("skipped: mounting needs root");
        return;
    }
    let world = World::generated(30);
    for number in 1..=30 {
        let noise: String =
            (0..4000).map(|n: u64| format!("{:x}", n.wrapping_mul(0x9E37_79B9_7F4A_7C15 + number))).collect();
        world.sandbox.edit(&format!("acme/repository-{number:03}")).commit("main", "noise", &noise).unwrap();
    }
    let ended = run_on_tmpfs(&world, "size=512k", "true").expect(3);
    assert!(format!("{}{}", ended.stdout, ended.stderr).contains("No space left on device"), "{ended:#?}");
}

/// The disk for scratch is too small for one repository: that one fails, and is named with what to do.
#[test]
fn a_scratch_disk_that_is_too_small_fails_the_large_repository_alone() {
    if !is_root() {
        return;
    }
    let world = World::new();
    world.add("acme/small");
    world.add("acme/large").commit("main", "large", &crate::world::noise(1, 8_000_000)).unwrap();
    let ended = run_after(&world, "mount -t tmpfs -o size=3m tmpfs \"$GHBK_STORE__SCRATCH\"").expect(1);
    assert!(ended.stdout.contains("acme/large") && ended.stdout.contains("No space left on device"), "{ended:#?}");
    assert!(ended.stdout.contains("free space on its file system"), "{ended:#?}");
    assert!(!world.mirror("acme/large").exists());
    world.assert_mirrors("acme/small");
}
