//! The keys that ID tokens are signed with, and the tokens.

use bytes::Bytes;
use http::{Response, StatusCode};
use serde_json::Value;
use vestibule_dpop::{
    Algorithm, Es256Secret, JwkEntry, JwkSet, P256Signer, ProtectedHeader, SignError, Signer,
};

use crate::testing::answer::typed;
use crate::testing::fixed::seed;

/// The public half of the key of this number, alone in its set.
pub(super) fn published(number: u64) -> Response<Bytes> {
    let entry = JwkEntry::new(signer(number).public_key().clone(), kid(number), Algorithm::Es256);
    let set: JwkSet = [entry].into_iter().collect();
    let mut body = String::new();
    set.write_json(&mut body);
    typed(StatusCode::OK, "application/json", body)
}

/// Signs claims with the key of this number.
pub(super) fn sign(number: u64, claims: &Value) -> Result<String, SignError> {
    let (signer, kid) = (signer(number), kid(number));
    ProtectedHeader::new(&signer).with_kid(&kid).encode().sign(claims.to_string(), &signer)
}

/// In pure Rust, whatever else is compiled in: its signatures are the same in every run.
fn signer(number: u64) -> P256Signer {
    P256Signer::from_secret(&Es256Secret::from_entropy(seed(number).derive("key of a fake provider")))
}

fn kid(number: u64) -> String {
    format!("key-{number}")
}
