//! What is stored is proven, repaired, taken over and given up together with the git objects that need it.

use serde_json::{Value, json};

use super::{GitLfs, asked, content, missing, sums, track, with_large_files};
use crate::world::{World, flip_in_the_middle, git};

fn verify(world: &World, arguments: &[&str], code: i32) -> Value {
    let arguments = [&["verify", "--json"], arguments].concat();
    world.run(&arguments).expect(code).json()[0].clone()
}

#[test]
fn a_content_that_is_lost_or_changed_is_found_and_repaired() {
    let (world, judge) = (World::new(), GitLfs::new());
    let oids = with_large_files(&world, "acme/site", &[b"one\n", b"two two\n", b"three three\n"]);
    world.run_json(0);
    let verified = verify(&world, &[], 0);
    assert_eq!(verified["large_files"]["stored"], 3);
    std::fs::remove_file(content(&world, "acme/site", &oids[0])).unwrap();
    let flipped = content(&world, "acme/site", &oids[1]);
    std::fs::remove_file(&flipped).unwrap();
    std::fs::write(&flipped, "two tw0\n").unwrap();
    // What is not there is told at once, a wrong byte by reading.
    let damage = |verified: &Value| -> Vec<String> {
        verified["damage"].as_array().unwrap().iter().map(|it| it["object"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(damage(&verify(&world, &[], 1)), [oids[0].clone()]);
    let mut found = damage(&verify(&world, &["--deep"], 1));
    found.sort();
    let mut lost = vec![oids[0].clone(), oids[1].clone()];
    lost.sort();
    assert_eq!(found, lost);
    // A run proves what was found to be damaged, fetches what is lost, and says of the rest so until it is repaired.
    let summary = world.run_json(1);
    assert!(summary["failures"][0]["hint"].as_str().unwrap().contains("--repair"), "{summary:#}");
    world.sandbox.clear_requests();
    world.run(&["run", "--repair", "acme/site"]).expect(0);
    assert_eq!(asked(&world), (1, 1), "what is whole does not come again");
    judge.assert_complete(&world.mirror("acme/site"));
    verify(&world, &["--deep"], 0);
    world.run_json(0);
}

#[test]
fn a_run_reads_its_share_of_large_files() {
    let world = World::new();
    let oids = with_large_files(&world, "acme/site", &[b"one\n", b"two two\n"]);
    world.run_json(0);
    let path = content(&world, "acme/site", &oids[0]);
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, "0ne\n").unwrap();
    let later = chrono::Utc::now() + chrono::TimeDelta::weeks(13);
    let summary = world.run_at(later, &[]);
    assert_eq!(summary.proof.large_files_verified, 1);
    assert_eq!(summary.proof.damaged, ["acme/site"]);
    assert_eq!(summary.failures.len(), 1, "{summary:#?}");
}

/// Makes a mirror as a ghbk left it that did not fetch large files.
fn forget_large_files(world: &World, full_name: &str) {
    let _ = std::fs::remove_dir_all(world.mirror(full_name).join("lfs"));
    let runs = world.root.join(".ghbk/runs");
    for entry in std::fs::read_dir(&runs).unwrap() {
        let path = entry.unwrap().path();
        let lines = std::fs::read_to_string(&path).unwrap();
        let lines = lines.lines().filter(|line| !line.contains(r#""kind":"part""#));
        let lines = lines.map(|line| line.replace(r#""pointers_known":["code"],"#, "") + "\n");
        std::fs::write(&path, lines.collect::<String>()).unwrap();
    }
    std::fs::remove_file(world.root.join(".ghbk/index.json")).unwrap();
}

#[test]
fn a_mirror_that_an_older_ghbk_made_gets_its_large_files() {
    let (world, judge) = (World::new(), GitLfs::new());
    with_large_files(&world, "acme/site", &[b"one\n", b"two two\n"]);
    world.add("acme/plain");
    world.run_json(0);
    forget_large_files(&world, "acme/site");
    let verified = world.run(&["verify", "--json"]).expect(0).json();
    assert_eq!(verified[1]["large_files"]["not_looked_for"], 2, "{verified:#}");
    world.sandbox.clear_requests();
    let summary = world.run(&["run", "--large-files", "--json"]).expect(0).json();
    assert_eq!(sums(&summary)["counts"]["downloaded"], 2, "{summary:#}");
    judge.assert_complete(&world.mirror("acme/site"));
    // And once that is known, nothing is looked at again.
    world.sandbox.clear_requests();
    let summary = world.run(&["run", "--large-files", "--json"]).expect(0).json();
    assert_eq!((asked(&world), &summary["proof"]["mirrors_verified"]), ((0, 0), &json!(0)));
}

#[test]
fn its_turn_of_verification_finds_them_too() {
    let (world, judge) = (World::new(), GitLfs::new());
    with_large_files(&world, "acme/site", &[b"one\n"]);
    world.run_json(0);
    forget_large_files(&world, "acme/site");
    let later = chrono::Utc::now() + chrono::TimeDelta::weeks(13);
    let summary = world.run_at(later, &[]);
    assert_eq!(summary.counts.failed, 0, "{summary:#?}");
    judge.assert_complete(&world.mirror("acme/site"));
}

/// Leaves a repair as it is after the damaged mirror was set aside, and the new one waits for its place. The new one lists all of
/// its large files as missing; `are_moved` says whether their contents were moved already.
fn interrupt_repair(world: &World, full_name: &str, are_moved: bool) {
    let (mirror, own) = (world.mirror(full_name), world.root.join(".ghbk"));
    let id = crate::world::git(&mirror, &["config", "ghbk.id"]).trim().to_owned();
    let (aside, between) = (own.join("damaged/acme"), own.join("replacing"));
    std::fs::create_dir_all(&aside).unwrap();
    std::fs::create_dir_all(&between).unwrap();
    let new = between.join(format!("{id}.git"));
    assert!(std::process::Command::new("cp").arg("-a").args([&mirror, &new]).status().unwrap().success());
    let objects = new.join("lfs/objects");
    let listed: String = crate::world::files_below(&objects)
        .into_iter()
        .map(|(path, content)| {
            let oid = path.file_name().unwrap().to_str().unwrap().to_owned();
            let owed =
                json!({"oid": oid, "size_bytes": content.len(), "why": "postponed", "since": "2026-11-27T12:00:00Z"});
            format!("{owed}\n")
        })
        .collect();
    let before = std::fs::read_to_string(mirror.join("lfs/missing.jsonl")).unwrap_or_default();
    // Of those that the old one lacks, the new one knows no more than that they are missing.
    let lacking = before.replace(r#""why":"absent""#, r#""why":"postponed""#).replace(r#","is_accepted":true"#, "");
    std::fs::write(new.join("lfs/missing.jsonl"), listed + &lacking).unwrap();
    let name = mirror.file_stem().unwrap().to_str().unwrap();
    std::fs::rename(&mirror, aside.join(format!("{name}-{id}-20261127T120000.000Z.git"))).unwrap();
    if are_moved {
        std::fs::remove_dir_all(aside.join(format!("{name}-{id}-20261127T120000.000Z.git/lfs/objects"))).unwrap();
    } else {
        std::fs::remove_dir_all(&objects).unwrap();
    }
    // A wiki of the same run, and another repository whose name is alike.
    for other in
        [format!("{name}-{id}-20261127T120000.000Z.wiki.git"), format!("{name}-{id}-7-20261127T130000.000Z.git")]
    {
        std::fs::create_dir_all(aside.join(other).join("lfs/objects/not-ours")).unwrap();
    }
    // The run that did it left no summary.
    let runs = own.join("runs");
    let record = std::fs::read_dir(&runs).unwrap().map(|entry| entry.unwrap().path()).max().unwrap();
    let lines = std::fs::read_to_string(&record).unwrap();
    let lines: Vec<&str> = lines.lines().filter(|line| !line.contains(r#""kind":"summary""#)).collect();
    std::fs::write(&record, lines.join("\n") + "\n").unwrap();
}

#[test]
fn an_interrupted_repair_finds_its_large_files_and_what_was_accepted() {
    for are_moved in [false, true] {
        let world = World::new();
        let oids = with_large_files(&world, "acme/site", &[b"one\n", b"two two\n", b"lost\n"]);
        std::fs::remove_file(super::of_origin(&world, "acme/site", &oids[2])).unwrap();
        world.run_json(1);
        world.run(&["accept", "acme/site"]).expect(0);
        interrupt_repair(&world, "acme/site", are_moved);
        world.sandbox.clear_requests();
        let summary = world.run_json(0);
        assert_eq!(asked(&world).1, 0, "{are_moved}");
        let warnings = summary["warnings"].to_string();
        assert!(!warnings.contains("accept"), "{are_moved}: what was accepted still is: {warnings}");
        assert!(oids[..2].iter().all(|oid| content(&world, "acme/site", oid).exists()), "{are_moved}");
        assert!(!world.mirror("acme/site").join("lfs/objects/not-ours").exists());
        world.run(&["verify", "--deep"]).expect(0);
    }
}

#[test]
fn a_content_that_a_gone_repository_had_and_lost_stays_damage() {
    let world = World::new();
    let oids = with_large_files(&world, "acme/site", &[b"one\n", b"two two\n"]);
    world.add("acme/other");
    world.run_json(0);
    std::fs::remove_dir_all(world.sandbox.repositories().join("acme/site.git")).unwrap();
    world.run_json(0);
    std::fs::remove_file(content(&world, "acme/site", &oids[0])).unwrap();
    let later = chrono::Utc::now() + chrono::TimeDelta::weeks(13);
    for week in 0..3 {
        let summary = world.run_at(later + chrono::TimeDelta::weeks(week), &[]);
        assert_eq!(summary.proof.damaged, ["acme/site"], "{summary:#?}");
    }
}

#[test]
fn what_was_never_fetched_and_went_with_its_repository_is_told_once() {
    let world = World::new();
    with_large_files(&world, "acme/site", &[b"one\n", b"two two\n"]);
    world.add("acme/other");
    world.run_json(0);
    forget_large_files(&world, "acme/site");
    std::fs::rename(world.sandbox.repositories().join("acme/site.git"), world.folder.path().join("gone.git")).unwrap();
    let later = chrono::Utc::now() + chrono::TimeDelta::weeks(13);
    // The first notices that it is gone.
    world.run_at(chrono::Utc::now(), &[]);
    let summary = world.run_at(later, &[]);
    let told: Vec<&str> = summary.failures.iter().map(|failure| failure.error.as_str()).collect();
    assert_eq!(told, ["2 large files are not backed up: the repository is no longer on GitHub"]);
    assert_eq!(missing(&world, "acme/site").len(), 2);
    let summary = world.run_at(later + chrono::TimeDelta::weeks(13), &[]);
    assert_eq!(summary.failures, [], "{summary:#?}");
    let status = world.run(&["status"]).expect(0).stdout;
    assert!(status.contains("2 not on GitHub"), "{status}");
    // Should it come back, it is asked for them.
    std::fs::rename(world.folder.path().join("gone.git"), world.sandbox.repositories().join("acme/site.git")).unwrap();
    let summary = world.run_json(0);
    assert_eq!(sums(&summary)["counts"]["downloaded"], 2, "{summary:#}");
}

#[test]
fn what_retention_gives_up_takes_its_large_files_along() {
    let (world, judge) = (World::new(), GitLfs::new());
    let editor = world.add("acme/site");
    track(&editor);
    let lost = editor.large_file("main", "a.bin", b"pushed over\n").unwrap();
    let start = chrono::Utc::now() - chrono::TimeDelta::weeks(200);
    let settings = [("GHBK_RETENTION__KEEP", "30 days"), ("GHBK_STORE__PACKS_MAX", "4")];
    world.run_at(start, &settings);
    editor.force_push("main").unwrap();
    let kept = editor.large_file("main", "b.bin", b"still there\n").unwrap();
    for week in 1..12 {
        editor.commit("main", "README.md", &format!("week {week}\n")).unwrap();
        let summary = world.run_at(start + chrono::TimeDelta::weeks(week), &settings);
        assert_eq!(summary.counts.failed, 0, "{summary:#?}");
    }
    assert!(!content(&world, "acme/site", &lost).exists());
    assert!(content(&world, "acme/site", &kept).exists());
    judge.assert_complete(&world.mirror("acme/site"));
    verify(&world, &["--deep"], 0);
}

#[test]
fn what_was_pushed_over_keeps_its_large_files_without_retention() {
    let world = World::new();
    let editor = world.add("acme/site");
    track(&editor);
    let lost = editor.large_file("main", "a.bin", b"pushed over\n").unwrap();
    world.run_json(0);
    editor.force_push("main").unwrap();
    std::fs::remove_dir_all(world.sandbox.repositories().join("acme/site.git/lfs")).unwrap();
    world.run_json(0);
    assert!(content(&world, "acme/site", &lost).exists());
    verify(&world, &["--deep"], 0);
}

#[test]
fn adoption_takes_over_what_a_clone_has_and_the_next_run_fetches_the_rest() {
    let (world, judge) = (World::new(), GitLfs::new());
    let oids = with_large_files(&world, "acme/site", &[b"one\n", b"two two\n", b"three three\n"]);
    let clone = world.root.join("acme/site");
    let url = world.sandbox.url().replace("http://", &format!("http://x:{}@", world.sandbox.token()));
    judge.git(&world.root, &["clone", "--quiet", &format!("{url}/acme/site.git"), clone.to_str().unwrap()]);
    let in_clone = |oid: &str| clone.join(".git/lfs/objects").join(&oid[..2]).join(&oid[2..4]).join(oid);
    std::fs::remove_file(in_clone(&oids[0])).unwrap();
    flip_in_the_middle(&in_clone(&oids[1]));
    git(&clone.join(".git"), &["remote", "set-url", "origin", &format!("{}/acme/site.git", world.sandbox.url())]);
    let summary = world.run(&["adopt", "--json"]).expect(0).json()["summary"].clone();
    assert_eq!(sums(&summary)["counts"]["adopted"], 1, "{summary:#}");
    assert_eq!(missing(&world, "acme/site").len(), 2);
    world.sandbox.clear_requests();
    world.run_json(0);
    assert_eq!(asked(&world), (1, 2));
    judge.assert_complete(&world.mirror("acme/site"));
}

#[test]
fn a_mirror_that_lost_all_of_them_is_damaged_and_gets_them_again() {
    let (world, judge) = (World::new(), GitLfs::new());
    with_large_files(&world, "acme/site", &[b"one\n", b"two two\n"]);
    world.run_json(0);
    std::fs::remove_dir_all(world.mirror("acme/site").join("lfs")).unwrap();
    let verified = verify(&world, &[], 1);
    assert!(verified["damage"][0]["what"].as_str().unwrap().contains("is missing"), "{verified:#}");
    // What was found to be damaged is read by the next run, which fetches it again, and by the one after that.
    let summary = world.run_json(1);
    assert!(summary["failures"][0]["error"].as_str().unwrap().contains("is missing"), "{summary:#}");
    judge.assert_complete(&world.mirror("acme/site"));
    world.run_json(0);
}

#[test]
fn new_pointers_in_an_old_mirror_do_not_hide_the_old_ones() {
    let (world, judge) = (World::new(), GitLfs::new());
    with_large_files(&world, "acme/site", &[b"one\n", b"two two\n"]);
    world.run_json(0);
    forget_large_files(&world, "acme/site");
    world.sandbox.edit("acme/site").large_file("main", "new.bin", b"new\n").unwrap();
    world.run_json(0);
    let status = world.run(&["status", "--json"]).expect(0).json();
    assert_eq!(status["not_looked_through"], 1, "{status:#}");
    world.run(&["verify"]).expect(0);
    world.run(&["run", "--large-files"]).expect(0);
    judge.assert_complete(&world.mirror("acme/site"));
}

#[test]
fn a_list_that_is_no_list_stops_no_refs() {
    let world = World::new();
    with_large_files(&world, "acme/site", &[b"one\n"]);
    world.run_json(0);
    std::fs::write(world.mirror("acme/site").join("lfs/missing.jsonl"), "nonsense\n").unwrap();
    world.sandbox.edit("acme/site").large_file("main", "new.bin", b"new\n").unwrap();
    world.run_json(0);
    world.assert_mirrors("acme/site");
    world.run(&["verify", "--deep"]).expect(0);
}
