//! Long lists of the REST API, read to their end while they change.
//!
//! What a newcomer would get wrong: pages are cut anew for every request, so something that is deleted or edited meanwhile moves
//! another thing onto a page that was read already, and it is never shown. Lists that can be sorted by their last change are
//! therefore read in windows: each begins at the last change that the one before showed. Nothing that moves is missed then, and
//! no list is too long: GitHub refuses pages beyond some ten thousand things.

use std::collections::HashSet;

use aws_lc_rs::digest::{SHA256, digest};
use chrono::{DateTime, Utc};
use http::header::ETAG;
use reqwest::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use url::Url;

use super::GitHubError;
use super::client::{GitHub, list};
use super::link::related;

/// A list of a million things has ten thousand pages; more is a loop.
const PAGES_MAX: u64 = 20_000;

/// What a walk through a list has seen.
#[derive(Clone, Copy, Debug, Default)]
pub struct Walked {
    /// When the first page was given, by GitHub's clock.
    pub as_of: Option<DateTime<Utc>>,
    /// How many requests it took.
    pub requests: u64,
}

/// What is known of an answer, to ask whether it is still the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    /// GitHub's name for it, which depends on the token.
    pub etag: String,
    /// The SHA-256 of the body, which does not.
    pub sha256: String,
}

/// The answer to whether something is still the same.
#[derive(Clone, Debug)]
pub enum Fresh {
    /// It is.
    Same,
    /// It is not.
    New(Known),
}

impl GitHub {
    /// Reads a list page by page, in GitHub's order. `each` may be given the same thing twice; once it returns false, no further
    /// page is read.
    ///
    /// # Errors
    /// [`GitHubError`], and what `each` returns.
    pub async fn walk<E: From<GitHubError>>(
        &self,
        endpoint: &str,
        what: &str,
        mut each: impl FnMut(Value) -> Result<bool, E>,
    ) -> Result<Walked, E> {
        let mut walked = Walked::default();
        let mut next = Some(self.url(endpoint));
        let mut read = HashSet::new();
        while let Some(url) = next {
            if walked.requests >= PAGES_MAX || !read.insert(url.clone()) {
                return Err(unending(what).into());
            }
            let page = self.items(&url, what, &mut walked).await?;
            next = page.next;
            for item in page.items {
                if !each(item)? {
                    return Ok(walked);
                }
            }
        }
        Ok(walked)
    }

    /// Reads a list that can be sorted by last change, from one on, in windows. `each` may be given the same thing twice, the
    /// newer state later.
    ///
    /// # Errors
    /// [`GitHubError`], and what `each` returns.
    pub async fn walk_changes<E: From<GitHubError>>(
        &self,
        endpoint: &str,
        since: Option<DateTime<Utc>>,
        what: &str,
        mut each: impl FnMut(Value) -> Result<(), E>,
    ) -> Result<Walked, E> {
        let mut walked = Walked::default();
        let mut since = since.map(|since| since.format("%Y-%m-%dT%H:%M:%SZ").to_string());
        let base = self.url(endpoint);
        let mut url = window(&base, since.as_deref());
        loop {
            if walked.requests >= PAGES_MAX {
                return Err(unending(what).into());
            }
            let page = self.items(&url, what, &mut walked).await?;
            let changed =
                page.items.iter().filter_map(|item| item.get("updated_at")?.as_str().map(str::to_owned)).max();
            for item in page.items {
                each(item)?;
            }
            let Some(next) = page.next else { return Ok(walked) };
            // GitHub writes all times alike, so that they sort as text.
            if changed > since {
                since = changed;
                url = window(&base, since.as_deref());
            } else {
                // More things changed in this second than a page holds.
                url = next;
            }
        }
    }

    /// Reads one thing, whatever its status.
    ///
    /// # Errors
    /// [`GitHubError`] as for every answer; a thing that was moved is followed.
    pub async fn one(&self, endpoint: &str, what: &str) -> Result<Value, GitHubError> {
        self.get(&self.url(endpoint), what).await.map(|(value, _)| value)
    }

    /// Asks whether an answer is still the one that is known.
    ///
    /// # Errors
    /// [`GitHubError`].
    pub async fn is_still(&self, endpoint: &str, known: Option<&Known>, what: &str) -> Result<Fresh, GitHubError> {
        let answer = self.send_unless(&self.url(endpoint), known.map(|known| known.etag.as_str()), what).await?;
        if answer.status == StatusCode::NOT_MODIFIED {
            return Ok(Fresh::Same);
        }
        let etag = answer.headers.get(ETAG).and_then(|etag| etag.to_str().ok()).unwrap_or_default().to_owned();
        let new = Known { etag, sha256: hex(digest(&SHA256, &answer.body).as_ref()) };
        Ok(if known.is_some_and(|known| known.sha256 == new.sha256) { Fresh::Same } else { Fresh::New(new) })
    }

    async fn items(&self, url: &Url, what: &str, walked: &mut Walked) -> Result<Items, GitHubError> {
        let answer = self.send_again(url, what).await?;
        walked.requests += 1;
        walked.as_of = walked.as_of.or(answer.date());
        let next = related(&answer.headers, "next").map(|address| self.own(address, what)).transpose()?;
        let (items, _) = list(answer.json(what)?, what)?;
        Ok(Items { items, next })
    }
}

struct Items {
    items: Vec<Value>,
    next: Option<Url>,
}

fn window(base: &Url, since: Option<&str>) -> Url {
    let mut url = base.clone();
    if let Some(since) = since {
        url.query_pairs_mut().append_pair("since", since);
    }
    url
}

fn unending(what: &str) -> GitHubError {
    GitHubError::Unreadable { what: what.to_owned(), reason: "the list does not end".to_owned() }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
