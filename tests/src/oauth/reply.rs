//! What a server answers, and how a table says it in few words.

use bytes::Bytes;
use http::{HeaderMap, Response};
use serde_json::Value;

/// An answer.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// The header fields.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    /// The body as JSON; `null` if it is none.
    pub json: Value,
}

impl Reply {
    /// The status, and the error code if there is one: `200`, `400 invalid_grant`.
    pub fn said(&self) -> String {
        match self.json["error"].as_str() {
            Some(error) => format!("{} {error}", self.status),
            None => self.status.to_string(),
        }
    }

    /// A text of the JSON body.
    ///
    /// # Panics
    /// When it is not there.
    #[track_caller]
    pub fn text(&self, name: &str) -> &str {
        self.json[name].as_str().unwrap_or_else(|| panic!("no {name} in {} {}", self.status, self.json))
    }

    /// A header field; `None` if it is not there or no text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

impl From<Response<Bytes>> for Reply {
    fn from(response: Response<Bytes>) -> Self {
        let (parts, body) = response.into_parts();
        let json = serde_json::from_slice(&body).unwrap_or_default();
        Self { status: parts.status.as_u16(), headers: parts.headers, body, json }
    }
}
