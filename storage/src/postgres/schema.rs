//! The tables, and how an older form becomes a newer one.

use deadpool_postgres::GenericClient;
use tokio_postgres::Error;
use tokio_postgres::error::SqlState;

use super::PostgresError;
use super::connections::Connections;

/// What leads from each form to the next; the form of a database is the number of those it has seen. Those that were released are never
/// changed.
const MIGRATIONS: [&str; 1] = [
    // 1. The beginning. A record is a JSON text; what is asked for has a column of its own.
    "
    CREATE TABLE flows (
        key BYTEA PRIMARY KEY,
        binding BYTEA NOT NULL,
        sealed BYTEA NOT NULL,
        expires_at BIGINT NOT NULL
    );
    CREATE INDEX flows_by_expiry ON flows (expires_at);

    CREATE TABLE sessions (
        did TEXT NOT NULL,
        id TEXT NOT NULL,
        generation BIGINT NOT NULL,
        sealed BYTEA NOT NULL,
        created_at BIGINT NOT NULL,
        refreshed_at BIGINT NOT NULL,
        -- The key its client authenticates with, and '' for none.
        client_kid TEXT NOT NULL,
        lease_until BIGINT,
        fence BIGINT NOT NULL DEFAULT 0,
        PRIMARY KEY (did, id)
    );
    CREATE INDEX sessions_by_age ON sessions (created_at, did, id);
    CREATE INDEX sessions_by_client_key ON sessions (client_kid);

    CREATE TABLE web_sessions (
        id BYTEA PRIMARY KEY,
        subject TEXT NOT NULL,
        provider TEXT NOT NULL,
        name TEXT,
        session_did TEXT,
        session_id TEXT,
        created_at BIGINT NOT NULL,
        expires_at BIGINT NOT NULL,
        CHECK ((session_did IS NULL) = (session_id IS NULL))
    );
    CREATE INDEX web_sessions_by_expiry ON web_sessions (expires_at);
    CREATE INDEX web_sessions_by_subject ON web_sessions (subject);
    CREATE INDEX web_sessions_by_session ON web_sessions (session_did, session_id);

    -- The one added last has the highest position. Clocks do not say which it is: two nodes have two.
    CREATE TABLE keys (
        id TEXT PRIMARY KEY,
        position BIGINT NOT NULL UNIQUE,
        purpose TEXT NOT NULL,
        sealed BYTEA NOT NULL,
        created_at BIGINT NOT NULL
    );

    CREATE TABLE accounts (
        subject TEXT PRIMARY KEY
    );
    CREATE TABLE identities (
        realm TEXT NOT NULL,
        uid TEXT NOT NULL,
        subject TEXT NOT NULL,
        provider TEXT NOT NULL,
        name TEXT,
        since BIGINT NOT NULL,
        PRIMARY KEY (realm, uid)
    );
    CREATE INDEX identities_by_subject ON identities (subject);

    CREATE TABLE clients (
        id TEXT PRIMARY KEY,
        record TEXT NOT NULL,
        created_at BIGINT NOT NULL
    );

    CREATE TABLE pushed (
        name BYTEA PRIMARY KEY,
        request TEXT NOT NULL,
        expires_at BIGINT NOT NULL
    );
    CREATE INDEX pushed_by_expiry ON pushed (expires_at);

    -- Until a code is redeemed its grant is in its record, and has no row.
    CREATE TABLE codes (
        hash BYTEA PRIMARY KEY,
        grant_id BYTEA NOT NULL,
        client TEXT NOT NULL,
        subject TEXT NOT NULL,
        context TEXT,
        record TEXT NOT NULL,
        redeemed_at BIGINT,
        ended TEXT,
        -- Until it expires, and once it was redeemed, until its grant does.
        keep_until BIGINT NOT NULL
    );
    CREATE INDEX codes_by_end ON codes (keep_until);
    CREATE INDEX codes_by_subject ON codes (subject) WHERE redeemed_at IS NULL;
    CREATE INDEX codes_by_context ON codes (context) WHERE redeemed_at IS NULL;

    CREATE TABLE grants (
        id BYTEA PRIMARY KEY,
        client TEXT NOT NULL,
        subject TEXT NOT NULL,
        context TEXT,
        record TEXT NOT NULL,
        created_at BIGINT NOT NULL,
        expires_at BIGINT NOT NULL,
        ended TEXT,
        ended_at BIGINT
    );
    CREATE INDEX grants_by_expiry ON grants (expires_at);
    CREATE INDEX grants_by_subject ON grants (subject, created_at);
    CREATE INDEX grants_by_context ON grants (context);

    CREATE TABLE refresh_tokens (
        hash BYTEA PRIMARY KEY,
        grant_id BYTEA NOT NULL,
        issued_at BIGINT NOT NULL,
        expires_at BIGINT NOT NULL,
        replaced_at BIGINT,
        successor BYTEA,
        sealed BYTEA,
        -- As long as its grant.
        keep_until BIGINT NOT NULL,
        CHECK ((replaced_at IS NULL) = (successor IS NULL) AND (replaced_at IS NULL) = (sealed IS NULL))
    );
    CREATE INDEX refresh_tokens_by_end ON refresh_tokens (keep_until);

    CREATE TABLE access_tokens (
        hash BYTEA PRIMARY KEY,
        grant_id BYTEA,
        record TEXT NOT NULL,
        expires_at BIGINT NOT NULL
    );
    CREATE INDEX access_tokens_by_expiry ON access_tokens (expires_at);

    -- Signed access tokens that were taken back.
    CREATE TABLE revoked_tokens (
        hash BYTEA PRIMARY KEY,
        expires_at BIGINT NOT NULL
    );
    CREATE INDEX revoked_tokens_by_expiry ON revoked_tokens (expires_at);

    CREATE TABLE once (
        key BYTEA PRIMARY KEY,
        expires_at BIGINT NOT NULL
    );
    CREATE INDEX once_by_expiry ON once (expires_at);

    CREATE TABLE devices (
        hash BYTEA PRIMARY KEY,
        user_code BYTEA NOT NULL UNIQUE,
        record TEXT NOT NULL,
        -- pending, denied, approved or redeemed; what was approved, and what it is tied to.
        state TEXT NOT NULL,
        grant_record TEXT,
        subject TEXT,
        context TEXT,
        redeemed_at BIGINT,
        wait_seconds BIGINT NOT NULL,
        polled_at BIGINT,
        expires_at BIGINT NOT NULL
    );
    CREATE INDEX devices_by_expiry ON devices (expires_at);
    CREATE INDEX devices_by_subject ON devices (subject);
    CREATE INDEX devices_by_context ON devices (context);
    ",
];

