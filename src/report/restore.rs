//! What was restored, for people and for scripts.

use std::fmt::Write;
use std::path::PathBuf;

use chrono::DateTime;
use chrono::TimeDelta;
use serde::Serialize;

use super::{count, duration, size};
use crate::git::mirror::extract::Extracted;
use crate::git::mirror::restore::LostRef;
use crate::git::pointer::LfsOid;
use crate::mirrors::MirrorKind;
use crate::names::{RepositoryId, RunId};
use crate::zone::shown_to_the_second;

/// What `ghbk restore --json` prints; a contract with scripts.
#[derive(Debug, Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "each tells a script something of its own")]
pub struct Report {
    /// `OWNER/NAME` or `OWNER/NAME.wiki`.
    pub repository: String,
    /// The same, and its id if another repository has the name now.
    #[serde(skip)]
    pub named: String,
    /// Its identity.
    pub id: RepositoryId,
    /// Whether it came from the attic.
    pub set_aside: bool,
    /// Whether GitHub no longer has the repository.
    pub gone: bool,
    /// When GitHub was asked what is restored here, in RFC 3339.
    pub time: String,
    /// The run that asked.
    pub run_id: RunId,
    /// The snapshot's commit.
    pub snapshot: String,
    /// The new folder.
    pub destination: Option<PathBuf>,
    /// What HEAD says.
    pub head: String,
    /// How many refs.
    pub refs: u64,
    /// How many objects were hashed after they were written.
    pub objects: u64,
    /// Whether damage on the store had to be worked around.
    pub around_damage: bool,
    /// Refs that are not restored, because the store has lost something that they need.
    pub lost: Vec<LostRef>,
    /// Why no files are checked out, if they were asked for.
    pub not_checked_out: Option<String>,
    /// Whether that is a failure, and not something that `git clone` does, too.
    pub has_checkout_failed: bool,
    /// Files that `git checkout` would write in another encoding.
    pub checked_out_otherwise: Vec<String>,
    /// The files, if some paths were asked for and not the repository.
    pub files: Option<Extracted>,
    /// The contents of its large files; none if it has no pointers.
    pub large_files: Option<LargeFiles>,
    /// Where it was sent.
    pub pushed: Option<Pushed>,
    /// How long it took.
    pub duration_milliseconds: u64,
}

impl Report {
    /// Returns whether everything that was asked for is there.
    pub fn is_complete(&self) -> bool {
        !self.has_checkout_failed
            && self.lost.is_empty()
            && self.files.as_ref().is_none_or(|files| files.lost.is_empty())
            && self.large_files.as_ref().is_none_or(|files| files.lost.is_empty())
            && self.pushed.as_ref().is_none_or(|pushed| !pushed.has_no_lfs)
    }
}

/// Describes the large files of what was restored.
#[derive(Clone, Debug, Default, Serialize)]
pub struct LargeFiles {
    /// Contents that are beside the packs, each checked against its id.
    pub stored: u64,
    /// Their size in bytes.
    pub stored_bytes: u64,
    /// Files in the working tree that have their contents.
    pub checked_out: u64,
    /// Files that are pointers, because their contents are not there.
    pub pointers: Vec<String>,
    /// Contents that the store never had.
    pub missing: Vec<MissingFile>,
    /// Contents that the store has lost.
    pub lost: Vec<MissingFile>,
    /// Whether they were left out by choice.
    pub is_left_out: bool,
}

impl LargeFiles {
    /// Lists the contents that are not there, for whatever reason.
    pub fn not_there(&self) -> impl Iterator<Item = LfsOid> {
        self.missing.iter().chain(&self.lost).map(|file| file.oid)
    }
}

/// Names a large file whose content is not there.
#[derive(Clone, Debug, Serialize)]
pub struct MissingFile {
    /// Its id.
    pub oid: LfsOid,
    /// Its size in bytes.
    pub size_bytes: u64,
    /// Why.
    pub why: String,
}

/// Describes a push; the server says that it has everything.
#[derive(Debug, Serialize)]
pub struct Pushed {
    /// The new repository.
    pub url: String,
    /// The refs that it has now.
    pub refs: u64,
    /// Large files that were sent.
    pub large_files: u64,
    /// Whether the server has no LFS, so that none could be sent.
    pub has_no_lfs: bool,
}

/// How many refs or files are named one by one.
const SHOWN_MAX: usize = 20;

