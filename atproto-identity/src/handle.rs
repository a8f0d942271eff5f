//! Handles: the domain names that people are known by.

use std::str::FromStr;

use thiserror::Error;
use vestibule_oauth_core::Transport;

use crate::text::text_newtype;

/// A handle in lower case ([handle syntax]): a domain name of two labels or more.
///
/// A handle is what a person types and reads; the [`Did`](crate::Did) is the account. That a handle parses does not
/// mean that it may resolve: see [`Handle::never_resolves`].
///
/// ```
/// use vestibule_atproto_identity::Handle;
///
/// let handle: Handle = "Alice.Example.COM".parse().unwrap();
/// assert_eq!(handle.as_str(), "alice.example.com");
/// assert_eq!(handle.dns_name().unwrap(), "_atproto.alice.example.com");
/// assert!("@alice.example.com".parse::<Handle>().is_err()); // `LoginInput` takes that off
/// ```
///
/// [handle syntax]: https://atproto.com/specs/handle#handle-identifier-syntax
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Handle(String);

impl Handle {
    /// What is shown in place of a handle that is missing, or that does not lead back to its account.
    pub const INVALID: &'static str = "handle.invalid";

    /// The handle, in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name whose TXT records may hold the DID; none when it would be longer than a DNS name can be, in which case
    /// only HTTPS is left ([DNS TXT method]).
    ///
    /// [DNS TXT method]: https://atproto.com/specs/handle#dns-txt-method
    pub fn dns_name(&self) -> Option<String> {
        (self.0.len() <= MAX_LENGTH_FOR_DNS).then(|| format!("{DNS_PREFIX}{}", self.0))
    }

    /// Why this handle is never looked up, if it is not: its last label is set aside for other uses
    /// ([additional non-syntax restrictions]).
    ///
    /// ```
    /// use vestibule_atproto_identity::{DevelopmentNames, Handle, NeverResolves};
    ///
    /// let handle: Handle = "alice.test".parse().unwrap();
    /// assert_eq!(handle.never_resolves(DevelopmentNames::Refused), Some(NeverResolves::Development));
    /// assert_eq!(handle.never_resolves(DevelopmentNames::Allowed), None);
    /// ```
    ///
    /// [additional non-syntax restrictions]: https://atproto.com/specs/handle#additional-non-syntax-restrictions
    pub fn never_resolves(&self, development: DevelopmentNames) -> Option<NeverResolves> {
        if self.0 == Self::INVALID {
            return Some(NeverResolves::Placeholder);
        }
        reserved(&self.0, development)
    }
}

impl FromStr for Handle {
    type Err = InvalidHandle;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() > MAX_LENGTH {
            return Err(InvalidHandle::TooLong);
        }
        if !text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.') {
            return Err(InvalidHandle::Character);
        }
        let Some((_, top)) = text.rsplit_once('.') else { return Err(InvalidHandle::OneLabel) };
        for label in text.split('.') {
            if label.is_empty() || label.len() > MAX_LABEL {
                return Err(InvalidHandle::LabelLength);
            }
            if label.starts_with('-') || label.ends_with('-') {
                return Err(InvalidHandle::LabelHyphen);
            }
        }
        if top.starts_with(|c: char| c.is_ascii_digit()) {
            return Err(InvalidHandle::TopLabelDigit);
        }
        Ok(Self(text.to_ascii_lowercase()))
    }
}

text_newtype!(Handle);

/// Why a text is no handle.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum InvalidHandle {
    /// Longer than a domain name can be.
    #[error("handle must have at most 253 characters")]
    TooLong,
    /// Something else than letters, digits, hyphens and dots.
    #[error("handle may hold only the letters a to z, digits, hyphens and dots")]
    Character,
    /// No dot in it.
    #[error("handle must be a full domain name, with a dot in it")]
    OneLabel,
    /// Two dots in a row, a dot at an end, or more than 63 characters between two dots.
    #[error("handle must have 1 to 63 characters before, between and after its dots")]
    LabelLength,
    /// A hyphen beside a dot or at an end.
    #[error("handle must not have a hyphen beside a dot or at an end")]
    LabelHyphen,
    /// The last label starts with a digit, as that of an IP address does.
    #[error("handle must not have a digit right after its last dot")]
    TopLabelDigit,
}

/// Whether names and addresses that only make sense on a developer's machine are taken seriously: handles under
/// `.test`, `did:web:localhost`, and servers spoken to over http.
///
/// It is never on in production: a stranger could otherwise point a server at itself.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[allow(clippy::exhaustive_enums, reason = "a named yes or no")]
pub enum DevelopmentNames {
    /// They are refused.
    #[default]
    Refused,
    /// They are used.
    Allowed,
}

impl DevelopmentNames {
    /// How servers may be reached then: over plain http on loopback, too.
    pub const fn transport(self) -> Transport {
        match self {
            Self::Refused => Transport::HttpsOnly,
            Self::Allowed => Transport::LoopbackHttpToo,
        }
    }
}

