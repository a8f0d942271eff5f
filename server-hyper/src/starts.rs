//! How many logins may be started: each makes this server ask half a dozen others, so nobody may start them without end.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::Extensions;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use vestibule_oauth_core::UnixTime;
use vestibule_strategy::{FailureKind, Fault};

/// Who asks, as far as the listener knows: put it into a request's extensions, and logins are counted by address. A proxy's
/// own address tells nobody apart, so behind one take what the proxy says.
///
/// ```
/// use std::net::IpAddr;
/// use vestibule_server_hyper::ClientAddress;
///
/// let mut request = http::Request::get("/login?handle=alice.example.com").body(()).unwrap();
/// request.extensions_mut().insert(ClientAddress(IpAddr::from([203, 0, 113, 9])));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[allow(clippy::exhaustive_structs, reason = "a name for an address, made by whoever listens")]
pub struct ClientAddress(pub IpAddr);

/// Counts the logins that are started, in all and by address.
#[derive(Debug)]
pub(crate) struct Starts {
    room: Arc<Semaphore>,
    buckets: Mutex<BTreeMap<IpAddr, Bucket>>,
}

/// What an address has left: it fills up with time, and every start takes one.
#[derive(Debug)]
struct Bucket {
    left: u32,
    since: UnixTime,
}

/// The most request phases under way at once. At a second each, a busy day of a large site stays far below.
const AT_ONCE: usize = 256;

/// What an address may start in a row: an office behind one address, on a Monday morning.
const BURST: u32 = 30;

/// How long it takes until an address may start one more.
const REFILL: Duration = Duration::from_secs(2);

/// The most addresses that are counted; beyond it those that have used up least are forgotten.
const MAX_ADDRESSES: usize = 50_000;

impl Starts {
    pub(crate) fn new() -> Self {
        Self { room: Arc::new(Semaphore::new(AT_ONCE)), buckets: Mutex::new(BTreeMap::new()) }
    }

    /// Leave to start one, as long as the value lives.
    pub(crate) fn admit(
        &self,
        extensions: &Extensions,
        now: UnixTime,
    ) -> Result<OwnedSemaphorePermit, TooMany> {
        if let Some(ClientAddress(address)) = extensions.get() {
            self.take_one(subscriber(*address), now)?;
        }
        Arc::clone(&self.room).try_acquire_owned().map_err(|_| TooMany::InAll)
    }

    fn take_one(&self, address: IpAddr, now: UnixTime) -> Result<(), TooMany> {
        // Nothing under this lock can panic half-way, so one that is poisoned still holds what it should.
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= MAX_ADDRESSES && !buckets.contains_key(&address) {
            buckets.retain(|_, bucket| bucket.filled(now) < BURST);
            if buckets.len() >= MAX_ADDRESSES {
                buckets.pop_first();
            }
        }
        let bucket = buckets.entry(address).or_insert(Bucket { left: BURST, since: now });
        let left = bucket.filled(now);
        let Some(rest) = left.checked_sub(1) else { return Err(TooMany::FromThisAddress) };
        if left != bucket.left || left == BURST {
            bucket.since = now;
        }
        bucket.left = rest;
        Ok(())
    }
}

impl Bucket {
    /// What is left once the time since then is counted in. A clock that was set back fills nothing.
    fn filled(&self, now: UnixTime) -> u32 {
        let refilled = now.since(self.since).as_secs().checked_div(REFILL.as_secs()).unwrap_or_default();
        self.left.saturating_add(u32::try_from(refilled).unwrap_or(u32::MAX)).min(BURST)
    }
}

/// Why no login may be started now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum TooMany {
    FromThisAddress,
    InAll,
}

impl TooMany {
    pub(crate) fn fault(self) -> Fault {
        match self {
            Self::FromThisAddress => Fault::new(FailureKind::RateLimited, "too many logins from one address"),
            Self::InAll => Fault::new(FailureKind::Overloaded, "too many logins are being started at once"),
        }
    }
}

/// The part of an address that one subscriber holds: all of an IPv4 address, 64 bits of an IPv6 one.
fn subscriber(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(address: &str) -> Extensions {
        let mut extensions = Extensions::new();
        extensions.insert(ClientAddress(address.parse().unwrap()));
        extensions
    }

    #[test]
    fn an_address_starts_so_many_in_a_row_and_then_one_every_two_seconds() {
        let starts = Starts::new();
        let now = UnixTime::from_secs(1_700_000_000);
        let one = from("203.0.113.9");
        for _ in 0..BURST {
            assert!(starts.admit(&one, now).is_ok());
        }
        assert_eq!(starts.admit(&one, now).unwrap_err(), TooMany::FromThisAddress);
        assert!(starts.admit(&from("203.0.113.10"), now).is_ok());
        assert!(starts.admit(&Extensions::new(), now).is_ok());

        let later = now.after(REFILL);
        assert!(starts.admit(&one, later).is_ok());
        assert_eq!(starts.admit(&one, later).unwrap_err(), TooMany::FromThisAddress);
        assert_eq!(starts.admit(&one, now).unwrap_err(), TooMany::FromThisAddress); // a clock set back
    }

    #[test]
    fn an_ipv6_subscriber_is_64_bits() {
        let starts = Starts::new();
        let now = UnixTime::from_secs(1_700_000_000);
        for host in 0..BURST {
            assert!(starts.admit(&from(&format!("2001:db8:1:2::{host:x}")), now).is_ok());
        }
        assert!(starts.admit(&from("2001:db8:1:2:ffff::1"), now).is_err());
        assert!(starts.admit(&from("2001:db8:1:3::1"), now).is_ok());
    }

    #[test]
    fn no_more_than_so_many_are_under_way_at_once() {
        let starts = Starts::new();
        let now = UnixTime::from_secs(1_700_000_000);
        let permits: Vec<_> = (0..AT_ONCE).map(|_| starts.admit(&Extensions::new(), now).unwrap()).collect();
        assert_eq!(starts.admit(&Extensions::new(), now).unwrap_err(), TooMany::InAll);
        drop(permits);
        assert!(starts.admit(&Extensions::new(), now).is_ok());
    }
}
