//! What a later run asks the server for: what the mirror lacks, and nothing else.

use std::io::Write;
use std::process::{Command, Stdio};

use ghbk_sandbox::RepositoryEditor;

use crate::wire::Line;
use crate::world::{World, finish, git, noise};

/// A change of the repository, by what it is.
type Step<'a> = (&'a str, Box<dyn Fn() + 'a>);

/// A commit with a short file is a few hundred bytes, and what the server says beside it; a file of noise is 20 kB.
const SHORT_BYTES_MAX: u64 = 4_000;

fn with_history(world: &World) -> RepositoryEditor {
    let site = world.add("acme/site");
    for number in 0..20 {
        site.commit("main", &format!("file-{number}"), &noise(number, 20_000)).unwrap();
    }
    site
}

fn mirrored() -> (World, RepositoryEditor) {
    let world = World::new();
    let site = with_history(&world);
    world.run_json(0);
    (world, site)
}

fn git_with_input(repository: &RepositoryEditor, arguments: &[&str], input: &str) {
    let mut git = Command::new("git");
    git.arg("--git-dir").arg(repository.path()).args(arguments).stdin(Stdio::piped());
    let mut git = git.spawn().unwrap();
    git.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    assert!(git.wait().unwrap().success());
}

#[track_caller]
fn bytes_of_an_update(world: &World, what: &str) -> u64 {
    let summary = world.run_json(0);
    assert_eq!(summary["counts"]["updated"], 1, "{what}: {summary:#}");
    world.assert_mirrors("acme/site");
    let received_bytes = summary["bytes_received"].as_u64().unwrap();
    eprintln!("{what}: {received_bytes} bytes");
    received_bytes
}

#[test]
fn what_is_stored_is_not_sent_again() {
    let (world, site) = mirrored();
    let old_main = site.rev_parse("refs/heads/main").unwrap();
    let set = |name: &str, revision: &str| git(site.path(), &["update-ref", name, revision]);
    let steps: Vec<Step> = vec![
        ("a commit on a branch", Box::new(|| drop(site.commit("main", "a", "1").unwrap()))),
        ("a branch that begins at an old commit", Box::new(|| drop(set("refs/heads/old", "main~9")))),
        ("a commit on that branch", Box::new(|| drop(site.commit("old", "b", "1").unwrap()))),
        (
            "a pull request's commit",
            Box::new(|| {
                site.commit("topic", "c", "1").unwrap();
                set("refs/pull/1/head", "topic");
                set("refs/heads/topic", "main");
            }),
        ),
        (
            "one more on top of it",
            Box::new(|| {
                set("refs/heads/topic", "refs/pull/1/head");
                site.commit("topic", "d", "1").unwrap();
            }),
        ),
        (
            "a tag with a text",
            Box::new(|| {
                git(
                    site.path(),
                    &["-c", "user.name=A", "-c", "user.email=a@example.com", "tag", "-a", "-m", "x", "v1", "main"],
                );
            }),
        ),
        (
            "a force push to a sibling",
            Box::new(|| {
                set("refs/heads/main", &old_main);
                site.commit("main", "a", "2").unwrap();
            }),
        ),
        (
            "a commit on what the push has dropped",
            Box::new(|| {
                set("refs/heads/revived", "v1^{commit}");
                site.commit("revived", "e", "1").unwrap();
                git(site.path(), &["update-ref", "-d", "refs/tags/v1"]);
            }),
        ),
    ];
    for (what, change) in steps {
        change();
        let bytes = bytes_of_an_update(&world, what);
        assert!(bytes < SHORT_BYTES_MAX, "{what}: {bytes} bytes");
    }
}

#[test]
fn of_more_branches_than_are_named_to_the_server_the_one_that_moves_counts() {
    let world = World::new();
    let site = with_history(&world);
    let tip = site.rev_parse("refs/heads/main").unwrap();
    // Each has a commit of its own, so that each is a tip of its own.
    let commits: String = (0..5_000)
        .map(|number| {
            format!(
                "commit refs/heads/b{number:04}\ncommitter A <a@example.com> {} +0000\ndata 1\nc\nfrom {tip}\n",
                1_700_000_000 + number
            )
        })
        .collect();
    git_with_input(&site, &["fast-import", "--quiet"], &commits);
    world.run_json(0);
    site.commit("main", "a", "1").unwrap();
    let bytes = bytes_of_an_update(&world, "a commit on one of 5,001 branches");
    assert!(bytes < SHORT_BYTES_MAX, "{bytes} bytes");
}

#[test]
fn a_large_object_is_refused_in_a_later_run_too() {
    let (world, site) = mirrored();
    let before = crate::world::files_below(&world.mirror("acme/site"));
    site.commit("main", "large", &"x".repeat(3_000_000)).unwrap();
    let mut command = world.ghbk(&["run", "--json"]);
    command.env("GHBK_LIMITS__OBJECT_SIZE", "1 MiB");
    let summary = finish(&mut command).expect(1).json();
    let error = summary["failures"][0]["error"].as_str().unwrap();
    assert!(error.contains("object"), "{error}");
    assert_eq!(crate::world::files_below(&world.mirror("acme/site")), before);
    bytes_of_an_update(&world, "with the usual limit");
}

