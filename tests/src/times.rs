//! How long many answers took.

use std::time::Duration;

/// How long each of many took, the shortest first.
#[derive(Clone, Default, Debug)]
pub struct Times(Vec<Duration>);

impl Times {
    /// These, in whatever order they come.
    ///
    /// ```
    /// use std::time::Duration;
    /// use vestibule_tests::Times;
    ///
    /// let times = Times::of((1..=200).rev().map(Duration::from_micros).collect());
    /// assert_eq!(times.at(50), Duration::from_micros(101));
    /// assert_eq!(times.at(100), Duration::from_micros(200));
    /// assert_eq!(Times::default().at(50), Duration::ZERO);
    /// ```
    pub fn of(mut took: Vec<Duration>) -> Self {
        took.sort_unstable();
        Self(took)
    }

    /// How many there are.
    pub const fn number(&self) -> usize {
        self.0.len()
    }

    /// So many of a hundred took no longer than this.
    pub fn at(&self, percent: usize) -> Duration {
        let place = (self.0.len() * percent / 100).min(self.0.len().saturating_sub(1));
        self.0.get(place).copied().unwrap_or_default()
    }
}
