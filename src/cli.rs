//! The command line: help, man page and completions come from these definitions.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueHint};
use clap_complete::Shell;

use crate::config::DEFAULT_CONFIG_PATH;
use crate::git::mirror::extract::tree_path;
use crate::git::pointer::LfsOid;
use crate::moment::Moment;
use crate::names::{FullName, Wanted, WantedRun};
use crate::typed::Typed;

/// Backs up every GitHub repository of an organisation onto a file system.
#[derive(Debug, Parser)]
#[command(
    name = "ghbk",
    version,
    about,
    long_about = "Backs up every GitHub repository of an organisation onto a file system.\n\n\
        Each repository becomes an ordinary bare git repository, ROOT/OWNER/NAME.git, that plain git can clone \
        without ghbk. Nothing that happens on GitHub ever removes a mirror.",
    after_long_help = EXAMPLES,
    propagate_version = true,
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

const EXAMPLES: &str = "\
Examples:
  A first backup, without any configuration:
    GITHUB_TOKEN=… ghbk run --root ./backup acme/site

  Everything an organisation has:
    GITHUB_TOKEN=… ghbk run --root ./backup --owner acme

  What a run would do, and how the last one went:
    ghbk list
    ghbk status

Exit status:
  0   all good
  1   the run finished, but some repository failed; or damage was found
  2   usage or configuration
  3   the run could not take place (no secret, GitHub refused, store not mounted)
  75  a run is already under way
  130 stopped by SIGINT; 143 by SIGTERM; the record is closed as cancelled";

/// Options that every command takes.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Global options")]
pub struct GlobalArgs {
    /// Reads this configuration file [default: /etc/ghbk/config.toml, if it exists]
    #[arg(long, short, global = true, value_name = "FILE", env = "GHBK_CONFIG", value_hint = ValueHint::FilePath, hide_env = true)]
    pub config: Option<PathBuf>,
    /// Keeps the mirrors below this folder [overrides: store.root]
    #[arg(long, global = true, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub root: Option<PathBuf>,
    /// Backs up this organisation or user; may be repeated [overrides: github.owners]
    #[arg(long, global = true, value_name = "NAME", aliases = ["org", "user"], value_delimiter = ',')]
    pub owner: Vec<String>,
    /// Prints the result as JSON on standard output
    #[arg(long, global = true)]
    pub json: bool,
    /// Logs more; twice for the most
    #[arg(long, short, global = true, action = clap::ArgAction::Count, conflicts_with = "quiet")]
    pub verbose: u8,
    /// Logs errors only, and shows no progress
    #[arg(long, short, global = true)]
    pub quiet: bool,
}

