//! The client half of a login, as plain values: signing in with somebody else's server, in two phases.
//!
//! In the request phase a person is sent to their provider; in the callback phase they come back, and the application
//! learns who they are. A [`Strategy`] is what one kind of provider needs for that. The [`Engine`] runs any of them, and
//! owns what no strategy may get wrong: `state`, PKCE, the OpenID Connect nonce, the cookie of the flow, its age, the
//! provider it belongs to, the callback's `iss`, and whether the returning browser is the one that left.
//!
//! A whole login, with a provider made up for it:
//!
//! ```
//! use std::sync::Arc;
//!
//! use http::{HeaderMap, Method};
//! use url::Url;
//! use vestibule_oauth_core::{BoxFuture, HttpClient, Seed, UnixTime, seal::SealKeys};
//! use vestibule_strategy::{
//!     Auth, Begin, Begun, CallbackCx, Engine, Fault, FlowKeeping, Incoming, Intent, IssuerPolicy, Provider, ProviderId,
//!     RequestCx, ResponseMode, Stash, Strategy,
//! };
//!
//! /// A provider whose codes are people's names.
//! struct Toy;
//!
//! impl Strategy for Toy {
//!     fn kind(&self) -> &'static str {
//!         "toy"
//!     }
//!
//!     fn issuer(&self, _: &Stash) -> IssuerPolicy {
//!         IssuerPolicy::Exact("https://sso.example".to_owned())
//!     }
//!
//!     fn request<'a>(&'a self, cx: RequestCx<'a>, _: &'a dyn HttpClient) -> BoxFuture<'a, Result<Begin, Fault>> {
//!         Box::pin(async move {
//!             let mut to = Url::parse("https://sso.example/authorize").unwrap();
//!             to.query_pairs_mut().append_pair("state", cx.state).append_pair("code_challenge", cx.pkce.as_str());
//!             Ok(Begin::Redirect { to, stash: Stash::empty(), mode: ResponseMode::Query })
//!         })
//!     }
//!
//!     fn callback<'a>(&'a self, cx: CallbackCx<'a>, _: &'a dyn HttpClient) -> BoxFuture<'a, Result<Auth, Fault>> {
//!         Box::pin(async move { Ok(Auth::new(cx.code()?.expose().clone(), cx.provider.clone(), self.kind())) })
//!     }
//! }
//!
//! # struct Offline;
//! # impl HttpClient for Offline {
//! #     fn send<'a>(
//! #         &'a self,
//! #         _: vestibule_oauth_core::HttpCall,
//! #     ) -> BoxFuture<'a, Result<http::Response<bytes::Bytes>, vestibule_oauth_core::HttpError>> {
//! #         unreachable!("the toy asks nobody")
//! #     }
//! # }
//! # fn run<T>(future: impl Future<Output = T>) -> T {
//! #     let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
//! #     match std::pin::pin!(future).poll(&mut cx) {
//! #         std::task::Poll::Ready(output) => output,
//! #         std::task::Poll::Pending => panic!("nothing here waits"),
//! #     }
//! # }
//! # run(async {
//! # let network = Offline;
//! let site = Url::parse("https://app.example")?;
//! let sso: ProviderId = "sso".parse()?;
//! let keys = SealKeys::new([7; 32], []); // the application's secret
//! let engine = Engine::builder(site, &keys, FlowKeeping::Cookie)
//!     .provider(Provider::new(sso.clone(), Arc::new(Toy)))
//!     .build()?;
//! assert_eq!(engine.redirect_uri(&sso).unwrap().as_str(), "https://app.example/auth/sso/callback");
//! let now = UnixTime::from_secs(1_700_000_000);
//!
//! // GET /auth/sso?return_to=/inbox
//! let mut headers = HeaderMap::new();
//! let asked = Incoming::new(&Method::GET, &headers, b"return_to=/inbox");
//! let seed = Seed::from_entropy([1; 32]); // draw fresh octets, for each phase
//! let begun = engine.begin(&sso, asked, Intent::SignIn, seed, now, &network).await?;
//! let Begun::Redirect { to, set_cookies } = begun else { panic!("the toy has no page of its own") };
//!
//! // The browser keeps the cookie, the person signs in, and the provider sends them back.
//! let cookie = set_cookies[0].to_str()?.split(';').next().unwrap();
//! headers.insert("cookie", cookie.parse()?);
//! let (_, state) = to.query_pairs().find(|(name, _)| name == "state").unwrap();
//! let query = format!("state={state}&iss=https%3A%2F%2Fsso.example&code=ada");
//!
//! // GET /auth/sso/callback
//! let returned = Incoming::new(&Method::GET, &headers, query.as_bytes());
//! let finished = engine.finish(&sso, returned, Seed::from_entropy([2; 32]), now, &network).await;
//! assert_eq!(finished.outcome?.uid, "ada");
//! assert_eq!(finished.flow.unwrap().return_to.unwrap().as_str(), "/inbox");
//!
//! // A link sent to somebody else finds no cookie in their browser.
//! let elsewhere = HeaderMap::new();
//! let returned = Incoming::new(&Method::GET, &elsewhere, query.as_bytes());
//! let finished = engine.finish(&sso, returned, Seed::from_entropy([3; 32]), now, &network).await;
//! assert_eq!(finished.outcome.unwrap_err().kind().code(), "csrf_attack");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```
//!
//! What a strategy of OAuth needs on its own way is here as well, each as a pair of pure functions: a pushed request
//! ([`PushRequest`], [`Pushed`]), the exchange of a code or a refresh token and giving tokens back ([`token`]), all of them
//! sent by a [`Backchannel`], which adds the client's authentication and the DPoP proof and follows one wish for a nonce.
//!
//! # Coming from Ueberauth
//!
//! | Ueberauth | here |
//! | --- | --- |
//! | the plug in a pipeline, a controller that matches on `assigns` | `mount::AuthLayer` and `mount::AuthOutcome` (feature `tower`); `mount::AuthService` where the login is to answer by itself (features `hyper`, `tower`) |
//! | `plug Ueberauth`, `providers` | [`Engine::builder`], [`EngineBuilder::provider`]: at run time and not when the application is compiled; the same strategy any number of times |
//! | `{module, opts}` | a value: `OAuth2::new(setup)`. Options are its fields, with types |
//! | `base_path`, `request_path`, `callback_path`, `callback_methods` | [`EngineBuilder::base_path`], [`Provider::with_request_path`], [`Provider::with_callback_path`], [`Provider::with_callback_methods`]; the request phase takes POST as well, and [`Provider::with_request_methods`] leaves it that alone |
//! | the route table of the plug | [`Engine::route`], a pure function of method and path; what is not ours is [`Routed::Elsewhere`] |
//! | `callback_url`, `callback_scheme`, `callback_port`, `request_scheme`, `request_port` | the address of the site, and [`Provider::with_redirect_uri`]. No URL is ever made from `Host` or `X-Forwarded-*` |
//! | `callback_params` | [`Strategy::allowed_params`] for what goes to the provider; what the application needs again is `return_to` |
//! | `ignores_csrf_attack` | [`CsrfGuard::SameOriginPost`]: a form of this site is told from another's, instead of taking either |
//! | `state_param_cookie_same_site` | `Lax`; stricter by [`Provider::with_strict_cookie`]; `None` only for the one flow that ends by a form ([`ResponseMode::FormPost`]) |
//! | `run_request/4`, `run_callback/4` | [`Engine::begin`], [`Engine::finish`]; an engine for one tenant is made in microseconds |
//! | `handle_request!` | [`Strategy::request`], which may ask the network |
//! | `handle_callback!`, `uid`, `info`, `credentials`, `extra` | [`Strategy::callback`], which gives the whole [`Auth`] or a [`Fault`] |
//! | `handle_cleanup!` | the engine's: a flow is over, and its cookie gone, whatever came of it |
//! | `redirect!` | [`Begin::Redirect`], answered with 303 |
//! | a request phase that returns the connection | [`Begin::PassThrough`] |
//! | `conn.assigns.ueberauth_auth`, `ueberauth_failure` | [`Finished::outcome`] |
//! | `Auth`: `uid provider strategy info credentials extra` | [`Auth`], with the `issuer` besides |
//! | `Auth.valid?` | [`Auth::is_valid`] |
//! | `Info`: all twelve fields | [`Info`], with `email_verified` besides |
//! | `Credentials`: `token refresh_token token_type secret expires expires_at scopes other` | [`Credentials`]; `expires` is [`Credentials::expires`]; no part is shown by `Debug` |
//! | `Extra.raw_info` | [`Extra::raw`], which never holds a password |
//! | `Failure.errors`, `message_key`, `message` | [`Failure::errors`]; the first of them is the failure itself: [`FailureKind::code`], [`Failure::for_person`], [`Failure::detail`], and a status |
//! | `set_errors!`, `error` | [`Fault::new`], [`Fault::with_hint`], [`Fault::and`] |
//! | `with_state_param`, `add_state_param` | nothing to remember: `state`, PKCE, `nonce` and `iss` are the engine's |
//! | the cookie `ueberauth.state_param` | one sealed cookie for each flow, bound to its provider, with an end |
//! | `options`, `default_options` | the fields of a setup, and what its `new` puts there |
//! | `strategy_name`, `strategy`, `request_path`, `callback_path`, `callback_url`, `request_url` helpers | [`RequestCx`], [`CallbackCx`]; [`Engine::request_path`], [`Engine::redirect_uri`] |
//! | `Ueberauth.Strategy.Identity` | [`Identity`]: fields and nesting are [`IdentityForm`]'s, blank fields are none, and the password goes to a [`CredentialsVerifier`] and nowhere else |
//! | `ueberauth_github` | [`GitHub`]; the account is the id, a scope in the link is not taken, an address counts if it is verified |
//! | `ueberauth_apple` | [`Apple`]; the client secret is signed afresh for every request, and the name in the form, which nobody signed, is no more than a name |
//! | `ueberauth_microsoft` | [`OpenIdSetup::microsoft`]; the tenant of the token has to be the tenant of its issuer, and no e-mail address counts as verified |
//! | `ueberauth_google` | [`OpenIdSetup::google`]; the ID token is verified; `hd` is a claim that may be required |
//!
//! # Testing
//!
//! With the feature `test-kit` there is a module `testing`: a provider in memory, a scripted network, a strategy that does what a test
//! says, and `testing::conformance`, which plays whole logins and every hostile case against a strategy of one's own and says which
//! rule it breaks first.
//!
//! # What is not here
//!
//! Sending requests, reading a clock, drawing randomness: the network is a port, time and entropy are arguments, and whoever mounts an
//! engine (features `hyper` and `tower`, module `mount`) brings a clock and a random source. Pages are the application's, and so is the session that follows a sign-in: give it a new id, whatever the browser had
//! before. The AT Protocol's strategy is in `vestibule-atproto-identity`; [`OAuth2`], [`OpenId`] (with Google and
//! Microsoft), [`Apple`], [`GitHub`] and [`Identity`] are here.
//!
//! # Errors
//!
//! One type for every provider: a [`Failure`] says in which [`Phase`] which rule was broken. Its [`FailureKind`] has a
//! stable code, an HTTP status and a sentence for the person; there too is the table for who comes from Atex.

