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
