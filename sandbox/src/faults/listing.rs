//! Faults that change what a listing lists. Answers that are not listings pass unchanged.

use hyper::Response;
use hyper::header::{CONTENT_LENGTH, HeaderValue};
use serde_json::Value;

use crate::rest;
use crate::server::{Body, Reply};

/// Drops items from the end of the page. `total_count` stays, as it does at GitHub.
pub(super) async fn drop_items(reply: Reply, count: usize, sso_header: bool) -> Reply {
    let mut reply = change(reply, |items| items.truncate(items.len().saturating_sub(count))).await;
    if sso_header {
        let organisations = HeaderValue::from_static("partial-results; organizations=21955855,20582480");
        reply.headers_mut().insert("x-github-sso", organisations);
    }
    reply
}

/// Appends ordinary repositories whose members are replaced by those given.
pub(super) async fn add_items(reply: Reply, additions: &[Value]) -> Reply {
    change(reply, |items| {
        items.extend(additions.iter().map(|addition| {
            let mut item = rest::template_repository();
            if let (Some(item), Some(members)) = (item.as_object_mut(), addition.as_object()) {
                item.extend(members.clone());
            }
            item
        }));
    })
    .await
}

/// Changes the array of a listing, which is the whole body or its `repositories`.
async fn change(reply: Reply, edit: impl FnOnce(&mut Vec<Value>)) -> Reply {
    let (mut parts, mut body) = reply.into_parts();
    let mut bytes = Vec::new();
    while let Some(Ok(piece)) = body.next().await {
        bytes.extend_from_slice(&piece);
    }
    if let Ok(mut value) = serde_json::from_slice::<Value>(&bytes) {
        let items = match &mut value {
            Value::Object(members) => members.get_mut("repositories"),
            value => Some(value),
        };
        if let Some(Value::Array(items)) = items {
            edit(items);
            bytes = value.to_string().into_bytes();
        }
    }
    parts.headers.remove(CONTENT_LENGTH); // hyper adds that of the new body
    Response::from_parts(parts, Body::whole(bytes))
}
