//! The client's side of a token endpoint: a code or a refresh token goes in, tokens come out; and its side of a revocation
//! endpoint, where they go back.
//!
//! ```
//! use vestibule_oauth_core::{PkceVerifier, Secret, Seed, Trust, UnixTime};
//! use vestibule_strategy::token::{code_form, refresh_form, revocation_form};
//! use vestibule_strategy::{Backchannel, ClientAuth, TokenHint};
//!
//! let token = "https://as.example/token".parse().unwrap();
//! let revoke = "https://as.example/revoke".parse().unwrap();
//! let redirect_uri = "https://app.example/callback".parse().unwrap();
//! let (code, refresh_token) = (Secret::new("c-1".to_owned()), Secret::new("rt-1".to_owned()));
//! let verifier = PkceVerifier::from_entropy([7; 32]);
//!
//! let channel = Backchannel::new("https://as.example", "client", &ClientAuth::Public, Trust::Configured);
//! for (form, url, begins) in [
//!     (code_form(&token, &code, &redirect_uri, &verifier), &token, "grant_type=authorization_code&code=c-1&redirect_uri="),
//!     (refresh_form(&token, &refresh_token), &token, "grant_type=refresh_token&refresh_token=rt-1&"),
//!     (revocation_form(&revoke, &refresh_token, TokenHint::RefreshToken), &revoke, "token=rt-1&token_type_hint=refresh_token&"),
//! ] {
//!     let (seed, now) = (Seed::from_entropy([9; 32]), UnixTime::from_secs(1_700_000_000));
//!     let request = channel.request(&form, None, &seed, now).unwrap().request;
//!     assert_eq!(request.uri(), url.as_str());
//!     assert!(request.body().starts_with(begins.as_bytes()));
//! }
//! ```

use std::time::Duration;

use bytes::Bytes;
use http::Response;
use serde::{Deserialize, Deserializer};
use thiserror::Error;
use url::Url;
use vestibule_oauth_core::{ErrorResponse, PkceVerifier, ScopeSet, Secret};

use crate::backchannel::Form;

/// The form that spends a code ([RFC 6749, section 4.1.3](https://www.rfc-editor.org/rfc/rfc6749#section-4.1.3)).
pub fn code_form<'a>(
    endpoint: &'a Url,
    code: &'a Secret,
    redirect_uri: &'a Url,
    verifier: &'a PkceVerifier,
) -> Form<'a> {
    let fields = [
        ("grant_type", "authorization_code"),
        ("code", code.expose()),
        ("redirect_uri", redirect_uri.as_str()),
        ("code_verifier", verifier.expose()),
    ];
    Form::new(endpoint, "token exchange", fields)
}

/// The form that spends a refresh token ([RFC 6749, section 6](https://www.rfc-editor.org/rfc/rfc6749#section-6)).
pub fn refresh_form<'a>(endpoint: &'a Url, refresh_token: &'a Secret) -> Form<'a> {
    let fields = [("grant_type", "refresh_token"), ("refresh_token", refresh_token.expose().as_str())];
    Form::new(endpoint, "token refresh", fields)
}

/// The form that gives a token back ([RFC 7009, section 2.1](https://www.rfc-editor.org/rfc/rfc7009#section-2.1)).
///
/// Servers that bind tokens to keys want the proof here as well: without one they answer 200 and revoke nothing.
pub fn revocation_form<'a>(endpoint: &'a Url, token: &'a Secret, hint: TokenHint) -> Form<'a> {
    let fields = [("token", token.expose().as_str()), ("token_type_hint", hint.as_str())];
    Form::new(endpoint, "token revocation", fields)
}

/// Which kind of token is given back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum TokenHint {
    /// An access token.
    AccessToken,
    /// A refresh token; with it goes the whole grant.
    RefreshToken,
}

impl TokenHint {
    const fn as_str(self) -> &'static str {
        match self {
            Self::AccessToken => "access_token",
            Self::RefreshToken => "refresh_token",
        }
    }
}

/// Tokens, as a server issued them ([RFC 6749, section 5.1](https://www.rfc-editor.org/rfc/rfc6749#section-5.1)); what they
/// must say beyond that is the strategy's to judge.
///
/// ```
/// use bytes::Bytes;
/// use vestibule_strategy::TokenAnswer;
///
/// let body = r#"{"access_token":"at","token_type":"DPoP","expires_in":"300","scope":"atproto","sub":"did:plc:a"}"#;
/// let answer = TokenAnswer::read(&http::Response::new(Bytes::from(body))).unwrap();
/// assert_eq!(answer.expires_in.unwrap().as_secs(), 300);
/// assert!(answer.access_token.same_as("at"));
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub struct TokenAnswer {
    /// `access_token`.
    pub access_token: Secret,
    /// `token_type`, as written.
    pub token_type: String,
    /// `expires_in`.
    pub expires_in: Option<Duration>,
    /// `refresh_token`.
    pub refresh_token: Option<Secret>,
    /// `scope`; `None` when absent, which by RFC 6749 means "as asked". One that cannot be read grants nothing.
    pub scope: Option<ScopeSet>,
    /// `sub`, which the AT Protocol adds.
    pub sub: Option<String>,
    /// `id_token`, of OpenID Connect.
    pub id_token: Option<Secret>,
}

