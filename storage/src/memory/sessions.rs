//! Sessions at people's servers.

use std::collections::BTreeMap;
use std::ops::Bound;

use vestibule_atproto_identity::Did;
use vestibule_atproto_identity::login::{
    Lease, Leased, Replaced, SessionId, SessionKey, SessionRecord, SessionStore,
};
use vestibule_oauth_core::{BoxFuture, StoreUnavailable, UnixTime};

use super::{MemoryStore, full, lock, taken};
use crate::housekeeping::{LOOKED_AT, is_old};
use crate::key_ring::ClientKeyUses;
use crate::limits;

#[derive(Default, Debug)]
pub(super) struct Sessions {
    by_key: BTreeMap<SessionKey, Kept>,
    /// Where the last sweep stopped looking.
    looked_at: Option<SessionKey>,
}

#[derive(Debug)]
struct Kept {
    record: SessionRecord,
    created_at: UnixTime,
    lease_until: Option<UnixTime>,
    fence: u64,
}

impl Sessions {
    pub(super) fn client_keys(&self) -> ClientKeyUses {
        let mut uses = ClientKeyUses::default();
        for key in self.by_key.values().filter_map(|kept| kept.record.client_key.as_ref()) {
            *uses.by_key.entry(key.kid.clone()).or_default() += 1;
        }
        uses
    }

    /// Goes through the next [`LOOKED_AT`] sessions and gives those that are old.
    pub(super) fn next_old(&mut self, now: UnixTime) -> Vec<SessionKey> {
        let from = self.looked_at.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
        let mut next: Vec<_> = self.by_key.range((from, Bound::Unbounded)).take(LOOKED_AT).collect();
        let stopped = if next.len() == LOOKED_AT { next.last().map(|(key, _)| (*key).clone()) } else { None };
        next.retain(|(_, kept)| is_old(kept.created_at, now));
        let old = next.into_iter().map(|(key, _)| key.clone()).collect();
        self.looked_at = stopped;
        old
    }

    /// Everything this person has, longest ago refreshed first.
    pub(super) fn of(&self, person: &Did) -> Vec<SessionKey> {
        let from = SessionKey::new(person.clone(), SessionId::from_entropy(FIRST_ID));
        let theirs = self.by_key.range(from..).take_while(|(key, _)| key.did() == person);
        let mut theirs: Vec<_> = theirs.map(|(key, kept)| (kept.record.issued_at, key)).collect();
        theirs.sort();
        theirs.into_iter().map(|(_, key)| key.clone()).collect()
    }
}

/// The octets of the id whose text sorts first: `-` comes before every other character of base64url.
const FIRST_ID: [u8; 16] =
    [0xfb, 0xef, 0xbe, 0xfb, 0xef, 0xbe, 0xfb, 0xef, 0xbe, 0xfb, 0xef, 0xbe, 0xfb, 0xef, 0xbe, 0xf8];

/// Whether the record is no larger than is kept. It is written out for that only: here it stays as it is.
fn fits(session: &SessionRecord) -> Result<(), StoreUnavailable> {
    let octets = session.to_octets().map_err(|error| StoreUnavailable::new(error.to_string()))?;
    limits::session(&octets)
}

impl SessionStore for MemoryStore {
    fn insert<'a>(&'a self, session: &'a SessionRecord) -> BoxFuture<'a, Result<(), StoreUnavailable>> {
        Box::pin(async move {
            fits(session)?;
            let mut sessions = lock(&self.sessions);
            if sessions.by_key.contains_key(&session.key) {
                taken("session")
            } else if sessions.by_key.len() >= self.limits.sessions {
                full("sessions")
            } else {
                let kept = Kept {
                    record: session.clone(),
                    created_at: session.issued_at,
                    lease_until: None,
                    fence: 0,
                };
                sessions.by_key.insert(session.key.clone(), kept);
                Ok(())
            }
        })
    }

    fn load<'a>(
        &'a self,
        key: &'a SessionKey,
    ) -> BoxFuture<'a, Result<Option<SessionRecord>, StoreUnavailable>> {
        Box::pin(async move {
            let session = lock(&self.sessions).by_key.get(key).map(|kept| kept.record.clone());
            Ok(session)
        })
    }

    fn lease<'a>(
        &'a self,
        key: &'a SessionKey,
        now: UnixTime,
    ) -> BoxFuture<'a, Result<Leased, StoreUnavailable>> {
        Box::pin(async move {
            let leased = match lock(&self.sessions).by_key.get_mut(key) {
                None => Leased::Missing,
                Some(kept) if kept.lease_until.is_some_and(|until| Lease::is_held(until, now)) => {
                    Leased::Held
                }
                Some(kept) => {
                    kept.lease_until = Some(now.after(Lease::LENGTH));
                    kept.fence += 1;
                    Leased::Taken(Lease::new(key.clone(), kept.fence), Box::new(kept.record.clone()))
                }
            };
            Ok(leased)
        })
    }

    fn release<'a>(&'a self, lease: &'a Lease) -> BoxFuture<'a, Result<(), StoreUnavailable>> {
        Box::pin(async move {
            if let Some(kept) = lock(&self.sessions).by_key.get_mut(&lease.key)
                && kept.fence == lease.fence
            {
                kept.lease_until = None;
            }
            Ok(())
        })
    }

    fn replace<'a>(
        &'a self,
        session: &'a SessionRecord,
    ) -> BoxFuture<'a, Result<Replaced, StoreUnavailable>> {
        Box::pin(async move {
            fits(session)?;
            let replaced = match lock(&self.sessions).by_key.get_mut(&session.key) {
                None => Replaced::Missing,
                Some(kept) if kept.record.generation.checked_add(1) == Some(session.generation) => {
                    kept.record = session.clone();
                    kept.lease_until = None;
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
            let session = lock(&self.sessions).by_key.remove(key).map(|kept| kept.record);
            Ok(session)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_id_sorts_before_the_first() {
        let first = SessionId::from_entropy(FIRST_ID);
        assert_eq!(first.as_str(), "---------------------A");
        for other in [[0; 16], [0xff; 16], [0xfb; 16]] {
            assert!(first < SessionId::from_entropy(other));
        }
    }
}
