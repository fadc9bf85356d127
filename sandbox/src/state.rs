//! What all connections of one sandbox share.

use std::io;
use std::sync::Arc;

use crate::faults::FaultList;
use crate::git::{KeptAnswers, PaceCounter};
use crate::graphql::Limits;
use crate::options::Options;
use crate::records::Records;
use crate::repositories::Catalogue;
use crate::rest::{InstallationTokens, Permissions, RateLimit};
use crate::server::TrafficCounter;
use crate::slack::Webhook;
use crate::tracker::Trackers;

/// Holds the options and everything that changes while the sandbox runs.
pub(crate) struct State {
    pub(crate) options: Options,
    /// The address without a trailing slash, for requests that name no host.
    pub(crate) url: String,
    /// The address of the host of large files' contents, likewise.
    pub(crate) media_url: String,
    pub(crate) records: Records,
    pub(crate) traffic: Arc<TrafficCounter>,
    pub(crate) kept: KeptAnswers,
    pub(crate) pace: Arc<PaceCounter>,
    pub(crate) faults: FaultList,
    pub(crate) rate_limit: RateLimit,
    /// GraphQL has a budget of its own, in points.
    pub(crate) graphql_budget: RateLimit,
    pub(crate) graphql_limits: Limits,
    pub(crate) tokens: InstallationTokens,
    pub(crate) webhook: Webhook,
    pub(crate) trackers: Trackers,
    pub(crate) permissions: Permissions,
}

impl State {
    /// Returns the state of a sandbox that nobody has asked anything yet.
    pub(crate) fn new(options: Options, url: String, media_url: String) -> Self {
        Self {
            url,
            media_url,
            records: Records::default(),
            traffic: Arc::default(),
            kept: KeptAnswers::default(),
            pace: Arc::default(),
            faults: FaultList::default(),
            rate_limit: RateLimit::new("core", options.rate_limit),
            graphql_budget: RateLimit::new("graphql", options.graphql_rate_limit),
            graphql_limits: Limits::default(),
            tokens: InstallationTokens::default(),
            webhook: Webhook::new(options.slack_secret.clone()),
            trackers: Trackers::default(),
            permissions: Permissions::default(),
            options,
        }
    }

    /// Reads the folder of repositories.
    pub(crate) fn catalogue(&self) -> io::Result<Catalogue> {
        Catalogue::scan(&self.options.repositories)
    }
}
