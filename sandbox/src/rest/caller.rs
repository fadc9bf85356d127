//! Who asks, and what he may see. The same for the REST API and for git.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::HeaderMap;
use hyper::header::AUTHORIZATION;

use crate::options::AppOptions;
use crate::repositories::{Owner, Repository};
use crate::state::State;

/// Someone who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Caller {
    /// Nobody in particular: sees what is public.
    Anonymous,
    /// The user of the personal access token: sees everything.
    User,
    /// The installation of the App: sees what it was given.
    Installation,
}

/// What the `Authorization` header turned out to be.
pub(crate) enum Identified {
    /// A caller.
    Caller(Caller),
    /// The App itself, by a signed token that is still to be checked.
    SignedToken(String),
    /// A secret that nobody knows.
    BadCredentials,
}

impl Caller {
    /// Reads the `Authorization` header.
    pub(crate) fn identify(state: &State, headers: &HeaderMap) -> Identified {
        let Some(header) = headers.get(AUTHORIZATION) else { return Identified::Caller(Self::Anonymous) };
        let Some(secret) = header.to_str().ok().and_then(secret) else { return Identified::BadCredentials };
        if secret == state.options.token {
            Identified::Caller(Self::User)
        } else if state.tokens.is_valid(&secret) {
            Identified::Caller(Self::Installation)
        } else if secret.starts_with("eyJ") {
            // The beginning of every JSON object in base64.
            Identified::SignedToken(secret)
        } else {
            Identified::BadCredentials
        }
    }

    /// Tells whether the repository exists for this caller.
    pub(crate) fn sees(self, state: &State, repository: &Repository) -> bool {
        match self {
            Self::Anonymous => !repository.metadata.private,
            Self::User => true,
            Self::Installation => {
                !repository.metadata.private || state.options.app.as_ref().is_some_and(|app| reaches(app, repository))
            }
        }
    }

    /// Tells whether the repository was given to this caller, public or not.
    pub(super) fn was_given(self, state: &State, repository: &Repository) -> bool {
        match self {
            Self::Anonymous => false,
            Self::User => true,
            Self::Installation => state.options.app.as_ref().is_some_and(|app| reaches(app, repository)),
        }
    }

    /// Tells whether the owner's private side may be shown.
    pub(super) fn knows(self, state: &State, owner: &Owner) -> bool {
        match self {
            Self::Anonymous => false,
            Self::User => true,
            Self::Installation => state.options.app.as_ref().is_some_and(|app| {
                app.account.as_ref().is_none_or(|account| account.eq_ignore_ascii_case(&owner.login))
            }),
        }
    }
}

/// Tells whether the installation of the App covers the repository.
fn reaches(app: &AppOptions, repository: &Repository) -> bool {
    let full_name = repository.name.to_string();
    app.account.as_ref().is_none_or(|account| account.eq_ignore_ascii_case(&repository.name.owner))
        && app.selected.as_ref().is_none_or(|names| names.iter().any(|name| name.eq_ignore_ascii_case(&full_name)))
}

/// Takes the secret out of `Bearer …`, `token …` or `Basic …`; in the last any user name will do for a password.
fn secret(header: &str) -> Option<String> {
    let (scheme, value) = header.split_once(' ')?;
    let value = value.trim();
    match scheme.to_ascii_lowercase().as_str() {
        "bearer" | "token" => Some(value.to_owned()),
        "basic" => {
            let pair = String::from_utf8(STANDARD.decode(value).ok()?).ok()?;
            let (user, password) = pair.split_once(':')?;
            // GitHub takes the token in the user's place, too, with this word for a password.
            Some(if password == "x-oauth-basic" { user } else { password }.to_owned())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::secret;

    #[test]
    fn every_scheme_of_github_carries_the_secret() {
        assert_eq!(secret("Bearer abc").as_deref(), Some("abc"));
        assert_eq!(secret("token abc").as_deref(), Some("abc"));
        assert_eq!(secret("Basic eC1hY2Nlc3MtdG9rZW46YWJj").as_deref(), Some("abc"));
        assert_eq!(secret("Basic YWJjOngtb2F1dGgtYmFzaWM=").as_deref(), Some("abc"));
        assert_eq!(secret("Digest abc"), None);
        assert_eq!(secret("Basic !"), None);
    }
}
