//! Secrets from files of one folder, such as systemd's credentials (systemd.exec(5), "Credentials").

use std::path::Path;

use secrecy::SecretString;

use super::{Found, SecretsError, Wanted};
use crate::config::SecretsConfig;

pub(super) fn name(wanted: Wanted, config: &SecretsConfig) -> &str {
    match wanted {
        Wanted::GitHubToken => &config.github_token,
        Wanted::GitHubAppKey => &config.github_app_key,
        Wanted::SlackWebhookUrl => &config.slack_webhook_url,
    }
}

pub(super) fn find(wanted: Wanted, config: &SecretsConfig, folder: &Path) -> Result<Found, SecretsError> {
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
