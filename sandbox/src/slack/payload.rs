//! What Slack allows in a message: the shape by JSON schema, the lengths by its documentation ("Reference: blocks").

use jsonschema::Validator;
use serde_json::Value;

/// Made from the TypeScript types of `@slack/types`; see `slack/README.md`.
const SCHEMA: &str = include_str!("../../slack/payload.schema.json");

/// How many blocks a message holds.
const BLOCKS: usize = 50;
/// How many characters a section's text holds.
const SECTION_TEXT: usize = 3000;
/// How many fields a section holds.
const SECTION_FIELDS: usize = 10;
/// How many characters a field holds.
const FIELD_TEXT: usize = 2000;
/// How many characters a header holds.
const HEADER_TEXT: usize = 150;
/// How many elements a context holds.
const CONTEXT_ELEMENTS: usize = 10;
/// How many characters the text of a message holds before Slack cuts it off.
const MESSAGE_TEXT: usize = 40_000;
/// How large a whole message of ours may be: long ones are nobody's reading, and Slack has refused smaller ones.
const WHOLE: usize = 10_000;

/// Holds the compiled schema.
pub(super) struct Rules {
    schema: Validator,
}

impl Rules {
    /// Compiles the schema.
    pub(super) fn load() -> Self {
        let schema: Value = serde_json::from_str(SCHEMA).expect("the committed schema is JSON");
        Self { schema: jsonschema::validator_for(&schema).expect("the committed schema is a valid schema") }
    }

    /// Lists everything that is wrong with a message.
    pub(super) fn problems(&self, body: &Value) -> Vec<String> {
        let mut problems: Vec<_> =
            self.schema.iter_errors(body).map(|error| format!("{}: {error}", error.instance_path())).collect();
        problems.extend(block_lengths(body));
        let text = body["text"].as_str().map_or(0, characters);
        if text > MESSAGE_TEXT {
            problems.push(format!("/text: {text} characters, {MESSAGE_TEXT} allowed"));
        }
        let whole = body.to_string().len();
        if whole > WHOLE {
            problems.push(format!("the whole message: {whole} bytes, {WHOLE} wanted"));
        }
        problems
    }

    /// Tells whether Slack would refuse the blocks.
    pub(super) fn breaks_blocks(&self, body: &Value) -> bool {
        let in_blocks = |path: &str| path.starts_with("/blocks");
        self.schema.iter_errors(body).any(|error| in_blocks(error.instance_path().as_str()))
            || !block_lengths(body).is_empty()
    }
}

/// Lists the blocks that are too long or too many.
fn block_lengths(body: &Value) -> Vec<String> {
    let mut problems = Vec::new();
    let mut check = |place: String, unit: &str, actual: usize, allowed: usize| {
        if actual > allowed {
            problems.push(format!("{place}: {actual} {unit}, {allowed} allowed"));
        }
    };
    let blocks = body["blocks"].as_array().map_or(&[][..], Vec::as_slice);
    check("/blocks".to_owned(), "blocks", blocks.len(), BLOCKS);
    for (index, block) in blocks.iter().enumerate() {
        let place = format!("/blocks/{index}");
        let text = block["text"]["text"].as_str().map_or(0, characters);
        match block["type"].as_str() {
            Some("section") => {
                check(format!("{place}/text"), "characters", text, SECTION_TEXT);
                let fields = block["fields"].as_array().map_or(&[][..], Vec::as_slice);
                check(format!("{place}/fields"), "fields", fields.len(), SECTION_FIELDS);
                for (number, field) in fields.iter().enumerate() {
                    let text = field["text"].as_str().map_or(0, characters);
                    check(format!("{place}/fields/{number}"), "characters", text, FIELD_TEXT);
                }
            }
            Some("header") => check(format!("{place}/text"), "characters", text, HEADER_TEXT),
            Some("context") => {
                let elements = block["elements"].as_array().map_or(0, Vec::len);
                check(format!("{place}/elements"), "elements", elements, CONTEXT_ELEMENTS);
            }
            _ => {}
        }
    }
    problems
}

/// Counts as Slack does.
fn characters(text: &str) -> usize {
    text.chars().count()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::Rules;

    fn section(length: usize) -> Value {
        json!({"type": "section", "text": {"type": "mrkdwn", "text": "x".repeat(length)}})
    }

    fn problems(body: &Value) -> Vec<String> {
        Rules::load().problems(body)
    }

    #[test]
    fn an_ordinary_message_has_no_problems() {
        let body = json!({
            "text": "3 repositories",
            "blocks": [
                {"type": "header", "text": {"type": "plain_text", "text": "Backup"}},
                section(3000),
                {"type": "section", "fields": [{"type": "mrkdwn", "text": "*new*"}]},
                {"type": "divider"},
                {"type": "context", "elements": [{"type": "mrkdwn", "text": "run 7"}]},
            ],
        });
        assert_eq!(problems(&body), Vec::<String>::new());
    }

    #[test]
    fn every_limit_is_checked() {
        let field = json!({"type": "mrkdwn", "text": "x".repeat(2001)});
        let body = json!({
            "text": "t",
            "blocks": [
                {"type": "header", "text": {"type": "plain_text", "text": "x".repeat(151)}},
                section(3001),
                {"type": "section", "fields": vec![field; 11]},
                {"type": "context", "elements": vec![json!({"type": "mrkdwn", "text": "x"}); 11]},
            ],
        });
        let found = problems(&body).join("\n");
        for place in [
            "/blocks/0/text: 151",
            "/blocks/1/text: 3001",
            "/blocks/2/fields: 11",
            "/blocks/2/fields/10: 2001",
            "/blocks/3/elements: 11",
            "the whole message",
        ] {
            assert!(found.contains(place), "{place} is missing in:\n{found}");
        }
        let many = json!({"text": "t", "blocks": vec![json!({"type": "divider"}); 51]});
        assert_eq!(problems(&many), ["/blocks: 51 blocks, 50 allowed"]);
    }

    #[test]
    fn the_shape_is_checked() {
        assert!(!problems(&json!({"text": 7})).is_empty());
        assert!(!problems(&json!({"text": "t", "blocks": [{"type": "section", "texts": "x"}]})).is_empty());
        assert!(!problems(&json!({"text": "t", "channel_nme": "x"})).is_empty());
    }
}