impl GlobalArgs {
    /// Returns the configuration file and whether it must exist.
    pub fn config_file(&self) -> (PathBuf, bool) {
        match &self.config {
            Some(path) => (path.clone(), true),
            None => (DEFAULT_CONFIG_PATH.into(), false),
        }
    }
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Backs up now: everything, or the repositories named
    #[command(after_long_help = "\
Examples:
  ghbk run                          everything that github.owners names
  ghbk run acme/site acme/api       only these, listed or not
  ghbk run --large-files            with the large files of mirrors that an older ghbk made
  ghbk run --repair acme/site       afresh, when `ghbk verify` found damage
  ghbk run --repair                 the same for everything that is known to be damaged
  ghbk run --json | jq .counts      the result for a script

A run never removes a mirror. It may be interrupted at any moment; the next one goes on.")]
    Run(RunArgs),
    /// Stays and runs on the schedule; for systemd
    #[command(after_long_help = "\
Examples:
  systemctl start ghbk              as a service, the ordinary way
  ghbk daemon -v                    in a terminal, to see what it does

SIGTERM ends it within seconds, everything consistent. SIGHUP reads the configuration anew and keeps the old one if \
the new one is wrong. A run that was missed while it was down is made up for at start (schedule.catch_up).")]
    Daemon,
    /// Shows what GitHub lists and what a run would do, without doing it
    #[command(after_long_help = "\
Examples:
  ghbk list                         one line a repository
  ghbk list --json | jq '.[] | select(.action != \"update\")'

Actions: create (no mirror yet), update, rename (the mirror moves), replace (another repository had this name; its \
mirror goes to the attic), gone (GitHub no longer lists it; the mirror stays).")]
    List,
    /// Shows whether the backup is healthy, the last runs, what is running, what failed, and how a repository stands
    #[command(after_long_help = "\
Examples:
  ghbk status                       works while a run is under way, too
  ghbk status acme/site             everything about one repository
  ghbk status --all                 every mirror, a line each
  ghbk status --check               for cron and Nagios: one line, exit status 0 if healthy, 1 if not
  ghbk status --json | jq .hours_since_success

Healthy means: the last complete backup of everything is not older than --max-age, the last run over everything had no \
failure, and no mirror is known to be damaged or missing. Needs neither network nor token.")]
    Status(StatusArgs),
    /// Shows the points in time that can be restored
    #[command(after_long_help = "\
Examples:
  ghbk snapshots acme/site          what changed, and when; ! marks what GitHub has lost
  ghbk snapshots acme/site --json | jq '.[].snapshots[] | select(.changes[].kind == \"force-pushed\")'

A run that found a repository unchanged adds no snapshot: the one before still holds. Needs neither network nor token.")]
    Snapshots(SnapshotsArgs),
    /// Brings a repository back as it was
    #[command(after_long_help = "\
Examples:
  ghbk restore acme/site ./site.git                           as it is now, a bare repository
  ghbk restore acme/site ./site --checkout --at \"3 days ago\"  a working tree, before the force push
  ghbk restore acme/site ./site.git --run 20261129T050000.000Z
  ghbk restore acme/site ./files --path docs --path README.md  files of its default branch, without history
  ghbk restore 1296269 ./old.git                              by id: gone, or replaced by another of its name
  GHBK_PUSH_TOKEN=… ghbk restore acme/site --push https://github.com/acme/site-2.git

TIME: RFC 3339 (2026-11-22T05:00:00Z), a date (the end of that day), a minute (its end), \"2026-11-22 05:00\", or \"3 days ago\"; in \
schedule.timezone, which is the machine's unless it is set, as everything that is printed. Every restore ends with a check that nothing is missing. Only --push needs network and a token, from \
GHBK_PUSH_TOKEN, or the configured one if the address is that of the configured GitHub.")]
    Restore(Box<RestoreArgs>),
    /// Proves the store: refs, packs, and every object that they need
    #[command(after_long_help = "\
Examples:
  ghbk verify                       every mirror
  ghbk verify acme/site --deep      this one, and every object hashed anew
  ghbk verify --json | jq '.[] | select(.damage != [])'

Reads every pack whole: with EFS in infrequent access that costs money. A run does the same to a share of the store, \
so that all of it is proven every verify.full_every. Needs neither network nor token. Exit status 1: damage found.")]
    Verify(VerifyArgs),
    /// Makes mirrors of clones that another tool left on the store, without fetching them again
    #[command(after_long_help = "\
Examples:
  ghbk adopt --dry-run                           which clones there are, and whose
  ghbk adopt                                     all of them
  ghbk adopt /mnt/efs/old-site --as acme/site    one whose origin does not tell

Looks at ROOT/NAME and ROOT/OWNER/NAME, bare or plain. GitHub is asked whose they are; nothing is fetched. Every branch \
and tag becomes the first snapshot, of the time when the clone was last brought up to date; what only the clone has is \
kept. The clone itself moves to ROOT/.ghbk/adopted/ and is yours to remove. The next run fetches what is new.")]
    Adopt(AdoptArgs),
    /// Says that a mirror is meant to be gone, so that no run misses it
    #[command(after_long_help = "\
Examples:
  ghbk forget acme/old              its mirror was moved or removed on purpose
  ghbk forget acme/site --wiki      only the mirror of its wiki was
  ghbk forget 1296269               by id, where several had the same name

ghbk never removes a mirror. Move or remove the folder yourself first: while it is in its place, nothing is forgotten, \
and the command that removes it is printed. Until a missing mirror is forgotten, the run that makes it anew reports a \
failure, because the snapshots of the old one are missing. A repository that GitHub still lists is mirrored anew by the \
next run, unless github.exclude names it. Needs neither network nor token.")]
    Forget(ForgetArgs),
    /// Says that large files which GitHub no longer has are known to be gone
    #[command(after_long_help = "\
