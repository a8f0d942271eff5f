//! The forms of this server's own pages.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{StatusCode, request};
use http_body::Body as HttpBody;

use crate::arrival::{NotArrived, arrive};
use crate::respond::{self, Refusal};

/// The largest form, in octets: an app's authorization request is the longest.
pub(crate) const MAX_FORM: usize = 16 * 1024;

/// The form as it was sent, if it is one, and arrives whole and in time.
pub(crate) async fn read_form<B>(parts: &request::Parts, body: B) -> Result<Bytes, Refusal>
where
    B: HttpBody + Send,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let refuse = |status, sentence| Err(respond::error_answer(status, "invalid_request", sentence).into());
    let media = parts.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = media.split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        let sentence = "the body must be application/x-www-form-urlencoded";
        return refuse(StatusCode::UNSUPPORTED_MEDIA_TYPE, sentence);
    }
    match arrive(body, MAX_FORM).await {
        Ok(form) => Ok(form),
        Err(NotArrived::TooLarge) => refuse(StatusCode::PAYLOAD_TOO_LARGE, "the form is larger than 16 KiB"),
        Err(NotArrived::BrokeOff) => refuse(StatusCode::BAD_REQUEST, "the form broke off"),
        Err(NotArrived::TooSlow) => refuse(StatusCode::REQUEST_TIMEOUT, "the form did not arrive in time"),
    }
}
