//! GraphQL: what clients of GitHub ask, answered from the model; GitHub's refusals; and what a test can break.

use ghbk_sandbox::{GenerateIssues, GraphqlLimits, generate_issues};
use serde_json::{Value, json};

use crate::scene::{Scene, repository};

/// A backup's first question: has anything changed in these repositories?
const PROBE: &str = "query($ids:[ID!]!){nodes(ids:$ids){... on Repository{databaseId nameWithOwner updatedAt pushedAt isArchived hasIssuesEnabled hasDiscussionsEnabled
 issues(first:1,orderBy:{field:UPDATED_AT,direction:DESC}){totalCount nodes{number updatedAt}}
 pullRequests(first:1,orderBy:{field:UPDATED_AT,direction:DESC}){totalCount nodes{number updatedAt}}
 discussions(first:1,orderBy:{field:UPDATED_AT,direction:DESC}){totalCount nodes{number updatedAt}}
 milestones(first:1,orderBy:{field:UPDATED_AT,direction:DESC}){totalCount nodes{number updatedAt}}
 releases(first:1,orderBy:{field:CREATED_AT,direction:DESC}){totalCount nodes{databaseId updatedAt}}
 labels(first:1){totalCount} commitComments(first:1){totalCount}}} rateLimit{cost remaining resetAt}}";

/// The pull requests that changed.
const PULLS: &str = "query($id:ID!,$n:Int!,$after:String){node(id:$id){... on Repository{pullRequests(first:$n,after:$after,orderBy:{field:UPDATED_AT,direction:DESC}){totalCount pageInfo{hasNextPage endCursor} nodes{
 fullDatabaseId number updatedAt additions deletions changedFiles merged mergedAt mergedBy{login} maintainerCanModify isDraft baseRefOid headRefOid reviewDecision totalCommentsCount commits{totalCount}
 closingIssuesReferences(first:20){nodes{number repository{nameWithOwner}}}
 reviews(first:100){totalCount pageInfo{hasNextPage endCursor} nodes{fullDatabaseId state body submittedAt updatedAt author{login} commit{oid} isMinimized}}
 timelineItems(first:100){totalCount updatedAt pageInfo{hasNextPage endCursor} nodes{__typename}}}}}} rateLimit{cost}}";

/// The conversations about lines.
const THREADS: &str = "query($ids:[ID!]!){nodes(ids:$ids){... on PullRequest{number reviewThreads(first:50){totalCount pageInfo{hasNextPage endCursor} nodes{id isResolved isOutdated resolvedBy{login} path line originalLine comments(first:1){totalCount nodes{fullDatabaseId}}}}}}}";

/// Returns a scene with generated issues.
fn scene() -> Scene {
    Scene::with(
        |folder| {
            repository(folder, "acme/site");
            let description = GenerateIssues {
                repository: "acme/site".to_owned(),
                issues: 20,
                pulls: 12,
                comments_per_item: 2,
                reviews_per_pull: 3,
                seed: 5,
            };
            generate_issues(folder, &description).unwrap();
        },
        |options| options,
    )
}

async fn ask(scene: &Scene, query: &str, variables: Value) -> Value {
    let response = send(scene, query, &variables).await;
    assert_eq!(response.status(), 200);
    response.json().await.unwrap()
}

async fn send(scene: &Scene, query: &str, variables: &Value) -> reqwest::Response {
    let body = json!({"query": query, "variables": variables}).to_string();
    let request = scene.client.post(format!("{}/api/graphql", scene.sandbox.url()));
    request.bearer_auth(scene.sandbox.token()).body(body).send().await.unwrap()
}

/// Asks what must be answered without an error.
async fn data(scene: &Scene, query: &str, variables: Value) -> Value {
    let mut answer = ask(scene, query, variables).await;
    assert_eq!(answer["errors"], Value::Null, "{answer}");
    answer["data"].take()
}

