//! Mirrors that are meant to be gone.

use std::fs;

use serde_json::Value;

use crate::world::{World, files_below, finish};

fn records(world: &World) -> usize {
    fs::read_dir(world.root.join(".ghbk/runs")).unwrap().count()
}

fn says_made_anew(summary: &Value) -> bool {
    summary["failures"].to_string().contains("a new one was made")
}

#[test]
fn a_mirror_that_is_forgotten_is_missed_by_nothing() {
    for way in ["index kept", "index removed", "index of before", "folded"] {
        let world = World::new();
        for name in ["acme/one", "acme/one.wiki", "acme/two"] {
            world.add(name);
        }
        world.run_json(0);
        let index = world.root.join(".ghbk/index.json");
        let before = fs::read(&index).unwrap();
        fs::remove_dir_all(world.mirror("acme/one")).unwrap();
        fs::remove_dir_all(world.mirror("acme/one.wiki")).unwrap();
        let forgotten = world.run(&["forget", "acme/one", "--json"]).expect(0).json();
        assert_eq!(
            (&forgotten["full_name"], &forgotten["code"], &forgotten["wiki"]),
            (&"acme/one".into(), &true.into(), &true.into()),
            "{forgotten}"
        );
        let status = world.run(&["status", "--json"]).expect(0).json();
        assert_eq!(status["repositories"].as_array().unwrap().len(), 1, "{way}: {status:#}");
        world.run(&["verify"]).expect(0);
        match way {
            "index removed" => fs::remove_file(&index).unwrap(),
            "index of before" => fs::write(&index, &before).unwrap(),
            "folded" => {
                // As many runs as make the old records fold.
                let runs = world.root.join(".ghbk/runs");
                for number in 0..260 {
                    let id = format!("20990101T000000.{number:03}Z");
                    let header = format!(
                        "{{\"kind\":\"run\",\"run_id\":\"{id}\",\"started_at\":\"2026-11-24T00:00:00Z\",\"trigger\":\"manual\",\
                         \"selection\":[\"acme/two\"],\"version\":\"0\"}}\n"
                    );
                    fs::write(runs.join(format!("{id}.jsonl")), header).unwrap();
                }
                world.run(&["run", "acme/two"]).expect(0);
                assert!(world.root.join(".ghbk/folded.json").exists());
                fs::remove_file(&index).unwrap();
            }
            _ => {}
        }
        let summary = world.run_json(0);
        assert_eq!(summary["counts"]["created"], 1, "{way}: {summary:#}");
        // It is known again, and missed again.
        fs::remove_dir_all(world.mirror("acme/one")).unwrap();
        fs::remove_file(&index).unwrap();
        let summary = world.run_json(1);
        assert!(says_made_anew(&summary), "{way}: {summary:#}");
        world.run_json(0);
    }
}

#[test]
fn the_mirror_of_a_wiki_is_forgotten_alone() {
    let world = World::new();
    for name in ["acme/one", "acme/one.wiki"] {
        world.add(name);
    }
    world.run_json(0);
    fs::remove_dir_all(world.mirror("acme/one.wiki")).unwrap();
    let code = world.mirror("acme/one");
    let refused = world.run(&["forget", "acme/one"]).expect(2);
    assert!(refused.stderr.contains(code.to_str().unwrap()), "{refused:#?}");
    world.run(&["forget", "acme/one", "--wiki"]).expect(0);
    let summary = world.run_json(0);
    assert_eq!(summary["counts"]["failed"], 0, "{summary:#}");
    world.assert_mirrors("acme/one.wiki");
    assert!(world.run(&["forget", "acme/one", "--wiki"]).expect(2).stderr.contains("one.wiki.git"));
}

/// A mirror that a person moved within the store is there, too; what is refused leaves no trace.
#[test]
fn nothing_is_forgotten_while_the_mirror_is_there() {
    let world = World::new();
    for name in ["acme/repository-001", "acme/repository-002"] {
        world.add(name);
    }
    world.run_json(0);
    let (name, folder) = ("acme/repository-001", world.mirror("acme/repository-001"));
    let elsewhere = world.mirror("acme/elsewhere");
    for is_moved in [false, true] {
        if is_moved {
            fs::rename(&folder, &elsewhere).unwrap();
        }
        let (there, before) = (if is_moved { &elsewhere } else { &folder }, records(&world));
        let files = files_below(there);
        let refused = world.run(&["forget", name]).expect(2);
        let path = there.to_str().unwrap();
        for command in [format!("rm -rf {path}"), format!("mv {path} .")] {
            assert!(refused.stderr.contains(&command), "{refused:#?}");
        }
        assert_eq!((files_below(there), records(&world)), (files, before));
    }
    fs::rename(&elsewhere, &folder).unwrap();
    assert_eq!(world.run_json(0)["counts"]["unchanged"], 2);
    // The printed command does what it says.
    let refused = world.run(&["forget", name]).expect(2);
    let command = refused.stderr.split('`').find(|part| part.starts_with("mv ")).unwrap();
    let status = std::process::Command::new("sh").args(["-c", command]).current_dir(world.folder.path()).status();
    assert!(status.unwrap().success() && world.folder.path().join("repository-001.git").exists());
    let again = refused.stderr.rsplit('`').nth(1).unwrap().strip_prefix("ghbk ").unwrap().to_owned();
    world.run(&again.split(' ').collect::<Vec<_>>()).expect(0);
}

#[test]
fn forgetting_waits_for_no_run_and_knows_only_what_was_stored() {
    let world = World::new();
    world.add("acme/repository-001");
    let unknown = world.run(&["forget", "acme/repository-001"]).expect(2);
    assert!(unknown.stderr.contains("the store has no mirror of acme/repository-001"), "{unknown:#?}");
    assert_eq!(fs::read_dir(&world.root).unwrap().count(), 0, "it wrote to the store");
    world.run_json(0);
    fs::remove_dir_all(world.mirror("acme/repository-001")).unwrap();
    assert!(world.run(&["forget", "acme/repository-01"]).expect(2).stderr.contains("did you mean"));
    let lock = fs::File::open(world.root.join(".ghbk/lock")).unwrap();
    lock.lock().unwrap();
    world.run(&["forget", "acme/repository-001"]).expect(75);
    drop(lock);
    // It speaks to no GitHub.
    let mut offline = world.ghbk(&["forget", "acme/repository-001"]);
    let ended = finish(offline.env_remove("GITHUB_TOKEN").env("GHBK_GITHUB__API_URL", "http://127.0.0.1:1/")).expect(0);
    assert!(ended.stdout.starts_with("forgotten: acme/repository-001"), "{ended:#?}");
    let summary = world.run_json(0);
    assert_eq!(summary["counts"]["created"], 1, "{summary:#}");
}
