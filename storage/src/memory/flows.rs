//! Pending logins.

use std::collections::{BTreeMap, BTreeSet};

use vestibule_oauth_core::{BoxFuture, StoreUnavailable, UnixTime};
use vestibule_strategy::{FlowKey, FlowStore, StoredFlow, TakenFlow};

use super::{MemoryStore, lock, taken};
use crate::limits;

/// Flows, and the order they expire in.
#[derive(Default, Debug)]
pub(super) struct Flows {
    pub(super) by_key: BTreeMap<FlowKey, StoredFlow>,
    pub(super) by_expiry: BTreeSet<(UnixTime, FlowKey)>,
}

impl Flows {
    fn insert(&mut self, flow: StoredFlow) {
        self.by_expiry.insert((flow.expires_at, flow.key));
        self.by_key.insert(flow.key, flow);
    }

    pub(super) fn remove(&mut self, key: FlowKey) -> Option<StoredFlow> {
        let flow = self.by_key.remove(&key)?;
        self.by_expiry.remove(&(flow.expires_at, key));
        Some(flow)
    }
}

impl FlowStore for MemoryStore {
    fn put<'a>(&'a self, flow: StoredFlow) -> BoxFuture<'a, Result<(), StoreUnavailable>> {
        Box::pin(async move {
            limits::flow(&flow)?;
            let mut flows = lock(&self.flows);
            if flows.by_key.contains_key(&flow.key) {
                taken("flow")
            } else {
                if flows.by_key.len() >= self.limits.flows
                    && let Some((_, first)) = flows.by_expiry.first().copied()
                {
                    flows.remove(first);
                }
                flows.insert(flow);
                Ok(())
            }
        })
    }

    fn take<'a>(
        &'a self,
        key: FlowKey,
        binding: [u8; 32],
    ) -> BoxFuture<'a, Result<TakenFlow, StoreUnavailable>> {
        Box::pin(async move {
            let mut flows = lock(&self.flows);
            let taken = match flows.by_key.get(&key) {
                None => TakenFlow::Missing,
                Some(flow) if flow.binding != binding => TakenFlow::Foreign,
                Some(_) => flows.remove(key).map_or(TakenFlow::Missing, |flow| TakenFlow::Taken(flow.sealed)),
            };
            Ok(taken)
        })
    }
}
