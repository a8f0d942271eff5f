//! What both databases keep in the same form: numbers, times, the names of sessions, and the tables that housekeeping goes through.

use vestibule_atproto_identity::login::{SessionKey, SessionRecord};
use vestibule_oauth_core::{StoreUnavailable, UnixTime};

use crate::session_seal::SessionKeys;

/// A number as a database keeps it. What is too large is as good as the largest: 292 thousand million years.
pub(crate) fn to_column(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A number out of a column; nobody puts in a negative one.
pub(crate) fn to_number(column: i64) -> u64 {
    u64::try_from(column).unwrap_or(0)
}

pub(crate) fn to_time(column: i64) -> UnixTime {
    UnixTime::from_secs(to_number(column))
}

/// The name of a session out of its two columns.
pub(crate) fn session_key(did: &str, id: &str) -> Option<SessionKey> {
    Some(SessionKey::new(did.parse().ok()?, id.parse().ok()?))
}

/// A session as a database keeps it: sealed, and what is told of it without opening it.
pub(crate) struct SealedSession {
    pub(crate) key: SessionKey,
    pub(crate) generation: i64,
    pub(crate) issued_at: i64,
    /// The key its client authenticates with, and empty for none.
    pub(crate) client_kid: String,
    pub(crate) sealed: Vec<u8>,
}

impl SealedSession {
    pub(crate) fn of(session: &SessionRecord, keys: &SessionKeys) -> Result<Self, StoreUnavailable> {
        Ok(Self {
            key: session.key.clone(),
            generation: to_column(session.generation),
            issued_at: to_column(session.issued_at.as_secs()),
            client_kid: session.client_key.as_ref().map_or_else(String::new, |key| key.kid.clone()),
            sealed: keys.seal(session)?,
        })
    }
}

/// A place among the sessions by age, where a sweep stopped looking.
#[derive(Clone)]
pub(crate) struct Place {
    pub(crate) created_at: i64,
    /// The DID and the id.
    pub(crate) key: (String, String),
}

impl Default for Place {
    /// Before the first.
    fn default() -> Self {
        Self { created_at: i64::MIN, key: Default::default() }
    }
}

/// What the token endpoint issued: which table, which row, and when it goes.
pub(crate) const ISSUED: [(&str, &str, &str); 8] = [
    ("pushed", "name", "expires_at"),
    ("codes", "hash", "keep_until"),
    ("refresh_tokens", "hash", "keep_until"),
    ("grants", "id", "expires_at"),
    ("access_tokens", "hash", "expires_at"),
    ("revoked_tokens", "hash", "expires_at"),
    ("once", "key", "expires_at"),
    ("devices", "hash", "expires_at"),
];
