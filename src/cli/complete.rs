//! What a shell offers after Tab beyond commands and options: repositories and runs of the store.
//!
//! What a newcomer would get wrong: this runs at each Tab, maybe on a dead mount's machine or before any configuration; whatever is
//! wrong, it offers nothing and says nothing.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::time::Duration;

use clap_complete::CompletionCandidate;
use clap_complete::env::Shells;

use crate::config::{self, Config, DEFAULT_CONFIG_PATH, Overrides, from_home};
use crate::store::{Index, Store, run_ids};

/// The variable by which a completion script asks.
pub(super) const ASKED_BY: &str = "GHBK_COMPLETE";
/// A shell that waits longer after Tab seems to hang.
const PATIENCE: Duration = Duration::from_millis(500);
/// So many runs are offered.
const RUNS_MAX: usize = 30;

/// Offers the names of the store's mirrors.
pub(super) fn repositories(typed: &OsStr) -> Vec<CompletionCandidate> {
    let typed = typed.to_string_lossy().to_lowercase();
    // As the last run left it: to look at the mirrors themselves would take too long.
    let index = in_time(|| Index::stored(&store()?));
    let mirrors = index.iter().flat_map(|index| index.mirrors.values());
    let mut names: Vec<String> = mirrors.map(|mirror| mirror.full_name.to_string()).collect();
    names.retain(|name| name.to_lowercase().starts_with(&typed));
    names.sort_unstable();
    names.dedup();
    names.into_iter().map(CompletionCandidate::new).collect()
}

/// Offers the ids of the newest runs.
pub(super) fn runs(typed: &OsStr) -> Vec<CompletionCandidate> {
    let typed = typed.to_string_lossy();
    let ids = in_time(|| run_ids(&store()?).ok()).unwrap_or_default();
    let newest = ids.into_iter().rev().take(RUNS_MAX).map(|id| id.to_string());
    let all = ["latest".to_owned()].into_iter().chain(newest);
    all.filter(|id| id.starts_with(&*typed)).map(CompletionCandidate::new).collect()
}

/// Looks on a thread of its own, which a dead mount may hold for ever.
fn in_time<T: Send + 'static>(look: impl FnOnce() -> Option<T> + Send + 'static) -> Option<T> {
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || sender.send(look()));
    receiver.recv_timeout(PATIENCE).ok().flatten()
}

/// Opens the store that the words so far and the environment name.
fn store() -> Option<Store> {
    let words: Vec<OsString> = std::env::args_os().collect();
    let config = match option(&words, &["--config", "-c"]).or_else(|| std::env::var_os("GHBK_CONFIG")) {
        Some(path) => (from_home(&PathBuf::from(path)), true),
        None => (DEFAULT_CONFIG_PATH.into(), false),
    };
    let root = option(&words, &["--root"]).map(|root| from_home(&PathBuf::from(root)));
    let env =
        std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let overrides = Overrides { root, owners: Vec::new() };
    let config: Config = config::load(Some((&config.0, config.1)), env, &overrides).ok()?;
    Store::open(&config.store).ok()
}

/// Finds the value of an option among words, `--root DIR` or `--root=DIR`.
fn option(words: &[OsString], names: &[&str]) -> Option<OsString> {
    words.iter().enumerate().find_map(|(at, word)| {
        let word = word.to_str()?;
        if names.contains(&word) {
            return words.get(at + 1).cloned();
        }
        names.iter().find_map(|name| word.strip_prefix(name)?.strip_prefix('=').map(OsString::from))
    })
}

/// Writes the script by which a shell asks for completions; none for a shell that has no such script.
pub(crate) fn registration(shell: &str) -> Option<String> {
    let mut script = Vec::new();
    let shells = Shells::builtins();
    shells.completer(shell)?.write_registration(ASKED_BY, "ghbk", "ghbk", "ghbk", &mut script).ok()?;
    String::from_utf8(script).ok()
}
