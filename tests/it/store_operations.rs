//! An unchanged repository costs the store a handful of operations: EFS answers each in milliseconds.

use std::process::Command;

use crate::world::World;

/// What `docs/architecture.md` promises: open, stat, read and close of `packed-refs`; a line in the record comes to it.
const OPERATIONS_ON_A_MIRROR_MAX: usize = 4;
/// The same over many, with the share of them that each run reads to prove the store.
const OPERATIONS_MAX: usize = 10;

/// Lists the system calls of a run that name the store or a file below it; the run must find nothing new.
pub(crate) fn calls_of_an_idle_run(world: &World) -> Vec<String> {
    let trace = world.folder.path().join("trace");
    let ghbk = world.ghbk(&[]);
    let mut command = Command::new("strace");
    // -y names the file behind each descriptor.
    command.args(["-f", "-y", "-qq", "-e", "trace=%file,%desc", "-o"]).arg(&trace).arg(env!("CARGO_BIN_EXE_ghbk"));
    command.args(["run", "--json"]).env_clear();
    for (name, value) in ghbk.get_envs() {
        if let Some(value) = value {
            command.env(name, value);
        }
    }
    let summary = crate::world::finish(&mut command).expect(0).json();
    assert_eq!(summary["counts"]["unchanged"], summary["counts"]["listed"]);
    let text = String::from_utf8_lossy(&std::fs::read(&trace).unwrap()).into_owned();
    let root = world.root.to_str().unwrap();
    // A call that another thread interrupts is printed in two lines; the second names no file.
    // Only a build with assertions asks whether a descriptor is one, and no file system hears of it.
    let counts = |line: &&str| line.contains(root) && !line.contains("F_GETFD");
    text.lines().filter(counts).map(str::to_owned).collect()
}

/// Counts the system calls of a second run, and lists those of one repository whose turn to be proven it is not.
fn operations(repositories: usize) -> (usize, String) {
    let world = World::generated(repositories);
    world.run_json(0);
    let calls = calls_of_an_idle_run(&world);
    let of_one = calls.iter().filter(|line| line.contains("repository-002")).map(|line| format!("{line}\n")).collect();
    (calls.len(), of_one)
}

/// Says whether strace is there; without it a test of operations cannot be.
pub(crate) fn can_trace() -> bool {
    let missing = Command::new("strace").arg("-V").output().is_err();
    if missing && std::env::var_os("GHBK_TEST_REQUIRE_ALL").is_none() {
        eprintln!("skipped: strace is not installed");
    }
    !missing || std::env::var_os("GHBK_TEST_REQUIRE_ALL").is_some()
}

#[test]
fn an_unchanged_repository_touches_the_store_a_few_times() {
    if !can_trace() {
        return;
    }
    let (few, _) = operations(10);
    let (many, of_one) = operations(40);
    let each = (many - few).div_ceil(30);
    eprintln!(
        "store operations for each unchanged repository: {each}, for the run as a whole: {}\n{of_one}",
        few - 10 * each
    );
    assert!(of_one.lines().count() <= OPERATIONS_ON_A_MIRROR_MAX, "{of_one}");
    assert!(each <= OPERATIONS_MAX, "{each} operations for each unchanged repository:\n{of_one}");
}
