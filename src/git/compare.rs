//! What moved between two states of a repository's branches and tags.

use git2::Repository;

use super::refs::Refs;

/// Names the branches and tags that lost something.
#[derive(Debug, Default)]
pub(super) struct Changes {
    /// Their old tip is no ancestor of the new one; for tags, any move.
    pub(super) force_pushed: Vec<String>,
    /// They are gone.
    pub(super) deleted: Vec<String>,
}

/// Compares stored refs with advertised ones; both sides' objects are in the repository.
pub(super) fn compare(repository: &Repository, stored: &Refs, advertised: &Refs) -> Changes {
    let mut changes = Changes::default();
    for (name, old) in stored.iter() {
        let is_branch = name.starts_with("refs/heads/");
        // Pull requests are force-pushed all day; nobody wants to read of it.
        if !is_branch && !name.starts_with("refs/tags/") {
            continue;
        }
        match advertised.get(name) {
            None => changes.deleted.push(name.to_owned()),
            Some(new) if new.oid == old.oid => {}
            // What cannot be compared is reported rather than passed over.
            Some(new) if is_branch && repository.graph_descendant_of(new.oid, old.oid).unwrap_or(false) => {}
            Some(_) => changes.force_pushed.push(name.to_owned()),
        }
    }
    changes
}
