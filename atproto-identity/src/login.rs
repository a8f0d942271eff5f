//! Sign-in with an AT Protocol handle, and the sessions it yields (feature `login`).
//!
//! [`AtprotoStrategy`] is the login, as a strategy that the engine of `vestibule-strategy` runs. It needs an
//! [`AtprotoClient`] (who the application is), a [`Directory`] (who is who) and [`Sessions`] (what a login leaves behind,
//! kept behind the port [`SessionStore`]).
//!
//! A session is used through [`Sessions::ready`], which refreshes its tokens when that is due, and
//! [`ReadySession::authorization`], which signs one request to the person's server. It ends by [`Sessions::end`].

mod client;
mod directory;
mod fault;
mod revocation;
mod session;
mod sessions;
mod strategy;
mod tokens;

pub use client::{AtprotoClient, ClientDisplay, InvalidClient};
pub use directory::Directory;
pub use revocation::Ended;
pub use session::{
    ClientKey, InvalidSessionId, InvalidSessionRecord, Replaced, SessionId, SessionKey, SessionRecord,
    SessionStore,
};
pub use sessions::{ReadySession, ResourceAnswer, SessionError, Sessions};
pub use strategy::{AtprotoStrategy, session_of};
