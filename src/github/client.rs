//! One request to the REST API: authenticated by octocrab, let through by the gate, retried within bounds.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use octocrab::{FromResponse, Octocrab, Page};
use reqwest::StatusCode;
use reqwest::header::LOCATION;
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use tokio::sync::Mutex;
use url::Url;

use super::{Credentials, GitHubError};
use crate::limits::{Gate, Refusal, with_retries};
use crate::text::{chain, printable, redact};

/// Speaks to GitHub's REST API.
#[derive(Debug)]
pub struct GitHub {
    api_url: Url,
    http: reqwest::Client,
    credentials: Arc<Credentials>,
    gate: Arc<Gate>,
    retries: u32,
    request_timeout: Duration,
    /// The octocrab that holds the current token.
    current: Mutex<Option<(SecretString, Octocrab)>>,
}

/// Says whose token it is and what it may do.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The account's login; none for an app's installation.
    pub login: Option<String>,
    /// The scopes of a classic token; none for the others.
    pub scopes: Option<String>,
}

/// A whole answer may take so many times as long as a silence on the line.
const REQUEST_TIMEOUT_FACTOR: u32 = 2;
const ERROR_MESSAGE_MAX_CHARS: usize = 200;

/// Builds the one HTTP client of a run: GitHub's API, git server and Slack share its pool and its TLS.
///
/// Redirects are not followed: whoever follows one decides who sees the token.
///
/// # Errors
/// [`GitHubError::Setup`] if TLS cannot be set up.
pub fn http_client(stall_timeout: Duration) -> Result<reqwest::Client, GitHubError> {
    reqwest::Client::builder()
        // Git servers tell git clients from browsers by the first word; octocrab sets its own name.
        .user_agent(concat!("git/2.0 (ghbk ", env!("CARGO_PKG_VERSION"), ")"))
        .connect_timeout(stall_timeout.min(Duration::from_secs(30)))
        .read_timeout(stall_timeout)
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .build()
        .map_err(|error| GitHubError::Setup(error.without_url().to_string()))
}

/// One page and what its headers say.
pub(super) struct PageOf<T> {
    pub(super) items: Vec<T>,
    pub(super) total_count: Option<u64>,
    pub(super) next: Option<Url>,
    pub(super) headers: HeaderMap,
}

type BoxBody = http_body_util::combinators::BoxBody<Bytes, octocrab::Error>;
type Response = http::Response<BoxBody>;

impl GitHub {
    /// Prepares a client.
    pub fn new(
        api_url: Url,
        http: reqwest::Client,
        credentials: Arc<Credentials>,
        gate: Arc<Gate>,
        retries: u32,
        stall_timeout: Duration,
    ) -> Self {
        let request_timeout = stall_timeout * REQUEST_TIMEOUT_FACTOR;
        Self { api_url, http, credentials, gate, retries, request_timeout, current: Mutex::new(None) }
    }

    /// Says whether an app's installation is used.
    pub(super) fn is_app(&self) -> bool {
        self.credentials.is_app()
    }

    /// Asks who the token belongs to.
    ///
    /// # Errors
    /// [`GitHubError`].
    pub async fn identity(&self) -> Result<Identity, GitHubError> {
        #[derive(serde::Deserialize)]
        struct User {
            login: String,
        }
        if self.is_app() {
            self.credentials.token().await?;
            return Ok(Identity { login: None, scopes: None });
        }
        let (user, headers): (User, HeaderMap) = self.get(&self.url("user"), "the token's user").await?;
        let scopes = headers.get("x-oauth-scopes").and_then(|value| value.to_str().ok());
        Ok(Identity { login: Some(user.login), scopes: scopes.map(|text| printable(text, 200)) })
    }

    /// Returns the address of an endpoint.
    pub(super) fn url(&self, endpoint: &str) -> Url {
        let base = self.api_url.as_str().trim_end_matches('/');
        format!("{base}/{endpoint}").parse().unwrap_or_else(|_| self.api_url.clone())
    }

