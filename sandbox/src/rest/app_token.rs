//! The two tokens of a GitHub App: the one it signs, and the one it gets for that.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, Duration, SecondsFormat, Utc};
use hyper::StatusCode;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};
use serde::Deserialize;
use serde_json::Value;

use super::answer::Answer;
use crate::options::AppOptions;

/// How far ahead the expiry of a signed token may lie: ten minutes, and as much tolerance for clocks as GitHub shows.
const MAX_LIFETIME_SECONDS: i64 = 600 + 60;

/// What a signed token claims.
#[derive(Debug, Deserialize)]
struct Claims {
    iss: Value,
    iat: i64,
    exp: i64,
}

/// Checks a token that the App signed; the error is GitHub's answer to what is wrong with it.
pub(super) fn check(app: &AppOptions, token: &str) -> Result<(), Answer> {
    let refused = |message: &str| Answer::error(StatusCode::UNAUTHORIZED, message);
    let undecodable = || refused("A JSON web token could not be decoded");
    let key = DecodingKey::from_rsa_pem(app.public_key_pem.as_bytes()).map_err(|_| undecodable())?;
    let mut validation = Validation::new(Algorithm::RS256);
    // The times are checked below, with GitHub's own words.
    validation.validate_exp = false;
    validation.required_spec_claims.clear();
    let claims = decode::<Claims>(token, &key, &validation).map_err(|_| undecodable())?.claims;

    let now = Utc::now().timestamp();
    if claims.exp <= now {
        return Err(refused(
            "'Expiration time' claim ('exp') must be a numeric value representing the future time at which the assertion expires",
        ));
    }
    if claims.exp > now + MAX_LIFETIME_SECONDS {
        return Err(refused("'Expiration time' claim ('exp') is too far in the future"));
    }
    if claims.iat > now {
        return Err(refused(
            "'Issued at' claim ('iat') must be an Integer representing the time that the assertion was issued",
        ));
    }
    let issuer = claims.iss.as_str().map_or_else(|| claims.iss.to_string(), str::to_owned);
    if issuer != app.app_id.to_string() {
        return Err(Answer::error(StatusCode::NOT_FOUND, "Integration not found"));
    }
    Ok(())
}

/// Keeps the installation tokens that were given out.
#[derive(Debug, Default)]
pub(crate) struct InstallationTokens(Mutex<Vec<(String, DateTime<Utc>)>>);

impl InstallationTokens {
    /// Gives out a new token; returns it with its stated expiry as GitHub writes it.
    pub(super) fn issue(&self, app: &AppOptions) -> (String, String) {
        let after = |seconds: u64| Utc::now() + Duration::seconds(i64::try_from(seconds).unwrap_or(3600));
        let expires_at = after(app.token_lifetime_seconds);
        let stated = app.stated_lifetime_seconds.map_or(expires_at, after);
        let token = format!("ghs_{}", letters(36));
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((token.clone(), expires_at));
        (token, stated.to_rfc3339_opts(SecondsFormat::Secs, true))
    }

    /// Tells whether a token was given out and has not expired.
    pub(super) fn is_valid(&self, token: &str) -> bool {
        let now = Utc::now();
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
            .any(|(known, expires_at)| known == token && *expires_at > now)
    }

    /// Forgets all tokens.
    pub(crate) fn revoke_all(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// Returns letters and digits that differ each time; each keyed hasher of the standard library is random.
fn letters(count: usize) -> String {
    const ALPHABET: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let random = RandomState::new();
    (0..count)
        .map(|position| {
            let mut hasher = random.build_hasher();
            hasher.write_usize(position);
            let index = usize::try_from(hasher.finish() % 62).expect("it is below 62");
            char::from(ALPHABET[index])
        })
        .collect()
}
