//! `ghbk adopt`: clones of another tool become mirrors, nothing is fetched, and nothing of them is lost.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::world::{World, finish, git};

fn run_git(arguments: &[&str], folder: &Path) {
    let output = Command::new("git")
        .args(["-c", "user.name=Somebody", "-c", "user.email=s@example.com", "-c", "init.defaultBranch=main"])
        .args(arguments)
        .current_dir(folder)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .output()
        .unwrap();
    assert!(output.status.success(), "git {arguments:?}: {output:?}");
}

/// Clones as another tool would have done, and lets the clone say that it is of the sandbox's GitHub.
fn clone(world: &World, name: &str, place: &str, options: &[&str]) -> PathBuf {
    let from = world.sandbox.repositories().join(format!("{name}.git"));
    let to = world.root.join(place);
    std::fs::create_dir_all(to.parent().unwrap()).unwrap();
    let mut arguments = vec!["clone", "--quiet"];
    arguments.extend(options);
    let from = format!("file://{}", from.display());
    arguments.extend([from.as_str(), to.to_str().unwrap()]);
    run_git(&arguments, world.folder.path());
    run_git(&["remote", "set-url", "origin", &format!("{}/{name}.git", world.sandbox.url())], &to);
    to
}

/// Says whether the git server was asked for anything since the requests were forgotten.
fn has_fetched(world: &World) -> bool {
    world.sandbox.requests().iter().any(|request| request.path.contains(".git/"))
}

fn tip(folder: &Path, name: &str) -> String {
    git(folder, &["rev-parse", name]).trim().to_owned()
}

#[test]
fn clones_of_every_kind_become_mirrors_without_a_fetch() {
    let world = World::new();
    for name in ["acme/plain", "acme/in-place", "acme/bare", "acme/new"] {
        world.add(name).annotated_tag("v1", "main").unwrap();
    }
    clone(&world, "acme/plain", "plain", &[]);
    clone(&world, "acme/in-place", "acme/in-place.git", &["--mirror"]);
    clone(&world, "acme/bare", "acme/bare", &["--bare"]);
    world.sandbox.edit("acme/plain").commit("main", "later", "on GitHub only").unwrap();

    let listed = world.run(&["adopt", "--dry-run"]).expect(0);
    assert_eq!(listed.stdout.matches("would adopt: ").count(), 3, "{listed:#?}");
    assert!(!world.root.join(".ghbk/runs").exists(), "a dry run writes nothing");

    let before: Vec<String> = ["acme/plain", "acme/in-place", "acme/bare"]
        .map(|name| tip(&world.sandbox.repositories().join(format!("{name}.git")), "v1"))
        .to_vec();
    let ended = world.run(&["adopt"]).expect(0);
    assert!(ended.stdout.starts_with("adoption complete"), "{ended:#?}");
    assert!(!has_fetched(&world), "{:#?}", world.sandbox.requests());
    for (name, tag) in ["acme/plain", "acme/in-place", "acme/bare"].iter().zip(before) {
        assert_eq!(tip(&world.mirror(name), "v1"), tag, "{name}");
        assert!(world.mirror(name).join("packed-refs").is_file());
    }
    world.assert_mirrors("acme/in-place");
    world.run(&["verify", "--deep"]).expect(0);
    // The clones are out of the way, and whole.
    assert!(!world.root.join("plain").exists() && !world.root.join("acme/bare").exists());
    let adopted = std::fs::read_dir(world.root.join(".ghbk/adopted")).unwrap().next().unwrap().unwrap().path();
    assert!(adopted.join("plain/README.md").is_file());
    git(&adopted.join("acme/in-place.git"), &["fsck"]);

    let summary = world.run_json(0);
    assert_eq!(summary["counts"]["created"], 1, "acme/new alone: {summary:#}");
    assert_eq!(summary["counts"]["updated"], 1, "acme/plain alone: {summary:#}");
    assert_eq!(summary["warnings"].as_array().unwrap().len(), 0, "{summary:#}");
    for name in ["acme/plain", "acme/in-place", "acme/bare", "acme/new"] {
        world.assert_mirrors(name);
    }
    assert_eq!(world.run(&["adopt"]).expect(0).stdout, "there is no clone of another tool on the store\n");
}

#[test]
fn what_only_the_clone_has_is_kept() {
    let world = World::new();
    let site = world.add("acme/site");
    let old = clone(&world, "acme/site", "site", &[]);
    let before_force_push = tip(&old.join(".git"), "origin/main");
    std::fs::write(old.join("mine"), "never pushed").unwrap();
    run_git(&["switch", "--quiet", "-c", "mine"], &old);
    run_git(&["add", "mine"], &old);
    run_git(&["commit", "--quiet", "-m", "mine"], &old);
    let mine = tip(&old.join(".git"), "mine");
    site.force_push("main").unwrap();

    world.run(&["adopt"]).expect(0);
    assert_eq!(tip(&world.mirror("acme/site"), &format!("refs/ghbk/kept/{mine}")), mine);
    assert_eq!(tip(&world.mirror("acme/site"), "main"), before_force_push);
    let summary = world.run_json(0);
    assert_eq!(summary["force_pushed"][0]["repository"], "acme/site", "{summary:#}");
    let snapshots = world.run(&["snapshots", "acme/site", "--json"]).expect(0).json();
    let first = snapshots[0]["snapshots"].as_array().unwrap().last().unwrap()["time"].as_str().unwrap().to_owned();
    let restored = world.folder.path().join("restored.git");
    world.run(&["restore", "acme/site", restored.to_str().unwrap(), "--at", &first]).expect(0);
    assert_eq!(tip(&restored, "main"), before_force_push);
    world.run(&["verify", "--deep"]).expect(0);
}

