//! Issuer identifiers ([RFC 8414, section 2]).
//!
//! [RFC 8414, section 2]: https://www.rfc-editor.org/rfc/rfc8414#section-2

use std::fmt;
use std::str::FromStr;

use http::Uri;
use thiserror::Error;
use url::Url;

use crate::transport::{Transport, can_be_looked_up, is_loopback};

/// Who an authorization server says it is. Two issuers are the same if their texts are, character by character: nothing
/// is normalised ([RFC 8414, section 3.3], [RFC 9207, section 2.4]).
///
/// ```
/// use vestibule_oauth_core::Issuer;
///
/// let issuer: Issuer = "https://example.com/issuer1".parse().unwrap();
/// assert_eq!(
///     issuer.well_known_url().as_str(),
///     "https://example.com/.well-known/oauth-authorization-server/issuer1"
/// );
/// assert!(!issuer.is_origin());
/// assert_ne!("https://example.com".parse::<Issuer>(), "https://example.com/".parse::<Issuer>());
/// assert!("http://localhost:2583".parse::<Issuer>().is_err()); // see `Issuer::parse_with`
/// ```
///
/// [RFC 8414, section 3.3]: https://www.rfc-editor.org/rfc/rfc8414#section-3.3
/// [RFC 9207, section 2.4]: https://www.rfc-editor.org/rfc/rfc9207#section-2.4
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Issuer {
    text: String,
    url: Url,
    // Kept ready because making them may fail, and a request must not.
    metadata: Uri,
    openid: Uri,
}

impl Issuer {
    /// Reads an issuer that may be http on a loopback host, if `transport` says so. `parse` is this with
    /// [`Transport::HttpsOnly`].
    ///
    /// ```
    /// use vestibule_oauth_core::{Issuer, Transport};
    ///
    /// let issuer = Issuer::parse_with("http://localhost:2583", Transport::LoopbackHttpToo).unwrap();
    /// assert!(issuer.is_origin());
    /// ```
    ///
    /// # Errors
    ///
    /// The first rule the text breaks.
    pub fn parse_with(text: &str, transport: Transport) -> Result<Self, InvalidIssuer> {
        if text.is_empty() || text.len() > Transport::MAX_URL_LEN {
            return Err(InvalidIssuer::Length);
        }
        if !text.bytes().all(|b| b.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&b)) {
            return Err(InvalidIssuer::Character);
        }
        if text.contains('#') {
            return Err(InvalidIssuer::Fragment);
        }
        if text.contains('?') {
            return Err(InvalidIssuer::Query);
        }
        let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
        let rest = rest.ok_or(InvalidIssuer::Scheme)?;
        let (authority, path) = match rest.find('/').and_then(|at| rest.split_at_checked(at)) {
            Some(halves) => halves,
            None => (rest, ""),
        };
        if authority.contains('@') {
            return Err(InvalidIssuer::UserInfo);
        }
        let url = Url::parse(text).map_err(|_| InvalidIssuer::Host)?;
        if authority.is_empty() || !url.has_host() || !can_be_looked_up(&url) {
            return Err(InvalidIssuer::Host);
        }
        if !transport.allows(&url) {
            return Err(InvalidIssuer::Scheme);
        }
        // Dot segments would make the well-known URL another issuer's.
        if url.path() != path && !(path.is_empty() && url.path() == "/") {
            return Err(InvalidIssuer::Path);
        }
        let below = url.path().trim_end_matches('/');
        let at = |path: String| {
            let mut url = url.clone();
            url.set_path(&path);
            Uri::try_from(url.as_str()).map_err(|_| InvalidIssuer::Character)
        };
        let metadata = at(format!("/.well-known/oauth-authorization-server{below}"))?;
        let openid = at(format!("{below}/.well-known/openid-configuration"))?;
        Ok(Self { text: text.to_owned(), url, metadata, openid })
    }

    /// The issuer that an origin is: the scheme, host and port of `url`, whatever its path.
    ///
    /// # Errors
    ///
    /// [`InvalidIssuer::Scheme`] if `transport` does not allow the URL, or [`InvalidIssuer::Host`] if it has no host.
    pub fn of_origin(url: &Url, transport: Transport) -> Result<Self, InvalidIssuer> {
        Self::parse_with(&url.origin().ascii_serialization(), transport)
    }

    /// The text as received.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The text as a URL.
    pub const fn url(&self) -> &Url {
        &self.url
    }

    /// Whether the text is an origin and nothing more, as the AT Protocol asks: scheme and host in lower case, a port
    /// only if it is not the scheme's own, no path and no slash at the end.
    pub fn is_origin(&self) -> bool {
        self.url.origin().ascii_serialization() == self.text
    }

    /// Whether this is a development issuer: http on a loopback host.
    pub fn is_development(&self) -> bool {
        self.url.scheme() == "http" && is_loopback(&self.url)
    }

    /// What the URLs in this issuer's own documents are held to: http is for the issuers that have it themselves.
    pub fn transport(&self) -> Transport {
        if self.is_development() { Transport::LoopbackHttpToo } else { Transport::HttpsOnly }
    }

    /// Where its metadata is ([RFC 8414, section 3]): the well-known path goes between host and path.
    ///
    /// [RFC 8414, section 3]: https://www.rfc-editor.org/rfc/rfc8414#section-3
    pub fn well_known_url(&self) -> Url {
        let mut url = self.url.clone();
        url.set_path(self.metadata.path());
        url
    }

    /// Where its OpenID Connect metadata is ([Discovery, section 4]): the well-known path goes after the path.
    ///
    /// [Discovery, section 4]: https://openid.net/specs/openid-connect-discovery-1_0.html#ProviderConfig
    pub fn openid_configuration_url(&self) -> Url {
        let mut url = self.url.clone();
        url.set_path(self.openid.path());
        url
    }

    pub(crate) const fn metadata_uri(&self) -> &Uri {
        &self.metadata
    }

    pub(crate) const fn openid_uri(&self) -> &Uri {
        &self.openid
    }
}

