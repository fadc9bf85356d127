//! What the GraphQL API is asked. A test holds each query against the schema that GitHub publishes.

use crate::github::NodesQuery;

macro_rules! query {
    ($what:literal, $batch:literal, $($file:literal),+) => {
        NodesQuery { what: $what, text: concat!($(include_str!(concat!("queries/", $file, ".graphql"))),+), batch_max: $batch }
    };
}

/// (1 + 50 × 7 connections) / 100 = 4 points.
pub(super) const PROBE: NodesQuery = query!("what is new", 50, "probe");
/// (1 + 50) / 100 = 1 point.
pub(super) const ISSUES: NodesQuery = query!("the timelines of issues", 50, "issues", "issue_events");
pub(super) const ISSUE_TIMELINE: NodesQuery =
    query!("the rest of an issue's timeline", 1, "issue_timeline", "issue_events");
/// (1 + 25 × 3) / 100 = 1 point.
pub(super) const PULL_REQUESTS: NodesQuery =
    query!("the details of pull requests", 25, "pull_requests", "review", "pull_request_events");
pub(super) const PULL_REQUEST_TIMELINE: NodesQuery =
    query!("the rest of a pull request's timeline", 1, "pull_request_timeline", "pull_request_events");
pub(super) const REVIEWS: NodesQuery = query!("the rest of a pull request's reviews", 1, "reviews", "review");
/// (1 + 20 × 50) / 100 = 10 points, so it is asked only about pull requests that have comments on lines.
pub(super) const THREADS: NodesQuery = query!("the threads of reviews", 20, "threads", "thread");
pub(super) const MORE_THREADS: NodesQuery = query!("the rest of a pull request's threads", 1, "more_threads", "thread");

#[cfg(test)]
mod tests {
    use super::*;

    /// GitHub refuses a query with a field that it does not have, or a fragment that is not used.
    #[test]
    fn github_s_published_schema_takes_every_query() {
        for query in
            [PROBE, ISSUES, ISSUE_TIMELINE, PULL_REQUESTS, PULL_REQUEST_TIMELINE, REVIEWS, THREADS, MORE_THREADS]
        {
            assert_eq!(ghbk_sandbox::query_errors(query.text), Vec::<String>::new(), "{}", query.what);
        }
        assert!(!ghbk_sandbox::query_errors("query { viewer { shoeSize } }").is_empty());
    }
}
