//! Logs: to standard error as people or the journal read them, and to a file as JSON.
//!
//! What a newcomer would get wrong: libraries log at debug what they send, headers included. Their levels are capped
//! whatever `-v` says, so that a token never reaches a log.

use std::fs::OpenOptions;
use std::io::{ErrorKind, IsTerminal};
use std::sync::{Arc, Mutex};

use chrono::Utc;
use tracing::Level;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry};

use crate::config::{LogConfig, LogFormat, LogLevel};
use crate::error::{Error, Exit};
use crate::terminal::has_colour;
use crate::zone::shown_to_the_second;

/// How talkative the command line asks to be.
#[derive(Clone, Copy, Debug)]
pub struct Verbosity {
    /// How often `-v` was given.
    pub verbose: u8,
    /// Whether `-q` was given.
    pub quiet: bool,
}

/// What a command does with `log.file`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFile {
    /// A service must write it: alarms are made from it.
    Required,
    /// It is written if this user may; a person at a terminal may be another user than the service.
    IfPermitted,
    /// A command that only looks leaves it alone.
    Unused,
}

/// The target of lines for the journal and files; a person at a terminal sees the same in another way.
pub const JOURNAL: &str = "ghbk::journal";

/// Stamps lines on a terminal in the zone of everything else that people read.
struct LocalTime;

impl FormatTime for LocalTime {
    fn format_time(&self, writer: &mut Writer<'_>) -> std::fmt::Result {
        write!(writer, "{}", shown_to_the_second(Utc::now()))
    }
}

type BoxedLayer = Box<dyn Layer<Registry> + Send + Sync>;

/// Installs the subscriber. `writer` is where text lines go, so that progress bars can make room for them.
///
/// # Errors
/// [`Error`] with exit status 2 if the log file cannot be opened.
pub fn set_up(
    config: &LogConfig,
    verbosity: Verbosity,
    log_file: LogFile,
    writer: impl for<'a> tracing_subscriber::fmt::MakeWriter<'a> + Send + Sync + 'static,
) -> Result<(), Error> {
    let level = level(config.level, verbosity);
    let filter = Targets::new()
        .with_target("ghbk", level)
        // ghbk words its failures itself, and retries before they count as failures.
        .with_target("octocrab", LevelFilter::OFF)
        .with_target("aws_config", LevelFilter::OFF)
        // What strangers write in comments is no trouble of ghbk's.
        .with_target("html5ever", LevelFilter::OFF)
        .with_default(level.min(LevelFilter::WARN));
    let mut layers: Vec<BoxedLayer> = Vec::new();
    let format = tracing_subscriber::fmt::layer();
    let journal =
        (config.format == LogFormat::Auto && stderr_is_the_journal()).then(|| tracing_journald::layer().ok()).flatten();
    match (journal, config.format) {
        (Some(journal), _) => layers.push(journal.with_syslog_identifier("ghbk".to_owned()).boxed()),
        (None, LogFormat::Json) => layers.push(format.json().flatten_event(true).with_writer(writer).boxed()),
        (None, LogFormat::Auto | LogFormat::Text) => {
            let terminal = std::io::stderr().is_terminal();
            let format = format.with_target(false).with_ansi(has_colour(&std::io::stderr())).with_writer(writer);
            let journal = if verbosity.verbose > 0 { LevelFilter::TRACE } else { LevelFilter::OFF };
            let at_terminal = Targets::new().with_target(JOURNAL, journal).with_default(LevelFilter::TRACE);
            layers.push(match (terminal, log_file) {
                (false, _) => format.boxed(),
                // A daemon runs for weeks, so its lines need the time.
                (true, LogFile::Required) => format.with_timer(LocalTime).boxed(),
                (true, _) => format.without_time().with_filter(at_terminal).boxed(),
            });
        }
    }
    let mut denied = None;
    if let Some(path) = config.file.as_ref().filter(|_| log_file != LogFile::Unused) {
        match OpenOptions::new().append(true).create(true).open(path) {
            Ok(file) => {
                let writer = Mutex::new(Arc::new(file));
                layers.push(tracing_subscriber::fmt::layer().json().flatten_event(true).with_writer(writer).boxed());
            }
            Err(error) if error.kind() == ErrorKind::PermissionDenied && log_file == LogFile::IfPermitted => {
                denied = Some(path);
            }
            Err(error) => {
                return Err(Error::new(
                    Exit::Usage,
                    format!("cannot open the log file {}: {error}", path.display()),
                    "set log.file to a file in a folder that ghbk may write to",
                ));
            }
        }
    }
    // A second set-up in one process would be a bug, and harmless.
    let _ = tracing_subscriber::registry().with(layers.with_filter(filter)).try_init();
    if let Some(path) = denied {
        tracing::info!("this user may not write the log file {}; this command is missing from it", path.display());
    }
    Ok(())
}

fn level(configured: LogLevel, verbosity: Verbosity) -> LevelFilter {
    let configured = match configured {
        LogLevel::Error => Level::ERROR,
        LogLevel::Warn => Level::WARN,
        LogLevel::Info => Level::INFO,
        LogLevel::Debug => Level::DEBUG,
        LogLevel::Trace => Level::TRACE,
    };
    LevelFilter::from_level(match verbosity {
        Verbosity { quiet: true, .. } => Level::ERROR,
        Verbosity { verbose: 0, .. } => configured,
        Verbosity { verbose: 1, .. } => configured.max(Level::DEBUG),
        Verbosity { .. } => Level::TRACE,
    })
}

/// systemd says in `$JOURNAL_STREAM` which file is the journal (systemd.exec(5)).
fn stderr_is_the_journal() -> bool {
    let Some(stream) = std::env::var("JOURNAL_STREAM").ok() else { return false };
    let Some((device, inode)) = stream.split_once(':') else { return false };
    rustix::fs::fstat(std::io::stderr())
        .is_ok_and(|status| device.parse() == Ok(status.st_dev) && inode.parse() == Ok(status.st_ino))
}