/// As servers did before 2007: the base of a delta is named by its id, so that gitoxide cannot receive the pack.
#[test]
fn a_server_without_ofs_delta_is_mirrored_and_updated() {
    let world = World::new();
    let site = with_history(&world);
    let line = Line::to(&world.sandbox);
    let run = || {
        let tip = site.rev_parse("refs/heads/main").unwrap();
        let payload = format!("{tip} refs/heads/main\0multi_ack thin-pack side-band-64k no-progress\n");
        let pkt = |payload: &str| format!("{:04x}{payload}", payload.len() + 4);
        let body = format!("{}0000{}0000", pkt("# service=git-upload-pack\n"), pkt(&payload));
        line.answer("GET /acme/site.git/info/refs", move |client| {
            let content_type = "application/x-git-upload-pack-advertisement";
            write!(
                client,
                "HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            )
        });
        let mut command = world.ghbk(&["run", "--json"]);
        command.env("GHBK_GITHUB__API_URL", line.api_url());
        finish(&mut command).expect(0).json()
    };
    assert_eq!(run()["counts"]["created"], 1);
    world.assert_mirrors("acme/site");
    site.commit("main", "a", "1").unwrap();
    let summary = run();
    assert_eq!(summary["counts"]["updated"], 1);
    assert!(summary["bytes_received"].as_u64().unwrap() < SHORT_BYTES_MAX, "{summary:#}");
    world.assert_mirrors("acme/site");
    assert_eq!(run()["counts"]["unchanged"], 1);
}

/// git sends such packs where it copies what it has stored so, which a bitmap lets it do.
#[test]
fn a_pack_that_names_bases_by_id_updates_a_mirror() {
    let (world, site) = mirrored();
    let text = noise(99, 20_000);
    for number in 0..100 {
        site.commit("main", "grows", &format!("{text}{number}\n")).unwrap();
    }
    let repack = ["-c", "repack.useDeltaBaseOffset=false", "repack", "-a", "-d", "-f", "-b", "--quiet"];
    git(site.path(), &repack);
    let ended = finish(&mut world.ghbk(&["-vv", "run", "--json"])).expect(0);
    assert!(ended.stderr.contains("received by libgit2"), "{}", ended.stderr);
    world.assert_mirrors("acme/site");
    world.run(&["verify", "--deep"]).expect(0);
}

/// Otherwise the refs of a run that ended well would name what is nowhere.
#[test]
fn a_mirror_that_lacks_what_its_refs_name_is_damaged_whatever_moves() {
    let (world, site) = mirrored();
    site.commit("feature", "f", "1").unwrap();
    world.run_json(0);
    let tip = site.rev_parse("refs/heads/feature").unwrap();
    let packs = ghbk::git::pack::packs_in(&world.mirror("acme/site").join("objects/pack")).unwrap();
    let newest = packs.iter().min_by_key(|pack| pack.bytes().unwrap()).unwrap();
    // With another snapshot, so that only the branch is missing.
    site.commit("main", "a", "1").unwrap();
    world.run_json(0);
    std::fs::remove_file(&newest.pack).unwrap();
    std::fs::remove_file(&newest.idx).unwrap();
    site.commit("main", "a", "2").unwrap();
    let before = crate::world::files_below(&world.mirror("acme/site"));
    let summary = world.run_json(1);
    let failure = &summary["failures"][0];
    let error = failure["error"].as_str().unwrap();
    assert!(error.contains(&tip) && error.contains("refs/heads/feature"), "{error}");
    assert!(failure["hint"].as_str().unwrap().contains("--repair"), "{failure}");
    assert_eq!(crate::world::files_below(&world.mirror("acme/site")), before);
}

#[test]
fn a_branch_that_went_forward_by_a_merge_is_no_force_push() {
    let (world, site) = mirrored();
    let old = site.rev_parse("refs/heads/main").unwrap();
    site.commit("topic", "t", "1").unwrap();
    let tree = format!("{old}^{{tree}}");
    let identity = ["-c", "user.name=A", "-c", "user.email=a@example.com"];
    let merge = [&identity[..], &["commit-tree", "-m", "m", "-p", "topic", "-p", &old, &tree]].concat();
    let merge = git(site.path(), &merge);
    site.set_ref("refs/heads/main", merge.trim()).unwrap();
    let summary = world.run_json(0);
    assert_eq!(summary["counts"]["updated"], 1);
    assert_eq!(summary["force_pushed"].as_array().unwrap().len(), 0, "{summary:#}");
    world.assert_mirrors("acme/site");
}

/// Regression: with a lost index HEAD is read from the mirror, and its bytes went into the text of the snapshot.
#[test]
fn a_head_of_zeros_spoils_no_snapshot() {
    let (world, site) = mirrored();
    let mirror = world.mirror("acme/site");
    std::fs::write(mirror.join("HEAD"), [0; 21]).unwrap();
    std::fs::remove_file(world.folder.path().join("store/.ghbk/index.json")).unwrap();
    site.commit("main", "a", "1").unwrap();
    bytes_of_an_update(&world, "after HEAD was lost");
    assert_eq!(git(&mirror, &["symbolic-ref", "HEAD"]), "refs/heads/main\n");
    let snapshots = finish(&mut world.ghbk(&["snapshots", "acme/site", "--json"])).expect(0).json();
    assert_eq!(snapshots[0]["snapshots"].as_array().unwrap().len(), 2, "{snapshots:#}");
}
