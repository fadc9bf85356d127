//! Blocks of the store that cannot be read any more, wherever they lie: errors with a name, never the end of the process.

use std::path::{Path, PathBuf};
use std::time::Duration;

use ghbk::git::pack::packs_in;
use ghbk_faults::{Ended, Plan, Unreadable};

use crate::world::{World, git, git_output, noise};

const PATIENCE: Duration = Duration::from_mins(1);
/// What a disk loses at once.
const PAGE_BYTES: u64 = 4096;

/// Runs a command while a range of a file cannot be read.
fn strike(world: &World, arguments: &[&str], unreadable: Option<&Unreadable>) -> Ended {
    let mut command = world.ghbk(arguments);
    command.env("GHBK_SLACK__NOTIFY", "never");
    let plan = Plan { folders: vec![world.root.clone()], unreadable: unreadable.cloned(), ..Plan::default() };
    ghbk_faults::run(command, &plan, PATIENCE).unwrap()
}

#[track_caller]
fn expect(ended: &Ended, code: i32) -> String {
    let (stdout, stderr) = (String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
    assert_eq!(ended.status.code(), Some(code), "{:?}\n{stdout}\n{stderr}", ended.status);
    format!("{stdout}{stderr}")
}

/// A repository with a branch whose only file fills most of a pack, and other packs beside.
fn world_with_packs() -> (World, PathBuf) {
    let world = World::new();
    let site = world.add("acme/site");
    site.commit("main", "kept.txt", "kept").unwrap();
    world.run_json(0);
    let start = site.rev_parse("main").unwrap();
    site.set_ref("refs/heads/side", &start).unwrap();
    site.commit("side", "lost.bin", &noise(3, 300_000)).unwrap();
    world.run_json(0);
    site.commit("main", "later.txt", "later").unwrap();
    world.run_json(0);
    let mirror = world.mirror("acme/site");
    let packs = packs_in(&mirror.join("objects/pack")).unwrap();
    let largest = packs.into_iter().max_by_key(|pack| std::fs::metadata(&pack.pack).unwrap().len()).unwrap();
    (world, largest.pack)
}

fn page_in_the_middle(file: &Path) -> Unreadable {
    let middle = std::fs::metadata(file).unwrap().len() / 2 / PAGE_BYTES * PAGE_BYTES;
    Unreadable { file: file.to_owned(), bytes: middle..middle + PAGE_BYTES }
}

/// Seen in a trial: `verify`, every later `run`, `run --repair` and `restore` ended with signal 7.
#[test]
fn one_unreadable_page_of_a_pack_ends_nothing() {
    let (world, pack) = world_with_packs();
    let page = page_in_the_middle(&pack);

    let text = expect(&strike(&world, &["verify", "acme/site"], Some(&page)), 1);
    assert!(text.contains("cannot be read from byte ") && text.contains("Input/output error"), "{text}");
    // The damage is recorded, so each run looks at it, and ends with its summary all the same.
    let text = expect(&strike(&world, &["run"], Some(&page)), 1);
    assert!(text.contains("the mirror is damaged"), "{text}");

    let destination = world.folder.path().join("restored");
    let text = expect(&strike(&world, &["restore", "acme/site", destination.to_str().unwrap()], Some(&page)), 1);
    assert!(text.contains("not restored: refs/heads/side"), "{text}");
    assert_eq!(git(&destination, &["show", "main:later.txt"]), "later");
    git(&destination, &["fsck", "--full"]);

    // GitHub still has what cannot be read here.
    let text = expect(&strike(&world, &["run", "--repair", "acme/site"], Some(&page)), 0);
    assert!(text.contains("it was fetched anew"), "{text}");
    world.assert_mirrors("acme/site");
    world.run(&["verify", "--deep"]).expect(0);
}

/// The bad page holds nothing that the point in time needs, or what GitHub no longer has.
#[test]
fn what_is_not_behind_the_unreadable_page_comes_back() {
    let (world, pack) = world_with_packs();
    world.sandbox.edit("acme/site").delete_ref("refs/heads/side").unwrap();
    world.run_json(0);
    let page = page_in_the_middle(&pack);
    let destination = world.folder.path().join("restored");
    let text = expect(&strike(&world, &["restore", "acme/site", destination.to_str().unwrap()], Some(&page)), 0);
    assert!(text.contains("complete: 1 ref,"), "{text}");
    let text = expect(&strike(&world, &["run", "--repair", "acme/site"], Some(&page)), 1);
    assert!(text.contains("lost: refs/ghbk/kept/"), "{text}");
    world.run(&["verify", "--deep"]).expect(0);
    assert_eq!(world.run_json(0)["counts"]["unchanged"], 1);
}

/// Every file of a mirror in turn, in its first page: each command ends by itself, and says what is wrong.
#[test]
fn no_unreadable_file_of_a_mirror_ends_a_command() {
    let (world, _) = world_with_packs();
    let mirror = world.mirror("acme/site");
    let mut files = vec![mirror.join("HEAD"), mirror.join("config"), mirror.join("packed-refs")];
    for pack in packs_in(&mirror.join("objects/pack")).unwrap() {
        files.extend([pack.pack, pack.idx]);
    }
    for (number, file) in files.iter().enumerate() {
        let page = Unreadable { file: file.clone(), bytes: 0..PAGE_BYTES };
        let destination = world.folder.path().join(format!("restored-{number}"));
        for arguments in [
            &["verify", "acme/site"][..],
            &["snapshots", "acme/site"],
            &["restore", "acme/site", destination.to_str().unwrap()],
            &["status"],
        ] {
            let ended = strike(&world, arguments, Some(&page));
            let said = String::from_utf8_lossy(&ended.stderr);
            assert!(ended.status.code().is_some(), "{arguments:?} with {}: {:?} {said}", file.display(), ended.status);
            assert!(!said.contains("please report this"), "{arguments:?} with {}: {said}", file.display());
        }
    }
    assert!(git_output(&mirror, &["fsck", "--full"]).status.success());
}

/// A map of the store is SIGBUS as soon as a block of it cannot be read, a handle is stale or the file was cut by somebody else.
#[test]
fn the_store_is_never_mapped_into_memory() {
    let (world, pack) = world_with_packs();
    let site = world.sandbox.edit("acme/site");
    let packs_max = |command: &[&str]| {
        let mut command = world.ghbk(command);
        command.env("GHBK_STORE__PACKS_MAX", "4").env("GHBK_SLACK__NOTIFY", "never");
        let plan = Plan { folders: vec![world.root.clone()], ..Plan::default() };
        ghbk_faults::run(command, &plan, PATIENCE).unwrap()
    };
    let mut ended = Vec::new();
    site.force_push("main").unwrap();
    ended.push(("a force push", packs_max(&["run"])));
    site.delete_ref("refs/heads/side").unwrap();
    ended.push(("a deleted branch", packs_max(&["run"])));
    site.commit("main", "more.txt", "more").unwrap();
    ended.push(("packs that are merged", packs_max(&["run"])));
    ended.push(("verify", packs_max(&["verify", "--deep"])));
    ended.push(("snapshots", packs_max(&["snapshots", "acme/site"])));
    ended.push(("restore", packs_max(&["restore", "acme/site", world.folder.path().join("to").to_str().unwrap()])));
    ended.push(("repair", packs_max(&["run", "--repair", "acme/site"])));
    let clone = world.root.join("acme/other.git");
    world.add("acme/other");
    let origin = world.sandbox.repositories().join("acme/other.git");
    let cloned =
        std::process::Command::new("git").args(["clone", "--quiet", "--mirror"]).args([&origin, &clone]).status();
    assert!(cloned.unwrap().success());
    ended.push(("adopt", packs_max(&["adopt", "--as", "acme/other", clone.to_str().unwrap()])));
    for (what, ended) in &ended {
        expect(ended, 0);
        let mapped: Vec<_> = ended.calls.iter().filter(|call| call.name == "mmap").collect();
        assert!(mapped.is_empty() && !ended.calls.is_empty(), "{what}: {mapped:?}");
    }
    assert!(!pack.exists(), "packs were merged or replaced");
}
