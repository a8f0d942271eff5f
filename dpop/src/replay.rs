//! A proof is accepted once ([RFC 9449, section 11.1]).
//!
//! [RFC 9449, section 11.1]: https://www.rfc-editor.org/rfc/rfc9449#section-11.1

use std::collections::{BTreeMap, BTreeSet};

use vestibule_oauth_core::UnixTime;

/// Remembers which keys were seen until each expires, in memory and for one process. Servers of several nodes keep such
/// keys in their store instead.
///
/// Keys are kept by the minute in which they expire, and forgotten a minute at a time: nothing is ever scanned. The
/// number of keys is bounded, and once it is reached new ones are refused rather than old ones forgotten, which would
/// let a replay through.
///
/// ```
/// use vestibule_dpop::{Remembered, ReplayWindow};
/// use vestibule_oauth_core::UnixTime;
///
/// let mut window = ReplayWindow::new(100_000);
/// let (now, expires) = (UnixTime::from_secs(1000), UnixTime::from_secs(1060));
/// assert_eq!(window.remember([7; 32], expires, now), Remembered::Fresh);
/// assert_eq!(window.remember([7; 32], expires, now), Remembered::Seen);
/// ```
#[derive(Clone, Debug)]
pub struct ReplayWindow {
    /// By the minute of their expiry.
    buckets: BTreeMap<u64, BTreeSet<[u8; 32]>>,
    len: usize,
    capacity: usize,
}

impl ReplayWindow {
    /// A window that holds up to `capacity` keys, of about 50 octets of memory each.
    pub const fn new(capacity: usize) -> Self {
        Self { buckets: BTreeMap::new(), len: 0, capacity }
    }

    /// Remembers a key until it expires, and says whether it was known already. A key that has expired is not
    /// remembered, and not known: its proof is to be refused for its age.
    pub fn remember(&mut self, key: [u8; 32], expires: UnixTime, now: UnixTime) -> Remembered {
        self.forget(now);
        // The same proof may come with another time of expiry, so every minute is asked: there are as many of them as
        // minutes between now and the latest expiry.
        if self.buckets.values().any(|keys| keys.contains(&key)) {
            Remembered::Seen
        } else if expires < now {
            Remembered::Fresh
        } else if self.len >= self.capacity {
            Remembered::Full
        } else {
            self.buckets.entry(expires.as_secs() / BUCKET).or_default().insert(key);
            self.len += 1;
            Remembered::Fresh
        }
    }

    /// How many keys are held.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether no key is held.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    fn forget(&mut self, now: UnixTime) {
        while let Some(bucket) = self.buckets.first_entry()
            && *bucket.key() < now.as_secs() / BUCKET
        {
            self.len = self.len.saturating_sub(bucket.remove().len());
        }
    }
}

/// What became of a key that was to be remembered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(
    clippy::exhaustive_enums,
    reason = "whoever asks must decide for each of these, and there is no fourth"
)]
pub enum Remembered {
    /// It is new.
    Fresh,
    /// It was known: refuse the proof.
    Seen,
    /// It is new, and there is no room to remember it: refuse the proof and ask for another try later.
    Full,
}

/// Seconds whose keys are forgotten together; a proof lives for one to three of these.
const BUCKET: u64 = 60;

#[cfg(test)]
mod tests {
    use super::*;

    fn remember(window: &mut ReplayWindow, key: u8, expires: u64, now: u64) -> Remembered {
        window.remember([key; 32], UnixTime::from_secs(expires), UnixTime::from_secs(now))
    }

    #[test]
    fn t50_a_key_is_fresh_once() {
        let mut window = ReplayWindow::new(10);
        assert!(window.is_empty());
        for (key, expires, now, result) in [
            (1, 1060, 1000, Remembered::Fresh),
            (1, 1060, 1000, Remembered::Seen),
            (1, 1060, 1060, Remembered::Seen),
            (2, 1060, 1000, Remembered::Fresh),
            (1, 1300, 1060, Remembered::Seen),  // another expiry
            (3, 1050, 1060, Remembered::Fresh), // expired
            (3, 1050, 1060, Remembered::Fresh),
        ] {
            assert_eq!(remember(&mut window, key, expires, now), result, "{key} {expires} {now}");
        }
        assert_eq!(window.len(), 2);
    }

    #[test]
    fn t50_whole_minutes_are_forgotten() {
        let mut window = ReplayWindow::new(10);
        for (key, expires) in [(1, 60), (2, 119), (3, 120), (4, 200)] {
            assert_eq!(remember(&mut window, key, expires, 0), Remembered::Fresh);
        }
        for (now, len) in [(119, 4), (120, 2), (179, 2), (180, 1), (239, 1), (240, 0)] {
            remember(&mut window, 9, 0, now);
            assert_eq!(window.len(), len, "{now}");
        }
    }

    #[test]
    fn t50_a_full_window_refuses_what_is_new() {
        let mut window = ReplayWindow::new(2);
        for (key, now, result) in [
            (1, 0, Remembered::Fresh),
            (2, 0, Remembered::Fresh),
            (3, 0, Remembered::Full),
            (1, 0, Remembered::Seen),
            (3, 120, Remembered::Fresh), // the others are forgotten
        ] {
            assert_eq!(remember(&mut window, key, now + 60, now), result, "{key} {now}");
        }
    }
}
