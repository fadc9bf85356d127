//! Pages of a listing and the `Link` header between them.

use std::collections::HashMap;

use hyper::StatusCode;
use hyper::header::LINK;

use super::answer::Answer;
use crate::tracker::read_time;

/// What GitHub gives when nothing is asked for.
const DEFAULT_SIZE: usize = 30;

/// What GitHub gives at most.
const MAX_SIZE: usize = 100;

/// The query of a request, decoded; of a repeated key the last value counts.
#[derive(Debug, Clone)]
pub(super) struct Query(HashMap<String, String>);

impl Query {
    /// Reads the part of an address behind the question mark.
    pub(super) fn read(query: &str) -> Self {
        Self(form_urlencoded::parse(query.as_bytes()).into_owned().collect())
    }

    /// Returns the query in which some keys are replaced by others.
    pub(super) fn with(&self, without: &[&str], added: &[(&str, &str)]) -> String {
        let mut pairs: Vec<_> = self.0.iter().filter(|(key, _)| !without.contains(&key.as_str())).collect();
        pairs.sort_unstable();
        form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).extend_pairs(added).finish()
    }

    /// Returns the time in `since`, from which on something must have been updated.
    pub(super) fn since(&self) -> Result<i64, Answer> {
        let Some(since) = self.get("since") else { return Ok(i64::MIN) };
        read_time(since).ok_or_else(|| contradiction("Invalid request: since is not a time"))
    }

    /// Tells whether the order asked for is descending, or else whether that is the default.
    pub(super) fn descends(&self, default: bool) -> bool {
        self.get("direction").map_or(default, |direction| direction == "desc")
    }

    /// Returns the value of a key.
    pub(super) fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }
}

/// One page of a listing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Page {
    number: usize,
    size: usize,
}

impl Page {
    /// Reads `page` and `per_page`; the error is the answer to what is no number.
    pub(super) fn read(query: &Query) -> Result<Self, Answer> {
        let number = |key: &str, default: usize| {
            query.get(key).map_or(Ok(default), |value| {
                value.parse::<usize>().map_err(|_| {
                    Answer::error(StatusCode::UNPROCESSABLE_ENTITY, &format!("Invalid request: {key} is not a number"))
                })
            })
        };
        let size = number("per_page", DEFAULT_SIZE)?.clamp(1, MAX_SIZE);
        Ok(Self { number: number("page", 1)?.max(1), size })
    }

    /// Returns how many items the page is long.
    pub(super) fn size(self) -> usize {
        self.size
    }

    /// Returns the page's number, from 1.
    pub(super) fn number(self) -> usize {
        self.number
    }

    /// Returns how many items come before the page.
    pub(super) fn start(self, items: usize) -> usize {
        (self.number - 1).saturating_mul(self.size).min(items)
    }

    /// Says whether the page goes beyond the given number of items; the first page never does.
    pub(super) fn exceeds(self, items: usize) -> bool {
        self.number > 1 && self.number.saturating_mul(self.size) > items
    }

    /// Cuts the page out of all items.
    pub(super) fn of<T>(self, items: &[T]) -> &[T] {
        let start = self.start(items.len());
        &items[start..start.saturating_add(self.size).min(items.len())]
    }

    /// Adds the links to the other pages to an answer.
    pub(super) fn link(self, answer: Answer, address: &str, query: &Query, items: usize) -> Answer {
        let last = items.div_ceil(self.size).max(1);
        let mut links = Vec::new();
        if self.number > 1 {
            links.push((self.number.min(last + 1) - 1, "prev"));
        }
        if self.number < last {
            links.push((self.number + 1, "next"));
            links.push((last, "last"));
        }
        if self.number > 1 {
            links.push((1, "first"));
        }
        if links.is_empty() {
            return answer;
        }
        let links: Vec<_> = links
            .into_iter()
            .map(|(number, relation)| format!("<{address}?{}>; rel=\"{relation}\"", with_page(query, number)))
            .collect();
        answer.header(LINK, links.join(", "))
    }
}

/// Returns the query of another page.
fn with_page(query: &Query, number: usize) -> String {
    query.with(&["page"], &[("page", &number.to_string())])
}

/// Returns the 422 for a query that contradicts itself.
pub(super) fn contradiction(message: &str) -> Answer {
    Answer::error(StatusCode::UNPROCESSABLE_ENTITY, message)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Answer, LINK, Page, Query};

    fn links(query: &str, items: usize) -> Option<String> {
        let query = Query::read(query);
        let page = Page::read(&query).expect("the query is valid");
        let answer = page.link(Answer::ok(json!([])), "http://host/x", &query, items);
        answer.headers.into_iter().find(|(name, _)| name == LINK).map(|(_, value)| value)
    }

    #[test]
    fn the_links_lead_through_all_pages() {
        assert_eq!(links("", 30), None);
        assert_eq!(
            links("per_page=10", 25).as_deref(),
            Some("<http://host/x?per_page=10&page=2>; rel=\"next\", <http://host/x?per_page=10&page=3>; rel=\"last\"")
        );
        assert_eq!(
            links("per_page=10&page=3", 25).as_deref(),
            Some("<http://host/x?per_page=10&page=2>; rel=\"prev\", <http://host/x?per_page=10&page=1>; rel=\"first\"")
        );
    }

    #[test]
    fn sizes_are_clamped_and_garbage_is_refused() {
        let page = |query| Page::read(&Query::read(query));
        assert_eq!(page("per_page=500").expect("it is a number").size, 100);
        assert_eq!(page("per_page=x").expect_err("it is none").status, 422);
        assert!(page("page=99").expect("it is a number").of(&[1, 2, 3]).is_empty());
    }
}
