//! The address that a proof is for: `htu`.

use std::fmt;

use thiserror::Error;
use url::{Position, Url};

/// The address of a request as proofs are compared with it: an `http` or `https` URL without query and fragment,
/// normalised as [RFC 3986, sections 6.2.2 and 6.2.3] say (letter case of scheme and host, default port,
/// percent-encoding). Dot segments are not resolved but refused: no request goes to an address that has any, so a proof that
/// names one was not made for a request. Made once for each endpoint, from the configured public address and never from what a
/// request says about its own host.
///
/// ```
/// use vestibule_dpop::TargetUri;
///
/// let target = TargetUri::parse("https://server.example.com/token").unwrap();
/// assert!(target.is("HTTPS://Server.Example.com:443/%74oken?x#y").unwrap());
/// assert!(!target.is("https://server.example.com/token/").unwrap());
/// ```
///
/// [RFC 3986, sections 6.2.2 and 6.2.3]: https://www.rfc-editor.org/rfc/rfc3986#section-6.2.2
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TargetUri(String);

impl TargetUri {
    /// The longest address that is read, in octets: what servers commonly take as a request line.
    pub const MAX_LENGTH: usize = 4096;

    /// Reads an address.
    ///
    /// # Errors
    /// [`InvalidTargetUri`] says which rule is broken.
    pub fn parse(text: &str) -> Result<Self, InvalidTargetUri> {
        if text.len() > Self::MAX_LENGTH {
            return Err(InvalidTargetUri::TooLong);
        }
        // What a URL parser repairs (white space, backslashes, missing slashes) is no URI to begin with.
        let after = |scheme: &str| match text.split_at_checked(scheme.len()) {
            Some((start, rest)) if start.eq_ignore_ascii_case(scheme) => Some(rest),
            _ => None,
        };
        let Some(rest) = after("https://").or_else(|| after("http://")) else {
            return Err(InvalidTargetUri::Scheme);
        };
        if rest.starts_with('/') || text.bytes().any(|b| !b.is_ascii_graphic() || b == b'\\') {
            return Err(InvalidTargetUri::Syntax);
        }
        let path = rest.split(['?', '#']).next().unwrap_or_default();
        if path.split('/').skip(1).any(is_dot_segment) {
            return Err(InvalidTargetUri::DotSegment);
        }
        Self::from_url(&Url::parse(text).map_err(|_| InvalidTargetUri::Syntax)?)
    }

    /// The address of a URL.
    ///
    /// # Errors
    /// [`InvalidTargetUri`] when it is no `http` or `https` URL, or names a user.
    pub fn from_url(url: &Url) -> Result<Self, InvalidTargetUri> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(InvalidTargetUri::Scheme);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(InvalidTargetUri::User);
        }
        // `Url` has settled the letter case and the port; the percent-encoding is left.
        let mut text = String::with_capacity(url.as_str().len());
        text.push_str(&url[..Position::BeforePath]);
        normalise_path(url.path(), &mut text);
        Ok(Self(text))
    }

    /// The normalised text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether `text`, as a stranger wrote it, is this address.
    ///
    /// # Errors
    /// [`InvalidTargetUri`] when it is no address at all.
    pub fn is(&self, text: &str) -> Result<bool, InvalidTargetUri> {
        // Nearly every client writes the normalised form.
        Ok(text == self.0 || Self::parse(text)? == *self)
    }
}

impl fmt::Display for TargetUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a text is not the address of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum InvalidTargetUri {
    /// Longer than [`TargetUri::MAX_LENGTH`].
    #[error("htu must have at most 4096 octets")]
    TooLong,
    /// A scheme other than `http` and `https`, or no authority.
    #[error("htu must begin with https:// or http://")]
    Scheme,
    /// Not a URI: no host, or a character that must be percent-encoded.
    #[error("htu must be a URI")]
    Syntax,
    /// A user name or a password.
    #[error("htu must not name a user")]
    User,
    /// `.` or `..` between two slashes, encoded or not.
    #[error("htu must not have dot segments")]
    DotSegment,
}

/// Whether a segment is `.` or `..`, with any of the dots percent-encoded.
fn is_dot_segment(segment: &str) -> bool {
    // No longer segment is one.
    segment.len() <= 6 && matches!(segment.to_ascii_lowercase().replace("%2e", ".").as_str(), "." | "..")
}

