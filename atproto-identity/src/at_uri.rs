//! `at://` URIs: the addresses of repositories, collections and records.

use std::str::FromStr;

use thiserror::Error;

use crate::at_identifier::{AtIdentifier, InvalidAtIdentifier};
use crate::nsid::{InvalidNsid, Nsid};
use crate::text::text_newtype;

/// An address in the restricted form that records use ([AT URI scheme]): an account, then perhaps a collection, then
/// perhaps a record key. Kept as received.
///
/// ```
/// use vestibule_atproto_identity::AtUri;
///
/// let uri: AtUri = "at://alice.example.com/app.bsky.feed.post/3jwdwj2ctlk26".parse().unwrap();
/// assert_eq!(uri.authority().as_str(), "alice.example.com");
/// assert_eq!(uri.collection().unwrap().as_str(), "app.bsky.feed.post");
/// assert_eq!(uri.record_key(), Some("3jwdwj2ctlk26"));
/// ```
///
/// [AT URI scheme]: https://atproto.com/specs/at-uri-scheme#restricted-at-uri-syntax
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct AtUri {
    text: String,
    authority: AtIdentifier,
    collection: Option<Nsid>,
    record_key: Option<String>,
}

impl AtUri {
    /// The address, as it was received.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The account.
    pub const fn authority(&self) -> &AtIdentifier {
        &self.authority
    }

    /// The collection, if the address goes that far.
    pub const fn collection(&self) -> Option<&Nsid> {
        self.collection.as_ref()
    }

    /// The key of a record, if the address goes that far.
    pub fn record_key(&self) -> Option<&str> {
        self.record_key.as_deref()
    }
}

impl FromStr for AtUri {
    type Err = InvalidAtUri;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() > MAX_LENGTH {
            return Err(InvalidAtUri::TooLong);
        }
        let mut segments = text.strip_prefix("at://").ok_or(InvalidAtUri::Scheme)?.split('/');
        let authority = segments.next().unwrap_or_default().parse().map_err(InvalidAtUri::Authority)?;
        let collection = segments.next().map(str::parse).transpose().map_err(InvalidAtUri::Collection)?;
        let record_key = segments.next().map(record_key).transpose()?;
        if segments.next().is_some() {
            return Err(InvalidAtUri::TooManySegments);
        }
        Ok(Self { text: text.to_owned(), authority, collection, record_key })
    }
}

text_newtype!(AtUri);

/// Reads a record key ([record key syntax]).
///
/// [record key syntax]: https://atproto.com/specs/record-key#record-key-syntax
fn record_key(text: &str) -> Result<String, InvalidAtUri> {
    let fits = (1..=MAX_RECORD_KEY).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._:~-".contains(&b))
        && text != "."
        && text != "..";
    if fits { Ok(text.to_owned()) } else { Err(InvalidAtUri::RecordKey) }
}

/// Why a text is no AT URI.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum InvalidAtUri {
    /// Longer than the specification allows.
    #[error("AT URI must have at most 8192 characters")]
    TooLong,
    /// It does not start with `at://`.
    #[error("AT URI must start with at://")]
    Scheme,
    /// What follows `at://` names no account.
    #[error("AT URI must name an account: {0}")]
    Authority(InvalidAtIdentifier),
    /// The second segment is no collection.
    #[error("AT URI must name a collection after its first slash: {0}")]
    Collection(InvalidNsid),
    /// The third segment is no record key.
    #[error("AT URI must have a record key of 1 to 512 letters, digits and ._:~- after its second slash")]
    RecordKey,
    /// More than three segments.
    #[error("AT URI must end after its record key")]
    TooManySegments,
}

/// The limit of the specification: 8 kilobytes.
const MAX_LENGTH: usize = 8192;
/// The limit of the specification of record keys.
const MAX_RECORD_KEY: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::did::InvalidDid;

    #[test]
    fn an_address_is_kept_as_received() {
        for text in ["at://did:plc:asdf123", "at://Alice.test/a.b.c", "at://alice.test/a.b.c/self."] {
            assert_eq!(text.parse::<AtUri>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn each_rule_refuses_by_its_own_name() {
        let no_did = InvalidAtUri::Authority(InvalidAtIdentifier::Did(InvalidDid::End));
        let no_name = InvalidAtUri::Collection(InvalidNsid::TooFewSegments);
        for (text, why) in [
            ("AT://alice.test", InvalidAtUri::Scheme),
            ("at://did:plc:", no_did),
            ("at://alice.test/", no_name),
            ("at://alice.test/a.b.c/", InvalidAtUri::RecordKey),
            ("at://alice.test/a.b.c/..", InvalidAtUri::RecordKey),
            ("at://alice.test/a.b.c/%20", InvalidAtUri::RecordKey),
            ("at://alice.test/a.b.c/d/e", InvalidAtUri::TooManySegments),
            (&format!("at://alice.test/a.b.c/{}", "o".repeat(8200)), InvalidAtUri::TooLong),
        ] {
            assert_eq!(text.parse::<AtUri>(), Err(why), "{text}");
        }
    }
}
