//! `blob`: uploading media.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use super::InvalidPermission;
use super::syntax::{self, Syntax};
use crate::text::text_newtype;

/// Which kinds of media may be uploaded ([blob]).
///
/// [blob]: https://atproto.com/specs/permission#blob
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Blob(Vec<MediaRange>);

impl Blob {
    /// A permission to upload media of these kinds.
    ///
    /// # Errors
    /// When there is none.
    pub fn new(accept: impl IntoIterator<Item = MediaRange>) -> Result<Self, InvalidPermission> {
        let accept: Vec<MediaRange> = accept.into_iter().collect();
        if accept.is_empty() { Err(InvalidPermission::Missing(ACCEPT)) } else { Ok(Self(accept)) }
    }

    /// The kinds, as they were received.
    pub fn accept(&self) -> &[MediaRange] {
        &self.0
    }

    pub(super) fn read(syntax: &Syntax<'_>) -> Result<Self, InvalidPermission> {
        syntax.only(&[ACCEPT])?;
        let accept: Result<Vec<MediaRange>, _> = syntax.all(ACCEPT).map(str::parse).collect();
        Self::new(accept.map_err(|_| InvalidPermission::Value(ACCEPT))?)
    }
}

impl fmt::Display for Blob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let accept: Vec<&str> = self.0.iter().map(MediaRange::as_str).collect();
        syntax::write(f, "blob", ACCEPT, &accept, [])
    }
}

/// A media type, all subtypes of a type (`image/*`), or anything (`*/*`). Compared letter by letter, as scope values
/// are.
///
/// ```
/// use vestibule_atproto_identity::MediaRange;
///
/// let images: MediaRange = "image/*".parse().unwrap();
/// assert!(images.holds(&"image/png".parse().unwrap()));
/// assert!(!images.holds(&"*/*".parse().unwrap()));
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct MediaRange(String);

impl MediaRange {
    /// The range, as it was received.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether everything that is in `other` is in this one.
    pub fn holds(&self, other: &Self) -> bool {
        match self.0.strip_suffix('*') {
            Some("*/") => true,
            // What is left ends in the slash.
            Some(kind) => other.0.starts_with(kind),
            None => self == other,
        }
    }
}

impl FromStr for MediaRange {
    type Err = InvalidMediaRange;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (kind, subtype) = text.split_once('/').ok_or(InvalidMediaRange)?;
        if (1..=MAX_LENGTH).contains(&text.len())
            && (kind == "*" && subtype == "*" || is_token(kind) && (subtype == "*" || is_token(subtype)))
        {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidMediaRange)
        }
    }
}

text_newtype!(MediaRange);

/// The characters of a name in a media type ([RFC 6838, section 4.2]).
///
/// [RFC 6838, section 4.2]: https://www.rfc-editor.org/rfc/rfc6838#section-4.2
fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&b))
}

/// The text is neither a media type, nor `type/*`, nor `*/*`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error("media range must be type/subtype, type/* or */*, without parameters")]
#[non_exhaustive]
pub struct InvalidMediaRange;

const ACCEPT: &str = "accept";
/// Two names of 127 characters and a slash (RFC 6838, section 4.2).
const MAX_LENGTH: usize = 255;

#[cfg(test)]
mod tests {
    use super::super::Permission;
    use super::*;

    #[test]
    fn r115_blob_names_kinds_of_media() {
        for text in ["blob:*/*", "blob:image/*", "blob:image/svg+xml", "blob?accept=a/b&accept=c/*"] {
            assert_eq!(text.parse::<Permission>().unwrap().to_string(), text);
        }
        for (text, why) in [
            ("blob", InvalidPermission::Missing("accept")),
            ("blob:", InvalidPermission::Value("accept")),
            ("blob:image", InvalidPermission::Value("accept")),
            ("blob:*/png", InvalidPermission::Value("accept")),
            ("blob:*/**", InvalidPermission::Value("accept")),
            ("blob:image/p*", InvalidPermission::Value("accept")),
            ("blob:image/a/b", InvalidPermission::Value("accept")),
            ("blob:image/%20", InvalidPermission::Value("accept")),
            ("blob?Accept=image/png", InvalidPermission::UnknownParameter("Accept".to_owned())),
        ] {
            assert_eq!(text.parse::<Permission>(), Err(why), "{text}");
        }
    }
}
