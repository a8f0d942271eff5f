//! What a store needs done now and then, and how it says that it is well.

use std::path::Path;
use std::time::Duration;

use vestibule_atproto_identity::Did;
use vestibule_atproto_identity::login::SessionKey;
use vestibule_oauth_core::{BoxFuture, StoreUnavailable, UnixTime};

/// Keeps a store small, and asks it how it is.
pub trait Housekeeping: Send + Sync {
    /// Throws away flows, web sessions and what the token endpoint issued that have expired, at most [`SWEEP_ROWS`] of each, so that
    /// nobody waits long behind it, and names sessions that nobody uses. Call it every minute or so, and again at once while
    /// [`Swept::more`] says so.
    ///
    /// # Errors
    /// [`StoreUnavailable`]: some may be gone, the rest is there for the next time.
    fn sweep<'a>(&'a self, now: UnixTime) -> BoxFuture<'a, Result<Swept, StoreUnavailable>>;

    /// The sessions that this person has beyond [`SESSIONS_PER_PERSON`]: those whose tokens were replaced longest ago, the
    /// first of them in front, at most [`SWEEP_ROWS`]. Ask after each sign-in, and end them. They are not thrown away
    /// here, since their tokens are to be given back.
    ///
    /// # Errors
    /// [`StoreUnavailable`].
    ///
    /// [`SESSIONS_PER_PERSON`]: crate::SESSIONS_PER_PERSON
    fn surplus<'a>(&'a self, person: &'a Did) -> BoxFuture<'a, Result<Vec<SessionKey>, StoreUnavailable>>;

    /// Answers when the store can be used.
    ///
    /// # Errors
    /// [`StoreUnavailable`]: it cannot.
    fn ping<'a>(&'a self) -> BoxFuture<'a, Result<(), StoreUnavailable>>;

    /// Goes through all that is kept, and gives what is wrong with it, in the words of the engine. It may take minutes. An engine that
    /// looks after this itself has nothing to say.
    ///
    /// # Errors
    /// [`StoreUnavailable`]: it could not be looked at.
    fn integrity<'a>(&'a self) -> BoxFuture<'a, Result<Vec<String>, StoreUnavailable>> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }

    /// Copies all that is kept, as it is at one moment, into a new file, while others go on using the store.
    ///
    /// # Errors
    /// [`StoreUnavailable`], also where the engine is backed up by tools of its own. There is no file then, or it is no backup.
    fn back_up<'a>(&'a self, to: &'a Path) -> BoxFuture<'a, Result<(), StoreUnavailable>> {
        let detail = format!("{}: this store is backed up by its engine's own tools", to.display());
        Box::pin(std::future::ready(Err(StoreUnavailable::new(detail))))
    }
}

/// The most rows of one kind that one sweep removes: some tens of milliseconds of the writer's time.
pub const SWEEP_ROWS: usize = 1000;

/// From which age on a session that no web session uses is one that nobody uses. A login puts its web session in at once
/// after its session; an hour also covers clocks that are an hour apart.
pub const UNUSED_AFTER: Duration = Duration::from_secs(60 * 60);

/// The most sessions that one sweep looks at: some ten milliseconds. The next sweep goes on where it stopped, so that
/// 100 000 sessions are gone through in 20 minutes.
pub(crate) const LOOKED_AT: usize = 5 * SWEEP_ROWS;

/// Whether a session that was put in at `created_at` is old enough to be one that nobody uses. So is one of the future,
/// which a clock that was set back has left behind.
pub(crate) fn is_old(created_at: UnixTime, now: UnixTime) -> bool {
    now.since(created_at) >= UNUSED_AFTER || created_at.since(now) > UNUSED_AFTER
}

/// What a sweep has done.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct Swept {
    /// Flows thrown away.
    pub flows: u64,
    /// Web sessions thrown away.
    pub web_sessions: u64,
    /// Codes, tokens, pushed requests, devices and one-time values thrown away.
    pub issued: u64,
    /// Sessions at people's servers that nobody uses: those that only these web sessions used, and those of at least
    /// [`UNUSED_AFTER`] that no web session uses, as a crash leaves behind. End them: nobody will ask for them again.
    /// Those that were not ended are named again.
    ///
    /// So this is not for a store whose sessions are used by something other than its web sessions.
    pub unused: Vec<SessionKey>,
    /// Whether there may be more to throw away.
    pub more: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_old_after_an_hour_and_when_it_is_of_the_future() {
        let now = UnixTime::from_secs(1_700_000_000);
        for (created_at, old) in [
            (now, false),
            (now.before(Duration::from_secs(3599)), false),
            (now.before(UNUSED_AFTER), true),
            (now.after(UNUSED_AFTER), false),
            (now.after(Duration::from_secs(3601)), true),
            (UnixTime::from_secs(0), true),
            (UnixTime::from_secs(u64::MAX), true),
        ] {
            assert_eq!(is_old(created_at, now), old, "{created_at}");
        }
    }
}
