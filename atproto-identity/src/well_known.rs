//! The second way from a handle to a DID: a document on the handle's own host ([HTTPS well-known method]).
//!
//! [HTTPS well-known method]: https://atproto.com/specs/handle#https-well-known-method

use bytes::Bytes;
use http::header;
use thiserror::Error;
use url::Url;
use vestibule_oauth_core::{HttpCall, Trust};

use crate::call;
use crate::did::{Did, InvalidDid};
use crate::handle::Handle;

/// Asks `handle`'s host for its DID.
///
/// ```
/// use vestibule_atproto_identity::well_known;
///
/// let call = well_known::request(&"alice.example.com".parse().unwrap());
/// assert_eq!(call.request.uri(), "https://alice.example.com/.well-known/atproto-did");
/// assert_eq!(call.body_limit, 4096);
/// ```
pub fn request(handle: &Handle) -> HttpCall {
    ask(&format!("https://{handle}{PATH}"))
}

/// Asks again, where [`WellKnownAnswer::Redirect`] said.
pub fn request_again(location: &Url) -> HttpCall {
    ask(location.as_str())
}

fn ask(url: &str) -> HttpCall {
    call::get(url, "text/plain", PURPOSE, Trust::UserSupplied).with_body_limit(MAX_OCTETS)
}

/// Reads the answer that `asked` gave: the URL of the request, which a redirect may be relative to.
///
/// The content type is not looked at, save to tell a web page from a DID with a mistake in it.
///
/// # Errors
/// When the answer names no DID and nowhere else to ask.
pub fn read(asked: &http::Uri, response: &http::Response<Bytes>) -> Result<WellKnownAnswer, WellKnownError> {
    match response.status().as_u16() {
        200..=299 => body(response).map(WellKnownAnswer::Did),
        301 | 302 | 303 | 307 | 308 => redirect(asked, response).map(WellKnownAnswer::Redirect),
        404 | 410 => Err(WellKnownError::NotFound),
        status => Err(WellKnownError::Refused(status)),
    }
}

/// What a handle's host may answer.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(clippy::exhaustive_enums, reason = "a flow must treat each of these, and there is no third")]
pub enum WellKnownAnswer {
    /// The DID.
    Did(Did),
    /// Another address, over https, to ask under the same rules.
    Redirect(Url),
}

fn body(response: &http::Response<Bytes>) -> Result<Did, WellKnownError> {
    if response.body().len() > MAX_OCTETS {
        return Err(WellKnownError::TooLarge);
    }
    let text = response.body().trim_ascii();
    let kind = response.headers().get(header::CONTENT_TYPE).map_or(&b""[..], |value| value.as_bytes());
    let html = kind.get(..9).is_some_and(|head| head.eq_ignore_ascii_case(b"text/html"));
    if text.is_empty() {
        return Err(WellKnownError::Empty);
    }
    match std::str::from_utf8(text).map_err(|_| InvalidDid::Character).and_then(str::parse) {
        Ok(did) => Ok(did),
        // Many hosts answer every path with their front page.
        Err(_) if html || text.starts_with(b"<") => Err(WellKnownError::Html),
        Err(why) => Err(WellKnownError::NotADid(why)),
    }
}

fn redirect(asked: &http::Uri, response: &http::Response<Bytes>) -> Result<Url, WellKnownError> {
    let location = response.headers().get(header::LOCATION).and_then(|value| value.to_str().ok());
    let base = Url::parse(&asked.to_string()).map_err(|_| WellKnownError::Redirect)?;
    let mut url = location
        .filter(|text| text.len() <= MAX_LOCATION)
        .and_then(|text| base.join(text).ok())
        .ok_or(WellKnownError::Redirect)?;
    url.set_fragment(None);
    let plain = url.username().is_empty() && url.password().is_none();
    // The URL must also be one that a request can be made of.
    if url.scheme() == "https" && url.has_host() && plain && url.as_str().parse::<http::Uri>().is_ok() {
        Ok(url)
    } else {
        Err(WellKnownError::Redirect)
    }
}

