//! The `vestibule` server, and the login routes it mounts, for mounting elsewhere.
//!
//! [`LoginService`] is a service for hyper, tower and axum: it answers `/login`, `/callback`, `/client-metadata.json`,
//! `/jwks.json` and `/auth/{provider}` below any prefix, with your stores, and asks hooks of yours what to answer when somebody signed in or
//! a login failed. The binary mounts that same service and adds pages, a session cookie and `/xrpc`.
//!
//! Mounted in axum it is the example `axum` of this crate. The binary's routes and flags are described in the README of
//! the project.

mod ambient;
mod arrival;
mod app;
mod authorize;
mod body;
mod buckets;
mod carried_out;
mod clients;
mod connections;
mod device;
mod form;
mod hall;
mod identities;
mod login;
mod oauth;
mod outgoing;
mod pages;
mod profile;
mod providers;
mod respond;
mod starts;
mod web;
mod xrpc;

pub use app::{App, AppSetup};
pub use body::{Body, BodyError};
pub use buckets::ClientAddress;
pub use login::{FailedLogin, FinishedLogin, LoginHooks, LoginParts, LoginService, LoginSetup, SetupError};
pub use oauth::{OauthParts, OauthService, OauthSetup, OauthSetupError};
pub use providers::SignInWith;
pub use respond::{failure_answer, wants_page};
