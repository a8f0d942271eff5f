//! Accounts. Each has a row of its own, which says that its name is taken, and which whoever changes its identities holds.

use tokio_postgres::Row;
use vestibule_oauth_core::{BoxFuture, StoreUnavailable};

use super::connections::With;
use super::{PostgresStore, secs};
use crate::accounts::{AccountStore, Identity, IdentityKey, Linked, Unlinked};
use crate::columns::to_time;
use crate::limits::{self, IDENTITIES_PER_ACCOUNT};

/// How often a sign-in begins again, because the same identity signed in for the first time elsewhere.
const TRIES: usize = 5;

/// Takes the row of an account, so that its identities are counted by one at a time.
const HOLD: &str = "SELECT 1 FROM accounts WHERE subject = $1 FOR UPDATE";

impl PostgresStore {
    fn identity(&self, row: &Row) -> Result<Identity, StoreUnavailable> {
        let (realm, uid): (String, String) =
            (self.connections.column(row, 0)?, self.connections.column(row, 1)?);
        let provider: String = self.connections.column(row, 2)?;
        let provider =
            provider.parse().map_err(|_| self.unavailable("an identity cannot be read by this version"))?;
        let since = to_time(self.connections.column(row, 4)?);
        Ok(Identity::new(IdentityKey::new(realm, uid), provider, self.connections.column(row, 3)?, since))
    }

    /// Notes what is shown of an identity now, and gives the account it belongs to.
    async fn noted(&self, identity: &Identity) -> Result<Option<String>, StoreUnavailable> {
        let sql =
            "UPDATE identities SET provider = $3, name = $4 WHERE realm = $1 AND uid = $2 RETURNING subject";
        let key = &identity.key;
        let row = self
            .connections
            .row(sql, &[&key.realm, &key.uid, &identity.provider.as_str(), &identity.name])
            .await?;
        row.map(|row| self.connections.column(&row, 0)).transpose()
    }
}

impl AccountStore for PostgresStore {
    fn sign_in<'a>(
        &'a self,
        identity: Identity,
        subjects: Vec<String>,
    ) -> BoxFuture<'a, Result<String, StoreUnavailable>> {
        Box::pin(async move {
            limits::identity(&identity)?;
            let sql = "WITH made AS (INSERT INTO accounts (subject) VALUES ($1) ON CONFLICT DO NOTHING RETURNING subject)
                 INSERT INTO identities (realm, uid, subject, provider, name, since)
                 SELECT $2::text, $3::text, subject, $4::text, $5::text, $6::bigint FROM made RETURNING 1";
            let key = &identity.key;
            'again: for _ in 0..TRIES {
                if let Some(subject) = self.noted(&identity).await? {
                    return Ok(subject);
                }
                for subject in &subjects {
                    let provider = identity.provider.as_str();
                    let with: With<'_> =
                        &[subject, &key.realm, &key.uid, &provider, &identity.name, &secs(identity.since)];
                    match self.connections.together_unless_taken(&[(sql, with)]).await? {
                        Some(rows) if rows.iter().all(Vec::is_empty) => {}
                        Some(_) => return Ok(subject.clone()),
                        None => continue 'again,
                    }
                }
                break;
            }
            Err(self.unavailable("every name for a new account is taken"))
        })
    }

    fn link<'a>(
        &'a self,
        subject: &'a str,
        identity: Identity,
    ) -> BoxFuture<'a, Result<Linked, StoreUnavailable>> {
        Box::pin(async move {
            limits::identity(&identity)?;
            let sql = "WITH theirs AS (SELECT count(*) AS number FROM identities WHERE subject = $1),
                 owner AS (SELECT subject FROM identities WHERE realm = $2 AND uid = $3),
                 linked AS (
                     INSERT INTO identities (realm, uid, subject, provider, name, since)
                     SELECT $2::text, $3::text, $1::text, $4::text, $5::text, $6::bigint FROM theirs
                     WHERE number > 0 AND number < $7 AND NOT EXISTS (SELECT 1 FROM owner)
                     ON CONFLICT DO NOTHING RETURNING 1
                 )
                 SELECT (SELECT number FROM theirs), (SELECT subject FROM owner), (SELECT count(*) FROM linked)";
            let key = &identity.key;
            let (most, provider) = (IDENTITIES_PER_ACCOUNT as i64, identity.provider.as_str());
            let rows = self
                .connections
                .together(&[
                    (HOLD, &[&subject]),
                    (
                        sql,
                        &[
                            &subject,
                            &key.realm,
                            &key.uid,
                            &provider,
                            &identity.name,
                            &secs(identity.since),
                            &most,
                        ],
                    ),
                ])
                .await?;
            let Some(row) = rows.last().and_then(|rows| rows.first()) else { return Ok(Linked::NoAccount) };
            let (theirs, linked): (i64, i64) =
                (self.connections.column(row, 0)?, self.connections.column(row, 2)?);
            let owner: Option<&str> = self.connections.column(row, 1)?;
            Ok(match owner {
                _ if theirs == 0 => Linked::NoAccount,
                Some(owner) if owner == subject => Linked::Already,
                Some(_) => Linked::Taken,
                None if theirs >= most => Linked::Full,
                None if linked == 1 => Linked::Linked,
                // By another account, a moment ago.
                None => Linked::Taken,
            })
        })
    }

    fn unlink<'a>(
        &'a self,
        subject: &'a str,
        identity: IdentityKey,
    ) -> BoxFuture<'a, Result<Unlinked, StoreUnavailable>> {
        Box::pin(async move {
            let sql = "WITH gone AS (
                     DELETE FROM identities WHERE realm = $2 AND uid = $3 AND subject = $1
                     AND (SELECT count(*) FROM identities WHERE subject = $1) > 1 RETURNING 1
                 )
                 SELECT (SELECT count(*) FROM gone),
                     EXISTS (SELECT 1 FROM identities WHERE realm = $2 AND uid = $3 AND subject = $1)";
            let rows = self
                .connections
                .together(&[(HOLD, &[&subject]), (sql, &[&subject, &identity.realm, &identity.uid])])
                .await?;
            let Some(row) = rows.last().and_then(|rows| rows.first()) else { return Ok(Unlinked::Missing) };
            let (gone, was_there): (i64, bool) =
                (self.connections.column(row, 0)?, self.connections.column(row, 1)?);
            Ok(match (gone, was_there) {
                (1, _) => Unlinked::Unlinked,
                (_, true) => Unlinked::Last,
                (_, false) => Unlinked::Missing,
            })
        })
    }

    fn identities<'a>(&'a self, subject: &'a str) -> BoxFuture<'a, Result<Vec<Identity>, StoreUnavailable>> {
        Box::pin(async move {
            let sql = "SELECT realm, uid, provider, name, since FROM identities WHERE subject = $1
                 ORDER BY since, realm, uid";
            let rows = self.connections.rows(sql, &[&subject]).await?;
            rows.iter().map(|row| self.identity(row)).collect()
        })
    }
}
