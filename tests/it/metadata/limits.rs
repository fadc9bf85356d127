//! Long lists, and GitHub's limits on both APIs.

use ghbk_sandbox::{GenerateIssues, GraphqlLimits, Options, generate_issues};

use super::Kept;
use crate::world::World;

fn generated(options: impl FnOnce(Options) -> Options) -> Kept {
    let world = World::with(options);
    world.add("acme/site");
    let description = GenerateIssues {
        repository: "acme/site".to_owned(),
        issues: 250,
        pulls: 50,
        comments_per_item: 2,
        reviews_per_pull: 2,
        seed: 3,
    };
    generate_issues(world.sandbox.repositories(), &description).unwrap();
    Kept { world }
}

/// GitHub refuses pages beyond 10,000 issues and 30,000 comments.
#[test]
fn no_list_is_too_long() {
    let kept = generated(|options| Options { issue_page_limit: 100, comment_page_limit: 100, ..options });
    kept.back_up();
    kept.assert_equals_the_model();
}

#[test]
fn a_query_that_is_too_large_is_made_smaller() {
    let kept = generated(|options| options);
    kept.world.sandbox.limit_graphql(GraphqlLimits { timeout_above: Some(12), ..GraphqlLimits::default() });
    kept.back_up();
    kept.assert_equals_the_model();
    let kept = generated(|options| options);
    kept.world.sandbox.limit_graphql(GraphqlLimits { resources_above: Some(3), ..GraphqlLimits::default() });
    kept.back_up();
    kept.assert_equals_the_model();
}

/// The limit comes with status 200, and says when it ends.
#[test]
fn a_graphql_limit_that_lasts_longer_than_a_run_may_wait_is_a_failure_with_a_name() {
    let kept = generated(|options| options);
    kept.world.sandbox.limit_graphql(GraphqlLimits { rate_limited: 100, ..GraphqlLimits::default() });
    let mut command = kept.ghbk(&["run", "--json"]);
    let ended = crate::world::finish(command.env("GHBK_LIMITS__RATE_LIMIT_WAIT", "1s")).expect(1);
    let failures = ended.json()["failures"].to_string();
    assert!(failures.contains("rate limit"), "{failures}");
}

#[test]
fn a_thing_that_graphql_cannot_read_costs_only_itself() {
    let kept = generated(|options| options);
    kept.back_up();
    let id = kept.file(5)["issue"]["node_id"].as_str().unwrap().to_owned();
    let tracker = kept.world.sandbox.tracker("acme/site");
    tracker.comment(5, "New.");
    tracker.comment(6, "New.");
    kept.world.sandbox.limit_graphql(GraphqlLimits { unreadable: Some(id), ..GraphqlLimits::default() });
    let summary = kept.run(&["run", "--json"]).expect(1).json();
    assert!(summary["failures"].to_string().contains("1 number (#5)"), "{summary:#}");
    assert_eq!(kept.file(5)["comments"].as_array().unwrap().last().unwrap()["body"], "New.");
    kept.world.sandbox.limit_graphql(GraphqlLimits::default());
    kept.back_up();
    kept.assert_equals_the_model();
}
