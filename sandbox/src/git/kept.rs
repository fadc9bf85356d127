//! Answers given again: for benchmarks, which ask the same of unchanged repositories many times.
//!
//! What a newcomer would get wrong: the answers are git's own, and each belongs to what the refs of the repository were.
//! When they are the same again, so are the answers.

use std::collections::HashMap;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::http::request::Parts;
use hyper::{HeaderMap, StatusCode};

use super::backend;
use super::path::Service;
use crate::repositories::newest_ref;
use crate::server::{Body, Reply};

/// Longer answers are not kept: they are the packs of large repositories, and memory is finite.
const ANSWER_BYTES_MAX: usize = 32 * 1024 * 1024;

/// What was asked, apart from who asked.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Question {
    project: String,
    /// What the refs were.
    state: u64,
    service: &'static str,
    query: String,
    protocol: Vec<u8>,
    body: Bytes,
}

/// What was answered.
#[derive(Debug, Clone)]
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

/// Keeps git's answers.
#[derive(Debug, Default)]
pub(crate) struct KeptAnswers {
    answers: Mutex<HashMap<Question, Answer>>,
    /// What the refs of a repository were when the newest of them was written.
    states: Mutex<HashMap<String, (SystemTime, u64)>>,
}

impl KeptAnswers {
    /// Answers a request from memory, or by running git.
    pub(super) async fn answer(
        &self,
        folder: &Path,
        project: &str,
        service: Service,
        parts: &Parts,
        body: Incoming,
    ) -> io::Result<Reply> {
        let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
        let header = |name: &str| parts.headers.get(name).map(|value| value.as_bytes().to_vec()).unwrap_or_default();
        let question = Question {
            project: project.to_owned(),
            state: self.state(folder, project),
            service: service.path(),
            query: parts.uri.query().unwrap_or_default().to_owned(),
            protocol: header("git-protocol"),
            body: body.clone(),
        };
        if let Some(answer) = self.find(&question) {
            return Ok(reply(answer.status, answer.headers, Body::whole(answer.body)));
        }
        let (parts, mut git) = backend::run(folder, project, service, parts, Full::new(body)).await?.into_parts();
        let (sender, pieces) = Body::pieces(None);
        let mut whole = Vec::new();
        while let Some(piece) = git.next().await {
            whole.extend_from_slice(&piece?);
            if whole.len() > ANSWER_BYTES_MAX {
                tokio::spawn(async move {
                    let mut piece = Some(Ok(Bytes::from(whole)));
                    while let Some(next) = piece.take() {
                        if sender.send(next).await.is_err() {
                            return;
                        }
                        piece = git.next().await;
                    }
                });
                return Ok(reply(parts.status, parts.headers, pieces));
            }
        }
        let body = Bytes::from(whole);
        let answer = Answer { status: parts.status, headers: parts.headers.clone(), body: body.clone() };
        self.answers.lock().unwrap_or_else(PoisonError::into_inner).insert(question, answer);
        Ok(reply(parts.status, parts.headers, Body::whole(body)))
    }

    fn find(&self, question: &Question) -> Option<Answer> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner).get(question).cloned()
    }

    /// Reads what the refs of a repository are, if one was written since the last time.
    fn state(&self, folder: &Path, project: &str) -> u64 {
        let path = folder.join(project);
        let newest = newest_ref(&path);
        let mut states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        match states.get(project) {
            Some((at, state)) if *at == newest => *state,
            _ => {
                let mut hasher = DefaultHasher::new();
                for part in ["HEAD", "packed-refs", "refs"] {
                    hash(&path.join(part), &mut hasher);
                }
                let state = hasher.finish();
                states.insert(project.to_owned(), (newest, state));
                state
            }
        }
    }
}

/// Hashes a file with its path, or all files below a folder.
fn hash(path: &Path, hasher: &mut DefaultHasher) {
    if let Ok(bytes) = fs::read(path) {
        path.hash(hasher);
        bytes.hash(hasher);
        return;
    }
    let mut entries: Vec<_> = fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    entries.sort_unstable();
    for entry in entries {
        hash(&entry, hasher);
    }
}

fn reply(status: StatusCode, headers: HeaderMap, body: Body) -> Reply {
    let mut reply = Reply::new(body);
    *reply.status_mut() = status;
    *reply.headers_mut() = headers;
    reply
}