mod provider_id;
mod failure;
mod auth;
mod strategy;
mod return_to;
mod same_origin;
pub mod cookie;
mod callback;
mod flow_store;
mod pending;
mod provider;
mod routes;
mod builder;
mod engine;
mod client_auth;
mod clock_skew;
mod backchannel;
mod push;
pub mod token;
mod user_fields;
mod oauth2;
mod github;
mod identity;
mod id_token;
mod tenants;
mod openid;
mod apple;
mod microsoft;
#[cfg(any(feature = "hyper", feature = "tower"))]
pub mod mount;
#[cfg(feature = "test-kit")]
pub mod testing;

pub use apple::{Apple, AppleKey};
pub use auth::{Auth, Credentials, Extra, Info};
pub use backchannel::{Backchannel, Form, PostError};
pub use builder::{BuildError, EngineBuilder};
pub use callback::Callback;
pub use client_auth::{ASSERTION_TYPE, AssertionKey, ClientAuth, SignedSecret};
pub use clock_skew::ClockSkew;
pub use engine::{Begun, Engine, Finished, FlowKeeping, Incoming};
pub use failure::{CsrfCause, Failure, FailureKind, Fault, Phase, TransportFault};
pub use flow_store::{FlowKey, FlowStore, StoredFlow, TakenFlow};
pub use github::GitHub;
pub use id_token::{IdToken, IdTokenRules, InvalidIdToken};
pub use identity::{CredentialsVerifier, Identity, IdentityForm, SubmittedCredentials, VerifiedAccount};
pub use microsoft::{InvalidMicrosoftTenant, MicrosoftTenant};
pub use oauth2::{OAuth2, OAuth2Setup};
pub use openid::{OpenId, OpenIdSetup};
pub use pending::{CodeGrant, FlowInfo, Intent, Pending};
pub use provider::Provider;
pub use provider_id::{InvalidProviderId, ProviderId};
pub use push::{PushError, PushRequest, Pushed};
pub use return_to::{InvalidReturnTo, ReturnTo};
pub use routes::Routed;
pub use same_origin::{Provenance, is_navigation};
pub use strategy::{Begin, CallbackCx, CsrfGuard, IssuerPolicy, RequestCx, ResponseMode, Stash, Strategy};
pub use tenants::Tenants;
pub use token::{TokenAnswer, TokenError, TokenHint};
pub use user_fields::{UserField, UserFields};
