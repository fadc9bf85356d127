//! Whatever a server answers and wherever it breaks off: refs are not affected, what is missing is listed, nothing wrong is
//! stored, and the next run completes it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::Command;

use ghbk_sandbox::Fault;

use super::{GitLfs, content, missing, sums, with_large_files};
use crate::world::{World, files_below};

/// Statuses that servers, proxies and storage give. Those that concern other repositories, too, have tests of their own: 429,
/// and 509 for an owner's quota.
const STATUSES: [u16; 23] =
    [204, 206, 301, 304, 400, 401, 403, 404, 405, 406, 408, 409, 410, 412, 413, 416, 418, 422, 451, 500, 502, 503, 507];

/// Judges that each content of each mirror has the hash that its name says.
#[track_caller]
fn assert_nothing_wrong_is_stored(world: &World) {
    let paths = files_below(&world.root).into_iter().map(|(path, _)| path);
    let contents: Vec<_> = paths.filter(|path| path.to_string_lossy().contains("/lfs/objects/")).collect();
    if contents.is_empty() {
        return;
    }
    let hashed = Command::new("sha256sum").args(&contents).current_dir(&world.root).output().unwrap();
    for line in String::from_utf8(hashed.stdout).unwrap().lines() {
        let (hash, path) = line.split_once("  ").unwrap();
        assert!(path.ends_with(hash), "{line}");
    }
}

/// Runs against a fault for each status, then without, and tells what became of each file.
fn with_every_status(path: impl Fn(&str, &str) -> String) -> String {
    let (world, git) = (World::new(), GitLfs::new());
    let name = |status: u16| format!("acme/status-{status}");
    for status in STATUSES {
        let full_name = name(status);
        let oids = with_large_files(&world, &full_name, &[format!("of {status}\n").as_bytes()]);
        world.sandbox.fault(Fault::on(path(&full_name, &oids[0])).status(status));
    }
    let ended = world.run(&["run", "--json"]).expect(1);
    let (summary, mut table) = (ended.json(), String::new());
    for status in STATUSES {
        let full_name = name(status);
        world.assert_mirrors(&full_name);
        let failures = summary["failures"].as_array().unwrap();
        let said = failures.iter().find(|failure| failure["repository"] == full_name.as_str());
        let said = said.map_or("nothing", |said| said["error"].as_str().unwrap());
        let states: Vec<String> = missing(&world, &full_name).into_iter().map(|(_, why)| why).collect();
        writeln!(table, "{status}: {}: {said}", states.join(" ")).unwrap();
    }
    assert_nothing_wrong_is_stored(&world);
    world.sandbox.clear_faults();
    world.run_json(0);
    for status in STATUSES {
        git.assert_complete(&world.mirror(&name(status)));
    }
    table
}

fn settings() -> insta::Settings {
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(r"\([0-9a-f]{12}\)", "([oid])");
    settings.add_filter(r"127\.0\.0\.1:\d+", "[host]");
    settings
}

#[test]
fn every_status_of_a_batch_has_an_end_and_words() {
    let table = with_every_status(|full_name, _| format!("/{full_name}.git/info/lfs/objects/batch"));
    settings().bind(|| insta::assert_snapshot!(table));
}

#[test]
fn every_status_of_a_content_has_an_end_and_words() {
    let table = with_every_status(|full_name, oid| format!("/media/{full_name}/{oid}"));
    settings().bind(|| insta::assert_snapshot!(table));
}

#[test]
fn a_content_that_is_cut_off_after_any_byte_comes_whole() {
    let (world, git) = (World::new(), GitLfs::new());
    let contents: Vec<String> =
        (0..48).map(|cut| format!("this content is cut off after {cut:>2} bytes, once\n")).collect();
    let bytes: Vec<&[u8]> = contents.iter().map(String::as_bytes).collect();
    let oids = with_large_files(&world, "acme/site", &bytes);
    for (cut, oid) in (0..).zip(&oids) {
        world.sandbox.fault(Fault::on(format!("/media/acme/site/{oid}")).times(1).truncate_body(cut));
    }
    let summary = world.run_json(0);
    assert_eq!(sums(&summary)["counts"]["downloaded"], 48);
    assert_nothing_wrong_is_stored(&world);
    git.assert_complete(&world.mirror("acme/site"));
}

