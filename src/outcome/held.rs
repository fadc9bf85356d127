//! What is known of a mirror without opening it, and how records and the index write it: as fields of its repository, named
//! after the mirror (`head`, `wiki_head`, `packs`, `wiki_packs`).

use serde::{Deserialize, Deserializer, Serializer};
use serde_json::{Map, Value};

use crate::git::pack::list::PackList;
use crate::mirrors::{MirrorKind, PerMirror};

/// What is known of one mirror.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, Deserialize)]
pub struct Held {
    /// The content of HEAD, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<String>,
    /// Its packs: in the index, as the last run left them, if known; in an outcome, if they differ from those in the index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub packs: Option<PackList>,
}

type Fields = Map<String, Value>;

const HEAD: &str = "head";
const PACKS: &str = "packs";

fn to_fields<E: serde::ser::Error>(held: &PerMirror<Held>) -> Result<Fields, E> {
    let mut fields = Fields::new();
    for (kind, Held { head, packs }) in held {
        // A mirror whose HEAD is not known is there all the same.
        fields.insert(kind.field(HEAD), head.clone().unwrap_or_default().into());
        if let Some(packs) = packs {
            fields.insert(kind.field(PACKS), serde_json::to_value(packs).map_err(E::custom)?);
        }
    }
    Ok(fields)
}

/// Reads the fields of one mirror; none if no HEAD is given.
fn from_fields(fields: &mut Fields, kind: MirrorKind) -> Result<Option<Held>, serde_json::Error> {
    let mut take = |name| fields.remove(&kind.field(name)).filter(|value| !value.is_null());
    let packs = take(PACKS).map(serde_json::from_value).transpose()?;
    let head: Option<String> = take(HEAD).map(serde_json::from_value).transpose()?;
    Ok(head.map(|head| Held { head: Some(head).filter(|head| !head.is_empty()), packs }))
}

fn all_from_fields<E: serde::de::Error>(mut fields: Fields) -> Result<PerMirror<Held>, E> {
    let mut all = PerMirror::new();
    for kind in MirrorKind::ALL {
        all.extend(from_fields(&mut fields, kind).map_err(E::custom)?.map(|held| (kind, held)));
    }
    Ok(all)
}

/// In an outcome, there is a mirror if its HEAD is given.
pub(super) mod in_outcome {
    use super::{Deserialize, Deserializer, Fields, Held, PerMirror, Serializer, all_from_fields, to_fields};

    pub(in crate::outcome) fn serialize<S: Serializer>(held: &PerMirror<Held>, to: S) -> Result<S::Ok, S::Error> {
        to.collect_map(to_fields(held)?)
    }

    pub(in crate::outcome) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<PerMirror<Held>, D::Error> {
        all_from_fields(Fields::deserialize(from)?)
    }
}

/// In the index, the code has a mirror even if its HEAD is not known, unless a field says that it has none.
pub mod in_index {
    use super::{
        Deserialize, Deserializer, Fields, HEAD, Held, MirrorKind, PerMirror, Serializer, Value, all_from_fields,
        to_fields,
    };

    const WITHOUT_CODE: &str = "wiki_only";

    /// Writes what is known of mirrors.
    ///
    /// # Errors
    /// What the serializer says.
    pub fn serialize<S: Serializer>(held: &PerMirror<Held>, to: S) -> Result<S::Ok, S::Error> {
        let mut fields = to_fields(held)?;
        // Every version of ghbk has written these.
        for kind in MirrorKind::OF_GIT_SERVER {
            fields.entry(kind.field(HEAD)).or_insert(Value::Null);
        }
        match held.get(&MirrorKind::Code) {
            None => fields.insert(WITHOUT_CODE.to_owned(), true.into()),
            Some(code) => fields.insert(MirrorKind::Code.field(HEAD), code.head.clone().into()),
        };
        to.collect_map(fields)
    }

    /// Reads what [`serialize`] or an older version of ghbk wrote.
    ///
    /// # Errors
    /// A field that is not as it should be.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<PerMirror<Held>, D::Error> {
        let mut fields = Fields::deserialize(from)?;
        let head = MirrorKind::Code.field(HEAD);
        if fields.get(WITHOUT_CODE) == Some(&Value::Bool(true)) {
            fields.remove(&head);
        } else if fields.get(&head).is_none_or(Value::is_null) {
            fields.insert(head, "".into());
        }
        all_from_fields(fields)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[derive(serde::Serialize, serde::Deserialize)]
    struct Outcome {
        #[serde(flatten, with = "in_outcome")]
        held: PerMirror<Held>,
    }

    #[derive(serde::Serialize, serde::Deserialize)]
    struct Indexed {
        #[serde(flatten, with = "in_index")]
        held: PerMirror<Held>,
    }

    fn heads(held: &PerMirror<Held>) -> Vec<(&'static str, Option<&str>, bool)> {
        held.iter().map(|(kind, held)| (kind.label(), held.head.as_deref(), held.packs.is_some())).collect()
    }

    /// Every version of ghbk has written the index like this, and so does this one.
    #[test]
    fn an_index_is_read_and_written_as_ever() {
        let packs = json!(["0123456789abcdef0123456789abcdef01234567 100 200"]);
        let main = "ref: refs/heads/main";
        for (text, expected) in [
            (json!({"head": null, "wiki_head": null}), vec![("code", None, false)]),
            (json!({"head": main, "wiki_head": null}), vec![("code", Some(main), false)]),
            (
                json!({"head": main, "wiki_head": "", "packs": packs}),
                vec![("code", Some(main), true), ("wiki", None, false)],
            ),
            (json!({"head": null, "wiki_head": null, "packs": packs}), vec![("code", None, true)]),
            (
                json!({"head": null, "wiki_head": main, "wiki_packs": packs, "wiki_only": true}),
                vec![("wiki", Some(main), true)],
            ),
        ] {
            let read: Indexed = serde_json::from_value(text.clone()).unwrap();
            assert_eq!(heads(&read.held), expected, "{text}");
            assert_eq!(serde_json::to_value(read).unwrap(), text);
        }
        let others = json!({"head": main, "later_head": main, "wiki_only": false, "something": {"else": 7}});
        assert_eq!(heads(&serde_json::from_value::<Indexed>(others).unwrap().held), [("code", Some(main), false)]);
    }

    #[test]
    fn an_outcome_has_the_mirrors_whose_head_it_gives() {
        let main = "ref: refs/heads/main";
        for (text, expected) in [
            (json!({}), vec![]),
            (json!({"head": main}), vec![("code", Some(main), false)]),
            (json!({"wiki_head": ""}), vec![("wiki", None, false)]),
        ] {
            let read: Outcome = serde_json::from_value(text.clone()).unwrap();
            assert_eq!(heads(&read.held), expected, "{text}");
            assert_eq!(serde_json::to_value(read).unwrap(), text);
        }
        assert!(serde_json::from_value::<Outcome>(json!({"head": 7})).is_err());
    }
}
