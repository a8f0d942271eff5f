//! Identities of AT Protocol: handles, DIDs and what they resolve to, and the permissions that are asked for.
//!
//! Everything here is pure, save the module `net` (feature `net`): a string is parsed, a request is made, an answer is
//! read, and [`resolve()`] runs the exchanges in their order over the ports [`HttpClient`] and [`TxtLookup`] that the
//! caller brings. With the feature `login` there is a whole sign-in.
//!
//! What is not here: repositories, records and the verification of signatures.
//!
//! ```
//! use std::pin::pin;
//! use std::task::{Context, Poll, Waker};
//!
//! use bytes::Bytes;
//! use vestibule_atproto_identity::{LoginInput, ResolveOptions, DevelopmentNames, plc, resolve};
//! use vestibule_oauth_core::{BoxFuture, HttpCall, HttpClient, HttpError, TxtError, TxtLookup, TxtRecord};
//!
//! /// A network in which one account exists.
//! struct Scripted;
//!
//! impl TxtLookup for Scripted {
//!     fn txt<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Vec<TxtRecord>, TxtError>> {
//!         assert_eq!(name, "_atproto.alice.example.com");
//!         let record = TxtRecord::new([b"did=did:web:example.com".to_vec()]);
//!         Box::pin(async { Ok(vec![record]) })
//!     }
//! }
//!
//! impl HttpClient for Scripted {
//!     fn send<'a>(&'a self, call: HttpCall) -> BoxFuture<'a, Result<http::Response<Bytes>, HttpError>> {
//!         assert_eq!(call.request.uri(), "https://example.com/.well-known/did.json");
//!         let document = r##"{
//!             "id": "did:web:example.com",
//!             "alsoKnownAs": ["at://alice.example.com"],
//!             "service": [{
//!                 "id": "#atproto_pds",
//!                 "type": "AtprotoPersonalDataServer",
//!                 "serviceEndpoint": "https://pds.example.com"
//!             }]
//!         }"##;
//!         Box::pin(async move { Ok(http::Response::new(document.into())) })
//!     }
//! }
//!
//! let typed = LoginInput::parse("@Alice.example.com", None, DevelopmentNames::Refused)?;
//! let LoginInput::Identity(name) = typed else { panic!("not an account") };
//! let options = ResolveOptions::new(plc::DEFAULT_DIRECTORY.parse()?);
//!
//! // The script never waits, so one poll will do; a server awaits this on its runtime.
//! let flow = pin!(resolve(&name, &options, &Scripted, &Scripted));
//! let Poll::Ready(identity) = flow.poll(&mut Context::from_waker(Waker::noop())) else { panic!() };
//! let identity = identity?;
//! assert_eq!(identity.did.as_str(), "did:web:example.com");
//! assert_eq!(identity.shown_handle(), "alice.example.com");
//! assert_eq!(identity.pds.as_str(), "https://pds.example.com");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Errors
//! Each type that is parsed has its own error, with a variant for each rule. A flow that fails says where: a handle
//! that leads nowhere ([`HandleError`], with the causes of both ways), a DID that leads nowhere ([`DidError`]), or two
//! that disagree ([`ResolveError::NotClaimed`]). What ran out of time says so by `is_timeout`.
//!
//! [`HttpClient`]: vestibule_oauth_core::HttpClient
//! [`TxtLookup`]: vestibule_oauth_core::TxtLookup

// Names.
mod at_identifier;
mod at_uri;
mod did;
mod handle;
mod login_input;
mod nsid;
mod server_origin;
mod text;

// Permissions.
mod permission;
mod permission_set;

// What is fetched, and how.
mod call;
mod did_key;
pub mod did_web;
mod document;
pub mod plc;
pub mod txt;
pub mod well_known;

// The flows.
pub mod discover;
mod resolve;

// With a network, and with a login.
#[cfg(any(feature = "login", feature = "net"))]
pub mod cache;
#[cfg(feature = "login")]
pub mod login;
#[cfg(feature = "net")]
pub mod net;

pub use at_identifier::{AtIdentifier, InvalidAtIdentifier};
pub use at_uri::{AtUri, InvalidAtUri};
pub use did::{Did, DidMethod, DidWebHost, InvalidDid, UnusableDid, UnusableDidWeb};
pub use did_key::{Curve, DidKey, InvalidDidKey};
pub use document::{
    DidDocument, DidDocumentError, InvalidDidDocument, InvalidPds, Service, VerificationMethod,
};
pub use handle::{DevelopmentNames, Handle, InvalidHandle, NeverResolves};
pub use login_input::{InvalidLoginInput, LoginInput};
pub use nsid::{InvalidNsid, Nsid};
pub use permission::{
    Account, AccountAction, AccountAttribute, Audience, Blob, GrantedPermissions, IdentityAttribute, Include,
    InvalidMediaRange, InvalidPermission, InvalidServiceRef, MediaRange, Names, Permission, Repo, RepoAction,
    Resource, Rpc, ServiceRef, Transition,
};
pub use permission_set::{InvalidPermissionSet, OtherSet, PermissionEntry, PermissionSet, SetAudience};
pub use resolve::{
    DidError, HandleError, Identity, NoTxt, NoWellKnown, ResolveError, ResolveOptions, resolve, resolve_did,
    resolve_handle,
};
pub use server_origin::{InvalidServerOrigin, ServerOrigin};
