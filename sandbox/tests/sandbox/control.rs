//! The handle for scripts.

use ghbk_sandbox::{Fault, RecordedRequest};
use serde_json::{Value, json};

use crate::scene::Scene;

#[tokio::test]
async fn scripts_can_do_what_tests_do() {
    let scene = Scene::one();
    let url = |path: &str| format!("{}/_sandbox/{path}", scene.sandbox.url());
    let post = async |path: &str, body: Value| {
        scene.client.post(url(path)).body(body.to_string()).send().await.unwrap().status().as_u16()
    };
    let fault = json!({"path": "/user", "action": {"kind": "status", "code": 503}});
    assert_eq!(post("faults", fault).await, 200);
    assert_eq!(scene.get("/user").await.status(), 503);
    let faults: Vec<Fault> = scene.client.get(url("faults")).send().await.unwrap().json().await.unwrap();
    assert_eq!(faults, [Fault::on("/user").status(503)]);
    scene.client.delete(url("faults")).send().await.unwrap();
    assert_eq!(scene.get("/user").await.status(), 200);

    let change =
        json!({"repository": "acme/api", "author": "ada", "change": "open", "title": "Broken", "body": "It is."});
    assert_eq!(post("issues", change).await, 200);
    let change = json!({"repository": "acme/api", "change": "comment", "number": 1, "body": "Yes."});
    let made = scene.client.post(url("issues")).body(change.to_string()).send().await.unwrap();
    let id = made.json::<Value>().await.unwrap()["id"].clone();
    assert_eq!(post("issues", json!({"repository": "acme/api", "change": "delete_comment", "id": id})).await, 200);
    assert_eq!(post("issues", json!({"repository": "acme/api", "change": "delete_comment", "id": id})).await, 404);
    assert_eq!(post("issues", json!({"repository": "acme/api", "change": "close", "number": 1})).await, 200);
    let issue = &scene.json("/repos/acme/api/issues?state=closed").await[0];
    assert_eq!((&issue["user"]["login"], &issue["comments"]), (&json!("ada"), &json!(0)));

    assert_eq!(post("rename", json!({"from": "acme/api", "to": "acme/web"})).await, 200);
    assert_eq!(scene.get("/repos/acme/web").await.status(), 200);
    assert_eq!(post("delete", json!({"repository": "acme/web"})).await, 200);
    assert_eq!(post("delete", json!({"repository": "acme/web"})).await, 404);
    assert_eq!(post("rate_limit", json!({"remaining": 0})).await, 200);
    assert_eq!(scene.get("/user").await.status(), 403);
    assert_eq!(post("nonsense", json!({})).await, 404);
    assert_eq!(post("faults", json!({"path": 7})).await, 400);

    let requests: Vec<RecordedRequest> = scene.client.get(url("requests")).send().await.unwrap().json().await.unwrap();
    assert!(requests.iter().all(|request| !request.path.starts_with("/_sandbox")));
    assert_eq!(requests, scene.sandbox.requests());
}
