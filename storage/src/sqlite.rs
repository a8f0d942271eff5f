//! A store in one SQLite file: for one machine, where it needs nobody to run a database.
//!
//! One thread writes, and does one act after the other; acts that wait at the same time share a transaction. Two threads read beside it.
//! Whoever asks waits for an answer through a channel, and no thread of the runtime ever waits for the disk. Other processes may have the
//! same file open.

mod accounts;
mod clients;
mod codes;
mod devices;
mod file;
mod flows;
mod grants;
mod issued;
mod keys;
mod schema;
mod sessions;
mod sweep;
mod tokens;
mod web_sessions;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::{fmt, io};

use thiserror::Error;
use vestibule_oauth_core::StoreUnavailable;

use writer::{BATCH, Writer};

use crate::columns::Place;

pub use sessions::SqliteSessions;

/// An SQLite file, open: pending logins, web sessions, the key ring and housekeeping. Sessions at people's servers need
/// the key ring besides: [`SqliteSessions`].
///
/// A clone is the same store. It closes, after what was asked of it is done, when the last clone goes.
#[derive(Clone)]
pub struct SqliteStore {
    writer: Arc<Writer>,
    /// Where the last sweep stopped looking for sessions that nobody uses.
    looked_at: Arc<Mutex<Place>>,
}

impl SqliteStore {
    /// Opens the file at `path`, or makes it, with mode 0600, and brings it to the form of this version.
    ///
    /// A file that others than its owner may read is used all the same, with a warning in the log.
    ///
    /// # Errors
    /// [`SqliteError`]. A file that is refused stays as it was.
    pub async fn open(path: &Path) -> Result<Self, SqliteError> {
        Self::open_with(path, BATCH).await
    }

    /// The same, with at most so many acts in one transaction. With one, each act waits for the disk by itself: slower, and no more durable.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub async fn open_with(path: &Path, batch: usize) -> Result<Self, SqliteError> {
        let writer = Writer::start(path, batch.max(1)).await?;
        Ok(Self { writer: Arc::new(writer), looked_at: Arc::default() })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        self.writer.path()
    }

    fn unavailable(&self, detail: impl fmt::Display) -> StoreUnavailable {
        StoreUnavailable::new(format!("{}: {detail}", self.path().display()))
    }
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore").field("path", &self.path()).finish_non_exhaustive()
    }
}

/// Why an SQLite file could not be opened.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SqliteError {
    /// There is no file, and none could be made.
    #[error("the store {} cannot be made", path.display())]
    Create {
        /// Which file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// SQLite cannot use the file; `detail` is in its words.
    #[error("the store {} cannot be opened: {detail}", path.display())]
    Open {
        /// Which file.
        path: PathBuf,
        /// Why not.
        detail: String,
    },
    /// The file is an SQLite database of something else.
    #[error("the store {} is the database of another program", path.display())]
    Foreign {
        /// Which file.
        path: PathBuf,
    },
    /// A later version has been here, and has changed the tables in ways that this version does not know.
    #[error(
        "the store {} was made by a later version: it has form {found}, and this version knows up to {known}",
        path.display()
    )]
    Newer {
        /// Which file.
        path: PathBuf,
        /// The form it has.
        found: i64,
        /// The last form that this version knows.
        known: i64,
    },
    /// The file system does not let SQLite keep its write-ahead log, as most that go over a network do not.
    #[error("the store {} is on a file system without what SQLite needs for its write-ahead log", path.display())]
    NoWriteAheadLog {
        /// Which file.
        path: PathBuf,
    },
    /// The system has no thread to give.
    #[error("the store {} cannot be opened without a thread of its own", path.display())]
    Thread {
        /// Which file.
        path: PathBuf,
        /// Why there is none.
        source: io::Error,
    },
}

#[cfg(test)]
mod tests;
