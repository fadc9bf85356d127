//! The LFS server beside a git server: batch requests, downloads and uploads on the shared HTTP client.
//!
//! Touches the network, never the store. What a newcomer would get wrong: who gets what. The token goes to the server that was
//! configured and to nobody else; the address of a content belongs to another host, holds a signature, and gets exactly the
//! headers that came with it.

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use chrono::Utc;
use http::HeaderMap;
use reqwest::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, DATE, LOCATION, RANGE};
use reqwest::{Body, Client, Response, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::batch::{self, Action, Granted, Operation};
use super::error::LfsError;
use crate::disk::DiskError;
use crate::git::pointer::{LfsOid, Pointer};
use crate::github::Credentials;
use crate::limits::{Gate, Refusal, Waited};
use crate::network::{self, Failure, Trouble, http_date, is_redirect, pieces_of, read_bounded};
use crate::text::{is_web_page, printable, redact};

const MEDIA_TYPE: &str = "application/vnd.git-lfs+json";
/// GitHub names this user for every kind of token.
const TOKEN_USER: &str = "x-access-token";
/// A hundred objects with signed addresses are a hundred kilobytes.
const ANSWER_MAX_BYTES: usize = 8 * 1024 * 1024;
const ERROR_BODY_MAX_BYTES: usize = 8 * 1024;
const REDIRECTS_MAX: usize = 3;

/// Speaks to LFS servers with one set of credentials.
#[derive(Clone, Debug)]
pub struct LfsServer {
    client: Client,
    /// Any address of the one server that gets the token.
    home: Url,
    credentials: Arc<Credentials>,
    gate: Arc<Gate>,
}

/// A content that is arriving.
pub(super) struct Arriving {
    /// The number of its first byte.
    pub(super) from: u64,
    pub(super) response: Response,
}

impl LfsServer {
    /// Prepares to speak to LFS servers.
    pub fn new(home: Url, client: Client, credentials: Arc<Credentials>, gate: Arc<Gate>) -> Self {
        Self { client, home, credentials, gate }
    }

    /// Returns the gate that every request waits for.
    pub(super) fn gate(&self) -> &Gate {
        &self.gate
    }

    /// Asks what is to be done with large files. An endpoint is an address that ends in `/info/lfs`, or what `lfs.url` says.
    ///
    /// # Errors
    /// [`LfsError`], for all of them.
    pub async fn batch(
        &self,
        endpoint: &Url,
        operation: Operation,
        pointers: &[Pointer],
        waited: &Waited,
    ) -> Result<HashMap<LfsOid, Granted>, LfsError> {
        let mut url = endpoint.clone();
        url.set_path(&format!("{}/objects/batch", endpoint.path().trim_end_matches('/')));
        let body = Bytes::from(batch::request(operation, pointers));
        for _ in 0..=REDIRECTS_MAX {
            self.gate.before_lfs(waited).await?;
            let request = self.client.post(url.clone()).header(ACCEPT, MEDIA_TYPE).header(CONTENT_TYPE, MEDIA_TYPE);
            let mut request = request.body(body.clone());
            let is_home = url.origin() == self.home.origin();
            let token = if is_home { Some(self.credentials.token().await?) } else { None };
            if let Some(token) = &token {
                request = request.basic_auth(TOKEN_USER, Some(token.expose_secret()));
            }
            // Asking twice does no harm.
            let response = network::send(request).await.map_err(connection)?;
            if is_redirect(response.status()) {
                url = redirected(&url, &response)?;
                if url.origin() != endpoint.origin() {
                    let host = url.host_str().unwrap_or("?");
                    return Err(LfsError::RedirectedElsewhere(printable(host, 100)));
                }
                continue;
            }
            let response = accept(response, token.as_ref()).await?;
            if response.status() != StatusCode::OK {
                return Err(LfsError::Protocol(response.status().to_string()));
            }
            let date = response.headers().get(DATE).and_then(|date| date.to_str().ok()).and_then(http_date);
            let answer = read_bounded(response, ANSWER_MAX_BYTES).await?;
            let context = (&url, date.unwrap_or_else(Utc::now));
            return batch::parse(&answer, operation, context).map_err(LfsError::Protocol);
        }
        Err(LfsError::Protocol("too many redirects".to_owned()))
    }

    /// Begins to fetch a content, from a byte on if the server can.
    ///
    /// # Errors
    /// [`LfsError`].
    pub(super) async fn download(
        &self,
        endpoint: &Url,
        action: &Action,
        from: u64,
        pointer: Pointer,
    ) -> Result<Arriving, LfsError> {
        let (mut url, mut headers) = (action.href.clone(), action.headers.clone());
        for _ in 0..=REDIRECTS_MAX {
            check_address(&url, endpoint)?;
            // If it were unpacked on its way, a content could be neither measured nor resumed.
            let request = self.client.get(url.clone()).headers(headers.clone()).header(ACCEPT_ENCODING, "identity");
            let last = pointer.size_bytes.saturating_sub(1);
            let request = if from > 0 { request.header(RANGE, format!("bytes={from}-{last}")) } else { request };
            let response = network::send(request).await.map_err(connection)?;
            match response.status() {
                status if is_redirect(status) => {
                    let to = redirected(&url, &response)?;
                    if to.origin() != url.origin() {
                        headers = HeaderMap::new();
                    }
                    url = to;
                }
                StatusCode::PARTIAL_CONTENT if from > 0 && begins_at(&response) == Some(from) => {
                    return Ok(Arriving { from, response });
                }
                StatusCode::OK => return Ok(Arriving { from: 0, response }),
                StatusCode::RANGE_NOT_SATISFIABLE | StatusCode::PARTIAL_CONTENT if from > 0 => {
                    return Err(LfsError::Protocol(format!("it did not resume at byte {from}")));
                }
                _ => {
                    let status =
                        accept(response, None).await.map_err(|error| error.without(&action.secrets()))?.status();
                    return Err(LfsError::Protocol(format!("{status} instead of the content")));
                }
            }
        }
        Err(LfsError::Protocol("too many redirects".to_owned()))
    }

    /// Sends a content, and confirms it where the server wants that.
    ///
    /// # Errors
    /// [`LfsError`].
    pub async fn upload(
        &self,
        endpoint: &Url,
        (transfer, verify): (&Action, Option<&Action>),
        path: &Path,
        pointer: Pointer,
    ) -> Result<(), LfsError> {
        check_address(&transfer.href, endpoint)?;
        let file = tokio::fs::File::open(path).await.map_err(DiskError::io("open", path))?;
        let mut request = self.client.put(transfer.href.clone()).headers(transfer.headers.clone());
        if !transfer.headers.contains_key(CONTENT_TYPE) {
            request = request.header(CONTENT_TYPE, "application/octet-stream");
        }
        let request = request.header(CONTENT_LENGTH, pointer.size_bytes).body(Body::wrap_stream(pieces_of(file)));
        accept(request.send().await.map_err(connection)?, None).await?;
        let Some(verify) = verify else { return Ok(()) };
        check_address(&verify.href, endpoint)?;
        let body = serde_json::json!({ "oid": pointer.oid, "size": pointer.size_bytes }).to_string();
        let request = self.client.post(verify.href.clone()).header(ACCEPT, MEDIA_TYPE);
        let request = request.header(CONTENT_TYPE, MEDIA_TYPE).headers(verify.headers.clone()).body(body);
        accept(network::send(request).await.map_err(connection)?, None).await.map(drop)
    }
}

/// Reads where a part of a content begins.
fn begins_at(response: &Response) -> Option<u64> {
    let range = response.headers().get(CONTENT_RANGE)?.to_str().ok()?;
    range.strip_prefix("bytes ")?.split_once('-')?.0.parse().ok()
}

fn redirected(from: &Url, response: &Response) -> Result<Url, LfsError> {
    let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
    let to = location.and_then(|location| from.join(location).ok());
    to.ok_or_else(|| LfsError::Protocol("a redirect without an address".to_owned()))
}

/// Refuses an address that no LFS server would name: one without TLS, or inside our own network, such as the one where an
/// instance asks for its credentials.
fn check_address(url: &Url, server: &Url) -> Result<(), LfsError> {
    let refused = |why: &str| {
        let host = url.host_str().unwrap_or("no host");
        Err(LfsError::Address(format!("{} ({why})", printable(host, 100))))
    };
    match url.scheme() {
        "https" => {}
        // Only a server on this machine may be spoken to without TLS.
        "http" if server.scheme() == "http" => {}
        _ => return refused("without TLS"),
    }
    if url.host_str() == server.host_str() {
        return Ok(());
    }
    let address = match url.host() {
        Some(url::Host::Ipv4(address)) => IpAddr::V4(address),
        Some(url::Host::Ipv6(address)) => IpAddr::V6(address),
        Some(url::Host::Domain(_)) => return Ok(()),
        None => return refused("no host"),
    };
    if is_inside(address) { refused("an address inside a private network") } else { Ok(()) }
}

fn is_inside(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(it) => it.is_loopback() || it.is_private() || it.is_link_local() || it.is_unspecified(),
        IpAddr::V6(it) => {
            let embedded = it.to_ipv4().is_some_and(|it| is_inside(IpAddr::V4(it)));
            it.is_loopback() || it.is_unique_local() || it.is_unicast_link_local() || it.is_unspecified() || embedded
        }
    }
}

