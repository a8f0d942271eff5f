//! A store in this process: for tests, for trying things out, and for a server whose people may sign in again when it
//! starts again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use vestibule_atproto_identity::login::{Replaced, SessionKey, SessionRecord, SessionStore};
use vestibule_oauth_core::{BoxFuture, StoreUnavailable, UnixTime};
use vestibule_strategy::{FlowKey, FlowStore, StoredFlow, TakenFlow};

use crate::housekeeping::{Housekeeping, SWEEP_ROWS, Swept};
use crate::key_ring::{KeyRingStore, Retired, SealedKey};
use crate::web_session::{WebSession, WebSessionId, WebSessionStore};

/// Every port, in memory, within bounds:
/// - beyond 10 000 flows, the one that expires first makes room: a flood of logins that nobody finishes must not keep
///   people out, and who needs a minute to sign in is not hurt by fewer than 10 000 of them a minute;
/// - beyond 100 000 sessions, and as many web sessions that have not expired, new ones are refused, because each of
///   those that are there is somebody who is signed in;
/// - beyond 1 000 keys of the ring, new ones are refused.
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
    sessions: Mutex<BTreeMap<SessionKey, SessionRecord>>,
    web_sessions: Mutex<WebSessions>,
    keys: Mutex<Vec<SealedKey>>,
}

/// The most there may be of each.
#[derive(Clone, Copy, Debug)]
struct Limits {
    flows: usize,
    sessions: usize,
    web_sessions: usize,
    keys: usize,
}

/// With flows of 2 KiB and sessions of 4 KiB, what people's servers give, this is half a gigabyte when all is full. Keys
/// come one by one, by hand: nobody has a thousand.
const LIMITS: Limits = Limits { flows: 10_000, sessions: 100_000, web_sessions: 100_000, keys: 1_000 };

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

/// Flows, and the order they expire in.
#[derive(Default, Debug)]
struct Flows {
    by_key: BTreeMap<FlowKey, StoredFlow>,
    by_expiry: BTreeSet<(UnixTime, FlowKey)>,
}

impl Flows {
    fn insert(&mut self, flow: StoredFlow) {
        self.by_expiry.insert((flow.expires_at, flow.key));
        self.by_key.insert(flow.key, flow);
    }

    fn remove(&mut self, key: FlowKey) -> Option<StoredFlow> {
        let flow = self.by_key.remove(&key)?;
        self.by_expiry.remove(&(flow.expires_at, key));
        Some(flow)
    }
}

impl FlowStore for MemoryStore {
    fn put<'a>(&'a self, flow: StoredFlow) -> BoxFuture<'a, Result<(), StoreUnavailable>> {
        Box::pin(async move {
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

impl SessionStore for MemoryStore {
    fn insert<'a>(&'a self, session: &'a SessionRecord) -> BoxFuture<'a, Result<(), StoreUnavailable>> {
        Box::pin(async move {
            let mut sessions = lock(&self.sessions);
            if sessions.contains_key(&session.key) {
                taken("session")
            } else if sessions.len() >= self.limits.sessions {
                full("sessions")
            } else {
                sessions.insert(session.key.clone(), session.clone());
                Ok(())
            }
        })
    }

    fn load<'a>(
        &'a self,
        key: &'a SessionKey,
    ) -> BoxFuture<'a, Result<Option<SessionRecord>, StoreUnavailable>> {
        Box::pin(async move {
            let session = lock(&self.sessions).get(key).cloned();
            Ok(session)
        })
    }

    fn replace<'a>(
        &'a self,
        session: &'a SessionRecord,
    ) -> BoxFuture<'a, Result<Replaced, StoreUnavailable>> {
        Box::pin(async move {
            let replaced = match lock(&self.sessions).get_mut(&session.key) {
                None => Replaced::Missing,
                Some(there) if there.generation.checked_add(1) == Some(session.generation) => {
                    *there = session.clone();
                    Replaced::Replaced
                }
                Some(_) => Replaced::Superseded,
            };
            Ok(replaced)
        })
    }

    fn remove<'a>(
        &'a self,
        key: &'a SessionKey,
    ) -> BoxFuture<'a, Result<Option<SessionRecord>, StoreUnavailable>> {
        Box::pin(async move {
            let session = lock(&self.sessions).remove(key);
            Ok(session)
        })
    }
}

