//! Which URLs of the web a protocol party may be reached at.

use http::Uri;
use thiserror::Error;
use url::{Host, Url};

/// Whether plain http is good enough for a machine talking to itself.
///
/// Every rule that says "https" takes one of these, so that development against a server on the same machine is one
/// named choice, easy to search for, and never a default.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[allow(clippy::exhaustive_enums, reason = "there is no third way to be reached")]
pub enum Transport {
    /// https, whatever the host.
    #[default]
    HttpsOnly,
    /// https, and http where the host is `localhost`, in 127.0.0.0/8, or `[::1]`: for development and tests.
    LoopbackHttpToo,
}

impl Transport {
    /// Reads an absolute URL this choice allows, without user name, password and fragment, of at most
    /// [`Self::MAX_URL_LEN`] characters.
    ///
    /// ```
    /// use vestibule_oauth_core::{InvalidWebUrl, Transport};
    ///
    /// assert!(Transport::HttpsOnly.parse("https://pds.example/oauth/par").is_ok());
    /// assert_eq!(Transport::HttpsOnly.parse("http://localhost:2583/"), Err(InvalidWebUrl::Scheme));
    /// assert!(Transport::LoopbackHttpToo.parse("http://localhost:2583/").is_ok());
    /// assert_eq!(Transport::LoopbackHttpToo.parse("http://pds.example/"), Err(InvalidWebUrl::Scheme));
    /// ```
    ///
    /// # Errors
    ///
    /// The first rule the text breaks.
    pub fn parse(self, text: &str) -> Result<Url, InvalidWebUrl> {
        if text.len() > Self::MAX_URL_LEN {
            return Err(InvalidWebUrl::Length);
        }
        if !text.bytes().all(|b| b.is_ascii_graphic() && b != b'\\') {
            return Err(InvalidWebUrl::Character);
        }
        let url = Url::parse(text).map_err(|_| InvalidWebUrl::Syntax)?;
        if !self.allows(&url) {
            Err(InvalidWebUrl::Scheme)
        } else if authority(text).is_none_or(|authority| authority.contains('@')) {
            Err(InvalidWebUrl::UserInfo)
        } else if text.contains('#') {
            Err(InvalidWebUrl::Fragment)
        } else if Uri::try_from(url.as_str()).is_err() || !can_be_looked_up(&url) {
            // A URL parser lets hosts pass, such as `{a`, that no request can name.
            Err(InvalidWebUrl::Syntax)
        } else {
            Ok(url)
        }
    }

    /// Whether the scheme of `url` is allowed for its host.
    pub fn allows(self, url: &Url) -> bool {
        match url.scheme() {
            "https" => url.has_host(),
            "http" => self == Self::LoopbackHttpToo && is_loopback(url),
            _ => false,
        }
    }

    /// The most characters of a URL that is read: more than any browser shows, and what the longest identifiers of
    /// these protocols (DIDs) are allowed.
    pub const MAX_URL_LEN: usize = 2048;
}

/// Why a text is not a URL that can be used here.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Error)]
#[non_exhaustive]
pub enum InvalidWebUrl {
    /// More than [`Transport::MAX_URL_LEN`] characters.
    #[error("must have at most 2048 characters")]
    Length,
    /// White space, a control character, a backslash or something beyond ASCII.
    #[error("must hold only visible ASCII characters, and no backslash")]
    Character,
    /// Not an absolute URL that a request can be made to.
    #[error("must be an absolute URL")]
    Syntax,
    /// Not https, nor http where that is allowed.
    #[error("must be https")]
    Scheme,
    /// A user name or a password before the host.
    #[error("must not hold a user name or password")]
    UserInfo,
    /// A `#`.
    #[error("must not have a fragment")]
    Fragment,
}

/// Whether the host is this machine, by the names and addresses that cannot mean another one.
pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// Whether the host is short enough for the DNS ([RFC 1035, section 2.3.4]). A text within its limit can have a host beyond it:
/// what is not ASCII in it is written out at greater length.
///
/// [RFC 1035, section 2.3.4]: https://www.rfc-editor.org/rfc/rfc1035#section-2.3.4
pub(crate) fn can_be_looked_up(url: &Url) -> bool {
    const MAX_HOST_LEN: usize = 253;
    url.host_str().is_none_or(|host| host.len() <= MAX_HOST_LEN)
}

/// What stands between `://` and the path, as written. `None` if the scheme is not followed by `://`: a URL parser reads
/// `https:/user@host/://` all the same, and finds the host elsewhere.
pub(crate) fn authority(text: &str) -> Option<&str> {
    let (scheme, rest) = text.split_once("://")?;
    if !scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b)) {
        return None;
    }
    rest.split(['/', '?', '#']).next()
}

/// Whether a port is written, even the one that needs no writing.
pub(crate) fn writes_port(text: &str) -> bool {
    authority(text).is_some_and(|authority| {
        let after_address = authority.rsplit_once(']').map_or(authority, |(_, rest)| rest);
        after_address.contains(':')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read_by_the_rules() {
        for (text, why) in [
            ("https://a.example/x#", InvalidWebUrl::Fragment),
            ("https://@a.example/", InvalidWebUrl::UserInfo),
            ("https://a:b@a.example/", InvalidWebUrl::UserInfo),
            ("https:a.example", InvalidWebUrl::UserInfo),
            ("https:/user@a.example/://b.example", InvalidWebUrl::UserInfo),
            ("https://{a.example/", InvalidWebUrl::Syntax),
            ("https://a%7Bexample/", InvalidWebUrl::Syntax),
            ("https:\\\\a.example", InvalidWebUrl::Character),
            (" https://a.example", InvalidWebUrl::Character),
            ("https://a.example/\u{e9}", InvalidWebUrl::Character),
            ("ftp://a.example/", InvalidWebUrl::Scheme),
            ("http://a.example/", InvalidWebUrl::Scheme),
            ("http://localhost.a.example/", InvalidWebUrl::Scheme),
            ("https://", InvalidWebUrl::Syntax),
            ("/path", InvalidWebUrl::Syntax),
        ] {
            assert_eq!(Transport::LoopbackHttpToo.parse(text), Err(why), "{text}");
        }
        let long = format!("https://a.example/{}", "a".repeat(2048));
        assert_eq!(Transport::HttpsOnly.parse(&long), Err(InvalidWebUrl::Length));
    }

    #[test]
    fn loopback_is_this_machine_only() {
        for text in ["http://localhost/", "http://127.0.0.1:1/", "http://127.9.9.9/", "http://[::1]:80/"] {
            assert!(Transport::LoopbackHttpToo.parse(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn written_ports_are_seen() {
        assert!(writes_port("https://a.example:443/x"));
        assert!(writes_port("http://[::1]:80"));
        assert!(!writes_port("http://[::1]/a:b"));
    }
}
