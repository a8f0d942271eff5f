//! What the token endpoint issues: the port, and which file does what.

use serde::de::DeserializeOwned;
use tokio_postgres::Row;
use vestibule_oauth_core::StoreUnavailable;
use vestibule_token_endpoint::EndReason;

use super::PostgresStore;
use crate::issued_port::issued_by_methods;
use crate::record;

impl PostgresStore {
    /// A record out of its column.
    pub(super) fn record<T: DeserializeOwned>(&self, row: &Row, place: usize) -> Result<T, StoreUnavailable> {
        record::read(self.connections.column(row, place)?).map_err(|detail| self.unavailable(detail))
    }

    /// Why a grant has ended, out of its column.
    pub(super) fn reason(&self, row: &Row, place: usize) -> Result<Option<EndReason>, StoreUnavailable> {
        record::read_reason(self.connections.column(row, place)?).map_err(|detail| self.unavailable(detail))
    }
}

issued_by_methods!(PostgresStore);
