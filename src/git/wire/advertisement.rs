//! The reference advertisement of git's protocol v0 over smart HTTP: read, filtered, and written for libgit2. Pure.
//!
//! Source: git's documentation, `gitprotocol-http` ("Smart Clients") and `gitprotocol-pack` ("Reference Discovery").
//! What a newcomer would get wrong: the capabilities hide behind a NUL in the first ref's line, and an empty
//! repository still has that line, under the name `capabilities^{}`.

use git2::Oid;

use super::error::WireError;
use crate::git::refs::{OWN_NAMESPACE, RefFilter, Refs, Target, parse_oid};
use crate::text::printable;

/// What a server says it has.
#[derive(Clone, Debug, Default)]
pub struct Advertisement {
    /// The refs that are mirrored.
    pub refs: Refs,
    /// The branch that HEAD points at, if the server says so.
    pub head: Option<String>,
    /// Names that cannot be stored, made printable: not UTF-8, or not a ref's.
    pub unusable: Vec<String>,
    /// How many refs lie in ghbk's own namespace on the server, and are stored in another.
    pub displaced: u64,
    /// What the server can do, in its own words.
    capabilities: String,
}

/// Capabilities that are not handed to libgit2: `symref` names refs it will not see, `include-tag` makes packs hold objects that
/// nobody asked for, and `object-format`, which is SHA-1 here anyway, makes libgit2 fail an assertion if it comes last, as with
/// Dulwich.
const WITHHELD: [&str; 3] = ["symref=", "include-tag", "object-format="];

impl Advertisement {
    /// Reads the body of `GET info/refs?service=git-upload-pack`, and keeps the refs that the filter takes.
    ///
    /// # Errors
    /// [`WireError::Protocol`] if it is not an advertisement or ends early;
    /// [`WireError::Remote`] if the server reports an error in it.
    pub fn parse(body: &[u8], filter: &RefFilter) -> Result<Self, WireError> {
        let protocol = |reason: &str| WireError::Protocol(reason.to_owned());
        let mut lines = PktLines::announced(body, "git-upload-pack")?;
        let mut advertisement = Self::default();
        let mut first = true;
        while let Some(line) = lines.next_line()? {
            let line = line.strip_suffix(b"\n").unwrap_or(line);
            if let Some(message) = line.strip_prefix(b"ERR ") {
                return Err(WireError::Remote(printable(&String::from_utf8_lossy(message), 200)));
            }
            let line = match line.iter().position(|byte| *byte == 0) {
                Some(nul) if first => {
                    advertisement.capabilities = String::from_utf8_lossy(&line[nul + 1..]).into_owned();
                    &line[..nul]
                }
                _ => line,
            };
            first = false;
            let Ok(line) = std::str::from_utf8(line) else {
                let name = line.split(|byte| *byte == b' ').next_back().unwrap_or(line);
                let name = String::from_utf8_lossy(name);
                if filter.stored_name(&name).is_some() && !name.ends_with("^{}") {
                    advertisement.unusable.push(printable(&name, 100));
                }
                continue;
            };
            if line.starts_with("shallow ") {
                return Err(protocol("the repository on the server is shallow"));
            }
            let (oid, name) = line.split_once(' ').ok_or_else(|| protocol("a line without a ref's name"))?;
            let oid =
                parse_oid(oid).ok_or_else(|| protocol("a line without an object id (SHA-256 is not supported)"))?;
            advertisement.take(name, oid, filter)?;
        }
        if let Some(format) = advertisement.capability("object-format=")
            && format != "sha1"
        {
            return Err(protocol("the repository uses SHA-256, which is not supported"));
        }
        advertisement.head = advertisement.capability("symref=HEAD:").map(str::to_owned);
        Ok(advertisement)
    }

