//! The port behind which pending logins wait, when they do not wait in the browser.

use vestibule_oauth_core::{BoxFuture, StoreUnavailable, UnixTime};

/// Keeps pending logins.
///
/// A cookie can be copied and sent again; a row that is taken is gone. So a server that has a database keeps its flows
/// there, and the browser's cookie holds only the value that binds the flow to it.
pub trait FlowStore: Send + Sync {
    /// Keeps a flow until it is taken or expires.
    ///
    /// # Errors
    /// [`StoreUnavailable`]: nothing was kept.
    fn put<'a>(&'a self, flow: StoredFlow) -> BoxFuture<'a, Result<(), StoreUnavailable>>;

    /// Takes the flow with this key out, in one act, if `binding` is its own; of two that ask at once, one gets it. A flow
    /// that is asked for with another binding stays where it is, for the browser it belongs to.
    ///
    /// # Errors
    /// [`StoreUnavailable`]: nothing was taken.
    fn take<'a>(
        &'a self,
        key: FlowKey,
        binding: [u8; 32],
    ) -> BoxFuture<'a, Result<TakenFlow, StoreUnavailable>>;
}

/// Names a flow: the hash of its `state`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct FlowKey([u8; 32]);

impl FlowKey {
    /// The key with these octets, as they came out of a store.
    pub const fn from_octets(octets: [u8; 32]) -> Self {
        Self(octets)
    }

    /// The octets to store.
    pub const fn as_octets(&self) -> &[u8; 32] {
        &self.0
    }
}

/// A flow as a store keeps it. Nothing in it is readable without the server's keys.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct StoredFlow {
    /// Its name.
    pub key: FlowKey,
    /// The hash of the value in the browser's cookie.
    pub binding: [u8; 32],
    /// The sealed record, at most 8 KiB.
    pub sealed: Vec<u8>,
    /// From when on it may be thrown away.
    pub expires_at: UnixTime,
}

impl StoredFlow {
    /// A flow to keep.
    pub const fn new(key: FlowKey, binding: [u8; 32], sealed: Vec<u8>, expires_at: UnixTime) -> Self {
        Self { key, binding, sealed, expires_at }
    }
}

/// What came of asking for a flow.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(clippy::exhaustive_enums, reason = "a total outcome: these three are all there is")]
pub enum TakenFlow {
    /// It is out of the store now. It may have expired: the engine looks.
    Taken(Vec<u8>),
    /// It is there, and another browser's.
    Foreign,
    /// There is no such flow.
    Missing,
}
