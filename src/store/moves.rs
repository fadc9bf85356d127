//! Mirrors move from place to place, all of a repository together.

use std::fs;
use std::path::Path;

use super::mirror::Mirror;
use super::{Store, StoreError};
use crate::mirrors::MirrorKind;
use crate::names::FullName;

impl Store {
    /// Moves all mirrors that a repository has from one place to another.
    ///
    /// # Errors
    /// [`StoreError`]; the next run finds what has moved by its id.
    pub fn move_mirror(&self, from: &Path, to: &Path, new_name: Option<&FullName>) -> Result<(), StoreError> {
        let mut moved = Vec::new();
        // A scan finds the code's mirror. It moves last, so a crash in between leaves nothing behind unseen.
        for kind in MirrorKind::ALL.into_iter().rev() {
            match self.move_one(kind, from, to, new_name) {
                Ok(true) => moved.push(kind),
                Ok(false) => {}
                Err(error) => {
                    for kind in moved {
                        let back = self.move_one(kind, to, from, None);
                        let (place, mirror) = (from.display(), kind.label());
                        tracing::warn!(%place, mirror, ?back, "a mirror was moved back to its repository's others");
                    }
                    return Err(error);
                }
            }
        }
        // An owner's folder without mirrors is clutter; it stays if anything is in it.
        if let Some(parent) = from.parent() {
            let _ = fs::remove_dir(self.root.join(parent));
        }
        Ok(())
    }

    /// Moves one mirror; says whether there was one.
    fn move_one(
        &self,
        kind: MirrorKind,
        from: &Path,
        to: &Path,
        new_name: Option<&FullName>,
    ) -> Result<bool, StoreError> {
        let source = self.mirror_at(from, kind);
        let target = self.mirror_at(to, kind);
        let exists = |mirror: &Mirror| mirror.exists().map_err(StoreError::io("examine", &mirror.path));
        if !exists(&source)? {
            return Ok(false);
        }
        if exists(&target)? {
            let reason = "another mirror is to be moved here".to_owned();
            return Err(StoreError::Occupied { path: target.path, reason });
        }
        let parent = target.path.parent().unwrap_or(&self.root);
        self.refuse_links_on_the_way(&source.path)?;
        self.refuse_links_on_the_way(parent)?;
        fs::create_dir_all(parent).map_err(StoreError::io("create", parent))?;
        // Before the move: once a mirror is in its place, nobody asks whether its name is right.
        if let Some(name) = new_name {
            source.set_full_name(name)?;
        }
        fs::rename(&source.path, &target.path).map_err(StoreError::io("move", &source.path))?;
        Ok(true)
    }
}
