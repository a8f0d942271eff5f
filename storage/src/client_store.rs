//! Clients that were added to a server, by hand or by themselves.

use std::sync::Arc;

use vestibule_oauth_core::{BoxFuture, StoreUnavailable, UnixTime};
use vestibule_token_endpoint::{Client, Clients};

/// Keeps the clients of a server. Each act is atomic.
pub trait ClientStore: Clients {
    /// Adds a client.
    ///
    /// # Errors
    /// [`StoreUnavailable`]: it was not added.
    fn add<'a>(
        &'a self,
        client: Client,
        now: UnixTime,
    ) -> BoxFuture<'a, Result<ClientAdded, StoreUnavailable>>;

    /// Puts a client in the place of the one with the same identifier. What it was issued stays as it is.
    ///
    /// # Errors
    /// [`StoreUnavailable`]: it is as it was.
    fn update<'a>(&'a self, client: Client) -> BoxFuture<'a, Result<ClientUpdated, StoreUnavailable>>;

    /// Takes a client away, and ends every grant it was given: whoever holds its tokens can do no more with them here.
    ///
    /// # Errors
    /// [`StoreUnavailable`]: it is still there.
    fn remove<'a>(
        &'a self,
        id: &'a str,
        now: UnixTime,
    ) -> BoxFuture<'a, Result<Option<Arc<Client>>, StoreUnavailable>>;

    /// All of them, in the order of their identifiers.
    ///
    /// # Errors
    /// [`StoreUnavailable`].
    fn list<'a>(&'a self) -> BoxFuture<'a, Result<Vec<Arc<Client>>, StoreUnavailable>>;
}

/// What came of adding a client.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(clippy::exhaustive_enums, reason = "a total outcome: these two are all there is")]
pub enum ClientAdded {
    /// It was added.
    Added,
    /// There is a client with this identifier.
    Exists,
}

/// What came of replacing a client.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(clippy::exhaustive_enums, reason = "a total outcome: these two are all there is")]
pub enum ClientUpdated {
    /// It was replaced.
    Updated,
    /// There is no client with this identifier.
    Missing,
}
