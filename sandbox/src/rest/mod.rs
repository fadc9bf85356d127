//! The part of GitHub's REST API that lists and describes repositories.
//!
//! Everything here is a function of the request and the folder; only the rate limit and the installation tokens
//! remember anything.

mod account;
mod answer;
mod app;
mod app_token;
mod caller;
mod listing;
mod page;
mod rate_limit;
mod repository;
mod routes;

pub(crate) use app_token::InstallationTokens;
pub(crate) use caller::{Caller, Identified};
pub(crate) use rate_limit::RateLimit;
pub(crate) use repository::template as template_repository;
pub(crate) use routes::answer;
