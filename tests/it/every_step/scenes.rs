//! What ghbk is doing when it is struck.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use chrono::{TimeDelta, Utc};
use ghbk_faults::{Call, Fault, Plan};
use ghbk_sandbox::Options;
use serde_json::Value;

use super::holdings::Holdings;
use crate::world::{World, git};

/// A command, and the world in which it is about to be given.
pub(super) struct Scene {
    pub(super) name: &'static str,
    /// GitHub as it will be, and the store as it is.
    pub(super) world: World,
    /// `DEST` stands for a folder of the trial.
    pub(super) arguments: &'static [&'static str],
    pub(super) settings: &'static [(&'static str, &'static str)],
    /// How many packs a mirror may have before they are merged, if this is about merging.
    pub(super) packs_max: usize,
    /// Whether something on the store is damaged beforehand.
    pub(super) is_damaged: bool,
    /// Whether the command is meant to give history up.
    pub(super) may_drop_history: bool,
    /// Whether the command only reads the store, and its exit status is what counts.
    pub(super) only_reads: bool,
}

impl Scene {
    fn new(name: &'static str, world: World, arguments: &'static [&'static str]) -> Self {
        Self {
            name,
            world,
            arguments,
            settings: &[],
            packs_max: 0,
            is_damaged: false,
            may_drop_history: false,
            only_reads: false,
        }
    }

    /// Says whether the command is a run, so that giving it again is all that a person could do.
    pub(super) fn is_plain_run(&self) -> bool {
        self.arguments == RUN
    }
}

const RUN: &[&str] = &["run", "--json"];

/// Three repositories, one of them with a wiki, and one without any commit.
fn small_organisation() -> World {
    let world = World::new();
    let one = world.add("acme/one");
    one.commit("topic", "topic", "1").unwrap();
    one.annotated_tag("v1", "refs/heads/main").unwrap();
    world.add("acme/one.wiki");
    let two = world.add("acme/two");
    two.commit("next", "next", "1").unwrap();
    world.add("acme/three");
    world
}

/// Changes of every kind: new commits, a force push, a deleted branch, a new tag, another default branch.
fn change_everything(world: &World) {
    let one = world.sandbox.edit("acme/one");
    one.force_push("main").unwrap();
    one.delete_ref("refs/heads/topic").unwrap();
    world.sandbox.edit("acme/one.wiki").commit("main", "page", "new").unwrap();
    let two = world.sandbox.edit("acme/two");
    two.commit("main", "more", "new").unwrap();
    two.annotated_tag("v2", "refs/heads/main").unwrap();
    two.set_default_branch("next").unwrap();
}

pub(super) fn first_mirror() -> Scene {
    Scene::new("first mirror", small_organisation(), RUN)
}

pub(super) fn update() -> Scene {
    let world = small_organisation();
    world.run_json(0);
    change_everything(&world);
    Scene::new("update with a force push", world, RUN)
}

/// A rename, two names that are swapped, and a name that another repository took.
pub(super) fn rename() -> Scene {
    let world = small_organisation();
    world.add("acme/four");
    world.run_json(0);
    let rename = |from: &str, to: &str| world.sandbox.rename(from, to).unwrap();
    rename("acme/one", "acme/uno");
    rename("acme/two", "acme/between");
    rename("acme/three", "acme/two");
    rename("acme/between", "acme/three");
    world.sandbox.delete("acme/four").unwrap();
    let four = world.add("acme/four");
    four.set("id", "424242").unwrap();
    four.commit("main", "another", "four").unwrap();
    Scene::new("rename", world, RUN)
}

const FEW_PACKS: &[(&str, &str)] = &[("GHBK_STORE__PACKS_MAX", "4")];
const FEW_PACKS_AND_SHORT_MEMORY: &[(&str, &str)] =
    &[("GHBK_STORE__PACKS_MAX", "4"), ("GHBK_RETENTION__KEEP", "4 weeks")];
/// As many packs as there may be.
const ROUNDS: u32 = 4;

/// So many changes, a week apart, that the next one makes too many packs.
fn with_packs() -> World {
    let world = World::new();
    for name in ["acme/one", "acme/two"] {
        world.add(name);
    }
    for round in 0..=ROUNDS {
        for name in ["acme/one", "acme/two"] {
            world.sandbox.edit(name).commit("main", "round", &round.to_string()).unwrap();
        }
        world.sandbox.edit("acme/one").force_push("main").unwrap();
        if round < ROUNDS {
            let weeks_ago = TimeDelta::weeks((10 - round).into());
            world.run_at(Utc::now() - weeks_ago, &[]);
        }
    }
    world
}

pub(super) fn consolidation() -> Scene {
    Scene { settings: FEW_PACKS, packs_max: 4, ..Scene::new("consolidation", with_packs(), RUN) }
}

pub(super) fn retention() -> Scene {
    let world = with_packs();
    Scene {
        settings: FEW_PACKS_AND_SHORT_MEMORY,
        packs_max: 4,
        may_drop_history: true,
        ..Scene::new("retention", world, RUN)
    }
}

/// Two repositories with large files, one of which both have.
fn with_large_files() -> World {
    let world = World::new();
    for name in ["acme/one", "acme/two"] {
        let editor = world.add(name);
        for content in ["the same\n", name, "three three\n"] {
            editor.large_file("main", &format!("{}.bin", content.len()), content.as_bytes()).unwrap();
        }
    }
    world
}

pub(super) fn large_files() -> Scene {
    Scene::new("first fetch of large files", with_large_files(), RUN)
}

pub(super) fn update_of_large_files() -> Scene {
    let world = with_large_files();
    world.run_json(0);
    for name in ["acme/one", "acme/two"] {
        let editor = world.sandbox.edit(name);
        editor.large_file("main", "3.bin", b"new\n").unwrap();
        editor.large_file("next", "4.bin", name.to_uppercase().as_bytes()).unwrap();
    }
    Scene::new("update of large files", world, RUN)
}

/// Nothing is new, and something is owed.
pub(super) fn owed_large_files() -> Scene {
    let world = with_large_files();
    world.sandbox.fault(ghbk_sandbox::Fault::on("/media/acme/*").status(500));
    world.run_json(1);
    world.sandbox.clear_faults();
    Scene::new("large files that are owed", world, RUN)
}

pub(super) fn repair_of_large_files() -> Scene {
    let world = with_large_files();
    world.run_json(0);
    let (path, _) = crate::world::files_below(&world.mirror("acme/one").join("lfs/objects")).swap_remove(0);
    fs::remove_file(&path).unwrap();
    fs::write(&path, "something else").unwrap();
    let arguments = &["run", "--json", "--repair", "acme/one"];
    Scene { is_damaged: true, ..Scene::new("repair of large files", world, arguments) }
}

/// Two repositories in which people have written.
fn with_issues() -> World {
    let world = World::with(|options| Options { graphql_rate_limit: u32::MAX, ..options });
    for name in ["acme/one", "acme/two"] {
        world.add(name);
        let tracker = world.sandbox.tracker(name);
        tracker.open_issue("It breaks", "Every time.");
        tracker.comment(1, "Here, too.");
        tracker.open_pull("Mend it", "", "mend", "main");
        tracker.review_comment(2, "src/lib.rs", 3, "Why?");
    }
    world
}

pub(super) fn issues() -> Scene {
    Scene::new("first fetch of issues", with_issues(), RUN)
}

pub(super) fn update_of_issues() -> Scene {
    let world = with_issues();
    world.run_json(0);
    for name in ["acme/one", "acme/two"] {
        let tracker = world.sandbox.tracker(name);
        tracker.edit_body(1, "Only on Sundays.");
        tracker.comment(2, "Next.");
        tracker.open_issue("Another", "");
    }
    Scene::new("update of issues", world, RUN)
}

pub(super) fn repair_of_issues() -> Scene {
    let world = with_issues();
    world.run_json(0);
    spoil_an_index(&world.root.join("acme/one.meta"));
    let arguments = &["run", "--json", "--repair", "acme/one"];
    Scene { is_damaged: true, ..Scene::new("repair of issues", world, arguments) }
}

pub(super) fn restore() -> Scene {
    let world = small_organisation();
    world.run_json(0);
    change_everything(&world);
    world.run_json(0);
    Scene::new("restore", world, &["restore", "acme/one", "DEST", "--json"])
}

/// Without its index a pack can be read all the same, so nothing is lost for good.
fn spoil_an_index(mirror: &Path) {
    let idx = fs::read_dir(mirror.join("objects/pack")).unwrap().map(|entry| entry.unwrap().path());
    let idx = idx.filter(|path| path.extension() == Some("idx".as_ref())).min().unwrap();
    fs::remove_file(&idx).unwrap();
    fs::write(&idx, "no index").unwrap();
}

pub(super) fn repair() -> Scene {
    let world = small_organisation();
    world.run_json(0);
    change_everything(&world);
    world.run_json(0);
    spoil_an_index(&world.mirror("acme/one"));
    Scene { is_damaged: true, ..Scene::new("repair", world, &["run", "--json", "--repair", "acme/one"]) }
}

pub(super) fn adoption() -> Scene {
    let world = small_organisation();
    for (name, place, options) in [("acme/one", "one", "--quiet"), ("acme/two", "acme/two.git", "--mirror")] {
        let from = world.sandbox.repositories().join(format!("{name}.git"));
        let to = world.root.join(place);

        git(
            &from,
            &["clone", "--quiet", "--template=", options, &format!("file://{}", from.display()), to.to_str().unwrap()],
        );
        let git_dir = if to.join(".git").exists() { to.join(".git") } else { to };
        git(&git_dir, &["repack", "-a", "-d", "--quiet"]);
        git(&git_dir, &["remote", "set-url", "origin", &format!("{}/{name}.git", world.sandbox.url())]);
    }
    Scene::new("adoption", world, &["adopt", "--json"])
}

pub(super) fn verification() -> Scene {
    let world = small_organisation();
    world.run_json(0);
    Scene { only_reads: true, ..Scene::new("verification", world, &["verify", "--deep", "--json"]) }
}

/// Lets a command be killed at one rename or removal after the other, until it leaves the store in a certain state: the
/// scene that follows is the run which finds that.
fn cut_off(before: Scene, name: &'static str, is_so: impl Fn(&World) -> bool) -> Scene {
    let world = &before.world;
    let command = || {
        let mut command = world.ghbk(before.arguments);
        // So that calls come in the same order each time, or nearly so.
        command.env("GHBK_SLACK__NOTIFY", "never").env("GHBK_LIMITS__CONCURRENCY", "1");
        command.envs(before.settings.iter().copied());
        command
    };
    let kept = tempfile::tempdir().unwrap();
    let copy = |from: &Path, to: &Path| {
        let _ = fs::remove_dir_all(to);
        assert!(Command::new("cp").arg("-a").args([from, to]).status().unwrap().success());
    };
    copy(&world.root, &kept.path().join("store"));
    let attempt = |fault| {
        let plan = Plan { folders: vec![world.root.clone()], fault, ..Plan::default() };
        ghbk_faults::run(command(), &plan, Duration::from_mins(1)).unwrap()
    };
    let calls = attempt(None).calls;
    let leaves_a_name = |call: &Call| call.name.starts_with("rename") || call.name.starts_with("unlink");
    let there = calls.iter().enumerate().filter(|(_, call)| leaves_a_name(call)).map(|(at, _)| at);
    let near = (0..5).flat_map(|offset| there.clone().map(move |at| at + offset));
    for at in near {
        copy(&kept.path().join("store"), &world.root);
        let ended = attempt(Some((at, Fault::Kill)));
        if ended.status.code().is_none() && is_so(world) {
            return Scene { name, arguments: RUN, is_damaged: false, ..before };
        }
    }
    panic!("{name}: no call leaves the store like this");
}

fn names_in(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

fn has_pack_without_index(world: &World, name: &str) -> bool {
    let names = names_in(&world.mirror(name).join("objects/pack"));
    let has_none =
        |name: &String| name.strip_suffix(".pack").is_some_and(|stem| !names.contains(&format!("{stem}.idx")));
    names.iter().filter(|name| name.starts_with("pack-")).any(has_none)
}

pub(super) fn cut_off_first_mirror() -> Scene {
    cut_off(first_mirror(), "a first mirror cut off", |world| {
        let incoming = world.root.join(".ghbk/incoming");
        let parts = names_in(&incoming);
        parts.iter().flat_map(|part| names_in(&incoming.join(part))).any(|name| name.ends_with(".git"))
    })
}

pub(super) fn cut_off_update() -> Scene {
    cut_off(update(), "an update cut off between pack and index", |world| has_pack_without_index(world, "acme/one"))
}

/// The wiki has left, the code has not.
pub(super) fn cut_off_rename() -> Scene {
    cut_off(rename(), "a rename cut off between wiki and code", |world| {
        let names = names_in(&world.root.join(".ghbk/moving"));
        let is_alone = |name: &String| {
            let stem = name.strip_suffix(".wiki.git");
            stem.is_some_and(|stem| !names.contains(&format!("{stem}.git")))
        };
        names.iter().any(is_alone)
    })
}

/// The merged pack is there, and one of the old ones half gone.
pub(super) fn cut_off_consolidation() -> Scene {
    cut_off(consolidation(), "a consolidation cut off", |world| {
        has_pack_without_index(world, "acme/one") || has_pack_without_index(world, "acme/two")
    })
}

/// The damaged mirror is set aside, the new one is not in its place.
pub(super) fn cut_off_repair() -> Scene {
    cut_off(repair(), "a repair cut off", |world| {
        !names_in(&world.root.join(".ghbk/replacing")).is_empty() && !world.mirror("acme/one").exists()
    })
}

/// The new mirror of the second clone is built, the clone still in its place.
pub(super) fn cut_off_adoption() -> Scene {
    cut_off(adoption(), "an adoption cut off", |world| {
        let is_clone = git2::Config::open(&world.mirror("acme/two").join("config"))
            .is_ok_and(|config| config.get_i64("ghbk.id").is_err());
        is_clone && world.mirror("acme/one").exists() && !names_in(&world.root.join(".ghbk/replacing")).is_empty()
    })
}

/// Checks what a restore left at its destination: the repository whole, or nothing.
pub(super) fn check_destination(destination: &Path, of: &Holdings, problems: &mut Vec<String>) -> bool {
    if !destination.exists() {
        return false;
    }
    let fsck = crate::world::git_output(destination, &["fsck", "--full"]);
    if !fsck.status.success() {
        problems.push(format!("what was restored is not whole: {fsck:?}"));
    }
    let refs: Vec<_> = crate::world::mirrored_refs(destination)
        .iter()
        .map(|line| line.splitn(3, ' ').take(2).collect::<Vec<_>>().join(" "))
        .collect();
    if !of.values().any(|holding| holding.has_refs(&refs)) {
        problems.push(format!("what was restored is no mirror's content: {refs:?}"));
    }
    true
}

/// Says which repositories a summary or a report of a verification names as failed; none if it is neither.
pub(super) fn failed(stdout: &[u8]) -> Option<Vec<String>> {
    let report: Value = serde_json::from_slice(stdout).ok()?;
    let name = |of: &Value| of["repository"].as_str().unwrap_or_default().to_owned();
    if let Some(verified) = report.as_array() {
        let is_damaged = |one: &&Value| one["damage"].as_array().is_some_and(|damage| !damage.is_empty());
        return Some(verified.iter().filter(is_damaged).map(name).collect());
    }
    // An adoption's report holds its summary, and says of each clone that it leaves alone why.
    let summary = report.get("summary").unwrap_or(&report);
    let mut failed: Vec<String> = summary.get("failures")?.as_array()?.iter().map(name).collect();
    let found = report.get("found").and_then(Value::as_array).into_iter().flatten();
    failed.extend(found.filter(|clone| !clone["left_alone"].is_null()).filter_map(|clone| {
        let folder = Path::new(clone["clone"].as_str()?).file_name()?.to_string_lossy().into_owned();
        Some(format!("acme/{}", folder.trim_end_matches(".git")))
    }));
    Some(failed)
}
