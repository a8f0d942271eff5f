//! Housekeeping.

use vestibule_atproto_identity::Did;
use vestibule_atproto_identity::login::SessionKey;
use vestibule_oauth_core::{BoxFuture, StoreUnavailable, UnixTime};

use super::{MemoryStore, lock};
use crate::housekeeping::{Housekeeping, SWEEP_ROWS, Swept};
use crate::limits::SESSIONS_PER_PERSON;

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

            swept.issued = self.issued.sweep(now);
            let old = lock(&self.sessions).next_old(now);
            let mut web = lock(&self.web_sessions);
            let removed: Vec<_> = std::iter::from_fn(|| web.remove_expired(now)).take(SWEEP_ROWS).collect();
            swept.web_sessions = removed.len() as u64;
            let mut seen = std::mem::take(&mut web.made_room);
            seen.extend(removed.into_iter().filter_map(|session| session.session));
            seen.extend(old);
            let is_unused = |key: &SessionKey| {
                web.using(key).next().is_none() && self.issued.using(&key.to_string(), now) == 0
            };
            swept.unused = seen.into_iter().filter(is_unused).collect();
            swept.more = expired.len() == SWEEP_ROWS || swept.web_sessions == SWEEP_ROWS as u64;
            Ok(swept)
        })
    }

    fn surplus<'a>(&'a self, person: &'a Did) -> BoxFuture<'a, Result<Vec<SessionKey>, StoreUnavailable>> {
        Box::pin(async move {
            let mut theirs = lock(&self.sessions).of(person);
            theirs.truncate(theirs.len().saturating_sub(SESSIONS_PER_PERSON).min(SWEEP_ROWS));
            Ok(theirs)
        })
    }

    fn ping<'a>(&'a self) -> BoxFuture<'a, Result<(), StoreUnavailable>> {
        Box::pin(async move { Ok(()) })
    }
}
