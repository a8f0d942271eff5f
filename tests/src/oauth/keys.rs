//! Keys of test clients, and signed texts of any shape.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;
use vestibule_dpop::{Es256Secret, ProofKey, Signature, Signer, default_signer};
use vestibule_oauth_core::base64url;

use crate::fixed::Entropy;

/// A key pair, the same for the same number in every run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(clippy::exhaustive_structs, reason = "a number")]
pub struct Key(pub u8);

impl Key {
    /// Its name in key sets.
    pub fn kid(self) -> String {
        format!("key-{}", self.0)
    }

    /// The signer.
    pub fn signer(self) -> std::sync::Arc<dyn Signer> {
        default_signer(&self.secret())
    }

    /// The maker of proofs.
    pub fn proof_key(self) -> ProofKey {
        ProofKey::from_secret(self.secret())
    }

    /// The public half as JSON, with its name.
    ///
    /// # Panics
    /// Never: what is written is JSON.
    pub fn jwk(self) -> Value {
        let mut json = String::new();
        self.signer().public_key().write_json(&mut json);
        let mut jwk: Value = serde_json::from_str(&json).expect("a key is JSON");
        jwk["kid"] = self.kid().into();
        jwk
    }

    /// A set with this key alone, as JSON.
    pub fn jwks(self) -> String {
        serde_json::json!({ "keys": [self.jwk()] }).to_string()
    }

    fn secret(self) -> Es256Secret {
        Es256Secret::from_entropy([self.0; 32])
    }
}

/// A compact signed text with this header and this payload, whatever they say.
pub fn jwt(header: &Value, payload: &Value, key: Key) -> String {
    sign(&header.to_string(), &payload.to_string(), key)
}

/// The same from texts, which need not be JSON.
///
/// # Panics
/// Never: this backend signs everything.
pub fn sign(header: &str, payload: &str, key: Key) -> String {
    let input = format!("{}.{}", base64url::encode(header), base64url::encode(payload));
    let Ok(Signature::Es256(signature)) = key.signer().sign(input.as_bytes()) else {
        panic!("no ES256 signature")
    };
    format!("{input}.{}", base64url::encode(signature))
}

/// Octets that no other call has given, in this run or another.
///
/// # Panics
/// When the clock stands before 1970.
pub fn fresh<const N: usize>() -> [u8; N] {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let started = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").as_nanos();
    let seed =
        started as u64 ^ u64::from(std::process::id()) << 40 ^ NEXT.fetch_add(1, Ordering::Relaxed) << 52;
    Entropy::new(seed).draw()
}
