//! Push: a restored repository sent to a new, empty one over smart HTTP.
//!
//! Touches the network and the restored repository, never the store. One request with one pack, all refs or none. What
//! a newcomer would get wrong: an empty repository still advertises one line, under the name `capabilities^{}`; and
//! GitHub keeps `refs/pull/*` for itself. Source: git's documentation, `gitprotocol-pack`, "Pushing Data To a Server".

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use futures_util::StreamExt;
use git2::{Oid, Repository};
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE};
use reqwest::{Body, Client};
use secrecy::{ExposeSecret, SecretString};
use tokio_util::sync::CancellationToken;
use url::Url;

use super::error::WireError;
use crate::git::GitError;
use crate::git::pack;
use crate::git::pack::links;
use crate::git::pack::reader::ObjectReader;
use crate::git::refs::{DISPLACED_NAMESPACE, OWN_NAMESPACE, Refs};
use crate::git::wire::advertisement::{ReceiverAdvertisement, push_line, report_lines};
use crate::git::wire::server::{ADVERTISEMENT_MAX_BYTES, TOKEN_USER, accept, connection, get};
use crate::git::wire::transport;
use crate::network::{pieces_of, read_bounded};
use crate::text::printable;

/// Describes one push.
#[derive(Debug)]
pub struct Push<'a> {
    /// A client with long timeouts: the server answers only when it has received everything.
    pub client: Client,
    /// The new repository.
    pub url: Url,
    /// A token that may write to it.
    pub token: &'a SecretString,
    /// The restored repository.
    pub repository: PathBuf,
    /// The refs to make there.
    pub refs: Refs,
    /// An empty folder on local disk.
    pub scratch: &'a Path,
}

/// Chooses what can be sent: pull requests under another name, and only if they are wanted; what ghbk's own refs displaced, under
/// its original name.
pub fn pushable(refs: &Refs, pull_requests: bool) -> Refs {
    let mut chosen = Refs::default();
    for (name, target) in refs.iter() {
        match name.strip_prefix("refs/pull/") {
            None => {
                let name = match name.strip_prefix(DISPLACED_NAMESPACE) {
                    Some(rest) => format!("{OWN_NAMESPACE}{rest}"),
                    None => name.to_owned(),
                };
                chosen.insert(name, *target);
            }
            Some(rest) if pull_requests => chosen.insert(format!("refs/restored/pull/{rest}"), *target),
            Some(_) => {}
        }
    }
    chosen
}

