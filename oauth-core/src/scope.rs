//! Scopes: an ordered set of opaque words ([RFC 6749, section 3.3]).
//!
//! What a word means is its authorization server's business; unknown words are kept as they are. The AT Protocol's
//! permissions are read from them in the crate `atproto-identity`.
//!
//! [RFC 6749, section 3.3]: https://www.rfc-editor.org/rfc/rfc6749#section-3.3

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

/// Scope words in the order they were written, each once. A copy shares its text with the original.
///
/// ```
/// use vestibule_oauth_core::ScopeSet;
///
/// let asked: ScopeSet = "atproto transition:generic".parse().unwrap();
/// let granted: ScopeSet = "atproto".parse().unwrap();
/// assert!(granted.contains("atproto"));
/// assert!(granted.is_subset_of(&asked));
/// assert_eq!(asked.without(&granted).to_string(), "transition:generic");
/// ```
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct ScopeSet(Arc<str>);

impl ScopeSet {
    /// The most words a set may have; the longest scope seen in the field, a permission set written out, has about 90.
    pub const MAX_WORDS: usize = 512;

    /// The longest text of a set, in octets: half of what one request header may hold.
    pub const MAX_OCTETS: usize = 16 * 1024;

    /// The set without words.
    pub fn empty() -> Self {
        Self::default()
    }

    /// The words, in order, with a space between each two.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether `word` is in the set, compared as it is.
    pub fn contains(&self, word: &str) -> bool {
        self.iter().any(|known| known == word)
    }

    /// Whether the set has no words.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The words, in order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        // Splitting the empty text gives one empty piece.
        self.0.split(' ').filter(|word| !word.is_empty())
    }

    /// Whether every word of this set is in `other`.
    pub fn is_subset_of(&self, other: &Self) -> bool {
        self.iter().all(|word| other.contains(word))
    }

    /// The words of this set that are not in `other`.
    #[must_use]
    pub fn without(&self, other: &Self) -> Self {
        Self::of(self.iter().filter(|word| !other.contains(word)))
    }

    /// These words, which are scope words and differ from each other.
    fn of<'w>(words: impl Iterator<Item = &'w str>) -> Self {
        let mut text = String::new();
        for word in words {
            text.push_str(if text.is_empty() { "" } else { " " });
            text.push_str(word);
        }
        Self(text.into())
    }
}

impl FromStr for ScopeSet {
    type Err = InvalidScope;

    /// Reads words parted by single spaces; a word that comes again counts once. The empty text is the empty set.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() > Self::MAX_OCTETS {
            return Err(InvalidScope::TooLong);
        }
        let mut words: Vec<&str> = Vec::new();
        if text.is_empty() {
            return Ok(Self::empty());
        }
        for word in text.split(' ') {
            if word.is_empty() {
                return Err(InvalidScope::EmptyWord);
            }
            if !word.bytes().all(is_scope_character) {
                return Err(InvalidScope::Character);
            }
            if !words.contains(&word) {
                if words.len() == Self::MAX_WORDS {
                    return Err(InvalidScope::TooMany);
                }
                words.push(word);
            }
        }
        Ok(Self::of(words.into_iter()))
    }
}

/// The characters of a scope word: `%x21 / %x23-5B / %x5D-7E`.
const fn is_scope_character(b: u8) -> bool {
    matches!(b, 0x21 | 0x23..=0x5b | 0x5d..=0x7e)
}

impl fmt::Display for ScopeSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for ScopeSet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for ScopeSet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Why a text is no scope. No variant repeats the text.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum InvalidScope {
    /// Two spaces in a row, or one at an end.
    #[error("scope must be words parted by single spaces")]
    EmptyWord,
    /// A character that no scope word may hold.
    #[error("scope may hold only printable ASCII characters other than the quote and the backslash")]
    Character,
    /// More than [`ScopeSet::MAX_WORDS`] words.
    #[error("scope has more than 512 words")]
    TooMany,
    /// More than [`ScopeSet::MAX_OCTETS`] octets.
    #[error("scope is longer than 16 KiB")]
    TooLong,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r121_unknown_words_are_kept() {
        let text = "atproto space:com.example.calendar?x=%23 repo:*";
        let scope: ScopeSet = text.parse().unwrap();
        assert_eq!(scope.to_string(), text);
    }

    #[test]
    fn a_word_counts_once_and_order_stays() {
        let scope: ScopeSet = "b a b".parse().unwrap();
        assert_eq!(scope.iter().collect::<Vec<_>>(), ["b", "a"]);
    }

    #[test]
    fn r111_refuses_what_is_no_scope() {
        let many = (0..=ScopeSet::MAX_WORDS).map(|i| format!("s{i}")).collect::<Vec<_>>().join(" ");
        for (text, why) in [
            (" a", InvalidScope::EmptyWord),
            ("a ", InvalidScope::EmptyWord),
            ("a  b", InvalidScope::EmptyWord),
            ("a\tb", InvalidScope::Character),
            ("a\"b", InvalidScope::Character),
            ("a\\b", InvalidScope::Character),
            ("é", InvalidScope::Character),
            (&many, InvalidScope::TooMany),
            (&"a".repeat(ScopeSet::MAX_OCTETS + 1), InvalidScope::TooLong),
        ] {
            assert_eq!(text.parse::<ScopeSet>().unwrap_err(), why, "{text:.20}");
        }
    }
}
