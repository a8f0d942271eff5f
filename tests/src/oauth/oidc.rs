//! Another authorization server, of `tests/peers/oidc-provider`, with the roster's clients and somebody signed in.

use std::time::SystemTime;

use serde_json::{Value, json};
use tokio::sync::Mutex;
use url::Url;
use vestibule_oauth_core::{BoxFuture, UnixTime};
use vestibule_token_endpoint::{AuthMethod, ClientKind, GrantType, Pkce, TokenBinding};

use super::ask::Ask;
use super::ground::{Arrived, At, Ground};
use super::reply::Reply;
use super::roster;
use crate::browser::{Answer, Browser};
use crate::talk::Talk;

/// A running oidc-provider. It is ended with this value.
#[derive(Debug)]
pub struct OidcProvider {
    metadata: Value,
    browser: Mutex<Browser>,
    _talk: Talk,
}

/// A person goes over so many redirects of a server, and no more.
const REDIRECTS: usize = 8;

impl OidcProvider {
    /// Starts it.
    ///
    /// # Panics
    /// When it is not installed, or does not start.
    pub async fn start() -> Self {
        let mut talk = Talk::start("oidc-provider", "server.mjs");
        let clients: Vec<Value> = roster::clients().iter().map(client).collect();
        let resources = [roster::API, roster::API_B];
        talk.say(&json!({ "clients": clients, "resources": resources, "account": super::lab::ALICE })).await;
        let metadata = talk.hear().await;
        Self { metadata, browser: Mutex::new(Browser::new()), _talk: talk }
    }

    async fn answer(&self, ask: Ask) -> Reply {
        reply(&Browser::new().send(ask.into_request()).await)
    }

    async fn arrive(&self, query: String) -> Arrived {
        let mut browser = self.browser.lock().await;
        let mut url =
            format!("{}?{query}", self.metadata["authorization_endpoint"].as_str().unwrap_or_default());
        for _ in 0..REDIRECTS {
            let answer = browser.get(&url, &[]).await;
            if !(300..400).contains(&answer.status()) {
                return Arrived::Page(reply(&answer));
            }
            let base: Url = url.parse().expect("a URL");
            let next = base.join(&answer.location()).expect("a URL");
            if next.origin() != base.origin() {
                return Arrived::Back(next);
            }
            url = next.into();
        }
        panic!("it sends people round in circles: {url}")
    }
}

fn reply(answer: &Answer) -> Reply {
    let mut response = http::Response::new(answer.body().clone());
    *response.status_mut() = answer.status().try_into().expect("a status code");
    *response.headers_mut() = answer.headers().clone();
    response.into()
}

/// A client of the roster, in words that are neither ours nor theirs.
fn client(client: &vestibule_token_endpoint::Client) -> Value {
    let id = client.id.as_str();
    let method = match (client.kind, client.keys.entries().is_empty()) {
        (_, false) => AuthMethod::PrivateKeyJwt,
        (ClientKind::Public, _) if client.secrets.is_empty() => AuthMethod::None,
        _ if client.auth_methods == [AuthMethod::ClientSecretPost].into() => AuthMethod::ClientSecretPost,
        _ => AuthMethod::ClientSecretBasic,
    };
    let jwks: Option<Value> = match id {
        "signed" => serde_json::from_str(&roster::SIGNED_KEY.jwks()).ok(),
        "signed-too" => serde_json::from_str(&roster::SIGNED_TOO_KEY.jwks()).ok(),
        _ => None,
    };
    json!({
        "id": id,
        "name": client.name,
        "secret": (!client.secrets.is_empty()).then(|| roster::secret(id)),
        "method": method.as_str(),
        "jwks": jwks,
        "redirect_uris": client.redirect_uris.iter().map(|uri| uri.as_str()).collect::<Vec<_>>(),
        "grants": client.grant_types.iter().map(GrantType::as_str).collect::<Vec<_>>(),
        "scope": client.scope,
        "no_pkce": client.pkce == Pkce::DangerExempt,
        "dpop_bound": client.binding == TokenBinding::Required,
    })
}

impl Ground for OidcProvider {
    fn issuer(&self) -> String {
        self.metadata["issuer"].as_str().expect("an issuer").to_owned()
    }

    fn url(&self, at: At) -> String {
        let name = match at {
            At::Token => "token_endpoint",
            At::Par => "pushed_authorization_request_endpoint",
            At::Revoke => "revocation_endpoint",
            At::Introspect => "introspection_endpoint",
            At::Device => "device_authorization_endpoint",
        };
        self.metadata[name].as_str().unwrap_or_else(|| panic!("no {name}")).to_owned()
    }

    fn now(&self) -> UnixTime {
        SystemTime::now().into()
    }

    fn exchange(&self, ask: Ask) -> BoxFuture<'_, Reply> {
        Box::pin(self.answer(ask))
    }

    fn authorize(&self, query: String) -> BoxFuture<'_, Arrived> {
        Box::pin(self.arrive(query))
    }
}