#[test]
fn a_wiki_s_clone_is_adopted_with_its_repository() {
    let world = World::new();
    world.add("acme/site");
    world.add("acme/site.wiki");
    clone(&world, "acme/site", "acme/site", &["--mirror"]);
    clone(&world, "acme/site.wiki", "acme/site.wiki", &["--mirror"]);
    world.run(&["adopt"]).expect(0);
    world.assert_mirrors("acme/site");
    world.assert_mirrors("acme/site.wiki");
    assert_eq!(world.run_json(0)["counts"]["unchanged"], 1);
}

#[test]
fn what_cannot_be_adopted_is_named_and_left_alone() {
    let world = World::new();
    let site = world.add("acme/site");
    site.commit("main", "more", "more").unwrap();
    world.add("acme/good");
    clone(&world, "acme/site", "shallow", &["--depth", "1"]);
    clone(&world, "acme/good", "good", &[]);
    let elsewhere = clone(&world, "acme/good", "elsewhere", &[]);
    run_git(&["remote", "set-url", "origin", "https://gitlab.example/acme/good.git"], &elsewhere);
    let gone = clone(&world, "acme/good", "gone", &[]);
    run_git(&["remote", "set-url", "origin", &format!("{}/acme/gone.git", world.sandbox.url())], &gone);

    let ended = world.run(&["adopt"]).expect(1);
    for reason in ["it is shallow", "its origin is no repository on", "GitHub has no repository acme/gone"] {
        assert!(ended.stdout.contains(reason), "{reason}: {ended:#?}");
    }
    for name in ["shallow", "elsewhere", "gone"] {
        assert!(world.root.join(name).join(".git").is_dir(), "{name}");
    }
    world.assert_mirrors("acme/good");
    // A person knows better.
    let ended = world.run(&["adopt", world.root.join("elsewhere").to_str().unwrap(), "--as", "acme/site"]).expect(0);
    assert!(ended.stdout.contains("adopted: acme/site"), "{ended:#?}");
    world.run(&["run"]).expect(0);
    world.assert_mirrors("acme/site");
}

#[test]
fn a_damaged_clone_is_no_mirror_and_stays() {
    let world = World::new();
    world.add("acme/site");
    let old = clone(&world, "acme/site", "site", &[]);
    let tree = tip(&old.join(".git"), "main^{tree}");
    // A clone of a few objects has them in a pack; loose, one can be taken away.
    let pack = std::fs::read_dir(old.join(".git/objects/pack")).unwrap();
    let pack =
        pack.map(|entry| entry.unwrap().path()).find(|path| path.extension().is_some_and(|e| e == "pack")).unwrap();
    let taken = world.folder.path().join("taken.pack");
    std::fs::rename(&pack, &taken).unwrap();
    std::fs::remove_file(pack.with_extension("idx")).unwrap();
    let status = Command::new("git")
        .args(["unpack-objects", "-q"])
        .current_dir(&old)
        .stdin(std::fs::File::open(&taken).unwrap())
        .status();
    assert!(status.unwrap().success());
    std::fs::remove_file(old.join(".git/objects").join(&tree[..2]).join(&tree[2..])).unwrap();

    let ended = world.run(&["adopt"]).expect(1);
    assert!(ended.stdout.contains(&tree), "{ended:#?}");
    assert!(old.join(".git").is_dir() && !world.mirror("acme/site").exists());
    // The backup does not depend on it, and says that it lies there.
    let summary = world.run_json(0);
    assert!(summary["warnings"][0].as_str().unwrap().contains("ghbk adopt"), "{summary:#}");
    world.assert_mirrors("acme/site");
}

#[test]
fn a_clone_in_a_mirror_s_place_is_explained() {
    let world = World::new();
    world.add("acme/site");
    clone(&world, "acme/site", "acme/site.git", &["--mirror"]);
    let summary = world.run_json(1);
    let failure = &summary["failures"][0];
    assert!(failure["error"].as_str().unwrap().contains("is in the way"), "{failure:#}");
    assert!(failure["hint"].as_str().unwrap().contains("ghbk adopt"), "{failure:#}");
}