/// Turns every status but those of success into an error.
async fn accept(response: Response, token: Option<&SecretString>) -> Result<Response, LfsError> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    if status == StatusCode::PROXY_AUTHENTICATION_REQUIRED {
        return Err(LfsError::Unreachable(Failure::of_proxy(response.url())));
    }
    let headers = response.headers().clone();
    // The body only explains; a failure to read it must not hide the status.
    let body = read_bounded(response, ERROR_BODY_MAX_BYTES).await.unwrap_or_default();
    let body = String::from_utf8_lossy(&body);
    let body = token.map_or_else(|| body.to_string(), |token| redact(&body, token));
    let said = said(&body);
    // GitHub and others say so with different statuses: 403, 422, 509.
    let speaks_of_quota = ["data quota", "bandwidth limit", "over quota", "exceeded its lfs budget"];
    if status.as_u16() == 509 || speaks_of_quota.iter().any(|sign| said.to_ascii_lowercase().contains(sign)) {
        return Err(LfsError::OverQuota(said));
    }
    if let Some(refusal) = Refusal::read(status, &headers, &body, Utc::now()) {
        return Err(LfsError::RateLimited { status, refusal });
    }
    Err(match status {
        StatusCode::UNAUTHORIZED if token.is_some() => LfsError::Unauthorized,
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => LfsError::Forbidden { status, said },
        StatusCode::NOT_FOUND | StatusCode::GONE => {
            let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
            let is_lfs = content_type.is_some_and(|given| given.starts_with(MEDIA_TYPE));
            LfsError::NotFound { status, is_lfs, said }
        }
        StatusCode::PAYLOAD_TOO_LARGE => LfsError::TooMany,
        status => LfsError::Status { status, said },
    })
}

