//! Values that are never shown.

use std::fmt;

use serde::{Deserialize, Deserializer};
use subtle::ConstantTimeEq;
use zeroize::Zeroize;

/// A value that no log, error, page or URL may hold: its `Debug` is redacted, it has no `Display`, no `==` and no
/// `Serialize`, and its memory is wiped when it is dropped.
///
/// ```
/// use vestibule_oauth_core::Secret;
///
/// let token = Secret::new(String::from("s3cr3t"));
/// assert_eq!(format!("{token:?}"), "Secret(..)");
/// assert!(token.same_as("s3cr3t")); // in constant time
/// assert_eq!(token.expose(), "s3cr3t"); // the one way in, and easy to search for
/// ```
#[derive(Clone)]
pub struct Secret<T: Zeroize = String>(T);

impl<T: Zeroize> Secret<T> {
    /// Takes `value` into keeping.
    pub const fn new(value: T) -> Self {
        Self(value)
    }

    /// The value itself, for the one place that has to send or store it.
    pub const fn expose(&self) -> &T {
        &self.0
    }
}

impl<T: Zeroize + AsRef<[u8]>> Secret<T> {
    /// Whether the value has these octets, in a time that depends only on their number.
    pub fn same_as(&self, octets: impl AsRef<[u8]>) -> bool {
        self.0.as_ref().ct_eq(octets.as_ref()).into()
    }
}

impl<T: Zeroize> Drop for Secret<T> {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl<T: Zeroize> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl<T: Zeroize> From<T> for Secret<T> {
    fn from(value: T) -> Self {
        Self(value)
    }
}

impl<'de, T: Zeroize + Deserialize<'de>> Deserialize<'de> for Secret<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::deserialize(deserializer).map(Self)
    }
}
