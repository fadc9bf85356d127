//! One attempt at a mirror: compares what GitHub and the store have, and downloads what is new.

use std::sync::Arc;

use bytesize::ByteSize;
use tokio_util::sync::CancellationToken;

use super::mirror_step::{MirrorStep, blocking, joined};
use super::remarks::Remarks;
use super::repository::{ReadAhead, Worker};
use crate::disk::free_bytes;
use crate::git::mirror::snapshot::Occasion;
use crate::git::mirror::stage::{Download, Staged, stage, stage_repair};
use crate::git::mirror::verify::{Thoroughness, verify};
use crate::git::pack::list::PackList;
use crate::git::refs::{Refs, SNAPSHOTS_REF};
use crate::git::wire::advertisement::Advertisement;
use crate::git::wire::transfer::Transfer;
use crate::git::{GitError, WireError, temporary_folder};
use crate::mirrors::MirrorKind;
use crate::outcome::Held;
use crate::store::{Look, Mirror, Store};

/// Repositories smaller than this, in bytes, are fetched without a check for free space.
const LARGE_BYTES: u64 = 256 << 20;

/// The outcome of asking and downloading.
pub(super) enum Attempt {
    Unchanged { head: String, remarks: Remarks, packs: Option<PackList> },
    Changed(Box<Change>),
}

/// What a mirror has.
pub(super) struct Stored {
    pub(super) refs: Refs,
    pub(super) head: Option<String>,
    /// What a look at it found, if the index knew what to expect.
    pub(super) look: Option<Look>,
}

/// What is known of a mirror before anything is compared with GitHub.
#[derive(Default)]
pub(super) struct Inspected {
    pub(super) problems: Vec<String>,
    pub(super) is_head_lost: bool,
    /// Its packs, if they differ from those in the index.
    pub(super) packs: Option<PackList>,
}

/// What is ready to be published.
pub(super) struct Change {
    pub(super) stored: Option<Stored>,
    pub(super) is_repair: bool,
    pub(super) staged: Staged,
    pub(super) head: String,
    /// Whether the mirror has this HEAD already.
    pub(super) keeps_head: bool,
    pub(super) remarks: Remarks,
    /// The packs that the mirror had before.
    pub(super) packs: Option<PackList>,
    pub(super) scratch: tempfile::TempDir,
}

impl Worker {
    /// Refuses a large first fetch that scratch or the store has no room for, before it fills them.
    async fn refuse_without_room(&self, step: &MirrorStep<'_>) -> Result<(), GitError> {
        let needed = step.expected_bytes;
        if needed < LARGE_BYTES {
            return Ok(());
        }
        let folders = [self.scratch.clone(), self.store.root().to_owned()];
        blocking(move || {
            for folder in folders {
                // If the free space cannot be read, writing will tell.
                let free = free_bytes(&folder).unwrap_or(u64::MAX);
                if free < needed {
                    return Err(GitError::NoRoom { needed: ByteSize::b(needed), free: ByteSize::b(free), folder });
                }
            }
            Ok(())
        })
        .await
    }

