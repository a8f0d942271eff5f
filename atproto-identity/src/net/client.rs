//! One HTTP client for one class of trust: its rules, its connections, its errors.

use std::error::Error as StdError;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{ACCEPT, ACCEPT_ENCODING, HOST, HeaderValue, USER_AGENT};
use http::uri::Scheme;
use http::{Method, Request, Response, Uri, Version};
use http_body::{Body, Frame, SizeHint};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::connect::{CaptureConnection, capture_connection};
use hyper_util::client::legacy::{Client, Error as ClientError};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::ClientConfig;
use rustls::pki_types::InvalidDnsNameError;
use tokio::time::timeout;
use vestibule_oauth_core::{HttpCall, HttpError, HttpErrorKind};

use super::answer::AnswerBody;
use super::dialer::{DialError, Dialer, Reach};

/// How long a connection waits for its next request. Long enough to serve a whole login, and shorter than servers
/// commonly wait, so that it is rarely they who close first.
const IDLE_TIMEOUT: Duration = Duration::from_secs(15);

/// Waiting connections kept for one host. More may be open at once; these are what is left of a burst.
const IDLE_PER_HOST: usize = 8;

/// Octets of an answer's head at which hyper stops reading more of it; what it had read by then may be up to twice as
/// much. Servers commonly send below 2 KiB, and give up on a request's head at 8 to 64 KiB.
const MAX_HEAD: usize = 64 * 1024;

/// Header fields of one answer; hyper's own limit, written out.
const MAX_HEADERS: usize = 100;

/// Octets of a host name in text (RFC 1035, section 3.1, and a dot at the end).
const MAX_HOST: usize = 254;

type BoxError = Box<dyn StdError + Send + Sync>;
type RequestBody = UnsyncBoxBody<Bytes, BoxError>;

/// A client whose connections were all opened under the same rules.
pub(super) struct HttpsClient {
    client: Client<HttpsConnector<Dialer>, RequestBody>,
    scheme: Schemes,
    user_agent: HeaderValue,
}

/// Which schemes may be asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Schemes {
    HttpsOnly,
    HttpToo,
}

impl HttpsClient {
    pub(super) fn new(dialer: Dialer, tls: Arc<ClientConfig>, user_agent: HeaderValue) -> Self {
        let scheme = match dialer.reach {
            Reach::PublicOnly => Schemes::HttpsOnly,
            Reach::Anywhere => Schemes::HttpToo,
        };
        // hyper sends a request a second time only when the connection it was waiting for closed before one octet of it
        // was written; that is left on, since the other side has seen nothing.
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_max_idle_per_host(IDLE_PER_HOST)
            .http1_max_buf_size(MAX_HEAD)
            .http1_max_headers(MAX_HEADERS)
            .build(HttpsConnector::from((dialer, tls)));
        Self { client, scheme, user_agent }
    }

    /// Sends the request of `call` and collects its answer.
    pub(super) async fn send(&self, call: HttpCall) -> Result<Response<Bytes>, HttpError> {
        let mut request =
            call.request.map(|body| Full::new(body).map_err(|never| match never {}).boxed_unsync());
        request.headers_mut().remove(ACCEPT_ENCODING); // nothing here decodes
        let host = self.admit(&mut request, call.purpose)?;
        let connected = capture_connection(&mut request);
        let exchange = async {
            let answer = self.client.request(request).await;
            let (head, body) = answer.map_err(|error| host.lost(&error, &connected))?.into_parts();
            let body = collect(body, call.body_limit, &host).await?;
            Ok(Response::from_parts(head, body))
        };
        match timeout(call.timeout, exchange).await {
            Ok(outcome) => outcome,
            Err(_) => Err(host.timed_out(&connected)),
        }
    }