impl Push<'_> {
    /// Checks that the new repository exists, is empty, and may be written to.
    ///
    /// # Errors
    /// [`WireError::NotEmpty`], or the server's error.
    pub async fn check(&self) -> Result<(), GitError> {
        self.empty().await.map(drop)
    }

    async fn empty(&self) -> Result<ReceiverAdvertisement, GitError> {
        let before = self.advertised().await?;
        if before.refs.is_empty() { Ok(before) } else { Err(GitError::Wire(WireError::NotEmpty(before.refs.len()))) }
    }

    /// Sends everything, then asks the server what it has.
    ///
    /// # Errors
    /// [`WireError::NotEmpty`] before anything is sent; [`WireError::Refused`] if the server does not accept a ref.
    pub async fn send(&self) -> Result<(), GitError> {
        let before = self.empty().await?;
        let pack = self.build_pack().await?;
        let answer = self.request(&before, &pack).await?;
        if before.can(SIDE_BAND) {
            Answer::split(&answer)?.judge()?;
        } else {
            read_report(&answer)?;
        }
        let after = self.advertised().await?.refs;
        let expected: Vec<(String, Oid)> =
            self.refs.iter().map(|(name, target)| (name.to_owned(), target.oid)).collect();
        if expected.iter().any(|expected| !after.contains(expected)) {
            return Err(GitError::Wire(WireError::PushedDiffers));
        }
        Ok(())
    }

    async fn advertised(&self) -> Result<ReceiverAdvertisement, WireError> {
        let mut url = self.url.clone();
        url.set_path(&format!("{}/info/refs", self.url.path().trim_end_matches('/')));
        url.set_query(Some("service=git-receive-pack"));
        let response = get(&self.client, &url, self.token).await?;
        let response = accept(response, "application/x-git-receive-pack-advertisement", self.token).await?;
        ReceiverAdvertisement::parse(&read_bounded(response, ADVERTISEMENT_MAX_BYTES).await?)
    }

    /// Builds a pack of exactly what the refs need.
    async fn build_pack(&self) -> Result<PathBuf, GitError> {
        let (repository, folder) = (self.repository.clone(), self.scratch.to_owned());
        let tips: HashSet<Oid> = self.refs.iter().map(|(_, target)| target.oid).collect();
        let build = move || {
            transport::set_up_libgit2();
            let repository = Repository::open(repository)?;
            let objects = ObjectReader::of_folder(&repository.path().join("objects/pack"))?;
            let needed = links::reachable(&objects, tips.into_iter(), &CancellationToken::new())?;
            let named = needed.iter().map(|(oid, name)| (*oid, name.as_deref()));
            Ok(pack::build(&repository, named, &folder)?.pack)
        };
        tokio::task::spawn_blocking(build).await.unwrap_or_else(|error| Err(GitError::Task(error.to_string())))
    }

    async fn request(&self, server: &ReceiverAdvertisement, pack: &Path) -> Result<Vec<u8>, GitError> {
        let mut commands = Vec::new();
        for (number, (name, target)) in self.refs.iter().enumerate() {
            let mut line = format!("{} {} {name}", Oid::ZERO_SHA1, target.oid);
            if number == 0 {
                let atomic = if server.can("atomic") { " atomic" } else { "" };
                let side_band = if server.can(SIDE_BAND) { " side-band-64k" } else { "" };
                line.push_str(&format!("\0report-status{side_band}{atomic} agent=ghbk/{}", env!("CARGO_PKG_VERSION")));
            }
            push_line(&mut commands, line.as_bytes());
        }
        commands.extend_from_slice(b"0000");
        let file = tokio::fs::File::open(pack).await.map_err(GitError::io("open", pack))?;
        let length = file.metadata().await.map_err(GitError::io("examine", pack))?.len() + commands.len() as u64;
        let first = futures_util::stream::iter([Ok::<_, std::io::Error>(Bytes::from(commands))]);
        let mut url = self.url.clone();
        url.set_path(&format!("{}/git-receive-pack", self.url.path().trim_end_matches('/')));
        let request = self
            .client
            .post(url)
            .basic_auth(TOKEN_USER, Some(self.token.expose_secret()))
            .header(CONTENT_TYPE, "application/x-git-receive-pack-request")
            .header(CONTENT_LENGTH, length)
            .body(Body::wrap_stream(first.chain(pieces_of(file))));
        let response = request.send().await.map_err(connection)?;
        let response = accept(response, "application/x-git-receive-pack-result", self.token).await?;
        let answer = read_bounded(response, ADVERTISEMENT_MAX_BYTES).await;
        Ok(answer.map_err(WireError::from)?)
    }
}

/// Without it a server does not give the reasons of a refusal.
const SIDE_BAND: &str = "side-band-64k";
/// How much of a server's words is passed on: enough for all of a ruleset's refusal.
const WORDS_MAX_CHARS: usize = 2_000;
const WORDS_MAX_BYTES: usize = 64 * 1024;

/// An answer in bands.
#[derive(Debug, Default)]
struct Answer {
    report: Vec<u8>,
    /// What git would print after `remote:`.
    words: Vec<u8>,
    /// What ended the push on the server.
    fatal: Option<Vec<u8>>,
}

impl Answer {
    fn split(body: &[u8]) -> Result<Self, GitError> {
        let mut answer = Self::default();
        for line in report_lines(body)? {
            match line.split_first() {
                Some((1, report)) => answer.report.extend_from_slice(report),
                Some((2, words)) => {
                    let left = WORDS_MAX_BYTES.saturating_sub(answer.words.len());
                    answer.words.extend_from_slice(&words[..words.len().min(left)]);
                }
                Some((3, error)) => answer.fatal = Some(error.to_vec()),
                _ => return Err(GitError::Wire(WireError::Protocol("a report outside of its band".to_owned()))),
            }
        }
        Ok(answer)
    }

