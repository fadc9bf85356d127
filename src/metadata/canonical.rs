//! The form in which GitHub's JSON is stored: the same content always gives the same bytes. Pure.
//!
//! Answers are kept as values, not as structs: a field that GitHub adds tomorrow is backed up tomorrow. What is dropped is on a
//! written list, [`Dropped`]. What a newcomer would get wrong: a repository object holds a live token for private repositories
//! (`temp_clone_token`), so answers must never be stored as they come.

use serde_json::{Map, Value};

/// Why a field is not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Dropped {
    /// A token that opens something.
    Secret,
    /// An address on GitHub that follows from ids and names.
    Address,
    /// A count or a time that changes by itself, or that another list states.
    Flapping,
    /// A second rendering of a text that is stored, with addresses that expire.
    Rendering,
    /// What GitHub says of a user everywhere, beside id, login and kind.
    OfUser,
}

/// Live tokens. Source: GitHub's OpenAPI description, "Repository", and the GraphQL schema.
const SECRETS: &[&str] = &["temp_clone_token", "tempCloneToken"];

/// Renderings. Source: GitHub's documentation, "Media types".
const RENDERINGS: &[&str] = &["body_html", "body_text", "bodyHTML", "bodyText", "description_html"];

/// What changes without anybody's doing, wherever it stands.
const FLAPPING: &[&str] = &[
    "download_count",
    "last_response",
    "last_used",
    "mentions_count",
    "mergeable",
    "mergeable_state",
    "rebaseable",
    "score",
];

/// What changes by itself in the description of a repository.
const FLAPPING_OF_REPOSITORIES: &[&str] = &[
    "forks",
    "forks_count",
    "network_count",
    "open_issues",
    "open_issues_count",
    "pushed_at",
    "size",
    "stargazers_count",
    "subscribers_count",
    "updated_at",
    "watchers",
    "watchers_count",
];

const OF_USERS: &[&str] = &["gravatar_id", "site_admin", "user_view_type"];

/// Addresses that say something which is nowhere else.
const TELLING_ADDRESSES: &[&str] = &["parent_issue_url", "target_url", "details_url", "log_url", "environment_url"];

/// The hosts of GitHub's own addresses, and the beginnings of those for git.
const GITHUB: &[&str] = &[
    "https://api.github.com/",
    "https://github.com/",
    "https://uploads.github.com/",
    "https://avatars.githubusercontent.com/",
    "https://raw.githubusercontent.com/",
    "git://github.com/",
    "git@github.com:",
    "git:github.com/",
    "http://github.com/",
];

/// Tells what is dropped, and where GitHub's own addresses lead.
#[derive(Clone, Debug)]
pub struct Canonical {
    hosts: Vec<String>,
}

impl Canonical {
    /// For the GitHub whose addresses begin like this, such as `https://ghe.example.com/`; GitHub's own are always known.
    pub fn new(hosts: impl IntoIterator<Item = String>) -> Self {
        Self { hosts: GITHUB.iter().map(|host| (*host).to_owned()).chain(hosts).collect() }
    }

    /// Puts an answer into the form in which it is stored.
    #[must_use]
    pub fn form(&self, value: Value) -> Value {
        match value {
            Value::Array(items) => {
                let mut items: Vec<Value> = items.into_iter().map(|item| self.form(item)).collect();
                sort_by_id(&mut items);
                Value::Array(items)
            }
            Value::Object(members) => {
                let kind = Description::of(&members);
                let kept = members.into_iter().filter(|(key, value)| self.dropped(kind, key, value).is_none());
                Value::Object(kept.map(|(key, value)| (key, self.form(value))).collect())
            }
            plain => plain,
        }
    }

    /// Says why a member of an object is not stored; none if it is.
    fn dropped(&self, of: Description, key: &str, value: &Value) -> Option<Dropped> {
        if SECRETS.contains(&key) {
            return Some(Dropped::Secret);
        }
        if RENDERINGS.contains(&key) {
            return Some(Dropped::Rendering);
        }
        if FLAPPING.contains(&key) || of == Description::Repository && FLAPPING_OF_REPOSITORIES.contains(&key) {
            return Some(Dropped::Flapping);
        }
        if of == Description::User && OF_USERS.contains(&key) {
            return Some(Dropped::OfUser);
        }
        let is_address = key == "_links" || self.is_own_address(key, value);
        (is_address && of != Description::Settings).then_some(Dropped::Address)
    }

    fn is_own_address(&self, key: &str, value: &Value) -> bool {
        let is_named_so = (key == "url" || key.ends_with("_url")) && !TELLING_ADDRESSES.contains(&key);
        is_named_so
            && match value {
                Value::String(address) => self.hosts.iter().any(|host| address.starts_with(host)),
                // What a repository or a user of its kind does not have.
                Value::Null => key != "url" && key != "mirror_url",
                _ => false,
            }
    }
}

/// What an object describes, as far as that decides what is dropped.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Description {
    Repository,
    User,
    /// Such as a webhook's `config`: its address is what a person wrote.
    Settings,
    Other,
}

impl Description {
    fn of(members: &Map<String, Value>) -> Self {
        let has = |key: &str| members.contains_key(key);
        if has("full_name") && has("fork") {
            Self::Repository
        } else if has("login") && has("id") {
            Self::User
        } else if has("content_type") && has("insecure_ssl") {
            Self::Settings
        } else {
            Self::Other
        }
    }
}

