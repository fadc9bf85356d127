//! Proof: a share of the store read and hashed, and one repository restored into scratch and compared.
//!
//! Mirrors are read one after the other: each verification uses all processors and bounded memory. What a newcomer would
//! get wrong: damage is no reason to stop, and what could not be proven is a failure, never passed over in silence.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use chrono::{DateTime, Utc};
use tokio_util::sync::CancellationToken;

use super::kinds::Task;
use crate::clock::Clock;
use crate::config::Config;
use crate::git::mirror::restore::{Form, Order, Restored, restore};
use crate::git::mirror::snapshot::content;
use crate::git::mirror::verify::{Thoroughness, Verification};
use crate::git::{GitError, temporary_folder};
use crate::mirrors::MirrorKind;
use crate::names::RepositoryId;
use crate::outcome::{DAMAGED, Failure, PartOutcome, Proof, RestoreProof, Stage, repair_hint};
use crate::scratch::Scratch;
use crate::store::{History, Index, IndexedMirror, Ledger, Lock, Mirror, Record, Store, StoreError, Verified};

/// Holds what proving needs.
pub(super) struct Prover<'a> {
    pub(super) config: &'a Config,
    pub(super) store: &'a Store,
    pub(super) clock: &'a Clock,
    pub(super) ledger: &'a Ledger,
    pub(super) lock: &'a Arc<Lock>,
    /// Repositories that may have killed earlier runs by themselves.
    pub(super) suspected: &'a BTreeMap<RepositoryId, bool>,
    pub(super) cancel: &'a CancellationToken,
}

/// What proving found.
#[derive(Debug, Default)]
pub(super) struct Proven {
    pub(super) proof: Proof,
    pub(super) failures: Vec<Failure>,
    /// What was found of large files.
    pub(super) parts: Vec<PartOutcome>,
    /// The tasks that follow from it.
    pub(super) tasks: Vec<Task>,
    /// Repositories whose mirror is no longer in its place.
    vanished: Vec<RepositoryId>,
}

