//! Access tokens, and what is good once.

use std::sync::Arc;

use vestibule_oauth_core::Seed;
use vestibule_token_endpoint::{EndReason, Once, Revoked, Store, TokenPut};

use super::super::{Broken, NOW, count, done, hold};
use super::{Names, RACERS, issuance, later, race};

/// Holds a store of access tokens and one-time values to its contract.
///
/// # Errors
/// [`Broken`]: the first rule that the store does not keep.
pub async fn access_tokens(store: Arc<dyn Store>, entropy: [u8; 32]) -> Result<(), Broken> {
    let seed = Seed::from_entropy(entropy);
    let names = Names::new(seed.child("names"));

    let rule = "an access token without a grant is found as it was put in";
    let own = names.access("own", None)?;
    hold(rule, done(rule, store.access_token(own.hash).await)?, &None)?;
    hold(rule, done(rule, store.put_access_token(own.clone()).await)?, &TokenPut::Kept)?;
    hold(rule, done(rule, store.access_token(own.hash).await)?, &Some(own.clone()))?;

    let rule = "an access token that is taken back is gone, and its name alone is no signed token";
    done(rule, store.revoke_access_token(own.hash, own.facts.expires_at).await)?;
    hold(rule, done(rule, store.access_token(own.hash).await)?, &None)?;
    hold(rule, done(rule, store.is_revoked(own.hash).await)?, &Revoked::No)?;

    let rule = "that a signed token was taken back is remembered";
    let signed = names.hash("signed");
    hold(rule, done(rule, store.is_revoked(signed).await)?, &Revoked::No)?;
    for _ in 0..2 {
        done(rule, store.revoke_access_token(signed, later(600)).await)?;
        hold(rule, done(rule, store.is_revoked(signed).await)?, &Revoked::Yes)?;
    }

    let rule = "an access token ends with its grant, and none is put in after that";
    let code = names.code("code")?;
    done(rule, store.issue_code(code.clone(), None).await)?;
    done(rule, store.redeem_code(code.hash, issuance(&code.grant), NOW).await)?;
    let token = names.access("token", Some(&code.grant))?;
    hold(rule, done(rule, store.put_access_token(token.clone()).await)?, &TokenPut::Kept)?;
    hold(rule, done(rule, store.access_token(token.hash).await)?, &Some(token.clone()))?;
    done(rule, store.end_grant(code.grant.id, EndReason::ByPerson, later(1)).await)?;
    hold(rule, done(rule, store.access_token(token.hash).await)?, &None)?;
    let late = names.access("late", Some(&code.grant))?;
    hold(rule, done(rule, store.put_access_token(late.clone()).await)?, &TokenPut::GrantEnded)?;
    hold(rule, done(rule, store.access_token(late.hash).await)?, &None)?;
    let stray = names.access("stray", Some(&names.grant("no such grant")?))?;
    hold(rule, done(rule, store.put_access_token(stray).await)?, &TokenPut::GrantEnded)?;

    let rule = "of many that use a one-time value at once, one finds it fresh";
    let key = seed.derive("once");
    let outcomes = race(rule, |_| {
        let store = store.clone();
        tokio::spawn(async move { store.remember_once(key, later(60), NOW).await })
    })
    .await?;
    hold(rule, count(&outcomes, |outcome| *outcome == Once::Fresh), &1)?;
    hold(rule, count(&outcomes, |outcome| *outcome == Once::Seen), &(RACERS - 1))?;

    let rule = "a one-time value is remembered until its time, also by a clock that jumped an hour";
    hold(rule, done(rule, store.remember_once(key, later(60), later(60)).await)?, &Once::Seen)?;
    hold(rule, done(rule, store.remember_once(key, later(60), NOW).await)?, &Once::Seen)?;
    let ahead = seed.derive("ahead");
    hold(rule, done(rule, store.remember_once(ahead, later(3660), later(3600)).await)?, &Once::Fresh)?;
    hold(rule, done(rule, store.remember_once(ahead, later(3660), NOW).await)?, &Once::Seen)?;

    let rule = "another value is another";
    hold(rule, done(rule, store.remember_once(seed.derive("other"), later(60), NOW).await)?, &Once::Fresh)
}
