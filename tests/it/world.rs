//! A world of its own for each test: a GitHub, a store, and the means to run `ghbk` between them.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use chrono::{DateTime, Utc};
use ghbk::backup::{Backup, back_up};
use ghbk::clock::Clock;
use ghbk::config::Overrides;
use ghbk::outcome::{RunSummary, Trigger};
use ghbk::report::progress::Lines;
use ghbk::run::{Progress, Request};
use ghbk_sandbox::{Generate, Options, RepositoryEditor, Sandbox, generate};
use serde_json::Value;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

/// Longer than anything takes; a hang fails the test instead of the run.
const PATIENCE: Duration = Duration::from_mins(2);

pub(crate) struct World {
    pub(crate) sandbox: Sandbox,
    pub(crate) root: PathBuf,
    pub(crate) folder: TempDir,
}

/// What a command left: exit status and both outputs.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:#?}"))
    }

    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self:#?}");
        self
    }
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(|options| options)
    }

    pub(crate) fn with(change: impl FnOnce(Options) -> Options) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let repositories = folder.path().join("origin");
        std::fs::create_dir_all(repositories.join("acme")).unwrap();
        let root = folder.path().join("store");
        for name in ["store", "scratch", "home"] {
            std::fs::create_dir(folder.path().join(name)).unwrap();
        }
        let sandbox = Sandbox::start(change(Options::new(repositories))).unwrap();
        Self { sandbox, root, folder }
    }

    /// A world with so many small repositories, `acme/repository-001` and on.
    pub(crate) fn generated(count: usize) -> Self {
        let world = Self::new();
        let description =
            Generate { owner: "acme".into(), count, commits_each: 3, empty: false, ..Generate::default() };
        generate(world.sandbox.repositories(), &description).unwrap();
        world
    }

    /// Adds a repository with one commit on `main`.
    pub(crate) fn add(&self, full_name: &str) -> RepositoryEditor {
        let editor = RepositoryEditor::create(self.sandbox.repositories().join(format!("{full_name}.git"))).unwrap();
        editor.set_default_branch("main").unwrap();
        editor.commit("main", "README.md", full_name).unwrap();
        editor
    }

    pub(crate) fn mirror(&self, full_name: &str) -> PathBuf {
        self.root.join(format!("{full_name}.git"))
    }

    /// A command with nothing of this machine's environment but what is given here.
    pub(crate) fn ghbk(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ghbk"));
        command
            .args(arguments)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.folder.path().join("home"))
            .env("TZ", "UTC")
            .env("GITHUB_TOKEN", self.sandbox.token())
            .env("SLACK_WEBHOOK_URL", self.sandbox.slack_url())
            .env("GHBK_GITHUB__API_URL", self.sandbox.api_url())
            .env("GHBK_GITHUB__OWNERS", "acme")
            .env("GHBK_STORE__ROOT", &self.root)
            .env("GHBK_STORE__SCRATCH", self.folder.path().join("scratch"))
            .env("GHBK_LIMITS__RETRIES", "1")
            .env("GHBK_LIMITS__API_REQUESTS_PER_MINUTE", "60000")
            .current_dir(self.folder.path())
            .stdin(Stdio::null());
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Ended {
        finish(&mut self.ghbk(arguments))
    }

    /// Runs a backup in this process, at a time of one's choosing.
    #[track_caller]
    pub(crate) fn run_at(&self, now: DateTime<Utc>, settings: &[(&str, &str)]) -> RunSummary {
        self.run_with(now, settings, &Lines::default())
    }

    /// The same, telling somebody how it goes.
    #[track_caller]
    pub(crate) fn run_with(
        &self,
        now: DateTime<Utc>,
        settings: &[(&str, &str)],
        progress: &dyn Progress,
    ) -> RunSummary {
        let secrets = self.folder.path().join("secrets");
        std::fs::create_dir_all(&secrets).unwrap();
        std::fs::write(secrets.join("github-token"), self.sandbox.token()).unwrap();
        let path = |path: &Path| path.to_str().unwrap().to_owned();
        let mut env = vec![
            ("GHBK_GITHUB__API_URL", self.sandbox.api_url()),
            ("GHBK_GITHUB__OWNERS", "acme".to_owned()),
            ("GHBK_STORE__ROOT", path(&self.root)),
            ("GHBK_STORE__SCRATCH", path(&self.folder.path().join("scratch"))),
            ("GHBK_LIMITS__API_REQUESTS_PER_MINUTE", "60000".to_owned()),
            ("GHBK_SECRETS__SOURCE", "file".to_owned()),
            ("GHBK_SECRETS__DIRECTORY", path(&secrets)),
            ("GHBK_SLACK__NOTIFY", "never".to_owned()),
        ];
        env.extend(settings.iter().map(|(name, value)| (*name, (*value).to_owned())));
        let env = env.into_iter().map(|(name, value)| (name.to_owned(), value));
        let backup = Backup {
            config: ghbk::config::load(None, env, &Overrides::default()).unwrap().into(),
            request: Request { trigger: Trigger::Schedule, selection: vec![], repair: false, large_files: false },
            cancel: CancellationToken::new(),
            clock: Clock::fixed(now),
        };
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        runtime.block_on(back_up(&backup, progress)).unwrap()
    }

    /// `ghbk run --json`, which must end with the given status.
    #[track_caller]
    pub(crate) fn run_json(&self, code: i32) -> Value {
        self.run(&["run", "--json"]).expect(code).json()
    }

    /// Proves that a mirror is what its origin is: refs, objects, and what a clone holds.
    #[track_caller]
    pub(crate) fn assert_mirrors(&self, full_name: &str) {
        let origin = self.sandbox.repositories().join(format!("{full_name}.git"));
        assert_equal_repositories(&origin, &self.mirror(full_name));
    }
}

