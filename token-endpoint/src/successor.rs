//! A rotated refresh token keeps its successor, sealed so that only whoever holds the rotated token can have it.
//!
//! An answer that is lost on its way takes the new tokens with it; the client has the old one still, and asks again. It gets
//! the same successor again, and nobody needs to guess whether it is a thief: the successor of a stolen token that was used
//! is used as well.

use chacha20poly1305::aead::{Aead, KeyInit};
use chacha20poly1305::{ChaCha20Poly1305, Key, Nonce};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::token::{OpaqueToken, TokenKind};

/// The refresh token that came after another, sealed under a key that is derived from that other one.
///
/// ```
/// use vestibule_token_endpoint::{OpaqueToken, SealedSuccessor, TokenKind};
///
/// let rotated = OpaqueToken::from_entropy(TokenKind::Refresh, [1; 32]);
/// let successor = OpaqueToken::from_entropy(TokenKind::Refresh, [2; 32]);
/// let sealed = SealedSuccessor::seal(&successor, &rotated).unwrap();
///
/// assert_eq!(sealed.open(&rotated).unwrap().hash(), successor.hash());
/// let other = OpaqueToken::from_entropy(TokenKind::Refresh, [3; 32]);
/// assert!(sealed.open(&other).is_none());
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SealedSuccessor(Vec<u8>);

impl SealedSuccessor {
    /// How many octets it has: 32 of the token, 16 that tell whether it was opened with the right key.
    pub const LEN: usize = 48;

    /// Seals `successor`; `None` if the cipher refuses, which it does for texts of 256 GiB only.
    pub fn seal(successor: &OpaqueToken, rotated: &OpaqueToken) -> Option<Self> {
        cipher(rotated).encrypt(&Nonce::default(), successor.octets().as_slice()).ok().map(Self)
    }

    /// The successor, for whoever presents the token that it replaced.
    pub fn open(&self, rotated: &OpaqueToken) -> Option<OpaqueToken> {
        let octets = Zeroizing::new(cipher(rotated).decrypt(&Nonce::default(), self.0.as_slice()).ok()?);
        Some(OpaqueToken::from_entropy(TokenKind::Refresh, octets.as_slice().try_into().ok()?))
    }

    /// The octets to store.
    pub fn as_octets(&self) -> &[u8] {
        &self.0
    }

    /// What came out of a store.
    pub const fn from_octets(octets: Vec<u8>) -> Self {
        Self(octets)
    }
}

/// The key is derived in one step, as [NIST SP 800-56C, section 4] derives one from a shared secret that is uniformly random:
/// a hash of a counter, the secret and a label. A token is replaced once, so its key seals once, and the nonce is zero.
///
/// [NIST SP 800-56C, section 4]: https://doi.org/10.6028/NIST.SP.800-56Cr2
fn cipher(rotated: &OpaqueToken) -> ChaCha20Poly1305 {
    let hash =
        Sha256::new().chain_update(1_u32.to_be_bytes()).chain_update(rotated.octets()).chain_update(LABEL);
    let key: Zeroizing<[u8; 32]> = Zeroizing::new(hash.finalize().into());
    ChaCha20Poly1305::new(&Key::from(*key))
}

/// With the counter and the token, 55 octets: as many as SHA-256 takes in one block.
const LABEL: &[u8; 19] = b"vestibule successor";

#[cfg(test)]
mod tests {
    use super::*;

    fn token(n: u8) -> OpaqueToken {
        OpaqueToken::from_entropy(TokenKind::Refresh, [n; 32])
    }

    #[test]
    fn t36_only_the_token_it_replaced_opens_it() {
        let sealed = SealedSuccessor::seal(&token(2), &token(1)).unwrap();
        assert_eq!(sealed.as_octets().len(), SealedSuccessor::LEN);
        assert_eq!(sealed.open(&token(1)).unwrap().hash(), token(2).hash());
        assert!(sealed.open(&token(2)).is_none());
        for at in 0..SealedSuccessor::LEN {
            let mut octets = sealed.as_octets().to_vec();
            octets[at] ^= 1;
            assert!(SealedSuccessor::from_octets(octets).open(&token(1)).is_none(), "octet {at}");
        }
        assert!(SealedSuccessor::from_octets(Vec::new()).open(&token(1)).is_none());
    }
}
