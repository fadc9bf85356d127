//! GitHub's GraphQL API, executed against the schema that GitHub publishes.
//!
//! `schema` has the schema, `request` leads one request through everything, `cost` says what it costs and whether GitHub
//! would take it, `limits` what the test has broken. During execution each object is a `thing`; the `fields_…` modules
//! know its fields from the model, `connection` cuts lists into pages, and `neutral` answers for all that no model knows.

mod connection;
mod cost;
mod error;
mod fields_item;
mod fields_repository;
mod fields_small;
mod limits;
mod neutral;
mod object;
mod request;
mod schema;
mod thing;
mod world;

pub use limits::GraphqlLimits;
pub(crate) use limits::Limits;
pub(crate) use request::answer;
pub use schema::query_errors;