/// Why a name that parses is never looked up.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum NeverResolves {
    /// It is `handle.invalid`, which stands for "no valid handle".
    #[error("handle.invalid stands for a handle that could not be verified, and never resolves")]
    Placeholder,
    /// It ends in a label that never names an account; the label.
    #[error("names under .{0} never resolve")]
    Reserved(&'static str),
    /// It ends in `.test`, and [`DevelopmentNames::Allowed`] was not given.
    #[error("names under .test resolve during development only")]
    Development,
}

/// Whether the last label of `name`, in lower case, is set aside.
pub(crate) fn reserved(name: &str, development: DevelopmentNames) -> Option<NeverResolves> {
    let top = name.rsplit('.').next().unwrap_or(name);
    if top == "test" {
        return (development == DevelopmentNames::Refused).then_some(NeverResolves::Development);
    }
    RESERVED.iter().find(|reserved| **reserved == top).map(|reserved| NeverResolves::Reserved(reserved))
}

/// The longest domain name, and so the longest handle (RFC 1035, section 3.1, in its text form).
const MAX_LENGTH: usize = 253;
/// The longest label of a domain name (RFC 1035, section 2.3.4).
const MAX_LABEL: usize = 63;
/// What is put before a handle to name its TXT record.
const DNS_PREFIX: &str = "_atproto.";
/// The longest handle that leaves room for the prefix: 253 less 9.
const MAX_LENGTH_FOR_DNS: usize = MAX_LENGTH - DNS_PREFIX.len();
/// The top-level names of the handle specification that no handle resolves under; `test` is apart.
const RESERVED: [&str; 8] = ["alt", "arpa", "example", "internal", "invalid", "local", "localhost", "onion"];

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<String, InvalidHandle> {
        text.parse::<Handle>().map(|handle| handle.to_string())
    }

    #[test]
    fn r30_a_handle_is_a_domain_name_in_lower_case() {
        let longest =
            format!("{}.{}.{}.{}.co", "a".repeat(63), "b".repeat(63), "c".repeat(63), "d".repeat(58));
        assert_eq!(longest.len(), 253);
        for (text, printed) in
            [("Alice.Example", "alice.example"), ("xn--ls8h.test", "xn--ls8h.test"), (&longest, &longest)]
        {
            assert_eq!(parse(text).as_deref(), Ok(printed));
            assert_eq!(parse(printed).as_deref(), Ok(printed), "what is printed reads back as itself");
        }
        for (text, why) in [
            ("", InvalidHandle::OneLabel),
            ("alice", InvalidHandle::OneLabel),
            ("alice..example", InvalidHandle::LabelLength),
            ("alice.example.", InvalidHandle::LabelLength),
            (&format!("{}.example", "a".repeat(64)), InvalidHandle::LabelLength),
            (&format!("a{longest}"), InvalidHandle::TooLong),
            ("-alice.example", InvalidHandle::LabelHyphen),
            ("alice-.example", InvalidHandle::LabelHyphen),
            ("alice.0", InvalidHandle::TopLabelDigit),
            ("127.0.0.1", InvalidHandle::TopLabelDigit),
            ("@alice.example", InvalidHandle::Character),
            ("älice.example", InvalidHandle::Character),
            ("alice.example\n", InvalidHandle::Character),
        ] {
            assert_eq!(parse(text), Err(why), "{text}");
        }
    }

    #[test]
    fn r31_reserved_names_parse_and_never_resolve() {
        let why = |text: &str, development| text.parse::<Handle>().unwrap().never_resolves(development);
        for top in ["alt", "arpa", "example", "internal", "invalid", "local", "localhost", "onion"] {
            for development in [DevelopmentNames::Refused, DevelopmentNames::Allowed] {
                assert_eq!(why(&format!("a.{top}"), development), Some(NeverResolves::Reserved(top)));
                assert_eq!(why(&format!("{top}.com"), development), None);
            }
        }
        assert_eq!(why("Handle.Invalid", DevelopmentNames::Allowed), Some(NeverResolves::Placeholder));
        assert_eq!(why("a.test", DevelopmentNames::Refused), Some(NeverResolves::Development));
        assert_eq!(why("a.test", DevelopmentNames::Allowed), None);
        assert_eq!(why("a.contest", DevelopmentNames::Refused), None);
    }

    #[test]
    fn r32_a_handle_too_long_for_dns_has_no_dns_name() {
        let handle = |length: usize| {
            let head = format!("{0}.{0}.{0}.", "a".repeat(63));
            let tail = "b".repeat(length - head.len() - 3);
            format!("{head}{tail}.co").parse::<Handle>().unwrap()
        };
        assert_eq!(handle(244).as_str().len(), 244);
        assert_eq!(handle(244).dns_name().unwrap().len(), 253);
        assert_eq!(handle(245).dns_name(), None);
    }
}
