//! Conditional requests: an answer that the client has already is not sent again, and costs nothing.
//!
//! What a newcomer would get wrong: GitHub's `ETag` is not that of the content alone. It is the SHA-256 of
//! `Accept:Authorization:body`, so another token gets other tags for the same content.

use aws_lc_rs::digest::{SHA256, digest};
use hyper::header::{ACCEPT, AUTHORIZATION, ETAG, HeaderName, IF_NONE_MATCH};
use hyper::{HeaderMap, StatusCode};
use serde_json::Value;

use super::answer::Answer;

/// Adds the tag to an answer, and turns it into a 304 if the client has it.
pub(super) fn tagged(request: &HeaderMap, answer: Answer) -> Answer {
    let header = |name: HeaderName| request.get(name).and_then(|value| value.to_str().ok());
    let mut hashed = format!("{}:", header(ACCEPT).unwrap_or("*/*"));
    if let Some(authorization) = header(AUTHORIZATION) {
        hashed += &format!("{authorization}:");
    }
    hashed += &answer.body.to_string();
    let hash: String = digest(&SHA256, hashed.as_bytes()).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let known = header(IF_NONE_MATCH)
        .is_some_and(|tags| tags.split(',').any(|tag| tag.trim().trim_start_matches("W/").trim_matches('"') == hash));
    let mut answer = answer.header(ETAG, format!("W/\"{hash}\""));
    if known {
        answer.status = StatusCode::NOT_MODIFIED;
        answer.body = Value::Null;
    }
    answer
}
