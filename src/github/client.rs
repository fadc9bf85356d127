//! Questions to the REST API: asked with the run's token, retried within bounds, and every refusal told apart.

use std::sync::Arc;
use std::time::Duration;

use http::header::LOCATION;
use http::{HeaderMap, Method};
use reqwest::StatusCode;
use secrecy::SecretString;
use serde_json::Value;
use url::Url;

use super::api::{Answer, Api};
use super::link::related;
use super::{Credentials, GitHubError, Notices};
use crate::config::GitHubConfig;
use crate::limits::{Resource, with_retries};
use crate::network::{self, is_redirect};
use crate::text::printable;

/// Speaks to GitHub's REST API.
#[derive(Debug)]
pub struct GitHub {
    api: Arc<Api>,
    credentials: Arc<Credentials>,
    retries: u32,
}

/// Whose token it is, and what it may do.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The account's login; `None` for an app's installation.
    pub login: Option<String>,
    /// The scopes of a classic token; `None` for the others.
    pub scopes: Option<String>,
}

/// Builds the one HTTP client of a run: GitHub's API, git server and Slack share its pool and its TLS.
///
/// # Errors
/// [`GitHubError::Setup`] if the certificates or the proxies that are configured cannot be used.
pub fn http_client(config: &GitHubConfig, stall_timeout: Duration) -> Result<reqwest::Client, GitHubError> {
    network::client(config.ca_file.as_deref(), stall_timeout).map_err(GitHubError::Setup)
}

/// One page and what its headers say.
pub(super) struct Page {
    /// The entries, read one by one: a bad one costs only itself.
    pub(super) items: Vec<Value>,
    pub(super) total_count: Option<u64>,
    pub(super) next: Option<Url>,
    pub(super) headers: HeaderMap,
}

impl GitHub {
    /// Prepares a client.
    pub fn new(api: Arc<Api>, credentials: Arc<Credentials>, retries: u32) -> Self {
        Self { api, credentials, retries }
    }

    /// Returns whether an app's installation is used.
    pub(super) fn is_app(&self) -> bool {
        self.credentials.is_app()
    }

    /// Returns what the headers of all answers said so far.
    pub fn notices(&self) -> Notices {
        self.api.notices()
    }

    /// Asks who the token belongs to.
    ///
    /// # Errors
    /// [`GitHubError`].
    pub async fn identity(&self) -> Result<Identity, GitHubError> {
        if self.is_app() {
            with_retries(self.api.gate(), self.retries, "the app's token", async || self.credentials.token().await)
                .await?;
            return Ok(Identity { login: None, scopes: None });
        }
        let what = "the token's user";
        let (user, headers) = self.get(&self.url("user"), what).await?;
        let Some(login) = user.get("login").and_then(Value::as_str) else {
            return Err(GitHubError::Unreadable { what: what.to_owned(), reason: "it names no login".to_owned() });
        };
        let scopes = headers.get("x-oauth-scopes").and_then(|value| value.to_str().ok());
        Ok(Identity { login: Some(printable(login, 100)), scopes: scopes.map(|text| printable(text, 200)) })
    }

    /// Returns the address of an endpoint.
    pub(super) fn url(&self, endpoint: &str) -> Url {
        self.api.endpoint(endpoint)
    }

    /// Reads one object.
    pub(super) async fn get(&self, url: &Url, what: &str) -> Result<(Value, HeaderMap), GitHubError> {
        with_retries(self.api.gate(), self.retries, what, async || {
            let answer = self.send(url, what).await?;
            let value = answer.json(what)?;
            if !value.is_object() {
                let reason = "it is JSON, but no object".to_owned();
                return Err(GitHubError::Unreadable { what: what.to_owned(), reason });
            }
            Ok((value, answer.headers))
        })
        .await
    }

