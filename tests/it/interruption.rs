//! Stopped at any moment, by whatever: the mirrors stay readable and the next run needs no human.

use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use ghbk_sandbox::Fault;

use crate::world::{World, finish, git, git_output};

fn signal(child: &Child, name: &str) {
    assert!(Command::new("kill").args([&format!("-{name}"), &child.id().to_string()]).status().unwrap().success());
}

fn start(world: &World, arguments: &[&str]) -> Child {
    world.ghbk(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Every mirror that is there is whole: its refs resolve, its objects are connected.
fn assert_readable(world: &World) {
    for entry in std::fs::read_dir(world.root.join("acme")).into_iter().flatten() {
        let mirror = entry.unwrap().path();
        let fsck = git_output(&mirror, &["fsck", "--full", "--connectivity-only"]);
        assert!(fsck.status.success(), "{}: {fsck:?}", mirror.display());
    }
}

#[test]
fn killed_at_any_moment_the_next_run_needs_no_human() {
    let world = World::generated(40);
    for (round, delay_ms) in [40, 90, 140, 190, 240, 300, 360, 440, 520, 600].into_iter().enumerate() {
        let mut child = start(&world, &["run"]);
        sleep(Duration::from_millis(delay_ms));
        let _ = child.kill();
        child.wait().unwrap();
        assert_readable(&world);
        for number in 1..=40 {
            let editor = world.sandbox.edit(&format!("acme/repository-{number:03}"));
            if number % 4 == round % 4 {
                editor.commit("main", "round", &round.to_string()).unwrap();
            }
        }
    }
    // One that was fetched alone when the last kill came has its rest first.
    let rest = world.run(&["run", "--json"]).json();
    let rested = rest["failures"].as_array().unwrap();
    assert!(rested.iter().all(|failure| failure["error"].as_str().unwrap().contains("it was skipped")), "{rest:#}");
    let summary = world.run_json(0);
    assert_eq!(summary["status"], "ok");
    for number in 1..=40 {
        world.assert_mirrors(&format!("acme/repository-{number:03}"));
    }
    // Nothing is left behind: not on the store, not in scratch.
    let leftovers: Vec<_> = crate::world::files_below(&world.root)
        .into_iter()
        .map(|(path, _)| path.display().to_string())
        .filter(|path| path.contains("tmp_") || path.contains("incoming"))
        .collect();
    assert_eq!(leftovers, Vec::<String>::new());
    assert_eq!(std::fs::read_dir(world.folder.path().join("scratch")).unwrap().count(), 0);
}

#[test]
fn an_interrupted_run_is_told_by_the_next_and_by_status() {
    let world = World::generated(3);
    world.sandbox.fault(Fault::on("/acme/*/git-upload-pack").stall_body(50));
    let mut child = start(&world, &["run"]);
    let started = Instant::now();
    while world.sandbox.requests().is_empty() && started.elapsed() < Duration::from_secs(20) {
        sleep(Duration::from_millis(20));
    }
    sleep(Duration::from_millis(300));
    let status = world.run(&["status"]).expect(0).stdout;
    assert!(status.contains("running for "), "{status}");
    let json = world.run(&["status", "--json"]).expect(0).json();
    assert_eq!(json["running"]["planned"], 3);
    child.kill().unwrap();
    child.wait().unwrap();
    let status = world.run(&["status"]).expect(0).stdout;
    assert!(status.contains("interrupted"), "{status}");
    world.sandbox.clear_faults();
    let summary = world.run_json(0);
    assert!(summary["warnings"].to_string().contains("was interrupted"), "{summary:#}");
}

#[test]
fn sigterm_and_sigint_close_the_record_as_cancelled() {
    for (name, code) in [("TERM", 143), ("INT", 130)] {
        let world = World::generated(3);
        world.sandbox.fault(Fault::on("/acme/repository-002.git/git-upload-pack").stall_body(50));
        let child = start(&world, &["run", "--json"]);
        let started = Instant::now();
        while !world.mirror("acme/repository-003").exists() && started.elapsed() < Duration::from_secs(20) {
            sleep(Duration::from_millis(20));
        }
        signal(&child, name);
        let stopped = Instant::now();
        let output = child.wait_with_output().unwrap();
        assert!(stopped.elapsed() < Duration::from_secs(15), "it took {:?} to stop", stopped.elapsed());
        assert_eq!(output.status.code(), Some(code), "{output:?}");
        let summary: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(summary["status"], "cancelled");
        assert_eq!(summary["counts"]["failed"], 0);
        let status = world.run(&["status", "--json"]).expect(0).json();
        assert_eq!(status["last_run"]["status"], "cancelled");
        assert_readable(&world);
    }
}

#[test]
fn a_second_run_does_not_start_while_one_is_under_way() {
    let world = World::generated(2);
    world.sandbox.fault(Fault::on("/acme/repository-001.git/git-upload-pack").stall_body(50));
    let mut child = start(&world, &["run"]);
    let started = Instant::now();
    while !world.mirror("acme/repository-002").exists() && started.elapsed() < Duration::from_secs(20) {
        sleep(Duration::from_millis(20));
    }
    let ended = world.run(&["run"]).expect(75);
    assert!(ended.stderr.contains("a run is already under way: process"), "{ended:#?}");
    child.kill().unwrap();
    child.wait().unwrap();
    world.sandbox.clear_faults();
    world.run_json(0);
}

#[test]
fn an_interrupted_rename_is_finished() {
    let world = World::new();
    world.add("acme/old");
    world.run_json(0);
    world.sandbox.rename("acme/old", "acme/new").unwrap();
    // As a kill between the two halves of a move leaves it.
    let moving = world.root.join(".ghbk/moving");
    std::fs::create_dir_all(&moving).unwrap();
    let id = crate::world::git(&world.mirror("acme/old"), &["config", "ghbk.id"]);
    std::fs::rename(world.mirror("acme/old"), moving.join(format!("{}.git", id.trim()))).unwrap();
    std::fs::remove_file(world.root.join(".ghbk/index.json")).unwrap();
    let summary = world.run_json(0);
    assert_eq!(summary["counts"]["created"], 0, "{summary:#}");
    assert_eq!(summary["counts"]["renamed"], 1, "{summary:#}");
    world.assert_mirrors("acme/new");
}

/// Starts a run that waits for its pack: what it publishes it has compared already.
fn start_before_its_publication(world: &World) -> std::process::Child {
    world.sandbox.fault(Fault::on("/acme/site.git/git-upload-pack").times(1).delay(3_000));
    world.sandbox.clear_requests();
    let run = start(world, &["run", "--json"]);
    let asked = || world.sandbox.requests().iter().any(|request| request.path.ends_with("site.git/info/refs"));
    wait_for("the question what there is", asked);
    // A request is listed when it is answered; by now the run waits for its pack.
    sleep(Duration::from_millis(800));
    run
}

fn run_program(program: &str, arguments: &[&std::path::Path]) {
    assert!(Command::new(program).args(arguments).status().unwrap().success(), "{program} {arguments:?}");
}

/// Seen in a review: what wrote the refs while a run fetched was overwritten by it: the tip and the snapshot of the other were
/// named by nothing, and went with the next `git gc`.
#[test]
fn a_publication_never_overwrites_refs_that_it_did_not_compare() {
    let world = World::new();
    let site = world.add("acme/site");
    world.run_json(0);
    let mirror = world.mirror("acme/site");
    let twin = world.folder.path().join("twin");
    run_program("cp", &["-a".as_ref(), &world.root, &twin]);
    site.commit("main", "first", "1").unwrap();
    let first = start_before_its_publication(&world);
    // Another process publishes, which the lock does not keep out: here one that ran on a copy of the store.
    site.force_push("main").unwrap();
    let between = site.rev_parse("main").unwrap();
    finish(world.ghbk(&["run"]).env("GHBK_STORE__ROOT", &twin)).expect(0);
    let written = twin.join("acme/site.git");
    run_program("cp", &["-a".as_ref(), &written.join("objects/pack/."), &mirror.join("objects/pack")]);
    std::fs::copy(written.join("packed-refs"), mirror.join("written")).unwrap();
    std::fs::rename(mirror.join("written"), mirror.join("packed-refs")).unwrap();
    site.force_push("main").unwrap();
    let output = first.wait_with_output().unwrap();
    let summary: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{summary:#}");
    assert!(summary["failures"].to_string().contains("another process wrote them"), "{summary:#}");
    world.run_json(0);
    world.assert_mirrors("acme/site");
    git(&mirror, &["gc", "--quiet", "--prune=now"]);
    git(&mirror, &["cat-file", "-e", &between]);
    let snapshots = world.run(&["snapshots", "acme/site", "--json"]).expect(0).json();
    assert_eq!(snapshots[0]["snapshots"].as_array().unwrap().len(), 3, "{snapshots}");
}

/// Whoever removes the lock lets a second run in; the first one writes nothing more then.
#[test]
fn a_run_that_lost_its_lock_writes_nothing_more() {
    for second_runs in [true, false] {
        let world = World::new();
        let site = world.add("acme/site");
        let other = world.add("acme/other");
        world.run_json(0);
        site.commit("main", "first", "1").unwrap();
        let first = start_before_its_publication(&world);
        let record =
            std::fs::read_dir(world.root.join(".ghbk/runs")).unwrap().map(|it| it.unwrap().path()).max().unwrap();
        std::fs::remove_file(world.root.join(".ghbk/lock")).unwrap();
        if second_runs {
            other.commit("main", "second", "2").unwrap();
            world.run_json(0);
        }
        let mirrors = || ["acme/site", "acme/other"].map(|name| crate::world::files_below(&world.mirror(name)));
        let index = || std::fs::read(world.root.join(".ghbk/index.json")).unwrap();
        let before = (mirrors(), index());
        let output = first.wait_with_output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "{stderr}");
        assert!(stderr.contains("was removed, replaced or taken over while the run held it"), "{stderr}");
        assert!(stderr.contains("hint: never remove `.ghbk/lock`"), "{stderr}");
        assert!(before == (mirrors(), index()), "it went on writing");
        let record = std::fs::read_to_string(record).unwrap();
        assert!(!record.contains(r#""kind":"summary""#), "{record}");
        world.run_json(0);
        world.assert_mirrors("acme/site");
    }
}

/// Also one that has nothing to publish.
#[test]
fn a_run_that_lost_its_lock_has_no_summary() {
    let world = World::new();
    world.add("acme/site");
    world.run_json(0);
    world.sandbox.fault(Fault::on("/acme/site.git/info/refs").times(1).delay(2_000));
    let first = start(&world, &["run"]);
    wait_for("a record", || std::fs::read_dir(world.root.join(".ghbk/runs")).unwrap().count() == 2);
    std::fs::remove_file(world.root.join(".ghbk/lock")).unwrap();
    assert_eq!(first.wait_with_output().unwrap().status.code(), Some(3));
    world.run_json(0);
}

/// The process gets both signals while a thread of it hangs in a call that never returns, here on a FIFO that nobody
/// writes to; nothing else ends it then.
#[test]
fn a_signal_ends_the_process_whatever_it_waits_for() {
    for (name, code, command) in [("TERM", 143, "run"), ("INT", 130, "daemon")] {
        let world = World::generated(1);
        let secrets = world.folder.path().join("secrets");
        std::fs::create_dir(&secrets).unwrap();
        assert!(Command::new("mkfifo").arg(secrets.join("github-token")).status().unwrap().success());
        let begin = || {
            let mut ghbk = world.ghbk(&[command]);
            ghbk.env_remove("GITHUB_TOKEN").env("GHBK_SECRETS__SOURCE", "file");
            let child = ghbk.env("GHBK_SECRETS__DIRECTORY", &secrets).stderr(Stdio::piped()).spawn().unwrap();
            // The record is begun beside the secrets, after the signals are listened to.
            wait_for("a record", || std::fs::read_dir(world.root.join(".ghbk/runs")).is_ok_and(|it| it.count() > 0));
            child
        };
        let mut child = begin();
        signal(&child, name);
        let mut status = None;
        wait_for("its end", || {
            status = child.try_wait().unwrap();
            status.is_some()
        });
        assert_eq!(status.unwrap().code(), Some(code), "{name} {command}");
        // Whoever asks twice waits for nothing.
        std::fs::remove_dir_all(world.root.join(".ghbk")).unwrap();
        let mut child = begin();
        signal(&child, name);
        sleep(Duration::from_millis(300));
        signal(&child, name);
        let asked = Instant::now();
        assert_eq!(child.wait().unwrap().code(), Some(code), "{name} {command}, twice");
        eprintln!("{name} {command}: the second signal took {:?}", asked.elapsed());
    }
}

#[track_caller]
fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < Duration::from_mins(1), "{what} never came");
        sleep(Duration::from_millis(20));
    }
}

/// Seen in a review: what kills the process came first in every run, so what had no turn by then never had one, and no run had a
/// summary.
#[test]
fn a_repository_that_kills_the_process_comes_last_and_is_then_left_out() {
    let world = World::generated(4);
    let killer = "acme/repository-002";
    world.sandbox.fault(Fault::on(format!("/{killer}.git/git-upload-pack")).stall_body(10));
    let newest_record = || {
        let records = std::fs::read_dir(world.root.join(".ghbk/runs")).into_iter().flatten().flatten();
        records.map(|entry| entry.path()).max()
    };
    let is_fetching = |record: &std::path::Path| {
        let text = std::fs::read_to_string(record).unwrap_or_default();
        text.lines().any(|line| line.contains("\"fetching\"") && line.contains(killer))
    };
    let die = || {
        let before = newest_record();
        let mut child = start(&world, &["run"]);
        wait_for("the fetch of the killer", || {
            newest_record().filter(|it| before.as_ref() != Some(it)).is_some_and(|it| is_fetching(&it))
        });
        child.kill().unwrap();
        child.wait().unwrap();
    };
    let left_out = || {
        let summary = world.run_json(1);
        assert_eq!(
            (&summary["counts"]["unchanged"], &summary["counts"]["failed"]),
            (&3.into(), &1.into()),
            "{summary:#}"
        );
        assert_eq!(summary["failures"][0]["repository"], killer);
        let error = summary["failures"][0]["error"].as_str().unwrap();
        assert!(error.starts_with("it was skipped"), "{summary:#}");
    };
    die();
    // The second time it is alone, after all others.
    die();
    let stored = [1, 2, 3, 4].map(|number| world.mirror(&format!("acme/repository-00{number}")).is_dir());
    assert_eq!(stored, [true, false, true, true]);
    left_out();
    // Every second run tries it again, alone and last, and the others come to their end.
    die();
    left_out();
    world.sandbox.clear_faults();
    assert_eq!(world.run_json(0)["counts"]["created"], 1);
    assert_eq!(world.run_json(0)["counts"]["unchanged"], 4);
}
