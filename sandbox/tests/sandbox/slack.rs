//! The webhook: what it takes, what it refuses, and what it remembers.

use serde_json::{Value, json};

use crate::scene::Scene;

async fn post(scene: &Scene, url: &str, body: String) -> (u16, String) {
    let response = scene.client.post(url).header("content-type", "application/json").body(body).send().await.unwrap();
    (response.status().as_u16(), response.text().await.unwrap())
}

#[tokio::test]
async fn a_good_message_is_taken_without_problems() {
    let scene = Scene::with(|_| {}, |options| options);
    let body = json!({
        "text": "Backup finished",
        "blocks": [{"type": "section", "text": {"type": "mrkdwn", "text": "*Backup* finished"}}],
    });
    let answer = post(&scene, &scene.sandbox.slack_url(), body.to_string()).await;
    assert_eq!(answer, (200, "ok".to_owned()));
    let messages = scene.sandbox.slack_messages();
    assert_eq!((messages.len(), &messages[0].body), (1, &body));
    assert!(messages[0].problems.is_empty(), "{:?}", messages[0].problems);
}

#[tokio::test]
async fn slacks_own_refusals_are_given() {
    let scene = Scene::with(|_| {}, |options| options);
    let url = scene.sandbox.slack_url();
    let refused = |words: &str| (400, words.to_owned());
    assert_eq!(post(&scene, &url, "{".to_owned()).await, refused("invalid_payload"));
    assert_eq!(post(&scene, &url, "[]".to_owned()).await, refused("invalid_payload"));
    assert_eq!(post(&scene, &url, json!({"text": ""}).to_string()).await, refused("no_text"));
    let block: Value = json!({"type": "header", "text": {"type": "plain_text", "text": "x".repeat(151)}});
    let long = json!({"text": "t", "blocks": [block]});
    assert_eq!(post(&scene, &url, long.to_string()).await, refused("invalid_blocks"));
    let elsewhere = format!("{}/services/T000/B000/wrong", scene.sandbox.url());
    assert_eq!(post(&scene, &elsewhere, json!({"text": "t"}).to_string()).await, (404, "no_service".to_owned()));
    let problems: Vec<_> = scene.sandbox.slack_messages().into_iter().map(|message| message.problems).collect();
    assert_eq!(problems.last().unwrap(), &["/blocks/0/text: 151 characters, 150 allowed"]);
}

#[tokio::test]
async fn a_message_that_slack_takes_can_still_be_too_long_for_us() {
    let scene = Scene::with(|_| {}, |options| options);
    let body = json!({"text": "x".repeat(10_001)});
    assert_eq!(post(&scene, &scene.sandbox.slack_url(), body.to_string()).await.0, 200);
    assert_eq!(scene.sandbox.slack_messages()[0].problems.len(), 1);
}
