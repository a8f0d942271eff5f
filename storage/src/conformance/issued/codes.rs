//! Pushed requests, and codes.

use std::sync::Arc;

use serde_json::json;
use vestibule_oauth_core::Seed;
use vestibule_token_endpoint::{
    CodeIssued, EndReason, PushedRequest, Redeemed, Store, StoredCode, StoredGrant,
};

use super::super::{Broken, NOW, count, done, hold, refused};
use super::{Names, RACERS, issuance, later, race, record};
use crate::limits::ISSUED_OCTETS;

/// Holds a store of pushed requests and codes to its contract.
///
/// # Errors
/// [`Broken`]: the first rule that the store does not keep.
pub async fn codes(store: Arc<dyn Store>, entropy: [u8; 32]) -> Result<(), Broken> {
    let names = Names::new(Seed::from_entropy(entropy));
    pushed(&store, &names).await?;
    redeemed(&store, &names).await?;
    ended(&store, &names).await
}

async fn pushed(store: &Arc<dyn Store>, names: &Names) -> Result<(), Broken> {
    let request = |name: &str| {
        Ok::<_, Broken>(PushedRequest {
            name: names.hash(name),
            request: record(json!({
                "client": "an app",
                "redirect_uri": "https://app.example.com/callback",
                "redirect_uri_sent": "omitted",
                "state": "ståte",
                "scope": "a b",
            }))?,
            expires_at: later(600),
        })
    };
    let rule = "a pushed request is found as it was put in";
    let first = request("pushed")?;
    hold(rule, done(rule, store.pushed(first.name).await)?, &None)?;
    done(rule, store.push(first.clone()).await)?;
    hold(rule, done(rule, store.pushed(first.name).await)?, &Some(first.clone()))?;
    hold(rule, done(rule, store.pushed(first.name).await)?, &Some(first.clone()))?;

    let rule = "of many answers to one request, one gets a code";
    let codes = (0..RACERS).map(|n| names.code(&format!("answer {n}"))).collect::<Result<Vec<_>, _>>()?;
    let outcomes = race(rule, |n| {
        let (store, code) = (store.clone(), codes.get(n).cloned());
        tokio::spawn(async move {
            match code {
                Some(code) => store.issue_code(code, Some(first.name)).await,
                None => Ok(CodeIssued::RequestSpent),
            }
        })
    })
    .await?;
    hold(rule, count(&outcomes, |outcome| *outcome == CodeIssued::Issued), &1)?;
    let mut there = 0;
    for code in &codes {
        there += usize::from(done(rule, store.code(code.hash).await)?.is_some());
    }
    hold(rule, there, &1)?;
    hold(rule, done(rule, store.pushed(names.hash("pushed")).await)?, &None)?;

    let rule = "a record that is larger than is kept is refused, and the request it answers stays";
    let kept = request("stays")?;
    done(rule, store.push(kept.clone()).await)?;
    let mut large = names.code("large")?;
    large.nonce = Some("n".repeat(ISSUED_OCTETS));
    refused(rule, store.issue_code(large, Some(kept.name)).await)?;
    hold(rule, done(rule, store.pushed(kept.name).await)?, &Some(kept))
}

