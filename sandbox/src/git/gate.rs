//! Who may fetch what: the answers GitHub gives before git is asked.

use std::sync::Arc;

use hyper::body::Incoming;
use hyper::header::{HeaderValue, LOCATION, WWW_AUTHENTICATE};
use hyper::http::request::Parts;
use hyper::{Response, StatusCode};

use super::backend;
use super::path::{GitPath, Service};
use crate::repositories::{Found, FullName, Repository};
use crate::rest::{Caller, Identified};
use crate::server::{Body, Origin, Reply, text};
use crate::state::State;

/// Answers a request of git's protocol.
pub(crate) async fn answer(state: &Arc<State>, path: GitPath, parts: &Parts, body: Incoming) -> Reply {
    let Some(pace) = state.options.git_pace else { return answer_let_in(state, path, parts, body).await };
    match state.pace.let_in(pace) {
        Ok(let_in) => let_in.until_the_end_of(answer_let_in(state, path, parts, body).await),
        Err(refusal) => refusal,
    }
}

async fn answer_let_in(state: &Arc<State>, path: GitPath, parts: &Parts, body: Incoming) -> Reply {
    let project = match admit(state, &path, parts) {
        Ok(project) => project,
        Err(reply) => return reply,
    };
    let folder = &state.options.repositories;
    let answer = if state.options.keep_answers {
        state.kept.answer(folder, &project, path.service, parts, body).await
    } else {
        backend::run(folder, &project, path.service, parts, body).await
    };
    answer.unwrap_or_else(|error| {
        text(StatusCode::INTERNAL_SERVER_ERROR, format!("git http-backend could not be run: {error}"))
    })
}

/// Returns the bare repository to serve, relative to the folder, or the answer that keeps the client out.
#[expect(clippy::result_large_err, reason = "it lives for one call")]
fn admit(state: &State, path: &GitPath, parts: &Parts) -> Result<String, Reply> {
    let Identified::Caller(caller) = Caller::identify(state, &parts.headers) else {
        return Err(unauthorised(
            "Invalid username or token. Password authentication is not supported for Git operations.",
        ));
    };
    // GitHub does not tell strangers whether a private repository exists.
    let missing = || match caller {
        Caller::Anonymous => unauthorised("Repository not found."),
        Caller::User | Caller::Installation => text(StatusCode::NOT_FOUND, "Repository not found."),
    };
    let unreadable =
        |error| text(StatusCode::INTERNAL_SERVER_ERROR, format!("the folder of repositories cannot be read: {error}"));
    let name = FullName::new(&path.owner, &path.name).ok_or_else(missing)?;
    let repository = match Found::by_name(&state.options.repositories, &name).map_err(unreadable)? {
        Some(Found::Here(repository)) if caller.sees(state, &repository) => repository,
        Some(Found::Moved(repository)) if caller.sees(state, &repository) => {
            return Err(redirect(state, path, parts, &repository));
        }
        _ => return Err(missing()),
    };
    if repository.metadata.disabled {
        return Err(text(StatusCode::FORBIDDEN, "Access to this repository has been disabled by GitHub staff."));
    }
    let query = parts.uri.query().unwrap_or_default();
    let pushes = path.service == Service::ReceivePack || query.contains("service=git-receive-pack");
    if pushes && repository.metadata.pushable {
        return Ok(format!("{}.git", repository.name));
    }
    if pushes {
        return Err(text(StatusCode::FORBIDDEN, "Write access to repository not granted."));
    }
    if path.service == Service::Refs && !query.contains("service=git-upload-pack") {
        return Err(text(StatusCode::FORBIDDEN, "Please upgrade your git client."));
    }
    if path.is_wiki {
        if !repository.metadata.has_wiki || !repository.name.wiki_path(&state.options.repositories).is_dir() {
            return Err(missing());
        }
        return Ok(format!("{}.wiki.git", repository.name));
    }
    Ok(format!("{}.git", repository.name))
}

/// Returns the 401 that makes git ask for a password.
fn unauthorised(message: &str) -> Reply {
    let mut reply = text(StatusCode::UNAUTHORIZED, message);
    reply.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"GitHub\""));
    reply
}

/// Returns the 301 to the same service of the repository's present name.
fn redirect(state: &State, path: &GitPath, parts: &Parts, repository: &Repository) -> Reply {
    let origin = Origin::new(&parts.headers, &state.url, "");
    let suffix = if path.is_wiki { ".wiki.git" } else { ".git" };
    let query = parts.uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    let location = format!("{}/{}{suffix}/{}{query}", origin.web, repository.name, path.service.path());
    Response::builder()
        .status(StatusCode::MOVED_PERMANENTLY)
        .header(LOCATION, location)
        .body(Body::whole(""))
        .expect("the query was valid in the request, so it is in the answer")
}
