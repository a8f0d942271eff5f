//! DIDs: the identifiers that accounts keep for life.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use crate::handle::{DevelopmentNames, Handle, InvalidHandle, NeverResolves, reserved};
use crate::text::text_newtype;

/// A decentralised identifier as AT Protocol writes it ([DID syntax]): compared as received, letter by letter.
///
/// Any method parses. Whether this one can be resolved is a question of its own: [`Did::method`].
///
/// ```
/// use vestibule_atproto_identity::{DevelopmentNames, Did, DidMethod, UnusableDid};
///
/// let did: Did = "did:plc:ewvi7nxzyoun6zhxrhs64oiz".parse().unwrap();
/// assert_eq!(did.method(DevelopmentNames::Refused), Ok(DidMethod::Plc));
///
/// let other: Did = "did:ethr:0xb9c5714089478a327f09197987f16f9e5d936e8a".parse().unwrap();
/// assert_eq!(
///     other.method(DevelopmentNames::Refused),
///     Err(UnusableDid::UnsupportedMethod("ethr".to_owned())),
/// );
/// ```
///
/// [DID syntax]: https://atproto.com/specs/did#at-protocol-did-identifier-syntax
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Did(String);

impl Did {
    /// The identifier, as it was received.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name between the first two colons: `plc`, `web` or another.
    pub fn method_name(&self) -> &str {
        self.parts().0
    }

    /// What follows the second colon.
    pub fn method_specific_id(&self) -> &str {
        self.parts().1
    }

    /// How this DID is resolved.
    ///
    /// # Errors
    /// When the method is neither `plc` nor `web`, and when the DID breaks the rules of its method
    /// ([blessed DID methods]).
    ///
    /// [blessed DID methods]: https://atproto.com/specs/did#blessed-did-methods
    pub fn method(&self, development: DevelopmentNames) -> Result<DidMethod, UnusableDid> {
        match self.parts() {
            ("plc", id) => {
                let base32 = |b: u8| b.is_ascii_lowercase() || (b'2'..=b'7').contains(&b);
                if id.len() == PLC_LENGTH && id.bytes().all(base32) {
                    Ok(DidMethod::Plc)
                } else {
                    Err(UnusableDid::Plc)
                }
            }
            ("web", id) => DidWebHost::read(id, development).map(DidMethod::Web).map_err(UnusableDid::Web),
            (other, _) => Err(UnusableDid::UnsupportedMethod(other.to_owned())),
        }
    }

    fn parts(&self) -> (&str, &str) {
        // `from_str` saw both colons: neither fallback is ever used.
        self.0.strip_prefix("did:").and_then(|rest| rest.split_once(':')).unwrap_or_default()
    }
}

impl FromStr for Did {
    type Err = InvalidDid;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() > MAX_LENGTH {
            return Err(InvalidDid::TooLong);
        }
        let (method, id) =
            text.strip_prefix("did:").and_then(|rest| rest.split_once(':')).ok_or(InvalidDid::Prefix)?;
        if method.is_empty() || !method.bytes().all(|b| b.is_ascii_lowercase()) {
            return Err(InvalidDid::Method);
        }
        if !id.bytes().all(|b| b.is_ascii_alphanumeric() || b"._:%-".contains(&b)) {
            return Err(InvalidDid::Character);
        }
        if id.is_empty() || id.ends_with([':', '%']) {
            return Err(InvalidDid::End);
        }
        Ok(Self(text.to_owned()))
    }
}

text_newtype!(Did);

/// Why a text is no DID.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum InvalidDid {
    /// Longer than AT Protocol allows.
    #[error("DID must have at most 2048 characters")]
    TooLong,
    /// Not of the form `did:method:identifier`.
    #[error("DID must have the form did:method:identifier")]
    Prefix,
    /// The method is empty, or holds something else than small letters.
    #[error("DID must name its method in the small letters a to z")]
    Method,
    /// The identifier holds a character that none may hold.
    #[error("DID may hold only letters, digits and ._:%- after its method")]
    Character,
    /// The identifier is empty, or ends in a colon or a percent sign.
    #[error("DID must not end in a colon or a percent sign")]
    End,
}

/// The two ways to resolve a DID.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(clippy::exhaustive_enums, reason = "AT Protocol blesses these two, and a resolver must treat each")]
pub enum DidMethod {
    /// `did:plc`: asked of a directory.
    Plc,
    /// `did:web`: asked of the host it names.
    Web(DidWebHost),
}

