//! The arguments of each command.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Args, ValueEnum, ValueHint};
use clap_complete::{ArgValueCompleter, Shell};

use super::complete;
use crate::config::SecretSource;
use crate::git::mirror::extract::tree_path;
use crate::git::pointer::LfsOid;
use crate::mirrors::MirrorKind;
use crate::moment::{Moment, PointInTime};
use crate::names::{FullName, Wanted, WantedRun};
use crate::typed::Typed;

/// Arguments of `ghbk run`.
#[derive(Clone, Debug, Args)]
pub struct RunArgs {
    /// Back up only these, listed or not; a number is the id of a repository that has a mirror
    #[arg(value_name = "OWNER/REPO", value_parser = to_back_up, add = ArgValueCompleter::new(complete::repositories))]
    pub repositories: Vec<Typed<Wanted>>,
    /// Back up the repository that an instance of ghbk-now@.service names: OWNER-REPO or OWNER:REPO
    #[arg(long, value_name = "NAME", conflicts_with = "repositories")]
    pub instance: Option<String>,
    /// Only show what the run would do, as `ghbk list` does
    #[arg(long, short = 'n', conflicts_with_all = ["repair", "instance", "large_files"])]
    pub dry_run: bool,
    /// Fetch them (or all mirrors known to be damaged) anew, keep what only the damaged mirrors have, and move those to
    /// .ghbk/damaged
    #[arg(long, conflicts_with = "instance")]
    pub repair: bool,
    /// Search mirrors made by an older ghbk for large files now, instead of a share in each run
    #[arg(long)]
    pub large_files: bool,
}

/// Reads what is to be backed up; an owner alone is a likely mistake.
fn to_back_up(text: &str) -> Result<Typed<Wanted>, String> {
    text.parse::<Typed<Wanted>>().map_err(|error| match crate::names::check_owner(text) {
        Ok(()) => format!("{error}; for everything that {text} has: --owner {text}"),
        Err(_) => error.to_string(),
    })
}

/// Arguments of `ghbk list`.
#[derive(Clone, Debug, Args)]
pub struct ListArgs {
    /// Show only these, whether or not GitHub lists them
    #[arg(value_name = "OWNER/REPO", value_parser = to_back_up, add = ArgValueCompleter::new(complete::repositories))]
    pub repositories: Vec<Typed<Wanted>>,
}

/// Arguments of `ghbk status`.
#[derive(Clone, Debug, Args)]
pub struct StatusArgs {
    /// Show everything about this repository; a number is its id
    #[arg(value_name = "OWNER/REPO", conflicts_with_all = ["all", "check", "sizes"], add = ArgValueCompleter::new(complete::repositories))]
    pub repository: Option<Typed<Wanted>>,
    /// List every mirror, not only those with a problem
    #[arg(long, conflicts_with = "check")]
    pub all: bool,
    /// List every mirror by size, the largest first
    #[arg(long, conflicts_with = "check")]
    pub sizes: bool,
    /// Print one line, and exit with 1 if the backup is not healthy; with -q, print nothing if it is
    #[arg(long)]
    pub check: bool,
    /// How old the last complete backup may be
    #[arg(long, value_name = "AGE", default_value = "8d", value_parser = age)]
    pub max_age: Duration,
}

/// Reads an age.
fn age(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|_| "write it with its unit, as in 8d, 36h or \"1 week\"".to_owned())
}

/// Which mirror of a repository is meant.
#[derive(Clone, Copy, Debug, Args)]
pub struct MirrorArgs {
    /// The mirror of its wiki, instead of the code's
    #[arg(long)]
    pub wiki: bool,
    /// The mirror of its issues and pull requests, instead of the code's
    #[arg(long, conflicts_with = "wiki")]
    pub metadata: bool,
}

impl MirrorArgs {
    /// Returns the mirror that is named; none if no option names one.
    pub fn named(self) -> Option<MirrorKind> {
        if self.wiki { Some(MirrorKind::Wiki) } else { self.metadata.then_some(MirrorKind::Metadata) }
    }

    /// Returns the mirror that is meant: the code's unless an option names another.
    pub fn kind(self) -> MirrorKind {
        self.named().unwrap_or(MirrorKind::Code)
    }
}

/// Arguments of `ghbk snapshots`.
#[derive(Clone, Debug, Args)]
pub struct SnapshotsArgs {
    /// The repository; a number is its id
    #[arg(value_name = "OWNER/REPO", add = ArgValueCompleter::new(complete::repositories))]
    pub repository: Typed<Wanted>,
    /// Which of its mirrors.
    #[command(flatten)]
    pub mirror: MirrorArgs,
}

/// Arguments of `ghbk diff`.
#[derive(Clone, Debug, Args)]
pub struct DiffArgs {
    /// The repository; a number is its id
    #[arg(value_name = "OWNER/REPO", add = ArgValueCompleter::new(complete::repositories))]
    pub repository: Typed<Wanted>,
    /// The earlier point: a time, or the id of a run [default: the point before TO]
    #[arg(value_name = "FROM", add = ArgValueCompleter::new(complete::runs))]
    pub from: Option<PointInTime>,
    /// The later point: a time, the id of a run, or `latest`
    #[arg(value_name = "TO", default_value = "latest", add = ArgValueCompleter::new(complete::runs))]
    pub to: PointInTime,
    /// Which of its mirrors.
    #[command(flatten)]
    pub mirror: MirrorArgs,
}

