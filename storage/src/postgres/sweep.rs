//! Housekeeping. Any number of nodes sweep at once: what one is about to throw away, the others pass over.

use std::collections::BTreeSet;
use std::sync::{MutexGuard, PoisonError};

use vestibule_atproto_identity::Did;
use vestibule_atproto_identity::login::SessionKey;
use vestibule_oauth_core::{BoxFuture, StoreUnavailable, UnixTime};

use super::{PostgresStore, schema, secs};
use crate::columns::{ISSUED, Place, session_key, to_number, to_time};
use crate::housekeeping::{Housekeeping, LOOKED_AT, SWEEP_ROWS, Swept, is_old};
use crate::limits::SESSIONS_PER_PERSON;

/// The columns of a session's key.
type Key = (String, String);

/// The next sessions by age, and whether anybody uses them.
const NEXT_SESSIONS: &str = "SELECT did, id, created_at, EXISTS
     (SELECT 1 FROM web_sessions WHERE session_did = sessions.did AND session_id = sessions.id)
     OR EXISTS (SELECT 1 FROM grants WHERE context = sessions.did || '/' || sessions.id AND ended IS NULL)
     FROM sessions WHERE (created_at, did, id) > ($1, $2, $3) ORDER BY created_at, did, id LIMIT $4";

/// Those of these sessions that nobody uses.
const UNUSED: &str = "SELECT did, id FROM unnest($1::text[], $2::text[]) AS ended (did, id) WHERE NOT EXISTS
     (SELECT 1 FROM web_sessions WHERE session_did = did AND session_id = ended.id AND expires_at > $3)
     AND NOT EXISTS (SELECT 1 FROM grants WHERE context = did || '/' || ended.id AND ended IS NULL AND expires_at > $3)
     AND NOT EXISTS (SELECT 1 FROM codes WHERE context = did || '/' || ended.id AND redeemed_at IS NULL
                     AND codes.ended IS NULL AND keep_until > $3)
     AND NOT EXISTS (SELECT 1 FROM devices WHERE context = did || '/' || ended.id AND state = 'approved'
                     AND expires_at > $3)";

impl PostgresStore {
    fn looked_at(&self) -> MutexGuard<'_, Place> {
        self.looked_at.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Throws away what ended before `before`, so many rows at most. The condition stands twice: a row that was kept for longer while it was
    /// looked for stays.
    async fn sweep_table(
        &self,
        (table, name, end): (&str, &str, &str),
        before: i64,
    ) -> Result<u64, StoreUnavailable> {
        let sql = format!(
            "WITH gone AS (
                 DELETE FROM {table} WHERE {end} < $1 AND {name} IN
                 (SELECT {name} FROM {table} WHERE {end} < $1 ORDER BY {end} LIMIT $2 FOR UPDATE SKIP LOCKED)
                 RETURNING 1
             )
             SELECT count(*) FROM gone"
        );
        let row = self.connections.row(&sql, &[&before, &(SWEEP_ROWS as i64)]).await?;
        row.map_or(Ok(0), |row| self.connections.column(&row, 0).map(to_number))
    }

    /// How many went, and the sessions at people's servers that nobody uses any more.
    async fn sweep_web_sessions(&self, now: i64) -> Result<(u64, BTreeSet<Key>), StoreUnavailable> {
        let sql = "DELETE FROM web_sessions WHERE expires_at <= $1 AND id IN
             (SELECT id FROM web_sessions WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED)
             RETURNING session_did, session_id";
        let rows = self.connections.rows(sql, &[&now, &(SWEEP_ROWS as i64)]).await?;
        let (mut dids, mut ids) = (Vec::new(), Vec::new());
        for row in &rows {
            let key: (Option<String>, Option<String>) =
                (self.connections.column(row, 0)?, self.connections.column(row, 1)?);
            if let (Some(did), Some(id)) = key {
                dids.push(did);
                ids.push(id);
            }
        }
        let mut unused = BTreeSet::new();
        if !dids.is_empty() {
            for row in self.connections.rows(UNUSED, &[&dids, &ids, &now]).await? {
                unused.insert((self.connections.column(&row, 0)?, self.connections.column(&row, 1)?));
            }
        }
        Ok((rows.len() as u64, unused))
    }

    /// Goes through the next [`LOOKED_AT`] sessions, and gives those that are old and that nobody uses. The place to go on from next time
    /// is the beginning again after the last of all.
    async fn next_unused(&self, now: UnixTime) -> Result<BTreeSet<Key>, StoreUnavailable> {
        let from = self.looked_at().clone();
        let (did, id) = &from.key;
        let rows =
            self.connections.rows(NEXT_SESSIONS, &[&from.created_at, did, id, &(LOOKED_AT as i64)]).await?;
        let (mut place, mut unused) = (Place::default(), BTreeSet::new());
        for row in &rows {
            place = Place {
                created_at: self.connections.column(row, 2)?,
                key: (self.connections.column(row, 0)?, self.connections.column(row, 1)?),
            };
            let is_used: bool = self.connections.column(row, 3)?;
            if !is_used && is_old(to_time(place.created_at), now) {
                unused.insert(place.key.clone());
            }
        }
        *self.looked_at() = if rows.len() == LOOKED_AT { place } else { Place::default() };
        Ok(unused)
    }
}

impl Housekeeping for PostgresStore {
    fn sweep<'a>(&'a self, now: UnixTime) -> BoxFuture<'a, Result<Swept, StoreUnavailable>> {
        Box::pin(async move {
            let most = SWEEP_ROWS as u64;
            let flows = self.sweep_table(("flows", "key", "expires_at"), secs(now).saturating_add(1)).await?;
            let (web_sessions, mut unused) = self.sweep_web_sessions(secs(now)).await?;
            let (mut issued, mut full) = (0, false);
            for table in ISSUED {
                let rows = self.sweep_table(table, secs(now)).await?;
                issued += rows;
                full |= rows == most;
            }
            unused.extend(self.next_unused(now).await?);
            Ok(Swept {
                flows,
                web_sessions,
                issued,
                unused: unused.iter().filter_map(|(did, id)| session_key(did, id)).collect(),
                more: full || [flows, web_sessions].contains(&most),
            })
        })
    }

    fn surplus<'a>(&'a self, person: &'a Did) -> BoxFuture<'a, Result<Vec<SessionKey>, StoreUnavailable>> {
        Box::pin(async move {
            let sql = "SELECT did, id FROM sessions WHERE did = $1 ORDER BY refreshed_at, id
                 LIMIT (SELECT least(greatest(count(*) - $2, 0), $3) FROM sessions WHERE did = $1)";
            let (kept, most) = (SESSIONS_PER_PERSON as i64, SWEEP_ROWS as i64);
            let rows = self.connections.rows(sql, &[&person.as_str(), &kept, &most]).await?;
            let mut beyond = Vec::with_capacity(rows.len());
            for row in &rows {
                beyond
                    .extend(session_key(self.connections.column(row, 0)?, self.connections.column(row, 1)?));
            }
            Ok(beyond)
        })
    }

    /// Asks for the form: the database answers, and no later version has changed it meanwhile.
    fn ping<'a>(&'a self) -> BoxFuture<'a, Result<(), StoreUnavailable>> {
        Box::pin(async move {
            let row = self.connections.row(schema::FORM, &[]).await?;
            match row.map(|row| self.connections.column::<i64>(&row, 0)).transpose()? {
                Some(schema::VERSION) => Ok(()),
                _ => Err(self.unavailable("its form was changed by another version")),
            }
        })
    }
}
