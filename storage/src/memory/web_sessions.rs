//! Sessions at this server.

use std::collections::{BTreeMap, BTreeSet};

use vestibule_atproto_identity::login::SessionKey;
use vestibule_oauth_core::{BoxFuture, StoreUnavailable, UnixTime};

use super::{MemoryStore, full, lock};
use crate::limits;
use crate::web_session::{WebSession, WebSessionId, WebSessionStore};

/// Web sessions, the order they expire in, and who uses what.
#[derive(Default, Debug)]
pub(super) struct WebSessions {
    pub(super) by_id: BTreeMap<WebSessionId, WebSession>,
    by_expiry: BTreeSet<(UnixTime, WebSessionId)>,
    by_session: BTreeSet<(SessionKey, WebSessionId)>,
    /// What those had used that made room before they were swept: the next sweep looks at these too.
    pub(super) made_room: BTreeSet<SessionKey>,
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

    pub(super) fn using(&self, key: &SessionKey) -> impl Iterator<Item = &WebSession> {
        let all = (key.clone(), FIRST_ID)..=(key.clone(), LAST_ID);
        self.by_session.range(all).filter_map(|(_, id)| self.by_id.get(id))
    }

    /// Takes out the session that expires first, if it has expired.
    pub(super) fn remove_expired(&mut self, now: UnixTime) -> Option<WebSession> {
        let (expires_at, id) = self.by_expiry.first().copied()?;
        if expires_at <= now { self.remove(id) } else { None }
    }
}

const FIRST_ID: WebSessionId = WebSessionId::from_octets([0; 32]);
const LAST_ID: WebSessionId = WebSessionId::from_octets([0xff; 32]);

impl WebSessionStore for MemoryStore {
    fn put<'a>(&'a self, session: WebSession) -> BoxFuture<'a, Result<(), StoreUnavailable>> {
        Box::pin(async move {
            limits::web_session(&session)?;
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

    fn remove_all<'a>(
        &'a self,
        subject: &'a str,
        spared: Option<WebSessionId>,
    ) -> BoxFuture<'a, Result<Vec<WebSession>, StoreUnavailable>> {
        Box::pin(async move {
            let mut sessions = lock(&self.web_sessions);
            let theirs = sessions.by_id.values().filter(|session| session.subject == subject);
            let ids: Vec<_> = theirs.map(|session| session.id).filter(|id| Some(*id) != spared).collect();
            Ok(ids.into_iter().filter_map(|id| sessions.remove(id)).collect())
        })
    }

    fn uses<'a>(
        &'a self,
        session: &'a SessionKey,
        now: UnixTime,
    ) -> BoxFuture<'a, Result<u64, StoreUnavailable>> {
        Box::pin(async move {
            let sessions = lock(&self.web_sessions);
            let browsers = sessions.using(session).filter(|session| session.expires_at > now).count();
            Ok((browsers + self.issued.using(&session.to_string(), now)) as u64)
        })
    }
}
