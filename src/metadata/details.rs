//! What only the GraphQL API shows: timelines, reviews, whether a thread is resolved, and who merged.

use std::collections::BTreeMap;

use serde_json::Value;

use super::MetadataError;
use super::fetch::{Fetcher, Problem, Seen, named};
use super::item::text;
use super::queries::{ISSUE_TIMELINE, ISSUES, MORE_THREADS, PULL_REQUEST_TIMELINE, PULL_REQUESTS, REVIEWS, THREADS};
use super::spool::Piece;
use super::stored::Known;
use crate::github::{GitHubError, Node, NodesQuery};

/// A list inside an answer, the name it has in the file, and how its rest is asked for.
type Inner = (&'static str, &'static str, &'static NodesQuery);

/// How many things are kept in memory before they are spooled.
const AT_ONCE: usize = 200;

impl Fetcher<'_> {
    /// Asks for the details of all numbers that are due. Returns those that GitHub lists and does not know here.
    pub(super) async fn details(&self, seen: &mut Seen<'_>) -> Result<Vec<u64>, MetadataError> {
        let due = |is_pull: bool| {
            let due = seen.listed.iter().filter(move |(_, listed)| listed.is_due && listed.is_pull == is_pull);
            due.map(|(number, listed)| (*number, listed.node_id.clone())).collect::<Vec<_>>()
        };
        let (issues, pulls) = (due(false), due(true));
        let has_threads = |number: &u64| {
            seen.with_threads.contains(number) || seen.known.get(number).is_some_and(Known::has_review_comments)
        };
        let threads: Vec<(u64, String)> = pulls.iter().filter(|(number, _)| has_threads(number)).cloned().collect();
        let mut unknown = Vec::new();
        for (query, things, member, inner) in [
            (&ISSUES, issues, "issue_details", &[("timelineItems", "timeline", &ISSUE_TIMELINE)] as &[Inner]),
            (
                &PULL_REQUESTS,
                pulls,
                "pull_request_details",
                &[("reviews", "reviews", &REVIEWS), ("timelineItems", "timeline", &PULL_REQUEST_TIMELINE)],
            ),
            (&THREADS, threads, "", &[("reviewThreads", "review_threads", &MORE_THREADS)]),
        ] {
            for things in things.chunks(AT_ONCE) {
                self.ask(query, things, (member, inner), seen, &mut unknown).await?;
            }
        }
        unknown.sort_unstable();
        unknown.dedup();
        Ok(unknown)
    }

    async fn ask(
        &self,
        query: &NodesQuery,
        things: &[(u64, String)],
        (member, inner): (&str, &[Inner]),
        seen: &mut Seen<'_>,
        unknown: &mut Vec<u64>,
    ) -> Result<(), MetadataError> {
        let ids: Vec<String> = things.iter().map(|(_, id)| id.clone()).collect();
        let mut nodes = match self.graphql.nodes(query, &ids).await {
            Ok((nodes, _)) => nodes,
            Err(error) if error.ends_the_run() => return Err(error.into()),
            // The lists are stored all the same, and the next run asks again.
            Err(error) => {
                let numbers: Vec<u64> = things.iter().map(|(number, _)| *number).collect();
                return leave(query, &numbers, (&error.to_string(), &MetadataError::from(error)), seen);
            }
        };
        // Each reason is told once.
        let mut failed: BTreeMap<(String, bool), Vec<u64>> = BTreeMap::new();
        for (number, id) in things {
            self.note_progress(1);
            match nodes.remove(id).unwrap_or_else(|| Node::Failed("it was left out".to_owned())) {
                Node::Found(node) => {
                    if let Err(error) = self.take(*number, id, node, (member, inner), seen).await {
                        failed.entry((error.to_string(), false)).or_default().push(*number);
                    }
                }
                Node::NotFound => unknown.push(*number),
                Node::Forbidden(said) => failed.entry((said, true)).or_default().push(*number),
                Node::Failed(said) => failed.entry((said, false)).or_default().push(*number),
            }
        }
        for ((said, is_forbidden), numbers) in failed {
            let what = query.what.to_owned();
            let error = if is_forbidden {
                GitHubError::Forbidden { what, message: said.clone() }
            } else {
                GitHubError::Unreadable { what, reason: said.clone() }
            };
            leave(query, &numbers, (&said, &error.into()), seen)?;
        }
        Ok(())
    }

    /// Spools one answer, and asks for what is left of its lists.
    async fn take(
        &self,
        number: u64,
        id: &str,
        mut node: Value,
        (member, inner): (&str, &[Inner]),
        seen: &mut Seen<'_>,
    ) -> Result<(), MetadataError> {
        for (field, name, rest) in inner {
            let mut connection = node.as_object_mut().and_then(|node| node.remove(*field)).unwrap_or_default();
            let mut list = items(&mut connection);
            while let Some(after) = next(&connection) {
                let mut answer = self.graphql.more(rest, id, &after).await?;
                connection = answer.as_object_mut().and_then(|node| node.remove(*field)).unwrap_or_default();
                let more = items(&mut connection);
                if more.is_empty() && next(&connection).as_deref() == Some(after.as_str()) {
                    let reason = "the list does not end".to_owned();
                    return Err(GitHubError::Unreadable { what: rest.what.to_owned(), reason }.into());
                }
                list.extend(more);
            }
            let list = list.into_iter().map(|item| self.canonical.form(item)).collect();
            seen.spool.add(number, Piece::List((*name).to_owned(), list))?;
        }
        if !member.is_empty() {
            let details = BTreeMap::from([(member.to_owned(), self.canonical.form(node))]);
            seen.spool.add(number, Piece::Details(details))?;
        }
        Ok(())
    }
}

/// Notes that the details of some numbers did not come.
fn leave(
    query: &NodesQuery,
    numbers: &[u64],
    (said, error): (&str, &MetadataError),
    seen: &mut Seen<'_>,
) -> Result<(), MetadataError> {
    for number in numbers {
        seen.spool.add(*number, Piece::Incomplete)?;
    }
    seen.problems.push(Problem {
        error: format!("{} {} could not be read: {said}", named("number", numbers), query.what),
        hint: error.hint(),
        may_pass: true,
        is_forbidden: error.is_forbidden(),
    });
    Ok(())
}

/// Takes the items of a connection; GitHub leaves a null where the token may not read one.
fn items(connection: &mut Value) -> Vec<Value> {
    match connection.get_mut("nodes").map(Value::take) {
        Some(Value::Array(nodes)) => nodes.into_iter().filter(|node| !node.is_null()).collect(),
        _ => Vec::new(),
    }
}

/// Returns where the rest of a connection begins.
fn next(connection: &Value) -> Option<String> {
    let page = connection.get("pageInfo")?;
    let has_more = page.get("hasNextPage") == Some(&Value::Bool(true));
    has_more.then(|| text(page, "endCursor").to_owned()).filter(|cursor| !cursor.is_empty())
}