/// Why an answer of a handle's host names no DID.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum WellKnownError {
    /// The host has no such document (404 or 410).
    #[error("the host has no /.well-known/atproto-did")]
    NotFound,
    /// The host answered with another status; the status.
    #[error("the host refused /.well-known/atproto-did with status {0}")]
    Refused(u16),
    /// A redirect to no address, or to one that is not https.
    #[error("the host redirects /.well-known/atproto-did to something that is no https URL")]
    Redirect,
    /// More redirects than are followed.
    #[error("the host redirects /.well-known/atproto-did more than 3 times")]
    TooManyRedirects,
    /// An empty body.
    #[error("the host answers /.well-known/atproto-did with nothing")]
    Empty,
    /// A larger body than any DID needs.
    #[error("the host answers /.well-known/atproto-did with more than 4 KiB")]
    TooLarge,
    /// A web page.
    #[error("the host answers /.well-known/atproto-did with a web page")]
    Html,
    /// A text that is no DID.
    #[error("the host answers /.well-known/atproto-did with something else than a DID: {0}")]
    NotADid(InvalidDid),
}

/// The longest DID, of 2048 octets, and room for white space.
const MAX_OCTETS: usize = 4096;
/// The limit that servers set to a request line; a longer address could not be asked for.
const MAX_LOCATION: usize = 8192;
const PATH: &str = "/.well-known/atproto-did";
const PURPOSE: &str = "handle's well-known document";

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, headers: &[(&str, &str)], body: &[u8]) -> Result<WellKnownAnswer, WellKnownError> {
        let mut response = http::Response::builder().status(status);
        for (name, value) in headers {
            response = response.header(*name, *value);
        }
        let call = request(&"alice.example.com".parse().unwrap());
        read(call.request.uri(), &response.body(Bytes::copy_from_slice(body)).unwrap())
    }

    #[test]
    fn r35_the_body_is_the_did() {
        let did = Ok(WellKnownAnswer::Did("did:plc:a".parse().unwrap()));
        assert_eq!(answer(200, &[], b"did:plc:a"), did);
        assert_eq!(answer(203, &[("content-type", "application/json")], b" did:plc:a\r\n"), did);
        assert_eq!(answer(200, &[("content-type", "text/html")], b"did:plc:a"), did);
        for (status, body, why) in [
            (404, &b"did:plc:a"[..], WellKnownError::NotFound),
            (500, b"did:plc:a", WellKnownError::Refused(500)),
            (304, b"did:plc:a", WellKnownError::Refused(304)),
            (200, b" \n", WellKnownError::Empty),
            (200, b"\"did:plc:a\"", WellKnownError::NotADid(InvalidDid::Prefix)),
            (200, b"did:plc:a\ndid:plc:b", WellKnownError::NotADid(InvalidDid::Character)),
            (200, b"did:plc:\xff", WellKnownError::NotADid(InvalidDid::Character)),
        ] {
            assert_eq!(answer(status, &[], body), Err(why), "{status}");
        }
    }

    #[test]
    fn r37_a_web_page_is_not_a_did_with_a_mistake() {
        for (kind, body) in [
            ("text/html", "Not here"),
            ("Text/HTML; charset=utf-8", "<p>"),
            ("text/plain", "  <!doctype html>"),
        ] {
            let why = answer(200, &[("content-type", kind)], body.as_bytes());
            assert_eq!(why, Err(WellKnownError::Html), "{kind} {body}");
        }
        assert_eq!(answer(200, &[], &[b'a'; 4097]), Err(WellKnownError::TooLarge));
    }

    #[test]
    fn r36_a_redirect_is_an_answer_and_https_only() {
        for (location, url) in [
            ("https://www.example.com/did", "https://www.example.com/did"),
            ("/did#top", "https://alice.example.com/did"),
            ("//b.example.com", "https://b.example.com/"),
        ] {
            let redirect = Ok(WellKnownAnswer::Redirect(url.parse().unwrap()));
            assert_eq!(answer(302, &[("location", location)], b""), redirect, "{location}");
        }
        for location in
            ["http://alice.example.com/did", "https://me:pw@b.com/", "file:///etc", "data:,x", "https://"]
        {
            assert_eq!(
                answer(308, &[("location", location)], b""),
                Err(WellKnownError::Redirect),
                "{location}"
            );
        }
        let long = format!("/{}", "a".repeat(8192));
        assert_eq!(answer(307, &[("location", &long)], b""), Err(WellKnownError::Redirect));
        assert_eq!(answer(301, &[], b"did:plc:a"), Err(WellKnownError::Redirect));
        let again = request_again(&"https://www.example.com/did".parse().unwrap());
        assert_eq!(again.request.uri(), "https://www.example.com/did");
        assert_eq!(again.trust, Trust::UserSupplied);
    }
}