/// Arguments of `ghbk restore`.
#[derive(Clone, Debug, Args)]
#[command(group(ArgGroup::new("what").required(true).args(["repository", "all"])))]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub struct RestoreArgs {
    /// The repository; a number is its id
    #[arg(value_name = "OWNER/REPO", add = ArgValueCompleter::new(complete::repositories))]
    pub repository: Option<Typed<Wanted>>,
    /// The folder to create; it must not exist
    #[arg(value_name = "DEST", value_hint = ValueHint::DirPath, required_unless_present_any = ["push", "all"])]
    pub destination: Option<PathBuf>,
    /// Restore every repository that has a mirror, with its wiki, as DIR/OWNER/REPO
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath,
        conflicts_with_all = ["destination", "run", "branches", "paths", "push", "wiki", "metadata", "pull_requests"])]
    pub all: Option<PathBuf>,
    /// As it was at this time [default: as it was last seen]
    #[arg(long, value_name = "TIME")]
    pub at: Option<Moment>,
    /// As this run left it; `latest` for the newest
    #[arg(long, value_name = "ID", conflicts_with = "at", add = ArgValueCompleter::new(complete::runs))]
    pub run: Option<WantedRun>,
    /// Create a working tree instead of a bare repository
    #[arg(long)]
    pub checkout: bool,
    /// Only this branch, or the ref with this full name; may be repeated
    #[arg(long = "branch", value_name = "BRANCH")]
    pub branches: Vec<String>,
    /// Only this file or folder of HEAD or --branch, without history, as DEST/PATH; may be repeated
    #[arg(long = "path", value_name = "PATH", value_parser = tree_path, conflicts_with_all = ["checkout", "push"])]
    pub paths: Vec<PathBuf>,
    /// Fail if any ref or file is damaged, instead of restoring the others
    #[arg(long)]
    pub strict: bool,
    /// Leave out the contents of large files (Git LFS), and keep their pointers
    #[arg(long)]
    pub without_large_files: bool,
    /// Which of its mirrors.
    #[command(flatten)]
    pub mirror: MirrorArgs,
    /// Send it to this new, empty repository, over HTTPS
    #[arg(long, value_name = "URL", value_hint = ValueHint::Url, value_parser = push_address, conflicts_with = "checkout")]
    pub push: Option<url::Url>,
    /// With --push: send pull requests, too, as refs/restored/pull/*
    #[arg(long, requires = "push")]
    pub pull_requests: bool,
}

/// Arguments of `ghbk show`.
#[derive(Clone, Debug, Args)]
pub struct ShowArgs {
    /// The repository; a number is its id
    #[arg(value_name = "OWNER/REPO", add = ArgValueCompleter::new(complete::repositories))]
    pub repository: Typed<Wanted>,
    /// The issue or pull request; without it, all are listed
    #[arg(value_name = "NUMBER", value_parser = number)]
    pub number: Option<u64>,
    /// As it was at this time [default: as it was last seen]
    #[arg(long, value_name = "TIME")]
    pub at: Option<Moment>,
    /// List only those in this state
    #[arg(long, value_name = "STATE", default_value = "all", conflicts_with = "number")]
    pub state: ListedState,
    /// List only those with this label; may be repeated, for those with all of them
    #[arg(long = "label", value_name = "LABEL", conflicts_with = "number")]
    pub labels: Vec<String>,
    /// List only those with all of these words in their titles
    #[arg(long, value_name = "WORDS", conflicts_with = "number")]
    pub search: Option<String>,
}

/// Which issues and pull requests are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ListedState {
    /// Those that are open.
    Open,
    /// Those that are closed or merged.
    Closed,
    /// All.
    All,
}

/// Arguments of `ghbk log`.
#[derive(Clone, Debug, Args)]
pub struct LogArgs {
    /// The repository; a number is its id
    #[arg(value_name = "OWNER/REPO", add = ArgValueCompleter::new(complete::repositories))]
    pub repository: Typed<Wanted>,
    /// The issue or pull request
    #[arg(value_name = "NUMBER", value_parser = number)]
    pub number: u64,
}

/// Arguments of `ghbk export`.
#[derive(Clone, Debug, Args)]
pub struct ExportArgs {
    /// The repository; a number is its id
    #[arg(value_name = "OWNER/REPO", add = ArgValueCompleter::new(complete::repositories))]
    pub repository: Typed<Wanted>,
    /// The folder to create; it must not exist
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub destination: PathBuf,
    /// As it was at this time [default: as it was last seen]
    #[arg(long, value_name = "TIME")]
    pub at: Option<Moment>,
    /// What to write
    #[arg(long, value_name = "FORMAT", default_value = "html")]
    pub format: ExportFormat,
}

/// In which form metadata is exported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ExportFormat {
    /// Pages for a browser, without network and without scripts
    Html,
    /// A Markdown file for each number, and an index
    Markdown,
    /// One line of JSON for each number
    Jsonl,
}

