//! What an interruption left is finished or told, and one thing that cannot be read stops nobody else.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::world::{World, git};

/// Makes the newest run one that was interrupted.
pub(crate) fn interrupt(world: &World) {
    let mut records: Vec<PathBuf> =
        fs::read_dir(world.root.join(".ghbk/runs")).unwrap().map(|entry| entry.unwrap().path()).collect();
    records.sort();
    let newest = records.pop().unwrap();
    let text = fs::read_to_string(&newest).unwrap();
    let lines: Vec<&str> = text.lines().filter(|line| !line.contains("\"kind\":\"summary\"")).collect();
    fs::write(&newest, lines.join("\n") + "\n").unwrap();
}

fn failed(summary: &Value) -> Vec<&str> {
    let failures = summary["failures"].as_array().unwrap();
    failures.iter().map(|failure| failure["repository"].as_str().unwrap()).collect()
}

/// Puts something in the place of a file that cannot be read as one.
fn make_unreadable(file: &Path) -> PathBuf {
    let away = file.with_extension("away");
    fs::rename(file, &away).unwrap();
    fs::create_dir(file).unwrap();
    away
}

fn make_readable(file: &Path, away: &Path) {
    fs::remove_dir(file).unwrap();
    fs::rename(away, file).unwrap();
}

fn two_repositories() -> World {
    let world = World::new();
    for name in ["acme/one", "acme/two"] {
        world.add(name);
    }
    world.run_json(0);
    for name in ["acme/one", "acme/two"] {
        world.sandbox.edit(name).force_push("main").unwrap();
    }
    world
}

#[test]
fn one_mirror_that_cannot_be_read_stops_no_other() {
    for with_index in [true, false] {
        let world = two_repositories();
        interrupt(&world);
        if !with_index {
            fs::remove_file(world.root.join(".ghbk/index.json")).unwrap();
        }
        let config = world.mirror("acme/two").join("config");
        let away = make_unreadable(&config);
        // Twice: as long as it lasts, every run says so.
        for _ in 0..2 {
            let summary = world.run_json(1);
            assert!(failed(&summary).contains(&"acme/two"), "{summary:#}");
            assert!(!failed(&summary).contains(&"acme/one"), "{summary:#}");
            assert_eq!(summary["counts"]["created"], 0, "{summary:#}");
            world.assert_mirrors("acme/one");
            let verify = world.run(&["verify"]);
            assert_eq!(verify.code, Some(1), "{verify:#?}");
        }
        make_readable(&config, &away);
        let summary = world.run_json(0);
        assert_eq!(summary["counts"]["created"], 0, "{summary:#}");
        world.assert_mirrors("acme/two");
        let snapshots = world.run(&["snapshots", "acme/two", "--json"]).expect(0).json();
        assert!(snapshots[0]["snapshots"].as_array().unwrap().len() >= 2, "{snapshots:#}");
        world.run(&["verify", "--deep"]).expect(0);
    }
}

#[test]
fn a_renamed_repository_whose_mirror_cannot_be_read_is_not_made_anew() {
    let world = two_repositories();
    world.sandbox.rename("acme/two", "acme/zwei").unwrap();
    interrupt(&world);
    let config = world.mirror("acme/two").join("config");
    let away = make_unreadable(&config);
    for with_index in [true, false] {
        if !with_index {
            fs::remove_file(world.root.join(".ghbk/index.json")).unwrap();
        }
        let summary = world.run_json(1);
        assert_eq!(summary["counts"]["created"], 0, "{summary:#}");
        assert!(failed(&summary).contains(&"acme/zwei"), "{summary:#}");
        assert!(!world.mirror("acme/zwei").exists());
    }
    make_readable(&config, &away);
    let summary = world.run_json(0);
    assert_eq!(summary["counts"]["renamed"], 1, "{summary:#}");
    world.assert_mirrors("acme/zwei");
}

