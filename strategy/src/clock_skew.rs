//! How far a server's clock is from ours.

use std::time::Duration;

use http::header::{DATE, HeaderMap};
use vestibule_oauth_core::UnixTime;

/// The difference between a server's clock and ours, learned from the `Date` of an answer that refused a proof or an
/// assertion for its time (R94).
///
/// ```
/// use http::HeaderMap;
/// use vestibule_oauth_core::UnixTime;
/// use vestibule_strategy::ClockSkew;
///
/// let mut answer = HeaderMap::new();
/// answer.insert("date", "Tue, 14 Nov 2023 22:13:20 GMT".parse().unwrap()); // 1,700,000,000
/// let ours = UnixTime::from_secs(1_700_003_600); // an hour ahead
/// let skew = ClockSkew::learn(&answer, ours).unwrap();
/// assert_eq!(skew.as_secs(), -3600);
/// assert_eq!(skew.their_time(ours), UnixTime::from_secs(1_700_000_000));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct ClockSkew(i64);

impl ClockSkew {
    /// The largest difference that is believed. Beyond a day it is not a clock that is wrong but a date that was made up.
    pub const MAX: Duration = Duration::from_secs(24 * 3600);

    /// Differences below this are the time an answer takes.
    const MIN: u64 = 5;

    /// What the `Date` of an answer says, if it differs from `now` by enough to matter and by no more than
    /// [`Self::MAX`].
    pub fn learn(answer: &HeaderMap, now: UnixTime) -> Option<Self> {
        let date = httpdate::parse_http_date(answer.get(DATE)?.to_str().ok()?).ok()?;
        let theirs = date.duration_since(std::time::UNIX_EPOCH).ok()?.as_secs();
        let apart = theirs.abs_diff(now.as_secs());
        if !(Self::MIN..=Self::MAX.as_secs()).contains(&apart) {
            return None;
        }
        let apart = i64::try_from(apart).ok()?;
        Some(Self(if theirs < now.as_secs() { -apart } else { apart }))
    }

    /// A difference in seconds, as [`Self::as_secs`] gave it; one beyond [`Self::MAX`] counts as none.
    pub const fn from_secs(seconds: i64) -> Self {
        if seconds.unsigned_abs() <= Self::MAX.as_secs() { Self(seconds) } else { Self(0) }
    }

    /// How far ahead the server's clock is, in seconds; negative when it is behind.
    pub const fn as_secs(self) -> i64 {
        self.0
    }

    /// What the server's clock shows when ours shows `now`.
    pub const fn their_time(self, now: UnixTime) -> UnixTime {
        UnixTime::from_secs(now.as_secs().saturating_add_signed(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r94_a_skew_is_learned_within_bounds() {
        let now = UnixTime::from_secs(1_700_000_000);
        for (date, expected) in [
            ("Tue, 14 Nov 2023 22:13:20 GMT", None),
            ("Tue, 14 Nov 2023 22:13:24 GMT", None),
            ("Tue, 14 Nov 2023 22:13:25 GMT", Some(5)),
            ("Tue, 14 Nov 2023 21:13:20 GMT", Some(-3600)),
            ("Wed, 15 Nov 2023 22:13:20 GMT", Some(86_400)),
            ("Wed, 15 Nov 2023 22:13:21 GMT", None),
            ("Thu, 01 Jan 1970 00:00:00 GMT", None),
            ("yesterday", None),
        ] {
            let mut answer = HeaderMap::new();
            answer.insert(DATE, date.parse().unwrap());
            assert_eq!(ClockSkew::learn(&answer, now).map(ClockSkew::as_secs), expected, "{date}");
        }
        assert_eq!(ClockSkew::learn(&HeaderMap::new(), now), None);
        assert_eq!(ClockSkew::from_secs(90_000), ClockSkew::default());
    }
}
