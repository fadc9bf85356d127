//! The kinds of data beside refs: what each has to do in a run, and who does it. A run goes through this one list of them.

use tokio_util::sync::CancellationToken;

use super::Progress;
use super::mirror_step::Synced;
use super::repository::Worker;
use super::{large_files, metadata_due};
use crate::mirrors::MirrorKind;
use crate::outcome::{Failure, PartOutcome};
use crate::plan::Step;

/// Something to do for one kind of data in one mirror, after its refs.
#[derive(Clone, Debug)]
pub(super) enum Task {
    LargeFiles(large_files::Due),
    Metadata(Box<metadata_due::Due>),
}

/// What came of a task.
#[derive(Default)]
pub(super) struct TaskDone {
    /// None if it turned out that nothing is new.
    pub(super) part: Option<PartOutcome>,
    /// Set if nothing else can succeed either.
    pub(super) ends_the_run: Option<Failure>,
}

impl From<Option<PartOutcome>> for TaskDone {
    fn from(part: Option<PartOutcome>) -> Self {
        Self { part, ends_the_run: None }
    }
}

impl Task {
    /// Lists what there is to do in a mirror whose refs are done; `synced` is none if they failed.
    pub(super) fn after_refs(worker: &Worker, step: &Step, mirror: MirrorKind, synced: Option<&Synced>) -> Vec<Self> {
        let large_files = large_files::due(worker, step, mirror, synced).map(Self::LargeFiles);
        large_files.into_iter().collect()
    }

    /// Carries out the task, while refs of other repositories go on.
    pub(super) async fn carry_out(
        self,
        worker: &Worker,
        progress: &dyn Progress,
        cancel: CancellationToken,
    ) -> TaskDone {
        match self {
            Self::LargeFiles(due) => Some(worker.large_files(due, progress, cancel).await).into(),
            Self::Metadata(due) => worker.metadata(*due, progress, cancel).await,
        }
    }
}