/// Returns the server's own words: the message of an answer in JSON.
fn said(body: &str) -> String {
    if is_web_page(body) {
        return "a web page".to_owned();
    }
    let message = serde_json::from_str::<serde_json::Value>(body).ok();
    let message = message.as_ref().and_then(|body| body.get("message")?.as_str());
    printable(message.unwrap_or(body), 400)
}

/// Describes a failure of the HTTP client down to its cause.
pub(super) fn connection(error: reqwest::Error) -> LfsError {
    Trouble::from(error).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_fetched_without_tls_or_from_inside_of_a_network() {
        let github: Url = "https://github.com/acme/site.git".parse().unwrap();
        let local: Url = "http://127.0.0.1:8080/acme/site.git".parse().unwrap();
        let inside: Url = "https://10.0.0.5/acme/site.git".parse().unwrap();
        let is_fetched = |url: &str, server: &Url| check_address(&url.parse().unwrap(), server).is_ok();
        assert!(is_fetched("https://github-cloud.githubusercontent.com/x?y", &github));
        for url in [
            "http://github-cloud.githubusercontent.com/x",
            "http://169.254.169.254/latest/meta-data/",
            "https://169.254.169.254/",
            "https://[::1]/",
            "https://[::ffff:169.254.169.254]/",
            "https://192.168.1.1/",
            "file:///etc/passwd",
        ] {
            assert!(!is_fetched(url, &github), "{url}");
        }
        assert!(is_fetched("http://127.0.0.1:9090/x", &local));
        assert!(!is_fetched("http://169.254.169.254/", &local));
        assert!(is_fetched("https://10.0.0.5:444/x", &inside), "a server of one's own inside of one's own network");
        assert!(!is_fetched("https://10.0.0.6/x", &inside));
    }
}