#[test]
fn what_is_no_mirror_stops_nobody() {
    let world = two_repositories();
    interrupt(&world);
    let incoming = world.root.join(".ghbk/incoming");
    fs::create_dir_all(&incoming).unwrap();
    fs::write(incoming.join("a-file"), "").unwrap();
    // Where the folders of mirrors that are being built are to be.
    (0..32).for_each(|part| drop(fs::write(incoming.join(part.to_string()), "")));
    // What an older ghbk was building.
    fs::create_dir_all(incoming.join("4711.git/objects")).unwrap();
    fs::create_dir_all(world.root.join(".ghbk/replacing/nothing.git")).unwrap();
    fs::create_dir_all(world.root.join(".ghbk/moving/nothing.wiki.git")).unwrap();
    let summary = world.run_json(1);
    for part in fs::read_dir(&incoming).unwrap().map(|entry| entry.unwrap().path()) {
        assert_eq!(fs::read_dir(&part).unwrap().count(), 0, "{}", part.display());
    }
    let expected = [".ghbk/moving/nothing.wiki", ".ghbk/replacing/nothing"];
    for place in expected {
        assert!(failed(&summary).contains(&place), "{summary:#}");
    }
    assert_eq!(failed(&summary).len(), expected.len(), "{summary:#}");
    for name in ["acme/one", "acme/two"] {
        world.assert_mirrors(name);
    }
    fs::remove_dir(world.root.join(".ghbk/replacing/nothing.git")).unwrap();
    fs::remove_dir(world.root.join(".ghbk/moving/nothing.wiki.git")).unwrap();
    world.run_json(0);
}

/// Takes a mirror to where a repair that was interrupted leaves the new one.
fn set_between(world: &World, name: &str) {
    let id = git(&world.mirror(name), &["config", "ghbk.id"]);
    let between = world.root.join(format!(".ghbk/replacing/{}.git", id.trim()));
    fs::create_dir_all(between.parent().unwrap()).unwrap();
    fs::rename(world.mirror(name), &between).unwrap();
}

#[test]
fn a_place_that_is_taken_is_told_and_stops_nobody() {
    let world = two_repositories();
    set_between(&world, "acme/two");
    interrupt(&world);
    fs::create_dir_all(world.mirror("acme/two").join("somebody's")).unwrap();
    let summary = world.run_json(1);
    assert!(failed(&summary).contains(&"acme/two"), "{summary:#}");
    assert_eq!(summary["counts"]["created"], 0, "{summary:#}");
    world.assert_mirrors("acme/one");
    fs::remove_dir_all(world.mirror("acme/two")).unwrap();
    let summary = world.run_json(0);
    assert_eq!(summary["counts"]["created"], 0, "{summary:#}");
    world.assert_mirrors("acme/two");
}

#[test]
fn clones_set_aside_by_interrupted_adoptions_do_not_get_in_each_other_s_way() {
    let world = two_repositories();
    for round in 0..2 {
        set_between(&world, "acme/two");
        let origin = world.sandbox.repositories().join("acme/two.git");
        let to = world.mirror("acme/two").display().to_string();
        git(&origin, &["clone", "--quiet", "--mirror", &format!("file://{}", origin.display()), &to]);
        interrupt(&world);
        world.run_json(0);
        world.assert_mirrors("acme/two");
        let aside = fs::read_dir(world.root.join(".ghbk/adopted/interrupted")).unwrap().count();
        assert_eq!(aside, round + 1);
    }
}

#[test]
fn a_wiki_that_left_alone_comes_back() {
    let world = World::new();
    world.add("acme/one");
    world.add("acme/one.wiki");
    world.run_json(0);
    let id = git(&world.mirror("acme/one"), &["config", "ghbk.id"]);
    let moving = world.root.join(".ghbk/moving");
    fs::create_dir_all(&moving).unwrap();
    let wiki = world.mirror("acme/one.wiki");
    fs::rename(&wiki, moving.join(format!("{}.wiki.git", id.trim()))).unwrap();
    interrupt(&world);
    let summary = world.run_json(0);
    assert_eq!(summary["counts"]["unchanged"], 1, "{summary:#}");
    assert!(wiki.exists());
    assert_eq!(fs::read_dir(&moving).unwrap().count(), 0);
}

