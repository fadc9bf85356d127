//! Answers given again: for benchmarks, which ask the same of unchanged repositories many times.
//!
//! What a newcomer would get wrong: the answers are git's own, and they count only as long as no ref of the repository
//! has changed.

use std::collections::HashMap;
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
    service: &'static str,
    query: String,
    protocol: Vec<u8>,
    body: Bytes,
}

/// What was answered, and how new the repository's refs were then.
#[derive(Debug, Clone)]
struct Answer {
    newest_ref: SystemTime,
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

/// Keeps git's answers.
#[derive(Debug, Default)]
pub(crate) struct KeptAnswers(Mutex<HashMap<Question, Answer>>);

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
            service: service.path(),
            query: parts.uri.query().unwrap_or_default().to_owned(),
            protocol: header("git-protocol"),
            body: body.clone(),
        };
        let newest_ref = newest_ref(&folder.join(project));
        if let Some(answer) = self.find(&question).filter(|answer| answer.newest_ref == newest_ref) {
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
        let answer = Answer { newest_ref, status: parts.status, headers: parts.headers.clone(), body: body.clone() };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(question, answer);
        Ok(reply(parts.status, parts.headers, Body::whole(body)))
    }

    fn find(&self, question: &Question) -> Option<Answer> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(question).cloned()
    }
}

fn reply(status: StatusCode, headers: HeaderMap, body: Body) -> Reply {
    let mut reply = Reply::new(body);
    *reply.status_mut() = status;
    *reply.headers_mut() = headers;
    reply
}
