//! Proxies, as the environment names them: `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY`, `NO_PROXY`, in either case.
//!
//! What a newcomer would get wrong: the address of a proxy may hold a password, so only its host and port are ever shown.

use reqwest::{NoProxy, Proxy};
use url::{Host, Url};

/// Returns the proxies to go through.
///
/// # Errors
/// The name of the variable and what is wrong with it, without its value.
pub(super) fn proxies() -> Result<Vec<Proxy>, String> {
    let mut proxies = Vec::new();
    // To the HTTP client, `*` means all names but not addresses.
    if exceptions().iter().any(|exception| exception == "*") {
        return Ok(proxies);
    }
    for scheme in ["http", "https"] {
        let Some(address) = configured(scheme)? else { continue };
        let proxy = if scheme == "http" { Proxy::http(address) } else { Proxy::https(address) };
        let proxy = proxy.map_err(|error| format!("the {scheme} proxy cannot be used: {}", error.without_url()))?;
        proxies.push(proxy.no_proxy(NoProxy::from_string(&exceptions().join(","))));
    }
    Ok(proxies)
}

/// Returns the host and port of the proxy through which a server is reached, if there is one.
pub(super) fn used_for(url: &Url) -> Option<String> {
    let proxy = configured(url.scheme()).ok()??;
    let host = url.host_str()?.trim_matches(['[', ']']);
    let is_exempt = exceptions().iter().any(|exception| {
        let domain = exception.trim_start_matches('.');
        // Whether a range of addresses holds this one is not checked: better to say nothing than something wrong.
        let may_be_in_range = exception.contains('/') && !matches!(url.host(), Some(Host::Domain(_)));
        let is_below = host.strip_suffix(domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
        domain == "*" || may_be_in_range || (!domain.is_empty() && is_below)
    });
    (!is_exempt).then(|| proxy[url::Position::BeforeHost..url::Position::AfterPort].to_owned())
}

fn variable(name: &str) -> Option<(String, String)> {
    let names = [name.to_ascii_uppercase(), name.to_ascii_lowercase()];
    names.into_iter().find_map(|name| {
        let value = std::env::var(&name).ok()?.trim().to_owned();
        (!value.is_empty()).then_some((name, value))
    })
}

fn configured(scheme: &str) -> Result<Option<Url>, String> {
    // In a CGI program, HTTP_PROXY comes from a request header.
    let is_cgi = scheme == "http" && std::env::var_os("REQUEST_METHOD").is_some();
    let own = variable(&format!("{scheme}_proxy")).filter(|_| !is_cgi);
    own.or_else(|| variable("all_proxy")).map(|(name, value)| read(&name, &value)).transpose()
}

fn read(name: &str, value: &str) -> Result<Url, String> {
    let with_scheme = if value.contains("://") { value.to_owned() } else { format!("http://{value}") };
    let unusable = || format!("{name} is not the address of a proxy, as in http://HOST:PORT");
    let url = Url::parse(&with_scheme).map_err(|_| unusable())?;
    match url.scheme() {
        "http" | "https" if url.host().is_some() => Ok(url),
        scheme if scheme.starts_with("socks") => {
            Err(format!("{name} names a SOCKS proxy, which is not supported; only HTTP proxies are"))
        }
        _ => Err(unusable()),
    }
}

/// Returns what `NO_PROXY` names, separated by commas or spaces.
fn exceptions() -> Vec<String> {
    let list = variable("no_proxy").map(|(_, list)| list).unwrap_or_default();
    let entries = list.split(|c: char| c == ',' || c.is_whitespace()).filter(|entry| !entry.is_empty());
    entries.map(str::to_ascii_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_http_proxy_is_refused_without_its_password() {
        assert_eq!(read("http_proxy", "127.0.0.1:3128").unwrap().as_str(), "http://127.0.0.1:3128/");
        for value in ["not a url", "socks5://alice:secret@127.0.0.1", "ftp://alice:secret@127.0.0.1", "http://"] {
            let error = read("ALL_PROXY", value).unwrap_err();
            assert!(error.contains("ALL_PROXY") && !error.contains("secret"), "{error}");
        }
    }
}
