//! What the token endpoint issues: the port, and which file does what.

use serde::de::DeserializeOwned;
use vestibule_oauth_core::StoreUnavailable;
use vestibule_token_endpoint::EndReason;

use super::SqliteStore;
use crate::issued_port::issued_by_methods;
use crate::record;

impl SqliteStore {
    /// A record as it was written.
    pub(super) fn read_record<T: DeserializeOwned>(&self, text: &str) -> Result<T, StoreUnavailable> {
        record::read(text).map_err(|detail| self.unavailable(detail))
    }

    /// Why a grant has ended, as it is written.
    pub(super) fn read_reason(&self, text: Option<&str>) -> Result<Option<EndReason>, StoreUnavailable> {
        record::read_reason(text).map_err(|detail| self.unavailable(detail))
    }
}

issued_by_methods!(SqliteStore);
