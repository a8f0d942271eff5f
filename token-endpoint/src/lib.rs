//! The server half of OAuth 2.1, as pure functions over plain values: token, authorization, pushed authorization, introspection,
//! revocation and device requests come in as [`http::Request`]s and go out as [`http::Response`]s. There is no socket, no clock, no
//! random source and no database here: a host passes the octets, the time and an [`Entropy`], and implements two traits,
//! [`Clients`] and [`Store`].
//!
//! A token endpoint in a server of one's own, over a store of one's own, whole:
//!
//! ```
//! use std::{collections::BTreeMap, error::Error, sync::Arc, sync::Mutex, time::SystemTime};
//! use http_body_util::{BodyExt, Full, Limited};
//! use hyper::{Request, Response, body::Bytes, body::Incoming, server::conn::http1, service::service_fn};
//! use hyper_util::rt::TokioIo;
//! use vestibule_oauth_core::{BoxFuture, Secret, StoreUnavailable};
//! use vestibule_token_endpoint::{self as oauth, AccessToken, Client, GrantType, TokenFormat, TokenHash, TokenPut};
//! struct Mine(Mutex<BTreeMap<TokenHash, Arc<AccessToken>>>);
//! impl oauth::Store for Mine {
//!     fn put_access_token<'a>(&'a self, new: Arc<AccessToken>) -> BoxFuture<'a, Result<TokenPut, StoreUnavailable>> {
//!         self.0.lock().unwrap().insert(new.hash, new);
//!         Box::pin(async { Ok(TokenPut::Kept) })
//!     }
//! }
//! type Failure = Box<dyn Error + Send + Sync>;
//! type Server = (oauth::Endpoint, BTreeMap<String, Arc<Client>>, Mine);
//! async fn token(request: Request<Incoming>, server: Arc<Server>) -> Result<Response<Full<Bytes>>, Failure> {
//!     let ((head, body), (endpoint, clients, store)) = (request.into_parts(), &*server);
//!     let body = Limited::new(body, oauth::ClientRequest::MAX_OCTETS).collect().await?.to_bytes();
//!     let (request, entropy) = (Request::from_parts(head, body), oauth::Entropy::new(rand::random()));
//!     let ports = oauth::Ports { clients, store };
//!     let answer = endpoint.token(&request, &entropy, SystemTime::now().into(), ports).await;
//!     Ok(answer.response.map(Full::new))
//! }
//! #[tokio::main]
//! async fn main() -> Result<(), Failure> {
//!     let urls = oauth::EndpointUrls::new("https://login.example.com/token".parse()?);
//!     let setup = oauth::EndpointSetup::new("https://login.example.com".parse()?, urls);
//!     let keys = oauth::EndpointKeys::for_opaque_tokens(Secret::new(rand::random()));
//!     let mut job = Client::new("nightly-job".parse()?, oauth::ClientKind::Confidential);
//!     job.secrets = vec![oauth::ClientSecret::new(oauth::SecretHash::plain("what new_client_secret gave"))];
//!     (job.grant_types, job.token_format) = ([GrantType::CLIENT_CREDENTIALS].into(), TokenFormat::Opaque);
//!     let clients = BTreeMap::from([(job.id.to_string(), Arc::new(job))]);
//!     let server = Arc::new((oauth::Endpoint::new(setup, keys)?, clients, Mine(Mutex::default())));
//!     let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//! #   let asking = tokio::spawn(ask(listener.local_addr()?));
//!     loop {
//!         let ((stream, _), server) = (listener.accept().await?, server.clone());
//!         let answer = service_fn(move |request| token(request, server.clone()));
//!         tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), answer));
//! #       break;
//!     }
//! #   let (answer, again) = asking.await??;
//! #   assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.contains("\"access_token\":\"vat_"), "{answer}");
//! #   assert!(again.contains("invalid_client"), "{again}");
//! #   Ok(())
//! }
//! # async fn ask(server: std::net::SocketAddr) -> Result<(String, String), Failure> {
//! #     use tokio::io::{AsyncReadExt, AsyncWriteExt};
//! #     let mut stream = tokio::net::TcpStream::connect(server).await?;
//! #     let form = "grant_type=client_credentials&client_id=nightly-job&client_secret=";
//! #     let request = |secret: &str, connection: &str| format!(
//! #         "POST /token HTTP/1.1\r\nhost: x\r\nconnection: {connection}\r\ncontent-type: application/x-www-form-urlencoded\r\n\
//! #          content-length: {}\r\n\r\n{form}{secret}", form.len() + secret.len());
//! #     stream.write_all(request("what+new_client_secret+gave", "keep-alive").as_bytes()).await?;
//! #     stream.write_all(request("something+else", "close").as_bytes()).await?;
//! #     let mut answers = String::new();
//! #     stream.read_to_string(&mut answers).await?;
//! #     let second = answers[1..].find("HTTP/1.1").unwrap() + 1;
//! #     Ok((answers[..second].to_owned(), answers[second..].to_owned()))
//! # }
//! ```
//!
//! # The steps
//!
//! Every endpoint is a method of [`Endpoint`] that strings the same steps together, each of which is a synchronous function that
//! can be called, tested and fuzzed alone:
//!
//! 1. **parse**: [`ClientRequest::parse`] reads the body, the credentials and the proof, in a shape that can mean one thing only.
//! 2. **authenticate**: [`ClientRequest::authenticate`] holds them against the [`Client`], and gives a [`Caller`].
//! 3. **decide**: [`TokenRequest::read`] says which grant is asked for, and the `decide` of that grant holds the request against
//!    what the store has: [`CodeRequest`], [`RefreshRequest`], [`ClientCredentialsRequest`], [`DeviceRequest`].
//! 4. **one atomic act** of the [`Store`], such as [`Store::redeem_code`]: the only step that can change anything, with an outcome
//!    for whoever came second.
//! 5. **conclude**: the outcome becomes a [`Conclusion`]: tokens, a [`Denial`], or the end of a grant.
//!
//! What step 3 reads is only ever a reason to deny. So of a hundred requests at once with one code one gets tokens, whatever
//! the others had read; a client that tries with a wrong secret, a wrong verifier or a stale nonce has spent nothing; and a store
//! that fails leaves every code and token as good as it was.
//!
//! # Endpoints
//!
//! | endpoint | method | specification |
//! | --- | --- | --- |
//! | token | [`Endpoint::token`] | RFC 6749, OAuth 2.1; DPoP RFC 9449, resources RFC 8707, `at+jwt` RFC 9068 |
//! | authorization | [`Endpoint::read_authorization`], then the host's pages, then [`Endpoint::issue_code`] or [`Endpoint::refuse`] | RFC 6749, PKCE RFC 7636, `iss` RFC 9207 |
//! | pushed authorization | [`Endpoint::push`] | RFC 9126 |
//! | device authorization | [`Endpoint::authorize_device`], and [`Endpoint::decide_device`] for the page | RFC 8628 |
//! | introspection | [`Endpoint::introspect`] | RFC 7662 |
//! | revocation | [`Endpoint::revoke`] | RFC 7009 |
//! | metadata, keys | [`Endpoint::metadata`], [`Endpoint::jwks`] | RFC 8414, RFC 7517 |
//!
//! Which rules hold is one value, a [`Profile`]: OAuth 2.1, FAPI 2.0, the AT Protocol's, or what RFC 6749 allowed. Grants of
//! one's own are [`ExtensionGrant`]s; [`TokenExchange`] and [`JwtBearer`] are two.
//!
//! # Errors
//!
//! What goes wrong is a [`Denial`]. [`Denial::row`] has its status, its error code, what the client is told, and the section that
//! says so; the text of the denial itself is for a log, and tells more. Each also comes as an [`Event`] in [`Answer::events`], so
//! that "why was I signed out?" has an answer. Neither holds a code, a token, a secret or a verifier.
//!
//! # Not here
//!
//! Pages, sessions and the question who the person is (the host's; `vestibule-server-hyper` has them), limits on how often
//! somebody may ask (likewise), a store (`vestibule-storage` has one in memory and one in SQLite, and a suite for any other), ID
//! tokens, dynamic registration, and the implicit and password grants, which OAuth 2.1 has no more. There are no features.

