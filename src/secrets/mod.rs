//! Where secrets come from: Parameter Store, the environment or files, behind [`read`].
//!
//! Touches the network (SSM) or reads files; writes nothing. Secrets are read anew for every run, so a new token takes effect
//! without a restart. What a newcomer would get wrong: a newline at the end of a token makes octocrab panic, and everybody's
//! editor adds one; every secret is trimmed.

mod env;
mod file;
mod ssm;

use std::fmt;
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret, SecretString};

use crate::config::{AuthKind, Config, SecretSource};
use crate::text::keep_secret;

/// The secrets of one run; trouble with one does not affect the other.
#[derive(Debug)]
pub struct Secrets {
    /// The personal access token, or the app's private key with `auth = "app"`.
    pub github: Result<SecretString, SecretsError>,
    /// The Slack webhook's address; `None` if nobody asked for reports. Without it there is no report, and the backup continues.
    pub slack_webhook_url: Result<Option<SecretString>, SecretsError>,
}

/// Looks up an environment variable.
pub type EnvironmentOf<'a> = &'a (dyn Fn(&str) -> Option<String> + Sync);

/// Names a secret by what it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    GitHubToken,
    GitHubAppKey,
    SlackWebhookUrl,
}

/// Which secret could not be read, and how to fix that.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SecretsError {
    /// It is not there.
    #[error("no {what}: {place} does not exist")]
    Missing {
        /// What it is for.
        what: &'static str,
        /// The parameter, variable or file.
        place: String,
        /// The command that fixes it.
        hint: String,
    },
    /// No source of secrets is configured, and none is at hand.
    #[error(
        "no {what}: {variable} is not set, and neither systemd credentials nor an AWS region for Parameter Store are there"
    )]
    NowhereToLook {
        /// What it is for.
        what: &'static str,
        /// The variable that would hold it.
        variable: &'static str,
    },
    /// It is there but empty or not what it should be.
    #[error("the {what} in {place} {problem}")]
    Unusable {
        /// What it is for.
        what: &'static str,
        /// The parameter, variable or file.
        place: String,
        /// What is wrong, without the value.
        problem: &'static str,
    },
    /// The source itself does not answer.
    #[error("cannot read {place}: {reason}")]
    Unreachable {
        /// Parameter Store, or the folder of files.
        place: String,
        /// What it said.
        reason: String,
        /// What to do.
        hint: String,
    },
}

impl SecretsError {
    fn nowhere(wanted: Wanted) -> Self {
        Self::NowhereToLook { what: wanted.what(), variable: env::name(wanted) }
    }

    /// Returns what a person can do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::Missing { hint, .. } | Self::Unreachable { hint, .. } => hint.clone(),
            Self::NowhereToLook { variable, .. } => {
                format!("export {variable}=…, or set secrets.source in the configuration: `ghbk man config`")
            }
            Self::Unusable { place, .. } => format!("write only the value into {place}"),
        }
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.what())
    }
}

impl Wanted {
    fn what(self) -> &'static str {
        match self {
            Self::GitHubToken => "GitHub token",
            Self::GitHubAppKey => "GitHub App key",
            Self::SlackWebhookUrl => "Slack webhook URL",
        }
    }
}

/// A value with the place it came from, or that place alone.
struct Found {
    value: Option<SecretString>,
    place: String,
    /// How to put a missing one there.
    hint: String,
}

