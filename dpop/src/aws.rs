//! ES256, RS256 and PS256 by AWS-LC. It draws its own randomness when it signs: the one exception among these crates.

use std::fmt;
use std::sync::{Arc, OnceLock};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, ParsedPublicKey,
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RSA_PSS_2048_8192_SHA256, RSA_PSS_SHA256, RsaEncoding,
    RsaKeyPair, RsaPublicKeyComponents,
};
use zeroize::Zeroize;

use crate::algorithm::Algorithm;
use crate::jwk::{Jwk, KeyMaterial, sec1};
use crate::secret::{Es256Secret, InvalidKey};
use crate::signer::{SignError, Signature, Signer, Verifier, VerifyError};

/// A P-256 key loaded for signing by AWS-LC. Its signatures are randomised: the same input gives other octets each time.
#[derive(Debug)]
pub struct AwsLcSigner {
    key: EcdsaKeyPair,
    public: Jwk,
}

impl AwsLcSigner {
    /// Loads a key: do it once.
    ///
    /// # Errors
    /// [`InvalidKey::Backend`] when AWS-LC has no memory left; it takes every [`Es256Secret`].
    pub fn from_secret(secret: &Es256Secret) -> Result<Self, InvalidKey> {
        let octets = secret.expose();
        // An ECPrivateKey (RFC 5915) without its public half, which is then computed.
        let mut der = [PREFIX, octets.expose().as_slice(), SUFFIX].concat();
        let key = EcdsaKeyPair::from_private_key_der(&ECDSA_P256_SHA256_FIXED_SIGNING, &der);
        der.zeroize();
        Self::of(key.map_err(|_| InvalidKey::Backend)?)
    }

    /// Loads a key from its PKCS #8 document, in DER ([RFC 5958]): what a `.p8` file holds.
    ///
    /// # Errors
    /// [`InvalidKey::P256`] when it is not one of a P-256 key.
    ///
    /// [RFC 5958]: https://www.rfc-editor.org/rfc/rfc5958
    pub fn from_pkcs8(pkcs8: &[u8]) -> Result<Self, InvalidKey> {
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8);
        Self::of(key.map_err(|_| InvalidKey::P256)?)
    }

    fn of(key: EcdsaKeyPair) -> Result<Self, InvalidKey> {
        let public = match key.public_key().as_ref() {
            [4, point @ ..] => match point.split_at_checked(32) {
                Some((x, y)) => match (x.try_into(), y.try_into()) {
                    (Ok(x), Ok(y)) => Jwk::p256(x, y).map_err(|_| InvalidKey::Backend)?,
                    _ => return Err(InvalidKey::Backend),
                },
                None => return Err(InvalidKey::Backend),
            },
            _ => return Err(InvalidKey::Backend),
        };
        Ok(Self { key, public })
    }
}

impl Signer for AwsLcSigner {
    fn algorithm(&self) -> Algorithm {
        Algorithm::Es256
    }

    fn public_key(&self) -> &Jwk {
        &self.public
    }

    fn sign(&self, input: &[u8]) -> Result<Signature, SignError> {
        let signature = self.key.sign(&SystemRandom::new(), input).map_err(|_| failed())?;
        signature.as_ref().try_into().map(Signature::Es256).map_err(|_| failed())
    }
}

/// An RSA key loaded for signing by AWS-LC, with RS256 or PS256.
#[derive(Debug)]
pub struct AwsLcRsaSigner {
    key: RsaKeyPair,
    algorithm: Algorithm,
    padding: &'static dyn RsaEncoding,
    public: Jwk,
}

impl AwsLcRsaSigner {
    /// Loads a key from its PKCS #8 document, in DER ([RFC 5958]).
    ///
    /// # Errors
    /// [`InvalidKey::Rsa`] when it is not one of an RSA key of 2048 to 8192 bits; [`InvalidKey::Algorithm`] when
    /// `algorithm` is not one for RSA.
    ///
    /// [RFC 5958]: https://www.rfc-editor.org/rfc/rfc5958
    pub fn from_pkcs8(pkcs8: &[u8], algorithm: Algorithm) -> Result<Self, InvalidKey> {
        let padding: &'static dyn RsaEncoding = match algorithm {
            Algorithm::Rs256 => &RSA_PKCS1_SHA256,
            Algorithm::Ps256 => &RSA_PSS_SHA256,
            Algorithm::Es256 => return Err(InvalidKey::Algorithm),
        };
        let key = RsaKeyPair::from_pkcs8(pkcs8).map_err(|_| InvalidKey::Rsa)?;
        let (n, e) = (key.public_key().modulus(), key.public_key().exponent());
        let (n, e) = (n.big_endian_without_leading_zero(), e.big_endian_without_leading_zero());
        let public = Jwk::rsa(n.to_vec(), e.to_vec()).map_err(|_| InvalidKey::Rsa)?;
        Ok(Self { key, algorithm, padding, public })
    }
}