Examples:
  ghbk accept acme/site             all of them that can be, with their ids
  ghbk accept acme/site 4d7a2146…   only this one, by its whole id

A large file that GitHub does not have is a failure once and a warning from then on; this ends the warning. It gives up \
nothing: every run goes on asking, and `ghbk status` goes on counting. What could not be fetched for any other reason \
stays a failure. Needs neither network nor token.")]
    Accept(AcceptArgs),
    /// Checks configuration, store, secrets, GitHub and Slack, one line each
    #[command(after_long_help = "\
Examples:
  ghbk check                        before the first run, and whenever something changed
  ghbk check --slack                sends a test message, too")]
    Check(CheckArgs),
    /// Tells Slack that a unit failed; for systemd (`OnFailure=`)
    #[command(after_long_help = "\
Examples:
  systemctl start ghbk-failed@ghbk.service     what systemd does when the daemon is dead

systemd says why in MONITOR_SERVICE_RESULT, MONITOR_EXIT_CODE and MONITOR_EXIT_STATUS. A run that ended by itself has \
told Slack already and is not told twice.")]
    ReportFailure {
        /// The unit, such as ghbk.service
        unit: String,
    },
    /// Prints the completion script of a shell
    #[command(after_long_help = "\
Examples:
  ghbk completions bash > /usr/share/bash-completion/completions/ghbk")]
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Prints the manual page
    #[command(after_long_help = "\
Examples:
  ghbk man > /usr/share/man/man1/ghbk.1
  ghbk man | man -l -")]
    Man,
}

impl Command {
    /// Returns the hosts of the addresses that were typed for repositories.
    pub fn hosts(&self) -> Vec<&str> {
        fn host<T>(typed: &Typed<T>) -> Option<&str> {
            typed.host.as_deref()
        }
        match self {
            Self::Run(arguments) => arguments.repositories.iter().filter_map(host).collect(),
            Self::Verify(arguments) => arguments.repositories.iter().filter_map(host).collect(),
            Self::Status(arguments) => arguments.repository.iter().filter_map(host).collect(),
            Self::Snapshots(arguments) => host(&arguments.repository).into_iter().collect(),
            Self::Restore(arguments) => host(&arguments.repository).into_iter().collect(),
            Self::Forget(arguments) => host(&arguments.repository).into_iter().collect(),
            Self::Accept(arguments) => host(&arguments.repository).into_iter().collect(),
            Self::Daemon
            | Self::List
            | Self::Adopt(_)
            | Self::Check(_)
            | Self::ReportFailure { .. }
            | Self::Completions { .. }
            | Self::Man => Vec::new(),
        }
    }
}

/// Arguments of `ghbk run`.
#[derive(Clone, Debug, Args)]
pub struct RunArgs {
    /// Backs up only these repositories; they need not be in the listing
    #[arg(value_name = "OWNER/REPO")]
    pub repositories: Vec<Typed<FullName>>,
    /// Backs up the repository that an instance of ghbk-now@.service names: OWNER-REPO, OWNER:REPO
    #[arg(long, value_name = "NAME", conflicts_with = "repositories")]
    pub instance: Option<String>,
    /// Fetches them afresh, or all that are known to be damaged, carries over what only the damaged mirrors have, and keeps those
    /// in .ghbk/damaged
    #[arg(long, conflicts_with = "instance")]
    pub repair: bool,
    /// Looks through mirrors that an older ghbk made for large files at once, and not one after the other over the weeks
    #[arg(long)]
    pub large_files: bool,
}

/// Arguments of `ghbk status`.
#[derive(Clone, Debug, Args)]
pub struct StatusArgs {
    /// Shows this repository alone; a number is its id
    #[arg(value_name = "OWNER/REPO", conflicts_with_all = ["all", "check"])]
    pub repository: Option<Typed<Wanted>>,
    /// Lists every mirror, not only those with which something is wrong
    #[arg(long)]
    pub all: bool,
    /// Prints one line, and exits with 1 if the backup is not healthy; with -q nothing is printed if it is
    #[arg(long)]
    pub check: bool,
    /// How old the last complete backup may be
    #[arg(long, value_name = "TIME", default_value = "8d", value_parser = humantime::parse_duration)]
    pub max_age: Duration,
}

