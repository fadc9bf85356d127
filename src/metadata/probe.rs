//! The probe: one question about fifty repositories, which tells in which of them something may be new.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;

use super::queries::PROBE;
use crate::github::{GitHubError, GraphQl, Node};

/// What GitHub said of a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// Differs if something is new. The same text, the same state.
    pub text: String,
    /// How many issues and pull requests there are.
    pub items: u64,
    /// When the newest change was, by GitHub's clock.
    newest: Option<DateTime<Utc>>,
}

/// Another change may have come in the second of the last one, or reach the server that was asked a little later.
const SETTLED_AFTER: TimeDelta = TimeDelta::minutes(1);

impl Probe {
    fn of(repository: &Value) -> Self {
        let count = |of: &str| repository[of]["totalCount"].as_u64().unwrap_or_default();
        let newest = |of: &str| repository[of]["nodes"][0]["updatedAt"].as_str().unwrap_or("-").to_owned();
        let kinds = ["issues", "pullRequests", "milestones"];
        let newest_of_all = kinds.iter().filter_map(|of| newest(of).parse().ok()).max();
        let kinds = kinds.map(|of| format!("{} {}", count(of), newest(of)));
        let is_on = repository["hasIssuesEnabled"].as_bool().unwrap_or(true);
        let text =
            format!("{}; labels {}; issues {}", kinds.join("; "), count("labels"), if is_on { "on" } else { "off" });
        Self { text, items: count("issues") + count("pullRequests"), newest: newest_of_all }
    }

    /// Says whether the same text means that nothing has changed since: GitHub's times are whole seconds.
    pub fn is_settled(&self, as_of: DateTime<Utc>) -> bool {
        self.newest.is_none_or(|newest| newest + SETTLED_AFTER < as_of)
    }
}

/// What one question brought about a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Probed {
    /// What it is like.
    Is(Probe),
    /// The token may not read it; in GitHub's words.
    Forbidden(String),
    /// Only its lists tell.
    Unknown,
}

/// Asks about repositories by their node ids.
///
/// # Errors
/// [`GitHubError`] if GitHub does not answer.
pub async fn probe(graphql: &GraphQl, ids: &[String]) -> Result<BTreeMap<String, Probed>, GitHubError> {
    let nodes = graphql.nodes(&PROBE, ids).await?;
    let probed = nodes.into_iter().map(|(id, node)| {
        let probed = match node {
            Node::Found(repository) => Probed::Is(Probe::of(&repository)),
            // A token that may not read pull requests may read issues.
            Node::Forbidden(Some(field), _) if field != "issues" => Probed::Unknown,
            Node::Forbidden(_, said) => Probed::Forbidden(said),
            Node::Partial(_) | Node::NotFound | Node::Failed(_) => Probed::Unknown,
        };
        (id, probed)
    });
    Ok(probed.collect())
}
