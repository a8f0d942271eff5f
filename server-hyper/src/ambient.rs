//! The clock and the random source of the routes. (The storage crate draws the nonces it seals with by itself.)

use std::time::{Duration, SystemTime};

use vestibule_oauth_core::{BoxFuture, Seed, Timer, UnixTime};

/// The time, in whole seconds.
pub(crate) fn now() -> UnixTime {
    SystemTime::now().into()
}

/// Fresh octets from the operating system. Without randomness nothing here is safe, so the process ends where there is none.
pub(crate) fn octets<const N: usize>() -> [u8; N] {
    let mut octets = [0; N];
    if let Err(error) = getrandom::fill(&mut octets) {
        tracing::error!(%error, "the operating system gives no random octets");
        std::process::abort();
    }
    octets
}

/// Waits by tokio's clock.
pub(crate) struct TokioTimer;

impl Timer for TokioTimer {
    fn pause(&self, span: Duration) -> BoxFuture<'_, ()> {
        Box::pin(tokio::time::sleep(span))
    }
}

/// Fresh randomness for one phase.
pub(crate) fn seed() -> Seed {
    Seed::from_entropy(octets())
}
