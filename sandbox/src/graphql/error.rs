//! Errors in GitHub's form: with a `type` beside the message.

use apollo_compiler::resolvers::FieldError;
use apollo_compiler::response::GraphQLError;
use serde_json::{Value, json};

/// Stands between the type and the message of an error on its way through the executor, which knows messages only.
const SEPARATOR: char = '\u{1f}';

/// Returns an error of a type such as `NOT_FOUND`.
pub(super) fn typed(kind: &str, message: &str) -> FieldError {
    FieldError { message: format!("{kind}{SEPARATOR}{message}") }
}

/// Returns an error as GitHub shows it.
pub(super) fn shown(error: &GraphQLError) -> Value {
    let (kind, message) = match error.message.split_once(SEPARATOR) {
        Some((kind, message)) => (Some(kind), message),
        None => (None, error.message.as_str()),
    };
    let mut shown = json!({"message": message});
    if let Some(kind) = kind {
        shown["type"] = kind.into();
    }
    if !error.path.is_empty() {
        shown["path"] = json!(error.path);
    }
    if !error.locations.is_empty() {
        shown["locations"] = json!(error.locations);
    }
    shown
}
