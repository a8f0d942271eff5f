//! The vocabulary of OAuth, without I/O.

mod time;
mod secret;
mod seed;
pub mod base64url;
mod params;
mod pkce;
mod scope;
mod error_code;
#[cfg(feature = "seal")]
pub mod seal;
mod port;
mod transport;
mod finding;
mod json_answer;
mod json_object;
mod issuer;
mod redirect_uri;
mod client_id;
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
    BoxFuture, HttpCall, HttpClient, HttpError, HttpErrorKind, StoreUnavailable, Trust, TxtError, TxtLookup,
    TxtRecord,
};
pub use redirect_uri::{InvalidRedirectUri, RedirectUri};
pub use resource_metadata::{ResourceMetadata, ResourceMetadataError};
pub use scope::{InvalidScope, ScopeSet};
pub use secret::Secret;
pub use seed::Seed;
pub use server_metadata::{ServerMetadata, ServerMetadataError};
pub use time::UnixTime;
pub use transport::{InvalidWebUrl, Transport};