    /// Sends `request` piece by piece and gives its answer as soon as the head of it is there.
    pub(super) async fn stream<B>(
        &self,
        request: Request<B>,
        patience: Duration,
    ) -> Result<Response<AnswerBody>, HttpError>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let pieces = Arc::new(AtomicU64::new(0));
        let mut request = request
            .map(|body| UnsyncBoxBody::new(Counted { body: Box::pin(body), pieces: Arc::clone(&pieces) }));
        let host = self.admit(&mut request, "stream")?;
        let connected = capture_connection(&mut request);
        let mut answer = pin!(self.client.request(request));
        loop {
            let before = pieces.load(Ordering::Relaxed);
            match timeout(patience, answer.as_mut()).await {
                Ok(Ok(answer)) => {
                    return Ok(answer.map(|body| AnswerBody::new(body, host, patience)));
                }
                Ok(Err(error)) => return Err(host.lost(&error, &connected)),
                // Our own side is still sending: the other cannot be expected to answer yet.
                Err(_) if pieces.load(Ordering::Relaxed) != before => {}
                Err(_) => return Err(host.timed_out(&connected)),
            }
        }
    }

    /// Holds a request to the rules that can be seen on it, and completes its header fields.
    fn admit<B>(&self, request: &mut Request<B>, purpose: &'static str) -> Result<Asked, HttpError> {
        let host = Asked::read(request.uri(), purpose)?;
        let scheme = request.uri().scheme();
        let allowed = scheme == Some(&Scheme::HTTPS)
            || (scheme == Some(&Scheme::HTTP) && self.scheme == Schemes::HttpToo);
        if !allowed {
            let rule = match self.scheme {
                Schemes::HttpsOnly => "the scheme must be https",
                Schemes::HttpToo => "the scheme must be https or http",
            };
            return Err(host.error(HttpErrorKind::Blocked, rule));
        }
        if request.method() == Method::CONNECT {
            return Err(host.error(HttpErrorKind::Blocked, "the method must not be CONNECT"));
        }
        *request.version_mut() = Version::HTTP_11;
        let headers = request.headers_mut();
        headers.remove(HOST); // it is the one of the URI, which hyper writes
        headers.entry(USER_AGENT).or_insert_with(|| self.user_agent.clone());
        headers.entry(ACCEPT).or_insert(HeaderValue::from_static("*/*"));
        Ok(host)
    }
}

/// Whom a call asks and what for: what its errors say.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    host: String,
    purpose: &'static str,
}

impl Asked {
    fn read(uri: &Uri, purpose: &'static str) -> Result<Self, HttpError> {
        let blocked = |rule: &str| HttpError::new(HttpErrorKind::Blocked, format!("{purpose}: {rule}"));
        let authority = uri.authority().ok_or_else(|| blocked("the URL must be absolute"))?;
        let host = authority.host();
        if host.is_empty() || host.len() > MAX_HOST {
            return Err(blocked("the host must have 1 to 254 characters"));
        }
        if authority.as_str().contains('@') {
            return Err(blocked("the URL must not hold a user name"));
        }
        let port = authority.as_str().strip_prefix(host).unwrap_or_default();
        if !port.is_empty() && authority.port_u16().is_none_or(|port| port == 0) {
            return Err(blocked("the port must be a number from 1 to 65535"));
        }
        Ok(Self { host: host.to_owned(), purpose })
    }

    pub(super) fn error(&self, kind: HttpErrorKind, cause: &str) -> HttpError {
        HttpError::new(kind, format!("{} at {}: {cause}", self.purpose, self.host))
    }

    /// The error of a call whose time ran out.
    fn timed_out(&self, connected: &CaptureConnection) -> HttpError {
        if connected.connection_metadata().is_some() {
            self.error(HttpErrorKind::AnswerTimeout, "the time limit passed")
        } else {
            self.error(HttpErrorKind::ConnectTimeout, "the time limit passed")
        }
    }

