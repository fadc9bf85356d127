//! Values for what the model does not know, made from the type alone: null where it may be null, else nothing much.

use apollo_compiler::schema::{ExtendedType, Type};
use apollo_compiler::{Name, Schema};
use serde_json::{Value, json};

use super::thing::{Found, Thing};

/// Returns a neutral value of a type.
pub(super) fn value(schema: &Schema, ty: &Type) -> Found {
    let name = ty.inner_named_type();
    if !ty.is_list() && name.ends_with("Connection") {
        return Found::Items(Vec::new());
    }
    if !ty.is_non_null() {
        return Found::Leaf(Value::Null);
    }
    if ty.is_list() {
        return Found::List(Vec::new());
    }
    match schema.types.get(name) {
        Some(ExtendedType::Enum(kinds)) => Found::Leaf(kinds.values.keys().next().map(Name::as_str).into()),
        Some(ExtendedType::Object(_)) => Found::Thing(Thing::Neutral(name.to_string())),
        Some(ExtendedType::Union(union)) => {
            Found::thing(union.members.first().map(|member| Thing::Neutral(member.to_string())))
        }
        Some(ExtendedType::Interface(_)) => {
            let mut objects = schema.types.values().filter_map(ExtendedType::as_object);
            let object = objects.find(|object| object.implements_interfaces.contains(name));
            Found::thing(object.map(|object| Thing::Neutral(object.name.to_string())))
        }
        _ => Found::Leaf(scalar(name)),
    }
}

fn scalar(name: &str) -> Value {
    match name {
        "Int" | "Float" => json!(0),
        "Boolean" => json!(false),
        "BigInt" => json!("0"),
        "DateTime" | "PreciseDateTime" | "GitTimestamp" => json!("2020-01-01T00:00:00Z"),
        "Date" => json!("2020-01-01"),
        "GitObjectID" => json!("0".repeat(40)),
        "URI" => json!("http://localhost/"),
        _ => json!(""),
    }
}

/// Returns the type of a connection's edges.
pub(super) fn edge_type(schema: &Schema, connection: &str) -> String {
    let edges = schema.get_object(connection).and_then(|object| object.fields.get("edges"));
    edges.map(|edges| edges.ty.inner_named_type().to_string()).unwrap_or_default()
}
