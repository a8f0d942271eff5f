//! Where a person goes after signing in, and nowhere else.

use std::fmt;

use thiserror::Error;
use url::Url;

/// A place on this site: a path, perhaps with a query.
///
/// A login that sends people wherever its URL says is a gift to whoever wants to show them a false page after a true
/// login. So a place has to be a path that every browser reads as one.
///
/// ```
/// use url::Url;
/// use vestibule_strategy::ReturnTo;
///
/// let site = Url::parse("https://app.example").unwrap();
/// assert_eq!(ReturnTo::parse("/inbox?page=2", &site).unwrap().as_str(), "/inbox?page=2");
/// for elsewhere in ["https://evil.example", "//evil.example", "/\\evil.example", "/%2fevil.example", "inbox"] {
///     assert!(ReturnTo::parse(elsewhere, &site).is_err(), "{elsewhere}");
/// }
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReturnTo(String);

impl ReturnTo {
    /// Longest place, in octets: it travels in a cookie of at most 3.8 KB.
    pub const MAX_OCTETS: usize = 1024;

    /// Reads a place on the site at `site`.
    ///
    /// # Errors
    /// The text is no path on this site, or some browser might not take it for one.
    pub fn parse(text: &str, site: &Url) -> Result<Self, InvalidReturnTo> {
        let after_slash = text.strip_prefix('/').ok_or(InvalidReturnTo)?.to_ascii_lowercase();
        let leaves = ["/", "\\", "%2f", "%5c"].iter().any(|start| after_slash.starts_with(start));
        let plain = text.bytes().all(|b| b.is_ascii_graphic() && b != b'\\');
        let stays = site.join(text).is_ok_and(|url| url.origin() == site.origin());
        if leaves || !plain || !stays || text.len() > Self::MAX_OCTETS {
            return Err(InvalidReturnTo);
        }
        Ok(Self(text.to_owned()))
    }

    /// The path and query.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ReturnTo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The text is no path on this site.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
#[error("return_to must be a path on this site, like /inbox?page=2")]
pub struct InvalidReturnTo;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s19_no_place_leaves_the_site() {
        let site = Url::parse("https://app.example:8443/base/").unwrap();
        for ok in ["/", "/a", "/a?b=c#d", "/a/../b", "/a%2fb", "/?next=//evil.example"] {
            assert_eq!(ReturnTo::parse(ok, &site).map(|r| r.to_string()), Ok(ok.to_owned()));
        }
        let long = format!("/{}", "a".repeat(ReturnTo::MAX_OCTETS));
        for bad in [
            "",
            "a",
            "?a",
            "//",
            "///",
            "//e",
            "/\\e",
            "/%2Fe",
            "/%5ce",
            "/%5Ce",
            "\\\\e",
            "/\te",
            "/a\r\nb",
            "/é",
            "/a\\b",
            " /a",
            "javascript:alert(1)",
            "https://app.example:8443/",
            "/a b",
            &long,
        ] {
            assert_eq!(ReturnTo::parse(bad, &site), Err(InvalidReturnTo), "{bad}");
        }
    }
}
