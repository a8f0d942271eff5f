//! Clients.

use std::sync::Arc;

use rusqlite::{OptionalExtension, params};
use vestibule_oauth_core::{BoxFuture, StoreUnavailable, UnixTime};
use vestibule_token_endpoint::{Client, Clients};

use super::SqliteStore;
use super::grants::end_all_of_client;
use crate::client_store::{ClientAdded, ClientStore, ClientUpdated};
use crate::columns::to_column;
use crate::limits;

impl SqliteStore {
    fn read_client(&self, record: &str) -> Result<Arc<Client>, StoreUnavailable> {
        Client::from_json(record).map(Arc::new).map_err(|error| self.unavailable(error))
    }
}

impl Clients for SqliteStore {
    fn client<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Option<Arc<Client>>, StoreUnavailable>> {
        let id = id.to_owned();
        Box::pin(async move {
            let record: Option<String> = self
                .writer
                .read(move |connection| {
                    connection
                        .prepare_cached("SELECT record FROM clients WHERE id = ?")?
                        .query_row(params![id], |row| row.get(0))
                        .optional()
                })
                .await?;
            record.map(|record| self.read_client(&record)).transpose()
        })
    }
}

impl ClientStore for SqliteStore {
    fn add<'a>(
        &'a self,
        client: Client,
        now: UnixTime,
    ) -> BoxFuture<'a, Result<ClientAdded, StoreUnavailable>> {
        Box::pin(async move {
            limits::client(&client)?;
            let (id, record) = (client.id.as_str().to_owned(), client.to_json());
            self.writer
                .write(move |connection| {
                    let added = connection
                        .prepare_cached(
                            "INSERT INTO clients (id, record, created_at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
                        )?
                        .execute(params![id, record, to_column(now.as_secs())])?;
                    Ok(if added == 1 { ClientAdded::Added } else { ClientAdded::Exists })
                })
                .await
        })
    }

    fn update<'a>(&'a self, client: Client) -> BoxFuture<'a, Result<ClientUpdated, StoreUnavailable>> {
        Box::pin(async move {
            limits::client(&client)?;
            let (id, record) = (client.id.as_str().to_owned(), client.to_json());
            self.writer
                .write(move |connection| {
                    let updated = connection
                        .prepare_cached("UPDATE clients SET record = ? WHERE id = ?")?
                        .execute(params![record, id])?;
                    Ok(if updated == 1 { ClientUpdated::Updated } else { ClientUpdated::Missing })
                })
                .await
        })
    }

    fn remove<'a>(
        &'a self,
        id: &'a str,
        now: UnixTime,
    ) -> BoxFuture<'a, Result<Option<Arc<Client>>, StoreUnavailable>> {
        let id = id.to_owned();
        Box::pin(async move {
            let record: Option<String> = self
                .writer
                .write(move |connection| {
                    let removed = connection
                        .prepare_cached("DELETE FROM clients WHERE id = ? RETURNING record")?
                        .query_row(params![id], |row| row.get(0))
                        .optional()?;
                    if removed.is_some() {
                        end_all_of_client(connection, &id, to_column(now.as_secs()))?;
                    }
                    Ok(removed)
                })
                .await?;
            record.map(|record| self.read_client(&record)).transpose()
        })
    }

    fn list<'a>(&'a self) -> BoxFuture<'a, Result<Vec<Arc<Client>>, StoreUnavailable>> {
        Box::pin(async move {
            let records: Vec<String> = self
                .writer
                .read(|connection| {
                    connection
                        .prepare_cached("SELECT record FROM clients ORDER BY id")?
                        .query_map([], |row| row.get(0))?
                        .collect()
                })
                .await?;
            records.iter().map(|record| self.read_client(record)).collect()
        })
    }
}
