//! Accounts.

use rusqlite::{Connection, OptionalExtension, Row, params};
use vestibule_oauth_core::{BoxFuture, StoreUnavailable};

use super::SqliteStore;
use crate::accounts::{AccountStore, Identity, IdentityKey, Linked, Unlinked};
use crate::columns::{to_column, to_number, to_time};
use crate::limits::{self, IDENTITIES_PER_ACCOUNT};

/// Whose identity this is.
fn owner(connection: &Connection, key: &IdentityKey) -> rusqlite::Result<Option<String>> {
    connection
        .prepare_cached("SELECT subject FROM identities WHERE realm = ? AND uid = ?")?
        .query_row(params![key.realm, key.uid], |row| row.get(0))
        .optional()
}

/// How many identities an account has; none if there is no such account.
fn count(connection: &Connection, subject: &str) -> rusqlite::Result<u64> {
    connection
        .prepare_cached("SELECT count(*) FROM identities WHERE subject = ?")?
        .query_row(params![subject], |row| row.get(0).map(to_number))
}

fn insert(connection: &Connection, subject: &str, identity: &Identity) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO identities (realm, uid, subject, provider, name, since) VALUES (?, ?, ?, ?, ?, ?)",
        )?
        .execute(params![
            identity.key.realm,
            identity.key.uid,
            subject,
            identity.provider.as_str(),
            identity.name,
            to_column(identity.since.as_secs()),
        ])?;
    Ok(())
}

/// A row as it came out.
type Columns = (String, String, String, Option<String>, i64);

fn read(row: &Row<'_>) -> rusqlite::Result<Columns> {
    Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?))
}

impl SqliteStore {
    fn identity(&self, (realm, uid, provider, name, since): Columns) -> Result<Identity, StoreUnavailable> {
        let provider =
            provider.parse().map_err(|_| self.unavailable("an identity cannot be read by this version"))?;
        Ok(Identity::new(IdentityKey::new(realm, uid), provider, name, to_time(since)))
    }
}

impl AccountStore for SqliteStore {
    fn sign_in<'a>(
        &'a self,
        identity: Identity,
        subjects: Vec<String>,
    ) -> BoxFuture<'a, Result<String, StoreUnavailable>> {
        Box::pin(async move {
            limits::identity(&identity)?;
            let act = move |connection: &Connection| {
                if let Some(subject) = owner(connection, &identity.key)? {
                    connection
                        .prepare_cached(
                            "UPDATE identities SET provider = ?, name = ? WHERE realm = ? AND uid = ?",
                        )?
                        .execute(params![
                            identity.provider.as_str(),
                            identity.name,
                            identity.key.realm,
                            identity.key.uid,
                        ])?;
                    return Ok(Some(subject));
                }
                for subject in subjects {
                    if count(connection, &subject)? == 0 {
                        insert(connection, &subject, &identity)?;
                        return Ok(Some(subject));
                    }
                }
                Ok(None)
            };
            let subject = self.writer.write(act).await?;
            subject.ok_or_else(|| self.unavailable("every name for a new account is taken"))
        })
    }

    fn link<'a>(
        &'a self,
        subject: &'a str,
        identity: Identity,
    ) -> BoxFuture<'a, Result<Linked, StoreUnavailable>> {
        let subject = subject.to_owned();
        Box::pin(async move {
            limits::identity(&identity)?;
            let act = move |connection: &Connection| {
                let theirs = count(connection, &subject)?;
                Ok(match owner(connection, &identity.key)? {
                    _ if theirs == 0 => Linked::NoAccount,
                    Some(owner) if owner == subject => Linked::Already,
                    Some(_) => Linked::Taken,
                    None if theirs >= IDENTITIES_PER_ACCOUNT as u64 => Linked::Full,
                    None => {
                        insert(connection, &subject, &identity)?;
                        Linked::Linked
                    }
                })
            };
            self.writer.write(act).await
        })
    }

    fn unlink<'a>(
        &'a self,
        subject: &'a str,
        identity: IdentityKey,
    ) -> BoxFuture<'a, Result<Unlinked, StoreUnavailable>> {
        let subject = subject.to_owned();
        Box::pin(async move {
            let act = move |connection: &Connection| {
                if owner(connection, &identity)?.as_ref() != Some(&subject) {
                    return Ok(Unlinked::Missing);
                }
                if count(connection, &subject)? == 1 {
                    return Ok(Unlinked::Last);
                }
                connection
                    .prepare_cached("DELETE FROM identities WHERE realm = ? AND uid = ?")?
                    .execute(params![identity.realm, identity.uid])?;
                Ok(Unlinked::Unlinked)
            };
            self.writer.write(act).await
        })
    }

    fn identities<'a>(&'a self, subject: &'a str) -> BoxFuture<'a, Result<Vec<Identity>, StoreUnavailable>> {
        let subject = subject.to_owned();
        Box::pin(async move {
            let act = move |connection: &Connection| {
                connection
                    .prepare_cached(
                        "SELECT realm, uid, provider, name, since FROM identities WHERE subject = ?
                         ORDER BY since, realm, uid",
                    )?
                    .query_map(params![subject], read)?
                    .collect::<rusqlite::Result<Vec<_>>>()
            };
            let rows = self.writer.read(act).await?;
            rows.into_iter().map(|row| self.identity(row)).collect()
        })
    }
}
