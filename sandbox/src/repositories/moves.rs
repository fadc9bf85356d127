//! Renaming and deleting, with the traces that they leave at GitHub.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;

use super::metadata;
use super::names::FullName;

/// Moves a repository and its wiki, and remembers the old name for redirects.
pub(crate) fn rename(folder: &Path, from: &str, to: &str) -> io::Result<()> {
    let (from, to) = (FullName::required(from)?, FullName::required(to)?);
    let target = to.path(folder);
    if target.exists() {
        return Err(io::Error::new(ErrorKind::AlreadyExists, format!("there is a repository of this name: {to}")));
    }
    fs::create_dir_all(folder.join(&to.owner))?;
    fs::rename(from.path(folder), &target)?;
    metadata::append(&target, "formerName", &from.to_string())?;
    if from.wiki_path(folder).exists() {
        fs::rename(from.wiki_path(folder), to.wiki_path(folder))?;
    }
    Ok(())
}

/// Deletes a repository and its wiki.
pub(crate) fn delete(folder: &Path, name: &str) -> io::Result<()> {
    let name = FullName::required(name)?;
    fs::remove_dir_all(name.path(folder))?;
    if name.wiki_path(folder).exists() {
        fs::remove_dir_all(name.wiki_path(folder))?;
    }
    Ok(())
}
