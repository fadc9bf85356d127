//! Retention: removes contents that no pointer in a mirror names any more.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use super::contents::Contents;
use super::missing::Missing;
use crate::disk::{DiskError, is_missing};
use crate::git::pointer::{LfsOid, Pointer};

/// Removes the contents that none of these pointers needs; returns how many were removed. A content that another mirror also has
/// stays there: each mirror has a name of its own for it.
///
/// # Errors
/// [`DiskError`]; what could not be removed is still there.
pub fn retain(mirror: &Path, needed: &[Pointer]) -> Result<u64, DiskError> {
    let needed: HashSet<LfsOid> = needed.iter().map(|pointer| pointer.oid).collect();
    let contents = Contents::of(mirror);
    let mut missing = Missing::read(mirror)?;
    let before = missing.len();
    missing.retain(|oid| needed.contains(oid));
    if missing.len() < before {
        missing.write(mirror)?;
    }
    let mut removed = 0;
    for oid in contents.list()?.into_iter().filter(|oid| !needed.contains(oid)) {
        let path = contents.path(&oid);
        match fs::remove_file(&path) {
            Err(error) if !is_missing(&error) => return Err(DiskError::io("remove", &path)(error)),
            _ => removed += 1,
        }
        // The folders are removed with the last file in them.
        for folder in path.ancestors().skip(1).take(2) {
            let _ = fs::remove_dir(folder);
        }
    }
    Ok(removed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_pointer_needs_stays() {
        let mirror = tempfile::tempdir().unwrap();
        let contents = Contents::of(mirror.path());
        let pointer = |byte: u8| Pointer { oid: LfsOid::new([byte; 32]), size_bytes: 1 };
        for byte in [1, 2] {
            let path = contents.path(&pointer(byte).oid);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "x").unwrap();
        }
        let now = "2026-11-29T05:00:00Z".parse().unwrap();
        Missing::note(mirror.path(), &[pointer(3), pointer(4)], now).unwrap();
        assert_eq!(retain(mirror.path(), &[pointer(1), pointer(3)]).unwrap(), 1);
        assert_eq!(contents.list().unwrap(), [pointer(1).oid]);
        let missing: Vec<LfsOid> = Missing::read(mirror.path()).unwrap().iter().map(|owed| owed.oid).collect();
        assert_eq!(missing, [pointer(3).oid]);
        assert_eq!(fs::read_dir(mirror.path().join("lfs/objects")).unwrap().count(), 1);
    }
}
