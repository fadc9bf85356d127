//! The real git as client.

use std::os::unix::process::CommandExt as _;
use std::process::Stdio;
use std::time::{Duration, Instant};

use ghbk_sandbox::{Fault, Generate, RepositoryEditor, generate};
use rustix::process::{Pid, Signal, kill_process_group};

use crate::scene::{self, Scene, complaint, repository, succeeded};

#[test]
fn a_mirror_has_every_ref() {
    let scene = Scene::generated(&Generate::default());
    let origin = scene.sandbox.edit("acme/repository-001");
    for (protocol, target) in [("0", "v0"), ("2", "v2")] {
        let path = scene.path(target);
        let url = format!("{}/acme/repository-001", scene.sandbox.url()); // GitHub does not need the suffix
        let setting = format!("protocol.version={protocol}");
        succeeded(&scene.git(&["-c", &setting, "clone", "--quiet", "--mirror", &url, path.to_str().unwrap()]));
        let mirror = RepositoryEditor::open(path);
        assert_eq!(mirror.refs().unwrap(), origin.refs().unwrap());
        mirror.git(&["fsck", "--strict"]).unwrap();
    }
    let refs: Vec<_> = origin.refs().unwrap().into_iter().map(|(name, _)| name).collect();
    for name in ["refs/heads/feature/one", "refs/notes/commits", "refs/pull/1/merge", "refs/tags/v1.0.0"] {
        assert!(refs.iter().any(|known| known == name), "{name}");
    }
    assert!(scene.sandbox.requests().iter().all(|request| request.git));
}

#[test]
fn an_empty_repository_and_a_wiki_can_be_mirrored() {
    let scene = Scene::generated(&Generate::default());
    succeeded(&scene.mirror("acme/repository-005", "empty").0);
    succeeded(&scene.mirror("acme/repository-001.wiki", "wiki").0);
    let (unwritten, _) = scene.mirror("acme/repository-002.wiki", "none");
    assert!(complaint(&unwritten).contains("not found"), "{}", complaint(&unwritten));
}

#[tokio::test]
async fn strangers_are_asked_for_a_password() {
    let scene = Scene::with(
        |folder| {
            repository(folder, "acme/secret");
            repository(folder, "acme/open").set("private", "false").unwrap();
        },
        |options| options,
    );
    let refs = |name: &str| {
        scene.client.get(format!("{}/acme/{name}.git/info/refs?service=git-upload-pack", scene.sandbox.url()))
    };
    for name in ["secret", "none"] {
        let response = refs(name).send().await.unwrap();
        assert_eq!(response.status(), 401);
        assert_eq!(response.headers()["www-authenticate"], "Basic realm=\"GitHub\"");
    }
    assert_eq!(refs("open").send().await.unwrap().status(), 200);
    assert_eq!(refs("open").basic_auth("x", Some("wrong")).send().await.unwrap().status(), 401);
    assert_eq!(refs("secret").basic_auth("x", Some(scene.sandbox.token())).send().await.unwrap().status(), 200);
    let unknown = refs("none").basic_auth("x", Some(scene.sandbox.token())).send().await.unwrap();
    assert_eq!(unknown.status(), 404);
    assert_eq!(unknown.text().await.unwrap(), "Repository not found.");
    let outside = format!("{}/acme/%2e%2e%2facme%2fsecret/info/refs?service=git-upload-pack", scene.sandbox.url());
    let outside = scene.client.get(outside).basic_auth("x", Some(scene.sandbox.token())).send().await.unwrap();
    assert_eq!(outside.status(), 404);
}

#[test]
fn git_itself_sends_the_password_when_asked() {
    let scene = Scene::one();
    let url = scene.sandbox.url().replace("http://", &format!("http://x-access-token:{}@", scene.sandbox.token()));
    succeeded(&scene::git(&["ls-remote", &format!("{url}/acme/api.git")]));
    let statuses: Vec<_> = scene.sandbox.requests().iter().map(|request| request.status).collect();
    assert_eq!(statuses[0], 401, "git sends credentials only after it was asked");
    assert!(statuses[1..].iter().all(|status| *status == 200));
}

#[test]
fn pushing_is_refused() {
    let scene = Scene::one();
    let (cloned, path) = scene.mirror("acme/api", "mirror");
    succeeded(&cloned);
    let url = format!("{}/acme/api.git", scene.sandbox.url());
    let pushed = scene.git(&["-C", path.to_str().unwrap(), "push", &url, "main:refs/heads/other"]);
    assert!(!pushed.status.success());
    assert!(complaint(&pushed).contains("403"), "{}", complaint(&pushed));
}

