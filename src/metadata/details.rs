//! What only the GraphQL API shows: timelines, reviews, whether a thread is resolved, and who merged.

use std::collections::BTreeMap;

use serde_json::Value;

use super::MetadataError;
use super::fetch::{Concern, Fetcher, Problem, Seen, named};
use super::item::text;
use super::queries::{ISSUE_TIMELINE, ISSUES, MORE_THREADS, PULL_REQUEST_TIMELINE, PULL_REQUESTS, REVIEWS, THREADS};
use super::spool::Piece;
use super::stored::Known;
use crate::github::{GitHubError, Node, NodesQuery};

/// A list inside an answer.
struct Inner {
    /// Its field.
    field: &'static str,
    /// The name that it has in the file.
    name: &'static str,
    /// How its rest is asked for.
    rest: &'static NodesQuery,
    /// Whether there must be as many as GitHub states: of a timeline, it counts what it does not show.
    is_counted: bool,
}

const fn timeline(rest: &'static NodesQuery) -> Inner {
    Inner { field: "timelineItems", name: "timeline", rest, is_counted: false }
}

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
            (&ISSUES, issues, "issue_details", &[timeline(&ISSUE_TIMELINE)] as &[Inner]),
            (
                &PULL_REQUESTS,
                pulls,
                "pull_request_details",
                &[
                    Inner { field: "reviews", name: "reviews", rest: &REVIEWS, is_counted: true },
                    timeline(&PULL_REQUEST_TIMELINE),
                ],
            ),
            (
                &THREADS,
                threads,
                "",
                &[Inner { field: "reviewThreads", name: "review_threads", rest: &MORE_THREADS, is_counted: true }],
            ),
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
            Ok(nodes) => nodes,
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
                node @ (Node::Found(_) | Node::Partial(_)) => {
                    let is_partial = matches!(node, Node::Partial(_));
                    let (Node::Found(node) | Node::Partial(node)) = node else { continue };
                    let taken = self.take(*number, id, (node, is_partial), (member, inner), seen).await;
                    if let Err(error) = taken {
                        failed.entry((error.to_string(), false)).or_default().push(*number);
                    }
                }
                Node::NotFound => unknown.push(*number),
                Node::Forbidden(_, said) => failed.entry((said, true)).or_default().push(*number),
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

    /// Spools one answer, and asks for what is left of its lists. A list that may not be whole marks nothing as gone.
    async fn take(
        &self,
        number: u64,
        id: &str,
        (mut node, is_partial): (Value, bool),
        (member, inner): (&str, &[Inner]),
        seen: &mut Seen<'_>,
    ) -> Result<(), MetadataError> {
        for Inner { field, name, rest, is_counted } in inner {
            let mut part = Part::of(&mut node, field, rest.what)?;
            let (mut list, mut is_whole, stated) = (part.items, !is_partial && part.is_whole, part.stated);
            while let Some(after) = part.next {
                let mut answer = self.graphql.more(rest, id, &after).await?;
                part = Part::of(&mut answer, field, rest.what)?;
                if part.next.as_ref() == Some(&after) {
                    return Err(unreadable(rest.what, "the list does not end"));
                }
                list.append(&mut part.items);
                is_whole &= part.is_whole;
            }
            let is_short = stated.is_some_and(|stated| (list.len() as u64) < stated);
            let list = list.into_iter().map(|item| self.canonical.form(item)).collect();
            seen.spool.add(number, Piece::List { name: (*name).to_owned(), list, is_whole: is_whole && !is_short })?;
            if is_short && *is_counted {
                return Err(unreadable(rest.what, "there are fewer than it states"));
            }
        }
        if !member.is_empty() {
            let details = BTreeMap::from([(member.to_owned(), self.canonical.form(node))]);
            seen.spool.add(number, Piece::Details(details))?;
        }
        Ok(())
    }
}

/// A part of a list inside an answer.
struct Part {
    items: Vec<Value>,
    /// Whether none of its items was left out.
    is_whole: bool,
    /// How many there are in all, as GitHub states it.
    stated: Option<u64>,
    /// Where the rest begins.
    next: Option<String>,
}

impl Part {
    /// Takes it out of an answer. What has no such list is not what was asked for.
    fn of(node: &mut Value, field: &str, what: &str) -> Result<Self, MetadataError> {
        let mut connection = node.as_object_mut().and_then(|node| node.remove(field)).unwrap_or_default();
        let Some(Value::Array(items)) = connection.get_mut("nodes").map(Value::take) else {
            return Err(unreadable(what, &format!("it has no {field}")));
        };
        let page = connection.get("pageInfo").cloned().unwrap_or_default();
        let has_more = page.get("hasNextPage") == Some(&Value::Bool(true));
        let next = has_more.then(|| text(&page, "endCursor").to_owned());
        if next.as_deref() == Some("") {
            return Err(unreadable(what, "it does not say where its rest begins"));
        }
        // GitHub leaves a null where the token may not read one.
        let is_whole = items.iter().all(|item| !item.is_null());
        let items = items.into_iter().filter(|item| !item.is_null()).collect();
        Ok(Self { items, is_whole, stated: connection.get("totalCount").and_then(Value::as_u64), next })
    }
}

fn unreadable(what: &str, reason: &str) -> MetadataError {
    GitHubError::Unreadable { what: what.to_owned(), reason: reason.to_owned() }.into()
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
        hint: if error.is_forbidden() { error.hint() } else { "run again; if it persists, see githubstatus.com" },
        may_pass: true,
        is_forbidden: error.is_forbidden(),
        of: Concern::Numbers,
    });
    Ok(())
}
