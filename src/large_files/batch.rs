//! The batch API of Git LFS: requests and answers. Pure.
//!
//! Source: `docs/api/batch.md` and `docs/api/basic-transfers.md` of git-lfs. What a newcomer would get wrong: servers leave
//! objects out, repeat them, name others, send `null` for what is empty, and the year 1 for "never expires".

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use chrono::{DateTime, Utc};
use http::{HeaderMap, HeaderName, HeaderValue};
use secrecy::SecretString;
use serde::{Deserialize, Deserializer, Serialize};
use url::Url;

use crate::git::pointer::{LfsOid, Pointer};
use crate::text::printable;

/// What is to be done with large files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Operation {
    /// Fetch them.
    Download,
    /// Send them.
    Upload,
}

#[derive(Serialize)]
struct Request {
    operation: Operation,
    transfers: [&'static str; 1],
    hash_algo: &'static str,
    objects: Vec<Asked>,
}

#[derive(Serialize)]
struct Asked {
    oid: LfsOid,
    size: u64,
}

/// Formats a request.
pub(super) fn request(operation: Operation, pointers: &[Pointer]) -> Vec<u8> {
    let objects = pointers.iter().map(|pointer| Asked { oid: pointer.oid, size: pointer.size_bytes }).collect();
    let request = Request { operation, transfers: ["basic"], hash_algo: "sha256", objects };
    serde_json::to_vec(&request).unwrap_or_default()
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default, deserialize_with = "or_default")]
    transfer: Option<String>,
    #[serde(default, deserialize_with = "or_default")]
    hash_algo: Option<String>,
    #[serde(default, deserialize_with = "or_default")]
    objects: Vec<serde_json::Value>,
}

#[derive(Deserialize)]
struct Answered {
    oid: String,
    #[serde(default, deserialize_with = "or_default")]
    actions: BTreeMap<String, Option<RawAction>>,
    /// As very old servers name them.
    #[serde(default, rename = "_links", deserialize_with = "or_default")]
    links: BTreeMap<String, Option<RawAction>>,
    #[serde(default)]
    error: Option<RawError>,
}

#[derive(Deserialize)]
struct RawAction {
    href: String,
    #[serde(default, deserialize_with = "or_default")]
    header: BTreeMap<String, String>,
    #[serde(default)]
    expires_in: Option<i64>,
    #[serde(default)]
    expires_at: Option<String>,
}

#[derive(Deserialize)]
struct RawError {
    #[serde(default)]
    code: u16,
    #[serde(default)]
    message: String,
}

/// Reads `null` as the default.
fn or_default<'de, T: Default + Deserialize<'de>, D: Deserializer<'de>>(from: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

/// A request that the server asks for: the address may hold a signature and is a secret.
#[derive(Clone)]
pub struct Action {
    pub(super) href: Url,
    /// Exactly these are sent with it.
    pub(super) headers: HeaderMap,
    /// How long it is valid from now on; `None` if there is no known end.
    pub(super) good_for: Option<Duration>,
}

/// A shorter value is not a secret, and occurs in too many words.
const SECRET_MIN_CHARS: usize = 8;

impl Action {
    /// Returns what must not be shown: the values of its headers and of what follows `?` in its address.
    pub(super) fn secrets(&self) -> Vec<SecretString> {
        let headers = self.headers.values().filter_map(|value| value.to_str().ok().map(str::to_owned));
        let query = self.href.query_pairs().map(|(_, value)| value.into_owned());
        let raw = self.href.query().map(str::to_owned);
        let secrets = headers.chain(query).chain(raw).filter(|secret| secret.len() >= SECRET_MIN_CHARS);
        secrets.map(SecretString::from).collect()
    }
}

impl std::fmt::Debug for Action {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let host = self.href.host_str().unwrap_or_default();
        f.debug_struct("Action").field("host", &host).field("good_for", &self.good_for).finish_non_exhaustive()
    }
}

/// What the server says about one large file.
#[derive(Clone, Debug)]
pub enum Granted {
    /// How to fetch it, or to send and confirm it.
    Actions {
        /// Where to fetch it from, or send it to.
        transfer: Box<Action>,
        /// Where to confirm an upload.
        verify: Option<Box<Action>>,
    },
    /// There is nothing to do: the server has it already.
    Nothing,
    /// It cannot be fetched or sent.
    Refused {
        /// As an HTTP status.
        code: u16,
        /// What the server says.
        said: String,
    },
}

/// Reads an answer: what the server says about each large file that it names.
///
/// # Errors
/// In words, if it is not an answer to a batch request.
pub(super) fn parse(
    body: &[u8],
    operation: Operation,
    (base, now): (&Url, DateTime<Utc>),
) -> Result<HashMap<LfsOid, Granted>, String> {
    let answer: Answer = serde_json::from_slice(body).map_err(|error| printable(&error.to_string(), 200))?;
    if let Some(transfer) = answer.transfer.filter(|transfer| !transfer.is_empty() && transfer != "basic") {
        return Err(format!("it chose the transfer {:?}, which was not offered", printable(&transfer, 80)));
    }
    if let Some(algorithm) = answer.hash_algo.filter(|algorithm| !algorithm.is_empty() && algorithm != "sha256") {
        return Err(format!("it identifies large files by {:?} instead of sha256", printable(&algorithm, 80)));
    }
    let mut granted = HashMap::new();
    for object in answer.objects {
        // A malformed entry costs only that file.
        let Ok(answered) = serde_json::from_value::<Answered>(object) else { continue };
        if let Ok(oid) = answered.oid.parse() {
            granted.entry(oid).or_insert_with(|| answered.granted(operation, base, now));
        }
    }
    Ok(granted)
}

