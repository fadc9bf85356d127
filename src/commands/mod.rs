//! One file per verb. Commands put the rooms together, print results on standard output, and decide the exit status.

mod accept;
mod adopt;
mod check;
mod daemon;
mod destination;
mod diff;
mod export;
mod finding;
mod forget;
mod generate;
mod init;
mod list;
mod log;
mod point;
mod report_failure;
mod restore;
mod run;
mod show;
mod snapshots;
mod status;
mod verify;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use indicatif::MultiProgress;
use rustix::fs::Mode;

use crate::cli::{Cli, Command, GlobalArgs};
use crate::config::{self, Config, Overrides, StoreMode};
use crate::error::{Error, Exit};
use crate::git::wire::server::{git_base, host_of_base};
use crate::logging::{self, LogFile, Verbosity};
use crate::report::progress::BesideBars;
use crate::store::{OWN_FOLDER, Store, StoreError};
use crate::terminal;
use crate::text::{printable, quoted};
pub(crate) use finding::{find_mirrors, named};

/// Holds what every command gets.
pub(crate) struct Context {
    pub(crate) config: Arc<Config>,
    pub(crate) global: GlobalArgs,
    /// Where progress bars live; log lines are written around them.
    pub(crate) bars: MultiProgress,
}

/// Runs a command.
///
/// # Errors
/// [`Error`] with its exit status.
pub async fn dispatch(cli: Cli) -> Result<Exit, Error> {
    match cli.command {
        Command::Completions(arguments) => return generate::completions(&arguments),
        Command::Man(arguments) => return generate::man(&arguments),
        Command::Version => return generate::version(),
        Command::Init(arguments) => return init::init(cli.global, arguments).await,
        Command::ReportFailure { unit } => return report_failure::report_failure(&cli.global, &unit).await,
        _ => {}
    }
    crate::git::wire::transport::set_up_libgit2();
    let config = load_config(&cli.global)?;
    crate::zone::set(config.schedule.timezone);
    crate::text::set_invocation(invocation(&cli.global));
    refuse_other_hosts(&cli.command, &config)?;
    refuse_owners(&cli.command, &cli.global)?;
    let bars = MultiProgress::new();
    let verbosity = Verbosity { verbose: cli.global.verbose, quiet: cli.global.quiet };
    let log_file = match cli.command {
        Command::Daemon => LogFile::Required,
        Command::Run(_) | Command::Adopt(_) | Command::Forget(_) | Command::Accept(_) => LogFile::IfPermitted,
        _ => LogFile::Unused,
    };
    logging::set_up(&config.log, verbosity, log_file, BesideBars(bars.clone()))?;
    if config.store.mode == StoreMode::Private {
        // After the log, which has permissions of its own.
        rustix::process::umask(Mode::RWXG | Mode::RWXO);
    }
    let context = Context { config: Arc::new(config), global: cli.global, bars };
    match cli.command {
        Command::Run(arguments) => Box::pin(run::run(&context, arguments)).await,
        Command::Daemon => daemon::daemon(context).await,
        Command::List(arguments) => list::list(&context, arguments.repositories).await,
        Command::Status(arguments) => status::status(&context, arguments).await,
        Command::Snapshots(arguments) => snapshots::snapshots(&context, arguments).await,
        Command::Diff(arguments) => diff::diff(&context, arguments).await,
        Command::Restore(arguments) => restore::restore(&context, *arguments).await,
        Command::Show(arguments) => show::show(&context, arguments).await,
        Command::Log(arguments) => log::log(&context, arguments).await,
        Command::Export(arguments) => export::export(&context, arguments).await,
        Command::Adopt(arguments) => adopt::adopt(&context, arguments).await,
        Command::Accept(arguments) => accept::accept(&context, arguments).await,
        Command::Forget(arguments) => forget::forget(&context, arguments).await,
        Command::Verify(arguments) => verify::verify(&context, arguments).await,
        Command::Check(arguments) => check::check(&context, &arguments).await,
        Command::Completions(_)
        | Command::Man(_)
        | Command::Version
        | Command::Init(_)
        | Command::ReportFailure { .. } => Ok(Exit::Good),
    }
}

/// Runs another command, as if it had been typed.
async fn run_command(global: GlobalArgs, command: Command) -> Result<Exit, Error> {
    Box::pin(dispatch(Cli { global, command })).await
}

/// Returns the options that say which store is meant.
fn invocation(global: &GlobalArgs) -> String {
    let config = global.config.as_ref().map(|path| format!(" --config {}", quoted(path)));
    let root = global.root.as_ref().map(|path| format!(" --root {}", quoted(path)));
    [config, root].into_iter().flatten().collect()
}

/// Refuses addresses of repositories on a host other than the configured GitHub: the same name here is another repository.
fn refuse_other_hosts(command: &Command, config: &Config) -> Result<(), Error> {
    // The configuration check has already read it.
    let Ok(api_url) = config.github.api_url.parse() else { return Ok(()) };
    let base = git_base(&api_url);
    let own = host_of_base(&base);
    match command.hosts().into_iter().find(|host| !host.eq_ignore_ascii_case(own)) {
        None => Ok(()),
        Some(other) => Err(Error::new(
            Exit::Usage,
            format!("the address is on {}, and the configured GitHub is {own}", printable(other, 100)),
            "for another GitHub set github.api_url",
        )),
    }
}

