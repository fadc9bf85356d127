//! A mirror that lost something is never "unchanged": what each run notices without reading contents.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::world::{World, finish, flip_in_the_middle, git, git_output};

/// A mirror of two packs, known to the index as it is.
fn known_mirror(world: &World) -> PathBuf {
    let site = world.add("acme/site");
    world.run_json(0);
    site.commit("main", "more", "1").unwrap();
    world.run_json(0);
    assert_eq!(world.run_json(0)["counts"]["unchanged"], 1);
    world.mirror("acme/site")
}

fn files_with(mirror: &Path, ending: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(mirror.join("objects/pack")).unwrap();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.to_string_lossy().ends_with(ending));
    files.sort();
    files
}

fn cut(file: &Path) {
    let bytes = fs::read(file).unwrap();
    fs::write(file, &bytes[..bytes.len() - 1]).unwrap();
}

fn failures(summary: &Value) -> String {
    summary["failures"].to_string()
}

/// Seen in a trial: each of these stayed "unchanged" for up to twelve weeks.
#[test]
fn a_mirror_that_lost_something_is_never_unchanged() {
    type Damage = fn(&Path);
    let ways: [(&str, Damage, &str); 11] = [
        ("all objects", |m| fs::remove_dir_all(m.join("objects")).unwrap(), "is missing"),
        ("all packs", |m| fs::remove_dir_all(m.join("objects/pack")).unwrap(), "is missing"),
        ("a pack", |m| fs::remove_file(&files_with(m, ".pack")[0]).unwrap(), ".pack is missing"),
        ("an index", |m| fs::remove_file(&files_with(m, ".idx")[0]).unwrap(), ".idx is missing"),
        ("the end of a pack", |m| cut(&files_with(m, ".pack")[1]), "bytes instead of"),
        ("the end of an index", |m| cut(&files_with(m, ".idx")[1]), "bytes instead of"),
        ("the content of a pack", |m| fs::write(&files_with(m, ".pack")[0], "").unwrap(), "has 0 bytes instead of"),
        ("its config", |m| fs::remove_file(m.join("config")).unwrap(), "it has no config"),
        ("its refs folder", |m| fs::remove_dir(m.join("refs")).unwrap(), "it has no folder refs"),
        ("its list of refs", |m| fs::remove_file(m.join("packed-refs")).unwrap(), "it has no packed-refs"),
        ("a name in its list of refs", |m| cut(&m.join("packed-refs")), "in the middle of a line"),
    ];
    for (what, damage, words) in ways {
        let world = World::new();
        let mirror = known_mirror(&world);
        damage(&mirror);
        for again in ["at once", "in every run after that"] {
            let summary = world.run_json(1);
            assert!(failures(&summary).contains(words), "{what} {again}: {summary:#}");
            assert!(failures(&summary).contains("ghbk run --repair acme/site"), "{what}: {summary:#}");
            assert_eq!(summary["counts"]["unchanged"], 0, "{what}: {summary:#}");
        }
        // What only the store had, such as snapshots, may be lost for good, which is said.
        let ended = world.run(&["run", "--repair", "acme/site"]);
        assert!(ended.stdout.contains("it was fetched anew"), "{what}: {ended:#?}");
        world.assert_mirrors("acme/site");
        assert_eq!(world.run_json(0)["counts"]["unchanged"], 1, "{what}");
    }
}

#[test]
fn a_lost_head_is_written_again_and_told() {
    for damage in [|head: &Path| fs::remove_file(head).unwrap(), |head: &Path| fs::write(head, "").unwrap()] {
        let world = World::new();
        let mirror = known_mirror(&world);
        damage(&mirror.join("HEAD"));
        let summary = world.run_json(0);
        assert_eq!(summary["counts"]["updated"], 1, "{summary:#}");
        assert!(summary["warnings"].to_string().contains("HEAD of the mirror was missing or changed"), "{summary:#}");
        world.assert_mirrors("acme/site");
        assert_eq!(world.run_json(0)["counts"]["unchanged"], 1);
        world.run(&["verify"]).expect(0);
    }
}

/// What git does in a mirror is right as long as the mirror is whole.
#[test]
fn packs_that_git_made_anew_are_accepted_once_they_are_verified() {
    let world = World::new();
    let mirror = known_mirror(&world);
    git(&mirror, &["gc", "--quiet", "--prune=now"]);
    assert_eq!(world.run_json(0)["counts"]["unchanged"], 1);
    let packs = files_with(&mirror, ".pack");
    assert_eq!(packs.len(), 1);
    // They are what the next run expects.
    fs::remove_file(&packs[0]).unwrap();
    assert!(failures(&world.run_json(1)).contains(".pack is missing"));
}

