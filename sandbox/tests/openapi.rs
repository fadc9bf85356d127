//! Holds every answer of the REST API to the description that GitHub publishes.
//!
//! Prism stands between this test and the sandbox as a proxy, and turns an answer that breaks the description into a
//! 500 that lists what is wrong.
#![expect(clippy::unwrap_used, reason = "a test that cannot set its scene has failed")]

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ghbk_sandbox::{AppOptions, Generate, Options, RepositoryEditor, Sandbox, generate};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use reqwest::{Client, redirect};
use serde_json::{Value, json};

/// Prism reads 13 MB of description first: 15 s on two idle processors.
const PATIENCE: Duration = Duration::from_mins(2);

/// Where npm put Prism and the description.
fn modules() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("openapi/node_modules")
}

/// The proxy, ended with the test.
struct Prism {
    child: Child,
    url: String,
}

impl Prism {
    /// Starts Prism before a server, and waits until it answers.
    async fn before(server: &str) -> Self {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        // The script itself, not the link beside it: node must be the process that is ended.
        let child = Command::new("node")
            .arg(modules().join("@stoplight/prism-cli/dist/index.js"))
            .args(["proxy", "--errors", "-h", "127.0.0.1", "-p", &port.to_string()])
            .arg(modules().join("@octokit/openapi/generated/api.github.com.json"))
            .arg(server)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut prism = Self { child, url: format!("http://127.0.0.1:{port}") };
        let start = Instant::now();
        while Client::new().get(format!("{}/rate_limit", prism.url)).send().await.is_err() {
            assert!(prism.child.try_wait().unwrap().is_none(), "prism ended by itself");
            assert!(start.elapsed() < PATIENCE, "prism is not ready after {PATIENCE:?}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        prism
    }
}

impl Drop for Prism {
    fn drop(&mut self) {
        // It may have ended by itself; the assertion that failed then says more than this error would.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns a token signed by the App.
fn signed(app: u64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let claims = json!({"iss": app.to_string(), "iat": now - 60, "exp": now + 540});
    let key = EncodingKey::from_rsa_pem(include_bytes!("app.test-key.pem")).unwrap();
    encode(&Header::new(Algorithm::RS256), &claims, &key).unwrap()
}

/// Fills a folder with every kind of repository and owner.
fn fill(folder: &Path) {
    generate(folder, &Generate { count: 6, ..Generate::default() }).unwrap();
    let odd = RepositoryEditor::open(folder.join("acme/repository-001.git"));
    odd.set("fork", "true").unwrap();
    odd.set("disabled", "true").unwrap();
    odd.set("formerName", "acme/former").unwrap();
    RepositoryEditor::create(folder.join("alice/dotfiles.git")).unwrap().set("private", "false").unwrap();
    std::fs::write(folder.join("alice/.user"), "").unwrap();
}

/// Writes every kind of issue and pull request into `acme/repository-001`, and nothing into the others.
fn write(sandbox: &Sandbox) {
    let site = sandbox.tracker("acme/repository-001");
    site.create_label("good first/issue ✓", "7057ff");
    let milestone = site.create_milestone("1.0");
    let plain = site.open_issue("Plain", "");
    let full = site.open_issue("Full", "With a [link](https://example.com) and ✓");
    site.add_label(full, "good first/issue ✓");
    site.set_milestone(full, Some(milestone));
    site.react(full, "+1");
    site.lock(full);
    site.close(full);
    site.reopen(plain);
    let merged = site.open_pull("Merged", "Words", "feature/one", "main");
    site.set_milestone(merged, Some(milestone));
    site.add_label(merged, "good first/issue ✓");
    site.review(merged, "APPROVED", "");
    let on_line = site.review_comment(merged, "src/module_001.txt", 3, "Why?");
    site.reply_to_review(on_line, "Because.");
    site.merge(merged);
    // From here on a person acts whose account was deleted.
    site.set_author(None);
    let ghost = site.open_issue("By nobody", "");
    site.close(ghost);
    let comment = site.comment(full, "By nobody, too");
    site.minimize_comment(comment);
    site.react_to_comment(comment, "heart");
    site.review(merged, "CHANGES_REQUESTED", "No.");
    site.reply_to_review(on_line, "Still.");
    site.create_milestone("2.0");
    let gone = site.open_issue("Gone", "");
    site.delete_issue(gone);
    sandbox.tracker("acme/repository-002").disable_issues(true);
}

#[tokio::test]
async fn every_answer_fits_githubs_description() {
    if !modules().is_dir() {
        assert!(std::env::var_os("GHBK_TEST_REQUIRE_ALL").is_none(), "prism is not installed: run scripts/test");
        eprintln!("skipped: run scripts/test, which installs prism");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    fill(folder.path());
    let app = AppOptions::new(4711, 42, include_str!("app.test-key.pub.pem"));
    let sandbox = Sandbox::start(Options::new(folder.path()).app(app)).unwrap();
    let prism = Prism::before(sandbox.url()).await;
    write(&sandbox);
    sandbox.clear_requests();
    let client = Client::builder().redirect(redirect::Policy::none()).build().unwrap();
    let mut problems = Vec::new();
    let mut ask = async |method: &str, path: &str, token: &str, expected: u16| -> Value {
        let method = method.parse().unwrap();
        let mut request = client.request(method, format!("{}{path}", prism.url)).header("user-agent", "test");
        if !token.is_empty() {
            request = request.bearer_auth(token);
        }
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        let text = response.text().await.unwrap();
        if status != expected {
            problems.push(format!("{path}: {status} in place of {expected}: {text}"));
        }
        serde_json::from_str(&text).unwrap_or_default()
    };

    let token = sandbox.token();
    for path in [
        "/user",
        "/user/repos",
        "/user/repos?per_page=2&page=2",
        "/users/alice",
        "/users/acme",
        "/users/alice/repos",
        "/orgs/acme",
        "/orgs/acme/repos",
        "/orgs/acme/repos?type=private&per_page=100",
        "/repos/acme/repository-001",
        "/repos/acme/repository-006",
        "/repos/alice/dotfiles",
        "/rate_limit",
    ] {
        ask("GET", path, token, 200).await;
    }
    ask("GET", "/orgs/acme", "", 200).await;
    ask("GET", "/user", "", 401).await;
    ask("GET", "/user", "wrong", 401).await;
    ask("GET", "/user/repos?type=all&visibility=all", token, 422).await;
    ask("GET", "/orgs/nobody", token, 404).await;
    ask("GET", "/users/nobody", token, 404).await;
    ask("GET", "/repos/acme/none", token, 404).await;
    // Prism follows the redirect itself.
    ask("GET", "/repos/acme/former", token, 200).await;
    ask("GET", "/installation/repositories", token, 403).await;

    for path in [
        "issues",
        "issues?state=all&sort=updated&direction=asc&since=2020-01-01T00:00:00Z&per_page=100",
        "issues?state=all&per_page=2",
        "issues/1",
        "issues/2",
        "issues/3",
        "issues/4",
        "issues/comments",
        "issues/comments?sort=updated&direction=asc&per_page=1&page=1",
        "issues/2/comments",
        "pulls?state=all",
        "pulls?state=closed&sort=updated&direction=desc",
        "pulls/3",
        "pulls/comments?sort=updated&direction=asc",
        "pulls/3/comments",
        "pulls/3/reviews",
        "labels",
        "milestones?state=all",
    ] {
        let found = ask("GET", &format!("/repos/acme/repository-001/{path}"), token, 200).await;
        assert!(found.as_array().is_none_or(|list| !list.is_empty()), "{path} shows something");
    }
    for path in ["issues", "issues/comments", "pulls", "pulls/comments", "labels", "milestones"] {
        ask("GET", &format!("/repos/acme/repository-003/{path}"), token, 200).await;
    }
    ask("GET", "/repos/acme/repository-001/issues/5", token, 410).await;
    ask("GET", "/repos/acme/repository-001/issues/6", token, 404).await;
    ask("GET", "/repos/acme/repository-001/pulls/1", token, 404).await;
    ask("GET", "/repos/acme/repository-002/issues/1", token, 410).await;
    ask("GET", "/repos/acme/repository-001/issues?page=101&per_page=100", token, 422).await;
    ask("GET", "/repos/acme/repository-001/issues/comments?page=301&per_page=100", token, 422).await;
    // Its description knows neither a fork that is gone nor a pull request by a deleted account, both of which there are.

    let signed = signed(4711);
    ask("GET", "/app", &signed, 200).await;
    // Not the list of installations: its description demands an account that is a user and an enterprise at once.
    ask("GET", "/app/installations/42", &signed, 200).await;
    ask("GET", "/app/installations/43", &signed, 404).await;
    let issued = ask("POST", "/app/installations/42/access_tokens", &signed, 201).await;
    ask("POST", "/app/installations/42/access_tokens", token, 401).await;
    let installation = issued["token"].as_str().unwrap_or_default();
    ask("GET", "/installation/repositories", installation, 200).await;
    ask("GET", "/orgs/acme/repos", installation, 200).await;

    sandbox.set_rate_limit_remaining(0);
    ask("GET", "/user", token, 403).await;

    assert!(problems.is_empty(), "{}", problems.join("\n\n"));
    assert!(sandbox.requests().len() > 25, "prism passed the requests on");
}
