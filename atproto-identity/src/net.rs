//! The network: HTTPS by hyper and rustls, DNS by hickory-resolver. The only I/O of this crate.
//!
//! [`Network`] is the adapter behind the ports [`HttpClient`] and [`TxtLookup`]. It holds every call to the rules of its
//! [`Trust`]: what a stranger named is reached over https, at a public address, and that address is judged in the moment
//! it is dialled, whether it was written out or came from the DNS. Calls of the two classes share no connection.
//!
//! It follows no redirect, keeps no cookie, reads no proxy from the environment, asks for no compression and speaks
//! HTTP/1.1. It sends a request once: when a connection breaks after the first octet was written, the call fails with
//! an error whose [`may_have_arrived`](HttpError::may_have_arrived) is true, and sending again is for the caller to
//! decide.
//!
//! ```
//! use vestibule_atproto_identity::net::{Network, NetworkConfig};
//! use vestibule_oauth_core::{HttpCall, HttpClient, HttpErrorKind, Trust};
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! let network = Network::new(NetworkConfig::default()).unwrap();
//! // What a cloud provider's machines keep their credentials behind.
//! let request = http::Request::get("https://169.254.169.254/latest/meta-data").body(Default::default()).unwrap();
//! let answer = network.send(HttpCall::new(request, "client metadata", Trust::UserSupplied)).await;
//! assert_eq!(answer.unwrap_err().kind(), HttpErrorKind::Blocked);
//! # });
//! ```

mod address;
mod answer;
mod client;
mod dialer;
mod names;

use std::error::Error as StdError;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::HeaderValue;
use http_body::Body;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use thiserror::Error;
use vestibule_oauth_core::{
    BoxFuture, HttpCall, HttpClient, HttpError, Timer, Trust, TxtError, TxtLookup, TxtRecord,
};

pub use address::NotPublic;
pub use answer::AnswerBody;

use client::HttpsClient;
use dialer::{Dialer, Reach};
use names::{Names, Reading};

/// What the network is to be like. The default is right for a server on the public Internet.
///
/// ```
/// use vestibule_atproto_identity::net::{NetworkConfig, PrivateNetwork};
///
/// let config = NetworkConfig::default()
///     .with_dns("127.0.0.1:5353".parse().unwrap())
///     .with_private_network(PrivateNetwork::Allowed);
/// assert_eq!(config.dns.unwrap().port(), 5353);
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct NetworkConfig {
    /// The name server asked for TXT, A and AAAA records, over UDP and TCP. `None` for those of the system, read once.
    pub dns: Option<SocketAddr>,
    /// Certificates in PEM that are trusted as roots beside those of Mozilla.
    pub extra_roots_pem: Option<Vec<u8>>,
    /// Whether [`Trust::UserSupplied`] calls may reach http, loopback and private addresses.
    pub private_network: PrivateNetwork,
    /// The `User-Agent` of requests that have none.
    pub user_agent: String,
}

/// Whether what a stranger named may lie in a private network.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[allow(clippy::exhaustive_enums, reason = "a named yes or no")]
pub enum PrivateNetwork {
    /// No: https and public addresses only.
    #[default]
    Refused,
    /// Yes: http, loopback and private addresses too. For development and tests; in production it lets any visitor make
    /// the server talk to its neighbours.
    Allowed,
}

impl Default for NetworkConfig {
    fn default() -> Self {
        Self {
            dns: None,
            extra_roots_pem: None,
            private_network: PrivateNetwork::Refused,
            user_agent: concat!("vestibule/", env!("CARGO_PKG_VERSION")).to_owned(),
        }
    }
}

impl NetworkConfig {
    /// The same, with this name server.
    #[must_use]
    pub const fn with_dns(mut self, server: SocketAddr) -> Self {
        self.dns = Some(server);
        self
    }

    /// The same, with the certificates of this PEM text as roots too.
    #[must_use]
    pub fn with_extra_roots_pem(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.extra_roots_pem = Some(pem.into());
        self
    }

    /// The same, with private networks allowed or refused.
    #[must_use]
    pub const fn with_private_network(mut self, private_network: PrivateNetwork) -> Self {
        self.private_network = private_network;
        self
    }

    /// The same, with this `User-Agent`.
    #[must_use]
    pub fn with_user_agent(mut self, user_agent: impl Into<String>) -> Self {
        self.user_agent = user_agent.into();
        self
    }
}

/// Why a [`NetworkConfig`] makes no network.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum NetworkError {
    /// The extra roots are not PEM.
    #[error("the extra root certificates are not PEM: {0}")]
    BadPem(String),
    /// The extra roots hold no certificate; perhaps the file holds a key.
    #[error("the extra root certificates hold no section CERTIFICATE")]
    NoCertificate,
    /// One of the extra roots is not a certificate that can be trusted.
    #[error("extra root certificate {number} cannot be used: {reason}")]
    BadCertificate {
        /// Which one, counted from 1.
        number: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// The user agent cannot be sent in a header field.
    #[error("the user agent must be visible ASCII characters and spaces")]
    BadUserAgent,
    /// The resolver could not be made for the name server given.
    #[error("the name server cannot be used: {0}")]
    Resolver(String),
    /// The TLS library refused its own defaults.
    #[error("TLS cannot be set up: {0}")]
    Tls(String),
}

