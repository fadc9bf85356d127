//! Git processes that know nothing of the user's or the machine's git configuration.

use std::env;
use std::process::Command;

/// Settings of every process, in place of configuration files.
const SETTINGS: [(&str, &str); 11] = [
    ("safe.directory", "*"),
    ("init.defaultBranch", "main"),
    ("gc.auto", "0"),
    ("maintenance.auto", "false"),
    ("core.fsync", "none"), // nothing here outlives its test
    // As at GitHub: partial clones work, and an object can be asked for by its name.
    ("uploadpack.allowFilter", "true"),
    ("uploadpack.allowTipSHA1InWant", "true"),
    ("uploadpack.allowReachableSHA1InWant", "true"),
    ("uploadpack.allowAnySHA1InWant", "true"),
    // Who may push is decided before git is asked; pull requests GitHub keeps for itself.
    ("http.receivepack", "true"),
    ("receive.hideRefs", "refs/pull"),
];

/// When every commit and tag of a fixture was made, so that its name is the same in every run.
pub(crate) const DATE: &str = "1700000000 +0000";

/// Returns a `git` command with an empty environment and fixed settings, author and date.
pub(crate) fn command() -> Command {
    let mut command = Command::new("git");
    command.env_clear();
    if let Some(path) = env::var_os("PATH") {
        command.env("PATH", path);
    }
    command.envs([
        ("LC_ALL", "C"),
        ("GIT_CONFIG_NOSYSTEM", "1"),
        ("GIT_CONFIG_GLOBAL", "/dev/null"),
        ("GIT_TERMINAL_PROMPT", "0"),
        ("GIT_AUTHOR_NAME", "Sandbox"),
        ("GIT_AUTHOR_EMAIL", "sandbox@example.com"),
        ("GIT_AUTHOR_DATE", DATE),
        ("GIT_COMMITTER_NAME", "Sandbox"),
        ("GIT_COMMITTER_EMAIL", "sandbox@example.com"),
        ("GIT_COMMITTER_DATE", DATE),
    ]);
    command.env("GIT_CONFIG_COUNT", SETTINGS.len().to_string());
    for (index, (key, value)) in SETTINGS.iter().enumerate() {
        command.env(format!("GIT_CONFIG_KEY_{index}"), key).env(format!("GIT_CONFIG_VALUE_{index}"), value);
    }
    command
}
