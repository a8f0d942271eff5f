//! Sign-in with an AT Protocol handle, and the sessions it yields (feature `login`).
//!
//! [`AtprotoStrategy`] is the login, as a strategy that the engine of `vestibule-strategy` runs. It needs an
//! [`AtprotoClient`] (who the application is), a [`Directory`] (who is who) and [`Sessions`] (what a login leaves behind,
//! kept behind the port [`SessionStore`]).
//!
//! ```
//! use std::sync::Arc;
//!
//! use http::{HeaderMap, Method};
//! use url::Url;
//! use vestibule_atproto_identity::login::{AtprotoClient, AtprotoStrategy, Directory, Sessions};
//! use vestibule_atproto_identity::{ResolveOptions, plc};
//! use vestibule_oauth_core::{Seed, UnixTime, seal::SealKeys};
//! use vestibule_strategy::{Engine, FlowKeeping, Incoming, Intent, Provider, ProviderId};
//! # use vestibule_atproto_identity::login::{Lease, Leased, Replaced, SessionKey, SessionRecord, SessionStore};
//! # use vestibule_oauth_core::{
//! #     BoxFuture, HttpCall, HttpClient, HttpError, HttpErrorKind, StoreUnavailable, Timer, TxtError,
//! #     TxtLookup, TxtRecord, UnixTime as Now,
//! # };
//! # struct Nothing;
//! # impl HttpClient for Nothing {
//! #     fn send<'a>(&'a self, _: HttpCall) -> BoxFuture<'a, Result<http::Response<bytes::Bytes>, HttpError>> {
//! #         Box::pin(async { Err(HttpError::new(HttpErrorKind::UnknownHost, "nobody is here")) })
//! #     }
//! # }
//! # impl TxtLookup for Nothing {
//! #     fn txt<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<Vec<TxtRecord>, TxtError>> {
//! #         Box::pin(async { Ok(Vec::new()) })
//! #     }
//! # }
//! # impl SessionStore for Nothing {
//! #     fn insert<'a>(&'a self, _: &'a SessionRecord) -> BoxFuture<'a, Result<(), StoreUnavailable>> {
//! #         Box::pin(async { Err(StoreUnavailable::new("nothing is kept")) })
//! #     }
//! #     fn load<'a>(
//! #         &'a self,
//! #         _: &'a SessionKey,
//! #     ) -> BoxFuture<'a, Result<Option<SessionRecord>, StoreUnavailable>> {
//! #         Box::pin(async { Ok(None) })
//! #     }
//! #     fn lease<'a>(
//! #         &'a self,
//! #         _: &'a SessionKey,
//! #         _: Now,
//! #     ) -> BoxFuture<'a, Result<Leased, StoreUnavailable>> {
//! #         Box::pin(async { Ok(Leased::Missing) })
//! #     }
//! #     fn release<'a>(&'a self, _: &'a Lease) -> BoxFuture<'a, Result<(), StoreUnavailable>> {
//! #         Box::pin(async { Ok(()) })
//! #     }
//! #     fn replace<'a>(&'a self, _: &'a SessionRecord) -> BoxFuture<'a, Result<Replaced, StoreUnavailable>> {
//! #         Box::pin(async { Ok(Replaced::Missing) })
//! #     }
//! #     fn remove<'a>(
//! #         &'a self,
//! #         _: &'a SessionKey,
//! #     ) -> BoxFuture<'a, Result<Option<SessionRecord>, StoreUnavailable>> {
//! #         Box::pin(async { Ok(None) })
//! #     }
//! # }
//! # impl Timer for Nothing {
//! #     fn pause(&self, _: std::time::Duration) -> BoxFuture<'_, ()> {
//! #         Box::pin(async {})
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
//! # let (network, store) = (Arc::new(Nothing), Arc::new(Nothing));
//!
//! let site = Url::parse("http://127.0.0.1:8080")?;
//! let callback = site.join("/callback")?;
//! let client = Arc::new(AtprotoClient::loopback(&callback, "atproto transition:generic".parse()?)?);
//! let options = ResolveOptions::new(plc::DEFAULT_DIRECTORY.parse()?);
//! let directory = Arc::new(Directory::new(options, network.clone())); // both ports: HTTP and TXT
//! let (sessions, timer) = (store, network.clone()); // where sessions are kept, and how to wait for another node
//! let sessions = Sessions::new(sessions, Arc::clone(&client), Arc::clone(&directory), timer);
//! let sessions = Arc::new(sessions);
//! let strategy = AtprotoStrategy::new(client, directory, Arc::clone(&sessions));
//!
//! let atproto: ProviderId = "atproto".parse()?;
//! let engine = Engine::builder(site, &SealKeys::new([7; 32], []), FlowKeeping::Cookie)
//!     .provider(Provider::new(atproto.clone(), Arc::new(strategy)).with_redirect_uri(callback))
//!     .build()?;
//!
//! // GET /auth/atproto?handle=alice.example.com, on a network where nobody has that name
//! let (headers, now) = (HeaderMap::new(), UnixTime::from_secs(1_700_000_000));
//! let typed = Incoming::new(&Method::GET, &headers, b"handle=alice.example.com");
//! let seed = Seed::from_entropy([1; 32]); // draw fresh octets
//! let failure = engine.begin(&atproto, typed, Intent::SignIn, seed, now, &*network).await.unwrap_err();
//! assert_eq!((failure.kind().code(), failure.kind().status().as_u16()), ("invalid_handle", 400));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```
//!
//! When the person comes back, the engine's `finish` gives an `Auth`, and [`session_of`] the key of the session behind it. A
//! session is used through [`Sessions::ready`], which refreshes its tokens when that is due, and
//! [`ReadySession::authorization`], which signs one request to the person's server. It ends by [`Sessions::end`].
//!
//! # What is made sure of
//!
//! The account is the one that was named (R77), or, where only a server was named, one that this server rules (R78); the
//! tokens are bound to the session's key and are for the AT Protocol (R76, R79); they are stored before anybody uses them.
//! Tokens that fail any of this are given back (R81).
//!
//! # What is not here
//!
//! Stores (`vestibule-storage` has some), routes and pages (`vestibule-server-hyper`), and a clock that refreshes sessions
//! nobody uses.

mod client;
mod directory;
mod fault;
mod live;
mod ready;
mod refresh;
mod revocation;
mod session;
mod sessions;
mod strategy;
mod tokens;

pub use client::{AtprotoClient, ClientDisplay, InvalidClient};
pub use directory::Directory;
pub use ready::{ReadySession, ResourceAnswer};
pub use revocation::Ended;
pub use session::{
    ClientKey, InvalidSessionId, InvalidSessionKey, InvalidSessionRecord, Lease, Leased, Replaced, SessionId,
    SessionKey, SessionRecord, SessionStore,
};
pub use sessions::{SessionError, Sessions};
pub use strategy::{AtprotoStrategy, session_of};
