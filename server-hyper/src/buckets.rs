//! How often something may be done by somebody: a bucket for each, which fills up with time and loses one with every act.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use vestibule_oauth_core::UnixTime;

/// Who asks, as far as the listener knows: put it into a request's extensions, and what may be done too often is counted by
/// address. A proxy's own address tells nobody apart, so behind one take what the proxy says.
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

impl ClientAddress {
    /// The part of the address that one subscriber holds: all of an IPv4 address, 64 bits of an IPv6 one.
    pub(crate) fn subscriber(self) -> IpAddr {
        match self.0.to_canonical() {
            IpAddr::V4(address) => IpAddr::V4(address),
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
            }
        }
    }
}

/// A bucket for each `K`.
#[derive(Debug)]
pub(crate) struct Buckets<K> {
    size: u32,
    refill: Duration,
    all: Mutex<BTreeMap<K, Bucket>>,
}

/// What somebody has left.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    left: u32,
    since: UnixTime,
}

/// There was nothing left. One more may be done after this span.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Empty {
    pub(crate) retry_after: Duration,
}

/// The most that are counted; beyond it those that have used up nothing are forgotten, then anybody.
const MAX_KEYS: usize = 50_000;

impl<K: Ord + Clone> Buckets<K> {
    /// Buckets of `size` acts, each of which comes back after `refill`, in whole seconds.
    pub(crate) const fn new(size: u32, refill: Duration) -> Self {
        Self { size, refill, all: Mutex::new(BTreeMap::new()) }
    }

    /// Takes one from somebody's bucket.
    pub(crate) fn take(&self, key: &K, now: UnixTime) -> Result<(), Empty> {
        // Nothing under this lock can panic half-way, so one that is poisoned still holds what it should.
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MAX_KEYS && !all.contains_key(key) {
            all.retain(|_, bucket| self.filled(*bucket, now) < self.size);
            if all.len() >= MAX_KEYS {
                all.pop_first();
            }
        }
        let bucket = all.entry(key.clone()).or_insert(Bucket { left: self.size, since: now });
        let left = self.filled(*bucket, now);
        let Some(rest) = left.checked_sub(1) else { return Err(Empty { retry_after: self.refill }) };
        if left != bucket.left || left == self.size {
            bucket.since = now;
        }
        bucket.left = rest;
        Ok(())
    }

    /// Whether somebody has one left, without taking it.
    pub(crate) fn has_left(&self, key: &K, now: UnixTime) -> Result<(), Empty> {
        let all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        match all.get(key) {
            Some(bucket) if self.filled(*bucket, now) == 0 => Err(Empty { retry_after: self.refill }),
            _ => Ok(()),
        }
    }

    /// What is left once the time since then is counted in. A clock that was set back fills nothing.
    fn filled(&self, bucket: Bucket, now: UnixTime) -> u32 {
        let refilled =
            now.since(bucket.since).as_secs().checked_div(self.refill.as_secs()).unwrap_or_default();
        bucket.left.saturating_add(u32::try_from(refilled).unwrap_or(u32::MAX)).min(self.size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixTime = UnixTime::from_secs(1_700_000_000);
    const REFILL: Duration = Duration::from_secs(2);

    #[test]
    fn so_many_in_a_row_and_then_one_after_each_span() {
        let buckets = Buckets::new(3, REFILL);
        for _ in 0..3 {
            assert_eq!(buckets.take(&"a", NOW), Ok(()));
        }
        let empty = Err(Empty { retry_after: REFILL });
        assert_eq!(buckets.take(&"a", NOW), empty);
        assert_eq!(buckets.take(&"b", NOW), Ok(()), "somebody else's is full");
        let later = NOW.after(REFILL);
        assert_eq!(buckets.take(&"a", later), Ok(()));
        assert_eq!(buckets.take(&"a", later), empty);
        assert_eq!(buckets.take(&"a", NOW), empty, "a clock set back");
    }

    #[test]
    fn no_more_are_counted_than_fit() {
        let buckets = Buckets::new(2, REFILL);
        for key in 0..MAX_KEYS {
            assert_eq!(buckets.take(&key, NOW), Ok(()));
        }
        assert_eq!(buckets.take(&MAX_KEYS, NOW), Ok(()));
        assert_eq!(buckets.all.lock().unwrap().len(), MAX_KEYS);
        assert_eq!(buckets.take(&(MAX_KEYS + 1), NOW.after(REFILL)), Ok(()));
        assert_eq!(buckets.all.lock().unwrap().len(), 1, "all others are full again");
    }

    #[test]
    fn an_ipv6_subscriber_is_64_bits() {
        let of = |text: &str| ClientAddress(text.parse().unwrap()).subscriber();
        assert_eq!(of("2001:db8:1:2::1"), of("2001:db8:1:2:ffff::2"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
        assert_eq!(of("::ffff:203.0.113.9"), of("203.0.113.9"));
        assert_ne!(of("203.0.113.9"), of("203.0.113.10"));
    }
}