    /// Reads one object.
    pub(super) async fn get<T: DeserializeOwned>(&self, url: &Url, what: &str) -> Result<(T, HeaderMap), GitHubError> {
        with_retries(&self.gate, self.retries, async || {
            let response = self.send(url, what).await?;
            let headers = response.headers().clone();
            let object = <T as FromResponse>::from_response(response).await;
            let object = object.map_err(|error| from_octocrab(error, what))?;
            Ok((object, headers))
        })
        .await
    }

    /// Reads one page of a listing.
    pub(super) async fn page<T: DeserializeOwned>(&self, url: &Url, what: &str) -> Result<PageOf<T>, GitHubError> {
        with_retries(&self.gate, self.retries, async || {
            let response = self.send(url, what).await?;
            let headers = response.headers().clone();
            let page = Page::<T>::from_response(response).await.map_err(|error| from_octocrab(error, what))?;
            let next = page.next.map(|uri| self.own(&uri.to_string(), what)).transpose()?;
            Ok(PageOf { items: page.items, total_count: page.total_count, next, headers })
        })
        .await
    }

    /// Bounds what the network may take; time spent waiting for the gate does not count.
    async fn within_time<T>(&self, exchange: impl Future<Output = Result<T, GitHubError>>) -> Result<T, GitHubError> {
        let within = tokio::time::timeout(self.request_timeout, exchange).await;
        within.unwrap_or_else(|_| Err(GitHubError::Connection("no answer in time".to_owned())))
    }

    /// Sends a GET and turns every status but 200 into an error; a moved repository is followed.
    async fn send(&self, url: &Url, what: &str) -> Result<Response, GitHubError> {
        let mut url = url.clone();
        // GitHub redirects a renamed repository once; a chain is a mistake.
        for _ in 0..3 {
            self.gate.before_api().await;
            let token = self.credentials.token().await?;
            let octocrab = self.octocrab(&token).await?;
            let exchange = async {
                let response = octocrab._get(url.as_str()).await.map_err(|error| from_octocrab(error, what))?;
                let (parts, body) = response.into_parts();
                let body = match whole(body, what).await {
                    Ok(body) => body,
                    // Of a refusal the body only explains; a failure to read it must not hide the status.
                    Err(_) if !parts.status.is_success() => Bytes::new(),
                    Err(error) => return Err(error),
                };
                let body = Full::new(body).map_err(|never| match never {}).boxed();
                Ok::<Response, GitHubError>(Response::from_parts(parts, body))
            };
            let response = self.within_time(exchange).await?;
            let status = response.status();
            tracing::debug!(%url, status = status.as_u16(), "answered");
            if status.is_success() {
                return Ok(response);
            }
            if status.is_redirection() {
                let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
                url = self.own(location.unwrap_or_default(), what)?;
                continue;
            }
            let headers = response.headers().clone();
            let body = octocrab.body_to_string(response).await.unwrap_or_default();
            return Err(refused(status, &headers, &redact(&body, &token), what));
        }
        Err(GitHubError::Unreadable { what: what.to_owned(), reason: "too many redirects".to_owned() })
    }

    /// Accepts an address that GitHub gave if it leads back to GitHub.
    fn own(&self, address: &str, what: &str) -> Result<Url, GitHubError> {
        let unreadable =
            |_| GitHubError::Unreadable { what: what.to_owned(), reason: "an address is no URL".to_owned() };
        let url = self.api_url.join(address).map_err(unreadable)?;
        if url.origin() == self.api_url.origin() {
            Ok(url)
        } else {
            Err(GitHubError::Elsewhere(printable(url.host_str().unwrap_or("?"), 100)))
        }
    }

