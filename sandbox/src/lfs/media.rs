//! The host of contents, which knows signatures and no tokens.

use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::header::{ACCEPT_RANGES, AUTHORIZATION, CONTENT_RANGE, CONTENT_TYPE, HeaderValue, RANGE};
use hyper::http::request::Parts;
use hyper::{Method, Response, StatusCode};

use super::contents;
use crate::server::{Body, Reply, text};
use crate::state::State;

/// What is read at once.
const PIECE_BYTES: u64 = 64 * 1024;

/// Answers a request for `/media/OWNER/NAME/OID`, or one that sends it.
pub(crate) async fn answer(state: &Arc<State>, segments: &[String], parts: &Parts, body: Incoming) -> Reply {
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    let ["media", owner, name, oid] = *segments.as_slice() else { return text(StatusCode::NOT_FOUND, "NoSuchKey") };
    // As S3 has it.
    if parts.headers.contains_key(AUTHORIZATION) {
        return text(StatusCode::BAD_REQUEST, "Only one auth mechanism allowed");
    }
    if !is_signed(state, parts.uri.query().unwrap_or_default()) {
        return text(StatusCode::FORBIDDEN, "AccessDenied: Request has expired");
    }
    let is_safe = |text: &str| !text.is_empty() && !text.starts_with('.') && !text.contains('/');
    if !is_safe(owner) || !is_safe(name) || !contents::is_oid(oid) {
        return text(StatusCode::NOT_FOUND, "NoSuchKey");
    }
    let folder = state.options.repositories.join(owner).join(format!("{name}.git"));
    let path = contents::path(&folder, oid);
    match parts.method {
        Method::PUT => put(&path, oid, body).await,
        _ => get(path, parts),
    }
}

/// Checks the signature and that it is not too old.
fn is_signed(state: &State, query: &str) -> bool {
    let fields: Vec<(String, String)> =
        form_urlencoded::parse(query.as_bytes()).map(|(key, value)| (key.into_owned(), value.into_owned())).collect();
    let field = |name: &str| fields.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let is_fresh = field("expires").and_then(|until| until.parse::<u64>().ok()).is_some_and(|until| now < until);
    is_fresh && field("signature") == Some(&state.options.lfs_secret)
}

async fn put(path: &std::path::Path, oid: &str, body: Incoming) -> Reply {
    let Ok(body) = body.collect().await else { return text(StatusCode::BAD_REQUEST, "IncompleteBody") };
    let content = body.to_bytes();
    if contents::oid_of(&content) != oid {
        return text(StatusCode::BAD_REQUEST, "XAmzContentSHA256Mismatch");
    }
    let written = fs::create_dir_all(path.parent().unwrap_or(path)).and_then(|()| fs::write(path, &content));
    match written {
        Ok(()) => text(StatusCode::OK, ""),
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    }
}

fn get(path: PathBuf, parts: &Parts) -> Reply {
    let Ok(mut file) = File::open(path) else { return text(StatusCode::NOT_FOUND, "NoSuchKey") };
    let length = file.metadata().map_or(0, |there| there.len());
    let range =
        parts.headers.get(RANGE).and_then(|range| range.to_str().ok()).and_then(|range| read_range(range, length));
    let (begin, end) = match range {
        None => (0, length),
        Some(Some(range)) => range,
        Some(None) => return text(StatusCode::RANGE_NOT_SATISFIABLE, "InvalidRange"),
    };
    if file.seek(SeekFrom::Start(begin)).is_err() {
        return text(StatusCode::INTERNAL_SERVER_ERROR, "InternalError");
    }
    let (sender, body) = Body::pieces(Some(end - begin));
    tokio::task::spawn_blocking(move || {
        let mut left = end - begin;
        while left > 0 {
            let mut piece = vec![0; usize::try_from(left.min(PIECE_BYTES)).unwrap_or_default()];
            let read = file.read_exact(&mut piece).map(|()| Bytes::from(piece));
            left -= left.min(PIECE_BYTES);
            // A client that has gone needs no more.
            if read.is_err() | sender.blocking_send(read).is_err() {
                return;
            }
        }
    });
    let mut reply = Response::new(body);
    let headers = reply.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    if range.is_some() {
        let range = format!("bytes {begin}-{}/{length}", end.saturating_sub(1));
        headers.insert(CONTENT_RANGE, HeaderValue::from_str(&range).expect("it is made of numbers"));
        *reply.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
    reply
}

/// Reads `bytes=BEGIN-LAST` as begin and end; `Some(None)` if there is nothing there, `None` if it is no such range.
#[expect(clippy::option_option, reason = "each of the three has an answer of its own")]
fn read_range(range: &str, length: u64) -> Option<Option<(u64, u64)>> {
    let (begin, last) = range.strip_prefix("bytes=")?.split_once('-')?;
    let begin: u64 = begin.parse().ok()?;
    let end = last.parse::<u64>().map_or(length, |last| (last + 1).min(length));
    Some((begin < end).then_some((begin, end)))
}
