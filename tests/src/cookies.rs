//! A browser's cookies, as far as the tests of a login need them ([RFC 6265bis]).
//!
//! [RFC 6265bis]: https://datatracker.ietf.org/doc/html/draft-ietf-httpbis-rfc6265bis

use std::collections::BTreeMap;
use std::time::SystemTime;

use url::Url;

/// Cookies by host, path and name. Ports share cookies, as in every browser.
#[derive(Clone, Default, Debug)]
pub(crate) struct Cookies(BTreeMap<(String, String, String), Cookie>);

#[derive(Clone, Debug)]
struct Cookie {
    value: String,
    same_site: SameSite,
    secure: bool,
}

/// What a cookie's `SameSite` says; an absent one is `Lax`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum SameSite {
    None,
    Lax,
    Strict,
}

/// Where a request comes from, which decides the cookies that go with it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Initiator {
    /// The site itself, or the address bar: every cookie.
    Here,
    /// A link or a redirect of another site, by GET in the top window: all but `Strict`.
    LinkElsewhere,
    /// Another site in any other way, a form's POST above all: only `None`.
    Elsewhere,
}

impl Cookies {
    /// Takes in one `Set-Cookie` of an answer to `url`. What a browser would refuse is not kept.
    pub(crate) fn set(&mut self, url: &Url, header: &str) {
        let mut parts = header.split(';');
        let Some((name, value)) = parts.next().and_then(|pair| pair.split_once('=')) else { return };
        let (name, value) = (name.trim(), value.trim());
        let attribute = |wanted: &str| {
            let named = |part: &'_ str| {
                let (key, value) = part.split_once('=').unwrap_or((part, ""));
                key.trim().eq_ignore_ascii_case(wanted).then(|| value.trim().to_owned())
            };
            header.split(';').skip(1).filter_map(named).last()
        };
        let host = host(url);
        let secure = attribute("Secure").is_some();
        let domain = attribute("Domain").filter(|domain| !domain.is_empty());
        let path = attribute("Path").filter(|path| path.starts_with('/'));
        // Loopback counts as a place where Secure cookies may be set, whatever the scheme.
        if secure && !may_be_secure(url)
            || name.starts_with("__Secure-") && !secure
            || name.starts_with("__Host-") && !(secure && domain.is_none() && path.as_deref() == Some("/"))
            || domain.is_some_and(|domain| domain.trim_start_matches('.') != host)
        {
            return;
        }
        let same_site = match attribute("SameSite").map(|value| value.to_ascii_lowercase()).as_deref() {
            Some("strict") => SameSite::Strict,
            Some("none") => SameSite::None,
            _ => SameSite::Lax,
        };
        let key = (host, path.unwrap_or_else(|| default_path(url)), name.to_owned());
        let max_age = attribute("Max-Age").and_then(|value| value.parse::<i64>().ok());
        let expires = attribute("Expires").and_then(|value| httpdate::parse_http_date(&value).ok());
        let over = match (max_age, expires) {
            (Some(seconds), _) => seconds <= 0,
            (None, Some(time)) => time <= SystemTime::now(),
            (None, None) => false,
        };
        if over {
            self.0.remove(&key);
        } else {
            self.0.insert(key, Cookie { value: value.to_owned(), same_site, secure });
        }
    }

    /// The cookies that go with a request to `url`, longest path first.
    pub(crate) fn sent(&self, url: &Url, by: Initiator) -> Vec<(&str, &str)> {
        let most = match by {
            Initiator::Here => SameSite::Strict,
            Initiator::LinkElsewhere => SameSite::Lax,
            Initiator::Elsewhere => SameSite::None,
        };
        let host = host(url);
        let mut sent: Vec<_> = self
            .0
            .iter()
            .filter(|((of, path, _), cookie)| {
                *of == host
                    && path_matches(path, url.path())
                    && cookie.same_site <= most
                    && (!cookie.secure || may_be_secure(url))
            })
            .collect();
        sent.sort_by_key(|((_, path, _), _)| std::cmp::Reverse(path.len()));
        sent.into_iter().map(|((_, _, name), cookie)| (name.as_str(), cookie.value.as_str())).collect()
    }

    /// Forgets all.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
}