impl Prover<'_> {
    /// Reads the mirrors whose turn it is, and restores one of the candidates.
    ///
    /// # Errors
    /// [`StoreError`] if the record takes no more lines.
    pub(super) async fn prove(
        &self,
        index: &mut Index,
        due: Vec<RepositoryId>,
        candidates: &[RepositoryId],
    ) -> Result<Proven, StoreError> {
        let mut proven = Proven::default();
        let scratch = match Scratch::create(&self.config.store.scratch) {
            Ok(scratch) => scratch,
            Err(error) => {
                proven.failures.push(super::no_scratch(&self.config.store.scratch, Stage::Verify, &error));
                return Ok(proven);
            }
        };
        for id in &due {
            self.verify_and_record(*id, index, scratch.path(), &mut proven).await?;
        }
        if !self.config.verify.restore {
            return Ok(proven);
        }
        let next = candidates.iter().filter_map(|id| Some((*id, index.mirrors.get(id)?)));
        let next = next.min_by_key(|(id, mirror)| (mirror.restored_at, *id)).map(|(id, mirror)| (id, mirror.clone()));
        let Some((id, mirror)) = next else { return Ok(proven) };
        let at = self.clock.now();
        // A repository that cannot be restored is reported now, and must not keep the others from their turn.
        index.restored(id, at);
        self.note_under_way(id, &mirror).await?;
        if self.restore(&mirror, scratch.path(), &mut proven).await {
            self.ledger.write_apart(Record::Restored { id, at }).await?;
        } else if !due.contains(&id) {
            // The verification finds out why it could not be restored.
            self.verify_and_record(id, index, scratch.path(), &mut proven).await?;
        }
        Ok(proven)
    }

    async fn verify_and_record(
        &self,
        id: RepositoryId,
        index: &mut Index,
        scratch: &Path,
        proven: &mut Proven,
    ) -> Result<(), StoreError> {
        let Some(mirror) = index.mirrors.get(&id).cloned() else { return Ok(()) };
        self.note_under_way(id, &mirror).await?;
        if let Some(verified) = self.verify(id, &mirror, scratch, proven).await {
            self.ledger.write_apart(Record::Verified(verified.clone())).await?;
            index.verified(&verified);
        }
        for part in std::mem::take(&mut proven.parts) {
            self.ledger.write_apart(Record::Part(part.clone())).await?;
            index.record_part(&part);
        }
        for id in proven.vanished.drain(..) {
            // It is reported only once.
            index.lose(id);
        }
        Ok(())
    }

    /// Records what may kill the process, for the next run to suspect: a second time if it was suspected already.
    async fn note_under_way(&self, id: RepositoryId, mirror: &IndexedMirror) -> Result<(), StoreError> {
        let (full_name, is_alone) = (mirror.full_name.clone(), self.suspected.contains_key(&id));
        self.ledger.write_apart(Record::UnderWay { id, full_name, is_alone }).await
    }

    /// Verifies a repository's mirrors; none if it could not be done.
    async fn verify(
        &self,
        id: RepositoryId,
        mirror: &IndexedMirror,
        scratch: &Path,
        proven: &mut Proven,
    ) -> Option<Verified> {
        let (mut first_damage, mut is_verified) = (None, true);
        let kinds = mirror.kinds();
        let first = self.store.mirror_at(&mirror.place, mirror.main_kind());
        if matches!(first.exists(), Ok(false)) {
            let error = format!("its mirror is missing: {}", mirror.place.display());
            let hint = format!(
                "look for it in `.ghbk` and in the backups of the file system; if it is meant to be gone: `ghbk forget {}`",
                mirror.full_name
            );
            proven.failures.push(failure(&mirror.full_name.to_string(), error, hint));
            proven.vanished.push(id);
            return None;
        }
        for kind in kinds {
            if self.cancel.is_cancelled() {
                return None;
            }
            let folder = self.store.mirror_at(&mirror.place, kind);
            let name = kind.name_of(&mirror.full_name);
            let scratch = scratch.to_owned();
            let (for_work, is_known) = (folder.clone(), mirror.has_known_pointers_in(kind));
            let work =
                move |cancel: &CancellationToken| for_work.verify(id, &scratch, Thoroughness::Deep, is_known, cancel);
            let verified = self.within_limits(work).await;
            let (Verification { objects, bytes, damage, .. }, checked) = match verified {
                Ok(verified) => verified,
                Err(GitError::Cancelled) if self.cancel.is_cancelled() => return None,
                Err(error) => {
                    let hint = match error {
                        GitError::Cancelled => "raise limits.repository_timeout",
                        ref error => error.hint(),
                    };
                    let text = self.worded("could not be verified", &error);
                    proven.failures.push(failure(&name, text, hint.to_owned()));
                    is_verified = false;
                    continue;
                }
            };
            proven.proof.objects_verified += objects;
            proven.proof.bytes_verified += bytes + checked.stored_bytes;
            proven.proof.large_files_verified += checked.stored;
            if let Err(error) = self.take_checked((id, mirror), kind, &folder, checked, proven).await {
                let text = self.worded("its missing large files could not be listed", &error);
                proven.failures.push(failure(&name, text, error.hint_for(MirrorKind::split_name(&name).0)));
            }
            if let Some(first) = damage.first() {
                let more = match damage.len() {
                    1 => String::new(),
                    number => format!(", and {} more", number - 1),
                };
                let hint = if mirror.gone || mirror.is_set_aside() {
                    format!("GitHub no longer has it; `ghbk restore {id} DEST` saves what can be read")
                } else {
                    repair_hint(&name)
                };
                proven.failures.push(failure(&name, format!("{DAMAGED}{first}{more}"), hint));
                proven.proof.damaged.push(name);
                first_damage.get_or_insert(first.to_string());
            }
        }
        // Damage that was found is recorded, whatever became of the rest.
        if !is_verified && first_damage.is_none() {
            return None;
        }
        proven.proof.mirrors_verified += u64::from(is_verified);
        Some(Verified { id, at: self.clock.now(), damage: first_damage })
    }

    /// Restores the newest snapshot; returns whether it came out right.
    async fn restore(&self, mirror: &IndexedMirror, scratch: &Path, proven: &mut Proven) -> bool {
        let started = Instant::now();
        let folders: Vec<Mirror> =
            mirror.kinds().iter().map(|kind| self.store.mirror_at(&mirror.place, kind)).collect();
        let scratch = scratch.to_owned();
        let work = move |cancel: &CancellationToken| restore_all(&folders, &scratch, cancel);
        match self.within_limits(work).await {
            Ok((snapshot_time, restored)) => {
                proven.proof.restored = Some(RestoreProof {
                    repository: mirror.full_name.clone(),
                    snapshot_time,
                    refs: restored.refs,
                    objects: restored.objects,
                    duration_milliseconds: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
                });
                true
            }
            Err(GitError::Cancelled) if self.cancel.is_cancelled() => false,
            Err(error) => {
                let name = mirror.full_name.to_string();
                let text = self.worded("could not be restored into scratch", &error);
                proven.failures.push(failure(&name, text, error.hint_for(MirrorKind::split_name(&name).0)));
                false
            }
        }
    }

    fn worded(&self, what: &str, error: &GitError) -> String {
        match error {
            GitError::Cancelled => {
                let limit = humantime::format_duration(self.config.limits.repository_timeout);
                format!("{what}: it took longer than {limit}")
            }
            error => format!("{what}: {error}"),
        }
    }

    /// Runs blocking work that is cancelled with the run, or when it takes too long.
    async fn within_limits<T: Send + 'static>(
        &self,
        work: impl FnOnce(&CancellationToken) -> Result<T, GitError> + Send + 'static,
    ) -> Result<T, GitError> {
        let cancel = self.cancel.child_token();
        let for_work = cancel.clone();
        // The lock must outlive a run that is given up while this still reads.
        let lock = Arc::clone(self.lock);
        let task = tokio::task::spawn_blocking(move || {
            let _lock = lock;
            work(&for_work)
        });
        tokio::pin!(task);
        let done = tokio::select! {
            done = &mut task => done,
            () = tokio::time::sleep(self.config.limits.repository_timeout) => {
                cancel.cancel();
                task.await
            }
        };
        done.unwrap_or_else(|error| Err(GitError::Task(error.to_string())))
    }
}