#[test]
fn a_wiki_that_cannot_be_read_on_its_way_is_not_made_anew() {
    let world = World::new();
    world.add("acme/one");
    let wiki = world.add("acme/one.wiki");
    world.run_json(0);
    wiki.commit("main", "page", "new").unwrap();
    let id = git(&world.mirror("acme/one"), &["config", "ghbk.id"]);
    let between = world.root.join(format!(".ghbk/moving/{}.wiki.git", id.trim()));
    fs::create_dir_all(between.parent().unwrap()).unwrap();
    fs::rename(world.mirror("acme/one.wiki"), &between).unwrap();
    interrupt(&world);
    let away = make_unreadable(&between.join("config"));
    for _ in 0..2 {
        let summary = world.run_json(1);
        assert!(failed(&summary).contains(&"acme/one.wiki"), "{summary:#}");
        assert!(!world.mirror("acme/one.wiki").exists());
    }
    make_readable(&between.join("config"), &away);
    world.run_json(0);
    world.assert_mirrors("acme/one.wiki");
    assert!(!between.exists());
}

#[test]
fn a_repaired_mirror_is_not_removed_for_one_that_was_made_later() {
    let world = two_repositories();
    set_between(&world, "acme/two");
    // Nobody looks there when nothing was interrupted.
    world.run_json(1);
    interrupt(&world);
    let summary = world.run_json(1);
    assert!(failed(&summary).iter().any(|name| name.contains("acme/two")), "{summary:#}");
    let between = fs::read_dir(world.root.join(".ghbk/replacing")).unwrap().count();
    let moving = fs::read_dir(world.root.join(".ghbk/moving")).map_or(0, Iterator::count);
    assert_eq!(between + moving, 1, "the old one is there");
}

#[test]
fn a_mirror_that_is_gone_after_an_interruption_is_told() {
    let world = two_repositories();
    world.sandbox.delete("acme/two").unwrap();
    world.run_json(0);
    interrupt(&world);
    fs::remove_dir_all(world.mirror("acme/two")).unwrap();
    let summary = world.run_json(1);
    assert!(summary["failures"].to_string().contains("it is no longer there"), "{summary:#}");
    assert_eq!(failed(&world.run_json(1)), ["acme/two"], "until it is back or forgotten");
    world.run(&["forget", "acme/two"]).expect(0);
    world.run_json(0);
}

#[test]
fn a_record_that_cannot_be_read_is_told_and_stops_nobody() {
    let world = two_repositories();
    let record = fs::read_dir(world.root.join(".ghbk/runs")).unwrap().next().unwrap().unwrap().path();
    let away = make_unreadable(&record);
    for _ in 0..2 {
        let summary = world.run_json(1);
        assert!(summary["failures"].to_string().contains("Is a directory"), "{summary:#}");
        assert_eq!(summary["counts"]["created"], 0, "{summary:#}");
        for name in ["acme/one", "acme/two"] {
            world.assert_mirrors(name);
        }
    }
    make_readable(&record, &away);
    world.run_json(0);
}

#[test]
fn a_record_without_a_first_line_takes_no_later_run_s_name() {
    let world = two_repositories();
    world.run_at(chrono::Utc::now() + chrono::TimeDelta::days(4000), &[]);
    let mut names: Vec<_> = fs::read_dir(world.root.join(".ghbk/runs")).unwrap().map(|it| it.unwrap().path()).collect();
    names.sort();
    let ahead: ghbk::names::RunId = names.pop().unwrap().file_stem().unwrap().to_str().unwrap().parse().unwrap();
    let next = ahead.after(chrono::Utc::now());
    fs::write(world.root.join(format!(".ghbk/runs/{next}.jsonl")), "").unwrap();
    world.run_json(0);
    world.run_json(0);
}

