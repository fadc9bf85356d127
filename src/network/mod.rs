//! What every conversation over HTTP has in common: which requests are simply sent again.
//!
//! Knows neither GitHub nor git. What a newcomer would get wrong: a server may close a kept-alive connection at any moment,
//! also in the moment in which a request is on its way; that says nothing about the request.

/// How often a request is sent again at once because its connection died before the answer began.
pub(crate) const RESENDS_MAX: u32 = 2;

/// Returns whether the connection died before the answer began, so that a GET may be sent again whatever else is retried.
///
/// A connection that was never made, and silence, say more than that.
pub(crate) fn died_before_answer(error: &reqwest::Error) -> bool {
    error.is_request() && !error.is_connect() && !error.is_timeout()
}