/// Reads the number of an issue, as `123` or `#123`.
fn number(text: &str) -> Result<u64, String> {
    let number = text.strip_prefix('#').unwrap_or(text).parse().ok().filter(|number| *number > 0);
    number.ok_or_else(|| "it is not the number of an issue or pull request, such as 123".to_owned())
}

/// Reads where a repository is sent.
fn push_address(text: &str) -> Result<url::Url, String> {
    text.parse().map_err(|_| {
        "it is not the address of a repository over HTTPS, such as https://github.com/acme/site-restored.git".to_owned()
    })
}

/// Arguments of `ghbk verify`.
#[derive(Clone, Debug, Args)]
pub struct VerifyArgs {
    /// Verify only these; a number is a repository's id
    #[arg(value_name = "OWNER/REPO", add = ArgValueCompleter::new(complete::repositories))]
    pub repositories: Vec<Typed<Wanted>>,
    /// Hash every object, too
    #[arg(long)]
    pub deep: bool,
}

/// Arguments of `ghbk adopt`.
#[derive(Clone, Debug, Args)]
pub struct AdoptArgs {
    /// Adopt only these clones, which must lie on the store
    #[arg(value_name = "CLONE", value_hint = ValueHint::DirPath)]
    pub clones: Vec<PathBuf>,
    /// The repository that the clone is of
    #[arg(long = "as", value_name = "OWNER/REPO", requires = "clones")]
    pub name: Option<FullName>,
    /// List the clones, and change nothing
    #[arg(long, short = 'n')]
    pub dry_run: bool,
}

/// Arguments of `ghbk forget`.
#[derive(Clone, Debug, Args)]
pub struct ForgetArgs {
    /// The repository; a number is its id
    #[arg(value_name = "OWNER/REPO", add = ArgValueCompleter::new(complete::repositories))]
    pub repository: Typed<Wanted>,
    /// Which of its mirrors.
    #[command(flatten)]
    pub mirror: MirrorArgs,
}

/// Arguments of `ghbk accept`.
#[derive(Clone, Debug, Args)]
pub struct AcceptArgs {
    /// The repository; a number is its id
    #[arg(value_name = "OWNER/REPO", add = ArgValueCompleter::new(complete::repositories))]
    pub repository: Typed<Wanted>,
    /// Only these, by their ids (SHA-256)
    #[arg(value_name = "OID")]
    pub files: Vec<LfsOid>,
}

/// Arguments of `ghbk init`.
#[derive(Clone, Debug, Args)]
pub struct InitArgs {
    /// Where the secrets come from
    #[arg(long, value_name = "SOURCE")]
    pub secrets: Option<SecretSource>,
    /// When the daemon runs: five fields as in crontab, six with seconds, or @weekly
    #[arg(long, value_name = "CRON")]
    pub schedule: Option<String>,
    /// The time zone of the schedule, and of every time that is shown [default: the machine's]
    #[arg(long, value_name = "ZONE")]
    pub timezone: Option<chrono_tz::Tz>,
    /// Whether Slack hears of runs
    #[arg(long, value_name = "WHEN")]
    pub slack: Option<crate::config::Notify>,
    /// Ask nothing: take what the options say, and defaults for the rest
    #[arg(long, short = 'y')]
    pub yes: bool,
    /// Write the configuration and check nothing
    #[arg(long)]
    pub no_check: bool,
}

/// Arguments of `ghbk check`.
#[derive(Clone, Debug, Default, Args)]
pub struct CheckArgs {
    /// Send a test message to Slack
    #[arg(long)]
    pub slack: bool,
}

/// Arguments of `ghbk completions`.
#[derive(Clone, Debug, Args)]
pub struct CompletionsArgs {
    /// The shell
    pub shell: Shell,
}

/// Arguments of `ghbk man`.
#[derive(Clone, Debug, Args)]
pub struct ManArgs {
    /// A command, or `config` for the configuration [default: the program's page]
    #[arg(value_name = "PAGE")]
    pub page: Option<String>,
    /// Write all pages into this folder
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, conflicts_with = "page")]
    pub out: Option<PathBuf>,
}

impl ValueEnum for SecretSource {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::Env, Self::File, Self::Ssm]
    }

    fn to_possible_value(&self) -> Option<clap::builder::PossibleValue> {
        Some(match self {
            Self::Env => clap::builder::PossibleValue::new("env").help("GITHUB_TOKEN, SLACK_WEBHOOK_URL"),
            Self::File => clap::builder::PossibleValue::new("file").help("files in a folder, as systemd's credentials"),
            Self::Ssm => clap::builder::PossibleValue::new("ssm").help("AWS Parameter Store"),
        })
    }
}

impl ValueEnum for crate::config::Notify {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::Always, Self::Failure, Self::Never]
    }

    fn to_possible_value(&self) -> Option<clap::builder::PossibleValue> {
        Some(clap::builder::PossibleValue::new(match self {
            Self::Always => "always",
            Self::Failure => "failure",
            Self::Never => "never",
        }))
    }
}