/// The host that a `did:web` names, and that serves its document.
///
/// ```
/// use vestibule_atproto_identity::{DevelopmentNames, Did, DidMethod};
///
/// let did: Did = "did:web:example.com".parse().unwrap();
/// let Ok(DidMethod::Web(host)) = did.method(DevelopmentNames::Refused) else { panic!() };
/// assert_eq!(host.to_string(), "example.com");
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DidWebHost {
    name: String,
    port: Option<u16>,
}

impl DidWebHost {
    /// The host name, in lower case.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The port, which only `localhost` may have.
    pub const fn port(&self) -> Option<u16> {
        self.port
    }

    /// Whether this is `localhost`, which is spoken to over http and during development only.
    pub fn is_localhost(&self) -> bool {
        self.name == LOCALHOST
    }

    fn read(id: &str, development: DevelopmentNames) -> Result<Self, UnusableDidWeb> {
        if id.contains(':') {
            return Err(UnusableDidWeb::Path);
        }
        let (name, port) = match id.split_once("%3A") {
            None => (id, None),
            Some((name, digits)) => (name, Some(digits)),
        };
        if name.contains('%') || port.is_some_and(|digits| digits.contains('%')) {
            return Err(UnusableDidWeb::Escape);
        }
        if name == LOCALHOST {
            if development == DevelopmentNames::Refused {
                return Err(UnusableDidWeb::Localhost);
            }
            let port = match port {
                None => None,
                // A leading zero or sign would give one address two names.
                Some(digits) if digits.starts_with(|c: char| ('1'..='9').contains(&c)) => {
                    Some(digits.parse().map_err(|_| UnusableDidWeb::Port)?)
                }
                Some(_) => return Err(UnusableDidWeb::Port),
            };
            return Ok(Self { name: LOCALHOST.to_owned(), port });
        }
        if port.is_some() {
            return Err(UnusableDidWeb::Port);
        }
        let name: Handle = name.parse().map_err(UnusableDidWeb::Host)?;
        match reserved(name.as_str(), development) {
            Some(why) => Err(UnusableDidWeb::Reserved(why)),
            None => Ok(Self { name: name.as_str().to_owned(), port: None }),
        }
    }
}

/// The authority of a URL: the name, and the port if there is one.
impl fmt::Display for DidWebHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        match self.port {
            Some(port) => write!(f, ":{port}"),
            None => Ok(()),
        }
    }
}

/// Why a DID, well-formed as it is, cannot be resolved at all.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum UnusableDid {
    /// AT Protocol does not use this method; its name.
    #[error("DID method {0} is not supported, only plc and web are")]
    UnsupportedMethod(String),
    /// A `did:plc` that is not 24 characters of base32.
    #[error("did:plc must be followed by 24 characters of a to z and 2 to 7")]
    Plc,
    /// A `did:web` that AT Protocol does not accept.
    #[error("did:web is not acceptable: {0}")]
    Web(UnusableDidWeb),
}

/// Why AT Protocol does not accept a `did:web`.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum UnusableDidWeb {
    /// A second colon: the method's paths are not part of AT Protocol.
    #[error("it must name a host and no path")]
    Path,
    /// A percent-encoded character other than the colon before a port.
    #[error("it must not be percent-encoded")]
    Escape,
    /// A port on another host than `localhost`, or not a port number.
    #[error("it must not name a port, save one of localhost during development")]
    Port,
    /// `localhost` without [`DevelopmentNames::Allowed`].
    #[error("localhost is accepted during development only")]
    Localhost,
    /// The host is no domain name.
    #[error("its host is no domain name: {0}")]
    Host(InvalidHandle),
    /// The host is under a name that is set aside.
    #[error("{0}")]
    Reserved(NeverResolves),
}

/// The longest DID that AT Protocol accepts ("a hard limit of 2 kilobytes").
const MAX_LENGTH: usize = 2048;
/// 15 octets of a hash in base32.
const PLC_LENGTH: usize = 24;
const LOCALHOST: &str = "localhost";

#[cfg(test)]
mod tests {
    use super::*;

    fn did(text: &str) -> Did {
        text.parse().unwrap()
    }