    fn take(&mut self, name: &str, oid: Oid, filter: &RefFilter) -> Result<(), WireError> {
        let (name, is_peeled) = name.strip_suffix("^{}").map_or((name, false), |tag| (tag, true));
        let Some(stored) = filter.stored_name(name) else { return Ok(()) };
        let is_usable = git2::Reference::is_valid_name(name);
        if is_peeled {
            if is_usable && !self.refs.set_peeled(&stored, oid) {
                return Err(WireError::Protocol(format!("a peeled line without its tag: {name:?}")));
            }
            return Ok(());
        }
        // A repository may also have refs of its own where displaced ones go: neither may replace the other.
        if !is_usable || self.refs.get(&stored).is_some() {
            self.unusable.push(printable(name, 100));
            return Ok(());
        }
        self.displaced += u64::from(name.starts_with(OWN_NAMESPACE));
        self.refs.insert(stored.into_owned(), Target { oid, peeled: None });
        Ok(())
    }

    /// Returns whether the server can do something.
    pub(crate) fn can(&self, capability: &str) -> bool {
        self.capabilities.split(' ').any(|known| known == capability)
    }

    fn capability(&self, prefix: &str) -> Option<&str> {
        self.capabilities.split(' ').find_map(|capability| capability.strip_prefix(prefix))
    }

    /// Writes an advertisement of the wanted objects alone, for libgit2 to ask for.
    ///
    /// libgit2 compares every advertised ref with every refspec and looks each up in the object database; with a
    /// hundred thousand refs that takes longer than the download.
    pub fn only(&self, wanted: &[Oid]) -> Vec<u8> {
        let capabilities: Vec<&str> = self
            .capabilities
            .split(' ')
            .filter(|capability| !WITHHELD.iter().any(|prefix| capability.starts_with(prefix)))
            .collect();
        let mut out = Vec::new();
        push_line(&mut out, b"# service=git-upload-pack\n");
        out.extend_from_slice(FLUSH);
        for (index, oid) in wanted.iter().enumerate() {
            let mut line = format!("{oid} {WANTED_PREFIX}{index}");
            if index == 0 {
                line.push('\0');
                line.push_str(&capabilities.join(" "));
            }
            line.push('\n');
            push_line(&mut out, line.as_bytes());
        }
        out.extend_from_slice(FLUSH);
        out
    }
}

/// The names under which wanted objects are advertised to libgit2.
const WANTED_PREFIX: &str = "refs/want/";
/// The refspec that takes all of them.
pub(crate) const WANTED_REFSPEC: &str = "+refs/want/*:refs/want/*";

/// Ends a list of lines.
pub(crate) const FLUSH: &[u8] = b"0000";
const LENGTH_DIGITS: usize = 4;

/// Appends one pkt-line: four hexadecimal digits of length, themselves included, then the payload.
pub(crate) fn push_line(out: &mut Vec<u8>, payload: &[u8]) {
    out.extend_from_slice(format!("{:04x}", payload.len() + LENGTH_DIGITS).as_bytes());
    out.extend_from_slice(payload);
}

/// What the repository to push to has.
#[derive(Debug, Default)]
pub(crate) struct ReceiverAdvertisement {
    pub(crate) refs: Vec<(String, Oid)>,
    capabilities: String,
}

impl ReceiverAdvertisement {
    /// Reads the body of `GET info/refs?service=git-receive-pack`.
    pub(crate) fn parse(body: &[u8]) -> Result<Self, WireError> {
        let protocol = |reason: &str| WireError::Protocol(reason.to_owned());
        let mut lines = PktLines::announced(body, "git-receive-pack")?;
        let mut advertisement = Self::default();
        while let Some(line) = lines.next_line()? {
            let line = String::from_utf8_lossy(line.strip_suffix(b"\n").unwrap_or(line)).into_owned();
            if let Some(message) = line.strip_prefix("ERR ") {
                return Err(WireError::Remote(printable(message, 200)));
            }
            let (line, capabilities) = line.split_once('\0').unwrap_or((&line, ""));
            if !capabilities.is_empty() {
                capabilities.clone_into(&mut advertisement.capabilities);
            }
            let (oid, name) = line.split_once(' ').ok_or_else(|| protocol("a line without a ref's name"))?;
            let oid = parse_oid(oid).ok_or_else(|| protocol("a line without an object id"))?;
            // `.have` names objects that the server shares with another repository.
            if name != "capabilities^{}" && name != ".have" {
                advertisement.refs.push((name.to_owned(), oid));
            }
        }
        Ok(advertisement)
    }

