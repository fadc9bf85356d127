//! What a verification found, for people and for scripts.

use std::fmt::Write;

use serde::Serialize;

use super::{count, size};
use crate::git::mirror::verify::Verification;
use crate::large_files::check::Checked;
use crate::mirrors::MirrorKind;
use crate::names::RepositoryId;
use crate::outcome::PartCounts;

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
    /// Whether there is no mirror where one should be.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub is_missing: bool,
    /// What was read and what is wrong.
    #[serde(flatten)]
    pub verification: Verification,
    /// The contents of its large files; none if it has no pointers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub large_files: Option<LargeFiles>,
    /// Why it could not be verified, and what to do; this says nothing about the mirror.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_verified: Option<NotVerified>,
}

/// What there is of a mirror's large files.
#[derive(Clone, Debug, Serialize)]
pub struct LargeFiles {
    /// How many its pointers name.
    pub known: u64,
    /// Contents that are there.
    pub stored: u64,
    /// Their size in bytes.
    pub stored_bytes: u64,
    /// How many are known to be missing, by reason.
    pub missing: PartCounts,
    /// How many nobody has looked for yet, as in mirrors that an older ghbk made; the next runs do.
    pub not_looked_for: u64,
}

impl LargeFiles {
    /// Sums up what a check found; none if there was nothing to check. If all pointers of the mirror were known before, what
    /// nobody has looked for is lost, and reported as damage.
    pub fn of(checked: &Checked, were_known: bool) -> Option<Self> {
        (checked.known > 0).then(|| Self {
            known: checked.known,
            stored: checked.stored,
            stored_bytes: checked.stored_bytes,
            missing: checked.missing_counts(),
            not_looked_for: if were_known { 0 } else { checked.unknown.len() as u64 },
        })
    }

    fn text(&self) -> String {
        let mut words = vec![format!(
            "{} of {} ({})",
            self.stored,
            count(self.known, "large file", "large files"),
            size(self.stored_bytes)
        )];
        words.extend(super::parts::missing(&self.missing));
        if self.not_looked_for > 0 {
            words.push(format!(
                "{} not fetched yet: the next runs fetch them, `ghbk run --large-files` does it now",
                self.not_looked_for
            ));
        }
        words.join(", ")
    }
}

/// Why a mirror could not be verified.
#[derive(Clone, Debug, Serialize)]
pub struct NotVerified {
    /// Why.
    pub error: String,
    /// What to do.
    pub hint: String,
}

impl Verified {
    /// Returns whether all of it was read, and nothing is wrong.
    pub fn is_good(&self) -> bool {
        self.not_verified.is_none() && self.verification.damage.is_empty()
    }

    /// Says what to do about damage.
    pub fn hint(&self) -> String {
        if self.is_missing {
            return format!(
                "look for it in `.ghbk` and in the backups of the file system{}; if it was removed on purpose: `ghbk forget {}{}`",
                if self.gone { "" } else { " before the next run makes a new one without its history" },
                MirrorKind::split_name(&self.repository).0,
                MirrorKind::split_name(&self.repository).1.option()
            );
        }
        if self.set_aside || self.gone {
            return format!(
                "GitHub no longer has it: `ghbk restore {} DEST` saves what can be read; then look in the backups of the store's file system",
                self.id
            );
        }
        format!("`ghbk run --repair {}`", MirrorKind::split_name(&self.repository).0)
    }
}

/// Formats a verification for a terminal.
///
/// `unread` further mirrors could not be read at all. Good ones are left out if only `problems` are wanted.
pub fn text(verified: &[Verified], unread: u64, problems: bool) -> String {
    let mut out = String::new();
    let name = |verified: &Verified| {
        let suffix = if verified.set_aside { format!(" (attic, id {})", verified.id) } else { String::new() };
        format!("{}{suffix}", verified.repository)
    };
    let width = verified.iter().map(|verified| name(verified).len()).max().unwrap_or_default();
    let (mut objects, mut bytes, mut damaged, mut unread) = (0, 0, 0, unread);
    for one in verified {
        if let Some(NotVerified { error, hint }) = &one.not_verified {
            unread += 1;
            let _ = writeln!(out, "FAILED  {:<width$}  not verified: {error}\n          hint: {hint}", name(one));
            continue;
        }
        let verification = &one.verification;
        objects += verification.objects;
        bytes += verification.bytes;
        if problems && one.is_good() {
            continue;
        }
        let state = match (one.is_missing, verification.damage.is_empty()) {
            (true, _) => "MISSING",
            (false, true) => "ok",
            (false, false) => "DAMAGED",
        };
        let _ = writeln!(
            out,
            "{state:<7} {:<width$}  {}, {}, {}",
            name(one),
            count(verification.objects, "object", "objects"),
            count(verification.packs, "pack", "packs"),
            count(verification.snapshots, "snapshot", "snapshots"),
        );
        if let Some(large_files) = &one.large_files {
            let _ = writeln!(out, "          {}", large_files.text());
        }
        for damage in &verification.damage {
            let _ = writeln!(out, "          {damage}");
        }
        if !verification.damage.is_empty() {
            damaged += 1;
            let _ = writeln!(out, "          hint: {}", one.hint());
        }
    }
    let read = verified.iter().filter(|one| one.not_verified.is_none()).count();
    let mirrors = count(read as u64, "mirror", "mirrors");
    let objects = count(objects, "object", "objects");
    let _ = writeln!(
        out,
        "verified {mirrors}, {objects}, {}: {}",
        size(bytes),
        match (damaged, unread) {
            (0, 0) => "no damage".to_owned(),
            (damaged, 0) => format!("{damaged} damaged"),
            (0, unread) => format!("no damage found, {unread} not read"),
            (damaged, unread) => format!("{damaged} damaged, {unread} not read"),
        }
    );
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::mirror::verify::Damage;

    #[test]
    fn damage_is_named_with_what_to_do() {
        let verification =
            Verification { refs: 3, snapshots: 2, packs: 2, objects: 1234, bytes: 56_789, ..Verification::default() };
        let damage = vec![Damage { object: None, what: "the checksum of pack-1.pack is wrong".to_owned() }];
        let verified = |id, repository: &str, set_aside, damage| Verified {
            repository: repository.to_owned(),
            id: RepositoryId(id),
            set_aside,
            gone: set_aside,
            is_missing: false,
            verification: Verification { damage, ..verification.clone() },
            large_files: (id < 3).then(|| LargeFiles {
                known: 12,
                stored: 7,
                stored_bytes: 1_234_567,
                missing: [("absent".to_owned(), 2), ("accepted".to_owned(), 1)].into(),
                not_looked_for: if id == 1 { 3 } else { 0 },
            }),
            not_verified: None,
        };
        let error = "write /var/tmp/ghbk-scratch-1/x.idx: No space left on device".to_owned();
        let not_verified = Some(NotVerified { error, hint: "free space on its file system".to_owned() });
        let all = [
            verified(1, "acme/api", false, vec![]),
            verified(2, "acme/site.wiki", false, damage.clone()),
            verified(3, "acme/site", true, damage),
            Verified { not_verified, ..verified(4, "acme/vast", false, vec![]) },
        ];
        insta::assert_snapshot!(text(&all, 0, false));
    }
}
