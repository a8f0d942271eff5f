//! Devices that wait for a person.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use vestibule_oauth_core::{StoreUnavailable, UnixTime};
use vestibule_token_endpoint::{
    Decided, Device, DeviceBegun, DeviceDecision, DeviceState, GrantId, Polled, Redeemed, SLOW_DOWN,
    StoredDevice, TokenHash,
};

use super::shards::Full;
use super::{full, lock};
use crate::limits::DEVICES;

/// Devices by their device code, and by the code that the person types. There are few at a time, and people are slow: one lock.
#[derive(Default, Debug)]
pub(super) struct Devices(Mutex<State>);

#[derive(Default, Debug)]
struct State {
    by_code: BTreeMap<TokenHash, Waiting>,
    by_user_code: BTreeMap<TokenHash, TokenHash>,
}

#[derive(Debug)]
struct Waiting {
    device: Device,
    state: DeviceState,
    interval: Duration,
    polled_at: Option<UnixTime>,
    redeemed: Option<(GrantId, UnixTime)>,
}

impl Devices {
    pub(super) fn new() -> Self {
        Self::default()
    }

    pub(super) fn begin(&self, device: Device, now: UnixTime) -> Result<DeviceBegun, StoreUnavailable> {
        let mut state = lock(&self.0);
        if let Some(other) = state.by_user_code.get(&device.user_code).copied() {
            if state.by_code.get(&other).is_some_and(|waiting| waiting.device.expires_at > now) {
                return Ok(DeviceBegun::CodeTaken);
            }
            state.by_code.remove(&other);
        }
        if state.by_code.len() >= DEVICES {
            return full("devices");
        }
        state.by_user_code.insert(device.user_code, device.hash);
        let interval = device.interval;
        let waiting =
            Waiting { device, state: DeviceState::Pending, interval, polled_at: None, redeemed: None };
        state.by_code.insert(waiting.device.hash, waiting);
        Ok(DeviceBegun::Begun)
    }

    pub(super) fn load(&self, name: TokenHash) -> Option<StoredDevice> {
        lock(&self.0).by_code.get(&name).map(Waiting::stored)
    }

    pub(super) fn showing(&self, user_code: TokenHash) -> Option<StoredDevice> {
        let state = lock(&self.0);
        let name = state.by_user_code.get(&user_code)?;
        state.by_code.get(name).map(Waiting::stored)
    }

    pub(super) fn decide(&self, user_code: TokenHash, decision: DeviceDecision, now: UnixTime) -> Decided {
        let mut state = lock(&self.0);
        let name = state.by_user_code.get(&user_code).copied();
        let waiting = name.and_then(|name| state.by_code.get_mut(&name));
        let Some(waiting) = waiting.filter(|waiting| waiting.device.expires_at > now) else {
            return Decided::Missing;
        };
        if waiting.state != DeviceState::Pending {
            return Decided::AlreadyDecided;
        }
        waiting.state = match decision {
            DeviceDecision::Approve(grant) => DeviceState::Approved(grant),
            DeviceDecision::Deny => DeviceState::Denied,
        };
        Decided::Decided
    }

    pub(super) fn poll(&self, name: TokenHash, now: UnixTime) -> Polled {
        let mut state = lock(&self.0);
        let Some(waiting) = state.by_code.get_mut(&name) else { return Polled::Missing };
        let too_soon =
            waiting.polled_at.is_some_and(|last| last <= now && now < last.after(waiting.interval));
        waiting.polled_at = Some(now);
        if too_soon {
            waiting.interval = waiting.interval.saturating_add(SLOW_DOWN);
            return Polled::TooSoon;
        }
        Polled::InTime
    }

    /// Redeems an approved device, if what it is issued could be put in.
    pub(super) fn redeem(
        &self,
        name: TokenHash,
        now: UnixTime,
        begin: impl FnOnce() -> Result<(), Full>,
    ) -> Result<Redeemed, StoreUnavailable> {
        let mut state = lock(&self.0);
        let Some(waiting) = state.by_code.get_mut(&name) else { return Ok(Redeemed::Missing) };
        if let Some((grant, at)) = waiting.redeemed {
            return Ok(Redeemed::AlreadyRedeemed { grant, at });
        }
        let DeviceState::Approved(grant) = &waiting.state else { return Ok(Redeemed::Missing) };
        let grant = grant.id;
        if let Err(Full) = begin() {
            return full("grants");
        }
        waiting.redeemed = Some((grant, now));
        waiting.state = DeviceState::Redeemed(grant);
        Ok(Redeemed::Redeemed)
    }

    /// How many that are approved and not redeemed tie this to themselves.
    pub(super) fn using(&self, context: &str, now: UnixTime) -> usize {
        let uses = |waiting: &&Waiting| match &waiting.state {
            DeviceState::Approved(grant) => {
                waiting.device.expires_at > now && grant.context.as_deref() == Some(context)
            }
            _ => false,
        };
        lock(&self.0).by_code.values().filter(uses).count()
    }

    /// Denies those that this subject has approved and that have no tokens yet.
    pub(super) fn end_of(&self, subject: &str) {
        for waiting in lock(&self.0).by_code.values_mut() {
            if matches!(&waiting.state, DeviceState::Approved(grant) if grant.subject == subject) {
                waiting.state = DeviceState::Denied;
            }
        }
    }

    pub(super) fn sweep(&self, now: UnixTime) -> u64 {
        let mut state = lock(&self.0);
        let before = state.by_code.len();
        state.by_code.retain(|_, waiting| waiting.device.expires_at > now);
        let State { by_code, by_user_code } = &mut *state;
        by_user_code.retain(|_, name| by_code.contains_key(name));
        (before - by_code.len()) as u64
    }
}

impl Waiting {
    fn stored(&self) -> StoredDevice {
        StoredDevice { device: self.device.clone(), state: self.state.clone() }
    }
}