    /// Returns the octocrab that sends this token; a new one when the token is new.
    async fn octocrab(&self, token: &SecretString) -> Result<Octocrab, GitHubError> {
        let mut current = self.current.lock().await;
        if let Some((of, octocrab)) = &*current
            && of.expose_secret() == token.expose_secret()
        {
            return Ok(octocrab.clone());
        }
        let octocrab = Octocrab::builder()
            .base_uri(self.api_url.as_str())
            .and_then(|builder| builder.personal_token(token.clone()).build_with_reqwest(self.http.clone()))
            .map_err(|error| GitHubError::Setup(printable(&error.to_string(), ERROR_MESSAGE_MAX_CHARS)))?;
        *current = Some((token.clone(), octocrab.clone()));
        Ok(octocrab)
    }
}

/// A page of a hundred repositories has less than a megabyte.
const ANSWER_MAX_BYTES: usize = 16 * 1024 * 1024;

/// Reads an answer to its end, but no more of it than an answer can have: compressed, a gigabyte is a few kilobytes.
async fn whole(body: BoxBody, what: &str) -> Result<Bytes, GitHubError> {
    let body = Limited::new(body, ANSWER_MAX_BYTES).collect().await.map_err(|error| {
        if error.is::<LengthLimitError>() {
            let reason = format!("an answer of more than {ANSWER_MAX_BYTES} bytes");
            return GitHubError::Unreadable { what: what.to_owned(), reason };
        }
        match error.downcast::<octocrab::Error>() {
            Ok(error) => from_octocrab(*error, what),
            Err(error) => GitHubError::Connection(printable(&chain(&*error), ERROR_MESSAGE_MAX_CHARS)),
        }
    })?;
    Ok(body.to_bytes())
}

fn refused(status: StatusCode, headers: &HeaderMap, body: &str, what: &str) -> GitHubError {
    #[derive(serde::Deserialize)]
    struct Explanation {
        message: String,
    }
    if let Some(refusal) = Refusal::read(status, headers, body, chrono::Utc::now()) {
        return GitHubError::RateLimited { status, refusal };
    }
    let message = serde_json::from_str::<Explanation>(body).map_or_else(|_| body.to_owned(), |body| body.message);
    let mut message = printable(&message, ERROR_MESSAGE_MAX_CHARS);
    if headers.get("x-github-sso").is_some_and(|value| value.as_bytes().starts_with(b"required")) {
        message.push_str(" (the token is not authorised for this organisation's SSO)");
    }
    let what = what.to_owned();
    match status {
        StatusCode::UNAUTHORIZED => GitHubError::Unauthorized,
        StatusCode::FORBIDDEN => GitHubError::Forbidden { what, message },
        StatusCode::NOT_FOUND | StatusCode::GONE => GitHubError::NotFound { what },
        StatusCode::UNAVAILABLE_FOR_LEGAL_REASONS => GitHubError::LegallyBlocked { what },
        status => GitHubError::Status { status, what, message },
    }
}

/// Sorts octocrab's errors into ours; addresses and backtraces are left out.
pub(super) fn from_octocrab(error: octocrab::Error, what: &str) -> GitHubError {
    use octocrab::Error;
    let unreadable = |reason: String| GitHubError::Unreadable {
        what: what.to_owned(),
        reason: printable(&reason, ERROR_MESSAGE_MAX_CHARS),
    };
    match error {
        Error::GitHub { source, .. } => {
            refused(source.status_code, &HeaderMap::new(), &format!("{{\"message\":{:?}}}", source.message), what)
        }
        Error::Serde { source, .. } => unreadable(source.to_string()),
        Error::Json { source, .. } => unreadable(source.to_string()),
        Error::InvalidUtf8 { .. } => unreadable("it is not UTF-8".to_owned()),
        Error::Reqwest { source, .. } => GitHubError::Connection(chain(&source.without_url())),
        Error::Service { source, .. } => match source.downcast::<octocrab::Error>() {
            Ok(source) => from_octocrab(*source, what),
            Err(source) => GitHubError::Connection(printable(&chain(&*source), ERROR_MESSAGE_MAX_CHARS)),
        },
        other => GitHubError::Connection(printable(&chain(&other), ERROR_MESSAGE_MAX_CHARS)),
    }
}
