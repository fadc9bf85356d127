//! Who is let in, and with which words the others are not.

use reqwest::StatusCode;
use serde_json::Value;

use crate::scene::{Scene, repository};

#[tokio::test]
async fn every_scheme_carries_the_token() {
    let scene = Scene::one();
    let url = format!("{}/user", scene.sandbox.api_url());
    let token = scene.sandbox.token();
    let asks = [
        scene.client.get(&url).bearer_auth(token),
        scene.client.get(&url).header("authorization", format!("token {token}")),
        scene.client.get(&url).basic_auth("anyone", Some(token)),
    ];
    for ask in asks {
        assert_eq!(ask.send().await.unwrap().status(), StatusCode::OK);
    }
}

#[tokio::test]
async fn a_wrong_token_is_refused_everywhere() {
    let scene = Scene::one();
    for path in ["/user", "/orgs/acme/repos", "/repos/acme/api", "/rate_limit"] {
        let url = format!("{}{path}", scene.sandbox.api_url());
        let response = scene.client.get(url).bearer_auth("ghp_wrong").send().await.unwrap();
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
        let body: Value = response.json().await.unwrap();
        assert_eq!(body["message"], "Bad credentials");
        assert_eq!(body["status"], "401");
        assert!(body["documentation_url"].is_string());
    }
}

#[tokio::test]
async fn a_stranger_sees_what_is_public() {
    let scene = Scene::with(
        |folder| {
            repository(folder, "acme/open").set("private", "false").unwrap();
            repository(folder, "acme/secret");
        },
        |options| options,
    );
    let get = async |path: &str| scene.client.get(format!("{}{path}", scene.sandbox.api_url())).send().await.unwrap();
    assert_eq!(get("/user").await.status(), 401);
    assert_eq!(get("/user/repos").await.status(), 401);
    assert_eq!(get("/installation/repositories").await.status(), 401);
    assert_eq!(get("/repos/acme/secret").await.status(), 404);
    assert_eq!(get("/repos/acme/open").await.status(), 200);
    let listing: Value = get("/orgs/acme/repos").await.json().await.unwrap();
    assert_eq!(listing.as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_fine_grained_token_has_no_scopes() {
    let scene = Scene::with(|_| {}, |options| options.token("github_pat_sandbox"));
    let response = scene.get("/user").await;
    assert_eq!(response.status(), 200);
    assert!(!response.headers().contains_key("x-oauth-scopes"));
}

#[tokio::test]
async fn requests_are_recorded_with_their_answers() {
    let scene = Scene::one();
    scene.request("/orgs/acme/repos?per_page=7").header("user-agent", "ghbk/test").send().await.unwrap();
    let requests = scene.sandbox.requests();
    assert_eq!(requests.len(), 1);
    let request = &requests[0];
    assert_eq!((request.method.as_str(), request.path.as_str()), ("GET", "/api/v3/orgs/acme/repos"));
    assert_eq!((request.query.as_str(), request.status, request.git), ("per_page=7", 200, false));
    assert_eq!(request.user_agent.as_deref(), Some("ghbk/test"));
    assert_eq!(request.authorization, Some(format!("Bearer {}", scene.sandbox.token())));
    scene.sandbox.clear_requests();
    assert!(scene.sandbox.requests().is_empty());
}
