//! A fixed time, seeds that repeat, and an executor for futures that never wait.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use vestibule_dpop::sha256;
use vestibule_oauth_core::{Seed, UnixTime};

use super::broken::Broken;

/// The time of tests: 2026-01-01T00:00:00Z.
pub const NOW: UnixTime = UnixTime::from_secs(1_767_225_600);

/// The seed that belongs to this number: the same in every run, and unlike that of any other number.
///
/// ```
/// use vestibule_strategy::testing::seed;
///
/// assert_eq!(seed(1).derive("state"), seed(1).derive("state"));
/// assert_ne!(seed(1).derive("state"), seed(2).derive("state"));
/// ```
pub fn seed(number: u64) -> Seed {
    Seed::from_entropy(sha256(number.to_be_bytes()))
}

/// Runs a future that never waits, which is every login over what is in this module. No runtime is needed.
///
/// ```
/// use vestibule_strategy::testing::run;
///
/// assert_eq!(run(async { 7 }), Ok(7));
/// assert!(run(std::future::pending::<()>()).is_err());
/// ```
///
/// # Errors
/// [`Broken`] when the future waits for something: nobody would ever wake it.
pub fn run<F: Future>(future: F) -> Result<F::Output, Broken> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Ok(output),
        Poll::Pending => Err(Broken::new(
            "a strategy waits for the network it is given, and for nothing else",
            "a future is waiting",
        )),
    }
}
