//! Pushed authorization requests ([RFC 9126]): the request goes to the server directly, the browser carries a reference.
//!
//! [RFC 9126]: https://www.rfc-editor.org/rfc/rfc9126

use std::time::Duration;

use bytes::Bytes;
use http::Response;
use serde::Deserialize;
use thiserror::Error;
use url::Url;
use vestibule_oauth_core::{ErrorResponse, PkceChallenge};

use crate::backchannel::Form;

/// An authorization request for a code with PKCE, about to be pushed.
///
/// ```
/// use url::Url;
/// use vestibule_oauth_core::{PkceVerifier, Seed, Trust, UnixTime};
/// use vestibule_strategy::{Backchannel, ClientAuth, PushRequest};
///
/// let redirect_uri = Url::parse("https://app.example/callback").unwrap();
/// let challenge = PkceVerifier::from_entropy([7; 32]).challenge();
/// let push = PushRequest::new(&redirect_uri, "state", &challenge, "atproto").with_login_hint(Some("alice.example.com"));
///
/// let endpoint = Url::parse("https://as.example/par").unwrap();
/// let channel = Backchannel::new("https://as.example", "client", &ClientAuth::Public, Trust::Configured);
/// let (seed, now) = (Seed::from_entropy([9; 32]), UnixTime::from_secs(1_700_000_000));
/// let call = channel.request(&push.form(&endpoint), None, &seed, now).unwrap();
/// let body = String::from_utf8(call.request.into_body().to_vec()).unwrap();
/// assert!(body.starts_with("response_type=code&code_challenge="));
/// assert!(body.ends_with("&scope=atproto&login_hint=alice.example.com&client_id=client"));
/// ```
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct PushRequest<'a> {
    /// Where the person comes back to.
    pub redirect_uri: &'a Url,
    /// Ties the answer to the request.
    pub state: &'a str,
    /// The PKCE challenge.
    pub pkce: &'a PkceChallenge,
    /// What is asked for, as text.
    pub scope: &'a str,
    /// Who is expected to sign in.
    pub login_hint: Option<&'a str>,
    /// Which page the server should show.
    pub prompt: Option<&'a str>,
}

impl<'a> PushRequest<'a> {
    /// A request without hints.
    pub const fn new(redirect_uri: &'a Url, state: &'a str, pkce: &'a PkceChallenge, scope: &'a str) -> Self {
        Self { redirect_uri, state, pkce, scope, login_hint: None, prompt: None }
    }

    /// The same request for somebody in particular.
    #[must_use]
    pub const fn with_login_hint(mut self, hint: Option<&'a str>) -> Self {
        self.login_hint = hint;
        self
    }

    /// The form to push to `endpoint` (RFC 9126, section 2.1).
    pub fn form(&self, endpoint: &'a Url) -> Form<'a> {
        let always = [
            ("response_type", "code"),
            ("code_challenge", self.pkce.as_str()),
            ("code_challenge_method", PkceChallenge::METHOD),
            ("state", self.state),
            ("redirect_uri", self.redirect_uri.as_str()),
            ("scope", self.scope),
        ];
        let hints = [("login_hint", self.login_hint), ("prompt", self.prompt)];
        let hints = hints.into_iter().filter_map(|(name, value)| Some((name, value?)));
        Form::new(endpoint, "pushed authorization request", always.into_iter().chain(hints))
    }
}

/// A pushed request, as the server calls it.
///
/// ```
/// use bytes::Bytes;
/// use url::Url;
/// use vestibule_strategy::Pushed;
///
/// let body = Bytes::from(r#"{"request_uri":"urn:example:1","expires_in":300}"#);
/// let pushed = Pushed::read(&http::Response::builder().status(201).body(body).unwrap()).unwrap();
/// let page = Url::parse("https://as.example/authorize").unwrap();
/// assert_eq!(
///     pushed.authorization_url(&page, "client").as_str(),
///     "https://as.example/authorize?client_id=client&request_uri=urn%3Aexample%3A1"
/// );
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Pushed {
    /// The reference for the browser to carry.
    pub request_uri: String,
    /// How long the server keeps the request.
    pub expires_in: Duration,
}

impl Pushed {
    /// The longest `request_uri` taken, in octets: it becomes part of a URL.
    pub const MAX_REQUEST_URI: usize = 512;