    /// Returns whether the server can do something.
    pub(crate) fn can(&self, capability: &str) -> bool {
        self.capabilities.split(' ').any(|known| known == capability)
    }
}

/// Reads the lines of a report up to its flush.
pub(crate) fn report_lines(body: &[u8]) -> Result<Vec<Vec<u8>>, WireError> {
    let mut lines = PktLines { rest: body };
    let mut report = Vec::new();
    while let Some(line) = lines.next_line()? {
        report.push(line.to_vec());
    }
    Ok(report)
}

struct PktLines<'a> {
    rest: &'a [u8],
}

impl<'a> PktLines<'a> {
    /// Reads the announcement of a service, with which every advertisement over HTTP begins.
    fn announced(body: &'a [u8], service: &str) -> Result<Self, WireError> {
        let mut lines = Self { rest: body };
        match lines.next_line()? {
            Some(line) if line.starts_with(format!("# service={service}").as_bytes()) => {}
            _ => {
                let reason = "no service announcement; is this address a git server?";
                return Err(WireError::Protocol(reason.to_owned()));
            }
        }
        match lines.next_line()? {
            None => Ok(lines),
            Some(_) => Err(WireError::Protocol("no flush after the service announcement".to_owned())),
        }
    }

    /// Returns the next payload; `None` for a flush.
    fn next_line(&mut self) -> Result<Option<&'a [u8]>, WireError> {
        let early = || WireError::Connection("the advertisement ended early".to_owned());
        let digits = self.rest.get(..LENGTH_DIGITS).ok_or_else(early)?;
        let length = std::str::from_utf8(digits)
            .ok()
            .filter(|text| text.bytes().all(|byte| byte.is_ascii_hexdigit()))
            .and_then(|text| usize::from_str_radix(text, 16).ok())
            .ok_or_else(|| WireError::Protocol("a pkt-line without a length".to_owned()))?;
        if length == 0 {
            self.rest = &self.rest[LENGTH_DIGITS..];
            return Ok(None);
        }
        if length < LENGTH_DIGITS {
            return Err(WireError::Protocol("a pkt-line shorter than its own length".to_owned()));
        }
        let payload = self.rest.get(LENGTH_DIGITS..length).ok_or_else(early)?;
        self.rest = &self.rest[length..];
        Ok(Some(payload))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const A: &str = "1111111111111111111111111111111111111111";
    const B: &str = "2222222222222222222222222222222222222222";
    const CAPABILITIES: &str = "multi_ack side-band-64k ofs-delta include-tag symref=HEAD:refs/heads/main agent=git/2";

    fn body(lines: &[String]) -> Vec<u8> {
        let mut out = Vec::new();
        push_line(&mut out, b"# service=git-upload-pack\n");
        out.extend_from_slice(FLUSH);
        for line in lines {
            push_line(&mut out, line.as_bytes());
        }
        out.extend_from_slice(FLUSH);
        out
    }

    fn sample() -> Vec<u8> {
        body(&[
            format!("{A} HEAD\0{CAPABILITIES}\n"),
            format!("{A} refs/heads/main\n"),
            format!("{A} refs/pull/1/head\n"),
            format!("{B} refs/pull/1/merge\n"),
            format!("{B} refs/tags/v1\n"),
            format!("{A} refs/tags/v1^{{}}\n"),
        ])
    }

