//! What a command needs to speak to GitHub: its clients and its git server, made from the configuration, and the inventory.

use std::sync::Arc;

use chrono::Utc;
use secrecy::SecretString;

use crate::config::{Config, ScheduleConfig};
use crate::git::refs::RefFilter;
use crate::git::wire::server::{GitServer, git_base};
use crate::github::{self, GitHub, GitHubError, GraphQl, Inventory};
use crate::large_files::server::LfsServer;
use crate::limits::Gate;
use crate::names::FullName;
use crate::schedule::Schedule;

/// Speaks to GitHub for one run.
#[derive(Debug)]
pub struct Outside {
    github: Arc<GitHub>,
    graphql: Arc<GraphQl>,
    server: Arc<GitServer>,
    lfs: LfsServer,
    gate: Arc<Gate>,
}

impl Outside {
    /// Prepares the clients of a run.
    ///
    /// # Errors
    /// [`GitHubError::Setup`] if TLS or the app's key is unusable.
    pub fn new(config: &Config, secret: &SecretString, http: reqwest::Client) -> Result<Self, GitHubError> {
        let setup = |reason: String| GitHubError::Setup(reason);
        let api_url: url::Url = config.github.api_url.parse().map_err(|error| setup(format!("{error}")))?;
        let gate = Arc::new(Gate::new(&config.limits));
        let api = github::Api::new(api_url.clone(), http.clone(), Arc::clone(&gate), config.limits.stall_timeout);
        let api = Arc::new(api);
        let credentials = match (config.github.auth, config.github.app_id, config.github.installation_id) {
            (crate::config::AuthKind::App, Some(app_id), Some(installation_id)) => {
                let identity = github::AppIdentity { app_id, installation_id, key: secret.clone() };
                github::Credentials::app(&identity, Arc::clone(&api))?
            }
            _ => github::Credentials::token_of(secret.clone()),
        };
        let credentials = Arc::new(credentials);
        let refs = RefFilter::new(&config.github.refs_exclude).map_err(|error| setup(error.to_string()))?;
        let lfs = LfsServer::new(git_base(&api_url), http.clone(), Arc::clone(&credentials), Arc::clone(&gate));
        let server = Arc::new(GitServer::new(
            &api_url,
            http,
            Arc::clone(&credentials),
            Arc::clone(&gate),
            config.limits.repository_size,
            refs,
        ));
        let graphql = GraphQl::new(Arc::clone(&api), Arc::clone(&credentials), config.limits.retries);
        let github = GitHub::new(api, credentials, config.limits.retries);
        Ok(Self { github: Arc::new(github), graphql: Arc::new(graphql), server, lfs, gate })
    }

    /// Returns the git server's host, with the port if it is not the usual one.
    pub fn git_host(&self) -> &str {
        self.server.host()
    }

    /// Says that the token ends soon, or before the next scheduled run, if GitHub said when it ends.
    pub fn expiry(&self, schedule: &ScheduleConfig) -> Option<String> {
        let notices = self.github.notices();
        let schedule = Schedule::new(&schedule.cron, schedule.timezone).ok();
        let now = notices.as_of.unwrap_or_else(Utc::now);
        notices.expiry(schedule.and_then(|schedule| schedule.next_after(now)))
    }

    /// Returns the git server.
    pub(crate) fn server(&self) -> &Arc<GitServer> {
        &self.server
    }

    /// Returns the server of large files.
    pub(crate) fn lfs(&self) -> &LfsServer {
        &self.lfs
    }

    /// Returns what every request waits for.
    pub(crate) fn gate(&self) -> &Arc<Gate> {
        &self.gate
    }

    /// Returns the REST API's client.
    pub fn github(&self) -> &Arc<GitHub> {
        &self.github
    }

    /// Returns the GraphQL API's client.
    pub(crate) fn graphql(&self) -> &Arc<GraphQl> {
        &self.graphql
    }
}

/// Takes the inventory that a request asks for; `known` lists what has a mirror.
pub async fn take_inventory(
    config: &Config,
    outside: &Outside,
    selection: &[FullName],
    known: &github::Known,
) -> Inventory {
    if selection.is_empty() {
        // The configuration check has already built these globs.
        match github::Filter::new(&config.github) {
            Ok(filter) => github::list(&outside.github, &config.github, &filter, known).await,
            Err(error) => {
                let mut inventory = Inventory::default();
                inventory.failures.push(github::ListingFailure {
                    subject: "github.include and github.exclude".to_owned(),
                    error: error.to_string(),
                    hint: "write simpler globs".to_owned(),
                    unauthorized: false,
                    is_of_repository: false,
                });
                inventory
            }
        }
    } else {
        github::look_up(&outside.github, selection, known).await
    }
}
