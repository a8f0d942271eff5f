//! Answers kept for a while, each asked for by one caller at a time.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::OnceCell;
use vestibule_oauth_core::UnixTime;

/// A bounded cache in which concurrent look-ups of one key become one.
///
/// Whoever asks first does the work; whoever asks meanwhile waits for that answer, an error included. When the first one
/// is dropped half-way, one of those waiting does the work instead. An answer is then kept for as long as [`CacheLimits`]
/// say. It has no clock: every look-up brings the time.
///
/// ```
/// use vestibule_atproto_identity::cache::{Cache, CacheLimits};
/// use vestibule_oauth_core::UnixTime;
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let cache: Cache<&str, u32, &str> = Cache::new(CacheLimits::IDENTITY);
/// let now = UnixTime::from_secs(1_700_000_000);
/// assert_eq!(cache.look_up("alice", now, || async { Ok(1) }).await, Ok(1));
/// assert_eq!(cache.look_up("alice", now, || async { Ok(2) }).await, Ok(1)); // kept
/// let later = now.after(CacheLimits::IDENTITY.keep);
/// assert_eq!(cache.look_up("alice", later, || async { Ok(3) }).await, Ok(3));
/// # });
/// ```
pub struct Cache<K, V, E> {
    limits: CacheLimits,
    slots: Mutex<Slots<K, V, E>>,
}

/// How much a [`Cache`] keeps, and for how long.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(clippy::exhaustive_structs, reason = "meant to be written out by whoever makes a cache")]
pub struct CacheLimits {
    /// Keys at most. One more makes room by forgetting those that are over, or else the one made longest ago.
    pub entries: usize,
    /// How long an answer is kept.
    pub keep: Duration,
    /// How long an error is kept. Zero gives it to those who waited for it, and to nobody after.
    pub keep_error: Duration,
}

impl CacheLimits {
    /// For identities in login flows: 1000 of them for 4 minutes, which with the 5 that the DNS cache may keep a record
    /// stays below the 10 of the AT Protocol's specification, and errors for 10 seconds, so that a handle just set up is soon seen.
    pub const IDENTITY: Self =
        Self { entries: 1_000, keep: Duration::from_secs(240), keep_error: Duration::from_secs(10) };
}

type Cell<V, E> = Arc<OnceCell<Kept<V, E>>>;

struct Slots<K, V, E> {
    by_key: BTreeMap<K, Slot<V, E>>,
    /// Counts the slots made, so that their order is known.
    made: u64,
}

struct Slot<V, E> {
    number: u64,
    cell: Cell<V, E>,
}

struct Kept<V, E> {
    outcome: Result<V, E>,
    since: UnixTime,
    until: UnixTime,
}

/// How much older than an answer a caller's time may be. One that is older yet comes of a clock that was set back, by
/// which no answer may live longer.
const SET_BACK: Duration = Duration::from_secs(60);

impl<K: Ord + Clone, V: Clone, E: Clone> Cache<K, V, E> {
    /// An empty cache.
    pub const fn new(limits: CacheLimits) -> Self {
        Self { limits, slots: Mutex::new(Slots { by_key: BTreeMap::new(), made: 0 }) }
    }

    /// The answer kept for `key`, or the one `ask` gives.
    ///
    /// # Errors
    /// What `ask` said, now or within [`CacheLimits::keep_error`].
    pub async fn look_up<F, A>(&self, key: K, now: UnixTime, ask: F) -> Result<V, E>
    where
        F: FnOnce() -> A,
        A: Future<Output = Result<V, E>>,
    {
        let cell = self.slots().cell(key, now, self.limits.entries);
        let kept = cell.get_or_init(|| async {
            let outcome = ask().await;
            let keep = if outcome.is_ok() { self.limits.keep } else { self.limits.keep_error };
            Kept { outcome, since: now, until: now.after(keep) }
        });
        kept.await.outcome.clone()
    }

    /// Forgets the answer for `key`, so that the next look-up asks again.
    pub fn forget(&self, key: &K) {
        self.slots().by_key.remove(key);
    }

    // Nothing under this lock can panic half-way, so one that is poisoned still holds what it should.
    fn slots(&self) -> MutexGuard<'_, Slots<K, V, E>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Ord + Clone, V, E> Slots<K, V, E> {
    /// The cell of `key` while its answer holds or is being asked for; else a new one.
    fn cell(&mut self, key: K, now: UnixTime, limit: usize) -> Cell<V, E> {
        if let Some(slot) = self.by_key.get(&key)
            && !slot.is_over(now)
        {
            return Arc::clone(&slot.cell);
        }
        self.by_key.remove(&key);
        if self.by_key.len() >= limit {
            self.make_room(now, limit);
        }
        self.made = self.made.wrapping_add(1);
        let cell = Cell::default();
        if limit > 0 {
            self.by_key.insert(key, Slot { number: self.made, cell: Arc::clone(&cell) });
        }
        cell
    }

    fn make_room(&mut self, now: UnixTime, limit: usize) {
        self.by_key.retain(|_, slot| !slot.is_over(now));
        while self.by_key.len() >= limit {
            let oldest = self.by_key.iter().min_by_key(|(_, slot)| slot.number).map(|(key, _)| key.clone());
            let Some(oldest) = oldest else { return };
            self.by_key.remove(&oldest);
        }
    }
}

