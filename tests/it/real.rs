//! Real repositories, from bundles in the folder `GHBK_TEST_BUNDLES`, or `../shared/real` when it is there.

use std::path::PathBuf;

use ghbk_sandbox::import_bundle;

use crate::world::World;

fn bundles() -> Vec<PathBuf> {
    let given = std::env::var_os("GHBK_TEST_BUNDLES").map(PathBuf::from);
    let folder = given.unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/real"));
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|e| e == "bundle")).collect()
}

#[test]
fn real_repositories_are_mirrored_whole_and_once() {
    let bundles = bundles();
    if bundles.is_empty() {
        eprintln!("skipped: no bundles; set GHBK_TEST_BUNDLES to a folder of git bundles");
        return;
    }
    let world = World::new();
    let mut names = Vec::new();
    for bundle in &bundles {
        let name = format!("acme/{}", bundle.file_stem().unwrap().to_string_lossy());
        import_bundle(bundle, world.sandbox.repositories(), &name).unwrap();
        names.push(name);
    }
    let summary = world.run_json(0);
    assert_eq!(summary["counts"]["created"], names.len());
    for name in &names {
        world.assert_mirrors(name);
    }
    let summary = world.run_json(0);
    assert_eq!(summary["counts"]["unchanged"], names.len());
    for name in &names {
        world.sandbox.edit(name).commit("ghbk-test", "file", name).unwrap();
    }
    let summary = world.run_json(0);
    assert_eq!(summary["counts"]["updated"], names.len());
    for name in &names {
        world.assert_mirrors(name);
    }
}
