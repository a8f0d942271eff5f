//! A small browser: cookies, forms, and the headers by which servers tell a person's own act from another site's.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use std::{fmt, fs};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, header};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use url::Url;

use crate::cookies::{Cookies, Initiator};
use crate::ledger;

/// Long enough for a login's several calls to real servers on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// One person's browser. It speaks plain HTTP to loopback, keeps cookies, and follows no redirect: a test looks at each
/// step.
///
/// [`visit`](Self::visit), [`follow`](Self::follow), [`arrive`](Self::arrive), [`submit`](Self::submit) and
/// [`submit_from`](Self::submit_from) send what a browser sends with such an act: fetch metadata, `Origin`, and only the
/// cookies whose `SameSite` lets them go. [`get`](Self::get), [`post_form`](Self::post_form) and [`send`](Self::send)
/// send the headers they are given, and all cookies.
///
/// All of them panic when there is no answer; [`try_send`](Self::try_send) tells instead.
#[derive(Clone, Default)]
pub struct Browser {
    cookies: Cookies,
    reached_at: BTreeMap<String, SocketAddr>,
    /// Those of them that speak TLS, and who vouches for them.
    trusts: BTreeMap<SocketAddr, TlsConnector>,
}

impl fmt::Debug for Browser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Browser").field("cookies", &self.cookies).finish_non_exhaustive()
    }
}

/// What a server answered.
#[derive(Clone, Debug)]
pub struct Answer {
    url: Url,
    status: u16,
    headers: HeaderMap,
    body: Bytes,
}

impl Browser {
    /// A browser without cookies.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sends what is for `origin` (such as `https://app.peer.internal`) to this address by plain HTTP, as a proxy that
    /// ends TLS does.
    #[must_use]
    pub fn reaching(mut self, origin: &str, address: SocketAddr) -> Self {
        self.reached_at.insert(parse(origin).origin().ascii_serialization(), address);
        self
    }

