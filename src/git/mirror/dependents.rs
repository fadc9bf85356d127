//! Which refs need a large file.

use std::collections::HashSet;
use std::path::Path;

use git2::{ObjectType, Oid};
use tokio_util::sync::CancellationToken;

use crate::git::GitError;
use crate::git::pack::links;
use crate::git::pack::reader::ObjectReader;
use crate::git::pointer::{LfsOid, Pointer};
use crate::git::refs::Refs;

/// Lists the refs from which a pointer to one of some large files can be reached.
///
/// # Errors
/// [`GitError`] if the repository cannot be read.
pub(crate) fn refs_that_need(
    repository: &Path,
    refs: &Refs,
    files: &HashSet<LfsOid>,
    cancel: &CancellationToken,
) -> Result<Vec<String>, GitError> {
    let objects = ObjectReader::of_folder(&repository.join("objects/pack"))?;
    let is_pointer = |oid: &Oid| {
        let blob = objects.kind(*oid).is_ok_and(|kind| kind == ObjectType::Blob).then(|| objects.read(*oid).ok());
        let pointer = blob.flatten().and_then(|blob| Pointer::parse(&blob.data));
        pointer.is_some_and(|pointer| files.contains(&pointer.oid))
    };
    let pointers: HashSet<Oid> = objects.oids().filter(is_pointer).collect();
    let mut found = Vec::new();
    for (name, target) in refs.iter() {
        let reached = links::reachable(&objects, std::iter::once(target.oid), cancel)?;
        if pointers.iter().any(|pointer| reached.contains_key(pointer)) {
            found.push(name.to_owned());
        }
    }
    Ok(found)
}
