//! Sessions at this server.

use rusqlite::{OptionalExtension, Row, params};
use vestibule_atproto_identity::login::SessionKey;
use vestibule_oauth_core::{BoxFuture, StoreUnavailable, UnixTime};

use super::{SqliteStore, to_column, to_time};
use crate::limits;
use crate::web_session::{WebSession, WebSessionId, WebSessionStore};

/// A row as it came out.
struct Columns {
    id: [u8; 32],
    subject: String,
    provider: String,
    name: Option<String>,
    session: Option<(String, String)>,
    created_at: i64,
    expires_at: i64,
}

impl Columns {
    /// In the order of every statement here.
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        let (did, id): (Option<String>, Option<String>) = (row.get(4)?, row.get(5)?);
        Ok(Self {
            id: row.get(0)?,
            subject: row.get(1)?,
            provider: row.get(2)?,
            name: row.get(3)?,
            session: did.zip(id),
            created_at: row.get(6)?,
            expires_at: row.get(7)?,
        })
    }

    fn parse(self) -> Option<WebSession> {
        let id = WebSessionId::from_octets(self.id);
        let (created_at, expires_at) = (to_time(self.created_at), to_time(self.expires_at));
        let mut session =
            WebSession::new(id, self.subject, self.provider.parse().ok()?, created_at, expires_at);
        session.name = self.name;
        if let Some((did, id)) = self.session {
            session.session = Some(session_key(&did, &id)?);
        }
        Some(session)
    }
}

pub(super) fn session_key(did: &str, id: &str) -> Option<SessionKey> {
    Some(SessionKey::new(did.parse().ok()?, id.parse().ok()?))
}

impl SqliteStore {
    fn parsed(&self, row: Option<Columns>) -> Result<Option<WebSession>, StoreUnavailable> {
        let unreadable = || self.unavailable("a web session cannot be read by this version");
        row.map(|row| row.parse().ok_or_else(unreadable)).transpose()
    }
}

impl WebSessionStore for SqliteStore {
    fn put<'a>(&'a self, session: WebSession) -> BoxFuture<'a, Result<(), StoreUnavailable>> {
        Box::pin(async move {
            limits::web_session(&session)?;
            let act = move |connection: &rusqlite::Connection| {
                let key = session.session.as_ref();
                connection
                    .prepare_cached(
                        "INSERT OR REPLACE INTO web_sessions
                         (id, subject, provider, name, session_did, session_id, created_at, expires_at)
                         VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                    )?
                    .execute(params![
                        session.id.as_octets(),
                        session.subject,
                        session.provider.as_str(),
                        session.name,
                        key.map(|key| key.did().as_str()),
                        key.map(|key| key.id().as_str()),
                        to_column(session.created_at.as_secs()),
                        to_column(session.expires_at.as_secs()),
                    ])?;
                Ok(())
            };
            self.writer.write(act).await
        })
    }

    fn load<'a>(
        &'a self,
        id: WebSessionId,
        now: UnixTime,
    ) -> BoxFuture<'a, Result<Option<WebSession>, StoreUnavailable>> {
        Box::pin(async move {
            let act = move |connection: &rusqlite::Connection| {
                connection
                    .prepare_cached(
                        "SELECT id, subject, provider, name, session_did, session_id, created_at, expires_at
                         FROM web_sessions WHERE id = ? AND expires_at > ?",
                    )?
                    .query_row(params![id.as_octets(), to_column(now.as_secs())], Columns::read)
                    .optional()
            };
            self.parsed(self.writer.read(act).await?)
        })
    }

    fn remove<'a>(&'a self, id: WebSessionId) -> BoxFuture<'a, Result<Option<WebSession>, StoreUnavailable>> {
        Box::pin(async move {
            let act = move |connection: &rusqlite::Connection| {
                connection
                    .prepare_cached(
                        "DELETE FROM web_sessions WHERE id = ? RETURNING
                         id, subject, provider, name, session_did, session_id, created_at, expires_at",
                    )?
                    .query_row(params![id.as_octets()], Columns::read)
                    .optional()
            };
            self.parsed(self.writer.write(act).await?)
        })
    }

    fn uses<'a>(
        &'a self,
        session: &'a SessionKey,
        now: UnixTime,
    ) -> BoxFuture<'a, Result<u64, StoreUnavailable>> {
        let (did, id) = (session.did().to_string(), session.id().to_string());
        Box::pin(async move {
            let act = move |connection: &rusqlite::Connection| {
                connection
                    .prepare_cached(
                        "SELECT count(*) FROM web_sessions
                         WHERE session_did = ? AND session_id = ? AND expires_at > ?",
                    )?
                    .query_row(params![did, id, to_column(now.as_secs())], |row| row.get::<_, i64>(0))
            };
            Ok(u64::try_from(self.writer.read(act).await?).unwrap_or(0))
        })
    }
}
