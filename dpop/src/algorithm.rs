//! The signature algorithms that are spoken here.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A signature algorithm of JOSE ([RFC 7518, section 3.1]). Only asymmetric ones exist here: `none` and the `HS` family
/// have no value that could be passed by mistake.
///
/// ```
/// use vestibule_dpop::Algorithm;
///
/// assert_eq!("ES256".parse(), Ok(Algorithm::Es256));
/// assert_eq!(Algorithm::Es256.as_str(), "ES256");
/// assert!("none".parse::<Algorithm>().is_err());
/// ```
///
/// [RFC 7518, section 3.1]: https://www.rfc-editor.org/rfc/rfc7518#section-3.1
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
#[non_exhaustive]
pub enum Algorithm {
    /// ECDSA on the curve P-256 with SHA-256: what AT Protocol uses throughout.
    Es256,
    /// RSA PKCS #1 v1.5 with SHA-256. Needs the feature `aws-lc-rs` to sign or to verify.
    Rs256,
    /// RSA PSS with SHA-256 and a salt of 32 octets. Needs the feature `aws-lc-rs` to sign or to verify.
    Ps256,
}

impl Algorithm {
    /// The name that goes into `alg`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Es256 => "ES256",
            Self::Rs256 => "RS256",
            Self::Ps256 => "PS256",
        }
    }
}

impl FromStr for Algorithm {
    type Err = UnknownAlgorithm;

    /// Reads the exact name: `alg` is case-sensitive.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "ES256" => Ok(Self::Es256),
            "RS256" => Ok(Self::Rs256),
            "PS256" => Ok(Self::Ps256),
            _ => Err(UnknownAlgorithm),
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text names no algorithm of [`Algorithm`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error("alg must be ES256, RS256 or PS256")]
#[non_exhaustive]
pub struct UnknownAlgorithm;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r87_names_are_read_exactly() {
        for algorithm in [Algorithm::Es256, Algorithm::Rs256, Algorithm::Ps256] {
            assert_eq!(algorithm.as_str().parse(), Ok(algorithm));
            assert_eq!(serde_json::to_value(algorithm).unwrap(), algorithm.as_str());
            assert_eq!(algorithm.to_string(), algorithm.as_str());
        }
        for text in ["", "es256", "ES256 ", "ES256K", "none", "HS256", "EdDSA"] {
            assert_eq!(text.parse::<Algorithm>(), Err(UnknownAlgorithm), "{text}");
        }
    }
}