/// Sorts what has ids by them: GitHub gives sets, such as labels, in an order of its own.
fn sort_by_id(items: &mut [Value]) {
    let id = |item: &Value| item.get("id").and_then(Value::as_u64);
    if items.iter().all(|item| id(item).is_some()) {
        items.sort_by_key(id);
    }
}

/// Writes a value: keys sorted, indented by one space, with a line break at the end.
///
/// # Panics
/// Never: a value can always be written to memory.
pub fn to_bytes(value: &Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(b" ");
    let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, formatter);
    // `Map` is sorted by key unless a crate asks for another order; a test holds it.
    serde::Serialize::serialize(value, &mut serializer).expect("writing to memory does not fail");
    bytes.push(b'\n');
    bytes
}

/// Reads an answer. A half of a surrogate pair, which JSON allows and UTF-8 does not, is kept as the text of its escape.
///
/// # Errors
/// [`serde_json::Error`] if it is no JSON.
pub fn parse(bytes: &[u8]) -> serde_json::Result<Value> {
    serde_json::from_slice(bytes).or_else(|error| match spell_out_lone_surrogates(bytes) {
        Some(readable) => serde_json::from_slice(&readable),
        None => Err(error),
    })
}

/// Turns `\ud800` without its other half into `\\ud800`; none if there is no such escape.
fn spell_out_lone_surrogates(bytes: &[u8]) -> Option<Vec<u8>> {
    let unit = |at: usize| {
        let digits = bytes.get(at..at + 6).filter(|escape| escape.starts_with(b"\\u"))?.get(2..)?;
        u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
    };
    let (mut out, mut at, mut found) = (Vec::with_capacity(bytes.len()), 0, false);
    while at < bytes.len() {
        if bytes[at] != b'\\' {
            out.push(bytes[at]);
            at += 1;
            continue;
        }
        let length = match unit(at) {
            Some(0xd800..=0xdbff) if matches!(unit(at + 6), Some(0xdc00..=0xdfff)) => 12,
            Some(0xd800..=0xdfff) => {
                out.push(b'\\');
                found = true;
                6
            }
            Some(_) => 6,
            None => 2,
        };
        let end = bytes.len().min(at + length);
        out.extend_from_slice(&bytes[at..end]);
        at = end;
    }
    found.then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn form(value: Value) -> Value {
        Canonical::new(["https://ghe.example.com/".to_owned()]).form(value)
    }

    #[test]
    fn an_issue_is_stored_without_what_follows_from_it() {
        let issue = json!({
            "url": "https://api.github.com/repos/acme/site/issues/7",
            "html_url": "https://github.com/acme/site/issues/7",
            "parent_issue_url": "https://api.github.com/repos/acme/site/issues/3",
            "number": 7, "id": 12, "title": "It \u{202e}breaks", "body": null, "comments": 2,
            "labels": [{"id": 9, "name": "z"}, {"id": 2, "name": "a/b"}],
            "user": {"login": "ada", "id": 1, "type": "User", "site_admin": false, "gravatar_id": "",
                "avatar_url": "https://avatars.githubusercontent.com/u/1?v=4", "url": "https://ghe.example.com/api/v3/users/ada"},
            "a_field_of_tomorrow": {"url": "https://elsewhere.example/x"},
            "closed_by": null, "body_html": "<p>", "score": 1.0
        });
        insta::assert_snapshot!(String::from_utf8(to_bytes(&form(issue))).unwrap());
    }

    #[test]
    fn a_live_token_is_never_stored_and_a_hook_s_address_is() {
        let repository = json!({"id": 1, "full_name": "acme/site", "fork": false, "temp_clone_token": "secret", "size": 3,
            "pushed_at": "2026-11-27T00:00:00Z", "topics": ["b", "a"], "mirror_url": null, "homepage": "https://github.com/x"});
        let expected = json!({"id": 1, "full_name": "acme/site", "fork": false, "topics": ["b", "a"], "mirror_url": null,
            "homepage": "https://github.com/x"});
        assert_eq!(form(repository), expected);
        let hook = json!({"id": 5, "config": {"url": "https://github.com/hook", "content_type": "json", "insecure_ssl": "0"},
            "last_response": {"code": 200}});
        assert_eq!(form(hook)["config"]["url"], "https://github.com/hook");
        let asset = json!({"id": 5, "name": "a.zip", "size": 12, "download_count": 3, "state": "uploaded"});
        assert_eq!(form(asset), json!({"id": 5, "name": "a.zip", "size": 12, "state": "uploaded"}));
    }

    #[test]
    fn half_a_surrogate_pair_is_no_reason_to_lose_an_issue() {
        let parsed = parse(br#"{"a":"x\ud83d","b":"\ud83d\ude00","c":"\\ud800","d":"\udc00\ud800"}"#).unwrap();
        assert_eq!(parsed, json!({"a": "x\\ud83d", "b": "😀", "c": "\\ud800", "d": "\\udc00\\ud800"}));
        assert!(parse(b"{\"a\":").is_err());
    }

    proptest! {
        #[test]
        fn the_form_does_not_change_what_has_it(text in "\\PC{0,40}", number in any::<i64>()) {
            let once = form(json!({"b": [{"id": 2, "t": text}, {"id": 1}], "a": number, "url": text}));
            prop_assert_eq!(form(once.clone()), once.clone());
            prop_assert_eq!(parse(&to_bytes(&once)).unwrap(), once);
        }
    }
}
