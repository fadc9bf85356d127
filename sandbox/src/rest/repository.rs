//! Repositories as GitHub describes them.

use serde_json::{Map, Value, json};

use super::account::{self, CREATED_AT, merged, node_id};
use crate::repositories::{FullName, Measure, Metadata, Owner, Repository};
use crate::server::Origin;

/// What opens a private repository for an hour at GitHub: whoever stores answers as they come stores it.
pub const TEMP_CLONE_TOKEN: &str = "AAECANARYTEMPCLONETOKENOFTHESANDBOX";

/// The members that are addresses below the repository's own, with GitHub's placeholders.
const ADDRESSES: [(&str, &str); 37] = [
    ("archive_url", "/{archive_format}{/ref}"),
    ("assignees_url", "/assignees{/user}"),
    ("blobs_url", "/git/blobs{/sha}"),
    ("branches_url", "/branches{/branch}"),
    ("collaborators_url", "/collaborators{/collaborator}"),
    ("comments_url", "/comments{/number}"),
    ("commits_url", "/commits{/sha}"),
    ("compare_url", "/compare/{base}...{head}"),
    ("contents_url", "/contents/{+path}"),
    ("contributors_url", "/contributors"),
    ("deployments_url", "/deployments"),
    ("downloads_url", "/downloads"),
    ("events_url", "/events"),
    ("forks_url", "/forks"),
    ("git_commits_url", "/git/commits{/sha}"),
    ("git_refs_url", "/git/refs{/sha}"),
    ("git_tags_url", "/git/tags{/sha}"),
    ("hooks_url", "/hooks"),
    ("issue_comment_url", "/issues/comments{/number}"),
    ("issue_events_url", "/issues/events{/number}"),
    ("issues_url", "/issues{/number}"),
    ("keys_url", "/keys{/key_id}"),
    ("labels_url", "/labels{/name}"),
    ("languages_url", "/languages"),
    ("merges_url", "/merges"),
    ("milestones_url", "/milestones{/number}"),
    ("notifications_url", "/notifications{?since,all,participating}"),
    ("pulls_url", "/pulls{/number}"),
    ("releases_url", "/releases{/id}"),
    ("stargazers_url", "/stargazers"),
    ("statuses_url", "/statuses/{sha}"),
    ("subscribers_url", "/subscribers"),
    ("subscription_url", "/subscription"),
    ("tags_url", "/tags"),
    ("teams_url", "/teams"),
    ("trees_url", "/git/trees{/sha}"),
    ("url", ""),
];

/// Returns a repository as it stands in a listing.
pub(super) fn listed(origin: &Origin, repository: &Repository, measure: Measure) -> Value {
    let Repository { id, name, owner, metadata, .. } = repository;
    let web = format!("{}/{name}", origin.web);
    let api = format!("{}/repos/{name}", origin.api);
    let host = origin.web.trim_start_matches("http://");
    let addresses: Map<String, Value> =
        ADDRESSES.iter().map(|(member, path)| ((*member).to_owned(), format!("{api}{path}").into())).collect();
    let identity = json!({
        "id": id,
        "node_id": node_id("Repository", *id),
        "name": name.name,
        "full_name": name.to_string(),
        "private": metadata.private,
        "owner": account::simple(origin, owner),
        "html_url": web,
        "description": metadata.description,
        "fork": metadata.fork,
        "git_url": format!("git://{host}/{name}.git"),
        "ssh_url": format!("git@{}:{name}.git", host.split(':').next().unwrap_or(host)),
        "clone_url": format!("{web}.git"),
        "svn_url": web,
        "mirror_url": null,
        "default_branch": repository.default_branch,
        "archived": metadata.archived,
        "disabled": metadata.disabled,
        "temp_clone_token": if metadata.private { TEMP_CLONE_TOKEN } else { "" },
        "visibility": if metadata.private { "private" } else { "public" },
        "has_wiki": metadata.has_wiki,
        "has_issues": metadata.has_issues,
        "size": measure.kilobytes(),
        "pushed_at": measure.pushed_at(),
        "created_at": CREATED_AT,
        "updated_at": measure.pushed_at(),
        "permissions": {"admin": false, "maintain": false, "push": false, "triage": false, "pull": true},
    });
    [identity, ordinary()].into_iter().fold(Value::Object(addresses), merged)
}

/// Returns what is the same for every repository here, because a mirror does not depend on it.
fn ordinary() -> Value {
    json!({
        "homepage": null,
        "language": null,
        "license": null,
        "topics": [],
        "forks_count": 0,
        "stargazers_count": 0,
        "watchers_count": 0,
        "open_issues_count": 0,
        "forks": 0,
        "watchers": 0,
        "open_issues": 0,
        "is_template": false,
        "has_projects": true,
        "has_pages": false,
        "has_downloads": true,
        "has_discussions": false,
        "allow_forking": true,
        "web_commit_signoff_required": false,
    })
}

/// Returns a repository as it is described on its own.
pub(super) fn full(origin: &Origin, repository: &Repository, measure: Measure) -> Value {
    let mut object = merged(listed(origin, repository, measure), json!({"network_count": 0, "subscribers_count": 0}));
    if !repository.owner.is_user {
        object["organization"] = account::simple(origin, &repository.owner);
    }
    object
}

/// Returns an ordinary repository that does not exist, for faults to put into a listing.
pub(crate) fn template() -> Value {
    let name = FullName::new("acme", "imagined").expect("both parts are plain letters");
    let repository = Repository {
        id: 999_999_999,
        owner: Owner::organisation(&name.owner),
        path: name.path("".as_ref()),
        name,
        default_branch: "main".to_owned(),
        metadata: Metadata::default(),
    };
    let origin = Origin { web: "http://localhost".to_owned(), api: "http://localhost/api/v3".to_owned() };
    listed(&origin, &repository, Measure::imagined())
}
