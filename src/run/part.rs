//! The parts of a repository: its code and its wiki, and how their mirrors stand.

use super::remarks::{Changed, Remarks};
use crate::git::GitError;
use crate::git::pack::list::PackList;
use crate::names::{FullName, RepositoryId};
use crate::outcome::{Stage, State};
use crate::plan::Step;
use crate::store::MirrorKind;

/// One of the two git repositories behind a GitHub repository.
pub(super) struct Part<'a> {
    pub(super) id: RepositoryId,
    pub(super) full_name: &'a FullName,
    pub(super) kind: MirrorKind,
    /// HEAD as the index knows it.
    pub(super) stored_head: Option<&'a str>,
    /// Whether nothing else is under way.
    pub(super) is_alone: bool,
    /// Its packs as the index knows them.
    pub(super) known_packs: Option<&'a PackList>,
    /// Whether a record says that there was a mirror of it, and it is not known any more.
    pub(super) was_lost: bool,
    /// Whether the mirror could not be asked whose it is.
    pub(super) is_unconfirmed: bool,
    /// What GitHub's API says, for repositories whose HEAD points at no branch yet.
    pub(super) default_branch: Option<&'a str>,
}

impl<'a> Part<'a> {
    pub(super) fn code(step: &'a Step) -> Self {
        let repository = &step.repository;
        Self {
            id: repository.id,
            full_name: &repository.full_name,
            kind: MirrorKind::Code,
            stored_head: step.stored.as_ref().and_then(|stored| stored.head.as_deref()),
            is_alone: step.is_alone,
            known_packs: step.stored.as_ref().and_then(|stored| stored.packs.as_ref()),
            was_lost: step.lost.code,
            is_unconfirmed: step.stored.as_ref().is_some_and(|stored| stored.is_unconfirmed),
            default_branch: repository.default_branch.as_deref(),
        }
    }

    /// Returns the wiki, if there may be one.
    pub(super) fn wiki(step: &'a Step) -> Option<Self> {
        let stored_head = step.stored.as_ref().and_then(|stored| stored.wiki_head.as_deref());
        let known_packs = step.stored.as_ref().and_then(|stored| stored.wiki_packs.as_ref());
        let was_lost = step.lost.wiki;
        let kind = MirrorKind::Wiki;
        let wiki = Part { kind, stored_head, known_packs, was_lost, default_branch: None, ..Self::code(step) };
        step.repository.has_wiki.then_some(wiki)
    }

    /// Returns the name in reports and on the git server.
    pub(super) fn name(&self) -> String {
        self.kind.name_of(self.full_name)
    }
}

/// How a part's mirror stands now.
pub(super) struct Synced {
    pub(super) state: State,
    pub(super) head: String,
    pub(super) remarks: Remarks,
    /// Its packs, if they are others than the index knew.
    pub(super) packs: Option<PackList>,
    pub(super) changed: Changed,
    /// Whether blobs among what is new stand for large files.
    pub(super) has_pointers: bool,
}

pub(super) type PartResult = Result<Synced, (Stage, GitError)>;

/// Runs blocking work on its own thread.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, GitError> + Send + 'static,
) -> Result<T, GitError> {
    joined(tokio::task::spawn_blocking(work)).await
}

pub(super) async fn joined<T>(task: tokio::task::JoinHandle<Result<T, GitError>>) -> Result<T, GitError> {
    task.await.unwrap_or_else(|error| Err(GitError::Task(error.to_string())))
}
