//! `ghbk restore --all`: everything, or the truth about what is not there.

use std::fs;

use crate::world::{World, finish, git};

#[test]
fn everything_is_there_and_can_be_cloned() {
    let world = World::generated(3);
    world.run(&["run"]).expect(0);
    let json = world.run(&["restore", "--all", "everything", "--json"]).expect(0).json();
    assert_eq!(json["restored"].as_array().unwrap().len(), 4, "three repositories and a wiki: {json:#}");
    assert_eq!((&json["not_reached"], &json["failed"]), (&serde_json::json!([]), &serde_json::json!([])));
    for name in ["acme/repository-001.git", "acme/repository-001.wiki.git", "acme/repository-003.git"] {
        git(&world.folder.path().join("everything").join(name), &["fsck", "--full", "--strict"]);
    }
    // What is there is never mixed with something else.
    assert!(world.run(&["restore", "--all", "everything"]).expect(2).stderr.contains("exists already"));
    assert!(world.run(&["restore", "--all", world.root.to_str().unwrap()]).expect(2).stderr.contains("store"));
    fs::create_dir(world.folder.path().join("empty")).unwrap();
    world.run(&["restore", "--all", "empty", "--checkout"]).expect(0);
    assert!(world.folder.path().join("empty/acme/repository-002/.git").is_dir());
}

/// Regression: the index lists the mirrors that are there, and "nothing missing" was said without those that are not.
#[test]
fn mirrors_that_are_missing_or_unreadable_are_named() {
    let world = World::generated(3);
    world.run(&["run"]).expect(0);
    fs::remove_dir_all(world.mirror("acme/repository-001")).unwrap();
    fs::write(world.mirror("acme/repository-003").join("config"), "garbage\0").unwrap();
    fs::remove_file(world.root.join(".ghbk/index.json")).unwrap();
    let ended = world.run(&["restore", "--all", "everything"]).expect(1);
    assert!(ended.stdout.contains("incomplete:"), "{ended:#?}");
    assert!(ended.stdout.contains("failed: acme/repository-001: its mirror is missing from the store"), "{ended:#?}");
    assert!(ended.stdout.contains("failed: acme/repository-003"), "{ended:#?}");
    assert!(world.folder.path().join("everything/acme/repository-002.git").is_dir());
}

#[test]
fn a_damaged_mirror_keeps_no_other_from_coming_back() {
    let world = World::generated(3);
    world.run(&["run"]).expect(0);
    fs::remove_dir_all(world.mirror("acme/repository-002").join("objects/pack")).unwrap();
    let ended = world.run(&["restore", "--all", "everything"]).expect(1);
    assert!(ended.stdout.contains("failed: acme/repository-002: the mirror is damaged"), "{ended:#?}");
    assert!(!ended.stdout.contains("acme/repository-002: acme/repository-002"), "{ended:#?}");
    assert!(world.folder.path().join("everything/acme/repository-003.git").is_dir());
    assert!(!world.folder.path().join("everything/acme/repository-002.git").exists());
}

#[test]
fn what_did_not_exist_yet_is_named_and_a_time_before_everything_is_refused() {
    let world = World::generated(1);
    world.run_at("2026-11-01T05:00:00Z".parse().unwrap(), &[]);
    world.add("acme/later");
    world.run_at("2026-11-08T05:00:00Z".parse().unwrap(), &[]);
    let text = world.run(&["restore", "--all", "early", "--at", "2026-11-02"]).expect(0).stdout;
    assert!(text.contains("not there yet at that time: acme/later"), "{text}");
    assert!(!world.folder.path().join("early/acme/later.git").exists());
    let ended = world.run(&["restore", "--all", "before", "--at", "2001-01-01"]).expect(2);
    assert!(ended.stderr.contains("the first point in time is 2026-11-01 05:00"), "{ended:#?}");
}

#[test]
fn a_name_that_another_repository_took_brings_both_back() {
    let world = World::generated(2);
    world.run(&["run"]).expect(0);
    world.sandbox.delete("acme/repository-002").unwrap();
    world.add("acme/repository-002").set("id", "424242").unwrap();
    world.run(&["run"]).expect(0);
    world.run(&["restore", "--all", "everything"]).expect(0);
    let names: Vec<String> = fs::read_dir(world.folder.path().join("everything/acme"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    assert!(names.contains(&"repository-002.git".to_owned()), "{names:?}");
    assert!(names.iter().any(|name| name.starts_with("repository-002.id-") && name.ends_with(".git")), "{names:?}");
    // The id of the old one must not lead to the new one.
    let id = names.iter().find_map(|name| name.strip_prefix("repository-002.id-")?.strip_suffix(".git")).unwrap();
    let ended = world.run(&["run", id]).expect(2);
    assert!(ended.stderr.contains("another repository has that name now"), "{ended:#?}");
}

#[test]
fn a_destination_that_cannot_be_written_ends_it_at_once() {
    let world = World::generated(3);
    world.run(&["run"]).expect(0);
    let ended = finish(&mut world.ghbk(&["restore", "--all", "/proc/nowhere"])).expect(3);
    assert!(ended.stderr.contains("cannot write to /proc/nowhere"), "{ended:#?}");
    assert_eq!(ended.stdout, "");
}
