//! Records as a database keeps them: JSON texts.

use serde::Serialize;
use serde::de::DeserializeOwned;
use vestibule_oauth_core::StoreUnavailable;
use vestibule_token_endpoint::EndReason;

use crate::limits;

/// A record as it is written.
pub(crate) fn written(record: &impl Serialize) -> Result<String, StoreUnavailable> {
    let text = serde_json::to_string(record).map_err(|error| StoreUnavailable::new(error.to_string()))?;
    limits::issued(&text)?;
    Ok(text)
}

/// A record as it was written; the error says what is the matter with it.
pub(crate) fn read<T: DeserializeOwned>(text: &str) -> Result<T, &'static str> {
    serde_json::from_str(text).map_err(|_| "a record cannot be read by this version")
}

/// Why a grant has ended, as it is written.
pub(crate) fn read_reason(text: Option<&str>) -> Result<Option<EndReason>, &'static str> {
    let Some(text) = text else { return Ok(None) };
    let known = EndReason::ALL.into_iter().find(|reason| reason.as_str() == text);
    known.map(Some).ok_or("a grant has ended for a reason that this version does not know")
}
