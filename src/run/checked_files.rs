//! What a verification found out about a mirror's large files: those that nobody has looked for yet are owed, or lost with
//! their repository.

use std::path::Path;
use std::sync::Arc;

use super::kinds::Task;
use super::large_files::Due;
use super::mirror_step::blocking;
use super::proof::{Proven, Prover};
use crate::git::GitError;
use crate::git::pointer::Pointer;
use crate::large_files::check::Checked;
use crate::large_files::missing::{Missing, Why};
use crate::mirrors::MirrorKind;
use crate::names::RepositoryId;
use crate::outcome::{Failure, Kind, PartOutcome, PartState, STORED, STORED_BYTES, Stage};
use crate::store::{IndexedMirror, Mirror};
use crate::text::count;

const GONE: &str = "the repository is no longer on GitHub";

impl Prover<'_> {
    /// Notes what is now known of a mirror's large files.
    pub(super) async fn take_checked(
        &self,
        (id, indexed): (RepositoryId, &IndexedMirror),
        kind: MirrorKind,
        mirror: &Mirror,
        mut checked: Checked,
        proven: &mut Proven,
    ) -> Result<(), GitError> {
        let mark = indexed.parts.get(kind, Kind::LargeFiles);
        let is_on_github = !indexed.gone && !indexed.is_set_aside();
        // If all pointers were known, a missing large file is damage, and stays damage.
        let was_searched = mark.is_some_and(|mark| mark.is_whole);
        let unknown = std::mem::take(&mut checked.unknown);
        let is_lost = !is_on_github && !was_searched && !unknown.is_empty();
        if is_lost || (is_on_github && !unknown.is_empty()) {
            self.note_unknown(mirror.path(), unknown.clone(), is_on_github).await?;
        }
        if is_lost {
            *checked.missing.entry(Why::Absent).or_default() += unknown.len() as u64;
        }
        let mut totals = checked.missing_counts();
        if checked.stored > 0 {
            totals.extend([(STORED.to_owned(), checked.stored), (STORED_BYTES.to_owned(), checked.stored_bytes)]);
        }
        let is_looked_for = is_on_github && !unknown.is_empty();
        if is_looked_for {
            let head = indexed.held.get(&kind).and_then(|held| held.head.clone());
            proven.tasks.push(Task::LargeFiles(Due {
                id,
                full_name: indexed.full_name.clone(),
                kind,
                head: head.unwrap_or_default(),
                is_new: true,
                refs_came: false,
                totals: totals.clone(),
            }));
        }
        if mark.is_some_and(|mark| mark.is_whole && mark.totals == totals) && !is_looked_for {
            return Ok(());
        }
        let is_left_out = mark.is_some_and(|mark| mark.state == PartState::Disabled);
        let is_missing = is_on_github && !is_left_out && !checked.missing.is_empty();
        let mut part = PartOutcome {
            // If the repository comes back, it is asked for them.
            is_owed: mark.is_some_and(|mark| mark.is_owed) || is_looked_for || is_missing || is_lost,
            is_whole: true,
            totals,
            state: mark.map_or(PartState::Unchanged, |mark| mark.state),
            ..PartOutcome::new((id, indexed.full_name.clone()), kind, Kind::LargeFiles, self.clock.now())
        };
        // A run that was killed after listing them reported nothing, but it left no mark either.
        let lost = checked.missing.get(&Why::Absent).copied().unwrap_or_default();
        if !is_on_github && mark.is_none_or(|mark| !mark.is_whole) && lost > 0 {
            part.state = PartState::Absent;
            proven.failures.push(lost_with_it(&kind.name_of(&indexed.full_name), lost));
        }
        proven.parts.push(part);
        Ok(())
    }

    /// Notes on the store that some files are missing, for good if nobody can be asked for them.
    async fn note_unknown(&self, mirror: &Path, unknown: Vec<Pointer>, is_on_github: bool) -> Result<(), GitError> {
        let (path, lock, now) = (mirror.to_owned(), Arc::clone(self.lock), self.clock.now());
        blocking(move || {
            lock.confirm()?;
            if is_on_github {
                return Ok(Missing::note(&path, &unknown, now)?);
            }
            let mut missing = Missing::read(&path)?;
            for pointer in unknown {
                missing.insert(pointer, Why::Absent, now, Some(GONE.to_owned()));
            }
            Ok(missing.write(&path)?)
        })
        .await
    }
}

/// Makes the failure for large files that were never fetched, and no longer can be.
fn lost_with_it(repository: &str, lost: u64) -> Failure {
    Failure {
        repository: repository.to_owned(),
        stage: Stage::Verify,
        error: format!("{} not backed up: {GONE}", count(lost, "large file is", "large files are")),
        hint: "look for a clone that still has them, in .git/lfs/objects".to_owned(),
    }
}