/// The form of this version.
pub(super) const VERSION: i64 = MIGRATIONS.len() as i64;

/// Whoever changes the tables holds this advisory lock: "Vestibule" in the letters that fit.
const LOCK: &str = "SELECT pg_advisory_xact_lock(6225331178951437676)";

/// What asks for the form.
pub(super) const FORM: &str = "SELECT form FROM vestibule";

/// The form of a database; 0 where nothing of ours is.
async fn form(client: &impl GenericClient) -> Result<i64, Error> {
    match client.query_opt(FORM, &[]).await {
        Ok(row) => row.map_or(Ok(0), |row| row.try_get(0)),
        Err(error) if error.code() == Some(&SqlState::UNDEFINED_TABLE) => Ok(0),
        Err(error) => Err(error),
    }
}

/// Does what leads to the form of this version, all of it or nothing; of ten nodes that would at once, one does.
pub(super) async fn bring_up_to_date(connections: &Connections) -> Result<(), PostgresError> {
    let mut client = connections.client().await?;
    let failed = |error: Error| PostgresError::from(connections.refused(&error));
    let known = |found: i64| match found {
        found if found > VERSION => {
            Err(PostgresError::Newer { place: connections.place().to_owned(), found, known: VERSION })
        }
        found => Ok(found),
    };
    if known(form(&client).await.map_err(failed)?)? == VERSION {
        return Ok(());
    }
    let transaction = client.transaction().await.map_err(failed)?;
    transaction.batch_execute("SET LOCAL statement_timeout = 0").await.map_err(failed)?;
    transaction.batch_execute(LOCK).await.map_err(failed)?;
    let first = "CREATE TABLE IF NOT EXISTS vestibule (form BIGINT NOT NULL)";
    transaction.batch_execute(first).await.map_err(failed)?;
    let found = known(form(&transaction).await.map_err(failed)?)?;
    for migration in MIGRATIONS.iter().skip(usize::try_from(found).unwrap_or(0)) {
        transaction.batch_execute(migration).await.map_err(failed)?;
    }
    let note = format!("DELETE FROM vestibule; INSERT INTO vestibule (form) VALUES ({VERSION})");
    transaction.batch_execute(&note).await.map_err(failed)?;
    transaction.commit().await.map_err(failed)
}
