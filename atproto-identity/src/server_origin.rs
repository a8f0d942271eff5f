//! The origin of a server: where a PDS, an entryway or an authorization server is found.

use std::borrow::Cow;
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;
use url::{Host, Url};

use crate::handle::DevelopmentNames;

/// A scheme, a host and perhaps a port: all that the endpoint of a PDS may be ([service endpoint]).
///
/// It is written as a URL without a slash at its end; the standard port is left out.
///
/// ```
/// use vestibule_atproto_identity::{DevelopmentNames, ServerOrigin};
///
/// let pds: ServerOrigin = "https://PDS.example.com:443/".parse().unwrap();
/// assert_eq!(pds.as_str(), "https://pds.example.com");
/// assert_eq!(pds.join("/xrpc/_health"), "https://pds.example.com/xrpc/_health");
///
/// assert!("http://localhost:2583".parse::<ServerOrigin>().is_err());
/// assert!(ServerOrigin::parse("http://localhost:2583", DevelopmentNames::Allowed).is_ok());
/// ```
///
/// [service endpoint]: https://atproto.com/specs/did#did-documents
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ServerOrigin {
    text: String,
    url: Url,
}

impl ServerOrigin {
    /// Reads an origin; http is accepted only with [`DevelopmentNames::Allowed`]. `parse` on a text, from the standard
    /// library, is this with [`DevelopmentNames::Refused`].
    ///
    /// # Errors
    /// When the text is no absolute URL, or says more than scheme, host and port (a lone slash at the end is borne).
    pub fn parse(text: &str, development: DevelopmentNames) -> Result<Self, InvalidServerOrigin> {
        if text.len() > MAX_LENGTH {
            return Err(InvalidServerOrigin::TooLong);
        }
        // The URL parser forgives white space, backslashes and percent-encoded hosts: two readers of such a text may
        // see two hosts in it.
        if !text.bytes().all(|b| b.is_ascii_graphic() && b != b'\\' && b != b'%') {
            return Err(InvalidServerOrigin::Character);
        }
        let (scheme, rest) = text.split_once("://").ok_or(InvalidServerOrigin::Scheme)?;
        let plain = scheme.eq_ignore_ascii_case("http");
        if !plain && !scheme.eq_ignore_ascii_case("https") {
            return Err(InvalidServerOrigin::Scheme);
        }
        if plain && development == DevelopmentNames::Refused {
            return Err(InvalidServerOrigin::NotHttps);
        }
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        if authority.contains('@') {
            return Err(InvalidServerOrigin::UserInfo);
        }
        if authority.contains(['/', '?', '#']) {
            return Err(InvalidServerOrigin::Path);
        }
        let url = Url::parse(text).map_err(|_| InvalidServerOrigin::Host)?;
        // A URL parser lets hosts pass, such as `{a`, that no request can name.
        let no_request = http::Uri::try_from(url.as_str()).is_err();
        if authority.is_empty() || !url.has_host() || url.port() == Some(0) || no_request {
            return Err(InvalidServerOrigin::Host);
        }
        Ok(Self { text: url.origin().ascii_serialization(), url })
    }

    /// The origin as text, without a slash at its end.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The origin as a URL, whose path is `/`.
    pub const fn url(&self) -> &Url {
        &self.url
    }

    /// The text of a URL on this server; `path` starts with a slash.
    pub fn join(&self, path: &str) -> String {
        format!("{}{path}", self.text)
    }

    /// Whether the host is `localhost` or an address of this machine.
    ///
    /// ```
    /// use vestibule_atproto_identity::{DevelopmentNames, ServerOrigin};
    ///
    /// let is_loopback = |text| ServerOrigin::parse(text, DevelopmentNames::Allowed).unwrap().is_loopback();
    /// assert!(is_loopback("http://127.0.0.1:2583"));
    /// assert!(!is_loopback("https://pds.example.com"));
    /// ```
    pub fn is_loopback(&self) -> bool {
        match self.url.host() {
            Some(Host::Domain(name)) => name == "localhost",
            Some(Host::Ipv4(address)) => Ipv4Addr::is_loopback(&address),
            Some(Host::Ipv6(address)) => Ipv6Addr::is_loopback(&address),
            None => false,
        }
    }
}

