//! Sessions at this server.

use std::sync::Arc;
use std::time::Duration;

use vestibule_atproto_identity::login::{SessionId, SessionKey};
use vestibule_oauth_core::Seed;

use super::{Broken, NOW, count, done, hold, race, refused, session, web_session};
use crate::limits::WEB_SESSION_OCTETS;
use crate::web_session::{WebSessionId, WebSessionStore};

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

    let rule = "a web session of 4 KiB is kept, and a larger one is not";
    let mut large = web_session(id("large"), Some(&used), 10)?;
    let others = large.subject.len()
        + large.provider.as_str().len()
        + used.did().as_str().len()
        + used.id().as_str().len();
    large.name = Some("a".repeat(WEB_SESSION_OCTETS - others));
    done(rule, store.put(large.clone()).await)?;
    let mut larger = large.clone();
    larger.name = Some("a".repeat(WEB_SESSION_OCTETS - others + 1));
    refused(rule, store.put(larger).await)?;
    hold(rule, done(rule, store.remove(large.id).await)?.as_ref(), &Some(&large))?;

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
