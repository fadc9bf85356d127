//! What GitHub is asked, held against what it publishes, and how often.

use std::collections::BTreeSet;
use std::path::Path;

use ghbk_sandbox::{GenerateIssues, generate_issues};
use serde_json::Value;

use super::Kept;

/// GitHub ignores a parameter that it does not know, and then gives something else than was meant.
#[test]
fn every_question_is_in_github_s_published_description() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("sandbox/openapi/node_modules/@octokit/openapi/generated/api.github.com.json");
    let Ok(text) = std::fs::read(&path) else {
        assert!(std::env::var_os("GHBK_TEST_REQUIRE_ALL").is_none(), "run scripts/test, which installs it");
        eprintln!("skipped: run scripts/test, which installs GitHub's description");
        return;
    };
    let description: Value = serde_json::from_slice(&text).unwrap();
    let kept = Kept::new();
    let tracker = kept.world.sandbox.tracker("acme/site");
    tracker.open_issue("It breaks", "");
    let comment = tracker.comment(1, "Yes.");
    tracker.open_pull("Mend it", "", "mend", "main");
    tracker.review_comment(2, "src/lib.rs", 3, "Why?");
    kept.back_up();
    kept.world.sandbox.advance_clock(std::time::Duration::from_hours(24));
    tracker.delete_comment(comment);
    tracker.open_issue("Another", "");
    tracker.delete_issue(1);
    tracker.comment(3, "Next.");
    kept.back_up();
    let mut asked = BTreeSet::new();
    for request in kept.world.sandbox.requests() {
        let Some(rest) = request.path.strip_prefix("/api/v3/repos/acme/site/") else { continue };
        let template = rest
            .split('/')
            .map(|part| if part.parse::<u64>().is_ok() { "{issue_number}" } else { part })
            .collect::<Vec<_>>()
            .join("/");
        let operation = &description["paths"][format!("/repos/{{owner}}/{{repo}}/{template}")]["get"];
        assert!(operation.is_object(), "{template} is not described");
        let parameters =
            operation["parameters"].as_array().unwrap().iter().map(|parameter| match parameter["$ref"].as_str() {
                Some(named) => &description["components"]["parameters"][named.rsplit('/').next().unwrap()],
                None => parameter,
            });
        let known: BTreeSet<&str> = parameters.filter_map(|parameter| parameter["name"].as_str()).collect();
        for parameter in request.query.split('&').filter(|it| !it.is_empty()).filter_map(|it| it.split('=').next()) {
            // Addresses of next pages are GitHub's own.
            assert!(known.contains(parameter), "{template} does not know {parameter}");
        }
        asked.insert(template);
    }
    let expected =
        ["issues", "issues/comments", "issues/{issue_number}", "labels", "milestones", "pulls", "pulls/comments"];
    assert_eq!(asked.iter().map(String::as_str).collect::<Vec<_>>(), expected);
}

/// python-github-backup asks three times for each issue and five times for each pull request.
#[test]
fn a_thousand_issues_take_a_few_dozen_questions() {
    let kept = Kept::new();
    let description = GenerateIssues {
        repository: "acme/site".to_owned(),
        issues: 900,
        pulls: 100,
        comments_per_item: 2,
        reviews_per_pull: 1,
        seed: 7,
    };
    generate_issues(kept.world.sandbox.repositories(), &description).unwrap();
    kept.back_up();
    kept.assert_equals_the_model();
    let requests = kept.world.sandbox.requests();
    let rest = requests.iter().filter(|request| request.path.starts_with("/api/v3/repos/acme/site/")).count();
    let graphql = requests.iter().filter(|request| request.path.ends_with("/graphql")).count();
    // 10 pages of issues, 20 of comments, and one or two of everything else.
    assert!(rest <= 40, "{rest}");
    // 18 of issues, 4 of pull requests, 5 of threads, and the probe.
    assert!(graphql <= 30, "{graphql}");
    kept.world.sandbox.clear_requests();
    kept.world.sandbox.advance_clock(std::time::Duration::from_hours(24 * 7));
    kept.world.sandbox.tracker("acme/site").comment(5, "New.");
    kept.back_up();
    kept.assert_equals_the_model();
    let requests = kept.world.sandbox.requests();
    let asked =
        requests.iter().filter(|it| it.path.starts_with("/api/v3/repos/acme/site/") || it.path.ends_with("/graphql"));
    let asked = asked.count();
    // 10 pages of issues, one of everything else, and what is asked to tell whether something is new.
    assert!(asked <= 26, "{asked}");
}
