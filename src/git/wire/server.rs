//! The git server: the two requests of the smart protocol on the shared HTTP client.
//!
//! Touches the network, never the store. What a newcomer would get wrong: redirects. A renamed repository answers
//! 301; it is followed by hand, and only to the same origin, because the token goes with every request.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use bytesize::ByteSize;
use futures_util::StreamExt;
use reqwest::header::{CONTENT_TYPE, LOCATION};
use reqwest::{Client, Response, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::mpsc;
use url::Url;

use super::error::WireError;
use crate::git::GitError;
use crate::git::refs::RefFilter;
use crate::git::wire::advertisement::Advertisement;
use crate::github::Credentials;
use crate::limits::{Gate, Refusal, Turn, Waited};
use crate::network::{self, Failure, Trouble, is_redirect, read_bounded};
use crate::text::{is_web_page, printable, redact};

/// Speaks to one git server with one set of credentials.
#[derive(Debug)]
pub struct GitServer {
    client: Client,
    base: Url,
    credentials: Arc<Credentials>,
    gate: Arc<Gate>,
    repository_size_max: ByteSize,
    refs: RefFilter,
}

/// A hundred thousand refs are seven megabytes; more than this is not a repository but an attack on memory.
pub(crate) const ADVERTISEMENT_MAX_BYTES: usize = 128 * 1024 * 1024;
/// GitHub answers errors in a line or two.
const ERROR_BODY_MAX_BYTES: usize = 8 * 1024;
const REDIRECTS_MAX: usize = 5;
/// GitHub names this user for every kind of token.
pub(crate) const TOKEN_USER: &str = "x-access-token";

impl GitServer {
    /// Prepares for the server that belongs to a REST API's address.
    ///
    /// `repository_size_max` limits an answer with a pack; `refs` chooses what is mirrored.
    pub fn new(
        api_url: &Url,
        client: Client,
        credentials: Arc<Credentials>,
        gate: Arc<Gate>,
        repository_size_max: ByteSize,
        refs: RefFilter,
    ) -> Self {
        Self { client, base: git_base(api_url), credentials, gate, repository_size_max, refs }
    }

    /// Returns the host, with the port if it is not the usual one.
    pub fn host(&self) -> &str {
        host_of_base(&self.base)
    }

    /// Returns the address of a repository, or of a wiki with `OWNER/NAME.wiki`.
    pub(crate) fn address(&self, repository: &str) -> Url {
        let mut url = self.base.clone();
        url.set_path(&format!("{}/{repository}.git", self.base.path().trim_end_matches('/')));
        url
    }

    /// Asks what a repository has. Also returns the address that answered, for the second request.
    ///
    /// # Errors
    /// [`WireError`]; `NotFound` may mean "not for this token".
    pub async fn advertise(&self, repository: &str, waited: &Waited) -> Result<(Advertisement, Url), WireError> {
        let mut repository_url = self.address(repository);
        for _ in 0..=REDIRECTS_MAX {
            let turn = self.gate.before_git(waited).await?;
            let mut url = repository_url.clone();
            url.set_path(&format!("{}/info/refs", repository_url.path()));
            url.set_query(Some("service=git-upload-pack"));
            let token = self.credentials.token().await?;
            let response = get(&self.client, &url, &token).await?;
            if is_redirect(response.status()) {
                repository_url = redirected(&url, &response)?;
                continue;
            }
            let response = accept(response, "application/x-git-upload-pack-advertisement", &token).await;
            let response = settle(&turn, response)?;
            let body = read_bounded(response, ADVERTISEMENT_MAX_BYTES).await?;
            return Ok((Advertisement::parse(&body, &self.refs)?, repository_url));
        }
        Err(WireError::Protocol("too many redirects".to_owned()))
    }

    /// Sends one request for a pack and passes the answer on, chunk by chunk.
    pub(crate) async fn upload_pack(
        &self,
        repository_url: &Url,
        request_body: Vec<u8>,
        (received_bytes, waited): (&AtomicU64, &Waited),
        sink: &mpsc::Sender<Result<Bytes, GitError>>,
    ) -> Result<(), WireError> {
        let turn = self.gate.before_git(waited).await?;
        let mut url = repository_url.clone();
        url.set_path(&format!("{}/git-upload-pack", repository_url.path()));
        let token = self.credentials.token().await?;
        let response = self
            .client
            .post(url)
            .basic_auth(TOKEN_USER, Some(token.expose_secret()))
            .header(CONTENT_TYPE, "application/x-git-upload-pack-request")
            .body(request_body)
            .send()
            .await
            .map_err(connection)?;
        let response = accept(response, "application/x-git-upload-pack-result", &token).await;
        // How soon the first byte of a pack comes depends on its objects, and says nothing about the server.
        if matches!(response, Err(WireError::RateLimited { .. })) {
            turn.refused();
        }
        let mut chunks = response?.bytes_stream();
        let mut answered_bytes = 0;
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(connection)?;
            answered_bytes += chunk.len() as u64;
            if answered_bytes > self.repository_size_max.as_u64() {
                return Err(WireError::TooLarge(self.repository_size_max));
            }
            received_bytes.fetch_add(chunk.len() as u64, Ordering::Relaxed);
            self.gate.pass_bytes(chunk.len()).await;
            if sink.send(Ok(chunk)).await.is_err() {
                return Ok(()); // the receiver has ended: cancelled, or with an error of its own
            }
        }
        Ok(())
    }
}

