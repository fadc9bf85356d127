//! What a person can set: types, defaults and meaning. Pure; reading and complaining is [`mod@load`].
//!
//! The structs are the one source of truth: a key exists because a field exists. Whoever adds a field adds it to
//! `config.example.toml` too; a test compares them.

mod check;
mod load;
mod problem;
pub mod template;

use std::path::{Path, PathBuf};
use std::time::Duration;

use bytesize::ByteSize;
use serde::Deserialize;

pub use check::check_server_url;
pub(crate) use load::from_home;
#[cfg(any(test, fuzzing))]
pub(crate) use load::load_text;
pub use load::{Overrides, load};
pub use problem::{ConfigError, ConfigProblem, Place};

/// Where the configuration lies unless `--config` says otherwise.
pub const DEFAULT_CONFIG_PATH: &str = "/etc/ghbk/config.toml";

/// Holds the whole configuration.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The folder that holds the mirrors.
    pub store: StoreConfig,
    /// What to back up, and how to speak to GitHub.
    pub github: GitHubConfig,
    /// When the daemon runs.
    pub schedule: ScheduleConfig,
    /// Where the token and the webhook come from.
    pub secrets: SecretsConfig,
    /// How much at once, how fast, how long.
    pub limits: LimitsConfig,
    /// Contents that Git LFS keeps beside git.
    pub large_files: LargeFilesConfig,
    /// What people wrote beside git.
    pub metadata: MetadataConfig,
    /// How the store proves itself.
    pub verify: VerifyConfig,
    /// How long history is kept.
    pub retention: RetentionConfig,
    /// Reports to Slack.
    pub slack: SlackConfig,
    /// Logs.
    pub log: LogConfig,
    /// Whether `--owner` leaves out owners that are configured: a run is then not one over everything.
    #[serde(skip)]
    pub is_narrowed: bool,
}

impl Config {
    /// Returns every path, as it was written.
    fn paths(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        let optional = [&mut self.github.ca_file, &mut self.secrets.directory, &mut self.log.file];
        [&mut self.store.root, &mut self.store.scratch].into_iter().chain(optional.into_iter().flatten())
    }
}

/// Describes the store and the scratch space.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StoreConfig {
    /// The root folder of the store.
    pub root: PathBuf,
    /// Refuses a root that is not a mount point; see [`StoreConfig::requires_mount`] for the default.
    pub require_mount: Option<bool>,
    /// Local disk on which packs are built before they are published.
    pub scratch: PathBuf,
    /// A mirror with more packs than this has its small ones merged.
    pub packs_max: usize,
    /// Who may read what ghbk writes: mirrors, records, restores, scratch.
    pub mode: StoreMode,
}

/// Says who may read what ghbk writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StoreMode {
    /// Its owner: folders are 0700 and files 0600, whatever the umask.
    #[default]
    Private,
    /// Whoever the umask of the process allows.
    Umask,
}

/// The mount point of the deployment, the one root that must be a mount unless told otherwise.
const EFS_ROOT: &str = "/mnt/efs";

impl Default for StoreConfig {
    fn default() -> Self {
        // Not /tmp: it is memory on Amazon Linux, and a pack can be larger than that.
        Self {
            root: EFS_ROOT.into(),
            require_mount: None,
            scratch: "/var/tmp".into(),
            packs_max: 20,
            mode: StoreMode::Private,
        }
    }
}

impl StoreConfig {
    /// Says whether the root has to be mounted: as configured, else true for `/mnt/efs` and below.
    pub fn requires_mount(&self) -> bool {
        self.require_mount.unwrap_or_else(|| self.root.starts_with(EFS_ROOT))
    }

    /// Returns the folder that has to be a mount point: the root, or `/mnt/efs` for a root below it.
    pub fn mount_point(&self) -> &Path {
        if self.root.starts_with(EFS_ROOT) { Path::new(EFS_ROOT) } else { &self.root }
    }
}

/// Describes what to back up from GitHub.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a key of its own")]
pub struct GitHubConfig {
    /// Organisations and users; `@me`: the token's own repositories; `@installation`: those of the GitHub App.
    pub owners: Vec<String>,
    /// The REST API's root; the git server's address follows from it.
    pub api_url: String,
    /// A file of certificates (PEM) that are trusted beside the system's.
    pub ca_file: Option<PathBuf>,
    /// How ghbk proves who it is.
    pub auth: AuthKind,
    /// The GitHub App's id, with `auth = "app"`.
    pub app_id: Option<u64>,
    /// The installation's id, with `auth = "app"`.
    pub installation_id: Option<u64>,
    /// Globs over `OWNER/NAME`; one must match.
    pub include: Vec<String>,
    /// Globs over `OWNER/NAME`; none may match.
    pub exclude: Vec<String>,
    /// Globs over full names of refs, as in `refs/changes/*`; those that match are not mirrored.
    pub refs_exclude: Vec<String>,
    /// Whether forks are backed up.
    pub forks: bool,
    /// Whether archived repositories are backed up.
    pub archived: bool,
    /// Whether wikis are backed up.
    pub wikis: bool,
    /// Whether GitHub may count more repositories than it lists, as for a token with selected repositories.
    pub allow_short_listing: bool,
}

