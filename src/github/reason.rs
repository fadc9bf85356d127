//! What a person can do about a refusal, by GitHub's own words for it. Pure.
//!
//! Serves the REST API and the git server, which use the same words. What a newcomer would get wrong: most refusals have
//! nothing to do with the token's permissions, and a hint that sends people to change those costs them a day.

/// Signs in GitHub's words, and what to do; the first that fits counts.
const REASONS: [(&[&str], &str); 9] = [
    (
        &["ip allow list", "ip address"],
        "add this machine's address to the IP allow list of the organisation or enterprise",
    ),
    (&["suspended"], "ask the owner of the account or of the app's installation to lift the suspension"),
    (
        &["is locked", "migration"],
        "it is locked, as for a migration; its mirror is kept as it was; exclude it to silence this",
    ),
    (
        &["disabled", "access blocked", "billing", "trade"],
        "GitHub has disabled it; its mirror is kept as it was; ask GitHub's support, or exclude it to silence this",
    ),
    (&["dmca", "takedown"], "GitHub blocks it; its mirror is kept as it was; exclude it to silence this"),
    (&["saml", "sso", "single sign-on"], "authorise the token for the organisation's SSO, in the settings of tokens"),
    (
        &["personal access token (classic)", "personal access tokens (classic)"],
        "the organisation accepts no classic tokens: use a fine-grained one, or a GitHub App",
    ),
    (
        &["login attempt"],
        "GitHub has seen many wrong tokens from this address: find what sends them, and run again in an hour",
    ),
    (&["lifetime"], "make a token that expires sooner: the organisation limits their lifetime"),
];

/// Returns what to do about a 403 that GitHub explains like this.
pub(crate) fn hint(words: &str) -> &'static str {
    let words = words.to_ascii_lowercase();
    let found = REASONS.iter().find(|(signs, _)| signs.iter().any(|sign| words.contains(sign)));
    found.map_or("give the token read access to metadata and contents of these repositories", |(_, hint)| *hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hint_fits_its_cause() {
        for (words, part) in [
            (
                "Although you appear to have the correct authorization credentials, the `acme` organization has an IP allow list enabled, and your IP address is not permitted",
                "allow list",
            ),
            ("This installation has been suspended", "suspension"),
            ("Sorry. Your account was suspended.", "suspension"),
            ("Repository is locked for migration.", "locked"),
            ("Access to this repository has been disabled by GitHub staff.", "disabled"),
            ("Repository access blocked", "disabled"),
            (
                "Resource protected by organization SAML enforcement. You must grant your Personal Access token access to this organization.",
                "SSO",
            ),
            (
                "`acme` forbids access via a personal access token (classic). Please use a GitHub App, OAuth App, or a personal access token with fine-grained permissions.",
                "fine-grained",
            ),
            (
                "The 'acme' organization forbids access via a fine-grained personal access tokens if the token's lifetime is greater than 366 days.",
                "expires sooner",
            ),
            ("Max number of login attempt exceeded", "wrong tokens"),
            ("Resource not accessible by personal access token", "read access"),
            ("Write access to repository not granted.", "read access"),
        ] {
            assert!(hint(words).contains(part), "{words}: {}", hint(words));
        }
    }
}
