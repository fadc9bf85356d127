//! Nothing that was once on GitHub is lost here: kept tips and snapshots, read by plain git.

use crate::world::{World, git, git_output};

/// The snapshots' titles, newest first.
fn titles(world: &World, name: &str) -> Vec<String> {
    let log = git(&world.mirror(name), &["log", "--format=%s", "refs/ghbk/snapshots"]);
    log.lines().map(str::to_owned).collect()
}

fn kept(world: &World, name: &str) -> Vec<String> {
    let refs = git(&world.mirror(name), &["for-each-ref", "--format=%(refname)", "refs/ghbk/kept"]);
    refs.lines().map(|line| line.trim_start_matches("refs/ghbk/kept/").to_owned()).collect()
}

/// A snapshot's refs, put together as `docs/snapshots.md` says, without ghbk.
fn packed_refs_at(world: &World, name: &str, snapshot: &str) -> String {
    let mirror = world.mirror(name);
    let pieces = git(&mirror, &["ls-tree", "--name-only", &format!("{snapshot}:packed-refs")]);
    pieces
        .lines()
        .map(|piece| git(&mirror, &["cat-file", "blob", &format!("{snapshot}:packed-refs/{piece}")]))
        .collect()
}

#[test]
fn every_run_that_changed_something_adds_one_snapshot_in_the_same_pack() {
    let world = World::new();
    let site = world.add("acme/site");
    world.run_json(0);
    let first = packed_refs_at(&world, "acme/site", "refs/ghbk/snapshots");
    assert!(first.starts_with("# pack-refs with: peeled fully-peeled sorted \n"), "{first}");
    assert!(first.contains(" refs/heads/main\n"), "{first}");
    world.run_json(0);
    site.commit("main", "b", "2").unwrap();
    site.annotated_tag("v1", "refs/heads/main").unwrap();
    world.run_json(0);
    assert_eq!(
        titles(&world, "acme/site"),
        ["Snapshot of acme/site: 1 branch updated, 1 tag created", "First snapshot of acme/site: 1 branch"]
    );
    assert_eq!(packed_refs_at(&world, "acme/site", "refs/ghbk/snapshots~1"), first);
    assert_eq!(git(&world.mirror("acme/site"), &["show", "refs/ghbk/snapshots:HEAD"]), "ref: refs/heads/main\n");
    let packs = std::fs::read_dir(world.mirror("acme/site").join("objects/pack")).unwrap().count();
    assert_eq!(packs, 2 * 2, "one pack and one idx for each run that changed something");
    assert!(kept(&world, "acme/site").is_empty(), "a fast-forward keeps nothing extra");
    world.assert_mirrors("acme/site");
}

#[test]
fn whatever_github_drops_is_kept() {
    let world = World::new();
    let site = world.add("acme/site");
    site.commit("main", "b", "2").unwrap();
    site.commit("old", "c", "3").unwrap();
    site.annotated_tag("v1", "refs/heads/main").unwrap();
    let blob = site.git(&["hash-object", "-w", "--stdin"]).unwrap().trim().to_owned();
    let tree = site.rev_parse("refs/heads/main^{tree}").unwrap();
    site.set_ref("refs/tags/blob", &blob).unwrap();
    site.set_ref("refs/tags/tree", &tree).unwrap();
    site.commit("topic", "d", "4").unwrap();
    let pull = site.rev_parse("refs/heads/topic").unwrap();
    site.set_ref("refs/pull/1/head", &pull).unwrap();
    site.delete_ref("refs/heads/topic").unwrap();
    world.run_json(0);
    let mut expected = vec![blob, tree, pull];
    for name in ["refs/heads/main", "refs/heads/old", "refs/tags/v1"] {
        expected.push(site.rev_parse(name).unwrap());
    }
    expected.sort();

    site.force_push("main").unwrap();
    site.annotated_tag("v1", "refs/heads/main").unwrap();
    for name in ["refs/heads/old", "refs/tags/blob", "refs/tags/tree", "refs/pull/1/head"] {
        site.delete_ref(name).unwrap();
    }
    world.run_json(0);
    assert_eq!(kept(&world, "acme/site"), expected);
    world.assert_mirrors("acme/site");

    // Plain git may do its worst.
    let mirror = world.mirror("acme/site");
    git(&mirror, &["gc", "--prune=now", "--quiet"]);
    for oid in &expected {
        git(&mirror, &["cat-file", "-e", oid]);
    }
    site.commit("main", "e", "5").unwrap();
    assert_eq!(world.run_json(0)["counts"]["updated"], 1);
    assert_eq!(kept(&world, "acme/site"), expected);
    world.assert_mirrors("acme/site");
    let message = git(&mirror, &["log", "-1", "--skip=1", "--format=%B", "refs/ghbk/snapshots"]);
    for line in ["force-pushed refs/heads/main ", "moved refs/tags/v1 ", "deleted refs/pull/1/head "] {
        assert!(message.contains(line), "{message}");
    }
}

