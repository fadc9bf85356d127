//! How often a run touches the store: EFS answers each operation in milliseconds.

use std::collections::BTreeMap;
use std::process::Command;

use crate::world::World;

/// What `docs/architecture.md` promises: open, read and close of `packed-refs`, and the attributes of HEAD, `config`, `refs`, the
/// pack and its index.
const UNCHANGED_MAX: usize = 8;
const TEN_COMMITS_MAX: usize = 40;
const FIRST_MIRROR_MAX: usize = 30;

/// The system calls that carry the content of a file; their number goes with its size.
const TRANSFERS: [&str; 4] = ["read", "pread64", "write", "copy_file_range"];

/// Lists the system calls of a run that touch the store or a file below it, as strace prints them; `what` is what must
/// come of every repository.
pub(crate) fn calls_of_a_run(world: &World, what: &str) -> Vec<String> {
    calls_of_a_run_with(world, what, &[])
}

fn calls_of_a_run_with(world: &World, what: &str, settings: &[(&str, &str)]) -> Vec<String> {
    let trace = world.folder.path().join("trace");
    let ghbk = world.ghbk(&[]);
    let mut command = Command::new("strace");
    // -y names the file behind each descriptor.
    command.args(["-f", "-y", "-qq", "-e", "trace=%file,%desc", "-o"]).arg(&trace).arg(env!("CARGO_BIN_EXE_ghbk"));
    command.args(["run", "--json"]).env_clear().env("GHBK_VERIFY__RESTORE", "false");
    for (name, value) in ghbk.get_envs() {
        if let Some(value) = value {
            command.env(name, value);
        }
    }
    command.envs(settings.iter().copied());
    let summary = crate::world::finish(&mut command).expect(0).json();
    assert_eq!(summary["counts"][what], summary["counts"]["listed"], "{summary}");
    let text = String::from_utf8_lossy(&std::fs::read(&trace).unwrap()).into_owned();
    let root = world.root.to_str().unwrap();
    let counts = |line: &&str| {
        line.contains(root)
            // The second half of a call that another thread interrupted.
            && !line.contains(" resumed>")
            // Only a build with assertions asks whether a descriptor is one, and no file system hears of it.
            && !line.contains("F_GETFD")
            // A link on local disk, to a file of the store.
            && !line.contains(" symlink(")
    };
    text.lines().filter(counts).map(str::to_owned).collect()
}

/// Counts by name those calls that touch one mirror.
fn by_name(calls: &[String], of: &[&str]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for call in calls.iter().filter(|call| of.iter().any(|part| call.contains(part))) {
        let name = call.split_whitespace().nth(1).and_then(|rest| rest.split('(').next()).unwrap_or_default();
        *counts.entry(name.to_owned()).or_default() += 1;
    }
    counts
}

/// Adds up, without those that carry content if they are to be left out.
fn total(counts: &BTreeMap<String, usize>, with_transfers: bool) -> usize {
    counts.iter().filter(|(name, _)| with_transfers || !TRANSFERS.contains(&name.as_str())).map(|(_, n)| n).sum()
}

/// Says whether strace is there; without it a test of operations cannot be.
pub(crate) fn can_trace() -> bool {
    let missing = Command::new("strace").arg("-V").output().is_err();
    if missing && std::env::var_os("GHBK_TEST_REQUIRE_ALL").is_none() {
        eprintln!("skipped: strace is not installed");
    }
    !missing || std::env::var_os("GHBK_TEST_REQUIRE_ALL").is_some()
}

/// Returns the ids of the mirrors, in the order of their names: a new one is built under its id.
fn ids(world: &World) -> Vec<String> {
    let id = |name: &str| crate::world::git(&world.mirror(name), &["config", "ghbk.id"]).trim().to_owned();
    (1..=3).map(|number| id(&format!("acme/repository-00{number}"))).collect()
}