impl Signer for AwsLcRsaSigner {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    fn public_key(&self) -> &Jwk {
        &self.public
    }

    fn sign(&self, input: &[u8]) -> Result<Signature, SignError> {
        let mut signature = vec![0; self.key.public_modulus_len()];
        match self.key.sign(self.padding, &SystemRandom::new(), input, &mut signature) {
            Ok(()) => Ok(Signature::Rsa(signature)),
            Err(_) => Err(failed()),
        }
    }
}

/// Verifies ES256, RS256 and PS256 by AWS-LC. As with [`P256Verifier`](crate::P256Verifier), both valid values of s are
/// accepted.
#[derive(Clone, Copy, Default, Debug)]
#[allow(
    clippy::exhaustive_structs,
    reason = "a name for a choice, written out wherever a verifier is asked for"
)]
pub struct AwsLcVerifier;

impl Verifier for AwsLcVerifier {
    fn supports(&self, algorithm: Algorithm) -> bool {
        match algorithm {
            Algorithm::Es256 | Algorithm::Rs256 | Algorithm::Ps256 => true,
        }
    }

    fn verify(
        &self,
        algorithm: Algorithm,
        key: &Jwk,
        input: &[u8],
        signature: &[u8],
    ) -> Result<(), VerifyError> {
        let verified = match (algorithm, key.material()) {
            (Algorithm::Es256, KeyMaterial::P256 { x, y }) => {
                let loaded = key.loaded().p256(x, y).ok_or(VerifyError::Signature)?;
                loaded.verify_sig(input, signature)
            }
            (Algorithm::Rs256, KeyMaterial::Rsa { n, e }) => {
                RsaPublicKeyComponents { n, e }.verify(&RSA_PKCS1_2048_8192_SHA256, input, signature)
            }
            (Algorithm::Ps256, KeyMaterial::Rsa { n, e }) => {
                RsaPublicKeyComponents { n, e }.verify(&RSA_PSS_2048_8192_SHA256, input, signature)
            }
            _ => return Err(VerifyError::OtherKey(algorithm)),
        };
        verified.map_err(|_| VerifyError::Signature)
    }
}

/// A P-256 key as AWS-LC wants it, loaded when it first verifies and kept with its [`Jwk`]: loading costs a look at the
/// curve and several allocations. RSA keys are loaded each time, since nothing public keeps them loaded from their numbers.
///
/// It follows from the numbers beside it, so that any two are equal.
#[derive(Clone, Default)]
pub(crate) struct LoadedKey(OnceLock<Arc<ParsedPublicKey>>);

impl LoadedKey {
    /// `None` if AWS-LC has no memory left: it takes every point of the curve.
    fn p256(&self, x: &[u8; 32], y: &[u8; 32]) -> Option<&ParsedPublicKey> {
        if let Some(loaded) = self.0.get() {
            return Some(loaded);
        }
        let loaded = ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, sec1(x, y)).ok()?;
        Some(self.0.get_or_init(|| Arc::new(loaded)))
    }
}

impl PartialEq for LoadedKey {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for LoadedKey {}

impl fmt::Debug for LoadedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LoadedKey")
    }
}

/// SEQUENCE (49 octets), INTEGER 1, OCTET STRING of the 32 octets that follow.
const PREFIX: &[u8] = &[0x30, 0x31, 0x02, 0x01, 0x01, 0x04, 0x20];

/// `[0]` with the object identifier of P-256, 1.2.840.10045.3.1.7.
const SUFFIX: &[u8] = &[0xa0, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];