    /// Asks the server what there is, and downloads what is new.
    pub(super) async fn attempt(
        &self,
        step: &MirrorStep<'_>,
        mirror: &Mirror,
        ahead: ReadAhead,
        transfer: &Arc<Transfer>,
        cancel: &CancellationToken,
    ) -> Result<Attempt, GitError> {
        let observed_at = self.clock.now();
        let name = step.name();
        let advertise = self.server.advertise(&name, &transfer.waited);
        let exists = || mirror.exists().map_err(GitError::io("examine", mirror.path()));
        let damaged = (self.repair && exists()?).then(|| mirror.path().to_owned());
        let ((advertisement, repository_url), stored) = if damaged.is_some() {
            (advertise.await?, None)
        } else if step.held.is_some() {
            // Both take milliseconds to answer; asking one after the other would double the wait.
            let stored =
                ahead.unwrap_or_else(|| tokio::task::spawn_blocking(read_stored(step, &self.store, mirror.clone())));
            let (advertised, stored) = tokio::join!(advertise, joined(stored));
            // The store's answer counts whatever GitHub says: if GitHub no longer has the repository, the mirror is all there is.
            let stored = stored?;
            match advertised {
                Err(WireError::NotFound) if step.kind != MirrorKind::Code => {
                    return self.gone_companion(step, mirror, stored, cancel).await;
                }
                advertised => (advertised?, stored),
            }
        } else {
            // Ask the server first: most wikis do not exist, and then the store need not be asked.
            (advertise.await?, blocking(read_stored(step, &self.store, mirror.clone())).await?)
        };
        let stored_head = stored.as_ref().and_then(|stored| stored.head.as_deref());
        let head = choose_head(&advertisement, step.default_branch, stored_head);
        let mut inspected = match &stored {
            Some(stored) => self.inspect(step, mirror, stored.look.as_ref(), cancel).await?,
            None => Inspected::default(),
        };
        let known_packs = inspected.packs.take();
        if let Some(stored) = &stored {
            let of_remote = stored.refs.of_remote();
            // Starting a new history would lose the old one, which is only out of sight.
            if stored.refs.get(SNAPSHOTS_REF).is_none() {
                return Err(GitError::Damaged(format!("it has no {SNAPSHOTS_REF}")));
            }
            if of_remote == advertisement.refs && stored_head == Some(&head) && !inspected.is_head_lost {
                let remarks = Remarks::on(advertisement, inspected.problems, inspected.is_head_lost);
                return Ok(Attempt::Unchanged { head, remarks, packs: known_packs });
            }
            if advertisement.refs.is_empty() && !of_remote.is_empty() {
                return Err(GitError::Emptied(of_remote.len()));
            }
        }
        if stored.is_none() {
            self.refuse_without_room(step).await?;
        }
        self.note_under_way(step).await;
        let scratch = temporary_folder("stage-", &self.scratch)?;
        let occasion =
            Occasion { run_id: self.run_id.clone(), observed_at, full_name: step.full_name.clone(), id: step.id };
        let server = Arc::clone(&self.server);
        let folder = mirror.path().to_owned();
        let (transfer, cancel) = (Arc::clone(transfer), cancel.clone());
        let object_size_max = self.config.limits.object_size;
        let (expected, asked) = (head.clone(), mirror.clone());
        let is_same = stored_head == Some(&head);
        let packs = known_packs.or_else(|| step.known_packs().cloned());
        // The HEAD that the index knows may be missing from the mirror, and git recognises no repository without one.
        let keeps_head = blocking(move || Ok(is_same && asked.may_have_head(&expected)?));
        let change = blocking(move || {
            let nothing = Refs::default();
            let stored_refs = stored.as_ref().map_or(&nothing, |stored| &stored.refs);
            let download = Download {
                server,
                repository_url,
                advertisement: &advertisement,
                head: &head,
                occasion: &occasion,
                stored: stored_refs,
                stored_head: stored.as_ref().and_then(|stored| stored.head.as_deref()),
                mirror: stored.is_some().then_some(folder),
                scratch: scratch.path(),
                transfer,
                object_size_max,
                cancel,
            };
            let staged = match &damaged {
                Some(damaged) => stage_repair(&download, damaged)?,
                None => stage(&download)?,
            };
            let (is_repair, remarks) =
                (damaged.is_some(), Remarks::on(advertisement, inspected.problems, inspected.is_head_lost));
            Ok(Change { stored, is_repair, staged, head, keeps_head: false, remarks, packs, scratch })
        });
        let (change, keeps_head) = tokio::join!(change, keeps_head);
        let change = change?;
        Ok(Attempt::Changed(Box::new(Change { keeps_head: keeps_head?, ..change })))
    }

    /// Looks at a mirror beside the code's, such as a wiki's, that GitHub no longer has.
    pub(super) async fn gone_companion(
        &self,
        step: &MirrorStep<'_>,
        mirror: &Mirror,
        stored: Option<Stored>,
        cancel: &CancellationToken,
    ) -> Result<Attempt, GitError> {
        let Some(stored) = stored else { return Err(GitError::Wire(WireError::NotFound)) };
        let Inspected { mut problems, is_head_lost, packs } =
            self.inspect(step, mirror, stored.look.as_ref(), cancel).await?;
        if is_head_lost {
            problems.push("its HEAD is missing or changed".to_owned());
        }
        let remarks = Remarks { problems, is_gone: true, ..Remarks::default() };
        Ok(Attempt::Unchanged { head: stored.head.unwrap_or_default(), remarks, packs })
    }

