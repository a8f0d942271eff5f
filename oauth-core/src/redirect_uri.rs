//! Redirect URIs: where a browser is sent back to.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use thiserror::Error;
use url::Url;

use crate::transport::authority;

/// A redirect URI, kept as received, because it is compared as received ([RFC 9700, section 2.1]).
///
/// This type holds what is true of every redirect URI; what a client of one kind may register (https, loopback,
/// private-use scheme) is the business of the rules in [`client_metadata`](crate::client_metadata).
///
/// ```
/// use vestibule_oauth_core::RedirectUri;
///
/// let registered: RedirectUri = "http://127.0.0.1/callback".parse().unwrap();
/// assert!(registered.admits(&"http://127.0.0.1:51004/callback".parse().unwrap()));
/// assert!(!registered.admits(&"http://127.0.0.1:51004/other".parse().unwrap()));
///
/// let registered: RedirectUri = "https://app.example/callback".parse().unwrap();
/// assert!(!registered.admits(&"https://app.example/callback?x=1".parse().unwrap()));
/// ```
///
/// [RFC 9700, section 2.1]: https://www.rfc-editor.org/rfc/rfc9700#section-2.1
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RedirectUri {
    text: String,
    url: Url,
}

impl RedirectUri {
    /// The text as received.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The text as a URL, to add the answer to.
    pub const fn url(&self) -> &Url {
        &self.url
    }

    /// Whether a request may ask for `asked` where this URI is registered: the same text, or the same but for the
    /// port where both are `http://127.0.0.1` or `http://[::1]` ([RFC 8252, section 7.3]).
    ///
    /// The AT Protocol reference server is stricter: a port that is written in the registration must match. Register
    /// loopback URIs without one.
    ///
    /// [RFC 8252, section 7.3]: https://www.rfc-editor.org/rfc/rfc8252#section-7.3
    pub fn admits(&self, asked: &Self) -> bool {
        self.text == asked.text
            || matches!(
                (without_loopback_port(&self.text), without_loopback_port(&asked.text)),
                (Some(ours), Some(theirs)) if ours == theirs
            )
    }

    /// Whether this is `http://127.0.0.1` or `http://[::1]` with any port and path: an app that listens on the
    /// person's own machine.
    pub fn is_loopback(&self) -> bool {
        without_loopback_port(&self.text).is_some()
    }

    /// The scheme, in lower case.
    pub fn scheme(&self) -> &str {
        self.url.scheme()
    }

    /// Whether the scheme belongs to an app instead of the web ([RFC 8252, section 7.1]).
    ///
    /// [RFC 8252, section 7.1]: https://www.rfc-editor.org/rfc/rfc8252#section-7.1
    pub fn is_private_use(&self) -> bool {
        !matches!(self.scheme(), "https" | "http")
    }

    /// The most characters of a redirect URI: what every browser takes in a `Location`.
    pub const MAX_LEN: usize = 2048;
}

impl FromStr for RedirectUri {
    type Err = InvalidRedirectUri;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() || text.len() > Self::MAX_LEN {
            return Err(InvalidRedirectUri::Length);
        }
        if !text.bytes().all(|b| b.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&b)) {
            return Err(InvalidRedirectUri::Character);
        }
        if text.contains('#') {
            return Err(InvalidRedirectUri::Fragment);
        }
        let url = Url::parse(text).map_err(|_| InvalidRedirectUri::Relative)?;
        if REFUSED_SCHEMES.contains(&url.scheme()) {
            return Err(InvalidRedirectUri::Scheme);
        }
        let web = matches!(url.scheme(), "https" | "http");
        if web && authority(text).is_none_or(str::is_empty) {
            return Err(InvalidRedirectUri::Relative);
        }
        if !url.username().is_empty() || url.password().is_some() || (web && has_user_info(text)) {
            return Err(InvalidRedirectUri::UserInfo);
        }
        Ok(Self { text: text.to_owned(), url })
    }
}

impl fmt::Display for RedirectUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for RedirectUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RedirectUri").field(&self.text).finish()
    }
}

