//! A store of flows, no larger than a test needs.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use vestibule_oauth_core::{BoxFuture, StoreUnavailable};

use crate::flow_store::{FlowKey, FlowStore, StoredFlow, TakenFlow};

#[derive(Default)]
pub(super) struct Flows(Mutex<BTreeMap<FlowKey, StoredFlow>>);

impl FlowStore for Flows {
    fn put<'a>(&'a self, flow: StoredFlow) -> BoxFuture<'a, Result<(), StoreUnavailable>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(flow.key, flow);
        Box::pin(std::future::ready(Ok(())))
    }

    fn take<'a>(
        &'a self,
        key: FlowKey,
        binding: [u8; 32],
    ) -> BoxFuture<'a, Result<TakenFlow, StoreUnavailable>> {
        let mut flows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = match flows.get(&key) {
            None => TakenFlow::Missing,
            Some(flow) if flow.binding != binding => TakenFlow::Foreign,
            Some(_) => flows.remove(&key).map_or(TakenFlow::Missing, |flow| TakenFlow::Taken(flow.sealed)),
        };
        Box::pin(std::future::ready(Ok(taken)))
    }
}