#[test]
fn a_batch_that_is_cut_off_after_any_byte_is_asked_for_again() {
    let world = World::new();
    let names: Vec<String> = (0..60).map(|cut| format!("acme/cut-{cut:02}")).collect();
    for (number, full_name) in (0..).zip(&names) {
        with_large_files(&world, full_name, &[full_name.as_bytes()]);
        let batch = format!("/{full_name}.git/info/lfs/objects/batch");
        world.sandbox.fault(Fault::on(batch).times(1).truncate_body(number * 7));
    }
    let summary = world.run_json(0);
    assert_eq!(sums(&summary)["counts"]["downloaded"], 60);
    assert_nothing_wrong_is_stored(&world);
    assert!(names.iter().all(|full_name| missing(&world, full_name).is_empty()));
}

#[test]
fn another_content_under_the_name_is_never_stored() {
    let (world, git) = (World::new(), GitLfs::new());
    let oids = with_large_files(&world, "acme/site", &[b"the right\n", b"one short\n", b"one long.\n", b"empty one\n"]);
    let answers = ["the wrong\n", "short\n", "much longer than the pointer says\n", ""];
    for (oid, answer) in oids.iter().zip(answers) {
        world.sandbox.fault(Fault::on(format!("/media/acme/site/{oid}")).status(200).body(answer));
    }
    world.run_json(1);
    let expected: BTreeMap<String, String> = oids.iter().map(|oid| (oid.clone(), "failed".to_owned())).collect();
    assert_eq!(missing(&world, "acme/site").into_iter().collect::<BTreeMap<_, _>>(), expected);
    assert!(oids.iter().all(|oid| !content(&world, "acme/site", oid).exists()));
    world.sandbox.clear_faults();
    world.run_json(0);
    assert_nothing_wrong_is_stored(&world);
    git.assert_complete(&world.mirror("acme/site"));
}

#[test]
fn a_limit_of_large_files_stops_no_refs_and_what_it_postpones_comes_with_the_next_run() {
    let (world, git) = (World::new(), GitLfs::new());
    for name in ["acme/one", "acme/two"] {
        with_large_files(&world, name, &[name.as_bytes()]);
    }
    let batch = |name: &str| Fault::on(format!("/{name}.git/info/lfs/objects/batch"));
    world.sandbox.fault(batch("acme/two").times(1).status(429).header("retry-after", "1"));
    world.run_json(0);
    world.sandbox.edit("acme/two").large_file("main", "more.bin", b"more\n").unwrap();
    world.sandbox.fault(batch("acme/two").status(429).header("retry-after", "86400"));
    let summary = world.run_json(1);
    assert_eq!(summary["parts"]["refs"]["states"], serde_json::json!({"updated": 1, "unchanged": 1}), "{summary:#}");
    for name in ["acme/one", "acme/two"] {
        world.assert_mirrors(name);
    }
    assert_eq!(missing(&world, "acme/two").first().map(|(_, why)| why.as_str()), Some("postponed"));
    world.sandbox.clear_faults();
    world.run_json(0);
    for name in ["acme/one", "acme/two"] {
        git.assert_complete(&world.mirror(name));
    }
}

#[test]
fn a_file_that_the_store_has_no_room_for_keeps_no_other_away() {
    let (world, _) = (World::new(), GitLfs::new());
    let oids = with_large_files(&world, "acme/site", &[b"one\n", b"two two\n"]);
    let pointer = format!(
        "version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize 9000000000000000000\n",
        "1".repeat(64)
    );
    world.sandbox.edit("acme/site").commit("main", "huge.dat", &pointer).unwrap();
    let summary = world.run_json(1);
    assert_eq!(sums(&summary)["counts"]["downloaded"], 2, "{summary:#}");
    assert!(oids.iter().all(|oid| content(&world, "acme/site", oid).exists()));
    assert_eq!(missing(&world, "acme/site"), [("1".repeat(64), "failed".to_owned())]);
    let said = summary["failures"][0]["error"].as_str().unwrap();
    assert!(said.contains("free, and"), "{said}");
}

#[test]
fn what_a_host_of_contents_repeats_of_its_address_is_not_told() {
    let world = World::new();
    let oids = with_large_files(&world, "acme/site", &[b"one\n"]);
    let body = "SignatureDoesNotMatch: signature=sandbox-signature";
    world.sandbox.fault(Fault::on(format!("/media/acme/site/{}", oids[0])).status(403).body(body));
    let ended = world.run(&["run", "--json"]).expect(1);
    assert!(ended.stdout.contains("SignatureDoesNotMatch: signature=[redacted]"), "{ended:#?}");
    let record = std::fs::read_dir(world.root.join(".ghbk/runs")).unwrap().next().unwrap().unwrap().path();
    let told = [ended.stdout, ended.stderr, std::fs::read_to_string(record).unwrap()].concat();
    assert!(!told.contains("sandbox-signature"), "{told}");
}
