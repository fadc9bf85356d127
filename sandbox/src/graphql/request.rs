//! The way of one GraphQL request: who asks, what it is, what it costs, what it gives.

use std::cell::RefCell;
use std::collections::HashMap;

use apollo_compiler::ExecutableDocument;
use apollo_compiler::request::{RequestError, coerce_variable_values};
use apollo_compiler::resolvers::Execution;
use apollo_compiler::response::JsonMap;
use hyper::header::HeaderName;
use hyper::http::request::Parts;
use hyper::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::cost::Cost;
use super::error;
use super::object::Object;
use super::schema::schema;
use super::thing::Thing;
use super::world::World;
use crate::rest::{Answer, Caller, Identified};
use crate::server::{Origin, Reply};
use crate::state::State;

/// The body of a request.
#[derive(Deserialize)]
struct Request {
    query: String,
    #[serde(default)]
    variables: Option<JsonMap>,
    #[serde(default, rename = "operationName")]
    operation_name: Option<String>,
}

/// What GitHub says of a query that took too long.
const TIMEOUT: &str = "Something went wrong while executing your query. This may be the result of a timeout, or it could be a GitHub bug.";

/// Answers a request to the GraphQL API.
pub(crate) fn answer(state: &State, origin: &Origin, parts: &Parts, body: &[u8]) -> Reply {
    let mut answer = decide(state, origin, parts, body).unwrap_or_else(|answer| answer);
    // An answer that says otherwise is a limit that a test has set.
    for (name, value) in state.graphql_budget.headers() {
        if !answer.headers.iter().any(|(known, _)| *known == name) {
            answer.headers.push((name, value));
        }
    }
    answer.into_reply()
}

/// Finds the answer; an early error is one too.
fn decide(state: &State, origin: &Origin, parts: &Parts, body: &[u8]) -> Result<Answer, Answer> {
    let caller = match Caller::identify(state, &parts.headers) {
        Identified::Caller(Caller::Anonymous) => {
            return Err(Answer::error(StatusCode::UNAUTHORIZED, "This endpoint requires you to be authenticated."));
        }
        Identified::Caller(caller) => caller,
        Identified::SignedToken(_) | Identified::BadCredentials => {
            return Err(Answer::error(StatusCode::UNAUTHORIZED, "Bad credentials"));
        }
    };
    if parts.method != Method::POST {
        return Err(Answer::not_found());
    }
    let request: Request = serde_json::from_slice(body)
        .map_err(|error| Answer::error(StatusCode::BAD_REQUEST, &format!("Problems parsing JSON: {error}")))?;
    let limits = state.graphql_limits.next();
    if limits.rate_limited > 0 {
        return Err(rate_limited());
    }

    let schema = schema();
    let document = ExecutableDocument::parse_and_validate(schema, request.query, "query").map_err(|invalid| {
        refused(&invalid.errors.iter().map(|problem| error::shown(&problem.to_json())).collect::<Vec<_>>())
    })?;
    let wrong = |problem: &RequestError| refused(&[error::shown(&problem.to_graphql_error(&document.sources))]);
    let operation = document.operations.get(request.operation_name.as_deref()).map_err(|problem| wrong(&problem))?;
    if !operation.is_query() {
        return Err(refused(&[json!({"message": "the sandbox executes queries only"})]));
    }
    let variables = coerce_variable_values(schema, operation, &request.variables.unwrap_or_default())
        .map_err(|problem| wrong(&problem))?;
    let cost = Cost::of(&document, operation, &variables);
    if !cost.problems.is_empty() {
        return Err(refused(&cost.problems));
    }
    if !state.graphql_budget.spend(cost.points()) {
        return Err(rate_limited());
    }
    let exceeds = |limit: Option<usize>| limit.is_some_and(|limit| cost.size > limit);
    if exceeds(limits.timeout_above) {
        return Err(Answer::of(StatusCode::BAD_GATEWAY, json!({"data": null, "errors": [{"message": TIMEOUT}]})));
    }
    let catalogue = state.catalogue().map_err(|error| {
        Answer::error(StatusCode::INTERNAL_SERVER_ERROR, &format!("the folder of repositories cannot be read: {error}"))
    })?;
    let complete = limits.resources_above.filter(|limit| cost.size > *limit);
    let world = World {
        state,
        origin,
        caller,
        catalogue,
        points: cost.points(),
        nodes: cost.nodes,
        limits,
        complete,
        sites: RefCell::new(HashMap::new()),
    };
    let executed = Execution::new(schema, &document)
        .operation(operation)
        .coerced_variable_values(&variables)
        .enable_schema_introspection(true)
        .execute_sync(&Object { world: &world, thing: Thing::Query })
        .map_err(|problem| wrong(&problem))?;
    let mut answer = json!({"data": executed.data});
    if !executed.errors.is_empty() {
        answer["errors"] = executed.errors.iter().map(error::shown).collect();
    }
    Ok(Answer::ok(answer))
}

/// Returns the answer to a query that is not executed; as at GitHub its status is 200.
fn refused(errors: &[Value]) -> Answer {
    Answer::ok(json!({"errors": errors}))
}

/// Returns the answer to one request too many; as at GitHub its status is 200.
fn rate_limited() -> Answer {
    let mut answer = refused(&[json!({"type": "RATE_LIMITED", "message": "API rate limit exceeded for user ID 1."})]);
    answer.headers.push((HeaderName::from_static("x-ratelimit-remaining"), "0".to_owned()));
    answer
}