impl FromStr for Issuer {
    type Err = InvalidIssuer;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse_with(text, Transport::HttpsOnly)
    }
}

impl fmt::Display for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Issuer").field(&self.text).finish()
    }
}

/// Why a text is not an issuer identifier.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Error)]
#[non_exhaustive]
pub enum InvalidIssuer {
    /// Empty, or more than 2048 characters.
    #[error("issuer must have 1 to 2048 characters")]
    Length,
    /// A character that no URL holds.
    #[error("issuer must hold only the characters of a URL")]
    Character,
    /// Not `https://`, nor `http://` with a loopback host where that is allowed.
    #[error("issuer must begin with https://")]
    Scheme,
    /// A user name or a password before the host.
    #[error("issuer must not hold a user name or password")]
    UserInfo,
    /// No host, or one that cannot be.
    #[error("issuer must have a host")]
    Host,
    /// A path with `.` or `..` in it.
    #[error("issuer must have a path without dot segments")]
    Path,
    /// A `?`.
    #[error("issuer must not have a query")]
    Query,
    /// A `#`.
    #[error("issuer must not have a fragment")]
    Fragment,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn issuer(text: &str) -> Issuer {
        Issuer::parse_with(text, Transport::LoopbackHttpToo).unwrap()
    }

    #[test]
    fn rfc8414_section_2() {
        for (text, why) in [
            ("", InvalidIssuer::Length),
            ("https://a.example?", InvalidIssuer::Query),
            ("https://a.example/?x=1", InvalidIssuer::Query),
            ("https://a.example#", InvalidIssuer::Fragment),
            ("https://u@a.example", InvalidIssuer::UserInfo),
            ("https://@a.example", InvalidIssuer::UserInfo),
            ("https:///x", InvalidIssuer::Host),
            (&format!("https://{}.example", "a.".repeat(123)), InvalidIssuer::Host),
            ("https://a b", InvalidIssuer::Character),
            ("https://a.example\\x", InvalidIssuer::Character),
            ("https://a.example/a/../b", InvalidIssuer::Path),
            ("https://a.example/%2e%2e/b", InvalidIssuer::Path),
            ("http://a.example", InvalidIssuer::Scheme),
            ("ftp://a.example", InvalidIssuer::Scheme),
            ("HTTPS://a.example", InvalidIssuer::Scheme),
            ("a.example", InvalidIssuer::Scheme),
        ] {
            assert_eq!(Issuer::parse_with(text, Transport::LoopbackHttpToo), Err(why), "{text}");
        }
        assert_eq!("http://localhost".parse::<Issuer>(), Err(InvalidIssuer::Scheme));
    }

    #[test]
    fn rfc8414_section_3_puts_the_well_known_path_before_the_path() {
        for (text, metadata, openid) in [
            (
                "https://example.com",
                "https://example.com/.well-known/oauth-authorization-server",
                "https://example.com/.well-known/openid-configuration",
            ),
            (
                "https://example.com/",
                "https://example.com/.well-known/oauth-authorization-server",
                "https://example.com/.well-known/openid-configuration",
            ),
            (
                "https://example.com:8443/issuer1/",
                "https://example.com:8443/.well-known/oauth-authorization-server/issuer1",
                "https://example.com:8443/issuer1/.well-known/openid-configuration",
            ),
        ] {
            assert_eq!(issuer(text).well_known_url().as_str(), metadata);
            assert_eq!(issuer(text).metadata_uri(), metadata);
            assert_eq!(issuer(text).openid_configuration_url().as_str(), openid);
            assert_eq!(issuer(text).openid_uri(), openid);
        }
    }

    #[test]
    fn r50_an_origin_has_no_path_and_no_port_of_its_own_scheme() {
        for text in ["https://pds.example", "https://pds.example:8443", "http://localhost:2583"] {
            assert!(issuer(text).is_origin(), "{text}");
        }
        for text in
            ["https://pds.example/", "https://pds.example:443", "https://PDS.example", "https://a.example/b"]
        {
            assert!(!issuer(text).is_origin(), "{text}");
        }
    }

    #[test]
    fn an_origin_is_an_issuer() {
        let url = Url::parse("https://PDS.example:443/xrpc?x").unwrap();
        assert_eq!(Issuer::of_origin(&url, Transport::HttpsOnly).unwrap().as_str(), "https://pds.example");
        let url = Url::parse("data:x").unwrap();
        assert!(Issuer::of_origin(&url, Transport::LoopbackHttpToo).is_err());
    }
}
