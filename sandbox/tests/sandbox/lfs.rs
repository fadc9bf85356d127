//! Large files: git-lfs itself fetches from the sandbox and pushes to it.

use std::path::Path;
use std::process::Command;

use crate::scene::Scene;

/// Runs git with git-lfs in a home of its own; `url` gets the token.
fn git(home: &Path, folder: &Path, arguments: &[&str]) {
    let output = Command::new("git")
        .args(arguments)
        .current_dir(folder)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", home)
        .env("GIT_TERMINAL_PROMPT", "0")
        .output()
        .unwrap();
    assert!(output.status.success(), "git {arguments:?}: {output:?}");
}

#[test]
fn git_lfs_fetches_and_pushes() {
    let scene = Scene::one();
    let sandbox = &scene.sandbox;
    let editor = sandbox.edit("acme/api");
    editor.set("pushable", "true").unwrap();
    editor.commit("main", ".gitattributes", "*.bin filter=lfs diff=lfs merge=lfs -text\n").unwrap();
    let oid = editor.large_file("main", "a.bin", b"a content\n").unwrap();
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join(".gitconfig"), "[user]\n\tname = t\n\temail = t@example.com\n").unwrap();
    git(home.path(), home.path(), &["lfs", "install", "--skip-repo"]);
    let url = sandbox.url().replace("http://", &format!("http://x:{}@", sandbox.token()));
    let clone = home.path().join("clone");
    git(home.path(), home.path(), &["clone", "--quiet", &format!("{url}/acme/api.git"), clone.to_str().unwrap()]);
    assert_eq!(std::fs::read(clone.join("a.bin")).unwrap(), b"a content\n");
    std::fs::write(clone.join("b.bin"), "another\n").unwrap();
    git(home.path(), &clone, &["add", "b.bin"]);
    git(home.path(), &clone, &["commit", "--quiet", "-m", "b"]);
    git(home.path(), &clone, &["push", "--quiet", "origin", "HEAD:main"]);
    let objects = sandbox.repositories().join("acme/api.git/lfs/objects");
    assert!(objects.join(&oid[..2]).is_dir());
    assert_eq!(std::fs::read_dir(&objects).unwrap().count(), 2);
}
