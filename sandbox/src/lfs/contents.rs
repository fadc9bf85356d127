//! The contents of large files in a bare repository.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA256, digest};

/// Says whether a text is the id of a large file, and safe as a part of a path.
pub(super) fn is_oid(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Returns where a content lies.
pub(super) fn path(repository: &Path, oid: &str) -> PathBuf {
    repository.join("lfs/objects").join(&oid[..2]).join(&oid[2..4]).join(oid)
}

/// Names a content.
pub(super) fn oid_of(content: &[u8]) -> String {
    digest(&SHA256, content).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Adds a content to a repository, and returns its name.
pub(crate) fn add(repository: &Path, content: &[u8]) -> io::Result<String> {
    let oid = oid_of(content);
    let path = path(repository, &oid);
    fs::create_dir_all(path.parent().unwrap_or(repository))?;
    fs::write(path, content)?;
    Ok(oid)
}

/// Returns the status and the message that the batch API is to give for a content.
pub(super) fn error_of(path: &Path) -> Option<(u16, String)> {
    let text = fs::read_to_string(path.with_extension("error")).ok()?;
    let (code, message) = text.trim().split_once(' ')?;
    Some((code.parse().ok()?, message.to_owned()))
}
