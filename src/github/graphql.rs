//! The GraphQL API: one query for many things at once, for what REST does not show or shows only one by one.
//!
//! What a newcomer would get wrong: nearly every failure comes with status 200. A query that asks for too much dies after ten
//! seconds with a 502, or says `RESOURCE_LIMITS_EXCEEDED` beside half an answer; it is then asked again for fewer things. A null
//! in a list means that GitHub gave nothing, not that there is nothing: only `NOT_FOUND` says that.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use chrono::Utc;
use reqwest::StatusCode;
use serde_json::{Value, json};

use super::api::{Answer, Api};
use super::client::refused;
use super::{Credentials, GitHubError};
use crate::limits::{Refusal, Resource, with_retries};
use crate::text::printable;

/// A query for things by their node ids, `$ids`.
#[derive(Debug)]
pub struct NodesQuery {
    /// What it asks for, in messages.
    pub what: &'static str,
    /// The query.
    pub text: &'static str,
    /// How many things it is asked for at once, at most.
    pub batch_max: usize,
}

/// What GitHub says of one thing.
#[derive(Clone, Debug, PartialEq)]
pub enum Node {
    /// The thing.
    Found(Value),
    /// The thing, without something in it that the token may not see, or that is gone.
    Partial(Value),
    /// There is no such thing, or the token cannot see it.
    NotFound,
    /// The token may not read it: which field of it, if it is one, and GitHub's words.
    Forbidden(Option<String>, String),
    /// GitHub could not answer; in its words.
    Failed(String),
}

/// After this many answers in a row, more is asked for at once again.
const ANSWERS_BEFORE_GROWTH: usize = 8;
/// GitHub ends a query after ten seconds, and charges for it; the next one waits.
const PAUSE_AFTER_TROUBLE: Duration = Duration::from_secs(1);

/// Speaks to the GraphQL API.
#[derive(Debug)]
pub struct GraphQl {
    api: Arc<Api>,
    credentials: Arc<Credentials>,
    retries: u32,
    size: AtomicUsize,
    answers: AtomicUsize,
}

/// The reply to one query.
struct Reply {
    data: Value,
    errors: Vec<QueryError>,
}

/// One of the errors beside an answer.
struct QueryError {
    kind: String,
    message: String,
    /// The place in a list of nodes that it is about.
    node: Option<usize>,
    /// The field of the node in which it happened, if it was not the node itself.
    field: Option<String>,
}

impl QueryError {
    fn read(error: &Value) -> Self {
        let text = |field: &str| error.get(field).and_then(Value::as_str).unwrap_or_default();
        let path = error.get("path").and_then(Value::as_array);
        let node = path.filter(|path| path.first().and_then(Value::as_str) == Some("nodes"));
        let field = node.and_then(|path| path.get(2)?.as_str().map(str::to_owned));
        let node = node.and_then(|path| usize::try_from(path.get(1)?.as_u64()?).ok());
        Self { kind: text("type").to_owned(), message: printable(text("message"), 300), node, field }
    }

    /// Says whether fewer things at once may be answered.
    fn is_of_size(&self) -> bool {
        let said = self.message.to_ascii_lowercase();
        ["RESOURCE_LIMITS_EXCEEDED", "MAX_NODE_LIMIT_EXCEEDED"].contains(&self.kind.as_str())
            || ["timeout", "timed out", "something went wrong", "resource limits"]
                .iter()
                .any(|sign| said.contains(sign))
    }
}

/// Why one query brought nothing.
enum Trouble {
    /// Fewer things at once may be answered.
    TooMuch(GitHubError),
    Other(GitHubError),
}

impl GraphQl {
    /// Prepares a client.
    pub fn new(api: Arc<Api>, credentials: Arc<Credentials>, retries: u32) -> Self {
        Self { api, credentials, retries, size: AtomicUsize::new(usize::MAX), answers: AtomicUsize::new(0) }
    }

