//! Carries out actions: those that come before the true answer, and those that change it.

use std::time::Duration;
use std::{fmt, io};

use bytes::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue, LOCATION};
use hyper::{Response, StatusCode};

use super::fault::Action;
use super::listing;
use crate::server::{Body, Reply};

/// How long the bytes before a break get to leave: hyper writes them when the next piece is not there yet, and would
/// drop them if the error came with them.
const FLUSH: Duration = Duration::from_millis(50);

/// Says that a fault closed the connection.
#[derive(Debug)]
pub(crate) struct Broken;

impl fmt::Display for Broken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a fault closed the connection")
    }
}

impl std::error::Error for Broken {}

/// Carries out what comes before the true answer; a reply returned here stands in its place.
pub(crate) async fn before(actions: &[Action]) -> Result<Option<Reply>, Broken> {
    for action in actions {
        match action {
            Action::Delay { ms } => tokio::time::sleep(Duration::from_millis(*ms)).await,
            Action::HangUp => return Err(Broken),
            Action::Status { code, headers, body } => return Ok(Some(status(*code, headers, body))),
            Action::Redirect { location, code } => {
                return Ok(Some(status(*code, &[(LOCATION.to_string(), location.clone())], "")));
            }
            _ => {}
        }
    }
    Ok(None)
}

/// Carries out what changes an answer.
pub(crate) async fn after(actions: &[Action], mut reply: Reply) -> Result<Reply, Broken> {
    for action in actions {
        reply = match action {
            Action::TruncateBody { after_bytes } => cut(reply, *after_bytes, End::Break),
            Action::StallBody { after_bytes } => cut(reply, *after_bytes, End::Silence),
            Action::FlipByte { at } => flip(reply, *at),
            Action::DropItems { count, sso_header } => listing::drop_items(reply, *count, *sso_header).await,
            Action::AddItems { items } => listing::add_items(reply, items).await,
            Action::ReplaceHeader { name, value } => replace_header(reply, name, value.as_deref()),
            Action::Status { .. } | Action::Redirect { .. } | Action::HangUp | Action::Delay { .. } => reply,
        };
    }
    Ok(reply)
}

/// Returns an answer as a fault describes it; what is not valid HTTP in it becomes a 500 that says so.
fn status(code: u16, headers: &[(String, String)], body: &str) -> Reply {
    let is_json = serde_json::from_str::<serde::de::IgnoredAny>(body).is_ok();
    let content_type = if is_json { "application/json; charset=utf-8" } else { "text/plain; charset=utf-8" };
    let mut reply = Response::builder().status(code);
    if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case(CONTENT_TYPE.as_str())) {
        reply = reply.header(CONTENT_TYPE, content_type);
    }
    for (name, value) in headers {
        reply = reply.header(name, value);
    }
    reply.body(Body::whole(body.to_owned())).unwrap_or_else(|error| {
        crate::server::text(StatusCode::INTERNAL_SERVER_ERROR, format!("the fault is not valid HTTP: {error}"))
    })
}

/// How a cut body ends.
#[derive(Clone, Copy)]
enum End {
    Break,
    Silence,
}

/// Passes on the first bytes; the promised length stays, so that the client can tell that something is missing.
fn cut(reply: Reply, after_bytes: u64, end: End) -> Reply {
    let (parts, mut body) = reply.into_parts();
    // A promised body must stay incomplete even if the fault allows more bytes than there are.
    let mut left = body.length().map_or(after_bytes, |length| after_bytes.min(length.saturating_sub(1)));
    let (sender, cut) = Body::pieces(body.length());
    tokio::spawn(async move {
        while left > 0
            && let Some(piece) = body.next().await
        {
            let piece = piece.map(|bytes| bytes.slice(..bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX))));
            left -= piece.as_ref().map_or(0, |bytes| bytes.len() as u64);
            if sender.send(piece).await.is_err() {
                return;
            }
        }
        match end {
            End::Break => {
                tokio::time::sleep(FLUSH).await;
                // The client may be gone already; then there is nothing to break.
                let _gone = sender.send(Err(io::ErrorKind::ConnectionAborted.into())).await;
            }
            End::Silence => sender.closed().await,
        }
    });
    Response::from_parts(parts, cut)
}

/// Inverts one byte on its way; a body that is shorter passes unharmed.
fn flip(reply: Reply, at: u64) -> Reply {
    let (parts, mut body) = reply.into_parts();
    let (sender, flipped) = Body::pieces(body.length());
    tokio::spawn(async move {
        let mut passed = 0_u64;
        while let Some(piece) = body.next().await {
            let piece = piece.map(|bytes| {
                let start = passed;
                passed += bytes.len() as u64;
                if !(start..passed).contains(&at) {
                    return bytes;
                }
                let mut bytes = bytes.to_vec();
                let index = usize::try_from(at - start).expect("the index is inside a slice");
                bytes[index] = !bytes[index];
                Bytes::from(bytes)
            });
            if sender.send(piece).await.is_err() {
                return;
            }
        }
    });
    Response::from_parts(parts, flipped)
}

/// Replaces or removes a header; a name or value that HTTP does not allow changes nothing.
fn replace_header(mut reply: Reply, name: &str, value: Option<&str>) -> Reply {
    if let Ok(name) = HeaderName::from_bytes(name.as_bytes()) {
        match value.map(HeaderValue::from_str) {
            Some(Ok(value)) => drop(reply.headers_mut().insert(name, value)),
            Some(Err(_)) => {}
            None => drop(reply.headers_mut().remove(name)),
        }
    }
    reply
}
