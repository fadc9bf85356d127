//! Checking that the contents of a mirror's large files are there and match their ids.
//!
//! Blocking; reads the store. Each content waits for the store a few times, and not for the others, so several are read at once.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;
use std::sync::PoisonError;

use tokio_util::sync::CancellationToken;

use super::contents::{ContentError, Contents};
use super::missing::{ACCEPTED, Missing, Why};
use crate::disk::DiskError;
use crate::git::pointer::{LfsOid, Pointer, each_file_once};

/// How many are checked at once.
const AT_ONCE: usize = 8;

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// Large files that the pointers name.
    pub known: u64,
    /// Contents that are there.
    pub stored: u64,
    /// Their size in bytes.
    pub stored_bytes: u64,
    /// What is known to be missing: how many for which reason.
    pub missing: BTreeMap<Why, u64>,
    /// Those among them that a person has accepted.
    pub accepted: u64,
    /// What is neither there nor listed as missing: lost, or never asked for, as in mirrors that an older ghbk made.
    pub unknown: Vec<Pointer>,
    /// What is lost or wrong, and how, in words.
    pub damaged: Vec<(LfsOid, String)>,
}

impl Checked {
    /// Counts what is known to be missing, by the names that JSON uses.
    pub fn missing_counts(&self) -> BTreeMap<String, u64> {
        let mut counts: BTreeMap<String, u64> =
            self.missing.iter().map(|(why, count)| (why.name().to_owned(), *count)).collect();
        if self.accepted > 0 {
            counts.insert(ACCEPTED.to_owned(), self.accepted);
        }
        counts
    }
}

/// Checks the contents that some pointers name; reads all of them if `is_deep`.
///
/// # Errors
/// [`DiskError`] if the store cannot be examined.
pub fn check(
    mirror: &Path,
    pointers: &[Pointer],
    is_deep: bool,
    cancel: &CancellationToken,
) -> Result<Checked, DiskError> {
    if pointers.is_empty() {
        return Ok(Checked::default());
    }
    let (contents, missing) = (Contents::of(mirror), Missing::read(mirror)?);
    let pointers = each_file_once(pointers);
    let next = Mutex::new(pointers.iter());
    let checked = Mutex::new(Checked { known: pointers.len() as u64, ..Checked::default() });
    let work = || -> Result<(), DiskError> {
        loop {
            let pointer = next.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some(pointer) = pointer.filter(|_| !cancel.is_cancelled()) else { return Ok(()) };
            let found = look_at(&contents, *pointer, is_deep, cancel)?;
            let mut checked = checked.lock().unwrap_or_else(PoisonError::into_inner);
            match (found, missing.get(&pointer.oid)) {
                (Found::There, _) => {
                    checked.stored += 1;
                    checked.stored_bytes += pointer.size_bytes;
                }
                (Found::Damaged(what), _) => checked.damaged.push((pointer.oid, what)),
                (Found::Nothing, Some(owed)) => {
                    *checked.missing.entry(owed.why).or_default() += 1;
                    checked.accepted += u64::from(owed.is_accepted);
                }
                (Found::Nothing, None) => checked.unknown.push(*pointer),
            }
        }
    };
    crate::disk::on_threads(AT_ONCE.min(pointers.len()), work)?;
    let mut checked = checked.into_inner().unwrap_or_else(PoisonError::into_inner);
    checked.unknown.sort_unstable();
    checked.damaged.sort_unstable();
    Ok(checked)
}

enum Found {
    There,
    Nothing,
    Damaged(String),
}

fn look_at(
    contents: &Contents,
    pointer: Pointer,
    is_deep: bool,
    cancel: &CancellationToken,
) -> Result<Found, DiskError> {
    let Pointer { oid, size_bytes } = pointer;
    if !is_deep {
        return Ok(match contents.size(&oid)? {
            _ if contents.has(pointer, cancel)? => Found::There,
            None => Found::Nothing,
            Some(size) => Found::Damaged(format!("large file {oid} has {size} bytes instead of {size_bytes}")),
        });
    }
    Ok(match contents.prove(&oid, cancel) {
        _ if pointer.is_of_nothing() => Found::There,
        Ok(Some(_)) => Found::There,
        Ok(None) => Found::Nothing,
        Err(ContentError::Disk(error)) if !cancel.is_cancelled() => {
            Found::Damaged(format!("large file {oid}: {error}"))
        }
        Err(ContentError::Disk(error)) => return Err(error),
        Err(_) => Found::Damaged(format!("large file {oid} has the wrong content for its id")),
    })
}