impl FromStr for ServerOrigin {
    type Err = InvalidServerOrigin;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text, DevelopmentNames::Refused)
    }
}

impl fmt::Display for ServerOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for ServerOrigin {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for ServerOrigin {
    /// Reads back what was written, http included: it was accepted before it was stored.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text, DevelopmentNames::Allowed).map_err(serde::de::Error::custom)
    }
}

/// Why a text is no origin of a server.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum InvalidServerOrigin {
    /// Longer than any host and port can be.
    #[error("server URL must have at most 512 characters")]
    TooLong,
    /// White space, a backslash, a percent sign, or something outside ASCII.
    #[error("server URL must not hold white space, backslashes, percent signs or letters outside ASCII")]
    Character,
    /// It does not start with `https://`, nor with `http://`.
    #[error("server URL must start with https://")]
    Scheme,
    /// It starts with `http://`, and [`DevelopmentNames::Allowed`] was not given.
    #[error("server URL must start with https://, http is accepted during development only")]
    NotHttps,
    /// A user name or password.
    #[error("server URL must not hold a user name")]
    UserInfo,
    /// A path, a query or a fragment.
    #[error("server URL must be a scheme, a host and perhaps a port, with nothing after them")]
    Path,
    /// No host, or none that can be.
    #[error("server URL must name a host, and a port of 1 to 65535 if any")]
    Host,
}

/// A host name of 253 characters with scheme and port fits twice.
const MAX_LENGTH: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r47_an_origin_is_scheme_host_and_port() {
        for (text, printed) in [
            ("https://bsky.social", "https://bsky.social"),
            ("https://bsky.social/", "https://bsky.social"),
            ("HTTPS://Bsky.Social:443", "https://bsky.social"),
            ("https://bsky.social:8443", "https://bsky.social:8443"),
            ("https://[2001:db8::1]:8443", "https://[2001:db8::1]:8443"),
        ] {
            assert_eq!(text.parse::<ServerOrigin>().unwrap().as_str(), printed);
            assert_eq!(printed.parse::<ServerOrigin>().unwrap().to_string(), printed);
        }
        for (text, why) in [
            ("", InvalidServerOrigin::Scheme),
            ("bsky.social", InvalidServerOrigin::Scheme),
            ("ftp://bsky.social", InvalidServerOrigin::Scheme),
            ("https:bsky.social", InvalidServerOrigin::Scheme),
            ("http://bsky.social", InvalidServerOrigin::NotHttps),
            ("https://", InvalidServerOrigin::Host),
            ("https:///bsky.social", InvalidServerOrigin::Path),
            ("https://bsky.social:0", InvalidServerOrigin::Host),
            ("https://{bsky.social", InvalidServerOrigin::Host),
            ("https://bsky.social:65536", InvalidServerOrigin::Host),
            ("https://me@bsky.social", InvalidServerOrigin::UserInfo),
            ("https://bsky.social/xrpc", InvalidServerOrigin::Path),
            ("https://bsky.social//", InvalidServerOrigin::Path),
            ("https://bsky.social?a", InvalidServerOrigin::Path),
            ("https://bsky.social#a", InvalidServerOrigin::Path),
            ("https://bsky.social\\a", InvalidServerOrigin::Character),
            ("https://bsky%2Esocial", InvalidServerOrigin::Character),
            (" https://bsky.social", InvalidServerOrigin::Character),
            ("https://bsky.social\n", InvalidServerOrigin::Character),
            (&format!("https://{}.social", "a".repeat(512)), InvalidServerOrigin::TooLong),
        ] {
            assert_eq!(text.parse::<ServerOrigin>(), Err(why), "{text}");
        }
    }

    #[test]
    fn http_is_for_development_and_survives_storage() {
        let origin = ServerOrigin::parse("http://pds:2583", DevelopmentNames::Allowed).unwrap();
        assert_eq!(origin.as_str(), "http://pds:2583");
        let stored = serde_json::to_string(&origin).unwrap();
        assert_eq!(serde_json::from_str::<ServerOrigin>(&stored).unwrap(), origin);
        assert!(!origin.is_loopback());
    }
}
