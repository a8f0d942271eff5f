//! Sessions at people's servers.

use std::sync::Arc;

use vestibule_atproto_identity::login::{Replaced, SessionId, SessionKey, SessionRecord, SessionStore};
use vestibule_oauth_core::Seed;

use super::{Broken, RACERS, count, done, hold, is, race, refreshed, refused, session};
use crate::limits::SESSION_OCTETS;

/// Holds a store of sessions at people's servers to its contract.
///
/// # Errors
/// [`Broken`]: the first rule that the store does not keep.
pub async fn sessions(store: Arc<dyn SessionStore>, entropy: [u8; 32]) -> Result<(), Broken> {
    let seed = Seed::from_entropy(entropy);
    let first = session(seed.derive("first"))?;
    let second = refreshed(&first);
    let rule = "a session that was never put in is none";
    is(rule, done(rule, store.load(&first.key).await)?.as_ref(), None)?;
    is(rule, done(rule, store.remove(&first.key).await)?.as_ref(), None)?;
    hold(rule, done(rule, store.replace(&second).await)?, &Replaced::Missing)?;

    let rule = "a session is loaded as it was put in";
    done(rule, store.insert(&first).await)?;
    is(rule, done(rule, store.load(&first.key).await)?.as_ref(), Some(&first))?;

    let rule = "a session is not put in the place of another";
    refused(rule, store.insert(&second).await)?;
    is(rule, done(rule, store.load(&first.key).await)?.as_ref(), Some(&first))?;

    let rule = "a session is replaced by the generation that follows it and by no other";
    hold(rule, done(rule, store.replace(&first).await)?, &Replaced::Superseded)?;
    hold(rule, done(rule, store.replace(&refreshed(&second)).await)?, &Replaced::Superseded)?;
    is(rule, done(rule, store.load(&first.key).await)?.as_ref(), Some(&first))?;
    hold(rule, done(rule, store.replace(&second).await)?, &Replaced::Replaced)?;
    is(rule, done(rule, store.load(&first.key).await)?.as_ref(), Some(&second))?;
    hold(rule, done(rule, store.replace(&second).await)?, &Replaced::Superseded)?;

    let rule = "a session of 64 KiB is kept, and a larger one is not";
    let padded = |mut session: SessionRecord, octets: usize| {
        let length = super::octets(Some(&session)).map_or(0, |octets| octets.len());
        let token = session.access_token.expose().clone();
        session.access_token = format!("{token}{}", "a".repeat(octets.saturating_sub(length))).into();
        session
    };
    let large = padded(session(seed.derive("large"))?, SESSION_OCTETS);
    let mut larger = padded(session(seed.derive("large"))?, SESSION_OCTETS + 1);
    refused(rule, store.insert(&larger).await)?;
    is(rule, done(rule, store.load(&large.key).await)?.as_ref(), None)?;
    done(rule, store.insert(&large).await)?;
    larger.generation = 1;
    refused(rule, store.replace(&larger).await)?;
    is(rule, done(rule, store.remove(&large.key).await)?.as_ref(), Some(&large))?;

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
    is(rule, outcomes.into_iter().flatten().next().as_ref(), Some(&third))?;

    let rule = "a session that has ended stays ended";
    is(rule, done(rule, store.load(&first.key).await)?.as_ref(), None)?;
    hold(rule, done(rule, store.replace(&refreshed(&third)).await)?, &Replaced::Missing)?;
    is(rule, done(rule, store.load(&first.key).await)?.as_ref(), None)?;

    let rule = "ending one session of a person leaves their others alone";
    let phone = session(seed.derive("devices"))?;
    let mut laptop = phone.clone();
    laptop.key = SessionKey::new(phone.key.did().clone(), SessionId::from_entropy(seed.derive_id("laptop")));
    done(rule, store.insert(&phone).await)?;
    done(rule, store.insert(&laptop).await)?;
    is(rule, done(rule, store.remove(&phone.key).await)?.as_ref(), Some(&phone))?;
    is(rule, done(rule, store.load(&laptop.key).await)?.as_ref(), Some(&laptop))?;
    is(rule, done(rule, store.remove(&laptop.key).await)?.as_ref(), Some(&laptop))
}
