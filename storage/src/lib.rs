//! Stores behind the ports that the crates below declare: in memory, in SQLite, and in PostgreSQL. Pending logins, sessions at people's
//! servers, sessions at this one, and the server's own keys each have a port; a store is one value that gives them all.
//! What is secret is sealed before it reaches the disk, under keys that are themselves sealed under one master secret.
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! use std::time::Duration;
//!
//! use vestibule_oauth_core::UnixTime;
//! use vestibule_storage::{MasterSecret, StoreUrl, WebSession, WebSessionId, open};
//!
//! let url: StoreUrl = "memory:".parse()?; // or "sqlite:vestibule.db"
//! let (master, _text_of_the_secret_file) = MasterSecret::generate([7; 32]); // draw fresh octets
//! let now = UnixTime::from_secs(1_700_000_000);
//! let store = open(&url, &master, now).await?;
//!
//! let id = WebSessionId::of_cookie("the value of a cookie");
//! let expires = now.after(Duration::from_secs(3600));
//! let session = WebSession::new(id, "did:plc:ewvi7nxzyoun6zhxrhs64oiz", "atproto".parse()?, now, expires);
//! store.web_sessions.put(session.clone()).await?;
//! assert_eq!(store.web_sessions.load(id, now).await?, Some(session));
//! assert_eq!(store.web_sessions.load(id, expires).await?, None);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```
//!
//! Every act of a store is atomic and has a total outcome: nobody reads first and writes later. A store that cannot be
//! reached, or that is full, says `StoreUnavailable`, and nothing was done. Time is an argument throughout.
//!
//! # Limits
//!
//! No record is larger than [`FLOW_OCTETS`], [`SESSION_OCTETS`] or [`WEB_SESSION_OCTETS`] says: a larger one is refused, with
//! `StoreUnavailable` that says so, and trying again does not help. Beyond a number of pending logins, the one that
//! expires first makes room: 10 000 in memory, [`PENDING_FLOWS`] in SQLite and, give or take a thousand for each node, in PostgreSQL. The sessions of one person beyond
//! [`SESSIONS_PER_PERSON`] are named by [`Housekeeping::surplus`], to be ended by whoever can give their tokens back.
//!
//! # What a stolen database file tells
//!
//! Who is signed in (DIDs, the names they show, when they signed in, when their tokens were replaced last, and the name of
//! the key that their client authenticates with), how many logins are pending, and nothing that opens anything: cookies
//! and `state` are there as hashes, tokens and keys are sealed. Without the secret file it is of no use for signing in, and
//! with both it is worth everything: keep them apart, in copies too.
//!
//! # What is not here
//!
//! Copies of a PostgreSQL database, which has tools of its own for that. Not in a store at all: the clock, and the decision what a session is
//! good for.
//!
//! # Features
//!
//! - `conformance` (off): the module `conformance`, which holds any store to the contract of its ports. It brings tokio's
//!   runtime, which the library itself does without.
//! - `postgres` (off): the store in PostgreSQL, for several nodes. It brings tokio's runtime, and rustls.

mod accounts;
mod client_store;
mod columns;
mod entropy;
mod housekeeping;
mod issued_port;
mod key_ring;
mod limits;
mod master_secret;
mod memory;
mod opened;
#[cfg(feature = "postgres")]
mod postgres;
mod record;
mod ring_watch;
mod session_seal;
mod sqlite;
mod store_url;
mod web_session;

#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
#[cfg(test)]
mod test_folder;

pub use accounts::{AccountStore, Identity, IdentityKey, Linked, Unlinked};
pub use client_store::{ClientAdded, ClientStore, ClientUpdated};
pub use housekeeping::{Housekeeping, SWEEP_ROWS, Swept, UNUSED_AFTER};
pub use key_ring::{
    ClientKeyUses, KeyPurpose, KeyRing, KeyRingError, KeyRingStore, Retired, RingKey, SealedKey, SigningKey,
    TAKEN_UP_WITHIN, UnknownKeyPurpose, load_ring, open_or_create_ring, reseal_ring, rotate_ring_key,
};
pub use limits::{
    CLIENT_OCTETS, FLOW_OCTETS, IDENTITIES_PER_ACCOUNT, IDENTITY_OCTETS, ISSUED_OCTETS, PENDING_FLOWS,
    SESSION_OCTETS, SESSIONS_PER_PERSON, WEB_SESSION_OCTETS,
};
pub use master_secret::{InvalidMasterSecret, MasterSecret, SecretFileError};
pub use memory::MemoryStore;
pub use opened::{OpenError, Opened, open};
#[cfg(feature = "postgres")]
pub use postgres::{InvalidPostgresUrl, PostgresError, PostgresSessions, PostgresStore, PostgresUrl};
pub use ring_watch::RingWatch;
pub use sqlite::{SqliteError, SqliteSessions, SqliteStore};
pub use store_url::{InvalidStoreUrl, StoreUrl};
pub use web_session::{WebSession, WebSessionId, WebSessionStore};
