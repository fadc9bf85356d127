//! What people write: every change with its effect, as REST shows it.

use std::time::Duration;

use ghbk_sandbox::{GenerateIssues, Sandbox, generate_issues};
use serde_json::{Value, json};

use crate::scene::{Scene, repository};

const DAY: Duration = Duration::from_hours(24);

/// Returns a scene with two repositories, and an issue and a pull request in the first.
fn scene() -> Scene {
    let scene = Scene::with(
        |folder| ["acme/site", "acme/other"].into_iter().for_each(|name| drop(repository(folder, name))),
        |options| options,
    );
    let site = scene.sandbox.tracker("acme/site");
    assert_eq!(site.open_issue("It breaks", "Always."), 1);
    assert_eq!(site.open_pull("Mend it", "", "topic", "main"), 2);
    site.create_label("bug", "d73a4a");
    scene
}

async fn updated(scene: &Scene, number: u64) -> String {
    scene.json(&format!("/repos/acme/site/issues/{number}")).await["updated_at"].as_str().unwrap().to_owned()
}

/// Tells whether a change moves `updated_at` of an issue or pull request.
async fn moves(scene: &Scene, number: u64, change: impl FnOnce(&Sandbox)) -> bool {
    let before = updated(scene, number).await;
    scene.sandbox.advance_clock(DAY);
    change(&scene.sandbox);
    updated(scene, number).await != before
}

