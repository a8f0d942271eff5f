//! A store in this process: for tests, for trying things out, and for a server whose people may sign in again when it
//! starts again.

mod accounts;
mod clients;
mod devices;
mod flows;
mod issued;
mod keys;
mod sessions;
mod shards;
mod sweep;
mod web_sessions;

use std::sync::{Mutex, MutexGuard, PoisonError};

use vestibule_oauth_core::StoreUnavailable;

use accounts::Accounts;
use clients::AllClients;
use flows::Flows;
use issued::Issued;
use keys::Keys;
use sessions::Sessions;
use web_sessions::WebSessions;

/// Every port, in memory, within bounds:
/// - beyond 10 000 flows, the one that expires first makes room: a flood of logins that nobody finishes must not keep
///   people out, and who needs a minute to sign in is not hurt by fewer than 10 000 of them a minute;
/// - beyond 100 000 sessions, and as many web sessions that have not expired, new ones are refused, because each of
///   those that are there is somebody who is signed in;
/// - beyond 100 000 identities of people, new ones are refused;
/// - beyond 1 000 keys of the ring, new ones are refused;
/// - no record is larger than [`FLOW_OCTETS`], [`SESSION_OCTETS`] and [`WEB_SESSION_OCTETS`] say.
///
/// [`FLOW_OCTETS`]: crate::FLOW_OCTETS
/// [`SESSION_OCTETS`]: crate::SESSION_OCTETS
/// [`WEB_SESSION_OCTETS`]: crate::WEB_SESSION_OCTETS
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// use vestibule_oauth_core::UnixTime;
/// use vestibule_strategy::{FlowKey, FlowStore, StoredFlow, TakenFlow};
/// use vestibule_storage::MemoryStore;
///
/// let store = MemoryStore::new();
/// let (key, binding) = (FlowKey::from_octets([1; 32]), [2; 32]);
/// let flow = StoredFlow::new(key, binding, b"sealed".to_vec(), UnixTime::from_secs(1_700_000_600));
/// store.put(flow).await.unwrap();
/// assert_eq!(store.take(key, binding).await.unwrap(), TakenFlow::Taken(b"sealed".to_vec()));
/// assert_eq!(store.take(key, binding).await.unwrap(), TakenFlow::Missing);
/// # });
/// ```
#[derive(Debug)]
pub struct MemoryStore {
    limits: Limits,
    flows: Mutex<Flows>,
    // Who takes two of these locks takes them in this order.
    sessions: Mutex<Sessions>,
    web_sessions: Mutex<WebSessions>,
    keys: Mutex<Keys>,
    accounts: Mutex<Accounts>,
    clients: AllClients,
    issued: Issued,
}

/// The most there may be of each.
#[derive(Clone, Copy, Debug)]
struct Limits {
    flows: usize,
    sessions: usize,
    web_sessions: usize,
    keys: usize,
    identities: usize,
}

/// With flows of 2 KiB and sessions of 4 KiB, what people's servers give, this is half a gigabyte when all is full. Keys
/// come one by one, by hand: nobody has a thousand.
const LIMITS: Limits =
    Limits { flows: 10_000, sessions: 100_000, web_sessions: 100_000, keys: 1_000, identities: 100_000 };

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::within(LIMITS)
    }

    fn within(limits: Limits) -> Self {
        Self {
            limits,
            flows: Mutex::default(),
            sessions: Mutex::default(),
            web_sessions: Mutex::default(),
            keys: Mutex::default(),
            accounts: Mutex::default(),
            clients: AllClients::default(),
            issued: Issued::new(),
        }
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

/// Nothing in here panics while it holds a lock, and if it did, no act would be half done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn full<T>(of: &str) -> Result<T, StoreUnavailable> {
    Err(StoreUnavailable::new(format!("the memory store is full of {of}")))
}

