//! What every conversation over HTTP has in common: whom it trusts, which proxies it goes through, which requests are simply
//! sent again, and how it fails.
//!
//! Knows neither GitHub nor git. What a newcomer would get wrong: a server may close a kept-alive connection at any moment,
//! also in the moment in which a request is on its way; that says nothing about the request.

mod failure;
mod proxy;
mod trust;

use std::path::Path;
use std::time::Duration;

pub use failure::Failure;

/// Builds an HTTP client.
///
/// Redirects are not followed: whoever follows one decides who sees the token.
///
/// # Errors
/// In words, if the certificates or the proxies that are configured cannot be used.
pub(crate) fn client(ca_file: Option<&Path>, stall_timeout: Duration) -> Result<reqwest::Client, String> {
    let mut builder = reqwest::Client::builder()
        // Git servers tell git clients from browsers by the first word; octocrab sets its own name.
        .user_agent(concat!("git/2.0 (ghbk ", env!("CARGO_PKG_VERSION"), ")"))
        .connect_timeout(stall_timeout.min(Duration::from_secs(30)))
        .read_timeout(stall_timeout)
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .tls_backend_preconfigured(trust::tls(ca_file)?)
        .no_proxy();
    for proxy in proxy::proxies()? {
        builder = builder.proxy(proxy);
    }
    builder.build().map_err(|error| error.without_url().to_string())
}

/// How often a request is sent again at once because its connection died before the answer began.
pub(crate) const RESENDS_MAX: u32 = 2;

/// Returns whether the connection died before the answer began, so that a GET may be sent again whatever else is retried.
///
/// A connection that was never made, and silence, say more than that.
pub(crate) fn died_before_answer(error: &reqwest::Error) -> bool {
    error.is_request() && !error.is_connect() && !error.is_timeout()
}
