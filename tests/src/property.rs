//! What holds for every parser of hostile bytes, whatever the bytes are.
//!
//! Each property is a function of octets that never panics while the crates keep their word: what is parsed and printed
//! parses to the same again, a normal form is its own normal form, limits hold, two readers of one text agree, no error
//! shows a secret, what is sealed or signed opens and verifies unchanged and in no other way.
//!
//! They are driven in three ways: by proptest and by replaying the corpus in every test run (`tests/tests/properties.rs`),
//! and by libFuzzer (`tests/fuzz`, with a README of how).
//!
//! ```
//! use vestibule_tests::property;
//!
//! property::handle(b"alice.example.com");
//! property::handle(b"\xff not a handle");
//! assert!(property::ALL.iter().any(|(name, _)| *name == "handle"));
//! ```

mod id_token;
mod identity;
mod key;
mod login;
mod material;
mod metadata;
mod name;
mod permission;
mod request;
mod sealed;
mod signed;
mod token;
mod token_requests;
mod token_signed;

pub use id_token::id_token;
pub use identity::{did_document, txt_answer, well_known};
pub use key::{base64url, jwk, jwk_set, nonce_memory};
pub use login::{callback, host_header, route, sealed_cookie};
pub use metadata::{client_metadata, loopback_client, resource_metadata, server_metadata};
pub use name::{at_uri, did, handle, issuer, login_input, nsid, redirect_uri, server_origin};
pub use permission::{permission, permission_set, scope};
pub use request::{cookie_header, error_response, params, provenance, push_answer, return_to, token_answer};
pub use sealed::{master_secret, sealed, session_record};
pub use signed::{jws, proof, proof_made, target_uri};
pub use token::{basic_header, token_form};
pub use token_requests::token_requests;
pub use token_signed::{client_assertion, token_proof};

/// A property: it panics when it does not hold for these octets.
pub type Property = fn(&[u8]);

macro_rules! all {
    ($($name:ident)*) => {
        /// Every property, by the name of its fuzz target and of its corpus.
        pub const ALL: &[(&str, Property)] = &[$((stringify!($name), $name)),*];
    };
}

all! {
    at_uri base64url basic_header callback client_assertion client_metadata cookie_header did did_document error_response
    handle host_header id_token issuer jwk jwk_set jws login_input loopback_client master_secret nonce_memory nsid params permission
    permission_set proof proof_made provenance push_answer redirect_uri resource_metadata return_to route scope sealed
    sealed_cookie server_metadata server_origin session_record target_uri token_answer token_form token_proof token_requests
    txt_answer well_known
}
