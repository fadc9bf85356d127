//! The command line. Help, manual pages and completions come from these definitions.

mod arguments;
mod complete;
mod help;
pub mod man;

use std::path::PathBuf;

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueHint};
use clap_complete::CompleteEnv;

pub use self::arguments::{
    AcceptArgs, AdoptArgs, CheckArgs, CompletionsArgs, DiffArgs, ExportArgs, ExportFormat, ForgetArgs, InitArgs,
    ListArgs, ListedState, LogArgs, ManArgs, RestoreArgs, RunArgs, ShowArgs, SnapshotsArgs, StatusArgs, VerifyArgs,
};
pub(crate) use self::complete::registration;
use crate::config::{DEFAULT_CONFIG_PATH, from_home};
use crate::typed::Typed;

/// Backs up every GitHub repository of an organisation onto a file system.
#[derive(Debug, Parser)]
#[command(
    name = "ghbk",
    version,
    about = "Back up every GitHub repository of an organisation onto a file system",
    after_help = help::GENERAL,
    arg_required_else_help = true,
    max_term_width = 100
)]
pub struct Cli {
    /// Options that every command takes, before or after its name.
    #[command(flatten)]
    pub global: GlobalArgs,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

impl Cli {
    /// Reads the command line; prints help, version, completions or what is wrong with it, and exits then.
    #[must_use]
    pub fn read() -> Self {
        CompleteEnv::with_factory(command).var(complete::ASKED_BY).complete();
        let matches = command().try_get_matches().unwrap_or_else(|error| help::advise(error).exit());
        Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
    }
}

/// Builds the definitions, with the screen that `ghbk help` prints.
pub fn command() -> clap::Command {
    help::with_overview(Cli::command())
}

/// Options that every command takes.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Global options")]
pub struct GlobalArgs {
    /// Read this configuration file [default: /etc/ghbk/config.toml, if it exists]
    #[arg(
        long, short, global = true, value_name = "FILE", env = "GHBK_CONFIG", value_hint = ValueHint::FilePath, hide_env = true, hide = true
    )]
    pub config: Option<PathBuf>,
    /// Keep the mirrors below this folder [overrides: store.root]
    #[arg(long, global = true, value_name = "DIR", value_hint = ValueHint::DirPath, hide = true)]
    pub root: Option<PathBuf>,
    /// Back up this organisation or user; may be repeated [overrides: github.owners]
    #[arg(
        long, global = true, value_name = "NAME", aliases = ["org", "user"], value_delimiter = ',', hide = true
    )]
    pub owner: Vec<String>,
    /// Print the result as JSON on standard output
    #[arg(long, global = true, hide = true)]
    pub json: bool,
    /// Print nothing if all is well, and what is wrong on standard error; show no progress
    #[arg(long, short, global = true, hide = true)]
    pub quiet: bool,
    /// Log more; twice for the most
    #[arg(
        long, short, global = true, action = clap::ArgAction::Count, conflicts_with = "quiet", hide = true
    )]
    pub verbose: u8,
}