/// Says whether every fault is to be tried, as `scripts/faults` wants it, and not a sample.
pub(crate) fn is_everything() -> bool {
    std::env::var_os("GHBK_FAULTS").is_some_and(|value| value == "all")
}

/// Says whether the tests run as a user that permissions do not bind.
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Runs a command to its end, killing it if it never ends.
pub(crate) fn finish(command: &mut Command) -> Ended {
    let output = assert_cmd::Command::from_std(std::mem::replace(command, Command::new("true")))
        .timeout(PATIENCE)
        .output()
        .unwrap();
    Ended {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Runs a command to its end; returns with it the most memory that it has had for itself, in KiB.
pub(crate) fn finish_watched(command: &mut Command) -> (Ended, u64) {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let status = format!("/proc/{}/status", child.id());
    let started = std::time::Instant::now();
    let (stdout, stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let read = |mut from: Box<dyn std::io::Read + Send>| {
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            from.read_to_end(&mut bytes).unwrap();
            String::from_utf8_lossy(&bytes).into_owned()
        })
    };
    let (stdout, stderr) = (read(Box::new(stdout)), read(Box::new(stderr)));
    let mut peak_kib = 0;
    let ended = loop {
        let status = std::fs::read_to_string(&status).unwrap_or_default();
        let anonymous = status.lines().find_map(|line| line.strip_prefix("RssAnon:")?.trim().strip_suffix(" kB"));
        peak_kib = peak_kib.max(anonymous.and_then(|kib| kib.trim().parse().ok()).unwrap_or(0));
        if let Some(ended) = child.try_wait().unwrap() {
            break ended;
        }
        if started.elapsed() > PATIENCE {
            child.kill().unwrap();
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    let (stdout, stderr) = (stdout.join().unwrap(), stderr.join().unwrap());
    (Ended { code: ended.code(), stdout, stderr }, peak_kib)
}

pub(crate) fn git_output(folder: &Path, arguments: &[&str]) -> Output {
    Command::new("git")
        .arg("--git-dir")
        .arg(folder)
        .args(arguments)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .output()
        .unwrap()
}

#[track_caller]
pub(crate) fn git(folder: &Path, arguments: &[&str]) -> String {
    let output = git_output(folder, arguments);
    assert!(output.status.success(), "git {arguments:?} in {}: {output:?}", folder.display());
    String::from_utf8(output.stdout).unwrap()
}

/// Gives git some input, and returns the line that it answers with.
pub(crate) fn piped(folder: &Path, arguments: &[&str], input: &str) -> String {
    let output =
        assert_cmd::Command::new("git").arg("-C").arg(folder).args(arguments).write_stdin(input).output().unwrap();
    assert!(output.status.success(), "git {arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Changes one bit in the middle of a file.
pub(crate) fn flip_in_the_middle(file: &Path) {
    let mut bytes = std::fs::read(file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(file, bytes).unwrap();
}

/// The refs that a mirror of this repository has.
pub(crate) fn mirrored_refs(repository: &Path) -> Vec<String> {
    git(repository, &["for-each-ref", "--format=%(objectname) %(refname) %(*objectname)"])
        .lines()
        .filter(|line| {
            let name = line.split(' ').nth(1).unwrap_or_default();
            let test_merge = name.starts_with("refs/pull/") && name.ends_with("/merge");
            !name.starts_with("refs/ghbk/") && !test_merge
        })
        .map(str::to_owned)
        .collect()
}

#[track_caller]
pub(crate) fn assert_equal_repositories(origin: &Path, mirror: &Path) {
    assert_eq!(mirrored_refs(origin), mirrored_refs(mirror));
    let fsck = git_output(mirror, &["fsck", "--full", "--strict=false"]);
    let fsck = if fsck.status.success() { fsck } else { git_output(mirror, &["fsck", "--full"]) };
    assert!(fsck.status.success(), "git fsck: {fsck:?}");
    assert_eq!(git(origin, &["symbolic-ref", "HEAD"]), git(mirror, &["symbolic-ref", "HEAD"]));
    let folder = tempfile::tempdir().unwrap();
    // What serves a clone obeys files alone, not `-c`.
    let config = folder.path().join("gitconfig");
    std::fs::write(&config, "[safe]\n\tdirectory = *\n").unwrap();
    let tree = |from: &Path, to: &str| {
        let to = folder.path().join(to);
        let status = Command::new("git")
            .args(["clone", "--quiet"])
            .args([from, &to])
            .env("GIT_CONFIG_GLOBAL", &config)
            .status()
            .unwrap();
        assert!(status.success());
        git_output(&to.join(".git"), &["rev-parse", "HEAD^{tree}"]).stdout
    };
    assert_eq!(tree(origin, "origin"), tree(mirror, "mirror"));
}

/// Every file below a folder with its content.
pub(crate) fn files_below(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files.push((path.clone(), std::fs::read(&path).unwrap_or_default()));
            }
        }
    }
    files.sort();
    files
}

/// Text that does not compress to much less than half.
pub(crate) fn noise(seed: u64, bytes: usize) -> String {
    let mut random = seed + 88_172_645_463_325_252;
    let mut text = String::new();
    while text.len() < bytes {
        // Xorshift: no library for something that only has to look random.
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        text.push_str(&format!("{random:016x}\n"));
    }
    text
}
