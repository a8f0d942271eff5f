//! Points in time, as the wire counts them.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// Whole seconds since 1970-01-01T00:00:00Z, leap seconds not counted: the `NumericDate` of [RFC 7519, section 2],
/// without fractions.
///
/// Every pure function that needs the time takes one of these as its argument `now`; none reads a clock.
///
/// ```
/// use std::time::Duration;
/// use vestibule_oauth_core::UnixTime;
///
/// let issued = UnixTime::from_secs(1_700_000_000);
/// let expires = issued.after(Duration::from_secs(300));
/// assert_eq!(expires.as_secs(), 1_700_000_300);
/// assert_eq!(expires.since(issued), Duration::from_secs(300));
/// assert_eq!(issued.since(expires), Duration::ZERO); // never negative
/// ```
///
/// [RFC 7519, section 2]: https://www.rfc-editor.org/rfc/rfc7519#section-2
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UnixTime(u64);

impl UnixTime {
    /// The time that is `secs` seconds after the epoch.
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs)
    }

    /// Seconds since the epoch.
    pub const fn as_secs(self) -> u64 {
        self.0
    }

    /// The time `span` later; parts of a second are dropped, and the end of time is never passed.
    #[must_use]
    pub const fn after(self, span: Duration) -> Self {
        Self(self.0.saturating_add(span.as_secs()))
    }

    /// The time `span` earlier, and never before the epoch.
    #[must_use]
    pub const fn before(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(span.as_secs()))
    }

    /// How long `earlier` is past; zero when it lies in the future.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_secs(self.0.saturating_sub(earlier.0))
    }
}

/// What a host's clock says. A clock before 1970 reads as 1970.
///
/// ```
/// use std::time::{Duration, SystemTime};
/// use vestibule_oauth_core::UnixTime;
///
/// assert_eq!(UnixTime::from(SystemTime::UNIX_EPOCH + Duration::from_millis(1999)), UnixTime::from_secs(1));
/// assert_eq!(UnixTime::from(SystemTime::UNIX_EPOCH - Duration::from_secs(1)), UnixTime::from_secs(0));
/// ```
impl From<SystemTime> for UnixTime {
    fn from(time: SystemTime) -> Self {
        Self(time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs())
    }
}

impl fmt::Display for UnixTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