fn taken<T>(what: &str) -> Result<T, StoreUnavailable> {
    Err(StoreUnavailable::new(format!("the memory store has a {what} of this name")))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use vestibule_atproto_identity::login::{SessionId, SessionKey, SessionStore};
    use vestibule_oauth_core::UnixTime;
    use vestibule_strategy::{FlowKey, FlowStore, StoredFlow, TakenFlow};

    use super::*;
    use crate::conformance;
    use crate::housekeeping::{Housekeeping, LOOKED_AT, UNUSED_AFTER};
    use crate::key_ring::{KeyRingStore, SealedKey};
    use crate::web_session::{WebSession, WebSessionId, WebSessionStore};

    const NOW: UnixTime = UnixTime::from_secs(1_700_000_000);

    fn small() -> MemoryStore {
        MemoryStore::within(Limits { flows: 2, sessions: 2, web_sessions: 2, keys: 3, identities: 2 })
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn keeps_the_contract() {
        let store = Arc::new(MemoryStore::new());
        conformance::flows(store.clone(), [1; 32]).await.unwrap();
        conformance::sessions(store.clone(), [1; 32]).await.unwrap();
        conformance::leases(store.clone(), [2; 32]).await.unwrap();
        conformance::web_sessions(store.clone(), [1; 32]).await.unwrap();
        conformance::key_ring(store.clone(), [1; 32]).await.unwrap();
        conformance::housekeeping(store.clone(), store.clone(), store.clone(), [1; 32]).await.unwrap();
        conformance::unused_sessions(store.clone(), store.clone(), store.clone(), [2; 32]).await.unwrap();
        conformance::surplus_sessions(store.clone(), store.clone(), [3; 32]).await.unwrap();
        conformance::client_keys(store.clone(), store.clone(), [4; 32]).await.unwrap();
        conformance::issued(store.clone(), [5; 32]).await.unwrap();
        conformance::clients(store.clone(), store.clone(), [6; 32]).await.unwrap();
        conformance::accounts(store, [7; 32]).await.unwrap();
    }

    #[tokio::test]
    async fn a_full_store_forgets_the_flow_that_expires_first() {
        let store = small();
        let flow = |n: u8, at| StoredFlow::new(FlowKey::from_octets([n; 32]), [n; 32], vec![n], at);
        for (n, secs) in [(1, 2), (2, 1), (3, 3)] {
            let at = UnixTime::from_secs(secs);
            FlowStore::put(&store, flow(n, at)).await.unwrap();
        }
        for (n, there) in [(1, true), (2, false), (3, true)] {
            let taken = store.take(FlowKey::from_octets([n; 32]), [n; 32]).await.unwrap();
            assert_eq!(taken, if there { TakenFlow::Taken(vec![n]) } else { TakenFlow::Missing });
        }
        let flows = lock(&store.flows);
        assert!(flows.by_key.is_empty() && flows.by_expiry.is_empty());
    }

    #[tokio::test]
    async fn a_full_store_refuses_sessions() {
        let store = small();
        for n in 0..2 {
            store.insert(&conformance::session([n; 32]).unwrap()).await.unwrap();
        }
        let third = conformance::session([2; 32]).unwrap();
        assert!(store.insert(&third).await.unwrap_err().to_string().contains("full"));
        assert!(SessionStore::load(&store, &third.key).await.unwrap().is_none());
        SessionStore::remove(&store, &conformance::session([0; 32]).unwrap().key).await.unwrap();
        store.insert(&third).await.unwrap();
    }

    #[tokio::test]
    async fn a_full_store_replaces_web_sessions_that_have_expired_and_refuses_more() {
        let store = small();
        let web = |n: u8, from: u64| {
            let at = UnixTime::from_secs(from);
            let until = UnixTime::from_secs(from + 10);
            WebSession::new(WebSessionId::from_octets([n; 32]), "x", "p".parse().unwrap(), at, until)
        };
        let used = conformance::session([1; 32]).unwrap().key;
        let mut first = web(1, 0);
        first.session = Some(used.clone());
        for session in [first, web(2, 5), web(2, 5)] {
            WebSessionStore::put(&store, session).await.unwrap();
        }
        assert!(WebSessionStore::put(&store, web(3, 9)).await.unwrap_err().to_string().contains("full"));
        WebSessionStore::put(&store, web(3, 10)).await.unwrap();
        let ids: Vec<_> = lock(&store.web_sessions).by_id.keys().map(|id| id.as_octets()[0]).collect();
        assert_eq!(ids, [2, 3]);
        assert_eq!(store.sweep(UnixTime::from_secs(10)).await.unwrap().unused, [used]);
        assert!(store.sweep(UnixTime::from_secs(10)).await.unwrap().unused.is_empty());
    }

    #[tokio::test]
    async fn a_full_store_refuses_keys() {
        let store = small();
        for id in ["a", "b", "c"] {
            store.add(SealedKey::new(id, "seal", vec![], NOW)).await.unwrap();
        }
        assert!(store.add(SealedKey::new("d", "seal", vec![], NOW)).await.is_err());
    }

    #[tokio::test]
    async fn a_sweep_does_a_thousand_at_a_time_and_says_so() {
        let store = MemoryStore::new();
        for n in 0..1001_u64 {
            let mut octets = [0; 32];
            octets[..8].copy_from_slice(&n.to_be_bytes());
            FlowStore::put(&store, StoredFlow::new(FlowKey::from_octets(octets), [0; 32], vec![], NOW))
                .await
                .unwrap();
        }
        let first = store.sweep(NOW).await.unwrap();
        assert!(first.more && first.flows == 1000);
        let second = store.sweep(NOW).await.unwrap();
        assert!(!second.more && second.flows == 1);
    }

    #[tokio::test]
    async fn sessions_are_gone_through_a_part_at_a_time() {
        let store = MemoryStore::new();
        let first = conformance::session([1; 32]).unwrap();
        let nth = |n: u32| {
            let mut octets = [0; 16];
            octets[..4].copy_from_slice(&n.to_be_bytes());
            let mut session = first.clone();
            session.key = SessionKey::new(first.key.did().clone(), SessionId::from_entropy(octets));
            session
        };
        let all = 2 * LOOKED_AT + 1;
        let mut keys = Vec::new();
        for n in 0..all {
            let session = nth(n.try_into().unwrap());
            store.insert(&session).await.unwrap();
            keys.push(session.key);
        }
        keys.sort();
        for round in 0..2 {
            let mut named = Vec::new();
            for expected in [LOOKED_AT, LOOKED_AT, 1] {
                let swept = store.sweep(NOW.after(UNUSED_AFTER)).await.unwrap();
                assert!(swept.unused.len() == expected && !swept.more, "round {round}");
                named.extend(swept.unused);
            }
            assert_eq!(named, keys, "round {round}");
        }
    }

    #[test]
    fn a_sweep_beside_acts_on_the_same_grants_holds_nobody_up() {
        // On threads of its own: what waits for ever must not keep the test from saying so.
        let (done, is_done) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
            for round in 0..10 {
                let store = Arc::new(MemoryStore::new());
                runtime.block_on(conformance::busy_grant(store.clone(), store, [round; 32])).unwrap();
            }
            done.send(()).unwrap();
        });
        let done = is_done.recv_timeout(std::time::Duration::from_secs(120));
        assert!(done.is_ok(), "an act waits for a sweep that waits for it");
    }
}