/// Sends a GET with the token.
pub(crate) async fn get(client: &Client, url: &Url, token: &SecretString) -> Result<Response, WireError> {
    let request = client.get(url.clone()).basic_auth(TOKEN_USER, Some(token.expose_secret()));
    network::send(request).await.map_err(connection)
}

/// Reports to the pace how the server took a request.
fn settle<T>(turn: &Turn<'_>, answered: Result<T, WireError>) -> Result<T, WireError> {
    match &answered {
        Err(WireError::RateLimited { .. }) => turn.refused(),
        _ => turn.answered(),
    }
    answered
}

/// Returns the host of a git server, with the port if it is not the usual one.
pub(crate) fn host_of_base(base: &Url) -> &str {
    &base[url::Position::BeforeHost..url::Position::AfterPort]
}

/// Finds the git server that belongs to a REST API: `github.com` has a host of its own, an enterprise server the same one.
pub(crate) fn git_base(api_url: &Url) -> Url {
    let mut base = api_url.clone();
    match api_url.host_str() {
        Some(host) if host == "api.github.com" || (host.starts_with("api.") && host.ends_with(".ghe.com")) => {
            let host = host.trim_start_matches("api.").to_owned();
            base.set_host(Some(&host)).expect("a host without its first label is a host");
            base.set_path("");
        }
        _ => {
            let path = api_url.path().trim_end_matches('/');
            base.set_path(path.strip_suffix("/api/v3").unwrap_or(path));
        }
    }
    base
}

fn redirected(from: &Url, response: &Response) -> Result<Url, WireError> {
    let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
    let Some(mut to) = location.and_then(|location| from.join(location).ok()) else {
        return Err(WireError::Protocol("a redirect without an address".to_owned()));
    };
    if to.origin() != from.origin() {
        return Err(WireError::RedirectedElsewhere(printable(to.host_str().unwrap_or("?"), 100)));
    }
    let Some(path) = to.path().strip_suffix("/info/refs").map(str::to_owned) else {
        return Err(WireError::Protocol("a redirect to something that is no repository".to_owned()));
    };
    to.set_path(&path);
    to.set_query(None);
    Ok(to)
}

/// Turns every answer but the expected one into an error.
pub(crate) async fn accept(
    response: Response,
    content_type: &str,
    token: &SecretString,
) -> Result<Response, WireError> {
    let status = response.status();
    if status == StatusCode::OK {
        let given = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        // A proxy may add a charset; the type alone shows a git server.
        let essence = given.split(';').next().unwrap_or_default().trim();
        if !essence.eq_ignore_ascii_case(content_type) {
            let given = printable(given, 80);
            return Err(WireError::Protocol(format!("content type {given:?}; is this address a git server?")));
        }
        return Ok(response);
    }
    if status == StatusCode::PROXY_AUTHENTICATION_REQUIRED {
        return Err(WireError::Unreachable(Failure::of_proxy(response.url())));
    }
    let headers = response.headers().clone();
    // The body only explains; a failure to read it must not hide the status.
    let body = read_bounded(response, ERROR_BODY_MAX_BYTES).await.unwrap_or_default();
    let body = redact(&String::from_utf8_lossy(&body), token);
    if let Some(refusal) = Refusal::read(status, &headers, &body, chrono::Utc::now()) {
        return Err(WireError::RateLimited { status, refusal });
    }
    Err(match status {
        StatusCode::UNAUTHORIZED => WireError::Unauthorized,
        StatusCode::FORBIDDEN => WireError::Forbidden(said(&body)),
        StatusCode::NOT_FOUND => WireError::NotFound,
        StatusCode::UNAVAILABLE_FOR_LEGAL_REASONS => WireError::LegallyBlocked,
        status if is_redirect(status) => WireError::Protocol("a redirect of a pack request".to_owned()),
        status => WireError::Status(status),
    })
}

/// Returns the server's own words, which may end with the address of a remedy.
fn said(body: &str) -> String {
    if is_web_page(body) { "it answered with a web page".to_owned() } else { printable(body, 400) }
}

/// Describes a failure of the HTTP client down to its cause.
pub(crate) fn connection(error: reqwest::Error) -> WireError {
    Trouble::from(error).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_git_server_is_found_beside_its_api() {
        for (api, git) in [
            ("https://api.github.com", "https://github.com/"),
            ("https://api.acme.ghe.com", "https://acme.ghe.com/"),
            ("https://git.example.com/api/v3", "https://git.example.com/"),
            ("https://git.example.com/api/v3/", "https://git.example.com/"),
            ("http://127.0.0.1:8080/api/v3", "http://127.0.0.1:8080/"),
        ] {
            assert_eq!(git_base(&api.parse().unwrap()).as_str(), git);
        }
    }
}
