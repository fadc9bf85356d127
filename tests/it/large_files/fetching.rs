//! Large files come with the refs that need them, once, and all of them.

use ghbk_sandbox::Fault;

use super::{GitLfs, asked, content, missing, of_origin, sums, track, with_large_files};
use crate::world::{World, noise};

#[test]
fn a_first_backup_has_every_content_and_a_plain_clone_has_them() {
    let (world, git) = (World::new(), GitLfs::new());
    let oids = with_large_files(&world, "acme/site", &[b"one\n", b"two two\n"]);
    let summary = world.run_json(0);
    assert_eq!(summary["schema"], 2);
    assert_eq!(sums(&summary)["states"], serde_json::json!({"created": 1}));
    assert_eq!(sums(&summary)["counts"], serde_json::json!({"downloaded": 2, "downloaded_bytes": 12}));
    git.assert_complete(&world.mirror("acme/site"));
    let clone = git.clone(&world.mirror("acme/site"));
    assert_eq!(std::fs::read(clone.join("1.bin")).unwrap(), b"two two\n");
    for oid in &oids {
        assert_eq!(
            std::fs::read(content(&world, "acme/site", oid)).unwrap(),
            std::fs::read(of_origin(&world, "acme/site", oid)).unwrap()
        );
    }
    assert!(!world.mirror("acme/site").join("lfs/missing.jsonl").exists());
    // Nothing new: nothing is asked.
    world.sandbox.clear_requests();
    let summary = world.run_json(0);
    assert_eq!(asked(&world), (0, 0));
    assert_eq!(summary["counts"]["unchanged"], 1);
    assert_eq!(sums(&summary), serde_json::Value::Null);
}

#[test]
fn every_ref_and_the_whole_history_count() {
    let (world, git) = (World::new(), GitLfs::new());
    let editor = world.add("acme/site");
    track(&editor);
    for version in 0..3 {
        let files: Vec<(String, String)> =
            (0..500).map(|file| (format!("{file}.bin"), format!("file {file} version {version}\n"))).collect();
        let files: Vec<(&str, &[u8])> = files.iter().map(|(name, text)| (name.as_str(), text.as_bytes())).collect();
        editor.large_files("main", &files).unwrap();
    }
    editor.large_file("main", "gone.dat", b"deleted later\n").unwrap();
    let tip = editor.commit("main", "gone.dat", "no pointer any more\n").unwrap();
    editor.large_file("next", "next.bin", b"on a branch\n").unwrap();
    editor.large_file("pulled", "pulled.bin", b"of a pull request\n").unwrap();
    let pulled = editor.rev_parse("refs/heads/pulled").unwrap();
    editor.set_ref("refs/pull/1/head", &pulled).unwrap();
    editor.delete_ref("refs/heads/pulled").unwrap();
    editor.annotated_tag("v1", &tip).unwrap();
    let summary = world.run_json(0);
    assert_eq!(sums(&summary)["counts"]["downloaded"], 1503);
    git.assert_complete(&world.mirror("acme/site"));
    let names = |folder: &std::path::Path| -> Vec<String> {
        let mut names: Vec<String> = crate::world::files_below(&folder.join("lfs/objects"))
            .into_iter()
            .map(|(path, _)| path.file_name().unwrap().to_str().unwrap().to_owned())
            .collect();
        names.sort();
        names
    };
    let origin = world.sandbox.repositories().join("acme/site.git");
    assert_eq!(names(&world.mirror("acme/site")), names(&origin));
    // 100 at a time.
    assert_eq!(asked(&world), (16, 1503));
}

#[test]
fn an_update_brings_what_is_new_and_nothing_twice() {
    let (world, git) = (World::new(), GitLfs::new());
    with_large_files(&world, "acme/site", &[b"one\n", b"two two\n"]);
    world.run_json(0);
    world.sandbox.clear_requests();
    let editor = world.sandbox.edit("acme/site");
    editor.large_file("main", "3.bin", b"three\n").unwrap();
    // A file that is there already, under another name.
    editor.large_file("main", "4.bin", b"one\n").unwrap();
    let summary = world.run_json(0);
    assert_eq!(sums(&summary)["counts"]["downloaded"], 1);
    assert_eq!(sums(&summary)["totals"]["stored"], 3);
    assert_eq!(asked(&world), (1, 1));
    git.assert_complete(&world.mirror("acme/site"));
}

