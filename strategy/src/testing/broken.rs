//! What a test says when it fails.

use std::fmt;

use thiserror::Error;

/// A rule that is not kept, in plain words, and what was seen instead.
///
/// ```
/// use vestibule_strategy::testing::Broken;
///
/// let broken = Broken::new("response_type is code", "it is token");
/// assert_eq!(broken.to_string(), "response_type is code: it is token");
/// ```
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error("{rule}: {seen}")]
#[non_exhaustive]
pub struct Broken {
    /// What should hold. The same words for the same rule, so that a test can compare them.
    pub rule: &'static str,
    /// What was there instead.
    pub seen: String,
}

impl Broken {
    /// This rule is broken.
    pub fn new(rule: &'static str, seen: impl fmt::Display) -> Self {
        Self { rule, seen: seen.to_string() }
    }
}

/// Holds something to a rule; `seen` is asked for only if the rule is broken.
pub(super) fn hold(rule: &'static str, kept: bool, seen: impl FnOnce() -> String) -> Result<(), Broken> {
    if kept { Ok(()) } else { Err(Broken::new(rule, seen())) }
}