#[test]
fn wrong_words_are_explained() {
    let world = World::new();
    world.add("acme/site");
    clone(&world, "acme/site", "site", &[]);
    for (arguments, about) in [
        (vec!["adopt", "/nowhere"], "no clone of another tool"),
        (vec!["adopt", "--as", "acme/site"], "CLONE"),
        (vec!["adopt", "site", "--as", "site"], "OWNER/NAME"),
    ] {
        let ended = world.run(&arguments).expect(2);
        assert!(ended.stderr.contains(about), "{arguments:?}: {ended:#?}");
    }
    world.sandbox.fault(ghbk_sandbox::Fault::on("/repos").status(401));
    finish(&mut world.ghbk(&["adopt"])).expect(3);
    assert!(world.root.join("site/.git").is_dir());
}

/// The last line away: as if the run had died before it.
fn without_summary(world: &World) {
    let records = std::fs::read_dir(world.root.join(".ghbk/runs")).unwrap();
    let newest = records.map(|entry| entry.unwrap().path()).max().unwrap();
    let text = std::fs::read_to_string(&newest).unwrap();
    let (before, _) = text.trim_end().rsplit_once('\n').unwrap();
    std::fs::write(&newest, format!("{before}\n")).unwrap();
}

/// Regression: a clone in an owner's place took every mirror of this owner along when it was set aside.
#[test]
fn a_clone_in_an_owner_s_place_leaves_the_mirrors_where_they_are() {
    let world = World::new();
    for name in ["acme/acme", "acme/aaa", "acme/site"] {
        world.add(name);
    }
    clone(&world, "acme/acme", "acme", &[]);
    clone(&world, "acme/aaa", "aaa", &[]);
    world.run(&["adopt"]).expect(0);
    world.assert_mirrors("acme/acme");
    world.assert_mirrors("acme/aaa");
    let summary = world.run_json(0);
    assert_eq!(summary["counts"]["unchanged"], 2, "{summary:#}");

    let world = World::new();
    for name in ["acme/acme", "acme/site"] {
        world.add(name);
    }
    clone(&world, "acme/acme", "acme", &[]);
    world.run(&["run", "acme/site"]).expect(0);
    let ended = world.run(&["adopt"]).expect(1);
    assert!(ended.stdout.contains("other repositories lie in its folder"), "{ended:#?}");
    world.assert_mirrors("acme/site");
    assert!(world.root.join("acme/.git").is_dir());
}

#[test]
fn a_second_clone_and_one_of_a_mirror_are_left_alone() {
    let world = World::new();
    world.add("acme/site");
    world.add("acme/known");
    world.run(&["run", "acme/known"]).expect(0);
    clone(&world, "acme/known", "known", &[]);
    clone(&world, "acme/site", "site", &[]);
    clone(&world, "acme/site", "site-again", &[]);
    let ended = world.run(&["adopt"]).expect(1);
    assert!(ended.stdout.contains("is a clone of the same repository"), "{ended:#?}");
    assert!(ended.stdout.contains("has a mirror already"), "{ended:#?}");
    // A refusal says nothing of the mirror.
    let status = world.run(&["status", "--json"]).expect(0).json();
    for repository in status["repositories"].as_array().unwrap() {
        assert_eq!(repository["state"], "ok", "{status:#}");
    }
}

/// Regression: killed before the clone was out of the mirror's place, neither `adopt` nor `run` could go on.
#[test]
fn an_interrupted_adoption_is_finished_by_the_next_run() {
    let world = World::new();
    world.add("acme/site");
    clone(&world, "acme/site", "acme/site.git", &["--mirror"]);
    world.run(&["adopt"]).expect(0);
    // Back to the moment between two renames.
    let mirror = world.mirror("acme/site");
    let id = git(&mirror, &["config", "ghbk.id"]).trim().to_owned();
    let moving = world.root.join(".ghbk/replacing");
    std::fs::create_dir_all(&moving).unwrap();
    std::fs::rename(&mirror, moving.join(format!("{id}.git"))).unwrap();
    clone(&world, "acme/site", "acme/site.git", &["--mirror"]);
    without_summary(&world);

    let summary = world.run_json(0);
    assert_eq!(summary["counts"]["unchanged"], 1, "{summary:#}");
    world.assert_mirrors("acme/site");
    assert!(world.root.join(format!(".ghbk/adopted/interrupted/{id}.git/HEAD")).is_file());
    assert!(!moving.join(format!("{id}.git")).exists());
}

/// Regression: the run after an interrupted one took `NAME/.git` of a clone for a mirror, and removed packs without idx.
#[test]
fn what_another_tool_has_under_way_is_left_alone() {
    let world = World::new();
    world.add("acme/site");
    let plain = clone(&world, "acme/site", "site", &[]);
    let bare = clone(&world, "acme/site", "acme/old.git", &["--mirror"]);
    world.run(&["run"]).expect(0);
    let under_way = [plain.join(".git"), bare].map(|git_dir| git_dir.join("objects/pack/pack-1234.pack"));
    for pack in &under_way {
        std::fs::write(pack, "half of it").unwrap();
    }
    without_summary(&world);
    let ended = world.run(&["run"]).expect(0);
    assert!(ended.stdout.contains("was interrupted"), "{ended:#?}");
    assert!(!ended.stderr.contains("site.git"), "{ended:#?}");
    for pack in &under_way {
        assert!(pack.exists(), "{}", pack.display());
    }
}