#[test]
fn what_failed_is_owed_though_nothing_is_new() {
    let (world, git) = (World::new(), GitLfs::new());
    let oids = with_large_files(&world, "acme/site", &[b"one\n", b"two two\n"]);
    world.sandbox.fault(Fault::on(format!("/media/acme/site/{}", oids[0])).status(500));
    let summary = world.run_json(1);
    assert_eq!(summary["counts"]["failed"], 1);
    assert_eq!(sums(&summary)["states"], serde_json::json!({"failed": 1}));
    assert_eq!(missing(&world, "acme/site"), [(oids[0].clone(), "failed".to_owned())]);
    // The refs are there all the same.
    world.assert_mirrors("acme/site");
    let summary = world.run_json(1);
    assert_eq!(summary["counts"]["failed"], 1, "nothing is new, and something is owed");
    world.sandbox.clear_faults();
    world.sandbox.clear_requests();
    let summary = world.run_json(0);
    assert_eq!(sums(&summary)["counts"]["downloaded"], 1);
    assert_eq!(asked(&world), (1, 1));
    git.assert_complete(&world.mirror("acme/site"));
    assert_eq!(sums(&world.run_json(0)), serde_json::Value::Null);
}

#[test]
fn a_content_of_several_repositories_is_downloaded_once() {
    let (world, git) = (World::new(), GitLfs::new());
    for name in ["acme/one", "acme/two", "acme/three"] {
        with_large_files(&world, name, &[b"the same\n", name.as_bytes()]);
    }
    let summary = world.run_json(0);
    assert_eq!(sums(&summary)["counts"]["downloaded"], 4);
    assert_eq!(sums(&summary)["counts"]["linked"], 2);
    assert_eq!(asked(&world).1, 4);
    for name in ["acme/one", "acme/two", "acme/three"] {
        git.assert_complete(&world.mirror(name));
    }
    // A fork that is made later has what its parent has.
    world.sandbox.clear_requests();
    with_large_files(&world, "acme/fork", &[b"the same\n"]);
    let summary = world.run_json(0);
    assert_eq!(sums(&summary)["counts"], serde_json::json!({"linked": 1, "linked_bytes": 9}));
    assert_eq!(asked(&world), (1, 0), "the server is asked whether the fork may have it");
    git.assert_complete(&world.mirror("acme/fork"));
}

#[test]
fn a_content_that_breaks_off_goes_on_where_it_ended() {
    let (world, git) = (World::new(), GitLfs::new());
    let mut large = noise(7, 3_000_000).into_bytes();
    large.truncate(3_000_000);
    let oids = with_large_files(&world, "acme/site", &[&large]);
    let path = format!("/media/acme/site/{}", oids[0]);
    world.sandbox.fault(Fault::on(&path).times(1).truncate_body(1_000_000));
    let summary = world.run_json(0);
    let received = sums(&summary)["counts"]["downloaded_bytes"].as_u64().unwrap();
    assert_eq!(received, 3_000_000);
    let statuses: Vec<u16> = world.sandbox.requests().iter().filter(|it| it.path == path).map(|it| it.status).collect();
    assert_eq!(statuses, [200, 206]);
    git.assert_complete(&world.mirror("acme/site"));
}

#[test]
fn a_wrong_byte_is_never_stored() {
    let (world, git) = (World::new(), GitLfs::new());
    let oids = with_large_files(&world, "acme/site", &[b"one\n", b"two two\n"]);
    let path = format!("/media/acme/site/{}", oids[0]);
    world.sandbox.fault(Fault::on(&path).flip_byte(2));
    world.run_json(1);
    assert!(!content(&world, "acme/site", &oids[0]).exists());
    assert_eq!(missing(&world, "acme/site"), [(oids[0].clone(), "failed".to_owned())]);
    world.sandbox.clear_faults();
    // Once is chance.
    world.sandbox.fault(Fault::on(&path).times(1).flip_byte(2));
    world.run_json(0);
    git.assert_complete(&world.mirror("acme/site"));
}

#[test]
fn an_address_that_is_no_longer_good_is_asked_for_anew() {
    let (world, git) = (World::new(), GitLfs::new());
    let oids = with_large_files(&world, "acme/site", &[b"one\n"]);
    world.sandbox.fault(Fault::on(format!("/media/acme/site/{}", oids[0])).times(1).status(403));
    world.run_json(0);
    assert_eq!(asked(&world), (2, 2));
    git.assert_complete(&world.mirror("acme/site"));
}

