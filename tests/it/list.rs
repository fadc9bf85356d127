//! `ghbk list`.

use crate::world::{World, files_below};

#[test]
fn the_plan_is_shown_and_nothing_is_done() {
    let world = World::new();
    for name in ["acme/same", "acme/old", "acme/left", "acme/taken"] {
        world.add(name);
    }
    world.run_json(0);
    let before = files_below(&world.root);
    world.sandbox.rename("acme/old", "acme/renamed").unwrap();
    world.sandbox.delete("acme/left").unwrap();
    world.sandbox.delete("acme/taken").unwrap();
    world.add("acme/taken").set("id", "424242").unwrap();
    world.add("acme/new").set("archived", "true").unwrap();
    let ended = world.run(&["list", "--json"]).expect(0);
    let mut actions: Vec<(String, String)> = ended
        .json()
        .as_array()
        .unwrap()
        .iter()
        .map(|r| (r["full_name"].as_str().unwrap().to_owned(), r["action"].as_str().unwrap().to_owned()))
        .collect();
    actions.sort();
    let expected = [
        ("acme/left", "gone"),
        ("acme/new", "create"),
        ("acme/renamed", "rename"),
        ("acme/same", "update"),
        ("acme/taken", "gone"),
        ("acme/taken", "replace"),
    ];
    assert_eq!(actions, expected.map(|(name, action)| (name.to_owned(), action.to_owned())));
    let text = world.run(&["list"]).expect(0).stdout;
    let text: String =
        text.lines().map(|line| format!("{}\n", line.split_whitespace().collect::<Vec<_>>().join(" "))).collect();
    let text = regex_free_sizes(&text);
    insta::assert_snapshot!(text);
    assert_eq!(files_below(&world.root), before, "list wrote to the store");
}

/// Sizes depend on how git packs; their place in the line does not.
fn regex_free_sizes(text: &str) -> String {
    text.lines()
        .map(|line| {
            let words: Vec<&str> = line.split(' ').collect();
            let words: Vec<&str> =
                words.iter().map(|word| if word.parse::<f64>().is_ok() { "SIZE" } else { *word }).collect();
            words.join(" ") + "\n"
        })
        .collect()
}

#[test]
fn a_failed_listing_is_no_empty_plan() {
    let world = World::new();
    world.add("acme/site");
    world.sandbox.fault(ghbk_sandbox::Fault::on("/orgs/acme/repos").status(500));
    let ended = world.run(&["list"]).expect(3);
    assert!(ended.stderr.contains("500"), "{ended:#?}");
}
