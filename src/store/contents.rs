//! What lies in a mirror's folder, by names and sizes: a run looks at each mirror this way before it says that nothing changed.
//!
//! What a newcomer would get wrong: each question is a round trip of milliseconds, so each is asked once, and only where the
//! answer matters. The date that ghbk gave `refs` shows that the folder is empty: making a ref changes it.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use rustix::fs::{AtFlags, Timespec, Timestamps};

use super::Mirror;
use crate::disk::metadata;
use crate::git::GitError;
use crate::git::mirror::verify::{NO_CONFIG, NO_REFS_FOLDER, loose_refs, what_is_wrong_with};
use crate::git::pack::list::PackList;

/// What a look at a mirror found.
#[derive(Debug, Default)]
pub struct Look {
    /// Files of packs that are missing, or that have changed their size.
    pub packs_differ: Vec<String>,
    /// What else is wrong.
    pub problems: Vec<String>,
    /// Whether HEAD is missing, or has changed its length.
    pub is_head_lost: bool,
}

/// The date of a `refs` folder that nobody but ghbk has touched: the first second of the third millennium.
const UNTOUCHED: Duration = Duration::from_hours(271_752);

/// From this many packs on, listing the folder first is cheaper: an NFS server sends the attributes of all files with it.
const LISTED_MIN: usize = 3;

impl Mirror {
    /// Checks that everything that the last run left is there, without reading any of it.
    ///
    /// # Errors
    /// [`GitError::Disk`] if the store does not answer.
    pub fn look(&self, packs: &PackList, head: &str) -> Result<Look, GitError> {
        let mut look = Look { is_head_lost: !self.may_have_head(head)?, ..Look::default() };
        let folder = self.path().join("objects/pack");
        if packs.len() >= LISTED_MIN {
            // The questions below are then answered from the client's cache.
            let _ = fs::read_dir(&folder).map(Iterator::count);
        }
        for (pack, idx, sizes) in packs.files() {
            for (name, expected) in [(pack, sizes.pack), (idx, sizes.idx)] {
                let path = folder.join(&name);
                match metadata(&path).map_err(GitError::io("examine", &path))? {
                    None => look.packs_differ.push(format!("{name} is missing")),
                    Some(there) if there.len() != expected => {
                        look.packs_differ.push(format!("{name} has {} bytes instead of {expected}", there.len()));
                    }
                    Some(_) => {}
                }
            }
        }
        let config = self.path().join("config");
        let there = metadata(&config).map_err(GitError::io("examine", &config))?;
        if there.is_none_or(|there| there.len() == 0) {
            look.problems.push(NO_CONFIG.to_owned());
        }
        self.look_at_refs(&mut look)?;
        Ok(look)
    }

    fn look_at_refs(&self, look: &mut Look) -> Result<(), GitError> {
        let folder = self.path().join("refs");
        let Some(there) = metadata(&folder).map_err(GitError::io("examine", &folder))? else {
            look.problems.push(NO_REFS_FOLDER.to_owned());
            return Ok(());
        };
        if there.modified().ok() == Some(SystemTime::UNIX_EPOCH + UNTOUCHED) {
            return Ok(());
        }
        let loose = loose_refs(self.path())?;
        look.problems.extend(loose.iter().map(|name| what_is_wrong_with(name)));
        if loose.is_empty() && fs::read_dir(&folder).is_ok_and(|mut entries| entries.next().is_none()) {
            mark_untouched(&folder);
        }
        Ok(())
    }
}

/// Gives an empty `refs` folder the date by which the next run knows that it is still empty.
pub(super) fn mark_untouched(refs: &Path) {
    let date = Timespec { tv_sec: i64::try_from(UNTOUCHED.as_secs()).unwrap_or_default(), tv_nsec: 0 };
    let dates = Timestamps { last_access: date, last_modification: date };
    if let Err(error) = rustix::fs::utimensat(rustix::fs::CWD, refs, &dates, AtFlags::empty()) {
        tracing::debug!(folder = %refs.display(), %error, "is looked into by each run");
    }
}
