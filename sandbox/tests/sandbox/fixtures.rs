//! What fills the folder.

use ghbk_sandbox::{Generate, RepositoryEditor, generate, import_bundle};

use crate::scene::repository;

#[test]
fn the_same_description_gives_the_same_objects() {
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let [one, two] = folders.each_ref().map(|folder| {
        let names = generate(folder.path(), &Generate { count: 3, ..Generate::default() }).unwrap();
        assert_eq!(names, ["acme/repository-001", "acme/repository-002", "acme/repository-003"]);
        RepositoryEditor::open(folder.path().join("acme/repository-002.git")).refs().unwrap()
    });
    assert_eq!(one, two);
    assert_eq!(one.len(), 8);
}

#[test]
fn a_generated_repository_is_sound() {
    let folder = tempfile::tempdir().unwrap();
    generate(folder.path(), &Generate { count: 2, commits_each: 3, ..Generate::default() }).unwrap();
    let editor = RepositoryEditor::open(folder.path().join("acme/repository-001.git"));
    editor.git(&["fsck", "--strict"]).unwrap();
    assert_eq!(editor.git(&["rev-list", "--count", "main"]).unwrap(), "3");
    assert_eq!(editor.git(&["cat-file", "-t", "refs/tags/v1.0.0"]).unwrap(), "tag");
    assert_eq!(editor.git(&["notes", "show", "main"]).unwrap(), "reviewed");
    assert_eq!(editor.git(&["rev-list", "--parents", "-1", "refs/pull/1/merge"]).unwrap().split(' ').count(), 3);
    let files: Vec<_> = std::fs::read_dir(folder.path().join("acme")).unwrap().flatten().collect();
    assert_eq!(files.len(), 3, "two repositories and a wiki, nothing unfinished: {files:?}");
}

#[test]
fn a_bundle_becomes_a_repository() {
    let folder = tempfile::tempdir().unwrap();
    let origin = repository(folder.path(), "acme/api");
    let tag = origin.annotated_tag("v1", "main").unwrap();
    let bundle = folder.path().join("api.bundle");
    origin.git(&["bundle", "create", "--quiet", bundle.to_str().unwrap(), "--all"]).unwrap();
    import_bundle(&bundle, folder.path(), "copies/api").unwrap();
    let copy = RepositoryEditor::open(folder.path().join("copies/api.git"));
    assert_eq!(copy.rev_parse("refs/tags/v1").unwrap(), tag);
    assert!(copy.git(&["config", "remote.origin.url"]).is_err());
    assert!(import_bundle(&bundle, folder.path(), "../api").is_err());
}

#[test]
fn commits_follow_each_other_and_a_force_push_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let editor = repository(folder.path(), "acme/api");
    let first = editor.rev_parse("main").unwrap();
    let second = editor.commit("main", "docs/a.md", "text").unwrap();
    assert_eq!(editor.rev_parse("main^").unwrap(), first);
    let rewritten = editor.force_push("main").unwrap();
    assert_eq!(editor.rev_parse("main^").unwrap(), first);
    assert_ne!(rewritten, second);
    assert_ne!(editor.force_push("main").unwrap(), rewritten);
    let root = editor.commit("orphan", "b", "b").unwrap();
    assert_ne!(editor.force_push("orphan").unwrap(), root);
    assert!(editor.force_push("none").is_err());
}
