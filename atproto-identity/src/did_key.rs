//! Public keys written as `did:key`: what a DID document signs with.

use std::str::FromStr;

use thiserror::Error;

use crate::did::Did;

/// A public key on one of the two curves of AT Protocol, compressed ([public key encoding]).
///
/// Only the encoding is read here: whether the octets are a point of the curve is for a signature library to say.
///
/// ```
/// use vestibule_atproto_identity::{Curve, DidKey};
///
/// let key: DidKey = "did:key:zDnaeTiq1PdzvZXUaMdezchcMJQpBdH2VN4pgrrEhMCCbmwSb".parse().unwrap();
/// assert_eq!(key.curve(), Curve::P256);
/// assert_eq!(key.compressed_point().len(), 33);
/// ```
///
/// [public key encoding]: https://atproto.com/specs/cryptography#public-key-encoding
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct DidKey {
    curve: Curve,
    point: [u8; POINT_OCTETS],
}

impl DidKey {
    /// Reads the value of `publicKeyMultibase` in a method of type `Multikey`: what follows `did:key:`.
    ///
    /// # Errors
    /// When it is not base58 of a compressed key on one of the two curves.
    pub fn from_multibase(text: &str) -> Result<Self, InvalidDidKey> {
        let octets = base58(text.strip_prefix('z').ok_or(InvalidDidKey::Base)?)?;
        let (curve, point) = match octets {
            [0x80, 0x24, point @ ..] => (Curve::P256, point),
            [0xe7, 0x01, point @ ..] => (Curve::K256, point),
            _ => return Err(InvalidDidKey::Curve),
        };
        if !matches!(point, [2 | 3, ..]) {
            return Err(InvalidDidKey::Point);
        }
        Ok(Self { curve, point })
    }

    /// The curve.
    pub const fn curve(&self) -> Curve {
        self.curve
    }

    /// The point in its compressed form (SEC 1, section 2.3.3).
    pub const fn compressed_point(&self) -> &[u8; 33] {
        &self.point
    }
}

impl FromStr for DidKey {
    type Err = InvalidDidKey;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::from_multibase(text.strip_prefix("did:key:").ok_or(InvalidDidKey::Prefix)?)
    }
}

impl TryFrom<&Did> for DidKey {
    type Error = InvalidDidKey;

    fn try_from(did: &Did) -> Result<Self, Self::Error> {
        did.as_str().parse()
    }
}

/// The curves of AT Protocol.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Curve {
    /// NIST P-256, also called secp256r1.
    P256,
    /// secp256k1.
    K256,
}

/// Why a text is no public key.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum InvalidDidKey {
    /// It does not start with `did:key:`.
    #[error("public key must start with did:key:")]
    Prefix,
    /// It is not multibase of the kind `z`, which is base58.
    #[error("public key must be z and base58")]
    Base,
    /// Not the 35 octets of a codec and a key, or another codec than the two there are.
    #[error("public key must be a compressed key on P-256 or secp256k1")]
    Curve,
    /// The point is not compressed.
    #[error("public key must be a compressed point")]
    Point,
}

/// Reads base58 that stands for exactly two octets of codec and 33 of a point.
fn base58(text: &str) -> Result<[u8; CODED_OCTETS], InvalidDidKey> {
    let mut octets = [0_u8; CODED_OCTETS];
    for c in text.bytes().take(MAX_DIGITS + 1) {
        let digit = ALPHABET.iter().position(|a| *a == c).ok_or(InvalidDidKey::Base)?;
        // octets * 58 + digit, least octet last; what is carried out of the front is a number too large.
        let mut carry = digit;
        for octet in octets.iter_mut().rev() {
            carry += usize::from(*octet) * 58;
            *octet = (carry & 0xff) as u8;
            carry >>= 8;
        }
        if carry != 0 {
            return Err(InvalidDidKey::Curve);
        }
    }
    // A leading 1 would be an octet of zero, which no codec starts with, and would give one key several texts.
    if text.starts_with('1') || text.len() > MAX_DIGITS { Err(InvalidDidKey::Curve) } else { Ok(octets) }
}

/// A compressed point on a curve of 256 bits.
const POINT_OCTETS: usize = 33;
/// A point behind its codec, a varint of two octets for both curves.
const CODED_OCTETS: usize = 2 + POINT_OCTETS;
/// 35 octets in base58: 35 * log(256) / log(58), rounded up.
const MAX_DIGITS: usize = 48;
const ALPHABET: &[u8; 58] = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";

#[cfg(test)]
mod tests {
    use super::*;

    const P256: &str = "zDnaeTiq1PdzvZXUaMdezchcMJQpBdH2VN4pgrrEhMCCbmwSb";
    const K256: &str = "zQ3shokFTS3brHcDQrn82RUDfCZESWL1ZdCEJwekUDPQiYBme";

    #[test]
    fn both_curves_are_read() {
        for (text, curve) in [(P256, Curve::P256), (K256, Curve::K256)] {
            let did: Did = format!("did:key:{text}").parse().unwrap();
            let key = DidKey::try_from(&did).unwrap();
            assert_eq!(key.curve(), curve);
            assert_eq!(DidKey::from_multibase(text), Ok(key));
        }
    }

    #[test]
    fn other_texts_are_no_keys() {
        for (text, why) in [
            ("", InvalidDidKey::Base),
            ("z", InvalidDidKey::Curve),
            ("z1", InvalidDidKey::Curve),
            (&P256.replace('z', "m"), InvalidDidKey::Base),
            (&P256.replace('T', "0"), InvalidDidKey::Base),
            (&P256.replace('T', "é"), InvalidDidKey::Base),
            (&P256.replacen('z', "z1", 1), InvalidDidKey::Curve),
            (&format!("{P256}2"), InvalidDidKey::Curve),
            (P256.trim_end_matches('b'), InvalidDidKey::Curve),
            (&format!("z{}", "z".repeat(100_000)), InvalidDidKey::Curve),
            // An uncompressed legacy key, without a codec.
            (
                "zQYEBzXeuTM9UR3rfvNag6L3RNAs5pQZyYPsomTsgQhsxLdEgCrPTLgFna8yqCnxPpNT7DBk6Ym3dgPKNu86vt9GR",
                InvalidDidKey::Curve,
            ),
        ] {
            assert_eq!(DidKey::from_multibase(text), Err(why), "{text}");
        }
        assert_eq!(P256.parse::<DidKey>(), Err(InvalidDidKey::Prefix));
    }
}
