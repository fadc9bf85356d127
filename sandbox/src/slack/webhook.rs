//! The webhook's answers, in plain text as Slack gives them, and the messages it kept.

use std::sync::{Mutex, PoisonError};

use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::payload::Rules;
use crate::server::{Reply, text};

/// Describes a message that was posted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SlackMessage {
    /// The JSON that was sent.
    pub body: Value,
    /// What is wrong with it, by Slack's schema and documented limits; empty if nothing is.
    pub problems: Vec<String>,
}

/// Keeps messages and the rules they are held to.
pub(crate) struct Webhook {
    secret: String,
    rules: Rules,
    messages: Mutex<Vec<SlackMessage>>,
}

impl Webhook {
    /// Returns a webhook whose address ends with a secret.
    pub(crate) fn new(secret: String) -> Self {
        Self { secret, rules: Rules::load(), messages: Mutex::default() }
    }

    /// Returns a copy of all messages.
    pub(crate) fn messages(&self) -> Vec<SlackMessage> {
        self.messages.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Forgets all messages.
    pub(crate) fn clear(&self) {
        self.messages.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Keeps a message, and returns the status and words Slack would have for it.
    fn post(&self, bytes: &[u8]) -> (StatusCode, &'static str) {
        let Ok(body @ Value::Object(_)) = serde_json::from_slice::<Value>(bytes) else {
            return (StatusCode::BAD_REQUEST, "invalid_payload");
        };
        let answer = if !has_content(&body) {
            (StatusCode::BAD_REQUEST, "no_text")
        } else if self.rules.breaks_blocks(&body) {
            (StatusCode::BAD_REQUEST, "invalid_blocks")
        } else {
            (StatusCode::OK, "ok")
        };
        let message = SlackMessage { problems: self.rules.problems(&body), body };
        self.messages.lock().unwrap_or_else(PoisonError::into_inner).push(message);
        answer
    }
}

/// Answers a request below `/services/`.
pub(crate) async fn answer(webhook: &Webhook, method: &Method, segments: &[String], body: Incoming) -> Reply {
    let is_ours = matches!(segments, [_, team, service, secret]
        if team == "T000" && service == "B000" && *secret == webhook.secret);
    if !is_ours || method != Method::POST {
        return text(StatusCode::NOT_FOUND, "no_service");
    }
    let Ok(body) = body.collect().await else { return text(StatusCode::BAD_REQUEST, "invalid_payload") };
    let (status, words) = webhook.post(&body.to_bytes());
    text(status, words)
}

/// Tells whether there is anything to show.
fn has_content(body: &Value) -> bool {
    let has_text = body["text"].as_str().is_some_and(|text| !text.is_empty());
    let has_parts = |key: &str| body[key].as_array().is_some_and(|parts| !parts.is_empty());
    has_text || has_parts("blocks") || has_parts("attachments")
}
