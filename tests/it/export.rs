//! Stored issues and pull requests as files.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::show::{lose_some_numbers, offline, store_metadata};
use crate::world::{World, files_below, finish};

fn exported(world: &World, name: &str, options: &[&str]) -> PathBuf {
    let ended = finish(&mut offline(world, &[&["export", "acme/site", name], options].concat())).expect(0);
    assert!(ended.stdout.starts_with("complete: "), "{ended:#?}");
    world.folder.path().join(name)
}

fn read(folder: &Path, name: &str) -> String {
    std::fs::read_to_string(folder.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[test]
fn pages_run_nothing_load_nothing_and_lead_to_each_other() {
    let world = World::new();
    store_metadata(&world);
    let folder = exported(&world, "pages", &[]);
    let mut pages = 0;
    for (path, content) in files_below(&folder) {
        pages += 1;
        let text = String::from_utf8(content).unwrap();
        // In text, angle brackets are escaped: every one that is not begins a tag.
        let tags: String =
            text.split('<').skip(1).filter_map(|rest| rest.split('>').next()).map(|tag| format!("<{tag}>")).collect();
        let lower = tags.to_lowercase();
        assert!(text.contains("default-src 'none'"), "{}", path.display());
        for word in
            ["<script", "<img", "<iframe", "<link", "<object", "<form", "<textarea", "src=", " on", "javascript:"]
        {
            assert!(!lower.contains(word), "{word} in {}: {text}", path.display());
        }
        assert!(!text.contains("url(") && !text.contains("@import"), "{text}");
        assert_eq!(lower.matches("<style").count(), 1, "{text}");
        assert!(
            !text.chars().any(|c| (c.is_control() && c != '\n') || matches!(c, '\u{202a}'..='\u{202e}')),
            "{text:?}"
        );
        // Every link within the export leads somewhere.
        for link in text.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next()) {
            let is_elsewhere = ["https://", "http://", "mailto:"].iter().any(|scheme| link.starts_with(scheme));
            assert!(is_elsewhere || path.parent().unwrap().join(link).exists(), "{link} in {}", path.display());
        }
    }
    assert_eq!(pages, 9, "an index, four numbers, three lists, one label");
    let issue = read(&folder, "issues/1.html");
    assert!(issue.contains("<a href=\"../index.html\">") && issue.contains("deleted on GitHub"), "{issue}");
    assert!(read(&folder, "issues/2.html").contains("Fixes <a href=\"1.html\">#1</a>."));
    let hostile = read(&folder, "issues/123.html");
    assert!(hostile.contains("see <a href=\"2.html\">#2</a>, acme/site<a href=\"3.html\">#3</a>"), "{hostile}");
    assert!(hostile.contains("<a class=\"image\" href=\"https://evil.example/pixel.png\""), "{hostile}");
    assert!(hostile.contains("<a class=\"label\" href="), "a label's colour is a colour or nothing: {hostile}");
    insta::assert_snapshot!("page", read(&folder, "issues/1.html").split("</style>").nth(1).unwrap());
    insta::assert_snapshot!("index", read(&folder, "index.html").split("<body>").nth(1).unwrap());
}

#[test]
fn the_same_state_always_gives_the_same_files() {
    let world = World::new();
    store_metadata(&world);
    for format in ["html", "markdown", "jsonl"] {
        let below = |name: &str, options: &[&str]| {
            let folder = exported(&world, name, &[&["--format", format], options].concat());
            let files = files_below(&folder).into_iter();
            files.map(|(path, content)| (path.strip_prefix(&folder).unwrap().to_owned(), content)).collect::<Vec<_>>()
        };
        let first = below(&format!("{format}-1"), &[]);
        assert_eq!(first, below(&format!("{format}-2"), &[]), "{format}");
        assert_ne!(first, below(&format!("{format}-3"), &["--at", "2026-11-16"]), "{format}");
    }
}

#[test]
fn lines_of_json_are_what_is_stored() {
    let world = World::new();
    store_metadata(&world);
    let folder = exported(&world, "data", &["--format", "jsonl"]);
    let lines: Vec<Value> =
        read(&folder, "issues.jsonl").lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let numbers: Vec<u64> = lines.iter().map(|line| line["issue"]["number"].as_u64().unwrap()).collect();
    assert_eq!(numbers, [1, 2, 3, 123]);
    let stored = finish(&mut offline(&world, &["show", "acme/site", "123", "--json"])).expect(0).json();
    assert_eq!(lines[3], stored);
    assert!(read(&folder, "labels.jsonl").contains("d73a4a") && read(&folder, "milestones.jsonl").contains("v1"));
}

#[test]
fn markdown_has_a_file_for_each_number() {
    let world = World::new();
    store_metadata(&world);
    let folder = exported(&world, "notes", &["--format", "markdown", "--at", "2026-11-16"]);
    insta::assert_snapshot!("note", read(&folder, "issues/1.md"));
    insta::assert_snapshot!("notes", read(&folder, "index.md"));
    assert!(read(&folder, "open.md").contains("- [#1](issues/1.md) Login fails at times (open, ada)\n"));
    assert!(read(&folder, "label-1-bug.md").contains("issues/1.md"));
    let folder = exported(&world, "all", &["--format", "markdown"]);
    let hostile = read(&folder, "issues/123.md");
    assert!(!hostile.contains(['\u{1b}', '\u{202e}', '\u{9b}', '\0']), "{hostile:?}");
}

#[test]
fn a_destination_that_exists_is_refused_and_a_failure_leaves_nothing() {
    let world = World::new();
    let mirror = store_metadata(&world);
    std::fs::create_dir(world.folder.path().join("there")).unwrap();
    let inside = world.root.join("acme/out");
    for (destination, message) in [("there", "exists already"), (inside.to_str().unwrap(), "is in the store itself")] {
        let ended = finish(&mut offline(&world, &["export", "acme/site", destination])).expect(2);
        assert!(ended.stderr.contains(message), "{ended:#?}");
    }
    assert!(!inside.exists());
    for pack in std::fs::read_dir(mirror.join("objects/pack")).unwrap().flatten() {
        std::fs::remove_file(pack.path()).unwrap();
    }
    finish(&mut offline(&world, &["export", "acme/site", "new/out"])).expect(1);
    assert!(!world.folder.path().join("new").exists());
}

#[test]
fn what_cannot_be_read_is_named_and_everything_else_is_written() {
    let world = World::new();
    let mirror = store_metadata(&world);
    lose_some_numbers(&mirror);
    for format in ["html", "markdown", "jsonl"] {
        let ended = finish(&mut offline(&world, &["export", "acme/site", format, "--format", format])).expect(1);
        assert!(ended.stdout.starts_with("incomplete: 3 issues and 1 pull request"), "{ended:#?}");
        assert!(ended.stdout.contains("damaged: #200: "), "{ended:#?}");
        assert!(ended.stdout.contains("#300 to #399"), "{ended:#?}");
        assert!(!files_below(&world.folder.path().join(format)).is_empty());
    }
}
