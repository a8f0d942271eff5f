//! Sessions at this server.

use rusqlite::{OptionalExtension, Row, params};
use vestibule_atproto_identity::login::SessionKey;
use vestibule_oauth_core::{BoxFuture, StoreUnavailable, UnixTime};

use super::SqliteStore;
use crate::columns::{session_key, to_column, to_time};
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

impl SqliteStore {
    fn parsed(&self, row: Option<Columns>) -> Result<Option<WebSession>, StoreUnavailable> {
        let unreadable = || self.unavailable("a web session cannot be read by this version");
        row.map(|row| row.parse().ok_or_else(unreadable)).transpose()
    }
}

/// Browsers, then apps: by their grants, by codes that are still to be redeemed, and by devices that are still to ask.
pub(super) const USES: &str = "SELECT
     (SELECT count(*) FROM web_sessions WHERE session_did = ?1 AND session_id = ?2 AND expires_at > ?4)
     + (SELECT count(*) FROM grants WHERE context = ?3 AND ended IS NULL AND expires_at > ?4)
     + (SELECT count(*) FROM codes WHERE context = ?3 AND redeemed_at IS NULL AND ended IS NULL AND keep_until > ?4)
     + (SELECT count(*) FROM devices WHERE context = ?3 AND state = 'approved' AND expires_at > ?4)";

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

    fn remove_all<'a>(
        &'a self,
        subject: &'a str,
        spared: Option<WebSessionId>,
    ) -> BoxFuture<'a, Result<Vec<WebSession>, StoreUnavailable>> {
        let subject = subject.to_owned();
        Box::pin(async move {
            let act = move |connection: &rusqlite::Connection| {
                connection
                    .prepare_cached(
                        "DELETE FROM web_sessions WHERE subject = ? AND id IS NOT ? RETURNING
                         id, subject, provider, name, session_did, session_id, created_at, expires_at",
                    )?
                    .query_map(params![subject, spared.as_ref().map(WebSessionId::as_octets)], Columns::read)?
                    .collect::<rusqlite::Result<Vec<_>>>()
            };
            let removed = self.writer.write(act).await?;
            removed.into_iter().filter_map(|row| self.parsed(Some(row)).transpose()).collect()
        })
    }

    fn uses<'a>(
        &'a self,
        session: &'a SessionKey,
        now: UnixTime,
    ) -> BoxFuture<'a, Result<u64, StoreUnavailable>> {
        let (did, id) = (session.did().to_string(), session.id().to_string());
        let context = session.to_string();
        Box::pin(async move {
            let act = move |connection: &rusqlite::Connection| {
                connection
                    .prepare_cached(USES)?
                    .query_row(params![did, id, context, to_column(now.as_secs())], |row| {
                        row.get::<_, i64>(0)
                    })
            };
            Ok(u64::try_from(self.writer.read(act).await?).unwrap_or(0))
        })
    }
}
