//! Devices that wait for a person.

use std::sync::Arc;

use vestibule_oauth_core::{Seed, UnixTime};
use vestibule_token_endpoint::{
    Decided, Device, DeviceBegun, DeviceDecision, DeviceState, EndReason, Polled, Redeemed, Store,
    StoredDevice,
};

use super::super::{Broken, NOW, count, done, hold};
use super::{Names, RACERS, issuance, later, race};

/// Holds a store of devices to its contract.
///
/// # Errors
/// [`Broken`]: the first rule that the store does not keep.
pub async fn devices(store: Arc<dyn Store>, entropy: [u8; 32]) -> Result<(), Broken> {
    let names = Names::new(Seed::from_entropy(entropy));
    let pending = |device: &Device| StoredDevice { device: device.clone(), state: DeviceState::Pending };

    let rule = "a device is found as it began, by either code";
    let device = names.device("device")?;
    hold(rule, done(rule, store.device(device.hash).await)?, &None)?;
    hold(rule, done(rule, store.device_showing(device.user_code).await)?, &None)?;
    hold(rule, done(rule, store.begin_device(device.clone(), NOW).await)?, &DeviceBegun::Begun)?;
    hold(rule, done(rule, store.device(device.hash).await)?, &Some(pending(&device)))?;
    hold(rule, done(rule, store.device_showing(device.user_code).await)?, &Some(pending(&device)))?;

    let rule = "a code that another device shows is taken, as long as that one waits";
    let mut same = names.device("same")?;
    same.user_code = device.user_code;
    hold(rule, done(rule, store.begin_device(same.clone(), NOW).await)?, &DeviceBegun::CodeTaken)?;
    hold(rule, done(rule, store.device(same.hash).await)?, &None)?;

    let rule = "a device that asks too soon waits five seconds longer each time";
    let poll = |at: u64| store.poll_device(device.hash, later(at));
    for (at, outcome) in [
        (0, Polled::InTime),
        (5, Polled::InTime),
        (9, Polled::TooSoon),  // from now on ten seconds
        (18, Polled::TooSoon), // fifteen
        (33, Polled::InTime),
        (47, Polled::TooSoon), // twenty
        (67, Polled::InTime),
    ] {
        hold(rule, done(rule, poll(at).await)?, &outcome)?;
    }
    let rule = "a clock that was set back does not keep a device waiting";
    hold(rule, done(rule, store.poll_device(device.hash, NOW).await)?, &Polled::InTime)?;
    hold(rule, done(rule, store.poll_device(names.hash("none"), NOW).await)?, &Polled::Missing)?;

    let rule = "of many that decide at once, one does";
    let grant = names.grant("device")?;
    let outcomes = race(rule, |n| {
        let (store, code, grant) = (store.clone(), device.user_code, grant.clone());
        let decision =
            if n % 2 == 0 { DeviceDecision::Approve(Box::new(grant)) } else { DeviceDecision::Deny };
        tokio::spawn(async move { store.decide_device(code, decision, later(1)).await })
    })
    .await?;
    hold(rule, count(&outcomes, |outcome| *outcome == Decided::Decided), &1)?;
    hold(rule, count(&outcomes, |outcome| *outcome == Decided::AlreadyDecided), &(RACERS - 1))?;
    let stored = done(rule, store.device(device.hash).await)?.map(|stored| stored.state);
    let expected = match outcomes.iter().position(|outcome| *outcome == Decided::Decided) {
        Some(n) if n % 2 == 0 => DeviceState::Approved(Box::new(grant.clone())),
        _ => DeviceState::Denied,
    };
    hold(rule, stored, &Some(expected))?;

    let rule = "who decides too late, or about nothing, decides nothing";
    let late = begun(&store, &names, "late").await?;
    let deny = || DeviceDecision::Deny;
    hold(
        rule,
        done(rule, store.decide_device(late.user_code, deny(), later(600)).await)?,
        &Decided::Missing,
    )?;
    hold(rule, done(rule, store.device(late.hash).await)?, &Some(pending(&late)))?;
    let nothing = store.decide_device(names.hash("nothing"), deny(), NOW).await;
    hold(rule, done(rule, nothing)?, &Decided::Missing)?;
    let mut again = names.device("again")?;
    again.user_code = late.user_code;
    again.expires_at = later(1200);
    hold(rule, done(rule, store.begin_device(again, later(600)).await)?, &DeviceBegun::Begun)?;

    redeemed(&store, &names).await
}

async fn begun(store: &Arc<dyn Store>, names: &Names, name: &str) -> Result<Device, Broken> {
    let device = names.device(name)?;
    done("a device begins", store.begin_device(device.clone(), NOW).await)?;
    Ok(device)
}

async fn redeemed(store: &Arc<dyn Store>, names: &Names) -> Result<(), Broken> {
    let rule = "a device that nobody approved is not redeemed";
    let device = begun(store, names, "redeemed").await?;
    let grant = names.grant("redeemed")?;
    let at: UnixTime = later(2);
    let none = store.redeem_device(device.hash, issuance(&grant), at).await;
    hold(rule, done(rule, none)?, &Redeemed::Missing)?;

    let rule = "of many that redeem a device at once, one does, and its grant begins";
    let approve = DeviceDecision::Approve(Box::new(grant.clone()));
    hold(
        rule,
        done(rule, store.decide_device(device.user_code, approve, later(1)).await)?,
        &Decided::Decided,
    )?;
    let outcomes = race(rule, |_| {
        let (store, new, hash) = (store.clone(), issuance(&grant), device.hash);
        tokio::spawn(async move { store.redeem_device(hash, new, at).await })
    })
    .await?;
    let before = Redeemed::AlreadyRedeemed { grant: grant.id, at };
    hold(rule, count(&outcomes, |outcome| *outcome == Redeemed::Redeemed), &1)?;
    hold(rule, count(&outcomes, |outcome| *outcome == before), &(RACERS - 1))?;
    let stored = done(rule, store.device(device.hash).await)?.map(|stored| stored.state);
    hold(rule, stored, &Some(DeviceState::Redeemed(grant.id)))?;
    hold(
        rule,
        done(rule, store.grant(grant.id).await)?.map(|stored| stored.grant),
        &Some(issuance(&grant).grant),
    )?;
    hold(rule, done(rule, store.grants_of(&grant.subject, NOW).await)?, &vec![issuance(&grant).grant])?;

    let rule = "to end all of a subject's grants also ends what it approved and no device has asked for yet";
    let waiting = begun(store, names, "waiting").await?;
    let mut approved = names.grant("waiting")?;
    approved.subject.clone_from(&grant.subject);
    let approve = DeviceDecision::Approve(Box::new(approved.clone()));
    done(rule, store.decide_device(waiting.user_code, approve, later(1)).await)?;
    done(rule, store.end_grants_of(&grant.subject, EndReason::ByPerson, later(3)).await)?;
    let stored = done(rule, store.device(waiting.hash).await)?.map(|stored| stored.state);
    hold(rule, stored, &Some(DeviceState::Denied))?;
    let late = store.redeem_device(waiting.hash, issuance(&approved), at).await;
    hold(rule, done(rule, late)?, &Redeemed::Missing)
}
