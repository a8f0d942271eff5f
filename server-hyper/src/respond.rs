//! Answers: pages for people, JSON for programs, and the headers every answer carries.

use bytes::Bytes;
use http::header::{
    ACCEPT, ACCESS_CONTROL_ALLOW_ORIGIN, ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE,
    HeaderMap, HeaderName, HeaderValue, LOCATION, REFERRER_POLICY, STRICT_TRANSPORT_SECURITY,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{Response, StatusCode};
use serde_json::{Value, json};
use vestibule_strategy::Failure;

/// Whether whoever asks reads pages: a browser says so, a program that wants anything else gets JSON.
pub fn wants_page(headers: &HeaderMap) -> bool {
    let accepts = headers.get_all(ACCEPT).into_iter().filter_map(|value| value.to_str().ok());
    accepts.flat_map(|text| text.split(',')).any(|media| {
        let mut parts = media.split(';').map(str::trim);
        let html = parts.next().is_some_and(|name| name.eq_ignore_ascii_case("text/html"));
        html && !parts.any(|part| matches!(part, "q=0" | "q=0.0"))
    })
}

/// An answer instead of the one that was asked for; what `?` gives up with.
#[derive(Debug)]
pub(crate) struct Refusal(Box<Response<Bytes>>);

impl From<Response<Bytes>> for Refusal {
    fn from(response: Response<Bytes>) -> Self {
        Self(Box::new(response))
    }
}

impl From<Refusal> for Response<Bytes> {
    fn from(refusal: Refusal) -> Self {
        *refusal.0
    }
}

/// A JSON answer, never cached.
pub(crate) fn json_answer(status: StatusCode, value: &Value) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(value.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, JSON);
    response.headers_mut().insert(CACHE_CONTROL, NO_STORE);
    response
}

/// A JSON document that is published: any site may read it, and caches may keep it for five minutes.
pub(crate) fn document(json: String) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(json));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, JSON);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=300"));
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    response
}

/// An error as JSON: a stable code and a sentence.
pub(crate) fn error_answer(status: StatusCode, code: &str, sentence: &str) -> Response<Bytes> {
    json_answer(status, &json!({ "error": code, "error_description": sentence }))
}

/// The answer to a method that an address does not take (405).
pub(crate) fn wrong_method(allowed: &str) -> Response<Bytes> {
    let sentence = "this address does not take that method";
    let mut response = error_answer(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", sentence);
    response.headers_mut().extend(HeaderValue::try_from(allowed).ok().map(|allowed| (ALLOW, allowed)));
    response
}

/// A failed login as JSON. The sentence is the person's, the detail is for the developer, and neither holds a secret.
pub fn failure_answer(failure: &Failure) -> Response<Bytes> {
    let kind = failure.kind();
    let body = json!({
        "error": kind.code(),
        "error_description": failure.for_person(),
        "detail": failure.detail(),
    });
    json_answer(kind.status(), &body)
}

/// A page.
pub(crate) fn page(status: StatusCode, html: String) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(html));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(CACHE_CONTROL, NO_STORE);
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(PAGE_POLICY));
    // Not `no-referrer`: under that a form posts `Origin: null`, and could not be told from another site's.
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    headers.insert(
        HeaderName::from_static("cross-origin-opener-policy"),
        HeaderValue::from_static("same-origin"),
    );
    response
}

/// A redirect that turns a form into a page (303).
pub(crate) fn see_other(location: &str) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = StatusCode::SEE_OTHER;
    response.headers_mut().insert(CACHE_CONTROL, NO_STORE);
    response.headers_mut().extend(HeaderValue::try_from(location).ok().map(|place| (LOCATION, place)));
    response
}

/// The headers every answer carries, whatever it is.
pub(crate) fn harden(headers: &mut HeaderMap, https: bool) {
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    let shared = headers.contains_key(ACCESS_CONTROL_ALLOW_ORIGIN);
    let resource_policy = if shared { "cross-origin" } else { "same-origin" };
    headers.insert(CROSS_ORIGIN_RESOURCE_POLICY, HeaderValue::from_static(resource_policy));
    // A page brings policies of its own.
    if !headers.contains_key(CONTENT_SECURITY_POLICY) {
        headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(OTHER_POLICY));
    }
    if !headers.contains_key(REFERRER_POLICY) {
        headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    }
    if https {
        headers.insert(STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=31536000"));
    }
}

const CROSS_ORIGIN_RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// What a page may load: its style, from here. There is no `form-action`: browsers apply it to the redirect that follows
/// a form as well, and signing in ends at the person's own server.
const PAGE_POLICY: &str =
    "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; frame-ancestors 'none'";

/// For everything that is not one of our pages, what a person's server sends through `/xrpc` first of all: were it ever
/// shown as a page, it runs nothing, and is not of this origin.
const OTHER_POLICY: &str = "default-src 'none'; frame-ancestors 'none'; sandbox";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_browser_gets_pages_and_everybody_else_json() {
        for (accept, page) in [
            (None, false),
            (Some("*/*"), false),
            (Some("application/json"), false),
            (Some("text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"), true),
            (Some("application/json, Text/HTML;q=0.5"), true),
            (Some("text/html;q=0"), false),
        ] {
            let headers: HeaderMap =
                accept.map(|text| (ACCEPT, HeaderValue::from_static(text))).into_iter().collect();
            assert_eq!(wants_page(&headers), page, "{accept:?}");
        }
    }
}
