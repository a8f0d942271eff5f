//! The connections, and how an act is asked for.

use std::fmt;
use std::time::Duration;

use deadpool_postgres::{
    Client, Hook, HookError, Manager, ManagerConfig, Object, Pool, PoolError, RecyclingMethod, Runtime,
    Timeouts,
};
use tokio::time::{Instant, timeout_at};
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{FromSql, ToSql};
use tokio_postgres::{Error, NoTls, Row};
use vestibule_oauth_core::StoreUnavailable;

use super::url::Security;
use super::{PostgresError, PostgresUrl, tls};

/// The most connections of one node. An act takes a millisecond of one: eight are good for thousands of acts each second, and a dozen nodes
/// stay below the hundred that a database takes as it comes.
const CONNECTIONS: usize = 8;

/// How long to wait for one of them, and for a new one.
const ACQUIRE: Duration = Duration::from_secs(3);

/// How long the database may take over one statement. What takes longer waits for a lock, or for a disk that does not answer.
const STATEMENT: Duration = Duration::from_secs(5);

/// How long an act may take in all, with every time it is tried again: a network that swallows packets says nothing at all.
const ACT: Duration = Duration::from_secs(12);

/// How often an act is tried that the database has taken back, as it does with one of two that wait for each other.
const TRIES: u32 = 5;

