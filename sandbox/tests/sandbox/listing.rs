//! Listings: complete over all pages, filtered as GitHub filters.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use ghbk_sandbox::Generate;
use serde_json::Value;

use crate::scene::{Scene, repository};

/// Returns the target of `rel="next"`.
pub(crate) fn next(response: &reqwest::Response) -> Option<String> {
    let link = response.headers().get("link")?.to_str().unwrap();
    let next = link.split(", ").find(|part| part.ends_with("rel=\"next\""))?;
    Some(next.split(['<', '>']).nth(1).unwrap().to_owned())
}

fn names(listing: &Value) -> Vec<&str> {
    listing.as_array().unwrap().iter().map(|repository| repository["full_name"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn two_hundred_repositories_come_over_all_pages_by_link() {
    let many = Generate { count: 200, commits_each: 1, ..Generate::default() };
    let scene = Scene::generated(&many);
    for prefix in ["", "/api/v3"] {
        let mut address = Some(format!("{}{prefix}/orgs/acme/repos?per_page=30", scene.sandbox.url()));
        let (mut ids, mut pages) = (HashSet::new(), 0);
        while let Some(url) = address {
            assert!(url.contains(&format!("{prefix}/orgs/")), "the prefix stays: {url}");
            let response = scene.client.get(url).bearer_auth(scene.sandbox.token()).send().await.unwrap();
            assert_eq!(response.status(), 200);
            address = next(&response);
            pages += 1;
            let page: Value = response.json().await.unwrap();
            ids.extend(page.as_array().unwrap().iter().map(|repository| repository["id"].as_u64().unwrap()));
        }
        assert_eq!((pages, ids.len()), (7, 200));
    }
    let start = Instant::now();
    scene.get("/orgs/acme/repos?per_page=100").await.bytes().await.unwrap();
    assert!(start.elapsed() < Duration::from_secs(2), "a listing must not start a process for each repository");
}

#[tokio::test]
async fn a_number_stays_with_its_repository() {
    let scene = Scene::one();
    let id = scene.json("/repos/acme/api").await["id"].as_u64().unwrap();
    let folder = scene.sandbox.repositories().join("acme");
    std::fs::rename(folder.join("api.git"), folder.join("moved.git")).unwrap();
    assert_eq!(scene.json("/repos/acme/moved").await["id"].as_u64(), Some(id));
    assert_eq!(scene.json(&format!("/repositories/{id}")).await["full_name"], "acme/moved");
}

#[tokio::test]
async fn a_copied_repository_gets_a_number_of_its_own() {
    let scene = Scene::one();
    let id = scene.json("/repos/acme/api").await["id"].clone();
    let copy = repository(scene.sandbox.repositories(), "acme/copy");
    copy.set("id", &id.to_string()).unwrap();
    assert_eq!(scene.json("/repos/acme/api").await["id"], id);
    assert_ne!(scene.json("/repos/acme/copy").await["id"], id);
}

#[tokio::test]
async fn the_config_of_a_repository_says_what_github_knows() {
    let scene = Scene::one();
    let editor = scene.sandbox.edit("acme/api");
    editor.set("archived", "true").unwrap();
    editor.set("private", "false").unwrap();
    editor.set("hasWiki", "false").unwrap();
    editor.set("description", "a \"quoted\" # word").unwrap();
    editor.commit("trunk", "a", "a").unwrap();
    editor.set_default_branch("trunk").unwrap();
    let repository = scene.json("/repos/acme/api").await;
    assert_eq!(repository["archived"], true);
    assert_eq!(repository["private"], false);
    assert_eq!(repository["visibility"], "public");
    assert_eq!(repository["has_wiki"], false);
    assert_eq!(repository["description"], "a \"quoted\" # word");
    assert_eq!(repository["default_branch"], "trunk");
    assert_eq!(editor.git(&["config", "sandbox.description"]).unwrap(), "a \"quoted\" # word");
}

#[tokio::test]
async fn filters_work_as_documented() {
    let scene = Scene::with(
        |folder| {
            repository(folder, "acme/open").set("private", "false").unwrap();
            repository(folder, "acme/secret");
            repository(folder, "acme/fork").set("fork", "true").unwrap();
            repository(folder, "alice/dotfiles").set("private", "false").unwrap();
            repository(folder, "alice/diary");
            std::fs::write(folder.join("alice/.user"), "").unwrap();
        },
        |options| options,
    );
    let list = async |path: &str| scene.json(path).await;
    assert_eq!(names(&list("/orgs/acme/repos").await), ["acme/fork", "acme/open", "acme/secret"]);
    assert_eq!(names(&list("/orgs/acme/repos?type=public").await), ["acme/open"]);
    assert_eq!(names(&list("/orgs/acme/repos?type=sources").await), ["acme/open", "acme/secret"]);
    assert_eq!(names(&list("/users/alice/repos").await), ["alice/dotfiles"]);
    assert_eq!(names(&list("/user/repos").await).len(), 5);
    assert_eq!(names(&list("/user/repos?affiliation=collaborator").await), ["alice/diary", "alice/dotfiles"]);
    assert_eq!(names(&list("/user/repos?visibility=public").await), ["acme/open", "alice/dotfiles"]);
    assert_eq!(scene.get("/user/repos?type=all&visibility=all").await.status(), 422);
    assert_eq!(scene.get("/orgs/acme/repos?per_page=many").await.status(), 422);
    for path in ["/orgs/nobody/repos", "/orgs/alice/repos", "/users/nobody/repos", "/orgs/alice"] {
        assert_eq!(scene.get(path).await.status(), 404, "{path}");
    }
}

#[tokio::test]
async fn a_deleted_repository_is_gone() {
    let scene = Scene::one();
    scene.sandbox.delete("acme/api").unwrap();
    assert_eq!(scene.get("/repos/acme/api").await.status(), 404);
    assert!(names(&scene.json("/orgs/acme/repos").await).is_empty());
    assert!(scene.sandbox.delete("../outside").is_err());
}

#[tokio::test]
async fn every_answer_says_what_is_left_of_the_limit() {
    let scene = Scene::one();
    let remaining = |response: &reqwest::Response| -> u32 {
        response.headers()["x-ratelimit-remaining"].to_str().unwrap().parse().unwrap()
    };
    let first = scene.get("/user").await;
    assert_eq!(remaining(&first), 4999);
    assert_eq!(first.headers()["x-oauth-scopes"], "repo, read:org");
    assert!(first.headers().contains_key("x-github-request-id"));
    assert_eq!(remaining(&scene.get("/repos/acme/none").await), 4998);
    assert_eq!(remaining(&scene.get("/rate_limit").await), 4998, "asking for the limit is free");
    scene.sandbox.set_rate_limit_remaining(1);
    assert_eq!(scene.get("/user").await.status(), 200);
    let limited = scene.get("/user").await;
    assert_eq!((limited.status().as_u16(), remaining(&limited)), (403, 0));
    assert!(limited.json::<Value>().await.unwrap()["message"].as_str().unwrap().contains("rate limit"));
}
