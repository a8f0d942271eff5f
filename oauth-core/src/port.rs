//! The two ports: how a flow that is written here reaches a network that is not.
//!
//! A port is a small object-safe trait. Whoever runs a flow brings the adapter: the crate `atproto-identity` has one
//! over hyper, rustls and hickory-resolver (feature `net`), tests bring a scripted one.

use std::fmt;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;

/// A future behind a pointer, so that a port stays object-safe; next to a network call it costs nothing.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Sends HTTP requests.
///
/// What an adapter owes the flows that use it:
/// - it follows no redirect: a 3xx is an answer like any other;
/// - it holds [`Trust::UserSupplied`] calls to https, the standard port or the one given, and a public address, checked
///   on the address it dials;
/// - it uses no proxy from the environment and sends no cookies;
/// - it gives up at [`HttpCall::timeout`], counted over the whole call, and at [`HttpCall::body_limit`].
pub trait HttpClient: Send + Sync {
    /// Sends one request and collects its answer.
    fn send<'a>(&'a self, call: HttpCall) -> BoxFuture<'a, Result<http::Response<Bytes>, HttpError>>;
}

/// One request, with the limits its answer is held to.
///
/// ```
/// use bytes::Bytes;
/// use vestibule_oauth_core::{HttpCall, Trust};
///
/// let request = http::Request::get("https://pds.example/xrpc").body(Bytes::new()).unwrap();
/// let call = HttpCall::new(request, "server description", Trust::UserSupplied);
/// assert_eq!(call.body_limit, 64 * 1024);
/// assert_eq!(call.timeout.as_secs(), 5);
/// ```
#[non_exhaustive]
pub struct HttpCall {
    /// What to send. Its URI is absolute.
    pub request: http::Request<Bytes>,
    /// What is being asked for, in words for a log or an error: "authorization server metadata".
    pub purpose: &'static str,
    /// Who chose the host.
    pub trust: Trust,
    /// Time for the whole call, name look-up and reading the body included.
    pub timeout: Duration,
    /// The most octets of body that are read; one more is [`HttpErrorKind::TooLarge`].
    pub body_limit: usize,
}

impl HttpCall {
    /// A call under the default limits: 5 seconds and 64 KiB, which every document of these protocols fits well.
    pub const fn new(request: http::Request<Bytes>, purpose: &'static str, trust: Trust) -> Self {
        Self { request, purpose, trust, timeout: Duration::from_secs(5), body_limit: 64 * 1024 }
    }

    /// The same call with another time limit.
    #[must_use]
    pub const fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The same call with another limit on the octets of the answer's body.
    #[must_use]
    pub const fn with_body_limit(mut self, octets: usize) -> Self {
        self.body_limit = octets;
        self
    }
}

impl fmt::Debug for HttpCall {
    /// Shows what is asked and of whom: the query, the header fields and the body may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let uri = self.request.uri();
        let authority = uri.authority().map_or("", |authority| authority.as_str());
        f.debug_struct("HttpCall")
            .field("purpose", &self.purpose)
            .field("method", self.request.method())
            .field(
                "url",
                &format_args!("{}://{authority}{}", uri.scheme_str().unwrap_or_default(), uri.path()),
            )
            .field("trust", &self.trust)
            .finish_non_exhaustive()
    }
}

/// Who chose the host a request goes to, and so which addresses it may reach.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[allow(clippy::exhaustive_enums, reason = "an adapter must decide for each of these, and there is no third")]
pub enum Trust {
    /// The operator wrote it into the configuration: any address is what they meant.
    Configured,
    /// It came from a stranger (a handle, a DID document, a metadata document): https and public addresses only.
    UserSupplied,
}

/// Why no answer was had. Not for answers that refuse: those are answers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HttpError {
    kind: HttpErrorKind,
    detail: String,
}

/// What kept a request from being answered.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum HttpErrorKind {
    /// The host name does not exist, or has no address.
    UnknownHost,
    /// The rules for [`Trust::UserSupplied`] forbid this URL or every address of its host.
    Blocked,
    /// No connection: refused, unreachable, or TLS failed.
    Connect,
    /// Time ran out before the request was sent.
    ConnectTimeout,
    /// Time ran out while waiting for the answer: the request may have been acted upon.
    AnswerTimeout,
    /// The connection broke, or the answer was not HTTP: the request may have been acted upon.
    AnswerLost,
    /// The answer is larger than [`HttpCall::body_limit`]: the request was acted upon.
    TooLarge,
}

