//! One repository as a place where people write: which path below it is answered by what, with which permission.

use std::cell::OnceCell;
use std::sync::Arc;

use hyper::StatusCode;
use serde_json::{Value, json};

use super::answer::Answer;
use super::permissions::{self, Permission};
use super::routes::Ask;
use super::{account, comments, issues, labels, pulls, repository};
use crate::repositories::{Measure, Owner, Repository};
use crate::state::State;
use crate::tracker::{Loaded, Model, Reactions, public_id};

/// A repository, what is written in it, and who asks.
pub(super) struct Site<'a> {
    pub(super) ask: &'a Ask<'a>,
    pub(super) repository: &'a Repository,
    pub(super) loaded: Arc<Loaded>,
    /// The address of the repository in the API, by name.
    pub(super) api: String,
    /// The address of the repository for people.
    pub(super) web: String,
    /// Two whole descriptions of the repository are in each pull request, and each would walk through the folder.
    described: OnceCell<Value>,
}

/// Answers a request for a path inside a repository.
pub(super) fn answer(ask: &Ask<'_>, repository: &Repository, path: &[&str]) -> Result<Answer, Answer> {
    let needed = match *path {
        ["issues"] => Permission::Issues,
        ["issues", number] if number != "comments" => Permission::Issues,
        ["issues", "comments"] | ["issues", _, "comments"] | ["labels" | "milestones"] => Permission::Either,
        ["pulls", ..] => Permission::PullRequests,
        _ => return Err(Answer::not_found()),
    };
    if !ask.state.permissions.allow(needed) {
        return Err(needed.named_in(permissions::refused(ask.caller)));
    }
    let site = Site::new(ask, repository)?;
    let answer = match *path {
        // Bots comment on pull requests where issues are off, so what they wrote can be read.
        ["issues", number, "comments"] if !repository.metadata.has_issues && site.is_pull(number) => {
            comments::of_issue(&site, number)
        }
        ["issues", ..] if !repository.metadata.has_issues => Err(issues_disabled()),
        ["issues"] => issues::list(&site),
        ["issues", "comments"] => comments::of_repository(&site),
        ["issues", number] => issues::one(&site, number),
        ["issues", number, "comments"] => comments::of_issue(&site, number),
        ["pulls"] => pulls::list(&site),
        ["pulls", "comments"] => comments::on_lines(&site),
        ["pulls", number] => pulls::one(&site, number),
        ["pulls", number, "comments"] => comments::on_lines_of(&site, number),
        ["pulls", number, "reviews"] => pulls::reviews(&site, number),
        ["labels"] => labels::list(&site),
        ["milestones"] => labels::milestones(&site),
        _ => Err(Answer::not_found()),
    };
    answer.map(|answer| needed.named_in(answer)).map_err(|answer| needed.named_in(answer))
}

fn issues_disabled() -> Answer {
    Answer::error(StatusCode::GONE, "Issues has been disabled in this repository.")
}

impl<'a> Site<'a> {
    /// Says whether a number is that of a pull request.
    fn is_pull(&self, number: &str) -> bool {
        let item = number.parse().ok().and_then(|number: u64| self.model().items.get(&number));
        item.is_some_and(|item| item.pull.is_some())
    }

    fn new(ask: &'a Ask<'a>, repository: &'a Repository) -> Result<Self, Answer> {
        let loaded = ask.state.trackers.read(&repository.path).map_err(|error| {
            let message = format!("the issues of {} cannot be read: {error}", repository.name);
            Answer::error(StatusCode::INTERNAL_SERVER_ERROR, &message)
        })?;
        Ok(Self {
            ask,
            repository,
            loaded,
            api: format!("{}/repos/{}", ask.origin.api, repository.name),
            web: format!("{}/{}", ask.origin.web, repository.name),
            described: OnceCell::new(),
        })
    }

    pub(super) fn model(&self) -> &Model {
        &self.loaded.model
    }

    /// Returns the address of a path inside the repository by number, where links between pages lead.
    pub(super) fn by_id(&self, path: &str) -> String {
        format!("{}/repositories/{}/{path}", self.ask.origin.api, self.repository.id)
    }

    /// Returns the id of a thing with a serial, and its identifier for GraphQL.
    pub(super) fn ids(&self, kind: &str, serial: u64) -> (u64, String) {
        let id = public_id(self.repository.id, serial);
        (id, account::node_id(kind, id))
    }

    /// Returns a person, or null for an account that was deleted.
    pub(super) fn person(&self, login: Option<&String>) -> Value {
        login.map_or(Value::Null, |login| account::simple(self.ask.origin, &Owner::user(login)))
    }

    /// Returns how a person belongs to the repository.
    pub(super) fn association(&self, login: Option<&String>) -> &'static str {
        association(self.ask.state, self.repository, login)
    }

    /// Returns the description of the repository itself.
    pub(super) fn described(&self) -> &Value {
        self.described
            .get_or_init(|| repository::listed(self.ask.origin, self.repository, Measure::of(&self.repository.path)))
    }

    /// Returns the counts of reactions to what has this address.
    pub(super) fn reactions(reactions: &Reactions, url: &str) -> Value {
        let mut rollup = json!({"url": format!("{url}/reactions"), "total_count": reactions.values().sum::<u64>()});
        for content in ["+1", "-1", "laugh", "hooray", "confused", "heart", "rocket", "eyes"] {
            rollup[content] = reactions.get(content).copied().unwrap_or_default().into();
        }
        rollup
    }
}

/// Returns how a person belongs to a repository.
pub(crate) fn association(state: &State, repository: &Repository, login: Option<&String>) -> &'static str {
    match login {
        None => "NONE",
        Some(login) if login.eq_ignore_ascii_case(&repository.owner.login) => "OWNER",
        Some(login) if *login == state.options.login => "MEMBER",
        Some(_) => "CONTRIBUTOR",
    }
}
