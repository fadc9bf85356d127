//! A GitHub App, from its key to a clone.

use std::time::{SystemTime, UNIX_EPOCH};

use ghbk_sandbox::{AppOptions, Options};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use reqwest::Response;
use serde_json::{Value, json};

use crate::scene::{Scene, git, repository, succeeded};

const APP: u64 = 4711;
const INSTALLATION: u64 = 42;

fn scene(adapt: impl FnOnce(&mut AppOptions)) -> Scene {
    let mut app = AppOptions::new(APP, INSTALLATION, include_str!("../app.test-key.pub.pem"));
    adapt(&mut app);
    Scene::with(
        |folder| {
            repository(folder, "acme/api");
            repository(folder, "acme/web");
            repository(folder, "other/secret");
        },
        |options| Options { app: Some(app), ..options },
    )
}

/// Signs claims relative to now.
fn signed(issuer: &Value, from: i64, until: i64) -> String {
    let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap();
    let claims = json!({"iss": issuer, "iat": now + from, "exp": now + until});
    let key = EncodingKey::from_rsa_pem(include_bytes!("../app.test-key.pem")).unwrap();
    encode(&Header::new(Algorithm::RS256), &claims, &key).unwrap()
}

async fn ask_for_token(scene: &Scene, token: &str) -> Response {
    let url = format!("{}/app/installations/{INSTALLATION}/access_tokens", scene.sandbox.api_url());
    scene.client.post(url).bearer_auth(token).send().await.unwrap()
}

/// Returns a fresh installation token.
async fn installation_token(scene: &Scene) -> String {
    let response = ask_for_token(scene, &signed(&json!(APP.to_string()), -60, 540)).await;
    assert_eq!(response.status(), 201);
    let body: Value = response.json().await.unwrap();
    assert!(body["expires_at"].as_str().unwrap().ends_with('Z'));
    body["token"].as_str().unwrap().to_owned()
}

async fn get(scene: &Scene, path: &str, token: &str) -> Response {
    scene.client.get(format!("{}{path}", scene.sandbox.api_url())).bearer_auth(token).send().await.unwrap()
}

#[tokio::test]
async fn a_signed_token_buys_one_that_lists_and_clones() {
    let scene = scene(|app| app.account = Some("acme".to_owned()));
    let token = installation_token(&scene).await;
    assert!(token.starts_with("ghs_") && token.len() == 40);
    let listing: Value = get(&scene, "/installation/repositories", &token).await.json().await.unwrap();
    assert_eq!(listing["total_count"], 2);
    assert_eq!(listing["repository_selection"], "all");
    assert_eq!(get(&scene, "/orgs/acme/repos", &token).await.status(), 200);
    assert_eq!(get(&scene, "/user", &token).await.status(), 403);
    assert_eq!(get(&scene, "/repos/other/secret", &token).await.status(), 404);
    let url = scene.sandbox.url().replace("http://", &format!("http://x-access-token:{token}@"));
    succeeded(&git(&["ls-remote", &format!("{url}/acme/api.git")]));
    assert!(!git(&["ls-remote", &format!("{url}/other/secret.git")]).status.success());
}

#[tokio::test]
async fn a_selection_shows_in_the_listing() {
    let scene = scene(|app| app.selected = Some(vec!["acme/web".to_owned()]));
    let token = installation_token(&scene).await;
    let listing: Value = get(&scene, "/installation/repositories", &token).await.json().await.unwrap();
    assert_eq!((&listing["total_count"], &listing["repository_selection"]), (&json!(1), &json!("selected")));
    assert_eq!(listing["repositories"][0]["full_name"], "acme/web");
}

#[tokio::test]
async fn tokens_end() {
    let scene = scene(|app| app.token_lifetime_seconds = 1);
    let token = installation_token(&scene).await;
    assert_eq!(get(&scene, "/installation/repositories", &token).await.status(), 200);
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    assert_eq!(get(&scene, "/installation/repositories", &token).await.status(), 401);
    let token = installation_token(&scene).await;
    scene.sandbox.revoke_installation_tokens();
    assert_eq!(get(&scene, "/installation/repositories", &token).await.status(), 401);
}

#[tokio::test]
async fn a_badly_signed_token_is_refused() {
    let scene = scene(|_| {});
    let app = json!(APP);
    let good = signed(&app, -60, 540);
    let tampered = format!("{}x{}", &good[..40], &good[41..]);
    for (token, status) in [
        (tampered, 401),
        (signed(&app, -60, -1), 401),
        (signed(&app, -60, 3600), 401),
        (signed(&app, 300, 540), 401),
        (signed(&json!(1), -60, 540), 404),
        (scene.sandbox.token().to_owned(), 401),
        (good, 201),
    ] {
        assert_eq!(ask_for_token(&scene, &token).await.status(), status);
    }
}

#[tokio::test]
async fn the_app_describes_itself() {
    let scene = scene(|_| {});
    let token = signed(&json!(APP), -60, 540);
    let app: Value = get(&scene, "/app", &token).await.json().await.unwrap();
    assert_eq!(app["id"], APP);
    let installations: Value = get(&scene, "/app/installations", &token).await.json().await.unwrap();
    assert_eq!(installations[0]["id"], INSTALLATION);
    assert_eq!(get(&scene, "/app/installations/1", &token).await.status(), 404);
    assert_eq!(get(&scene, "/user", &token).await.status(), 401);
    assert_eq!(get(&scene, "/installation/repositories", scene.sandbox.token()).await.status(), 403);
}
