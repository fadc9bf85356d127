//! The addresses that answers speak of, as the asking client sees them.

use hyper::HeaderMap;
use hyper::header::HOST;

/// Where the client believes to be: links in an answer must lead back the way it came.
#[derive(Debug, Clone)]
pub(crate) struct Origin {
    /// The web and git side, such as `http://127.0.0.1:8080`.
    pub(crate) web: String,
    /// The REST API; equal to `web`, or with `/api/v3` after it.
    pub(crate) api: String,
}

impl Origin {
    /// Returns the origin of a request whose API path began with a prefix; `fallback` is the address without a path.
    pub(crate) fn new(headers: &HeaderMap, fallback: &str, prefix: &str) -> Self {
        let web = headers
            .get(HOST)
            .and_then(|host| host.to_str().ok())
            .and_then(|host| Some(format!("{}://{host}", fallback.split_once("://")?.0)))
            .unwrap_or_else(|| fallback.to_owned());
        Self { api: format!("{web}{prefix}"), web }
    }
}
