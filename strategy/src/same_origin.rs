//! Whether a request comes from a page of this site, by what browsers say of it.
//!
//! Browsers send `Sec-Fetch-Site` with every request to a trustworthy origin, `Origin` with every POST, and pages cannot
//! change either. No token in a form is needed, so every form works without a script and in every tab.

use http::header::{HeaderMap, ORIGIN, REFERER};
use url::Url;

/// Where a request comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(clippy::exhaustive_enums, reason = "whoever guards a route must decide for each of these")]
pub enum Provenance {
    /// From a page of this site.
    SameOrigin,
    /// From the person: typed, a bookmark, another program.
    Direct,
    /// From a page of another site, or one that hides where it is.
    Elsewhere,
    /// No header says; a browser that old, or no browser.
    Unsaid,
}

impl Provenance {
    /// Reads the headers of a request to the site at `site`.
    ///
    /// ```
    /// use http::HeaderMap;
    /// use url::Url;
    /// use vestibule_strategy::Provenance;
    ///
    /// let site = Url::parse("https://app.example").unwrap();
    /// let mut headers = HeaderMap::new();
    /// headers.insert("origin", "https://evil.example".parse().unwrap());
    /// assert_eq!(Provenance::of(&headers, &site), Provenance::Elsewhere);
    /// headers.insert("origin", "https://app.example".parse().unwrap());
    /// assert_eq!(Provenance::of(&headers, &site), Provenance::SameOrigin);
    /// ```
    pub fn of(headers: &HeaderMap, site: &Url) -> Self {
        let ours = |name| headers.get(name).map(|value| value.to_str().is_ok_and(|text| is_of(text, site)));
        let origin = match headers.get(ORIGIN) {
            // A page under `Referrer-Policy: no-referrer` posts this; `Sec-Fetch-Site` still tells.
            Some(value) if value == "null" => None,
            _ => ours(ORIGIN),
        };
        let hidden = headers.contains_key(ORIGIN) && origin.is_none();
        match (headers.get("sec-fetch-site").map(http::HeaderValue::as_bytes), origin) {
            (_, Some(false)) => Self::Elsewhere,
            (Some(b"same-origin"), _) => Self::SameOrigin,
            (Some(b"none"), _) => Self::Direct,
            (Some(_), _) => Self::Elsewhere,
            (None, Some(true)) => Self::SameOrigin,
            (None, None) if hidden => Self::Elsewhere,
            (None, None) => match ours(REFERER) {
                Some(true) => Self::SameOrigin,
                Some(false) => Self::Elsewhere,
                None => Self::Unsaid,
            },
        }
    }

    /// Whether a form that changes something may act on this request: it was sent by a page of this site.
    pub const fn may_post(self) -> bool {
        matches!(self, Self::SameOrigin)
    }

    /// Whether a link may start a sign-in: not from another site's page.
    pub const fn may_start(self) -> bool {
        matches!(self, Self::SameOrigin | Self::Direct | Self::Unsaid)
    }
}

fn is_of(text: &str, site: &Url) -> bool {
    Url::parse(text).is_ok_and(|url| url.origin().is_tuple() && url.origin() == site.origin())
}

/// Whether a GET is a person opening a page, as far as the browser says: not a prefetch, an image or a script's fetch.
pub fn is_navigation(headers: &HeaderMap) -> bool {
    let says = |name: &str, allowed: &[&str]| {
        headers.get(name).is_none_or(|value| value.to_str().is_ok_and(|text| allowed.contains(&text)))
    };
    !headers.contains_key("sec-purpose")
        && headers.get("purpose").is_none_or(|value| value != "prefetch")
        && says("sec-fetch-dest", &["document"])
        && says("sec-fetch-mode", &["navigate"])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(rows: &[(&'static str, &'static str)]) -> HeaderMap {
        rows.iter().map(|&(n, v)| (n.parse::<http::HeaderName>().unwrap(), v.parse().unwrap())).collect()
    }

    #[test]
    fn s20_where_a_request_comes_from() {
        let site = Url::parse("http://127.0.0.1:8080").unwrap();
        for (rows, expected) in [
            (&[][..], Provenance::Unsaid),
            (&[("sec-fetch-site", "none")], Provenance::Direct),
            (&[("sec-fetch-site", "same-origin")], Provenance::SameOrigin),
            (&[("sec-fetch-site", "same-site")], Provenance::Elsewhere),
            (&[("sec-fetch-site", "cross-site")], Provenance::Elsewhere),
            (&[("origin", "http://127.0.0.1:8080")], Provenance::SameOrigin),
            (&[("origin", "http://127.0.0.1:8081")], Provenance::Elsewhere),
            (&[("origin", "https://127.0.0.1:8080")], Provenance::Elsewhere),
            (&[("origin", "null")], Provenance::Elsewhere),
            (&[("origin", "nonsense")], Provenance::Elsewhere),
            (&[("origin", "null"), ("sec-fetch-site", "same-origin")], Provenance::SameOrigin),
            (&[("origin", "http://evil.example"), ("sec-fetch-site", "same-origin")], Provenance::Elsewhere),
            (&[("origin", "http://127.0.0.1:8080"), ("sec-fetch-site", "cross-site")], Provenance::Elsewhere),
            (&[("referer", "http://127.0.0.1:8080/a?b")], Provenance::SameOrigin),
            (&[("referer", "http://evil.example/")], Provenance::Elsewhere),
        ] {
            assert_eq!(Provenance::of(&headers(rows), &site), expected, "{rows:?}");
        }
    }

    #[test]
    fn s20_only_a_person_opening_a_page_navigates() {
        for (rows, expected) in [
            (&[][..], true),
            (&[("sec-fetch-dest", "document"), ("sec-fetch-mode", "navigate")], true),
            (&[("sec-fetch-dest", "iframe")], false),
            (&[("sec-fetch-dest", "image")], false),
            (&[("sec-fetch-mode", "no-cors")], false),
            (&[("sec-purpose", "prefetch")], false),
            (&[("purpose", "prefetch")], false),
        ] {
            assert_eq!(is_navigation(&headers(rows)), expected, "{rows:?}");
        }
    }
}
