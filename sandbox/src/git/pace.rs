//! A git server that refuses to be asked too fast.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hyper::header::{HeaderValue, RETRY_AFTER};
use hyper::{Response, StatusCode};

use crate::options::GitPace;
use crate::server::{Body, Reply, text};

/// Counts requests against the limits.
#[derive(Debug, Default)]
pub(crate) struct PaceCounter(Mutex<Counted>);

#[derive(Debug, Default)]
struct Counted {
    at_once: u32,
    recent: VecDeque<Instant>,
}

/// A request that was let in, until its answer has ended.
#[derive(Debug)]
pub(crate) struct LetIn(Arc<PaceCounter>);

impl PaceCounter {
    /// Lets a request in, or returns the refusal. Refused requests do not count.
    #[expect(clippy::result_large_err, reason = "it lives for one call")]
    pub(crate) fn let_in(self: &Arc<Self>, pace: GitPace) -> Result<LetIn, Reply> {
        let mut counted = self.lock();
        let now = Instant::now();
        counted.recent.retain(|at| now.duration_since(*at) < Duration::from_secs(1));
        let recent = u32::try_from(counted.recent.len()).unwrap_or(u32::MAX);
        if pace.per_second.is_some_and(|most| recent >= most)
            || pace.at_once.is_some_and(|most| counted.at_once >= most)
        {
            let mut reply = text(StatusCode::TOO_MANY_REQUESTS, "Too many requests");
            if let Some(seconds) = pace.retry_after {
                reply.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
            }
            return Err(reply);
        }
        counted.at_once += 1;
        counted.recent.push_back(now);
        Ok(LetIn(Arc::clone(self)))
    }

    fn lock(&self) -> MutexGuard<'_, Counted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LetIn {
    /// Stays until the answer has ended.
    pub(crate) fn until_the_end_of(self, reply: Reply) -> Reply {
        let (parts, mut body) = reply.into_parts();
        let (sender, passed) = Body::pieces(body.length());
        tokio::spawn(async move {
            while let Some(piece) = body.next().await {
                if sender.send(piece).await.is_err() {
                    break;
                }
            }
            // Before the client can see the end, and ask again.
            drop(self);
            drop(sender);
        });
        Response::from_parts(parts, passed)
    }
}

impl Drop for LetIn {
    fn drop(&mut self) {
        self.0.lock().at_once -= 1;
    }
}
