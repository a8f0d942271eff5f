//! Authenticated encryption of what is kept: cookies in a browser, columns in a store.
//!
//! XChaCha20-Poly1305 under a ring of keys, of which the first seals and all open, so that a key can be replaced without
//! losing what it sealed. A sealed text is bound to its purpose (by the key, through HKDF-SHA256, [RFC 5869]) and to its
//! place (by the associated data): moved elsewhere, it does not open.
//!
//! ```
//! use vestibule_oauth_core::seal::SealKeys;
//!
//! let ring = SealKeys::new([7; 32], []).for_purpose("refresh token");
//! let sealed = ring.seal(b"rt-1", b"session 42", [9; 24]).unwrap(); // a fresh nonce for every text
//! assert_eq!(ring.open(&sealed, b"session 42").unwrap().expose(), b"rt-1");
//! assert!(ring.open(&sealed, b"session 43").is_err());
//!
//! // A new key in front: what the old one sealed still opens.
//! let rotated = SealKeys::new([8; 32], [[7; 32]]).for_purpose("refresh token");
//! assert!(rotated.open(&sealed, b"session 42").is_ok());
//! ```
//!
//! [RFC 5869]: https://www.rfc-editor.org/rfc/rfc5869

use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce};
use hkdf::Hkdf;
use sha2::Sha256;
use thiserror::Error;

use crate::secret::Secret;

/// A ring of keys: the first seals, every one opens.
#[derive(Clone, Debug)]
pub struct SealKeys {
    sealing: SealKey,
    older: Vec<SealKey>,
}

#[derive(Clone, Debug)]
struct SealKey {
    /// Names the key in front of what it sealed; derived from it, tells nothing of it.
    id: [u8; ID_OCTETS],
    key: Secret<[u8; 32]>,
}

/// The first octet of everything sealed, so that the format can change.
const VERSION: u8 = 1;
const ID_OCTETS: usize = 8;
const NONCE_OCTETS: usize = 24;

impl SealKeys {
    /// A ring that seals with `sealing` and opens with it and with every key of `older`.
    pub fn new(sealing: [u8; 32], older: impl IntoIterator<Item = [u8; 32]>) -> Self {
        Self { sealing: SealKey::new(sealing), older: older.into_iter().map(SealKey::new).collect() }
    }

    /// The ring of the keys that belong to `purpose`: what one purpose seals, another does not open.
    #[must_use]
    pub fn for_purpose(&self, purpose: &str) -> Self {
        let derive = |key: &SealKey| SealKey::new(key.derive(purpose));
        Self { sealing: derive(&self.sealing), older: self.older.iter().map(derive).collect() }
    }

    /// Seals `plain` for the place that `place` names. The result is 49 octets longer than `plain`.
    ///
    /// `nonce` is drawn afresh for every text.
    ///
    /// # Errors
    /// [`SealError::TooLong`] for a text of more than some 256 GiB.
    pub fn seal(&self, plain: &[u8], place: &[u8], nonce: [u8; NONCE_OCTETS]) -> Result<Vec<u8>, SealError> {
        let key = &self.sealing;
        let sealed = key.cipher().encrypt(&XNonce::from(nonce), Payload { msg: plain, aad: place });
        let sealed = sealed.map_err(|_| SealError::TooLong)?;
        let mut out = Vec::with_capacity(1 + ID_OCTETS + NONCE_OCTETS + sealed.len());
        out.push(VERSION);
        out.extend(key.id);
        out.extend(nonce);
        out.extend(sealed);
        Ok(out)
    }

    /// Opens what [`Self::seal`] made for the same purpose and place.
    ///
    /// # Errors
    /// [`SealError::Unreadable`]: it was not sealed by a key of this ring for this place, or it was changed. Which of
    /// these, nobody is told.
    pub fn open(&self, sealed: &[u8], place: &[u8]) -> Result<Secret<Vec<u8>>, SealError> {
        let (version, rest) = sealed.split_first().ok_or(SealError::Unreadable)?;
        let (id, rest) = rest.split_first_chunk::<ID_OCTETS>().ok_or(SealError::Unreadable)?;
        let (nonce, ciphertext) = rest.split_first_chunk::<NONCE_OCTETS>().ok_or(SealError::Unreadable)?;
        if *version != VERSION {
            return Err(SealError::Unreadable);
        }
        let mut ring = std::iter::once(&self.sealing).chain(&self.older);
        let key = ring.find(|key| key.id == *id).ok_or(SealError::Unreadable)?;
        key.cipher()
            .decrypt(&XNonce::from(*nonce), Payload { msg: ciphertext, aad: place })
            .map(Secret::new)
            .map_err(|_| SealError::Unreadable)
    }

    /// Whether `sealed` was made with a key other than the first, and so should be sealed again before that key goes.
    pub fn is_outdated(&self, sealed: &[u8]) -> bool {
        sealed.get(1..=ID_OCTETS) != Some(&self.sealing.id[..])
    }
}

impl SealKey {
    fn new(key: [u8; 32]) -> Self {
        let mut id = [0; ID_OCTETS];
        expand(&key, "vestibule key id", &mut id);
        Self { id, key: Secret::new(key) }
    }

    fn derive(&self, purpose: &str) -> [u8; 32] {
        let mut derived = [0; 32];
        expand(self.key.expose(), purpose, &mut derived);
        derived
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new(&(*self.key.expose()).into())
    }
}

fn expand<const N: usize>(key: &[u8; 32], purpose: &str, out: &mut [u8; N]) {
    // HKDF refuses only outputs longer than 255 hashes (RFC 5869, section 2.3), and the compiler refuses those.
    const { assert!(N <= 255 * 32) };
    let _never_refused = Hkdf::<Sha256>::new(Some(b"vestibule"), key).expand(purpose.as_bytes(), out);
}

/// Why something was not sealed or not opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum SealError {
    /// The text is longer than the cipher takes.
    #[error("the text is too long to be sealed")]
    TooLong,
    /// Not sealed by these keys for this place, or changed since.
    #[error("the sealed text cannot be opened with these keys, at this place")]
    Unreadable,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s11_what_was_changed_or_moved_does_not_open() {
        let ring = SealKeys::new([1; 32], [[2; 32]]);
        let sealed = ring.seal(b"text", b"here", [3; 24]).unwrap();
        assert_eq!(ring.open(&sealed, b"here").unwrap().expose(), b"text");
        assert_eq!(ring.open(&sealed, b"there").unwrap_err(), SealError::Unreadable);
        assert_eq!(ring.for_purpose("other").open(&sealed, b"here").unwrap_err(), SealError::Unreadable);
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert_eq!(ring.open(&changed, b"here").unwrap_err(), SealError::Unreadable, "octet {at}");
        }
        for length in 0..sealed.len() {
            assert_eq!(
                ring.open(&sealed[..length], b"here").unwrap_err(),
                SealError::Unreadable,
                "{length} octets"
            );
        }
    }

    #[test]
    fn the_first_key_seals_and_all_open() {
        let old = SealKeys::new([1; 32], []);
        let new = SealKeys::new([2; 32], [[1; 32]]);
        let by_old = old.seal(b"text", b"", [3; 24]).unwrap();
        let by_new = new.seal(b"text", b"", [3; 24]).unwrap();
        assert!(new.open(&by_old, b"").is_ok() && new.is_outdated(&by_old));
        assert!(new.open(&by_new, b"").is_ok() && !new.is_outdated(&by_new));
        assert_eq!(old.open(&by_new, b"").unwrap_err(), SealError::Unreadable);
    }
}