async fn node_id(scene: &Scene, path: &str) -> String {
    scene.json(path).await["node_id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn the_probe_counts_and_finds_the_newest() {
    let scene = scene();
    let id = node_id(&scene, "/repos/acme/site").await;
    scene.sandbox.tracker("acme/site").edit_title(1, "Newest");
    let answer = data(&scene, PROBE, json!({"ids": [id]})).await;
    let probe = &answer["nodes"][0];
    assert_eq!(probe["nameWithOwner"], "acme/site");
    assert_eq!(probe["databaseId"], scene.json("/repos/acme/site").await["id"]);
    assert_eq!(probe["issues"]["totalCount"], 20);
    assert_eq!(probe["issues"]["nodes"][0]["number"], 1);
    assert_eq!(probe["pullRequests"]["totalCount"], 12);
    assert_eq!(probe["labels"]["totalCount"], 5);
    assert_eq!(probe["milestones"]["totalCount"], 3);
    assert_eq!(probe["discussions"], json!({"totalCount": 0, "nodes": []}));
    assert_eq!(probe["hasIssuesEnabled"], true);
    assert_eq!(answer["rateLimit"]["cost"], 1);
    assert_eq!(answer["rateLimit"]["remaining"], 4999);
    assert_eq!(scene.sandbox.graphql_points(), 1);
    let core = scene.get("/rate_limit").await.json::<Value>().await.unwrap();
    assert_eq!(core["resources"]["graphql"]["remaining"], 4999);

    let ids = vec![id; 50];
    assert_eq!(data(&scene, PROBE, json!({"ids": ids})).await["rateLimit"]["cost"], 4, "7 connections in 50 nodes");
    assert_eq!(scene.sandbox.graphql_points(), 5);
}

#[tokio::test]
async fn pull_requests_come_with_reviews_over_all_pages() {
    let scene = scene();
    let id = node_id(&scene, "/repos/acme/site").await;
    let model = scene.sandbox.tracker("acme/site").model();
    let (mut after, mut found) = (Value::Null, 0);
    loop {
        let answer = data(&scene, PULLS, json!({"id": id, "n": 5, "after": after})).await;
        let page = &answer["node"]["pullRequests"];
        for pull in page["nodes"].as_array().unwrap() {
            found += 1;
            let number = pull["number"].to_string();
            let known = &model[&number];
            let pull_by_rest = scene.json(&format!("/repos/acme/site/pulls/{number}")).await;
            assert_eq!(pull["fullDatabaseId"], pull_by_rest["id"].to_string());
            assert_eq!(pull["updatedAt"], pull_by_rest["updated_at"]);
            assert_eq!(pull["additions"], pull_by_rest["additions"]);
            assert_eq!(pull["headRefOid"], pull_by_rest["head"]["sha"]);
            assert_eq!(pull["merged"], pull_by_rest["merged"]);
            assert_eq!(pull["mergedBy"]["login"], pull_by_rest["merged_by"]["login"]);
            assert_eq!(pull["commits"]["totalCount"], 1);
            let reviews = known["reviews"].as_array().unwrap();
            assert_eq!(pull["reviews"]["totalCount"], reviews.len());
            for (review, known) in pull["reviews"]["nodes"].as_array().unwrap().iter().zip(reviews) {
                assert_eq!(review["fullDatabaseId"], known["id"].to_string());
                assert_eq!(review["body"], known["body"]);
                assert_eq!(review["author"]["login"], known["author"]);
            }
            let parts = ["timeline", "comments", "reviews"].map(|part| known[part].as_array().unwrap().len());
            assert_eq!(pull["timelineItems"]["totalCount"], parts.iter().sum::<usize>());
        }
        if page["pageInfo"]["hasNextPage"] == false {
            break;
        }
        after = page["pageInfo"]["endCursor"].clone();
    }
    assert_eq!(found, 12);
}

#[tokio::test]
async fn threads_say_whether_they_are_resolved() {
    let scene = scene();
    let site = scene.sandbox.tracker("acme/site");
    let number = site.open_pull("Line by line", "", "topic", "main");
    let first = site.review_comment(number, "src/lib.rs", 7, "Why?");
    site.reply_to_review(first, "Because.");
    let second = site.review_comment(number, "README.md", 1, "Typo");
    site.set_author(Some("ada"));
    site.resolve_thread(second);
    let id = node_id(&scene, &format!("/repos/acme/site/pulls/{number}")).await;
    assert_eq!(id, node_id(&scene, &format!("/repos/acme/site/issues/{number}")).await);
    let before = scene.sandbox.graphql_points();
    data(&scene, THREADS, json!({"ids": vec![&id; 20]})).await;
    assert_eq!(scene.sandbox.graphql_points() - before, 10, "20 + 20 x 50 connections");
    let answer = data(&scene, THREADS, json!({"ids": [id]})).await;
    let threads = answer["nodes"][0]["reviewThreads"]["nodes"].as_array().unwrap();
    assert_eq!(threads.len(), 2);
    assert_eq!(
        (&threads[0]["path"], &threads[0]["line"], &threads[0]["isResolved"]),
        (&json!("src/lib.rs"), &json!(7), &json!(false))
    );
    assert_eq!(threads[0]["comments"], json!({"totalCount": 2, "nodes": [{"fullDatabaseId": first.to_string()}]}));
    assert_eq!((&threads[1]["isResolved"], &threads[1]["resolvedBy"]["login"]), (&json!(true), &json!("ada")));
}

#[tokio::test]
async fn a_timeline_shows_what_happened() {
    let scene = scene();
    let site = scene.sandbox.tracker("acme/site");
    let number = site.open_issue("Storied", "");
    site.add_label(number, "bug");
    site.comment(number, "Hm.");
    site.edit_title(number, "Renamed");
    site.cross_reference(number, 1);
    site.set_author(None);
    site.close(number);
    let query = "query($n:Int!){repository(owner:\"acme\",name:\"site\"){issue(number:$n){
        title author{login} closed stateReason comments{totalCount}
        timelineItems(first:50){totalCount nodes{__typename
          ... on LabeledEvent{label{name color} actor{login}}
          ... on RenamedTitleEvent{previousTitle currentTitle}
          ... on CrossReferencedEvent{isCrossRepository willCloseTarget source{__typename ... on Issue{number} ... on PullRequest{number}}}
          ... on IssueComment{body}
          ... on ClosedEvent{actor{login} stateReason}}}
        labelled: timelineItems(first:5,itemTypes:[LABELED_EVENT]){totalCount nodes{__typename}}}}}";
    let answer = data(&scene, query, json!({"n": number})).await;
    let issue = &answer["repository"]["issue"];
    assert_eq!(issue["stateReason"], "COMPLETED");
    assert_eq!(issue["comments"]["totalCount"], 1);
    let source = if site.model()["1"].get("reviews").is_some() { "PullRequest" } else { "Issue" };
    assert_eq!(
        issue["timelineItems"]["nodes"],
        json!([
            {"__typename": "LabeledEvent", "label": {"name": "bug", "color": "d73a4a"}, "actor": {"login": "sandbox-user"}},
            {"__typename": "IssueComment", "body": "Hm."},
            {"__typename": "RenamedTitleEvent", "previousTitle": "Storied", "currentTitle": "Renamed"},
            {"__typename": "CrossReferencedEvent", "isCrossRepository": false, "willCloseTarget": false,
             "source": {"__typename": source, "number": 1}},
            {"__typename": "ClosedEvent", "actor": null, "stateReason": "COMPLETED"},
        ])
    );
    assert_eq!(issue["labelled"], json!({"totalCount": 1, "nodes": [{"__typename": "LabeledEvent"}]}));
}