/// The index is derived: what the records know of a mirror survives it.
#[test]
fn a_lost_index_does_not_hide_a_lost_pack() {
    let world = World::new();
    let mirror = known_mirror(&world);
    fs::remove_file(world.root.join(".ghbk/index.json")).unwrap();
    fs::remove_file(&files_with(&mirror, ".pack")[0]).unwrap();
    fs::remove_file(&files_with(&mirror, ".idx")[0]).unwrap();
    assert!(failures(&world.run_json(1)).contains("is missing"));
}

/// A ref that git writes into a mirror hides the stored one: a clone of the mirror gives another `main` than the run says.
#[test]
fn what_is_written_into_a_mirror_is_told_and_kept_by_a_repair() {
    let world = World::new();
    let mirror = known_mirror(&world);
    let clone = world.folder.path().join("clone");
    let cloned = std::process::Command::new("git").args(["clone", "--quiet"]).args([&mirror, &clone]).status().unwrap();
    assert!(cloned.success());
    git(&clone.join(".git"), &["config", "user.email", "a@example.com"]);
    git(&clone.join(".git"), &["config", "user.name", "a"]);
    git(&clone.join(".git"), &["commit", "--quiet", "--allow-empty", "-m", "by hand"]);
    let pushed = git(&clone.join(".git"), &["rev-parse", "HEAD"]).trim().to_owned();
    for name in ["main", "mine"] {
        let refused =
            git_output(&clone.join(".git"), &["push", "--quiet", "origin", &format!("HEAD:refs/heads/{name}")]);
        assert!(!refused.status.success(), "a mirror takes no pushes");
    }
    // Who insists gets it in all the same.
    git(&mirror, &["config", "--unset", "receive.hideRefs"]);
    git(&clone.join(".git"), &["push", "--quiet", "origin", "HEAD:refs/heads/main", "HEAD:refs/heads/mine"]);
    world.sandbox.edit("acme/site").commit("main", "on GitHub", "2").unwrap();
    for updated in [true, false] {
        let summary = world.run_json(1);
        assert!(failures(&summary).contains("refs/heads/main is a loose ref"), "{updated}: {summary:#}");
        assert!(failures(&summary).contains("--repair"), "{summary:#}");
    }
    let ended = world.run(&["run", "--repair", "acme/site"]).expect(0);
    assert!(ended.stdout.contains("it was fetched anew"), "{ended:#?}");
    world.assert_mirrors("acme/site");
    assert_eq!(git(&mirror, &["rev-parse", &format!("refs/ghbk/kept/{pushed}")]).trim(), pushed);
    assert_eq!(world.run_json(0)["counts"]["unchanged"], 1);
    world.run(&["verify", "--deep"]).expect(0);
}

/// Regression: with the index and all records lost, whatever was there was taken for what the last run had left, and mirrors
/// without any object passed for stored as GitHub has them.
#[test]
fn a_mirror_of_which_no_record_is_left_is_verified_before_it_is_taken_for_good() {
    type Damage = fn(&Path);
    let ways: [(&str, Damage); 5] = [
        ("all packs", |m| fs::remove_dir_all(m.join("objects/pack")).unwrap()),
        ("the larger pack", |m| remove_pack(&larger_pack(m))),
        ("the end of a pack", |m| cut(&files_with(m, ".pack")[1])),
        ("a bit of a pack", |m| flip_in_the_middle(&larger_pack(m))),
        ("nothing", |_| ()),
    ];
    for (what, damage) in ways {
        let world = World::new();
        let mirror = known_mirror(&world);
        damage(&mirror);
        fs::remove_file(world.root.join(".ghbk/index.json")).unwrap();
        fs::remove_dir_all(world.root.join(".ghbk/runs")).unwrap();
        for again in ["at once", "in every run after that"] {
            // The proof of some mirrors is not what has to notice it.
            let mut command = world.ghbk(&["run", "--json"]);
            command.env("GHBK_VERIFY__RESTORE", "false").env("GHBK_VERIFY__FULL_EVERY", "5000 weeks");
            let summary = finish(&mut command).expect(i32::from(what != "nothing")).json();
            let is_told = failures(&summary).contains("the mirror is damaged");
            assert_eq!(is_told, what != "nothing", "{what} {again}: {summary:#}");
        }
    }
}

