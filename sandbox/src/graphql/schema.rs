//! GitHub's schema, read once for the process and only if anybody asks.

use std::sync::LazyLock;

use apollo_compiler::validation::Valid;
use apollo_compiler::{ExecutableDocument, Schema};

static SCHEMA: LazyLock<Valid<Schema>> = LazyLock::new(|| {
    let text = include_str!("../../graphql/schema.graphql");
    // GitHub's text defines two fields twice, which is an error; the first definition of each counts.
    let schema = Schema::parse(text, "schema.graphql").unwrap_or_else(|incomplete| incomplete.partial);
    Valid::assume_valid(schema)
});

/// Returns the schema.
pub(super) fn schema() -> &'static Valid<Schema> {
    &SCHEMA
}

/// Returns what GitHub would find wrong with a query, whatever it is asked about.
pub fn query_errors(query: &str) -> Vec<String> {
    match ExecutableDocument::parse_and_validate(schema(), query, "query") {
        Ok(_) => Vec::new(),
        Err(invalid) => invalid.errors.iter().map(|error| error.to_string()).collect(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::schema;

    #[test]
    fn the_schema_has_what_the_model_has() {
        let start = Instant::now();
        let schema = schema();
        println!("read in {:?}", start.elapsed());
        for kind in ["Query", "Repository", "Issue", "PullRequest", "PullRequestReviewThread", "CrossReferencedEvent"] {
            assert!(schema.get_object(kind).is_some(), "{kind}");
        }
    }
}
