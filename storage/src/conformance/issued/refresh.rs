//! Refresh tokens.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use vestibule_oauth_core::{Seed, StoreUnavailable};
use vestibule_token_endpoint::{
    EndReason, Grant, OpaqueToken, Redeemed, Replaced, Rotated, Rotation, SealedSuccessor, Store,
    StoredRefreshToken,
};

use super::super::{Broken, NOW, count, done, hold};
use super::{Names, RACERS, issuance, later, race};
use crate::housekeeping::Housekeeping;

/// Holds a store of refresh tokens to its contract.
///
/// # Errors
/// [`Broken`]: the first rule that the store does not keep.
pub async fn refresh_tokens(store: Arc<dyn Store>, entropy: [u8; 32]) -> Result<(), Broken> {
    let names = Names::new(Seed::from_entropy(entropy));
    let code = names.code("code")?;
    let mut new = issuance(&code.grant);
    new.refresh = Some(names.refresh("first", &new.grant));
    let grant = new.grant.clone();
    done("a code is issued", store.issue_code(code.clone(), None).await)?;
    done("a code is redeemed", store.redeem_code(code.hash, new, NOW).await)?;

    let rule = "a refresh token that was never issued is none";
    hold(rule, done(rule, store.refresh_token(names.hash("none")).await)?, &None)?;
    let none = rotation(&names, &grant, "none", "next of none")?;
    hold(rule, done(rule, store.rotate_refresh(none).await)?, &Rotated::Missing)?;

    let rule = "of many that replace a refresh token at once, one does, and all others are told by what";
    let all = (0..RACERS)
        .map(|n| {
            let mut rotation = rotation(&names, &grant, "first", &format!("second {n}"))?;
            rotation.access = Some(names.access(&format!("access {n}"), Some(&grant))?);
            Ok(rotation)
        })
        .collect::<Result<Vec<_>, Broken>>()?;
    let outcomes = race(rule, |n| {
        let (store, rotation) = (store.clone(), all.get(n).cloned());
        tokio::spawn(async move {
            match rotation {
                Some(rotation) => store.rotate_refresh(rotation).await,
                None => Ok(Rotated::Missing),
            }
        })
    })
    .await?;
    hold(rule, count(&outcomes, |outcome| *outcome == Rotated::Rotated), &1)?;
    let winner = outcomes.iter().position(|outcome| *outcome == Rotated::Rotated);
    let Some(won) = winner.and_then(|n| all.get(n)) else { return Err(Broken::new(rule, "nobody did")) };
    let replaced =
        Replaced { at: won.now, successor_used: false, successor: won.next.hash, sealed: won.sealed };
    let told = Rotated::Reused(replaced.clone());
    hold(rule, count(&outcomes, |outcome| *outcome == told), &(RACERS - 1))?;

    let rule = "only what the one brought is there";
    let first = names.refresh_token("first");
    let mut there = (0, 0);
    for rotation in &all {
        there.0 += usize::from(done(rule, store.refresh_token(rotation.next.hash).await)?.is_some());
        if let Some(access) = &rotation.access {
            there.1 += usize::from(done(rule, store.access_token(access.hash).await)?.is_some());
        }
    }
    hold(rule, there, &(1, 1))?;
    let opened = won.sealed.open(&first, won.next.hash).map(|token| token.hash());
    hold(rule, opened, &Some(won.next.hash))?;

    let rule = "a token that was replaced is kept, and says so";
    let stored = done(rule, store.refresh_token(first.hash()).await)?;
    let expected = StoredRefreshToken {
        token: names.refresh("first", &grant),
        grant: grant.clone(),
        replaced: Some(replaced),
        ended: None,
    };
    hold(rule, stored, &Some(expected))?;

    let rule = "once the successor is replaced, the first one says that it was used";
    let second = winner.map_or_else(String::new, |n| format!("second {n}"));
    let third = rotation(&names, &grant, &second, "third")?;
    hold(rule, done(rule, store.rotate_refresh(third).await)?, &Rotated::Rotated)?;
    let stored = done(rule, store.refresh_token(first.hash()).await)?;
    let used = stored.and_then(|stored| stored.replaced).map(|replaced| replaced.successor_used);
    hold(rule, used, &Some(true))?;
    let again = rotation(&names, &grant, "first", "never")?;
    match done(rule, store.rotate_refresh(again).await)? {
        Rotated::Reused(Replaced { successor_used: true, .. }) => {}
        other => return Err(Broken::new(rule, format!("{other:?}"))),
    }

    let rule = "no token of a grant that has ended is replaced, and each says why";
    done(rule, store.end_grant(grant.id, EndReason::RefreshTokenReused, later(9)).await)?;
    for (old, next) in [("third", "fourth"), ("first", "fifth")] {
        let late = rotation(&names, &grant, old, next)?;
        hold(rule, done(rule, store.rotate_refresh(late).await)?, &Rotated::Missing)?;
        let stored = done(rule, store.refresh_token(names.refresh_token(old).hash()).await)?;
        hold(rule, stored.and_then(|stored| stored.ended), &Some(EndReason::RefreshTokenReused))?;
    }
    ending(&store, &names).await
}

