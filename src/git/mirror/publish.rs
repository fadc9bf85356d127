//! Publish: makes staged packs and new refs visible on the store, in an order that no crash can harm.
//!
//! Writes only inside one mirror; no network. In an existing mirror, all files are written under temporary names, synced and read
//! back; then pack, idx, `packed-refs` and HEAD are renamed, in this order. At any moment the refs are the old ones or the new
//! ones, at worst with a pack that nothing refers to, or with the previous HEAD.

use std::fs;
use std::path::Path;

use chrono::{DateTime, Utc};

use crate::disk::{Draft, create_all, read_at_once, replace_all, sync_folder};
use crate::git::GitError;
use crate::git::pack::Pack;
use crate::git::pointer::Pointer;
use crate::git::refs::Refs;

/// What a mirror is to hold.
pub struct Publication<'a> {
    /// The staged packs, in scratch.
    pub packs: &'a [Pack],
    /// All refs, ghbk's own included.
    pub refs: &'a Refs,
    /// The refs that the mirror had when they were compared, if it exists.
    pub compared: Option<&'a Refs>,
    /// The content of HEAD if it changes.
    pub head: Option<&'a str>,
    /// The large files that blobs in the packs stand for: a new mirror notes that it does not have them yet.
    pub pointers: &'a [Pointer],
    /// The time of that note.
    pub noted_at: DateTime<Utc>,
    /// Called when everything is written and nothing is in effect yet; fails if another process may be writing.
    pub may_go_on: &'a dyn Fn() -> Result<(), GitError>,
}

impl Publication<'_> {
    fn drafts_of_refs<'a>(&self, folder: &'a Path) -> Vec<Draft<'a>> {
        let refs = Draft::new(folder, "packed-refs", self.refs.to_packed());
        let head = self.head.map(|head| Draft::new(folder, "HEAD", format!("{head}\n").into_bytes()));
        std::iter::once(refs).chain(head).collect()
    }
}

/// Publishes into an existing bare repository.
///
/// # Errors
/// [`GitError`]; the mirror has its old refs or its new ones.
pub fn publish(mirror: &Path, publication: &Publication<'_>) -> Result<(), GitError> {
    let (objects, folder) = (mirror.join("objects"), mirror.join("objects/pack"));
    let packs = drafts_of_packs(publication.packs, &objects, &folder);
    replace_all(&[&packs, &publication.drafts_of_refs(mirror)], |group| {
        if group > 0 {
            return Ok(sync_folder(mirror)?);
        }
        sync_folder(&folder)?;
        (publication.may_go_on)()?;
        publication.compared.map_or(Ok(()), |compared| still_has(mirror, compared))
    })
}

/// Checks that nobody else has written the refs since they were compared: what only those name would be lost.
pub(crate) fn still_has(mirror: &Path, compared: &Refs) -> Result<(), GitError> {
    let path = mirror.join("packed-refs");
    let now = read_at_once(&path).map_err(GitError::io("read", &path))?;
    if Refs::parse_packed(&now).is_ok_and(|now| now == *compared) { Ok(()) } else { Err(GitError::Overtaken) }
}

/// Makes a bare repository in an empty folder that nobody reads yet.
///
/// # Errors
/// [`GitError`]; the folder is then of no use.
pub fn build(folder: &Path, config: &str, publication: &Publication<'_>) -> Result<(), GitError> {
    let (objects, packs) = (folder.join("objects"), folder.join("objects/pack"));
    for folder in [&objects, &packs, &folder.join("refs")] {
        fs::create_dir(folder).map_err(GitError::io("create", folder))?;
    }
    let mut drafts = vec![Draft::new(folder, "config", config.as_bytes())];
    drafts.extend(drafts_of_packs(publication.packs, &objects, &packs));
    drafts.extend(publication.drafts_of_refs(folder));
    create_all(&drafts)?;
    sync_folder(&packs)?;
    Ok(sync_folder(folder)?)
}

/// Publishes a pack that nothing refers to yet.
///
/// # Errors
/// [`GitError`]; at worst a pack without an index is left, which the next run sweeps.
pub fn publish_pack(mirror: &Path, staged: &Pack) -> Result<Pack, GitError> {
    let (objects, folder) = (mirror.join("objects"), mirror.join("objects/pack"));
    let packs = drafts_of_packs(std::slice::from_ref(staged), &objects, &folder);
    replace_all(&[&packs], |_| sync_folder(&folder)).map_err(GitError::from)?;
    Ok(staged.within(&folder))
}

fn drafts_of_packs<'a>(packs: &'a [Pack], objects: &'a Path, folder: &'a Path) -> Vec<Draft<'a>> {
    // The idx follows its pack: to git, a pack is there when its idx is.
    let drafts = |pack: &'a Pack| [Draft::copy(folder, &pack.pack), Draft::copy(folder, &pack.idx).written_in(objects)];
    packs.iter().flat_map(drafts).collect()
}