    /// The error of a call that hyper gave up.
    fn lost(&self, error: &ClientError, connected: &CaptureConnection) -> HttpError {
        let cause = innermost(error);
        let kind = match cause.downcast_ref::<DialError>() {
            Some(DialError::UnknownHost) => HttpErrorKind::UnknownHost,
            Some(DialError::NotPublic(_)) => HttpErrorKind::Blocked,
            Some(DialError::NameTimeout | DialError::Timeout) => HttpErrorKind::ConnectTimeout,
            Some(DialError::NameServer(_) | DialError::Refused(_)) => HttpErrorKind::Connect,
            None if cause.is::<InvalidDnsNameError>() => HttpErrorKind::UnknownHost,
            None if connected.connection_metadata().is_none() => HttpErrorKind::Connect,
            None => HttpErrorKind::AnswerLost,
        };
        self.error(kind, &cause.to_string())
    }
}

/// The cause at the bottom, which is the one that says something.
pub(super) fn innermost<'a>(error: &'a (dyn StdError + 'static)) -> &'a (dyn StdError + 'static) {
    let mut innermost = error;
    loop {
        // An error within an `io::Error` is not its source, but itself in another coat.
        let wrapped = innermost.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        let next = match wrapped {
            Some(wrapped) => Some(wrapped as &(dyn StdError + 'static)),
            None => innermost.source(),
        };
        match next {
            Some(next) => innermost = next,
            None => return innermost,
        }
    }
}

/// The whole of `body`, which may have `limit` octets.
async fn collect(mut body: Incoming, limit: usize, host: &Asked) -> Result<Bytes, HttpError> {
    let too_large =
        || host.error(HttpErrorKind::TooLarge, &format!("the body must have at most {limit} octets"));
    // What the head announces is known before any of it is read.
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if announced > limit {
        return Err(too_large());
    }
    let mut whole = Bytes::new();
    let mut joined = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame =
            frame.map_err(|error| host.error(HttpErrorKind::AnswerLost, &innermost(&error).to_string()))?;
        let Ok(piece) = frame.into_data() else { continue }; // trailers
        if piece.len() > limit.saturating_sub(whole.len()).saturating_sub(joined.len()) {
            return Err(too_large());
        }
        // Most answers come in one piece, which is then handed on as it is.
        if whole.is_empty() && joined.is_empty() {
            whole = piece;
            continue;
        }
        if joined.is_empty() {
            joined.reserve(announced.max(whole.len().saturating_add(piece.len())));
            joined.extend_from_slice(&std::mem::take(&mut whole));
        }
        joined.extend_from_slice(&piece);
    }
    Ok(if joined.is_empty() { whole } else { joined.freeze() })
}

/// A request body that counts its pieces as they are taken.
struct Counted<B> {
    body: Pin<Box<B>>,
    pieces: Arc<AtomicU64>,
}

impl<B> Body for Counted<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let polled = self.body.as_mut().poll_frame(cx);
        if polled.is_ready() {
            self.pieces.fetch_add(1, Ordering::Relaxed);
        }
        polled.map(|piece| piece.map(|piece| piece.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_url_must_be() {
        let rows = [
            ("https://pds.example/xrpc?secret=1", Ok("pds.example")),
            ("https://[2001:db8::1]:8443/", Ok("[2001:db8::1]")),
            ("https://pds.example:1/", Ok("pds.example")),
            ("/xrpc", Err("the URL must be absolute")),
            ("https://user@pds.example/", Err("the URL must not hold a user name")),
            ("https://user:pass@pds.example/", Err("the URL must not hold a user name")),
            ("https://pds.example:0/", Err("the port must be a number from 1 to 65535")),
            ("https://pds.example:65536/", Err("the port must be a number from 1 to 65535")),
            ("https://pds.example:/", Err("the port must be a number from 1 to 65535")),
        ];
        for (uri, expected) in rows {
            let read = Asked::read(&uri.parse().unwrap(), "test");
            match expected {
                Ok(host) => assert_eq!(read.unwrap().host, host, "{uri}"),
                Err(rule) => {
                    assert_eq!(
                        read.unwrap_err(),
                        HttpError::new(HttpErrorKind::Blocked, format!("test: {rule}"))
                    )
                }
            }
        }
        let long = format!("https://{}/", "a".repeat(255)).parse().unwrap();
        assert_eq!(Asked::read(&long, "test").unwrap_err().kind(), HttpErrorKind::Blocked);
    }
}
