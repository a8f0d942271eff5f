//! Opening a connection: a name becomes addresses, the addresses are judged, and those that pass are dialled.
//!
//! What is judged is the very list that is dialled. The name is looked up once for a connection, so an answer that
//! changes between two look-ups gains nobody anything.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use http::uri::Scheme;
use hyper_util::rt::TokioIo;
use thiserror::Error;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tower_service::Service;

use super::address::NotPublic;
use super::names::{NameError, Names, Reading};

/// Time for one address to answer. Well past a slow round trip, well within the 5 seconds of a whole call.
const ADDRESS_TIMEOUT: Duration = Duration::from_secs(3);

/// How long an address is tried alone before the next one joins it: the recommended value of RFC 8305, section 8.
const HEAD_START: Duration = Duration::from_millis(250);

/// Addresses of one name that are tried. Large services publish four of each kind; a hostile name may publish hundreds.
const MAX_ADDRESSES: usize = 8;

/// Opens TCP connections for hyper's client.
#[derive(Clone)]
pub(super) struct Dialer {
    pub(super) names: Arc<Names>,
    pub(super) reach: Reach,
    pub(super) reading: Reading,
}

/// Which addresses may be dialled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Reach {
    Anywhere,
    PublicOnly,
}

/// Why there is no connection.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub(super) enum DialError {
    #[error("the name does not exist, or has no address")]
    UnknownHost,
    #[error("the name server did not answer in time")]
    NameTimeout,
    #[error("the name server failed: {0}")]
    NameServer(String),
    #[error("it is at {0}")]
    NotPublic(NotPublic),
    #[error("{0}")]
    Refused(String),
    #[error("no address answered in time")]
    Timeout,
}

impl Service<Uri> for Dialer {
    type Response = TokioIo<TcpStream>;
    type Error = DialError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let dialer = self.clone();
        Box::pin(async move { dialer.dial(&uri).await.map(TokioIo::new) })
    }
}

impl Dialer {
    async fn dial(&self, uri: &Uri) -> Result<TcpStream, DialError> {
        let host = uri.host().ok_or(DialError::UnknownHost)?;
        let standard_port = if uri.scheme() == Some(&Scheme::HTTP) { 80 } else { 443 };
        let port = uri.port_u16().unwrap_or(standard_port);
        let found = self.names.addresses(host, self.reading).await.map_err(|error| match error {
            NameError::Unknown => DialError::UnknownHost,
            NameError::Timeout => DialError::NameTimeout,
            NameError::Failed(detail) => DialError::NameServer(detail),
        })?;
        let allowed = allowed(found, self.reach)?;
        connect_to_first(allowed.into_iter().map(|address| SocketAddr::new(address, port))).await
    }
}

/// The addresses of `found` that may be dialled, in the order to try them: the two kinds take turns, and whichever the
/// answer put first begins.
fn allowed(found: Vec<IpAddr>, reach: Reach) -> Result<VecDeque<IpAddr>, DialError> {
    let mut why = None;
    let mut first = VecDeque::new();
    let mut second = VecDeque::new();
    for address in found {
        if reach == Reach::PublicOnly
            && let Some(not_public) = NotPublic::of(address)
        {
            why.get_or_insert(not_public);
            continue;
        }
        let same_kind = first.front().is_none_or(|head: &IpAddr| head.is_ipv4() == address.is_ipv4());
        if same_kind { first.push_back(address) } else { second.push_back(address) }
    }
    let mut turns = VecDeque::new();
    while turns.len() < MAX_ADDRESSES
        && let Some(address) = first.pop_front().or_else(|| second.pop_front())
    {
        turns.push_back(address);
        std::mem::swap(&mut first, &mut second);
    }
    if turns.is_empty() { Err(why.map_or(DialError::UnknownHost, DialError::NotPublic)) } else { Ok(turns) }
}

/// A connection to whichever address answers first, each having a head start over the next ([RFC 8305, section 5]).
///
/// [RFC 8305, section 5]: https://www.rfc-editor.org/rfc/rfc8305#section-5
async fn connect_to_first(mut addresses: impl Iterator<Item = SocketAddr>) -> Result<TcpStream, DialError> {
    let mut last_error = DialError::UnknownHost;
    let mut attempts = JoinSet::new(); // dropped on return, which ends the attempts still under way
    loop {
        let ended = match addresses.next() {
            Some(address) => {
                attempts.spawn(connect(address));
                // Nothing within the head start: go on to the next address.
                let Ok(ended) = timeout(HEAD_START, attempts.join_next()).await else { continue };
                ended
            }
            None => attempts.join_next().await,
        };
        match ended {
            Some(Ok(Ok(stream))) => return Ok(stream),
            Some(Ok(Err(error))) => last_error = error,
            Some(Err(stopped)) => last_error = DialError::Refused(stopped.to_string()),
            None => return Err(last_error),
        }
    }
}

async fn connect(address: SocketAddr) -> Result<TcpStream, DialError> {
    let refused = |error: io::Error| DialError::Refused(error.to_string());
    let stream = timeout(ADDRESS_TIMEOUT, TcpStream::connect(address))
        .await
        .map_err(|_| DialError::Timeout)?
        .map_err(refused)?;
    // A request is written whole and its answer waited for: holding back the last packet would only add to the wait.
    stream.set_nodelay(true).map_err(refused)?;
    Ok(stream)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turns(found: &[&str], reach: Reach) -> Result<Vec<String>, DialError> {
        let found = found.iter().map(|address| address.parse().unwrap()).collect();
        allowed(found, reach).map(|turns| turns.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn the_two_kinds_take_turns() {
        let rows: [(&[&str], &[&str]); 5] = [
            (&["1.1.1.1"], &["1.1.1.1"]),
            (&["1.1.1.1", "2606::1"], &["1.1.1.1", "2606::1"]),
            (&["2606::1", "2606::2", "1.1.1.1"], &["2606::1", "1.1.1.1", "2606::2"]),
            (&["1.1.1.1", "1.1.1.2", "1.1.1.3", "2606::1"], &["1.1.1.1", "2606::1", "1.1.1.2", "1.1.1.3"]),
            (&["10.0.0.1", "2606::1"], &["10.0.0.1", "2606::1"]),
        ];
        for (found, expected) in rows {
            let expected: Vec<String> = expected.iter().map(ToString::to_string).collect();
            assert_eq!(turns(found, Reach::Anywhere), Ok(expected), "{found:?}");
        }
    }

    #[test]
    fn r110_private_addresses_among_public_ones_are_left_out() {
        assert_eq!(
            turns(&["10.0.0.1", "1.1.1.1", "::1"], Reach::PublicOnly),
            Ok(vec![String::from("1.1.1.1")])
        );
        assert_eq!(
            turns(&["10.0.0.1", "::1"], Reach::PublicOnly),
            Err(DialError::NotPublic(NotPublic::Private)),
            "nothing is left"
        );
    }

    #[test]
    fn a_name_with_many_addresses_is_cut_short() {
        let found: Vec<String> = (0..200).map(|last| format!("1.1.1.{last}")).collect();
        let found: Vec<&str> = found.iter().map(String::as_str).collect();
        assert_eq!(turns(&found, Reach::Anywhere).unwrap().len(), MAX_ADDRESSES);
        assert_eq!(turns(&[], Reach::Anywhere), Err(DialError::UnknownHost));
    }
}