#[tokio::test]
async fn every_field_of_an_issue_has_a_value() {
    let scene = scene();
    let query = "{repository(owner:\"acme\",name:\"site\"){issues(first:100){nodes{
        id url body bodyHTML locked isPinned subIssuesSummary{total} assignees(first:3){nodes{login}}
        hovercard{contexts{message}} viewerSubscription milestone{title} labels(first:5){nodes{name}}
        reactionGroups{content users{totalCount}} projectItems(first:1){totalCount} createdViaEmail}}}}";
    let answer = data(&scene, query, json!({})).await;
    assert_eq!(answer["repository"]["issues"]["nodes"].as_array().unwrap().len(), 20);
}

#[tokio::test]
async fn githubs_refusals_have_status_200_and_its_form() {
    let scene = scene();
    let errors = async |query: &str, variables: Value| {
        let answer = ask(&scene, query, variables).await;
        (answer["errors"].clone(), answer["data"].clone())
    };
    let (found, data) = errors("{repository(owner:\"acme\",name:\"site\"){colour}}", json!({})).await;
    let unknown = found.as_array().unwrap().iter().find(|error| error["message"].as_str().unwrap().contains("colour"));
    assert_eq!(unknown.unwrap()["locations"][0], json!({"line": 1, "column": 39}));
    assert!(data.is_null());

    let (found, data) = errors("{repository(owner:\"acme\",name:\"none\"){name}}", json!({})).await;
    assert_eq!((&found[0]["type"], &found[0]["path"]), (&json!("NOT_FOUND"), &json!(["repository"])));
    assert_eq!(data, json!({"repository": null}));

    let id = node_id(&scene, "/repos/acme/site/issues/1").await;
    let query = "query($ids:[ID!]!){nodes(ids:$ids){... on Issue{number} ... on PullRequest{number}}}";
    let (found, data) = errors(query, json!({"ids": ["MDU6SXNzdWU5", id]})).await;
    assert_eq!((&found[0]["type"], &found[0]["path"]), (&json!("NOT_FOUND"), &json!(["nodes", 0])));
    assert_eq!(found[0]["message"], "Could not resolve to a node with the global id of 'MDU6SXNzdWU5'");
    assert_eq!(data, json!({"nodes": [null, {"number": 1}]}));

    for (connection, kind) in [
        ("issues{nodes{number}}", "MISSING_PAGINATION_BOUNDARIES"),
        ("issues(first:101){nodes{number}}", "EXCESSIVE_PAGINATION"),
        (
            "issues(first:100){nodes{comments(first:100){nodes{reactions(first:100){totalCount}}}}}",
            "MAX_NODE_LIMIT_EXCEEDED",
        ),
    ] {
        let query = format!("{{repository(owner:\"acme\",name:\"site\"){{{connection}}}}}");
        let (found, _) = errors(&query, json!({})).await;
        assert_eq!(found[0]["type"], kind, "{found}");
    }
    let (found, _) = errors(query, json!({"ids": vec![id; 101]})).await;
    assert_eq!(found[0]["type"], "ARGUMENT_LIMIT");
    let query = "{repository(owner:\"acme\",name:\"site\"){issues(first:1,after:\"x\"){nodes{number}}}}";
    assert_eq!(errors(query, json!({})).await.0[0]["type"], "INVALID_CURSOR_ARGUMENTS");

    let anonymous = scene.client.post(format!("{}/graphql", scene.sandbox.url())).body("{}").send().await.unwrap();
    assert_eq!(anonymous.status(), 401);
}