impl GlobalArgs {
    /// Returns the configuration file and whether it must exist.
    pub fn config_file(&self) -> (PathBuf, bool) {
        match &self.config {
            Some(path) => (from_home(path), true),
            None => (DEFAULT_CONFIG_PATH.into(), false),
        }
    }
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Back up now: everything, or the repositories you name
    #[command(alias = "backup", after_help = help::RUN)]
    Run(RunArgs),
    /// Show what GitHub lists and what a run would do, without doing it
    #[command(alias = "ls", after_help = help::LIST)]
    List(ListArgs),
    /// Show whether the backup is healthy, and what is wrong
    #[command(after_help = help::STATUS)]
    Status(StatusArgs),
    /// List the points in time of a repository, and what changed
    #[command(alias = "history", after_help = help::SNAPSHOTS)]
    Snapshots(SnapshotsArgs),
    /// Show what changed between two points in time
    #[command(after_help = help::DIFF)]
    Diff(DiffArgs),
    /// Restore a repository, or all of them, as of any point in time
    #[command(
        after_help = help::RESTORE,
        override_usage = "ghbk restore [OPTIONS] OWNER/REPO DEST\n       \
            ghbk restore [OPTIONS] OWNER/REPO --push URL\n       ghbk restore [OPTIONS] --all DIR"
    )]
    Restore(Box<RestoreArgs>),
    /// Show issues and pull requests, or one with its conversation
    #[command(after_help = help::SHOW)]
    Show(ShowArgs),
    /// Show how one issue or pull request changed from run to run
    #[command(after_help = help::LOG)]
    Log(LogArgs),
    /// Write issues and pull requests as web pages, Markdown or JSON
    #[command(after_help = help::EXPORT)]
    Export(ExportArgs),
    /// Read the store, and check that every object is there and whole
    #[command(alias = "fsck", after_help = help::VERIFY)]
    Verify(VerifyArgs),
    /// Turn clones that another tool left on the store into mirrors
    #[command(after_help = help::ADOPT)]
    Adopt(AdoptArgs),
    /// Accept that GitHub has lost large files
    #[command(after_help = help::ACCEPT)]
    Accept(AcceptArgs),
    /// Accept that a mirror was removed on purpose
    #[command(after_help = help::FORGET)]
    Forget(ForgetArgs),
    /// Write a configuration, and check it
    #[command(after_help = help::INIT)]
    Init(InitArgs),
    /// Check configuration, store, token, GitHub and Slack
    #[command(alias = "doctor", after_help = help::CHECK)]
    Check(CheckArgs),
    /// Stay, and back up on the schedule (for systemd)
    #[command(after_help = help::DAEMON)]
    Daemon,
    /// Tell Slack that a unit failed (for systemd, `OnFailure=`)
    #[command(hide = true, after_help = help::REPORT_FAILURE)]
    ReportFailure {
        /// The unit, such as ghbk.service
        unit: String,
    },
    /// Print the completion script of a shell
    #[command(after_help = help::COMPLETIONS)]
    Completions(CompletionsArgs),
    /// Print a manual page, or write all of them
    #[command(after_help = help::MAN)]
    Man(ManArgs),
    /// Print the version
    Version,
}

impl Command {
    /// Returns the hosts of the addresses that were typed for repositories.
    pub fn hosts(&self) -> Vec<&str> {
        fn host<T>(typed: &Typed<T>) -> Option<&str> {
            typed.host.as_deref()
        }
        match self {
            Self::Run(arguments) => arguments.repositories.iter().filter_map(host).collect(),
            Self::List(arguments) => arguments.repositories.iter().filter_map(host).collect(),
            Self::Verify(arguments) => arguments.repositories.iter().filter_map(host).collect(),
            Self::Status(arguments) => arguments.repository.iter().filter_map(host).collect(),
            Self::Snapshots(arguments) => host(&arguments.repository).into_iter().collect(),
            Self::Diff(arguments) => host(&arguments.repository).into_iter().collect(),
            Self::Restore(arguments) => arguments.repository.iter().filter_map(host).collect(),
            Self::Show(arguments) => host(&arguments.repository).into_iter().collect(),
            Self::Log(arguments) => host(&arguments.repository).into_iter().collect(),
            Self::Export(arguments) => host(&arguments.repository).into_iter().collect(),
            Self::Forget(arguments) => host(&arguments.repository).into_iter().collect(),
            Self::Accept(arguments) => host(&arguments.repository).into_iter().collect(),
            Self::Daemon
            | Self::Adopt(_)
            | Self::Init(_)
            | Self::Check(_)
            | Self::ReportFailure { .. }
            | Self::Completions(_)
            | Self::Man(_)
            | Self::Version => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definitions_are_consistent() {
        command().debug_assert();
    }

    #[test]
    fn examples_fit_a_terminal_of_eighty_columns() {
        for verb in Cli::command().get_subcommands() {
            let text = verb.get_after_help().map(ToString::to_string).unwrap_or_default();
            for line in text.lines().filter(|line| line.starts_with("  ")) {
                assert!(line.chars().count() < 80, "ghbk {}: {line}", verb.get_name());
            }
        }
    }
}
