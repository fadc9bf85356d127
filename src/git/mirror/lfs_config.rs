//! `.lfsconfig`: where a repository says that it keeps its large files.
//!
//! Anyone who may push to the repository can write it, so it is reported and never obeyed. Source: git-lfs-config(5).

use std::path::Path;

use git2::Oid;

use crate::git::GitError;
use crate::git::pack::links;
use crate::git::pack::view::View;
use crate::git::refs::Refs;
use crate::git::wire::transport::set_up_libgit2;

const NAME: &[u8] = b".lfsconfig";
/// A larger file is not a configuration.
const MAX_BYTES: usize = 64 * 1024;

/// Reads the address of the LFS server that the tree at HEAD names; `None` if it names none.
///
/// # Errors
/// [`GitError`] if the mirror cannot be read.
pub(crate) fn lfs_url(mirror: &Path, refs: &Refs, head: &str, scratch: &Path) -> Result<Option<String>, GitError> {
    let tip = head.strip_prefix("ref: ").and_then(|branch| refs.get(branch));
    let Some(tip) = tip else { return Ok(None) };
    let view = View::open(mirror, scratch)?;
    let objects = view.objects();
    let Some(tree) = links::tree_of(objects, tip.peeled.unwrap_or(tip.oid)) else { return Ok(None) };
    let Ok(tree) = objects.read(tree) else { return Ok(None) };
    let mut found = None;
    let listed = links::each_entry(&tree.data, |name, oid, _| {
        if name == NAME {
            found = Oid::from_bytes(&oid).ok();
        }
    });
    let (Ok(()), Some(oid)) = (listed, found) else { return Ok(None) };
    let Ok(blob) = objects.read(oid) else { return Ok(None) };
    Ok(url_in(&blob.data))
}

/// Reads `lfs.url` from a file that may hold anything.
fn url_in(config: &[u8]) -> Option<String> {
    // An include would read other files, which are none of its business.
    let includes = config.to_ascii_lowercase().windows(b"[include".len()).any(|word| word == b"[include");
    if config.len() > MAX_BYTES || includes {
        return None;
    }
    set_up_libgit2();
    let folder = tempfile::tempdir().ok()?;
    let path = folder.path().join("lfsconfig");
    std::fs::write(&path, config).ok()?;
    let config = git2::Config::open(&path).ok()?.snapshot().ok()?;
    let url = config.get_str("lfs.url").ok()?.trim();
    (!url.is_empty()).then(|| url.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_read_as_git_reads_its_configuration() {
        let url = |text: &str| url_in(text.as_bytes());
        assert_eq!(url("[lfs]\n\turl = https://lfs.example.com/x\n").as_deref(), Some("https://lfs.example.com/x"));
        assert_eq!(url("[lfs]\n url = \"https://a/b\" ; here\n").as_deref(), Some("https://a/b"));
        for nothing in
            ["", "[lfs]\n\tlocksverify = true\n", "nonsense [", "[include]\n\tpath = /etc/x\n[lfs]\n\turl = y\n"]
        {
            assert_eq!(url(nothing), None, "{nothing}");
        }
    }
}
