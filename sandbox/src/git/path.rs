//! Which repository and which service a path of git's protocol means. Pure.

/// The services of git's smart protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Service {
    /// The list of refs, with which every conversation begins.
    Refs,
    /// Fetching.
    UploadPack,
    /// Pushing.
    ReceivePack,
}

impl Service {
    /// Returns the end of the path.
    pub(super) fn path(self) -> &'static str {
        match self {
            Self::Refs => "info/refs",
            Self::UploadPack => "git-upload-pack",
            Self::ReceivePack => "git-receive-pack",
        }
    }
}

/// A path of git's protocol. The names are as the client sent them and may be anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GitPath {
    pub(super) owner: String,
    /// The name without `.git` and without `.wiki`.
    pub(super) name: String,
    pub(super) is_wiki: bool,
    pub(super) service: Service,
}

impl GitPath {
    /// Reads the segments of a path; `None` if they are not git's.
    pub(crate) fn read(segments: &[String]) -> Option<Self> {
        let segments: Vec<_> = segments.iter().map(String::as_str).collect();
        let (owner, name, service) = match *segments {
            [owner, name, "info", "refs"] => (owner, name, Service::Refs),
            [owner, name, "git-upload-pack"] => (owner, name, Service::UploadPack),
            [owner, name, "git-receive-pack"] => (owner, name, Service::ReceivePack),
            _ => return None,
        };
        let name = name.strip_suffix(".git").unwrap_or(name);
        let (name, is_wiki) = name.strip_suffix(".wiki").map_or((name, false), |name| (name, true));
        Some(Self { owner: owner.to_owned(), name: name.to_owned(), is_wiki, service })
    }
}

#[cfg(test)]
mod tests {
    use super::{GitPath, Service};

    fn read(path: &str) -> Option<GitPath> {
        GitPath::read(&path.split('/').map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn the_suffix_is_optional_and_a_wiki_is_told_apart() {
        assert_eq!(read("acme/a.git/info/refs"), read("acme/a/info/refs"));
        let wiki = read("acme/a.wiki.git/git-upload-pack").expect("it is git's");
        assert_eq!((wiki.name.as_str(), wiki.is_wiki, wiki.service), ("a", true, Service::UploadPack));
        assert_eq!(read("repos/acme/a"), None);
    }
}
