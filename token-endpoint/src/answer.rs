//! Answers of the endpoints: JSON, never cached, readable from any site.

use bytes::Bytes;
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderName,
    HeaderValue, PRAGMA, RETRY_AFTER, WWW_AUTHENTICATE,
};
use http::{Response, StatusCode};
use serde::Serialize;

use crate::denial::Denial;
use crate::event::Event;

/// What an endpoint answers, and what there is to tell about it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Answer {
    /// To be sent as it is.
    pub response: Response<Bytes>,
    /// What happened, for a log.
    pub events: Vec<Event>,
}

/// How a denial is told to this client.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Telling<'a> {
    /// The realm of a challenge, if the request used the `Authorization` header field.
    pub(crate) challenge: Option<&'a str>,
}

/// A JSON answer.
pub(crate) fn json(status: StatusCode, body: &impl Serialize) -> Response<Bytes> {
    let mut octets = Vec::with_capacity(512);
    // Texts and numbers: there is nothing in these bodies that cannot be written.
    let written = serde_json::to_writer(&mut octets, body).is_ok();
    json_text(if written { status } else { StatusCode::INTERNAL_SERVER_ERROR }, octets)
}

/// A JSON answer that is written already.
pub(crate) fn json_text(status: StatusCode, body: impl Into<Bytes>) -> Response<Bytes> {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.reserve(10);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // OAuth 2.1 dropped it; RFC 6749, section 5.1, and old proxies did not.
    headers.insert(PRAGMA, HeaderValue::from_static("no-cache"));
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("DPoP-Nonce, WWW-Authenticate"));
    response
}

/// An answer without a body that any site may read.
pub(crate) fn empty(status: StatusCode) -> Response<Bytes> {
    let mut response = json(status, &());
    *response.body_mut() = Bytes::new();
    response.headers_mut().remove(CONTENT_TYPE);
    response
}

/// The answer to a browser that asks whether a page of another site may send a request
/// ([Fetch, CORS preflight](https://fetch.spec.whatwg.org/#http-cors-protocol)). There are no cookies at these endpoints to be
/// misused, so every site may.
///
/// ```
/// let response = vestibule_token_endpoint::preflight();
/// assert_eq!(response.status(), 204);
/// assert_eq!(response.headers()["access-control-allow-headers"], "authorization, content-type, dpop");
/// ```
pub fn preflight() -> Response<Bytes> {
    let mut response = empty(StatusCode::NO_CONTENT);
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("POST"));
    headers
        .insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("authorization, content-type, dpop"));
    headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("86400"));
    response
}

/// The answer that a denial is ([RFC 6749, section 5.2]).
///
/// [RFC 6749, section 5.2]: https://www.rfc-editor.org/rfc/rfc6749#section-5.2
pub(crate) fn denied(denial: &Denial, telling: Telling<'_>) -> Response<Bytes> {
    #[derive(Serialize)]
    struct Body<'a> {
        error: &'a str,
        error_description: &'a str,
    }
    let row = denial.row();
    let challenge = telling.challenge.filter(|_| denial.is_of_client());
    let status = if challenge.is_some() { StatusCode::UNAUTHORIZED } else { row.status };
    let mut response = json(status, &Body { error: row.code.as_str(), error_description: row.for_client });
    let headers = response.headers_mut();
    if let Some(realm) = challenge {
        // Some clients look at nothing but the challenge once there is one.
        let text = format!(
            "Basic realm=\"{realm}\", charset=\"UTF-8\", error=\"{}\", error_description=\"{}\"",
            row.code, row.for_client
        );
        headers.extend(HeaderValue::try_from(text).ok().map(|text| (WWW_AUTHENTICATE, text)));
    }
    if status == StatusCode::METHOD_NOT_ALLOWED {
        headers.insert(ALLOW, HeaderValue::from_static("POST"));
    }
    if status == StatusCode::SERVICE_UNAVAILABLE {
        headers.insert(RETRY_AFTER, HeaderValue::from_static("2"));
    }
    response
}

/// Adds the nonce for the client's next proof.
pub(crate) fn with_nonce(response: &mut Response<Bytes>, nonce: &str) {
    response.headers_mut().extend(HeaderValue::try_from(nonce).ok().map(|nonce| (DPOP_NONCE, nonce)));
}

const DPOP_NONCE: HeaderName = HeaderName::from_static("dpop-nonce");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::denial::Reuse;
    use vestibule_dpop::InvalidProof;

    #[test]
    fn t56_t57_a_challenge_only_where_the_header_field_was_used() {
        let realm = Telling { challenge: Some("vestibule") };
        for (denial, telling, status, challenged) in [
            (Denial::WrongSecret, realm, 401, true),
            (Denial::UnknownClient, realm, 401, true),
            (Denial::WrongSecret, Telling::default(), 400, false),
            (Denial::CodeUnknown, realm, 400, false),
            (Denial::TwoMethods, realm, 400, false),
            (Denial::Method, Telling::default(), 405, false),
            (Denial::BodyTooLarge, Telling::default(), 413, false),
            (Denial::Unavailable("x".to_owned()), realm, 503, false),
            (Denial::Signing("x".to_owned()), realm, 500, false),
        ] {
            let response = denied(&denial, telling);
            assert_eq!(response.status().as_u16(), status, "{denial}");
            assert_eq!(response.headers().contains_key(WWW_AUTHENTICATE), challenged, "{denial}");
            assert_eq!(response.headers()[CONTENT_TYPE], "application/json");
            assert_eq!(response.headers()[CACHE_CONTROL], "no-store", "T58");
            assert_eq!(response.headers()[ACCESS_CONTROL_ALLOW_ORIGIN], "*", "T59");
            let body: serde_json::Value = serde_json::from_slice(response.body()).unwrap();
            assert_eq!(body["error"], denial.row().code.as_str());
        }
        let challenge = denied(&Denial::WrongSecret, realm).headers()[WWW_AUTHENTICATE].clone();
        assert_eq!(
            challenge,
            "Basic realm=\"vestibule\", charset=\"UTF-8\", error=\"invalid_client\", \
             error_description=\"client authentication failed\""
        );
    }

    #[test]
    fn t11_t17_a_client_learns_the_rule_and_nothing_that_was_sent() {
        for (one, other) in [
            (Denial::UnknownClient, Denial::WrongSecret),
            (Denial::CodeUnknown, Denial::CodeOfOtherClient),
            (Denial::RefreshTokenUnknown, Denial::RefreshTokenOfOtherClient),
            (Denial::RefreshTokenReused(Reuse::TooLate), Denial::RefreshTokenReused(Reuse::SuccessorUsed)),
            (Denial::Proof(InvalidProof::OtherTarget), Denial::ProofReplayed),
        ] {
            let (one, other) = (denied(&one, Telling::default()), denied(&other, Telling::default()));
            assert_eq!((one.status(), one.body()), (other.status(), other.body()));
        }
    }
}
