//! What ends a command: one error with its causes, a hint, and an exit status.

use std::fmt;
use std::process::ExitCode;

use crate::config::ConfigError;
use crate::github::GitHubError;
use crate::secrets::SecretsError;
use crate::store::StoreError;

/// Ends a command.
#[derive(Clone, Debug)]
pub struct Error {
    message: String,
    hint: Option<String>,
    exit: Exit,
}

/// Says how a command ended; the numbers are a contract with scripts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// All good.
    Good,
    /// The run finished, but some repository failed.
    Partial,
    /// Usage or configuration.
    Usage,
    /// The run could not take place.
    Impossible,
    /// The daemon ends to be restarted, after an upgrade (`RestartForceExitStatus=` of its unit).
    Restart,
    /// A run is already under way (`EX_TEMPFAIL` of `sysexits.h`).
    Busy,
    /// Stopped by a signal.
    Signal(u8),
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Good => 0,
            Exit::Partial => 1,
            Exit::Usage => 2,
            Exit::Impossible => 3,
            Exit::Busy => 75,
            Exit::Restart => 76,
            Exit::Signal(number) => 128 + number,
        })
    }
}

impl Error {
    /// Makes an error.
    pub fn new(exit: Exit, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { message: message.into(), hint: Some(hint.into()), exit }
    }

    /// Returns what went wrong, without the hint.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Returns what to do about it.
    pub fn hint(&self) -> &str {
        self.hint.as_deref().unwrap_or_default()
    }

    /// Returns the exit status.
    pub fn exit(&self) -> Exit {
        self.exit
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.message)?;
        if let Some(hint) = &self.hint {
            write!(f, "\nhint: {hint}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}

impl From<ConfigError> for Error {
    fn from(error: ConfigError) -> Self {
        let hint = match &error {
            ConfigError::Unreadable { .. } => "check the path after --config",
            ConfigError::Mistakes(_) => "`ghbk man config` documents every key",
        };
        Self::new(Exit::Usage, error.to_string(), hint)
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        let exit = if matches!(error, StoreError::Locked { .. }) { Exit::Busy } else { Exit::Impossible };
        Self::new(exit, error.to_string(), error.hint())
    }
}

impl From<SecretsError> for Error {
    fn from(error: SecretsError) -> Self {
        Self::new(Exit::Impossible, error.to_string(), error.hint())
    }
}

impl From<GitHubError> for Error {
    fn from(error: GitHubError) -> Self {
        Self::new(Exit::Impossible, error.to_string(), error.hint())
    }
}
