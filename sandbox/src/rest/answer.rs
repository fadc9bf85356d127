//! Answers before they become HTTP: a status, JSON, and perhaps a link or two.

use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue, LOCATION};
use hyper::{Response, StatusCode};
use serde_json::{Value, json};

use crate::server::{Body, Reply};

/// An answer of the REST API.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: Value,
    pub(crate) headers: Vec<(HeaderName, String)>,
}

impl Answer {
    /// Returns a 200 with a body.
    pub(crate) fn ok(body: Value) -> Self {
        Self::of(StatusCode::OK, body)
    }

    /// Returns any status with a body.
    pub(crate) fn of(status: StatusCode, body: Value) -> Self {
        Self { status, body, headers: Vec::new() }
    }

    /// Returns an error as GitHub documents it.
    pub(crate) fn error(status: StatusCode, message: &str) -> Self {
        let body = json!({
            "message": message,
            "documentation_url": "https://docs.github.com/rest",
            "status": status.as_str(),
        });
        Self::of(status, body)
    }

    /// Returns the 404 that GitHub also gives for what the caller may not see.
    pub(crate) fn not_found() -> Self {
        Self::error(StatusCode::NOT_FOUND, "Not Found")
    }

    /// Returns a redirect for good.
    pub(crate) fn moved(location: String) -> Self {
        let mut answer = Self::error(StatusCode::MOVED_PERMANENTLY, "Moved Permanently");
        answer.body["url"] = location.clone().into();
        answer.header(LOCATION, location)
    }

    /// Returns the answer to a caller who must say who he is.
    pub(crate) fn requires_authentication() -> Self {
        Self::error(StatusCode::UNAUTHORIZED, "Requires authentication")
    }

    /// Adds a header.
    pub(crate) fn header(mut self, name: HeaderName, value: String) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Turns the answer into HTTP.
    pub(crate) fn into_reply(self) -> Reply {
        let is_unchanged = self.status == StatusCode::NOT_MODIFIED;
        let body = if is_unchanged { Body::Whole(None) } else { Body::whole(self.body.to_string()) };
        let mut reply = Response::new(body);
        *reply.status_mut() = self.status;
        let headers = reply.headers_mut();
        if !is_unchanged {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
        }
        for (name, value) in self.headers {
            let value = HeaderValue::from_str(&value).expect("values are made of numbers, names and checked addresses");
            headers.insert(name, value);
        }
        reply
    }
}
