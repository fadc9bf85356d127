//! Errors in GitHub's form: with a `type` beside the message.

use apollo_compiler::resolvers::FieldError;
use apollo_compiler::response::GraphQLError;
use serde_json::{Value, json};

/// Stands around the type and the message of an error on its way through the executor, which knows messages only and
/// puts words of its own around them.
const SEPARATOR: char = '\u{1f}';

/// Returns an error of a type such as `NOT_FOUND`; empty stands for none.
pub(super) fn typed(kind: &str, message: &str) -> FieldError {
    FieldError { message: format!("{SEPARATOR}{kind}{SEPARATOR}{message}{SEPARATOR}") }
}

/// Returns an error as GitHub shows it.
pub(super) fn shown(error: &GraphQLError) -> Value {
    let parts: Vec<&str> = error.message.split(SEPARATOR).collect();
    let (kind, message) = match parts[..] {
        [_, kind, message, _] => (kind, message),
        _ => ("", error.message.as_str()),
    };
    let mut shown = json!({"message": message});
    if !kind.is_empty() {
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
