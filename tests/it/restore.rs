//! One bad day: a repository back, as it was.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::world::{Ended, World, files_below, finish, flip_in_the_middle, git, git_output, mirrored_refs};

/// What a repository was at some time: a copy made by git then, and the time.
struct Copy {
    path: PathBuf,
    time: String,
    run_id: String,
}

/// Runs a backup, and copies the origin as it is now.
fn back_up_and_copy(world: &World, name: &str, label: &str) -> Copy {
    let origin = world.sandbox.repositories().join(format!("{name}.git"));
    let path = world.folder.path().join(format!("copy-{label}.git"));
    let cloned = Command::new("git").args(["clone", "--quiet", "--mirror"]).args([&origin, &path]).status().unwrap();
    assert!(cloned.success());
    let summary = world.run_json(0);
    let time = chrono_now();
    // The next run is to be in another second.
    std::thread::sleep(std::time::Duration::from_millis(1100));
    Copy { path, time, run_id: summary["run_id"].as_str().unwrap().to_owned() }
}

fn chrono_now() -> String {
    let output = Command::new("date").args(["-u", "+%Y-%m-%dT%H:%M:%SZ"]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn restore(world: &World, name: &str, label: &str, options: &[&str]) -> (PathBuf, Ended) {
    let destination = world.folder.path().join(format!("restored-{label}"));
    let mut arguments = vec!["restore", name, destination.to_str().unwrap()];
    arguments.extend(options);
    let ended = world.run(&arguments);
    (destination, ended)
}

/// Proves that a restored repository is what the copy is: refs, HEAD, every object of its history.
#[track_caller]
fn assert_same(copy: &Path, restored: &Path) {
    assert_eq!(mirrored_refs(copy), mirrored_refs(restored));
    assert_eq!(git(copy, &["symbolic-ref", "HEAD"]), git(restored, &["symbolic-ref", "HEAD"]));
    let fsck = git_output(restored, &["fsck", "--full"]);
    assert!(fsck.status.success(), "{fsck:?}");
    let objects = |folder: &Path| {
        let list = git(folder, &["rev-list", "--objects", "--all"]);
        let mut oids: Vec<String> = list.lines().map(|line| line[..40].to_owned()).collect();
        oids.sort();
        oids
    };
    assert_eq!(objects(copy), objects(restored));
}

/// Everything that GitHub can do to a history.
fn eventful(world: &World) -> Vec<Copy> {
    let site = world.add("acme/site");
    site.commit("main", "b", "2").unwrap();
    site.commit("doomed", "c", "3").unwrap();
    site.annotated_tag("v1", "refs/heads/main").unwrap();
    let mut copies = vec![back_up_and_copy(world, "acme/site", "before")];
    site.force_push("main").unwrap();
    copies.push(back_up_and_copy(world, "acme/site", "force-pushed"));
    site.delete_ref("refs/heads/doomed").unwrap();
    copies.push(back_up_and_copy(world, "acme/site", "deleted"));
    site.commit("main", "d", "4").unwrap();
    site.annotated_tag("v1", "refs/heads/main").unwrap();
    site.commit("trunk", "e", "5").unwrap();
    site.set_default_branch("trunk").unwrap();
    copies.push(back_up_and_copy(world, "acme/site", "moved"));
    world.sandbox.delete("acme/site").unwrap();
    let another = world.add("acme/site");
    another.set("id", "4711").unwrap();
    another.commit("main", "other", "6").unwrap();
    copies.push(back_up_and_copy(world, "acme/site", "re-created"));
    copies
}

#[test]
fn every_point_in_time_comes_back_exactly() {
    let world = World::new();
    let copies = eventful(&world);
    for (number, copy) in copies.iter().enumerate() {
        let (restored, ended) = restore(&world, "acme/site", &format!("at-{number}"), &["--at", &copy.time]);
        assert!(ended.expect(0).stdout.contains("complete: "));
        assert_same(&copy.path, &restored);
        let (restored, ended) = restore(&world, "acme/site", &format!("run-{number}"), &["--run", &copy.run_id]);
        ended.expect(0);
        assert_same(&copy.path, &restored);
    }
    // Plain git may collect what it takes for garbage.
    for mirror in [world.mirror("acme/site"), attic(&world)] {
        git(&mirror, &["gc", "--prune=now", "--quiet"]);
    }
    for (number, copy) in copies.iter().enumerate() {
        let (restored, ended) = restore(&world, "acme/site", &format!("gc-{number}"), &["--at", &copy.time]);
        ended.expect(0);
        assert_same(&copy.path, &restored);
    }
    world.run(&["verify", "--deep"]).expect(0);
    // By id, the old one needs no time.
    let snapshots: Value = world.run(&["snapshots", "acme/site", "--json"]).expect(0).json();
    assert_eq!(snapshots.as_array().unwrap().len(), 2, "{snapshots}");
    let id = snapshots[1]["id"].to_string();
    assert_eq!(snapshots[1]["set_aside"], true);
    let (restored, ended) = restore(&world, &id, "by-id", &[]);
    assert!(ended.expect(0).stdout.contains("from the attic"));
    assert_same(&copies[3].path, &restored);
}

fn attic(world: &World) -> PathBuf {
    let folder = world.root.join(".ghbk/attic/acme");
    std::fs::read_dir(folder).unwrap().next().unwrap().unwrap().path()
}

#[test]
fn snapshots_tell_what_was_lost_and_when() {
    let world = World::new();
    eventful(&world);
    let text = world.run(&["snapshots", "acme/site"]).expect(0).stdout;
    for words in [
        "! ",
        "force-pushed refs/heads/main from ",
        "deleted refs/heads/doomed",
        "moved refs/tags/v1",
        "HEAD moved",
        "attic",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
    let json = world.run(&["snapshots", "acme/site", "--json"]).expect(0).json();
    let old = json[1]["snapshots"].as_array().unwrap();
    assert_eq!(old.len(), 4);
    assert_eq!(old[2]["changes"][0]["kind"], "force-pushed");
    assert_eq!(old[2]["changes"][0]["name"], "refs/heads/main");
}

#[test]
fn a_working_tree_is_checked_out_as_it_was() {
    let world = World::new();
    let site = world.add("acme/site");
    site.commit("main", "folder/file", "one").unwrap();
    let copy = back_up_and_copy(&world, "acme/site", "one");
    site.commit("main", "folder/file", "two").unwrap();
    back_up_and_copy(&world, "acme/site", "two");
    let (restored, ended) = restore(&world, "acme/site", "tree", &["--checkout", "--at", &copy.time]);
    ended.expect(0);
    assert_eq!(std::fs::read_to_string(restored.join("folder/file")).unwrap(), "one");
    assert_same(&copy.path, &restored.join(".git"));
    let status = Command::new("git").arg("-C").arg(&restored).args(["status", "--porcelain"]).output().unwrap();
    assert_eq!(String::from_utf8(status.stdout).unwrap(), "");
}

#[test]
fn a_wiki_and_an_empty_repository_come_back_too() {
    let world = World::new();
    world.add("acme/site");
    let wiki = world.add("acme/site.wiki");
    wiki.commit("main", "Home.md", "hello").unwrap();
    ghbk_sandbox::RepositoryEditor::create(world.sandbox.repositories().join("acme/empty.git")).unwrap();
    world.run_json(0);
    let (restored, ended) = restore(&world, "acme/site", "wiki", &["--wiki"]);
    ended.expect(0);
    assert_same(&world.sandbox.repositories().join("acme/site.wiki.git"), &restored);
    let (restored, ended) = restore(&world, "acme/empty", "empty", &["--checkout"]);
    ended.expect(0);
    assert!(restored.join(".git/HEAD").is_file());
}

#[test]
fn restoring_needs_neither_network_nor_token_nor_a_writable_store() {
    let world = World::new();
    world.add("acme/site");
    world.run_json(0);
    let before = files_below(&world.root);
    let destination = world.folder.path().join("restored");
    let mut command = world.ghbk(&["restore", "acme/site", destination.to_str().unwrap()]);
    command.env_remove("GITHUB_TOKEN").env_remove("GHBK_GITHUB__API_URL").env_remove("GHBK_GITHUB__OWNERS");
    let requests = world.sandbox.requests().len();
    crate::world::finish(&mut command).expect(0);
    assert_eq!(world.sandbox.requests().len(), requests);
    assert_eq!(files_below(&world.root), before);
    assert_same(&world.sandbox.repositories().join("acme/site.git"), &destination);
}

#[test]
fn bad_input_is_refused_and_leaves_nothing() {
    let world = World::new();
    world.add("acme/site");
    world.run_json(0);
    std::fs::create_dir(world.folder.path().join("there")).unwrap();
    let inside = world.root.join("acme/inside");
    let cases: [(&[&str], &str); 7] = [
        (&["restore", "acme/site", "there"], "exists already"),
        (&["restore", "acme/site", inside.to_str().unwrap()], "in the store itself"),
        (&["restore", "acme/sit", "new"], "did you mean acme/site?"),
        (&["restore", "acme/site", "new", "--at", "2020-01-01"], "no snapshot from"),
        (&["restore", "acme/site", "new", "--at", "soon"], "is not a time"),
        (&["restore", "acme/site", "new", "--run", "20200101T000000.000Z"], "no record of a run"),
        (&["restore", "acme/site", "new", "--wiki"], "has no wiki"),
    ];
    for (arguments, words) in cases {
        let ended = world.run(arguments).expect(2);
        assert!(ended.stderr.contains(words), "{arguments:?}: {ended:#?}");
    }
    assert!(!world.folder.path().join("new").exists());
    assert!(std::fs::read_dir(world.folder.path().join("there")).unwrap().next().is_none());
}

#[test]
fn an_unchanged_run_is_a_point_in_time_too() {
    let world = World::new();
    let site = world.add("acme/site");
    let first = back_up_and_copy(&world, "acme/site", "first");
    let unchanged = back_up_and_copy(&world, "acme/site", "unchanged");
    site.commit("main", "b", "2").unwrap();
    back_up_and_copy(&world, "acme/site", "last");
    let (restored, ended) = restore(&world, "acme/site", "run", &["--run", &unchanged.run_id]);
    ended.expect(0);
    assert_same(&first.path, &restored);
}

/// A mirror of which one branch has lost a file, and the rest is whole.
fn with_a_broken_side_branch(world: &World) {
    let site = world.add("acme/site");
    site.commit("main", "kept.txt", "kept").unwrap();
    let start = site.rev_parse("main").unwrap();
    site.set_ref("refs/heads/side", &start).unwrap();
    site.commit("side", "lost.bin", &crate::world::noise(7, 200_000)).unwrap();
    world.run_json(0);
    let mirror = world.mirror("acme/site");
    let pack = ghbk::git::pack::packs_in(&mirror.join("objects/pack")).unwrap().remove(0).pack;
    // The noise is nearly all of the pack.
    flip_in_the_middle(&pack);
}

/// Seen in a trial: one damaged object, of whatever branch, and nothing of the repository came back.
#[test]
fn every_ref_that_is_whole_comes_back_from_a_damaged_mirror() {
    let world = World::new();
    with_a_broken_side_branch(&world);
    let (restored, ended) = restore(&world, "acme/site", "part", &[]);
    let ended = ended.expect(1);
    assert!(ended.stdout.contains("incomplete: 1 ref,"), "{ended:#?}");
    assert!(ended.stdout.contains("not restored: refs/heads/side ("), "{ended:#?}");
    git(&restored, &["fsck", "--full"]);
    assert_eq!(git(&restored, &["show", "main:kept.txt"]), "kept");
    assert!(!git_output(&restored, &["rev-parse", "--verify", "side"]).status.success());

    let json = restore(&world, "acme/site", "json", &["--json", "--checkout"]).1.expect(1).json();
    assert_eq!(json["lost"][0]["name"], "refs/heads/side");
    assert_eq!(json["around_damage"], true);

    let (strict, ended) = restore(&world, "acme/site", "strict", &["--strict"]);
    assert!(ended.expect(1).stderr.contains("not all of it can be read: object "), "{}", strict.display());
    assert!(!strict.exists());

    let (main, ended) = restore(&world, "acme/site", "main", &["--branch", "main", "--checkout"]);
    assert!(ended.expect(0).stdout.contains("complete: 1 ref,"));
    assert_eq!(std::fs::read_to_string(main.join("kept.txt")).unwrap(), "kept");

    let (_, ended) = restore(&world, "acme/site", "side", &["--branch", "side"]);
    assert!(ended.expect(1).stderr.contains("is not restored: not all of it can be read"));
    let (_, ended) = restore(&world, "acme/site", "none", &["--branch", "sied"]);
    let ended = ended.expect(2);
    assert!(
        ended.stderr.contains("has no refs/heads/sied") && ended.stderr.contains("it had main, side"),
        "{ended:#?}"
    );
}

/// Seen in a trial: a HEAD that names no branch gave an empty folder, exit 0 and "nothing missing".
#[test]
fn a_checkout_without_files_says_why() {
    let world = World::new();
    world.add("acme/site").set_default_branch("gone").unwrap();
    world.run_json(0);
    let (_, ended) = restore(&world, "acme/site", "headless", &["--checkout"]);
    let ended = ended.expect(0);
    assert!(ended.stdout.contains("the files are not checked out: HEAD names refs/heads/gone"), "{ended:#?}");
    let editor = world.sandbox.edit("acme/site");
    editor.annotated_tag("v1", "refs/heads/main").unwrap();
    world.run_json(0);
    let (restored, ended) = restore(&world, "acme/site", "tag", &["--branch", "refs/tags/v1", "--checkout"]);
    assert!(ended.expect(2).stderr.contains("none of what --branch names is a branch"));
    assert!(!restored.exists());
}

/// Seen in a trial: a restore that was refused left the folders above its destination behind.
#[test]
fn a_restore_that_fails_leaves_no_folder_behind() {
    let world = World::new();
    world.add("acme/site");
    world.run_json(0);
    let above = world.folder.path().join("p1");
    let too_long = above.join("p2").join("n".repeat(256)).join("site");
    world.run(&["restore", "acme/site", too_long.to_str().unwrap()]).expect(3);
    assert!(!above.exists());
    let good = above.join("p2/site");
    world.run(&["restore", "acme/site", good.to_str().unwrap()]).expect(0);
    assert!(good.is_dir());
}

/// Regression: where the mirror that was meant could not be read, another repository that had its name was restored instead,
/// and called complete.
#[test]
fn another_repository_of_the_name_never_stands_in() {
    let world = World::new();
    world.add("acme/site").set("id", "5").unwrap();
    world.run_json(0);
    world.sandbox.delete("acme/site").unwrap();
    world.add("acme/site").set("id", "4711").unwrap();
    world.run_json(0);
    let now = chrono_now();
    let mirror = world.mirror("acme/site");
    let away = world.folder.path().join("away.git");
    std::fs::rename(&mirror, &away).unwrap();
    for options in [&[][..], &["--at", &now]] {
        let (restored, ended) = restore(&world, "acme/site", "missing", options);
        let ended = ended.expect(1);
        assert!(ended.stderr.contains("its mirror is not in its place"), "{ended:#?}");
        assert!(ended.stderr.contains("by its id, another repository of this name can be restored: 5"), "{ended:#?}");
        assert!(!restored.exists());
    }
    restore(&world, "5", "by-id", &[]).1.expect(0);
    let ended = world.run(&["snapshots", "acme/site"]).expect(1);
    assert!(ended.stdout.contains("id 5") && ended.stderr.contains("not in its place"), "{ended:#?}");
    std::fs::rename(&away, &mirror).unwrap();

    std::fs::rename(mirror.join("packed-refs"), mirror.join("refs-away")).unwrap();
    std::fs::create_dir(mirror.join("packed-refs")).unwrap();
    restore(&world, "acme/site", "unreadable", &[]).1.expect(1);
    std::fs::remove_dir(mirror.join("packed-refs")).unwrap();
    std::fs::rename(mirror.join("refs-away"), mirror.join("packed-refs")).unwrap();

    // Nor does damage of the other one keep this one from coming back.
    std::fs::remove_dir_all(attic(&world).join("objects")).unwrap();
    restore(&world, "acme/site", "newest", &[]).1.expect(0);
    restore(&world, "acme/site", "at", &["--at", &now]).1.expect(1);
    restore(&world, "4711", "at-by-id", &["--at", &now]).1.expect(0);
}

/// Regression: whoever asked for one branch got all objects of all others, force-pushed ones included.
#[test]
fn a_part_holds_nothing_else() {
    let world = World::new();
    let site = world.add("acme/site");
    site.commit("other", "secret", "of another branch").unwrap();
    site.commit("main", "old", "1").unwrap();
    world.run_json(0);
    let (old, other) = (site.rev_parse("main").unwrap(), site.rev_parse("other").unwrap());
    site.force_push("main").unwrap();
    world.run_json(0);
    let (restored, ended) = restore(&world, "acme/site", "main", &["--branch", "main"]);
    assert!(ended.expect(0).stdout.contains("complete: 1 ref,"));
    git(&restored, &["fsck", "--full"]);
    for gone in [&old, &other] {
        assert!(!git_output(&restored, &["cat-file", "-e", gone]).status.success(), "{gone}");
    }
    let snapshots = git(&world.mirror("acme/site"), &["rev-parse", "refs/ghbk/snapshots"]);
    assert!(!git_output(&restored, &["cat-file", "-e", snapshots.trim()]).status.success());
}

/// Regression: one damaged piece of a snapshot, and nothing came back of a mirror whose refs are all whole.
#[test]
fn the_newest_state_comes_back_without_its_snapshot() {
    let world = World::new();
    let site = world.add("acme/site");
    world.run_json(0);
    site.commit("main", "two", "2").unwrap();
    let second = world.run_json(0)["run_id"].as_str().unwrap().to_owned();
    let mirror = world.mirror("acme/site");
    let tree = git(&mirror, &["ls-tree", "-r", "refs/ghbk/snapshots"]);
    let piece = tree.lines().find(|line| line.contains("refs")).unwrap().split_whitespace().nth(2).unwrap().to_owned();
    // All packs made anew, without that piece.
    let names = git(&mirror, &["cat-file", "--batch-all-objects", "--batch-check=%(objectname)"]);
    let kept: String = names.lines().filter(|name| *name != piece).map(|name| format!("{name}\n")).collect();
    let list = world.folder.path().join("kept");
    std::fs::write(&list, kept).unwrap();
    let away = world.folder.path().join("pack");
    let packed = Command::new("sh")
        .args([
            "-c",
            &format!(
                "git --git-dir={0} pack-objects --quiet {1} < {2} > /dev/null && rm {0}/objects/pack/*",
                mirror.display(),
                away.display(),
                list.display()
            ),
        ])
        .status()
        .unwrap();
    assert!(packed.success());
    for entry in std::fs::read_dir(world.folder.path()).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.file_name().unwrap().to_string_lossy().starts_with("pack-") {
            std::fs::rename(&entry, mirror.join("objects/pack").join(entry.file_name().unwrap())).unwrap();
        }
    }
    let (restored, ended) = restore(&world, "acme/site", "newest", &[]);
    let ended = ended.expect(0);
    assert!(ended.stdout.contains("warning: the mirror is damaged"), "{ended:#?}");
    assert_eq!(git(&restored, &["rev-parse", "main"]).trim(), site.rev_parse("main").unwrap());
    // What the run left is not known any more, and nothing else passes for it.
    restore(&world, "acme/site", "run", &["--run", &second]).1.expect(1);
}

/// Regression: a time that `ghbk status` had printed in UTC was read as Tokyo's.
#[test]
fn a_time_that_is_printed_can_be_typed_again() {
    let world = World::new();
    let editor = world.add("acme/site");
    world.run_json(0);
    let in_zone = |zone: &str, arguments: &[&str]| finish(world.ghbk(arguments).env("GHBK_SCHEDULE__TIMEZONE", zone));
    let first = editor.rev_parse("refs/heads/main").unwrap();
    // The next run is to be in another second.
    std::thread::sleep(std::time::Duration::from_millis(1100));
    editor.force_push("main").unwrap();
    world.run_json(0);
    for zone in ["Asia/Tokyo", "America/New_York", "UTC"] {
        let listed = in_zone(zone, &["snapshots", "acme/site"]).expect(0).stdout;
        let line = listed.lines().rfind(|line| line.contains("  run ")).unwrap();
        let time = line.trim_start_matches(['!', ' ']).split("  run ").next().unwrap();
        let (local, name) = time.rsplit_once(' ').unwrap();
        assert!(["JST", "EST", "EDT", "UTC"].contains(&name), "{line}");
        for (number, typed) in [time, local].into_iter().enumerate() {
            let folder = format!("{number}-{name}");
            in_zone(zone, &["restore", "acme/site", &folder, "--at", typed]).expect(0);
            let restored = world.folder.path().join(&folder);
            assert_eq!(git(&restored, &["rev-parse", "refs/heads/main"]).trim(), first, "{typed}");
        }
    }
    let ended = in_zone("Europe/Berlin", &["restore", "acme/site", "never", "--at", "2026-03-29 02:30"]).expect(2);
    assert!(ended.stderr.contains("does not exist in Europe/Berlin; write 2026-03-29T00:30:00Z or"), "{ended:#?}");
}

#[test]
fn the_latest_run_has_a_name() {
    let world = World::new();
    let editor = world.add("acme/site");
    world.run_json(0);
    editor.force_push("main").unwrap();
    world.run_json(0);
    let newest = editor.rev_parse("refs/heads/main").unwrap();
    world.run(&["restore", "acme/site", "latest", "--run", "latest"]).expect(0);
    let restored = world.folder.path().join("latest");
    assert_eq!(git(&restored, &["rev-parse", "refs/heads/main"]).trim(), newest);
    let ended = world.run(&["restore", "acme/site", "never", "--run", "last week"]).expect(2);
    assert!(ended.stderr.contains("\"last week\" is not the id of a run, such as "), "{ended:#?}");
}

#[test]
fn a_branch_that_was_deleted_says_where_it_still_is() {
    let world = World::new();
    let site = world.add("acme/site");
    site.commit("feature", "feature.txt", "1").unwrap();
    let before = world.run_json(0);
    site.delete_ref("refs/heads/feature").unwrap();
    site.commit("main", "later.txt", "2").unwrap();
    let after = world.run_json(0);
    assert_eq!(after["deleted"][0]["refs"], serde_json::json!(["refs/heads/feature"]), "{after:#}");
    let ended = world.run(&["restore", "acme/site", "gone", "--branch", "feature"]).expect(2);
    let run_id = before["run_id"].as_str().unwrap();
    assert!(ended.stderr.contains(&format!("`--run {run_id}` is the last point in time that has it")), "{ended:#?}");
    world.run(&["restore", "acme/site", "back", "--branch", "feature", "--run", run_id]).expect(0);
}
