//! The vocabulary of OAuth 2 without I/O: what a client, a server and the bytes between them are called, and how each is
//! read from a stranger.
//!
//! There is PKCE, `state`-sized randomness drawn from one [`Seed`], strict reading of forms and queries ([`Params`]),
//! scopes, error answers, issuers, redirect URIs, client identifiers, the three metadata documents (of clients, of
//! authorization servers, of protected resources), secrets that no log shows, and the two ports ([`HttpClient`] and
//! [`TxtLookup`]) by which the flows of the crates above reach a network.
//!
//! ```
//! use vestibule_oauth_core::{FormRules, Params, ParamsError, PkceChallenge, PkceVerifier, Seed};
//!
//! // The client: one seed for one login, every random value drawn from it by name.
//! let seed = Seed::from_entropy([7; 32]); // draw fresh octets
//! let verifier = PkceVerifier::from_entropy(seed.derive("verifier"));
//! let challenge = verifier.challenge(); // goes with the authorization request
//!
//! // The server: a body from a stranger, read in one way or not at all.
//! let body = format!("grant_type=authorization_code&code=abc&code_verifier={}", verifier.expose());
//! let params = Params::parse(body.as_bytes(), &FormRules::DEFAULT)?;
//! let answer: PkceVerifier = params.value("code_verifier").unwrap_or_default().parse()?;
//! let kept: PkceChallenge = challenge.as_str().parse()?;
//! assert!(kept.is_answered_by(&answer));
//!
//! let twice = Params::parse(b"code=abc&code=def", &FormRules::DEFAULT).unwrap_err();
//! assert_eq!(twice, ParamsError::Repeated("code".to_owned()));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What is not here
//!
//! Sending anything, reading a clock, drawing randomness, the environment, files: time and entropy are arguments, and the
//! network is a port. Nor are there signatures and proofs (`vestibule-dpop`), the steps of a login (`vestibule-strategy`),
//! or handles and DIDs (`vestibule-atproto-identity`).
//!
//! # Errors
//!
//! What is parsed has an error of its own, with a variant for each rule: [`InvalidScope`], [`InvalidIssuer`],
//! [`ParamsError`]. What is fetched has one that keeps apart "no answer" ([`HttpError`]), "not the answer asked for"
//! ([`JsonAnswerError`]) and "an answer that breaks a rule" ([`ServerMetadataError`], [`ResourceMetadataError`]). A review
//! of a document gives every [`Finding`] at once. No error holds a secret.
//!
//! # Features
//!
//! - `seal` (off): the module `seal`, authenticated encryption under a ring of keys for what is kept in a cookie or a store.
//!   It brings chacha20poly1305 and hkdf.

// What everything is made of.
mod time;
mod secret;
mod seed;
pub mod base64url;
#[cfg(feature = "seal")]
pub mod seal;

// The wire.
mod params;
mod pkce;
mod scope;
mod error_code;

// The network that others bring.
mod port;
mod transport;

// Who is who.
mod issuer;
mod redirect_uri;
mod client_id;

// What they publish.
mod finding;
mod json_object;
mod json_answer;
pub mod client_metadata;
mod server_metadata;
mod atproto_server;
mod resource_metadata;

pub use atproto_server::{AtprotoServer, NotAtprotoServer};
pub use client_id::{ClientId, InvalidClientId};
pub use client_metadata::document::{ApplicationType, ClientAuthMethod, ClientMetadata, UnknownValue};
pub use client_metadata::jwks::{InvalidJwks, Jwks};
pub use client_metadata::loopback::LoopbackClient;
pub use error_code::{ErrorCode, ErrorResponse, InvalidErrorCode};
pub use finding::{Finding, Level};
pub use issuer::{InvalidIssuer, Issuer};
pub use json_answer::JsonAnswerError;
pub use params::{FormRules, Params, ParamsError};
pub use pkce::{InvalidPkceChallenge, InvalidPkceVerifier, PkceChallenge, PkceVerifier};
pub use port::{
    BoxFuture, HttpCall, HttpClient, HttpError, HttpErrorKind, StoreUnavailable, Timer, Trust, TxtError,
    TxtLookup, TxtRecord,
};
pub use redirect_uri::{InvalidRedirectUri, RedirectUri};
pub use resource_metadata::{ResourceMetadata, ResourceMetadataError};
pub use scope::{InvalidScope, ScopeSet};
pub use secret::Secret;
pub use seed::Seed;
pub use server_metadata::{ServerMetadata, ServerMetadataError};
pub use time::UnixTime;
pub use transport::{InvalidWebUrl, Transport};
