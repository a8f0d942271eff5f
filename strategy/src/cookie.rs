//! The few cookies a login needs, read and written.

use http::header::{COOKIE, HeaderMap, HeaderValue};
use thiserror::Error;
use url::Url;

/// How cookies are named and guarded, which follows from where the site lives.
///
/// ```
/// use url::Url;
/// use vestibule_strategy::cookie::CookiePolicy;
///
/// let policy = CookiePolicy::for_site(&Url::parse("https://app.example").unwrap()).unwrap();
/// let cookie = policy.set("session", "abc", None).unwrap();
/// assert_eq!(cookie, "__Host-session=abc; Path=/; HttpOnly; SameSite=Lax; Secure");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CookiePolicy {
    secure: bool,
}

impl CookiePolicy {
    /// The policy for the site at `site`: `Secure` and the prefix `__Host-` on https, plain cookies on loopback http,
    /// where browsers would drop the others.
    ///
    /// # Errors
    /// [`InsecureSite`] for http anywhere else: no cookie there is safe.
    pub fn for_site(site: &Url) -> Result<Self, InsecureSite> {
        let loopback = match site.host() {
            Some(url::Host::Ipv4(address)) => address.is_loopback(),
            Some(url::Host::Ipv6(address)) => address.is_loopback(),
            Some(url::Host::Domain(name)) => name == "localhost",
            None => false,
        };
        match site.scheme() {
            "https" => Ok(Self { secure: true }),
            "http" if loopback => Ok(Self { secure: false }),
            _ => Err(InsecureSite),
        }
    }

    /// The whole name of the cookie called `name`.
    pub fn name(self, name: &str) -> String {
        if self.secure { format!("__Host-{name}") } else { name.to_owned() }
    }

    /// A `Set-Cookie` value: this site only, not for scripts, `SameSite=Lax`. Without `max_age`, in seconds, it ends with
    /// the browser session. `None` if the value holds a character a cookie may not hold.
    pub fn set(self, name: &str, value: &str, max_age: Option<u64>) -> Option<HeaderValue> {
        self.written(name, value, "Lax", max_age)
    }

    /// The same for a cookie that comes with no request that begins on another site, `SameSite=Strict`.
    pub fn set_strict(self, name: &str, value: &str, max_age: Option<u64>) -> Option<HeaderValue> {
        self.written(name, value, "Strict", max_age)
    }

    /// The same for a cookie that comes with a form of another site as well, `SameSite=None`: the one cookie of a flow that ends by
    /// `form_post` (S21). `None` on plain http, where browsers drop such a cookie.
    pub fn set_for_other_sites(self, name: &str, value: &str, max_age: Option<u64>) -> Option<HeaderValue> {
        if self.secure { self.written(name, value, "None", max_age) } else { None }
    }

    fn written(self, name: &str, value: &str, same_site: &str, max_age: Option<u64>) -> Option<HeaderValue> {
        let max_age = max_age.map(|seconds| format!("; Max-Age={seconds}")).unwrap_or_default();
        let secure = if self.secure { "; Secure" } else { "" };
        if !value.bytes().all(is_cookie_octet) {
            return None;
        }
        let name = self.name(name);
        let text = format!("{name}={value}; Path=/; HttpOnly; SameSite={same_site}{max_age}{secure}");
        HeaderValue::try_from(text).ok()
    }

    /// A `Set-Cookie` value that takes the cookie away.
    pub fn clear(self, name: &str) -> Option<HeaderValue> {
        self.set(name, "", Some(0))
    }

    /// The value of the cookie called `name`. Of two with one name the first counts: browsers send the closer one first.
    pub fn read<'h>(self, headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
        let name = self.name(name);
        cookies(headers).find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    /// The cookies whose names begin with `prefix`: names without the policy's own prefix, and values; oldest first where the browser
    /// keeps to RFC 6265, section 5.4.
    pub fn with_prefix<'h>(
        self,
        headers: &'h HeaderMap,
        prefix: &'h str,
    ) -> impl Iterator<Item = (&'h str, &'h str)> {
        let host = if self.secure { "__Host-" } else { "" };
        cookies(headers)
            .filter_map(move |(name, value)| Some((name.strip_prefix(host)?, value)))
            .filter(move |(name, _)| name.starts_with(prefix))
    }
}

/// The site is reached by plain http, and not on this machine.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
#[error("the site's address must be https, or http on a loopback address")]
pub struct InsecureSite;

/// RFC 6265, section 4.1.1: `cookie-octet`.
const fn is_cookie_octet(b: u8) -> bool {
    matches!(b, 0x21 | 0x23..=0x2b | 0x2d..=0x3a | 0x3c..=0x5b | 0x5d..=0x7e)
}

fn cookies(headers: &HeaderMap) -> impl Iterator<Item = (&str, &str)> {
    let texts = headers.get_all(COOKIE).into_iter().filter_map(|value| value.to_str().ok());
    texts.flat_map(|text| text.split(';')).take(MAX_COOKIES).filter_map(|pair| pair.trim().split_once('='))
}

/// The most cookies that are looked at; browsers keep 180 or fewer for a site.
const MAX_COOKIES: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(site: &str) -> CookiePolicy {
        CookiePolicy::for_site(&Url::parse(site).unwrap()).unwrap()
    }

    #[test]
    fn s18_plain_http_is_for_loopback_only() {
        for (site, ok) in [
            ("https://a.example", true),
            ("http://127.0.0.1:8080", true),
            ("http://[::1]", true),
            ("http://localhost", true),
            ("http://a.example", false),
            ("http://10.0.0.1", false),
            ("http://localhost.evil.example", false),
        ] {
            assert_eq!(CookiePolicy::for_site(&Url::parse(site).unwrap()).is_ok(), ok, "{site}");
        }
    }

    #[test]
    fn s12_cookies_are_read_by_whole_name() {
        let mut headers = HeaderMap::new();
        headers.append(COOKIE, "__Host-a=1; a=2; b=x=y".parse().unwrap());
        headers.append(COOKIE, "__Host-ab=3".parse().unwrap());
        let secure = policy("https://a.example");
        assert_eq!(secure.read(&headers, "a"), Some("1"));
        assert_eq!(secure.with_prefix(&headers, "a").collect::<Vec<_>>(), [("a", "1"), ("ab", "3")]);
        let plain = policy("http://127.0.0.1");
        assert_eq!(plain.read(&headers, "a"), Some("2"));
        assert_eq!(plain.read(&headers, "b"), Some("x=y"));
        assert_eq!(plain.read(&headers, "c"), None);
    }

    #[test]
    fn s21_only_https_has_cookies_for_other_sites() {
        assert_eq!(policy("http://127.0.0.1").set_for_other_sites("a", "1", None), None);
        let cookie = policy("https://a.example").set_for_other_sites("a", "1", Some(600)).unwrap();
        assert_eq!(cookie, "__Host-a=1; Path=/; HttpOnly; SameSite=None; Max-Age=600; Secure");
    }

    #[test]
    fn a_value_cannot_add_attributes() {
        assert_eq!(policy("http://127.0.0.1").set("a", "1; Domain=evil.example", None), None);
        assert_eq!(
            policy("http://127.0.0.1").clear("a").unwrap(),
            "a=; Path=/; HttpOnly; SameSite=Lax; Max-Age=0"
        );
    }
}