    /// Reads one page of a listing.
    pub(super) async fn page(&self, url: &Url, what: &str) -> Result<Page, GitHubError> {
        with_retries(self.api.gate(), self.retries, what, async || {
            let answer = self.send(url, what).await?;
            let next = related(&answer.headers, "next").map(|address| self.api.own(address, what)).transpose()?;
            let (items, total_count) = list(answer.json(what)?, what)?;
            Ok(Page { items, total_count, next, headers: answer.headers })
        })
        .await
    }

    /// Accepts an address that GitHub gave if it leads back to GitHub.
    pub(super) fn own(&self, address: &str, what: &str) -> Result<Url, GitHubError> {
        self.api.own(address, what)
    }

    /// Asks until GitHub answers or has been asked often enough.
    pub(super) async fn send_again(&self, url: &Url, what: &str) -> Result<Answer, GitHubError> {
        with_retries(self.api.gate(), self.retries, what, async || self.send(url, what).await).await
    }

    /// Asks for an answer unless it is still the one that has this `ETag`: 304 is a success, too.
    pub(super) async fn send_unless(&self, url: &Url, etag: Option<&str>, what: &str) -> Result<Answer, GitHubError> {
        with_retries(self.api.gate(), self.retries, what, async || self.follow(url, etag, what).await).await
    }

    async fn send(&self, url: &Url, what: &str) -> Result<Answer, GitHubError> {
        self.follow(url, None, what).await
    }

    /// Sends a GET and turns every status that is not a success into an error; a moved repository is followed.
    async fn follow(&self, url: &Url, etag: Option<&str>, what: &str) -> Result<Answer, GitHubError> {
        let mut url = url.clone();
        // GitHub redirects a renamed repository once; a chain is a mistake.
        for _ in 0..3 {
            let token = self.credentials.token().await?;
            let answer = self.api.exchange_unless(Method::GET, &url, &token, what, etag).await?;
            let is_same = answer.status == StatusCode::NOT_MODIFIED && etag.is_some();
            if answer.status.is_success() || is_same {
                return Ok(answer);
            }
            if !is_redirect(answer.status) {
                return Err(refused(&answer, &token, what));
            }
            let location = answer.headers.get(LOCATION).and_then(|value| value.to_str().ok());
            url = self.api.own(location.unwrap_or_default(), what)?;
        }
        Err(GitHubError::Unreadable { what: what.to_owned(), reason: "too many redirects".to_owned() })
    }
}

/// Takes the entries out of a page: the whole body, or its `repositories` if the listing has a count of its own.
pub(super) fn list(body: Value, what: &str) -> Result<(Vec<Value>, Option<u64>), GitHubError> {
    match body {
        Value::Array(items) => Ok((items, None)),
        Value::Object(mut body) => match body.remove("repositories") {
            Some(Value::Array(items)) => Ok((items, body.get("total_count").and_then(Value::as_u64))),
            _ => Err(no_list(what)),
        },
        _ => Err(no_list(what)),
    }
}

fn no_list(what: &str) -> GitHubError {
    GitHubError::Unreadable { what: what.to_owned(), reason: "it is JSON, but no list of repositories".to_owned() }
}

/// Returns what an unsuccessful answer means.
pub(super) fn refused(answer: &Answer, token: &SecretString, what: &str) -> GitHubError {
    let status = answer.status;
    if let Some(refusal) = answer.refusal() {
        return GitHubError::RateLimited { resource: Resource::Api, status, refusal };
    }
    let (message, what) = (answer.words(token), what.to_owned());
    match status {
        StatusCode::UNAUTHORIZED => GitHubError::Unauthorized,
        StatusCode::FORBIDDEN => GitHubError::Forbidden { what, message },
        StatusCode::NOT_FOUND => GitHubError::NotFound { what },
        StatusCode::GONE => GitHubError::Retired { what, message },
        StatusCode::UNAVAILABLE_FOR_LEGAL_REASONS => GitHubError::LegallyBlocked { what },
        status => GitHubError::Status { status, what, message },
    }
}
