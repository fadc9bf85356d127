//! Sends a message to Slack's incoming webhook.
//!
//! What a newcomer would get wrong: the webhook's address is a secret, and it is in every error of an HTTP client;
//! errors here say what Slack answered and nothing else.

use std::time::Duration;

use reqwest::StatusCode;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use crate::text::{chain, printable, redact};

/// Slack answers within a second.
const TIMEOUT: Duration = Duration::from_secs(20);
const ATTEMPTS: u32 = 3;
/// Slack allows about one message a second.
const PAUSE: Duration = Duration::from_secs(1);
const RETRY_AFTER_MAX: Duration = Duration::from_secs(30);

/// Says why a message did not arrive.
#[derive(Debug, thiserror::Error)]
pub enum SlackError {
    /// Slack refused it.
    #[error("Slack answered {status}: {reason}")]
    Refused {
        /// The status.
        status: StatusCode,
        /// Slack's own word, such as `channel_is_archived`.
        reason: String,
    },
    /// It could not be sent.
    #[error("Slack cannot be reached: {0}")]
    Unreachable(String),
}

/// Sends a message; tries again when Slack is busy.
///
/// # Errors
/// [`SlackError`], without the address.
pub async fn send(http: &reqwest::Client, webhook_url: &SecretString, message: &Value) -> Result<(), SlackError> {
    let mut attempt = 1;
    loop {
        let (error, pause) = match send_once(http, webhook_url, message).await {
            Ok(()) => return Ok(()),
            Err((error, pause)) => (error, pause),
        };
        let Some(pause) = pause.filter(|_| attempt < ATTEMPTS) else { return Err(error) };
        attempt += 1;
        tokio::time::sleep(pause).await;
    }
}

/// Sends once; a failure comes with the pause after which another attempt makes sense.
async fn send_once(
    http: &reqwest::Client,
    webhook_url: &SecretString,
    message: &Value,
) -> Result<(), (SlackError, Option<Duration>)> {
    let unreachable = |error: reqwest::Error| (SlackError::Unreachable(chain(&error.without_url())), Some(PAUSE));
    let request = http.post(webhook_url.expose_secret()).timeout(TIMEOUT).json(message);
    let response = request.send().await.map_err(unreachable)?;
    let status = response.status();
    if status.is_success() {
        return Ok(());
    }
    let retry_after = response.headers().get("retry-after").and_then(|value| value.to_str().ok()?.parse().ok());
    // A proxy's error page may quote the address.
    let reason = beginning_of(response).await;
    let reason = redact(&reason, webhook_url);
    let pause = match status {
        StatusCode::TOO_MANY_REQUESTS => Some(retry_after.map_or(PAUSE, Duration::from_secs).min(RETRY_AFTER_MAX)),
        status if status.is_server_error() => Some(PAUSE),
        _ => None,
    };
    Err((SlackError::Refused { status, reason: printable(&reason, 100) }, pause))
}

/// Slack answers in a word.
const REASON_MAX_BYTES: usize = 8 * 1024;

/// Reads the first bytes of an answer; what comes after them, or cannot be read, explains nothing.
async fn beginning_of(mut response: reqwest::Response) -> String {
    let mut body = Vec::new();
    while body.len() < REASON_MAX_BYTES
        && let Ok(Some(chunk)) = response.chunk().await
    {
        body.extend_from_slice(&chunk);
    }
    body.truncate(REASON_MAX_BYTES);
    String::from_utf8_lossy(&body).into_owned()
}
