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

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use thiserror::Error;
use tokio::task::JoinHandle;
use vestibule_atproto_identity::login::{Replaced, SessionId, SessionKey, SessionRecord, SessionStore};
use vestibule_oauth_core::{Seed, StoreUnavailable, UnixTime, base64url};
use vestibule_strategy::{FlowKey, FlowStore, InvalidProviderId, StoredFlow, TakenFlow};

use crate::housekeeping::Housekeeping;
use crate::key_ring::{KeyRingStore, Retired, SealedKey};
use crate::web_session::{WebSession, WebSessionId, WebSessionStore};

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

/// Starts all of them before it waits for any.
async fn race<T>(
    rule: &'static str,
    start: impl Fn(usize) -> JoinHandle<Result<T, StoreUnavailable>>,
) -> Result<Vec<T>, Broken> {
    let racers: Vec<_> = (0..RACERS).map(start).collect();
    let mut outcomes = Vec::with_capacity(RACERS);
    for racer in racers {
        let outcome = racer.await.map_err(|error| Broken::new(rule, error))?;
        outcomes.push(done(rule, outcome)?);
    }
    Ok(outcomes)
}

fn count<T>(outcomes: &[T], of: impl Fn(&T) -> bool) -> usize {
    outcomes.iter().filter(|outcome| of(outcome)).count()
}

