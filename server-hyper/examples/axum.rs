//! The login in an axum server: open <http://127.0.0.1:3000/auth/login?handle=your.handle>.
use std::sync::Arc;

use axum::Router;
use bytes::Bytes;
use http::{Response, request::Parts};
use vestibule_atproto_identity::net::{Network, NetworkConfig};
use vestibule_oauth_core::{BoxFuture, UnixTime};
use vestibule_server_hyper::{FailedLogin, FinishedLogin, LoginHooks, LoginParts, LoginService, LoginSetup};
use vestibule_storage::{MasterSecret, StoreUrl};

struct Hooks;

impl LoginHooks for Hooks {
    fn signed_in<'a>(&'a self, login: FinishedLogin, _: &'a Parts) -> BoxFuture<'a, Response<Bytes>> {
        Box::pin(async move { Response::new(format!("signed in: {}", login.auth.uid).into()) })
    }
    fn failed<'a>(&'a self, login: FailedLogin, _: &'a Parts) -> BoxFuture<'a, Response<Bytes>> {
        Box::pin(async move { vestibule_server_hyper::failure_answer(&login.failure) })
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let base = "http://127.0.0.1:3000/auth/".parse()?;
    let mut entropy = [0; 32];
    getrandom::fill(&mut entropy)?;
    let (master, _text_to_keep) = MasterSecret::generate(entropy);
    let store = vestibule_storage::open(&StoreUrl::Memory, &master, UnixTime::from_secs(0)).await?;
    let network = Arc::new(Network::new(NetworkConfig::default())?);
    let setup = LoginSetup::new(base, "https://plc.directory".parse()?, "atproto".parse()?);
    let (flows, sessions, seal_keys) =
        (store.flows, store.sessions, store.ring.seal_keys(UnixTime::from_secs(0)));
    let parts = LoginParts {
        flows,
        sessions,
        seal_keys,
        client_keys: vec![],
        http: network.clone(),
        dns: network,
        providers: vec![],
    };
    let login = LoginService::new(setup, parts, Arc::new(Hooks))?;
    let app = Router::new().nest_service("/auth", login);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    Ok(axum::serve(listener, app).await?)
}
