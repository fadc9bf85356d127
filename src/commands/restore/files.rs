//! The large files of what is restored.

use std::path::Path;

use tokio_util::sync::CancellationToken;

use crate::cli::RestoreArgs;
use crate::error::{Error, Exit};
use crate::git::pointer::Pointer;
use crate::large_files::check_out::{CheckedOut, check_out, fill_in};
use crate::large_files::missing::Owed;
use crate::large_files::restore::restore;
use crate::report::restore::{LargeFiles, MissingFile};

/// Restores large files beside the packs, and in the files that were written; none if there are no pointers.
pub(super) fn restore_large_files(
    mirror: &Path,
    building: &Path,
    git_dir: &Path,
    pointers: &[Pointer],
    arguments: &RestoreArgs,
    cancel: &CancellationToken,
) -> Result<Option<LargeFiles>, Error> {
    if arguments.without_large_files {
        return Ok((!pointers.is_empty()).then(|| LargeFiles { is_left_out: true, ..LargeFiles::default() }));
    }
    let failed = |text: String| {
        Error::new(Exit::Impossible, format!("large files cannot be restored: {text}"), "choose another DEST")
    };
    if !arguments.paths.is_empty() {
        let CheckedOut { files, pointers, lost } =
            fill_in(building, mirror).map_err(|error| failed(error.to_string()))?;
        let has_some = files > 0 || !pointers.is_empty();
        let lost = lost.iter().map(lost_file).collect();
        return Ok(has_some.then(|| LargeFiles { checked_out: files, pointers, lost, ..LargeFiles::default() }));
    }
    let restored = restore(mirror, git_dir, pointers, cancel).map_err(|error| failed(error.to_string()))?;
    let checked_out = if arguments.checkout { check_out(building) } else { Ok(CheckedOut::default()) };
    let checked_out = checked_out.map_err(|error| failed(error.to_string()))?;
    let never = |owed: &Owed| MissingFile {
        oid: owed.oid,
        size_bytes: owed.size_bytes,
        why: owed.said.clone().unwrap_or_else(|| owed.why.name().to_owned()),
    };
    Ok(Some(LargeFiles {
        stored: restored.stored,
        stored_bytes: restored.stored_bytes,
        checked_out: checked_out.files,
        pointers: checked_out.pointers,
        missing: restored.missing.iter().map(never).collect(),
        lost: restored.lost.iter().map(lost_file).collect(),
        is_left_out: false,
    }))
}

fn lost_file((pointer, why): &(Pointer, String)) -> MissingFile {
    MissingFile { oid: pointer.oid, size_bytes: pointer.size_bytes, why: why.clone() }
}
