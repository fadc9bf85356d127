//! What benchmarks ask of a sandbox: TLS, counted traffic, and git's answers given again.

use std::process::Command;

use ghbk_sandbox::{Generate, Traffic};

use crate::scene::{Scene, repository, succeeded};

#[test]
fn git_clones_over_tls_when_it_trusts_the_certificate() {
    let scene = Scene::with(
        |folder| drop(repository(folder, "acme/api")),
        |mut options| {
            options.tls = true;
            options
        },
    );
    let certificate = scene.path("certificate.pem");
    std::fs::write(&certificate, scene.sandbox.certificate().unwrap()).unwrap();
    let url = scene.sandbox.url().replace("https://", &format!("https://x:{}@", scene.sandbox.token()));
    let ls_remote = |trusted: &str| {
        let mut git = Command::new("git");
        git.args(["ls-remote", &format!("{url}/acme/api.git")]).env("GIT_SSL_CAINFO", trusted);
        git.env("GIT_CONFIG_GLOBAL", "/dev/null").output().unwrap()
    };
    let trusting = ls_remote(certificate.to_str().unwrap());
    succeeded(&trusting);
    assert!(String::from_utf8_lossy(&trusting.stdout).contains("refs/heads/main"));
    assert!(!ls_remote("/dev/null").status.success());
}

#[test]
fn an_answer_is_given_again_until_a_ref_changes() {
    let scene = Scene::with(
        |folder| drop(ghbk_sandbox::generate(folder, &Generate { count: 1, empty: false, ..Generate::default() })),
        |mut options| {
            options.keep_answers = true;
            options
        },
    );
    let origin = scene.sandbox.edit("acme/repository-001");
    for round in 0..3 {
        for again in 0..2 {
            let (output, path) = scene.mirror("acme/repository-001", &format!("mirror-{round}-{again}"));
            succeeded(&output);
            let mirror = ghbk_sandbox::RepositoryEditor::open(path);
            assert_eq!(mirror.refs().unwrap(), origin.refs().unwrap());
            mirror.git(&["fsck", "--strict"]).unwrap();
        }
        origin.commit("main", "file", &round.to_string()).unwrap();
    }
}

#[tokio::test]
async fn traffic_is_counted() {
    let scene = Scene::one();
    assert_eq!(scene.sandbox.traffic(), Traffic::default());
    for _ in 0..2 {
        scene.get("/user").await.bytes().await.unwrap();
    }
    let traffic = scene.sandbox.traffic();
    assert_eq!(traffic.connections, 1);
    assert!(traffic.bytes_received > 100 && traffic.bytes_sent > 1000, "{traffic:?}");
    let url = format!("{}/_sandbox/traffic", scene.sandbox.url());
    assert!(scene.client.get(&url).send().await.unwrap().json::<Traffic>().await.unwrap().bytes_sent > 1000);
    scene.client.delete(&url).send().await.unwrap();
    assert!(scene.sandbox.traffic().bytes_sent < 1000);
}
