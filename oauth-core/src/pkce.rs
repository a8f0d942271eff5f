//! Proof key for code exchange, method S256 ([RFC 7636]). The method `plain` is not implemented: OAuth 2.1 forbids it
//! where S256 can be had, and it can be had everywhere.
//!
//! [RFC 7636]: https://www.rfc-editor.org/rfc/rfc7636

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use thiserror::Error;

use crate::base64url;
use crate::secret::Secret;

/// A code verifier ([RFC 7636, section 4.1]). Not `Clone`: it is sent once.
///
/// ```
/// use vestibule_oauth_core::PkceVerifier;
///
/// let verifier = PkceVerifier::from_entropy([7; 32]);
/// let challenge = verifier.challenge();
/// assert_eq!(challenge.as_str().len(), 43);
/// assert!(challenge.is_answered_by(&verifier));
/// ```
///
/// [RFC 7636, section 4.1]: https://www.rfc-editor.org/rfc/rfc7636#section-4.1
#[derive(Debug)]
pub struct PkceVerifier(Secret<String>);

impl PkceVerifier {
    /// Encodes 32 octets of entropy as 43 characters; draw fresh ones for every authorization request.
    pub fn from_entropy(entropy: [u8; 32]) -> Self {
        Self(Secret::new(base64url::encode(entropy)))
    }

    /// The text, for the token request and for the sealed record of a pending login.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }

    /// The S256 challenge to send with the authorization request ([RFC 7636, section 4.2]).
    ///
    /// [RFC 7636, section 4.2]: https://www.rfc-editor.org/rfc/rfc7636#section-4.2
    pub fn challenge(&self) -> PkceChallenge {
        PkceChallenge(base64url::encode(Sha256::digest(self.0.expose())))
    }
}

impl FromStr for PkceVerifier {
    type Err = InvalidPkceVerifier;

    /// Reads a verifier that somebody else made: 43 to 128 unreserved characters.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let unreserved = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
        if !(43..=128).contains(&text.len()) {
            Err(InvalidPkceVerifier::Length)
        } else if !text.bytes().all(unreserved) {
            Err(InvalidPkceVerifier::Character)
        } else {
            Ok(Self(Secret::new(text.to_owned())))
        }
    }
}

/// Why a text is no code verifier. Neither variant repeats the text.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum InvalidPkceVerifier {
    /// Shorter than 43 or longer than 128 characters.
    #[error("code_verifier must have 43 to 128 characters")]
    Length,
    /// A character other than `A-Z a-z 0-9 - . _ ~`.
    #[error("code_verifier may hold only letters, digits and -._~")]
    Character,
}

/// An S256 code challenge: 43 characters of base64url.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct PkceChallenge(String);

impl PkceChallenge {
    /// The one value of `code_challenge_method` there is.
    pub const METHOD: &'static str = "S256";

    /// The text to send or to store.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether `verifier` is the one this challenge was made from ([RFC 7636, section 4.6]), in constant time.
    ///
    /// [RFC 7636, section 4.6]: https://www.rfc-editor.org/rfc/rfc7636#section-4.6
    pub fn is_answered_by(&self, verifier: &PkceVerifier) -> bool {
        self.0.as_bytes().ct_eq(verifier.challenge().0.as_bytes()).into()
    }
}

impl FromStr for PkceChallenge {
    type Err = InvalidPkceChallenge;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match base64url::decode_array::<32>(text) {
            Some(_) => Ok(Self(text.to_owned())),
            None => Err(InvalidPkceChallenge),
        }
    }
}

impl fmt::Display for PkceChallenge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for PkceChallenge {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for PkceChallenge {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// The text is not base64url, without padding, of 32 octets.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
#[error("code_challenge must be the base64url text, without padding, of a SHA-256 hash: 43 characters")]
pub struct InvalidPkceChallenge;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc7636_appendix_b() {
        let octets = [
            116, 24, 223, 180, 151, 153, 224, 37, 79, 250, 96, 125, 216, 173, 187, 186, 22, 212, 37, 77, 105,
            214, 191, 240, 91, 88, 5, 88, 83, 132, 141, 121,
        ];
        let verifier = PkceVerifier::from_entropy(octets);
        assert_eq!(verifier.expose(), "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
        assert_eq!(verifier.challenge().as_str(), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    }

    #[test]
    fn r62_verifiers_are_read_strictly() {
        let ok = "a".repeat(43);
        assert!(ok.parse::<PkceVerifier>().is_ok());
        assert!("-._~".repeat(32).parse::<PkceVerifier>().is_ok());
        for (text, why) in [
            ("a".repeat(42), InvalidPkceVerifier::Length),
            ("a".repeat(129), InvalidPkceVerifier::Length),
            (format!("{ok}+"), InvalidPkceVerifier::Character),
            (format!("{ok}é"), InvalidPkceVerifier::Character),
        ] {
            assert_eq!(text.parse::<PkceVerifier>().unwrap_err(), why, "{text}");
        }
    }

    #[test]
    fn a_challenge_is_43_canonical_characters() {
        assert!("E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM".parse::<PkceChallenge>().is_ok());
        for text in [
            "",
            "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cN",
            "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM=",
        ] {
            assert_eq!(text.parse::<PkceChallenge>().unwrap_err(), InvalidPkceChallenge, "{text}");
        }
    }

    #[test]
    fn another_verifier_does_not_answer() {
        let challenge = PkceVerifier::from_entropy([1; 32]).challenge();
        assert!(!challenge.is_answered_by(&PkceVerifier::from_entropy([2; 32])));
    }
}