#[test]
fn archived_repositories_are_readable_and_disabled_ones_are_not() {
    let scene = Scene::one();
    scene.sandbox.edit("acme/api").set("archived", "true").unwrap();
    succeeded(&scene.mirror("acme/api", "archived").0);
    scene.sandbox.edit("acme/api").set("disabled", "true").unwrap();
    assert!(complaint(&scene.mirror("acme/api", "disabled").0).contains("403"));
}

#[test]
fn a_fetch_takes_what_changed() {
    let scene = Scene::one();
    let origin = scene.sandbox.edit("acme/api");
    let old = origin.rev_parse("main").unwrap();
    let (cloned, path) = scene.mirror("acme/api", "mirror");
    succeeded(&cloned);
    let rewritten = origin.force_push("main").unwrap();
    let tag = origin.annotated_tag("v1", "main").unwrap();
    succeeded(&scene.git(&["-C", path.to_str().unwrap(), "fetch", "--quiet", "--prune"]));
    let mirror = RepositoryEditor::open(path);
    assert_ne!(old, rewritten);
    assert_eq!(mirror.rev_parse("main").unwrap(), rewritten);
    assert_eq!(mirror.rev_parse("refs/tags/v1").unwrap(), tag);
    origin.delete_ref("refs/tags/v1").unwrap();
    assert_eq!(origin.refs().unwrap(), [("refs/heads/main".to_owned(), rewritten)]);
}

#[test]
fn a_damaged_pack_breaks_the_fetch_but_not_the_list_of_refs() {
    let scene = Scene::generated(&Generate { count: 2, ..Generate::default() });
    let damaged = scene.sandbox.edit("acme/repository-001").corrupt_object().unwrap();
    assert!(!damaged.is_empty());
    let url = format!("{}/acme/repository-001.git", scene.sandbox.url());
    succeeded(&scene.git(&["ls-remote", &url]));
    let (cloned, _) = scene.mirror("acme/repository-001", "mirror");
    assert!(!cloned.status.success());
}

#[test]
fn a_large_pack_streams_through() {
    let scene = Scene::one();
    let origin = scene.sandbox.edit("acme/api");
    let tip = origin.commit("main", "large", &large()).unwrap();
    let (cloned, path) = scene.mirror("acme/api", "mirror");
    succeeded(&cloned);
    assert_eq!(RepositoryEditor::open(path).rev_parse("main").unwrap(), tip);
}

#[test]
fn many_clients_are_served_at_once() {
    let scene = Scene::with(
        |folder| drop(generate(folder, &Generate { count: 8, ..Generate::default() }).unwrap()),
        |options| options,
    );
    std::thread::scope(|scope| {
        for number in 1..=8 {
            let scene = &scene;
            scope.spawn(move || {
                succeeded(&scene.mirror(&format!("acme/repository-{number:03}"), &format!("{number}")).0);
            });
        }
    });
}

/// Returns 8 MiB that do not compress to nothing: the numbers of a linear congruence.
fn large() -> String {
    let mut state = 1_u64;
    std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        format!("{state:016x}")
    })
    .take(512 * 1024)
    .collect()
}

/// Nobody may be left computing for a client that went away.
#[test]
fn a_client_that_leaves_ends_the_servers_git() {
    let scene = Scene::one();
    // More than fits between git and its client, so that git is still there when the client leaves.
    scene.sandbox.edit("acme/api").commit("main", "large", &large()).unwrap();
    // The first request only lists refs.
    scene.sandbox.fault(Fault::on("*/git-upload-pack").skip(1).stall_body(10));
    let url = format!("{}/acme/api.git", scene.sandbox.url());
    let header = format!("http.extraHeader=Authorization: Bearer {}", scene.sandbox.token());
    let mut client = std::process::Command::new("git")
        .args(["-c", &header, "clone", "--quiet", "--mirror", &url])
        .arg(scene.path("mirror"))
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .unwrap();
    let served = || servers(scene.sandbox.repositories().canonicalize().unwrap().to_str().unwrap());
    let wait = |wanted: &str, condition: &dyn Fn() -> bool| {
        let start = Instant::now();
        while !condition() {
            assert!(start.elapsed() < Duration::from_secs(20), "{wanted}");
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    wait("the pack is asked for", &|| {
        scene.sandbox.requests().iter().filter(|request| request.path.ends_with("git-upload-pack")).count() == 2
    });
    assert_ne!(served(), 0, "git waits for its client");
    // The whole group: the connection belongs to a helper that git started.
    kill_process_group(Pid::from_child(&client), Signal::KILL).unwrap();
    client.wait().unwrap();
    wait("the server's git ends", &|| served() == 0);
}

/// Counts the processes that serve a folder, by their environment.
fn servers(folder: &str) -> usize {
    let root = format!("GIT_PROJECT_ROOT={folder}");
    std::fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|entry| std::fs::read(entry.path().join("environ")).ok())
        .filter(|environment| environment.split(|byte| *byte == 0).any(|variable| variable == root.as_bytes()))
        .count()
}
