//! Each way of misbehaving, as a client meets it.

use std::time::{Duration, Instant};

use ghbk_sandbox::{Action, Fault, Generate};
use serde_json::{Value, json};

use crate::scene::{Scene, complaint, succeeded};

#[tokio::test]
async fn a_status_comes_as_often_as_told() {
    let scene = Scene::one();
    let limited = r#"{"message":"You have exceeded a secondary rate limit"}"#;
    scene.sandbox.fault(Fault::on("/user").skip(1).times(2).status(429).header("retry-after", "1").body(limited));
    assert_eq!(scene.get("/user").await.status(), 200);
    for _ in 0..2 {
        let response = scene.get("/user").await;
        assert_eq!(response.status(), 429);
        assert_eq!(response.headers()["retry-after"], "1");
        assert_eq!(response.headers()["content-type"], "application/json; charset=utf-8");
        assert_eq!(response.text().await.unwrap(), limited);
    }
    assert_eq!(scene.get("/user").await.status(), 200);
    let statuses: Vec<_> = scene.sandbox.requests().iter().map(|request| request.status).collect();
    assert_eq!(statuses, [200, 429, 429, 200]);
}

#[tokio::test]
async fn a_truncated_body_is_noticed() {
    let scene = Scene::one();
    for bytes in [0, 10, 1_000_000] {
        scene.sandbox.fault(Fault::on("/user").times(1).truncate_body(bytes));
        let response = scene.get("/user").await;
        assert_eq!(response.status(), 200);
        assert!(response.bytes().await.is_err(), "after {bytes} bytes");
    }
}

#[tokio::test]
async fn the_bytes_before_the_break_arrive() {
    let scene = Scene::one();
    scene.sandbox.fault(Fault::on("/user").truncate_body(10));
    let mut response = scene.get("/user").await;
    assert_eq!(response.chunk().await.unwrap().unwrap().len(), 10);
    assert!(response.chunk().await.is_err());
}

#[test]
fn a_truncated_pack_fails_the_clone() {
    let scene = Scene::one();
    scene.sandbox.fault(Fault::on("/acme/api.git/git-upload-pack").skip(1).times(1).truncate_body(60));
    let (cloned, _) = scene.mirror("acme/api", "mirror");
    assert!(!cloned.status.success());
    succeeded(&scene.mirror("acme/api", "again").0);
}

#[test]
fn a_flipped_byte_fails_the_clone() {
    let scene = Scene::generated(&Generate::default());
    scene.sandbox.fault(Fault::on("/acme/repository-001.git/git-upload-pack").skip(1).flip_byte(700));
    let (cloned, _) = scene.mirror("acme/repository-001", "mirror");
    assert!(!cloned.status.success(), "{}", complaint(&cloned));
}

#[tokio::test]
async fn a_stalled_body_sends_its_beginning_and_no_more() {
    let scene = Scene::one();
    scene.sandbox.fault(Fault::on("/user").stall_body(10));
    let mut response = scene.get("/user").await;
    assert_eq!(response.chunk().await.unwrap().unwrap().len(), 10);
    assert!(tokio::time::timeout(Duration::from_millis(300), response.chunk()).await.is_err());
}

#[tokio::test]
async fn a_hang_up_is_no_answer() {
    let scene = Scene::one();
    scene.sandbox.fault(Fault::on("/user").hang_up());
    assert!(scene.request("/user").send().await.is_err());
    assert!(scene.sandbox.requests().iter().all(|request| request.status == 0));
    scene.sandbox.clear_faults();
    assert_eq!(scene.get("/user").await.status(), 200);
}

#[tokio::test]
async fn a_delay_and_another_fault_add_up() {
    let scene = Scene::one();
    scene.sandbox.fault(Fault::on("/user").delay(200));
    scene.sandbox.fault(Fault::on("/user").status(502));
    let start = Instant::now();
    assert_eq!(scene.get("/user").await.status(), 502);
    assert!(start.elapsed() >= Duration::from_millis(200));
}

#[tokio::test]
async fn a_redirect_leads_elsewhere() {
    let scene = Scene::one();
    scene.sandbox.fault(Fault::on("/repos/acme/api").redirect("http://127.0.0.1:1/elsewhere"));
    let response = scene.get("/repos/acme/api").await;
    assert_eq!(response.status(), 301);
    assert_eq!(response.headers()["location"], "http://127.0.0.1:1/elsewhere");
}

#[tokio::test]
async fn a_listing_can_be_short_and_say_so() {
    let scene = Scene::generated(&Generate::default());
    scene.sandbox.fault(Fault::on("/orgs/acme/repos").times(1).drop_items_for_sso(2));
    let response = scene.get("/orgs/acme/repos").await;
    assert_eq!(response.headers()["x-github-sso"], "partial-results; organizations=21955855,20582480");
    assert_eq!(response.json::<Vec<Value>>().await.unwrap().len(), 3);
    assert_eq!(scene.json("/orgs/acme/repos").await.as_array().unwrap().len(), 5);
}

#[tokio::test]
async fn a_listing_can_hold_names_that_cannot_be() {
    let scene = Scene::one();
    let items = vec![json!({"name": "..", "full_name": "acme/.."}), json!({"name": "a\u{1b}[2J", "id": 7})];
    scene.sandbox.fault(Fault::on("/orgs/acme/repos").add_items(items));
    let listing = scene.json("/orgs/acme/repos").await;
    assert_eq!(listing[1]["full_name"], "acme/..");
    assert_eq!(listing[2]["name"], "a\u{1b}[2J");
    assert!(listing[2]["clone_url"].is_string(), "the rest is ordinary");
}

#[tokio::test]
async fn a_header_can_be_replaced_and_removed() {
    let scene = Scene::one();
    scene.sandbox.fault(Fault::on("/user").replace_header("x-ratelimit-remaining", "0"));
    scene.sandbox.fault(Fault::on("/user").remove_header("x-oauth-scopes"));
    let response = scene.get("/user").await;
    assert_eq!(response.headers()["x-ratelimit-remaining"], "0");
    assert!(!response.headers().contains_key("x-oauth-scopes"));
}

#[test]
fn a_fault_travels_as_json() {
    let json = json!({"path": "/user", "times": 2, "action": {"kind": "status", "code": 503}});
    let fault: Fault = serde_json::from_value(json).unwrap();
    assert_eq!(fault, Fault::on("/user").times(2).status(503));
    for fault in [
        Fault::on("/a").stall_body(3),
        Fault::on("/a").hang_up(),
        Fault::on("/a").drop_items_for_sso(1),
        Fault::on("/a").action(Action::Redirect { location: "/b".to_owned(), code: 307 }),
    ] {
        let text = serde_json::to_string(&fault).unwrap();
        assert_eq!(serde_json::from_str::<Fault>(&text).unwrap(), fault);
    }
}