/// Web sessions, the order they expire in, and who uses what.
#[derive(Default, Debug)]
struct WebSessions {
    by_id: BTreeMap<WebSessionId, WebSession>,
    by_expiry: BTreeSet<(UnixTime, WebSessionId)>,
    by_session: BTreeSet<(SessionKey, WebSessionId)>,
    /// What those had used that made room before they were swept: the next sweep looks at these too.
    made_room: BTreeSet<SessionKey>,
}

impl WebSessions {
    fn insert(&mut self, session: WebSession) {
        self.remove(session.id);
        self.by_expiry.insert((session.expires_at, session.id));
        if let Some(key) = &session.session {
            self.by_session.insert((key.clone(), session.id));
        }
        self.by_id.insert(session.id, session);
    }

    fn remove(&mut self, id: WebSessionId) -> Option<WebSession> {
        let session = self.by_id.remove(&id)?;
        self.by_expiry.remove(&(session.expires_at, id));
        if let Some(key) = session.session.clone() {
            self.by_session.remove(&(key, id));
        }
        Some(session)
    }

    fn using(&self, key: &SessionKey) -> impl Iterator<Item = &WebSession> {
        let all = (key.clone(), FIRST_ID)..=(key.clone(), LAST_ID);
        self.by_session.range(all).filter_map(|(_, id)| self.by_id.get(id))
    }

    /// Takes out the session that expires first, if it has expired.
    fn remove_expired(&mut self, now: UnixTime) -> Option<WebSession> {
        let (expires_at, id) = self.by_expiry.first().copied()?;
        if expires_at <= now { self.remove(id) } else { None }
    }
}

const FIRST_ID: WebSessionId = WebSessionId::from_octets([0; 32]);
const LAST_ID: WebSessionId = WebSessionId::from_octets([0xff; 32]);

impl WebSessionStore for MemoryStore {
    fn put<'a>(&'a self, session: WebSession) -> BoxFuture<'a, Result<(), StoreUnavailable>> {
        Box::pin(async move {
            let mut sessions = lock(&self.web_sessions);
            let is_new = !sessions.by_id.contains_key(&session.id);
            if is_new && sessions.by_id.len() >= self.limits.web_sessions {
                // A session is put in when it is made, so this is the present time.
                let Some(expired) = sessions.remove_expired(session.created_at) else {
                    return full("web sessions");
                };
                sessions.made_room.extend(expired.session);
            }
            sessions.insert(session);
            Ok(())
        })
    }

    fn load<'a>(
        &'a self,
        id: WebSessionId,
        now: UnixTime,
    ) -> BoxFuture<'a, Result<Option<WebSession>, StoreUnavailable>> {
        Box::pin(async move {
            let sessions = lock(&self.web_sessions);
            let session = sessions.by_id.get(&id).filter(|session| session.expires_at > now).cloned();
            Ok(session)
        })
    }

    fn remove<'a>(&'a self, id: WebSessionId) -> BoxFuture<'a, Result<Option<WebSession>, StoreUnavailable>> {
        Box::pin(async move {
            let session = lock(&self.web_sessions).remove(id);
            Ok(session)
        })
    }

    fn uses<'a>(
        &'a self,
        session: &'a SessionKey,
        now: UnixTime,
    ) -> BoxFuture<'a, Result<u64, StoreUnavailable>> {
        Box::pin(async move {
            let sessions = lock(&self.web_sessions);
            let uses = sessions.using(session).filter(|session| session.expires_at > now).count();
            Ok(uses as u64)
        })
    }
}