/// Appends `path` with every percent-encoded octet in upper-case digits, or as itself if it is an unreserved character
/// ([RFC 3986, section 6.2.2](https://www.rfc-editor.org/rfc/rfc3986#section-6.2.2)).
fn normalise_path(path: &str, out: &mut String) {
    let mut parts = path.split('%');
    out.push_str(parts.next().unwrap_or_default());
    for part in parts {
        let octet = part
            .split_at_checked(2)
            .filter(|(digits, _)| digits.bytes().all(|b| b.is_ascii_hexdigit()))
            .and_then(|(digits, rest)| Some((digits, u8::from_str_radix(digits, 16).ok()?, rest)));
        match octet {
            Some((_, octet, rest)) if octet.is_ascii_alphanumeric() || b"-._~".contains(&octet) => {
                out.push(char::from(octet));
                out.push_str(rest);
            }
            Some((digits, _, rest)) => {
                out.push('%');
                out.extend(digits.chars().map(|c| c.to_ascii_uppercase()));
                out.push_str(rest);
            }
            // Written as what it must mean: left alone, it could escape what follows once that is decoded.
            None => {
                out.push_str("%25");
                out.push_str(part);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t47_htu_is_compared_after_normalisation() {
        let target = TargetUri::parse("https://server.example.com/a~b/token%2f").unwrap();
        assert_eq!(target.as_str(), "https://server.example.com/a~b/token%2F");
        for (text, same) in [
            ("https://server.example.com/a~b/token%2F", true),
            ("https://server.example.com/a~b/token%2f", true),
            ("HTTPS://SERVER.example.COM:443/a%7Eb/%74oken%2f", true),
            ("https://server.example.com/a~b/token%2f?x=/../y", true),
            ("https://server.example.com/a~b/token%2f?query#fragment", true),
            ("https://server.example.com/a~b/token%2f#fragment?query", true),
            ("http://server.example.com/a~b/token%2f", false),
            ("https://server.example.com:8443/a~b/token%2f", false),
            ("https://server.example.com./a~b/token%2f", false),
            ("https://other.example.com/a~b/token%2f", false),
            ("https://server.example.com/A~b/token%2f", false),
            ("https://server.example.com/a~b/token/", false),
            ("https://server.example.com/a~b/token%252f", false),
            ("https://server.example.com/a~b//token%2f", false),
        ] {
            assert_eq!(target.is(text), Ok(same), "{text}");
        }
        let root = TargetUri::parse("http://[::1]:80").unwrap();
        assert_eq!(root.is("http://[0:0::1]/"), Ok(true));
        assert_eq!(TargetUri::parse("http://a.example/%zz%é").unwrap_err(), InvalidTargetUri::Syntax);
        assert_eq!(
            TargetUri::parse("http://a.example/%zz%4").unwrap().as_str(),
            "http://a.example/%25zz%254"
        );
        let stray = TargetUri::parse("http://a.example/%%34%31").unwrap();
        assert_eq!(stray.as_str(), "http://a.example/%2541");
        assert_eq!(TargetUri::parse(stray.as_str()), Ok(stray));
    }

    #[test]
    fn t47_texts_that_are_no_address() {
        let long = format!("https://a.example/{}", "a".repeat(4096));
        for (text, why) in [
            ("", InvalidTargetUri::Scheme),
            ("/token", InvalidTargetUri::Scheme),
            ("//a.example/token", InvalidTargetUri::Scheme),
            ("https:a.example/token", InvalidTargetUri::Scheme),
            ("ftp://a.example/token", InvalidTargetUri::Scheme),
            ("https://", InvalidTargetUri::Syntax),
            ("https:///a.example", InvalidTargetUri::Syntax),
            ("https://a.example\\token", InvalidTargetUri::Syntax),
            ("https://a.example/to ken", InvalidTargetUri::Syntax),
            ("https://a.example/to\nken", InvalidTargetUri::Syntax),
            ("https://bücher.example/", InvalidTargetUri::Syntax),
            ("https://a.example:99999/", InvalidTargetUri::Syntax),
            ("https://user@a.example/", InvalidTargetUri::User),
            ("https://:password@a.example/", InvalidTargetUri::User),
            ("https://a.example/./token", InvalidTargetUri::DotSegment),
            ("https://a.example/x/../token", InvalidTargetUri::DotSegment),
            ("https://a.example/x/%2E./token", InvalidTargetUri::DotSegment),
            ("https://a.example/token/.%2e#x", InvalidTargetUri::DotSegment),
            (&long, InvalidTargetUri::TooLong),
        ] {
            assert_eq!(TargetUri::parse(text).unwrap_err(), why, "{text}");
        }
    }
}
