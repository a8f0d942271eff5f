//! A handle or a DID: whatever names an account.

use std::str::FromStr;

use thiserror::Error;

use crate::did::{Did, InvalidDid};
use crate::handle::{Handle, InvalidHandle};
use crate::text::text_newtype;

/// What names an account ([at-identifier]): its handle or its DID.
///
/// ```
/// use vestibule_atproto_identity::AtIdentifier;
///
/// let handle: AtIdentifier = "alice.example.com".parse().unwrap();
/// assert!(matches!(handle, AtIdentifier::Handle(_)));
/// let did: AtIdentifier = "did:web:example.com".parse().unwrap();
/// assert!(matches!(did, AtIdentifier::Did(_)));
/// ```
///
/// [at-identifier]: https://atproto.com/specs/lexicon#at-identifier
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[allow(
    clippy::exhaustive_enums,
    reason = "the specification knows these two, and a resolver must treat each"
)]
pub enum AtIdentifier {
    /// A handle.
    Handle(Handle),
    /// A DID.
    Did(Did),
}

impl AtIdentifier {
    /// The handle or DID as text.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Handle(handle) => handle.as_str(),
            Self::Did(did) => did.as_str(),
        }
    }
}

impl FromStr for AtIdentifier {
    type Err = InvalidAtIdentifier;

    /// Reads a DID when the text starts with `did:`, which no handle can, and a handle otherwise.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.starts_with("did:") {
            text.parse().map(Self::Did).map_err(InvalidAtIdentifier::Did)
        } else {
            text.parse().map(Self::Handle).map_err(InvalidAtIdentifier::Handle)
        }
    }
}

text_newtype!(AtIdentifier);

/// Why a text is neither a handle nor a DID.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum InvalidAtIdentifier {
    /// It starts like a DID and is none.
    #[error("{0}")]
    Did(InvalidDid),
    /// It is no handle.
    #[error("{0}")]
    Handle(InvalidHandle),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_starts_like_a_did_is_judged_as_one() {
        for text in ["did:plc:abc", "alice.test", "did.alice.test"] {
            assert_eq!(text.parse::<AtIdentifier>().unwrap().to_string(), text);
        }
        for (text, why) in [
            ("did:thing.test", InvalidAtIdentifier::Did(InvalidDid::Prefix)),
            ("did", InvalidAtIdentifier::Handle(InvalidHandle::OneLabel)),
            ("@alice.test", InvalidAtIdentifier::Handle(InvalidHandle::Character)),
        ] {
            assert_eq!(text.parse::<AtIdentifier>(), Err(why), "{text}");
        }
    }
}
