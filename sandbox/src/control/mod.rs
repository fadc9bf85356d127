//! `/_sandbox/…`: the handle for scripts, which cannot call a Rust library.

mod issues;

use std::io::{self, ErrorKind};

use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Method, Response, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::faults::Fault;
use crate::repositories;
use crate::server::{Body, Reply};
use crate::state::State;

/// The body of `POST /_sandbox/rename`.
#[derive(Deserialize)]
struct Rename {
    from: String,
    to: String,
}

/// The body of `POST /_sandbox/delete`.
#[derive(Deserialize)]
struct Delete {
    repository: String,
}

/// The body of `POST /_sandbox/rate_limit`.
#[derive(Deserialize)]
struct Remaining {
    remaining: u32,
}

/// Answers a request below `/_sandbox`.
pub(crate) async fn answer(state: &State, method: &Method, path: &str, body: Incoming) -> Reply {
    let bytes = match body.collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) => return json(StatusCode::BAD_REQUEST, &json!({"error": error.to_string()})),
    };
    match decide(state, method, path, &bytes) {
        Ok(body) => json(StatusCode::OK, &body),
        Err(error) => {
            let status = match error.kind() {
                ErrorKind::NotFound => StatusCode::NOT_FOUND,
                ErrorKind::AlreadyExists => StatusCode::CONFLICT,
                _ => StatusCode::BAD_REQUEST,
            };
            json(status, &json!({"error": error.to_string()}))
        }
    }
}

/// Does what is asked, and returns what there is to show.
fn decide(state: &State, method: &Method, path: &str, body: &[u8]) -> io::Result<Value> {
    let folder = &state.options.repositories;
    match (method.as_str(), path.trim_matches('/')) {
        ("GET", "requests") => return Ok(json!(state.records.all())),
        ("DELETE", "requests") => state.records.clear(),
        ("GET", "traffic") => return Ok(json!(state.traffic.read())),
        ("DELETE", "traffic") => state.traffic.clear(),
        ("GET", "faults") => return Ok(json!(state.faults.all())),
        ("POST", "faults") => state.faults.add(serde_json::from_slice::<Fault>(body)?),
        ("DELETE", "faults") => state.faults.clear(),
        ("GET", "slack") => return Ok(json!(state.webhook.messages())),
        ("DELETE", "slack") => state.webhook.clear(),
        ("POST", "rename") => {
            let Rename { from, to } = serde_json::from_slice(body)?;
            repositories::rename(folder, &from, &to)?;
        }
        ("POST", "delete") => {
            let Delete { repository } = serde_json::from_slice(body)?;
            repositories::delete(folder, &repository)?;
        }
        ("POST", "issues") => return issues::change(state, body),
        ("POST", "rate_limit") => {
            let Remaining { remaining } = serde_json::from_slice(body)?;
            state.rate_limit.set_remaining(remaining);
        }
        _ => return Err(io::Error::new(ErrorKind::NotFound, format!("there is no {method} {path} here"))),
    }
    Ok(json!({"ok": true}))
}

/// Returns an answer with JSON.
fn json(status: StatusCode, body: &Value) -> Reply {
    let mut reply = Response::new(Body::whole(format!("{body}\n")));
    *reply.status_mut() = status;
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
    reply
}
