//! Records, indexes and outputs of every format that ghbk ever wrote: today's ghbk reads them all, and scripts that read the old
//! outputs find the same fields in today's.
//!
//! `tests/contracts/N` holds what a ghbk of contract N left on a store (`ghbk/`) and printed (`*.json`). Nothing in there is ever
//! changed; a new contract gets a folder of its own.

use std::fs;
use std::path::{Path, PathBuf};

use ghbk::store::Index;
use serde_json::Value;

use crate::large_files::{of_origin, with_large_files};
use crate::world::World;

fn contracts() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/contracts");
    let mut folders: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    assert!(folders.len() >= 2, "{folders:?}");
    folders
}

fn read(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// A store with nothing in it but what ghbk itself wrote.
fn store_of(contract: &Path) -> World {
    let world = World::new();
    for folder in ["", "runs"] {
        let (from, to) = (contract.join("ghbk").join(folder), world.root.join(".ghbk").join(folder));
        fs::create_dir_all(&to).unwrap();
        for entry in fs::read_dir(from).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file()) {
            fs::copy(&entry, to.join(entry.file_name().unwrap())).unwrap();
        }
    }
    world
}

/// Lists what is in one value and not, or not the same, in another.
fn missing_in(new: &Value, old: &Value, at: &str) -> Vec<String> {
    match (old, new) {
        (Value::Object(old), Value::Object(new)) => old
            .iter()
            .flat_map(|(key, old)| match new.get(key) {
                Some(new) => missing_in(new, old, &format!("{at}.{key}")),
                None => vec![format!("{at}.{key} is gone")],
            })
            .collect(),
        (Value::Array(old), Value::Array(new)) if old.len() == new.len() => {
            old.iter().zip(new).flat_map(|(old, new)| missing_in(new, old, &format!("{at}[]"))).collect()
        }
        (old, new) if old == new => Vec::new(),
        (old, new) => vec![format!("{at}: {old} became {new}")],
    }
}

#[test]
fn records_of_every_contract_are_read_whole() {
    for contract in contracts() {
        let world = store_of(&contract);
        let ended = world.run(&["status", "--json"]).expect(0);
        assert!(!ended.stderr.contains("later version"), "{}: {ended:#?}", contract.display());
        let status = ended.json();
        let lost = missing_in(&status["last_run"], &read(&contract.join("run.json")), "run");
        assert_eq!(lost, Vec::<String>::new(), "{}", contract.display());
        let runs = fs::read_dir(contract.join("ghbk/runs")).unwrap().count();
        assert_eq!(status["runs"].as_array().unwrap().len(), runs, "{}", contract.display());
    }
}

#[test]
fn indexes_of_every_contract_are_read_whole() {
    for contract in contracts() {
        let path = contract.join("ghbk/index.json");
        let index: Index = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        let lost = missing_in(&serde_json::to_value(&index).unwrap(), &read(&path), "index");
        assert_eq!(lost, Vec::<String>::new(), "{}", contract.display());
    }
}

/// Takes the keys of an output, wherever they are.
fn keys(value: &Value, at: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => fields.iter().for_each(|(key, value)| {
            found.push(format!("{at}.{key}"));
            keys(value, &format!("{at}.{key}"), found);
        }),
        Value::Array(items) => items.iter().for_each(|item| keys(item, &format!("{at}[]"), found)),
        _ => {}
    }
}

#[test]
fn every_key_of_an_old_output_is_in_todays() {
    let world = World::generated(2);
    let oids = with_large_files(&world, "acme/large", &[b"here\n", b"lost\n"]);
    std::fs::remove_file(of_origin(&world, "acme/large", &oids[1])).unwrap();
    world.run_json(1);
    let outputs = [
        ("run", world.run(&["run", "--json"]).expect(0).json()),
        ("status", world.run(&["status", "--json"]).expect(0).json()),
        ("verify", world.run(&["verify", "--json"]).expect(0).json()),
        ("snapshots", world.run(&["snapshots", "acme/repository-001", "--json"]).expect(0).json()),
        ("list", world.run(&["list", "--json"]).expect(0).json()),
    ];
    // Keys that stand only where there is something to tell.
    let may_lack = |key: &str| {
        let ends = ["failures[].repository", "failures[].stage", "failures[].error", "failures[].hint"];
        ends.iter().any(|end| key.ends_with(end)) || key.contains(".parts.") || key.contains("damage[]")
    };
    for contract in contracts() {
        for (name, today) in &outputs {
            let (mut old, mut new) = (Vec::new(), Vec::new());
            keys(&read(&contract.join(format!("{name}.json"))), name, &mut old);
            keys(today, name, &mut new);
            let lost: Vec<&String> = old.iter().filter(|key| !new.contains(key) && !may_lack(key)).collect();
            assert!(lost.is_empty(), "{}: {lost:?}", contract.display());
        }
    }
}
