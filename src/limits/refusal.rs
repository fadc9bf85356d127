//! What GitHub says when it is asked too fast: how long to wait, and whether a budget is used up. Pure.
//!
//! What a newcomer would get wrong: times are read against the answer's own `Date`. The clock of this machine may be an hour
//! off, and then ghbk would go on while it is limited, or sleep for nothing.

use std::time::Duration;

use chrono::{DateTime, Utc};
use http::{HeaderMap, StatusCode};

use crate::network::http_date;

/// A server in trouble may ask for this long a wait; more would hold up everything for one repository.
const TROUBLE_PAUSE_MAX: Duration = Duration::from_mins(5);

/// How GitHub wants a client to slow down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It names how long to wait.
    Wait(Duration),
    /// A budget of requests is used up for this long; requests of another budget may continue.
    Spent(Duration),
    /// It names no time: wait at least a minute, longer each time.
    Unhinted,
}

impl Refusal {
    /// Reads a response in the order that GitHub documents; `None` if it does not ask to wait.
    ///
    /// `now` counts only if the answer has no date of its own.
    ///
    /// Source: GitHub's documentation, "Rate limits for the REST API", "Exceeding the rate limit"; RFC 9110, "Retry-After".
    pub fn read(status: StatusCode, headers: &HeaderMap, body: &str, now: DateTime<Utc>) -> Option<Self> {
        let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
        let number = |name: &str| text(name)?.parse::<u64>().ok();
        let now = text("date").and_then(http_date).unwrap_or(now);
        let retry_after = number("retry-after").or_else(|| {
            let until = text("retry-after").and_then(http_date)?;
            Some(u64::try_from(until.timestamp().saturating_sub(now.timestamp())).unwrap_or_default())
        });
        let retry_after = retry_after.map(Duration::from_secs);
        if status.is_server_error() {
            return retry_after.map(|time| Self::Wait(time.min(TROUBLE_PAUSE_MAX)));
        }
        if status != StatusCode::FORBIDDEN && status != StatusCode::TOO_MANY_REQUESTS {
            return None;
        }
        if let Some(time) = retry_after {
            return Some(Self::Wait(time));
        }
        if number("x-ratelimit-remaining") == Some(0)
            && let Some(reset) = number("x-ratelimit-reset")
        {
            let now = u64::try_from(now.timestamp()).unwrap_or_default();
            // One second more: `Date` has no fractions.
            return Some(Self::Spent(Duration::from_secs(reset.saturating_sub(now).saturating_add(1))));
        }
        let said = body.to_ascii_lowercase();
        let limited = ["rate limit", "abuse detection"].iter().any(|sign| said.contains(sign));
        (status == StatusCode::TOO_MANY_REQUESTS || limited).then_some(Self::Unhinted)
    }
}

/// Describes a status that asks to wait, in words that follow a server's name.
pub(crate) fn words(status: StatusCode) -> &'static str {
    if status.is_server_error() { " has trouble and asks to wait" } else { "'s rate limit is used up" }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| ((*name).parse().unwrap(), value.parse().unwrap())).collect()
    }

    fn read(status: u16, pairs: &[(&'static str, &str)], body: &str) -> Option<Refusal> {
        let now = DateTime::from_timestamp(1_000_000, 0).unwrap();
        Refusal::read(StatusCode::from_u16(status).unwrap(), &headers(pairs), body, now)
    }

    #[test]
    fn signals_are_obeyed_in_the_order_github_documents() {
        let both = [("retry-after", "7"), ("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1000060")];
        assert_eq!(read(403, &both, ""), Some(Refusal::Wait(Duration::from_secs(7))));
        assert_eq!(read(403, &both[1..], ""), Some(Refusal::Spent(Duration::from_secs(61))));
        assert_eq!(read(429, &[], ""), Some(Refusal::Unhinted));
        assert_eq!(read(403, &[], "You have exceeded a secondary rate limit"), Some(Refusal::Unhinted));
        assert_eq!(read(403, &[("x-ratelimit-remaining", "4999")], "Resource not accessible"), None);
        assert_eq!(read(404, &both, ""), None);
    }

    /// A wrong clock made ghbk go on while it was limited, or wait an hour for nothing.
    #[test]
    fn times_are_read_by_the_answer_s_own_date() {
        // 1,000,000 seconds after the epoch is 12 January 1970, 13:46:40; this server's clock is an hour ahead of ours.
        let date = ("date", "Mon, 12 Jan 1970 14:46:40 GMT");
        let spent = [date, ("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1003620")];
        assert_eq!(read(403, &spent, ""), Some(Refusal::Spent(Duration::from_secs(21))));
        let dated = [date, ("retry-after", "Mon, 12 Jan 1970 14:46:44 GMT")];
        assert_eq!(read(429, &dated, ""), Some(Refusal::Wait(Duration::from_secs(4))));
        let past = [date, ("retry-after", "Mon, 12 Jan 1970 14:46:30 GMT")];
        assert_eq!(read(429, &past, ""), Some(Refusal::Wait(Duration::ZERO)));
    }

    #[test]
    fn a_server_in_trouble_is_given_the_time_it_asks_for_within_bounds() {
        assert_eq!(read(503, &[("retry-after", "20")], ""), Some(Refusal::Wait(Duration::from_secs(20))));
        assert_eq!(read(502, &[("retry-after", "86400")], ""), Some(Refusal::Wait(TROUBLE_PAUSE_MAX)));
        assert_eq!(read(503, &[], "rate limit"), None);
    }
}
