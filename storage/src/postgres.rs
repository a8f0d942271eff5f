//! A store in a PostgreSQL database: for several nodes, none of which holds anything of its own.
//!
//! Each act is one statement, and so one round trip: a guarded `UPDATE … RETURNING` or an `INSERT … ON CONFLICT`, with what follows from it
//! in the same statement. At READ COMMITTED two that want the same row come one after the other, and the second sees what the first has
//! left, since its condition is looked at again; what it can then only say by looking once more, it asks for in a statement of its own.
//! The few acts that need two statements have a transaction.
//!
//! The tables need nothing beyond tables: no extension, no trigger, no sequence, so that engines which speak PostgreSQL's protocol will do.

mod accounts;
mod clients;
mod codes;
mod connections;
mod devices;
mod flows;
mod grants;
mod issued;
mod keys;
mod rooms;
mod schema;
mod sessions;
mod sweep;
mod tls;
mod tokens;
mod url;
mod web_sessions;

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::{fmt, io};

use thiserror::Error;
use vestibule_oauth_core::{StoreUnavailable, UnixTime};

use connections::Connections;
use rooms::Rooms;

use crate::columns::{Place, to_column};

pub use sessions::PostgresSessions;
pub use url::{InvalidPostgresUrl, PostgresUrl};

/// A PostgreSQL database, in use: every port but that of the sessions at people's servers, which need the key ring besides:
/// [`PostgresSessions`].
///
/// A clone is the same store. Its connections close when the last clone goes.
#[derive(Clone)]
pub struct PostgresStore {
    connections: Arc<Connections>,
    rooms: Arc<Rooms>,
    /// Where the last sweep stopped looking for sessions that nobody uses.
    looked_at: Arc<Mutex<Place>>,
}

impl PostgresStore {
    /// Opens the database at `url`, which must be there, and brings its tables to the form of this version. Any number of nodes may do so
    /// at once.
    ///
    /// # Errors
    /// [`PostgresError`]. A database that is refused stays as it was.
    pub async fn open(url: &PostgresUrl) -> Result<Self, PostgresError> {
        let connections = Connections::new(url)?;
        schema::bring_up_to_date(&connections).await?;
        Ok(Self { connections: Arc::new(connections), rooms: Arc::default(), looked_at: Arc::default() })
    }

    fn unavailable(&self, detail: impl fmt::Display) -> StoreUnavailable {
        self.connections.unavailable(detail)
    }
}

impl fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresStore").field("at", &self.connections.place()).finish_non_exhaustive()
    }
}

/// Why a database cannot be used. No variant repeats the password.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PostgresError {
    /// The file with trust anchors cannot be read.
    #[error("the trust anchors of the store cannot be read from {}", path.display())]
    TrustAnchors {
        /// Which file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The file with trust anchors has none, or what it has is none.
    #[error("{} holds no trust anchor that can be used", path.display())]
    NoTrustAnchor {
        /// Which file.
        path: PathBuf,
    },
    /// TLS is asked for and cannot be had.
    #[error("the store {place} cannot be reached with TLS: {detail}")]
    Tls {
        /// Which database.
        place: String,
        /// Why not.
        detail: String,
    },
    /// The database cannot be reached, or its tables cannot be made.
    #[error(transparent)]
    Unavailable(#[from] StoreUnavailable),
    /// A later version has been here, and has changed the tables in ways that this version does not know.
    #[error(
        "the store {place} was made by a later version: it has form {found}, and this version knows up to {known}"
    )]
    Newer {
        /// Which database.
        place: String,
        /// The form it has.
        found: i64,
        /// The last form that this version knows.
        known: i64,
    },
}

fn secs(time: UnixTime) -> i64 {
    to_column(time.as_secs())
}
