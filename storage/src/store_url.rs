//! Where a store is.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use thiserror::Error;

#[cfg(feature = "postgres")]
use crate::postgres::{InvalidPostgresUrl, PostgresUrl};

/// Where a store is, as `--store` says it: `sqlite:PATH`, `postgres://…` or `memory:`.
///
/// ```
/// use std::path::Path;
/// use vestibule_storage::StoreUrl;
///
/// let store: StoreUrl = "sqlite:vestibule.db".parse().unwrap();
/// assert_eq!(store, StoreUrl::Sqlite(Path::new("vestibule.db").into()));
/// assert_eq!(store.to_string(), "sqlite:vestibule.db");
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum StoreUrl {
    /// In this process, gone when it ends.
    Memory,
    /// In a file, for one machine.
    Sqlite(PathBuf),
    /// In a PostgreSQL database, for several nodes.
    #[cfg(feature = "postgres")]
    Postgres(PostgresUrl),
}

impl FromStr for StoreUrl {
    type Err = InvalidStoreUrl;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (scheme, rest) = text.split_once(':').ok_or(InvalidStoreUrl::Scheme)?;
        match scheme {
            "memory" if rest.is_empty() => Ok(Self::Memory),
            "memory" => Err(InvalidStoreUrl::Memory),
            "sqlite" => sqlite_path(rest).map(|path| Self::Sqlite(path.into())),
            #[cfg(feature = "postgres")]
            "postgres" | "postgresql" => text.parse().map(Self::Postgres).map_err(InvalidStoreUrl::Postgres),
            #[cfg(not(feature = "postgres"))]
            "postgres" | "postgresql" => Err(InvalidStoreUrl::NoPostgres),
            _ => Err(InvalidStoreUrl::Scheme),
        }
    }
}

/// A path as it stands, or the path of a URL without a host: `sqlite:///var/lib/v.db` is `/var/lib/v.db`.
fn sqlite_path(text: &str) -> Result<&Path, InvalidStoreUrl> {
    let path = match text.strip_prefix("//") {
        Some(path) if path.starts_with('/') => path,
        Some(_) => return Err(InvalidStoreUrl::SqliteHost),
        None => text,
    };
    match path {
        "" => Err(InvalidStoreUrl::SqlitePath),
        ":memory:" => Err(InvalidStoreUrl::SqliteMemory),
        path if path.contains('\0') => Err(InvalidStoreUrl::SqlitePath),
        path => Ok(Path::new(path)),
    }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory => f.write_str("memory:"),
            Self::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
            #[cfg(feature = "postgres")]
            Self::Postgres(url) => url.fmt(f),
        }
    }
}

/// Why a text does not say where a store is. No variant repeats the text: it may hold a password.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum InvalidStoreUrl {
    /// Neither `sqlite:` nor `postgres:` nor `memory:`.
    #[error("store must begin with sqlite:, postgres: or memory:")]
    Scheme,
    /// It does not say where the database is.
    #[cfg(feature = "postgres")]
    #[error(transparent)]
    Postgres(InvalidPostgresUrl),
    /// It was built without PostgreSQL.
    #[cfg(not(feature = "postgres"))]
    #[error(
        "store on PostgreSQL takes a build with the feature `postgres`; this one has sqlite:PATH and memory:"
    )]
    NoPostgres,
    /// Something follows `memory:`.
    #[error("store memory: takes nothing after the colon")]
    Memory,
    /// No path, or one that no file can have.
    #[error("store sqlite: must name a file, as in sqlite:vestibule.db")]
    SqlitePath,
    /// Two slashes and a host.
    #[error(
        "store sqlite: takes a path and no host, as in sqlite:vestibule.db or sqlite:/var/lib/vestibule.db"
    )]
    SqliteHost,
    /// SQLite's own name for a store that goes with the process.
    #[error("store sqlite: must name a file; for a store that goes with the process write memory:")]
    SqliteMemory,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_store_accepts() {
        for (text, path) in [
            ("sqlite:vestibule.db", "vestibule.db"),
            ("sqlite:./a b.db", "./a b.db"),
            ("sqlite:/var/lib/vestibule.db", "/var/lib/vestibule.db"),
            ("sqlite:///var/lib/vestibule.db", "/var/lib/vestibule.db"),
            ("sqlite:file:x?mode=ro", "file:x?mode=ro"),
        ] {
            assert_eq!(text.parse(), Ok(StoreUrl::Sqlite(path.into())), "{text}");
        }
        assert_eq!("memory:".parse(), Ok(StoreUrl::Memory));
    }

    #[test]
    fn what_store_refuses_and_never_a_password_in_the_words() {
        for (text, why) in [
            ("", InvalidStoreUrl::Scheme),
            ("vestibule.db", InvalidStoreUrl::Scheme),
            ("mysql://u:hunter2@db/v", InvalidStoreUrl::Scheme),
            #[cfg(feature = "postgres")]
            ("postgres://u:hunter2@db", InvalidStoreUrl::Postgres(InvalidPostgresUrl::Database)),
            #[cfg(not(feature = "postgres"))]
            ("postgres://u:hunter2@db/v", InvalidStoreUrl::NoPostgres),
            ("memory:hunter2", InvalidStoreUrl::Memory),
            ("sqlite:", InvalidStoreUrl::SqlitePath),
            ("sqlite:a\0b", InvalidStoreUrl::SqlitePath),
            ("sqlite://u:hunter2@host/v.db", InvalidStoreUrl::SqliteHost),
            ("sqlite::memory:", InvalidStoreUrl::SqliteMemory),
        ] {
            let error = text.parse::<StoreUrl>().unwrap_err();
            assert_eq!(error, why, "{text}");
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{text}");
        }
    }
}
