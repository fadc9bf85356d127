//! Adoption: clones that another tool made on the store become mirrors, one after the other, in a run of their own.
//!
//! GitHub has said which repository each belongs to; nothing is fetched. The next run brings them up to date.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Progress, Session, is_fatal};
use crate::blocking::unblock;
use crate::disk::sync_file_system;
use crate::git::mirror::adopt::{ForeignClone, adopt};
use crate::git::mirror::publish::Publication;
use crate::git::mirror::snapshot::Occasion;
use crate::git::pack::list::PackList;
use crate::git::pointer::Pointer;
use crate::git::wire::transfer::Transfer;
use crate::git::{GitError, temporary_folder};
use crate::github::Repository;
use crate::large_files::contents::Contents;
use crate::large_files::missing::{Missing, Why};
use crate::mirrors::MirrorKind;
use crate::outcome::{
    AdoptedClone, Failure, Held, Kind, Outcome, PartCounts, PartOutcome, PartState, RunEnd, RunSummary, STORED,
    STORED_BYTES, Stage, State,
};
use crate::scratch::Scratch;
use crate::store::{Lock, Mirror, Record, Store, StoreError, layout};

/// A clone, and its repository on GitHub.
#[derive(Clone, Debug)]
pub struct Adoption {
    /// The clone.
    pub clone: ForeignClone,
    /// The repository that it is a clone of.
    pub repository: Repository,
    /// Whether it is a clone of the repository itself or of its wiki.
    pub kind: MirrorKind,
}

impl Session {
    /// Adopts clones, whatever fails on the way; code before wikis.
    ///
    /// # Errors
    /// [`StoreError`] if the record cannot be written.
    pub async fn adopt(
        mut self,
        mut adoptions: Vec<Adoption>,
        cancel: &CancellationToken,
        progress: &dyn Progress,
    ) -> Result<RunSummary, StoreError> {
        // A clone that lies where an owner's folder belongs goes first, before mirrors are put there.
        let targets: Vec<PathBuf> = adoptions.iter().map(|adoption| self.target(adoption)).collect();
        let is_in_the_way = |clone: &ForeignClone| {
            targets.iter().any(|target| target.starts_with(&clone.folder) && *target != clone.folder)
        };
        adoptions.sort_by_key(|adoption| {
            (!is_in_the_way(&adoption.clone), adoption.kind, adoption.repository.full_name.folded())
        });
        let mut tally = std::mem::take(&mut self.tally);
        tally.listed = adoptions.iter().map(|it| (it.repository.id, it.repository.full_name.clone())).collect();
        self.write(&Record::Plan { repositories: adoptions.len() as u64 })?;
        progress.planned(adoptions.len());
        let scratch = match Scratch::create(&self.config.store.scratch) {
            Ok(scratch) => Arc::new(scratch),
            Err(error) => {
                tally.failures.push(super::no_scratch(&self.config.store.scratch, Stage::Setup, &error));
                return self.close(tally, RunEnd::Stopped);
            }
        };
        let mut end = RunEnd::Finished;
        for adoption in adoptions {
            if cancel.is_cancelled() {
                end = RunEnd::Cancelled;
                break;
            }
            progress.started(&adoption.repository.full_name, &Arc::new(Transfer::default()));
            let Adopted { outcome, part, is_fatal } = self.adopt_one(adoption, &scratch, cancel).await;
            progress.finished(&outcome);
            self.write(&Record::Outcome(Box::new(outcome.clone())))?;
            self.index.record(&outcome, &layout::place(&outcome.full_name));
            tally.take(outcome);
            if let Some(part) = part {
                self.write(&Record::Part(part.clone()))?;
                self.index.record_part(&part);
                tally.take_part(part);
            }
            if is_fatal {
                end = RunEnd::Stopped;
                break;
            }
        }
        if end == RunEnd::Finished {
            // The next run fetches what the verification found to be missing.
            self.prove(cancel, &mut tally).await?;
        }
        self.close(tally, end)
    }

    fn target(&self, adoption: &Adoption) -> PathBuf {
        let place = layout::place(&adoption.repository.full_name);
        self.store.mirror_at(&place, adoption.kind).path().to_owned()
    }

    /// Adopts one clone.
    async fn adopt_one(&self, adoption: Adoption, scratch: &Arc<Scratch>, cancel: &CancellationToken) -> Adopted {
        let Adoption { clone, repository, kind } = adoption;
        let started = Instant::now();
        let work = Work {
            store: self.store.clone(),
            lock: Arc::clone(&self.lock),
            scratch: Arc::clone(scratch),
            occasion: Occasion {
                run_id: self.run_id.clone(),
                observed_at: clone.seen_at(self.started_at),
                full_name: repository.full_name.clone(),
                id: repository.id,
            },
            default_branch: repository.default_branch.clone().filter(|_| kind == MirrorKind::Code),
            kind,
            now: self.clock.now(),
            cancel: cancel.clone(),
        };
        let finished = unblock(move || Ok(work.carry_out(&clone))).await;
        let result = finished.unwrap_or_else(|error| Err(GitError::Task(error.message().to_owned())));
        let mut outcome = Outcome::new(repository.id, repository.full_name.clone(), State::Created, self.clock.now());
        outcome.duration_milliseconds = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let (mut fatal, mut part) = (false, None);
        match result {
            Ok(Done { head, kept, clone, packs, large_files }) => {
                part = large_files;
                outcome.pointers_known.push(kind);
                outcome.tips_kept = kept;
                outcome.adopted = Some(clone);
                if kind != MirrorKind::Code {
                    outcome.state = State::Updated;
                }
                outcome.held.insert(kind, Held { head: Some(head), packs });
            }
            Err(GitError::Cancelled) if cancel.is_cancelled() => {
                outcome.state = State::Failed;
                outcome.is_cut_off = true;
            }
            Err(error) => {
                fatal = is_fatal(&error, self.store.root());
                outcome.state = State::Failed;
                outcome.failures.push(Failure {
                    repository: kind.name_of(&repository.full_name),
                    stage: Stage::Publish,
                    error: error.to_string(),
                    hint: error.hint().to_owned(),
                });
            }
        }
        Adopted { outcome, part, is_fatal: fatal }
    }
}

