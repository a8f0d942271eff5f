//! A rotated refresh token keeps its successor, sealed so that only whoever holds the rotated token can have it.
//!
//! An answer that is lost on its way takes the new tokens with it; the client has the old one still, and asks again. It gets
//! the same successor again, and nobody needs to guess whether it is a thief: the successor of a stolen token that was used
//! is used as well.

use vestibule_dpop::sha256;
use zeroize::Zeroizing;

use crate::token::{OpaqueToken, TokenHash, TokenKind};

/// The refresh token that came after another, under a pad that is derived from that other one.
///
/// ```
/// use vestibule_token_endpoint::{OpaqueToken, SealedSuccessor, TokenKind};
///
/// let rotated = OpaqueToken::from_entropy(TokenKind::Refresh, [1; 32]);
/// let successor = OpaqueToken::from_entropy(TokenKind::Refresh, [2; 32]);
/// let sealed = SealedSuccessor::seal(&successor, &rotated);
///
/// let name = successor.hash(); // which a store has in any case
/// assert_eq!(sealed.open(&rotated, name).unwrap().hash(), name);
/// let other = OpaqueToken::from_entropy(TokenKind::Refresh, [3; 32]);
/// assert!(sealed.open(&other, name).is_none());
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SealedSuccessor([u8; 32]);

impl SealedSuccessor {
    /// Seals `successor`.
    pub fn seal(successor: &OpaqueToken, rotated: &OpaqueToken) -> Self {
        let mut octets = *pad(rotated);
        octets.iter_mut().zip(successor.octets()).for_each(|(octet, token)| *octet ^= token);
        Self(octets)
    }

    /// The successor, for whoever presents the token that it replaced; `None` if what comes out is not the token of this name.
    pub fn open(&self, rotated: &OpaqueToken, name: TokenHash) -> Option<OpaqueToken> {
        let mut octets = pad(rotated);
        octets.iter_mut().zip(self.0).for_each(|(octet, sealed)| *octet ^= sealed);
        let successor = OpaqueToken::from_entropy(TokenKind::Refresh, *octets);
        (successor.hash() == name).then_some(successor)
    }

    /// The octets to store.
    pub const fn as_octets(&self) -> &[u8; 32] {
        &self.0
    }

    /// What came out of a store.
    pub const fn from_octets(octets: [u8; 32]) -> Self {
        Self(octets)
    }
}

/// As many octets as a token has, derived from another in one step, as [NIST SP 800-56C, section 4] derives a key from a shared
/// secret that is uniformly random: a hash of a counter, the secret and a label. A token is replaced once, so its pad is used once:
/// without the token nothing is told, and a cipher would tell no less. Whether it was opened rightly is told by the successor's own
/// hash, which stands beside it.
///
/// [NIST SP 800-56C, section 4]: https://doi.org/10.6028/NIST.SP.800-56Cr2
fn pad(rotated: &OpaqueToken) -> Zeroizing<[u8; 32]> {
    let mut text = Zeroizing::new([0; 55]);
    let (counter, rest) = text.split_at_mut(4);
    let (secret, label) = rest.split_at_mut(32);
    counter.copy_from_slice(&1_u32.to_be_bytes());
    secret.copy_from_slice(rotated.octets());
    label.copy_from_slice(LABEL);
    Zeroizing::new(sha256(text.as_slice()))
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
        let (sealed, name) = (SealedSuccessor::seal(&token(2), &token(1)), token(2).hash());
        assert_eq!(sealed.open(&token(1), name).unwrap().hash(), name);
        assert!(sealed.open(&token(2), name).is_none());
        assert!(sealed.open(&token(1), token(3).hash()).is_none());
        for at in 0..32 {
            let mut octets = *sealed.as_octets();
            octets[at] ^= 1;
            assert!(SealedSuccessor::from_octets(octets).open(&token(1), name).is_none(), "octet {at}");
        }
        // Two tokens replaced by the same one, which does not happen, would still look different.
        assert_ne!(sealed, SealedSuccessor::seal(&token(2), &token(4)));
    }
}