/// Arguments of `ghbk snapshots`.
#[derive(Clone, Debug, Args)]
pub struct SnapshotsArgs {
    /// The repository; a number is its id
    #[arg(value_name = "OWNER/REPO")]
    pub repository: Typed<Wanted>,
    /// Shows those of its wiki
    #[arg(long)]
    pub wiki: bool,
}

/// Arguments of `ghbk restore`.
#[derive(Clone, Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub struct RestoreArgs {
    /// The repository; a number is its id
    #[arg(value_name = "OWNER/REPO")]
    pub repository: Typed<Wanted>,
    /// The folder to make; it must not exist
    #[arg(value_name = "DEST", value_hint = ValueHint::DirPath, required_unless_present = "push")]
    pub destination: Option<PathBuf>,
    /// As it was at this time [default: as it was last seen]
    #[arg(long, value_name = "TIME")]
    pub at: Option<Moment>,
    /// As this run left it; `latest` for the newest
    #[arg(long, value_name = "ID", conflicts_with = "at")]
    pub run: Option<WantedRun>,
    /// A working tree instead of a bare repository
    #[arg(long, requires = "destination")]
    pub checkout: bool,
    /// Only this branch, or the ref with this full name; may be repeated
    #[arg(long = "branch", value_name = "BRANCH")]
    pub branches: Vec<String>,
    /// Only this file or folder of HEAD or --branch, as git stores it, as DEST/PATH and without history; may be repeated
    #[arg(long = "path", value_name = "PATH", value_parser = tree_path, conflicts_with_all = ["checkout", "push"])]
    pub paths: Vec<PathBuf>,
    /// Fails if any ref or file cannot be restored whole, instead of restoring the others
    #[arg(long)]
    pub strict: bool,
    /// Leaves out the contents of large files (Git LFS): pointers stand for them
    #[arg(long)]
    pub without_large_files: bool,
    /// The wiki instead of the code
    #[arg(long)]
    pub wiki: bool,
    /// Sends it to this new, empty repository, over HTTPS
    #[arg(long, value_name = "URL", value_hint = ValueHint::Url)]
    pub push: Option<url::Url>,
    /// With --push: sends pull requests, too, as refs/restored/pull/*
    #[arg(long, requires = "push")]
    pub pull_requests: bool,
}

/// Arguments of `ghbk verify`.
#[derive(Clone, Debug, Args)]
pub struct VerifyArgs {
    /// Verifies only these; a number is a repository's id
    #[arg(value_name = "OWNER/REPO")]
    pub repositories: Vec<Typed<Wanted>>,
    /// Hashes every object, too
    #[arg(long)]
    pub deep: bool,
}

/// Arguments of `ghbk adopt`.
#[derive(Clone, Debug, Args)]
pub struct AdoptArgs {
    /// Adopts only these clones, which lie on the store
    #[arg(value_name = "CLONE", value_hint = ValueHint::DirPath)]
    pub clones: Vec<PathBuf>,
    /// Says which repository the clone is of
    #[arg(long = "as", value_name = "OWNER/REPO", requires = "clones")]
    pub name: Option<FullName>,
    /// Lists them and does nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// Arguments of `ghbk forget`.
#[derive(Clone, Debug, Args)]
pub struct ForgetArgs {
    /// The repository; a number is its id
    #[arg(value_name = "OWNER/REPO")]
    pub repository: Typed<Wanted>,
    /// Forgets the mirror of its wiki alone
    #[arg(long)]
    pub wiki: bool,
}

/// Arguments of `ghbk accept`.
#[derive(Clone, Debug, Args)]
pub struct AcceptArgs {
    /// The repository; a number is its id
    #[arg(value_name = "OWNER/REPO")]
    pub repository: Typed<Wanted>,
    /// Only these, by their ids (SHA-256)
    #[arg(value_name = "OID")]
    pub files: Vec<LfsOid>,
}

/// Arguments of `ghbk check`.
#[derive(Clone, Debug, Args)]
pub struct CheckArgs {
    /// Sends a test message to Slack
    #[arg(long)]
    pub slack: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definitions_are_consistent() {
        Cli::command().debug_assert();
    }
}
