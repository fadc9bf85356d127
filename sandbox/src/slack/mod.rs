//! A Slack incoming webhook that checks what it is sent.

mod payload;
mod webhook;

pub use webhook::SlackMessage;
pub(crate) use webhook::{Webhook, answer};