impl Answered {
    fn granted(mut self, operation: Operation, base: &Url, now: DateTime<Utc>) -> Granted {
        if let Some(RawError { code, message }) = self.error {
            return Granted::Refused { code, said: printable(&message, 200) };
        }
        let name = match operation {
            Operation::Download => "download",
            Operation::Upload => "upload",
        };
        let mut take = |name: &str| self.actions.remove(name).flatten().or_else(|| self.links.remove(name).flatten());
        let (transfer, verify) = (take(name), take("verify"));
        let Some(transfer) = transfer else { return Granted::Nothing };
        let read = |action: RawAction| action.read(base, now);
        match (read(transfer), verify.map(read).transpose()) {
            (Ok(transfer), Ok(verify)) => {
                Granted::Actions { transfer: Box::new(transfer), verify: verify.map(Box::new) }
            }
            (Err(said), _) | (_, Err(said)) => Granted::Refused { code: 0, said },
        }
    }
}

impl RawAction {
    fn read(self, base: &Url, now: DateTime<Utc>) -> Result<Action, String> {
        let href = base.join(&self.href).map_err(|error| format!("its address is invalid: {error}"))?;
        let mut headers = HeaderMap::new();
        for (name, value) in self.header {
            let name = HeaderName::try_from(name.as_str());
            let value = HeaderValue::try_from(value.as_str());
            let (Ok(name), Ok(mut value)) = (name, value) else {
                return Err("its headers are invalid".to_owned());
            };
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        // A time relative to now needs no common clock; servers in Go send 0 and the year 1 for what has no end.
        let relative = self.expires_in.filter(|seconds| *seconds != 0);
        let relative = relative.map(|seconds| Duration::from_secs(u64::try_from(seconds).unwrap_or_default()));
        let absolute = self.expires_at.as_deref().and_then(|at| DateTime::parse_from_rfc3339(at).ok());
        let absolute = absolute.filter(|at| at.timestamp() > 0);
        let good_for = relative.or_else(|| absolute.map(|at| (at.to_utc() - now).to_std().unwrap_or_default()));
        Ok(Action { href, headers, good_for })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OID: &str = "4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393";

    fn read(object: &str) -> Option<Granted> {
        let body = format!(r#"{{"transfer":"basic","objects":[{}]}}"#, object.replace("OID", OID));
        let base = "https://github.com/acme/site.git/info/lfs/".parse().unwrap();
        let now = "2026-11-29T05:00:00Z".parse().unwrap();
        parse(body.as_bytes(), Operation::Download, (&base, now)).unwrap().remove(&OID.parse().unwrap())
    }

    #[test]
    fn what_servers_of_all_kinds_answer_is_read() {
        let good_for = |expiry: &str| {
            let object =
                format!(r#"{{"oid":"OID","size":1,"actions":{{"download":{{"href":"https://media/x"{expiry}}}}}}}"#);
            match read(&object) {
                Some(Granted::Actions { transfer, .. }) => transfer.good_for.map(|time| time.as_secs()),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(good_for(""), None);
        assert_eq!(good_for(r#","header":null,"expires_in":900"#), Some(900));
        assert_eq!(good_for(r#","expires_at":"2026-11-29T06:00:00Z""#), Some(3600));
        assert_eq!(good_for(r#","expires_at":"2026-11-29T04:00:00Z""#), Some(0), "it is over");
        assert_eq!(good_for(r#","expires_at":"0001-01-01T00:00:00Z","expires_in":0"#), None, "as servers in Go say it");
        let links = read(r#"{"oid":"OID","actions":null,"_links":{"download":{"href":"/media/x"}}}"#);
        assert!(matches!(links, Some(Granted::Actions { transfer, .. }) if transfer.href.path() == "/media/x"));
        assert!(matches!(read(r#"{"oid":"OID","size":1}"#), Some(Granted::Nothing)));
        let refused = read(r#"{"oid":"OID","error":{"code":410,"message":"gone"}}"#);
        assert!(matches!(refused, Some(Granted::Refused { code: 410, said }) if said == "gone"));
        assert!(read(r#"{"oid":"of nobody"}"#).is_none());
        assert!(read(r#"{"oid":7},{"oid":"OID"}"#).is_some(), "one malformed entry costs no other");
        let newline =
            read(r#"{"oid":"OID","actions":{"download":{"href":"https://m/","header":{"A":"b\r\nHost: c"}}}}"#);
        assert!(matches!(newline, Some(Granted::Refused { code: 0, .. })), "{newline:?}");
    }

    #[test]
    fn an_answer_for_something_else_is_none() {
        let base: Url = "https://github.com/".parse().unwrap();
        for body in ["", "<html>", r#"{"transfer":"ssh"}"#, r#"{"hash_algo":"sha512"}"#] {
            assert!(parse(body.as_bytes(), Operation::Download, (&base, Utc::now())).is_err(), "{body}");
        }
    }

    #[test]
    fn an_address_is_a_secret() {
        let granted = read(r#"{"oid":"OID","actions":{"download":{"href":"https://media/x?token=SECRET"}}}"#);
        assert!(!format!("{granted:?}").contains("SECRET"));
    }
}
