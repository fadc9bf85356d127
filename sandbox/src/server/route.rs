//! The way of one request: recorded, troubled by faults, answered.

use std::sync::Arc;

use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, DATE, HeaderName, HeaderValue, USER_AGENT};
use hyper::http::request::Parts;
use hyper::{Request, Response, StatusCode};
use percent_encoding::percent_decode_str;

use crate::faults::{self, Broken};
use crate::git::{self, GitPath};
use crate::lfs::{self, LfsPath};
use crate::records::RecordedRequest;
use crate::server::{Body, Origin};
use crate::state::State;
use crate::{control, graphql, rest, slack};

/// An answer on its way to the client.
pub(crate) type Reply = Response<Body>;

/// The path under which a GitHub Enterprise Server has its REST API.
const API_PREFIX: &str = "/api/v3";

/// The path under which it has its GraphQL API.
const GRAPHQL_PATH: &str = "/api/graphql";

/// Which of the sandbox's two hosts is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Host {
    /// The one with everything.
    Main,
    /// The one with the contents of large files.
    Media,
}

/// Answers one request. An error makes hyper close the connection without an answer.
pub(crate) async fn answer(state: Arc<State>, host: Host, request: Request<Incoming>) -> Result<Reply, Broken> {
    let (parts, body) = request.into_parts();
    if let Some(path) = parts.uri.path().strip_prefix("/_sandbox") {
        return Ok(control::answer(&state, &parts.method, path, body).await);
    }
    let route = match host {
        Host::Main => Route::of(parts.uri.path()),
        Host::Media => Route::Media(segments(parts.uri.path())),
    };
    let mut record = record(&parts, matches!(route, Route::Git(_)));

    let troubles = state.faults.meet(parts.method.as_str(), parts.uri.path(), API_PREFIX);
    let reply = match faults::before(&troubles).await {
        Ok(Some(reply)) => Ok(reply),
        Ok(None) => Ok(dispatch(&state, route, parts, body).await),
        Err(broken) => Err(broken),
    };
    let reply = match reply.map(|reply| dated(&state, reply)) {
        Ok(reply) => faults::after(&troubles, reply).await,
        Err(broken) => Err(broken),
    };
    record.status = reply.as_ref().map_or(0, |reply| reply.status().as_u16());
    state.records.add(record);
    reply
}

/// Dates an answer by the sandbox's clock, unless a fault has dated it.
fn dated(state: &State, mut reply: Reply) -> Reply {
    if !reply.headers().contains_key(DATE)
        && let Ok(date) = HeaderValue::from_str(&state.trackers.clock.header())
    {
        reply.headers_mut().insert(DATE, date);
    }
    reply
}

/// Which of the services a path belongs to.
enum Route {
    Slack(Vec<String>),
    Git(GitPath),
    Lfs(LfsPath),
    Media(Vec<String>),
    Graphql,
    Rest { prefix: &'static str, segments: Vec<String> },
}

impl Route {
    /// Reads a path, still percent-encoded.
    fn of(path: &str) -> Self {
        if let Some(path) = path.strip_prefix(API_PREFIX) {
            return Self::Rest { prefix: API_PREFIX, segments: segments(path) };
        }
        if matches!(path.trim_end_matches('/'), "/graphql" | GRAPHQL_PATH) {
            return Self::Graphql;
        }
        let segments = segments(path);
        if segments.first().is_some_and(|first| first == "services") {
            return Self::Slack(segments);
        }
        if let Some(path) = LfsPath::read(&segments) {
            return Self::Lfs(path);
        }
        match GitPath::read(&segments) {
            Some(path) => Self::Git(path),
            None => Self::Rest { prefix: "", segments },
        }
    }
}

/// Hands the request to its service.
async fn dispatch(state: &Arc<State>, route: Route, parts: Parts, body: Incoming) -> Reply {
    match route {
        Route::Slack(segments) => slack::answer(&state.webhook, &parts.method, &segments, body).await,
        Route::Git(path) => git::answer(state, path, &parts, body).await,
        Route::Lfs(path) => lfs::answer(state, path, &parts, body).await,
        Route::Media(segments) => lfs::answer_media(state, &segments, &parts, body).await,
        Route::Graphql => {
            // Where the REST API is does not matter: GraphQL names pages for people only.
            let origin = Origin::new(&parts.headers, &state.url, "");
            let state = Arc::clone(state);
            let Ok(body) = body.collect().await else {
                return text(StatusCode::BAD_REQUEST, "the body of the request broke off");
            };
            let body = body.to_bytes();
            tokio::task::spawn_blocking(move || graphql::answer(&state, &origin, &parts, &body))
                .await
                .unwrap_or_else(|_| text(StatusCode::INTERNAL_SERVER_ERROR, "the sandbox itself failed"))
        }
        Route::Rest { prefix, segments } => {
            let origin = Origin::new(&parts.headers, &state.url, prefix);
            let state = Arc::clone(state);
            // Listings read the disk.
            tokio::task::spawn_blocking(move || rest::answer(&state, &origin, &parts, &segments))
                .await
                .unwrap_or_else(|_| text(StatusCode::INTERNAL_SERVER_ERROR, "the sandbox itself failed"))
        }
    }
}

/// Returns a plain text answer.
pub(crate) fn text(status: StatusCode, body: impl Into<String>) -> Reply {
    Response::builder()
        .status(status)
        .header("content-type", "text/plain; charset=utf-8")
        .body(Body::whole(body.into()))
        .expect("the only header is a constant")
}

/// Splits a path into its decoded segments.
fn segments(path: &str) -> Vec<String> {
    path.split('/')
        .filter(|segment| !segment.is_empty())
        .map(|segment| percent_decode_str(segment).decode_utf8_lossy().into_owned())
        .collect()
}

/// Writes down what was asked; the status follows with the answer.
fn record(parts: &Parts, git: bool) -> RecordedRequest {
    let header =
        |name: HeaderName| parts.headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    RecordedRequest {
        method: parts.method.to_string(),
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        authorization: header(AUTHORIZATION),
        user_agent: header(USER_AGENT),
        api_version: header(HeaderName::from_static("x-github-api-version")),
        status: 0,
        git,
    }
}
