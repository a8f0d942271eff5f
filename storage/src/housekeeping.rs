//! What a store needs done now and then, and how it says that it is well.

use vestibule_atproto_identity::login::SessionKey;
use vestibule_oauth_core::{BoxFuture, StoreUnavailable, UnixTime};

/// Keeps a store small, and asks it how it is.
pub trait Housekeeping: Send + Sync {
    /// Throws away flows and web sessions that have expired, at most [`SWEEP_ROWS`] of each, so that nobody waits long
    /// behind it. Call it every minute or so, and again at once while [`Swept::more`] says so.
    ///
    /// # Errors
    /// [`StoreUnavailable`]: some may be gone, the rest is there for the next time.
    fn sweep<'a>(&'a self, now: UnixTime) -> BoxFuture<'a, Result<Swept, StoreUnavailable>>;

    /// Answers when the store can be used.
    ///
    /// # Errors
    /// [`StoreUnavailable`]: it cannot.
    fn ping<'a>(&'a self) -> BoxFuture<'a, Result<(), StoreUnavailable>>;
}

/// The most rows of one kind that one sweep removes: some ten milliseconds of the writer's time.
pub const SWEEP_ROWS: usize = 1000;

/// What a sweep has done.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct Swept {
    /// Flows thrown away.
    pub flows: u64,
    /// Web sessions thrown away.
    pub web_sessions: u64,
    /// The sessions at people's servers that only these web sessions used. Nobody will ask for them again: end them.
    pub unused: Vec<SessionKey>,
    /// Whether there may be more to throw away.
    pub more: bool,
}