/// What goes with a statement.
pub(super) type With<'a> = &'a [&'a (dyn ToSql + Sync)];

/// Asks the database.
pub(super) struct Connections {
    pool: Pool,
    place: String,
}

/// Why an act was not done.
enum Failure {
    /// There is no connection.
    NoConnection(PoolError),
    /// The database says no.
    Refused(Error),
    /// Nothing came in time.
    TooLong,
}

impl Connections {
    /// Connects with the first act.
    pub(super) fn new(url: &PostgresUrl) -> Result<Self, PostgresError> {
        let place = url.to_string();
        let mut config = url.config();
        config.application_name("vestibule");
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(ACQUIRE);
        }
        // A connection that is closed is known to be; one that is cut is found out by the act that uses it, which has its time limit.
        let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let manager = match url.security() {
            Security::None => Manager::from_config(config, NoTls, recycling),
            Security::Tls { anchors } => {
                Manager::from_config(config, tls::connector(anchors.as_deref(), &place)?, recycling)
            }
        };
        let limits = format!(
            "SET statement_timeout = {}; SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL READ COMMITTED",
            STATEMENT.as_millis()
        );
        let set_limits = Hook::async_fn(move |client, _| {
            let limits = limits.clone();
            Box::pin(async move { client.batch_execute(&limits).await.map_err(HookError::Backend) })
        });
        let pool = Pool::builder(manager)
            .max_size(CONNECTIONS)
            .timeouts(Timeouts { wait: Some(ACQUIRE), create: Some(ACQUIRE), recycle: Some(ACQUIRE) })
            .runtime(Runtime::Tokio1)
            .post_create(set_limits)
            .build()
            .map_err(|error| StoreUnavailable::new(format!("{place}: {error}")))?;
        Ok(Self { pool, place })
    }

    pub(super) fn place(&self) -> &str {
        &self.place
    }

    pub(super) fn unavailable(&self, detail: impl fmt::Display) -> StoreUnavailable {
        StoreUnavailable::new(format!("{}: {detail}", self.place))
    }

    /// Does an act that is one statement, and gives its rows.
    pub(super) async fn rows(&self, sql: &str, with: With<'_>) -> Result<Vec<Row>, StoreUnavailable> {
        let rows = self.insisting(&[(sql, with)]).await.map_err(|failure| self.failed(&failure))?;
        Ok(rows.into_iter().next().unwrap_or_default())
    }

    /// The first row, if there is one.
    pub(super) async fn row(&self, sql: &str, with: With<'_>) -> Result<Option<Row>, StoreUnavailable> {
        Ok(self.rows(sql, with).await?.into_iter().next())
    }

    /// Does an act that is several statements, one after the other, all of them or none. Each sees what was committed before it began.
    pub(super) async fn together(
        &self,
        steps: &[(&str, With<'_>)],
    ) -> Result<Vec<Vec<Row>>, StoreUnavailable> {
        self.insisting(steps).await.map_err(|failure| self.failed(&failure))
    }

    /// The same, or nothing at all where what it would put in is there already: nothing of it was done then.
    pub(super) async fn together_unless_taken(
        &self,
        steps: &[(&str, With<'_>)],
    ) -> Result<Option<Vec<Vec<Row>>>, StoreUnavailable> {
        match self.insisting(steps).await {
            Ok(rows) => Ok(Some(rows)),
            Err(Failure::Refused(error)) if error.code() == Some(&SqlState::UNIQUE_VIOLATION) => Ok(None),
            Err(failure) => Err(self.failed(&failure)),
        }
    }

    /// A connection, for what is more than an act.
    pub(super) async fn client(&self) -> Result<Client, StoreUnavailable> {
        self.pool.get().await.map_err(|error| self.failed(&Failure::NoConnection(error)))
    }

    /// What the database refused.
    pub(super) fn refused(&self, error: &Error) -> StoreUnavailable {
        self.unavailable(describe(error))
    }

    /// A column of a row.
    pub(super) fn column<'r, T: FromSql<'r>>(
        &self,
        row: &'r Row,
        place: usize,
    ) -> Result<T, StoreUnavailable> {
        row.try_get(place).map_err(|error| self.unavailable(describe(&error)))
    }

    /// Tries again what was taken back by the database: nothing of it was done.
    async fn insisting(&self, steps: &[(&str, With<'_>)]) -> Result<Vec<Vec<Row>>, Failure> {
        let until = Instant::now() + ACT;
        let mut tried = 0;
        loop {
            tried += 1;
            match self.once(steps, until).await {
                Err(Failure::Refused(error)) if tried < TRIES && is_worth_another_try(&error) => {}
                outcome => return outcome,
            }
        }
    }

    /// A connection that was left in the middle of something is closed; one on which the database said no is as good as before.
    async fn once(&self, steps: &[(&str, With<'_>)], until: Instant) -> Result<Vec<Vec<Row>>, Failure> {
        let mut client = self.pool.get().await.map_err(Failure::NoConnection)?;
        let work = async {
            match steps {
                [step] => ask(&client, *step).await.map(|rows| vec![rows]),
                steps => all_or_none(&mut client, steps).await,
            }
        };
        let failure = match timeout_at(until, work).await {
            Ok(Ok(rows)) => return Ok(rows),
            Ok(Err(error)) if error.as_db_error().is_some() => return Err(Failure::Refused(error)),
            Ok(Err(error)) => Failure::Refused(error),
            Err(_) => Failure::TooLong,
        };
        drop(Object::take(client));
        Err(failure)
    }

    fn failed(&self, failure: &Failure) -> StoreUnavailable {
        match failure {
            Failure::NoConnection(error) => self.unavailable(describe_pool(error)),
            Failure::Refused(error) => self.refused(error),
            Failure::TooLong => self.unavailable(format_args!("no answer within {} s", ACT.as_secs())),
        }
    }
}

async fn ask(client: &Client, (sql, with): (&str, With<'_>)) -> Result<Vec<Row>, Error> {
    let statement = client.prepare_cached(sql).await?;
    client.query(&statement, with).await
}

async fn all_or_none(client: &mut Client, steps: &[(&str, With<'_>)]) -> Result<Vec<Vec<Row>>, Error> {
    let transaction = client.transaction().await?;
    let mut rows = Vec::with_capacity(steps.len());
    for (sql, with) in steps {
        let statement = transaction.prepare_cached(sql).await?;
        rows.push(transaction.query(&statement, with).await?);
    }
    transaction.commit().await?;
    Ok(rows)
}

/// Whether the database has taken back what was done because of what others did at the same time.
fn is_worth_another_try(error: &Error) -> bool {
    error.code().is_some_and(|code| {
        [SqlState::T_R_SERIALIZATION_FAILURE, SqlState::T_R_DEADLOCK_DETECTED].contains(code)
    })
}

/// In the database's words, without the values that it adds.
fn describe(error: &Error) -> String {
    match error.as_db_error() {
        Some(said) => format!("{} ({})", said.message(), said.code().code()),
        None => with_sources(error),
    }
}

fn describe_pool(error: &PoolError) -> String {
    match error {
        PoolError::Backend(error) | PoolError::PostCreateHook(HookError::Backend(error)) => describe(error),
        PoolError::Timeout(_) => "no connection was to be had in time".to_owned(),
        error => with_sources(error),
    }
}

fn with_sources(error: &dyn std::error::Error) -> String {
    let sources = std::iter::successors(error.source(), |error| error.source());
    sources.fold(error.to_string(), |text, source| format!("{text}: {source}"))
}
