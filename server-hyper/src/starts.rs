//! How many logins may be started: each makes this server ask half a dozen others, so nobody may start them without end.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::Extensions;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use vestibule_oauth_core::UnixTime;
use vestibule_strategy::{FailureKind, Fault};

use crate::buckets::{Buckets, ClientAddress};

/// Counts the logins that are started, in all and by address.
#[derive(Debug)]
pub(crate) struct Starts {
    room: Arc<Semaphore>,
    by_address: Buckets<IpAddr>,
}

/// The most request phases under way at once. At a second each, a busy day of a large site stays far below.
const AT_ONCE: usize = 256;

/// What an address may start in a row: an office behind one address, on a Monday morning.
const BURST: u32 = 30;

/// How long it takes until an address may start one more.
const REFILL: Duration = Duration::from_secs(2);

impl Starts {
    pub(crate) fn new() -> Self {
        Self { room: Arc::new(Semaphore::new(AT_ONCE)), by_address: Buckets::new(BURST, REFILL) }
    }

    /// Leave to start one, as long as the value lives.
    pub(crate) fn admit(
        &self,
        extensions: &Extensions,
        now: UnixTime,
    ) -> Result<OwnedSemaphorePermit, TooMany> {
        if let Some(address) = extensions.get::<ClientAddress>() {
            self.by_address.take(&address.subscriber(), now).map_err(|_| TooMany::FromThisAddress)?;
        }
        Arc::clone(&self.room).try_acquire_owned().map_err(|_| TooMany::InAll)
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

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixTime = UnixTime::from_secs(1_700_000_000);

    fn from(address: &str) -> Extensions {
        let mut extensions = Extensions::new();
        extensions.insert(ClientAddress(address.parse().unwrap()));
        extensions
    }

    #[test]
    fn an_address_starts_so_many_in_a_row() {
        let starts = Starts::new();
        for _ in 0..BURST {
            assert!(starts.admit(&from("203.0.113.9"), NOW).is_ok());
        }
        assert_eq!(starts.admit(&from("203.0.113.9"), NOW).unwrap_err(), TooMany::FromThisAddress);
        assert!(starts.admit(&from("203.0.113.10"), NOW).is_ok());
        assert!(starts.admit(&Extensions::new(), NOW).is_ok());
    }

    #[test]
    fn no_more_than_so_many_are_under_way_at_once() {
        let starts = Starts::new();
        let permits: Vec<_> = (0..AT_ONCE).map(|_| starts.admit(&Extensions::new(), NOW).unwrap()).collect();
        assert_eq!(starts.admit(&Extensions::new(), NOW).unwrap_err(), TooMany::InAll);
        drop(permits);
        assert!(starts.admit(&Extensions::new(), NOW).is_ok());
    }
}
