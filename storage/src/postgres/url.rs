//! Where the database is.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use thiserror::Error;
use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode};

/// Where a PostgreSQL database is, as a connection URL: `postgres://user:password@host:port/database`.
///
/// Of the parameters that PostgreSQL's own clients know, `sslmode` and `sslrootcert` are read here, and `connect_timeout`, `keepalives` and
/// their like as usual. `sslmode=require` and `verify-full` are the same: who answers must have a certificate for its name, from a public
/// authority or from the file that `sslrootcert` names. `sslmode=disable` is for a network that nobody else is in. Without `sslmode` it is
/// `disable` for this machine (`localhost`, a loopback address, a socket), and `require` for any other.
///
/// ```
/// use vestibule_storage::PostgresUrl;
///
/// let url: PostgresUrl = "postgres://vestibule:hunter2@db.example.com/logins".parse().unwrap();
/// assert_eq!(url.to_string(), "postgres://db.example.com:5432/logins");
/// assert!(!format!("{url:?}").contains("hunter2"));
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct PostgresUrl {
    config: Box<Config>,
    security: Security,
}

/// Who may read along.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Security {
    /// Nobody is on the way.
    None,
    /// TLS, and the server's certificate is for its name, from one of the anchors in this file or else from a public authority.
    Tls { anchors: Option<PathBuf> },
}

impl PostgresUrl {
    /// How to connect; TLS is what [`Self::security`] says.
    pub(super) fn config(&self) -> Config {
        let mut config = (*self.config).clone();
        config.ssl_mode(match self.security {
            Security::None => SslMode::Disable,
            Security::Tls { .. } => SslMode::Require,
        });
        config
    }

    pub(super) const fn security(&self) -> &Security {
        &self.security
    }
}

/// The servers that a configuration names: a host each, or a folder of sockets.
fn hosts(config: &Config) -> impl Iterator<Item = String> {
    config.get_hosts().iter().map(|host| match host {
        Host::Tcp(name) => name.clone(),
        #[cfg(unix)]
        Host::Unix(folder) => folder.display().to_string(),
    })
}

fn is_this_machine(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    host.starts_with('/') || host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

impl FromStr for PostgresUrl {
    type Err = InvalidPostgresUrl;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (base, query) = text.split_once('?').unwrap_or((text, ""));
        let (mut mode, mut anchors, mut rest) = (None, None, Vec::new());
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            match pair.split_once('=') {
                Some(("sslmode", value)) => mode = Some(value),
                Some(("sslrootcert", value)) => anchors = Some(PathBuf::from(value)),
                _ => rest.push(pair),
            }
        }
        let plain = if rest.is_empty() { base.to_owned() } else { format!("{base}?{}", rest.join("&")) };
        // What the parser says may repeat a part of the text.
        let config: Config = plain.parse().map_err(|_| InvalidPostgresUrl::Syntax)?;
        if config.get_hosts().is_empty() {
            return Err(InvalidPostgresUrl::Host);
        }
        if config.get_user().is_none() {
            return Err(InvalidPostgresUrl::User);
        }
        if config.get_dbname().is_none() {
            return Err(InvalidPostgresUrl::Database);
        }
        let is_near = hosts(&config).all(|host| is_this_machine(&host));
        let security = match mode {
            None if is_near && anchors.is_none() => Security::None,
            None | Some("require" | "verify-full") => Security::Tls { anchors },
            Some("disable") => Security::None,
            Some(_) => return Err(InvalidPostgresUrl::SslMode),
        };
        Ok(Self { config: Box::new(config), security })
    }
}

/// Without the name and the password of whoever connects.
impl fmt::Display for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("postgres://")?;
        let ports = self.config.get_ports();
        for (place, host) in hosts(&self.config).enumerate() {
            let port = ports.get(place).or_else(|| ports.first()).unwrap_or(&5432);
            write!(f, "{}{host}:{port}", if place == 0 { "" } else { "," })?;
        }
        write!(f, "/{}", self.config.get_dbname().unwrap_or_default())
    }
}

impl fmt::Debug for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PostgresUrl({self}, {:?})", self.security)
    }
}

/// Why a text does not say where a database is. No variant repeats the text: it may hold a password.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum InvalidPostgresUrl {
    /// It is no connection URL, or has a parameter that none has.
    #[error(
        "store must be a URL like postgres://user:password@host:port/database; what is special in a password is percent-encoded"
    )]
    Syntax,
    /// It names no server.
    #[error("store postgres: must name a host, as in postgres://user:password@host/database")]
    Host,
    /// It does not say as whom to connect.
    #[error("store postgres: must name a user, as in postgres://user:password@host/database")]
    User,
    /// It does not say which database.
    #[error("store postgres: must name a database, as in postgres://user:password@host/database")]
    Database,
    /// An `sslmode` that protects from nobody, or half.
    #[error("store postgres: takes sslmode=disable, sslmode=require or sslmode=verify-full")]
    SslMode,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tls_is_the_rule_and_this_machine_the_exception() {
        let tls = |anchors: Option<&str>| Security::Tls { anchors: anchors.map(PathBuf::from) };
        for (text, security) in [
            ("postgres://u:p@db.example.com/v", tls(None)),
            ("postgresql://u@10.0.0.1/v", tls(None)),
            ("postgres://u@localhost/v", Security::None),
            ("postgres://u@127.0.0.3:6000/v", Security::None),
            ("postgres://u@%2Fvar%2Frun%2Fpostgresql/v", Security::None),
            ("postgres://u@localhost,db.example.com/v", tls(None)),
            ("postgres://u@localhost/v?sslmode=require", tls(None)),
            ("postgres://u@localhost/v?sslrootcert=ca.pem", tls(Some("ca.pem"))),
            (
                "postgres://u@db/v?sslmode=verify-full&sslrootcert=/etc/ca.pem&connect_timeout=2",
                tls(Some("/etc/ca.pem")),
            ),
            ("postgres://u@db/v?sslmode=disable", Security::None),
        ] {
            let url: PostgresUrl = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(url.security, security, "{text}");
        }
    }

    #[test]
    fn what_a_database_url_refuses_and_never_a_password_in_the_words() {
        for (text, why) in [
            ("postgres://u:hunter2@db", InvalidPostgresUrl::Database),
            ("postgres://db/v", InvalidPostgresUrl::User),
            ("postgres:", InvalidPostgresUrl::Syntax),
            ("postgres://u:hunter2@/v", InvalidPostgresUrl::Host),
            ("postgres://u:hunter2@db/v?sslmode=prefer", InvalidPostgresUrl::SslMode),
            ("postgres://u:hunter2@db/v?sslmode=hunter2", InvalidPostgresUrl::SslMode),
            ("postgres://u:hunter2@db/v?password2=hunter2", InvalidPostgresUrl::Syntax),
        ] {
            let error = text.parse::<PostgresUrl>().unwrap_err();
            assert_eq!(error, why, "{text}");
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{text}");
        }
    }

    #[test]
    fn a_database_is_shown_without_who_connects() {
        for (text, shown) in [
            ("postgres://u:hunter2@db/v", "postgres://db:5432/v"),
            ("postgres://u:hunter2@a:1,b:2/v", "postgres://a:1,b:2/v"),
        ] {
            let url: PostgresUrl = text.parse().unwrap();
            assert_eq!(url.to_string(), shown);
            assert!(!format!("{url:?}").contains("hunter2"));
        }
    }
}
