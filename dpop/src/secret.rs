//! Private keys as they are drawn, sealed and opened again.

use std::fmt;

use sha2::{Digest, Sha256};
use thiserror::Error;
use vestibule_oauth_core::Secret;
use zeroize::Zeroize;

/// The private key of ES256: a number from 1 to one below the order of P-256. Its `Debug` is redacted and its memory is
/// wiped when it is dropped.
///
/// ```
/// use vestibule_dpop::Es256Secret;
///
/// let secret = Es256Secret::from_entropy([7; 32]);
/// assert_eq!(format!("{secret:?}"), "Es256Secret(..)");
/// assert!(Es256Secret::from_bytes(secret.expose().expose()).is_ok()); // after it was sealed and opened
/// assert!(Es256Secret::from_bytes(&[0; 32]).is_err());
/// ```
pub struct Es256Secret(p256::SecretKey);

impl Es256Secret {
    /// Makes a key of 32 octets of entropy; draw fresh ones for every key. This always succeeds: entropy that is out of
    /// range, one in 2^32, is hashed with SHA-256 until it is not.
    pub fn from_entropy(mut entropy: [u8; 32]) -> Self {
        loop {
            if let Ok(key) = p256::SecretKey::from_slice(&entropy) {
                entropy.zeroize();
                return Self(key);
            }
            entropy = Sha256::digest(entropy).into();
        }
    }

    /// The key with this number, big-endian: for keys that were stored.
    ///
    /// # Errors
    /// [`InvalidKey::Range`].
    pub fn from_bytes(octets: &[u8; 32]) -> Result<Self, InvalidKey> {
        p256::SecretKey::from_slice(octets).map(Self).map_err(|_| InvalidKey::Range)
    }

    /// The number, big-endian, for the one place that seals it.
    pub fn expose(&self) -> Secret<[u8; 32]> {
        Secret::new(self.0.to_bytes().into())
    }

    pub(crate) const fn key(&self) -> &p256::SecretKey {
        &self.0
    }
}

impl fmt::Debug for Es256Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Es256Secret(..)")
    }
}

/// Why octets are no private key. Neither variant repeats them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum InvalidKey {
    /// Zero, or not below the order of the curve.
    #[error("the private key must be from 1 to one below the order of P-256")]
    Range,
    /// Not the PKCS #8 document of an RSA key of 2048 to 8192 bits with a small odd exponent.
    #[error("the private key must be an RSA key of 2048 to 8192 bits in PKCS #8")]
    Rsa,
    /// Not the PKCS #8 document of a P-256 key.
    #[error("the private key must be a P-256 key in PKCS #8")]
    P256,
    /// The algorithm is not one for RSA keys.
    #[error("an RSA key signs with RS256 or PS256")]
    Algorithm,
    /// The backend has refused the key, or run out of memory.
    #[error("the backend refused the private key")]
    Backend,
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORDER: [u8; 32] = [
        0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6, 0xfa,
        0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
    ];

    #[test]
    fn keys_are_in_range() {
        let mut below = ORDER;
        below[31] -= 1;
        assert!(Es256Secret::from_bytes(&below).is_ok());
        for octets in [[0; 32], ORDER, [0xff; 32]] {
            assert_eq!(Es256Secret::from_bytes(&octets).unwrap_err(), InvalidKey::Range);
        }
    }

    #[test]
    fn every_entropy_makes_a_key() {
        for entropy in [[0; 32], ORDER, [0xff; 32]] {
            let hashed: [u8; 32] = Sha256::digest(entropy).into();
            assert!(Es256Secret::from_entropy(entropy).expose().same_as(hashed));
        }
        assert!(Es256Secret::from_entropy([7; 32]).expose().same_as([7; 32]));
    }
}
