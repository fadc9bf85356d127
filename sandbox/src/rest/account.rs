//! Users and organisations as GitHub describes them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::repositories::Owner;
use crate::server::Origin;

/// When every account and repository was made: the folder does not say, and a constant repeats.
pub(crate) const CREATED_AT: &str = "2020-01-01T00:00:00Z";

/// Counts that an account shows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Counts {
    pub(super) public: usize,
    pub(super) private: usize,
}

/// Returns the short form, as it stands inside of other objects.
pub(super) fn simple(origin: &Origin, owner: &Owner) -> Value {
    let Owner { id, login, .. } = owner;
    let Origin { web, api } = origin;
    let user = format!("{api}/users/{login}");
    json!({
        "login": login,
        "id": id,
        "node_id": node_id(if owner.is_user { "User" } else { "Organization" }, *id),
        "avatar_url": format!("{web}/avatars/u/{id}?v=4"),
        "gravatar_id": "",
        "url": user,
        "html_url": format!("{web}/{login}"),
        "followers_url": format!("{user}/followers"),
        "following_url": format!("{user}/following{{/other_user}}"),
        "gists_url": format!("{user}/gists{{/gist_id}}"),
        "starred_url": format!("{user}/starred{{/owner}}{{/repo}}"),
        "subscriptions_url": format!("{user}/subscriptions"),
        "organizations_url": format!("{user}/orgs"),
        "repos_url": format!("{user}/repos"),
        "events_url": format!("{user}/events{{/privacy}}"),
        "received_events_url": format!("{user}/received_events"),
        "type": if owner.is_user { "User" } else { "Organization" },
        "user_view_type": "public",
        "site_admin": false,
    })
}

/// Returns what everybody may know of a user or organisation.
pub(super) fn public(origin: &Origin, owner: &Owner, counts: Counts) -> Value {
    let more = json!({
        "name": null,
        "company": null,
        "blog": "",
        "location": null,
        "email": null,
        "hireable": null,
        "bio": null,
        "twitter_username": null,
        "public_repos": counts.public,
        "public_gists": 0,
        "followers": 0,
        "following": 0,
        "created_at": CREATED_AT,
        "updated_at": CREATED_AT,
    });
    merged(simple(origin, owner), more)
}

/// Returns what a user may know of himself.
pub(super) fn private(origin: &Origin, owner: &Owner, counts: Counts) -> Value {
    let more = json!({
        "user_view_type": "private",
        "private_gists": 0,
        "total_private_repos": counts.private,
        "owned_private_repos": counts.private,
        "disk_usage": 0,
        "collaborators": 0,
        "two_factor_authentication": true,
        "plan": {"name": "free", "space": 976_562_499, "collaborators": 0, "private_repos": 10_000},
    });
    merged(public(origin, owner, counts), more)
}

/// Returns an organisation; its private side only for those who belong to it.
pub(super) fn organisation(origin: &Origin, owner: &Owner, counts: Counts, is_member: bool) -> Value {
    let Owner { id, login, .. } = owner;
    let Origin { web, api } = origin;
    let org = format!("{api}/orgs/{login}");
    let shown = json!({
        "login": login,
        "id": id,
        "node_id": node_id("Organization", *id),
        "url": org,
        "repos_url": format!("{org}/repos"),
        "events_url": format!("{org}/events"),
        "hooks_url": format!("{org}/hooks"),
        "issues_url": format!("{org}/issues"),
        "members_url": format!("{org}/members{{/member}}"),
        "public_members_url": format!("{org}/public_members{{/member}}"),
        "avatar_url": format!("{web}/avatars/u/{id}?v=4"),
        "description": null,
        "name": login,
        "is_verified": false,
        "has_organization_projects": true,
        "has_repository_projects": true,
        "public_repos": counts.public,
        "public_gists": 0,
        "followers": 0,
        "following": 0,
        "html_url": format!("{web}/{login}"),
        "created_at": CREATED_AT,
        "updated_at": CREATED_AT,
        "archived_at": null,
        "type": "Organization",
    });
    if !is_member {
        return shown;
    }
    let hidden = json!({
        "total_private_repos": counts.private,
        "owned_private_repos": counts.private,
        "private_gists": 0,
        "disk_usage": 0,
        "collaborators": 0,
        "default_repository_permission": "read",
    });
    merged(shown, hidden)
}

/// Returns an identifier as GraphQL would give it.
pub(crate) fn node_id(kind: &str, id: u64) -> String {
    STANDARD.encode(format!("{:03}:{kind}{id}", kind.len()))
}

/// Returns the kind and the id that such an identifier stands for.
pub(crate) fn parts_of_node_id(node_id: &str) -> Option<(String, u64)> {
    let text = String::from_utf8(STANDARD.decode(node_id).ok()?).ok()?;
    let (length, rest) = text.split_once(':')?;
    let (kind, id) = rest.split_at_checked(length.parse().ok()?)?;
    Some((kind.to_owned(), id.parse().ok()?))
}

/// Adds the members of one object to another.
pub(super) fn merged(mut object: Value, more: Value) -> Value {
    if let (Some(members), Value::Object(more)) = (object.as_object_mut(), more) {
        members.extend(more);
    }
    object
}
