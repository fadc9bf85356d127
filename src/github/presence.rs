//! Whether a repository that a listing does not show still exists: asked by its id, which survives renames and transfers.
//!
//! What a newcomer would get wrong: absence from a listing proves nothing. Pages shift while they are read, and a repository that
//! leaves the first page moves another from the second onto a page that was read already.

use std::collections::BTreeMap;

use futures_util::future::join_all;

use super::GitHubError;
use super::client::GitHub;
use super::repository::Repository;
use crate::names::{FullName, RepositoryId};

/// Names the repositories that have a mirror and were not known to be gone.
pub type Known = BTreeMap<RepositoryId, FullName>;

/// What GitHub answered about one repository.
#[derive(Clone, Debug)]
pub(super) enum Presence {
    /// It exists; this is its description today.
    Here(Box<Repository>),
    /// There is no such repository, or the token cannot see it.
    NotFound,
    /// GitHub did not say.
    Unknown(GitHubError),
}

/// What was asked about an owner's missing repositories.
#[derive(Clone, Debug, Default)]
pub(super) struct Presences {
    pub(super) answers: BTreeMap<RepositoryId, Presence>,
    /// How many were not asked about, because they were too many or GitHub stopped answering.
    pub(super) unasked: usize,
}

/// More are missing at once only if something is wrong with the token; asking about each would take an hour's requests.
const ASKED_MAX: usize = 500;
const ASKED_AT_ONCE: usize = 8;

impl Presences {
    /// Asks about repositories that were not asked about before.
    pub(super) async fn ask(&mut self, github: &GitHub, missing: &Known) {
        let new: Vec<_> = missing.iter().filter(|(id, _)| !self.answers.contains_key(id)).collect();
        let room = ASKED_MAX.saturating_sub(self.answers.len());
        let mut asked = 0;
        for some in new[..new.len().min(room)].chunks(ASKED_AT_ONCE) {
            let answers = join_all(some.iter().map(|(id, name)| presence(github, **id, name))).await;
            asked += some.len();
            let is_over = |answer: &Presence| {
                let ends = |error: &GitHubError| {
                    error.ends_the_run()
                        || matches!(error, GitHubError::RateLimited { .. } | GitHubError::LimitExhausted(_))
                };
                matches!(answer, Presence::Unknown(error) if ends(error))
            };
            let is_over = answers.iter().any(is_over);
            self.answers.extend(some.iter().map(|(id, _)| **id).zip(answers));
            if is_over {
                break;
            }
        }
        self.unasked = new.len() - asked;
    }
}

async fn presence(github: &GitHub, id: RepositoryId, name: &FullName) -> Presence {
    let what = format!("repository {name} (id {id})");
    let unreadable = |reason: String| Presence::Unknown(GitHubError::Unreadable { what: what.clone(), reason });
    match github.get(&github.url(&format!("repositories/{id}")), &what).await {
        Ok((described, _)) => match Repository::read(&described) {
            Ok(repository) if repository.id == id => Presence::Here(Box::new(repository)),
            Ok(repository) => unreadable(format!("it describes another repository (id {})", repository.id)),
            Err(bad) => unreadable(bad.reason),
        },
        Err(GitHubError::NotFound { .. }) => Presence::NotFound,
        Err(error) => Presence::Unknown(error),
    }
}
