//! The clients of a server: those of its configuration, and those of its store.

use std::collections::BTreeMap;
use std::sync::Arc;

use vestibule_oauth_core::{BoxFuture, StoreUnavailable};
use vestibule_storage::ClientStore;
use vestibule_token_endpoint::{Client, Clients};

/// A client of the configuration hides one of the store with the same identifier.
pub(crate) struct ServerClients {
    configured: BTreeMap<String, Arc<Client>>,
    added: Arc<dyn ClientStore>,
}

impl ServerClients {
    pub(crate) fn new(configured: Vec<Client>, added: Arc<dyn ClientStore>) -> Self {
        let named = |client: Client| (client.id.as_str().to_owned(), Arc::new(client));
        Self { configured: configured.into_iter().map(named).collect(), added }
    }
}

impl Clients for ServerClients {
    fn client<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Option<Arc<Client>>, StoreUnavailable>> {
        match self.configured.get(id) {
            Some(client) => Box::pin(std::future::ready(Ok(Some(Arc::clone(client))))),
            None => self.added.client(id),
        }
    }
}
