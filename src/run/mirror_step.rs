//! One mirror of a repository that a run goes through, and its state afterwards.

use super::remarks::{Changed, Remarks};
use crate::config::Config;
use crate::git::GitError;
use crate::git::pack::list::PackList;
use crate::mirrors::MirrorKind;
use crate::names::{FullName, RepositoryId};
use crate::outcome::{Held, Stage, State};
use crate::plan::Step;

/// One of the git repositories behind a GitHub repository.
pub(super) struct MirrorStep<'a> {
    pub(super) id: RepositoryId,
    pub(super) full_name: &'a FullName,
    pub(super) kind: MirrorKind,
    /// What the index knows of its mirror; none if there is no mirror.
    pub(super) held: Option<&'a Held>,
    /// Whether nothing else is under way.
    pub(super) is_alone: bool,
    /// Whether a record says that it had a mirror, and that mirror is missing now.
    pub(super) was_lost: bool,
    /// Whether the mirror could not be asked which repository it belongs to.
    pub(super) is_unconfirmed: bool,
    /// How large GitHub says it is, in bytes; 0 if it does not.
    pub(super) expected_bytes: u64,
    /// What GitHub's API says, for repositories whose HEAD points at no branch yet.
    pub(super) default_branch: Option<&'a str>,
}

impl<'a> MirrorStep<'a> {
    /// Returns the mirrors that a git server may have something for, the code's first.
    pub(super) fn all_of(step: &'a Step, config: &Config) -> Vec<Self> {
        let has_wiki = config.github.wikis && step.repository.has_wiki;
        let is_wanted = |kind: &MirrorKind| *kind != MirrorKind::Wiki || has_wiki;
        MirrorKind::OF_GIT_SERVER.into_iter().filter(is_wanted).map(|kind| Self::new(step, kind)).collect()
    }

    pub(super) fn new(step: &'a Step, kind: MirrorKind) -> Self {
        let Step { repository, stored, is_alone, lost, .. } = step;
        Self {
            id: repository.id,
            full_name: &repository.full_name,
            kind,
            held: stored.as_ref().and_then(|stored| stored.held.get(&kind)),
            is_alone: *is_alone,
            was_lost: lost.contains(kind),
            is_unconfirmed: stored.as_ref().is_some_and(|stored| stored.is_unconfirmed),
            // GitHub's size counts the code alone.
            expected_bytes: if kind == MirrorKind::Code { repository.size_kib.saturating_mul(1024) } else { 0 },
            default_branch: repository.default_branch.as_deref().filter(|_| kind == MirrorKind::Code),
        }
    }

    /// Returns its packs as the index knows them.
    pub(super) fn known_packs(&self) -> Option<&'a PackList> {
        self.held.and_then(|held| held.packs.as_ref())
    }

    /// Returns the name in reports and on the git server.
    pub(super) fn name(&self) -> String {
        self.kind.name_of(self.full_name)
    }
}

/// The state of a mirror after its turn.
pub(super) struct Synced {
    pub(super) state: State,
    pub(super) head: String,
    pub(super) remarks: Remarks,
    /// Its packs, if they differ from those in the index.
    pub(super) packs: Option<PackList>,
    pub(super) changed: Changed,
    /// Whether any of the new blobs are pointers to large files.
    pub(super) has_pointers: bool,
}

pub(super) type SyncResult = Result<Synced, (Stage, GitError)>;

/// Runs blocking work on its own thread.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, GitError> + Send + 'static,
) -> Result<T, GitError> {
    joined(tokio::task::spawn_blocking(work)).await
}

pub(super) async fn joined<T>(task: tokio::task::JoinHandle<Result<T, GitError>>) -> Result<T, GitError> {
    task.await.unwrap_or_else(|error| Err(GitError::Task(error.to_string())))
}
