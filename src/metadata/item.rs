//! The parts of one number's file, an issue or a pull request. Pure.
//!
//! Values stay values: whatever GitHub adds is kept. Only what decides something is looked at.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::canonical::to_bytes;

/// The member that ghbk itself adds to what GitHub gave.
const OWN: &str = "ghbk";
const GONE: &str = "gone";
const INCOMPLETE: &str = "incomplete";

/// How something left GitHub.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum How {
    /// GitHub says that it was deleted, or no longer lists it among its kind.
    Deleted,
    /// It belongs to another repository now, as `OWNER/NAME#NUMBER`.
    Transferred(String),
    /// GitHub says neither that it is there nor that it is gone.
    Unreadable,
}

/// Marks something as gone, unless it is marked already.
pub(super) fn mark_gone(thing: &mut Value, how: &How, now: DateTime<Utc>) {
    if is_gone(thing) {
        return;
    }
    let Some(members) = thing.as_object_mut() else { return };
    let own = members.entry(OWN).or_insert_with(|| json!({}));
    own[GONE] = now.to_rfc3339_opts(SecondsFormat::Secs, true).into();
    own["how"] = match how {
        How::Deleted => "deleted",
        How::Transferred(_) => "transferred",
        How::Unreadable => "unreadable",
    }
    .into();
    if let How::Transferred(to) = how {
        own["to"] = to.as_str().into();
    }
}

pub(super) fn is_gone(thing: &Value) -> bool {
    thing.get(OWN).is_some_and(|own| own.get(GONE).is_some())
}

/// Takes back that something is gone: GitHub shows it again.
fn unmark(file: &mut Map<String, Value>) {
    let Some(own) = file.get_mut(OWN).and_then(Value::as_object_mut) else { return };
    for member in [GONE, "how", "to"] {
        own.remove(member);
    }
    if own.is_empty() {
        file.remove(OWN);
    }
}

/// Notes that some of it could not be fetched, or that all of it is there.
pub(super) fn note_incomplete(file: &mut Value, is_incomplete: bool) {
    let Some(members) = file.as_object_mut() else { return };
    if is_incomplete {
        members.entry(OWN).or_insert_with(|| json!({}))[INCOMPLETE] = true.into();
    } else if let Some(own) = members.get_mut(OWN).and_then(Value::as_object_mut) {
        own.remove(INCOMPLETE);
        if own.is_empty() {
            members.remove(OWN);
        }
    }
}

pub(super) fn is_incomplete(file: &Value) -> bool {
    file.get(OWN).and_then(|own| own.get(INCOMPLETE)) == Some(&Value::Bool(true))
}

/// Sets a member to what GitHub shows now.
pub(super) fn set(file: &mut Value, member: &str, value: Value) {
    let Some(members) = file.as_object_mut() else { return };
    if member == "issue" {
        unmark(members);
    }
    members.insert(member.to_owned(), value);
}

/// Adds to a list what GitHub shows now. If that is all it has, what it no longer shows is marked as gone.
pub(super) fn merge(file: &mut Value, member: &str, new: Vec<Value>, is_all: bool, now: DateTime<Utc>) {
    let Some(members) = file.as_object_mut() else { return };
    let old = match members.remove(member) {
        Some(Value::Array(old)) => old,
        _ => Vec::new(),
    };
    members.insert(member.to_owned(), Value::Array(merged(old, new, is_all, now)));
}

/// Merges a list that is stored with one that came.
pub(super) fn merged(old: Vec<Value>, new: Vec<Value>, is_all: bool, now: DateTime<Utc>) -> Vec<Value> {
    // The last one counts: a list may show a thing before and after it changed.
    let mut places: HashMap<String, usize> = HashMap::new();
    let mut list: Vec<Value> = Vec::with_capacity(old.len().max(new.len()));
    for thing in new {
        if let Some(place) = places.get(&key(&thing)) {
            list[*place] = thing;
        } else {
            places.insert(key(&thing), list.len());
            list.push(thing);
        }
    }
    // What only the store has keeps its place after what it followed.
    let mut after: Vec<Vec<Value>> = vec![Vec::new(); list.len() + 1];
    let mut place = 0;
    for mut thing in old {
        if let Some(known) = places.get(&key(&thing)) {
            place = known + 1;
            continue;
        }
        if is_all {
            mark_gone(&mut thing, &How::Deleted, now);
        }
        after[place].push(thing);
    }
    let mut all = after[0].split_off(0);
    for (thing, more) in list.into_iter().zip(after.into_iter().skip(1)) {
        all.push(thing);
        all.extend(more);
    }
    if all.iter().all(|thing| id(thing).is_some()) {
        all.sort_by_key(id);
    }
    all
}