/// Reads one variable of the process's environment.
pub fn env_var(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Reads what a run needs. The process's environment is passed in.
pub async fn read(config: &Config, env: EnvironmentOf<'_>) -> Secrets {
    let wanted = [token_of(config), Wanted::SlackWebhookUrl];
    let [github, slack_webhook_url] = match source(config, env) {
        Source::Env => wanted.map(|wanted| settle(wanted, Ok(env::find(wanted, env)))),
        Source::File(folder) => file::find_both(wanted, &config.secrets, folder).await,
        Source::Ssm => match ssm::find(wanted, &config.secrets).await {
            Ok([first, second]) => [settle(wanted[0], Ok(first)), settle(wanted[1], Ok(second))],
            Err(error) => [Err(error.clone()), Err(error)],
        },
    };
    let slack_webhook_url = match slack_webhook_url {
        // A service that keeps its secrets elsewhere was set up for reports; someone who exports variables wants what was
        // exported.
        Err(SecretsError::Missing { .. }) if is_optional(config, env) => Ok(None),
        Err(SecretsError::NowhereToLook { .. }) if config.slack.notify.is_none() => Ok(None),
        url => url.map(Some),
    };
    Secrets { github, slack_webhook_url }
}

/// Returns why there can be no secret, if that is clear before anything is asked: no source is configured, and none is at hand.
pub async fn nowhere_to_look(config: &Config, env: EnvironmentOf<'_>) -> Option<SecretsError> {
    let is_last_resort = config.secrets.source.is_none() && matches!(source(config, env), Source::Ssm);
    let is_nowhere = is_last_resort && !ssm::has_region(&config.secrets).await;
    is_nowhere.then(|| SecretsError::nowhere(token_of(config)))
}

fn token_of(config: &Config) -> Wanted {
    match config.github.auth {
        AuthKind::Token => Wanted::GitHubToken,
        AuthKind::App => Wanted::GitHubAppKey,
    }
}

/// Returns whether the webhook may be left out without a warning.
fn is_optional(config: &Config, env: EnvironmentOf<'_>) -> bool {
    config.slack.notify.is_none() && matches!(source(config, env), Source::Env)
}

fn settle(wanted: Wanted, found: Result<Found, SecretsError>) -> Result<SecretString, SecretsError> {
    let Found { value, place, hint } = found?;
    match value {
        Some(value) => usable(wanted, &value, &place),
        None => Err(SecretsError::Missing { what: wanted.what(), place, hint }),
    }
}

/// The source to read from.
enum Source {
    Env,
    File(PathBuf),
    Ssm,
}

fn source(config: &Config, env: EnvironmentOf<'_>) -> Source {
    let folder = || config.secrets.directory.clone().or_else(|| env("CREDENTIALS_DIRECTORY").map(PathBuf::from));
    match config.secrets.source {
        Some(SecretSource::Env) => Source::Env,
        Some(SecretSource::Ssm) => Source::Ssm,
        // Without any folder the error names the one that was expected.
        Some(SecretSource::File) => Source::File(folder().unwrap_or_else(|| "$CREDENTIALS_DIRECTORY".into())),
        None if env(env::name(Wanted::GitHubToken)).is_some() || env(env::name(Wanted::GitHubAppKey)).is_some() => {
            Source::Env
        }
        // systemd sets the variable even if none of the credentials that a unit would take is there.
        None => match folder() {
            Some(folder) if config.secrets.directory.is_some() || holds_a_secret(&folder, config) => {
                Source::File(folder)
            }
            _ => Source::Ssm,
        },
    }
}

fn holds_a_secret(folder: &Path, config: &Config) -> bool {
    let names = [&config.secrets.github_token, &config.secrets.github_app_key, &config.secrets.slack_webhook_url];
    names.iter().any(|name| folder.join(name).exists())
}

/// Trims a value and refuses what cannot be one, without ever quoting it.
fn usable(wanted: Wanted, value: &SecretString, place: &str) -> Result<SecretString, SecretsError> {
    let trimmed = value.expose_secret().trim();
    let unusable = |problem| Err(SecretsError::Unusable { what: wanted.what(), place: place.to_owned(), problem });
    if trimmed.is_empty() {
        return unusable("is empty");
    }
    match wanted {
        Wanted::GitHubToken if !trimmed.bytes().all(|byte| byte.is_ascii_graphic()) => {
            return unusable("holds characters that no token has");
        }
        Wanted::SlackWebhookUrl if url::Url::parse(trimmed).is_err() => return unusable("is not a URL"),
        _ => {}
    }
    let secret = SecretString::from(trimmed);
    keep_secret(&secret);
    Ok(secret)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_trimmed_and_two_words_are_none() {
        let read = |text: &str| usable(Wanted::GitHubToken, &SecretString::from(text), "GITHUB_TOKEN");
        assert_eq!(read(" ghp_abc\n").unwrap().expose_secret(), "ghp_abc");
        for text in ["", "\n", "ghp_abc ghp_def", "ghp_\u{e9}"] {
            let error = read(text).unwrap_err().to_string();
            assert!(!error.contains("ghp_"), "an error quotes the token: {error}");
        }
    }
}
