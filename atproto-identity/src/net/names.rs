//! Host names and TXT records, by one resolver that every look-up shares.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use tokio::time::timeout;
use vestibule_oauth_core::{TxtError, TxtRecord};

/// Time for one look-up, retries included: what the TypeScript and Go implementations of AT Protocol allow.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(3);

/// Time for one question to one server; half of the above, so that a lost packet is made good by the second try.
const QUESTION_TIMEOUT: Duration = Duration::from_millis(1_500);

/// Questions repeated after the first went unanswered.
const REPEATS: usize = 1;

/// Answers kept at once; each is about a kilobyte.
const CACHED_ANSWERS: u64 = 1_024;

/// The longest an answer is kept, whatever its own time to live says: a login must see an identity as it was less than
/// ten minutes ago.
const LONGEST_TTL: Duration = Duration::from_secs(300);

/// The longest a "no such name" is kept: people set up a record, find it missing, and try again at once.
const LONGEST_NEGATIVE_TTL: Duration = Duration::from_secs(10);

/// The one resolver.
pub(super) struct Names {
    /// Or why there is none: a machine without DNS can still reach addresses and `localhost`.
    resolver: Result<TokioResolver, String>,
}

/// How a host name without a dot at its end is read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Reading {
    /// As it stands: a stranger's name never reaches into the search list of this machine.
    Absolute,
    /// With the machine's search list, as other programs on it read what its operator writes.
    WithSearchList,
}

/// Why a host name has no address.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum NameError {
    Unknown,
    Timeout,
    Failed(String),
}

impl Names {
    /// Asks `server` over UDP and TCP, or the servers the system names.
    pub(super) fn new(server: Option<SocketAddr>) -> Result<Self, String> {
        let Some(server) = server else {
            let resolver = TokioResolver::builder_tokio().and_then(|mut builder| {
                bound(builder.options_mut());
                builder.build()
            });
            return Ok(Self { resolver: resolver.map_err(|error| error.to_string()) });
        };
        let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
            connection.port = server.port();
            connection
        });
        let server = NameServerConfig::new(server.ip(), true, connections.into());
        let config = ResolverConfig::from_parts(None, Vec::new(), vec![server]);
        let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        bound(builder.options_mut());
        // Whoever names a server wants its answers, not those of a file.
        builder.options_mut().use_hosts_file = ResolveHosts::Never;
        builder.build().map(|resolver| Self { resolver: Ok(resolver) }).map_err(|error| error.to_string())
    }

    /// The addresses of `host`, which may be one written out.
    pub(super) async fn addresses(&self, host: &str, reading: Reading) -> Result<Vec<IpAddr>, NameError> {
        let unbracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        if let Ok(address) = unbracketed.parse() {
            return Ok(vec![address]);
        }
        // RFC 6761, section 6.3: these names never go to the DNS. IPv4 comes first, as most servers listen there alone.
        if is_localhost(host) {
            return Ok(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]);
        }
        let mut name = Name::from_ascii(host).map_err(|_| NameError::Unknown)?;
        if reading == Reading::Absolute {
            name.set_fqdn(true);
        }
        let resolver = self.resolver.as_ref().map_err(|why| NameError::Failed(no_server(why)))?;
        match timeout(LOOKUP_TIMEOUT, resolver.lookup_ip(name)).await {
            Err(_) | Ok(Err(NetError::Timeout)) => Err(NameError::Timeout),
            Ok(Err(error)) if error.is_no_records_found() => Err(NameError::Unknown),
            Ok(Err(error)) => Err(NameError::Failed(error.to_string())),
            Ok(Ok(found)) => {
                let addresses: Vec<IpAddr> = found.iter().collect();
                if addresses.is_empty() { Err(NameError::Unknown) } else { Ok(addresses) }
            }
        }
    }

    /// The TXT records of `name`; none when there is no such name.
    pub(super) async fn txt(&self, name: &str) -> Result<Vec<TxtRecord>, TxtError> {
        let mut name = Name::from_ascii(name).map_err(|error| TxtError::Failed(error.to_string()))?;
        name.set_fqdn(true);
        let resolver = self.resolver.as_ref().map_err(|why| TxtError::Failed(no_server(why)))?;
        let found = match timeout(LOOKUP_TIMEOUT, resolver.lookup(name, RecordType::TXT)).await {
            Err(_) | Ok(Err(NetError::Timeout)) => return Err(TxtError::Timeout),
            Ok(Err(error)) if error.is_no_records_found() => return Ok(Vec::new()),
            Ok(Err(error)) => return Err(TxtError::Failed(error.to_string())),
            Ok(Ok(found)) => found,
        };
        // Aliases on the way are among the answers too.
        let records = found.answers().iter().filter_map(|record| match &record.data {
            RData::TXT(txt) => Some(TxtRecord::new(txt.txt_data.iter().map(|string| string.to_vec()))),
            _ => None,
        });
        Ok(records.collect())
    }
}

fn bound(options: &mut ResolverOpts) {
    options.timeout = QUESTION_TIMEOUT;
    options.attempts = REPEATS;
    options.cache_size = CACHED_ANSWERS;
    options.positive_max_ttl = Some(LONGEST_TTL);
    options.negative_max_ttl = Some(LONGEST_NEGATIVE_TTL);
    // Both kinds are asked for at once; when both fail, it is the first one's error that is seen.
    options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
}

fn is_localhost(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    let last = host.rsplit_once('.').map_or(host, |(_, last)| last);
    last.eq_ignore_ascii_case("localhost")
}

fn no_server(why: &str) -> String {
    format!("no name server is known: {why}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn without_dns() -> Names {
        Names { resolver: Err(String::from("no such file")) }
    }

    #[tokio::test]
    async fn addresses_and_localhost_need_no_name_server() {
        let rows: [(&str, &[&str]); 6] = [
            ("192.0.2.1", &["192.0.2.1"]),
            ("[2001:db8::1]", &["2001:db8::1"]),
            ("localhost", &["127.0.0.1", "::1"]),
            ("LocalHost.", &["127.0.0.1", "::1"]),
            ("pds.localhost", &["127.0.0.1", "::1"]),
            ("a.b.localhost", &["127.0.0.1", "::1"]),
        ];
        for (host, addresses) in rows {
            let expected: Vec<IpAddr> = addresses.iter().map(|address| address.parse().unwrap()).collect();
            assert_eq!(without_dns().addresses(host, Reading::Absolute).await, Ok(expected), "{host}");
        }
    }

    #[tokio::test]
    async fn without_a_name_server_names_fail_and_say_why() {
        let why = String::from("no name server is known: no such file");
        for host in ["pds.example", "notlocalhost", "localhost.example"] {
            let answer = without_dns().addresses(host, Reading::Absolute).await;
            assert_eq!(answer, Err(NameError::Failed(why.clone())), "{host}");
        }
        assert_eq!(without_dns().txt("_atproto.example").await, Err(TxtError::Failed(why)));
    }

    #[tokio::test]
    async fn what_is_not_a_name_is_unknown() {
        let long = "a".repeat(64);
        for host in ["a..b", "a%41.example", long.as_str()] {
            let answer = without_dns().addresses(host, Reading::Absolute).await;
            assert_eq!(answer, Err(NameError::Unknown), "{host}");
        }
    }
}