impl KeyRingStore for MemoryStore {
    fn list<'a>(&'a self) -> BoxFuture<'a, Result<Vec<SealedKey>, StoreUnavailable>> {
        Box::pin(async move { Ok(newest_first(&lock(&self.keys))) })
    }

    fn add<'a>(&'a self, key: SealedKey) -> BoxFuture<'a, Result<(), StoreUnavailable>> {
        Box::pin(async move {
            let mut keys = lock(&self.keys);
            if keys.iter().any(|there| there.id == key.id) {
                taken("key")
            } else if keys.len() >= self.limits.keys {
                full("keys")
            } else {
                keys.push(key);
                Ok(())
            }
        })
    }

    fn begin<'a>(&'a self, first: Vec<SealedKey>) -> BoxFuture<'a, Result<Vec<SealedKey>, StoreUnavailable>> {
        Box::pin(async move {
            let mut keys = lock(&self.keys);
            for key in first {
                if keys.iter().all(|there| there.purpose != key.purpose) {
                    keys.push(key);
                }
            }
            Ok(newest_first(&keys))
        })
    }

    fn retire<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Retired, StoreUnavailable>> {
        Box::pin(async move {
            let mut keys = lock(&self.keys);
            let purpose = keys.iter().find(|key| key.id == id).map(|key| key.purpose.clone());
            let retired = match purpose {
                None => Retired::Missing,
                Some(purpose) => {
                    let newest = keys.iter().rfind(|key| key.purpose == purpose);
                    if newest.is_some_and(|newest| newest.id == id) {
                        Retired::InUse
                    } else {
                        keys.retain(|key| key.id != id);
                        Retired::Retired
                    }
                }
            };
            Ok(retired)
        })
    }
}

fn newest_first(keys: &[SealedKey]) -> Vec<SealedKey> {
    keys.iter().rev().cloned().collect()
}

impl Housekeeping for MemoryStore {
    fn sweep<'a>(&'a self, now: UnixTime) -> BoxFuture<'a, Result<Swept, StoreUnavailable>> {
        Box::pin(async move {
            let mut swept = Swept::default();
            let mut flows = lock(&self.flows);
            let expired = flows.by_expiry.iter().take_while(|(expires_at, _)| *expires_at <= now);
            let expired: Vec<_> = expired.take(SWEEP_ROWS).map(|(_, key)| *key).collect();
            swept.flows = expired.len() as u64;
            for key in &expired {
                flows.remove(*key);
            }
            drop(flows);

            let mut sessions = lock(&self.web_sessions);
            let removed: Vec<_> =
                std::iter::from_fn(|| sessions.remove_expired(now)).take(SWEEP_ROWS).collect();
            swept.web_sessions = removed.len() as u64;
            let mut used = std::mem::take(&mut sessions.made_room);
            used.extend(removed.into_iter().filter_map(|session| session.session));
            swept.unused = used.into_iter().filter(|key| sessions.using(key).next().is_none()).collect();
            swept.more = expired.len() == SWEEP_ROWS || swept.web_sessions == SWEEP_ROWS as u64;
            Ok(swept)
        })
    }

    fn ping<'a>(&'a self) -> BoxFuture<'a, Result<(), StoreUnavailable>> {
        Box::pin(async move { Ok(()) })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::conformance;

    const NOW: UnixTime = UnixTime::from_secs(1_700_000_000);

    fn small() -> MemoryStore {
        MemoryStore::within(Limits { flows: 2, sessions: 2, web_sessions: 2, keys: 3 })
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn keeps_the_contract() {
        let store = Arc::new(MemoryStore::new());
        conformance::flows(store.clone(), [1; 32]).await.unwrap();
        conformance::sessions(store.clone(), [1; 32]).await.unwrap();
        conformance::web_sessions(store.clone(), [1; 32]).await.unwrap();
        conformance::key_ring(store.clone(), [1; 32]).await.unwrap();
        conformance::housekeeping(store.clone(), store.clone(), store, [1; 32]).await.unwrap();
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
}
