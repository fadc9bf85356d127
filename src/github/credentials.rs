//! Who we are to GitHub: a token, or an app's installation whose tokens last an hour.
//!
//! One source serves the REST API and the git server. What a newcomer would get wrong: an installation token taken once at the
//! start expires in the middle of a long run, so a token is asked for before every request.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use http::Method;
use octocrab::auth::{AppAuth, EncodingKey};
use octocrab::models::AppId;
use reqwest::StatusCode;
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::GitHubError;
use super::api::{Answer, Api};
use super::client::refused;
use crate::limits::{Retry, Retryable};
use crate::text::keep_secret;

/// GitHub's installation tokens are valid for an hour, and say so.
const LIFETIME: Duration = Duration::from_hours(1);

/// Gives the token to use now.
#[derive(Debug)]
pub struct Credentials(Kind);

#[derive(Debug)]
enum Kind {
    Token(SecretString),
    App(Box<App>),
}

#[derive(Debug)]
struct App {
    auth: AppAuth,
    installation_id: u64,
    api: Arc<Api>,
    minted: Mutex<Minted>,
}

/// The result of asking for an installation token.
#[derive(Debug)]
enum Minted {
    Nothing,
    Token {
        token: SecretString,
        good_until: Instant,
    },
    /// Asking again changes nothing: a thousand repositories would ask a thousand times.
    Refused(GitHubError),
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
    /// [`GitHubError::Setup`] if the key is not an RSA key in PEM.
    pub fn app(identity: &AppIdentity, api: Arc<Api>) -> Result<Self, GitHubError> {
        let key = EncodingKey::from_rsa_pem(identity.key.expose_secret().as_bytes())
            // The text of a key's error may quote the key.
            .map_err(|_| GitHubError::Setup("the app's private key is not an RSA key in PEM".to_owned()))?;
        let auth = AppAuth { app_id: AppId(identity.app_id), key };
        let minted = Mutex::new(Minted::Nothing);
        Ok(Self(Kind::App(Box::new(App { auth, installation_id: identity.installation_id, api, minted }))))
    }

    /// Returns whether an app's installation is used.
    pub fn is_app(&self) -> bool {
        matches!(self.0, Kind::App { .. })
    }

    /// Returns a token that is valid for some minutes at least.
    ///
    /// # Errors
    /// [`GitHubError`] if an installation token is due and GitHub does not give one.
    pub async fn token(&self) -> Result<SecretString, GitHubError> {
        match &self.0 {
            Kind::Token(token) => Ok(token.clone()),
            Kind::App(app) => app.token().await,
        }
    }
}

impl App {
    async fn token(&self) -> Result<SecretString, GitHubError> {
        // A caller that comes while a token is being asked for waits for that one.
        let mut minted = self.minted.lock().await;
        match &*minted {
            Minted::Token { token, good_until } if Instant::now() < *good_until => return Ok(token.clone()),
            Minted::Refused(error) => return Err(error.clone()),
            Minted::Token { .. } | Minted::Nothing => {}
        }
        match self.mint().await {
            Ok((token, good_for)) => {
                *minted = Minted::Token { token: token.clone(), good_until: Instant::now() + good_for };
                Ok(token)
            }
            Err(error) => {
                if error.retry() == Retry::Never {
                    *minted = Minted::Refused(error.clone());
                }
                Err(error)
            }
        }
    }

    /// Asks for a token; returns it with how long it is to be used.
    async fn mint(&self) -> Result<(SecretString, Duration), GitHubError> {
        let what = "a token for the app's installation";
        let signed = self.auth.generate_bearer_token();
        let unsigned = |_| GitHubError::Setup("the app's private key signs nothing".to_owned());
        let signed = SecretString::from(signed.map_err(unsigned)?);
        keep_secret(&signed);
        let url = self.api.endpoint(&format!("app/installations/{}/access_tokens", self.installation_id));
        let answer = self.api.exchange(Method::POST, &url, &signed, what).await?;
        let status = answer.status;
        if status.is_client_error() && answer.refusal().is_none() && status != StatusCode::GONE {
            return Err(GitHubError::AppRefused { status, message: answer.words(&signed) });
        }
        if !status.is_success() {
            return Err(refused(&answer, &signed, what));
        }
        let body = answer.json(what)?;
        let Some(token) = body.get("token").and_then(|token| token.as_str()) else {
            return Err(GitHubError::Unreadable { what: what.to_owned(), reason: "it holds no token".to_owned() });
        };
        let expires = body.get("expires_at").and_then(|at| at.as_str()?.parse().ok());
        let token = SecretString::from(token);
        keep_secret(&token);
        Ok((token, good_for(&answer, expires)))
    }
}

/// Returns how long a token is to be used: five sixths of its life. The rest is left to the request that uses it.
fn good_for(answer: &Answer, expires: Option<DateTime<Utc>>) -> Duration {
    let now = answer.date().unwrap_or_else(Utc::now);
    let lifetime = expires.map_or(LIFETIME, |expires| (expires - now).to_std().unwrap_or_default());
    lifetime.min(LIFETIME) * 5 / 6
}