    #[test]
    fn r42_a_did_is_read_strictly_and_kept_as_received() {
        let longest = format!("did:web:{}", "v".repeat(2040));
        for text in ["did:m:v", "did:method:VAL", "did:method::::val", "did:method:val%BB", &longest] {
            assert_eq!(did(text).to_string(), text);
        }
        for (text, why) in [
            ("did", InvalidDid::Prefix),
            ("DID:plc:a", InvalidDid::Prefix),
            ("did:plc", InvalidDid::Prefix),
            ("did:PLC:a", InvalidDid::Method),
            ("did::a", InvalidDid::Method),
            ("did:m1:a", InvalidDid::Method),
            ("did:plc:", InvalidDid::End),
            ("did:plc:a:", InvalidDid::End),
            ("did:plc:a%", InvalidDid::End),
            ("did:plc:a?b", InvalidDid::Character),
            ("did:plc:a#b", InvalidDid::Character),
            ("did:plc:a\u{e9}", InvalidDid::Character),
            (&format!("{longest}v"), InvalidDid::TooLong),
        ] {
            assert_eq!(text.parse::<Did>(), Err(why), "{text}");
        }
        assert_eq!(did("did:web:a:b").method_name(), "web");
        assert_eq!(did("did:web:a:b").method_specific_id(), "a:b");
    }

    #[test]
    fn r44_did_plc_has_24_characters_of_base32() {
        let method = |text| did(text).method(DevelopmentNames::Refused);
        assert_eq!(method("did:plc:7iza6de2dwap2sbkpav7c6c6"), Ok(DidMethod::Plc));
        for text in [
            "did:plc:7iza6de2dwap2sbkpav7c6c",
            "did:plc:7iza6de2dwap2sbkpav7c6c6a",
            "did:plc:7IZA6DE2DWAP2SBKPAV7C6C6",
            "did:plc:1iza6de2dwap2sbkpav7c6c6",
            "did:plc:7iza6de2dwap2sbkpav7c%66",
        ] {
            assert_eq!(method(text), Err(UnusableDid::Plc), "{text}");
        }
    }

    #[test]
    fn r45_did_web_names_a_public_host_and_nothing_else() {
        let refused = |text| did(text).method(DevelopmentNames::Refused);
        let web = |result| match result {
            Ok(DidMethod::Web(host)) => Ok(DidWebHost::to_string(&host)),
            Ok(DidMethod::Plc) => panic!("not did:web"),
            Err(UnusableDid::Web(why)) => Err(why),
            Err(other) => panic!("{other}"),
        };
        assert_eq!(web(refused("did:web:example.com")).as_deref(), Ok("example.com"));
        assert_eq!(web(refused("did:web:Example.com")).as_deref(), Ok("example.com"));
        for (text, why) in [
            ("did:web:example.com:user:alice", UnusableDidWeb::Path),
            ("did:web:example.com%3A8080", UnusableDidWeb::Port),
            ("did:web:localhost%3A8080", UnusableDidWeb::Localhost),
            ("did:web:localhost", UnusableDidWeb::Localhost),
            ("did:web:ex%61mple.com", UnusableDidWeb::Escape),
            ("did:web:example.com%3a8080", UnusableDidWeb::Escape),
            ("did:web:127.0.0.1", UnusableDidWeb::Host(InvalidHandle::TopLabelDigit)),
            ("did:web:example", UnusableDidWeb::Host(InvalidHandle::OneLabel)),
            ("did:web:a_b.com", UnusableDidWeb::Host(InvalidHandle::Character)),
            ("did:web:server.local", UnusableDidWeb::Reserved(NeverResolves::Reserved("local"))),
            ("did:web:server.test", UnusableDidWeb::Reserved(NeverResolves::Development)),
        ] {
            assert_eq!(web(refused(text)), Err(why), "{text}");
        }
        let allowed = |text| web(did(text).method(DevelopmentNames::Allowed));
        assert_eq!(allowed("did:web:localhost%3A8080").as_deref(), Ok("localhost:8080"));
        assert_eq!(allowed("did:web:localhost").as_deref(), Ok("localhost"));
        assert_eq!(allowed("did:web:server.test").as_deref(), Ok("server.test"));
        for text in ["did:web:localhost%3A0", "did:web:localhost%3A65536", "did:web:localhost%3A080"] {
            assert_eq!(allowed(text), Err(UnusableDidWeb::Port), "{text}");
        }
        assert_eq!(allowed("did:web:localhost%3A80%3A80"), Err(UnusableDidWeb::Escape));
        assert_eq!(allowed("did:web:example.com%3A80"), Err(UnusableDidWeb::Port));
    }

    #[test]
    fn r43_an_unsupported_method_is_not_a_syntax_error() {
        let text = "did:key:zQ3shZc2QzApp2oymGvQbzP8eKheVshBHbU4ZYjeXqwSKEn6N";
        let why = did(text).method(DevelopmentNames::Allowed).unwrap_err();
        assert_eq!(why, UnusableDid::UnsupportedMethod("key".to_owned()));
        assert_eq!(why.to_string(), "DID method key is not supported, only plc and web are");
    }
}