    #[test]
    fn mirrored_refs_head_and_peeled_tags_are_read() {
        let advertisement = Advertisement::parse(&sample(), &RefFilter::default()).unwrap();
        let names: Vec<_> = advertisement.refs.iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["refs/heads/main", "refs/pull/1/head", "refs/tags/v1"]);
        assert_eq!(advertisement.head.as_deref(), Some("refs/heads/main"));
        assert_eq!(advertisement.refs.get("refs/tags/v1").unwrap().peeled, parse_oid(A));
    }

    #[test]
    fn an_empty_repository_has_no_refs() {
        let zero = "0".repeat(40);
        let advertisement =
            Advertisement::parse(&body(&[format!("{zero} capabilities^{{}}\0{CAPABILITIES}")]), &RefFilter::default())
                .unwrap();
        assert!(advertisement.refs.is_empty());
    }

    #[test]
    fn an_advertisement_cut_anywhere_is_an_error() {
        let whole = sample();
        for end in 0..whole.len() {
            assert!(
                Advertisement::parse(&whole[..end], &RefFilter::default()).is_err(),
                "cut at {end} was taken for the whole"
            );
        }
    }

    #[test]
    fn a_name_that_is_no_ref_is_left_out_and_named() {
        for name in ["refs/heads/../../x", "refs/heads/a b", "refs/heads/.lock", "refs/heads/a\u{7f}"] {
            let bytes = body(&[
                format!("{A} HEAD\0{CAPABILITIES}"),
                format!("{A} refs/heads/main"),
                format!("{A} {name}"),
                format!("{A} {name}^{{}}"),
            ]);
            let advertisement = Advertisement::parse(&bytes, &RefFilter::default()).unwrap();
            assert_eq!((advertisement.refs.len(), advertisement.unusable.len()), (1, 1), "{name:?}");
        }
    }

    #[test]
    fn the_server_s_own_error_is_reported() {
        let bytes = body(&["ERR access denied or repository not exported\n".to_owned()]);
        assert!(
            matches!(Advertisement::parse(&bytes, &RefFilter::default()), Err(WireError::Remote(message)) if message.contains("denied"))
        );
    }

    #[test]
    fn refs_in_our_own_namespace_are_stored_in_another() {
        let bytes = body(&[
            format!("{A} HEAD\0{CAPABILITIES}"),
            format!("{A} refs/ghbk/snapshots"),
            format!("{B} refs/ghbk-of-origin/snapshots"),
            format!("{B} refs/meta/config"),
        ]);
        let advertisement = Advertisement::parse(&bytes, &RefFilter::default()).unwrap();
        let names: Vec<_> = advertisement.refs.iter().map(|(name, target)| (name, target.oid.to_string())).collect();
        assert_eq!(names, [("refs/ghbk-of-origin/snapshots", A.to_owned()), ("refs/meta/config", B.to_owned())]);
        assert_eq!((advertisement.displaced, advertisement.unusable.len()), (1, 1));
    }

    #[test]
    fn only_wanted_objects_are_handed_on() {
        let advertisement = Advertisement::parse(&sample(), &RefFilter::default()).unwrap();
        let text = String::from_utf8(advertisement.only(&[parse_oid(B).unwrap()])).unwrap();
        assert!(text.contains(&format!("{B} refs/want/0\0multi_ack side-band-64k ofs-delta agent=git/2\n")), "{text}");
        assert!(!text.contains(A));
    }

    /// libgit2 ended with "unrecoverable internal error: 'eos'" on what Dulwich advertises.
    #[test]
    fn the_object_format_is_not_handed_on() {
        let bytes = body(&[format!("{A} refs/heads/main\0ofs-delta object-format=sha1\n")]);
        let text = String::from_utf8(
            Advertisement::parse(&bytes, &RefFilter::default()).unwrap().only(&[parse_oid(A).unwrap()]),
        )
        .unwrap();
        assert!(text.contains("\0ofs-delta\n"), "{text}");
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_parser_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = Advertisement::parse(&bytes, &RefFilter::default());
        }
    }
}
