//! What a verification found, for people and for scripts.

use std::fmt::Write;

use serde::Serialize;

use super::{count, size};
use crate::git::verify::Verification;
use crate::names::RepositoryId;
use crate::outcome::repair_hint;

/// What `ghbk verify --json` prints for each git repository; a contract with scripts.
#[derive(Debug, Serialize)]
pub struct Verified {
    /// `OWNER/NAME` or `OWNER/NAME.wiki`.
    pub repository: String,
    /// Its identity.
    pub id: RepositoryId,
    /// Whether it lies in the attic.
    pub set_aside: bool,
    /// Whether GitHub no longer lists it.
    pub gone: bool,
    /// What was read and what is wrong.
    #[serde(flatten)]
    pub verification: Verification,
}

impl Verified {
    fn hint(&self) -> String {
        if self.set_aside || self.gone {
            return format!(
                "GitHub no longer has it: `ghbk restore {} DEST` saves what can be read; then look into the backups of \
                 the store's file system",
                self.id
            );
        }
        repair_hint(&self.repository)
    }
}

/// Words a verification for a terminal.
///
/// So many mirrors beside could not be read at all.
pub fn text(verified: &[Verified], unread: u64) -> String {
    let mut out = String::new();
    let name = |verified: &Verified| {
        let suffix = if verified.set_aside { format!(" (attic, id {})", verified.id) } else { String::new() };
        format!("{}{suffix}", verified.repository)
    };
    let width = verified.iter().map(|verified| name(verified).len()).max().unwrap_or_default();
    let (mut objects, mut bytes, mut damaged) = (0, 0, 0);
    for one in verified {
        let verification = &one.verification;
        objects += verification.objects;
        bytes += verification.bytes;
        let state = if verification.damage.is_empty() { "ok" } else { "DAMAGED" };
        let _ = writeln!(
            out,
            "{state:<7} {:<width$}  {}, {}, {}",
            name(one),
            count(verification.objects, "object", "objects"),
            count(verification.packs, "pack", "packs"),
            count(verification.snapshots, "snapshot", "snapshots"),
        );
        for damage in &verification.damage {
            let _ = writeln!(out, "          {damage}");
        }
        if !verification.damage.is_empty() {
            damaged += 1;
            let _ = writeln!(out, "          hint: {}", one.hint());
        }
    }
    let mirrors = count(verified.len() as u64, "mirror", "mirrors");
    let objects = count(objects, "object", "objects");
    let _ = writeln!(
        out,
        "verified {mirrors}, {objects}, {}: {}",
        size(bytes),
        match (damaged, unread) {
            (0, 0) => "no damage".to_owned(),
            (damaged, 0) => format!("{damaged} damaged"),
            (damaged, unread) => format!("{damaged} damaged, {unread} not read"),
        }
    );
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::verify::Damage;

    #[test]
    fn damage_is_named_with_what_to_do() {
        let verification =
            Verification { refs: 3, snapshots: 2, packs: 2, objects: 1234, bytes: 56_789, damage: vec![] };
        let damage = vec![Damage { object: None, what: "the checksum of pack-1.pack is wrong".to_owned() }];
        let verified = |id, repository: &str, set_aside, damage| Verified {
            repository: repository.to_owned(),
            id: RepositoryId(id),
            set_aside,
            gone: set_aside,
            verification: Verification { damage, ..verification.clone() },
        };
        let all = [
            verified(1, "acme/api", false, vec![]),
            verified(2, "acme/site.wiki", false, damage.clone()),
            verified(3, "acme/site", true, damage),
        ];
        insta::assert_snapshot!(text(&all, 0));
    }
}