impl TokenAnswer {
    /// The longest token taken, in octets: it has to fit a request header.
    pub const MAX_TOKEN: usize = 16 * 1024;

    /// Reads the answer of a token endpoint. An error body counts as a refusal whatever its status, since some servers
    /// send theirs with a 200.
    ///
    /// # Errors
    /// [`TokenError::Refused`] for an answer that says no, [`TokenError::Malformed`] for one that is no answer.
    pub fn read(response: &Response<Bytes>) -> Result<Self, TokenError> {
        let status = response.status().as_u16();
        let error = ErrorResponse::read(response.body());
        if !response.status().is_success() || error.is_some() {
            return Err(TokenError::Refused { status, error });
        }
        // The error of serde_json may quote the body, so it is not passed on.
        let wire: Wire = serde_json::from_slice(response.body())
            .map_err(|_| TokenError::Malformed("it is not a JSON object with access_token and token_type"))?;
        let sized = |token: &Secret| (1..=Self::MAX_TOKEN).contains(&token.expose().len());
        let header_fit = |token: &Secret| token.expose().bytes().all(|b| (0x20..=0x7e).contains(&b));
        let tokens = [Some(&wire.access_token), wire.refresh_token.as_ref(), wire.id_token.as_ref()];
        if !tokens.into_iter().flatten().all(|token| sized(token) && header_fit(token)) {
            return Err(TokenError::Malformed("a token is empty, longer than 16 KiB or not printable ASCII"));
        }
        Ok(Self {
            access_token: wire.access_token,
            token_type: wire.token_type,
            expires_in: wire.expires_in.map(Duration::from_secs),
            refresh_token: wire.refresh_token,
            // Not an error: tokens were issued, and whoever refuses them has to give them back.
            scope: wire.scope.map(|text| text.parse().unwrap_or_default()),
            sub: wire.sub,
            id_token: wire.id_token,
        })
    }
}

#[derive(Deserialize)]
struct Wire {
    access_token: Secret,
    token_type: String,
    #[serde(default, deserialize_with = "seconds")]
    expires_in: Option<u64>,
    refresh_token: Option<Secret>,
    scope: Option<String>,
    sub: Option<String>,
    id_token: Option<Secret>,
}

/// `expires_in` is a number; some servers quote it.
fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Seconds {
        Number(u64),
        Text(String),
        None(()),
    }
    match Seconds::deserialize(deserializer)? {
        Seconds::Number(seconds) => Ok(Some(seconds)),
        Seconds::Text(text) => text.parse().map(Some).map_err(serde::de::Error::custom),
        Seconds::None(()) => Ok(None),
    }
}

/// Why there are no tokens.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum TokenError {
    /// The server refused.
    #[error("the token endpoint answered {status}{}", error.as_ref().map(|e| format!(": {e}")).unwrap_or_default())]
    Refused {
        /// Its HTTP status.
        status: u16,
        /// Its own words.
        error: Option<ErrorResponse>,
    },
    /// The server's answer is not one.
    #[error("the token endpoint's answer is not usable: {0}")]
    Malformed(&'static str),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(status: u16, body: &str) -> Result<TokenAnswer, TokenError> {
        let response =
            Response::builder().status(status).body(Bytes::copy_from_slice(body.as_bytes())).unwrap();
        TokenAnswer::read(&response)
    }

    #[test]
    fn s25_answers_in_the_forms_servers_give_them() {
        for (expires_in, expected) in [
            ("", None),
            (r#","expires_in":5"#, Some(5)),
            (r#","expires_in":"5""#, Some(5)),
            (r#","expires_in":null"#, None),
        ] {
            let body = format!(r#"{{"access_token":"a","token_type":"DPoP"{expires_in}}}"#);
            assert_eq!(read(200, &body).unwrap().expires_in, expected.map(Duration::from_secs), "{body}");
        }
        assert!(matches!(
            read(200, r#"{"error":"bad_verification_code"}"#),
            Err(TokenError::Refused { status: 200, error: Some(_) })
        ));
        assert!(matches!(read(400, "<html>"), Err(TokenError::Refused { status: 400, error: None })));
    }

    #[test]
    fn a_scope_that_cannot_be_read_grants_nothing() {
        let answer = read(200, r#"{"access_token":"a","token_type":"DPoP","scope":"atproto  b"}"#).unwrap();
        assert_eq!(answer.scope, Some(ScopeSet::empty()));
    }

    #[test]
    fn an_unusable_answer_is_malformed_and_shows_no_token() {
        let long = format!(r#"{{"access_token":"{}","token_type":"DPoP"}}"#, "s3cret".repeat(4000));
        for body in [
            "",
            "[]",
            r#"{"token_type":"DPoP"}"#,
            r#"{"access_token":"s3cret"}"#,
            r#"{"access_token":"","token_type":"DPoP"}"#,
            r#"{"access_token":"s3cret\n","token_type":"DPoP"}"#,
            r#"{"access_token":"s3cret","token_type":"DPoP","refresh_token":""}"#,
            r#"{"access_token":"s3cret","token_type":"DPoP","expires_in":-1}"#,
            r#"{"access_token":"s3cret","access_token":"other","token_type":"DPoP"}"#,
            &long,
        ] {
            let error = read(200, body).unwrap_err();
            assert!(matches!(error, TokenError::Malformed(_)), "{body:.60}");
            assert!(!error.to_string().contains("s3cret"));
        }
    }
}
