//! The server's own keys.

use std::sync::Arc;

use vestibule_atproto_identity::login::SessionStore;
use vestibule_oauth_core::{Seed, UnixTime, base64url};

use super::{Broken, NOW, RACERS, count, done, hold, is, race, refused, session};
use crate::key_ring::{KeyRingStore, Retired, SealedKey};

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
    let version = done(rule, store.version().await)?;
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

    let rule = "the version grows with each key that is added or thrown away, and with nothing else";
    // One begun, one added, one retired.
    hold(rule, done(rule, store.version().await)?, &(version + 3))?;

    let rule = "what is thrown away is in the list no more";
    let left: Vec<_> = expected.into_iter().filter(|key| key.purpose != "seal" || *key == newest).collect();
    hold(rule, done(rule, store.list().await)?, &left)
}

/// Holds a store of keys, and of sessions that need them, to its contract. None of the
/// sessions that it has already may be from before it counted them. It is left with a key that nothing opens.
///
/// # Errors
/// [`Broken`]: the first rule that the store does not keep.
pub async fn client_keys(
    store: Arc<dyn KeyRingStore>,
    sessions: Arc<dyn SessionStore>,
    entropy: [u8; 32],
) -> Result<(), Broken> {
    let seed = Seed::from_entropy(entropy);
    let (first, mut public) = (session(seed.derive("first"))?, session(seed.derive("public"))?);
    public.client_key = None;
    let kid = first.client_key.as_ref().map_or_else(String::new, |key| key.kid.clone());
    let mut second = session(seed.derive("second"))?;
    second.client_key.clone_from(&first.client_key);

    let rule = "sessions are counted by the key of their client";
    let before = done(rule, store.sessions_by_client_key().await)?;
    for session in [&first, &second, &public] {
        done(rule, sessions.insert(session).await)?;
    }
    let mut uses = done(rule, store.sessions_by_client_key().await)?;
    hold(rule, uses.by_key.remove(&kid), &Some(2))?;
    hold(rule, uses, &before)?;

    let rule = "a key is thrown away when no session needs it any more";
    let newest = base64url::encode(seed.derive("newest"));
    for id in [&kid, &newest] {
        done(rule, store.add(SealedKey::new(id.as_str(), "sign", vec![1], NOW)).await)?;
    }
    for session in [&first, &second] {
        let needed = done(rule, store.sessions_by_client_key().await)?.of(&kid);
        hold(rule, done(rule, store.retire(&kid).await)?, &Retired::Needed(needed))?;
        done(rule, sessions.remove(&session.key).await)?;
    }
    hold(rule, done(rule, store.retire(&kid).await)?, &Retired::Retired)?;
    hold(rule, done(rule, store.sessions_by_client_key().await)?, &before)?;
    is(rule, done(rule, sessions.remove(&public.key).await)?.as_ref(), Some(&public))
}
