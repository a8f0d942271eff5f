//! DPoP ([RFC 9449]) without I/O: the client proves with every request that it holds a key, so that a stolen token is of
//! no use without it.
//!
//! Make a proof, and read it back:
//!
//! ```
//! use http::Method;
//! use vestibule_dpop::{
//!     DefaultVerifier, Es256Secret, Expected, Proof, ProofKey, Remembered, ReplayWindow, TargetUri,
//! };
//! use vestibule_oauth_core::UnixTime;
//!
//! // The client: one key for a session, one proof for a request.
//! let key = ProofKey::from_secret(Es256Secret::from_entropy([7; 32])); // draw fresh octets
//! let url = "https://server.example.com/token".parse()?;
//! let now = UnixTime::from_secs(1_700_000_000);
//! let field = key.prove(&Proof::new(&Method::POST, &url, [9; 16], now))?; // the header field `DPoP`
//!
//! // The server: what it expects, then once and never again.
//! let target = TargetUri::parse("https://server.example.com/token")?;
//! let proof = Expected::new(&Method::POST, &target).read(&field, &DefaultVerifier, now)?;
//! assert_eq!(proof.thumbprint(), key.thumbprint()); // bind the token to this
//! let mut window = ReplayWindow::new(100_000);
//! assert_eq!(window.remember(proof.replay_key(), proof.expires(), now), Remembered::Fresh);
//! assert_eq!(window.remember(proof.replay_key(), proof.expires(), now), Remembered::Seen);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! What the proofs are made of is here for everybody else who signs: public keys and sets of them ([`Jwk`], [`JwkSet`]),
//! thumbprints ([`Thumbprint`]), and signed texts in general ([`Compact`], [`ProtectedHeader`], [`Claims`]), which serve client
//! assertions, ID tokens and access tokens.
//!
//! What is not here: sending requests and retrying them with a nonce, claims of tokens, key sets fetched from their
//! address, symmetric signatures and encryption. Nothing reads a clock or draws randomness: times and entropy are
//! arguments.
//!
//! # Errors
//!
//! Each thing that is read has an error of its own with a variant for each rule ([`InvalidProof`], [`InvalidJws`],
//! [`InvalidJwk`]); [`InvalidProof::code`] is what the wire may know of it.
//!
//! # Features
//!
//! - `aws-lc-rs` (off): AWS-LC instead of pure Rust, 2.6 to 5 times faster by machine, and RS256 and PS256 beside ES256. It needs a
//!   C compiler and draws its own randomness when it signs. [`default_signer`] and [`DefaultVerifier`] then use it;
//!   [`P256Signer`] and [`P256Verifier`] stay where they are.
//!
//! [RFC 9449]: https://www.rfc-editor.org/rfc/rfc9449

mod algorithm;
#[cfg(feature = "aws-lc-rs")]
mod aws;
mod claims;
mod json;
mod jwk;
mod jwk_set;
mod jws;
mod key;
mod known;
mod nonce;
mod p256;
mod proof;
mod replay;
mod secret;
mod sha256;
mod signer;
mod target;
mod verify;

pub use algorithm::{Algorithm, UnknownAlgorithm};
#[cfg(feature = "aws-lc-rs")]
pub use aws::{AwsLcRsaSigner, AwsLcSigner, AwsLcVerifier};
pub use claims::{Claims, InvalidClaims};
pub use jwk::{InvalidJwk, InvalidThumbprint, Jwk, KeyMaterial, Thumbprint};
pub use jwk_set::{InvalidJwkEntry, InvalidJwkSet, JwkEntry, JwkSet};
pub use jws::{Compact, EncodedHeader, Header, InvalidJws, InvalidSignature, ProtectedHeader};
pub use key::ProofKey;
pub use known::KnownHeaders;
pub use nonce::{InvalidNonceMemory, NonceIssuer, NonceKeys, NonceMemory, NonceSeen};
pub use proof::{AccessTokenHash, Proof};
pub use replay::{Remembered, ReplayWindow};
pub use secret::{Es256Secret, InvalidKey};
pub use sha256::sha256;
pub use signer::{DefaultVerifier, SignError, Signature, Signer, Verifier, VerifyError, default_signer};
pub use target::{InvalidTargetUri, TargetUri};
pub use verify::{Expected, InvalidProof, NonceRule, ProofWindow, VerifiedProof, proof_header};

pub use self::p256::{P256Signer, P256Verifier};
