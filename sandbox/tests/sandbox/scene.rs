//! A sandbox in a folder of its own, a client for it, and git without the user's configuration.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ghbk_sandbox::{Generate, Options, RepositoryEditor, Sandbox, generate};
use reqwest::{Client, RequestBuilder, Response, redirect};
use serde_json::Value;
use tempfile::TempDir;

/// A sandbox with a folder that goes away with it.
pub(crate) struct Scene {
    pub(crate) sandbox: Sandbox,
    pub(crate) client: Client,
    folder: TempDir,
}

impl Scene {
    /// Starts a sandbox over the folder that `fill` makes, with options that `adapt` changes.
    pub(crate) fn with(fill: impl FnOnce(&Path), adapt: impl FnOnce(Options) -> Options) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let repositories = folder.path().join("repositories");
        std::fs::create_dir(&repositories).unwrap();
        fill(&repositories);
        let sandbox = Sandbox::start(adapt(Options::new(repositories))).unwrap();
        let client = Client::builder().redirect(redirect::Policy::none()).build().unwrap();
        Self { sandbox, client, folder }
    }

    /// Starts a sandbox with `acme/api`, which has one commit.
    pub(crate) fn one() -> Self {
        Self::with(|folder| drop(repository(folder, "acme/api")), |options| options)
    }

    /// Starts a sandbox with generated repositories.
    pub(crate) fn generated(description: &Generate) -> Self {
        Self::with(|folder| drop(generate(folder, description).unwrap()), |options| options)
    }

    /// Returns a folder beside the repositories.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Begins a request to the API with the token.
    pub(crate) fn request(&self, path: &str) -> RequestBuilder {
        self.client.get(format!("{}{path}", self.sandbox.api_url())).bearer_auth(self.sandbox.token())
    }

    /// Asks the API with the token.
    pub(crate) async fn get(&self, path: &str) -> Response {
        self.request(path).send().await.unwrap()
    }

    /// Asks the API for JSON with the token.
    pub(crate) async fn json(&self, path: &str) -> Value {
        self.get(path).await.json().await.unwrap()
    }

    /// Runs git with the token in a header.
    pub(crate) fn git(&self, arguments: &[&str]) -> Output {
        let credentials = STANDARD.encode(format!("x-access-token:{}", self.sandbox.token()));
        let header = format!("http.extraHeader=Authorization: Basic {credentials}");
        git(&[&["-c", header.as_str()], arguments].concat())
    }

    /// Mirrors a repository into a new folder, and returns git's output and the folder.
    pub(crate) fn mirror(&self, full_name: &str, target: &str) -> (Output, PathBuf) {
        let path = self.path(target);
        let url = format!("{}/{full_name}.git", self.sandbox.url());
        (self.git(&["clone", "--quiet", "--mirror", &url, path.to_str().unwrap()]), path)
    }
}

/// Makes a repository with one commit.
pub(crate) fn repository(folder: &Path, full_name: &str) -> RepositoryEditor {
    let editor = RepositoryEditor::create(folder.join(format!("{full_name}.git"))).unwrap();
    editor.commit("main", "README.md", full_name).unwrap();
    editor
}

/// Runs git without the user's configuration.
pub(crate) fn git(arguments: &[&str]) -> Output {
    Command::new("git")
        .args(["-c", "safe.directory=*"])
        .args(arguments)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("LC_ALL", "C")
        .output()
        .unwrap()
}

/// Fails with git's own words unless it succeeded.
#[track_caller]
pub(crate) fn succeeded(output: &Output) {
    assert!(output.status.success(), "{}", complaint(output));
}

/// Returns what git wrote on standard error.
pub(crate) fn complaint(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