    /// Judges the report; a refusal carries the server's explanation.
    fn judge(&self) -> Result<(), GitError> {
        let result = match &self.fatal {
            Some(error) => {
                Err(GitError::Wire(WireError::Remote(printable(&String::from_utf8_lossy(error), WORDS_MAX_CHARS))))
            }
            None => read_report(&self.report),
        };
        result.map_err(|error| match error {
            GitError::Wire(WireError::Refused(line)) => match self.explanation() {
                Some(words) => GitError::Wire(WireError::Refused(format!("{line}; it says: {words}"))),
                None => GitError::Wire(WireError::Refused(line)),
            },
            error => error,
        })
    }

    fn explanation(&self) -> Option<String> {
        let words = printable(&String::from_utf8_lossy(&self.words), WORDS_MAX_CHARS);
        (!words.is_empty()).then_some(words)
    }
}

/// Reads what the server says about the pack and each ref.
fn read_report(body: &[u8]) -> Result<(), GitError> {
    let mut unpacked = false;
    for line in report_lines(body)? {
        let line = String::from_utf8_lossy(&line).trim_end().to_owned();
        match line.split_once(' ') {
            Some(("unpack", "ok")) => unpacked = true,
            Some(("ok", _)) => {}
            _ => return Err(GitError::Wire(WireError::Refused(printable(&line, 200)))),
        }
    }
    if unpacked { Ok(()) } else { Err(GitError::Wire(WireError::Protocol("no report of the push".to_owned()))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(lines: &[&str]) -> Vec<u8> {
        let mut out = Vec::new();
        for line in lines {
            push_line(&mut out, line.as_bytes());
        }
        out.extend_from_slice(b"0000");
        out
    }

    /// A refused push said "pre-receive hook declined", but not why.
    #[test]
    fn the_server_s_own_explanation_of_a_refusal_is_passed_on() {
        let band = |number: u8, payload: &[u8]| [&[number], payload].concat();
        let mut body = Vec::new();
        push_line(&mut body, &band(2, b"error: GH013: Repository rule violations\n\x1b[31m"));
        push_line(&mut body, &band(2, b"https://github.com/acme/new/unblock-secret/XYZ\n"));
        let inner = report(&["unpack ok\n", "ng refs/heads/main pre-receive hook declined\n"]);
        let (first, second) = inner.split_at(7);
        push_line(&mut body, &band(1, first));
        push_line(&mut body, &band(1, second));
        body.extend_from_slice(b"0000");
        let Err(GitError::Wire(WireError::Refused(text))) = Answer::split(&body).unwrap().judge() else {
            panic!("not refused")
        };
        for part in ["hook declined", "GH013", "unblock-secret/XYZ"] {
            assert!(text.contains(part), "{text}");
        }
        assert!(!text.contains('\u{1b}'));
        for end in 0..body.len() {
            assert!(Answer::split(&body[..end]).and_then(|answer| answer.judge()).is_err(), "cut at {end}");
        }
    }

    #[test]
    fn a_push_is_good_only_if_everything_was_taken() {
        read_report(&report(&["unpack ok\n", "ok refs/heads/main\n"])).unwrap();
        let refused = read_report(&report(&["unpack ok\n", "ng refs/heads/main pre-receive hook declined\n"]));
        assert!(matches!(refused, Err(GitError::Wire(WireError::Refused(line))) if line.contains("hook declined")));
        assert!(read_report(&report(&["unpack index-pack abnormal exit\n"])).is_err());
        assert!(read_report(&report(&["ok refs/heads/main\n"])).is_err());
        let whole = report(&["unpack ok\n", "ok refs/heads/main\n"]);
        for end in 0..whole.len() {
            assert!(read_report(&whole[..end]).is_err(), "cut at {end}");
        }
    }
}