/// The result for one clone.
struct Adopted {
    outcome: Outcome,
    part: Option<PartOutcome>,
    /// Whether the store takes no more writes.
    is_fatal: bool,
}

/// What adopting one clone needs, on a thread of its own.
struct Work {
    store: Store,
    /// Held while something is being written.
    lock: Arc<Lock>,
    scratch: Arc<Scratch>,
    occasion: Occasion,
    default_branch: Option<String>,
    kind: MirrorKind,
    now: DateTime<Utc>,
    cancel: CancellationToken,
}

/// A clone that has become a mirror.
struct Done {
    head: String,
    kept: u64,
    clone: AdoptedClone,
    packs: Option<PackList>,
    large_files: Option<PartOutcome>,
}

impl Work {
    fn carry_out(&self, clone: &ForeignClone) -> Result<Done, GitError> {
        let lock = Arc::clone(&self.lock);
        let Occasion { id, full_name, run_id, .. } = &self.occasion;
        let target = self.store.mirror_at(&layout::place(full_name), self.kind);
        if target.exists().map_err(GitError::io("examine", target.path()))? && target.path() != clone.folder {
            return Err(GitError::NotAdoptable("the repository has a mirror already"));
        }
        if self.store.holds_repositories(&clone.folder)? {
            return Err(GitError::NotAdoptable(
                "other repositories lie in its folder; move its own files and `.git` into a folder of their own",
            ));
        }
        let folder = temporary_folder("adopt-", self.scratch.path())?;
        let default_branch = self.default_branch.as_deref();
        let (staged, head) = adopt(clone, default_branch, &self.occasion, folder.path(), &self.cancel)?;
        let building = self.store.mirror_at(&layout::incoming(*id), self.kind);
        let place = clone.folder.strip_prefix(self.store.root()).unwrap_or(&clone.folder);
        let aside = layout::adopted(place, run_id);
        let may_go_on = || lock.confirm().map_err(GitError::from);
        let publication = Publication {
            packs: &staged.packs,
            refs: &staged.refs,
            compared: None,
            head: Some(&head),
            pointers: &staged.pointers,
            noted_at: self.now,
            may_go_on: &may_go_on,
        };
        let old = (clone.folder.as_path(), &*self.store.root().join(&aside), false);
        lock.confirm()?;
        self.store.replace_mirror(&building, &target, old, (*id, full_name), &publication)?;
        let large_files = self.take_large_files(&target, &clone.git_dir_in(old.1), &staged.pointers)?;
        let clone = AdoptedClone { from: place.display().to_string(), set_aside_in: aside.display().to_string() };
        Ok(Done { head, kept: staged.kept, clone, packs: PackList::of(&staged.packs).ok(), large_files })
    }

    /// Copies the large files that the clone has, each proven by its hash; the next run fetches the others.
    fn take_large_files(
        &self,
        mirror: &Mirror,
        clone: &Path,
        pointers: &[Pointer],
    ) -> Result<Option<PartOutcome>, GitError> {
        if pointers.is_empty() {
            return Ok(None);
        }
        let (contents, theirs) = (Contents::of(mirror.path()), Contents::of(clone));
        let mut missing = Missing::read(mirror.path())?;
        let (mut adopted, mut adopted_bytes) = (0, 0);
        for pointer in pointers {
            if self.cancel.is_cancelled() {
                break;
            }
            match contents.copy_from(&theirs.path(&pointer.oid), *pointer, &self.cancel) {
                Ok(true) => {
                    missing.remove(&pointer.oid);
                    adopted += 1;
                    adopted_bytes += pointer.size_bytes;
                }
                Ok(false) => {}
                // The next run fetches it.
                Err(error) => tracing::warn!(oid = %pointer.oid, %error, "a large file is not taken over"),
            }
        }
        sync_file_system(mirror.path()).map_err(GitError::io("write", mirror.path()))?;
        missing.write(mirror.path())?;
        let Occasion { id, full_name, .. } = &self.occasion;
        let mut outcome = PartOutcome::new((*id, full_name.clone()), self.kind, Kind::LargeFiles, self.now);
        outcome.state = PartState::Created;
        (outcome.is_owed, outcome.is_whole) = (!missing.is_empty(), true);
        let counts = |files: &str, bytes: &str| {
            PartCounts::from([(files.to_owned(), adopted), (bytes.to_owned(), adopted_bytes)])
        };
        outcome.counts = counts("adopted", "adopted_bytes");
        if adopted > 0 {
            outcome.totals = counts(STORED, STORED_BYTES);
        }
        if !missing.is_empty() {
            outcome.totals.insert(Why::Postponed.name().to_owned(), missing.len() as u64);
        }
        Ok(Some(outcome))
    }
}
