//! What every conversation over HTTP has in common: whom it trusts, which proxies it goes through, which requests are simply
//! sent again, and how it fails.
//!
//! Knows neither GitHub nor git. What a newcomer would get wrong: a server may close a kept-alive connection at any moment, even
//! while a request is on its way; that says nothing about the request.

mod body;
mod failure;
mod proxy;
mod trust;

use std::path::Path;
use std::time::Duration;

use chrono::{DateTime, Utc};
use reqwest::{RequestBuilder, Response, StatusCode};

pub(crate) use body::{Trouble, Unread, pieces_of, read_bounded};
pub use failure::Failure;

/// Builds an HTTP client.
///
/// Redirects are not followed: whoever follows one decides who sees the token.
///
/// # Errors
/// In words, if the certificates or the proxies that are configured cannot be used.
pub(crate) fn client(ca_file: Option<&Path>, stall_timeout: Duration) -> Result<reqwest::Client, String> {
    let mut builder = reqwest::Client::builder()
        // Git servers tell git clients from browsers by the first word; requests to the REST API name ghbk instead.
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
const RESENDS_MAX: u32 = 2;

/// Sends a request that is safe to repeat. If its connection dies before the answer begins, sends it again at once, whatever else
/// is retried. A request whose body cannot be sent twice is sent once.
///
/// # Errors
/// As [`reqwest::RequestBuilder::send`].
pub(crate) async fn send(request: RequestBuilder) -> reqwest::Result<Response> {
    let mut resends = 0;
    loop {
        let Some(again) = request.try_clone() else { return request.send().await };
        match again.send().await {
            Err(error) if resends < RESENDS_MAX && died_before_answer(&error) => resends += 1,
            answered => return answered,
        }
    }
}

/// A connection that was never made, or that timed out, did not merely die.
fn died_before_answer(error: &reqwest::Error) -> bool {
    error.is_request() && !error.is_connect() && !error.is_timeout()
}

/// Returns whether an answer redirects to another address; not every 3xx does.
pub(crate) fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

/// Reads a date in the format that RFC 9110 prescribes (`IMF-fixdate`), not in its two obsolete ones. The weekday is ignored: a
/// wrong one does not make the rest of the date wrong.
pub(crate) fn http_date(text: &str) -> Option<DateTime<Utc>> {
    let date = text.split_once(',').map_or(text, |(_, date)| date);
    DateTime::parse_from_rfc2822(date.trim()).ok().map(|date| date.to_utc())
}