    /// Asks for many things, in batches that shrink when GitHub cannot answer them. Returns what it says of each id.
    ///
    /// # Errors
    /// [`GitHubError`] if GitHub does not answer at all. What it says of a single thing is a [`Node`].
    pub async fn nodes(&self, query: &NodesQuery, ids: &[String]) -> Result<BTreeMap<String, Node>, GitHubError> {
        let mut found = BTreeMap::new();
        let mut rest = ids;
        // Those of which an answer held only a part.
        let mut alone: Vec<String> = Vec::new();
        while !rest.is_empty() {
            let size = self.size(query).min(rest.len());
            let (batch, later) = rest.split_at(size);
            match self.batch(query, batch).await {
                Ok(reply) => {
                    self.note_answer(query);
                    for (id, node) in batch.iter().zip(told(&reply, batch.len())) {
                        match node {
                            Node::Failed(_) if batch.len() > 1 => alone.push(id.clone()),
                            node => drop(found.insert(id.clone(), node)),
                        }
                    }
                    rest = later;
                }
                Err(Trouble::TooMuch(error)) if size > 1 => {
                    tracing::debug!(what = query.what, size, %error, "asking for half as many at once");
                    self.size.store(size / 2, Ordering::Relaxed);
                    self.answers.store(0, Ordering::Relaxed);
                    tokio::time::sleep(PAUSE_AFTER_TROUBLE).await;
                }
                // A single thing that GitHub cannot answer costs no other.
                Err(Trouble::TooMuch(error)) => {
                    found.insert(batch[0].clone(), Node::Failed(error.to_string()));
                    rest = later;
                }
                Err(Trouble::Other(error)) => return Err(error),
            }
        }
        for id in alone {
            let node = match self.batch(query, std::slice::from_ref(&id)).await {
                Ok(reply) => told(&reply, 1).remove(0),
                Err(Trouble::TooMuch(error)) => Node::Failed(error.to_string()),
                Err(Trouble::Other(error)) => return Err(error),
            };
            found.insert(id, node);
        }
        Ok(found)
    }

    /// Asks for the next part of one thing's list: `$id` and `$after`.
    ///
    /// # Errors
    /// [`GitHubError`].
    pub async fn more(&self, query: &NodesQuery, id: &str, after: &str) -> Result<Value, GitHubError> {
        let body = json!({"query": query.text, "variables": {"id": id, "after": after}});
        let reply = self.ask_patiently(query, &body).await.map_err(|trouble| match trouble {
            Trouble::TooMuch(error) | Trouble::Other(error) => error,
        })?;
        if let Some(error) = reply.errors.first() {
            return Err(unreadable(query.what, &error.message));
        }
        Ok(reply.data["node"].clone())
    }

    fn size(&self, query: &NodesQuery) -> usize {
        self.size.load(Ordering::Relaxed).clamp(1, query.batch_max)
    }

    fn note_answer(&self, query: &NodesQuery) {
        if self.answers.fetch_add(1, Ordering::Relaxed) + 1 < ANSWERS_BEFORE_GROWTH {
            return;
        }
        self.answers.store(0, Ordering::Relaxed);
        let size = self.size(query);
        self.size.store(size + size.div_ceil(2), Ordering::Relaxed);
    }

    async fn batch(&self, query: &NodesQuery, ids: &[String]) -> Result<Reply, Trouble> {
        let body = json!({"query": query.text, "variables": {"ids": ids}});
        let reply =
            if ids.len() == 1 { self.ask_patiently(query, &body).await? } else { self.ask(query, &body).await? };
        if let Some(error) = reply.errors.iter().find(|error| error.is_of_size()) {
            return Err(Trouble::TooMuch(unreadable(query.what, &error.message)));
        }
        match reply.errors.iter().find(|error| error.node.is_none()) {
            // Nobody knows which things it is about.
            Some(error) if reply.data["nodes"].is_array() => {
                Err(Trouble::TooMuch(unreadable(query.what, &error.message)))
            }
            Some(error) => Err(Trouble::Other(unreadable(query.what, &error.message))),
            None => Ok(reply),
        }
    }