/// Formats a restore for a terminal.
pub fn text(report: &Report) -> String {
    let mut out = String::new();
    let attic = if report.set_aside { format!(" (id {}, from the attic)", report.id) } else { String::new() };
    let time = DateTime::parse_from_rfc3339(&report.time);
    let time = time.map_or_else(|_| report.time.clone(), |time| shown_to_the_second(time.to_utc()));
    let _ = writeln!(out, "restored {}{attic} as of {time} (run {})", report.repository, report.run_id);
    if let Some(destination) = &report.destination {
        let _ = writeln!(out, "to {}", destination.display());
    }
    let took = duration(TimeDelta::milliseconds(i64::try_from(report.duration_milliseconds).unwrap_or(i64::MAX)));
    match &report.files {
        Some(files) => files_text(&mut out, files, &took),
        None => refs_text(&mut out, report, &took),
    }
    if let Some(files) = &report.large_files {
        large_files_text(&mut out, files, &report.repository);
    }
    if let Some(reason) = &report.not_checked_out {
        let _ = writeln!(out, "warning: the files are not checked out: {reason}");
        if report.refs > 0 {
            let _ = writeln!(out, "  hint: `git checkout BRANCH` in the restored folder");
        }
    }
    if !report.checked_out_otherwise.is_empty() {
        let files = count(report.checked_out_otherwise.len() as u64, "file", "files");
        let _ = writeln!(out, "warning: git would write {files} in another encoding (working-tree-encoding):");
        list(&mut out, "", report.checked_out_otherwise.iter());
        let _ = writeln!(out, "  hint: remove them, then `git checkout -- .` in the restored folder");
    }
    if let Some(pushed) = &report.pushed {
        let large_files = match pushed.large_files {
            0 => String::new(),
            number => format!(" and {}", count(number, "large file", "large files")),
        };
        let _ = writeln!(out, "pushed {}{large_files} to {}", count(pushed.refs, "ref", "refs"), pushed.url);
        if pushed.has_no_lfs {
            let _ = writeln!(out, "warning: that server has no Git LFS, so no large file could be sent");
            let _ = writeln!(
                out,
                "  hint: restore to a folder, and keep its lfs/objects; or push to a server that has LFS"
            );
        }
        if let Some(branch) = report.head.strip_prefix("ref: refs/heads/") {
            let _ = writeln!(out, "  its default branch was {branch}: set it in the new repository's settings");
        }
    }
    if report.around_damage {
        let repository = MirrorKind::split_name(&report.repository).0;
        let read = if report.lost.is_empty() { "what was needed" } else { "everything else" };
        let _ = writeln!(out, "warning: the mirror is damaged, {read} could still be read");
        let hint = if report.set_aside || report.gone {
            // The name may be another repository's now, and GitHub has nothing to repair this one from.
            format!(
                "GitHub no longer has it: keep what was restored, and look in the backups of the store's file system; `ghbk verify {}` names the damage",
                report.id
            )
        } else {
            format!("`ghbk verify {repository}`, then `ghbk run --repair {repository}`")
        };
        let _ = writeln!(out, "  hint: {hint}");
    }
    out
}

fn refs_text(out: &mut String, report: &Report, took: &str) {
    let (refs, objects) = (count(report.refs, "ref", "refs"), count(report.objects, "object", "objects"));
    let large_files = report.large_files.as_ref();
    let (lost, missing) = large_files.map_or((0, 0), |files| (files.lost.len() as u64, files.missing.len() as u64));
    if report.lost.is_empty() && lost > 0 {
        let lost = count(lost, "large file is", "large files are");
        let _ = writeln!(out, "incomplete: {refs}, {objects} hashed, but {lost} missing from the store; {took}");
    } else if report.lost.is_empty() && missing > 0 {
        let missing = count(missing, "large file was", "large files were");
        let _ = writeln!(
            out,
            "complete but for what was never backed up: {refs}, {objects} hashed; {missing} not on GitHub or not fetched; {took}"
        );
    } else if report.lost.is_empty() {
        let _ = writeln!(out, "complete: {refs}, {objects} hashed, nothing missing; {took}");
    } else {
        let missing = count(report.lost.len() as u64, "ref", "refs");
        let _ = writeln!(out, "incomplete: {refs}, {objects} hashed, {missing} not restored; {took}");
        let lost = report.lost.iter().map(|lost| format!("{} ({}): {}", lost.name, lost.object, lost.problem));
        list(out, "not restored: ", lost);
    }
}

fn files_text(out: &mut String, files: &Extracted, took: &str) {
    let written = count(files.files, "file", "files");
    if files.lost.is_empty() {
        let _ = writeln!(out, "complete: {written}, each checked against its id; {took}");
    } else {
        let _ = writeln!(
            out,
            "incomplete: {written}, each checked against its id, {} not restored; {took}",
            files.lost.len()
        );
        let lost = files.lost.iter().map(|lost| format!("{} ({}): {}", lost.path, lost.object, lost.problem));
        list(out, "not restored: ", lost);
    }
    if !files.submodules.is_empty() {
        let _ = writeln!(out, "submodules, whose files are in other repositories, are empty folders:");
        list(out, "", files.submodules.iter());
    }
}

fn large_files_text(out: &mut String, files: &LargeFiles, repository: &str) {
    let number = |count: usize| count as u64;
    if files.is_left_out {
        let _ = writeln!(out, "large files: left out");
        return;
    }
    let mut words = vec![format!("{} restored ({})", files.stored, size(files.stored_bytes))];
    if files.checked_out > 0 {
        words.push(format!("{} with contents", count(files.checked_out, "file", "files")));
    }
    let _ = writeln!(out, "large files: {}, each checked against its id", words.join(", "));
    for (what, files) in [("not restored, missing from the store", &files.lost), ("never backed up", &files.missing)] {
        let named = files.iter().map(|file| format!("{} ({}): {}", file.oid, size(file.size_bytes), file.why));
        list(out, &format!("{what}: "), named);
    }
    if !files.pointers.is_empty() {
        let pointers = count(number(files.pointers.len()), "file is a pointer", "files are pointers");
        let _ = writeln!(out, "warning: {pointers}, because the contents are missing:");
        list(out, "", files.pointers.iter());
    }
    if !files.lost.is_empty() {
        let repository = MirrorKind::split_name(repository).0;
        let _ = writeln!(out, "  hint: `ghbk run --repair {repository}` fetches what GitHub still has");
    } else if !files.missing.is_empty() {
        let _ =
            writeln!(out, "  hint: with git-lfs installed, `git -c lfs.skipdownloaderrors=true` goes on without them");
    }
}

fn list(out: &mut String, what: &str, items: impl ExactSizeIterator<Item = impl std::fmt::Display>) {
    let more = items.len().saturating_sub(SHOWN_MAX);
    for item in items.take(SHOWN_MAX) {
        // A path begins no line: it could pass for a word of ghbk's.
        let _ = writeln!(out, "  - {what}{item}");
    }
    if more > 0 {
        let _ = writeln!(out, "  and {more} more; --json lists all");
    }
}
