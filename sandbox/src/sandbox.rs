//! The handle by which a test holds its GitHub.

use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};

use crate::faults::Fault;
use crate::fixtures::RepositoryEditor;
use crate::graphql::GraphqlLimits;
use crate::options::Options;
use crate::records::RecordedRequest;
use crate::repositories;
use crate::server::{self, Host, Traffic};
use crate::slack::SlackMessage;
use crate::state::State;
use crate::tracker::Tracker;

/// Serves a folder of bare repositories as GitHub would, until it is dropped.
///
/// It has a runtime of its own. So it works in a test without one, and a test that blocks its thread while it waits
/// for a `git` or `ghbk` process does not block the answers to that process.
pub struct Sandbox {
    state: Arc<State>,
    certificate: Option<String>,
    /// An `Option` only so that `Drop` can take it.
    runtime: Option<Runtime>,
}

impl Sandbox {
    /// Binds 127.0.0.1 and begins to serve.
    pub fn start(options: Options) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, options.port))?;
        listener.set_nonblocking(true)?;
        let (scheme, tls, certificate) = if options.tls {
            let (acceptor, certificate) = server::acceptor(options.tls_as_authority)?;
            ("https", Some(acceptor), Some(certificate))
        } else {
            ("http", None, None)
        };
        let media_listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        media_listener.set_nonblocking(true)?;
        let url = format!("{scheme}://{}", listener.local_addr()?);
        let media_url = format!("{scheme}://{}", media_listener.local_addr()?);
        let state = Arc::new(State::new(options, url, media_url));
        let runtime = Builder::new_multi_thread().worker_threads(2).thread_name("sandbox").enable_all().build()?;
        runtime.spawn(server::serve(listener, tls.clone(), Arc::clone(&state), Host::Main));
        runtime.spawn(server::serve(media_listener, tls, Arc::clone(&state), Host::Media));
        Ok(Self { state, certificate, runtime: Some(runtime) })
    }

    /// Returns the address of the web and git side, without a trailing slash.
    pub fn url(&self) -> &str {
        &self.state.url
    }

    /// Returns the address of the host of large files' contents, without a trailing slash.
    pub fn media_url(&self) -> &str {
        &self.state.media_url
    }

    /// Returns the address of the REST API, as a GitHub Enterprise Server has it.
    pub fn api_url(&self) -> String {
        format!("{}/api/v3", self.state.url)
    }

    /// Returns the address of the Slack webhook.
    pub fn slack_url(&self) -> String {
        format!("{}/services/T000/B000/{}", self.state.url, self.state.options.slack_secret)
    }

    /// Returns the personal access token that is accepted.
    pub fn token(&self) -> &str {
        &self.state.options.token
    }

    /// Returns the folder of repositories.
    pub fn repositories(&self) -> &Path {
        &self.state.options.repositories
    }

    /// Returns the certificate in PEM that clients must trust, if it serves over TLS.
    pub fn certificate(&self) -> Option<&str> {
        self.certificate.as_deref()
    }

    /// Returns what went over the connections so far.
    pub fn traffic(&self) -> Traffic {
        self.state.traffic.read()
    }

    /// Returns the requests answered so far, in the order of their answers.
    pub fn requests(&self) -> Vec<RecordedRequest> {
        self.state.records.all()
    }

    /// Forgets the requests so far.
    pub fn clear_requests(&self) {
        self.state.records.clear();
    }

    /// Returns the messages that were posted to the webhook, those it refused included.
    pub fn slack_messages(&self) -> Vec<SlackMessage> {
        self.state.webhook.messages()
    }

    /// Adds a fault; faults act in the order in which they were added.
    pub fn fault(&self, fault: Fault) {
        self.state.faults.add(fault);
    }

    /// Removes all faults.
    pub fn clear_faults(&self) {
        self.state.faults.clear();
    }

    /// Sets how many REST requests are left in this hour.
    pub fn set_rate_limit_remaining(&self, remaining: u32) {
        self.state.rate_limit.set_remaining(remaining);
    }

    /// Makes GraphQL misbehave, from the next request on; the default ends it.
    pub fn limit_graphql(&self, limits: GraphqlLimits) {
        self.state.graphql_limits.set(limits);
    }

    /// Returns how many points GraphQL has cost so far.
    pub fn graphql_points(&self) -> u32 {
        self.state.graphql_budget.used()
    }

    /// Opens what people write in a repository, to change it or to compare it.
    ///
    /// # Panics
    ///
    /// If there is no such repository.
    #[track_caller]
    pub fn tracker(&self, full_name: &str) -> Tracker<'_> {
        Tracker::open(&self.state, full_name).unwrap_or_else(|error| panic!("{full_name}: {error}"))
    }

    /// Lets time pass: changes are dated later from now on, and so is every answer.
    pub fn advance_clock(&self, by: Duration) {
        self.state.trackers.clock.advance(by);
    }

    /// Takes a permission from the token, `issues` or `pull_requests`.
    #[track_caller]
    pub fn forbid(&self, permission: &str) {
        self.state.permissions.forbid(permission);
    }

    /// Gives a permission back.
    #[track_caller]
    pub fn permit(&self, permission: &str) {
        self.state.permissions.permit(permission);
    }

    /// Makes every installation token that was given out invalid.
    pub fn revoke_installation_tokens(&self) {
        self.state.tokens.revoke_all();
    }

    /// Moves a repository and its wiki to another full name, and leaves a redirect behind.
    pub fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        repositories::rename(&self.state.options.repositories, from, to)
    }

    /// Deletes a repository and its wiki.
    pub fn delete(&self, full_name: &str) -> io::Result<()> {
        repositories::delete(&self.state.options.repositories, full_name)
    }

    /// Returns an editor for the repository with a full name such as `acme/api` or `acme/api.wiki`.
    pub fn edit(&self, full_name: &str) -> RepositoryEditor {
        RepositoryEditor::open(self.state.options.repositories.join(format!("{full_name}.git")))
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Waiting is not allowed inside another runtime, and every task is harmless to abandon: git children die
            // with the guards that hold them.
            runtime.shutdown_background();
        }
    }
}