#[test]
fn the_token_goes_to_github_s_host_alone() {
    let world = World::new();
    with_large_files(&world, "acme/site", &[b"one\n"]);
    world.run_json(0);
    let requests = world.sandbox.requests();
    let authorized = |part: &str| -> Vec<bool> {
        let meant = requests.iter().filter(|request| request.path.contains(part));
        meant.map(|request| request.authorization.is_some()).collect()
    };
    assert_eq!((authorized("/info/lfs/"), authorized("/media/")), (vec![true], vec![false]));
}

#[test]
fn a_wiki_has_large_files_of_its_own() {
    let (world, git) = (World::new(), GitLfs::new());
    world.add("acme/site");
    with_large_files(&world, "acme/site.wiki", &[b"a picture\n"]);
    let summary = world.run_json(0);
    assert_eq!(sums(&summary)["counts"]["downloaded"], 1);
    git.assert_complete(&world.mirror("acme/site.wiki"));
}

#[test]
fn a_renamed_repository_takes_its_large_files_along() {
    let (world, git) = (World::new(), GitLfs::new());
    with_large_files(&world, "acme/site", &[b"one\n"]);
    world.run_json(0);
    world.sandbox.rename("acme/site", "acme/better").unwrap();
    world.sandbox.clear_requests();
    world.sandbox.edit("acme/better").large_file("main", "more.bin", b"more\n").unwrap();
    let summary = world.run_json(0);
    assert_eq!(sums(&summary)["counts"]["downloaded"], 1);
    git.assert_complete(&world.mirror("acme/better"));
}

#[test]
fn a_smaller_batch_is_asked_for_when_the_server_takes_no_larger_one() {
    let (world, git) = (World::new(), GitLfs::new());
    let contents: Vec<Vec<u8>> = (0..10).map(|n| format!("content {n}\n").into_bytes()).collect();
    let contents: Vec<&[u8]> = contents.iter().map(Vec::as_slice).collect();
    with_large_files(&world, "acme/site", &contents);
    world.sandbox.fault(Fault::on("/acme/site.git/info/lfs/objects/batch").times(2).status(413));
    let summary = world.run_json(0);
    assert_eq!(sums(&summary)["counts"]["downloaded"], 10);
    git.assert_complete(&world.mirror("acme/site"));
}

#[test]
fn a_pointer_with_a_wrong_size_spoils_nothing() {
    let world = World::new();
    let oids = with_large_files(&world, "acme/site", &[b"one\n"]);
    let editor = world.sandbox.edit("acme/site");
    let (real, unreal) = (oids[0].as_str(), "0".repeat(64));
    for (name, size, oid) in [("a", 0, real), ("b", 1, real), ("c", 9, real), ("d", 7, &unreal)] {
        let pointer = format!("version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {size}\n");
        editor.commit("main", name, &pointer).unwrap();
    }
    world.run_json(1);
    assert_eq!(missing(&world, "acme/site"), [("0".repeat(64), "absent".to_owned())]);
    world.run_json(0);
    world.run(&["verify", "--deep"]).expect(0);
    let report = world.run(&["restore", "acme/site", "site", "--checkout", "--json"]).expect(0).json();
    assert_eq!(report["large_files"]["lost"], serde_json::json!([]), "{report:#}");
}

#[test]
fn a_run_that_is_stopped_on_the_way_owes_what_it_did_not_bring() {
    let (world, git) = (World::new(), GitLfs::new());
    let oids = with_large_files(&world, "acme/site", &[b"one\n", b"two two\n", b"three three three\n"]);
    world.sandbox.fault(Fault::on(format!("/media/acme/site/{}", oids[2])).stall_body(5));
    let mut run = world.ghbk(&["run", "--json"]).stdout(std::process::Stdio::piped()).spawn().unwrap();
    let began = std::time::Instant::now();
    while asked(&world).1 < 3 && began.elapsed() < std::time::Duration::from_secs(30) {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let pid = rustix::process::Pid::from_child(&run);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let status = run.wait().unwrap();
    assert_eq!(status.code(), Some(143));
    // The refs are there, and what is not is listed.
    world.assert_mirrors("acme/site");
    assert!(missing(&world, "acme/site").iter().any(|(oid, _)| *oid == oids[2]));
    world.sandbox.clear_faults();
    let summary = world.run_json(0);
    assert_eq!(summary["counts"]["failed"], 0);
    git.assert_complete(&world.mirror("acme/site"));
}
