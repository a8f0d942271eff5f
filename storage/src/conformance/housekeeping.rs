//! Housekeeping.

use std::sync::Arc;
use std::time::Duration;

use vestibule_atproto_identity::login::{Replaced, SessionId, SessionKey, SessionStore};
use vestibule_oauth_core::{Seed, UnixTime};
use vestibule_strategy::{FlowKey, FlowStore, StoredFlow, TakenFlow};

use super::{Broken, NOW, count, done, hold, is, refreshed, session, web_session};
use crate::housekeeping::{Housekeeping, UNUSED_AFTER};
use crate::limits::SESSIONS_PER_PERSON;
use crate::web_session::{WebSessionId, WebSessionStore};

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

/// Holds the housekeeping of a store of sessions and web sessions to its contract: what it says of sessions that nobody
/// uses.
///
/// # Errors
/// [`Broken`]: the first rule that the store does not keep.
pub async fn unused_sessions(
    store: Arc<dyn Housekeeping>,
    sessions: Arc<dyn SessionStore>,
    web_sessions: Arc<dyn WebSessionStore>,
    entropy: [u8; 32],
) -> Result<(), Broken> {
    let seed = Seed::from_entropy(entropy);
    let (used, lost) = (session(seed.derive("used"))?, session(seed.derive("lost"))?);
    let web = web_session(WebSessionId::from_octets(seed.derive("web")), Some(&used.key), 2 * 60 * 60)?;
    // `session` makes sessions of this time.
    let in_an_hour = NOW.after(UNUSED_AFTER);

    let rule = "a session that no web session uses is named when it is an hour old, until it has ended";
    done(rule, sessions.insert(&used).await)?;
    done(rule, web_sessions.put(web.clone()).await)?;
    done(rule, sessions.insert(&lost).await)?;
    for (now, times) in [
        (NOW, 0),
        (in_an_hour.before(Duration::from_secs(1)), 0),
        (in_an_hour, 1),
        (in_an_hour, 1),
        // A clock that was ahead by more than an hour, and was set back.
        (NOW.before(UNUSED_AFTER), 0),
        (NOW.before(Duration::from_secs(3601)), 1),
    ] {
        let named = unused(rule, &*store, now).await?;
        hold(rule, count(&named, |key| *key == lost.key), &times)?;
        hold(rule, count(&named, |key| *key == used.key), &0)?;
    }
    is(rule, done(rule, sessions.remove(&lost.key).await)?.as_ref(), Some(&lost))?;
    hold(rule, count(&unused(rule, &*store, in_an_hour).await?, |key| *key == lost.key), &0)?;

    let rule = "a session whose web session is gone, though nobody ended it, is named";
    done(rule, web_sessions.remove(web.id).await)?;
    hold(rule, count(&unused(rule, &*store, in_an_hour).await?, |key| *key == used.key), &1)?;
    is(rule, done(rule, sessions.remove(&used.key).await)?.as_ref(), Some(&used))
}

/// Every session that a whole round of sweeps names, as often as it does.
async fn unused(
    rule: &'static str,
    store: &dyn Housekeeping,
    now: UnixTime,
) -> Result<Vec<SessionKey>, Broken> {
    let mut named = Vec::new();
    loop {
        let swept = done(rule, store.sweep(now).await)?;
        named.extend(swept.unused);
        if !swept.more {
            return Ok(named);
        }
    }
}

/// Holds the housekeeping of a store of sessions to its contract: what it says of people who have too many.
///
/// # Errors
/// [`Broken`]: the first rule that the store does not keep.
pub async fn surplus_sessions(
    store: Arc<dyn Housekeeping>,
    sessions: Arc<dyn SessionStore>,
    entropy: [u8; 32],
) -> Result<(), Broken> {
    let seed = Seed::from_entropy(entropy);
    let (first, other) = (session(seed.derive("first"))?, session(seed.derive("other"))?);
    let person = first.key.did();
    let nth = |n: usize| {
        let mut session = first.clone();
        let id = SessionId::from_entropy(seed.derive_id(&format!("session {n}")));
        session.key = SessionKey::new(person.clone(), id);
        session.issued_at = NOW.after(Duration::from_secs(n as u64));
        session
    };

    let rule = "as many sessions as a person may have are left alone";
    done(rule, sessions.insert(&other).await)?;
    for n in 0..SESSIONS_PER_PERSON {
        done(rule, sessions.insert(&nth(n)).await)?;
    }
    hold(rule, done(rule, store.surplus(person).await)?, &Vec::new())?;
    hold(rule, done(rule, store.surplus(other.key.did()).await)?, &Vec::new())?;

    let rule = "beyond them, those whose tokens were replaced longest ago are named";
    for n in [SESSIONS_PER_PERSON, SESSIONS_PER_PERSON + 1] {
        done(rule, sessions.insert(&nth(n)).await)?;
    }
    hold(rule, done(rule, store.surplus(person).await)?, &vec![nth(0).key, nth(1).key])?;
    let mut next = refreshed(&nth(0));
    next.issued_at = NOW.after(Duration::from_secs(1000));
    hold(rule, done(rule, sessions.replace(&next).await)?, &Replaced::Replaced)?;
    hold(rule, done(rule, store.surplus(person).await)?, &vec![nth(1).key, nth(2).key])?;

    let rule = "what has ended is beyond nothing";
    done(rule, sessions.remove(&nth(1).key).await)?;
    hold(rule, done(rule, store.surplus(person).await)?, &vec![nth(2).key])?;
    for n in 0..SESSIONS_PER_PERSON + 2 {
        done(rule, sessions.remove(&nth(n).key).await)?;
    }
    hold(rule, done(rule, store.surplus(person).await)?, &Vec::new())?;
    is(rule, done(rule, sessions.remove(&other.key).await)?.as_ref(), Some(&other))
}
