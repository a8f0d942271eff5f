//! The database file: made for its owner only, opened in the way that loses nothing.

use std::fs::{self, OpenOptions};
use std::io;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::SqliteError;
use super::schema;
use crate::master_secret::{for_owner_only, is_readable_by_others};

/// How long an act waits for another process that is writing. Acts take milliseconds; what takes longer than this is a
/// process that hangs.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// How often two processes that both turn on the write-ahead log may get in each other's way. Each time one of them gets
/// on, and the other waits for it inside SQLite: more than a few rounds means something else is wrong.
const WAL_ROUNDS: usize = 20;

/// More than there are statements here, so that each is compiled once.
const CACHED_STATEMENTS: usize = 64;

/// One at a time within this process. On POSIX systems a file that is closed takes with it every lock that its process has
/// on it, so the file must not be made while somebody else here is opening it
/// ([how to corrupt a database](https://www.sqlite.org/howtocorrupt.html), section 2.2).
static OPENING: Mutex<()> = Mutex::new(());

pub(super) fn open(path: &Path) -> Result<Connection, SqliteError> {
    let _opening = OPENING.lock().unwrap_or_else(PoisonError::into_inner);
    make(path).map_err(|source| SqliteError::Create { path: path.to_owned(), source })?;
    let failed = |error| failure(path, &error);
    // No `SQLITE_OPEN_URI`: a path is a path, whatever it begins with. No mutex: one thread owns the connection.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags).map_err(failed)?;
    connection.busy_timeout(BUSY_TIMEOUT).map_err(failed)?;
    connection.set_prepared_statement_cache_capacity(CACHED_STATEMENTS);
    // Before anything is changed: a file that is not ours stays as it is.
    schema::identify(&connection, path)?;
    write_ahead(&connection, path)?;
    // FULL: what was committed is there after the power goes, a token that was used up among it.
    connection.pragma_update(None, "synchronous", "FULL").map_err(failed)?;
    connection.pragma_update(None, "foreign_keys", true).map_err(failed)?;
    // What an act would need to be taken back is kept in memory, not in a file of its own.
    connection.pragma_update(None, "temp_store", "MEMORY").map_err(failed)?;
    connection.pragma_update(None, "cache_size", CACHE_KIB).map_err(failed)?;
    connection.pragma_update(None, "wal_autocheckpoint", LOG_PAGES).map_err(failed)?;
    schema::bring_up_to_date(&mut connection, path)?;
    Ok(connection)
}

/// How much of the file whoever writes keeps at hand; a negative number of KiB, as SQLite has it. Names are hashes, which fall anywhere in a
/// table: with 2 MiB, its usual measure, every act would read pages again.
const CACHE_KIB: i64 = -64 * 1024;

/// How many pages of the write-ahead log are gathered before they are put in their places: 32 MiB. A page that many acts change goes there
/// once, so a longer log is less to write; what a start has to read after a crash grows with it.
const LOG_PAGES: i64 = 8 * 1024;

/// Opens the file, which was opened to write before, once more to read.
pub(super) fn open_to_read(path: &Path) -> Result<Connection, SqliteError> {
    let failed = |error| failure(path, &error);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(failed)?;
    connection.busy_timeout(BUSY_TIMEOUT).map_err(failed)?;
    connection.set_prepared_statement_cache_capacity(CACHED_STATEMENTS);
    // To read the write-ahead log takes its index to be written; nothing else is.
    connection.pragma_update(None, "query_only", true).map_err(failed)?;
    Ok(connection)
}

/// Makes an empty file, which SQLite takes for an empty database, unless there is one.
fn make(path: &Path) -> io::Result<()> {
    // An existing file is not opened here, not even to look at it: see `OPENING`.
    match for_owner_only(OpenOptions::new().write(true).create_new(true)).open(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            if fs::metadata(path).is_ok_and(|metadata| is_readable_by_others(&metadata)) {
                tracing::warn!(path = %path.display(), "others than its owner may read the store: chmod 600 closes it");
            }
            Ok(())
        }
        Err(error) => Err(error),
    }
}

/// Turns on the write-ahead log, which stays on.
///
/// Two processes that do this to a new file at once both hold a lock that the other waits for. SQLite sees that and
/// refuses one of them at once; by asking again, that one waits for the other.
fn write_ahead(connection: &Connection, path: &Path) -> Result<(), SqliteError> {
    let mut rounds = 0;
    loop {
        let mode =
            connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get::<_, String>(0));
        match mode {
            Ok(mode) if mode.eq_ignore_ascii_case("wal") => return Ok(()),
            Ok(_) => return Err(SqliteError::NoWriteAheadLog { path: path.to_owned() }),
            Err(error) if is_busy(&error) && rounds < WAL_ROUNDS => rounds += 1,
            Err(error) => return Err(failure(path, &error)),
        }
    }
}

fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
}

pub(super) fn failure(path: &Path, error: &rusqlite::Error) -> SqliteError {
    SqliteError::Open { path: path.to_owned(), detail: error.to_string() }
}
