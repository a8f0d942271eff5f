//! NSIDs: the names of collections and methods.

use std::str::FromStr;

use thiserror::Error;

use crate::text::text_newtype;

/// A namespaced identifier ([NSID syntax]): a domain name turned round, and a name under it. Kept as received.
///
/// ```
/// use vestibule_atproto_identity::Nsid;
///
/// let nsid: Nsid = "app.bsky.feed.post".parse().unwrap();
/// assert_eq!(nsid.group(), "app.bsky.feed");
/// assert_eq!(nsid.name(), "post");
/// ```
///
/// [NSID syntax]: https://atproto.com/specs/nsid#nsid-syntax
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Nsid(String);

impl Nsid {
    /// The identifier, as it was received.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Everything before the last dot: the group that the name belongs to.
    pub fn group(&self) -> &str {
        self.0.rsplit_once('.').map_or("", |(group, _)| group)
    }

    /// The last segment.
    pub fn name(&self) -> &str {
        self.0.rsplit_once('.').map_or(self.0.as_str(), |(_, name)| name)
    }

    /// Whether this name is in the group of `other`, or in a group below it.
    ///
    /// ```
    /// use vestibule_atproto_identity::Nsid;
    ///
    /// let set: Nsid = "com.example.calendar.auth".parse().unwrap();
    /// for (name, inside) in [
    ///     ("com.example.calendar.event", true),
    ///     ("com.example.calendar.admin.event", true),
    ///     ("com.example.calendars.event", false),
    ///     ("com.example.event", false),
    /// ] {
    ///     assert_eq!(name.parse::<Nsid>().unwrap().is_in_group_of(&set), inside, "{name}");
    /// }
    /// ```
    pub fn is_in_group_of(&self, other: &Self) -> bool {
        match self.group().strip_prefix(other.group()) {
            Some(rest) => rest.is_empty() || rest.starts_with('.'),
            None => false,
        }
    }
}

impl FromStr for Nsid {
    type Err = InvalidNsid;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() > MAX_LENGTH {
            return Err(InvalidNsid::TooLong);
        }
        if !text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.') {
            return Err(InvalidNsid::Character);
        }
        let Some((authority, name)) = text.rsplit_once('.') else { return Err(InvalidNsid::TooFewSegments) };
        if !authority.contains('.') {
            return Err(InvalidNsid::TooFewSegments);
        }
        if text.split('.').any(|segment| segment.is_empty() || segment.len() > MAX_SEGMENT) {
            return Err(InvalidNsid::SegmentLength);
        }
        if authority.split('.').any(|segment| segment.starts_with('-') || segment.ends_with('-')) {
            return Err(InvalidNsid::SegmentHyphen);
        }
        if authority.starts_with(|c: char| c.is_ascii_digit()) {
            return Err(InvalidNsid::FirstDigit);
        }
        if name.contains('-') || name.starts_with(|c: char| c.is_ascii_digit()) {
            return Err(InvalidNsid::Name);
        }
        Ok(Self(text.to_owned()))
    }
}

text_newtype!(Nsid);

/// Why a text is no NSID.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum InvalidNsid {
    /// Longer than 317 characters.
    #[error("NSID must have at most 317 characters")]
    TooLong,
    /// Something else than letters, digits, hyphens and dots.
    #[error("NSID may hold only the letters a to z, digits, hyphens and dots")]
    Character,
    /// Fewer than three segments.
    #[error("NSID must have three segments or more, with dots between")]
    TooFewSegments,
    /// An empty segment, or one of more than 63 characters.
    #[error("NSID must have 1 to 63 characters before, between and after its dots")]
    SegmentLength,
    /// A hyphen at an end of a segment.
    #[error("NSID must not have a hyphen beside a dot or at an end")]
    SegmentHyphen,
    /// A digit at the start, where a top-level domain stands.
    #[error("NSID must not start with a digit")]
    FirstDigit,
    /// The last segment has a hyphen, or starts with a digit.
    #[error("NSID must end in a name of letters and digits that starts with a letter")]
    Name,
}

/// A domain name of 253 characters, a dot and a name of 63. Only the whole is measured: the interop vectors have a good
/// NSID whose authority is longer than a domain name.
const MAX_LENGTH: usize = 317;
/// The longest label of a domain name; the specification gives the name the same limit.
const MAX_SEGMENT: usize = 63;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_nsid_is_kept_as_received() {
        for text in ["a.b.c", "com.example.fooBarV2", "a.0.c", "xn--fiqs8s.xn--a.record.two", "Com.Example.x"]
        {
            assert_eq!(text.parse::<Nsid>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn each_rule_refuses_by_its_own_name() {
        let long = vec!["a".repeat(52); 6].join(".");
        assert_eq!(long.len(), 317);
        assert!(long.parse::<Nsid>().is_ok());
        for (text, why) in [
            ("", InvalidNsid::TooFewSegments),
            ("com.example", InvalidNsid::TooFewSegments),
            ("com..example.a", InvalidNsid::SegmentLength),
            ("com.example.", InvalidNsid::SegmentLength),
            (&format!("com.example.{}", "o".repeat(64)), InvalidNsid::SegmentLength),
            ("com.example-.foo", InvalidNsid::SegmentHyphen),
            ("1com.example.foo", InvalidNsid::FirstDigit),
            ("com.example.f-o", InvalidNsid::Name),
            ("com.example.2fo", InvalidNsid::Name),
            ("com.example.*", InvalidNsid::Character),
            ("com.example.fö", InvalidNsid::Character),
            (&format!("{long}a"), InvalidNsid::TooLong),
        ] {
            assert_eq!(text.parse::<Nsid>(), Err(why), "{text}");
        }
    }
}