impl<V, E> Slot<V, E> {
    /// Whether the answer is there and its time is past, or has yet to come.
    fn is_over(&self, now: UnixTime) -> bool {
        self.cell.get().is_some_and(|kept| now >= kept.until || now < kept.since.before(SET_BACK))
    }
}

impl<K, V, E> fmt::Debug for Cache<K, V, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache").field("limits", &self.limits).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, poll_fn};
    use std::pin::pin;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::task::Poll;

    use tokio::sync::oneshot;

    use super::*;

    type Answers = Cache<&'static str, u32, &'static str>;

    const NOW: UnixTime = UnixTime::from_secs(1_700_000_000);

    fn cache(entries: usize, keep_error: u64) -> Answers {
        Cache::new(CacheLimits {
            entries,
            keep: Duration::from_secs(300),
            keep_error: Duration::from_secs(keep_error),
        })
    }

    /// What the cache answers at this many seconds past `NOW`, when asking would give `fresh`.
    async fn at(
        cache: &Answers,
        seconds: u64,
        key: &'static str,
        fresh: Result<u32, &'static str>,
    ) -> Result<u32, &'static str> {
        let now = NOW.after(Duration::from_secs(seconds));
        cache.look_up(key, now, || async move { fresh }).await
    }

    #[tokio::test]
    async fn r28_an_answer_is_kept_for_less_than_ten_minutes() {
        assert!(CacheLimits::IDENTITY.keep < Duration::from_secs(600));
        let cache = cache(10, 0);
        assert_eq!(at(&cache, 0, "a", Ok(1)).await, Ok(1));
        assert_eq!(at(&cache, 299, "a", Ok(2)).await, Ok(1));
        assert_eq!(at(&cache, 299, "b", Ok(3)).await, Ok(3));
        assert_eq!(at(&cache, 300, "a", Ok(4)).await, Ok(4));
        cache.forget(&"a");
        assert_eq!(at(&cache, 300, "a", Ok(5)).await, Ok(5));
    }

    #[tokio::test]
    async fn an_error_is_kept_for_its_own_time() {
        let forgetful = cache(10, 0);
        assert_eq!(at(&forgetful, 0, "a", Err("no")).await, Err("no"));
        assert_eq!(at(&forgetful, 0, "a", Ok(1)).await, Ok(1));
        let remembering = cache(10, 10);
        assert_eq!(at(&remembering, 0, "a", Err("no")).await, Err("no"));
        assert_eq!(at(&remembering, 9, "a", Ok(1)).await, Err("no"));
        assert_eq!(at(&remembering, 10, "a", Ok(1)).await, Ok(1));
    }

    #[tokio::test]
    async fn what_is_over_goes_first_and_then_the_oldest() {
        let cache = cache(2, 10);
        assert_eq!(at(&cache, 0, "old", Ok(1)).await, Ok(1));
        assert_eq!(at(&cache, 1, "over", Err("no")).await, Err("no"));
        assert_eq!(at(&cache, 20, "new", Ok(2)).await, Ok(2));
        assert_eq!(at(&cache, 20, "old", Ok(9)).await, Ok(1), "the error that was over made room");
        assert_eq!(at(&cache, 21, "newer", Ok(3)).await, Ok(3));
        assert_eq!(at(&cache, 21, "new", Ok(9)).await, Ok(2));
        assert_eq!(at(&cache, 21, "old", Ok(4)).await, Ok(4), "the oldest made room");
        assert_eq!(cache.slots().by_key.len(), 2);
        let nothing = self::cache(0, 0);
        assert_eq!(at(&nothing, 0, "a", Ok(1)).await, Ok(1));
        assert_eq!(at(&nothing, 0, "a", Ok(2)).await, Ok(2));
    }

    #[tokio::test]
    async fn concurrent_look_ups_of_one_key_are_one() {
        for outcome in [Ok(7), Err("no")] {
            let cache = Arc::new(cache(10, 0));
            let asked = Arc::new(AtomicU32::new(0));
            let (release, released) = oneshot::channel();
            let mut released = Some(released);
            let callers: Vec<_> = (0..5)
                .map(|_| {
                    let (cache, asked, released) = (Arc::clone(&cache), Arc::clone(&asked), released.take());
                    tokio::spawn(async move {
                        let ask = || async {
                            asked.fetch_add(1, Ordering::Relaxed);
                            released.unwrap().await.unwrap()
                        };
                        cache.look_up("a", NOW, ask).await
                    })
                })
                .collect();
            tokio::task::yield_now().await; // every caller has run up to where it waits
            release.send(outcome).unwrap();
            for caller in callers {
                assert_eq!(caller.await.unwrap(), outcome);
            }
            assert_eq!(asked.load(Ordering::Relaxed), 1);
        }
    }

    #[tokio::test]
    async fn a_caller_who_gives_up_hands_over_to_one_who_waits() {
        let cache = cache(10, 0);
        let mut first = Box::pin(cache.look_up("a", NOW, pending));
        let mut second = pin!(cache.look_up("a", NOW, || async { Ok(2) }));
        poll_fn(|cx| {
            assert!(first.as_mut().poll(cx).is_pending());
            assert!(second.as_mut().poll(cx).is_pending(), "it waits for the first");
            Poll::Ready(())
        })
        .await;
        drop(first);
        assert_eq!(second.await, Ok(2));
    }
}
