//! Secrets from files in one folder, such as systemd's credentials (systemd.exec(5), "Credentials").

use std::path::{Path, PathBuf};
use std::time::Duration;

use secrecy::SecretString;

use super::{Found, SecretsError, Wanted, settle};
use crate::config::SecretsConfig;

pub(super) fn name(wanted: Wanted, config: &SecretsConfig) -> &str {
    match wanted {
        Wanted::GitHubToken => &config.github_token,
        Wanted::GitHubAppKey => &config.github_app_key,
        Wanted::SlackWebhookUrl => &config.slack_webhook_url,
    }
}

/// How long to wait for a file on a mount that hangs, or a FIFO that nobody writes to.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Reads both secrets, on a thread of its own.
pub(super) async fn find_both(
    wanted: [Wanted; 2],
    config: &SecretsConfig,
    folder: PathBuf,
) -> [Result<SecretString, SecretsError>; 2] {
    let (config, place) = (config.clone(), format!("the secrets in {}", folder.display()));
    let read = move || wanted.map(|wanted| settle(wanted, find(wanted, &config, &folder)));
    let failed = |reason: String| {
        let hint = "see what is there: a file on a mount that hangs, or a FIFO that nobody writes to?".to_owned();
        let error = SecretsError::Unreachable { place: place.clone(), reason, hint };
        [Err(error.clone()), Err(error)]
    };
    match tokio::time::timeout(TIMEOUT, tokio::task::spawn_blocking(read)).await {
        Ok(Ok(found)) => found,
        Ok(Err(error)) => failed(error.to_string()),
        Err(_) => failed(format!("nothing could be read within {} s", TIMEOUT.as_secs())),
    }
}

fn find(wanted: Wanted, config: &SecretsConfig, folder: &Path) -> Result<Found, SecretsError> {
    let name = name(wanted, config);
    let path = folder.join(name);
    let place = format!("the file {}", path.display());
    let value = match std::fs::read_to_string(&path) {
        Ok(text) => Some(SecretString::from(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => {
            return Err(SecretsError::Unreachable {
                place,
                reason: error.to_string(),
                hint: "let the user that ghbk runs as read it".to_owned(),
            });
        }
    };
    let hint = format!("write the value into {}, or LoadCredential={name}:PATH in the unit", path.display());
    Ok(Found { value, place, hint })
}
