//! Renamed repositories and what their old names lead to.

use ghbk_sandbox::RepositoryEditor;

use crate::scene::{Scene, repository, succeeded};

#[tokio::test]
async fn the_api_redirects_to_the_number() {
    let scene = Scene::one();
    let id = scene.json("/repos/acme/api").await["id"].as_u64().unwrap();
    scene.sandbox.rename("acme/api", "acme/gateway").unwrap();
    let response = scene.get("/repos/acme/api").await;
    assert_eq!(response.status(), 301);
    let location = response.headers()["location"].to_str().unwrap();
    assert_eq!(location, format!("{}/repositories/{id}", scene.sandbox.api_url()));
    assert_eq!(scene.json(&format!("/repositories/{id}")).await["full_name"], "acme/gateway");
    assert_eq!(scene.json("/repos/acme/gateway").await["id"].as_u64(), Some(id));
}

#[test]
fn git_follows_the_old_name() {
    let scene = Scene::one();
    scene.sandbox.rename("acme/api", "acme/middle").unwrap();
    scene.sandbox.rename("acme/middle", "other/gateway").unwrap();
    let (cloned, path) = scene.mirror("acme/api", "mirror");
    succeeded(&cloned);
    let tip = scene.sandbox.edit("other/gateway").rev_parse("main").unwrap();
    assert_eq!(RepositoryEditor::open(path).rev_parse("main").unwrap(), tip);
    assert!(scene.sandbox.requests().iter().any(|request| request.status == 301));
}

#[tokio::test]
async fn a_reused_name_breaks_the_redirect() {
    let scene = Scene::one();
    let id = scene.json("/repos/acme/api").await["id"].as_u64();
    scene.sandbox.rename("acme/api", "acme/gateway").unwrap();
    repository(scene.sandbox.repositories(), "acme/api");
    let reused = scene.json("/repos/acme/api").await;
    assert_eq!(reused["full_name"], "acme/api");
    assert_ne!(reused["id"].as_u64(), id);
}

#[test]
fn a_wiki_moves_along_and_a_taken_name_is_refused() {
    let scene = Scene::one();
    repository(scene.sandbox.repositories(), "acme/api.wiki");
    repository(scene.sandbox.repositories(), "acme/taken");
    assert!(scene.sandbox.rename("acme/api", "acme/taken").is_err());
    scene.sandbox.rename("acme/api", "acme/gateway").unwrap();
    succeeded(&scene.mirror("acme/gateway.wiki", "wiki").0);
    succeeded(&scene.mirror("acme/api.wiki", "redirected").0);
}
