//! ES256 in pure Rust.

use p256::ecdsa::signature::{Signer as _, Verifier as _};
use p256::ecdsa::{SigningKey, VerifyingKey};

use crate::algorithm::Algorithm;
use crate::jwk::{Jwk, KeyMaterial, sec1};
use crate::secret::Es256Secret;
use crate::signer::{SignError, Signature, Signer, Verifier, VerifyError};

/// A key loaded for signing by pure Rust. Its signatures are deterministic ([RFC 6979]): the same key and input give
/// the same octets, and no randomness is drawn.
///
/// ```
/// use vestibule_dpop::{Algorithm, Es256Secret, P256Signer, P256Verifier, Signer, Verifier};
///
/// let signer = P256Signer::from_secret(&Es256Secret::from_entropy([7; 32]));
/// let signature = signer.sign(b"input").unwrap();
/// assert_eq!(P256Verifier.verify(Algorithm::Es256, signer.public_key(), b"input", signature.as_ref()), Ok(()));
/// ```
///
/// [RFC 6979]: https://www.rfc-editor.org/rfc/rfc6979
#[derive(Debug)]
pub struct P256Signer {
    key: SigningKey,
    public: Jwk,
}

impl P256Signer {
    /// Loads a key, which costs about as much as a signature: do it once.
    pub fn from_secret(secret: &Es256Secret) -> Self {
        let key = SigningKey::from(secret.key());
        let public = Jwk::from_p256(key.verifying_key());
        Self { key, public }
    }
}

impl Signer for P256Signer {
    fn algorithm(&self) -> Algorithm {
        Algorithm::Es256
    }

    fn public_key(&self) -> &Jwk {
        &self.public
    }

    fn sign(&self, input: &[u8]) -> Result<Signature, SignError> {
        let signature: p256::ecdsa::Signature =
            self.key.try_sign(input).map_err(|_| SignError::Failed("p256".to_owned()))?;
        Ok(Signature::Es256(signature.to_bytes().into()))
    }
}

/// Verifies ES256 by pure Rust.
///
/// Of the two signatures that are valid for every input, (r, s) and (r, n - s), both are accepted: JWS knows no rule
/// that s be low ([RFC 7518, section 3.4]), and many signers do not keep to one. So never take a signature for the
/// identity of a message.
///
/// [RFC 7518, section 3.4]: https://www.rfc-editor.org/rfc/rfc7518#section-3.4
#[derive(Clone, Copy, Default, Debug)]
#[allow(
    clippy::exhaustive_structs,
    reason = "a name for a choice, written out wherever a verifier is asked for"
)]
pub struct P256Verifier;

impl Verifier for P256Verifier {
    fn supports(&self, algorithm: Algorithm) -> bool {
        algorithm == Algorithm::Es256
    }

    fn verify(
        &self,
        algorithm: Algorithm,
        key: &Jwk,
        input: &[u8],
        signature: &[u8],
    ) -> Result<(), VerifyError> {
        if algorithm != Algorithm::Es256 {
            return Err(VerifyError::Unsupported(algorithm));
        }
        let KeyMaterial::P256 { x, y } = key.material() else { return Err(VerifyError::OtherKey(algorithm)) };
        let signature = p256::ecdsa::Signature::from_slice(signature).map_err(|_| VerifyError::Signature)?;
        let key = VerifyingKey::from_sec1_bytes(&sec1(x, y)).map_err(|_| VerifyError::OtherKey(algorithm))?;
        key.verify(input, &signature).map_err(|_| VerifyError::Signature)
    }
}

#[cfg(test)]
mod tests {
    use vestibule_oauth_core::base64url;

    use super::*;

    /// RFC 6979, appendix A.2.5: the key, and its signature of "sample" with SHA-256.
    #[test]
    fn rfc6979_appendix_a_2_5() {
        let octets: [u8; 32] =
            base64url::decode_array("ya-p2EW6dRZrXCFXZ7HWk05Qw9s26JsSe4piKxIPZyE").unwrap();
        let signer = P256Signer::from_secret(&Es256Secret::from_bytes(&octets).unwrap());
        assert_eq!(
            base64url::encode(signer.sign(b"sample").unwrap()),
            "79SLKqy2qP0RQN2c1F6B1p0sh3tWqvmRw00OqE6vNxb3yxyULWV8QdQ2x6G24p9l8-kA27mv9AZNxKsvhDrNqA"
        );
    }

    #[test]
    fn t47_only_es256_of_the_right_key() {
        let signer = P256Signer::from_secret(&Es256Secret::from_entropy([7; 32]));
        let other = P256Signer::from_secret(&Es256Secret::from_entropy([8; 32]));
        let signature = signer.sign(b"input").unwrap();
        let signature = signature.as_ref();
        let verify = |key: &Jwk, input: &[u8], signature: &[u8]| {
            P256Verifier.verify(Algorithm::Es256, key, input, signature)
        };
        let key = signer.public_key();
        assert_eq!(verify(key, b"input", signature), Ok(()));
        for (key, input, signature) in [
            (other.public_key(), b"input", signature),
            (key, b"inpuT", signature),
            (key, b"input", &signature[..63]),
            (key, b"input", &[signature, &[0]].concat()),
            (key, b"input", &[0; 64]),
            (key, b"input", &[0xff; 64]),
        ] {
            assert_eq!(verify(key, input, signature), Err(VerifyError::Signature));
        }
        assert_eq!(
            P256Verifier.verify(Algorithm::Rs256, key, b"input", signature),
            Err(VerifyError::Unsupported(Algorithm::Rs256))
        );
        let rsa = Jwk::rsa(vec![0xff; 256], vec![3]).unwrap();
        assert_eq!(verify(&rsa, b"input", signature), Err(VerifyError::OtherKey(Algorithm::Es256)));
    }

    #[test]
    fn both_values_of_s_are_accepted() {
        let signer = P256Signer::from_secret(&Es256Secret::from_entropy([7; 32]));
        let Signature::Es256(octets) = signer.sign(b"input").unwrap() else { panic!("an ES256 signature") };
        let first = p256::ecdsa::Signature::from_slice(&octets).unwrap();
        let (r, s) = first.split_scalars();
        let second = p256::ecdsa::Signature::from_scalars(r.as_ref(), -s.as_ref()).unwrap();
        assert_ne!(first.to_bytes(), second.to_bytes());
        for signature in [first, second] {
            assert_eq!(
                P256Verifier.verify(Algorithm::Es256, signer.public_key(), b"input", &signature.to_bytes()),
                Ok(())
            );
        }
    }
}