/// Refuses `--owner` where it would be ignored: what is said about one owner must not be true of all.
fn refuse_owners(command: &Command, global: &GlobalArgs) -> Result<(), Error> {
    let is_ignored = matches!(
        command,
        Command::Status(_)
            | Command::Snapshots(_)
            | Command::Diff(_)
            | Command::Restore(_)
            | Command::Show(_)
            | Command::Log(_)
            | Command::Export(_)
            | Command::Verify(_)
            | Command::Forget(_)
            | Command::Accept(_)
    );
    if is_ignored && !global.owner.is_empty() {
        let message = "--owner says what is backed up; this command looks at the store";
        return Err(Error::new(Exit::Usage, message, "leave it out, or name repositories: OWNER/REPO"));
    }
    Ok(())
}

/// Reads the configuration as the command line asks.
pub(crate) fn load_config(global: &GlobalArgs) -> Result<Config, Error> {
    let (path, required) = global.config_file();
    let overrides = Overrides { root: global.root.clone(), owners: global.owner.clone() };
    // A variable that is not UTF-8 cannot be one of ours.
    let env =
        std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let config = config::load(Some((&path, required)), env, &overrides)?;
    crate::memory::set_limit(config.limits.memory);
    Ok(config)
}

/// Refuses to go on without anything to back up.
pub(crate) fn require_owners(config: &Config) -> Result<(), Error> {
    if config.github.owners.is_empty() {
        return Err(Error::new(
            Exit::Usage,
            "no owner is configured",
            "name organisations or users: github.owners in the configuration, --owner NAME, or `ghbk run OWNER/REPO`",
        ));
    }
    Ok(())
}

/// Prints a result on standard output, for people.
pub(crate) fn print(text: &str) -> Result<(), Error> {
    printed(terminal::write(&mut io::stdout().lock(), text))
}

/// Prints what is made for programs on standard output, unchanged.
pub(crate) fn print_raw(text: &str) -> Result<(), Error> {
    let mut out = io::stdout().lock();
    printed(out.write_all(text.as_bytes()).and_then(|()| out.flush()))
}

/// A reader that went away (`| head`) is not an error.
fn printed(result: io::Result<()>) -> Result<(), Error> {
    match result {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Error::new(
            Exit::Impossible,
            format!("cannot write to standard output: {error}"),
            "check where it is redirected to",
        )),
        _ => Ok(()),
    }
}

/// Prints a result as JSON.
pub(crate) fn print_json(value: &impl serde::Serialize) -> Result<(), Error> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|error| Error::new(Exit::Impossible, format!("cannot write JSON: {error}"), "please report this"))?;
    print_raw(&format!("{text}\n"))
}

impl Context {
    /// Prints how a command ended: for programs with `--json`, else for people. With `-q` a good end is silent, and a bad one
    /// goes to standard error, where cron and `>/dev/null` leave it.
    pub(crate) fn conclude(
        &self,
        result: &impl serde::Serialize,
        is_good: bool,
        text: impl FnOnce() -> String,
    ) -> Result<(), Error> {
        match (self.global.json, self.global.quiet) {
            (true, _) => print_json(result),
            (false, true) if is_good => Ok(()),
            (false, true) => printed(terminal::write(&mut io::stderr().lock(), &text())),
            (false, false) => print(&text()),
        }
    }
}

/// Makes the root for people who name one on the command line or keep it in a plain folder.
///
/// # Errors
/// [`Error`] if it would lie in a store or in a git repository: a mistyped path must not start a second store inside a mirror.
pub(crate) fn create_plain_root(config: &Config, given_on_command_line: bool) -> Result<(), Error> {
    let root: &PathBuf = &config.store.root;
    let is_store = root.join(OWN_FOLDER).exists();
    let is_repository = |folder: &Path| ["HEAD", "objects", "refs"].iter().all(|name| folder.join(name).exists());
    let around = root.ancestors().find(|folder| {
        is_repository(folder) || folder.join(".git").exists() || (*folder != root && folder.join(OWN_FOLDER).exists())
    });
    if let Some(around) = around.filter(|_| !is_store) {
        let what = if around.join(OWN_FOLDER).exists() { "the store" } else { "the git repository" };
        let message = format!("{} lies in {what} {}", root.display(), around.display());
        return Err(Error::new(Exit::Usage, message, "name another folder with --root or store.root"));
    }
    if given_on_command_line && !config.store.requires_mount() && !root.exists() {
        std::fs::create_dir_all(root).map_err(StoreError::io("create", root))?;
    }
    if !is_store && root.exists() {
        tracing::info!("a new store is made in {}", root.display());
    }
    Ok(())
}

/// Opens the store for a command that only reads.
pub(crate) fn open_store(config: &Config) -> Result<Store, StoreError> {
    Store::open(&config.store)
}
