//! What the headers of answers say besides the answer: when an API version ends, and when the token does. Pure.
//!
//! Times are compared with GitHub's own `Date`, so a wrong clock on this machine changes nothing.

use chrono::{DateTime, TimeDelta, Utc};
use http::HeaderMap;
use http::header::DATE;

use super::link::related;
use crate::network::http_date;
use crate::text::printable;

/// The API version that every request asks for: the newest when this was written.
///
/// Source: GitHub's documentation, "API Versions". The tests compare what is read with GitHub's recorded answers.
pub(crate) const API_VERSION: &str = "2026-03-10";

/// How long before its end a token's expiry is reported.
const EXPIRY_NOTICE: TimeDelta = TimeDelta::days(14);

/// Collects what the headers of a run's answers said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notices {
    /// The time at GitHub when it last answered.
    pub as_of: Option<DateTime<Utc>>,
    /// When the token expires.
    pub token_expires: Option<DateTime<Utc>>,
    /// That GitHub is about to retire what ghbk asks for, in words.
    pub deprecation: Option<String>,
}

impl Notices {
    /// Takes over what an answer's headers say. Returns whether they announced a deprecation for the first time.
    pub(super) fn read(&mut self, headers: &HeaderMap) -> bool {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let date = headers.get(DATE).and_then(|value| value.to_str().ok()).and_then(http_date);
        self.as_of = date.or(self.as_of);
        self.token_expires = text("github-authentication-token-expiration").and_then(expiration).or(self.token_expires);
        let since = text("deprecation");
        let explained = related(headers, "deprecation");
        if self.deprecation.is_some() || (since.is_none() && explained.is_none()) {
            return false;
        }
        let mut words = format!("GitHub is retiring what ghbk asks it for (API version {API_VERSION}");
        for (label, value) in [("deprecated", since), ("ends", text("sunset")), ("see", explained)] {
            if let Some(value) = value {
                words.push_str(&format!(", {label} {}", printable(value, 200)));
            }
        }
        words.push(')');
        self.deprecation = Some(words);
        true
    }

    /// Returns a warning if the token expires within a fortnight, or before the next scheduled run.
    pub fn expiry(&self, next_run: Option<DateTime<Utc>>) -> Option<String> {
        let expires = self.token_expires?;
        let now = self.as_of.unwrap_or_else(Utc::now);
        let is_too_late = next_run.is_some_and(|next| expires <= next);
        if !is_too_late && expires - now > EXPIRY_NOTICE {
            return None;
        }
        let at = crate::zone::shown(expires);
        let days = (expires - now).num_days();
        let left = match days {
            ..1 => "less than a day left".to_owned(),
            1 => "1 day left".to_owned(),
            days => format!("{days} days left"),
        };
        let before = if is_too_late { ", before the next scheduled run" } else { "" };
        Some(format!("the token expires on {at}{before} ({left}); make a new one and store it"))
    }
}

/// Reads the time of `github-authentication-token-expiration`: `2026-12-01 09:30:00 UTC`, or with an offset.
fn expiration(text: &str) -> Option<DateTime<Utc>> {
    let text = text.trim().replace("UTC", "+0000");
    DateTime::parse_from_str(&text, "%Y-%m-%d %H:%M:%S %z").ok().map(|at| at.with_timezone(&Utc))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| ((*name).parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn a_token_s_end_is_told_a_fortnight_ahead_and_before_the_next_run() {
        let mut notices = Notices::default();
        notices.read(&headers(&[
            ("date", "Thu, 26 Nov 2026 20:00:00 GMT"),
            ("github-authentication-token-expiration", "2026-12-12 02:00:00 +0600"),
        ]));
        assert_eq!(notices.token_expires, Some(at("2026-12-11T20:00:00Z")));
        assert_eq!(notices.expiry(Some(at("2026-11-29T20:00:00Z"))), None);
        assert!(notices.expiry(Some(at("2026-12-20T20:00:00Z"))).unwrap().contains("before the next scheduled run"));
        notices.read(&headers(&[("github-authentication-token-expiration", "2026-12-10 19:00:00 UTC")]));
        assert!(notices.expiry(None).unwrap().contains("2026-12-10 19:00 UTC (13 days left)"));
        notices.read(&headers(&[("github-authentication-token-expiration", "soon")]));
        assert_eq!(notices.token_expires, Some(at("2026-12-10T19:00:00Z")));
    }

    #[test]
    fn a_deprecation_is_told_once_with_what_github_says_of_it() {
        let mut notices = Notices::default();
        assert!(!notices.read(&headers(&[("link", r#"<https://x/?page=2>; rel="next""#)])));
        let said = headers(&[
            ("deprecation", "Tue, 10 Mar 2026 00:00:00 GMT"),
            ("sunset", "Fri, 10 Mar 2028 00:00:00 GMT"),
            ("link", r#"<https://docs.github.com/api-versions>; rel="deprecation"; type="text/html""#),
        ]);
        assert!(notices.read(&said));
        assert!(!notices.read(&said));
        let words = notices.deprecation.unwrap();
        for part in ["10 Mar 2026", "10 Mar 2028", "https://docs.github.com/api-versions"] {
            assert!(words.contains(part), "{words}");
        }
    }
}
