//! What every store owes its ports, as functions that hold one to it.
//!
//! Each takes a store, plays through one port and says which rule was broken first. `entropy` makes the names of what is
//! put in: with fresh octets a store that is in use already may be given. They need a tokio runtime, and are worth more on
//! one with several threads.
//!
//! ```
//! # tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap().block_on(async {
//! use std::sync::Arc;
//! use vestibule_storage::{MemoryStore, conformance};
//!
//! conformance::flows(Arc::new(MemoryStore::new()), [7; 32]).await.unwrap();
//! # });
//! ```

mod accounts;
mod clients;
mod flows;
mod housekeeping;
mod issued;
mod key_ring;
mod leases;
mod sessions;
mod web_sessions;

use std::fmt;
use std::time::Duration;

use serde_json::json;
use thiserror::Error;
use tokio::task::JoinHandle;
use vestibule_atproto_identity::login::{SessionId, SessionKey, SessionRecord};
use vestibule_oauth_core::{Seed, StoreUnavailable, UnixTime, base64url};
use vestibule_strategy::InvalidProviderId;

use crate::web_session::{WebSession, WebSessionId};

pub use accounts::accounts;
pub use clients::clients;
pub use flows::flows;
pub use housekeeping::{housekeeping, surplus_sessions, unused_sessions};
pub use issued::{access_tokens, busy_grant, codes, devices, issued, refresh_tokens};
pub use key_ring::{client_keys, key_ring};
pub use leases::leases;
pub use sessions::sessions;
pub use web_sessions::web_sessions;

/// A rule that a store does not keep.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error("{rule}: {seen}")]
pub struct Broken {
    rule: &'static str,
    seen: String,
}

impl Broken {
    fn new(rule: &'static str, seen: impl fmt::Display) -> Self {
        Self { rule, seen: seen.to_string() }
    }
}

/// How many ask for the same thing at once.
const RACERS: usize = 50;

const NOW: UnixTime = UnixTime::from_secs(1_700_000_000);

fn hold<T: PartialEq + fmt::Debug>(rule: &'static str, seen: T, expected: &T) -> Result<(), Broken> {
    if seen == *expected {
        Ok(())
    } else {
        Err(Broken::new(rule, format!("{seen:?} instead of {expected:?}")))
    }
}

fn refused<T: fmt::Debug>(rule: &'static str, seen: Result<T, StoreUnavailable>) -> Result<(), Broken> {
    match seen {
        Err(_) => Ok(()),
        Ok(seen) => Err(Broken::new(rule, format!("{seen:?} instead of an error"))),
    }
}

fn done<T>(rule: &'static str, seen: Result<T, StoreUnavailable>) -> Result<T, Broken> {
    seen.map_err(|error| Broken::new(rule, error))
}

async fn race<T>(
    rule: &'static str,
    start: impl Fn(usize) -> JoinHandle<Result<T, StoreUnavailable>>,
) -> Result<Vec<T>, Broken> {
    race_of(RACERS, rule, start).await
}

/// Starts all of them before it waits for any.
async fn race_of<T>(
    number: usize,
    rule: &'static str,
    start: impl Fn(usize) -> JoinHandle<Result<T, StoreUnavailable>>,
) -> Result<Vec<T>, Broken> {
    let racers: Vec<_> = (0..number).map(start).collect();
    let mut outcomes = Vec::with_capacity(number);
    for racer in racers {
        let outcome = racer.await.map_err(|error| Broken::new(rule, error))?;
        outcomes.push(done(rule, outcome)?);
    }
    Ok(outcomes)
}

fn count<T>(outcomes: &[T], of: impl Fn(&T) -> bool) -> usize {
    outcomes.iter().filter(|outcome| of(outcome)).count()
}

/// A session to put into a store, its names and secrets derived from `entropy`.
///
/// # Errors
/// [`Broken`]: the record's form has changed.
pub fn session(entropy: [u8; 32]) -> Result<SessionRecord, Broken> {
    let seed = Seed::from_entropy(entropy);
    let text = |name| base64url::encode(seed.derive(name));
    let record = json!({
        "v": 1,
        "did": format!("did:web:{}.example.com", text("did").to_ascii_lowercase().replace('_', "-")),
        "id": SessionId::from_entropy(seed.derive_id("session id")).as_str(),
        "handle": "alice.example.com",
        "issuer": "https://server.example.com",
        "token_endpoint": "https://server.example.com/token",
        "revocation_endpoint": "https://server.example.com/revoke",
        "pds": "https://pds.example.com",
        "client_id": "https://client.example.com/client-metadata.json",
        "client_key": { "kid": text("client key"), "algorithm": "ES256" },
        "scope": "atproto transition:generic",
        "dpop_key": text("dpop key"),
        "access_token": format!("at-{}", text("access token")),
        "refresh_token": format!("rt-{}", text("refresh token")),
        "issued_at": NOW,
        "expires_at": NOW.after(Duration::from_secs(900)),
        "generation": 0,
    });
    SessionRecord::from_octets(record.to_string().as_bytes())
        .map_err(|error| Broken::new("a session record is read", error))
}

/// All of a record, to compare.
fn octets(session: Option<&SessionRecord>) -> Option<Vec<u8>> {
    session.and_then(|session| session.to_octets().ok()).map(|octets| octets.to_vec())
}

/// The next generation of a session.
fn refreshed(session: &SessionRecord) -> SessionRecord {
    let mut next = session.clone();
    next.generation += 1;
    next.access_token = format!("at-{}", next.generation).into();
    next.refresh_token = Some(format!("rt-{}", next.generation).into());
    next
}

/// Compares records whole.
fn is(
    rule: &'static str,
    seen: Option<&SessionRecord>,
    expected: Option<&SessionRecord>,
) -> Result<(), Broken> {
    if octets(seen) == octets(expected) {
        Ok(())
    } else {
        Err(Broken::new(rule, "the session is another, or none"))
    }
}

/// A web session that uses `session`.
fn web_session(id: WebSessionId, session: Option<&SessionKey>, lives: u64) -> Result<WebSession, Broken> {
    let provider = "atproto"
        .parse()
        .map_err(|error: InvalidProviderId| Broken::new("a provider's name is read", error))?;
    let expires_at = NOW.after(Duration::from_secs(lives));
    let mut web = WebSession::new(id, "did:plc:ewvi7nxzyoun6zhxrhs64oiz", provider, NOW, expires_at);
    web.session = session.cloned();
    Ok(web)
}
