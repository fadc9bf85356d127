//! One exchange with the REST API: passed by the gate, bounded in time and size; what its headers say is kept.
//!
//! Requests with a run's token and an app's requests for its token both come this way, so GitHub counts no request that the gate
//! did not see.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use http::header::{ACCEPT, CONTENT_TYPE, DATE, IF_NONE_MATCH, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method};
use reqwest::{RequestBuilder, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::GitHubError;
use super::notices::{API_VERSION, Notices};
use crate::limits::{Gate, Refusal};
use crate::metadata::canonical::parse;
use crate::network::{self, Failure, http_date};
use crate::text::{chain, is_web_page, printable, redact};

/// Where the REST API is, and how it is asked.
#[derive(Debug)]
pub struct Api {
    url: Url,
    http: reqwest::Client,
    gate: Arc<Gate>,
    timeout: Duration,
    /// Set once a server did not know the version that ghbk asks for.
    is_older: AtomicBool,
    notices: Mutex<Notices>,
}

/// An answer of the REST API, whatever its status.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// A whole request may take this many times `limits.stall_timeout`.
const REQUEST_TIMEOUT_FACTOR: u32 = 2;
/// A page of a hundred repositories has less than a megabyte; a hundred comments of the longest kind have 26, escaped.
const ANSWER_MAX_BYTES: usize = 64 * 1024 * 1024;
/// GitHub's longest explanations end with the address of the remedy.
pub(super) const MESSAGE_MAX_CHARS: usize = 500;

impl Api {
    /// Prepares for the REST API at an address.
    pub fn new(url: Url, http: reqwest::Client, gate: Arc<Gate>, stall_timeout: Duration) -> Self {
        Self {
            url,
            http,
            gate,
            timeout: stall_timeout * REQUEST_TIMEOUT_FACTOR,
            is_older: AtomicBool::new(false),
            notices: Mutex::default(),
        }
    }

    /// Returns the gate in front of every request.
    pub(super) fn gate(&self) -> &Gate {
        &self.gate
    }

    /// Returns the address of an endpoint.
    pub(super) fn endpoint(&self, endpoint: &str) -> Url {
        let base = self.url.as_str().trim_end_matches('/');
        format!("{base}/{endpoint}").parse().unwrap_or_else(|_| self.url.clone())
    }

    /// Accepts an address that GitHub gave if it leads back to GitHub.
    pub(super) fn own(&self, address: &str, what: &str) -> Result<Url, GitHubError> {
        let unreadable =
            |_| GitHubError::Unreadable { what: what.to_owned(), reason: "an address is no URL".to_owned() };
        let url = self.url.join(address).map_err(unreadable)?;
        if url.origin() == self.url.origin() {
            Ok(url)
        } else {
            Err(GitHubError::Elsewhere(printable(url.host_str().unwrap_or("?"), 100)))
        }
    }

    /// Returns what the headers of all answers said so far.
    pub(super) fn notices(&self) -> Notices {
        self.notices.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sends one request as soon as the gate lets it through; the wait does not count against its time.
    pub(super) async fn exchange(
        &self,
        method: Method,
        url: &Url,
        token: &SecretString,
        what: &str,
    ) -> Result<Answer, GitHubError> {
        self.exchange_unless(method, url, token, what, None).await
    }

    /// Does the same, but GitHub is asked to answer 304 if the answer is still the one that has this `ETag`.
    pub(super) async fn exchange_unless(
        &self,
        method: Method,
        url: &Url,
        token: &SecretString,
        what: &str,
        etag: Option<&str>,
    ) -> Result<Answer, GitHubError> {
        self.gate.before_api().await?;
        let is_older = self.is_older.load(Ordering::Relaxed);
        let request = || {
            let request = self.http.request(method.clone(), url.clone());
            // It comes from the store, where anything may have happened to it.
            match etag.and_then(|etag| HeaderValue::from_str(etag).ok()) {
                Some(etag) => request.header(IF_NONE_MATCH, etag),
                None => request,
            }
        };
        let answer = self.once(request(), url, token, what, !is_older).await?;
        // An Enterprise Server older than the version answers 400 to its name, and uses its own if none is named.
        if answer.status != StatusCode::BAD_REQUEST || is_older {
            return Ok(answer);
        }
        self.gate.before_api().await?;
        let plain = self.once(request(), url, token, what, false).await?;
        if plain.status != StatusCode::BAD_REQUEST {
            self.is_older.store(true, Ordering::Relaxed);
            tracing::info!(version = API_VERSION, "this server does not know the API version; asking without it");
        }
        Ok(plain)
    }

    /// Sends one query to the GraphQL API. The caller holds its turn.
    pub(super) async fn query(
        &self,
        query: &serde_json::Value,
        token: &SecretString,
        what: &str,
    ) -> Result<Answer, GitHubError> {
        let url = self.graphql_url();
        self.once(self.http.post(url.clone()).json(query), &url, token, what, false).await
    }

    /// Returns where the GraphQL API is: beside the REST API's version on an Enterprise Server, below its root otherwise.
    fn graphql_url(&self) -> Url {
        match self.url.as_str().trim_end_matches('/').strip_suffix("/v3") {
            Some(base) => format!("{base}/graphql").parse().unwrap_or_else(|_| self.url.clone()),
            None => self.endpoint("graphql"),
        }
    }

    async fn once(
        &self,
        request: RequestBuilder,
        url: &Url,
        token: &SecretString,
        what: &str,
        names_version: bool,
    ) -> Result<Answer, GitHubError> {
        let mut request = request
            .header(USER_AGENT, concat!("ghbk/", env!("CARGO_PKG_VERSION")))
            .header(ACCEPT, "application/vnd.github+json")
            .bearer_auth(token.expose_secret());
        if names_version {
            request = request.header("x-github-api-version", API_VERSION);
        }
        let within = tokio::time::timeout(self.timeout, whole(request, what)).await;
        let answer = within.unwrap_or_else(|_| Err(GitHubError::NoAnswer { what: what.to_owned() }))?;
        tracing::debug!(%url, status = answer.status.as_u16(), "answered");
        // It is the proxy's answer, not GitHub's.
        if answer.status == StatusCode::PROXY_AUTHENTICATION_REQUIRED {
            return Err(GitHubError::Unreachable(Failure::of_proxy(url)));
        }
        let mut notices = self.notices.lock().unwrap_or_else(PoisonError::into_inner);
        if notices.read(&answer.headers) {
            let words = notices.deprecation.as_deref().unwrap_or_default();
            tracing::warn!("{words}; install a newer ghbk before that");
        }
        drop(notices);
        Ok(answer)
    }
}

/// Sends a request and reads the whole answer, but no more than an answer can have: compressed, a gigabyte may be a few
/// kilobytes.
async fn whole(request: RequestBuilder, what: &str) -> Result<Answer, GitHubError> {
    // The only one that is not a GET asks for an app's token, and one token more does no harm.
    let mut response = network::send(request).await.map_err(connection)?;
    let (status, headers) = (response.status(), response.headers().clone());
    let mut body = Vec::new();
    loop {
        match response.chunk().await {
            Ok(None) => return Ok(Answer { status, headers, body: body.into() }),
            Ok(Some(chunk)) if body.len() + chunk.len() <= ANSWER_MAX_BYTES => body.extend_from_slice(&chunk),
            // The body of a refusal only explains; a failure to read it must not hide the status.
            Ok(Some(_)) | Err(_) if !status.is_success() => return Ok(Answer { status, headers, body: Bytes::new() }),
            Ok(Some(_)) => {
                let reason = format!("an answer of more than {ANSWER_MAX_BYTES} bytes");
                return Err(GitHubError::Unreadable { what: what.to_owned(), reason });
            }
            Err(error) => return Err(connection(error)),
        }
    }
}

fn connection(error: reqwest::Error) -> GitHubError {
    if let Some(failure) = Failure::of(&error) {
        return GitHubError::Unreachable(failure);
    }
    GitHubError::Connection(printable(&chain(&error.without_url()), MESSAGE_MAX_CHARS))
}

impl Answer {
    /// Returns when GitHub gave it, by GitHub's own clock.
    pub(super) fn date(&self) -> Option<DateTime<Utc>> {
        self.headers.get(DATE).and_then(|date| date.to_str().ok()).and_then(http_date)
    }

    /// Reads the body as JSON.
    pub(super) fn json(&self, what: &str) -> Result<serde_json::Value, GitHubError> {
        // People may have written half a surrogate pair, which is no reason to lose the rest.
        parse(&self.body).map_err(|error| {
            let reason = match &*self.body {
                [] => "it is empty".to_owned(),
                _ if self.is_html() => "it is a web page".to_owned(),
                _ => error.to_string(),
            };
            GitHubError::Unreadable { what: what.to_owned(), reason: printable(&reason, MESSAGE_MAX_CHARS) }
        })
    }

    /// Returns the refusal for asking too fast, if it is one.
    pub(super) fn refusal(&self) -> Option<Refusal> {
        Refusal::read(self.status, &self.headers, &String::from_utf8_lossy(&self.body), chrono::Utc::now())
    }

    /// Returns GitHub's own words on why it did not give what was asked for, without the token.
    pub(super) fn words(&self, token: &SecretString) -> String {
        let body = redact(&String::from_utf8_lossy(&self.body), token);
        let message = serde_json::from_str::<serde_json::Value>(&body)
            .ok()
            .and_then(|body| body.get("message")?.as_str().map(str::to_owned));
        let message = match message {
            Some(message) => message,
            None if self.is_html() => "it sent a web page".to_owned(),
            None if body.trim().is_empty() => "it gave no reason".to_owned(),
            None => body,
        };
        let mut message = printable(&message, MESSAGE_MAX_CHARS);
        let header = |name: &str| self.headers.get(name).and_then(|value| value.to_str().ok());
        if let Some(rest) = header("x-github-sso").and_then(|value| value.strip_prefix("required")) {
            let address = rest.split_once("url=").map(|(_, url)| format!("; authorise it at {}", printable(url, 300)));
            let address = address.unwrap_or_default();
            message.push_str(&format!(" (the token is not authorised for this organisation's SSO{address})"));
        }
        if self.status == StatusCode::FORBIDDEN
            && let Some(wanted) = header("x-accepted-github-permissions").filter(|wanted| !wanted.trim().is_empty())
        {
            message.push_str(&format!(" (this needs the permission {})", printable(wanted, 200)));
        }
        redact(&message, token)
    }

    fn is_html(&self) -> bool {
        let given = self.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        given.to_ascii_lowercase().starts_with("text/html") || is_web_page(&String::from_utf8_lossy(&self.body))
    }
}
