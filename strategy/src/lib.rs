//! The client half of a login, as plain values.

mod provider;
mod failure;
mod auth;
mod strategy;
mod return_to;
mod same_origin;
pub mod cookie;
mod callback;
mod flow_store;
mod pending;
mod engine;
mod client_auth;
mod backchannel;
mod push;
pub mod token;

pub use auth::{Auth, Credentials, Extra, Info};
pub use backchannel::{Backchannel, Form, PostError};
pub use callback::Callback;
pub use client_auth::{ASSERTION_TYPE, AssertionKey, ClientAuth};
pub use engine::{Begun, DuplicateProvider, Engine, Finished, FlowKeeping, Incoming};
pub use failure::{CsrfCause, Failure, FailureKind, Fault, Phase, TransportFault};
pub use flow_store::{FlowKey, FlowStore, StoredFlow, TakenFlow};
pub use pending::{CodeGrant, FlowInfo, Intent, Pending};
pub use provider::{InvalidProviderId, ProviderId};
pub use push::{PushError, PushRequest, Pushed};
pub use return_to::{InvalidReturnTo, ReturnTo};
pub use same_origin::{Provenance, is_navigation};
pub use strategy::{Begin, CallbackCx, CsrfGuard, IssuerPolicy, RequestCx, ResponseMode, Stash, Strategy};
pub use token::{TokenAnswer, TokenError, TokenHint};
