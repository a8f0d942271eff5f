//! What a server in a test says.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};
use serde_json::Value;

/// An answer of JSON.
///
/// ```
/// use http::StatusCode;
/// use serde_json::json;
/// use vestibule_strategy::testing::json_answer;
///
/// let answer = json_answer(StatusCode::OK, &json!({ "id": 7 }));
/// assert_eq!(answer.headers()["content-type"], "application/json");
/// assert_eq!(answer.body(), r#"{"id":7}"#);
/// ```
pub fn json_answer(status: StatusCode, value: &Value) -> Response<Bytes> {
    typed(status, "application/json", value.to_string())
}

/// An answer of plain text.
///
/// ```
/// use http::StatusCode;
/// use vestibule_strategy::testing::text_answer;
///
/// assert_eq!(text_answer(StatusCode::NOT_FOUND, "gone").status(), 404);
/// ```
pub fn text_answer(status: StatusCode, text: impl Into<String>) -> Response<Bytes> {
    typed(status, "text/plain", text.into())
}

pub(super) fn typed(status: StatusCode, content_type: &'static str, body: String) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