/// Holds a store of pending logins to its contract.
///
/// # Errors
/// [`Broken`]: the first rule that the store does not keep.
pub async fn flows(store: Arc<dyn FlowStore>, entropy: [u8; 32]) -> Result<(), Broken> {
    let seed = Seed::from_entropy(entropy);
    let key = |name| FlowKey::from_octets(seed.derive(name));
    let (binding, other) = ([1; 32], [2; 32]);
    let flow = |name, sealed: &[u8]| StoredFlow::new(key(name), binding, sealed.to_vec(), NOW);
    let taken = |sealed: &[u8]| TakenFlow::Taken(sealed.to_vec());

    let rule = "a flow that was never put in is missing";
    hold(rule, done(rule, store.take(key("none"), binding).await)?, &TakenFlow::Missing)?;

    let rule = "a flow is taken out once, as it was put in";
    let every_octet: Vec<u8> = (0..=255).collect();
    done(rule, store.put(flow("once", &every_octet)).await)?;
    hold(rule, done(rule, store.take(key("once"), binding).await)?, &taken(&every_octet))?;
    hold(rule, done(rule, store.take(key("once"), binding).await)?, &TakenFlow::Missing)?;

    let rule = "another browser's binding leaves the flow where it is";
    done(rule, store.put(flow("foreign", b"sealed")).await)?;
    hold(rule, done(rule, store.take(key("foreign"), other).await)?, &TakenFlow::Foreign)?;
    hold(rule, done(rule, store.take(key("foreign"), binding).await)?, &taken(b"sealed"))?;
    hold(rule, done(rule, store.take(key("foreign"), other).await)?, &TakenFlow::Missing)?;

    let rule = "a flow is not put in the place of another";
    done(rule, store.put(flow("twice", b"first")).await)?;
    refused(rule, store.put(flow("twice", b"second")).await)?;
    hold(rule, done(rule, store.take(key("twice"), binding).await)?, &taken(b"first"))?;

    let rule = "of many that take a flow at once, one gets it";
    let raced = key("raced");
    done(rule, store.put(flow("raced", b"sealed")).await)?;
    let outcomes = race(rule, |_| {
        let store = store.clone();
        tokio::spawn(async move { store.take(raced, binding).await })
    })
    .await?;
    hold(rule, count(&outcomes, |outcome| matches!(outcome, TakenFlow::Taken(_))), &1)?;
    hold(rule, count(&outcomes, |outcome| matches!(outcome, TakenFlow::Missing)), &(RACERS - 1))
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
        "client_kid": "kid",
        "client_alg": "ES256",
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

/// Holds a store of sessions at people's servers to its contract.
///
/// # Errors
/// [`Broken`]: the first rule that the store does not keep.
pub async fn sessions(store: Arc<dyn SessionStore>, entropy: [u8; 32]) -> Result<(), Broken> {
    let seed = Seed::from_entropy(entropy);
    let first = session(seed.derive("first"))?;
    let second = refreshed(&first);
    let is = |rule, seen: Option<SessionRecord>, expected: Option<&SessionRecord>| {
        if octets(seen.as_ref()) == octets(expected) {
            Ok(())
        } else {
            Err(Broken::new(rule, "the session is another, or none"))
        }
    };

    let rule = "a session that was never put in is none";
    is(rule, done(rule, store.load(&first.key).await)?, None)?;
    is(rule, done(rule, store.remove(&first.key).await)?, None)?;
    hold(rule, done(rule, store.replace(&second).await)?, &Replaced::Missing)?;

    let rule = "a session is loaded as it was put in";
    done(rule, store.insert(&first).await)?;
    is(rule, done(rule, store.load(&first.key).await)?, Some(&first))?;

    let rule = "a session is not put in the place of another";
    refused(rule, store.insert(&second).await)?;
    is(rule, done(rule, store.load(&first.key).await)?, Some(&first))?;

    let rule = "a session is replaced by the generation that follows it and by no other";
    hold(rule, done(rule, store.replace(&first).await)?, &Replaced::Superseded)?;
    hold(rule, done(rule, store.replace(&refreshed(&second)).await)?, &Replaced::Superseded)?;
    is(rule, done(rule, store.load(&first.key).await)?, Some(&first))?;
    hold(rule, done(rule, store.replace(&second).await)?, &Replaced::Replaced)?;
    is(rule, done(rule, store.load(&first.key).await)?, Some(&second))?;
    hold(rule, done(rule, store.replace(&second).await)?, &Replaced::Superseded)?;

    let rule = "of many that replace a session at once, one does";
    let third = Arc::new(refreshed(&second));
    let outcomes = race(rule, |_| {
        let (store, third) = (store.clone(), third.clone());
        tokio::spawn(async move { store.replace(&third).await })
    })
    .await?;
    hold(rule, count(&outcomes, |outcome| *outcome == Replaced::Replaced), &1)?;
    hold(rule, count(&outcomes, |outcome| *outcome == Replaced::Superseded), &(RACERS - 1))?;

    let rule = "of many that end a session at once, one gets it";
    let outcomes = race(rule, |_| {
        let (store, third) = (store.clone(), third.clone());
        tokio::spawn(async move { store.remove(&third.key).await })
    })
    .await?;
    hold(rule, count(&outcomes, Option::is_some), &1)?;
    is(rule, outcomes.into_iter().flatten().next(), Some(&third))?;

    let rule = "a session that has ended stays ended";
    is(rule, done(rule, store.load(&first.key).await)?, None)?;
    hold(rule, done(rule, store.replace(&refreshed(&third)).await)?, &Replaced::Missing)?;
    is(rule, done(rule, store.load(&first.key).await)?, None)?;

    let rule = "ending one session of a person leaves their others alone";
    let phone = session(seed.derive("devices"))?;
    let mut laptop = phone.clone();
    laptop.key = SessionKey::new(phone.key.did().clone(), SessionId::from_entropy(seed.derive_id("laptop")));
    done(rule, store.insert(&phone).await)?;
    done(rule, store.insert(&laptop).await)?;
    is(rule, done(rule, store.remove(&phone.key).await)?, Some(&phone))?;
    is(rule, done(rule, store.load(&laptop.key).await)?, Some(&laptop))?;
    is(rule, done(rule, store.remove(&laptop.key).await)?, Some(&laptop))
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

/// Holds a store of web sessions to its contract.
///
/// # Errors
/// [`Broken`]: the first rule that the store does not keep.
pub async fn web_sessions(store: Arc<dyn WebSessionStore>, entropy: [u8; 32]) -> Result<(), Broken> {
    let seed = Seed::from_entropy(entropy);
    let id = |name| WebSessionId::from_octets(seed.derive(name));
    let later = |secs| NOW.after(Duration::from_secs(secs));
    let used = session(seed.derive("used"))?.key;
    let other = SessionKey::new(used.did().clone(), SessionId::from_entropy(seed.derive_id("other")));

    let rule = "a web session that was never put in is none";
    hold(rule, done(rule, store.load(id("a"), NOW).await)?, &None)?;
    hold(rule, done(rule, store.remove(id("a")).await)?, &None)?;
    hold(rule, done(rule, store.uses(&used, NOW).await)?, &0)?;

    let rule = "a web session is loaded as it was put in";
    let mut a = web_session(id("a"), Some(&used), 10)?;
    a.name = Some("ålice.example.com".to_owned());
    let mut b = web_session(id("b"), None, 20)?;
    for web in [&a, &b] {
        done(rule, store.put(web.clone()).await)?;
        hold(rule, done(rule, store.load(web.id, NOW).await)?.as_ref(), &Some(web))?;
    }

    let rule = "a web session that is put in again takes the place of what was there";
    b.session = Some(used.clone());
    done(rule, store.put(b.clone()).await)?;
    hold(rule, done(rule, store.load(b.id, NOW).await)?.as_ref(), &Some(&b))?;

    let rule = "the web sessions that use a session are counted, and only while they live";
    hold(rule, done(rule, store.uses(&used, NOW).await)?, &2)?;
    hold(rule, done(rule, store.uses(&other, NOW).await)?, &0)?;
    hold(rule, done(rule, store.uses(&used, later(9)).await)?, &2)?;
    hold(rule, done(rule, store.uses(&used, later(10)).await)?, &1)?;
    hold(rule, done(rule, store.uses(&used, later(20)).await)?, &0)?;

    let rule = "a web session ends when its time has come";
    hold(rule, done(rule, store.load(a.id, later(9)).await)?.as_ref(), &Some(&a))?;
    hold(rule, done(rule, store.load(a.id, later(10)).await)?, &None)?;

    let rule = "of many that end a web session at once, one gets it";
    let raced = a.id;
    let outcomes = race(rule, |_| {
        let store = store.clone();
        tokio::spawn(async move { store.remove(raced).await })
    })
    .await?;
    hold(rule, count(&outcomes, Option::is_some), &1)?;
    hold(rule, outcomes.into_iter().flatten().next().as_ref(), &Some(&a))?;
    hold(rule, done(rule, store.load(a.id, NOW).await)?, &None)?;
    hold(rule, done(rule, store.uses(&used, NOW).await)?, &1)?;
    hold(rule, done(rule, store.remove(b.id).await)?.as_ref(), &Some(&b))
}

/// Holds a store of keys to its contract. It must have none yet, and is left with a few that nothing opens.
///
/// # Errors
/// [`Broken`]: the first rule that the store does not keep.
pub async fn key_ring(store: Arc<dyn KeyRingStore>, entropy: [u8; 32]) -> Result<(), Broken> {
    let seed = Seed::from_entropy(entropy);
    let key = move |purpose: &str, name: &str| {
        let octets = seed.derive(&format!("{purpose} {name}"));
        SealedKey::new(base64url::encode(octets), purpose, octets.to_vec(), NOW)
    };

    let rule = "a ring is begun with no keys";
    hold(rule, done(rule, store.list().await)?, &Vec::new())?;

    let rule = "of many that begin a ring at once, all get the ring of one";
    let outcomes = race(rule, |racer| {
        let store = store.clone();
        let first = vec![key("seal", &format!("{racer}")), key("sign", &format!("{racer}"))];
        tokio::spawn(async move { store.begin(first).await })
    })
    .await?;
    let begun = done(rule, store.list().await)?;
    hold(rule, begun.len(), &2)?;
    hold(rule, count(&outcomes, |outcome| *outcome == begun), &RACERS)?;

    let rule = "only the purposes that have no key are begun";
    let later = key("later", "first");
    let all = done(rule, store.begin(vec![key("seal", "late"), later.clone()]).await)?;
    let expected = [vec![later.clone()], begun.clone()].concat();
    hold(rule, all, &expected)?;

    let rule = "the key added last is in front, whatever the clock says";
    let mut newest = key("seal", "newest");
    newest.created_at = UnixTime::from_secs(1);
    done(rule, store.add(newest.clone()).await)?;
    let expected = [vec![newest.clone()], expected].concat();
    hold(rule, done(rule, store.list().await)?, &expected)?;

    let rule = "a key is not put in the place of another";
    let mut same = newest.clone();
    same.sealed = vec![1];
    refused(rule, store.add(same).await)?;
    hold(rule, done(rule, store.list().await)?, &expected)?;

    let rule = "the newest key of a purpose stays, older ones are retired once";
    hold(rule, done(rule, store.retire(&newest.id).await)?, &Retired::InUse)?;
    hold(rule, done(rule, store.retire(&later.id).await)?, &Retired::InUse)?;
    hold(rule, done(rule, store.retire("none").await)?, &Retired::Missing)?;
    for old in begun.iter().filter(|key| key.purpose == "seal") {
        hold(rule, done(rule, store.retire(&old.id).await)?, &Retired::Retired)?;
        hold(rule, done(rule, store.retire(&old.id).await)?, &Retired::Missing)?;
    }
    let left: Vec<_> = expected.into_iter().filter(|key| key.purpose != "seal" || *key == newest).collect();
    hold(rule, done(rule, store.list().await)?, &left)
}

/// Holds the housekeeping of a store of logins and web sessions to its contract.
///
/// # Errors
/// [`Broken`]: the first rule that the store does not keep.
pub async fn housekeeping(
    store: Arc<dyn Housekeeping>,
    flows: Arc<dyn FlowStore>,
    web_sessions: Arc<dyn WebSessionStore>,
    entropy: [u8; 32],
) -> Result<(), Broken> {
    let seed = Seed::from_entropy(entropy);
    let later = NOW.after(Duration::from_secs(10));

    let rule = "a store that is open answers";
    done(rule, store.ping().await)?;

    let rule = "a sweep throws away flows that have expired, and no others";
    let key = |name| FlowKey::from_octets(seed.derive(name));
    done(rule, flows.put(StoredFlow::new(key("old flow"), [1; 32], vec![1], later)).await)?;
    let lasts = later.after(Duration::from_secs(1));
    done(rule, flows.put(StoredFlow::new(key("new flow"), [1; 32], vec![2], lasts)).await)?;

    let (used, unused) = (session(seed.derive("used"))?.key, session(seed.derive("unused"))?.key);
    let web =
        |name, session, lives| web_session(WebSessionId::from_octets(seed.derive(name)), session, lives);
    let gone = [web("1", Some(&used), 10)?, web("2", Some(&unused), 9)?, web("3", Some(&unused), 10)?];
    let stays = web("4", Some(&used), 11)?;
    for web in gone.iter().chain([&stays]) {
        done(rule, web_sessions.put(web.clone()).await)?;
    }

    let mut ended = Vec::new();
    loop {
        let swept = done(rule, store.sweep(later).await)?;
        ended.extend(swept.unused);
        if !swept.more {
            break;
        }
    }
    hold(rule, done(rule, flows.take(key("old flow"), [1; 32]).await)?, &TakenFlow::Missing)?;
    hold(rule, done(rule, flows.take(key("new flow"), [1; 32]).await)?, &TakenFlow::Taken(vec![2]))?;

    let rule = "a sweep throws away web sessions that have expired, and no others";
    for web in &gone {
        // Not `load`: that one shows nothing that has expired, swept or not.
        hold(rule, done(rule, web_sessions.remove(web.id).await)?, &None)?;
    }
    hold(rule, done(rule, web_sessions.load(stays.id, later).await)?.as_ref(), &Some(&stays))?;

    let rule = "a sweep names the sessions that nobody uses any more";
    hold(rule, count(&ended, |key| *key == unused), &1)?;
    hold(rule, count(&ended, |key| *key == used), &0)?;
    hold(rule, done(rule, web_sessions.remove(stays.id).await)?.as_ref(), &Some(&stays))
}