/// Mirrors of older versions took pushes for ever, though a ref that is pushed hides the stored one.
#[test]
fn a_mirror_of_an_older_version_refuses_pushes_from_the_next_run_on() {
    let world = World::new();
    let mirror = known_mirror(&world);
    git(&mirror, &["config", "--unset", "receive.hideRefs"]);
    git(&mirror, &["config", "gc.pruneExpire", "never"]);
    // Older versions recorded neither packs nor sizes.
    fs::remove_file(world.root.join(".ghbk/index.json")).unwrap();
    fs::remove_dir_all(world.root.join(".ghbk/runs")).unwrap();
    world.run_json(0);
    assert_eq!(git(&mirror, &["config", "receive.hideRefs"]).trim(), "refs");
    assert_eq!(git(&mirror, &["config", "gc.pruneExpire"]).trim(), "never", "what somebody else has set stays");
    world.run(&["verify"]).expect(0);
}

fn larger_pack(mirror: &Path) -> PathBuf {
    files_with(mirror, ".pack").into_iter().max_by_key(|pack| fs::metadata(pack).unwrap().len()).unwrap()
}

fn remove_pack(pack: &Path) {
    fs::remove_file(pack).unwrap();
    fs::remove_file(pack.with_extension("idx")).unwrap();
}

/// Regression: no run looked at the mirror of a repository that GitHub had deleted, and each said "mirror kept" of it, though
/// nothing of it was left. It may be the only copy in the world.
#[test]
fn a_mirror_whose_repository_is_not_backed_up_any_more_is_looked_at_by_each_run() {
    type Damage = fn(&Path);
    let ways: [(&str, Damage, &str); 4] = [
        ("all packs", |m| fs::remove_dir_all(m.join("objects/pack")).unwrap(), "the mirror is damaged"),
        ("a loose ref", |m| drop(git(m, &["update-ref", "refs/heads/x", "main"])), "is a loose ref"),
        ("the list of refs", |m| fs::remove_file(m.join("packed-refs")).unwrap(), "it has no packed-refs"),
        ("the whole of it", |m| fs::remove_dir_all(m).unwrap(), "its mirror is missing: "),
    ];
    for is_excluded in [false, true] {
        for (what, damage, words) in ways {
            let world = World::new();
            let mirror = known_mirror(&world);
            world.add("acme/other");
            world.run_json(0);
            if !is_excluded {
                world.sandbox.delete("acme/site").unwrap();
            }
            let run = |code: i32| {
                let mut command = world.ghbk(&["run", "--json"]);
                command.env("GHBK_VERIFY__RESTORE", "false").env("GHBK_VERIFY__FULL_EVERY", "5000 weeks");
                if is_excluded {
                    command.env("GHBK_GITHUB__EXCLUDE", "site");
                }
                finish(&mut command).expect(code).json()
            };
            run(0);
            damage(&mirror);
            let summary = run(1);
            assert!(failures(&summary).contains(words), "{what}: {summary:#}");
            let is_there = mirror.exists();
            assert_eq!(summary["gone"].as_array().unwrap().len(), usize::from(!is_excluded && is_there), "{summary:#}");
        }
    }
}

/// `git gc` by hand in the mirror of a repository that is gone is no damage, and read once.
#[test]
fn packs_made_anew_in_a_mirror_that_is_not_backed_up_any_more_are_verified_once() {
    let world = World::new();
    let mirror = known_mirror(&world);
    world.sandbox.delete("acme/site").unwrap();
    world.add("acme/other");
    let run = || {
        let mut command = world.ghbk(&["run", "--json"]);
        command.env("GHBK_VERIFY__RESTORE", "false").env("GHBK_VERIFY__FULL_EVERY", "5000 weeks");
        finish(&mut command).expect(0).json()["proof"]["mirrors_verified"].as_u64().unwrap()
    };
    run();
    git(&mirror, &["gc", "--quiet"]);
    assert_eq!((run(), run()), (1, 0));
}

/// Settings under which no mirror is verified because its turn has come.
const NO_PROOF: [(&str, &str); 2] = [("GHBK_VERIFY__RESTORE", "false"), ("GHBK_VERIFY__FULL_EVERY", "5000 weeks")];

fn run_without_proof(world: &World, settings: &[(&str, &str)], code: i32) -> Value {
    let mut command = world.ghbk(&["run", "--json"]);
    finish(command.envs(NO_PROOF).envs(settings.iter().copied())).expect(code).json()
}

