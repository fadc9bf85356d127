//! Which path is answered by what, and the headers on every answer.

use hyper::header::HeaderName;
use hyper::http::request::Parts;
use hyper::{Method, StatusCode};

use super::answer::Answer;
use super::app;
use super::caller::{Caller, Identified};
use super::listing;
use super::page::Query;
use super::{account, conditional, repository, site};
use crate::repositories::{Catalogue, Found, FullName, Measure, Owner, Repository, stable_id};
use crate::server::{Origin, Reply};
use crate::state::State;

/// One request to the REST API, read and identified.
pub(super) struct Ask<'a> {
    pub(super) state: &'a State,
    pub(super) origin: &'a Origin,
    pub(super) caller: Caller,
    pub(super) catalogue: &'a Catalogue,
    pub(super) query: Query,
    /// The absolute address without the query, for links to other pages.
    pub(super) address: String,
}

/// Answers a request to the REST API.
pub(crate) fn answer(state: &State, origin: &Origin, parts: &Parts, segments: &[String]) -> Reply {
    let identified = Caller::identify(state, &parts.headers);
    // What was counted is taken back if the client has the answer already; GitHub does so only for those who say who they are.
    let is_free = match &identified {
        Identified::Caller(Caller::User | Caller::Installation) => segments != ["rate_limit"],
        Identified::Caller(Caller::Anonymous) | Identified::SignedToken(_) | Identified::BadCredentials => false,
    };
    let is_user = matches!(identified, Identified::Caller(Caller::User));
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    let mut answer = decide(state, origin, parts, &segments, identified).unwrap_or_else(|answer| answer);
    if parts.method == Method::GET && answer.status == StatusCode::OK {
        answer = conditional::tagged(&parts.headers, answer);
        if is_free && answer.status == StatusCode::NOT_MODIFIED {
            state.rate_limit.uncount();
        }
    }
    answer.headers.extend(state.rate_limit.headers());
    let mut add = |name, value: String| answer.headers.push((HeaderName::from_static(name), value));
    add("x-github-media-type", "github.v3; format=json".to_owned());
    add("x-github-request-id", request_id(&parts.uri.to_string(), state));
    let version = parts.headers.get("x-github-api-version").and_then(|version| version.to_str().ok());
    add("x-github-api-version-selected", version.unwrap_or("2022-11-28").to_owned());
    if is_user && !state.options.token.starts_with("github_pat_") {
        add("x-oauth-scopes", state.options.scopes.clone());
        add("x-accepted-oauth-scopes", String::new());
    }
    answer.into_reply()
}

/// Finds the answer; an early error is one too.
fn decide(
    state: &State,
    origin: &Origin,
    parts: &Parts,
    segments: &[&str],
    identified: Identified,
) -> Result<Answer, Answer> {
    let caller = match identified {
        Identified::Caller(caller) => caller,
        Identified::SignedToken(token) => return app::answer(state, origin, &parts.method, segments, Some(&token)),
        Identified::BadCredentials => return Err(Answer::error(StatusCode::UNAUTHORIZED, "Bad credentials")),
    };
    if segments == ["rate_limit"] && parts.method == Method::GET {
        return Ok(Answer::ok(state.rate_limit.overview(&state.graphql_budget)));
    }
    state.rate_limit.count()?;
    if segments.first() == Some(&"app") {
        return app::answer(state, origin, &parts.method, segments, None);
    }
    if parts.method != Method::GET {
        return Err(Answer::not_found());
    }
    let catalogue = state.catalogue().map_err(|error| {
        Answer::error(StatusCode::INTERNAL_SERVER_ERROR, &format!("the folder of repositories cannot be read: {error}"))
    })?;
    let ask = Ask {
        state,
        origin,
        caller,
        catalogue: &catalogue,
        query: Query::read(parts.uri.query().unwrap_or_default()),
        address: format!("{}/{}", origin.api, segments.join("/")),
    };
    match *segments {
        ["user"] => ask.user(),
        ["user", "repos"] => listing::of_user(&ask),
        ["users", login] => ask.account(login),
        ["users", login, "repos"] => listing::of_account(&ask, login),
        ["orgs", login] => ask.organisation(login),
        ["orgs", login, "repos"] => listing::of_organisation(&ask, login),
        ["installation", "repositories"] => listing::of_installation(&ask),
        ["repos", owner, name] => ask.repository(owner, name),
        ["repos", owner, name, ref inside @ ..] => match ask.visible(owner, name)? {
            Found::Here(repository) => site::answer(&ask, &repository, inside),
            Found::Moved(repository) => Ok(ask.moved(&repository, inside, parts.uri.query())),
        },
        ["repositories", id] => ask.repository_by_id(id),
        ["repositories", id, ref inside @ ..] => site::answer(&ask, ask.visible_by_id(id)?, inside),
        _ => Err(Answer::not_found()),
    }
}