#[tokio::test]
async fn a_large_query_times_out_and_a_smaller_one_does_not() {
    let scene = scene();
    scene.sandbox.limit_graphql(GraphqlLimits { timeout_above: Some(3), ..GraphqlLimits::default() });
    let query = "query($n:Int!){repository(owner:\"acme\",name:\"site\"){issues(first:$n){nodes{comments(first:50){totalCount}}}}}";
    assert_eq!(send(&scene, query, &json!({"n": 4})).await.status(), 502);
    assert_eq!(send(&scene, query, &json!({"n": 3})).await.status(), 200);
    let id = node_id(&scene, "/repos/acme/site").await;
    let query = "query($ids:[ID!]!){nodes(ids:$ids){... on Repository{issues(first:50){totalCount}}}}";
    assert_eq!(send(&scene, query, &json!({"ids": vec![&id; 4]})).await.status(), 502);
    assert_eq!(send(&scene, query, &json!({"ids": vec![&id; 3]})).await.status(), 200);
    let statuses: Vec<u16> = scene.sandbox.requests().iter().map(|request| request.status).collect();
    assert_eq!(statuses, [502, 200, 200, 502, 200]);
}

#[tokio::test]
async fn limits_come_with_status_200() {
    let scene = scene();
    scene.sandbox.limit_graphql(GraphqlLimits {
        resources_above: Some(3),
        rate_limited: 2,
        ..GraphqlLimits::default()
    });
    let query = "query($n:Int!){repository(owner:\"acme\",name:\"site\"){issues(first:$n){nodes{number}}}}";
    for _ in 0..2 {
        let answer = send(&scene, query, &json!({"n": 1})).await;
        assert_eq!(
            (answer.status().as_u16(), &answer.headers()["x-ratelimit-remaining"]),
            (200, &"0".parse().unwrap())
        );
        assert_eq!(answer.headers()["x-ratelimit-resource"], "graphql");
        assert_eq!(answer.json::<Value>().await.unwrap()["errors"][0]["type"], "RATE_LIMITED");
    }
    let answer = ask(&scene, query, json!({"n": 5})).await;
    let nodes = answer["data"]["repository"]["issues"]["nodes"].as_array().unwrap();
    assert_eq!(nodes.iter().filter(|node| node.is_null()).count(), 2);
    assert_eq!(answer["errors"][0]["type"], "RESOURCE_LIMITS_EXCEEDED");
    data(&scene, query, json!({"n": 3})).await;
}