    /// Sends what is for `origin` to this address by TLS, whose certificate the authority in the PEM file `ca` vouches for.
    ///
    /// # Panics
    /// When the file holds no certificate.
    #[must_use]
    pub fn reaching_tls(mut self, origin: &str, address: SocketAddr, ca: &Path) -> Self {
        let pem = fs::read(ca).unwrap_or_else(|error| panic!("{}: {error}", ca.display()));
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(&pem) {
            roots.add(certificate.expect("a certificate")).expect("a good one");
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider's own")
            .with_root_certificates(roots)
            .with_no_client_auth();
        self.trusts.insert(address, TlsConnector::from(Arc::new(config)));
        self.reaching(origin, address)
    }

    /// Opens a page from the address bar.
    pub async fn visit(&mut self, url: &str) -> Answer {
        let headers = [("sec-fetch-site", "none"), NAVIGATE, DOCUMENT, USER, HTML];
        self.act(Method::GET, url, None, &headers, Initiator::Here).await
    }

    /// Follows a link of the site itself.
    pub async fn follow(&mut self, url: &str) -> Answer {
        let headers = [("sec-fetch-site", "same-origin"), NAVIGATE, DOCUMENT, USER, HTML];
        self.act(Method::GET, url, None, &headers, Initiator::Here).await
    }

    /// Comes in from another site, by a link or a redirect, as a callback does.
    pub async fn arrive(&mut self, url: &str) -> Answer {
        let headers = [("sec-fetch-site", "cross-site"), NAVIGATE, DOCUMENT, USER, HTML];
        self.act(Method::GET, url, None, &headers, Initiator::LinkElsewhere).await
    }

    /// Submits a form of the site itself, by POST.
    pub async fn submit(&mut self, url: &str, fields: &[(&str, &str)]) -> Answer {
        let origin = parse(url).origin().ascii_serialization();
        let headers =
            [("sec-fetch-site", "same-origin"), ("origin", origin.as_str()), NAVIGATE, DOCUMENT, USER, HTML];
        self.act(Method::POST, url, Some(fields), &headers, Initiator::Here).await
    }

    /// Submits a form that stands on another site, `origin`, by POST.
    pub async fn submit_from(&mut self, origin: &str, url: &str, fields: &[(&str, &str)]) -> Answer {
        let headers = [("sec-fetch-site", "cross-site"), ("origin", origin), NAVIGATE, DOCUMENT, USER, HTML];
        self.act(Method::POST, url, Some(fields), &headers, Initiator::Elsewhere).await
    }

    /// A GET with these headers and all cookies.
    pub async fn get(&mut self, url: &str, headers: &[(&str, &str)]) -> Answer {
        self.act(Method::GET, url, None, headers, Initiator::Here).await
    }

    /// A POST of form fields with these headers and all cookies.
    pub async fn post_form(
        &mut self,
        url: &str,
        fields: &[(&str, &str)],
        headers: &[(&str, &str)],
    ) -> Answer {
        self.act(Method::POST, url, Some(fields), headers, Initiator::Here).await
    }

    /// Any request, with all cookies.
    pub async fn send(&mut self, request: Request<Bytes>) -> Answer {
        let line = format!("{} {}", request.method(), request.uri());
        self.try_send(request).await.unwrap_or_else(|error| panic!("{line}: {error}"))
    }

    /// Any request, with all cookies.
    ///
    /// # Errors
    /// When no connection was had, or no whole answer in 30 seconds.
    pub async fn try_send(&mut self, request: Request<Bytes>) -> Result<Answer, String> {
        self.exchange(request, Initiator::Here).await
    }

    /// The value of the cookie that would go with a request of the site itself.
    pub fn cookie(&self, url: &str, name: &str) -> Option<&str> {
        self.cookies
            .sent(&parse(url), Initiator::Here)
            .into_iter()
            .find(|(n, _)| *n == name)
            .map(|(_, value)| value)
    }

    /// The names of the cookies that would go with a request of the site itself.
    pub fn cookie_names(&self, url: &str) -> Vec<&str> {
        self.cookies.sent(&parse(url), Initiator::Here).into_iter().map(|(name, _)| name).collect()
    }

    /// Takes in a `Set-Cookie` value as if `url` had answered with it.
    pub fn set_cookie(&mut self, url: &str, set_cookie: &str) {
        self.cookies.set(&parse(url), set_cookie);
    }

    /// Forgets all cookies.
    pub fn clear_cookies(&mut self) {
        self.cookies.clear();
    }

    async fn act(
        &mut self,
        method: Method,
        url: &str,
        fields: Option<&[(&str, &str)]>,
        headers: &[(&str, &str)],
        by: Initiator,
    ) -> Answer {
        let mut request = Request::builder().method(&method).uri(url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut body = Bytes::new();
        if let Some(fields) = fields {
            body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish().into();
            request = request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        }
        let request = request.body(body).unwrap_or_else(|error| panic!("{method} {url}: {error}"));
        self.exchange(request, by).await.unwrap_or_else(|error| panic!("{method} {url}: {error}"))
    }

    async fn exchange(&mut self, request: Request<Bytes>, by: Initiator) -> Result<Answer, String> {
        let mut url = Url::parse(&request.uri().to_string()).map_err(|error| error.to_string())?;
        url.set_fragment(None);
        let address = self.address(&url).await?;
        let (mut parts, body) = request.into_parts();
        parts.uri = match url.query() {
            Some(query) => format!("{}?{query}", url.path()),
            None => url.path().to_owned(),
        }
        .parse()
        .map_err(|error| format!("{error}"))?;
        let host = match (url.host_str().unwrap_or_default(), url.port()) {
            (host, Some(port)) => format!("{host}:{port}"),
            (host, None) => host.to_owned(),
        };
        let mut put = |name, value: &str| {
            let value = value.parse().map_err(|error| format!("{name}: {error}"))?;
            if !parts.headers.contains_key(&name) {
                parts.headers.insert(name, value);
            }
            Ok::<_, String>(())
        };
        put(header::HOST, &host)?;
        put(header::ACCEPT, "*/*")?;
        put(header::USER_AGENT, "Mozilla/5.0 (X11; Linux x86_64) vestibule-tests")?;
        let cookies = self.cookies.sent(&url, by);
        if !cookies.is_empty() {
            let pairs: Vec<_> = cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
            put(header::COOKIE, &pairs.join("; "))?;
        }
        let request = Request::from_parts(parts, Full::new(body));
        let tls = self.trusts.get(&address).map(|tls| (tls, host.as_str()));
        let answer = timeout(PATIENCE, once(address, tls, request))
            .await
            .map_err(|_| format!("no whole answer in {} s", PATIENCE.as_secs()))??;
        let answer = Answer { url, ..answer };
        for set_cookie in answer.set_cookies() {
            self.cookies.set(&answer.url, set_cookie);
        }
        answer.note_secrets();
        Ok(answer)
    }

    async fn address(&self, url: &Url) -> Result<SocketAddr, String> {
        if let Some(address) = self.reached_at.get(&url.origin().ascii_serialization()) {
            return Ok(*address);
        }
        if url.scheme() != "http" {
            return Err(format!(
                "{url} is not plain http, and its origin is not among those `reaching` names"
            ));
        }
        let (host, port) = (url.host_str().unwrap_or_default(), url.port().unwrap_or(80));
        let found = tokio::net::lookup_host((host.trim_matches(['[', ']']), port)).await;
        let address = found
            .map_err(|error| format!("{host}: {error}"))?
            // `localhost` may be both; our servers listen on the IPv4 one unless told otherwise.
            .min_by_key(SocketAddr::is_ipv6)
            .ok_or_else(|| format!("{host} has no address"))?;
        if address.ip().is_loopback() { Ok(address) } else { Err(format!("{address} is not loopback")) }
    }
}

const NAVIGATE: (&str, &str) = ("sec-fetch-mode", "navigate");
const DOCUMENT: (&str, &str) = ("sec-fetch-dest", "document");
const USER: (&str, &str) = ("sec-fetch-user", "?1");
const HTML: (&str, &str) = ("accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8");

/// One request on a connection of its own.
async fn once(
    address: SocketAddr,
    tls: Option<(&TlsConnector, &str)>,
    request: Request<Full<Bytes>>,
) -> Result<Answer, String> {
    let stream = TcpStream::connect(address).await.map_err(|error| format!("{address}: {error}"))?;
    match tls {
        None => over(stream, request).await,
        Some((connector, host)) => {
            let name = host.split(':').next().unwrap_or_default().to_owned();
            let name = ServerName::try_from(name).map_err(|error| error.to_string())?;
            let stream = connector.connect(name, stream).await.map_err(|error| format!("{host}: {error}"))?;
            over(stream, request).await
        }
    }
}

async fn over(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Request<Full<Bytes>>,
) -> Result<Answer, String> {
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
    let connection = tokio::spawn(connection);
    let exchange = async {
        let response = sender.send_request(request).await?;
        let (parts, body) = response.into_parts();
        Ok::<_, hyper::Error>((parts, body.collect().await?.to_bytes()))
    };
    let result = exchange.await.map_err(|error| error.to_string());
    connection.abort();
    let (parts, body) = result?;
    // The URL is the caller's to know.
    let url = Url::parse("about:blank").map_err(|error| error.to_string())?;
    Ok(Answer { url, status: parts.status.as_u16(), headers: parts.headers, body })
}

fn parse(url: &str) -> Url {
    Url::parse(url).unwrap_or_else(|error| panic!("URL {url:?}: {error}"))
}

impl Answer {
    /// The status code.
    pub const fn status(&self) -> u16 {
        self.status
    }

    /// What was asked for, without its fragment.
    pub const fn url(&self) -> &Url {
        &self.url
    }

    /// All headers.
    pub const fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// A header's value; `None` when it is absent or not text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Every `Set-Cookie`, as it stands.
    pub fn set_cookies(&self) -> Vec<&str> {
        self.headers.get_all(header::SET_COOKIE).iter().filter_map(|value| value.to_str().ok()).collect()
    }

    /// The body's octets.
    pub const fn body(&self) -> &Bytes {
        &self.body
    }

    /// Writes down what this answer holds that no log may.
    fn note_secrets(&self) {
        for set_cookie in self.set_cookies() {
            let value = set_cookie.split([';']).next().and_then(|pair| pair.split_once('='));
            ledger::note("cookie", value.map_or("", |(_, value)| value));
        }
        let location = self.header("location").and_then(|to| self.url.join(to).ok());
        for (name, value) in location.iter().flat_map(Url::query_pairs).chain(self.url.query_pairs()) {
            if matches!(&*name, "code" | "state") {
                ledger::note(&name, &value);
            }
        }
        let body: serde_json::Value = serde_json::from_slice(&self.body).unwrap_or_default();
        for name in ["access_token", "refresh_token", "id_token", "device_code", "client_secret"] {
            ledger::note(name, body[name].as_str().unwrap_or_default());
        }
    }

    /// The body as text; what is not UTF-8 is replaced.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// When it is none; the message shows the body.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error} in the answer to {}: {}", self.url, self.text()))
    }

    /// The value of the first form field of this name in a page: what a hidden field holds, what a button stands for, or what is
    /// filled in already.
    pub fn field(&self, name: &str) -> Option<String> {
        let text = self.text();
        let tag = text.split('<').find(|tag| tag.contains(&format!(" name=\"{name}\"")))?;
        let value = tag.split(" value=\"").nth(1)?.split('"').next()?;
        // As the templates escape.
        let escapes = [
            ("&lt;", "<"),
            ("&gt;", ">"),
            ("&quot;", "\""),
            ("&#34;", "\""),
            ("&#39;", "'"),
            ("&#x27;", "'"),
            ("&#x2f;", "/"),
            ("&amp;", "&"),
        ];
        Some(escapes.iter().fold(value.to_owned(), |value, (escaped, plain)| value.replace(escaped, plain)))
    }

    /// Where a redirect points, as an absolute URL.
    ///
    /// # Panics
    /// When this is no redirect; the message shows the answer.
    pub fn location(&self) -> String {
        let to = self
            .header("location")
            .filter(|_| (300..400).contains(&self.status))
            .unwrap_or_else(|| panic!("{} answered {}, no redirect: {}", self.url, self.status, self.text()));
        self.url.join(to).unwrap_or_else(|error| panic!("location {to:?}: {error}")).to_string()
    }

    /// A query parameter of [`location`](Self::location), decoded.
    pub fn location_parameter(&self, name: &str) -> Option<String> {
        parse(&self.location())
            .query_pairs()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.into_owned())
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio::task::JoinHandle;

    use super::Browser;

    /// A server that gives these answers, one a connection, and then yields the heads and bodies it was sent.
    async fn server(answers: Vec<&'static str>) -> (u16, JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let task = tokio::spawn(async move {
            let mut requests = Vec::new();
            for answer in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = vec![0; 4096];
                let length = stream.read(&mut request).await.unwrap();
                requests.push(String::from_utf8_lossy(&request[..length]).into_owned());
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
            requests
        });
        (port, task)
    }

    #[tokio::test]
    async fn a_login_in_small() {
        let (port, task) = server(vec![
            "HTTP/1.1 303 See Other\r\nset-cookie: a=1; SameSite=Lax; Path=/\r\nset-cookie: b=2; SameSite=Strict; Path=/\r\n\
             location: /next?state=x%20y\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nset-cookie: a=; Max-Age=0; Path=/\r\ncontent-length: 2\r\n\r\n{}",
        ])
        .await;
        let site = format!("http://127.0.0.1:{port}");
        let mut browser = Browser::new();
        let answer = browser.submit(&format!("{site}/login#top"), &[("handle", "alice.test&")]).await;
        assert_eq!((answer.status(), answer.location()), (303, format!("{site}/next?state=x%20y")));
        assert_eq!(answer.location_parameter("state").as_deref(), Some("x y"));
        assert_eq!(browser.cookie_names(&site), ["a", "b"]);

        let answer = browser.arrive(&answer.location()).await;
        assert_eq!(answer.json(), serde_json::json!({}));
        assert_eq!((browser.cookie(&site, "a"), browser.cookie(&site, "b")), (None, Some("2")));

        let requests = task.await.unwrap();
        assert!(requests[0].starts_with("POST /login HTTP/1.1\r\n"), "{}", requests[0]);
        assert!(requests[0].ends_with("\r\n\r\nhandle=alice.test%26"), "{}", requests[0]);
        for line in
            [&format!("origin: {site}"), "sec-fetch-site: same-origin", &format!("host: 127.0.0.1:{port}")]
        {
            assert!(requests[0].contains(line), "{line} in {}", requests[0]);
        }
        assert!(requests[1].contains("sec-fetch-site: cross-site"), "{}", requests[1]);
        assert!(requests[1].contains("cookie: a=1\r\n"), "{}", requests[1]);
    }

    #[tokio::test]
    async fn another_sites_form_brings_no_cookies() {
        let (port, task) = server(vec!["HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n"]).await;
        let site = format!("http://127.0.0.1:{port}");
        let mut browser = Browser::new();
        browser.set_cookie(&site, "a=1");
        assert_eq!(browser.submit_from("https://evil.test", &site, &[]).await.status(), 403);
        let requests = task.await.unwrap();
        assert!(requests[0].contains("origin: https://evil.test") && !requests[0].contains("cookie:"));
    }

    #[tokio::test]
    async fn an_origin_behind_tls_is_reached_at_its_upstream() {
        let (port, task) = server(vec!["HTTP/1.1 204 No Content\r\nset-cookie: a=1; Secure\r\n\r\n"]).await;
        let mut browser = Browser::new().reaching("https://app.peer.internal", ([127, 0, 0, 1], port).into());
        browser.visit("https://app.peer.internal/callback?x=1").await;
        assert_eq!(browser.cookie("https://app.peer.internal/callback", "a"), Some("1"));
        let requests = task.await.unwrap();
        assert!(requests[0].starts_with("GET /callback?x=1 HTTP/1.1"));
        assert!(requests[0].contains("host: app.peer.internal\r\n"));
    }

    #[tokio::test]
    async fn what_is_not_on_loopback_is_not_reached() {
        let mut browser = Browser::new();
        for url in ["https://127.0.0.1/", "http://192.0.2.1/", "http://127.0.0.1:1/"] {
            let request = http::Request::get(url).body(Default::default()).unwrap();
            assert!(browser.try_send(request).await.is_err(), "{url}");
        }
    }
}