impl Serialize for RedirectUri {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for RedirectUri {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// Why a text is not a redirect URI.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Error)]
#[non_exhaustive]
pub enum InvalidRedirectUri {
    /// Empty, or more than [`RedirectUri::MAX_LEN`] characters.
    #[error("redirect_uri must have 1 to 2048 characters")]
    Length,
    /// A character that no URI holds.
    #[error("redirect_uri must hold only the characters of a URI")]
    Character,
    /// Not absolute.
    #[error("redirect_uri must be an absolute URI")]
    Relative,
    /// A `#` ([RFC 6749, section 3.1.2](https://www.rfc-editor.org/rfc/rfc6749#section-3.1.2)).
    #[error("redirect_uri must not have a fragment")]
    Fragment,
    /// A user name or a password before the host.
    #[error("redirect_uri must not hold a user name or password")]
    UserInfo,
    /// A scheme that a browser runs, reads or hands on itself, such as `javascript` and `data`.
    #[error("redirect_uri must have a scheme that leads back to the client")]
    Scheme,
}

fn has_user_info(text: &str) -> bool {
    authority(text).is_some_and(|authority| authority.contains('@'))
}

/// The host and what follows the port, where the text is a loopback URI; the port is digits, or not there.
fn without_loopback_port(text: &str) -> Option<(&'static str, &str)> {
    let rest = text.strip_prefix("http://")?;
    let (host, rest) = ["127.0.0.1", "[::1]"].into_iter().find_map(|h| Some((h, rest.strip_prefix(h)?)))?;
    let rest = match rest.strip_prefix(':') {
        None => rest,
        Some(rest) => {
            let after = rest.trim_start_matches(|c: char| c.is_ascii_digit());
            if after.len() == rest.len() {
                return None;
            }
            after
        }
    };
    (rest.is_empty() || rest.starts_with(['/', '?'])).then_some((host, rest))
}

/// Schemes that browsers act on themselves.
const REFUSED_SCHEMES: [&str; 17] = [
    "about",
    "blob",
    "chrome",
    "data",
    "file",
    "filesystem",
    "ftp",
    "intent",
    "jar",
    "javascript",
    "mailto",
    "sms",
    "tel",
    "vbscript",
    "view-source",
    "ws",
    "wss",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(text: &str) -> RedirectUri {
        text.parse().unwrap()
    }

    #[test]
    fn redirect_uris_are_read_by_the_rules() {
        for (text, why) in [
            ("", InvalidRedirectUri::Length),
            ("https://a.example/ x", InvalidRedirectUri::Character),
            ("https://a.example/\u{e9}", InvalidRedirectUri::Character),
            ("/callback", InvalidRedirectUri::Relative),
            ("https:a.example", InvalidRedirectUri::Relative),
            ("https:///callback", InvalidRedirectUri::Relative),
            ("https://a.example/#", InvalidRedirectUri::Fragment),
            ("https://u:p@a.example/", InvalidRedirectUri::UserInfo),
            ("https://@a.example/", InvalidRedirectUri::UserInfo),
            ("javascript:alert(1)", InvalidRedirectUri::Scheme),
            ("JavaScript:alert(1)", InvalidRedirectUri::Scheme),
            ("data:text/html,x", InvalidRedirectUri::Scheme),
            ("file:///etc/passwd", InvalidRedirectUri::Scheme),
        ] {
            assert_eq!(text.parse::<RedirectUri>(), Err(why), "{text}");
        }
        for text in ["https://a.example", "com.example.app:/callback", "http://[::1]:80/x?y=z", "app://cb"] {
            assert_eq!(uri(text).as_str(), text);
        }
    }

    #[test]
    fn r19_the_same_text_or_none() {
        let registered = uri("https://a.example/cb");
        assert!(registered.admits(&uri("https://a.example/cb")));
        for asked in [
            "https://a.example/cb/",
            "https://A.example/cb",
            "https://a.example:443/cb",
            "https://a.example/cb?",
        ] {
            assert!(!registered.admits(&uri(asked)), "{asked}");
        }
    }

    #[test]
    fn r22_rfc8252_section_7_3_any_port_on_the_loopback_addresses() {
        for (registered, asked, admits) in [
            ("http://127.0.0.1/cb", "http://127.0.0.1:5555/cb", true),
            ("http://127.0.0.1:80/cb", "http://127.0.0.1:5555/cb", true),
            ("http://[::1]/cb?x=1", "http://[::1]:5555/cb?x=1", true),
            ("http://127.0.0.1/cb", "http://[::1]:5555/cb", false),
            ("http://127.0.0.1/cb", "http://127.0.0.1:5555/cb/", false),
            ("http://127.0.0.1/cb", "http://127.0.0.1.evil.example/cb", false),
            ("http://127.0.0.1/cb", "http://127.0.0.1:5555.evil.example/cb", false),
            ("http://localhost/cb", "http://localhost:5555/cb", false),
            ("https://127.0.0.1/cb", "https://127.0.0.1:5555/cb", false),
        ] {
            // One of them is not a URI at all, which is as good a refusal.
            let asked_uri = asked.parse::<RedirectUri>();
            assert_eq!(
                asked_uri.is_ok_and(|asked| uri(registered).admits(&asked)),
                admits,
                "{registered} {asked}"
            );
        }
    }

    #[test]
    fn what_is_stored_comes_back() {
        let json = serde_json::to_string(&uri("com.example.app:/cb")).unwrap();
        assert_eq!(json, r#""com.example.app:/cb""#);
        assert_eq!(serde_json::from_str::<RedirectUri>(&json).unwrap(), uri("com.example.app:/cb"));
        assert!(serde_json::from_str::<RedirectUri>(r#""data:,""#).is_err());
    }
}
