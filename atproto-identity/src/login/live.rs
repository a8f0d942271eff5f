//! What a process keeps of a session it uses, beside the record in the store.

use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use http::HeaderMap;
use vestibule_dpop::{Es256Secret, NonceMemory, ProofKey};
use vestibule_oauth_core::UnixTime;
use vestibule_strategy::ClockSkew;

use super::session::SessionRecord;
use super::sessions::{CLOCKS_APART, SessionError};

/// The loaded key, the latest nonces, and whose turn it is to refresh.
pub(super) struct Live {
    pub(super) key: ProofKey,
    nonces: Mutex<NonceMemory>,
    /// How far the server's clock is ahead of ours, in seconds.
    skew: AtomicI64,
    /// Held by whoever refreshes.
    turn: tokio::sync::Mutex<()>,
    /// How many refreshes have ended here.
    ended: AtomicU64,
    waiting: AtomicUsize,
    last: Mutex<Last>,
}

/// How the last refresh left things.
#[derive(Default)]
struct Last {
    /// Why it failed, if it did and may yet succeed.
    failure: Option<SessionError>,
    /// When the server asked for patience, and before which time it wants no other.
    patience: Option<(UnixTime, UnixTime)>,
    /// New tokens that the store did not take yet. The old ones are spent: nobody else has these.
    unstored: Option<SessionRecord>,
}

/// The most that wait for one refresh; whoever comes after them is told to come again.
const MAX_WAITING: usize = 64;

impl Live {
    pub(super) fn load(record: &SessionRecord) -> Result<Self, SessionError> {
        let unusable =
            |_| SessionError::Misconfigured("the session's stored key is not a P-256 key".to_owned());
        let secret = Es256Secret::from_bytes(record.dpop_key.expose()).map_err(unusable)?;
        Ok(Self {
            key: ProofKey::from_secret(secret),
            nonces: Mutex::default(),
            skew: AtomicI64::new(0),
            turn: tokio::sync::Mutex::default(),
            ended: AtomicU64::new(0),
            waiting: AtomicUsize::new(0),
            last: Mutex::default(),
        })
    }

    pub(super) fn nonces(&self) -> MutexGuard<'_, NonceMemory> {
        locked(&self.nonces)
    }

    /// What the server's clock shows, as far as it is known.
    pub(super) fn their_time(&self, now: UnixTime) -> UnixTime {
        ClockSkew::from_secs(self.skew.load(Ordering::Relaxed)).their_time(now)
    }

    /// Notes that what was signed by our clock was refused by an answer with this `Date`. Whether that is the reason.
    pub(super) fn learn_skew(&self, answer: &HeaderMap, now: UnixTime) -> bool {
        let learned = ClockSkew::learn(answer, now).map(ClockSkew::as_secs);
        learned.is_some_and(|skew| self.skew.swap(skew, Ordering::Relaxed) != skew)
    }

    /// Waits for the turn to refresh. Whoever waited while somebody else's refresh failed has its failure: asking a server
    /// that does not answer once more for each who waits helps nobody.
    pub(super) async fn turn(&self, now: UnixTime) -> Result<Turn<'_>, SessionError> {
        let before = self.ended.load(Ordering::SeqCst);
        let _waiting = Waiting::among(&self.waiting)?;
        let turn = self.turn.lock().await;
        let mut last = locked(&self.last);
        // By a clock that was set back since, the time that was meant is not known any more.
        let holds = |(asked, not_before): &(UnixTime, UnixTime)| {
            asked.before(CLOCKS_APART) <= now && now < *not_before
        };
        if let Some((_, not_before)) = last.patience.filter(holds) {
            let detail = "the server asked for patience".to_owned();
            return Err(SessionError::Retry { detail, after: Some(not_before.since(now)) });
        }
        match &last.failure {
            Some(failure) if self.ended.load(Ordering::SeqCst) != before => Err(failure.clone()),
            _ => {
                // Should this one be cut short, nobody is told of an older failure.
                last.failure = None;
                Ok(Turn { live: self, _turn: turn })
            }
        }
    }

    /// New tokens that the store has yet to take.
    pub(super) fn unstored(&self) -> Option<SessionRecord> {
        locked(&self.last).unstored.clone()
    }

    /// Notes that the store did not take `record`, or (`None`) that nothing is left for it to take.
    pub(super) fn set_unstored(&self, record: Option<SessionRecord>) {
        locked(&self.last).unstored = record;
    }

    /// Whether nothing would be lost if this were forgotten.
    pub(super) fn is_idle(&self) -> bool {
        locked(&self.last).unstored.is_none()
    }
}

/// The turn to refresh, as long as the value lives.
pub(super) struct Turn<'a> {
    live: &'a Live,
    _turn: tokio::sync::MutexGuard<'a, ()>,
}

impl Turn<'_> {
    /// Ends the turn, telling those who wait how it went.
    pub(super) fn end<T>(self, outcome: &Result<T, SessionError>, now: UnixTime) {
        let mut last = locked(&self.live.last);
        last.failure = outcome.as_ref().err().cloned();
        last.patience = match &last.failure {
            Some(SessionError::Retry { after: Some(after), .. }) => Some((now, now.after(*after))),
            _ => None,
        };
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.live.ended.fetch_add(1, Ordering::SeqCst);
    }
}

/// One of those who wait.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn among(count: &'a AtomicUsize) -> Result<Self, SessionError> {
        let waiting = Self(count);
        if count.fetch_add(1, Ordering::SeqCst) < MAX_WAITING {
            return Ok(waiting);
        }
        Err(SessionError::Retry { detail: "too many calls wait for new tokens".to_owned(), after: None })
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

// Nothing under these locks can panic half-way, so one that is poisoned still holds what it should.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
