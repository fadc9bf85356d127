//! Listings of issues, pull requests and comments: orders, cursors, caps, conditions and permissions.

use ghbk_sandbox::{GenerateIssues, Options, generate_issues};
use reqwest::header::{ETAG, IF_NONE_MATCH};
use serde_json::Value;

use crate::listing::next;
use crate::scene::{Scene, repository};

/// Returns a scene with generated issues, with caps that are low enough to meet.
fn scene() -> Scene {
    let fill = |folder: &std::path::Path| {
        repository(folder, "acme/site");
        let description = GenerateIssues {
            repository: "acme/site".to_owned(),
            issues: 30,
            pulls: 15,
            comments_per_item: 3,
            reviews_per_pull: 4,
            seed: 3,
        };
        generate_issues(folder, &description).unwrap();
    };
    Scene::with(fill, |options| Options { issue_page_limit: 20, comment_page_limit: 40, ..options })
}

/// Follows `rel="next"` to the end, and returns all items; `between` acts after the first page.
async fn walk(scene: &Scene, path: &str, between: impl FnOnce()) -> Vec<Value> {
    let (mut address, mut items, mut between) =
        (Some(format!("{}{path}", scene.sandbox.api_url())), Vec::new(), Some(between));
    while let Some(url) = address {
        let response = scene.client.get(&url).bearer_auth(scene.sandbox.token()).send().await.unwrap();
        assert_eq!(response.status(), 200, "{url}");
        address = next(&response);
        items.extend(response.json::<Vec<Value>>().await.unwrap());
        if let Some(between) = between.take() {
            between();
        }
    }
    items
}

fn numbers(items: &[Value]) -> Vec<u64> {
    items.iter().map(|item| item["number"].as_u64().unwrap()).collect()
}

#[tokio::test]
async fn cursors_lead_through_all_issues_in_each_order() {
    let scene = scene();
    for query in ["sort=created&direction=asc", "sort=updated", "sort=comments&direction=asc", ""] {
        let items = walk(&scene, &format!("/repos/acme/site/issues?state=all&per_page=7&{query}"), || ()).await;
        let mut found = numbers(&items);
        found.sort_unstable();
        assert_eq!(found, (1..=45).collect::<Vec<_>>(), "{query}");
    }
    let first = scene.get("/repos/acme/site/issues?state=all&per_page=7").await;
    let link = first.headers()["link"].to_str().unwrap().to_owned();
    assert!(link.contains("/repositories/") && link.contains("after=") && link.contains("page=2"), "{link}");
    assert!(!link.contains("rel=\"last\""), "{link}");
}

#[tokio::test]
async fn a_deletion_in_mid_walk_hides_no_issue() {
    let scene = scene();
    let site = scene.sandbox.tracker("acme/site");
    let path = "/repos/acme/site/issues?state=all&sort=created&direction=asc&per_page=10";
    let items = walk(&scene, path, || site.delete_issue(3)).await;
    assert_eq!(numbers(&items), (1..=45).collect::<Vec<_>>());
}

#[tokio::test]
async fn deep_pages_are_refused_but_cursors_are_not() {
    let scene = scene();
    let answer = scene.get("/repos/acme/site/issues?state=all&per_page=10&page=2").await;
    assert_eq!(answer.status(), 200);
    let answer = scene.get("/repos/acme/site/issues?state=all&per_page=10&page=3").await;
    assert_eq!(answer.status(), 422);
    let message = answer.json::<Value>().await.unwrap()["message"].as_str().unwrap().to_owned();
    assert!(message.ends_with("please use cursor based pagination (after/before)"), "{message}");
    let answer = scene.get("/repos/acme/site/issues/comments?per_page=20&page=2").await;
    assert_eq!(answer.status(), 200);
    let answer = scene.get("/repos/acme/site/issues/comments?per_page=20&page=3").await;
    assert_eq!(answer.status(), 422);
    let message = answer.json::<Value>().await.unwrap()["message"].as_str().unwrap().to_owned();
    assert_eq!(message, "In order to keep the API fast for everyone, pagination is limited for this resource.");
}