#[tokio::test]
async fn one_node_of_a_list_can_be_unreadable() {
    let scene = scene();
    let query = "query($n:Int!){repository(owner:\"acme\",name:\"site\"){issues(first:$n){nodes{id}}}}";
    let id = data(&scene, query, json!({"n": 2})).await["repository"]["issues"]["nodes"][1]["id"].clone();
    let unreadable = id.as_str().map(str::to_owned);
    scene.sandbox.limit_graphql(GraphqlLimits { unreadable, ..GraphqlLimits::default() });
    let answer = ask(&scene, query, json!({"n": 3})).await;
    let nodes = answer["data"]["repository"]["issues"]["nodes"].as_array().unwrap();
    assert!(!nodes[0].is_null() && nodes[1].is_null() && !nodes[2].is_null(), "{answer}");
    assert_eq!(answer["errors"][0]["path"], json!(["repository", "issues", "nodes", 1]));
    assert!(answer["errors"][0].get("type").is_none());
}

#[tokio::test]
async fn what_may_not_be_read_is_null_with_an_error() {
    let scene = scene();
    let issue = node_id(&scene, "/repos/acme/site/issues/1").await;
    let site = scene.sandbox.tracker("acme/site");
    let pull = site.open_pull("Open", "", "topic", "main");
    let pull = node_id(&scene, &format!("/repos/acme/site/pulls/{pull}")).await;
    let fresh = site.open_issue("Open", "");
    let fresh = node_id(&scene, &format!("/repos/acme/site/issues/{fresh}")).await;
    scene.sandbox.forbid("issues");
    let query = "query($ids:[ID!]!){nodes(ids:$ids){... on Issue{number} ... on PullRequest{number}}
        repository(owner:\"acme\",name:\"site\"){issues(first:1){totalCount}}}";
    let answer = ask(&scene, query, json!({"ids": [fresh, pull]})).await;
    assert!(answer["data"]["nodes"][0].is_null() && !answer["data"]["nodes"][1].is_null(), "{answer}");
    assert!(answer["data"]["repository"].is_null());
    let errors = answer["errors"].as_array().unwrap();
    assert!(errors.iter().all(|error| error["type"] == "FORBIDDEN"), "{answer}");
    assert_eq!(errors[0]["message"], "Resource not accessible by personal access token");
    scene.sandbox.permit("issues");
    data(&scene, query, json!({"ids": [issue, pull]})).await;
}