/// Counts the calls that touched each of three mirrors; returns those of the one touched least, because a run may read one
/// of them to prove the store.
fn least(world: &World, calls: &[String], with_transfers: bool) -> (usize, BTreeMap<String, usize>) {
    let counted = ids(world).into_iter().enumerate().map(|(index, id)| {
        let name = format!("acme/repository-00{}.git", index + 1);
        let counts = by_name(calls, &[&name, &format!("/{id}.git")]);
        (total(&counts, with_transfers), counts)
    });
    counted.min_by_key(|(total, _)| *total).unwrap()
}

#[test]
fn a_first_mirror_touches_the_store_thirty_times() {
    if !can_trace() {
        return;
    }
    let world = World::generated(3);
    // Whichever mirror of a store or of an owner is the first makes these folders.
    for part in 0..32 {
        std::fs::create_dir_all(world.root.join(".ghbk/incoming").join(part.to_string())).unwrap();
    }
    std::fs::create_dir(world.root.join("acme")).unwrap();
    let calls = calls_of_a_run(&world, "created");
    let (count, counts) = least(&world, &calls, false);
    eprintln!("store operations of a first mirror, beside those that carry content: {count}\n{counts:?}");
    assert!(count <= FIRST_MIRROR_MAX, "{count}: {counts:?}");
    // The pack and its index, packed-refs, HEAD and config: each written once and read back once.
    assert_eq!((counts["write"], counts["pread64"]), (5, 5), "{counts:?}");
}

#[test]
fn ten_commits_touch_the_store_forty_times() {
    if !can_trace() {
        return;
    }
    let world = World::generated(3);
    world.run_json(0);
    for number in 1..=3 {
        let origin = world.sandbox.edit(&format!("acme/repository-00{number}"));
        for commit in 0..10 {
            origin.commit("main", &format!("file-{commit}"), "new").unwrap();
        }
    }
    let calls = calls_of_a_run(&world, "updated");
    let (count, counts) = least(&world, &calls, false);
    eprintln!("store operations of ten commits, beside those that carry content: {count}\n{counts:?}");
    assert!(count <= TEN_COMMITS_MAX, "{count}: {counts:?}");
    // The pack, its index and packed-refs: each written once and read back once. The pack of before is not looked into.
    assert_eq!((counts["write"], counts["pread64"]), (3, 3), "{counts:?}");
}

/// Regression: mirrors were to be read ahead, and each was read when its turn came.
#[test]
fn mirrors_are_read_before_their_turn() {
    if !can_trace() {
        return;
    }
    let world = World::generated(3);
    world.run_json(0);
    // Whichever is the first takes so long that all others can be read.
    world.sandbox.fault(ghbk_sandbox::Fault::on("/acme/*/info/refs").times(1).delay(2000));
    let calls = calls_of_a_run_with(&world, "unchanged", &[("GHBK_LIMITS__CONCURRENCY", "1")]);
    let is_first_outcome = |call: &String| call.contains("/.ghbk/runs/") && call.contains("outcome");
    let first_outcome = calls.iter().position(is_first_outcome).expect("an outcome is recorded");
    let before = &calls[..first_outcome];
    for number in 1..=3 {
        let refs = format!("/repository-00{number}.git/packed-refs");
        assert!(before.iter().any(|call| call.contains(&refs)), "{refs} is not read before: {before:#?}");
    }
}

#[test]
fn an_unchanged_repository_touches_the_store_eight_times() {
    if !can_trace() {
        return;
    }
    let operations = |repositories: usize| {
        let world = World::generated(repositories);
        world.run_json(0);
        let calls = calls_of_a_run(&world, "unchanged");
        (calls.len(), least(&world, &calls, true))
    };
    let (few, _) = operations(10);
    let (many, (of_one, counts)) = operations(40);
    eprintln!("store operations of a run over 10 unchanged repositories: {few}, over 40: {many}, of one: {of_one}");
    assert!(of_one <= UNCHANGED_MAX, "{counts:?}");
    // The line in the record comes to it, if it is not written together with others; of the few, all may have been.
    assert!(many - few <= 30 * (UNCHANGED_MAX + 1) + 10, "{few}, then {many}");
}