/// Of one that ends a grant and many that refresh it, whatever comes first: at the end nothing of it can be used.
async fn ending(store: &Arc<dyn Store>, names: &Names) -> Result<(), Broken> {
    let rule = "a grant that ends while its token is replaced has no token that can be replaced";
    let code = names.code("raced")?;
    let mut new = issuance(&code.grant);
    new.refresh = Some(names.refresh("raced first", &new.grant));
    let grant = new.grant.clone();
    done(rule, store.issue_code(code.clone(), None).await)?;
    done(rule, store.redeem_code(code.hash, new, NOW).await)?;
    let all = (0..RACERS)
        .map(|n| rotation(names, &grant, "raced first", &format!("raced {n}")))
        .collect::<Result<Vec<_>, _>>()?;
    let outcomes = race(rule, |n| {
        let (store, rotation, id) = (store.clone(), all.get(n).cloned(), grant.id);
        tokio::spawn(async move {
            match rotation.filter(|_| n != RACERS / 2) {
                Some(rotation) => store.rotate_refresh(rotation).await,
                None => store.end_grant(id, EndReason::Revoked, NOW).await.map(|_| Rotated::Missing),
            }
        })
    })
    .await?;
    hold(rule, count(&outcomes, |outcome| *outcome == Rotated::Rotated) <= 1, &true)?;
    for n in 0..RACERS {
        let late = rotation(names, &grant, &format!("raced {n}"), &format!("late {n}"))?;
        hold(rule, done(rule, store.rotate_refresh(late).await)?, &Rotated::Missing)?;
    }
    Ok(())
}

/// One token for another.
/// Replaces the token of one grant a thousand times while the store is swept without a pause: an act and a sweep that each held what the
/// other waits for would stand still for ever.
///
/// # Errors
/// [`Broken`]: the first rule that the store does not keep.
pub async fn busy_grant(
    store: Arc<dyn Store>,
    housekeeping: Arc<dyn Housekeeping>,
    entropy: [u8; 32],
) -> Result<(), Broken> {
    let rule = "a grant is used while the store is swept";
    let names = Names::new(Seed::from_entropy(entropy));
    let code = names.code("code")?;
    let mut new = issuance(&code.grant);
    new.refresh = Some(names.refresh("token 0", &new.grant));
    let grant = new.grant.clone();
    done(rule, store.issue_code(code.clone(), None).await)?;
    hold(rule, done(rule, store.redeem_code(code.hash, new, NOW).await)?, &Redeemed::Redeemed)?;
    let over = Arc::new(AtomicBool::new(false));
    let (until, sweeps) = (Arc::clone(&over), housekeeping);
    let sweeping = tokio::spawn(async move {
        while !until.load(Ordering::Relaxed) {
            sweeps.sweep(NOW).await?;
            tokio::task::yield_now().await;
        }
        Ok::<(), StoreUnavailable>(())
    });
    for n in 0..1000 {
        let next = rotation(&names, &grant, &format!("token {n}"), &format!("token {}", n + 1))?;
        hold(rule, done(rule, store.rotate_refresh(next).await)?, &Rotated::Rotated)?;
        tokio::task::yield_now().await;
    }
    over.store(true, Ordering::Relaxed);
    done(rule, sweeping.await.map_err(|error| Broken::new(rule, error))?)
}

fn rotation(names: &Names, grant: &Grant, old: &str, next: &str) -> Result<Rotation, Broken> {
    let (old, next_token): (OpaqueToken, OpaqueToken) = (names.refresh_token(old), names.refresh_token(next));
    let sealed = SealedSuccessor::seal(&next_token, &old);
    let next = names.refresh(next, grant);
    Ok(Rotation { old: old.hash(), sealed, next, access: None, now: later(5) })
}