    /// Asks once more, within bounds, where asking for fewer things is not possible.
    async fn ask_patiently(&self, query: &NodesQuery, body: &Value) -> Result<Reply, Trouble> {
        let mut left = self.retries;
        loop {
            match self.ask(query, body).await {
                Err(Trouble::TooMuch(error)) if left > 0 => {
                    tracing::debug!(what = query.what, %error, "asking again");
                    left -= 1;
                    tokio::time::sleep(PAUSE_AFTER_TROUBLE).await;
                }
                result => return result,
            }
        }
    }

    async fn ask(&self, query: &NodesQuery, body: &Value) -> Result<Reply, Trouble> {
        let result = with_retries(self.api.gate(), self.retries, query.what, async || {
            let _turn = self.api.gate().before_graphql().await?;
            let token = self.credentials.token().await?;
            let answer = match self.api.query(body, &token, query.what).await {
                Ok(answer) => answer,
                Err(error @ GitHubError::NoAnswer { .. }) => return Ok(Err(error)),
                Err(error) => return Err(error),
            };
            if let Some(refusal) = answer.refusal() {
                return Err(GitHubError::RateLimited { resource: Resource::GraphQl, status: answer.status, refusal });
            }
            if matches!(answer.status, StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT) {
                return Ok(Err(refused(&answer, &token, query.what)));
            }
            if !answer.status.is_success() {
                return Err(refused(&answer, &token, query.what));
            }
            read(&answer, query.what).map(Ok)
        });
        match result.await {
            Ok(Ok(reply)) => Ok(reply),
            Ok(Err(error)) => Err(Trouble::TooMuch(error)),
            Err(error) => Err(Trouble::Other(error)),
        }
    }
}

/// Reads an answer with status 200, which may be a refusal all the same.
fn read(answer: &Answer, what: &str) -> Result<Reply, GitHubError> {
    let mut body = answer.json(what)?;
    let errors: Vec<QueryError> =
        body.get("errors").and_then(Value::as_array).into_iter().flatten().map(QueryError::read).collect();
    if errors.iter().any(|error| error.kind == "RATE_LIMITED") {
        // It is told as 403 by REST; the headers are the same.
        let refusal = Refusal::read(StatusCode::FORBIDDEN, &answer.headers, "rate limit", Utc::now());
        let refusal = refusal.unwrap_or(Refusal::Unhinted);
        return Err(GitHubError::RateLimited { resource: Resource::GraphQl, status: answer.status, refusal });
    }
    let data = body.get_mut("data").map(Value::take).unwrap_or_default();
    if data.is_null() && errors.is_empty() {
        return Err(unreadable(what, "it has neither data nor errors"));
    }
    Ok(Reply { data, errors })
}

/// Says of each node of a batch what the reply says of it.
fn told(reply: &Reply, count: usize) -> Vec<Node> {
    let none = Vec::new();
    let nodes = reply.data["nodes"].as_array().unwrap_or(&none);
    let tell = |place: usize| {
        let thing = nodes.get(place).filter(|thing| !thing.is_null());
        let errors: Vec<&QueryError> = reply.errors.iter().filter(|error| error.node == Some(place)).collect();
        let is_of_sight = |error: &&QueryError| ["NOT_FOUND", "FORBIDDEN"].contains(&error.kind.as_str());
        let error = errors.iter().find(|error| !is_of_sight(error)).or(errors.first());
        match (thing, error) {
            (Some(thing), None) => Node::Found(thing.clone()),
            // Such as a reference from a repository that the token may not see.
            (Some(thing), Some(error)) if is_of_sight(error) => Node::Partial(thing.clone()),
            (None, Some(error)) if error.kind == "NOT_FOUND" && error.field.is_none() => Node::NotFound,
            (None, Some(error)) if error.kind == "FORBIDDEN" => {
                Node::Forbidden(error.field.clone(), error.message.clone())
            }
            (_, Some(error)) => Node::Failed(error.message.clone()),
            (None, None) => Node::Failed("it left this out without a reason".to_owned()),
        }
    };
    (0..count).map(tell).collect()
}

fn unreadable(what: &str, reason: &str) -> GitHubError {
    GitHubError::Unreadable { what: what.to_owned(), reason: reason.to_owned() }
}