impl Default for GitHubConfig {
    fn default() -> Self {
        Self {
            owners: Vec::new(),
            api_url: "https://api.github.com".to_owned(),
            ca_file: None,
            auth: AuthKind::Token,
            app_id: None,
            installation_id: None,
            include: vec!["*".to_owned()],
            exclude: Vec::new(),
            refs_exclude: Vec::new(),
            forks: true,
            archived: true,
            wikis: true,
            allow_short_listing: false,
        }
    }
}

/// Chooses between a personal token and a GitHub App.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AuthKind {
    /// A personal access token, classic or fine-grained.
    Token,
    /// A GitHub App's installation.
    App,
}

/// Says when the daemon runs.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ScheduleConfig {
    /// Six fields: second, minute, hour, day of month, month, day of week; or the five of crontab(5), or `@weekly`.
    pub cron: String,
    /// The time zone of `cron`, and of every time that people read or write; the machine's unless it is set.
    pub timezone: chrono_tz::Tz,
    /// Whether a run that was missed while the daemon was down is made up for at start.
    pub catch_up: bool,
    /// How long to wait before each retry of what failed; empty: until the next due time.
    #[serde(deserialize_with = "durations")]
    pub retry: Vec<Duration>,
}

/// Reads durations as people write them.
fn durations<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Vec<Duration>, D::Error> {
    let written: Vec<humantime_serde::Serde<Duration>> = Deserialize::deserialize(from)?;
    Ok(written.into_iter().map(humantime_serde::Serde::into_inner).collect())
}

impl Default for ScheduleConfig {
    fn default() -> Self {
        Self {
            cron: "0 0 5 * * Sun".to_owned(),
            timezone: crate::zone::of_machine(),
            catch_up: true,
            retry: vec![Duration::from_mins(30), Duration::from_hours(2), Duration::from_hours(6)],
        }
    }
}

/// Says where secrets come from and what they are called there.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SecretsConfig {
    /// The place; when not set, the first that is there: `GITHUB_TOKEN`, `$CREDENTIALS_DIRECTORY`, SSM.
    pub source: Option<SecretSource>,
    /// The folder of `source = "file"`; when not set, `$CREDENTIALS_DIRECTORY`.
    pub directory: Option<PathBuf>,
    /// The AWS region of `source = "ssm"`; when not set, the instance's or `AWS_REGION`.
    pub region: Option<String>,
    /// The parameter's or file's name of the token.
    pub github_token: String,
    /// The parameter's or file's name of the Slack webhook's address.
    pub slack_webhook_url: String,
    /// The parameter's or file's name of the GitHub App's private key (PEM).
    pub github_app_key: String,
}

impl Default for SecretsConfig {
    fn default() -> Self {
        Self {
            source: None,
            directory: None,
            region: None,
            github_token: "github-token".to_owned(),
            slack_webhook_url: "slack-webhook-url".to_owned(),
            github_app_key: "github-app-key".to_owned(),
        }
    }
}

/// Names a place that keeps secrets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SecretSource {
    /// AWS Systems Manager Parameter Store.
    Ssm,
    /// Environment variables.
    Env,
    /// Files in a folder, such as systemd's credentials.
    File,
}

