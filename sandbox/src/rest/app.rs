//! What a GitHub App asks with the token it signed.

use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use super::account::{self, CREATED_AT, node_id};
use super::answer::Answer;
use super::app_token;
use crate::options::AppOptions;
use crate::repositories::Owner;
use crate::server::Origin;
use crate::state::State;

/// Answers `GET /app`, `GET /app/installations/{id}` and `POST /app/installations/{id}/access_tokens`.
pub(super) fn answer(
    state: &State,
    origin: &Origin,
    method: &Method,
    segments: &[&str],
    token: Option<&str>,
) -> Result<Answer, Answer> {
    let undecodable = || Answer::error(StatusCode::UNAUTHORIZED, "A JSON web token could not be decoded");
    let (Some(app), Some(token)) = (&state.options.app, token) else { return Err(undecodable()) };
    app_token::check(app, token)?;
    let is_known = |id: &str| id.parse() == Ok(app.installation_id);
    match (method, segments) {
        (&Method::GET, ["app"]) => Ok(Answer::ok(describe(origin, app))),
        (&Method::GET, ["app", "installations"]) => Ok(Answer::ok(json!([installation(origin, app)]))),
        (&Method::GET, ["app", "installations", id]) if is_known(id) => Ok(Answer::ok(installation(origin, app))),
        (&Method::POST, ["app", "installations", id, "access_tokens"]) if is_known(id) => {
            let (token, expires_at) = state.tokens.issue(app);
            let body = json!({
                "token": token,
                "expires_at": expires_at,
                "permissions": permissions(),
                "repository_selection": selection(app),
            });
            Ok(Answer { status: StatusCode::CREATED, ..Answer::ok(body) })
        }
        (_, ["app", ..]) => Err(Answer::not_found()),
        // GitHub knows a signed token nowhere else.
        _ => Err(undecodable()),
    }
}

/// Returns the App.
fn describe(origin: &Origin, app: &AppOptions) -> Value {
    json!({
        "id": app.app_id,
        "slug": "ghbk-sandbox",
        "node_id": node_id("Integration", app.app_id),
        "owner": account::simple(origin, &holder(app)),
        "name": "ghbk sandbox",
        "description": null,
        "external_url": origin.web,
        "html_url": format!("{}/apps/ghbk-sandbox", origin.web),
        "created_at": CREATED_AT,
        "updated_at": CREATED_AT,
        "permissions": permissions(),
        "events": [],
        "installations_count": 1,
    })
}

/// Returns the App's one installation.
fn installation(origin: &Origin, app: &AppOptions) -> Value {
    let id = app.installation_id;
    let holder = holder(app);
    json!({
        "id": id,
        "account": account::simple(origin, &holder),
        "repository_selection": selection(app),
        "access_tokens_url": format!("{}/app/installations/{id}/access_tokens", origin.api),
        "repositories_url": format!("{}/installation/repositories", origin.api),
        "html_url": format!("{}/organizations/{}/settings/installations/{id}", origin.web, holder.login),
        "app_id": app.app_id,
        "app_slug": "ghbk-sandbox",
        "target_id": holder.id,
        "target_type": "Organization",
        "permissions": permissions(),
        "events": [],
        "created_at": CREATED_AT,
        "updated_at": CREATED_AT,
        "single_file_name": null,
        "suspended_by": null,
        "suspended_at": null,
    })
}

/// Returns the permissions that a backup needs.
fn permissions() -> Value {
    json!({"contents": "read", "metadata": "read"})
}

/// Says whether repositories were selected one by one.
fn selection(app: &AppOptions) -> &'static str {
    if app.selected.is_some() { "selected" } else { "all" }
}

/// Returns the organisation that installed the App; GitHub knows no installation without one.
fn holder(app: &AppOptions) -> Owner {
    Owner::organisation(app.account.as_deref().unwrap_or("acme"))
}
