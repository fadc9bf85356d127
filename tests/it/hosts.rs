//! One store, one GitHub.

use std::fs;

use crate::world::{World, finish, git};

/// Regression: two servers number their repositories from 1 alike, and one's refs went into the other's mirror.
#[test]
fn a_store_is_of_one_github_and_another_is_refused() {
    let world = World::new();
    world.add("acme/site");
    world.run_json(0);
    let stated = fs::read_to_string(world.root.join(".ghbk/store")).unwrap();
    let host = world.sandbox.api_url().trim_start_matches("http://").split('/').next().unwrap().to_owned();
    assert!(stated.contains("format = 1") && stated.contains(&format!("host = \"{host}\"")), "{stated}");
    assert_eq!(git(&world.mirror("acme/site"), &["config", "ghbk.host"]).trim(), host);
    let before = crate::world::files_below(&world.mirror("acme/site"));

    let other = World::new();
    other.add("acme/site");
    let other_host = other.sandbox.api_url().trim_start_matches("http://").split('/').next().unwrap().to_owned();
    let run = || finish(other.ghbk(&["run"]).env("GHBK_STORE__ROOT", &world.root));
    for statement in [Some(&stated), None] {
        match statement {
            Some(statement) => fs::write(world.root.join(".ghbk/store"), statement).unwrap(),
            // A store that does not say it has mirrors that do.
            None => fs::remove_file(world.root.join(".ghbk/store")).unwrap(),
        }
        let refused = run().expect(3);
        assert!(refused.stderr.contains(&host) && refused.stderr.contains(&other_host), "{refused:#?}");
        assert!(refused.stderr.contains("hint: ") && refused.stderr.contains("store.root"), "{refused:#?}");
        assert_eq!(before, crate::world::files_below(&world.mirror("acme/site")));
    }
    // What is stored can be had without GitHub.
    finish(other.ghbk(&["verify"]).env("GHBK_STORE__ROOT", &world.root)).expect(0);
    world.run_json(0);
    // The same GitHub under another name.
    fs::write(
        world.root.join(".ghbk/store"),
        format!("format = 1\nhost = \"github.example\"\nformerly = [\"{host}\"]\n"),
    )
    .unwrap();
    world.run_json(0);
}

#[test]
fn a_store_made_before_is_told_what_it_is_by_the_next_run() {
    let world = World::new();
    world.add("acme/site");
    world.run_json(0);
    fs::remove_file(world.root.join(".ghbk/store")).unwrap();
    git(&world.mirror("acme/site"), &["config", "--unset", "ghbk.host"]);
    world.run_json(0);
    assert!(world.root.join(".ghbk/store").exists());
}

#[test]
fn a_store_of_a_later_version_is_refused_by_every_command() {
    let world = World::new();
    world.add("acme/site");
    world.run_json(0);
    fs::write(world.root.join(".ghbk/store"), "format = 2\nplace = \"elsewhere\"\n").unwrap();
    for command in ["run", "status", "verify", "list"] {
        let refused = world.run(&[command]).expect(3);
        assert!(refused.stderr.contains("format 2") && refused.stderr.contains("hint: install"), "{refused:#?}");
    }
    fs::write(world.root.join(".ghbk/store"), "format = \n").unwrap();
    let refused = world.run(&["run"]).expect(3);
    assert!(refused.stderr.contains("cannot be understood"), "{refused:#?}");
}
