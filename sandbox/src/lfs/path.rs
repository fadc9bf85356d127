//! Which repository a path of LFS means. Pure.

/// A path of the batch API. The names are as the client sent them and may be anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LfsPath {
    pub(super) owner: String,
    /// The name without `.git` and without `.wiki`.
    pub(super) name: String,
    pub(super) is_wiki: bool,
    /// What follows `info/lfs`.
    pub(super) rest: String,
}

impl LfsPath {
    /// Reads the segments of a path; `None` if they are not LFS's.
    pub(crate) fn read(segments: &[String]) -> Option<Self> {
        let [owner, name, info, lfs, rest @ ..] = segments else { return None };
        if info != "info" || lfs != "lfs" {
            return None;
        }
        let name = name.strip_suffix(".git").unwrap_or(name);
        let (name, is_wiki) = name.strip_suffix(".wiki").map_or((name, false), |name| (name, true));
        Some(Self { owner: owner.clone(), name: name.to_owned(), is_wiki, rest: rest.join("/") })
    }
}
