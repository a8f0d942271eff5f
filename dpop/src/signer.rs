//! The two seams: who signs, and who verifies.

use std::fmt;
use std::sync::Arc;

use thiserror::Error;

use crate::algorithm::Algorithm;
use crate::jwk::Jwk;
use crate::secret::Es256Secret;

/// A loaded private key. Signing is the one thing it does, so that a key may live where it cannot be read: implement
/// this for a key in a key service.
pub trait Signer: Send + Sync + fmt::Debug {
    /// The algorithm of every signature of this key.
    fn algorithm(&self) -> Algorithm;

    /// The public half.
    fn public_key(&self) -> &Jwk;

    /// Signs the octets of `input`; hashing them is part of it.
    ///
    /// # Errors
    /// [`SignError::Failed`] when the backend refuses. The pure Rust backend never does.
    fn sign(&self, input: &[u8]) -> Result<Signature, SignError>;
}

/// A signature in the form that JWS wants: for ES256 the 64 octets of r and s, not ASN.1 ([RFC 7518, section 3.4]).
///
/// [RFC 7518, section 3.4]: https://www.rfc-editor.org/rfc/rfc7518#section-3.4
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Signature {
    /// An ES256 signature, without a heap.
    Es256([u8; 64]),
    /// An RSA signature, as long as the modulus.
    Rsa(Vec<u8>),
}

impl AsRef<[u8]> for Signature {
    fn as_ref(&self) -> &[u8] {
        match self {
            Self::Es256(octets) => octets,
            Self::Rsa(octets) => octets,
        }
    }
}

/// Why nothing was signed. Neither variant says anything about the key.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum SignError {
    /// The backend refused; the text is its own.
    #[error("signing failed: {0}")]
    Failed(String),
    /// The header names another algorithm than the key has: a mistake of the caller.
    #[error("the header's alg is not the algorithm of the key")]
    OtherAlgorithm,
}

/// Verifies signatures. Stateless: the key comes with each call.
pub trait Verifier: Send + Sync + fmt::Debug {
    /// Whether signatures of this algorithm can be verified at all.
    fn supports(&self, algorithm: Algorithm) -> bool;

    /// Accepts a signature of `input` under `key`, or refuses it.
    ///
    /// # Errors
    /// [`VerifyError`] says whether the algorithm, the key or the signature is at fault.
    fn verify(
        &self,
        algorithm: Algorithm,
        key: &Jwk,
        input: &[u8],
        signature: &[u8],
    ) -> Result<(), VerifyError>;
}

/// Why a signature was refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// This build cannot verify that algorithm: RS256 and PS256 need the feature `aws-lc-rs`.
    #[error("this build does not verify {0}")]
    Unsupported(Algorithm),
    /// The key is of another kind than the algorithm wants.
    #[error("the key is of another kind than {0} wants")]
    OtherKey(Algorithm),
    /// The signature is not one of this input under this key.
    #[error("the signature does not verify")]
    Signature,
}

/// The key, loaded by the fastest backend that was compiled in: AWS-LC with the feature `aws-lc-rs`, otherwise pure
/// Rust.
///
/// ```
/// use vestibule_dpop::{Es256Secret, default_signer};
///
/// let signer = default_signer(&Es256Secret::from_entropy([7; 32]));
/// assert_eq!(signer.sign(b"input").unwrap().as_ref().len(), 64);
/// ```
pub fn default_signer(secret: &Es256Secret) -> Arc<dyn Signer> {
    #[cfg(feature = "aws-lc-rs")]
    // Every secret is a key for either backend, so this fails only when AWS-LC has no memory left: sign all the same.
    if let Ok(signer) = crate::aws::AwsLcSigner::from_secret(secret) {
        return Arc::new(signer);
    }
    Arc::new(crate::p256::P256Signer::from_secret(secret))
}

/// Verifies by the fastest backend that was compiled in: AWS-LC with the feature `aws-lc-rs`, otherwise pure Rust, which
/// knows ES256 only.
#[derive(Clone, Copy, Default, Debug)]
#[allow(
    clippy::exhaustive_structs,
    reason = "a name for a choice, written out wherever a verifier is asked for"
)]
pub struct DefaultVerifier;

impl Verifier for DefaultVerifier {
    fn supports(&self, algorithm: Algorithm) -> bool {
        BACKEND.supports(algorithm)
    }

    fn verify(
        &self,
        algorithm: Algorithm,
        key: &Jwk,
        input: &[u8],
        signature: &[u8],
    ) -> Result<(), VerifyError> {
        BACKEND.verify(algorithm, key, input, signature)
    }
}

#[cfg(feature = "aws-lc-rs")]
const BACKEND: crate::aws::AwsLcVerifier = crate::aws::AwsLcVerifier;
#[cfg(not(feature = "aws-lc-rs"))]
const BACKEND: crate::p256::P256Verifier = crate::p256::P256Verifier;
