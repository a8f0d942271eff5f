//! The error codes of the wire, and the error answers that carry them.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde::Deserialize;
use thiserror::Error;

/// An `error` code as it goes over the wire: an open vocabulary with the registered codes as constants.
///
/// ```
/// use vestibule_oauth_core::ErrorCode;
///
/// let code: ErrorCode = "invalid_grant".parse().unwrap();
/// assert_eq!(code, ErrorCode::INVALID_GRANT);
/// let their_own: ErrorCode = "account_suspended".parse().unwrap();
/// assert_eq!(their_own.as_str(), "account_suspended");
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct ErrorCode(Cow<'static, str>);

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
        impl ErrorCode { $($(#[$doc])* pub const $name: Self = Self(Cow::Borrowed($text));)* }
    };
}

codes! {
    /// RFC 6749, section 4.1.2.1: the person, or the server, said no.
    ACCESS_DENIED = "access_denied";
    /// OpenID Connect Core, section 3.1.2.6: the person has to choose an account.
    ACCOUNT_SELECTION_REQUIRED = "account_selection_required";
    /// RFC 8628, section 3.5: the person has not answered yet.
    AUTHORIZATION_PENDING = "authorization_pending";
    /// OpenID Connect Core, section 3.1.2.6: the person has to agree.
    CONSENT_REQUIRED = "consent_required";
    /// RFC 8628, section 3.5: the device code is too old.
    EXPIRED_TOKEN = "expired_token";
    /// RFC 6750, section 3.1: the token does not reach far enough.
    INSUFFICIENT_SCOPE = "insufficient_scope";
    /// RFC 6749, section 5.2: the client did not prove who it is.
    INVALID_CLIENT = "invalid_client";
    /// RFC 7591, section 3.2.2: the client's description breaks a rule.
    INVALID_CLIENT_METADATA = "invalid_client_metadata";
    /// RFC 9449, section 5: the proof breaks a rule.
    INVALID_DPOP_PROOF = "invalid_dpop_proof";
    /// RFC 6749, section 5.2: the code or refresh token is not good, or not this client's.
    INVALID_GRANT = "invalid_grant";
    /// RFC 7591, section 3.2.2: a redirect URI breaks a rule.
    INVALID_REDIRECT_URI = "invalid_redirect_uri";
    /// RFC 6749, section 5.2: the request breaks a rule.
    INVALID_REQUEST = "invalid_request";
    /// RFC 9101, section 7: the address of a request is not good.
    INVALID_REQUEST_URI = "invalid_request_uri";
    /// RFC 6749, section 5.2: the scope is unknown or too wide.
    INVALID_SCOPE = "invalid_scope";
    /// RFC 8707, section 2: the resource is unknown or malformed.
    INVALID_TARGET = "invalid_target";
    /// RFC 6750, section 3.1: the access token is not good.
    INVALID_TOKEN = "invalid_token";
    /// OpenID Connect Core, section 3.1.2.6: the person has to sign in.
    LOGIN_REQUIRED = "login_required";
    /// OpenID Connect Core, section 3.1.2.6: request objects are not read here.
    REQUEST_NOT_SUPPORTED = "request_not_supported";
    /// RFC 6749, section 4.1.2.1: the server broke.
    SERVER_ERROR = "server_error";
    /// RFC 8628, section 3.5: ask less often.
    SLOW_DOWN = "slow_down";
    /// RFC 6749, section 4.1.2.1: try again later.
    TEMPORARILY_UNAVAILABLE = "temporarily_unavailable";
    /// RFC 6749, section 5.2: this client may not use this grant.
    UNAUTHORIZED_CLIENT = "unauthorized_client";
    /// RFC 6749, section 5.2: no such grant here.
    UNSUPPORTED_GRANT_TYPE = "unsupported_grant_type";
    /// RFC 6749, section 4.1.2.1: no such response here.
    UNSUPPORTED_RESPONSE_TYPE = "unsupported_response_type";
    /// RFC 7009, section 2.2.1: tokens of this kind cannot be revoked here.
    UNSUPPORTED_TOKEN_TYPE = "unsupported_token_type";
    /// RFC 9449, section 8: send the proof again with the nonce of this answer.
    USE_DPOP_NONCE = "use_dpop_nonce";
}

impl ErrorCode {
    /// The code as it is sent.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ErrorCode {
    type Err = InvalidErrorCode;

    /// Reads a code of RFC 6749's characters (`%x20-21 / %x23-5B / %x5D-7E`), at most 100 of them.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fits = (1..=100).contains(&text.len());
        if fits && text.bytes().all(|b| matches!(b, 0x20 | 0x21 | 0x23..=0x5b | 0x5d..=0x7e)) {
            Ok(Self(Cow::Owned(text.to_owned())))
        } else {
            Err(InvalidErrorCode)
        }
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The text cannot be an error code.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
#[error("error must be 1 to 100 printable ASCII characters other than the quote and the backslash")]
pub struct InvalidErrorCode;

/// What an authorization server says when it refuses ([RFC 6749, section 5.2]).
///
/// The description is a stranger's text: cleaned of control characters and cut to 300 characters here, and to be escaped by
/// whoever shows it.
///
/// ```
/// use vestibule_oauth_core::{ErrorCode, ErrorResponse};
///
/// let body = br#"{"error":"invalid_grant","error_description":"Refresh token replayed"}"#;
/// let refusal = ErrorResponse::read(body).unwrap();
/// assert_eq!(refusal.code, ErrorCode::INVALID_GRANT);
/// assert_eq!(refusal.to_string(), "invalid_grant: Refresh token replayed");
/// assert_eq!(ErrorResponse::read(b"<html>"), None);
/// ```
///
/// [RFC 6749, section 5.2]: https://www.rfc-editor.org/rfc/rfc6749#section-5.2
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct ErrorResponse {
    /// `error`.
    pub code: ErrorCode,
    /// `error_description`, cleaned.
    pub description: Option<String>,
}

impl ErrorResponse {
    /// Reads a JSON error body; `None` if it is not one.
    pub fn read(body: &[u8]) -> Option<Self> {
        #[derive(Deserialize)]
        struct Wire {
            error: String,
            error_description: Option<String>,
        }
        let wire: Wire = serde_json::from_slice(body).ok()?;
        Self::from_parts(&wire.error, wire.error_description.as_deref())
    }

    /// The refusal these two values make, as they come in a redirect; `None` if `error` is no code.
    pub fn from_parts(error: &str, description: Option<&str>) -> Option<Self> {
        let description = description.map(cleaned).filter(|text| !text.is_empty());
        Some(Self { code: error.parse().ok()?, description })
    }
}

impl fmt::Display for ErrorResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.description {
            Some(description) => write!(f, "{}: {description}", self.code),
            None => self.code.fmt(f),
        }
    }
}

/// A stranger's sentence, made fit for one line of a log: no control or direction characters, at most 300 characters.
fn cleaned(text: &str) -> String {
    let steers = |c: char| {
        c.is_control()
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().filter(|&c| !steers(c)).take(300).collect::<String>().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r72_a_strangers_description_is_cleaned() {
        let long = "x".repeat(1000);
        for (text, expected) in [
            ("ok", Some("ok")),
            ("  a\r\nb\u{202e}c ", Some("abc")),
            ("\u{0}", None),
            (&long, long.get(..300)),
        ] {
            let refusal = ErrorResponse::from_parts("access_denied", Some(text)).unwrap();
            assert_eq!(refusal.description.as_deref(), expected);
        }
    }

    #[test]
    fn a_code_has_only_its_characters() {
        for text in ["", "a\"b", "a\\b", "a\nb", "é", &"x".repeat(101)] {
            assert_eq!(text.parse::<ErrorCode>(), Err(InvalidErrorCode), "{text}");
        }
    }
}