impl HttpError {
    /// An error of this kind; `detail` names the host and the cause, and holds no secret.
    pub fn new(kind: HttpErrorKind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into() }
    }

    /// What happened.
    pub const fn kind(&self) -> HttpErrorKind {
        self.kind
    }

    /// Whether the other side may have received the request, so that sending it again may do its work twice.
    ///
    /// ```
    /// use vestibule_oauth_core::{HttpError, HttpErrorKind};
    ///
    /// assert!(!HttpError::new(HttpErrorKind::Connect, "refused").may_have_arrived());
    /// assert!(HttpError::new(HttpErrorKind::AnswerLost, "reset").may_have_arrived());
    /// ```
    pub const fn may_have_arrived(&self) -> bool {
        match self.kind {
            HttpErrorKind::UnknownHost
            | HttpErrorKind::Blocked
            | HttpErrorKind::Connect
            | HttpErrorKind::ConnectTimeout => false,
            HttpErrorKind::AnswerTimeout | HttpErrorKind::AnswerLost | HttpErrorKind::TooLarge => true,
        }
    }

    /// Whether time ran out.
    pub const fn is_timeout(&self) -> bool {
        matches!(self.kind, HttpErrorKind::ConnectTimeout | HttpErrorKind::AnswerTimeout)
    }
}

impl fmt::Display for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            HttpErrorKind::UnknownHost => "unknown host",
            HttpErrorKind::Blocked => "address not allowed",
            HttpErrorKind::Connect => "no connection",
            HttpErrorKind::ConnectTimeout => "no connection in time",
            HttpErrorKind::AnswerTimeout => "no answer in time",
            HttpErrorKind::AnswerLost => "answer lost",
            HttpErrorKind::TooLarge => "answer too large",
        };
        write!(f, "{what}: {}", self.detail)
    }
}

impl std::error::Error for HttpError {}

/// Asks the DNS for TXT records.
pub trait TxtLookup: Send + Sync {
    /// The TXT records of `name` (no dot at its end). A name that does not exist, or has none, is an empty list, not an
    /// error.
    fn txt<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Vec<TxtRecord>, TxtError>>;
}

/// One TXT record: the character strings it is made of, in order ([RFC 1035, section 3.3.14]).
///
/// ```
/// use vestibule_oauth_core::TxtRecord;
///
/// let record = TxtRecord::new([b"did=did:plc:".to_vec(), b"ewvi7nxzyoun6zhxrhs64oiz".to_vec()]);
/// assert_eq!(record.joined(), b"did=did:plc:ewvi7nxzyoun6zhxrhs64oiz");
/// ```
///
/// [RFC 1035, section 3.3.14]: https://www.rfc-editor.org/rfc/rfc1035#section-3.3.14
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TxtRecord(Vec<Vec<u8>>);

impl TxtRecord {
    /// A record of these character strings.
    pub fn new(strings: impl IntoIterator<Item = Vec<u8>>) -> Self {
        Self(strings.into_iter().collect())
    }

    /// The strings joined with nothing between them.
    pub fn joined(&self) -> Vec<u8> {
        self.0.concat()
    }
}

/// Why the DNS gave no answer. "No such name" is an answer.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum TxtError {
    /// No server answered in time.
    Timeout,
    /// A server failed or refused; its own words.
    Failed(String),
}

impl fmt::Display for TxtError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timeout => f.write_str("the name server did not answer in time"),
            Self::Failed(detail) => write!(f, "the name server failed: {detail}"),
        }
    }
}

impl std::error::Error for TxtError {}

/// Waits. A flow that has to look again in a while brings one of these, so that it needs no clock of its own and a test
/// need not wait.
pub trait Timer: Send + Sync {
    /// Ends when `span` has passed.
    fn pause(&self, span: Duration) -> BoxFuture<'_, ()>;
}

/// A store cannot be reached, or failed, and nothing was done: the same act may be tried again. Every store port of the
/// floors above reports this one; over HTTP it is a 503.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoreUnavailable(String);

impl StoreUnavailable {
    /// With the store's own words for the operator, which hold no secret.
    pub fn new(detail: impl Into<String>) -> Self {
        Self(detail.into())
    }
}

impl fmt::Display for StoreUnavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the store is unavailable: {}", self.0)
    }
}

impl std::error::Error for StoreUnavailable {}