impl Ask<'_> {
    /// Answers `GET /user`.
    fn user(&self) -> Result<Answer, Answer> {
        match self.caller {
            Caller::Anonymous => Err(Answer::requires_authentication()),
            Caller::Installation => Err(not_for_apps()),
            Caller::User => {
                let user = Owner::user(&self.state.options.login);
                Ok(Answer::ok(account::private(self.origin, &user, self.counts(&user))))
            }
        }
    }

    /// Answers `GET /users/{login}`, which knows organisations too.
    fn account(&self, login: &str) -> Result<Answer, Answer> {
        let owner = self.owner(login)?;
        Ok(Answer::ok(account::public(self.origin, &owner, self.counts(&owner))))
    }

    /// Answers `GET /orgs/{login}`.
    fn organisation(&self, login: &str) -> Result<Answer, Answer> {
        let owner = self.organisation_named(login)?;
        let is_member = self.caller.knows(self.state, owner);
        Ok(Answer::ok(account::organisation(self.origin, owner, self.counts(owner), is_member)))
    }

    /// Answers `GET /repos/{owner}/{name}`, by a redirect if the name is a former one.
    fn repository(&self, owner: &str, name: &str) -> Result<Answer, Answer> {
        match self.visible(owner, name)? {
            Found::Here(repository) => {
                Ok(Answer::ok(repository::full(self.origin, &repository, Measure::of(&repository.path))))
            }
            Found::Moved(repository) => Ok(self.moved(&repository, &[], None)),
        }
    }

    /// Finds a repository by its name, if the caller may see it.
    fn visible(&self, owner: &str, name: &str) -> Result<Found, Answer> {
        let name = FullName::new(owner, name).ok_or_else(Answer::not_found)?;
        let found = self.catalogue.find(&name).filter(|found| {
            let (Found::Here(repository) | Found::Moved(repository)) = found;
            self.caller.sees(self.state, repository)
        });
        found.ok_or_else(Answer::not_found)
    }

    /// Finds a repository by its number, if the caller may see it.
    fn visible_by_id(&self, id: &str) -> Result<&Repository, Answer> {
        let repository = id.parse().ok().and_then(|id| self.catalogue.by_id(id));
        repository.filter(|repository| self.caller.sees(self.state, repository)).ok_or_else(Answer::not_found)
    }

    /// Redirects from a former name to a path inside the repository.
    fn moved(&self, repository: &Repository, inside: &[&str], query: Option<&str>) -> Answer {
        let path: String = inside.iter().map(|segment| format!("/{segment}")).collect();
        let query = query.map(|query| format!("?{query}")).unwrap_or_default();
        Answer::moved(format!("{}/repositories/{}{path}{query}", self.origin.api, repository.id))
    }

    /// Answers `GET /repositories/{id}`, where redirects lead.
    fn repository_by_id(&self, id: &str) -> Result<Answer, Answer> {
        let repository = self.visible_by_id(id)?;
        Ok(Answer::ok(repository::full(self.origin, repository, Measure::of(&repository.path))))
    }

    /// Finds a user or an organisation; the user of the token needs no folder.
    pub(super) fn owner(&self, login: &str) -> Result<Owner, Answer> {
        let own =
            || login.eq_ignore_ascii_case(&self.state.options.login).then(|| Owner::user(&self.state.options.login));
        self.catalogue.owner(login).cloned().or_else(own).ok_or_else(Answer::not_found)
    }

    /// Finds an organisation.
    pub(super) fn organisation_named(&self, login: &str) -> Result<&Owner, Answer> {
        self.catalogue.owner(login).filter(|owner| !owner.is_user).ok_or_else(Answer::not_found)
    }

    /// Counts the repositories of an owner.
    fn counts(&self, owner: &Owner) -> account::Counts {
        let all = || self.catalogue.repositories.iter().filter(|repository| repository.owner.id == owner.id);
        let private = all().filter(|repository| repository.metadata.private).count();
        account::Counts { public: all().count() - private, private }
    }
}

/// Returns the 403 for an installation that asks for what only users have.
pub(super) fn not_for_apps() -> Answer {
    Answer::error(StatusCode::FORBIDDEN, "Resource not accessible by integration")
}

/// Returns a number for the request in GitHub's form. It differs from request to request by the count of requests.
fn request_id(uri: &str, state: &State) -> String {
    let [_, _, (_, used), ..] = state.rate_limit.headers();
    format!("{:04X}:{:06X}:{:07X}", 0xC0DE, stable_id(uri) % 0xFF_FFFF, stable_id(&used) % 0xFFF_FFFF)
}