#[tokio::test]
async fn a_change_moves_updated_at_as_it_does_at_github() {
    let scene = scene();
    let on = |change: fn(&ghbk_sandbox::Tracker<'_>)| move |sandbox: &Sandbox| change(&sandbox.tracker("acme/site"));
    assert!(moves(&scene, 1, on(|site| site.edit_body(1, "Often."))).await);
    assert!(moves(&scene, 1, on(|site| site.edit_title(1, "It broke"))).await);
    assert!(moves(&scene, 1, on(|site| site.add_label(1, "bug"))).await);
    assert!(moves(&scene, 1, on(|site| site.close(1))).await);
    assert!(moves(&scene, 1, on(|site| site.reopen(1))).await);
    assert!(moves(&scene, 1, on(|site| site.lock(1))).await);
    assert!(moves(&scene, 2, on(|site| assert!(site.review(2, "APPROVED", "Good.") > 0))).await);
    assert!(moves(&scene, 2, on(|site| site.merge(2))).await);
    let site = scene.sandbox.tracker("acme/site");
    let milestone = site.create_milestone("1.0");
    assert!(moves(&scene, 1, |_| site.set_milestone(1, Some(milestone))).await);
    let (comment, on_line) = (site.comment(1, "Me too."), site.review_comment(2, "src/main.rs", 3, "Why?"));
    assert!(moves(&scene, 1, |_| site.edit_comment(comment, "I see it, too.")).await);
    assert!(moves(&scene, 2, |_| assert!(site.reply_to_review(on_line, "Because.") > on_line)).await);

    assert!(!moves(&scene, 1, |_| site.react(1, "+1")).await);
    assert!(!moves(&scene, 1, |_| site.react_to_comment(comment, "heart")).await);
    assert!(!moves(&scene, 1, |_| site.minimize_comment(comment)).await);
    assert!(!moves(&scene, 1, |_| site.cross_reference(1, 2)).await);
    assert!(!moves(&scene, 1, |_| site.rename_label("bug", "defect")).await);
    assert!(!moves(&scene, 1, |_| site.delete_label("defect")).await);
    assert!(!moves(&scene, 1, |_| site.delete_comment(comment)).await);
    assert!(!moves(&scene, 2, |_| site.resolve_thread(on_line)).await);
    assert!(!moves(&scene, 2, |_| site.delete_head(2)).await);

    let model = site.model();
    assert_eq!(
        model["1"]["timeline"],
        json!([
            "RenamedTitleEvent",
            "LabeledEvent",
            "ClosedEvent",
            "ReopenedEvent",
            "LockedEvent",
            "MilestonedEvent",
            "CrossReferencedEvent"
        ])
    );
    assert_eq!(model["1"]["comments"], json!([]));
    assert_eq!(model["1"]["labels"], json!([]));
    assert_eq!(model["2"]["state"], "MERGED");
    assert_eq!(model["2"]["threads"][0]["isResolved"], true);
    assert_eq!(model["2"]["threads"][0]["comments"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_number_that_is_gone_says_where_it_went() {
    let scene = scene();
    let site = scene.sandbox.tracker("acme/site");
    let moved = site.open_issue("Elsewhere", "");
    site.comment(moved, "Take it along.");
    assert_eq!(site.transfer(moved, "acme/other"), 1);
    site.delete_issue(1);
    assert_eq!(scene.get("/repos/acme/site/issues/1").await.status(), 410);
    assert_eq!(scene.get("/repos/acme/site/issues/99").await.status(), 404);
    let answer = scene.get(&format!("/repos/acme/site/issues/{moved}")).await;
    assert_eq!(answer.status(), 301);
    let location = answer.headers()["location"].to_str().unwrap().to_owned();
    let there: Value =
        scene.client.get(location).bearer_auth(scene.sandbox.token()).send().await.unwrap().json().await.unwrap();
    assert_eq!((&there["title"], &there["comments"]), (&json!("Elsewhere"), &json!(1)));
    assert_eq!(site.open_issue("New", ""), 4, "numbers are not given twice");
}

#[tokio::test]
async fn the_clock_is_the_same_everywhere() {
    let scene = scene();
    scene.sandbox.advance_clock(400 * DAY);
    let number = scene.sandbox.tracker("acme/site").open_issue("Later", "");
    let answer = scene.get(&format!("/repos/acme/site/issues/{number}")).await;
    let date = chrono::DateTime::parse_from_rfc2822(answer.headers()["date"].to_str().unwrap()).unwrap();
    let issue: Value = answer.json().await.unwrap();
    let created = chrono::DateTime::parse_from_rfc3339(issue["created_at"].as_str().unwrap()).unwrap();
    assert!((date - created).num_seconds().abs() < 60);
    assert!((chrono::Utc::now() + chrono::TimeDelta::days(399)) < created);
}

#[tokio::test]
async fn what_is_written_moves_along_with_a_rename() {
    let scene = scene();
    scene.sandbox.rename("acme/site", "acme/page").unwrap();
    let answer = scene.get("/repos/acme/site/issues?state=all").await;
    assert_eq!(answer.status(), 301);
    let location = answer.headers()["location"].to_str().unwrap();
    assert!(location.ends_with("/issues?state=all"), "{location}");
    assert_eq!(scene.json("/repos/acme/page/issues").await.as_array().unwrap().len(), 2);
    scene.sandbox.delete("acme/page").unwrap();
    assert_eq!(scene.get("/repos/acme/page/issues").await.status(), 404);
}

#[tokio::test]
async fn a_generator_and_another_sandbox_share_the_file() {
    let scene = scene();
    let folder = scene.sandbox.repositories();
    let description =
        GenerateIssues { repository: "acme/site".to_owned(), issues: 40, pulls: 20, ..GenerateIssues::default() };
    generate_issues(folder, &description).unwrap();
    let first = scene.sandbox.tracker("acme/site").model();
    assert_eq!(first.as_object().unwrap().len(), 60);
    let other = Sandbox::start(ghbk_sandbox::Options::new(folder)).unwrap();
    other.tracker("acme/site").edit_title(7, "Changed elsewhere");
    assert_eq!(scene.sandbox.tracker("acme/site").model()["7"]["title"], "Changed elsewhere");
    generate_issues(folder, &description).unwrap();
    assert_eq!(scene.sandbox.tracker("acme/site").model(), first, "the same seed gives the same issues");
    generate_issues(folder, &GenerateIssues { seed: 2, ..description }).unwrap();
    assert_ne!(scene.sandbox.tracker("acme/site").model(), first);
}

#[tokio::test]
#[should_panic(expected = "there is no issue or pull request 9")]
async fn a_test_that_changes_what_is_not_there_fails() {
    scene().sandbox.tracker("acme/site").close(9);
}

#[tokio::test]
async fn a_batch_is_visible_at_once_and_in_the_file_at_its_end() {
    let scene = scene();
    let other = Sandbox::start(ghbk_sandbox::Options::new(scene.sandbox.repositories())).unwrap();
    let site = scene.sandbox.tracker("acme/site");
    let number = site.batch(|site| {
        let number = site.open_issue("One of many", "");
        site.comment(number, "Quickly.");
        assert_eq!(site.model()["3"]["title"], "One of many");
        assert!(other.tracker("acme/site").model().get("3").is_none());
        number
    });
    assert_eq!(other.tracker("acme/site").model()[number.to_string()]["comments"][0]["body"], "Quickly.");
    site.close(number);
    assert_eq!(other.tracker("acme/site").model(), site.model());
}