#[test]
fn what_another_ref_still_reaches_is_not_kept_twice() {
    let world = World::new();
    let site = world.add("acme/site");
    site.set_ref("refs/heads/merged", &site.rev_parse("refs/heads/main").unwrap()).unwrap();
    site.commit("merged", "b", "2").unwrap();
    let merged = site.rev_parse("refs/heads/merged").unwrap();
    world.run_json(0);
    site.set_ref("refs/heads/main", &merged).unwrap();
    site.commit("main", "c", "3").unwrap();
    site.delete_ref("refs/heads/merged").unwrap();
    world.run_json(0);
    assert!(kept(&world, "acme/site").is_empty());
}

#[test]
fn only_the_repository_that_changed_is_written_to() {
    let world = World::generated(20);
    world.run_json(0);
    world.sandbox.edit("acme/repository-007").commit("main", "new", "1").unwrap();
    let before = modified(&world);
    assert_eq!(world.run_json(0)["counts"]["updated"], 1);
    let changed: Vec<_> =
        modified(&world).into_iter().filter(|entry| !before.contains(entry)).map(|(path, _)| path).collect();
    assert!(!changed.is_empty());
    for path in changed {
        let path = path.strip_prefix(&world.root).unwrap();
        assert!(path.starts_with(".ghbk") || path.starts_with("acme/repository-007.git"), "{}", path.display());
    }
}

fn modified(world: &World) -> Vec<(std::path::PathBuf, std::time::SystemTime)> {
    let files = crate::world::files_below(&world.root).into_iter().map(|(path, _)| path);
    files.map(|path| (path.clone(), std::fs::metadata(&path).unwrap().modified().unwrap())).collect()
}

#[test]
fn one_changed_ref_among_a_hundred_thousand_costs_little() {
    let world = World::new();
    let site = world.add("acme/site");
    let head = site.rev_parse("refs/heads/main").unwrap();
    let mut packed = String::from("# pack-refs with: peeled fully-peeled sorted \n");
    for number in 0..100_000 {
        packed.push_str(&format!("{head} refs/heads/branch-{number:06}\n"));
    }
    packed.push_str(&format!("{head} refs/heads/main\n"));
    let origin = world.sandbox.repositories().join("acme/site.git");
    std::fs::write(origin.join("packed-refs"), packed).unwrap();
    world.run_json(0);
    let stored_bytes = |world: &World| -> u64 {
        let files = crate::world::files_below(&world.mirror("acme/site").join("objects"));
        files.iter().map(|(_, content)| content.len() as u64).sum()
    };
    let before = stored_bytes(&world);
    site.commit("branch-050000", "b", "2").unwrap();
    world.run_json(0);
    let added = stored_bytes(&world) - before;
    assert!(added < 100_000, "{added} bytes for one changed ref");
    eprintln!("one changed ref among 100,000 adds {added} bytes");
    let tips = git_output(&world.mirror("acme/site"), &["rev-parse", "refs/heads/branch-050000"]).stdout;
    assert_eq!(String::from_utf8(tips).unwrap().trim(), site.rev_parse("refs/heads/branch-050000").unwrap());
}

#[test]
fn a_ref_with_an_odd_name_is_named_and_costs_no_other() {
    use std::os::unix::ffi::OsStrExt;
    let world = World::new();
    let site = world.add("acme/site");
    let head = site.rev_parse("refs/heads/main").unwrap();
    let origin = world.sandbox.repositories().join("acme/site.git");
    let odd = std::ffi::OsStr::from_bytes(b"refs/heads/gr\xfcn");
    let status = std::process::Command::new("git")
        .arg("--git-dir")
        .arg(&origin)
        .arg("update-ref")
        .arg(odd)
        .arg(&head)
        .status()
        .unwrap();
    assert!(status.success());
    for _ in 0..2 {
        let summary = world.run_json(1);
        let error = summary["failures"][0]["error"].as_str().unwrap();
        assert!(error.contains("cannot be stored"), "{summary}");
        assert_eq!(git(&world.mirror("acme/site"), &["rev-parse", "refs/heads/main"]).trim(), head);
    }
}

#[test]
fn a_repository_that_holds_the_very_files_of_a_snapshot_is_no_problem() {
    let world = World::new();
    let site = world.add("acme/site");
    site.commit("main", "HEAD", "ref: refs/heads/main\n").unwrap();
    world.run_json(0);
    site.commit("main", "other", "1").unwrap();
    world.run_json(0);
    world.assert_mirrors("acme/site");
    world.run(&["verify", "--deep"]).expect(0);
    let mirror = world.mirror("acme/site");
    for pack in ghbk::git::pack::packs_in(&mirror.join("objects/pack")).unwrap() {
        git(&mirror, &["index-pack", "--verify", pack.pack.to_str().unwrap()]);
    }
}