/// Regression: damage that merging packs came across was a warning, and the run was good.
#[test]
fn damage_found_while_packs_are_merged_is_a_failure() {
    let world = World::new();
    let mirror = known_mirror(&world);
    let site = world.sandbox.edit("acme/site");
    for name in ["three", "four"] {
        site.commit("main", name, "1").unwrap();
        run_without_proof(&world, &[], 0);
    }
    flip_in_the_middle(&larger_pack(&mirror));
    site.commit("main", "five", "1").unwrap();
    let few = [("GHBK_STORE__PACKS_MAX", "4")];
    for _ in ["when it is updated", "in every run after that"] {
        let summary = run_without_proof(&world, &few, 1);
        assert!(failures(&summary).contains("the mirror is damaged"), "{summary:#}");
    }
    // A snapshot of the damaged pack is lost, and told.
    world.run(&["run", "--repair", "acme/site"]).expect(1);
    run_without_proof(&world, &few, 0);
}

/// Regression: nothing looked at the mirror of a wiki that GitHub no longer has, or that is switched off.
#[test]
fn the_mirror_of_a_wiki_that_is_gone_or_switched_off_is_looked_at() {
    for (what, settings, told) in [
        ("gone", &[][..], "no longer in its place, and GitHub no longer has the wiki"),
        ("switched off", &[("GHBK_GITHUB__WIKIS", "false")], "it has no packed-refs"),
    ] {
        let world = World::new();
        world.add("acme/site");
        world.add("acme/site.wiki");
        world.run_json(0);
        if what == "gone" {
            fs::remove_dir_all(world.sandbox.repositories().join("acme/site.wiki.git")).unwrap();
        }
        let summary = run_without_proof(&world, settings, 0);
        let kept =
            summary["warnings"].to_string().contains("acme/site.wiki is no longer on GitHub; its mirror is kept");
        assert_eq!(kept, what == "gone", "{summary:#}");
        let mirror = world.mirror("acme/site.wiki");
        cut(&files_with(&mirror, ".pack")[0]);
        let summary = run_without_proof(&world, settings, 1);
        assert!(failures(&summary).contains("acme/site.wiki"), "{what}: {summary:#}");
        fs::remove_dir_all(&mirror).unwrap();
        let summary = run_without_proof(&world, settings, 1);
        assert!(failures(&summary).contains("acme/site.wiki"), "{what}: {summary:#}");
        assert!(failures(&summary).contains(told), "{what}: {summary:#}");
        assert!(!summary["warnings"].to_string().contains("mirror is kept"), "{what}: {summary:#}");
    }
}

/// Regression: packs that a run had published when it was killed were in no list, and their loss was noticed by nobody.
#[test]
fn packs_that_a_killed_run_published_are_missed_like_others() {
    let world = World::new();
    let mirror = known_mirror(&world);
    let before = files_with(&mirror, ".pack");
    let index = world.root.join(".ghbk/index.json");
    let index_before = fs::read(&index).unwrap();
    world.sandbox.edit("acme/site").commit("main", "published", "1").unwrap();
    run_without_proof(&world, &[], 0);
    // As a kill right after the publication leaves it: the record ends with what was under way.
    let records = world.root.join(".ghbk/runs");
    let newest = fs::read_dir(&records).unwrap().map(|record| record.unwrap().path()).max().unwrap();
    let text = fs::read_to_string(&newest).unwrap();
    let end = text.find("\"kind\":\"outcome\"").unwrap();
    fs::write(&newest, &text[..=text[..end].rfind('\n').unwrap()]).unwrap();
    fs::write(&index, index_before).unwrap();

    run_without_proof(&world, &[], 0);
    let published = files_with(&mirror, ".pack").into_iter().find(|pack| !before.contains(pack)).unwrap();
    remove_pack(&published);
    let summary = run_without_proof(&world, &[], 1);
    assert!(failures(&summary).contains("the mirror is damaged"), "{summary:#}");
}

#[test]
fn a_wiki_whose_head_is_lost_gets_it_again_after_the_loss_of_the_index() {
    let world = World::new();
    world.add("acme/site");
    world.add("acme/site.wiki");
    world.run_json(0);
    let head = world.mirror("acme/site.wiki").join("HEAD");
    for mirror in ["acme/site", "acme/site.wiki"] {
        fs::remove_file(world.mirror(mirror).join("HEAD")).unwrap();
    }
    fs::remove_file(world.root.join(".ghbk/index.json")).unwrap();
    let summary = world.run_json(0);
    assert_eq!(summary["warnings"].as_array().unwrap().len(), 2, "{summary:#}");
    assert!(head.exists());
    assert_eq!(world.run_json(0)["warnings"], serde_json::json!([]));
}