fn failed() -> SignError {
    SignError::Failed("aws-lc".to_owned())
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::encoding::AsDer;
    use aws_lc_rs::rsa::KeySize;
    use vestibule_oauth_core::base64url;

    use super::*;
    use crate::p256::{P256Signer, P256Verifier};

    #[test]
    fn both_backends_agree_on_es256() {
        for seed in [1, 7, 0xff] {
            let secret = Es256Secret::from_entropy([seed; 32]);
            let (aws, pure) = (AwsLcSigner::from_secret(&secret).unwrap(), P256Signer::from_secret(&secret));
            assert_eq!(aws.public_key(), pure.public_key());
            for signer in [&aws as &dyn Signer, &pure] {
                let signature = signer.sign(b"input").unwrap();
                for verifier in [&AwsLcVerifier as &dyn Verifier, &P256Verifier] {
                    let verify = |input: &[u8], signature: &[u8]| {
                        verifier.verify(Algorithm::Es256, aws.public_key(), input, signature)
                    };
                    assert_eq!(verify(b"input", signature.as_ref()), Ok(()));
                    assert_eq!(verify(b"inpuT", signature.as_ref()), Err(VerifyError::Signature));
                    assert_eq!(verify(b"input", &signature.as_ref()[1..]), Err(VerifyError::Signature));
                    assert_eq!(verify(b"input", &[0; 64]), Err(VerifyError::Signature));
                }
            }
        }
    }

    #[test]
    fn a_loaded_key_is_the_same_key() {
        let keys = [7, 8].map(|seed| P256Signer::from_secret(&Es256Secret::from_entropy([seed; 32])));
        let [key, other] = keys.each_ref().map(|signer| signer.public_key().clone());
        let signature = keys[0].sign(b"input").unwrap();
        let verify = |key: &Jwk| AwsLcVerifier.verify(Algorithm::Es256, key, b"input", signature.as_ref());
        for _ in 0..2 {
            assert_eq!(verify(&key), Ok(()));
            assert_eq!(verify(&key.clone()), Ok(()));
            assert_eq!(verify(&other), Err(VerifyError::Signature));
        }
        assert_eq!(key, *keys[0].public_key()); // one has verified
        assert_ne!(key, other); // both have
    }

    #[test]
    fn both_values_of_s_are_accepted() {
        let signer = P256Signer::from_secret(&Es256Secret::from_entropy([7; 32]));
        let signature = signer.sign(b"input").unwrap();
        let signature = p256::ecdsa::Signature::from_slice(signature.as_ref()).unwrap();
        let (r, s) = signature.split_scalars();
        let other = p256::ecdsa::Signature::from_scalars(r.as_ref(), -s.as_ref()).unwrap();
        assert_eq!(
            AwsLcVerifier.verify(Algorithm::Es256, signer.public_key(), b"input", &other.to_bytes()),
            Ok(())
        );
    }

    /// RFC 7515, appendix A.2: a key, and its RS256 signature.
    #[test]
    fn rfc7515_appendix_a_2() {
        let n = "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ";
        let input = b"eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
        let signature = base64url::decode("cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw").unwrap();
        let key = Jwk::parse(format!(r#"{{"kty":"RSA","n":"{n}","e":"AQAB"}}"#)).unwrap();
        for (algorithm, result) in [
            (Algorithm::Rs256, Ok(())),
            (Algorithm::Ps256, Err(VerifyError::Signature)),
            (Algorithm::Es256, Err(VerifyError::OtherKey(Algorithm::Es256))),
        ] {
            assert_eq!(AwsLcVerifier.verify(algorithm, &key, input, &signature), result, "{algorithm}");
        }
        assert_eq!(
            AwsLcVerifier.verify(Algorithm::Rs256, &key, b"other", &signature),
            Err(VerifyError::Signature)
        );
    }

    #[test]
    fn rsa_keys_sign_what_they_verify() {
        let pkcs8 = RsaKeyPair::generate(KeySize::Rsa2048).unwrap().as_der().unwrap();
        for algorithm in [Algorithm::Rs256, Algorithm::Ps256] {
            let signer = AwsLcRsaSigner::from_pkcs8(pkcs8.as_ref(), algorithm).unwrap();
            let signature = signer.sign(b"input").unwrap();
            assert_eq!((signer.algorithm(), signature.as_ref().len()), (algorithm, 256));
            let verify = |input: &[u8]| {
                AwsLcVerifier.verify(algorithm, signer.public_key(), input, signature.as_ref())
            };
            assert_eq!(verify(b"input"), Ok(()));
            assert_eq!(verify(b"inpuT"), Err(VerifyError::Signature));
        }
        let load = |pkcs8: &[u8], algorithm| AwsLcRsaSigner::from_pkcs8(pkcs8, algorithm).unwrap_err();
        assert_eq!(load(pkcs8.as_ref(), Algorithm::Es256), InvalidKey::Algorithm);
        assert_eq!(load(b"", Algorithm::Rs256), InvalidKey::Rsa);
    }

    #[test]
    fn a_p256_key_in_pkcs8_signs() {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let pkcs8 = pair.to_pkcs8v1().unwrap();
        let signer = AwsLcSigner::from_pkcs8(pkcs8.as_ref()).unwrap();
        let signature = signer.sign(b"input").unwrap();
        AwsLcVerifier.verify(Algorithm::Es256, signer.public_key(), b"input", signature.as_ref()).unwrap();
        let rsa = RsaKeyPair::generate(KeySize::Rsa2048).unwrap().as_der().unwrap();
        for other in [b"".as_slice(), b"nonsense", rsa.as_ref()] {
            assert_eq!(AwsLcSigner::from_pkcs8(other).unwrap_err(), InvalidKey::P256);
        }
    }
}