    /// Follows up on a look at a mirror. Packs that differ from those that the last run left are fine if the mirror is whole
    /// with them, as after a manual `git gc` or an interrupted run. So are packs of which no record is left.
    pub(super) async fn inspect(
        &self,
        step: &MirrorStep<'_>,
        mirror: &Mirror,
        look: Option<&Look>,
        cancel: &CancellationToken,
    ) -> Result<Inspected, GitError> {
        let mut problems = look.map(|look| look.problems.clone()).unwrap_or_default();
        let is_head_lost = look.is_some_and(|look| look.is_head_lost);
        let reason = match look {
            Some(look) if look.packs_differ.is_empty() => {
                return Ok(Inspected { problems, is_head_lost, packs: None });
            }
            Some(look) => look.packs_differ[0].clone(),
            None => "no record tells what it had".to_owned(),
        };
        tracing::info!(
            mirror = step.name(),
            reason,
            "its packs are not known to be those that the last run left; verifying it"
        );
        self.note_under_way(step).await;
        // Each verification takes the space of a pack in scratch, and once all records are lost, every mirror needs one.
        let _alone = self.inspecting.lock().await;
        let (mirror, scratch, cancel) = (mirror.clone(), self.scratch.clone(), cancel.clone());
        let id = step.id;
        let (store, held_lock, name) = (self.store.clone(), Arc::clone(&self.lock), step.name());
        let (verified, packs) = blocking(move || {
            // Two mirrors that were swapped by hand would get each other's history.
            if mirror.identity()?.is_some_and(|(owner, _)| owner != id) {
                return Err(GitError::InTheWay(mirror.path().to_owned()));
            }
            let verified = verify(mirror.path(), &scratch, Thoroughness::Connected, &cancel)?;
            store.refuse_links_on_the_way(&mirror.path().join("config"))?;
            held_lock.confirm()?;
            // Mirrors made by older versions of ghbk pass through here once.
            if verified.damage.is_empty()
                && let Err(error) = mirror.refuse_pushes()
            {
                tracing::warn!(mirror = name, %error, "it still accepts pushes");
            }
            Ok((verified, PackList::of_mirror(mirror.path()).ok()))
        })
        .await?;
        if let Some(damage) = verified.damage.first() {
            let more = verified.damage.len() - 1;
            let more = if more == 0 { String::new() } else { format!(", and {more} more") };
            let damage = damage.to_string();
            // Both may name the same pack.
            let damage = if damage.contains(&reason) { damage } else { format!("{reason}; {damage}") };
            problems.push(format!("{damage}{more}"));
        }
        // Every run looks at a damaged mirror again.
        let packs = packs.filter(|_| verified.damage.is_empty());
        Ok(Inspected { problems, is_head_lost, packs })
    }
}

/// Returns a function that reads a mirror, or returns none if there is no mirror.
pub(super) fn read_stored(
    step: &MirrorStep<'_>,
    store: &Store,
    mirror: Mirror,
) -> impl FnOnce() -> Result<Option<Stored>, GitError> + Send + use<> {
    let (id, store) = (step.id, store.clone());
    let known = step.held.filter(|held| !step.is_unconfirmed && (held.head.is_some() || held.packs.is_some())).cloned();
    move || {
        // Most mirrors that the index does not know do not exist.
        if known.is_none() && !mirror.exists().map_err(GitError::io("examine", mirror.path()))? {
            return Ok(None);
        }
        let refs = mirror.refs();
        if matches!(refs, Ok(None)) {
            return Ok(None);
        }
        if let Some(Held { head, packs }) = known {
            let Some(refs) = refs? else { return Ok(None) };
            // The index knows no HEAD if it was lost.
            let head = head.map_or_else(|| mirror.head(), |head| Ok(Some(head)))?;
            let look = packs.map(|packs| mirror.look(&packs, head.as_deref().unwrap_or_default())).transpose()?;
            return Ok(Some(Stored { refs, head, look }));
        }
        // Only a mirror that the index does not know can belong to another repository.
        let identity = mirror.identity()?;
        if identity.is_none() && matches!(&refs, Ok(Some(refs)) if refs.get(SNAPSHOTS_REF).is_some()) {
            return Err(GitError::Damaged("its config does not say whose it is".to_owned()));
        }
        let is_foreign = mirror.host()?.is_some_and(|host| !store.is_own_host(&host));
        if is_foreign || identity.is_none_or(|(owner, _)| owner != id) {
            return Err(GitError::InTheWay(mirror.path().to_owned()));
        }
        let Some(refs) = refs? else { return Ok(None) };
        let head = mirror.head()?;
        Ok(Some(Stored { refs, head, look: None }))
    }
}

/// Decides what HEAD says: what the server advertises, else what the API says, else what it said before.
fn choose_head(advertisement: &Advertisement, default_branch: Option<&str>, stored: Option<&str>) -> String {
    let from_api =
        default_branch.map(|branch| format!("refs/heads/{branch}")).filter(|name| git2::Reference::is_valid_name(name));
    let valid = |name: &String| name.starts_with("refs/heads/") && git2::Reference::is_valid_name(name);
    match advertisement.head.clone().filter(valid).or(from_api) {
        Some(branch) => format!("ref: {branch}"),
        None => stored.unwrap_or("ref: refs/heads/main").to_owned(),
    }
}
