//! The part of GitHub's REST API that lists and describes repositories, and what people write in them.
//!
//! Everything here is a function of the request and the folder; only the rate limit, the permissions and the installation
//! tokens remember anything.

mod account;
mod answer;
mod app;
mod app_token;
mod caller;
mod comments;
mod conditional;
mod issue_object;
mod issues;
mod labels;
mod listing;
mod page;
mod permissions;
mod pull_object;
mod pulls;
mod rate_limit;
mod repository;
mod routes;
mod site;

pub(crate) use account::{CREATED_AT, node_id, parts_of_node_id};
pub(crate) use answer::Answer;
pub(crate) use app_token::InstallationTokens;
pub(crate) use caller::{Caller, Identified};
pub(crate) use permissions::{Permission, Permissions, refusal};
pub(crate) use pull_object::{ADDITIONS, CHANGED_FILES, DELETIONS, DIFF_HUNK, merge_oid};
pub(crate) use rate_limit::RateLimit;
pub use repository::TEMP_CLONE_TOKEN;
pub(crate) use repository::template as template_repository;
pub(crate) use routes::answer;
pub(crate) use site::association;
