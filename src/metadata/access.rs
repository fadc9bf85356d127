//! Whether the token may read what people wrote, tried on one repository.

use super::MetadataError;
use super::probe::{Probed, probe};
use crate::github::{GitHub, GitHubError, GraphQl, Repository};

/// Something that the token may not read.
#[derive(Debug)]
pub struct Barrier {
    /// What.
    pub what: &'static str,
    /// Why, in words.
    pub error: String,
    /// What to do.
    pub hint: &'static str,
}

/// Tries to read one of each kind.
pub async fn barriers(github: &GitHub, graphql: &GraphQl, repository: &Repository) -> Vec<Barrier> {
    let mut barriers = Vec::new();
    for (what, endpoint) in [("issues", "issues?per_page=1"), ("pull requests", "pulls?per_page=1")] {
        let name = &repository.full_name;
        let (endpoint, named) = (format!("repos/{name}/{endpoint}"), format!("the {what} of {name}"));
        match github.walk(&endpoint, &named, |_| Ok::<_, GitHubError>(false)).await {
            // They are switched off there.
            Ok(_) | Err(GitHubError::Retired { .. } | GitHubError::NotFound { .. }) => {}
            Err(error) => {
                let error = MetadataError::from(error);
                barriers.push(Barrier { what, error: error.to_string(), hint: error.hint() });
            }
        }
    }
    if !barriers.is_empty() {
        return barriers;
    }
    let ids: Vec<String> = repository.node_id.iter().cloned().collect();
    let refused = match probe(graphql, &ids).await {
        Ok(probes) => probes.into_values().find_map(|probed| match probed {
            Probed::Is(_) | Probed::Unknown => None,
            Probed::Forbidden(said) => Some((said, "give the token read access to issues and pull requests")),
        }),
        Err(error) => Some((error.to_string(), error.hint())),
    };
    barriers.extend(refused.map(|(error, hint)| Barrier { what: "timelines and reviews (GraphQL)", error, hint }));
    barriers
}