fn failure(repository: &str, error: String, hint: String) -> Failure {
    Failure { repository: repository.to_owned(), stage: Stage::Verify, error, hint }
}

/// What was restored into scratch.
struct Counted {
    refs: u64,
    objects: u64,
}

/// Restores the newest snapshot of each mirror of a repository; returns the time of the first, the code's.
fn restore_all(
    mirrors: &[Mirror],
    scratch: &Path,
    cancel: &CancellationToken,
) -> Result<(DateTime<Utc>, Counted), GitError> {
    let (mut first, mut counted) = (None, Counted { refs: 0, objects: 0 });
    for mirror in mirrors {
        let (time, restored) = restore_newest(mirror, scratch, cancel)?;
        first.get_or_insert(time);
        counted.refs += restored.refs.len() as u64;
        counted.objects += restored.objects;
    }
    let first = first.ok_or_else(|| GitError::Damaged("it has no mirror".to_owned()))?;
    Ok((first, counted))
}

/// Restores the newest snapshot of a mirror into scratch and compares the result with it.
fn restore_newest(
    mirror: &Mirror,
    scratch: &Path,
    cancel: &CancellationToken,
) -> Result<(DateTime<Utc>, Restored), GitError> {
    let missing = || GitError::Damaged(format!("there is no mirror in {}", mirror.path().display()));
    let History { view, snapshots, is_whole } = mirror.snapshots(scratch)?.ok_or_else(missing)?;
    if !is_whole {
        return Err(GitError::Damaged("its newest snapshots cannot be read".to_owned()));
    }
    let snapshot = snapshots.first().ok_or_else(|| GitError::Damaged("it has no snapshot".to_owned()))?;
    let content = content(view.objects(), snapshot.oid)?;
    let folder = temporary_folder("restore-", scratch)?;
    let order = Order { content: &content, form: Form::Bare, is_strict: true, is_part: false, copied_bytes: None };
    let restored = restore(&view, order, folder.path(), cancel)?;
    if restored.around_damage {
        return Err(GitError::Damaged("what was needed could be read only by working around damage".to_owned()));
    }
    let repository = git2::Repository::open_bare(folder.path())?;
    let mut compared = 0;
    for reference in repository.references()? {
        let reference = reference?;
        let name = reference.name().unwrap_or_default();
        let expected = content.refs.get(name).map(|target| target.oid);
        if expected.is_none() || reference.target() != expected {
            return Err(GitError::Damaged(format!("{name} was restored to another object than the snapshot says")));
        }
        compared += 1;
    }
    if compared != content.refs.len() {
        return Err(GitError::Damaged(format!("{compared} of {} refs were restored", content.refs.len())));
    }
    Ok((snapshot.time, restored))
}
