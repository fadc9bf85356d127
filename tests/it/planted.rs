//! What somebody plants where ghbk opens files: a FIFO would wait for a writer, a socket or a device is none of its files.
//! Nothing of it holds up a run, and whatever is in the way is named.

use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::world::{Ended, World};

const NAME: &str = "acme/repository-001";

fn make_fifo(path: &Path) {
    let _ = std::fs::remove_file(path);
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

/// Puts a FIFO in a file's place, and proves that each command ends.
#[track_caller]
fn none_hangs(world: &World, fifo: &Path, commands: &[&[&str]]) -> Vec<Ended> {
    make_fifo(fifo);
    let run = |arguments: &&[&str]| {
        let ended = world.run(arguments);
        assert!(ended.code.is_some(), "{arguments:?} hangs on {}: {ended:#?}", fifo.display());
        ended
    };
    commands.iter().map(run).collect()
}

fn mirrored() -> World {
    let world = World::generated(2);
    world.run(&["run"]).expect(0);
    world
}

fn pack_file(world: &World, extension: &str) -> PathBuf {
    let files = std::fs::read_dir(world.mirror(NAME).join("objects/pack")).unwrap();
    files.map(|entry| entry.unwrap().path()).find(|path| path.extension().is_some_and(|it| it == extension)).unwrap()
}

const EVERYTHING: [&[&str]; 5] = [&["run"], &["verify"], &["status"], &["snapshots", NAME], &["run", "--repair", NAME]];

/// `mkfifo /var/tmp/ghbk-scratch-x` stopped every run of the machine, with the lock held.
#[test]
fn whatever_is_planted_in_scratch_stops_nothing_and_is_left_alone() {
    let world = World::generated(2);
    let scratch = world.folder.path().join("scratch");
    make_fifo(&scratch.join("ghbk-scratch-fifo"));
    make_fifo(&scratch.join(".ghbk-restore-fifo"));
    let _socket = UnixListener::bind(scratch.join("ghbk-scratch-socket")).unwrap();
    let elsewhere = world.folder.path().join("elsewhere");
    std::fs::create_dir(&elsewhere).unwrap();
    std::fs::write(elsewhere.join("precious"), "").unwrap();
    symlink(&elsewhere, scratch.join("ghbk-scratch-link")).unwrap();
    symlink("/dev/zero", scratch.join("ghbk-scratch-device")).unwrap();
    world.run(&["run"]).expect(0);
    world.run(&["verify"]).expect(0);
    assert!(elsewhere.join("precious").exists());
    let to = scratch.join("restored");
    world.run(&["restore", NAME, to.to_str().unwrap()]).expect(0);
}

#[test]
fn a_fifo_among_the_records_is_named_and_stops_no_run() {
    let world = mirrored();
    let fifo = world.root.join(".ghbk/runs/29991231T000000Z.jsonl");
    let ended = none_hangs(&world, &fifo, &[&["run"], &["status"]]);
    assert!(ended[0].stdout.contains("it is a FIFO, not a file"), "{:#?}", ended[0]);
    world.assert_mirrors(NAME);
}

#[test]
fn a_fifo_for_the_index_is_replaced() {
    let world = mirrored();
    let index = world.root.join(".ghbk/index.json");
    none_hangs(&world, &index, &[&["status"], &["verify"], &["run"]]);
    world.run(&["run"]).expect(0);
    assert!(index.is_file());
    // Where the next one is written before it takes its place.
    none_hangs(&world, &world.root.join(".ghbk/tmp_ghbk_index.json.new"), &[&["run"]]);
}

#[test]
fn a_fifo_for_the_lock_is_named() {
    let world = mirrored();
    let ended = none_hangs(&world, &world.root.join(".ghbk/lock"), &[&["run"], &["status"]]);
    assert_eq!(ended[0].code, Some(3), "{:#?}", ended[0]);
    assert!(ended[0].stderr.contains("lock: it is a FIFO, not a file"), "{:#?}", ended[0]);
}

#[test]
fn a_fifo_in_a_mirror_stops_nothing_and_leaves_the_others_good() {
    for name in ["packed-refs", "HEAD", "config", "tmp_ghbk_packed-refs.new"] {
        let world = mirrored();
        let commit = |number: u8| {
            for repository in [NAME, "acme/repository-002"] {
                world.sandbox.edit(repository).commit("main", "again", &number.to_string()).unwrap();
            }
        };
        commit(1);
        none_hangs(&world, &world.mirror(NAME).join(name), &EVERYTHING);
        world.assert_mirrors("acme/repository-002");
        // And once more, as a run sees it that has to read whose mirror it is.
        commit(2);
        std::fs::remove_file(world.root.join(".ghbk/index.json")).unwrap();
        none_hangs(&world, &world.mirror(NAME).join(name), &EVERYTHING);
        world.assert_mirrors("acme/repository-002");
    }
}

#[test]
fn a_fifo_for_a_pack_or_its_index_is_damage_that_a_repair_mends() {
    for extension in ["pack", "idx"] {
        let world = mirrored();
        let to = world.folder.path().join("restored");
        let ended =
            none_hangs(&world, &pack_file(&world, extension), &[&["verify"], &["restore", NAME, to.to_str().unwrap()]]);
        assert_eq!(ended[0].code, Some(1), "{ended:#?}");
        assert!(ended[0].stdout.contains("not a file"), "{ended:#?}");
        world.sandbox.edit(NAME).commit("main", "again", "1").unwrap();
        none_hangs(&world, &pack_file(&world, extension), &[&["run"], &["run", "--repair", NAME]]);
        world.assert_mirrors(NAME);
    }
}