fn host(url: &Url) -> String {
    url.host_str().unwrap_or_default().to_owned()
}

fn may_be_secure(url: &Url) -> bool {
    url.scheme() == "https" || matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"))
}

/// The folder of the URL's path (section 5.1.4).
fn default_path(url: &Url) -> String {
    match url.path().rsplit_once('/') {
        None | Some(("", _)) => "/".to_owned(),
        Some((folder, _)) => folder.to_owned(),
    }
}

fn path_matches(cookie: &str, request: &str) -> bool {
    request
        .strip_prefix(cookie)
        .is_some_and(|rest| rest.is_empty() || cookie.ends_with('/') || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use url::Url;

    use super::{Cookies, Initiator};

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    fn sent(cookies: &Cookies, to: &str, by: Initiator) -> String {
        let sent = cookies.sent(&url(to), by);
        sent.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn what_a_browser_keeps_and_what_it_does_not() {
        let rows = [
            ("a=b", "a=b"),
            ("a=b; Path=/; HttpOnly; SameSite=Lax", "a=b"),
            ("a=b=c", "a=b=c"),
            ("a=b; Secure", "a=b"),
            ("a=b; Path=/elsewhere", ""),
            ("a=b; Path=/lo", ""),
            ("a=b; Domain=other.test", ""),
            ("a=b; Max-Age=0", ""),
            ("a=b; Max-Age=60; Expires=Thu, 01 Jan 1970 00:00:00 GMT", "a=b"),
            ("a=b; Expires=Thu, 01 Jan 1970 00:00:00 GMT", ""),
            ("__Host-a=b; Secure; Path=/", "__Host-a=b"),
            ("__Host-a=b; Path=/", ""),
            ("__Host-a=b; Secure; Path=/login", ""),
            ("__Secure-a=b", ""),
            ("no pair", ""),
        ];
        for (header, expected) in rows {
            let mut cookies = Cookies::default();
            cookies.set(&url("http://127.0.0.1:8080/login"), header);
            assert_eq!(sent(&cookies, "http://127.0.0.1:9090/login", Initiator::Here), expected, "{header}");
        }
    }

    #[test]
    fn a_cookie_is_replaced_and_deleted() {
        let login = url("http://127.0.0.1:8080/login");
        let mut cookies = Cookies::default();
        for (header, expected) in
            [("a=1; Path=/", "a=1"), ("a=2; Path=/", "a=2"), ("a=; Path=/; Max-Age=0", "")]
        {
            cookies.set(&login, header);
            assert_eq!(sent(&cookies, login.as_str(), Initiator::Here), expected);
        }
    }

    #[test]
    fn same_site_decides_by_where_the_request_comes_from() {
        let login = url("http://127.0.0.1:8080/login");
        let mut cookies = Cookies::default();
        for header in ["s=1; SameSite=Strict", "l=1; SameSite=Lax", "d=1", "n=1; SameSite=None; Secure"] {
            cookies.set(&login, header);
        }
        assert_eq!(sent(&cookies, login.as_str(), Initiator::Here), "d=1; l=1; n=1; s=1");
        assert_eq!(sent(&cookies, login.as_str(), Initiator::LinkElsewhere), "d=1; l=1; n=1");
        assert_eq!(sent(&cookies, login.as_str(), Initiator::Elsewhere), "n=1");
    }

    #[test]
    fn hosts_are_apart_and_longer_paths_come_first() {
        let mut cookies = Cookies::default();
        cookies.set(&url("http://localhost/login"), "a=1; Path=/");
        cookies.set(&url("http://localhost/login/x"), "b=2");
        cookies.set(&url("http://127.0.0.1/"), "c=3");
        assert_eq!(sent(&cookies, "http://localhost/login/y", Initiator::Here), "b=2; a=1");
        assert_eq!(sent(&cookies, "http://localhost/loginx", Initiator::Here), "a=1");
        assert_eq!(sent(&cookies, "http://127.0.0.1/", Initiator::Here), "c=3");
    }
}
