//! Sessions at this server.

use tokio_postgres::Row;
use vestibule_atproto_identity::login::SessionKey;
use vestibule_oauth_core::{BoxFuture, StoreUnavailable, UnixTime};

use super::{PostgresStore, secs};
use crate::columns::{session_key, to_number, to_time};
use crate::limits;
use crate::web_session::{WebSession, WebSessionId, WebSessionStore};

/// In the order of every statement here.
macro_rules! columns {
    () => {
        "id, subject, provider, name, session_did, session_id, created_at, expires_at"
    };
}

fn parse(row: &Row) -> Option<WebSession> {
    let id = WebSessionId::from_octets(row.try_get::<_, &[u8]>(0).ok()?.try_into().ok()?);
    let (subject, provider): (String, &str) = (row.try_get(1).ok()?, row.try_get(2).ok()?);
    let (did, session): (Option<&str>, Option<&str>) = (row.try_get(4).ok()?, row.try_get(5).ok()?);
    let (created_at, expires_at) = (to_time(row.try_get(6).ok()?), to_time(row.try_get(7).ok()?));
    let mut web = WebSession::new(id, subject, provider.parse().ok()?, created_at, expires_at);
    web.name = row.try_get(3).ok()?;
    if let Some((did, session)) = did.zip(session) {
        web.session = Some(session_key(did, session)?);
    }
    Some(web)
}

impl PostgresStore {
    fn web_session(&self, row: &Row) -> Result<WebSession, StoreUnavailable> {
        parse(row).ok_or_else(|| self.unavailable("a web session cannot be read by this version"))
    }
}

/// Browsers, then apps: by their grants, by codes that are still to be redeemed, and by devices that are still to ask.
const USES: &str = "SELECT
     (SELECT count(*) FROM web_sessions WHERE session_did = $1 AND session_id = $2 AND expires_at > $4)
     + (SELECT count(*) FROM grants WHERE context = $3 AND ended IS NULL AND expires_at > $4)
     + (SELECT count(*) FROM codes WHERE context = $3 AND redeemed_at IS NULL AND ended IS NULL AND keep_until > $4)
     + (SELECT count(*) FROM devices WHERE context = $3 AND state = 'approved' AND expires_at > $4)";

impl WebSessionStore for PostgresStore {
    fn put<'a>(&'a self, session: WebSession) -> BoxFuture<'a, Result<(), StoreUnavailable>> {
        Box::pin(async move {
            limits::web_session(&session)?;
            let key = session.session.as_ref();
            let sql = concat!(
                "INSERT INTO web_sessions (",
                columns!(),
                ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (id) DO UPDATE SET
                 subject = excluded.subject, provider = excluded.provider, name = excluded.name,
                 session_did = excluded.session_did, session_id = excluded.session_id,
                 created_at = excluded.created_at, expires_at = excluded.expires_at"
            );
            self.connections
                .rows(
                    sql,
                    &[
                        &session.id.as_octets().as_slice(),
                        &session.subject,
                        &session.provider.as_str(),
                        &session.name,
                        &key.map(|key| key.did().as_str()),
                        &key.map(|key| key.id().as_str()),
                        &secs(session.created_at),
                        &secs(session.expires_at),
                    ],
                )
                .await?;
            Ok(())
        })
    }

    fn load<'a>(
        &'a self,
        id: WebSessionId,
        now: UnixTime,
    ) -> BoxFuture<'a, Result<Option<WebSession>, StoreUnavailable>> {
        Box::pin(async move {
            let sql = concat!("SELECT ", columns!(), " FROM web_sessions WHERE id = $1 AND expires_at > $2");
            let row = self.connections.row(sql, &[&id.as_octets().as_slice(), &secs(now)]).await?;
            row.map(|row| self.web_session(&row)).transpose()
        })
    }

    fn remove<'a>(&'a self, id: WebSessionId) -> BoxFuture<'a, Result<Option<WebSession>, StoreUnavailable>> {
        Box::pin(async move {
            let sql = concat!("DELETE FROM web_sessions WHERE id = $1 RETURNING ", columns!());
            let row = self.connections.row(sql, &[&id.as_octets().as_slice()]).await?;
            row.map(|row| self.web_session(&row)).transpose()
        })
    }

    fn remove_all<'a>(
        &'a self,
        subject: &'a str,
        spared: Option<WebSessionId>,
    ) -> BoxFuture<'a, Result<Vec<WebSession>, StoreUnavailable>> {
        Box::pin(async move {
            let spared = spared.as_ref().map(|id| id.as_octets().as_slice());
            let sql = concat!(
                "DELETE FROM web_sessions WHERE subject = $1 AND ($2::bytea IS NULL OR id <> $2) RETURNING ",
                columns!()
            );
            let rows = self.connections.rows(sql, &[&subject, &spared]).await?;
            rows.iter().map(|row| self.web_session(row)).collect()
        })
    }

    fn uses<'a>(
        &'a self,
        session: &'a SessionKey,
        now: UnixTime,
    ) -> BoxFuture<'a, Result<u64, StoreUnavailable>> {
        Box::pin(async move {
            let (did, id, context) = (session.did().as_str(), session.id().as_str(), session.to_string());
            let row = self.connections.row(USES, &[&did, &id, &context, &secs(now)]).await?;
            row.map_or(Ok(0), |row| self.connections.column(&row, 0).map(to_number))
        })
    }
}
