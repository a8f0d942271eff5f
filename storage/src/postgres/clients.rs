//! Clients.

use std::sync::Arc;

use vestibule_oauth_core::{BoxFuture, StoreUnavailable, UnixTime};
use vestibule_token_endpoint::{Client, Clients, EndReason};

use super::{PostgresStore, secs};
use crate::client_store::{ClientAdded, ClientStore, ClientUpdated};
use crate::limits;

impl PostgresStore {
    fn read_client(&self, record: &str) -> Result<Arc<Client>, StoreUnavailable> {
        Client::from_json(record).map(Arc::new).map_err(|error| self.unavailable(error))
    }
}

impl Clients for PostgresStore {
    fn client<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Option<Arc<Client>>, StoreUnavailable>> {
        Box::pin(async move {
            // A name with it is none that anybody was given, and the database takes none.
            if id.contains('\0') {
                return Ok(None);
            }
            let row = self.connections.row("SELECT record FROM clients WHERE id = $1", &[&id]).await?;
            row.map(|row| self.read_client(self.connections.column(&row, 0)?)).transpose()
        })
    }
}

impl ClientStore for PostgresStore {
    fn add<'a>(
        &'a self,
        client: Client,
        now: UnixTime,
    ) -> BoxFuture<'a, Result<ClientAdded, StoreUnavailable>> {
        Box::pin(async move {
            limits::client(&client)?;
            let (id, record) = (client.id.as_str(), client.to_json());
            let sql = "INSERT INTO clients (id, record, created_at) VALUES ($1, $2, $3)
                 ON CONFLICT DO NOTHING RETURNING 1";
            let added = self.connections.row(sql, &[&id, &record, &secs(now)]).await?;
            Ok(if added.is_some() { ClientAdded::Added } else { ClientAdded::Exists })
        })
    }

    fn update<'a>(&'a self, client: Client) -> BoxFuture<'a, Result<ClientUpdated, StoreUnavailable>> {
        Box::pin(async move {
            limits::client(&client)?;
            let (id, record) = (client.id.as_str(), client.to_json());
            let sql = "UPDATE clients SET record = $2 WHERE id = $1 RETURNING 1";
            let updated = self.connections.row(sql, &[&id, &record]).await?;
            Ok(if updated.is_some() { ClientUpdated::Updated } else { ClientUpdated::Missing })
        })
    }

    /// Its codes end before its grants: a code that is redeemed meanwhile has a grant by then.
    fn remove<'a>(
        &'a self,
        id: &'a str,
        now: UnixTime,
    ) -> BoxFuture<'a, Result<Option<Arc<Client>>, StoreUnavailable>> {
        Box::pin(async move {
            let reason = EndReason::ByOperator.as_str();
            let codes =
                "UPDATE codes SET ended = $2 WHERE client = $1 AND redeemed_at IS NULL AND ended IS NULL
                 AND EXISTS (SELECT 1 FROM clients WHERE id = $1)";
            let grants = "UPDATE grants SET ended = $2, ended_at = $3 WHERE client = $1 AND ended IS NULL
                 AND EXISTS (SELECT 1 FROM clients WHERE id = $1)";
            let client = "DELETE FROM clients WHERE id = $1 RETURNING record";
            let rows = self
                .connections
                .together(&[
                    (codes, &[&id, &reason]),
                    (grants, &[&id, &reason, &secs(now)]),
                    (client, &[&id]),
                ])
                .await?;
            let removed = rows.iter().flatten().next();
            removed.map(|row| self.read_client(self.connections.column(row, 0)?)).transpose()
        })
    }

    fn list<'a>(&'a self) -> BoxFuture<'a, Result<Vec<Arc<Client>>, StoreUnavailable>> {
        Box::pin(async move {
            let rows = self.connections.rows("SELECT record FROM clients ORDER BY id", &[]).await?;
            rows.iter().map(|row| self.read_client(self.connections.column(row, 0)?)).collect()
        })
    }
}
