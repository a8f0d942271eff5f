//! Randomness as an argument.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

/// 32 fresh octets of randomness for one phase of a protocol, from which every random value of that phase is drawn by
/// name: `state`, the PKCE verifier, a key, the `jti` of each try.
///
/// Each value is HMAC-SHA256 of its name under the seed, so the values tell nothing of each other, and a test that gives
/// the seed knows them all. Not `Clone`: a seed serves one phase once.
///
/// ```
/// use vestibule_oauth_core::Seed;
///
/// let seed = Seed::from_entropy([7; 32]);
/// assert_ne!(seed.derive("state"), seed.derive("verifier"));
/// assert_eq!(seed.derive("state"), Seed::from_entropy([7; 32]).derive("state"));
/// assert_eq!(format!("{seed:?}"), "Seed(..)");
/// ```
pub struct Seed(Zeroizing<[u8; HMAC_BLOCK]>);

/// The block of SHA-256, in octets: HMAC fills a shorter key up with zeros to this length.
const HMAC_BLOCK: usize = 64;

impl Seed {
    /// Takes 32 octets from a cryptographic random source, drawn for this and used for nothing else.
    pub fn from_entropy(entropy: [u8; 32]) -> Self {
        let mut block = Zeroizing::new([0; HMAC_BLOCK]);
        for (slot, octet) in block.iter_mut().zip(entropy) {
            *slot = octet;
        }
        Self(block)
    }

    /// The 32 octets called `name`.
    pub fn derive(&self, name: &str) -> [u8; 32] {
        Hmac::<Sha256>::new(&(*self.0).into()).chain_update(name).finalize().into_bytes().into()
    }

    /// A seed of its own for a part of the phase called `name`.
    #[must_use]
    pub fn child(&self, name: &str) -> Self {
        Self::from_entropy(self.derive(name))
    }

    /// The first 16 octets of [`Self::derive`]: enough for an identifier that must be unique and unguessable.
    pub fn derive_id(&self, name: &str) -> [u8; 16] {
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, ..] = self.derive(name);
        [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p]
    }
}

impl std::fmt::Debug for Seed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Seed(..)")
    }
}
