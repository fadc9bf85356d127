//! Repositories as people type and paste them: addresses from a browser or a clone, names with `.git` or a slash at the end.
//! Pure.
//!
//! What a newcomer would get wrong: an address of another host names another repository, and must not lead to one of that name
//! here.

use std::fmt;
use std::ops::Deref;
use std::str::FromStr;

use url::Url;

/// Something that was typed, with the host if it was an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Typed<T> {
    /// The host, with its port if that is not the usual one.
    pub host: Option<String>,
    /// What is meant there.
    pub value: T,
}

impl<T> Deref for Typed<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: fmt::Display> fmt::Display for Typed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}

impl<T: FromStr> FromStr for Typed<T> {
    type Err = T::Err;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        // `acme:site` is not an address; with a user in front it is one.
        let address = split_address(text).filter(|_| text.contains("://") || text.contains('@'));
        let address = address.or_else(|| without_scheme(text));
        let (host, path) = address.map_or((None, text), |(host, path)| (Some(host), path));
        let mut path = path.trim_matches('/');
        if host.is_some() {
            // Whatever follows the name is a page of the repository.
            let end = path.match_indices('/').nth(1).map_or(path.len(), |(at, _)| at);
            path = &path[..end];
        }
        path = path.strip_suffix(".git").unwrap_or(path);
        Ok(Self { host, value: path.parse()? })
    }
}

/// Splits an address into host and path: `https://HOST/OWNER/NAME`, `ssh://git@HOST/OWNER/NAME.git`, `git@HOST:OWNER/NAME.git`. The
/// host has its port if that is not the usual one.
pub(crate) fn split_address(text: &str) -> Option<(String, &str)> {
    if let Ok(url) = Url::parse(text)
        && let Some(host) = url.host_str()
        && let Some((_, rest)) = text.split_once("://")
    {
        let host = host.strip_prefix("www.").unwrap_or(host);
        // The port of ssh says nothing about the web's.
        let port = url.port().filter(|_| url.scheme() != "ssh");
        let port = port.map_or_else(String::new, |port| format!(":{port}"));
        let path = rest.split_once('/').map_or("", |(_, path)| path);
        let path = path.split(['?', '#']).next().unwrap_or(path);
        return Some((format!("{host}{port}"), path));
    }
    let (place, path) = text.split_once(':')?;
    let host = place.rsplit_once('@').map_or(place, |(_, host)| host);
    Some((host.to_owned(), path))
}

/// Splits an address as browsers show it, `HOST/OWNER/NAME`: an owner's name has no dot.
fn without_scheme(text: &str) -> Option<(String, &str)> {
    let (host, path) = text.split_once('/')?;
    let path = path.split(['?', '#']).next().unwrap_or(path);
    let has_port = host.split_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let is_host = (host.contains('.') || has_port) && !host.starts_with('.') && path.trim_matches('/').contains('/');
    is_host.then(|| (host.strip_prefix("www.").unwrap_or(host).to_owned(), path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::{FullName, Wanted};

    #[test]
    fn what_people_paste_is_understood() {
        for (text, host) in [
            ("acme/site", None),
            ("acme/site.git", None),
            ("acme/site/", None),
            (" acme/site ", None),
            ("https://github.com/acme/site", Some("github.com")),
            ("https://github.com/acme/site.git", Some("github.com")),
            ("https://github.com/acme/site/pull/7?w=1#discussion", Some("github.com")),
            ("https://token@github.com/acme/site", Some("github.com")),
            ("http://127.0.0.1:8080/acme/site", Some("127.0.0.1:8080")),
            ("ssh://git@github.com/acme/site.git", Some("github.com")),
            ("git@github.com:acme/site.git", Some("github.com")),
            ("ssh://git@github.com:22/acme/site.git", Some("github.com")),
            ("github.com/acme/site", Some("github.com")),
            ("www.github.com/acme/site/issues/?q=is:open#top", Some("github.com")),
            ("https://www.github.com/acme/site", Some("github.com")),
            ("127.0.0.1:8080/acme/site", Some("127.0.0.1:8080")),
        ] {
            let typed: Typed<FullName> = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!((typed.to_string().as_str(), typed.host.as_deref()), ("acme/site", host), "{text}");
        }
        assert_eq!("1296269".parse::<Typed<Wanted>>().unwrap().to_string(), "id 1296269");
    }

    #[test]
    fn nonsense_stays_nonsense() {
        for text in [
            "",
            "acme",
            "https://github.com/acme",
            "acme/site/tree",
            "../acme",
            "a b/c",
            "https:/acme/site",
            "../acme/site",
            "github.com/acme",
        ] {
            assert!(text.parse::<Typed<FullName>>().is_err(), "{text}");
        }
    }
}
