//! What a run costs, in counts that do not depend on the machine: requests, connections, bytes, packs, memory.

use std::fmt::Write as _;

use crate::world::{World, finish_watched, noise};

/// So many of anything that GitHub is asked once a run, whatever the number of repositories.
const API_REQUESTS_MAX: usize = 5;
/// Small repositories that are under way at once by default.
const AT_ONCE: u64 = 32;

#[test]
fn an_unchanged_repository_is_one_request_on_a_connection_that_is_there() {
    let world = World::generated(130);
    let run = || {
        let mut command = world.ghbk(&["run", "--json"]);
        // Whether there is a wiki is a question of its own.
        command.env("GHBK_GITHUB__WIKIS", "false");
        crate::world::finish(&mut command).expect(0).json()
    };
    run();
    world.sandbox.clear_requests();
    let connections = world.sandbox.traffic().connections;
    assert_eq!(run()["counts"]["unchanged"], 130);
    let (git, others): (Vec<_>, Vec<_>) = world.sandbox.requests().into_iter().partition(|request| request.git);
    let api = others.iter().filter(|request| !request.path.starts_with("/services/")).count();
    assert_eq!(git.len(), 130);
    assert!(api <= API_REQUESTS_MAX + 130 / 100, "{others:#?}");
    let connections = world.sandbox.traffic().connections - connections;
    // One for Slack; and a pool may open one more while another is about to be free.
    assert!(connections <= AT_ONCE + 8, "{connections} connections");
}

#[test]
fn a_change_is_one_pack_of_its_own_size() {
    let world = World::new();
    let site = world.add("acme/site");
    for number in 0..20 {
        site.commit("main", &format!("file-{number}"), &noise(number, 20_000)).unwrap();
    }
    let packs = || ghbk::git::pack::packs_in(&world.mirror("acme/site").join("objects/pack")).unwrap();
    world.run_json(0);
    assert_eq!(packs().len(), 1);
    let first_bytes = packs()[0].bytes().unwrap();
    site.commit("main", "file-0", "short").unwrap();
    let summary = world.run_json(0);
    assert_eq!(packs().len(), 2);
    let newest_bytes = packs().iter().map(|pack| pack.bytes().unwrap()).min().unwrap();
    let received_bytes = summary["bytes_received"].as_u64().unwrap();
    eprintln!("{first_bytes} bytes first, {newest_bytes} bytes for a commit, {received_bytes} received");
    assert!(newest_bytes < 4_000 && received_bytes < 4_000, "{newest_bytes} stored, {received_bytes} received");
}

#[test]
fn memory_does_not_grow_with_what_is_stored() {
    let (small_kib, small_bytes) = peak_memory_of_a_first_mirror(10, 500_000);
    let (large_kib, large_bytes) = peak_memory_of_a_first_mirror(100, 500_000);
    eprintln!("{small_kib} KiB of memory for a pack of {small_bytes} bytes, {large_kib} KiB for {large_bytes} bytes");
    assert!(large_bytes > 9 * small_bytes && large_bytes > 25_000_000);
    assert!(small_kib > 0 && large_kib < small_kib + 8 * 1024);
}

#[test]
fn an_object_costs_little_memory() {
    let (few, many) = (10_000, 110_000);
    let (few_kib, _) = peak_memory_of_a_first_mirror(few, 12);
    let (many_kib, _) = peak_memory_of_a_first_mirror(many, 12);
    // Three objects a file: it, its commit and its tree. gitoxide's tree of deltas alone takes 200 bytes each.
    let bytes = many_kib.saturating_sub(few_kib) * 1024 / (3 * (many - few));
    eprintln!("{few_kib} KiB of memory, {many_kib} KiB: {bytes} bytes for each object more");
    assert!(few_kib > 0 && bytes < 110);
}

/// Returns the most memory that a run has had for itself, in KiB, and the size of the pack that it stored, in bytes.
fn peak_memory_of_a_first_mirror(files: u64, bytes: usize) -> (u64, u64) {
    let world = World::new();
    let site = world.add("acme/site");
    let mut stream = String::new();
    for number in 0..files {
        let text = noise(number, bytes);
        let _ = write!(
            stream,
            "commit refs/heads/big\ncommitter A <a@example.com> 1700000000 +0000\ndata 1\nc\nM 100644 inline f\ndata {}\n{text}\n",
            text.len()
        );
    }
    let file = world.folder.path().join("stream");
    std::fs::write(&file, stream).unwrap();
    let imported = std::process::Command::new("git")
        .arg("--git-dir")
        .arg(site.path())
        .args(["fast-import", "--quiet"])
        .stdin(std::fs::File::open(&file).unwrap())
        .status();
    assert!(imported.unwrap().success());
    let (ended, peak_kib) = finish_watched(&mut world.ghbk(&["run"]));
    ended.expect(0);
    let pack = ghbk::git::pack::packs_in(&world.mirror("acme/site").join("objects/pack")).unwrap().remove(0);
    (peak_kib, pack.bytes().unwrap())
}
