//! What the token endpoint issues: each act with many that try it at once.

mod codes;
mod devices;
mod refresh;
mod tokens;

use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use vestibule_oauth_core::{Seed, StoreUnavailable, UnixTime};
use vestibule_token_endpoint::{
    AccessToken, Code, Device, Grant, GrantId, Issuance, OpaqueToken, RefreshToken, Store, TokenHash,
    TokenKind,
};

use super::{Broken, NOW};

pub use codes::codes;
pub use devices::devices;
pub use refresh::{busy_grant, refresh_tokens};
pub use tokens::access_tokens;

/// How many try one act at once.
const RACERS: usize = 100;

/// How many seconds a grant lasts here.
const LIFE: u64 = 10_000;

fn later(secs: u64) -> UnixTime {
    NOW.after(Duration::from_secs(secs))
}

/// Names and records for one run, all derived from its entropy, so that a store that is in use already may be given.
#[derive(Debug)]
pub(super) struct Names(Seed);

impl Names {
    pub(super) const fn new(seed: Seed) -> Self {
        Self(seed)
    }

    fn hash(&self, name: &str) -> TokenHash {
        TokenHash::from_octets(self.0.derive(name))
    }

    fn id(&self, name: &str) -> GrantId {
        GrantId::from_entropy(self.0.derive_id(name))
    }

    fn subject(&self, name: &str) -> String {
        format!("did:example:{:?}", self.hash(name))
    }

    /// A grant as it is in a code: it lasts as long as the code does.
    fn grant(&self, name: &str) -> Result<Grant, Broken> {
        record(json!({
            "id": self.id(name),
            "client": "an app",
            "subject": self.subject(name),
            "scope": "a b",
            "resources": ["https://api.example.com"],
            "auth_time": NOW,
            "context": format!("context of {name} {:?}", self.hash(name)),
            "created_at": NOW,
            "expires_at": later(60),
        }))
    }

    fn code(&self, name: &str) -> Result<Code, Broken> {
        record(json!({
            "hash": self.hash(name),
            "grant": self.grant(name)?,
            "redirect_uri": "https://app.example.com/callback?x=%C3%A9",
            "redirect_uri_sent": "sent",
            "challenge": "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
            "nonce": "n",
            "expires_at": later(60),
        }))
    }

    /// The same of another client.
    pub(super) fn code_of(&self, name: &str, client: &str) -> Result<Code, Broken> {
        let mut code = self.code(name)?;
        code.grant.client = client.parse().map_err(|error| Broken::new("a client's name is read", error))?;
        Ok(code)
    }

    fn refresh_token(&self, name: &str) -> OpaqueToken {
        OpaqueToken::from_entropy(TokenKind::Refresh, self.0.derive(name))
    }

    fn refresh(&self, name: &str, grant: &Grant) -> RefreshToken {
        RefreshToken::new(self.refresh_token(name).hash(), grant.id, NOW, later(1000))
    }

    fn access(&self, name: &str, grant: Option<&Grant>) -> Result<Arc<AccessToken>, Broken> {
        let token: AccessToken = record(json!({
            "hash": self.hash(name),
            "facts": {
                "grant": grant.map(|grant| grant.id),
                "client": "an app",
                "subject": "somebody",
                "scope": "a",
                "audience": ["https://api.example.com", "https://other.example.com"],
                "actors": ["one", "other"],
                "issued_at": NOW,
                "expires_at": later(600),
            },
        }))?;
        Ok(Arc::new(token))
    }

    fn device(&self, name: &str) -> Result<Device, Broken> {
        record(json!({
            "hash": self.hash(name),
            "user_code": self.hash(&format!("user code of {name}")),
            "client": "an app",
            "scope": "a b",
            "interval": { "secs": 5, "nanos": 0 },
            "issued_at": NOW,
            "expires_at": later(600),
        }))
    }
}

/// What begins a grant, as it is when it begins.
pub(super) fn issuance(grant: &Grant) -> Issuance {
    let mut grant = grant.clone();
    grant.expires_at = later(LIFE);
    Issuance { grant, refresh: None, access: None }
}

fn record<T: DeserializeOwned>(json: Value) -> Result<T, Broken> {
    serde_json::from_value(json).map_err(|error| Broken::new("a record is read", error))
}

/// Tries one act a hundred times at once.
async fn race<T>(
    rule: &'static str,
    start: impl Fn(usize) -> JoinHandle<Result<T, StoreUnavailable>>,
) -> Result<Vec<T>, Broken> {
    super::race_of(RACERS, rule, start).await
}

/// Holds a store of what the token endpoint issues to its contract: every act, each with a hundred that try it at once.
///
/// # Errors
/// [`Broken`]: the first rule that the store does not keep.
pub async fn issued(store: Arc<dyn Store>, entropy: [u8; 32]) -> Result<(), Broken> {
    let seed = Seed::from_entropy(entropy);
    codes(store.clone(), seed.derive("codes")).await?;
    refresh_tokens(store.clone(), seed.derive("refresh tokens")).await?;
    access_tokens(store.clone(), seed.derive("access tokens")).await?;
    devices(store, seed.derive("devices")).await
}