#[test]
fn nothing_is_written_through_a_link_inside_a_mirror() {
    let world = two_repositories();
    let elsewhere = world.folder.path().join("elsewhere");
    let objects = world.mirror("acme/two").join("objects");
    fs::rename(&objects, &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &objects).unwrap();
    let before = crate::world::files_below(&elsewhere);
    for interrupted in [false, true] {
        if interrupted {
            interrupt(&world);
        }
        let summary = world.run_json(1);
        assert!(failed(&summary).contains(&"acme/two"), "{summary:#}");
        assert!(summary["failures"].to_string().contains("symbolic link"), "{summary:#}");
        assert_eq!(crate::world::files_below(&elsewhere), before);
        world.assert_mirrors("acme/one");
    }
    world.run(&["run", "--repair", "acme/two"]).expect(0);
    assert_eq!(crate::world::files_below(&elsewhere), before);
    world.run_json(0);
    world.assert_mirrors("acme/two");
    world.run(&["verify", "--deep"]).expect(0);
}

#[test]
fn after_a_clock_that_was_ahead_an_interruption_is_noticed() {
    let world = two_repositories();
    world.run_at(chrono::Utc::now() + chrono::TimeDelta::days(4000), &[]);
    let status = world.run(&["status", "--json"]).expect(0).json();
    assert_eq!(status["hours_since_success"], Value::Null, "it has not been yet");
    world.run_json(0);
    let status = world.run(&["status", "--json"]).expect(0).json();
    assert!(status["hours_since_success"].as_f64().unwrap() < 1.0, "{status:#}");
    interrupt(&world);
    let one = world.mirror("acme/one");
    let rubbish = ["", "objects", "objects/pack"].map(|folder| one.join(folder).join("tmp_ghbk_rubbish"));
    for rubbish in &rubbish {
        fs::write(rubbish, "").unwrap();
    }
    let summary = world.run_json(0);
    assert!(summary["warnings"].to_string().contains("was interrupted; 3 unfinished"), "{summary:#}");
    assert!(rubbish.iter().all(|rubbish| !rubbish.exists()));
}

/// An adoption that was cut off, whose finishing fails once.
#[test]
fn a_replacement_that_cannot_be_finished_stays_where_the_next_run_finishes_it() {
    let world = two_repositories();
    set_between(&world, "acme/two");
    let origin = world.sandbox.repositories().join("acme/two.git");
    let to = world.mirror("acme/two").display().to_string();
    git(&origin, &["clone", "--quiet", "--mirror", &format!("file://{}", origin.display()), &to]);
    interrupt(&world);
    let adopted = world.root.join(".ghbk/adopted");
    fs::write(&adopted, "in the way").unwrap();
    let summary = world.run_json(1);
    assert!(failed(&summary).contains(&"acme/two"), "{summary:#}");
    world.assert_mirrors("acme/one");
    fs::remove_file(&adopted).unwrap();
    world.run_json(0);
    world.assert_mirrors("acme/two");
}

/// Regression: whoever removed a mirror and the index, or whose index was rebuilt in between, got a new one without its
/// snapshots, and a green run.
#[test]
fn a_mirror_that_was_known_is_never_made_anew_in_silence() {
    for way in ["index removed", "rebuilt in between", "found missing by a run", "wiki alone"] {
        let world = World::new();
        for name in ["acme/one", "acme/one.wiki", "acme/two"] {
            world.add(name);
        }
        world.run_json(0);
        let index = world.root.join(".ghbk/index.json");
        let lost = if way == "wiki alone" { "acme/one.wiki" } else { "acme/one" };
        if way == "found missing by a run" {
            world.sandbox.fault(ghbk_sandbox::Fault::on("/acme/one.git/info/refs").status(451));
        }
        fs::remove_dir_all(world.mirror(lost)).unwrap();
        match way {
            "rebuilt in between" => {
                fs::remove_file(&index).unwrap();
                world.run(&["run", "acme/two"]).expect(0);
            }
            "found missing by a run" => {
                world.run_json(1);
                world.sandbox.clear_faults();
            }
            _ => fs::remove_file(&index).unwrap(),
        }
        let summary = world.run_json(1);
        assert!(summary["failures"].to_string().contains("a new one was made"), "{way}: {summary:#}");
        assert!(failed(&summary).contains(&lost), "{way}: {summary:#}");
        world.run_json(0);
    }
}
