//! Clients.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::{Arc, PoisonError, RwLock};

use vestibule_oauth_core::{BoxFuture, StoreUnavailable, UnixTime};
use vestibule_token_endpoint::{Client, Clients};

use super::issued::ready;
use super::{MemoryStore, full};
use crate::client_store::{ClientAdded, ClientStore, ClientUpdated};
use crate::limits;

/// Clients by their identifiers. Read by every request, and written by hand.
#[derive(Default, Debug)]
pub(super) struct AllClients(RwLock<BTreeMap<String, Arc<Client>>>);

/// Whoever lets clients register themselves has to bound that elsewhere, too.
const CLIENTS: usize = 100_000;

impl Clients for MemoryStore {
    fn client<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Option<Arc<Client>>, StoreUnavailable>> {
        let clients = self.clients.0.read().unwrap_or_else(PoisonError::into_inner);
        ready(Ok(clients.get(id).map(Arc::clone)))
    }
}

impl ClientStore for MemoryStore {
    fn add<'a>(
        &'a self,
        client: Client,
        _: UnixTime,
    ) -> BoxFuture<'a, Result<ClientAdded, StoreUnavailable>> {
        if let Err(error) = limits::client(&client) {
            return ready(Err(error));
        }
        let mut clients = self.clients.0.write().unwrap_or_else(PoisonError::into_inner);
        let is_full = clients.len() >= CLIENTS;
        ready(match clients.entry(client.id.as_str().to_owned()) {
            Entry::Occupied(_) => Ok(ClientAdded::Exists),
            Entry::Vacant(_) if is_full => full("clients"),
            Entry::Vacant(place) => {
                place.insert(Arc::new(client));
                Ok(ClientAdded::Added)
            }
        })
    }

    fn update<'a>(&'a self, client: Client) -> BoxFuture<'a, Result<ClientUpdated, StoreUnavailable>> {
        if let Err(error) = limits::client(&client) {
            return ready(Err(error));
        }
        let mut clients = self.clients.0.write().unwrap_or_else(PoisonError::into_inner);
        ready(Ok(match clients.get_mut(client.id.as_str()) {
            Some(known) => {
                *known = Arc::new(client);
                ClientUpdated::Updated
            }
            None => ClientUpdated::Missing,
        }))
    }

    fn remove<'a>(
        &'a self,
        id: &'a str,
        _: UnixTime,
    ) -> BoxFuture<'a, Result<Option<Arc<Client>>, StoreUnavailable>> {
        let removed = self.clients.0.write().unwrap_or_else(PoisonError::into_inner).remove(id);
        if removed.is_some() {
            self.issued.end_all_of_client(id);
        }
        ready(Ok(removed))
    }

    fn list<'a>(&'a self) -> BoxFuture<'a, Result<Vec<Arc<Client>>, StoreUnavailable>> {
        let clients = self.clients.0.read().unwrap_or_else(PoisonError::into_inner);
        ready(Ok(clients.values().map(Arc::clone).collect()))
    }
}
