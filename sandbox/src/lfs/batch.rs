//! The batch API.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use chrono::{DateTime, SecondsFormat, Utc};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue, LOCATION};
use hyper::http::request::Parts;
use hyper::{Method, Response, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::contents;
use super::path::LfsPath;
use crate::repositories::{Found, FullName, Repository};
use crate::rest::{Caller, Identified};
use crate::server::{Body, Origin, Reply};
use crate::state::State;

/// GitHub answers 413 to more.
const OBJECTS_MAX: usize = 100;

#[derive(Deserialize)]
struct Request {
    operation: String,
    objects: Vec<Asked>,
}

#[derive(Deserialize)]
struct Asked {
    oid: String,
    size: u64,
}

/// Answers a request below `info/lfs`.
pub(crate) async fn answer(state: &Arc<State>, path: LfsPath, parts: &Parts, body: Incoming) -> Reply {
    let Ok(body) = body.collect().await else { return error(StatusCode::BAD_REQUEST, "the body broke off") };
    let body = body.to_bytes();
    let state = Arc::clone(state);
    let parts = parts.clone();
    // It looks at the disk.
    tokio::task::spawn_blocking(move || decide(&state, &path, &parts, &body))
        .await
        .unwrap_or_else(|_| error(StatusCode::INTERNAL_SERVER_ERROR, "the sandbox itself failed"))
}

fn decide(state: &State, path: &LfsPath, parts: &Parts, body: &[u8]) -> Reply {
    let Identified::Caller(caller) = Caller::identify(state, &parts.headers) else {
        return error(StatusCode::UNAUTHORIZED, "Bad credentials");
    };
    let repository = match find(state, path, caller, parts) {
        Ok(repository) => repository,
        Err(reply) => return reply,
    };
    match (&parts.method, path.rest.as_str()) {
        (&Method::POST, "objects/batch") => batch(state, path, &repository, body),
        (&Method::POST, "verify") => verify(state, path, body),
        // What git-lfs takes for a server without locks.
        _ => error(StatusCode::NOT_FOUND, "Not Found"),
    }
}

/// Finds the repository, or the answer that keeps the client out.
#[expect(clippy::result_large_err, reason = "it lives for one call")]
fn find(state: &State, path: &LfsPath, caller: Caller, parts: &Parts) -> Result<Repository, Reply> {
    let missing = || error(StatusCode::NOT_FOUND, "Not Found");
    let name = FullName::new(&path.owner, &path.name).ok_or_else(missing)?;
    match Found::by_name(&state.options.repositories, &name) {
        Ok(Some(Found::Here(repository))) if caller.sees(state, &repository) => Ok(repository),
        Ok(Some(Found::Moved(repository))) if caller.sees(state, &repository) => {
            let origin = Origin::new(&parts.headers, &state.url, "");
            let suffix = if path.is_wiki { ".wiki.git" } else { ".git" };
            let location = format!("{}/{}{suffix}/info/lfs/{}", origin.web, repository.name, path.rest);
            let mut reply = error(StatusCode::TEMPORARY_REDIRECT, "Moved");
            reply.headers_mut().insert(LOCATION, HeaderValue::from_str(&location).expect("names are checked"));
            Err(reply)
        }
        _ => Err(missing()),
    }
}

/// Returns the folder of a repository or its wiki.
fn folder(state: &State, path: &LfsPath) -> PathBuf {
    let suffix = if path.is_wiki { ".wiki.git" } else { ".git" };
    state.options.repositories.join(&path.owner).join(format!("{}{suffix}", path.name))
}

fn batch(state: &State, path: &LfsPath, repository: &Repository, body: &[u8]) -> Reply {
    let Ok(request) = serde_json::from_slice::<Request>(body) else {
        return error(StatusCode::UNPROCESSABLE_ENTITY, "the body is no batch request");
    };
    if request.objects.len() > OBJECTS_MAX {
        return error(StatusCode::PAYLOAD_TOO_LARGE, "Request Entity Too Large");
    }
    let is_upload = request.operation == "upload";
    if is_upload && !repository.metadata.pushable {
        return error(StatusCode::FORBIDDEN, "You must have push access");
    }
    let folder = folder(state, path);
    let objects: Vec<Value> = request
        .objects
        .iter()
        .map(|asked| {
            let mut answered = json!({"oid": asked.oid, "size": asked.size});
            let more =
                if is_upload { upload(state, path, &folder, asked) } else { download(state, path, &folder, asked) };
            if let (Some(answered), Value::Object(more)) = (answered.as_object_mut(), more) {
                answered.extend(more);
            }
            answered
        })
        .collect();
    reply(StatusCode::OK, &json!({"objects": objects}))
}

fn download(state: &State, path: &LfsPath, folder: &Path, asked: &Asked) -> Value {
    let refused = |code: u16, message: &str| json!({"error": {"code": code, "message": message}});
    if !contents::is_oid(&asked.oid) {
        return refused(422, "Invalid object ID");
    }
    let content = contents::path(folder, &asked.oid);
    if let Some((code, message)) = contents::error_of(&content) {
        return refused(code, &message);
    }
    match fs::metadata(&content) {
        Err(_) => refused(404, "Object does not exist on the server"),
        Ok(there) if there.len() != asked.size => refused(422, "Object size does not match"),
        Ok(_) => json!({"actions": {"download": action(state, path, &asked.oid)}}),
    }
}

fn upload(state: &State, path: &LfsPath, folder: &Path, asked: &Asked) -> Value {
    if !contents::is_oid(&asked.oid) {
        return json!({"error": {"code": 422, "message": "Invalid object ID"}});
    }
    if contents::path(folder, &asked.oid).exists() {
        return json!({});
    }
    let suffix = if path.is_wiki { ".wiki.git" } else { ".git" };
    let verify = format!("{}/{}/{}{suffix}/info/lfs/verify", state.url, path.owner, path.name);
    let header = json!({"Authorization": format!("Bearer {}", state.options.token)});
    json!({"actions": {
        "upload": action(state, path, &asked.oid),
        "verify": {"href": verify, "header": header},
    }})
}

/// Signs an address on the host of contents.
fn action(state: &State, path: &LfsPath, oid: &str) -> Value {
    let lifetime = state.options.lfs_lifetime_seconds;
    let until = SystemTime::now() + Duration::from_secs(lifetime);
    let until_seconds = until.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let wiki = if path.is_wiki { ".wiki" } else { "" };
    json!({
        "href": format!(
            "{}/media/{}/{}{wiki}/{oid}?expires={until_seconds}&signature={}",
            state.media_url, path.owner, path.name, state.options.lfs_secret
        ),
        "expires_at": DateTime::<Utc>::from(until).to_rfc3339_opts(SecondsFormat::Secs, true),
        "expires_in": lifetime,
    })
}

fn verify(state: &State, path: &LfsPath, body: &[u8]) -> Reply {
    let asked = serde_json::from_slice::<Asked>(body).ok().filter(|asked| contents::is_oid(&asked.oid));
    let Some(asked) = asked else { return error(StatusCode::UNPROCESSABLE_ENTITY, "the body is no object") };
    match fs::metadata(contents::path(&folder(state, path), &asked.oid)) {
        Ok(there) if there.len() == asked.size => reply(StatusCode::OK, &json!({})),
        _ => error(StatusCode::NOT_FOUND, "Object does not exist on the server"),
    }
}

fn error(status: StatusCode, message: &str) -> Reply {
    reply(status, &json!({"message": message, "documentation_url": "https://docs.github.com/rest"}))
}

fn reply(status: StatusCode, body: &Value) -> Reply {
    let mut reply = Response::new(Body::whole(body.to_string()));
    *reply.status_mut() = status;
    let headers = reply.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/vnd.git-lfs+json"));
    headers.insert(HeaderName::from_static("x-ratelimit-resource"), HeaderValue::from_static("lfs"));
    reply
}