#[tokio::test]
async fn the_listings_show_what_is_written() {
    let scene = scene();
    let site = scene.sandbox.tracker("acme/site");
    site.disable_issues(false);
    let model = site.model();
    let all = scene.json("/repos/acme/site/issues?state=all&per_page=100").await;
    let all = all.as_array().unwrap();
    for issue in all {
        let known = &model[issue["number"].to_string()];
        assert_eq!(issue["title"], known["title"]);
        assert_eq!(issue["body"], known["body"]);
        assert_eq!(issue["user"]["login"], known["author"]);
        assert_eq!(issue["comments"], known["comments"].as_array().unwrap().len());
        assert_eq!(issue.get("pull_request").is_some(), known.get("reviews").is_some());
    }
    let open = scene.json("/repos/acme/site/issues?per_page=100").await;
    assert_eq!(open.as_array().unwrap().len(), all.iter().filter(|issue| issue["state"] == "open").count());
    let pulls = scene.json("/repos/acme/site/pulls?state=all&per_page=100").await;
    assert_eq!(pulls.as_array().unwrap().len(), 15);
    let number = &pulls[0]["number"];
    let pull = scene.json(&format!("/repos/acme/site/pulls/{number}")).await;
    let reviews = scene.json(&format!("/repos/acme/site/pulls/{number}/reviews")).await;
    assert_eq!(reviews.as_array().unwrap().len(), 4);
    let comments = scene.json(&format!("/repos/acme/site/pulls/{number}/comments")).await;
    assert_eq!(comments.as_array().unwrap().len(), pull["review_comments"]);
    let id = scene.json("/repos/acme/site").await["id"].clone();
    assert_eq!(scene.json(&format!("/repositories/{id}/pulls?state=all&per_page=100")).await, pulls);
    assert_eq!(scene.json("/repos/acme/site/labels").await.as_array().unwrap().len(), 5);
    assert_eq!(scene.json("/repos/acme/site/milestones?state=all").await.as_array().unwrap().len(), 3);
    site.delete_head(number.as_u64().unwrap());
    assert!(scene.json(&format!("/repos/acme/site/pulls/{number}")).await["head"]["repo"].is_null());
}

#[tokio::test]
async fn since_is_inclusive() {
    let scene = scene();
    let ordered = "sort=updated&direction=asc&per_page=100";
    for path in ["issues", "issues/comments", "pulls/comments"] {
        let all = scene.json(&format!("/repos/acme/site/{path}?state=all&{ordered}")).await;
        let all = all.as_array().unwrap();
        let from = all[10]["updated_at"].as_str().unwrap();
        // Several may have been written in one second.
        let first = all.iter().position(|item| item["updated_at"] == from).unwrap();
        let newer = scene.json(&format!("/repos/acme/site/{path}?state=all&{ordered}&since={from}")).await;
        assert_eq!(newer.as_array().unwrap()[..10], all[first..first + 10], "{path}");
    }
    assert_eq!(scene.get("/repos/acme/site/issues?since=yesterday").await.status(), 422);
}

#[tokio::test]
async fn an_answer_that_the_client_has_is_not_sent_and_not_counted() {
    let scene = scene();
    let path = "/repos/acme/site/labels";
    let first = scene.get(path).await;
    let etag = first.headers()[ETAG].clone();
    let remaining = first.headers()["x-ratelimit-remaining"].clone();
    let again = scene.request(path).header(IF_NONE_MATCH, &etag).send().await.unwrap();
    assert_eq!(again.status(), 304);
    assert_eq!(again.headers()[ETAG], etag);
    assert_eq!(again.headers()["x-ratelimit-remaining"], remaining);
    assert!(again.bytes().await.unwrap().is_empty());
    scene.sandbox.tracker("acme/site").rename_label("bug", "defect");
    assert_eq!(scene.request(path).header(IF_NONE_MATCH, &etag).send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn the_etag_is_what_github_computes() {
    let scene = scene();
    let answer = scene.get("/repos/acme/site/milestones").await;
    let etag = answer.headers()[ETAG].to_str().unwrap().to_owned();
    let body = answer.text().await.unwrap();
    let hashed = format!("*/*:Bearer {}:{body}", scene.sandbox.token());
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, hashed.as_bytes());
    let hash: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(etag, format!("W/\"{hash}\""));
}

#[tokio::test]
async fn without_a_permission_the_answer_names_it() {
    let scene = scene();
    let paths = ["issues", "issues/1", "pulls", "labels", "milestones", "issues/comments"];
    let status = async |path: &str| {
        let answer = scene.get(&format!("/repos/acme/site/{path}")).await;
        (answer.status().as_u16(), answer.headers()["x-accepted-github-permissions"].to_str().unwrap().to_owned())
    };
    scene.sandbox.forbid("issues");
    let mut found = Vec::new();
    for path in paths {
        found.push(status(path).await.0);
    }
    assert_eq!(found, [403, 403, 200, 200, 200, 200]);
    assert_eq!(status("issues").await.1, "issues=read");
    scene.sandbox.forbid("pull_requests");
    for path in paths {
        assert_eq!(status(path).await.0, 403, "{path}");
    }
    assert_eq!(status("pulls").await.1, "pull_requests=read");
    assert_eq!(status("labels").await.1, "issues=read; pull_requests=read");
    let message = scene.json("/repos/acme/site/pulls").await["message"].clone();
    assert_eq!(message, "Resource not accessible by personal access token");
    scene.sandbox.permit("issues");
    assert_eq!(status("issues").await.0, 200);
}

#[tokio::test]
async fn disabled_issues_are_410_and_pull_requests_are_not() {
    let scene = scene();
    scene.sandbox.tracker("acme/site").disable_issues(true);
    let answer = scene.get("/repos/acme/site/issues").await;
    assert_eq!(answer.status(), 410);
    let message = answer.json::<Value>().await.unwrap()["message"].clone();
    assert_eq!(message, "Issues has been disabled in this repository.");
    assert_eq!(scene.get("/repos/acme/site/pulls").await.status(), 200);
    assert_eq!(scene.json("/repos/acme/site").await["has_issues"], false);
}