mod access_token;
mod answer;
mod assertion;
mod authorization;
mod caller;
mod client;
mod client_credentials;
mod client_record;
mod client_request;
mod client_secret;
mod code_grant;
mod denial;
mod device;
mod device_grant;
mod endpoint;
mod event;
mod extension;
mod grant;
mod grant_type;
mod issue;
mod jwt_bearer;
mod profile;
mod refresh_grant;
mod store;
mod successor;
mod target;
mod token;
mod token_exchange;
mod token_request;

pub use access_token::{AccessToken, TokenFacts, TokenKey};
pub use answer::{Answer, preflight};
pub use authorization::{
    AuthorizationError, AuthorizationRequest, InvalidPrompt, Prompt, RedirectUriSent, ReturnAddress,
};
pub use caller::{Caller, OneTime, OneTimeKind};
pub use client::{
    AssertionAudience, AuthMethod, Client, ClientKind, ClientState, Lifetimes, Pkce, Pushing,
    RedirectUriAtToken, TokenBinding, TokenFormat, TrustedIssuer, UnknownAuthMethod,
};
pub use client_credentials::ClientCredentialsRequest;
pub use client_record::InvalidClientRecord;
pub use client_request::ClientRequest;
pub use client_secret::{
    ClientSecret, InvalidSecretHash, Pepper, SecretHash, new_client_id, new_client_secret,
};
pub use code_grant::{CodeDecision, CodeRequest, RedeemCode};
pub use denial::{AssertionFault, Denial, Reuse, Row};
pub use device::{Device, DeviceState, InvalidUserCode, SLOW_DOWN, UserCode};
pub use device_grant::{DeviceDecisionStep, DeviceRequest, RedeemDevice, polled};
pub use endpoint::{
    Authorization, Consent, Endpoint, EndpointKeys, EndpointSetup, EndpointUrls, InvalidSetup, Redirect,
};
pub use event::{Event, EventKind};
pub use extension::{Approved, Exchange, ExtensionGrant};
pub use grant::{EndReason, Grant, GrantId, InvalidGrantId, RefreshToken};
pub use grant_type::{GrantType, InvalidGrantType};
pub use issue::{Conclusion, Deciding, Entropy, Issued};
pub use jwt_bearer::JwtBearer;
pub use profile::Profile;
pub use refresh_grant::{RefreshDecision, RefreshRequest, Rotate};
pub use store::{
    Clients, Code, CodeIssued, Decided, DeviceBegun, DeviceDecision, Issuance, Once, Polled, Ports,
    PushedRequest, Redeemed, Replaced, Revoked, Rotated, Rotation, Store, StoredCode, StoredDevice,
    StoredGrant, StoredRefreshToken, TokenPut,
};
pub use successor::SealedSuccessor;
pub use token::{OpaqueToken, TokenHash, TokenKind};
pub use token_exchange::TokenExchange;
pub use token_request::TokenRequest;