    /// Reads the answer (RFC 9126, section 2.2): 201, or the 200 that some servers give.
    ///
    /// # Errors
    /// [`PushError::Refused`] for an answer that says no, [`PushError::Malformed`] for one that says nothing.
    pub fn read(response: &Response<Bytes>) -> Result<Self, PushError> {
        let status = response.status().as_u16();
        if !matches!(status, 200 | 201) {
            return Err(PushError::Refused { status, error: ErrorResponse::read(response.body()) });
        }
        #[derive(Deserialize)]
        struct Wire {
            request_uri: String,
            expires_in: u64,
        }
        let wire: Wire = serde_json::from_slice(response.body())
            .map_err(|_| PushError::Malformed("it has no request_uri and expires_in"))?;
        if wire.request_uri.is_empty() || wire.request_uri.len() > Self::MAX_REQUEST_URI {
            return Err(PushError::Malformed("its request_uri is empty or longer than 512 octets"));
        }
        Ok(Self { request_uri: wire.request_uri, expires_in: Duration::from_secs(wire.expires_in) })
    }

    /// The address the browser goes to (RFC 9126, section 4): only the client and the reference, and whatever query the
    /// endpoint has of its own.
    pub fn authorization_url(&self, authorization_endpoint: &Url, client_id: &str) -> Url {
        let mut url = authorization_endpoint.clone();
        url.query_pairs_mut()
            .append_pair("client_id", client_id)
            .append_pair("request_uri", &self.request_uri);
        url
    }
}

/// Why a request was not pushed.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum PushError {
    /// The server refused.
    #[error("the server refused the pushed request with status {status}{}", error.as_ref().map(|e| format!(": {e}")).unwrap_or_default())]
    Refused {
        /// Its HTTP status.
        status: u16,
        /// Its own words.
        error: Option<ErrorResponse>,
    },
    /// The server's answer is not one.
    #[error("the server's answer to the pushed request is not usable: {0}")]
    Malformed(&'static str),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(status: u16, body: &str) -> Result<String, PushError> {
        let response =
            Response::builder().status(status).body(Bytes::copy_from_slice(body.as_bytes())).unwrap();
        Pushed::read(&response).map(|pushed| pushed.request_uri)
    }

    #[test]
    fn r67_an_answer_is_201_or_200_with_a_reference() {
        let good = r#"{"request_uri":"urn:a","expires_in":300,"other":1}"#;
        for status in [200, 201] {
            assert_eq!(read(status, good).as_deref(), Ok("urn:a"));
        }
        for status in [202, 204, 303, 400, 500] {
            assert_eq!(read(status, good), Err(PushError::Refused { status, error: None }));
        }
        let long =
            format!(r#"{{"request_uri":"{}","expires_in":1}}"#, "u".repeat(Pushed::MAX_REQUEST_URI + 1));
        for body in [
            "",
            "<html>",
            r#"{"request_uri":"urn:a"}"#,
            r#"{"expires_in":300}"#,
            r#"{"request_uri":"","expires_in":300}"#,
            r#"{"request_uri":7,"expires_in":300}"#,
            r#"{"request_uri":"urn:a","expires_in":-1}"#,
            &long,
        ] {
            assert!(matches!(read(201, body), Err(PushError::Malformed(_))), "{body:.60}");
        }
    }

    #[test]
    fn a_refusal_is_in_the_servers_own_words() {
        let error =
            read(400, r#"{"error":"invalid_scope","error_description":"no such scope"}"#).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the server refused the pushed request with status 400: invalid_scope: no such scope"
        );
    }

    #[test]
    fn r68_the_browser_carries_a_reference_beside_the_endpoints_own_query() {
        let pushed = Pushed { request_uri: "urn:a&b=c".to_owned(), expires_in: Duration::ZERO };
        for (endpoint, expected) in [
            (
                "https://as.example/a",
                "https://as.example/a?client_id=https%3A%2F%2Fc.example%2F&request_uri=urn%3Aa%26b%3Dc",
            ),
            (
                "https://as.example/a?b=1",
                "https://as.example/a?b=1&client_id=https%3A%2F%2Fc.example%2F&request_uri=urn%3Aa%26b%3Dc",
            ),
        ] {
            let url = pushed.authorization_url(&Url::parse(endpoint).unwrap(), "https://c.example/");
            assert_eq!(url.as_str(), expected);
        }
    }
}
