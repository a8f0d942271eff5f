//! A key that makes proofs, loaded once for each session.

use std::fmt;
use std::sync::Arc;

use crate::jwk::{Jwk, Thumbprint};
use crate::jws::{EncodedHeader, ProtectedHeader};
use crate::proof::Proof;
use crate::secret::Es256Secret;
use crate::signer::{SignError, Signer, default_signer};

/// A key that makes DPoP proofs, with all that does not change from proof to proof: the loaded signer, the encoded
/// header and the thumbprint. It belongs to one session on one device; keep it as long as the session, since loading it
/// costs as much as a proof.
///
/// ```
/// use vestibule_dpop::{Es256Secret, ProofKey};
///
/// let key = ProofKey::from_secret(Es256Secret::from_entropy([7; 32]));
/// assert_eq!(key.thumbprint(), &key.public_key().thumbprint()); // `dpop_jkt` of an authorization request
/// let sealed = key.secret().unwrap().expose(); // what to seal, so that the session outlives the process
/// let again = ProofKey::from_secret(Es256Secret::from_bytes(sealed.expose()).unwrap());
/// assert_eq!(again.thumbprint(), key.thumbprint());
/// ```
pub struct ProofKey {
    signer: Arc<dyn Signer>,
    header: EncodedHeader,
    thumbprint: Thumbprint,
    secret: Option<Es256Secret>,
}

impl ProofKey {
    /// Loads an ES256 key by the fastest backend that was compiled in.
    pub fn from_secret(secret: Es256Secret) -> Self {
        let key = Self::from_signer(default_signer(&secret));
        Self { secret: Some(secret), ..key }
    }

    /// Uses a key that is kept elsewhere, or loaded by a backend of your choice.
    pub fn from_signer(signer: Arc<dyn Signer>) -> Self {
        let header =
            ProtectedHeader::new(signer.as_ref()).with_typ(PROOF_TYPE).with_jwk(signer.public_key()).encode();
        let thumbprint = signer.public_key().thumbprint();
        Self { signer, header, thumbprint, secret: None }
    }

    /// Makes a proof: the value of a `DPoP` header field.
    ///
    /// # Errors
    /// [`SignError`] when the backend refuses. The pure Rust backend never does.
    pub fn prove(&self, proof: &Proof<'_>) -> Result<String, SignError> {
        self.header.sign(proof.payload(), self.signer.as_ref())
    }

    /// The public half, as every proof shows it.
    pub fn public_key(&self) -> &Jwk {
        self.signer.public_key()
    }

    /// The thumbprint of the public half: `dpop_jkt` of an authorization request, `cnf.jkt` of a token.
    pub const fn thumbprint(&self) -> &Thumbprint {
        &self.thumbprint
    }

    /// The private half, to be sealed; `None` if it is kept elsewhere.
    pub const fn secret(&self) -> Option<&Es256Secret> {
        self.secret.as_ref()
    }
}

impl fmt::Debug for ProofKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProofKey").field("thumbprint", &self.thumbprint).finish_non_exhaustive()
    }
}

/// The media type of a proof ([RFC 9449, section 4.2](https://www.rfc-editor.org/rfc/rfc9449#section-4.2)).
pub(crate) const PROOF_TYPE: &str = "dpop+jwt";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::p256::P256Signer;

    #[test]
    fn debug_shows_no_secret() {
        let key = ProofKey::from_secret(Es256Secret::from_entropy([7; 32]));
        assert_eq!(
            format!("{key:?}"),
            format!("ProofKey {{ thumbprint: Thumbprint({:?}), .. }}", key.thumbprint().as_str())
        );
    }

    #[test]
    fn a_key_kept_elsewhere_has_no_secret() {
        let secret = Es256Secret::from_entropy([7; 32]);
        let key = ProofKey::from_signer(Arc::new(P256Signer::from_secret(&secret)));
        assert!(key.secret().is_none());
        assert_eq!(key.thumbprint(), ProofKey::from_secret(secret).thumbprint());
    }
}
