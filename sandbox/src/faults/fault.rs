//! The description of a fault, as a value that also travels as JSON.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Describes which requests go wrong, and how.
///
/// ```
/// use ghbk_sandbox::Fault;
///
/// let twice_unavailable = Fault::on("/acme/api.git/git-upload-pack").times(2).status(503);
/// let short_second_page = Fault::on("/orgs/acme/repos").skip(1).times(1).drop_items(3);
/// # let _ = (twice_unavailable, short_second_page);
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fault {
    /// The method that is affected; `None` stands for all.
    #[serde(default)]
    pub method: Option<String>,
    /// The path that is affected, with or without `/api/v3`.
    ///
    /// Without a `*` it matches the path itself and everything below it. With one it is matched against the whole
    /// path, and each `*` stands for any characters, slashes included.
    pub path: String,
    /// How many matching requests pass unharmed first.
    #[serde(default)]
    pub skip: u32,
    /// How many requests go wrong after those; `None` stands for all.
    #[serde(default)]
    pub times: Option<u32>,
    /// What goes wrong.
    pub action: Action,
}

/// Says what happens to a request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Action {
    /// Answers at once, without looking at the request.
    Status {
        /// The HTTP status.
        code: u16,
        /// Headers to send, as pairs.
        #[serde(default)]
        headers: Vec<(String, String)>,
        /// The body; it is sent as JSON if it is JSON, else as plain text.
        #[serde(default)]
        body: String,
    },
    /// Answers with a redirect.
    Redirect {
        /// Where to.
        location: String,
        /// The HTTP status, 301, 302 or 307.
        code: u16,
    },
    /// Closes the connection without an answer.
    HangUp,
    /// Waits before it looks at the request.
    Delay {
        /// For how many milliseconds.
        ms: u64,
    },
    /// Sends the first bytes of the true body, then breaks the connection off.
    TruncateBody {
        /// How many bytes arrive.
        after_bytes: u64,
    },
    /// Sends the first bytes of the true body, then nothing until the client leaves.
    StallBody {
        /// How many bytes arrive.
        after_bytes: u64,
    },
    /// Inverts one byte of the true body.
    FlipByte {
        /// Which one, counted from 0.
        at: u64,
    },
    /// Shortens a listing at its end, with status 200.
    DropItems {
        /// How many repositories are missing from the page.
        count: usize,
        /// Whether GitHub's header for a token without single sign-on is sent, which explains the gap.
        #[serde(default)]
        sso_header: bool,
    },
    /// Appends repositories to a listing.
    AddItems {
        /// Objects whose members replace those of an ordinary repository, such as `{"name": "..", "id": 7}`.
        items: Vec<Value>,
    },
    /// Replaces or removes a header of the true answer.
    ReplaceHeader {
        /// The header's name.
        name: String,
        /// Its new value; `None` removes it.
        #[serde(default)]
        value: Option<String>,
    },
}

impl Fault {
    /// Returns a fault on a path; until told otherwise it answers 500 to every request.
    pub fn on(path: impl Into<String>) -> Self {
        Self {
            method: None,
            path: path.into(),
            skip: 0,
            times: None,
            action: Action::Status { code: 500, headers: Vec::new(), body: String::new() },
        }
    }

    /// Limits the fault to one method.
    #[must_use]
    pub fn method(mut self, method: impl Into<String>) -> Self {
        self.method = Some(method.into());
        self
    }

    /// Lets the first matching requests pass.
    #[must_use]
    pub fn skip(mut self, requests: u32) -> Self {
        self.skip = requests;
        self
    }

    /// Ends the fault after so many requests.
    #[must_use]
    pub fn times(mut self, requests: u32) -> Self {
        self.times = Some(requests);
        self
    }

    /// Sets what happens.
    #[must_use]
    pub fn action(mut self, action: Action) -> Self {
        self.action = action;
        self
    }

    /// Answers with a status.
    #[must_use]
    pub fn status(self, code: u16) -> Self {
        self.action(Action::Status { code, headers: Vec::new(), body: String::new() })
    }

    /// Adds a header to an answer of [`Fault::status`].
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        if let Action::Status { headers, .. } = &mut self.action {
            headers.push((name.into(), value.into()));
        }
        self
    }

    /// Sets the body of an answer of [`Fault::status`].
    #[must_use]
    pub fn body(mut self, text: impl Into<String>) -> Self {
        if let Action::Status { body, .. } = &mut self.action {
            *body = text.into();
        }
        self
    }

    /// Redirects for good (301).
    #[must_use]
    pub fn redirect(self, location: impl Into<String>) -> Self {
        self.action(Action::Redirect { location: location.into(), code: 301 })
    }

    /// Closes the connection without an answer.
    #[must_use]
    pub fn hang_up(self) -> Self {
        self.action(Action::HangUp)
    }

    /// Delays the answer.
    #[must_use]
    pub fn delay(self, ms: u64) -> Self {
        self.action(Action::Delay { ms })
    }

    /// Breaks the connection off after so many bytes of the body.
    #[must_use]
    pub fn truncate_body(self, after_bytes: u64) -> Self {
        self.action(Action::TruncateBody { after_bytes })
    }

    /// Falls silent after so many bytes of the body.
    #[must_use]
    pub fn stall_body(self, after_bytes: u64) -> Self {
        self.action(Action::StallBody { after_bytes })
    }

    /// Inverts one byte of the body.
    #[must_use]
    pub fn flip_byte(self, at: u64) -> Self {
        self.action(Action::FlipByte { at })
    }

    /// Drops repositories from the end of a listing.
    #[must_use]
    pub fn drop_items(self, count: usize) -> Self {
        self.action(Action::DropItems { count, sso_header: false })
    }

    /// Drops repositories from the end of a listing, and says by header that single sign-on is the reason.
    #[must_use]
    pub fn drop_items_for_sso(self, count: usize) -> Self {
        self.action(Action::DropItems { count, sso_header: true })
    }

    /// Appends repositories to a listing.
    #[must_use]
    pub fn add_items(self, items: Vec<Value>) -> Self {
        self.action(Action::AddItems { items })
    }

    /// Replaces a header of the true answer.
    #[must_use]
    pub fn replace_header(self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.action(Action::ReplaceHeader { name: name.into(), value: Some(value.into()) })
    }

    /// Removes a header of the true answer.
    #[must_use]
    pub fn remove_header(self, name: impl Into<String>) -> Self {
        self.action(Action::ReplaceHeader { name: name.into(), value: None })
    }
}