async fn redeemed(store: &Arc<dyn Store>, names: &Names) -> Result<(), Broken> {
    let code = names.code("code")?;
    let mut new = issuance(&code.grant);
    new.refresh = Some(names.refresh("code's refresh", &new.grant));
    new.access = Some(names.access("code's access", Some(&new.grant))?);

    let rule = "a code that was never issued is none";
    hold(rule, done(rule, store.code(code.hash).await)?, &None)?;
    hold(rule, done(rule, store.redeem_code(code.hash, new.clone(), NOW).await)?, &Redeemed::Missing)?;

    let rule = "a code is found as it was issued, and its grant has not begun";
    hold(rule, done(rule, store.issue_code(code.clone(), None).await)?, &CodeIssued::Issued)?;
    let unredeemed = StoredCode { code: code.clone(), redeemed_at: None, ended: None };
    hold(rule, done(rule, store.code(code.hash).await)?, &Some(unredeemed))?;
    hold(rule, done(rule, store.grant(code.grant.id).await)?, &None)?;

    let rule = "of many that redeem a code at once, one does, and what it brought is there";
    let outcomes = race(rule, |_| {
        let (store, new, hash) = (store.clone(), new.clone(), code.hash);
        tokio::spawn(async move { store.redeem_code(hash, new, later(1)).await })
    })
    .await?;
    let before = Redeemed::AlreadyRedeemed { grant: code.grant.id, at: later(1) };
    hold(rule, count(&outcomes, |outcome| *outcome == Redeemed::Redeemed), &1)?;
    hold(rule, count(&outcomes, |outcome| *outcome == before), &(RACERS - 1))?;
    let begun = StoredGrant { grant: new.grant.clone(), ended: None };
    hold(rule, done(rule, store.grant(code.grant.id).await)?, &Some(begun))?;
    let refresh = names.refresh("code's refresh", &new.grant);
    let found = done(rule, store.refresh_token(refresh.hash).await)?;
    hold(rule, found.map(|found| (found.token, found.grant)), &Some((refresh, new.grant.clone())))?;
    let access = names.access("code's access", Some(&new.grant))?;
    hold(rule, done(rule, store.access_token(access.hash).await)?, &Some(access))?;

    let rule = "a code that was redeemed is kept";
    let kept = StoredCode { code: code.clone(), redeemed_at: Some(later(1)), ended: None };
    hold(rule, done(rule, store.code(code.hash).await)?, &Some(kept))?;

    let rule = "what a redemption brings that is too large is refused, and the code stays as it is";
    let other = names.code("other")?;
    done(rule, store.issue_code(other.clone(), None).await)?;
    let mut large = issuance(&other.grant);
    large.grant.context = Some("c".repeat(ISSUED_OCTETS));
    refused(rule, store.redeem_code(other.hash, large, NOW).await)?;
    let stored = done(rule, store.code(other.hash).await)?;
    hold(rule, stored.and_then(|stored| stored.redeemed_at), &None)?;
    hold(
        rule,
        done(rule, store.redeem_code(other.hash, issuance(&other.grant), NOW).await)?,
        &Redeemed::Redeemed,
    )
}

async fn ended(store: &Arc<dyn Store>, names: &Names) -> Result<(), Broken> {
    let (begun, waiting, stranger) = (names.code("begun")?, names.code("waiting")?, names.code("stranger")?);
    let mut waiting = waiting;
    waiting.grant.subject.clone_from(&begun.grant.subject);
    for code in [&begun, &waiting, &stranger] {
        done("a code is issued", store.issue_code(code.clone(), None).await)?;
    }
    done("a code is redeemed", store.redeem_code(begun.hash, issuance(&begun.grant), NOW).await)?;
    let subject = begun.grant.subject.clone();

    let rule = "the grants of a subject are those that have begun and live";
    let grants = done(rule, store.grants_of(&subject, later(1)).await)?;
    hold(rule, grants, &vec![issuance(&begun.grant).grant])?;
    hold(rule, done(rule, store.grants_of(&subject, later(super::LIFE)).await)?, &Vec::new())?;

    let rule = "to end all of a subject's grants ends those, its codes as well, and nobody else's";
    let ended = done(rule, store.end_grants_of(&subject, EndReason::ByPerson, later(1)).await)?;
    let mut ids: Vec<_> = ended.iter().map(|grant| grant.id).collect();
    ids.sort_unstable();
    let mut both = vec![begun.grant.id, waiting.grant.id];
    both.sort_unstable();
    hold(rule, ids, &both)?;
    let reason = |stored: Option<StoredCode>| stored.and_then(|stored| stored.ended);
    hold(rule, reason(done(rule, store.code(waiting.hash).await)?), &Some(EndReason::ByPerson))?;
    hold(rule, reason(done(rule, store.code(begun.hash).await)?), &Some(EndReason::ByPerson))?;
    hold(rule, reason(done(rule, store.code(stranger.hash).await)?), &None)?;
    hold(rule, done(rule, store.grants_of(&subject, later(1)).await)?, &Vec::new())?;
    hold(rule, done(rule, store.end_grants_of(&subject, EndReason::ByPerson, later(1)).await)?, &Vec::new())?;

    let rule = "a code whose grant has ended is not redeemed";
    let outcome = store.redeem_code(waiting.hash, issuance(&waiting.grant), later(1)).await;
    hold(rule, done(rule, outcome)?, &Redeemed::Missing)?;
    hold(rule, done(rule, store.grant(waiting.grant.id).await)?, &None)?;

    let rule = "of many that end a grant at once, one gets it";
    done(rule, store.redeem_code(stranger.hash, issuance(&stranger.grant), NOW).await)?;
    let id = stranger.grant.id;
    let outcomes = race(rule, |_| {
        let store = store.clone();
        tokio::spawn(async move { store.end_grant(id, EndReason::Revoked, later(2)).await })
    })
    .await?;
    hold(rule, count(&outcomes, Option::is_some), &1)?;
    let stored = done(rule, store.grant(id).await)?;
    hold(rule, stored.and_then(|stored| stored.ended), &Some(EndReason::Revoked))?;
    hold(rule, done(rule, store.end_grant(names.id("none"), EndReason::Revoked, NOW).await)?, &None)
}