/// Returns the number by which REST knows a thing.
pub(super) fn id(thing: &Value) -> Option<u64> {
    thing.get("id").and_then(Value::as_u64)
}

/// Returns what tells a thing from others of its list.
fn key(thing: &Value) -> String {
    match thing.get("id") {
        Some(Value::String(id)) => id.clone(),
        Some(id) => id.to_string(),
        // Such as a marker in a timeline.
        None => thing.to_string(),
    }
}

/// Lists what is in a list and not gone.
pub(super) fn live<'a>(file: &'a Value, member: &str) -> impl Iterator<Item = &'a Value> {
    file.get(member).and_then(Value::as_array).into_iter().flatten().filter(|thing| !is_gone(thing))
}

/// Returns a number that differs for different contents.
pub(super) fn fingerprint(value: &Value) -> u64 {
    let mut hasher = DefaultHasher::new();
    to_bytes(value).hash(&mut hasher);
    hasher.finish()
}

/// Returns a text member, or an empty text.
pub(super) fn text<'a>(thing: &'a Value, member: &str) -> &'a str {
    thing.get(member).and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn now() -> DateTime<Utc> {
        "2026-11-27T10:00:00Z".parse().unwrap()
    }

    fn ids(list: &[Value]) -> Vec<(u64, bool)> {
        list.iter().map(|thing| (id(thing).unwrap(), is_gone(thing))).collect()
    }

    #[test]
    fn what_github_no_longer_shows_stays_and_is_marked() {
        let old = vec![json!({"id": 1, "body": "a"}), json!({"id": 2}), json!({"id": 3})];
        let new = vec![json!({"id": 4}), json!({"id": 1, "body": "b"})];
        let some = merged(old.clone(), new.clone(), false, now());
        assert_eq!(ids(&some), [(1, false), (2, false), (3, false), (4, false)]);
        assert_eq!(some[0]["body"], "b");
        let all = merged(old, new, true, now());
        assert_eq!(ids(&all), [(1, false), (2, true), (3, true), (4, false)]);
        assert_eq!(all[1]["ghbk"], json!({"gone": "2026-11-27T10:00:00Z", "how": "deleted"}));
        // The time at which it was missed first stays, and what is shown again is no longer gone.
        let later = "2026-12-27T10:00:00Z".parse().unwrap();
        let again = merged(all, vec![json!({"id": 3})], true, later);
        assert_eq!(ids(&again), [(1, true), (2, true), (3, false), (4, true)]);
        assert_eq!(again[1]["ghbk"]["gone"], "2026-11-27T10:00:00Z");
    }

    #[test]
    fn a_timeline_keeps_its_order() {
        let event = |id: &str| json!({"id": id});
        let old = ["a", "b", "c", "d"].map(event).to_vec();
        let new = ["a", "c", "e"].map(event).to_vec();
        let order: Vec<String> = merged(old, new, true, now()).iter().map(|it| text(it, "id").to_owned()).collect();
        assert_eq!(order, ["a", "b", "c", "d", "e"]);
    }

    #[test]
    fn a_number_that_is_shown_again_is_no_longer_gone() {
        let mut file = json!({"issue": {"number": 7}});
        mark_gone(&mut file, &How::Transferred("acme/other#3".to_owned()), now());
        note_incomplete(&mut file, true);
        assert!(is_gone(&file) && is_incomplete(&file) && file["ghbk"]["to"] == "acme/other#3");
        set(&mut file, "issue", json!({"number": 7}));
        assert!(!is_gone(&file) && is_incomplete(&file));
        note_incomplete(&mut file, false);
        assert_eq!(file, json!({"issue": {"number": 7}}));
    }

    proptest! {
        #[test]
        fn merging_loses_nothing_and_settles(old in proptest::collection::vec(0u64..20, 0..12), new in proptest::collection::vec(0u64..20, 0..12), is_all: bool) {
            let things = |ids: &[u64]| ids.iter().map(|id| json!({"id": id})).collect::<Vec<_>>();
            let first = merged(Vec::new(), things(&old), true, now());
            let second = merged(first, things(&new), is_all, now());
            for id in old.iter().chain(&new) {
                prop_assert!(second.iter().any(|thing| super::id(thing) == Some(*id)));
            }
            for thing in second.iter().filter(|thing| is_gone(thing)) {
                prop_assert!(is_all && !new.contains(&super::id(thing).unwrap()));
            }
            prop_assert_eq!(merged(second.clone(), things(&new), is_all, now()), second);
        }
    }
}
