//! Answers that must be a JSON document.

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode, Uri, header};
use serde::de::DeserializeOwned;
use thiserror::Error;

use crate::finding::shown;

/// Why an answer is not the JSON document that was asked for.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum JsonAnswerError {
    /// Another status than 200; a redirect is one, and is not followed.
    #[error("status must be 200, and is {}", .0.as_u16())]
    Status(StatusCode),
    /// No `Content-Type`, or another than `application/json`; the one received.
    #[error("content-type must be application/json, and is {0}")]
    ContentType(String),
    /// More octets than such a document needs; the limit.
    #[error("body must have at most {0} octets")]
    TooLarge(usize),
    /// Not JSON, or JSON of another shape; what the reader said.
    #[error("body must be the JSON document asked for: {0}")]
    Shape(String),
}

/// A request for a JSON document.
pub(crate) fn request(uri: Uri) -> http::Request<Bytes> {
    let mut request = http::Request::new(Bytes::new());
    *request.method_mut() = Method::GET;
    *request.uri_mut() = uri;
    request.headers_mut().insert(header::ACCEPT, header::HeaderValue::from_static("application/json"));
    request
}

/// The document of an answer: status 200 and no other, `application/json`, at most `limit` octets.
pub(crate) fn read<T: DeserializeOwned>(
    answer: &http::Response<Bytes>,
    limit: usize,
) -> Result<T, JsonAnswerError> {
    if answer.status() != StatusCode::OK {
        return Err(JsonAnswerError::Status(answer.status()));
    }
    let content_type = content_type(answer.headers());
    if !content_type.as_deref().is_some_and(is_json) {
        let received = content_type.map_or_else(|| "missing".to_owned(), |text| shown(&text));
        return Err(JsonAnswerError::ContentType(received));
    }
    if answer.body().len() > limit {
        return Err(JsonAnswerError::TooLarge(limit));
    }
    serde_json::from_slice(answer.body()).map_err(|error| JsonAnswerError::Shape(clipped(&error.to_string())))
}

/// Whether a `Content-Type` is `application/json`, whatever its parameters.
pub(crate) fn is_json(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default();
    essence.trim_matches([' ', '\t']).eq_ignore_ascii_case("application/json")
}

/// What a JSON reader says about a document, which may quote it.
pub(crate) fn clipped(message: &str) -> String {
    message.chars().filter(|c| !c.is_control()).take(MAX_MESSAGE).collect()
}

/// The one `Content-Type`; two are none.
fn content_type(headers: &HeaderMap) -> Option<String> {
    let mut values = headers.get_all(header::CONTENT_TYPE).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => Some(String::from_utf8_lossy(value.as_bytes()).into_owned()),
        _ => None,
    }
}

/// Characters of a JSON reader's message that are kept: it may quote a text of any length.
const MAX_MESSAGE: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_has_one_content_type() {
        for text in ["application/json", "application/json; charset=utf-8", "Application/JSON ;x=y"] {
            assert!(is_json(text), "{text}");
        }
        for text in [
            "",
            "text/plain",
            "application/json5",
            "application/jwk-set+json",
            "text/plain; application/json",
        ] {
            assert!(!is_json(text), "{text}");
        }
    }
}
