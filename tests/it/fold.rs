//! A store of years stays quick: old records are folded, and nothing that commands show is lost.

use std::path::PathBuf;

use chrono::{TimeDelta, Utc};
use ghbk::names::RunId;

use crate::world::{World, git};

fn records(world: &World) -> Vec<PathBuf> {
    let folder = std::fs::read_dir(world.root.join(".ghbk/runs")).unwrap();
    let mut records: Vec<_> = folder.map(|entry| entry.unwrap().path()).collect();
    records.sort();
    records
}

/// Regression: records were never removed, and each index that was rebuilt read all of them.
#[test]
fn old_records_are_folded_and_their_history_is_kept() {
    let world = World::generated(2);
    let name = "acme/repository-001";
    let first = Utc::now() - TimeDelta::days(400);
    let created = world.run_at(first, &[]);
    let second = world.run_at(first + TimeDelta::days(1), &[]);
    let template = std::fs::read_to_string(records(&world).pop().unwrap()).unwrap();
    // Runs of one repository alone, hour by hour.
    let narrow = template.replace("\"selection\":[]", &format!("\"selection\":[\"{name}\"]"));
    for hour in 1..=320 {
        let id = RunId::at(first + TimeDelta::days(2) + TimeDelta::hours(hour));
        let record = narrow.replace(second.run_id.as_str(), id.as_str());
        std::fs::write(world.root.join(format!(".ghbk/runs/{id}.jsonl")), record).unwrap();
    }
    let before: Vec<String> =
        records(&world).iter().map(|it| it.file_stem().unwrap().to_str().unwrap().into()).collect();
    let origin = world.sandbox.edit(name);
    origin.commit("main", "later", "later").unwrap();
    // The work of one run is bounded; it takes two.
    world.run(&["run", name]).expect(0);
    assert!(records(&world).len() > 200 && records(&world).len() < before.len(), "{}", records(&world).len());
    world.run(&["run", name]).expect(0);
    assert!(records(&world).len() <= 250, "{}", records(&world).len());

    let state = || {
        let status = world.run(&["status", "--json"]).expect(0).json();
        (status["repositories"].clone(), status["hours_since_success"].clone(), status["last_full_run"].clone())
    };
    let with_index = state();
    assert_eq!(with_index.2["run_id"], second.run_id.as_str(), "the last run over everything is folded");
    std::fs::remove_file(world.root.join(".ghbk/index.json")).unwrap();
    let rebuilt = state();
    assert_eq!(with_index, rebuilt);
    for run in [created.run_id.as_str(), second.run_id.as_str(), &before[10], &before[300]] {
        let destination = world.folder.path().join(format!("as-of-{run}"));
        world.run(&["restore", name, destination.to_str().unwrap(), "--run", run]).expect(0);
        assert_eq!(
            git(&destination, &["log", "--format=%s", "main"]).lines().filter(|it| it.contains("later")).count(),
            0
        );
    }
    let nowhere = world.folder.path().join("nowhere");
    let never = RunId::at(first + TimeDelta::hours(5));
    let refused = world.run(&["restore", name, nowhere.to_str().unwrap(), "--run", never.as_str()]).expect(2);
    assert!(refused.stderr.contains("there is no record of a run"), "{refused:#?}");
}

/// Regression: once the record of the last run over everything was folded, its failures passed for mended, and the check for
/// healthy.
#[test]
fn failures_of_a_folded_run_still_stand() {
    let world = World::generated(2);
    let first = Utc::now() - TimeDelta::days(5);
    world.sandbox.fault(ghbk_sandbox::Fault::on("/acme/repository-002.git").status(404));
    let failed = world.run_at(first, &[]);
    let template = std::fs::read_to_string(records(&world).pop().unwrap()).unwrap();
    let of_the_good = template.lines().filter(|line| !line.contains("repository-002") || line.contains("\"summary\""));
    let narrow = of_the_good.map(|line| line.to_owned() + "\n").collect::<String>();
    let narrow = narrow.replace("\"selection\":[]", "\"selection\":[\"acme/repository-001\"]");
    for minutes in 1..=300 {
        let id = RunId::at(first + TimeDelta::minutes(10 * minutes));
        let record = narrow.replace(failed.run_id.as_str(), id.as_str());
        std::fs::write(world.root.join(format!(".ghbk/runs/{id}.jsonl")), record).unwrap();
    }
    world.run(&["run", "acme/repository-001"]).expect(0);
    let oldest = records(&world).remove(0);
    assert_ne!(oldest.file_stem().unwrap().to_str().unwrap(), failed.run_id.as_str(), "it is folded");
    for arguments in [&["status", "--check"][..], &["status"], &["check"]] {
        let ended = world.run(arguments);
        assert!(ended.stdout.contains("acme/repository-002"), "{arguments:?}: {ended:#?}");
    }
    world.run(&["status", "--check"]).expect(1);
}

/// A crash after the file was written and before the records went leaves both.
#[test]
fn a_record_is_not_folded_twice() {
    let world = World::generated(1);
    let first = Utc::now() - TimeDelta::days(400);
    let run = world.run_at(first, &[]);
    let oldest = records(&world).pop().unwrap();
    let template = std::fs::read_to_string(&oldest).unwrap();
    for hour in 1..=300 {
        let id = RunId::at(first + TimeDelta::hours(hour));
        let record = template.replace(run.run_id.as_str(), id.as_str());
        std::fs::write(world.root.join(format!(".ghbk/runs/{id}.jsonl")), record).unwrap();
    }
    world.run_json(0);
    assert!(!oldest.exists());
    let folded = || std::fs::read_to_string(world.root.join(".ghbk/folded.json")).unwrap();
    let count = |text: &str| text.matches(&format!("\"run_id\":\"{}\",\"started_at\"", run.run_id)).count();
    let before = count(&folded());
    assert!(before >= 1);
    std::fs::write(&oldest, &template).unwrap();
    for hour in 301..=400 {
        let id = RunId::at(first + TimeDelta::hours(hour));
        let record = template.replace(run.run_id.as_str(), id.as_str());
        std::fs::write(world.root.join(format!(".ghbk/runs/{id}.jsonl")), record).unwrap();
    }
    world.run_json(0);
    assert!(!oldest.exists());
    assert_eq!(count(&folded()), before, "{}", folded());
}
