//! The tables, and how an older file becomes a newer one.

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

use super::SqliteError;
use super::file::failure;

/// Says in the file's header whose database it is: "Vest".
pub(super) const APPLICATION_ID: i64 = 0x5665_7374;

/// What leads from each form to the next; the form of a file is the number of those it has seen (`user_version`). Those
/// that were released are never changed.
///
/// Tables are kept in the order of their keys (`WITHOUT ROWID`): one tree per table, one page written per row.
pub(super) const MIGRATIONS: [&str; 4] = [
    // 1. The beginning.
    "
    CREATE TABLE flows (
        key BLOB NOT NULL PRIMARY KEY,
        binding BLOB NOT NULL,
        sealed BLOB NOT NULL,
        expires_at INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX flows_by_expiry ON flows (expires_at);

    CREATE TABLE sessions (
        did TEXT NOT NULL,
        id TEXT NOT NULL,
        generation INTEGER NOT NULL,
        sealed BLOB NOT NULL,
        PRIMARY KEY (did, id)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE web_sessions (
        id BLOB NOT NULL PRIMARY KEY,
        subject TEXT NOT NULL,
        provider TEXT NOT NULL,
        name TEXT,
        session_did TEXT,
        session_id TEXT,
        created_at INTEGER NOT NULL,
        expires_at INTEGER NOT NULL,
        CHECK ((session_did IS NULL) = (session_id IS NULL))
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX web_sessions_by_expiry ON web_sessions (expires_at);
    CREATE INDEX web_sessions_by_session ON web_sessions (session_did, session_id)
        WHERE session_did IS NOT NULL;

    -- The one added last has the highest position. Clocks do not say which it is: two nodes have two.
    CREATE TABLE keys (
        id TEXT NOT NULL PRIMARY KEY,
        position INTEGER NOT NULL UNIQUE,
        purpose TEXT NOT NULL,
        sealed BLOB NOT NULL,
        created_at INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    ",
    // 2. Leases, and what is to be known of a session without opening it. No row is written anew: that would be every
    // session there is, under one lock.
    "
    -- NULL until a sweep meets it: when it was put in is not known.
    ALTER TABLE sessions ADD COLUMN created_at INTEGER;
    -- When its tokens were issued. NULL until they are replaced: longer ago than any that is known.
    ALTER TABLE sessions ADD COLUMN refreshed_at INTEGER;
    -- The key its client authenticates with, and '' for none. NULL until its tokens are replaced: it may be any.
    ALTER TABLE sessions ADD COLUMN client_kid TEXT;
    ALTER TABLE sessions ADD COLUMN lease_until INTEGER;
    ALTER TABLE sessions ADD COLUMN fence INTEGER NOT NULL DEFAULT 0;
    CREATE INDEX sessions_by_age ON sessions (created_at, did, id);
    CREATE INDEX sessions_by_client_key ON sessions (client_kid);

    -- So that nobody counts 50 000 flows to put in one more. Whoever writes, by whichever version, these triggers count.
    CREATE TABLE counts (
        name TEXT NOT NULL PRIMARY KEY,
        rows INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    INSERT INTO counts SELECT 'flows', count(*) FROM flows;
    CREATE TRIGGER flows_come AFTER INSERT ON flows BEGIN
        UPDATE counts SET rows = rows + 1 WHERE name = 'flows';
    END;
    CREATE TRIGGER flows_go AFTER DELETE ON flows BEGIN
        UPDATE counts SET rows = rows - 1 WHERE name = 'flows';
    END;
    ",
    // 3. Clients, and what the token endpoint issues. A record is a JSON text; what is asked for has a column of its own.
    "
    CREATE TABLE clients (
        id TEXT NOT NULL PRIMARY KEY,
        record TEXT NOT NULL,
        created_at INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE pushed (
        name BLOB NOT NULL PRIMARY KEY,
        request TEXT NOT NULL,
        expires_at INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX pushed_by_expiry ON pushed (expires_at);

    -- Until a code is redeemed its grant is in its record, and has no row.
    CREATE TABLE codes (
        hash BLOB NOT NULL PRIMARY KEY,
        grant_id BLOB NOT NULL,
        subject TEXT NOT NULL,
        context TEXT,
        record TEXT NOT NULL,
        redeemed_at INTEGER,
        ended TEXT,
        -- Until it expires, and once it was redeemed, until its grant does.
        keep_until INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX codes_by_end ON codes (keep_until);
    CREATE INDEX codes_by_subject ON codes (subject) WHERE redeemed_at IS NULL;
    CREATE INDEX codes_by_context ON codes (context) WHERE redeemed_at IS NULL AND context IS NOT NULL;

    CREATE TABLE grants (
        id BLOB NOT NULL PRIMARY KEY,
        client TEXT NOT NULL,
        subject TEXT NOT NULL,
        context TEXT,
        record TEXT NOT NULL,
        created_at INTEGER NOT NULL,
        expires_at INTEGER NOT NULL,
        ended TEXT,
        ended_at INTEGER
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX grants_by_expiry ON grants (expires_at);
    CREATE INDEX grants_by_subject ON grants (subject, created_at);
    CREATE INDEX grants_by_context ON grants (context) WHERE context IS NOT NULL;

    CREATE TABLE refresh_tokens (
        hash BLOB NOT NULL PRIMARY KEY,
        grant_id BLOB NOT NULL,
        issued_at INTEGER NOT NULL,
        expires_at INTEGER NOT NULL,
        replaced_at INTEGER,
        successor BLOB,
        sealed BLOB,
        -- As long as its grant.
        keep_until INTEGER NOT NULL,
        CHECK ((replaced_at IS NULL) = (successor IS NULL) AND (replaced_at IS NULL) = (sealed IS NULL))
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX refresh_tokens_by_end ON refresh_tokens (keep_until);

    CREATE TABLE access_tokens (
        hash BLOB NOT NULL PRIMARY KEY,
        grant_id BLOB,
        record TEXT NOT NULL,
        expires_at INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX access_tokens_by_expiry ON access_tokens (expires_at);

    -- Signed access tokens that were taken back.
    CREATE TABLE revoked_tokens (
        hash BLOB NOT NULL PRIMARY KEY,
        expires_at INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX revoked_tokens_by_expiry ON revoked_tokens (expires_at);

    CREATE TABLE once (
        key BLOB NOT NULL PRIMARY KEY,
        expires_at INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX once_by_expiry ON once (expires_at);

    CREATE TABLE devices (
        hash BLOB NOT NULL PRIMARY KEY,
        user_code BLOB NOT NULL UNIQUE,
        record TEXT NOT NULL,
        -- pending, denied, approved or redeemed; what was approved, and what it is tied to.
        state TEXT NOT NULL,
        grant_record TEXT,
        subject TEXT,
        context TEXT,
        redeemed_at INTEGER,
        wait_seconds INTEGER NOT NULL,
        polled_at INTEGER,
        expires_at INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX devices_by_expiry ON devices (expires_at);

    INSERT INTO counts VALUES ('pushed', 0), ('devices', 0), ('once', 0);
    CREATE TRIGGER pushed_come AFTER INSERT ON pushed BEGIN
        UPDATE counts SET rows = rows + 1 WHERE name = 'pushed';
    END;
    CREATE TRIGGER pushed_go AFTER DELETE ON pushed BEGIN
        UPDATE counts SET rows = rows - 1 WHERE name = 'pushed';
    END;
    CREATE TRIGGER devices_come AFTER INSERT ON devices BEGIN
        UPDATE counts SET rows = rows + 1 WHERE name = 'devices';
    END;
    CREATE TRIGGER devices_go AFTER DELETE ON devices BEGIN
        UPDATE counts SET rows = rows - 1 WHERE name = 'devices';
    END;
    CREATE TRIGGER once_come AFTER INSERT ON once BEGIN
        UPDATE counts SET rows = rows + 1 WHERE name = 'once';
    END;
    CREATE TRIGGER once_go AFTER DELETE ON once BEGIN
        UPDATE counts SET rows = rows - 1 WHERE name = 'once';
    END;
    ",
    // 4. Accounts. Until now everybody was their DID.
    "
    CREATE TABLE identities (
        realm TEXT NOT NULL,
        uid TEXT NOT NULL,
        subject TEXT NOT NULL,
        provider TEXT NOT NULL,
        name TEXT,
        since INTEGER NOT NULL,
        PRIMARY KEY (realm, uid)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX identities_by_subject ON identities (subject);

    INSERT INTO identities
        SELECT 'atproto', subject, subject, 'atproto', max(name), min(created_at) FROM web_sessions GROUP BY subject;
    INSERT OR IGNORE INTO identities
        SELECT 'atproto', subject, subject, 'atproto', NULL, min(created_at) FROM grants
        WHERE subject LIKE 'did:%' GROUP BY subject;
    ",
];

/// The form of this version.
pub(super) const VERSION: i64 = MIGRATIONS.len() as i64;

/// The form of a file that is ours, or empty and so of form 0.
pub(super) fn identify(connection: &Connection, path: &Path) -> Result<i64, SqliteError> {
    let look = || -> rusqlite::Result<_> {
        let number = |sql| connection.query_row(sql, [], |row| row.get::<_, i64>(0));
        // In this order: each is set no later than the one before it, should another process be making the tables now.
        let tables = number("SELECT count(*) FROM sqlite_schema")?;
        let version = number("PRAGMA user_version")?;
        Ok((number("PRAGMA application_id")?, version, tables))
    };
    match look().map_err(|error| failure(path, &error))? {
        (APPLICATION_ID, version, _) if version > VERSION => {
            Err(SqliteError::Newer { path: path.to_owned(), found: version, known: VERSION })
        }
        (APPLICATION_ID, version, _) => Ok(version),
        (0, 0, 0) => Ok(0),
        _ => Err(SqliteError::Foreign { path: path.to_owned() }),
    }
}

/// Does what leads to the form of this version, all of it or nothing; of two processes that would, one does.
pub(super) fn bring_up_to_date(connection: &mut Connection, path: &Path) -> Result<(), SqliteError> {
    let failed = |error| failure(path, &error);
    if identify(connection, path)? == VERSION {
        return Ok(());
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
    let done = usize::try_from(identify(&transaction, path)?).unwrap_or(0);
    for migration in MIGRATIONS.iter().skip(done) {
        transaction.execute_batch(migration).map_err(failed)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID).map_err(failed)?;
    transaction.pragma_update(None, "user_version", VERSION).map_err(failed)?;
    transaction.commit().map_err(failed)
}
