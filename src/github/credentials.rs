//! Who we are to GitHub: a token, or an app's installation whose tokens last an hour.
//!
//! One source serves the REST API and the git server. What a newcomer would get wrong: an installation token taken
//! once at the start dies in the middle of a long run, so a token is asked for before every request.

use std::time::Duration;

use octocrab::Octocrab;
use octocrab::models::{AppId, InstallationId};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Mutex;
use tokio::time::Instant;
use url::Url;

use super::GitHubError;
use super::client::from_octocrab;
use crate::git::GitError;

/// Installation tokens are good for an hour; the rest is left to the request that uses one.
const INSTALLATION_TOKEN_AGE_MAX: Duration = Duration::from_mins(50);

/// No answer takes longer; the client's own limits are for each part of it.
const TOKEN_REQUEST_TIMEOUT: Duration = Duration::from_mins(1);

/// Gives the token to use now.
#[derive(Debug)]
pub struct Credentials(Kind);

#[derive(Debug)]
enum Kind {
    Token(SecretString),
    App { app: Box<Octocrab>, installation: InstallationId, minted: Mutex<Option<(SecretString, Instant)>> },
}

/// Identifies a GitHub App's installation.
#[derive(Debug)]
pub struct AppIdentity {
    /// The app's id.
    pub app_id: u64,
    /// The installation's id.
    pub installation_id: u64,
    /// The app's private key, PEM.
    pub key: SecretString,
}

impl Credentials {
    /// Uses a personal access token.
    pub fn token_of(token: SecretString) -> Self {
        Self(Kind::Token(token))
    }

    /// Uses an app's installation.
    ///
    /// # Errors
    /// [`GitHubError::Setup`] if the key is no RSA key in PEM.
    pub fn app(identity: &AppIdentity, api_url: &Url, http: reqwest::Client) -> Result<Self, GitHubError> {
        let app = Octocrab::builder()
            .base_uri(api_url.as_str())
            .and_then(|builder| {
                builder.app_from_rsa_pem(AppId(identity.app_id), identity.key.expose_secret().as_bytes())
            })
            .and_then(|builder| builder.build_with_reqwest(http))
            // The text of a key's error may quote the key.
            .map_err(|_| GitHubError::Setup("the app's private key is not an RSA key in PEM".to_owned()))?;
        let installation = InstallationId(identity.installation_id);
        Ok(Self(Kind::App { app: Box::new(app), installation, minted: Mutex::new(None) }))
    }

    /// Says whether an app's installation is used.
    pub fn is_app(&self) -> bool {
        matches!(self.0, Kind::App { .. })
    }

    /// Returns a token that is good for some minutes at least.
    ///
    /// # Errors
    /// [`GitHubError`] if an installation token is due and GitHub does not give one.
    pub async fn token(&self) -> Result<SecretString, GitHubError> {
        match &self.0 {
            Kind::Token(token) => Ok(token.clone()),
            Kind::App { app, installation, minted } => {
                let mut minted = minted.lock().await;
                if let Some((token, at)) = &*minted
                    && at.elapsed() < INSTALLATION_TOKEN_AGE_MAX
                {
                    return Ok(token.clone());
                }
                let what = "the installation's token";
                let answered =
                    tokio::time::timeout(TOKEN_REQUEST_TIMEOUT, app.installation_and_token(*installation)).await;
                let too_late =
                    |_| GitHubError::Connection(format!("{what} did not come within {TOKEN_REQUEST_TIMEOUT:?}"));
                let (_, token) = answered.map_err(too_late)?.map_err(|error| from_octocrab(error, what))?;
                *minted = Some((token.clone(), Instant::now()));
                Ok(token)
            }
        }
    }
}

impl From<GitHubError> for GitError {
    fn from(error: GitHubError) -> Self {
        match error {
            GitHubError::Unauthorized => Self::Unauthorized,
            other => Self::Connection(other.to_string()),
        }
    }
}