/// Bounds what a run does at once, how fast and for how long.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsConfig {
    /// Repositories mirrored at the same time; from 8 on, four small ones (up to 1 MiB) take the place of one.
    pub concurrency: usize,
    /// Requests to the REST API in a minute.
    pub api_requests_per_minute: u32,
    /// Requests to the git server in a minute; none: as fast as it answers without refusing.
    pub git_operations_per_minute: Option<u32>,
    /// Bytes received from the git server in a second, all repositories together; none: as fast as it goes.
    pub bandwidth: Option<ByteSize>,
    /// How large a repository may be: what one answer of the git server may hold.
    pub repository_size: ByteSize,
    /// How large one object in a received pack may be, unpacked: each is in memory as a whole for a moment.
    pub object_size: ByteSize,
    /// Memory that unpacking may take, all repositories together; none: half of what the machine or its control group has.
    pub memory: Option<ByteSize>,
    /// How long one repository (with its wiki) may take.
    #[serde(with = "humantime_serde")]
    pub repository_timeout: Duration,
    /// Large files downloaded at the same time; of those of 64 MiB and more, four.
    pub large_file_downloads: usize,
    /// How long the large files of one repository may take; what is left is for the next run.
    #[serde(with = "humantime_serde")]
    pub large_files_timeout: Duration,
    /// How long a connection may bring nothing before it counts as dead.
    #[serde(with = "humantime_serde")]
    pub stall_timeout: Duration,
    /// How often a transient failure is tried again.
    pub retries: u32,
    /// How long a run waits in all when GitHub says that its limit is used up.
    #[serde(with = "humantime_serde")]
    pub rate_limit_wait: Duration,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            concurrency: 8,
            // GitHub documents 900 points a minute; a GET is one point, and others may use the same token.
            api_requests_per_minute: 600,
            // GitHub documents none for git over HTTPS.
            git_operations_per_minute: None,
            bandwidth: None,
            // GitHub recommends 10 GB at most.
            repository_size: ByteSize::gib(20),
            // GitHub refuses files above 100 MiB; self-hosted servers may allow more.
            object_size: ByteSize::mib(512),
            memory: None,
            repository_timeout: Duration::from_hours(2),
            large_file_downloads: 32,
            large_files_timeout: Duration::from_hours(12),
            stall_timeout: Duration::from_mins(1),
            retries: 4,
            // The primary limit resets once an hour.
            rate_limit_wait: Duration::from_mins(70),
        }
    }
}

/// Says which large files are backed up.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LargeFilesConfig {
    /// Whether any are.
    pub enabled: bool,
    /// Globs over `OWNER/NAME`; one must match.
    pub include: Vec<String>,
    /// Globs over `OWNER/NAME`; none may match.
    pub exclude: Vec<String>,
    /// How large a file may be; none: as large as the server takes.
    pub max_size: Option<ByteSize>,
    /// Hosts beside GitHub's that `.lfsconfig` may name; they are asked without a token.
    pub servers: Vec<String>,
}

impl Default for LargeFilesConfig {
    fn default() -> Self {
        Self { enabled: true, include: vec!["*".to_owned()], exclude: Vec::new(), max_size: None, servers: Vec::new() }
    }
}

/// Says what is backed up of what people wrote beside git.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MetadataConfig {
    /// The kinds that are backed up; empty: none.
    pub kinds: Vec<MetadataKind>,
    /// Globs over `OWNER/NAME`; one must match.
    pub include: Vec<String>,
    /// Globs over `OWNER/NAME`; none may match.
    pub exclude: Vec<String>,
    /// The time in which everything is read again once, for what GitHub changes without a date.
    #[serde(with = "humantime_serde")]
    pub full_every: Duration,
    /// How long the metadata of one repository may take.
    #[serde(with = "humantime_serde")]
    pub timeout: Duration,
}

impl Default for MetadataConfig {
    fn default() -> Self {
        Self {
            kinds: vec![MetadataKind::Issues],
            include: vec!["*".to_owned()],
            exclude: Vec::new(),
            full_every: Duration::from_hours(4 * 7 * 24),
            timeout: Duration::from_hours(12),
        }
    }
}

/// Names a kind of metadata.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MetadataKind {
    /// Issues and pull requests, with comments, reviews, timelines, labels and milestones.
    Issues,
}

/// Says when Slack hears of a run.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SlackConfig {
    /// After which runs a message is sent; none: after all, if there is a webhook.
    pub notify: Option<Notify>,
}

/// Chooses the runs that are reported to Slack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Notify {
    /// Every run.
    Always,
    /// Runs that failed in whole or in part, or that have warnings.
    Failure,
    /// None.
    Never,
}

/// Says how the store proves itself.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct VerifyConfig {
    /// The time in which every object of the store is read and hashed once, a share in each run.
    #[serde(with = "humantime_serde")]
    pub full_every: Duration,
    /// Whether each run restores one repository into scratch, and compares.
    pub restore: bool,
}

impl Default for VerifyConfig {
    fn default() -> Self {
        Self { full_every: Duration::from_hours(12 * 7 * 24), restore: true }
    }
}

/// Says how long history that GitHub no longer has is kept.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RetentionConfig {
    /// Snapshots and kept tips that are older are dropped when packs are merged; none: never.
    #[serde(with = "humantime_serde")]
    pub keep: Option<Duration>,
}

/// Describes the logs, which go to standard error.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogConfig {
    /// How lines look on standard error.
    pub format: LogFormat,
    /// The least severe level that is written.
    pub level: LogLevel,
    /// A file that gets every line as JSON as well.
    pub file: Option<PathBuf>,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { format: LogFormat::Auto, level: LogLevel::Info, file: None }
    }
}

/// Chooses how log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Structured when standard error is the journal, text otherwise.
    Auto,
    /// Readable lines.
    Text,
    /// One JSON object a line.
    Json,
}

/// Names a level of severity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the names say it")]
pub enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}
