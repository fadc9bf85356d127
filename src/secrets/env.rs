//! Secrets from environment variables.

use secrecy::SecretString;

use super::{EnvironmentOf, Found, Wanted};

pub(super) fn name(wanted: Wanted) -> &'static str {
    match wanted {
        Wanted::GitHubToken => "GITHUB_TOKEN",
        Wanted::GitHubAppKey => "GITHUB_APP_KEY",
        Wanted::SlackWebhookUrl => "SLACK_WEBHOOK_URL",
    }
}

pub(super) fn find(wanted: Wanted, env: EnvironmentOf<'_>) -> Found {
    let name = name(wanted);
    Found {
        value: env(name).map(SecretString::from),
        place: format!("the environment variable {name}"),
        hint: format!("set {name} in the environment of ghbk, or choose another secrets.source"),
    }
}
