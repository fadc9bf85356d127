//! What a sandbox serves, to whom, and under which limits.

use std::path::PathBuf;

/// Says how a [`Sandbox`](crate::Sandbox) is to behave; start from [`Options::new`] and change the fields that matter.
#[derive(Debug, Clone)]
pub struct Options {
    /// The folder with `OWNER/NAME.git` bare repositories; it is the truth, read anew for each request.
    pub repositories: PathBuf,
    /// The one personal access token that is accepted.
    pub token: String,
    /// The login of the user whom the token belongs to.
    pub login: String,
    /// The port on 127.0.0.1; 0 takes a free one.
    pub port: u16,
    /// What `x-oauth-scopes` says; a token that begins with `github_pat_` has none, as at GitHub.
    pub scopes: String,
    /// How many REST requests an hour are allowed.
    pub rate_limit: u32,
    /// How many points an hour GraphQL may cost.
    pub graphql_rate_limit: u32,
    /// How many issues can be reached by `page`; beyond them only cursors lead on.
    pub issue_page_limit: usize,
    /// How many comments can be reached by pages at all.
    pub comment_page_limit: usize,
    /// The last part of the webhook's address.
    pub slack_secret: String,
    /// The GitHub App that may ask for installation tokens.
    pub app: Option<AppOptions>,
    /// Whether everything is served over TLS, with a certificate made for this sandbox.
    pub tls: bool,
    /// Whether that certificate is marked as an authority's, as the one is that GitHub Enterprise Server makes for itself.
    pub tls_as_authority: bool,
    /// Whether git's answers are kept and given again when a repository is what it was: a benchmark of clients should
    /// not wait for the server's processes.
    pub keep_answers: bool,
    /// How long the addresses of large files are good; GitHub's are for a day.
    pub lfs_lifetime_seconds: u64,
    /// What they are signed with.
    pub lfs_secret: String,
    /// How fast git may be asked before it refuses, if there is such a limit.
    pub git_pace: Option<GitPace>,
}

/// How fast git may be asked; what is too much is answered with 429 at once.
#[derive(Debug, Clone, Copy, Default)]
pub struct GitPace {
    /// Requests in any one second.
    pub per_second: Option<u32>,
    /// Requests whose answers have not ended.
    pub at_once: Option<u32>,
    /// What `Retry-After` says, in seconds; without it a refusal has no such header.
    pub retry_after: Option<u32>,
}

impl Options {
    /// Returns the defaults for the repositories in a folder.
    pub fn new(repositories: impl Into<PathBuf>) -> Self {
        Self { repositories: repositories.into(), ..Self::default() }
    }

    /// Replaces the personal access token.
    #[must_use]
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.token = token.into();
        self
    }

    /// Adds a GitHub App.
    #[must_use]
    pub fn app(mut self, app: AppOptions) -> Self {
        self.app = Some(app);
        self
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            repositories: PathBuf::from("."),
            token: "ghp_sandbox0000000000000000000000000000".to_owned(),
            login: "sandbox-user".to_owned(),
            port: 0,
            scopes: "repo, read:org".to_owned(),
            rate_limit: 5000,           // what GitHub gives a personal token
            graphql_rate_limit: 5000,   // GitHub's own
            issue_page_limit: 10_000,   // GitHub's own
            comment_page_limit: 30_000, // GitHub's own
            slack_secret: "sandboxsandboxsandboxsan".to_owned(),
            app: None,
            tls: false,
            tls_as_authority: false,
            keep_answers: false,
            lfs_lifetime_seconds: 24 * 3600,
            lfs_secret: "sandbox-signature".to_owned(),
            git_pace: None,
        }
    }
}

/// Describes a GitHub App and its one installation.
#[derive(Debug, Clone)]
pub struct AppOptions {
    /// The identifier that the signed token names as its issuer.
    pub app_id: u64,
    /// The installation for which tokens are given.
    pub installation_id: u64,
    /// The public half of the App's RSA key, in PEM.
    pub public_key_pem: String,
    /// How long an installation token lives; GitHub's live an hour.
    pub token_lifetime_seconds: u64,
    /// How long it is said to live, if not that long: a client that believes it asks for another sooner.
    pub stated_lifetime_seconds: Option<u64>,
    /// The owner whom the installation belongs to; `None` stands for every owner in the folder.
    pub account: Option<String>,
    /// The full names that were selected for the installation; `None` means all of them.
    pub selected: Option<Vec<String>>,
}

impl AppOptions {
    /// Returns an App whose installation reaches all repositories and whose tokens live an hour.
    pub fn new(app_id: u64, installation_id: u64, public_key_pem: impl Into<String>) -> Self {
        Self {
            app_id,
            installation_id,
            public_key_pem: public_key_pem.into(),
            token_lifetime_seconds: 3600,
            stated_lifetime_seconds: None,
            account: None,
            selected: None,
        }
    }
}