/// The way out: HTTP requests and TXT look-ups. A clone is another handle on the same one.
///
/// Make one and share it: it holds the resolver with its cache, and the connections that wait for their next request.
/// Its calls need a tokio runtime with time and I/O.
#[derive(Clone)]
pub struct Network(Arc<Parts>);

struct Parts {
    names: Arc<Names>,
    // Two clients, so that no connection opened for an operator's URL ever serves a stranger's.
    configured: HttpsClient,
    user_supplied: HttpsClient,
}

impl Network {
    /// Reads the system's name servers (unless one is given) and makes the clients. Nothing is connected yet.
    ///
    /// That the system names no server is not an error here: look-ups will fail and say so, addresses and `localhost`
    /// work without.
    ///
    /// # Errors
    /// When the extra roots, the user agent or the name server cannot be used.
    pub fn new(config: NetworkConfig) -> Result<Self, NetworkError> {
        let user_agent = HeaderValue::from_str(&config.user_agent).map_err(|_| NetworkError::BadUserAgent)?;
        let tls = Arc::new(tls(config.extra_roots_pem.as_deref())?);
        let names = Arc::new(Names::new(config.dns).map_err(NetworkError::Resolver)?);
        let client = |reach, reading| {
            let dialer = Dialer { names: Arc::clone(&names), reach, reading };
            HttpsClient::new(dialer, Arc::clone(&tls), user_agent.clone())
        };
        let strangers_reach = match config.private_network {
            PrivateNetwork::Refused => Reach::PublicOnly,
            PrivateNetwork::Allowed => Reach::Anywhere,
        };
        let configured = client(Reach::Anywhere, Reading::WithSearchList);
        let user_supplied = client(strangers_reach, Reading::Absolute);
        Ok(Self(Arc::new(Parts { names, configured, user_supplied })))
    }

    /// Sends a request whose body, and whose answer's body, are handed on piece by piece.
    ///
    /// The rules for addresses, schemes and connections are those of [`HttpClient::send`]; sizes are not limited.
    /// `patience` is the longest silence: to connect, from the last piece of the request's body (up to twice that) to
    /// the head of the answer, and between two pieces of the answer's body. Header fields that concern one hop only are
    /// for the caller to leave out, except `Host`, which is always the one of the URI.
    ///
    /// # Errors
    /// As [`HttpClient::send`]; what goes wrong within the answer's body is an error of the body.
    pub async fn stream<B>(
        &self,
        request: http::Request<B>,
        trust: Trust,
        patience: Duration,
    ) -> Result<http::Response<AnswerBody>, HttpError>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn StdError + Send + Sync>>,
    {
        self.client(trust).stream(request, patience).await
    }

    fn client(&self, trust: Trust) -> &HttpsClient {
        match trust {
            Trust::Configured => &self.0.configured,
            Trust::UserSupplied => &self.0.user_supplied,
        }
    }
}

impl HttpClient for Network {
    fn send<'a>(&'a self, call: HttpCall) -> BoxFuture<'a, Result<http::Response<Bytes>, HttpError>> {
        Box::pin(self.client(call.trust).send(call))
    }
}

impl Timer for Network {
    fn pause(&self, span: Duration) -> BoxFuture<'_, ()> {
        Box::pin(tokio::time::sleep(span))
    }
}

impl TxtLookup for Network {
    fn txt<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Vec<TxtRecord>, TxtError>> {
        Box::pin(self.0.names.txt(name))
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Network").finish_non_exhaustive()
    }
}

/// TLS 1.2 and 1.3 with the roots of Mozilla and those of `extra_roots`.
fn tls(extra_roots: Option<&[u8]>) -> Result<ClientConfig, NetworkError> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    if let Some(pem) = extra_roots {
        let mut number = 0_usize;
        for certificate in CertificateDer::pem_slice_iter(pem) {
            number = number.saturating_add(1);
            let certificate = certificate.map_err(|error| NetworkError::BadPem(error.to_string()))?;
            roots
                .add(certificate)
                .map_err(|error| NetworkError::BadCertificate { number, reason: error.to_string() })?;
        }
        if number == 0 {
            return Err(NetworkError::NoCertificate);
        }
    }
    // The provider is named here: a program may hold two, and then rustls would choose neither.
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| NetworkError::Tls(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(config: NetworkConfig) -> NetworkError {
        Network::new(config).map(|_| ()).unwrap_err()
    }

    #[test]
    fn a_configuration_that_cannot_work_is_refused_at_once() {
        let config = NetworkConfig::default;
        assert_eq!(error(config().with_user_agent("a\nb")), NetworkError::BadUserAgent);
        assert_eq!(error(config().with_extra_roots_pem("")), NetworkError::NoCertificate);
        let key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
        assert_eq!(error(config().with_extra_roots_pem(key)), NetworkError::NoCertificate);
        let unfinished = "-----BEGIN CERTIFICATE-----\nAAAA\n";
        assert!(matches!(error(config().with_extra_roots_pem(unfinished)), NetworkError::BadPem(_)));
        let nonsense = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(matches!(
            error(config().with_extra_roots_pem(nonsense)),
            NetworkError::BadCertificate { number: 1, .. }
        ));
    }

    #[test]
    fn a_network_is_shared_between_threads() {
        fn shared<T: Clone + Send + Sync + 'static>(_: &T) {}
        shared(&Network::new(NetworkConfig::default()).unwrap());
    }
}
