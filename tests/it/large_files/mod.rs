//! Large files, as Git LFS keeps them. The judge is git-lfs itself.

mod fetching;
mod foreign;
mod pointers;
mod proving;
mod restoring;
mod saying;
mod trouble;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use crate::world::World;

/// A git in a home of its own, where git-lfs is installed, with nothing else configured.
pub(crate) struct GitLfs {
    home: tempfile::TempDir,
}

impl GitLfs {
    pub(crate) fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let git = Self { home };
        std::fs::write(
            git.home.path().join(".gitconfig"),
            "[user]\n\tname = t\n\temail = t@example.com\n[safe]\n\tdirectory = *\n",
        )
        .unwrap();
        git.git(git.home.path(), &["lfs", "install", "--skip-repo"]);
        git
    }

    pub(crate) fn output(&self, folder: &Path, arguments: &[&str]) -> Output {
        Command::new("git")
            .args(arguments)
            .current_dir(folder)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.home.path())
            .env("GIT_TERMINAL_PROMPT", "0")
            .output()
            .unwrap()
    }

    #[track_caller]
    pub(crate) fn git(&self, folder: &Path, arguments: &[&str]) -> String {
        let output = self.output(folder, arguments);
        assert!(output.status.success(), "git {arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Clones a mirror as anybody would, and checks its files out.
    #[track_caller]
    pub(crate) fn clone(&self, mirror: &Path) -> PathBuf {
        let clone = tempfile::tempdir_in(self.home.path()).unwrap().keep().join("clone");
        self.git(self.home.path(), &["clone", "--quiet", mirror.to_str().unwrap(), clone.to_str().unwrap()]);
        assert_eq!(self.git(&clone, &["status", "--porcelain"]), "");
        clone
    }

    /// Judges that a mirror has every content of its whole history, and that a plain clone of it has, too.
    #[track_caller]
    pub(crate) fn assert_complete(&self, mirror: &Path) {
        self.git(mirror, &["lfs", "fsck", "--objects", "--dry-run"]);
        let clone = self.clone(mirror);
        self.git(&clone, &["lfs", "fetch", "--all"]);
        self.git(&clone, &["lfs", "fsck"]);
    }
}

/// Makes git track large files by their ending.
pub(crate) fn track(editor: &ghbk_sandbox::RepositoryEditor) {
    editor.commit("main", ".gitattributes", "*.bin filter=lfs diff=lfs merge=lfs -text\n").unwrap();
}

/// A repository with some large files in its history.
pub(crate) fn with_large_files(world: &World, full_name: &str, contents: &[&[u8]]) -> Vec<String> {
    let editor = world.add(full_name);
    track(&editor);
    let add =
        |(number, content): (usize, &&[u8])| editor.large_file("main", &format!("{number}.bin"), content).unwrap();
    contents.iter().enumerate().map(add).collect()
}

/// Where a mirror has a content.
pub(crate) fn content(world: &World, full_name: &str, oid: &str) -> PathBuf {
    world.mirror(full_name).join("lfs/objects").join(&oid[..2]).join(&oid[2..4]).join(oid)
}

/// Where the origin has it.
pub(crate) fn of_origin(world: &World, full_name: &str, oid: &str) -> PathBuf {
    let repository = world.sandbox.repositories().join(format!("{full_name}.git"));
    repository.join("lfs/objects").join(&oid[..2]).join(&oid[2..4]).join(oid)
}

/// How many of which requests for large files were made, batches and downloads.
pub(crate) fn asked(world: &World) -> (usize, usize) {
    let requests = world.sandbox.requests();
    let count = |is: fn(&str) -> bool| requests.iter().filter(|request| is(&request.path)).count();
    (count(|path| path.ends_with("/objects/batch")), count(|path| path.starts_with("/media/")))
}

/// What a run says of its large files.
pub(crate) fn sums(summary: &Value) -> Value {
    summary["parts"]["large_files"].clone()
}

/// What is noted as missing of a mirror: reasons by id.
pub(crate) fn missing(world: &World, full_name: &str) -> Vec<(String, String)> {
    let list = std::fs::read_to_string(world.mirror(full_name).join("lfs/missing.jsonl")).unwrap_or_default();
    let value = |line: &Value, key: &str| line[key].as_str().unwrap().to_owned();
    let lines = list.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.map(|line| (value(&line, "oid"), value(&line, "why"))).collect()
}
