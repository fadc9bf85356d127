//! Failures of the network that will not pass by themselves, or that lie with a proxy, told apart from all others.

use std::fmt;

use url::Url;

use super::proxy;
use crate::text::{chain, printable};

const TEXT_MAX_CHARS: usize = 400;

/// A failure that a person has to do something about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    text: String,
    cause: Cause,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    Untrusted,
    Certificate,
    NoSuchHost,
    Proxy,
    ProxyLogin,
}

impl Failure {
    /// Returns the failure in an error of the HTTP client; `None` if it is an ordinary one, which may pass.
    pub(crate) fn of(error: &reqwest::Error) -> Option<Self> {
        let text = chain(error);
        if let Some((_, reason)) = text.split_once("invalid peer certificate: ") {
            let (cause, text) = match reason {
                reason if reason.starts_with("UnknownIssuer") => {
                    (Cause::Untrusted, "its certificate is not trusted (unknown issuer)".to_owned())
                }
                // An authority of the same name is trusted, but with another key: it was made anew, or is somebody else's.
                reason if reason.starts_with("BadSignature") => {
                    (Cause::Untrusted, "its certificate is not trusted (signed with another key)".to_owned())
                }
                reason => (Cause::Certificate, format!("its certificate is not accepted: {reason}")),
            };
            return Some(Self { text: printable(&text, TEXT_MAX_CHARS), cause });
        }
        if !error.is_connect() {
            return None;
        }
        let reason = printable(&text, TEXT_MAX_CHARS);
        if let Some(proxy) = error.url().and_then(proxy::used_for) {
            let reason = innermost(&reason);
            let wants_login = reason.contains("proxy authorization required");
            let cause = if wants_login { Cause::ProxyLogin } else { Cause::Proxy };
            return Some(Self { text: format!("through the proxy {proxy}: {reason}"), cause });
        }
        let unknown = ["Name or service not known", "No address associated with hostname"];
        let is_unknown = unknown.iter().any(|sign| text.contains(sign));
        is_unknown.then(|| {
            let host = error.url().and_then(Url::host_str).unwrap_or("?");
            Self { text: format!("there is no host {}", printable(host, 100)), cause: Cause::NoSuchHost }
        })
    }

    /// Returns the failure of a proxy that asks for a login (407).
    pub(crate) fn of_proxy(url: &Url) -> Self {
        let proxy = proxy::used_for(url).unwrap_or_else(|| "on the way".to_owned());
        Self { text: format!("the proxy {proxy} asks for a user name and a password (407)"), cause: Cause::ProxyLogin }
    }

    /// Returns what a person can do about it.
    pub(crate) fn hint(&self) -> &'static str {
        match self.cause {
            Cause::Untrusted => {
                "name the server's certificate, or that of its authority, in github.ca_file or SSL_CERT_FILE, or add it to the \
                 system's trust store"
            }
            Cause::Certificate => "check the server's certificate (its name, its dates) and github.api_url",
            Cause::NoSuchHost => "check the spelling of github.api_url, and this machine's name service",
            Cause::Proxy => {
                "check HTTPS_PROXY, HTTP_PROXY and ALL_PROXY; hosts in NO_PROXY are reached without a proxy"
            }
            Cause::ProxyLogin => {
                "put them into HTTPS_PROXY, as in http://USER:PASSWORD@HOST:PORT; hosts in NO_PROXY are reached without a proxy"
            }
        }
    }

    /// Returns whether it may pass.
    pub(crate) fn may_pass(&self) -> bool {
        self.cause == Cause::Proxy
    }
}

/// Leaves out what the HTTP client says around a cause, including the address of the request.
fn innermost(chain: &str) -> &str {
    chain.rsplit_once("client error (Connect): ").map_or(chain, |(_, inner)| inner)
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
